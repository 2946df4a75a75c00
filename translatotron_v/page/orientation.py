"""Pages that were turned by 90, 180 or 270 degrees, and lines that stand upright on a page that was not.

Which way a line is turned shows in its box, and in how its ink is spread: letters reach farther above than below. Where
that leaves a doubt, the text is read both ways.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from translatotron_v.page.lines import Line, Point
from translatotron_v.page.search import refit

# How well lines of a picture (H, W, 3) can be read as they stand, mean log-probability of the letters (nats); -inf
# where nothing is.
Reading = Callable[[np.ndarray, Sequence[Line]], float]

SURE = math.log(0.9)  # a reading from which the other way round is not asked for

_SAMPLE = 3  # lines that are read, the longest
_STANDING = 45.0  # degrees from which a line stands upright
_BETTER = 0.1  # nats a letter by which a page must read better the other way round: what is misread may be so by chance
_CLEARLY = 0.015  # how much better the ink's profile must fit one way for the other not to be thought of
_TEXT = 0.85  # profile's fit of a line that stands upright from which it may be text
_LONG = 2.0  # times its height that it is long at least


@dataclass(frozen=True)
class Oriented:
    """A page with its text upright.

    Attributes:
        pixels: (h, w, 3) bytes.
        lines: on it.
        turns: by how many quarters it was turned against the clock.
    """

    pixels: np.ndarray
    lines: list[Line]
    turns: int = 0


def orient(pixels: np.ndarray, lines: Sequence[Line], reading: Reading | None = None) -> Oriented:
    """Turn a page (H, W, 3) of bytes with its lines (see `search.find_lines`) so that most of its text is upright.

    Lines that still stand upright then, and may be text, are no longer left out; they keep their angle.

    Args:
        reading: None: only the ink's profile is asked.
    """
    texts = [line for line in lines if line.fit >= _TEXT and line.width > line.height]
    standing = [line for line in texts if _stands(line)]
    turns = 0
    if sum(line.width for line in standing) > sum(line.width for line in texts if not _stands(line)):
        down = sum(math.copysign(line.width, line.angle) for line in standing)
        turns = 1 if down > 0 else 3
    page = _turned(pixels, lines, turns)
    upside = _upside_down(page, reading)
    if upside is not None:
        page = replace(upside, turns=(turns + 2) % 4)
    return replace(page, lines=_with_standing(page, reading))


def turn_points(points: Sequence[Point], turns: int, width: int, height: int) -> tuple[Point, ...]:
    """Points of a page of that size on the page turned by so many quarters against the clock (`np.rot90`)."""
    for _ in range(turns % 4):
        points = [(y, width - x) for x, y in points]
        width, height = height, width
    return tuple(points)


def _turned(pixels: np.ndarray, lines: Sequence[Line], turns: int) -> Oriented:
    """A page and its lines turned, those that would stand on their heads put on their feet."""
    if not turns:
        return Oriented(pixels, list(lines))
    height, width = pixels.shape[:2]
    page = np.ascontiguousarray(np.rot90(pixels, turns))
    moved = []
    for line in lines:
        angle = (line.angle - 90 * turns + 180) % 360 - 180
        quad = turn_points(line.quad, turns, width, height)
        moved.append(replace(line, quad=quad, angle=angle))
    heads = [_flipped(line) for line in moved if abs(line.angle) > 90 + _STANDING]
    return Oriented(page, refit([line for line in moved if abs(line.angle) <= 90 + _STANDING] + heads, page), turns)


def _flipped(line: Line) -> Line:
    """The same box read from its other end."""
    return replace(line, quad=line.quad[2:] + line.quad[:2], angle=line.angle - math.copysign(180, line.angle))


def _upside_down(page: Oriented, reading: Reading | None) -> Oriented | None:
    """The page turned by half where its text then looks or reads better; else None."""
    lying = [line for line in page.lines if not line.skip_reason and not _stands(line)]
    sample = sorted(lying, key=lambda line: line.width, reverse=True)[:_SAMPLE]
    if not sample:
        return None
    turned = refit([_flipped(line) for line in sample], page.pixels, page.lines)
    lead = float(np.mean([line.fit - other.fit for line, other in zip(sample, turned, strict=True)]))
    if reading is None:
        return _turned(page.pixels, page.lines, 2) if lead < -_CLEARLY else None
    if lead > _CLEARLY and min(line.fit for line in sample) >= _TEXT:
        return None
    as_is = reading(page.pixels, sample)
    if as_is >= SURE:
        return None
    other = _turned(page.pixels, sample, 2)
    return _turned(page.pixels, page.lines, 2) if reading(other.pixels, other.lines) > as_is + _BETTER else None


def _with_standing(page: Oriented, reading: Reading | None) -> list[Line]:
    """The lines of an upright page, those that stand taken in where they may be text, the way in which they read."""
    runs = [line for line in page.lines if _stands(line) and line.fit >= _TEXT and line.width > _LONG * line.height]
    others = [line for line in page.lines if line not in runs]
    runs = [replace(line, skip_reason="") for line in runs]
    if runs and reading is not None:
        as_is = reading(page.pixels, runs[:_SAMPLE])
        if as_is < SURE:
            turned = refit([_flipped(line) for line in runs], page.pixels, page.lines)
            turned = [replace(line, skip_reason="") for line in turned]
            runs = turned if reading(page.pixels, turned[:_SAMPLE]) > as_is else runs
    return others + runs


def _stands(line: Line) -> bool:
    return abs(abs(line.angle) - 90) < _STANDING
