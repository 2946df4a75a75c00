"""The ink of literals: where on a strip each was read, and what stands there at the block's own size."""

import re
from collections.abc import Collection, Sequence
from itertools import groupby

from translatotron_v.config import ModelConfig
from translatotron_v.data.casing import align
from translatotron_v.data.sentences import join_lines
from translatotron_v.decoding.text_mode import Insertions, Prepared, prepare
from translatotron_v.inference.pieces import Paragraph, Piece
from translatotron_v.page.shaping import Word
from translatotron_v.page.strips import EM, LINE, BlockAlpha, Run, Strip, cut_between, nearest_run

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


def kept_words(runs: Sequence[Run], ink: BlockAlpha | None) -> list[Word]:
    """Runs as they stand, at the block's own size where that is known."""
    if ink is None:
        return [run.text_alpha for run in runs]
    return [_taken(ink, run.line, run.left - _EDGE, run.left + run.width + _EDGE) for run in runs]


def _taken(ink: BlockAlpha, line: int, left: float, right: float) -> Word:
    return ink.word(line, max(left, 0.0), min(right, float(ink.lines[line].shape[1])))


class LiteralInks:
    """Prepares the readings of a batch of strips and finds the ink of the literals in them.

    Args:
        part: the strips' paragraphs and pieces.
        config: of the model that reads.
        language: of what is read.
        insertions, numbers_for: see ``text_mode.prepare``; a literal that is written in another way has no ink.

    Attributes:
        readings: what was read on each strip, its lines joined.
        inks: for each strip, the words of each literal whose ink is known, by its placeholder's number.
    """

    def __init__(
        self,
        part: Sequence[tuple[Paragraph, Piece]],
        config: ModelConfig,
        language: str,
        insertions: Insertions | None = None,
        numbers_for: str = "",
    ) -> None:
        self.part, self.config, self.language = part, config, language
        self.insertions, self.numbers_for = insertions, numbers_for
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
        words, runs_of_words = _parted_at_lines(words, places, piece)
        texts = [""] * len(piece.runs)
        for (start, end), run in zip(words, runs_of_words, strict=True):
            if run is not None:
                texts[run] = f"{texts[run]} {text[start:end]}".strip()
        joined, spans = text, [(place, place + 1) for place in range(len(text))]
        if None not in runs_of_words and runs_of_words == sorted(run for run in runs_of_words if run is not None):
            joined = join_lines(lines_of(piece.runs, texts), self.language).replace("\n", " ")
            spans = align(text, joined)
        self.readings[number] = joined
        prepared = prepare(joined, self.language, "", self.insertions, self.numbers_for)
        traced = tuple(_traced(spans, *span) for span in prepared.spans)
        if paragraph.text_alpha is not None:
            reading = _Reading(piece, places, words, runs_of_words)
            for literal, one in enumerate(prepared.literals):
                if one.text != joined[one.start : one.end]:
                    continue
                stretches = reading.stretches(spans[one.start][0], spans[one.end - 1][1])
                if stretches:
                    self.inks[number][literal] = [_taken(paragraph.text_alpha, *stretch) for stretch in stretches]
        return Prepared(prepared.source, prepared.text, traced, prepared.literals, prepared.case)


class _Reading:
    """What was read on a strip, and where.

    Args:
        piece: the strip and its runs.
        places: of each character.
        words: the characters [start, end) of each word, and in ``runs_of_words`` the run that it stands on.
    """

    def __init__(
        self,
        piece: Piece,
        places: Sequence[tuple[int, float]],
        words: Sequence[tuple[int, int]],
        runs_of_words: Sequence[int | None],
    ) -> None:
        strip = piece.strip
        assert strip is not None
        self.strip, self.runs, self.places = strip, piece.runs, places
        self.held: dict[int, list[int]] = {}  # characters that were read on each run
        for word, own in zip(words, runs_of_words, strict=True):
            if own is not None:
                for place, run in zip(
                    range(*word), _runs_of_letters(word, own, runs_of_words, places, piece), strict=True
                ):
                    self.held.setdefault(run, []).append(place)

    def stretches(self, first: int, last: int) -> list[tuple[int, float, float]]:
        """Where characters [first, last) stand: lines of the block, and columns of each from left to right.

        Nothing where that is not sure, as on a run that had to be cut to fit.
        """
        found: list[tuple[int, float, float]] = []
        for number, held in sorted(self.held.items()):
            inside = [place for place in held if first <= place < last]
            placed = [place for place in self.strip.placed if place.run == number]
            if not inside:
                continue
            if len(placed) != 1:
                return []
            run = self.runs[number]
            columns = [self.places[place][1] - placed[0].left for place in held]
            before, after = held.index(inside[0]), held.index(inside[-1]) + 1
            left, right = -_EDGE, run.width + _EDGE
            if before:
                left = cut_between(run.text_alpha, columns[before - 1], columns[before], before, len(held))
            if after < len(held):
                right = cut_between(run.text_alpha, columns[after - 1], columns[after], after, len(held))
            if left >= right:
                return []
            start, end = run.left + left, run.left + right
            if found and found[-1][0] == run.line and start - found[-1][2] < _CLOSE:
                start = found.pop()[1]
            found.append((run.line, start, end))
        return found


def _traced(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """Where the characters [start, end) of a text lie in the one that its own characters stand for."""
    if start < end:
        return spans[start][0], spans[end - 1][1]
    place = spans[start - 1][1] if start else 0
    return place, place


def _parted_at_lines(
    words: Sequence[tuple[int, int]], places: Sequence[tuple[int, float]], piece: Piece
) -> tuple[list[tuple[int, int]], list[int | None]]:
    """Words, those that were read across the end of a line of the block parted there, and the run of each."""
    assert piece.strip is not None
    runs_of_words = _runs_of_words(words, places, piece.strip)
    parted: list[tuple[int, int]] = []
    runs: list[int | None] = []
    for (start, end), own in zip(words, runs_of_words, strict=True):
        if own is None:
            parted.append((start, end))
            runs.append(None)
            continue
        letters = zip(range(start, end), _runs_of_letters((start, end), own, runs_of_words, places, piece), strict=True)
        for _, group in groupby(letters, lambda one: piece.runs[one[1]].line):
            part = list(group)
            parted.append((part[0][0], part[-1][0] + 1))
            runs.append(part[0][1])
    return parted, runs


def _runs_of_letters(
    word: tuple[int, int],
    own: int,
    runs_of_words: Sequence[int | None],
    places: Sequence[tuple[int, float]],
    piece: Piece,
) -> list[int]:
    """The runs on which the letters of a word were read: its own, or those on which no word begins.

    A 1 set wide apart is a run of its own, and so is a word that was read as one with the word before it.
    """
    assert piece.strip is not None
    placed = piece.strip.placed
    there = [one for one in placed if one.run == own]
    there += [one for one in placed if one.row == places[word[0]][0] and one.run not in runs_of_words]
    found = (nearest_run(there, column) for _, column in places[slice(*word)])
    return [own if one is None else one.run for one in found]


def _runs_of_words(
    words: Sequence[tuple[int, int]], places: Sequence[tuple[int, float]], strip: Strip
) -> list[int | None]:
    """The run on which each word was read.

    Where a line of the strip holds as many runs as words were read on it they go in order; otherwise to the run that
    stands where the middle of the word was read.
    """
    middles = [places[(start + end - 1) // 2] for start, end in words]
    runs_of_words: list[int | None] = []
    for row, column in middles:
        runs = [place.run for place in strip.placed if place.row == row]
        there = [number for number, middle in enumerate(middles) if middle[0] == row]
        if len(runs) == len(there):
            runs_of_words.append(runs[len(runs_of_words) - there[0]])
        else:
            runs_of_words.append(strip.run_at(row, column))
    return runs_of_words
