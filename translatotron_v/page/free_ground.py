"""The ground around a block as its crop sees it: where words may stand, and how wide its box is in which rows."""

import math

import cv2
import numpy as np

from translatotron_v.page.profile import Bounds
from translatotron_v.page.regions import Region
from translatotron_v.page.straighten import Crop

_REACH = 16.0  # ems around a block in which the ground is known
_OWN = 0.95  # share of what stands on the ground that lies in a block's rows where it is its text
_ACROSS, _ALL = 0.5, 0.08  # shares of a row or column of a word's box, and of all of it, that may be no ground


class Ground:
    """The plain region of a level block.

    Args:
        region: of the block.
        crop: of the block; all places are in its pixels.
        em: of its text, pixels.
    """

    def __init__(self, region: Region, crop: Crop, em: float) -> None:
        x, y = (float(shift) for shift in crop.matrix[:, 2])  # from the picture to the crop
        self.encloses = region.encloses
        left, top, right, bottom = region.box
        self.box: Bounds = (left + x, top + y, right + x, bottom + y)
        edges = np.array(crop.rows)
        (first, upper), (last, lower) = edges[:, :2].min(axis=0), edges[:, 2:].max(axis=0)
        reach = _REACH * em
        window = (
            max(math.floor(max(first - reach - x, left - 1)), 0), max(math.floor(max(upper - reach - y, top - 1)), 0),
            min(math.ceil(min(last + reach - x, right + 1)), crop.size[0]),
            min(math.ceil(min(lower + reach - y, bottom + 1)), crop.size[1]),
        )  # fmt: skip
        self._free, (across, down) = region.cells(window, em)
        self._left, self._top, self._scale = across + x, down + y, region.map.scale
        own = np.zeros_like(self._free)
        for row in crop.rows:
            slack = 0.2 * (row[3] - row[1])
            columns, rows = self._window((row[0] - slack, row[1] - slack, row[2] + slack, row[3] + slack))
            own[rows, columns] = True
        near = self._window((first - em, upper - em, last + em, lower + em))
        self._free[near[::-1]] |= _mostly_within(~self._free[near[::-1]], own[near[::-1]])
        self._inside = self._enclosed()
        self._free |= self._inside & own  # the block's own text goes

    def _window(self, bounds: Bounds) -> tuple[slice, slice]:
        """The cells of a rectangle: columns and rows."""
        edges = ((bounds[0] - self._left, bounds[2] - self._left), (bounds[1] - self._top, bounds[3] - self._top))
        if self._scale == 1:
            columns, rows = (slice(max(math.floor(first), 0), max(math.ceil(last), 0)) for first, last in edges)
        else:
            columns, rows = (
                slice(max(round(first / self._scale), 0), max(round(last / self._scale), 0)) for first, last in edges
            )
        return columns, rows

    def _enclosed(self) -> np.ndarray:
        """Between the first and the last pixel of the region in each row."""
        columns = np.arange(self._free.shape[1])
        any_free = self._free.any(axis=1)
        first = np.where(any_free, self._free.argmax(axis=1), self._free.shape[1])
        last = np.where(any_free, self._free.shape[1] - 1 - self._free[:, ::-1].argmax(axis=1), -1)
        return np.asarray((columns >= first[:, None]) & (columns <= last[:, None]))

    def holds(self, bounds: Bounds) -> bool:
        """Whether a word's box lies on the region; specks do not count, a rule or a border does."""
        columns, rows = self._window(bounds)
        taken = ~self._free[rows, columns]
        if not taken.size:
            return False
        crossed = taken.mean(axis=0).max() > _ACROSS or taken.mean(axis=1).max() > _ACROSS
        return not crossed and float(taken.mean()) <= _ALL

    def clears(self, bounds: Bounds, apart: float) -> bool:
        """Whether the columns at both sides of a word's box are ground as well, so many pixels of them."""
        left, top, right, bottom = bounds
        sides = (left - apart, top, left, bottom), (right, top, right + apart, bottom)
        for columns, rows in map(self._window, sides):
            taken = ~self._free[rows, columns]
            if taken.size and taken.mean(axis=0).max() > _ACROSS:
                return False
        return True

    def room(self, upper: float, lower: float, middle: float) -> float | None:
        """How wide a text around a column may be between two rows; None where the region does not reach so far."""
        if upper < self.box[1] or lower > self.box[3]:
            return None
        _, rows = self._window((0.0, upper, 0.0, lower))
        inside: np.ndarray = (
            np.asarray(self._inside[rows].all(axis=0)) if self._free[rows].size else np.zeros(0, dtype=bool)
        )
        place = round((middle - self._left) / self._scale)
        if not 0 <= place < len(inside) or not inside[place]:
            return None
        before, after = inside[:place][::-1], inside[place:]
        left = int(np.argmin(before)) if not before.all() else len(before)
        right = int(np.argmin(after)) if not after.all() else len(after)
        return 2.0 * min(left, right) * self._scale


def panel(region: Region | None, crop: Crop, em: float) -> np.ndarray | None:
    """Which pixels of a level crop (h, w) lie within a block's own box or bubble; None where it has none."""
    if region is None or not region.encloses or not crop.level:
        return None
    height, width = crop.pixels.shape[:2]
    x, y = (float(shift) for shift in crop.matrix[:, 2])
    free = region.free((-x, -y, width - x, height - y), em)
    if free.shape != (height, width):
        return None
    inside = np.zeros((height, width), dtype=np.uint8)
    places = cv2.findNonZero(free.astype(np.uint8))
    if places is None:
        return None
    cv2.fillConvexPoly(inside, cv2.convexHull(places), 1)  # letters and what JPEG smeared from them hide parts of it
    return cv2.erode(inside, np.ones((3, 3), np.uint8)) > 0  # its edge is blurred


def _mostly_within(taken: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The connected parts of what is no ground (h, w) that lie in a block's rows; a rule or a border goes on outside.

    Small letters hide the ground between them, and those at the picture's edge what is before them.
    """
    if not taken.any():
        return taken
    count, parts, stats, _ = cv2.connectedComponentsWithStats(taken.astype(np.uint8), connectivity=8)
    inside = np.bincount(parts[own], minlength=count)
    within = inside >= _OWN * np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    within[0] = False
    return np.asarray(within[parts])
