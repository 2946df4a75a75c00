"""Where the words of a translation go: lines in the room of the block that they replace, on its ground."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from translatotron_v.page.blocks import Alignment
from translatotron_v.page.free_ground import Ground
from translatotron_v.page.lines import Point, move_points
from translatotron_v.page.profile import Bounds, Setting
from translatotron_v.page.regions import Region
from translatotron_v.page.shaping import Word, at_size
from translatotron_v.page.straighten import Crop
from translatotron_v.page.strips import EM, USUAL_GAP, frame
from translatotron_v.page.style import Placed

SHRUNK = 0.6  # of the block's size: a translation is set no smaller than this,
LEAST = 7.0  # nor smaller than this many pixels per em
_STEP = 0.95  # from one size that is tried to the next
_WIDEST_GAP = 0.9  # of a justified line, ems
_ASCENT, _DESCENT = 0.76, 0.25  # of letters without accents, ems
_SLACK = 0.3  # ems by which lines may be longer than the block's longest
_APART = 0.25  # ems between the words and what stands beside them,
_NEAR = 0.1  # and where words stood before
_AROUND = 0.25  # of a row, which no neighbour covers
_EXACT = 0.02  # words whose size is so near to a strip's are not resampled
_IN_BOX = 0.35  # ems that text in a box leaves free of its width, and at its lower edge
_X_MIDDLE = 0.26  # ems from a baseline up to the middle of small letters
_ROUNDING = 1 - 1e-9
_INK = 0.05  # coverage from which a row of a word holds ink


@dataclass(frozen=True)
class PlacedWord(Placed):
    """A word's ink at its final size, and where it goes in the crop."""

    @cached_property
    def bounds(self) -> Bounds:
        """Of its ink; of a whole strip line's rows where it has none."""
        rows = np.flatnonzero(self.text_alpha.max(axis=1, initial=0.0) > _INK)
        first, last = (rows[0], rows[-1] + 1) if len(rows) else (0, len(self.text_alpha))
        return self.left, self.top + float(first), self.left + self.text_alpha.shape[1], self.top + float(last)


@dataclass(frozen=True)
class _Room:
    """Where lines may be: from left to right, and down to bottom; in pixels of the crop."""

    left: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Arranged:
    """Where the words of a block go.

    Attributes:
        words: with their ink.
        share: of the block's size that they have.
    """

    words: tuple[PlacedWord, ...]
    share: float


def arrange(
    crop: Crop,
    setting: Setting,
    words: Sequence[Word],
    alignment: Alignment = "left",
    obstacles: Sequence[Sequence[Point]] = (),
    gap: float = USUAL_GAP,
    breaks: Collection[int] = (),
    region: Region | None = None,
    largest: float = 1.0,
    ground: Ground | None = None,
) -> Arranged | None:
    """Find places for words; None where there is no room.

    Args:
        crop, setting: of the block.
        words: of the text, in reading order.
        obstacles: corners of what must not be covered, such as the other blocks' quads.
        gap: between the ink of two words, ems; `strips.usual_gap` tells the block's own.
        breaks: numbers of the words that begin a line, such as the entries of a list; ignored where there is no room.
        region: the plain ground that the block stands on. Words stay on it: off rules, borders and pictures; in a box
            of its own a centred text stays in its middle.
        largest: share of the block's size with which to begin, such as the one that its equals need.
        ground: of the region, where it is known already (`ground_of`).
    """
    kept = [number for number, word in enumerate(words) if callable(word) or word.shape[1]]
    if not kept:
        return None
    lines = frozenset(place for place, number in enumerate(kept) if number in breaks)
    words = [words[number] for number in kept]
    barriers = _beside(crop, crop.boxes_in_crop(obstacles))
    ground = ground or ground_of(region, crop, setting.em)
    rooms = _rooms(crop, setting, barriers, alignment, ground)
    tries = [(starts, rooms, ground) for starts in dict.fromkeys((lines, frozenset[int]()))]
    if ground is not None and not ground.encloses:
        # Over a photograph even the block's own text leaves the plain ground: where that stood, words may stand.
        tries.append((frozenset(), rooms[:1], None))
    for starts, where, on in tries:
        boxed = on if on is not None and on.encloses and alignment == "centre" and not starts else None
        for share in _shares(setting.em, largest):
            layouts = (
                (_lay_out(words, setting, share, room, alignment, gap, starts) for room in where)
                if boxed is None
                else [_lay_out_in_box(words, setting, share, boxed, crop, gap)]
            )
            for placed in layouts:
                if placed is not None and _is_free(placed, crop, setting, barriers, on):
                    return Arranged(tuple(placed), share)
    return None


def _shares(em: float, largest: float) -> Iterator[float]:
    """Of the block's size, from the largest down."""
    share = largest
    while share >= SHRUNK * _ROUNDING and (share == largest or em * share >= LEAST):
        yield share
        share *= _STEP


def _beside(crop: Crop, barriers: np.ndarray) -> np.ndarray:
    """Barriers (N, 4) but for those around the block's own text, such as texture that was taken for a line."""
    lefts, tops, rights, bottoms = barriers.T
    around = np.ones(len(barriers), dtype=bool)
    for left, top, right, bottom in crop.rows:
        middle = (top + bottom) / 2
        covered = np.minimum(rights, right) - np.maximum(lefts, left)
        around &= (tops < middle) & (bottoms > middle) & (covered > _AROUND * (right - left))
    return barriers[~around]


def ground_of(region: Region | None, crop: Crop, em: float) -> Ground | None:
    """Where words of a block may stand; None where it has no region, or is tilted."""
    return Ground(region, crop, em) if region is not None and crop.level else None


def _rooms(
    crop: Crop, setting: Setting, barriers: np.ndarray, alignment: Alignment, ground: Ground | None = None
) -> list[_Room]:
    """The block's own box, then what is free below it and beside it; of a single line, first beside it.

    Barriers (N, 4) are boxes in the crop of what must not be covered.

    Beside it is at its right, of a block set to the right at its left, and of a centred one equally at both sides.
    """
    left, right = min(row[0] for row in crop.rows), max(row[2] for row in crop.rows)
    top, bottom = setting.baselines[0] - _ASCENT * setting.em, setting.baselines[-1] + _DESCENT * setting.em
    start, edge, floor = _page_edges(crop)
    if ground is not None and ground.encloses:
        start, edge, floor = ground.box[0], ground.box[2], ground.box[3] - _IN_BOX * setting.em
        left, right = max(left, start + 1), min(right, edge - 1)  # a line's box may have taken in a rule beside it
    apart = _APART * setting.em

    lefts, tops, rights, bottoms = barriers.T

    def below(first: float, last: float) -> float:
        under = tops[(tops >= bottom - apart) & (lefts < last + apart) & (rights > first)]
        return max(float(under.min(initial=floor + apart)) - apart, bottom)

    level = (tops < bottom + apart) & (bottoms > top)
    after, before = lefts[level & (lefts >= right - apart)], rights[level & (rights <= left + apart)]
    more_right = max(float(after.min(initial=edge)) - apart - right, 0.0)
    more_left = max(left - float(before.max(initial=start)) - apart, 0.0)
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
) -> list[PlacedWord] | None:
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
            placed.append(PlacedWord(inks[index], round(pen), base - frame(scale)[0], base, index))
            pen += inks[index].shape[1] + space + stretch
    return placed


def _lay_out_in_box(
    words: Sequence[Word], setting: Setting, share: float, ground: Ground, crop: Crop, gap: float
) -> list[PlacedWord] | None:
    """Words at a share of the block's size around its middle, in as few lines as its box has room for."""
    em, pitch = setting.em * share, setting.pitch * share
    scale = 1.0 if abs(em / EM - 1) < _EXACT else em / EM
    inks = [word(scale) if callable(word) else at_size(word, scale) for word in words]
    space = max(1, round(gap * em))
    across = (min(row[0] for row in crop.rows) + max(row[2] for row in crop.rows)) / 2
    middle = sum(setting.baselines) / len(setting.baselines) - _X_MIDDLE * (setting.em - em)
    for count in range(1, len(inks) + 1):
        first = middle - (count - 1) * pitch / 2
        placed: list[PlacedWord] = []
        number = 0
        for line in range(count):
            base = round(first + line * pitch)
            free = ground.room(base - _ASCENT * em, base + _DESCENT * em, across)
            end, width = number, -space
            while free is not None and end < len(inks) and width + space + inks[end].shape[1] <= free - _IN_BOX * em:
                width += space + inks[end].shape[1]
                end += 1
            if free is None or end == number:
                break
            pen = across - width / 2
            for index in range(number, end):
                placed.append(PlacedWord(inks[index], round(pen), base - frame(scale)[0], base, index))
                pen += inks[index].shape[1] + space
            number = end
        if number == len(inks):
            return placed
    return None


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


def _is_free(
    placed: Sequence[PlacedWord],
    crop: Crop,
    setting: Setting,
    barriers: np.ndarray,
    ground: Ground | None = None,
) -> bool:
    """Whether words lie within the picture and on nothing that must not be covered."""
    width, height = crop.size
    back = crop.back
    first_column, last_column = min(row[0] for row in crop.rows), max(row[2] for row in crop.rows)
    lefts, tops, rights, bottoms = barriers.T
    for word in placed:
        left, top, right, bottom = word.bounds
        # Where the old text stood the new one may, however near its neighbours.
        own = left >= first_column and right <= last_column
        apart = (_NEAR if own else _APART) * setting.em
        corners = move_points(back, corners_of(word.bounds))
        if corners.min() < 0 or corners[:, 0].max() > width or corners[:, 1].max() > height:
            return False
        if ground is not None and not (ground.holds(word.bounds) and (own or ground.clears(word.bounds, apart))):
            return False
        if ((left < rights + apart) & (right > lefts - apart) & (top < bottoms) & (bottom > tops)).any():
            return False
    return True


def corners_of(bounds: Bounds) -> list[Point]:
    left, top, right, bottom = bounds
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def quad_of(back: np.ndarray, bounds: Bounds) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in move_points(back, corners_of(bounds)))
