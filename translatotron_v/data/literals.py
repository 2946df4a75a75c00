"""Literals: numbers, prices, dates, times, addresses and codes, which a translation holds as its source does.

Text mode never spells them. Each is replaced by one private character (``data.marks.LITERALS``), which the model moves
to its place as it moves a word, and is put back afterwards, so a literal can be misplaced but not miswritten.

What belongs to one: sign, grouping, currency and the symbols of units that all our languages share (km, °C, %, €).
What does not: words (Euro, Uhr, Personen, Mai), the full stop of an ordinal ("3. Mai" holds the literal "3"), and the
ending of an English or French one ("3rd", "2e"), since another number, or another place, asks for another ending.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from translatotron_v.data.marks import LITERALS, TERM_CLOSE, TERM_OPEN

# Shares of training pairs. All placeholders are learnt, though few sentences have more than three literals, and numbers
# that stand in the text as digits stay readable: they decide grammar ("1 Person", "2 Personen") and come in words.
SHIFTED = 0.3  # of the pairs begin at a random placeholder instead of the first
READABLE = 0.1  # of the pairs keep all their literals as text
KEPT = 0.05  # of the literals of the other pairs stay text


class Literal(NamedTuple):
    """What no language changes: ``text[start:end]``, and what kind of thing it is (a group's name below)."""

    start: int
    end: int
    kind: str
    text: str


_SPACE = "[ \u00a0\u202f\u2009]"
_SIGN = r"(?:[+\-−±](?=[\d.,]))?"
_NUMBER = (
    rf"(?:\d{{1,3}}(?:(?:[.'’]|{_SPACE})\d{{3}}(?!\d))+(?:,\d+)?"
    r"|\d{1,3}(?:,\d{3}(?!\d))+(?:\.\d+)?|\d+(?:[.,]\d+)?)"
)
_DASH = rf"{_SPACE}?[-–—]{_SPACE}?"
_PLAIN_DASH = "[-–—]"
_HOUR = r"(?:[01]?\d|2[0-4])"
_TIME = rf"{_HOUR}(?::[0-5]\d(?::[0-5]\d)?|\.[0-5]\d)(?![\d:]|[.,]\d)"
_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:(?:19|20)\d\d|\d\d)(?!\d)"
# "24.12." ends with its own full stop only where the sentence clearly goes on
_ON = rf"(?={_SPACE}*(?:{_PLAIN_DASH}|[),;:/])|{_SPACE}+(?:[a-zäöü(\d]))"
_DATE = (
    rf"(?:{_DAY}\.{_SPACE}?{_MONTH}\.{_SPACE}?{_YEAR}|{_DAY}\.{_MONTH}\.{_ON}|(?:19|20)\d\d-{_MONTH}-{_DAY}(?!\d)"
    rf"|{_DAY}/{_MONTH}/{_YEAR}|{_MONTH}/{_DAY}/{_YEAR}|{_DAY}-{_MONTH}-(?:19|20)\d\d(?!\d))"
)
_CURRENCY = r"(?:€|[$£¥]|EUR\b|CHF\b|USD\b|GBP\b|CZK\b|RON\b|Kč\b|ct\b|Ct\b|¢)"
_BEFORE = r"(?:€|(?:US|CA|AU)?[$]|[£¥]|EUR\b|CHF\b|USD\b|GBP\b)"
# Units that are written the same in German, English, French, Czech and Romanian, in capitals, too (signs in ALL CAPS).
# Left out are those that are also a short word after a number in one of them: A, K, B, J, s, in, cal, pt.
_UNITS = re.findall(
    r"\S+",
    r"km/h m/s km²? k?m³ cm[²³]? mm[²³]? dm[²³]? µm nm m[²³]? kg mg µg g hl ml cl dl l L °C °F kHz MHz GHz THz Hz "
    r"kV mV V kWh? MWh? GWh? Wh W mAh? Ah kcal kJ MJ hPa kPa MPa Pa bar dB kB KB MB GB TB [kMG]bit/s [KMGT]iB ha h min "
    r"ms µs ns px dpi fps KM/H KM KG CM MM ML MIN M² M t",
)
_UNIT = rf"(?:°(?![CF])|(?:{'|'.join(sorted(_UNITS, key=len, reverse=True))})(?![\w²³]))"
_PER = rf"(?:/{_SPACE}?(?:\d+{_SPACE}?)?{_UNIT})?"
_TAIL = r"(?:,[-–—]+)?"  # "12,-"
_RANGE = rf"(?:{_PLAIN_DASH}{_NUMBER})?"
# Endings of a number that are no part of it: "3rd", "2e", "20er", "1st", "5ten"
_ENDING = r"(?:st|nd|rd|th|er|ers|ern|e|re|ème|eme|s|te|ten|ter|jährige?[nrs]?|fach|mal)\b"
_FILE = (
    "txt|pdf|docx?|xlsx?|pptx?|odt|csv|json|ya?ml|xml|html?|php|py|js|css|sh|conf|cfg|ini|zip|tar|gz|png|jpe?g|gif|svg"
    "|mp[34]|exe|deb|iso|log"
)
_DOMAIN = "de|com|org|net|eu|at|ch|info|io|fr|cz|ro|uk|gov|edu|app|dev|shop|berlin|wien|museum|online"
_ENDS_URL = r"[^\s<>\"„“”»«]*[^\s<>\"„“”»«.,;:!?)\]'’…]"

# The first that fits at a place is taken, so the longer and the surer stand before the shorter.
_DIGITS_FIRST = {
    "email": r"[\w+-][\w.+-]*@[\w-]+(?:\.[\w-]+)+",
    "phone": (
        r"(?:\+|00)\d{1,3}(?:(?: ?[/\-–.] ?| )?\(?\d+\)?){2,6}(?!\d)"
        r"|\(0\d{1,5}\)[ /\-–]?\d[\d \-–/]{2,14}\d(?!\d)"
        r"|0\d{2,5}(?: ?[/\-–] ?| )\d(?:[ \-–/]?\d){3,11}(?!\d)"
        r"|0[1-9](?:[ .]\d\d){4}(?!\d)"
    ),
    "date": rf"(?:{_DAY}\.(?:{_MONTH}\.)?{_DASH})?{_DATE}(?:{_DASH}{_DATE})?",
    "time": rf"{_TIME}{_DASH}{_TIME}|{_HOUR}:[0-5]\d(?::[0-5]\d)?(?![\d:]|[.,]\d)",
    "version": r"\d+(?:\.\d+){2,}\w*(?![.,]\d)|\d+/\d+(?:/\d+)*(?!\w)",
    "size": rf"{_NUMBER}(?:{_SPACE}?[xX×]{_SPACE}?{_NUMBER}){{1,2}}(?:{_SPACE}?{_UNIT})?(?!\w)",
    "price": rf"{_SIGN}{_NUMBER}{_RANGE}{_TAIL}{_SPACE}?{_CURRENCY}{_PER}|{_SIGN}{_NUMBER},[-–—]+(?!\d)",
    "percent": rf"{_SIGN}{_NUMBER}{_RANGE}{_SPACE}?[%‰](?!\w)",
    "measure": rf"{_SIGN}(?:{_NUMBER}{_RANGE}|\d*[½¼¾⅓⅔]|\d+/\d+){_SPACE}?{_UNIT}",
    "clock": rf"{_TIME}",
    "code": r"\d+-\d+-[\d-]*\d(?!\w)|\d{1,3}:\d{1,3}(?![\w:])",
    "number": (
        rf"{_SIGN}(?:\d*[½¼¾⅓⅔]|\d+{_SPACE}\d/\d+|{_NUMBER}(?:{_PLAIN_DASH}{_NUMBER}(?![\d.,]*\w))?)(?=(?!\w)|{_ENDING})"
    ),
    "mixed": r"\d\w*(?:[-/.]\w*\d\w*)*",
}
_LETTERS_FIRST = {
    "isbn": rf"ISBN(?:-1[03])?:?{_SPACE}?[\d][\d -]{{8,15}}[\dX](?!\w)",
    "iban": rf"[A-Z]{{2}}\d{{2}}(?:{_SPACE}?[A-Z]{{4}})?(?:{_SPACE}?\d{{4}}){{2,6}}(?:{_SPACE}?\d{{1,3}})?(?!\w)",
    "url": rf"(?:(?:https?|ftp)://|www\.){_ENDS_URL}",
    "address": r"[\w+-][\w.+-]*@[\w-]+(?:\.[\w-]+)+",
    "domain": rf"[\w-]+(?:\.[\w-]+)*\.(?:{_DOMAIN})(?![\w-]|\.\w)(?:/(?:{_ENDS_URL})?)?",
    "file": rf"[\w-]+(?:[./][\w-]+)*\.(?:{_FILE})(?![\w-])",
    "token": r"[A-Z]{1,6}(?:-\d[\dA-Z]*)+(?:[-/.][A-Z]*\d[\dA-Z]*)*(?!\w)|[^\W\d]+\d\w*(?:[-/.]\w*\d\w*)*",
}
_OTHERS_FIRST = {
    "hashtag": r"#\w[\w-]*",
    "name": r"@\w(?:[\w.]*\w)?",
    "prefixed": rf"{_BEFORE}{_SPACE}?{_SIGN}{_NUMBER}{_TAIL}(?!\w)",
    "format": r"%(?:\d+\$)?(?:\.\d+)?l{0,2}[sdifuxc](?!\w)|[$]?\{\w*\}",
}
_KINDS = {"address": "email", "clock": "time", "domain": "url", "prefixed": "price", "token": "code", "mixed": "code"}


def _either(kinds: dict[str, str]) -> str:
    return "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in kinds.items())


# Words without a digit, a full stop or an @ inside are most of a text: they are passed over after one look.
_LITERAL = re.compile(
    rf"(?<![\w])(?:(?=[\d½¼¾⅓⅔+\-−±(])(?:{_either(_DIGITS_FIRST)})"
    rf"|(?=[^\W\d])(?=[\w+-]*[\d.@:/]|ISBN)(?:{_either(_LETTERS_FIRST)})"
    rf"|(?=[#@%{{$€£¥EUCGA])(?:{_either(_OTHERS_FIRST)}))"
)
_HINT = re.compile(r"[\d@#½¼¾⅓⅔{]|://|\w\.\w|%[a-z]")
_TERM = re.compile(f"{TERM_OPEN}[^{TERM_CLOSE}]*{TERM_CLOSE}")
_MARK = re.compile(f"[{LITERALS[0]}-{LITERALS[-1]}]")
_ORDINAL = re.compile(f"([{LITERALS[0]}-{LITERALS[-1]}])(st|nd|rd|th)\\b", re.IGNORECASE)


def find_literals(text: str) -> list[Literal]:
    """Literals of a text, left to right, none over another."""
    if not _HINT.search(text):
        return []
    return [
        Literal(found.start(), found.end(), _KINDS.get(kind, kind), found.group())
        for found in _LITERAL.finditer(text)
        if (kind := found.lastgroup)
    ]


def localize(literal: Literal, source: str, target: str) -> str:
    """A literal as texts of the target language write it: decimal signs and groups of digits, and points in times.

    Only between English and the others, which agree among themselves; currencies stay where they stand, and dates,
    whose order would be a guess, stay as they are.
    """
    if (source == "en") == (target == "en"):
        return literal.text
    if literal.kind == "time":
        return re.sub(r"(?<=\d)[.](?=\d)", ":", literal.text) if target == "en" else literal.text
    if literal.kind not in _NUMERIC:
        return literal.text
    return _DIGITS.sub(lambda found: _rewritten(found.group(), target == "en"), literal.text)


_NUMERIC = ("number", "price", "percent", "measure", "size")
_DIGITS = re.compile(_NUMBER)
_OURS = re.compile(rf"(\d{{1,3}}(?:(?:[.'’]|{_SPACE})\d{{3}})+|\d+)(?:,(\d+))?")  # decimal comma
_ENGLISH = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?")


def _rewritten(number: str, english: bool) -> str:
    """A number as English texts write it, or as the others do; one that is written so already stays."""
    found = (_OURS if english else _ENGLISH).fullmatch(number)
    if found is None:
        return number
    whole = re.sub(r"\D", "," if english else ".", found[1])
    return whole + (f"{'.' if english else ','}{found[2]}" if found[2] else "")


def mask(text: str, foreign: str = "") -> tuple[str, list[Literal]]:
    """The text with placeholders 0, 1, 2, .. for its literals, and the literals in that order.

    ``foreign`` are characters that nobody here can write (a smiley, another script): runs of them are literals, too,
    and so are not lost. The first 16 are masked, as many as there are placeholders; the others stay as they are, and so
    do those within an annotated term (``data.marks.TERM_OPEN``), whose words are the user's.
    """
    found = find_literals(text)
    if foreign and (strange := re.compile(f"[{re.escape(foreign)}]+(?: +[{re.escape(foreign)}]+)*")).search(text):
        others = (Literal(one.start(), one.end(), "foreign", one.group()) for one in strange.finditer(text))
        apart = (one for one in others if all(one.end <= it.start or it.end <= one.start for it in found))
        found = sorted([*found, *apart])
    if found and TERM_OPEN in text:
        terms = [term.span() for term in _TERM.finditer(text)]
        found = [one for one in found if all(one.end <= start or end <= one.start for start, end in terms)]
    found = found[: len(LITERALS)]
    return _replaced(text, [(one, mark) for one, mark in zip(found, LITERALS, strict=False)]), found


def restore(text: str, literals: Sequence[Literal]) -> str:
    """The text with every placeholder replaced by its literal; one that stands for none is dropped."""
    if not _MARK.search(text):
        return text

    def literal(found: re.Match[str]) -> str:
        index = LITERALS.index(found[0])
        return literals[index].text if index < len(literals) else ""

    return _MARK.sub(literal, right_ordinals(text, literals))


def right_ordinals(text: str, literals: Sequence[Literal]) -> str:
    """The text with placeholders, whose English ordinals have the ending of their number.

    The model saw a placeholder and no number, so "3th" is not its fault. No character moves.
    """

    def ending(found: re.Match[str]) -> str:
        index = LITERALS.index(found[1])
        whole = index < len(literals) and literals[index].text.isdecimal()
        right = _ordinal_ending(int(literals[index].text)) if whole else found[2]
        return found[1] + (right.upper() if found[2].isupper() else right)

    return _ORDINAL.sub(ending, text)


def complete(text: str, count: int) -> bool:
    """Whether placeholders 0 to ``count`` - 1 stand in the text exactly once each, and no others."""
    return sorted(_MARK.findall(text)) == list(LITERALS[:count])


def repair(text: str, count: int) -> str:
    """The text with placeholders 0 to ``count`` - 1 exactly once each: surplus ones dropped, missing ones at the end.

    The missing are put before the full stop that ends the text, if one does.
    """
    wanted = set(LITERALS[:count])

    def once(found: re.Match[str]) -> str:
        if found[0] not in wanted:
            return ""
        wanted.remove(found[0])
        return found[0]

    kept = _MARK.sub(once, text)
    if kept != text:
        kept = re.sub(r" (?=[.,;:!?)])", "", " ".join(kept.split()))
    missing = [mark for mark in LITERALS[:count] if mark in wanted]
    if not missing:
        return kept
    body = kept.rstrip(".!?…")
    return " ".join([*filter(None, [body.rstrip()]), *missing]) + kept[len(body) :]


def match(source: str, target: str, rng: np.random.Generator | None = None) -> tuple[str, str]:
    """A training pair with the literals that stand on both sides replaced by the same placeholders.

    Two are the same where their strings are, apart from spaces, case and kinds of dash ("50 %", "50%"), the place of a
    currency sign ("5 €", "€5"), decimal comma against point ("1.500,50", "1,500.50") and the points in a time ("8.15",
    "8:15"), date or result; at inference the source's own string is put back. Repeated ones go in order, one to one.
    Literals without a partner stay text.

    Args:
        source: text of the source side.
        target: its translation.
        rng: with one, some pairs begin at a random placeholder, and some literals stay text (shares at the head of this
            module); without, everything that matches is masked, from placeholder 0 on.
    """
    if not (_HINT.search(source) and _HINT.search(target)):
        return source, target
    theirs: dict[str, list[Literal]] = {}
    for literal in find_literals(target):
        theirs.setdefault(_key(literal), []).append(literal)
    pairs = []
    for literal in find_literals(source):
        key = _key(literal)
        same = theirs.get(key) or theirs.get(key.translate(_SWAPPED))
        if same:
            pairs.append((literal, same.pop(0)))
    start = 0
    if rng is not None and pairs:
        readable, shifted, offset = rng.random(3)
        if readable < READABLE:
            return source, target
        pairs = [pair for pair, kept in zip(pairs, rng.random(len(pairs)), strict=True) if kept >= KEPT]
        if shifted < SHIFTED:
            start = int(offset * max(len(LITERALS) - len(pairs) + 1, 1))
    ours = [(one, mark) for (one, _), mark in zip(pairs, LITERALS[start:], strict=False)]
    others = [(other, mark) for (_, other), mark in zip(pairs, LITERALS[start:], strict=False)]
    return _replaced(source, ours), _replaced(target, sorted(others))


def place(literals: Sequence[Literal], target: str) -> str:
    """A target text with the placeholders of its masked source: ``literals`` are those that ``mask`` found there.

    For training on readings, of which all literals are masked; which are the same is as of ``match``, and literals of
    the target without a partner stay text.
    """
    theirs: dict[str, list[Literal]] = {}
    for literal in find_literals(target):
        theirs.setdefault(_key(literal), []).append(literal)
    pairs = []
    for literal, mark in zip(literals, LITERALS, strict=False):
        key = _key(literal)
        if same := theirs.get(key) or theirs.get(key.translate(_SWAPPED)):
            pairs.append((same.pop(0), mark))
    return _replaced(target, sorted(pairs))


_SWAPPED = str.maketrans(".,", ",.")
_ALIKE = str.maketrans({**dict.fromkeys(" \u00a0\u202f\u2009"), **dict.fromkeys("–—−", "-"), "×": "x", "º": "°"})
_POINTS = {"time": str.maketrans(".", ":"), "date": str.maketrans("/-", ".."), "code": str.maketrans(":", "-")}


def _key(literal: Literal) -> str:
    """What two literals that are the same have in common."""
    text = literal.text.translate(_ALIKE).casefold().translate(_POINTS.get(literal.kind, {}))
    return text[1:] + text[0] if text[0] in "€$£¥" else text


def _replaced(text: str, marks: Sequence[tuple[Literal, str]]) -> str:
    """The text with marks instead of literals, which come in the order of the text."""
    parts, end = [], 0
    for literal, mark in marks:
        parts += [text[end : literal.start], mark]
        end = literal.end
    return "".join([*parts, text[end:]])


def _ordinal_ending(number: int) -> str:
    """st, nd, rd or th."""
    return "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
