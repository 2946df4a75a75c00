"""A block cut out of its picture, with its lines level, and the way back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from translatotron_v.page.blocks import Block
from translatotron_v.page.lines import Point, move_points, turn, warp
from translatotron_v.page.profile import Bounds

_MARGIN = 1.0  # ems of background around a block, from which its background is judged
_INKED = 0.3  # coverage from which a column holds ink
_SLACK = 0.15  # share of a line's height by which its accents and descenders may reach beyond its box


@dataclass(frozen=True)
class Crop:
    """A block, upright.

    Attributes:
        pixels: (h, w, 3) bytes. Where the block is level they are the picture's own; nothing is resampled.
        matrix: (2, 3), leads points of the picture (pixel edges) to points of the crop; lengths stay.
        rows: for each row of the block, its box in the crop.
        size: width and height of the picture.
    """

    pixels: np.ndarray
    matrix: np.ndarray
    rows: tuple[Bounds, ...]
    size: tuple[int, int]

    @property
    def level(self) -> bool:
        """Whether the crop is a plain copy of a rectangle of the picture."""
        return bool((self.matrix[:, :2] == np.eye(2)).all())

    @property
    def back(self) -> np.ndarray:
        """(2, 3), leads points of the crop to points of the picture."""
        return cv2.invertAffineTransform(self.matrix)

    def where(self, grow: float = 0.0) -> np.ndarray:
        """(h, w) bool: the boxes of the rows with room for accents, and so many pixels more on every side."""
        mask = np.zeros(self.pixels.shape[:2], dtype=bool)
        for left, top, right, bottom in self.rows:
            slack = grow + _SLACK * (bottom - top)
            columns = slice(max(math.floor(left - slack), 0), max(math.ceil(right + slack), 0))
            mask[max(math.floor(top - slack), 0) : max(math.ceil(bottom + slack), 0), columns] = True
        return mask

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

    def to_crop(self, quad: Sequence[Point]) -> Bounds:
        """The upright rectangle in the crop around points of the picture."""
        corners = move_points(self.matrix, quad)
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return left, top, right, bottom


def straighten(pixels: np.ndarray, block: Block, margin: float = _MARGIN) -> Crop:
    """Cut a block out of a picture (H, W, 3) of bytes, with so many ems of background around it."""
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
    return Crop(cut, matrix, tuple(rows), (width, height))
