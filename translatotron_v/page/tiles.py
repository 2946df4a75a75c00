"""Large pictures in pieces: the same picture at several sizes, where there is detail on it, and tiles that cover that.

A detector is led over tiles, and what it says of them is put together before lines are made of it, so that a line that
crosses a seam is one line.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from translatotron_v.ocr import LineDetector

Quad = Sequence[tuple[float, float]] | np.ndarray
Rect = tuple[int, int, int, int]  # left, top, right, bottom

CELL = 32  # pixels of a square in which there is detail or none
TILE = 32  # cells: the longest side of a tile
MARGIN = 32  # pixels around a tile that the detector sees as well
SMALLEST_SIDE = 96  # pixels of its shorter side down to which a picture is halved

_OWN = 16  # pixels around a tile in which what is found counts
_AROUND = MARGIN + 24  # pixels that are searched at each side of a tile, those included that the detector adds
_CONTRAST = 14  # grey levels by which strokes that a smaller picture loses stand out at least
_STROKES = 10  # such pixels in a cell, at least
_FAINT = 6  # grey levels up to which colours are one
_MOST = 5  # halvings


@dataclass(frozen=True)
class Level:
    """A picture at one size.

    Attributes:
        pixels: (h, w, 3) bytes.
        scale: pixels of this one for each of the whole picture, along x and y.
    """

    pixels: np.ndarray
    scale: tuple[float, float]

    def to_level(self, quad: Quad) -> np.ndarray:
        """Points (N, 2) of the picture on this level."""
        return np.asarray(quad, dtype=np.float64) * self.scale

    def to_picture(self, quad: Quad) -> np.ndarray:
        """Points (N, 2) of this level on the picture."""
        return np.asarray(quad, dtype=np.float64) / self.scale


def pyramid(pixels: np.ndarray) -> list[Level]:
    """A picture (H, W, 3) of bytes, and half of it, and half of that, as long as there is something on it."""
    levels = [Level(np.ascontiguousarray(pixels), (1.0, 1.0))]
    height, width = pixels.shape[:2]
    while min(levels[-1].pixels.shape[:2]) >= 2 * SMALLEST_SIDE and len(levels) <= _MOST:
        last = levels[-1].pixels
        half = cv2.resize(last, _halved(last), interpolation=cv2.INTER_AREA)
        levels.append(Level(half, (half.shape[1] / width, half.shape[0] / height)))
    return levels


def uneven_cells(level: Level) -> np.ndarray:
    """Squares of `CELL` pixels that are not of one colour, (rows, columns) bool."""
    height, width = level.pixels.shape[:2]
    cells = []
    for top in range(0, height, CELL):
        row = level.pixels[top : top + CELL]
        row = np.pad(row, ((0, 0), (0, -width % CELL), (0, 0)), "edge").reshape(len(row), -1, CELL, 3)
        cells.append((row.max(axis=(0, 2)) - row.min(axis=(0, 2))).max(axis=1) > _FAINT)
    return np.array(cells)


def detailed_cells(level: Level, settled: Sequence[Quad]) -> np.ndarray:
    """Squares of `CELL` pixels with strokes that half the picture does not show, (rows, columns) bool.

    Args:
        settled: corners, on the level, of what need not be looked at.
    """
    height, width = level.pixels.shape[:2]
    rows, columns = -(-height // CELL), -(-width // CELL)
    cells = np.zeros((rows, columns), dtype=bool)
    band = max(1, 2_000_000 // (width * CELL))  # rows of cells that fit into memory easily
    for first in range(0, rows, band):
        top = first * CELL
        pixels = level.pixels[top : top + band * CELL]
        half = cv2.resize(pixels, _halved(pixels), interpolation=cv2.INTER_AREA)
        whole = cv2.resize(half, (width, len(pixels)), interpolation=cv2.INTER_LINEAR)
        lost = cv2.split(cv2.absdiff(pixels, whole))
        fine = (np.asarray(cv2.max(cv2.max(lost[0], lost[1]), lost[2])) > _CONTRAST).astype(np.uint8)
        for quad in settled:
            corners = np.asarray(quad) - (0, top)
            if corners[:, 1].max() > 0 and corners[:, 1].min() < len(pixels):
                cv2.fillConvexPoly(fine, np.rint(corners).astype(np.int32), 0)
        fine = np.pad(fine, ((0, -len(pixels) % CELL), (0, -width % CELL)))
        counts = fine.reshape(len(fine) // CELL, CELL, columns, CELL).sum(axis=(1, 3), dtype=np.int32)
        cells[first : first + band] = counts >= _STROKES
    return cells


def mark(cells: np.ndarray, quads: Sequence[Quad], margin: float = 0.0) -> None:
    """Set the cells, in place, that lie in the upright rectangle around corners, and so many pixels around it."""
    for quad in quads:
        corners = np.asarray(quad)
        left, top = np.maximum((corners.min(axis=0) - margin) // CELL, 0).astype(int)
        right, bottom = ((corners.max(axis=0) + margin) // CELL + 1).astype(int)
        cells[top:bottom, left:right] = True


def cover(cells: np.ndarray) -> Iterator[Rect]:
    """Rectangles of cells that hold all those that are set and few others, none longer than `TILE`; without overlap.

    One is cut in two as long as searching the two, each with its margin, is less work.
    """
    todo = [(0, 0, cells.shape[1], cells.shape[0])]
    while todo:
        left, top, right, bottom = todo.pop()
        part = cells[top:bottom, left:right]
        columns, rows = np.flatnonzero(part.any(axis=0)), np.flatnonzero(part.any(axis=1))
        if not len(columns):
            continue
        part = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        left, top = left + int(columns[0]), top + int(rows[0])
        height, width = part.shape
        right, bottom = left + width, top + height
        (beside, column), (below, row) = _best_cut(part), _best_cut(part.T)
        if max(width, height) <= TILE and min(beside, below) >= _work(width, height):
            yield left, top, right, bottom
        elif (width > TILE, -beside) >= (height > TILE, -below) and column:
            todo += [(left, top, left + column, bottom), (left + column, top, right, bottom)]
        else:
            todo += [(left, top, right, top + row), (left, top + row, right, bottom)]


def _best_cut(part: np.ndarray) -> tuple[float, int]:
    """The work that two parts of cells (rows, columns) are at best, and the column at which the second one begins.

    Of equal cuts it is the one nearest to the middle; without any, infinite work and column 0.
    """
    columns = part.shape[1]
    if columns < 2:
        return float("inf"), 0
    places = np.arange(1, columns)
    used = part.any(axis=0)
    ends = np.maximum.accumulate(np.where(used, np.arange(columns) + 1, 0))[:-1]  # of what is left of each place
    starts = np.minimum.accumulate(np.where(used, np.arange(columns), columns)[::-1])[::-1][1:]
    before = np.logical_or.accumulate(part, axis=1)[:, :-1]
    after = np.logical_or.accumulate(part[:, ::-1], axis=1)[:, ::-1][:, 1:]
    heights = [len(part) - side.argmax(axis=0) - side[::-1].argmax(axis=0) for side in (before, after)]
    work = _work(ends, heights[0]) + _work(columns - starts, heights[1])
    best = int(np.lexsort((np.abs(places - columns / 2), work))[0])
    return float(work[best]), int(places[best])


def _work(width: Any, height: Any) -> Any:
    """How many pixels the detector sees of a tile of so many cells."""
    return (width * CELL + 2 * _AROUND) * (height * CELL + 2 * _AROUND)


def probabilities(pixels: np.ndarray, cells: np.ndarray, detector: LineDetector) -> np.ndarray:
    """What the detector says of a picture (H, W, 3) where cells are set, 0 elsewhere: (H, W) bytes."""
    height, width = pixels.shape[:2]
    answer = np.zeros((height, width), dtype=np.uint8)
    grown = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), dtype=np.uint8)) > 0
    for rect in cover(grown):
        own = _within([edge * CELL for edge in rect], _OWN, width, height)
        seen = _within([edge * CELL for edge in rect], MARGIN, width, height)
        found = detector.probabilities(pixels[seen[1] : seen[3], seen[0] : seen[2]])
        target = answer[own[1] : own[3], own[0] : own[2]]
        part = found[own[1] - seen[1] : own[3] - seen[1], own[0] - seen[0] : own[2] - seen[0]]
        np.maximum(target, part, out=target)
    return answer


def _halved(pixels: np.ndarray) -> tuple[int, int]:
    return (pixels.shape[1] + 1) // 2, (pixels.shape[0] + 1) // 2


def _within(rect: Sequence[int], margin: int, width: int, height: int) -> Rect:
    left, top, right, bottom = rect
    return max(left - margin, 0), max(top - margin, 0), min(right + margin, width), min(bottom + margin, height)
