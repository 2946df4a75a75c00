"""Lines of a block to strips, the pictures that the model reads, and the strips it writes to words.

A strip is three lines of 32 rows, with text of 20 pixels per em, every baseline in the same row of its line. Ink is
coverage in [0, 1], float32: 1 where a strip is black.
"""

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from translatotron_v.page.profile import Bounds, Setting

HEIGHT, WIDTH = 96, 512  # of a strip, pixels
LINE = 32  # rows of a line
LINES = HEIGHT // LINE
MARGIN = 2  # columns left free at either side
EM = 20  # pixels per em
BASELINE = 23  # row of a line on which its letters stand: the first row below them
WORD_GRID = 8  # columns; words that the model writes begin at multiples of it after the margin
GAP = 7  # columns between two words where nothing else is known
_FAR = 0.4 * EM  # columns from where two letters part up to which a gap is taken for theirs
_MARKS, _MARK = 2, 7  # so many marks at the end of a word are told by their gaps, each at most so many columns wide
USUAL_GAP = 0.33  # the same of words that are put back, ems

_EXACT = 0.02  # a text whose size is so near to a strip's is not resampled
FAINT = 0.15  # coverage up to which a column counts as empty


@dataclass(frozen=True)
class Run:
    """A piece of a line at a strip's size: a word or several.

    Attributes:
        text_alpha: (32, w).
        line: which line of the block it stands on.
        left: its first column in that line.
        gap: empty columns before it on its line; 0 for the first.
    """

    text_alpha: np.ndarray
    line: int
    left: int
    gap: int

    @property
    def width(self) -> int:
        return self.text_alpha.shape[1]


@dataclass(frozen=True)
class Placed:
    """Where a run stands in a strip: which one, in which of the strip's lines, columns from left up to right."""

    run: int
    row: int
    left: int
    right: int


@dataclass(frozen=True)
class Strip:
    """A strip, and which runs stand where in it.

    Attributes:
        text_alpha: (96, 512).
        placed: in reading order; runs are counted as `pack` was given them.
    """

    text_alpha: np.ndarray
    placed: tuple[Placed, ...]

    def run_at(self, row: int, column: float) -> int | None:
        """The run whose columns are nearest to a place in one of the three lines; None where that line is empty."""
        found = self.placed_at(row, column)
        return None if found is None else found.run

    def placed_at(self, row: int, column: float) -> Placed | None:
        """As ``run_at``, with where it stands."""
        return nearest_run([place for place in self.placed if place.row == row], column)


def resample(ink: np.ndarray, scale: float, corner: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """A part of an ink picture at another size.

    Args:
        text_alpha: (h, w); there is none beyond it.
        scale: pixels of the answer for each of `ink`.
        corner: the place (x, y) in `ink`, pixel edges, that becomes the answer's top left corner.
        size: height and width of the answer.

    Returns:
        Coverage of that size: bicubic; when shrinking, averaged over the pixels that fall together.
    """
    height, width = size
    reach = math.ceil(4 / min(scale, 1.0)) + 1  # of the filter beyond what is asked for
    left, top = math.floor(corner[0]) - reach, math.floor(corner[1]) - reach
    right, bottom = math.ceil(corner[0] + width / scale) + reach, math.ceil(corner[1] + height / scale) + reach
    window = np.zeros((bottom - top, right - left), dtype=np.float32)
    rows = slice(max(top, 0), min(bottom, ink.shape[0]))
    columns = slice(max(left, 0), min(right, ink.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        target = window[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        target[:] = ink[rows, columns]
    x, y = corner[0] - left, corner[1] - top
    if scale == 1 and x == int(x) and y == int(y):
        return window[int(y) : int(y) + height, int(x) : int(x) + width].copy()
    box = (x, y, x + width / scale, y + height / scale)
    answer = Image.fromarray(window).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.clip(np.asarray(answer, dtype=np.float32), 0, 1)


def normalise(ink: np.ndarray, rows: Sequence[Bounds], setting: Setting) -> list[np.ndarray]:
    """The lines of a block at a strip's size: for each (32, w), its baseline in row `BASELINE`, its ink from column 0.

    Args:
        text_alpha: coverage (h, w) of the block's crop.
        rows: the box of each line in the crop.
        setting: what `measure` found.
    """
    return [line for line, _ in _normalised(ink, rows, setting)]


def _normalised(ink: np.ndarray, rows: Sequence[Bounds], setting: Setting) -> list[tuple[np.ndarray, float]]:
    """Lines as of `normalise`, each with the column of the crop at which it begins."""
    scale = _own_scale(setting)
    lines = []
    for index, (left, _, right, _) in enumerate(rows):
        base = setting.baselines[index]
        base = float(round(base)) if scale == 1 else base
        slack = 0.3 * setting.em
        first, last = max(math.floor(left - slack), 0), min(math.ceil(right + slack), ink.shape[1])
        alone = np.zeros((len(ink), max(last - first, 1)), dtype=np.float32)
        top, bottom = _own_rows(len(ink), setting, index)
        alone[top:bottom] = ink[top:bottom, first:last]
        size = (LINE, max(1, math.ceil((last - first) * scale)))
        line = resample(alone, scale, (0.0, base - BASELINE / scale), size)
        columns = np.flatnonzero(_filled(line))
        start = int(columns[0]) if len(columns) else 0
        lines.append((trim(line), first + start / scale))
    return lines


def _own_scale(setting: Setting) -> float:
    """From a crop's size to a strip's; 1 where they are so near that nothing is resampled."""
    scale = EM / setting.em
    return 1.0 if abs(scale - 1) < _EXACT else scale


def _widened(line: np.ndarray, by: float) -> np.ndarray:
    """A line (32, w) so many times as wide: bicubic."""
    size = (max(1, round(line.shape[1] * by)), len(line))
    if not line.size:
        return line
    return np.clip(np.asarray(Image.fromarray(line).resize(size, Image.Resampling.BICUBIC)), 0, 1)


def _own_rows(height: int, setting: Setting, index: int) -> tuple[int, int]:
    """First row of a line's ink, and one past the last: halfway to a neighbour's letters begins the neighbour's."""
    base, count = setting.baselines[index], len(setting.baselines)
    above = setting.baselines[index - 1] + 0.28 * setting.em if index else 0.0
    top = max(math.floor(min(above, base - 0.6 * setting.em)), 0)
    if index + 1 == count:
        return top, height
    below = setting.baselines[index + 1] - 0.8 * setting.em
    return top, min(math.ceil(max(below, base + 0.25 * setting.em)), height)


class BlockAlpha:
    """A block's ink at its own size: what stands there can be taken up again as it is.

    Args:
        ink, rows, setting: as of `normalise`.
    """

    def __init__(self, ink: np.ndarray, rows: Sequence[Bounds], setting: Setting) -> None:
        self._ink, self._setting = ink, setting
        found = _normalised(ink, rows, setting)
        self.lines = [line for line, _ in found]  # as of `normalise`
        self._starts = [start for _, start in found]
        self._columns = _own_scale(setting)  # of a line for each of the crop's

    def widened(self, by: float) -> "BlockAlpha":
        """The same ink on lines so many times as wide: letters of a narrow face as wide as those of others."""
        wider = copy(self)
        wider._columns = self._columns * by
        wider.lines = [_widened(line, by) for line in self.lines]
        return wider

    def word(self, line: int, left: float, right: float) -> Callable[[float], np.ndarray]:
        """What stands between two columns of a line (of ``lines``), as something that sets itself at any size.

        Returns:
            Given the scale from a strip's size to the wanted one, coverage in the rows of `frame`. At the block's own
            size it is the block's own pixels; otherwise they are resampled.
        """
        return partial(self._set, line, left, right)

    def _set(self, line: int, left: float, right: float, scale: float) -> np.ndarray:
        em = self._setting.em
        ratio = scale * EM / em
        if abs(ratio - 1) < _EXACT:
            ratio = 1.0
        first, last = self._starts[line] + left / self._columns, self._starts[line] + right / self._columns
        base = self._setting.baselines[line]
        if ratio == 1:
            first, last, base = math.floor(first + 1e-6), math.ceil(last - 1e-6), float(round(base))
        top, bottom = _own_rows(len(self._ink), self._setting, line)
        start, end = max(math.floor(first), 0), min(math.ceil(last), self._ink.shape[1])
        alone = np.zeros((len(self._ink), max(end - start, 1)), dtype=np.float32)
        alone[top:bottom, : end - start] = self._ink[top:bottom, start:end]
        above, below = frame(scale)
        size = (above + below, max(1, math.ceil((last - first) * ratio)))
        return resample(alone, ratio, (first - start, base - above / ratio), size)


def frame(scale: float) -> tuple[int, int]:
    """How many rows of a word's array lie above its baseline and below, at a scale from a strip's size."""
    return math.ceil(BASELINE * scale), math.ceil((LINE - BASELINE) * scale)


def _filled(line: np.ndarray) -> np.ndarray:
    """Which columns of a line (32, w) hold ink: (w,) bool."""
    return line.max(axis=0, initial=0.0) > FAINT


def trim(line: np.ndarray) -> np.ndarray:
    """A line without its empty columns at either side."""
    columns = np.flatnonzero(_filled(line))
    return line[:, columns[0] : columns[-1] + 1] if len(columns) else line[:, :0]


def _gaps(line: np.ndarray) -> list[tuple[int, int]]:
    """The empty stretches between columns with ink, (first column, one past the last), from left to right."""
    columns = np.flatnonzero(_filled(line))
    jumps = np.flatnonzero(np.diff(columns) > 1)
    return [(int(columns[jump]) + 1, int(columns[jump + 1])) for jump in jumps]


def word_gap(lines: Sequence[np.ndarray]) -> int:
    """The narrowest gap between words on lines (32, w), told from the gaps between letters, in columns.

    Letters of most families stand 0 to 3 columns apart and words 5 to 9; of typewriter faces up to 6, and 10 to 18.
    The border is where the sorted widths make their greatest leap.
    """
    widths = sorted(last - first for line in lines for first, last in _gaps(line))
    low, high = 4, 9
    if not widths:
        return low + 1
    candidates = range(low, high + 1)

    return int(greatest_leap(widths, candidates, EM))


def greatest_leap(widths: Sequence[float], borders: Sequence[float], em: float) -> float:
    """The border at which sorted widths of gaps leap most, as a share of those below it; all in pixels."""

    def leap(border: float) -> float:
        below = max((width for width in widths if width < border), default=0.0)
        above = min((width for width in widths if width >= border), default=0.0)
        return (above - below) / (below + 0.1 * em) if above else 0.0

    return max(borders, key=leap)


def cut(line: np.ndarray, index: int = 0, count: int | None = None, gap: int | None = None) -> list[Run]:
    """Cut a line (32, w) into runs at its widest gaps.

    Args:
        index: which line of the block it is.
        count: how many runs; fewer where there are not so many gaps. None: at every gap between words.
        gap: the narrowest gap between words, columns; None: as `word_gap` says of this line alone.
    """
    gaps = _gaps(line)
    if count is None:
        least = word_gap([line]) if gap is None else gap
        gaps = [(first, last) for first, last in gaps if last - first >= least]
    else:
        widest = sorted(gaps, key=lambda edges: edges[0] - edges[1])[: max(count - 1, 0)]
        gaps = sorted(widest)
    columns = np.flatnonzero(_filled(line))
    if not len(columns):
        return []
    starts = [int(columns[0])] + [last for _, last in gaps]
    ends = [first for first, _ in gaps] + [int(columns[-1]) + 1]
    before = [0] + [last - first for first, last in gaps]
    return [
        Run(line[:, start:end], index, start, space) for start, end, space in zip(starts, ends, before, strict=True)
    ]


def cut_lines(lines: Sequence[np.ndarray]) -> list[Run]:
    """The words of a block's lines (32, w) in reading order; all lines together tell how wide a word gap is."""
    gap = word_gap(lines)
    return [run for index, line in enumerate(lines) for run in cut(line, index, gap=gap)]


def usual_gap(runs: Sequence[Run]) -> float:
    """The middle distance between the ink of neighbouring words, in ems; a third where nothing tells, two at most."""
    gaps = [run.gap for run in runs if run.gap]
    return min(float(np.median(gaps)) / EM, 2.0) if gaps else USUAL_GAP


def cut_between(ink: np.ndarray, before: float, after: float, which: int, count: int) -> int:
    """The column of a run's ink (32, w) that parts two neighbouring characters.

    Where each character stands apart from the next the gaps are counted, and so they are from the end if what follows
    is as narrow as marks are ("org."); otherwise the gap is taken that is nearest to the middle between the places
    where the two were read, or, without any near there, the emptiest column about it.

    Args:
        before, after: columns at which they were read.
        which: number of the second of them in the run.
        count: how many characters the run has.
    """
    gaps = _gaps(ink)
    middles = [(first + last) // 2 for first, last in gaps]
    if len(gaps) == count - 1:
        return middles[which - 1]
    behind = count - which
    if behind <= min(len(gaps), _MARKS) and ink.shape[1] - gaps[-behind][1] <= behind * _MARK:
        return middles[-behind]
    place = min(max((before + after) / 2, 1.0), ink.shape[1] - 1.0)
    nearest = min(middles, key=lambda middle: abs(middle - place), default=None)
    if nearest is not None and abs(nearest - place) <= _FAR:
        return nearest
    start, end = max(int(place) - 3, 0), min(int(place) + 4, ink.shape[1])
    return start + int(np.argmin(ink[:, start:end].sum(axis=0)))


def nearest_run(placed: Sequence[Placed], column: float) -> Placed | None:
    """Which of the runs that stand on a line is nearest to a column of it; None of none."""
    return min(placed, key=lambda one: max(one.left - column, column - one.right, 0.0), default=None)


def pack(runs: Sequence[Run]) -> list[Strip]:
    """Lay runs into as few strips as their order allows.

    Runs that follow one another on a line of the block keep their distance, others stand an ordinary gap apart. A run
    wider than a strip is cut where its columns hold the least ink.
    """
    usable = WIDTH - 2 * MARGIN
    rows: list[list[tuple[int, int, np.ndarray]]] = []  # of (run, column after the margin, ink)
    pen, last = usable + 1, None
    for number, run in enumerate(runs):
        for part, ink in enumerate(_fitting(run.text_alpha, usable)):
            follows = last is not None and last.line == run.line and part == 0 and run.left > last.left
            start = pen + (run.gap if follows and 0 < run.gap <= 3 * GAP else GAP)
            if not rows or start + ink.shape[1] > usable:
                rows.append([])
                start = 0
            rows[-1].append((number, start, ink))
            pen, last = start + ink.shape[1], run
    strips = []
    for first in range(0, len(rows), LINES):
        alpha = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
        placed = []
        for row, pieces in enumerate(rows[first : first + LINES]):
            for number, start, ink in pieces:
                left = MARGIN + start
                alpha[row * LINE : (row + 1) * LINE, left : left + ink.shape[1]] = ink
                placed.append(Placed(number, row, left, left + ink.shape[1]))
        strips.append(Strip(alpha, tuple(placed)))
    return strips


def pack_lists(lists: Sequence[Sequence[Run]]) -> list[list[Strip]]:
    """`pack` for each of several lists, as for the sentences of a paragraph; runs are counted within each list."""
    return [pack(runs) for runs in lists]


def _fitting(ink: np.ndarray, width: int) -> list[np.ndarray]:
    """Pieces of a run (32, w), none wider than `width`, cut in the emptiest column of the last quarter."""
    pieces = []
    while ink.shape[1] > width:
        start = width * 3 // 4
        place = start + int(np.argmin(ink[:, start:width].sum(axis=0)))
        pieces.append(ink[:, :place])
        ink = ink[:, place:]
    return [*pieces, ink]


def words_of(ink: np.ndarray, count: int) -> list[np.ndarray]:
    """Cut a strip that the model wrote into the pictures of its words.

    The widest gaps of all lines part the words; among gaps of one width those count first after which something begins
    where the model begins its words. A word keeps the empty columns before its first letter, which part an "n" from
    what stands before it more than an "A".

    Args:
        text_alpha: (96, 512), coverage.
        count: how many words the strip's text has.

    Returns:
        At most `count` pictures (32, w) in reading order; fewer where the strip has not so many gaps, and more where it
        has more lines than words.
    """
    lines = [ink[row * LINE : (row + 1) * LINE] for row in range(LINES)]
    written = [row for row, line in enumerate(lines) if _filled(line).any()]
    gaps = [(row, first, last) for row in written for first, last in _gaps(lines[row])]

    def order(gap: tuple[int, int, int]) -> tuple[int, int, int, int]:
        row, first, last = gap
        return first - last, _off_grid(last), row, first

    chosen = sorted(gaps, key=order)[: max(count - len(written), 0)]
    words = []
    for row in written:
        edges = sorted((first, last) for line, first, last in chosen if line == row)
        columns = np.flatnonzero(_filled(lines[row]))
        starts = [int(columns[0])] + [last for _, last in edges]
        ends = [first for first, _ in edges] + [int(columns[-1]) + 1]
        words += [lines[row][:, start - _bearing(start) : end] for start, end in zip(starts, ends, strict=True)]
    return words


def word_of(line: np.ndarray) -> np.ndarray:
    """The picture (32, w) of a word that stands alone on a line (32, W), as ``words_of`` cuts it out of a strip."""
    columns = np.flatnonzero(_filled(line))
    if not len(columns):
        return line[:, :0]
    return line[:, int(columns[0]) - _bearing(int(columns[0])) : int(columns[-1]) + 1]


def _bearing(column: int) -> int:
    """How many empty columns belong to a word whose ink begins in a column: those since the model's start."""
    offset = (column - MARGIN) % WORD_GRID
    return offset if offset <= 2 and column >= offset else 0


def _off_grid(column: int) -> int:
    """How far a word that begins in a column lies from the model's starts; its bearing puts it up to 2 columns on."""
    offset = (column - MARGIN) % WORD_GRID
    return 0 if offset <= 2 or offset == WORD_GRID - 1 else 1
