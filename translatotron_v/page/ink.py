"""What the pixels under a line tell of it: its angle, and the height and place of its letters.

A detector's boxes are exact for upright text, but up to five degrees off for tilted text, and high or low by some of
the pixels that it saw. Lines are looked at level and small, so that a large one takes no longer than a small one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from translatotron_v.page.ground import length
from translatotron_v.page.lines import Line, move_points, turn, warp
from translatotron_v.page.profile import BELOW_CENTRE, EM_PER_HEIGHT, Setting, measure
from translatotron_v.page.tiles import Level

TEXT_LIKE = 0.93  # fit of a line's profile from which its size and place are taken from it instead of from its box
LONG = 3.0  # lines this many times longer than high have an angle that can be measured

_HEIGHT = 32.0  # pixels to which the box of a line is shrunk before it is looked at
_SEARCH = 5.0  # degrees on either side of a box's angle within which the pixels' angle is looked for
_ROOM = 0.6  # of a line's height around it in which its ink is looked for
_ENDS = 0.4  # of a line's height beyond its box's ends within which its ink is looked for
_BEFORE = 1.5  # ems by which a box may begin before its ink
_LETTER_GAP = 0.2  # ems between two letters of a word, at most
_BEARING = 0.15  # ems by which a box stands off from its letters' ink
_INKED = 0.25  # ink, as a share of the strongest, from which a column holds some
_ACCENT = 0.09  # of a line's height by which its ink may reach over half the way to the next one
_ALIKE = 3.0  # degrees within which lines may stand below one another
_SMALL = 12.0  # pixels per em under which a box, which says where to look, is too large, so that it is asked twice
_LARGER = 1.35  # times the size that a box suggests, which is rather too large, from which its ink is not letters alone
_BELOW_TEXT = TEXT_LIKE - 0.01
_COLUMNS = 6  # pixels along a line whose slopes are counted as one
_FAINT = 8.0  # grey levels under which nothing stands out
_TEXTURE = 0.3  # share of the ink's strength under which it is the background's texture


@dataclass(frozen=True)
class _View:
    """A line cut out level: pixels (h, w, 3), the map (2, 3) that leads points of the picture there, and its scale."""

    pixels: np.ndarray
    matrix: np.ndarray
    scale: float


def measure_angle(line: Line, levels: Sequence[Level]) -> float:
    """The angle at which the slopes under a line fall into the fewest rows."""
    view = _cut_out(line, levels, 0.5, 0.5)
    grey = cv2.cvtColor(view.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slopes = np.abs(np.diff(grey, axis=0))
    slopes[slopes <= 0.25 * max(float(slopes.max(initial=0.0)), 1.0)] = 0
    width = slopes.shape[1]
    slopes = np.pad(slopes, ((0, 0), (0, -width % _COLUMNS))).reshape(len(slopes), -1, _COLUMNS).sum(axis=2)
    rows, columns = np.nonzero(slopes)
    weights = slopes[rows, columns].astype(np.float64)
    if len(weights) < 8:
        return line.angle
    across, down = (columns + 0.5) * _COLUMNS - width / 2, rows - len(slopes) / 2

    def sharpness(angle: float) -> float:
        radians = math.radians(angle)
        place = (down * math.cos(radians) - across * math.sin(radians)) * 2  # half pixels
        place -= place.min()
        below = place.astype(np.int64)
        share = place - below
        profile = np.bincount(below, weights * (1 - share), int(below.max()) + 2)
        profile += np.bincount(below + 1, weights * share, len(profile))
        return float(np.square(np.convolve(profile, (0.25, 0.5, 0.25))).sum())

    best = 0.0
    for reach, step in ((_SEARCH, 0.5), (0.5, 0.1)):
        best = max((best + offset for offset in np.arange(-reach, reach + step / 2, step)), key=sharpness)
    return line.angle + float(best)


def tighten(line: Line, levels: Sequence[Level], above: float = _ROOM, below: float = _ROOM) -> Line:
    """Give a line's box the height, place and ends that its ink has, and say how much its ink is like text's.

    Args:
        above, below: how far around its box the ink is its own, as shares of its height; `rooms` tells it.
    """
    view = _cut_out(line, levels, above, below, _ENDS)
    window = view.pixels.astype(np.float32)
    paper = np.median(view.pixels.reshape(-1, 3)[:: max(1, view.pixels.size // 30_000)], axis=0).astype(np.float32)
    ink = length(window - paper)
    strong = float(np.percentile(ink, 95))
    if strong < _FAINT:
        return line
    ink = np.clip(ink / strong - _TEXTURE, 0, 1)
    corners = move_points(view.matrix, line.quad)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    setting = measure(ink, [(left, top, right, bottom)])
    too_large = setting.em > _LARGER * (bottom - top) * EM_PER_HEIGHT and not _at_edge(line, levels[0])
    if setting.fit < TEXT_LIKE or too_large:
        return replace(line, fit=min(setting.fit, _BELOW_TEXT))
    top, bottom = _box(setting)
    if setting.em < _SMALL:
        again = measure(ink, [(left, top, right, bottom)])
        if again.fit >= TEXT_LIKE:
            setting = again
            top, bottom = _box(setting)
    inked = ink[max(round(top), 0) : max(round(bottom), 1)].max(axis=0) > _INKED
    left, right = _end(inked, left, setting.em), len(inked) - _end(inked[::-1], len(inked) - right, setting.em)
    level = [(left, top), (right, top), (right, bottom), (left, bottom)]
    quad = move_points(cv2.invertAffineTransform(view.matrix), level).tolist()
    return replace(line, quad=tuple((x, y) for x, y in quad), height=(bottom - top) / view.scale, fit=setting.fit)


def _at_edge(line: Line, level: Level) -> bool:
    """Whether a line's box ends where the picture does, so that its letters may be larger than it."""
    _, top, _, bottom = line.bounds
    slack = 0.1 * line.height
    return top < slack or bottom * level.scale[1] > len(level.pixels) - slack


def _box(setting: Setting) -> tuple[float, float]:
    """Upper and lower edge of a line's box."""
    height = setting.em / EM_PER_HEIGHT
    middle = setting.baselines[0] - BELOW_CENTRE * setting.em
    return middle - height / 2, middle + height / 2


def _end(inked: np.ndarray, start: float, em: float) -> float:
    """Where the letters of a line begin near where its box does: the first of columns (w,) with ink and no wide gap."""
    columns = np.flatnonzero(inked)
    inside = columns[columns >= start]
    gap = _LETTER_GAP * em + 1
    if not len(inside) or inside[0] - start > _BEFORE * em:
        return start
    first = int(inside[0])
    if first - start <= gap:
        for column in columns[columns < start][::-1].tolist():
            if first - column > gap:
                break
            first = column
    if first <= 1 < start:  # something that goes on beyond what is seen
        return start
    return max(first - _BEARING * em, 0.0)


def rooms(lines: Sequence[Line], among: Sequence[Line] | None = None) -> list[tuple[float, float]]:
    """For each line, how far above and below its box there is no ink of another line: shares of its height.

    Args:
        among: the other lines; None: the same ones.
    """
    found = []
    others = lines if among is None else among
    centres = np.array([line.centre for line in others]).reshape(-1, 2)
    widths = np.array([line.width for line in others])
    angles = np.array([line.angle for line in others])
    for line in lines:
        matrix, _ = turn(line.angle, 1, 1)
        across, down = (move_points(matrix, centres) - move_points(matrix, [line.centre])).T
        beside = (np.abs(across) < (widths + line.width) / 2) & (np.abs((angles - line.angle + 90) % 180 - 90) < _ALIKE)
        near = down[beside & (np.abs(down) > line.height / 2)]
        sides = []
        for distances in (-near[near < 0], near[near > 0]):
            half = float(distances.min(initial=math.inf)) / 2 / line.height - 0.5
            sides.append(min(half + _ACCENT, _ROOM))
        found.append((sides[0], sides[1]))
    return found


def _cut_out(line: Line, levels: Sequence[Level], above: float, below: float, beside: float = 0.0) -> _View:
    """A line made level, from the smallest picture that shows it well, with so many of its heights around it."""
    level = next((level for level in reversed(levels) if line.height * min(level.scale) >= _HEIGHT), levels[0])
    scale = min(1.0, _HEIGHT / max(line.height, 1.0))
    matrix, _ = turn(line.angle, 1, 1)
    matrix = matrix * scale
    corners = move_points(matrix, line.quad)
    low, high = corners.min(axis=0), corners.max(axis=0)
    tall = line.height * scale
    corner = np.floor(low - (beside * tall, above * tall))
    matrix[:, 2] -= corner
    size = max(math.ceil(high[0] + beside * tall - corner[0]), 4), max(math.ceil(high[1] + below * tall - corner[1]), 4)
    from_level = matrix.copy()
    from_level[:, :2] /= level.scale
    left, top, right, bottom = (edge * level.scale[place % 2] for place, edge in enumerate(line.bounds))
    inside = level.pixels[max(int(top), 0) : math.ceil(bottom), max(int(left), 0) : math.ceil(right)].reshape(-1, 3)
    # What lies beyond the picture is no ink.
    paper = np.median(inside[:: len(inside) // 4000 + 1], axis=0).tolist() if len(inside) else (255.0,) * 3
    return _View(warp(level.pixels, from_level, size, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT, paper), matrix, scale)
