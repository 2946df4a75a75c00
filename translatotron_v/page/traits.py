"""What a line of text looks like, from its pixels: where its words are, its marker, its colour, how bold it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np

from translatotron_v.page.glyphs import FULL_STOP, is_bullet, is_colon, is_hyphen, is_icon, is_symbol
from translatotron_v.page.ground import Colour, as_colour, largest
from translatotron_v.page.lines import Line, Point, move_points, turn, warp
from translatotron_v.page.profile import EM_PER_HEIGHT

Span = tuple[float, float]  # from and to, pixels along a line from the left edge of its box

_TELLING = 20_000  # pixels of a line that tell its paper and its strongest ink
_INK = 0.4  # of the strongest contrast with the paper: what differs more is ink
_FAINT = 14.0  # grey levels: where no contrast is stronger, nothing can be told
_BUSY = 0.9  # share of a box's height that letters do not fill: what stands out is no paper then, and tells nothing
_RULE = 0.85  # share of a line's width that only a rule fills in one row of pixels
_LOOK_LEFT = 2.4  # ems before a line's box in which a marker is looked for
_LETTER_GAP, _PIXEL = 0.18, 0.7  # ems, and pixels on top: narrower gaps are between letters
_LEADERS = 0.9  # ems before and after words that are no margin any more
_DOT = 0.24  # ems: leaders consist of dots that are no larger
_LEADER = 0.13  # ems: dots before a line that are no larger are the end of leaders
_RAISED = (0.15, 0.5)  # ems that the middle of a tiny marker stands above the baseline; leaders stand on it
_BULLET = 0.75  # ems: the widest bullet
_NUMBER = 1.8  # ems: the widest number of a list
_WIDE, _WIDER, _WIDEST = 1.35, 1.9, 2.6  # ems of space that part two labels; before a short word; where all are wide
_GUTTER = 0.5  # ems between columns, at least
_TOO_HIGH, _FAR_TOO_HIGH = (
    1.85,
    2.3,
)  # times the highest letters that a box is too high; where there may be no high ones
_AFTER_MARKER = 0.62  # ems of space from which a short first word is a marker


@dataclass(frozen=True)
class Traits:
    """What a line looks like.

    Attributes:
        words: where they are; no marker and no leader is among them.
        colour, paper: of ink and of what it stands on, RGB.
        weight: mean length of the strokes that a row of pixels crosses, ems: about .09 of regular, .15 of bold text.
        band: height of what most rows of letters fill, pixels: the x-height, or in capitals and digits theirs.
        rise: from the baseline to where the highest letters end, pixels.
        base: row of the line's box on which its letters stand, pixels from its top edge.
        marker: a bullet, a number or a symbol stands before the words, in the line's box or at its left.
        symbol: it stands in the box and is no text: a bullet, three bars, a box to tick. It stays where it is.
        spacing: middle distance of its letters, ems; of those that touch none is known.
        marker_like: the first word might be a number of a list: short, with a full stop or a bracket at its end.
        marker_gap: the space after a marker that is told by that space alone, pixels; 0 of other markers.
        hyphen: a hyphen stands at the end.
        label: its first word ends in a colon.
        introduces: it ends in a colon itself.
        icon: it is no text but one filled shape, such as a square, a disc or a switch; nothing else is known then.
    """

    words: tuple[Span, ...]
    colour: Colour
    paper: Colour
    weight: float
    band: float = 0.0
    rise: float = 0.0
    base: float = 0.0
    marker: bool = False
    marker_like: bool = False
    spacing: float = 0.0
    marker_gap: float = 0.0
    hyphen: bool = False
    label: bool = False
    introduces: bool = False
    icon: bool = False
    symbol: bool = False

    @property
    def gaps(self) -> list[float]:
        """Between the words, pixels."""
        return [after[0] - before[1] for before, after in pairwise(self.words)]


def look_at(line: Line, pixels: np.ndarray) -> Traits | None:
    """The traits of a line on a picture (H, W, 3) of bytes; None where its ink does not stand out."""
    em = line.height * EM_PER_HEIGHT
    before = min(_LOOK_LEFT * em, max(line.quad[0][0], 0.0)) if line.angle == 0 else 0.0
    window = _level(line, pixels, before)
    if min(window.shape[:2]) < 3:
        return None
    inside = window[:, min(round(before), window.shape[1] - 2) :]
    every = max(1, inside[..., 0].size // _TELLING)
    paper = np.median(inside.reshape(-1, 3)[::every], axis=0)
    contrast = largest(np.abs(window - paper))
    own = contrast[:, -inside.shape[1] :]
    strong = next((level for level in np.percentile(own.ravel()[::every], (96, 99)) if level >= _FAINT), None)
    if strong is None:  # in a box far higher than its text letters are few
        return None
    ink = contrast > _INK * strong
    if is_icon(ink[:, -inside.shape[1] :], em):
        return Traits((), (0.0, 0.0, 0.0), as_colour(paper), 0.0, icon=True)
    ink[ink[:, -inside.shape[1] :].mean(axis=1) > _RULE] = False
    offset = window.shape[1] - inside.shape[1]
    runs = _runs(ink[:, offset:], em)
    if not runs:
        return None
    letters = ink[:, offset:]
    crossings = int((letters[:, 1:] & ~letters[:, :-1]).sum()) + 1
    weight = float((np.clip(own / strong, 0, 1) * letters).sum()) / crossings / em
    colour = np.median(inside[own > 0.8 * strong], axis=0)
    words = _words(_without_leaders(runs, em), em)
    symbol = len(words) > 1 and _is_mark(letters[:, int(words[0][0]) : math.ceil(words[0][1])], em)
    marker, marker_gap, words = (True, 0.0, words[1:]) if symbol else _take_number(words, em)
    band, rise, base = _heights(np.clip(own / strong, 0, 1) * letters.any(axis=1, keepdims=True))
    marker = marker or _marker_before(ink[:, :offset], em, base)
    if band > _BUSY * len(window):
        return None
    apart = [after[0] - before[1] for before, after in pairwise(runs)]
    spacing = float(np.median(apart)) / em if apart else 0.0
    colours = as_colour(colour), as_colour(paper)
    like = len(words) > 1 and words[0][1] - words[0][0] < 1.4 * em and _ends_number(words[0][1], runs, base, em)
    hyphen = is_hyphen(runs[-1], base, em)
    colons = [end for start, end, _, _ in runs if is_colon(letters[:, start:end], base, em)]
    label, introduces = bool(words) and words[0][1] in colons[:1], runs[-1][1] in colons
    return Traits(
        tuple(words), *colours, weight, band, rise, base, marker, like, spacing, marker_gap, hyphen,
        label and len(words) > 1, introduces, symbol=symbol,
    )  # fmt: skip


def part_of(line: Line, span: Span) -> Line:
    """The part of a line from and to some pixels along it."""
    (left, top), (right, bottom) = line.quad[0], line.quad[1]
    length = max(line.width, 1e-6)
    steps = [((right - left) * place / length, (bottom - top) * place / length) for place in span]

    def moved(corner: Point, step: tuple[float, float]) -> Point:
        return corner[0] + step[0], corner[1] + step[1]

    quad = (moved(line.quad[0], steps[0]), moved(line.quad[0], steps[1]), moved(line.quad[3], steps[1]))
    return replace(line, quad=(*quad, moved(line.quad[3], steps[0])))


def tightened(line: Line, traits: Traits) -> Line:
    """A level line with no more height than its letters need, where its box has taken in a rule or another line."""
    small = traits.band < 0.82 * traits.rise
    if line.angle != 0 or traits.rise < 4 or line.height < (_TOO_HIGH if small else _FAR_TOO_HIGH) * traits.rise:
        return line
    base = line.quad[0][1] + traits.base
    top, bottom = base - 1.14 * traits.rise, base + 0.4 * traits.rise  # as boxes stand around letters
    (left, _), (right, _) = line.quad[0], line.quad[1]
    return replace(line, quad=((left, top), (right, top), (right, bottom), (left, bottom)), height=bottom - top)


def trimmed(line: Line, traits: Traits) -> tuple[Line, Traits]:
    """A level line without the leaders before and after its words, and without a symbol before them."""
    em = line.height * EM_PER_HEIGHT
    if line.angle != 0 or not traits.words:
        return line, traits
    first, last = 0.0, line.width
    if traits.symbol or (traits.words[0][0] > _LEADERS * em and not traits.marker):
        first = traits.words[0][0] - 1
    if line.width - traits.words[-1][1] > _LEADERS * em and not traits.hyphen:
        last = traits.words[-1][1] + 1
    moved = tuple((left - first, right - first) for left, right in traits.words)
    return part_of(line, (first, last)), replace(traits, words=moved)


def split_at(line: Line, traits: Traits, places: Sequence[int]) -> list[tuple[Line, Traits]]:
    """A line cut between words: before each of the numbered ones."""
    starts = [0, *places]
    ends = [*places, len(traits.words)]
    parts = []
    for start, end in zip(starts, ends, strict=True):
        words = traits.words[start:end]
        first = 0.0 if start == 0 else words[0][0] - 1
        last = line.width if end == len(traits.words) else words[-1][1] + 1
        moved = tuple((left - first, right - first) for left, right in words)
        first_part = start == 0
        marks = traits.marker and first_part, traits.marker_like and first_part and len(words) > 1
        hyphen = traits.hyphen and end == len(traits.words)
        introduces = traits.introduces and end == len(traits.words)
        own = replace(
            traits, words=moved, marker=marks[0], marker_like=marks[1], hyphen=hyphen,
            label=traits.label and first_part, introduces=introduces,
        )  # fmt: skip
        parts.append((part_of(line, (first, last)), own))
    return parts


def wide_gaps(line: Line, traits: Traits) -> list[int]:
    """Numbers of the words before which there is far more space than between words."""
    em = line.height * EM_PER_HEIGHT
    gaps = np.array(traits.gaps)
    if not len(gaps):
        return []
    widths = np.array([right - left for left, right in traits.words])
    usual = float(np.median(gaps))
    apart = len(gaps) > 4 and float(np.median(widths)) < 0.95 * em  # of letters apart, their words are farther apart
    limits = np.full(len(gaps), _WIDE * em)
    limits[widths[1:] < 0.9 * em] = _WIDER * em  # a unit or a currency after its number
    if apart:
        limits[:] = max(2 * em, 4.5 * usual)
    elif len(gaps) > 2 and gaps.max() < 1.8 * gaps.min():
        limits[:] = _WIDEST * em  # a justified line
    elif len(gaps) > 2:
        limits = np.minimum(limits, max(3 * usual, 0.95 * em))
    return [int(number) + 1 for number in np.flatnonzero(gaps > limits)]


def gutters(pieces: Sequence[tuple[Line, Traits | None]]) -> list[list[int]]:
    """Of each level piece the numbers of the words that begin a column: two other lines near it begin there as well.

    Columns stand closer than some words of a justified line, so a gap alone does not tell.
    """
    begins: list[tuple[float, float, bool]] = []  # where, at which height, whether a line of its own
    wide: list[list[tuple[int, float]]] = []
    for line, traits in pieces:
        left, middle, em = line.quad[0][0], line.centre[1], line.height * EM_PER_HEIGHT
        begins.append((left, middle, True))
        gaps = [] if traits is None or line.angle != 0 else list(enumerate(traits.gaps, start=1))
        words = () if traits is None else traits.words
        wide.append([(number, left + words[number][0]) for number, gap in gaps if gap > _GUTTER * em])
        begins += [(place, middle, False) for _, place in wide[-1]]
    found = []
    for (line, traits), own in zip(pieces, wide, strict=True):
        middle, em = line.centre[1], line.height * EM_PER_HEIGHT
        chosen = []
        usual = 0.0 if traits is None or not traits.gaps else float(np.median(traits.gaps))
        for number, place in own:
            near = [
                alone for left, height, alone in begins
                if abs(left - place) < 0.35 * em and 0.5 * em < abs(height - middle) < 4 * em
            ]  # fmt: skip
            wider = traits is not None and traits.gaps[number - 1] > 1.4 * usual
            if sum(near) >= 2 or (wider and len(near) >= (3 if any(near) else 4)):
                chosen.append(number)
        found.append(chosen)
    return found


def _level(line: Line, pixels: np.ndarray, before: float) -> np.ndarray:
    """The pixels of a line's box and what stands before it, level: (h, w, 3) float32."""
    matrix, _ = turn(line.angle, 1, 1)
    corners = move_points(matrix, line.quad)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    if line.angle == 0:
        rows = slice(max(math.floor(top), 0), max(math.ceil(bottom), 0))
        columns = slice(max(math.floor(left) - round(before), 0), max(math.ceil(right), 0))
        return pixels[rows, columns].astype(np.float32)
    matrix = matrix - np.array([[0, 0, left], [0, 0, top]])
    size = max(math.ceil(right - left), 1), max(math.ceil(bottom - top), 1)
    return warp(pixels, matrix, size, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE).astype(np.float32)


def _heights(ink: np.ndarray) -> tuple[float, float, float]:
    """How high most letters are, and the highest, and the row they stand on, pixels; between two rows where need be."""
    rows = np.clip(ink - 0.15, 0, None).sum(axis=1)
    most = float(np.percentile(rows, 85))
    if most <= 0:
        return 0.0, 0.0, 0.0
    top, low = _reach(rows, 0.45 * most)
    highest = math.floor(top)
    while highest > 0 and rows[highest - 1] >= 0.06 * most:  # up to the dots of an umlaut, not to them
        highest -= 1
    return low - top, low - highest, low


def _reach(rows: np.ndarray, least: float) -> tuple[float, float]:
    """Where rows first and last have so much ink."""
    found = np.flatnonzero(rows >= least)
    first, last, end = int(found[0]), int(found[-1]), len(rows) - 1
    top = first - ((rows[first] - least) / max(rows[first] - rows[first - 1], 1e-6) if first else 0.0)
    low = last + ((rows[last] - least) / max(rows[last] - rows[last + 1], 1e-6) if last < end else 0.0)
    return float(top), float(low)


def _runs(ink: np.ndarray, em: float) -> list[tuple[int, int, int, int]]:
    """Runs of columns with ink: from, to, and the rows that their ink is in."""
    columns = ink.any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], columns, [False]]).astype(np.int8)))
    runs = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        rows = np.flatnonzero(ink[:, start:end].any(axis=1))
        if ink[:, start:end].sum() > 0.002 * em * em + 1:
            runs.append((start, end, int(rows[0]), int(rows[-1]) + 1))
    return runs


def _without_leaders(runs: Sequence[tuple[int, int, int, int]], em: float) -> list[tuple[int, int, int, int]]:
    """Runs without rows of four and more dots at equal distances."""
    dots = [max(end - start, low - top) <= max(_DOT * em, 2) for start, end, top, low in runs]
    kept: list[tuple[int, int, int, int]] = []
    number = 0
    while number < len(runs):
        last = number
        while last < len(runs) and dots[last]:
            last += 1
        if last - number >= 4:
            middles = [(start + end) / 2 for start, end, _, _ in runs[number:last]]
            steps = np.diff(middles)
            if float(np.ptp(steps)) <= 0.35 * float(np.median(steps)) + 2:
                number = last
                continue
        kept += runs[number : max(last, number + 1)]
        number = max(last, number + 1)
    return kept


def _words(runs: Sequence[tuple[int, int, int, int]], em: float) -> list[Span]:
    """Runs put together into words."""
    gaps = [after[0] - before[1] for before, after in pairwise(runs)]
    limit = max(_LETTER_GAP * em + _PIXEL, 1.8 * float(np.median(gaps)) if len(gaps) > 3 else 0.0)
    limit = min(limit, 0.6 * em)
    words: list[Span] = []
    for number, (start, end, _, _) in enumerate(runs):
        if words and gaps[number - 1] < limit:
            words[-1] = (words[-1][0], float(end))
        else:
            words.append((float(start), float(end)))
    return words


def _is_mark(ink: np.ndarray, em: float) -> bool:
    """Whether a first word (h, w) is a bullet or another sign that is no text."""
    return (ink.shape[1] <= _BULLET * em + 1 and is_bullet(ink, em)) or is_symbol(ink, em)


def _take_number(words: list[Span], em: float) -> tuple[bool, float, list[Span]]:
    """Whether the first word is a number of a list, which stands apart, and how far; and the words without it."""
    if len(words) < 2:
        return False, 0.0, words
    (start, end), after = words[0], words[1][0] - words[0][1]
    others = [after[0] - before[1] for before, after in pairwise(words[1:])]
    usual = float(np.median(others)) if others else 0.3 * em
    if end - start <= _NUMBER * em and after >= max(_AFTER_MARKER * em, 1.7 * usual):
        return True, after, words[1:]
    return False, 0.0, words


def _ends_number(end: float, runs: Sequence[tuple[int, int, int, int]], base: float, em: float) -> bool:
    """Whether a full stop or a bracket stands where a first word ends, as after numbers of lists."""
    start, _, top, low = max((run for run in runs if run[0] < end), key=lambda run: run[1])
    wide, high = end - start, low - top
    if float(np.median([run[3] for run in runs])) > base + 0.08 * em:  # a rule is left below the letters
        return False
    stop = max(wide, high) <= FULL_STOP * em + 1 and abs(low - base) <= 0.15 * em + 1
    bracket = wide <= 0.4 * em and low > base + 0.08 * em and high > 0.8 * em
    return stop or bracket


def _marker_before(ink: np.ndarray, em: float, base: float) -> bool:
    """Whether one small thing, and nothing else, stands shortly before a line: a tiny one above the baseline."""
    if ink.shape[1] < 0.5 * em:
        return False
    runs = _runs(ink, em)
    tiny = [run for run in runs if max(run[1] - run[0], run[3] - run[2]) <= _LEADER * em]
    if len(runs) == len(tiny) == 1:
        start, _, top, low = tiny[0]
        return start > 1 and _RAISED[0] * em < base - (top + low) / 2 < _RAISED[1] * em
    runs = [run for run in runs if run not in tiny]
    if not runs:
        return False
    start, end = runs[0][0], runs[-1][1]
    first, last = min(top for _, _, top, _ in runs), max(low for _, _, _, low in runs)
    touches = (start <= 1 and ink[:, :2].any()) or first == 0 or last == len(ink)  # what goes on above or below
    high = last - first
    return not touches and end - start <= _NUMBER * em and high < 0.95 * len(ink)
