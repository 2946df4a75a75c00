"""Lines of text on a picture, and the maps that turn pictures and points.

Coordinates are pixel edges: (0, 0) is the outer corner of the top left pixel, (W, H) that of the bottom right one.
Angles are degrees, positive where a line falls towards its right end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from translatotron_v.page.profile import EM_PER_HEIGHT, Bounds

Point = tuple[float, float]  # x, y in pixels

_MOST = 16_384  # pixels of a side that are warped at once
_AROUND = 4  # pixels around a point from which its colour is interpolated


@dataclass(frozen=True)
class Line:
    """One line of text on a picture.

    Attributes:
        quad: corners in pixels, clockwise from the top left of the text.
        angle: degrees, positive where the line falls towards its right end; 0 for a line that is level.
        height: of the box across the line, pixels; about 1.12 times the text's pixels per em.
        skip_reason: why the line cannot be translated ("vertical", "tilted", "small"); empty where it can.
        fit: how well its ink agrees with the profile of text, in [0, 1]; 0 where that is unknown.
    """

    quad: tuple[Point, ...]
    angle: float
    height: float
    skip_reason: str = ""
    fit: float = 0.0

    @property
    def width(self) -> float:
        """Of the box along the line, pixels."""
        return _length(self.quad[0], self.quad[1])

    @property
    def em(self) -> float:
        """Pixels per em as the box tells."""
        return self.height * EM_PER_HEIGHT

    @property
    def centre(self) -> Point:
        """Middle of the box."""
        columns, rows = zip(*self.quad, strict=True)
        return sum(columns) / 4, sum(rows) / 4

    @property
    def bounds(self) -> Bounds:
        """The upright rectangle around the box."""
        columns, rows = zip(*self.quad, strict=True)
        return min(columns), min(rows), max(columns), max(rows)


def turn(angle: float, height: int, width: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The map (2, 3) that turns a picture so that lines of that angle become level, and the size it needs.

    Points are pixel edges; the size is (width, height) of the whole picture when turned.
    """
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    rotation = np.array([[cosine, sine], [-sine, cosine]])
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)]) @ rotation.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    matrix = np.concatenate([rotation, -low[:, None]], axis=1)
    return matrix, (math.ceil(high[0] - low[0]), math.ceil(high[1] - low[1]))


def move_points(matrix: np.ndarray, points: Sequence[Point] | np.ndarray) -> np.ndarray:
    """Points (N, 2) led through an affine map (2, 3): (N, 2)."""
    return np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def warp(
    picture: np.ndarray,
    matrix: np.ndarray,
    size: tuple[int, int],
    flags: int,
    border: int,
    fill: Sequence[float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """`cv2.warpAffine` for a map (2, 3) between pixel edges; OpenCV's own is between pixel middles.

    Neither picture nor size is bounded, where OpenCV's own are, at 32,767 pixels a side.
    """
    width, height = size
    if max(size) > _MOST:
        axis = int(width >= height)
        first = max(size) // 2
        moved = matrix.copy()
        moved[1 - axis, 2] -= first
        sizes = [(first, height), (width - first, height)] if axis else [(width, first), (width, height - first)]
        maps = (matrix, moved)
        return np.concatenate(
            [warp(picture, *part, flags, border, fill) for part in zip(maps, sizes, strict=True)], axis
        )
    # Only what is needed of the picture is handed over.
    corners = move_points(cv2.invertAffineTransform(matrix), [(0, 0), (width, 0), (width, height), (0, height)])
    last = np.array(picture.shape[1::-1]) - 1
    left, top = np.clip(np.floor(corners.min(axis=0)) - _AROUND, 0, last).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + _AROUND, 1, last + 1).astype(int).tolist()
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ (left + 0.5, top + 0.5) - 0.5
    part = picture[top : max(bottom, top + 1), left : max(right, left + 1)]
    return cv2.warpAffine(part, centred, size, flags=flags, borderMode=border, borderValue=fill)


def line_of(quad: Sequence[Point] | np.ndarray) -> Line:
    """The line of a rectangle: corners clockwise from the top left of its text."""
    corners = tuple((float(x), float(y)) for x, y in quad)
    (left, top), (right, bottom) = corners[0], corners[1]
    angle = math.degrees(math.atan2(bottom - top, right - left))
    height = (_length(corners[0], corners[3]) + _length(corners[1], corners[2])) / 2
    return Line(corners, angle, height)


def rectangle(centre: Point, width: float, height: float, angle: float) -> Line:
    """A line of that size around a point, at an angle in degrees."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    across = np.array([-width / 2, width / 2, width / 2, -width / 2])
    down = np.array([-height / 2, -height / 2, height / 2, height / 2])
    corners = zip(centre[0] + across * cosine - down * sine, centre[1] + across * sine + down * cosine, strict=True)
    return Line(tuple((float(x), float(y)) for x, y in corners), angle, height)


def _length(start: Point, end: Point) -> float:
    return math.hypot(end[0] - start[0], end[1] - start[1])
