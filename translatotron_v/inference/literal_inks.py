"""The ink of literals: where on a strip each was read, and what stands there at the block's own size."""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from translatotron_v.config import ModelConfig
from translatotron_v.data.casing import align
from translatotron_v.data.sentences import join_lines
from translatotron_v.inference.text_units import Insertions, Prepared, prepare
from translatotron_v.page.compose import Word
from translatotron_v.page.strips import EM, LINE, BlockInk, Run, Strip, cut_between

if TYPE_CHECKING:
    from translatotron_v.inference.paragraphs import Paragraph, Piece

_CLOSE = 1.5 * EM  # columns between two runs of a literal that are taken up together with what is between them
_EDGE = 1.0  # columns beyond the ink of a run that may hold the faint edge of its letters


def place_of(frame: int, config: ModelConfig) -> tuple[int, float]:
    """Where on a strip a CTC frame lies: which of its lines, and which column."""
    rows, width = config.image_encoder.patch
    state, part = divmod(frame, config.ctc_frames)
    row, column = divmod(state, config.canvas.width // width)
    return row * rows // LINE, (column + (part + 0.5) / config.ctc_frames) * width


def lines_of(runs: Sequence[Run], texts: Sequence[str]) -> list[str]:
    """What was read on the runs of a block, line by line."""
    lines: dict[int, list[str]] = {}
    for run, text in zip(runs, texts, strict=True):
        lines.setdefault(run.line, []).extend(text.split())
    return [" ".join(words) for words in lines.values()]


def kept_words(runs: Sequence[Run], ink: BlockInk | None) -> list[Word]:
    """Runs as they stand, at the block's own size where that is known."""
    return [run.ink if ink is None else _taken(ink, run.line, run.left, run.left + run.width) for run in runs]


def _taken(ink: BlockInk, line: int, left: float, right: float) -> Word:
    return ink.word(line, max(left - _EDGE, 0.0), min(right + _EDGE, float(ink.lines[line].shape[1])))


class LiteralInks:
    """Prepares the readings of a batch of strips and finds the ink of the literals in them.

    Args:
        part: the strips' paragraphs and pieces.
        config: of the model that reads.
        language: of what is read.
        insertions: what to write into readings, such as the terms of a glossary.

    Attributes:
        readings: what was read on each strip, its lines joined.
        inks: for each strip, the words of each literal whose ink is known, by its placeholder's number.
    """

    def __init__(
        self,
        part: "Sequence[tuple[Paragraph, Piece]]",
        config: ModelConfig,
        language: str,
        insertions: Insertions | None = None,
    ) -> None:
        self.part, self.config, self.language, self.insertions = part, config, language, insertions
        self.readings = [""] * len(part)
        self.inks: list[dict[int, list[Word]]] = [{} for _ in part]

    def inked(self, number: int) -> Collection[int]:
        """The placeholders of a strip whose literals need not be drawn."""
        return self.inks[number]

    def prepare(self, number: int, text: str, frames: Sequence[int]) -> Prepared:
        """What becomes of the reading of a strip: its lines joined, folded and masked."""
        paragraph, piece = self.part[number]
        assert piece.strip is not None
        places = [place_of(frame, self.config) for frame in frames]
        words = [found.span() for found in re.finditer(r"\S+", text)]
        owners = _owners(words, places, piece.strip)
        texts = [""] * len(piece.runs)
        for (start, end), run in zip(words, owners, strict=True):
            if run is not None:
                texts[run] = f"{texts[run]} {text[start:end]}".strip()
        joined, spans = text, [(place, place + 1) for place in range(len(text))]
        if None not in owners and owners == sorted(run for run in owners if run is not None):
            joined = join_lines(lines_of(piece.runs, texts), self.language).replace("\n", " ")
            spans = align(text, joined)
        self.readings[number] = joined
        prepared = prepare(joined, self.language, insertions=self.insertions)
        traced = tuple(_traced(spans, *span) for span in prepared.spans)
        if paragraph.ink is not None:
            for literal in range(len(prepared.literals)):
                one = prepared.literals[literal]
                first, last = spans[one.start][0], spans[one.end - 1][1]
                found = self._ink(paragraph.ink, piece, text, words, owners, places, (first, last))
                if found:
                    self.inks[number][literal] = found
        return Prepared(prepared.source, prepared.text, traced, prepared.literals, prepared.case)

    @staticmethod
    def _ink(
        ink: BlockInk,
        piece: "Piece",
        text: str,
        words: Sequence[tuple[int, int]],
        owners: Sequence[int | None],
        places: Sequence[tuple[int, float]],
        span: tuple[int, int],
    ) -> list[Word]:
        """What stands where the characters [first, last) of a reading were read; nothing where that is not known."""
        assert piece.strip is not None
        stretches: list[tuple[int, float, float]] = []  # line, and columns in it
        for number in sorted({run for (start, end), run in zip(words, owners, strict=True)
                              if run is not None and start < span[1] and end > span[0]}):  # fmt: skip
            run = piece.runs[number]
            placed = [place for place in piece.strip.placed if place.run == number]
            if len(placed) != 1:
                return []  # a run that had to be cut to fit
            held = [place for (start, end), owner in zip(words, owners, strict=True) if owner == number
                    for place in range(start, end)]  # fmt: skip
            inside = [place for place in held if span[0] <= place < span[1]]
            columns = [places[place][1] - placed[0].left for place in held]
            left, right = 0.0, float(run.width)
            before, after = held.index(inside[0]), held.index(inside[-1]) + 1
            if before:
                left = cut_between(run.ink, columns[before - 1], columns[before], before, len(held))
            if after < len(held):
                right = cut_between(run.ink, columns[after - 1], columns[after], after, len(held))
            if left >= right:
                return []
            start, end = (
                run.left + left - (0 if before else _EDGE),
                run.left + right + (0 if after < len(held) else _EDGE),
            )
            if stretches and stretches[-1][0] == run.line and start - stretches[-1][2] < _CLOSE:
                stretches[-1] = (run.line, stretches[-1][1], end)
            else:
                stretches.append((run.line, start, end))
        return [
            ink.word(line, max(start, 0.0), min(end, float(ink.lines[line].shape[1]))) for line, start, end in stretches
        ]


def _traced(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """Where the characters [start, end) of a text lie in the one that its own characters stand for."""
    if start < end:
        return spans[start][0], spans[end - 1][1]
    place = spans[start - 1][1] if start else 0
    return place, place


def _owners(words: Sequence[tuple[int, int]], places: Sequence[tuple[int, float]], strip: Strip) -> list[int | None]:
    """The run on which each word was read.

    Where a line of the strip holds as many runs as words were read on it they go in order; otherwise to the run that
    stands where the middle of the word was read.
    """
    middles = [places[(start + end - 1) // 2] for start, end in words]
    owners: list[int | None] = []
    for row, column in middles:
        runs = [place.run for place in strip.placed if place.row == row]
        there = [number for number, middle in enumerate(middles) if middle[0] == row]
        if len(runs) == len(there):
            owners.append(runs[len(owners) - there[0]])
        else:
            owners.append(strip.run_at(row, column))
    return owners
