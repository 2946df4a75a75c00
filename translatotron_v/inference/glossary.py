"""A user's glossary: which words are to be translated how, written into the source where they stand.

Text mode is trained on such sources (`data.terms`); here they are made from a file. Terms are matched as they stand in
the file, but for their case: endings are not guessed, since a wrong number ("Tickets" by the entry for "Ticket") would
be asked for as firmly as a right one. Whoever needs a plural or a genitive gives it a line of its own.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from translatotron_v.data.marks import TERM_CLOSE, TERM_IS, TERM_OPEN, strip_marks
from translatotron_v.data.terms import annotated, insertions
from translatotron_v.errors import UserError

_HEADER = ("source", "target")
_DELIMITERS = ("\t", ";", ",")
# Words with what is joined to them ("Ein-/", "d'eau", "Karl-Marx-Allee"), or single signs, so that "z. B." is four.
_TOKEN = re.compile(r"[^\W_]+(?:['’‑_-][^\W_]+)*|[^\w\s]|_")
# Addresses are for `data.literals`: nothing in them is a word to translate.
_ADDRESS = re.compile(r"\S*(?:://|www\.|@)\S*|[\w-]+(?:\.[\w-]+)*\.[a-z]\w+")
_ASKED = re.compile(f"{TERM_OPEN}([^{TERM_IS}{TERM_CLOSE}]*){TERM_IS}([^{TERM_CLOSE}]*){TERM_CLOSE}")


@dataclass(frozen=True)
class Term:
    """What was asked of one place in a text, and whether the answer has it."""

    source: str  # as it stands in the text
    target: str  # what was wanted for it
    used: bool


class Glossary:
    """Terms and the translations that are wanted for them; an empty translation means: leave the word as it is.

    Args:
        entries: (source, target). Marks (`data.marks`) and outer spaces are taken off.

    Raises:
        UserError: an entry without a source, a source with two targets, or no entries.
    """

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        self._targets: dict[str, str] = {}
        self._longest = 0  # tokens of a term
        for source, target in entries:
            source, target = (" ".join(strip_marks(text).split()) for text in (source, target))
            tokens = [token for token, _, _ in _tokens(source)]
            if not tokens:
                raise UserError("glossary: an entry without a source")
            known = self._targets.setdefault(" ".join(tokens), target)
            if known != target:
                raise UserError(f"glossary: {source!r} stands twice, as {known!r} and as {target!r}; keep one")
            self._longest = max(self._longest, len(tokens))
        if not self._targets:
            raise UserError("glossary: no terms")

    @classmethod
    def from_file(cls, path: str | Path) -> "Glossary":
        """Read two columns, source and target, with tabs, commas or semicolons between them (see `read_entries`).

        Raises:
            UserError: what `read_entries` raises, or a term with two targets; the message names file and line.
        """
        seen: dict[str, tuple[int, str]] = {}
        entries = read_entries(path)
        for line, source, target in entries:
            key = " ".join(token for token, _, _ in _tokens(source))
            first, known = seen.setdefault(key, (line, target))
            if known != target:
                raise UserError(
                    f"{path}:{line}: {source!r} stands in line {first} already, as {known!r} instead of {target!r}; "
                    "keep one of them"
                )
        return cls((source, target) for _, source, target in entries)

    def __len__(self) -> int:
        return len(self._targets)

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """Where terms stand in a text, and what is wanted for them: (start, end, wanted), from left to right.

        At each place the longest term counts. Whole words only, whatever their case; none in what is annotated
        already, nor in addresses. Where a word is to stay, what is wanted is the word as it stands.
        """
        closed = [match.span() for pattern in (_ASKED, _ADDRESS) for match in pattern.finditer(text)]
        tokens = [
            token for token in _tokens(text) if all(token[2] <= start or end <= token[1] for start, end in closed)
        ]
        found, place = [], 0
        while place < len(tokens):
            for count in range(min(self._longest, len(tokens) - place), 0, -1):
                run = tokens[place : place + count]
                wanted = self._targets.get(" ".join(token for token, _, _ in run))
                start, end = run[0][1], run[-1][2]
                crosses = "\n" in text[start:end] or any(start <= first < end for first, _ in closed)
                if wanted is not None and not crosses:
                    found.append((start, end, wanted or text[start:end]))
                    break
            else:
                count = 1
            place += count
        return found

    def insertions(self, text: str) -> list[tuple[int, str]]:
        """What `annotate` writes into the text, as (place in the text, what comes before that place), in order."""
        return insertions(text, self.find(text))

    def annotate(self, text: str) -> str:
        """The text with the translation that is wanted behind each term, between marks (`data.marks`)."""
        return annotated(text, self.find(text))


def asked_terms(source: str, answer: str) -> list[Term]:
    """Each annotation of a source text, and whether the answer has its translation: whole words, whatever their case.

    A translation that is wanted twice has to stand there twice.
    """
    terms, counts = [], dict[str, int]()
    for words, wanted in _ASKED.findall(source):
        folded = " ".join(wanted.split()).casefold()
        counts[folded] = counts.get(folded, 0) + 1
        terms.append(Term(words.strip(), wanted.strip(), occurrences(folded, answer) >= counts[folded]))
    return terms


def occurrences(words: str, text: str) -> int:
    """How often words stand in a text, with no letter or digit right before or after them, whatever their case."""
    pattern = r"\s+".join(map(re.escape, words.casefold().split()))
    return len(re.findall(rf"(?<!\w){pattern}(?!\w)", text.casefold()))


def read_entries(path: str | Path, what: str = "glossary") -> list[tuple[int, str, str]]:
    """The lines of a glossary, or of what else has two columns: (number, source, target).

    The first line tells what stands between the columns: a tab, or else a semicolon, or else a comma; with the latter
    two, columns may stand in double quotes. A first line of "source" and "target" is a header. Empty lines are passed
    over.

    Raises:
        UserError: no such file, not UTF-8, a line without exactly two columns or without a source, or no terms.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save the {what} as text in UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    lines = text.replace("\r\n", "\n").split("\n")
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((sign for sign in _DELIMITERS if sign in first), "\t")
    entries: list[tuple[int, str, str]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            entries.append((number, *_columns(f"{path}:{number}", _cells(line, delimiter))))
    if entries and tuple(cell.casefold() for cell in entries[0][1:]) == _HEADER:
        del entries[0]
    if not entries:
        raise UserError(f"{path}: no terms; a {what} has lines of two columns, source and target")
    return entries


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == "\t":
        return line.split("\t")
    return next(csv.reader([line], delimiter=delimiter))


def _columns(where: str, row: Sequence[str]) -> tuple[str, str]:
    if len(row) != 2:
        count = "one column" if len(row) == 1 else f"{len(row)} columns"
        raise UserError(
            f"{where}: {count}, where source and target are wanted; leave the target empty for a word that is to stay"
        )
    source, target = (" ".join(strip_marks(cell).split()) for cell in row)
    if not source:
        raise UserError(f"{where}: no source before the target {target!r}")
    return source, target


def _tokens(text: str) -> list[tuple[str, int, int]]:
    """Case-folded words and signs of a text, and where they stand."""
    return [(match.group().casefold(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
