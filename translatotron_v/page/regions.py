"""Plain regions of a picture: what connected ground a line of text stands on, and where that ground ends.

Ground ends where colour changes from one pixel to the next by more than noise does: at rules, borders, bubbles,
pictures and other text. A region is what can be reached without such a step, so a button, an ellipse and a cell of a
table are found alike, a gradient is one region, and on texture there is none.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from translatotron_v.page.ground import largest
from translatotron_v.page.profile import Bounds

_SIDE = 1600  # pixels of the longer side on which regions are told
_STEP = (10.0, 48.0)  # least and most that a step of colour is taken to be, levels
_NOISE = 5.0  # deviations of noise that make a step
_SHARE = 0.22  # of the surroundings of a line that its region fills at least
_COVERED = 0.75  # of those surroundings that a box hardly larger than its line shares with them
_ALIKE = 22  # levels from a smeared box's colour that are it,
_RIM, _ROOM = 0.12, 1.0  # ems above and below a line that show it, and around the line in which the box ends
_SPECK = 0.2  # ems: what is smaller on a region is no obstacle
_WHOLE = 0.97  # share of the columns between two rows that a rule fills
_CARD, _FILLED = 0.03, 0.8  # shares of a picture that a card takes at least, and of its box that it fills
_SPAN = 0.97  # share of a picture's width or height beyond which a region encloses nothing


@dataclass(frozen=True)
class Region:
    """The connected plain ground around some text.

    Attributes:
        number: of the region in its map; equal numbers are the same region.
        box: around it, pixels of the picture.
        encloses: whether it is a box or a bubble of its own; no page, and no strip of one between two rules.
    """

    number: int
    box: Bounds
    encloses: bool
    map: "RegionMap"

    def free(self, window: Bounds, em: float) -> np.ndarray:
        """Which pixels of a window of the picture, cut off at its edges, belong to the region: (h, w) bool.

        What is written on it does not, but for specks.
        """
        return self.map.free(self.number, window, em)

    def cells(self, window: Bounds, em: float) -> tuple[np.ndarray, tuple[float, float]]:
        """The same in the map's own cells, of which each is `map.scale` pixels wide, and where the first one lies."""
        return self.map.cells(self.number, window, em)


class RegionMap:
    """The plain regions of a picture (H, W, 3) of bytes."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.height, self.width = pixels.shape[:2]
        self.scale = max(1.0, max(self.height, self.width) / _SIDE)
        small = pixels
        if self.scale > 1:
            size = max(1, round(self.width / self.scale)), max(1, round(self.height / self.scale))
            small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        self._small = small
        self._apart: dict[int, tuple[np.ndarray, np.ndarray, tuple[int, int]]] = {}

    @cached_property
    def _steps(self) -> np.ndarray:
        """(h, w) bool: where the colour of the next pixel, to the right or below, is another."""
        values = self._small.astype(np.int16)
        across = largest(np.abs(np.diff(values, axis=1)))
        down = largest(np.abs(np.diff(values, axis=0)))
        sample = across[:: max(1, len(across) // 400)]
        noise = 1.4826 * float(np.median(sample)) / math.sqrt(2) if sample.size else 0.0
        least = float(np.clip(_NOISE * noise, *_STEP))
        steps = np.zeros(values.shape[:2], dtype=bool)
        steps[:, :-1] |= across > least
        steps[:-1] |= down > least
        return steps

    @cached_property
    def _labelled(self) -> tuple[np.ndarray, np.ndarray]:
        _, labels, stats, _ = cv2.connectedComponentsWithStats((~self._steps).astype(np.uint8), connectivity=4)
        return labels, stats

    def region(self, bounds: Bounds, em: float) -> Region | None:
        """The region that a line stands on; None where what surrounds it is no plain ground."""
        number = self._number(bounds, em)
        if number is None:
            return None
        x, y, width, height = (float(value) * self.scale for value in self._labelled[1][number, :4])
        spans = width >= _SPAN * self.width or height >= _SPAN * self.height
        box = (x, y, min(x + width, self.width), min(y + height, self.height))
        return Region(number, box, not spans, self)

    def _number(self, bounds: Bounds, em: float) -> int | None:
        """Of the region that surrounds a line, if it is plain ground."""
        labels, stats = self._labelled
        grow = 0.25 * em
        left, top, right, bottom = self._inside(
            (bounds[0] - grow, bounds[1] - grow / 2, bounds[2] + grow, bounds[3] + grow / 2)
        )
        window = labels[top:bottom, left:right]
        if not window.size:
            return None
        counts = np.bincount(window.ravel())
        counts[0] = 0
        number = int(counts.argmax())
        place = left, top, right, bottom
        large = stats[number, cv2.CC_STAT_AREA] >= 0.5 * window.size
        if counts[number] >= _SHARE * window.size and (large or self._is_box(number, place)):
            return number
        return self._smeared_box(place, em)

    def _smeared_box(self, window: tuple[int, int, int, int], em: float) -> int | None:
        """The number of a new region: the box around a line whose colour JPEG has broken up in small pieces."""
        labels, stats = self._labelled
        left, top, right, bottom = window
        edge = max(round(_RIM * em / self.scale), 1)  # there are fewer letters
        rows = np.r_[top : top + edge, max(bottom - edge, top) : bottom]
        colours = self._small[rows, left:right].reshape(-1, 3).astype(np.int16)
        cells = (colours // 16) @ (256, 16, 1)
        most = np.median(colours[cells == np.bincount(cells).argmax()], axis=0)
        around = max(round(_ROOM * em / self.scale), 2)
        x, y = max(left - around, 0), max(top - around, 0)
        place = np.s_[y : bottom + around, x : right + around]
        off = largest(np.abs(self._small[place] - most))
        _, parts, found, _ = cv2.connectedComponentsWithStats((off < _ALIKE).astype(np.uint8), connectivity=4)
        counts = np.bincount(parts[top - y : bottom - y, left - x : right - x].ravel())
        counts[0] = 0
        own = int(counts.argmax())
        wide, high = found[own, cv2.CC_STAT_WIDTH], found[own, cv2.CC_STAT_HEIGHT]
        if counts[own] < _SHARE * (right - left) * (bottom - top) or wide == parts.shape[1] or high == parts.shape[0]:
            return None
        number = len(stats)
        before = labels[place].copy()
        pieces = (before == 0) | (stats[before, cv2.CC_STAT_AREA] < counts.sum())
        labels[place][(parts == own) & pieces] = number
        self._labelled = labels, np.vstack([stats, np.add(found[own], (x, y, 0, 0, 0))])
        if self._is_box(number, window):
            return number
        labels[place] = before
        self._labelled = labels, stats
        return None

    def _is_box(self, number: int, window: tuple[int, int, int, int]) -> bool:
        """Whether a region that letters fill almost wholly is a box around them, as a tight button is."""
        labels, stats = self._labelled
        x, y, width, height = (int(value) for value in stats[number, :4])
        left, top, right, bottom = window
        shared = (min(x + width, right) - max(x, left)) * (min(y + height, bottom) - max(y, top))
        if shared < _COVERED * (right - left) * (bottom - top):
            return False
        own = labels[y : y + height, x : x + width] == number
        across = np.logical_or.accumulate(own, axis=1) & np.logical_or.accumulate(own[:, ::-1], axis=1)[:, ::-1]
        down = np.logical_or.accumulate(own, axis=0) & np.logical_or.accumulate(own[::-1], axis=0)[::-1]
        return float((across & down).mean()) > _FILLED

    def rule_between(self, above: Bounds, below: Bounds) -> bool:
        """Whether a straight rule runs between two rows, over all of their columns."""
        em = min(above[3] - above[1], below[3] - below[1])
        left, right = min(above[0], below[0]), max(above[2], below[2])
        upper, lower = sorted((above[3] - 0.1 * em, below[1] + 0.1 * em))
        for before, after in ((0.4 * em, 0.0), (0.0, 0.4 * em)):  # a rule does not end with the text on both sides
            x, top, end, bottom = self._inside((left - before, upper, right + after, lower))
            window = self._steps[top:bottom, x:end]
            if window.shape[1] > 8 and len(window) > 1 and _has_full_row(window):
                return True
        return False

    def cards(self) -> list[Bounds]:
        """Boxes of what stands apart on the picture's ground, such as panels and cards: filled, and not small."""
        labels, _ = self._labelled
        ground = self._ground()
        if ground is None:
            return []
        apart = (labels != ground).astype(np.uint8)
        _, _, parts, _ = cv2.connectedComponentsWithStats(apart, connectivity=4)
        height, width = labels.shape
        found = []
        for x, y, wide, high, area in parts[1:].tolist():
            large = wide * high > _CARD * width * height and min(wide, high) > 0.1 * min(width, height)
            if large and area > _FILLED * wide * high and (wide < _SPAN * width or high < _SPAN * height):
                found.append((x * self.scale, y * self.scale, (x + wide) * self.scale, (y + high) * self.scale))
        return found

    def _ground(self) -> int | None:
        """The number of the region that most of the picture's edge belongs to; None where none has a third of it."""
        labels, _ = self._labelled
        edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        counts = np.bincount(edge)
        counts[0] = 0
        number = int(counts.argmax())
        return number if 3 * counts[number] >= len(edge) else None

    def free(self, number: int, window: Bounds, em: float) -> np.ndarray:
        """See `Region.free`."""
        left, top, right, bottom = (
            max(math.floor(window[0]), 0), max(math.floor(window[1]), 0),
            min(math.ceil(window[2]), self.width), min(math.ceil(window[3]), self.height),
        )  # fmt: skip
        free, _ = self.cells(number, (left, top, right, bottom), em)
        size = max(right - left, 0), max(bottom - top, 0)
        if not free.size or not all(size):
            return np.zeros(size[::-1], dtype=bool)
        if self.scale == 1:
            return free
        return cv2.resize(free.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)

    def cells(self, number: int, window: Bounds, em: float) -> tuple[np.ndarray, tuple[float, float]]:
        """See `Region.cells`."""
        x, y, end, low = self._inside(window)
        parts, stats, (left, top) = self._parts(number)
        limit = _SPECK * em / self.scale
        small = (stats[:, cv2.CC_STAT_WIDTH] <= limit) & (stats[:, cv2.CC_STAT_HEIGHT] <= limit)
        small[0] = True
        free = np.zeros((max(low - y, 0), max(end - x, 0)), dtype=bool)
        inside = small[parts[max(y - top, 0) : max(low - top, 0), max(x - left, 0) : max(end - left, 0)]]
        first, upper = max(left - x, 0), max(top - y, 0)
        free[upper : upper + inside.shape[0], first : first + inside.shape[1]] = inside
        return free, (x * self.scale, y * self.scale)

    def _parts(self, number: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """The connected parts of what is none of a region within its box, their statistics, and the box's corner."""
        if number not in self._apart:  # many blocks share a region
            labels, found = self._labelled
            x, y, width, height = (int(value) for value in found[number, :4])
            taken = (labels[y : y + height, x : x + width] != number).astype(np.uint8)
            _, parts, stats, _ = cv2.connectedComponentsWithStats(taken, connectivity=8)
            self._apart[number] = parts, stats, (x, y)
        return self._apart[number]

    def _inside(self, bounds: Bounds) -> tuple[int, int, int, int]:
        """A rectangle of the picture on the map, cut off at its edges."""
        height, width = self._small.shape[:2]
        left, top, right, bottom = (edge / self.scale for edge in bounds)
        return (
            min(max(math.floor(left), 0), width), min(max(math.floor(top), 0), height),
            min(max(math.ceil(right), 0), width), min(max(math.ceil(bottom), 0), height),
        )  # fmt: skip


def _has_full_row(steps: np.ndarray) -> bool:
    """Whether two rows of steps together go all the way."""
    return bool(((steps[:-1] | steps[1:]).mean(axis=1) > _WHOLE).any())
