"""Terms in training text: source words that carry the translation that is wanted (Dinu et al. 2019, arXiv:1906.01105).

A model that saw ``Der < Bahnhof| station> ist zu.`` beside ``The station is closed.`` often enough learns to write
what an annotation asks for, so that at inference a glossary's wish is only a matter of writing it into the source. The
source words stay in front of the wanted ones ("append" in that paper), between marks of ``data/marks.py``.

A mark cuts the text in two; the space after it lets words be cut into the same pieces as elsewhere, so that what is
wanted has the pieces that the target has.

What is annotated in training comes out right by construction: only translations which the target itself has are asked
for, in the very form that they have there. Words that both sides share (names) are annotated with themselves, from
which the model learns that a word can be asked to stay as it is.
"""

import random
import re
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from .marks import TERM_CLOSE, TERM_IS, TERM_OPEN

MOST_WORDS = 3  # of a term, either side
MOST_TERMS = 3  # in a sentence: people ask for few
_LEAST_LETTERS = 4  # the longest word of a term has so many: nobody asks for "and" or "the"
# Nothing of an address, a path or a code ("www.bahn.de", "@bahn", "Bahn_2") is a word.
_WORD = re.compile(r"(?<![\w@#/.\\&%$~-])[^\W_]+(?:['’‑-][^\W_]+)*(?![\w@/\\]|[._:'’-]\w)")
_PHRASE = re.compile(rf"{_WORD.pattern}(?: {_WORD.pattern}){{0,{MOST_WORDS - 1}}}")
_ANNOTATION = re.compile(f"{TERM_OPEN}[^{TERM_CLOSE}]*{TERM_CLOSE}?")
_DIGIT = re.compile(r"\d")


class TermDictionary:
    """Translations of words and short phrases, looked up without regard to case.

    ``pairs`` are (source, target) entries, as dictionary corpora have them. Entries with a side of more than three
    words, with digits or with punctuation between words are passed over, as are those of short words alone ("und").
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        # One string of lines a source, not a tuple of strings: half the memory, with some 400,000 entries.
        self._translations: dict[str, str] = {}
        for source, target in pairs:
            self._add(source.strip().casefold(), target.strip().casefold())

    def _add(self, source: str, target: str) -> None:
        if not (_PHRASE.fullmatch(source) and _PHRASE.fullmatch(target)) or _DIGIT.search(source):
            return
        if max(map(len, source.split(" "))) < _LEAST_LETTERS:
            return
        known = self._translations.get(source)
        if known is None:
            self._translations[source] = target
        elif target not in known.split("\n"):
            self._translations[source] = f"{known}\n{target}"

    def __len__(self) -> int:
        return len(self._translations)

    def translations(self, phrase: str) -> tuple[str, ...]:
        """The case-folded translations of ``phrase``, in the order of the entries; none for what it does not have."""
        known = self._translations.get(phrase.casefold())
        return tuple(known.split("\n")) if known else ()


def annotate(source: str, target: str, dictionary: TermDictionary, rng: random.Random | np.random.Generator) -> str:
    """``source`` with one to three terms annotated, each with words that stand in ``target``, in their form there.

    Longest terms first, without overlaps on either side; a term is a run of one to three words with nothing but a
    space between, outside whatever ``source`` has between the marks of a term already. Which of them are taken is
    drawn from ``rng``, long ones more often, as rare words tend to be. Without any, ``source`` itself is the answer.

    It takes about 0.2 ms for a sentence of 20 words on one core.
    """
    found = matching_terms(source, target, dictionary)
    if not found:
        return source
    # Weighted sampling without replacement (Efraimidis and Spirakis 2006), the weight being the square of the length.
    found.sort(key=lambda term: rng.random() ** (term[1] - term[0]) ** -2, reverse=True)
    chosen = sorted(found[: 1 + int(rng.random() * MOST_TERMS)])
    return annotated(source, chosen)


def insertions(text: str, terms: Iterable[tuple[int, int, str]]) -> list[tuple[int, str]]:
    """What annotating ``terms``, (start, end, wanted) from left to right, writes into ``text``.

    Returns:
        (place in ``text``, what comes before the character at that place), from left to right.
    """
    inserted = []
    for start, end, wanted in terms:
        inserted += [(start, f"{TERM_OPEN} "), (end, f"{TERM_IS} {wanted}{TERM_CLOSE}")]
    return inserted


def annotated(text: str, terms: Iterable[tuple[int, int, str]]) -> str:
    """``text`` with ``terms``, (start, end, wanted) from left to right, between marks."""
    pieces, done = [], 0
    for place, more in insertions(text, terms):
        pieces += [text[done:place], more]
        done = place
    return "".join(pieces) + text[done:]


def matching_terms(
    source: str, target: str, dictionary: TermDictionary, names: bool = True
) -> list[tuple[int, int, str]]:
    """Every term of ``source`` whose translation ``target`` has: (start, end) in ``source``, and what ``target`` says.

    Long ones first; without ``names`` only those of the dictionary.
    """
    there = _runs(target)
    taken = [match.span() for match in _ANNOTATION.finditer(source)]
    wanted_taken: list[tuple[int, int]] = []
    found = []
    for phrase, spans in _runs(source).items():
        if max(map(len, phrase.split(" "))) < _LEAST_LETTERS or _DIGIT.search(phrase):
            continue
        for start, end in spans:
            if not _free(start, end, taken):
                continue
            words = source[start:end] if names else None
            wanted = _wanted(words, phrase, target, there, dictionary, wanted_taken)
            if wanted is not None:
                taken.append((start, end))
                wanted_taken.append(wanted)
                found.append((start, end, target[slice(*wanted)]))
    return found


def _wanted(
    words: str | None,
    phrase: str,
    target: str,
    there: dict[str, list[tuple[int, int]]],
    dictionary: TermDictionary,
    taken: list[tuple[int, int]],
) -> tuple[int, int] | None:
    """Where ``target`` has ``words`` themselves, or else a translation of ``phrase``, case-folded."""
    for start, end in there.get(phrase, ()):
        if target[start:end] == words and _free(start, end, taken):
            return start, end
    for translation in dictionary.translations(phrase):
        for start, end in there.get(translation, ()):
            if _free(start, end, taken):
                return start, end
    return None


def _runs(text: str) -> dict[str, list[tuple[int, int]]]:
    """Where every case-folded run of up to three words stands in ``text``; long runs first."""
    words = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    folded = [text[start:end].casefold() for start, end in words]
    joined = [text[left[1] : right[0]] == " " for left, right in pairwise(words)]
    runs: dict[str, list[tuple[int, int]]] = {}
    for length in range(MOST_WORDS, 0, -1):
        for first in range(len(words) - length + 1):
            last = first + length - 1
            if all(joined[first:last]):
                runs.setdefault(" ".join(folded[first : last + 1]), []).append((words[first][0], words[last][1]))
    return runs


def _free(start: int, end: int, taken: list[tuple[int, int]]) -> bool:
    return all(end <= first or last <= start for first, last in taken)
