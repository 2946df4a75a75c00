"""Drawn ink brought to another shape and size.

A word's outline is kept as a field: the signed distance to it at several times a strip's resolution. A field can be
grown, thinned, leant and enlarged, and its edges are as sharp at any size.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from translatotron_v.page.strips import BASELINE, EM, frame, resample

# The coverage of a word at a strip's size (32, w); or what sets the word at another size, given the scale to that size,
# in the rows of `frame(scale)`.
Word = np.ndarray | Callable[[float], np.ndarray]

# Pixels of an outline's field for each of a strip's: for text up to `_LARGE` strip sizes, and above.
_FINE, _FINER = 4, 8
_LARGE = 2.5
_SMALL = 0.8  # times a strip's size under which letters are too small to gain by outlines of their own
_SMOOTH = 0.45  # strip pixels (standard deviation) by which a strip's grid is smoothed away before outlines are taken
_PROJECTIONS = 3  # see `_level`
_EVEN = 0.2  # strip pixels (standard deviation) by which the field itself is smoothed
_HALF, _LEAST_HALF = 0.5, 0.3  # coverage at which an outline lies: half of what the stroke reaches, within these bounds
_KEPT, _OPEN = 0.2, 0.35  # of a stroke's width that thinning leaves, and of a gap's that thickening does
_FULL = 0.9  # coverage near which an edge has a stroke's full ink at its side,
_CRISP = 1.3  # and is made so much steeper


@dataclass(frozen=True)
class Shape:
    """What is done to drawn ink, in ems and degrees.

    Attributes:
        grow: by how much outlines move outwards; negative: inwards, of a stem; other strokes by the same share.
        stem: how wide the ink's stems are.
        slant: by how much letters are leant to the right.
        spacing: what is added between two letters that stand apart.
        stretch: of widths.
        blur: over how many pixels of the picture edges rise from nothing to full ink; 1 is as sharp as can be.
    """

    grow: float = 0.0
    stem: float = 0.09
    slant: float = 0.0
    spacing: float = 0.0
    stretch: float = 1.0
    blur: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether it leaves ink as it is."""
        return replace(self, blur=1.0, stem=Shape.stem) == Shape()


class ShapedWord:
    """A drawn word (32, w) that sets itself in another shape at any size (see `compose.Word`)."""

    def __init__(self, ink: np.ndarray, shape: Shape = Shape()) -> None:
        self.ink, self.shape = ink, shape
        self._fields: dict[int, np.ndarray] = {}
        self._last: tuple[float, np.ndarray] | None = None  # a layout asks for the same size several times

    def __call__(self, scale: float) -> np.ndarray:
        """Coverage at a scale from a strip's size, in the rows of `frame`."""
        if scale == 1 and self.shape.plain:
            return self.ink
        if self._last is None or self._last[0] != scale:
            self._last = scale, self._at(scale)
        return self._last[1]

    def _at(self, scale: float) -> np.ndarray:
        if not self.ink.shape[1]:
            return np.zeros((sum(frame(scale)), 1), dtype=np.float32)
        if self.shape.plain and scale < _SMALL:
            above, below = frame(scale)
            size = (above + below, max(1, math.ceil(self.ink.shape[1] * scale)))
            return resample(self.ink, scale, (0.0, BASELINE - above / scale), size)
        factor = _FINE if scale <= _LARGE else _FINER
        if factor not in self._fields:
            self._fields[factor] = outline_field(self.ink, self.shape, factor)
        return _set(self._fields[factor], scale, factor, self.shape.blur)


class WordRow:
    """Words set against one another, at any size; pictures among them in a shape."""

    def __init__(self, words: Sequence[Word], shape: Shape = Shape()) -> None:
        self.words, self.shape = words, shape

    def shaped(self, shape: Shape) -> "WordRow":
        """The same row with its pictures in a shape."""
        return WordRow([word if callable(word) else ShapedWord(word, shape) for word in self.words], shape)

    def __call__(self, scale: float) -> np.ndarray:
        """See `ShapedWord`."""
        inks = [word(scale) if callable(word) else ShapedWord(word, self.shape)(scale) for word in self.words]
        space = np.zeros((len(inks[0]), max(1, round(scale * (1 + self.shape.spacing * EM)))), dtype=np.float32)
        row = [inks[0]]
        for ink in inks[1:]:
            row += [space, ink]
        return np.concatenate(row, axis=1)


def at_size(word: np.ndarray, scale: float) -> np.ndarray:
    """A word (32, w) at another size with its baseline between two rows; enlarged letters get sharp outlines again."""
    return ShapedWord(word)(scale)


def outline_field(ink: np.ndarray, shape: Shape, factor: int) -> np.ndarray:
    """The signed distance of a word's outline, in its new shape, at so many times a strip's resolution.

    Args:
        ink: a drawn word (32, w).

    Returns:
        (32 * factor, w') float32, in pixels of its own, positive inside letters.
    """
    ratio = _level(ink, factor)  # above 1 inside letters
    ratio = _spread(ratio, round(shape.spacing * EM * factor))
    ratio = _warped(ratio, shape, factor)
    field = _distance(ratio > 1)
    field = cv2.GaussianBlur(field, (0, 0), _EVEN * factor)
    offset = shape.grow * EM * factor
    if offset:
        field = field + _bounded(field, offset, shape.stem, factor)
    return _trimmed(field)


def _level(ink: np.ndarray, factor: int) -> np.ndarray:
    """Ink at more pixels, divided by the coverage at which its outline lies: strokes thinner than a pixel are low.

    What is enlarged is corrected until its pixels' averages are the ink again (iterative back-projection, Irani and
    Peleg 1991), so that smoothing neither thins strokes nor rounds what is round already.
    """
    margin = 3
    missing = total = np.pad(ink, ((margin, margin), (margin, margin)))
    kernel = _round_trip(factor)
    for _ in range(_PROJECTIONS):
        missing = missing - cv2.sepFilter2D(missing, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
        total = total + missing
    large = _enlarged(total, factor)  # once, since enlarging is linear: corrections are made at the ink's own size
    reach = 2 * factor + 1
    peak = cv2.GaussianBlur(cv2.dilate(large, np.ones((reach, reach), np.uint8)), (0, 0), 0.5 * factor)
    ratio = large / np.clip(_HALF * peak, _LEAST_HALF, _HALF)
    return ratio[margin * factor : -margin * factor]


def _enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    """A picture (H, W) at so many times its size, without the grid of its pixels."""
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    return cv2.GaussianBlur(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), (0, 0), _SMOOTH * factor)


@lru_cache
def _round_trip(factor: int) -> np.ndarray:
    """What enlarging and averaging again makes of a pixel, along one axis: a filter (11,)."""
    lit = np.zeros((21, 21), dtype=np.float32)
    lit[:, 10] = 1
    again = cv2.resize(_enlarged(lit, factor), lit.shape, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(again[10, 5:16])


def _spread(ratio: np.ndarray, extra: int) -> np.ndarray:
    """Letters so many columns further apart; those that touch stay together."""
    if extra <= 0:
        return ratio
    letters, count = _letters(ratio > 1)
    if count < 2:
        return ratio
    height, width = ratio.shape
    spread = np.zeros((height, width + (count - 1) * extra), dtype=np.float32)
    for number in range(count):
        columns = np.flatnonzero((letters == number + 1).any(axis=0))
        first, last = max(int(columns[0]) - _FINER, 0), min(int(columns[-1]) + _FINER + 1, width)
        # Each place goes with the letter that is nearest, so that soft edges stay whole.
        own = np.where(letters[:, first:last] == number + 1, ratio[:, first:last], np.float32(0))
        target = spread[:, first + number * extra : last + number * extra]
        np.maximum(target, own, out=target)
    return spread


def _letters(inside: np.ndarray) -> tuple[np.ndarray, int]:
    """The letters of a mask (H, W): for each pixel the number of the nearest one, from 1, and how many there are.

    A letter is a connected part with what stands above it or below, such as dots and accents.
    """
    count, labels, found, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    order = sorted(range(1, count), key=lambda label: -int(found[label, cv2.CC_STAT_WIDTH]))
    spans: list[tuple[int, int]] = []
    of_label: dict[int, int] = {}
    for label in order:
        left = int(found[label, cv2.CC_STAT_LEFT])
        right = left + int(found[label, cv2.CC_STAT_WIDTH])
        for number, (first, last) in enumerate(spans):
            if min(right, last) - max(left, first) > 0.5 * (right - left):
                of_label[label] = number
                break
        else:
            of_label[label] = len(spans)
            spans.append((left, right))
    if not spans:
        return np.zeros(inside.shape, dtype=np.int32), 0
    rank = {number: place for place, number in enumerate(sorted(range(len(spans)), key=lambda one: sum(spans[one])))}
    numbers = np.zeros(count, dtype=np.int32)
    for label, number in of_label.items():
        numbers[label] = rank[number] + 1
    _, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    own = np.zeros(int(nearest.max()) + 1, dtype=np.int32)
    own[nearest[inside]] = numbers[labels[inside]]
    return own[nearest], len(spans)


def _warped(ratio: np.ndarray, shape: Shape, factor: int) -> np.ndarray:
    """Leant and stretched, and as much lower as thicker outlines will make it higher: letters keep their height."""
    height, width = ratio.shape
    lean = math.tan(math.radians(shape.slant))
    em, base = EM * factor, BASELINE * factor
    grow = shape.grow * em
    squeeze = 1 - 2 * grow / (0.6 * em)
    lift = -grow  # of the baseline
    left = max(lean * (height - base), 0.0) + max(-lean * base, 0.0) + max(grow, 0.0) + 2
    right = max(lean * base, 0.0) + max(-lean * (height - base), 0.0) + max(grow, 0.0) + 2
    # A point (x, y) goes to (stretch * x + lean * (base - y'), y'), where y' = base + lift + squeeze * (y - base).
    down = base + lift - squeeze * base
    matrix = np.array(
        [[shape.stretch, -lean * squeeze, left + lean * (base - down)], [0, squeeze, down]], dtype=np.float64
    )
    size = (math.ceil(width * shape.stretch + left + right), height)
    return cv2.warpAffine(ratio, matrix, size, flags=cv2.INTER_LINEAR)


def _distance(inside: np.ndarray) -> np.ndarray:
    """Signed distance (H, W) from the border of a mask, positive inside it."""
    mask = inside.astype(np.uint8)
    if not mask.any():
        return np.full(mask.shape, -float(max(mask.shape)), dtype=np.float32)
    within = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    without = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    return np.where(inside, within - 0.5, 0.5 - without).astype(np.float32)


def _bounded(field: np.ndarray, offset: float, stem: float, factor: int) -> np.ndarray:
    """By how much each place's outline moves.

    Thinner: every stroke by the same share, so that hairlines stay. Thicker: all alike, but for narrow gaps in letters,
    which stay open.
    """
    if offset < 0:
        share = min(-2 * offset / max(stem * EM * factor, 1.0), 1 - _KEPT)
        return -share * cv2.GaussianBlur(_half_width(field), (0, 0), 0.02 * EM * factor)
    reach = 2 * round(0.11 * EM * factor) + 1
    depth = cv2.dilate(-field, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))  # half the gap's width
    most = np.maximum((1 - _OPEN) * depth, 0)
    return np.minimum(offset, cv2.GaussianBlur(most, (0, 0), 0.06 * EM * factor))


def _half_width(field: np.ndarray) -> np.ndarray:
    """Half the width of the stroke at each place: how deep inside letters the nearest of their middle lines lies."""
    ridge = (field > 0.3) & (field >= cv2.dilate(field, np.ones((3, 3), np.uint8)) - 0.3)
    if not ridge.any():
        return np.zeros_like(field)
    _, nearest = cv2.distanceTransformWithLabels(
        (~ridge).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    depth = np.zeros(int(nearest.max()) + 1, dtype=np.float32)
    depth[nearest[ridge]] = field[ridge]
    return np.asarray(depth[nearest])


def _trimmed(field: np.ndarray) -> np.ndarray:
    """Without the columns that hold no ink, but for a pixel's fringe."""
    columns = np.flatnonzero(field.max(axis=0) > -1)
    return field[:, columns[0] : columns[-1] + 1] if len(columns) else field[:, :1]


def _set(field: np.ndarray, scale: float, factor: int, blur: float) -> np.ndarray:
    """Coverage at a scale from a strip's size, of an outline's field."""
    above, below = frame(scale)
    ratio = scale / factor
    width = max(1, math.ceil(field.shape[1] * ratio))
    if ratio < 1:
        corner = (0.0, BASELINE * factor - above / ratio)
        covered = np.clip(field * min(1.0, 1 / (blur * ratio)) + 0.5, 0, 1)
        ink = resample(covered, ratio, corner, (above + below, width))
    else:
        matrix = np.array([[ratio, 0, 0.5 * ratio - 0.5], [0, ratio, 0.5 * ratio - 0.5 + above - BASELINE * scale]])
        size = (width, above + below)
        large = cv2.warpAffine(field, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        ink = np.clip(large * np.float32(ratio / max(blur, 1.0)) + 0.5, 0, 1)
    return ink if blur > 1 else _crisp(ink)


def _crisp(ink: np.ndarray) -> np.ndarray:
    """Edges beside full ink a little steeper: renderers set stems on the pixel grid, where edges have no width."""
    steep = np.clip((ink - _HALF) * _CRISP + _HALF, 0, 1)
    return np.where(cv2.dilate(ink, np.ones((3, 3), np.uint8)) > _FULL, steep, ink)
