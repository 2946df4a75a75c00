"""What of a corpus is fit to train on: texts brought into one form, and pairs that are left out, each for one reason.

The rules are those usual for mined and crowd-sourced pairs (Koehn et al. 2018, arXiv 1803.09010, and what was found
in the corpora of docs/data.md): they are cheap, so that a core cleans millions of pairs in some minutes.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from translatotron_v.data.language import identify, small_words
from translatotron_v.data.pairs import read_texts
from translatotron_v.data.vocabulary import LANGUAGES
from translatotron_v.errors import UserError

SHARED_WORDS = 8  # so many running words in common with a held-out line are no accident

EMPTY = "no text"
LONG = "too long"
RATIO = "length ratio"
MARKUP = "markup"
PLACEHOLDER = "placeholders"
CODE = "code"
COPY = "copies"
LEAK = "held out"
DUPLICATE = "duplicates"
TARGETS = "more targets"
LANGUAGE = "language"
REASONS = (EMPTY, LONG, RATIO, MARKUP, PLACEHOLDER, CODE, COPY, LEAK, DUPLICATE, TARGETS, LANGUAGE)

_IDENTIFIED = 40  # characters; of shorter texts with names in them, the identifier is wrong too often
_THIRD_LANGUAGE = 60  # characters; shorter texts are not taken for a language that neither side should be in

_WORD = re.compile(r"\w+")
_LETTER = re.compile(r"[^\W\d_]")
# with its semicolon: html.unescape by itself also takes the first letters of "&copying" for one
_ENTITY = re.compile(
    r"&(?:[A-Za-z]\w{1,30}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});"
)  # html.unescape alone sees one in "&copying"
_TAG = re.compile(
    r"<!--.*?-->|</?(?:a|abbr|acronym|b|big|blockquote|br|center|cite|code|dd|del|div|dl|dt|em|font|h[1-6]|hr|html|i|"
    r"img|ins|kbd|li|link|nobr|ol|p|para|pre|q|qt|s|samp|section|small|span|strong|sub|sup|table|tbody|td|th|title|tr|"
    r"tt|u|ul|var|seg|description)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_BREAK = re.compile(r"^</?(?:blockquote|br|dd|div|dt|h[1-6]|hr|li|p|para|pre|section|td|th|title|tr)\b", re.IGNORECASE)
_MARKUP = re.compile(
    r"</?[A-Za-z!?][^<>]*>|\[/?(?:b|i|u|url|img|br|color|size|quote)\b[^\]]*\]|\[\[|\]\]|'''|&[A-Za-z]{2,8};|&#\d+;"
)
_PLACEHOLDER = re.compile(
    r"(?<![\d%])%(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh?|ll?|z|j|t)?[sdiouxXcpeEfgGn@](?![a-z])"  # printf
    r"|(?<![\d%])%(?:\d\b|L\d|\(|\{|[A-Za-z_]+%)"  # Qt, Python, Ruby, %NAME%
    r"|[{}]|\$[A-Za-z_(]|[#@][A-Z_]{3,}[#@]|__\w|\\[nrt\"]"
)
_CODE = re.compile(
    r"https?://|www\.\w|[\w.+-]+@[\w-]+\.\w"  # addresses
    r"|(?<!\S)~?/\w+[/.]?|[A-Za-z]:\\|\\\w"  # paths
    r"|(?<!\S)--[a-z][a-z-]+|(?<!\S)-[a-zA-Z](?!\S)"  # options
    r"|\w_\w|\w\(\d?\)|::|->|=>|==|&&|\|\||[A-Za-z]=\S"  # identifiers and operators
)
_OTHER_SCRIPT = re.compile(r"[\u0370-\u1dff\u2c00-\ua71f\ua800-\ufaff\uff66-\uffdc\U00010000-\U0001efff]")


def clean_text(text: str) -> str:
    """A text in one form: NFC, single spaces, nothing that cannot be seen, no HTML.

    Entities are resolved, tags that HTML knows are dropped (those that break a line leave a space), and so are control
    characters, soft hyphens, zero-width characters, direction marks and private-use characters (``data.marks`` are
    never in a text from outside).
    """
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    if "<" in text:
        text = _TAG.sub(lambda tag: " " if _BREAK.match(tag[0]) else "", text)
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable() or character.isspace())
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold_words(text: str) -> list[str]:
    """The words of a text as comparisons see them: case folded, without punctuation."""
    return _WORD.findall(text.casefold())


def text_hash(text: str) -> int:
    """A hash of 64 bits that is the same on every machine and in every run."""
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def is_held_back(source: str, share: float) -> bool:
    """Whether a pair is kept from training to measure on, by its source alone: about ``share`` of all sources are.

    What case or punctuation sets apart falls on the same side, whatever corpus it stands in and whatever its target.
    What a small share holds back, a larger one does as well.

    Args:
        source: a text; folded here.
        share: 0..1.
    """
    return text_hash(" ".join(fold_words(source))) < share * 2**64


class HeldOut:
    """Lines that must not be trained on, and what shares ``SHARED_WORDS`` running words with one of them.

    Args:
        lines: texts of test sets, of any language; those without words are passed over.
        fewest_words: shorter lines do not count; 1 takes all, 2 leaves the single words of a set to be learned.
    """

    def __init__(self, lines: Iterable[str], fewest_words: int = 1):
        self._lines: set[str] = set()
        self._runs: set[str] = set()
        for line in lines:
            words = fold_words(clean_text(line))
            if len(words) >= fewest_words and words:
                self._lines.add(" ".join(words))
                self._runs.update(_runs(words))

    @classmethod
    def from_files(cls, paths: Sequence[str | Path], fewest_words: int = 1) -> "HeldOut":
        """All languages of named test sets, as ``data_synth.corpora.read_texts`` reads them.

        Raises:
            UserError: a test set that is missing or cannot be read.
        """
        return cls((text for path in paths for text in read_texts(path)), fewest_words)

    def __len__(self) -> int:
        return len(self._lines)

    def has(self, words: Sequence[str]) -> bool:
        """Whether a text stands in a held-out set, or a part of it does; ``words`` as of ``fold_words``."""
        if not self._lines:
            return False
        return " ".join(words) in self._lines or not self._runs.isdisjoint(_runs(words))


def _runs(words: Sequence[str]) -> list[str]:
    return [" ".join(words[start : start + SHARED_WORDS]) for start in range(len(words) - SHARED_WORDS + 1)]


class Seen:
    """The pairs met so far, as hashes of 64 bits of their folded sides; about 130 bytes a source.

    Share one among the corpora of a language pair: a pair then belongs to the corpus that came first.
    """

    def __init__(self) -> None:
        self._targets: dict[int, tuple[int, ...] | int] = {}  # source -> its targets; bare while there is but one

    def refuse(self, source: str, target: str, most: int) -> str:
        """Note a pair; the reason why it is not wanted: met before, or its source has ``most`` targets already."""
        one, other = text_hash(source), text_hash(target)
        known = self._targets.get(one)
        if known is None:
            self._targets[one] = other
            return ""
        targets = known if isinstance(known, tuple) else (known,)
        if other in targets:
            return DUPLICATE
        if len(targets) >= most:
            return TARGETS
        self._targets[one] = (*targets, other)
        return ""


@dataclass(frozen=True)
class Rules:
    """What pairs of a corpus must be like.

    Attributes:
        most_characters: the longest side.
        most_ratio: characters of the longer side by those of the shorter one, ``slack`` added to both.
        slack: in characters; short texts may differ more.
        most_targets: so many different targets of a source are kept, over all corpora that share a ``Seen``.
        identify: whether sides long enough to tell must be in their language; of no use to dictionaries.
        copy_words: from so many words on, a side may not be a copy of the other.
    """

    most_characters: int = 400
    most_ratio: float = 3.0
    slack: int = 10
    most_targets: int = 3
    identify: bool = True
    copy_words: int = 4


class Cleaner:
    """Cleans the pairs of one corpus and counts what it leaves out, by reason.

    Args:
        rules: what pairs must be like.
        languages: of the source and of the target, ISO 639-1.
        held_out: what must not be trained on.
        seen: the pairs of earlier corpora of the same languages; without it, only duplicates within this one are found.

    Attributes:
        counts: reason -> pairs left out.
        kept: pairs that passed.

    Raises:
        UserError: a language that the identifier does not know.
    """

    def __init__(
        self,
        rules: Rules,
        languages: tuple[str, str],
        held_out: HeldOut | None = None,
        seen: Seen | None = None,
    ):
        self.rules = rules
        self.counts: Counter[str] = Counter()
        self.kept = 0
        self._held_out = held_out or HeldOut([])
        self._seen = Seen() if seen is None else seen
        self._languages = languages
        self._known = tuple(sorted({*LANGUAGES, *languages}))
        identify("", self._known)  # an unknown language is an error before any pair is read
        small = [small_words(language) for language in languages]
        self._small = (small[0] - small[1], small[1] - small[0])

    def __call__(self, source: str, target: str) -> tuple[str, str] | str:
        """The cleaned pair, or the reason (of ``REASONS``) why it is left out."""
        source, target = clean_text(source), clean_text(target)
        reason = self._refuse(source, target)
        if reason:
            self.counts[reason] += 1
            return reason
        self.kept += 1
        return source, target

    def report(self, name: str) -> str:
        """One line: "deb-ui: 243,449 pairs, kept 231,002; duplicates 8,000, language 3,000"."""
        left_out = ", ".join(f"{reason} {count:,}" for reason, count in self.counts.most_common())
        total = self.kept + sum(self.counts.values())
        return f"{name}: {total:,} pairs, kept {self.kept:,}" + (f"; {left_out}" if left_out else "")

    def _refuse(self, source: str, target: str) -> str:
        reason = _shape(source, target, self.rules) or _content(source, target)
        if reason:
            return reason
        words = fold_words(source), fold_words(target)
        if words[0] == words[1] and len(words[0]) >= self.rules.copy_words:
            return COPY
        if self._held_out.has(words[0]) or self._held_out.has(words[1]):
            return LEAK
        if self.rules.identify and not (self._speaks(source, words[0], 0) and self._speaks(target, words[1], 1)):
            return LANGUAGE
        return self._seen.refuse(" ".join(words[0]), " ".join(words[1]), self.rules.most_targets)

    def _speaks(self, text: str, words: Sequence[str], side: int) -> bool:
        """Whether a side may be in its language; what is too short to tell may."""
        if len(words) < 4:
            return True
        own, other = (len(small.intersection(words)) for small in (self._small[side], self._small[1 - side]))
        if own and not other:
            return True
        if other > 1 and not own:  # left untranslated, the commonest case by far
            return False
        if len(text) < _IDENTIFIED:
            return True
        found = identify(text, self._known)
        if found == self._languages[1 - side]:
            return False
        return found in ("", self._languages[side]) or len(text) < _THIRD_LANGUAGE


def _shape(source: str, target: str, rules: Rules) -> str:
    """Why a pair is refused for its lengths alone."""
    if not (_LETTER.search(source) and _LETTER.search(target)):
        return EMPTY
    shorter, longer = sorted((len(source), len(target)))
    if longer > rules.most_characters:
        return LONG
    if longer + rules.slack > rules.most_ratio * (shorter + rules.slack):
        return RATIO
    return ""


def _content(source: str, target: str) -> str:
    """Why a pair is refused for what no page shows: markup, placeholders, more code than words, foreign scripts."""
    for text in (source, target):
        if _MARKUP.search(text):
            return MARKUP
        if _PLACEHOLDER.search(text):
            return PLACEHOLDER
        code = sum(1 for _ in _CODE.finditer(text))
        if code and 3 * code > text.count(" ") + 1:
            return CODE
        if not text.isascii() and 3 * len(_OTHER_SCRIPT.findall(text)) > len(text):
            return LANGUAGE
    return ""


def check_languages(languages: Sequence[str], known: Sequence[str] = LANGUAGES) -> None:
    """Refuse a language that the vocabulary has no tag for.

    Raises:
        UserError: names the language and those that there are.
    """
    for language in languages:
        if language not in known:
            raise UserError(f"unknown language {language!r}; the languages are {', '.join(known)}")
