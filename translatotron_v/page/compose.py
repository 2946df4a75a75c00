"""Words of a translation put back where a block of text was: laid out in its room, in its colour, on its background."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from translatotron_v.page.blocks import Alignment
from translatotron_v.page.lines import Point, move_points, warp
from translatotron_v.page.profile import Bounds, Setting
from translatotron_v.page.separate import Layers
from translatotron_v.page.straighten import Crop
from translatotron_v.page.strips import BASELINE, EM, frame, resample

# The coverage of a word at a strip's size (32, w); or what sets the word at another size, given the scale to that size,
# in the rows of `frame(scale)`.
Word = np.ndarray | Callable[[float], np.ndarray]

SHRUNK = 0.6  # of the block's size: a translation is set no smaller than this,
LEAST = 7.0  # nor smaller than this many pixels per em

_STEP = 0.95  # from one size that is tried to the next
_WIDEST_GAP = 0.9  # of a justified line, ems
_ASCENT, _DESCENT = 0.76, 0.25  # of letters without accents, ems
_SLACK = 0.3  # ems by which lines may be longer than the block's longest
_APART = 0.25  # ems between the words and what stands beside them
_EXACT = 0.02  # words whose size is so near to a strip's are not resampled
_OLD = 0.05  # coverage from which a row of a word holds ink
_EDGE = 0.5  # coverage at which the outline of enlarged letters lies


@dataclass(frozen=True)
class Composed:
    """What became of one block.

    Attributes:
        pixels: the picture (H, W, 3), bytes: a new array, or the one given where the block was left as it is.
        em: the size of the new text, pixels per em; 0 where there is none.
        quads: the boxes of the new words on the picture, corners clockwise from the top left.
        skip_reason: why the block was left as it is; empty where it was replaced.
    """

    pixels: np.ndarray
    em: float = 0.0
    quads: tuple[tuple[Point, ...], ...] = ()
    skip_reason: str = ""


@dataclass(frozen=True)
class _Word:
    """A word's ink at its final size, and where it goes in the crop: column, and row of its array's first row."""

    text_alpha: np.ndarray
    left: int
    top: int

    @property
    def bounds(self) -> Bounds:
        """Of its ink; of a whole strip line's rows where it has none."""
        rows = np.flatnonzero(self.text_alpha.max(axis=1, initial=0.0) > _OLD)
        first, last = (rows[0], rows[-1] + 1) if len(rows) else (0, len(self.text_alpha))
        return self.left, self.top + float(first), self.left + self.text_alpha.shape[1], self.top + float(last)


@dataclass(frozen=True)
class _Room:
    """Where lines may be: from left to right, and down to bottom; in pixels of the crop."""

    left: float
    right: float
    bottom: float


def compose(
    pixels: np.ndarray,
    crop: Crop,
    layers: Layers,
    setting: Setting,
    words: Sequence[Word],
    alignment: Alignment = "left",
    obstacles: Sequence[Sequence[Point]] = (),
    gap: float = 0.33,
    breaks: Collection[int] = (),
) -> Composed:
    """Put words in the place of a block's text.

    They keep the block's size, pitch, colour and alignment, in as many lines as its box holds; then free room below
    and beside it is used; then they are shrunk. Pixels that neither held old ink nor hold new are left as they are.

    Args:
        pixels: the picture (H, W, 3), bytes; perhaps with other blocks replaced already.
        crop, layers, setting: of the block.
        words: of the text, in reading order.
        obstacles: corners of what must not be covered, such as the other blocks' quads.
        gap: between the ink of two words, ems; `strips.usual_gap` tells the block's own.
        breaks: numbers of the words that begin a line, such as the entries of a list; ignored where there is no room.
    """
    kept = [number for number, word in enumerate(words) if callable(word) or word.shape[1]]
    if not kept:
        return Composed(pixels, skip_reason="no words")
    lines = frozenset(place for place, number in enumerate(kept) if number in breaks)
    words = [words[number] for number in kept]
    barriers = [crop.to_crop(quad) for quad in obstacles]
    for starts in dict.fromkeys((lines, frozenset[int]())):
        share = 1.0
        while share >= SHRUNK and (share == 1.0 or setting.em * share >= LEAST):
            for room in _rooms(crop, setting, barriers, alignment):
                placed = _lay_out(words, setting, share, room, alignment, gap, starts)
                if placed is not None and _is_free(placed, crop, setting, barriers):
                    new = _paint(pixels, crop, layers, placed)
                    back = crop.back
                    quads = tuple(_quad(back, word.bounds) for word in placed)
                    return Composed(new, setting.em * share, quads)
            share *= _STEP
    return Composed(pixels, skip_reason="no room")


def _rooms(crop: Crop, setting: Setting, barriers: Sequence[Bounds], alignment: Alignment) -> list[_Room]:
    """The block's own box, then what is free below it and beside it; of a single line, first beside it.

    Beside it is at its right, of a block set to the right at its left, and of a centred one equally at both sides.
    """
    left, right = min(row[0] for row in crop.rows), max(row[2] for row in crop.rows)
    top, bottom = setting.baselines[0] - _ASCENT * setting.em, setting.baselines[-1] + _DESCENT * setting.em
    start, edge, floor = _page_edges(crop)
    apart = _APART * setting.em

    def below(first: float, last: float) -> float:
        tops = [box[1] for box in barriers if box[1] >= bottom - apart and box[0] < last + apart and box[2] > first]
        return max(min([floor, *(upper - apart for upper in tops)]), bottom)

    level = [box for box in barriers if box[1] < bottom + apart and box[3] > top]
    after = [box[0] - apart for box in level if box[0] >= right - apart]
    before = [box[2] + apart for box in level if box[2] <= left + apart]
    more_right = max(min([edge - apart, *after]) - right, 0.0)
    more_left = max(left - max([start + apart, *before]), 0.0)
    if alignment == "centre":
        more_left = more_right = min(more_left, more_right)
    elif alignment == "right":
        more_right = 0.0
    else:
        more_left = 0.0
    first, last = left - more_left, right + more_right
    own = _Room(left, right, bottom)
    deep = _Room(left, right, below(left, right))
    wide = _Room(first, last, bottom)
    both = _Room(first, last, below(first, last))
    return [own, wide, deep, both] if len(crop.rows) == 1 else [own, deep, wide, both]


def _page_edges(crop: Crop) -> tuple[float, float, float]:
    """The left, right and lower edge of the picture in the crop; of a tilted one the farthest: words are checked."""
    width, height = crop.size
    corners = move_points(crop.matrix, [(0, 0), (width, 0), (width, height), (0, height)])
    return float(corners[:, 0].min()), float(corners[:, 0].max()), float(corners[:, 1].max())


def _lay_out(
    words: Sequence[Word],
    setting: Setting,
    share: float,
    room: _Room,
    alignment: Alignment,
    gap: float,
    breaks: Collection[int],
) -> list[_Word] | None:
    """Words at a share of the block's size in the lines of a room; None where it holds too few."""
    em = setting.em * share
    pitch = setting.pitch * share
    # Of a paragraph the first line keeps its upper edge, a single line its middle.
    raised = (1 - share) * setting.em * (_ASCENT if len(setting.baselines) > 1 else _ASCENT / 2)
    baseline = setting.baselines[0] - raised
    lines = 1 + max(0, math.floor((room.bottom + 1 - baseline - _DESCENT * em) / pitch))
    scale = 1.0 if abs(em / EM - 1) < _EXACT else em / EM
    inks = [word(scale) if callable(word) else at_size(word, scale) for word in words]
    space = max(1, round(gap * em))
    rows = _wrap([ink.shape[1] for ink in inks], room.right - room.left + _SLACK * em, space, breaks)
    if rows is None or len(rows) > lines:
        return None
    placed = []
    for number, row in enumerate(rows):
        base = round(baseline + number * pitch)
        width = sum(inks[index].shape[1] for index in row) + space * (len(row) - 1)
        stretch = 0.0
        free = room.right - room.left - width
        pen = {"centre": free / 2, "right": free}.get(alignment, 0.0)
        if alignment == "justified" and number + 1 < len(rows) and len(row) > 1:
            extra = max(free, 0.0) / (len(row) - 1)
            stretch = extra if space + extra <= _WIDEST_GAP * em else 0.0
        pen += room.left
        for index in row:
            placed.append(_Word(inks[index], round(pen), base - frame(scale)[0]))
            pen += inks[index].shape[1] + space + stretch
    return placed


def _wrap(widths: Sequence[int], room: float, gap: int, breaks: Collection[int] = ()) -> list[list[int]] | None:
    """Numbers of the words of each line, filled greedily, one begun at each break; None where a word is too wide."""
    rows: list[list[int]] = []
    pen = math.inf
    for number, width in enumerate(widths):
        if width > room:
            return None
        if pen + gap + width > room or number in breaks:
            rows.append([])
            pen = -gap
        rows[-1].append(number)
        pen += gap + width
    return rows


def at_size(word: np.ndarray, scale: float) -> np.ndarray:
    """A word (32, w) at another size with its baseline between two rows; enlarged letters get sharp outlines again."""
    if scale == 1:
        return word
    above, below = frame(scale)
    size = (above + below, max(1, math.ceil(word.shape[1] * scale)))
    ink = resample(word, scale, (0.0, BASELINE - above / scale), size)
    if scale < 1.1:
        return ink
    # A pixel's edge has become `scale` pixels wide: as much steeper a curve makes it about one pixel wide again.
    steepness = 1 + 0.75 * (scale - 1)
    ramp = np.clip((ink - _EDGE) * steepness + 0.5, 0, 1)
    return ramp * ramp * (3 - 2 * ramp) if scale > 2 else ramp


def _is_free(placed: Sequence[_Word], crop: Crop, setting: Setting, barriers: Sequence[Bounds]) -> bool:
    """Whether words lie within the picture and on nothing that must not be covered."""
    width, height = crop.size
    back = crop.back
    apart = 0.1 * setting.em
    for word in placed:
        left, top, right, bottom = word.bounds
        corners = move_points(back, _corners(word.bounds))
        if corners.min() < 0 or corners[:, 0].max() > width or corners[:, 1].max() > height:
            return False
        for first, upper, last, lower in barriers:
            if left < last + apart and right > first - apart and top < lower and bottom > upper:
                return False
    return True


def _corners(bounds: Bounds) -> list[Point]:
    left, top, right, bottom = bounds
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _quad(back: np.ndarray, bounds: Bounds) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in move_points(back, _corners(bounds)))


def _paint(pixels: np.ndarray, crop: Crop, layers: Layers, placed: Sequence[_Word]) -> np.ndarray:
    """The picture with the block's old ink taken off and words put on."""
    left = min(0, *(word.left for word in placed))
    top = min(0, *(word.top for word in placed))
    right = max(crop.pixels.shape[1], *(word.left + word.text_alpha.shape[1] for word in placed))
    bottom = max(crop.pixels.shape[0], *(word.top + len(word.text_alpha) for word in placed))
    ink = np.zeros((bottom - top, right - left), dtype=np.float32)
    for word in placed:
        row, column = word.top - top, word.left - left
        target = ink[row : row + len(word.text_alpha), column : column + word.text_alpha.shape[1]]
        np.maximum(target, word.text_alpha, out=target)
    removed, background = _on_page(crop, layers.hole.astype(np.float32), layers.background, (0, 0), pixels.shape)
    answer = pixels.copy()
    if removed is not None:
        rows, columns, mask, colours = (*removed, background)
        window = answer[rows, columns]
        hole = mask > (0.5 if crop.level else 0.05)  # a tilted mask has soft edges
        window[hole] = _bytes(colours[hole])
    drawn, _ = _on_page(crop, ink, None, (left, top), pixels.shape)
    if drawn is not None:
        rows, columns, coverage = drawn
        window = answer[rows, columns]
        inked = coverage > 0.5 / 255
        share = coverage[inked][:, None]
        colour = np.array(layers.colour, dtype=np.float32)
        window[inked] = _bytes(window[inked] / np.float32(255) * (1 - share) + colour * share)
    return answer


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def _on_page(
    crop: Crop, mask: np.ndarray, colours: np.ndarray | None, corner: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice, np.ndarray] | None, np.ndarray]:
    """Arrays of the crop's frame on the picture: rows, columns and the mask there, and the colours there.

    Args:
        mask: (h, w) float32.
        colours: (h, w, 3) float32 or None.
        corner: the place (x, y) in the crop of the arrays' top left corner.
        shape: of the picture.

    Returns:
        None in place of the first where nothing falls on the picture.
    """
    height, width = mask.shape
    matrix = crop.back
    matrix[:, 2] += matrix[:, :2] @ np.array(corner, dtype=np.float64)  # leads the arrays' own places to the picture
    ends = move_points(matrix, _corners((0, 0, width, height)))
    left, top = np.maximum(np.floor(ends.min(axis=0) + 1e-6), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(ends.max(axis=0) - 1e-6), (shape[1], shape[0])).astype(int).tolist()
    nothing = np.zeros((0, 0, 3), dtype=np.float32)
    if left >= right or top >= bottom:
        return None, nothing
    matrix = matrix - np.array([[0, 0, left], [0, 0, top]])
    rows, columns = slice(top, bottom), slice(left, right)
    size = (right - left, bottom - top)
    if crop.level:
        x, y = (-round(float(shift)) for shift in matrix[:, 2])
        part = np.s_[y : y + size[1], x : x + size[0]]
        return (rows, columns, mask[part]), nothing if colours is None else colours[part]
    moved = np.clip(warp(mask, matrix, size, cv2.INTER_CUBIC, cv2.BORDER_CONSTANT), 0, 1)
    if colours is None:
        return (rows, columns, moved), nothing
    return (rows, columns, moved), np.clip(warp(colours, matrix, size, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE), 0, 1)
