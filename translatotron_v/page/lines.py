"""Where lines of text are on a picture, and how they are tilted.

The detector's boxes are exact for upright text and up to five degrees off for tilted text. So each angle is measured
again on the pixels, and a picture that is tilted is turned upright and searched once more.

Coordinates are pixel edges: (0, 0) is the outer corner of the top left pixel, (W, H) that of the bottom right one.
Angles are degrees, positive where a line falls towards its right end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from translatotron_v.ocr import LineDetector
from translatotron_v.page.profile import BELOW_CENTRE, EM_PER_HEIGHT, Bounds, measure

Point = tuple[float, float]  # x, y in pixels

STEEPEST = 15.0  # degrees; text tilted further is left as it is
SMALLEST = 7.0  # pixels per em below which text cannot be read

_LEVEL = 0.3  # degrees; lines tilted less than this are taken as level, and no pixel of theirs is resampled
_SAME_TILT = 1.5  # degrees within which lines belong to the same tilt
_SEARCH = 5.0  # degrees on either side of a box's angle within which the pixels' angle is looked for
_TILTS = 2  # a picture is turned and searched again for so many different angles at most
_TEXT_LIKE = 0.93  # fit of a line's profile from which its size and place are taken from it instead of from its box
_LONG = 3.0  # lines this many times longer than high have an angle that can be measured


@dataclass(frozen=True)
class Line:
    """One line of text on a picture.

    Attributes:
        quad: corners in pixels, clockwise from the top left of the text.
        angle: degrees, positive where the line falls towards its right end; 0 for a line that is level.
        height: of the box across the line, pixels; about 1.12 times the text's pixels per em.
        skip_reason: why the line cannot be translated ("vertical", "tilted", "small"); empty where it can.
    """

    quad: tuple[Point, ...]
    angle: float
    height: float
    skip_reason: str = ""

    @property
    def width(self) -> float:
        """Of the box along the line, pixels."""
        return _length(self.quad[0], self.quad[1])

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


def find_lines(pixels: np.ndarray, detector: LineDetector) -> list[Line]:
    """The lines of text on a picture (H, W, 3) of bytes, in no particular order.

    Lines that cannot be translated are among them, with the reason.
    """
    lines = [_line(quad) for quad in detector.find(pixels)]
    slopes = _slopes(pixels)
    lines = [replace(line, angle=_measure_angle(line, slopes)) if _measurable(line) else line for line in lines]
    for tilt in _tilts(lines):
        lines = _search_tilted(pixels, detector, lines, tilt)
    lines = [_settle(line, _tilt_of(line, lines)) for line in lines]
    return [_judge(_tighten(line, pixels)) for line in lines]


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


def warp(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int], flags: int, border: int) -> np.ndarray:
    """`cv2.warpAffine` for a map (2, 3) between pixel edges; OpenCV's own is between pixel middles."""
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(picture, centred, size, flags=flags, borderMode=border)


def _line(quad: Sequence[Point]) -> Line:
    (left, top), (right, bottom) = quad[0], quad[1]
    angle = math.degrees(math.atan2(bottom - top, right - left))
    height = (_length(quad[0], quad[3]) + _length(quad[1], quad[2])) / 2
    return Line(tuple(quad), angle, height)


def _length(start: Point, end: Point) -> float:
    return math.hypot(end[0] - start[0], end[1] - start[1])


def _measurable(line: Line) -> bool:
    return line.width > _LONG * line.height and abs(line.angle) < STEEPEST + _SEARCH


def _slopes(pixels: np.ndarray) -> np.ndarray:
    """How much brightness changes from row to row, (H, W) float32: strokes along the lines of text stand out."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32)
    slopes = np.zeros_like(grey)
    slopes[1:] = np.abs(np.diff(grey, axis=0))
    return slopes


def _measure_angle(line: Line, slopes: np.ndarray) -> float:
    """The angle at which the slopes under a line fall into the fewest rows."""
    left, top, right, bottom = line.bounds
    # A box of a wrong angle is too short across its line at the ends: look in a wider one.
    grown = line.height / 2
    first_row, first_column = max(int(top - grown / 2), 0), max(int(left), 0)
    window = slopes[first_row : math.ceil(bottom + grown / 2), first_column : math.ceil(right)]
    rows, columns = np.nonzero(window > 0.25 * window.max(initial=1.0))
    weights = window[rows, columns]
    across, down = columns + first_column - line.centre[0], rows + first_row - line.centre[1]
    along = math.tan(math.radians(line.angle))
    near = np.abs(down - across * along) < line.height * 0.5 + grown
    across, down, weights = across[near], down[near], weights[near]
    if len(weights) < 8:
        return line.angle

    def sharpness(angle: float) -> float:
        radians = math.radians(angle)
        place = (down * math.cos(radians) - across * math.sin(radians)) * 2  # half pixels
        place -= place.min()
        below = place.astype(np.int64)
        share = place - below
        profile = np.bincount(below, weights * (1 - share), len(place) and int(below.max()) + 2)
        profile += np.bincount(below + 1, weights * share, len(profile))
        return float(np.square(np.convolve(profile, (0.25, 0.5, 0.25))).sum())

    best = line.angle
    for reach, step in ((_SEARCH, 0.5), (0.5, 0.1)):
        candidates = [best + offset for offset in np.arange(-reach, reach + step / 2, step)]
        best = max(candidates, key=sharpness)
    return float(best)


def _tilts(lines: Sequence[Line]) -> list[float]:
    """The angles, other than level, under which there is text; the one with the most text first."""
    left = [line for line in lines if _measurable(line)]
    tilts: list[float] = []
    while left and len(tilts) < _TILTS:
        weights = [sum(other.width for other in left if _near(other, line)) for line in left]
        chosen = left[int(np.argmax(weights))]
        angle = _median([line for line in left if _near(line, chosen)])
        if _SAME_TILT / 2 < abs(angle) <= STEEPEST:
            tilts.append(angle)
        left = [line for line in left if not _near(line, chosen)]
    return tilts


def _near(line: Line, other: Line) -> bool:
    return abs(line.angle - other.angle) <= _SAME_TILT


def _median(lines: Sequence[Line]) -> float:
    """The median angle of lines, long ones counting more."""
    ordered = sorted(lines, key=lambda line: line.angle)
    reach = np.cumsum([line.width for line in ordered])
    return ordered[int(np.searchsorted(reach, reach[-1] / 2))].angle


def _search_tilted(pixels: np.ndarray, detector: LineDetector, lines: list[Line], tilt: float) -> list[Line]:
    """Lines of one tilt found anew on the picture turned upright; the others stay."""
    matrix, size = turn(tilt, *pixels.shape[:2])
    level = warp(pixels, matrix, size, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    back = cv2.invertAffineTransform(matrix)
    height, width = pixels.shape[:2]
    slopes = _slopes(level)
    found = []
    for quad in detector.find(level):
        line = _line(quad)
        if _measurable(line):
            line = replace(line, angle=_measure_angle(line, slopes))
        elif abs(line.angle) < 2 * _SAME_TILT:
            line = replace(line, angle=0.0)
        moved = move_points(back, quad)
        middle = moved.mean(axis=0)
        inside = 0 <= middle[0] <= width and 0 <= middle[1] <= height
        if inside and abs(line.angle) <= _SAME_TILT:
            corners = tuple((float(x), float(y)) for x, y in moved)
            found.append(Line(corners, line.angle + tilt, line.height))
    kept = [line for line in lines if not any(_overlap(line, other) for other in found)]
    return found + kept


def _overlap(line: Line, other: Line) -> bool:
    """Whether the middle of one line lies within the other."""
    return any(
        cv2.pointPolygonTest(np.array(one.quad, dtype=np.float32), two.centre, False) >= 0
        for one, two in ((line, other), (other, line))
    )


def _tilt_of(line: Line, lines: Sequence[Line]) -> float:
    """The angle that the lines near in angle agree upon, which is surer than one line's own."""
    doubt = _SAME_TILT + (4 if not _measurable(line) else 0)
    alike = [other for other in lines if _measurable(other) and abs(other.angle - line.angle) <= doubt]
    return _median(alike) if alike else line.angle


def _settle(line: Line, tilt: float) -> Line:
    """Give a line the angle of its kind, and its box's sides with it; a level one loses what little tilt it had."""
    tilt = 0.0 if abs(tilt) < _LEVEL else tilt
    if line.height > line.width:
        return line
    off = math.sin(math.radians(abs(line.angle - tilt)))
    height = line.height if off < 0.02 else max(line.height - off * line.width / 4, line.height / 2)
    (x, y), width = line.centre, line.width
    cosine, sine = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    quad = tuple(
        (x + across * cosine - down * sine, y + across * sine + down * cosine)
        for across, down in (
            (-width / 2, -height / 2),
            (width / 2, -height / 2),
            (width / 2, height / 2),
            (-width / 2, height / 2),
        )
    )
    return Line(quad, tilt, height, line.skip_reason)


def _tighten(line: Line, pixels: np.ndarray) -> Line:
    """Give a line's box the height and place that its ink has, which the detector knows to 4 pixels only."""
    if line.height > line.width or abs(line.angle) > STEEPEST:
        return line
    matrix, _ = turn(line.angle, 1, 1)
    corners = move_points(matrix, line.quad)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    room = 0.6 * line.height + 2
    corner = np.floor((left, top - room))
    size = math.ceil(right - corner[0]), math.ceil(bottom + room - corner[1])
    matrix = matrix - np.array([[0, 0, corner[0]], [0, 0, corner[1]]])
    window = warp(pixels, matrix, size, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE).astype(np.float32)
    paper = np.median(window, axis=(0, 1))
    ink = np.linalg.norm(window - paper, axis=-1)
    strong = float(np.percentile(ink, 95))
    if strong < 8:  # grey levels; nothing stands out
        return line
    ink = np.clip(ink / strong - 0.3, 0, 1)  # texture of the background is fainter than text
    box = (left - corner[0], top - corner[1], right - corner[0], bottom - corner[1])
    setting = measure(ink, [box])
    if setting.fit < _TEXT_LIKE:
        return line
    height = setting.em / EM_PER_HEIGHT
    middle = setting.baselines[0] - BELOW_CENTRE * setting.em
    edges = middle - height / 2, middle + height / 2
    level = [(box[0], edges[0]), (box[2], edges[0]), (box[2], edges[1]), (box[0], edges[1])]
    quad = move_points(cv2.invertAffineTransform(matrix), level)
    return replace(line, quad=tuple((float(x), float(y)) for x, y in quad), height=height)


def _judge(line: Line) -> Line:
    """Say of a line that cannot be translated why."""
    if line.height > 1.5 * line.width:
        return replace(line, skip_reason="vertical")
    if abs(line.angle) > STEEPEST:
        return replace(line, skip_reason="tilted")
    if line.height * EM_PER_HEIGHT < SMALLEST - 1:  # boxes of the smallest text are a pixel too high or too low
        return replace(line, skip_reason="small")
    return line
