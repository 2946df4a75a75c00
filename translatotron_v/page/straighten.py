"""A block cut out of its picture, with its lines level, and the way back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np

from translatotron_v.page.blocks import Block
from translatotron_v.page.lines import Point, move_points, turn, warp
from translatotron_v.page.profile import Bounds

_MARGIN = 1.0  # ems of background around a block, from which its background is judged
_INKED = 0.3  # coverage from which a column holds ink
_ALIKE = 20.0  # degrees within which another line's tilt is the block's, about; the boxes of others say little
_SLACK = 0.15  # share of a line's height by which its accents and descenders may reach beyond its box


@dataclass(frozen=True)
class Crop:
    """A block, upright.

    Attributes:
        pixels: (h, w, 3) bytes. Where the block is level they are the picture's own; nothing is resampled.
        matrix: (2, 3), leads points of the picture (pixel edges) to points of the crop; lengths stay.
        rows: for each row of the block, its box in the crop.
        size: width and height of the picture.
        others: corners in the crop of lines of other blocks, as far as they reach into it.
    """

    pixels: np.ndarray
    matrix: np.ndarray
    rows: tuple[Bounds, ...]
    size: tuple[int, int]
    others: tuple[np.ndarray, ...] = field(default=())

    @property
    def level(self) -> bool:
        """Whether the crop is a plain copy of a rectangle of the picture."""
        return bool((self.matrix[:, :2] == np.eye(2)).all())

    @property
    def back(self) -> np.ndarray:
        """(2, 3), leads points of the crop to points of the picture."""
        return cv2.invertAffineTransform(self.matrix)

    def where(self, grow: float = 0.0) -> np.ndarray:
        """(h, w) bool: the boxes of the rows with room for accents, and so many pixels more on every side.

        What is nearer to another block's line is not among them.
        """
        mask = np.zeros(self.pixels.shape[:2], dtype=bool)
        for left, top, right, bottom in self.rows:
            slack = grow + _SLACK * (bottom - top)
            columns = slice(max(math.floor(left - slack), 0), max(math.ceil(right + slack), 0))
            mask[max(math.floor(top - slack), 0) : max(math.ceil(bottom + slack), 0), columns] = True
        return mask if self.foreign is None else mask & ~self.foreign

    @cached_property
    def foreign(self) -> np.ndarray | None:
        """(h, w) bool: where other blocks' letters are; None where there are none.

        Where boxes overlap, a pixel is that line's whose middle is nearer, as a share of its height.
        """
        if not self.others:
            return None
        height, width = self.pixels.shape[:2]
        theirs = np.full((height, width), np.inf, dtype=np.float32)
        down = np.arange(height, dtype=np.float32)[:, None]
        across = np.arange(width, dtype=np.float32)[None]
        for quad in self.others:
            inside = np.zeros((height, width), dtype=np.uint8)
            cv2.fillConvexPoly(inside, np.rint(quad).astype(np.int32), 1)
            upwards, (x, y) = (quad[3] - quad[0]) / 2, quad.mean(axis=0)
            off = ((across - x) * upwards[0] + (down - y) * upwards[1]) / max(float(upwards @ upwards), 0.25)
            np.minimum(theirs, np.abs(off), out=theirs, where=inside > 0)
        ours = np.full((height, width), np.inf, dtype=np.float32)
        for left, top, right, bottom in self.rows:
            columns = slice(max(math.floor(left), 0), max(math.ceil(right), 0))
            off = np.abs(down - (top + bottom) / 2) / max((bottom - top) / 2, 0.5)
            ours[:, columns] = np.minimum(ours[:, columns], off)
        return np.asarray((theirs < 1) & (theirs < ours))

    def fitted(self, ink: np.ndarray) -> "Crop":
        """The same crop, with its rows ending where ink (h, w) does: boxes stand off from their letters."""
        rows = []
        for left, top, right, bottom in self.rows:
            first = max(math.floor(left), 0)
            part = ink[max(math.floor(top), 0) : max(math.ceil(bottom), 0), first : max(math.ceil(right), 0)]
            columns = np.flatnonzero(part.max(axis=0, initial=0.0) > _INKED)
            if len(columns):
                left, right = max(left, first + float(columns[0])), min(right, first + float(columns[-1]) + 1)
            rows.append((left, top, right, bottom))
        return replace(self, rows=tuple(rows))

    def boxes_in_crop(self, quads: Sequence[Sequence[Point]]) -> np.ndarray:
        """The upright rectangles (N, 4) in the crop around the four corners of each of so many boxes of the picture."""
        corners = move_points(self.matrix, np.reshape(quads, (-1, 2))).reshape(-1, 4, 2)
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _is_level(quad: np.ndarray) -> bool:
    right, down = quad[1] - quad[0]
    return abs(math.degrees(math.atan2(down, right))) < _ALIKE


def straighten(
    pixels: np.ndarray, block: Block, margin: float = _MARGIN, others: Sequence[Sequence[Point]] = ()
) -> Crop:
    """Cut a block out of a picture (H, W, 3) of bytes, with so many ems of background around it.

    Args:
        others: corners of lines that are not the block's; what is written there is not either.
    """
    height, width = pixels.shape[:2]
    matrix, _ = turn(block.angle, 1, 1)
    corners = move_points(matrix, block.quad)
    room = margin * block.em + 2
    left, top = np.floor(corners.min(axis=0) - room).astype(int).tolist()
    right, bottom = np.ceil(corners.max(axis=0) + room).astype(int).tolist()
    if block.angle == 0:
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        matrix = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
        cut = pixels[top:bottom, left:right].copy()
    else:
        matrix = matrix - np.array([[0, 0, left], [0, 0, top]])
        cut = warp(pixels, matrix, (right - left, bottom - top), cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    rows = []
    for row in block.rows:
        corners = move_points(matrix, [point for line in row for point in line.quad])
        (first, upper), (last, lower) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        rows.append((first, upper, last, lower))
    high, wide = cut.shape[:2]
    moved = (move_points(matrix, quad) for quad in others)
    near = [
        quad for quad in moved
        if (quad.max(axis=0) > 0).all() and (quad.min(axis=0) < (wide, high)).all() and _is_level(quad)
    ]  # fmt: skip
    return Crop(cut, matrix, tuple(rows), (width, height), tuple(near))
