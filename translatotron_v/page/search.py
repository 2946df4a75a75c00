"""Where lines of text are on a picture of any size, and how they are tilted.

The picture is looked at from small to large. Text that a small picture shows well is settled there; only where there is
finer detail, or text that is too small yet, is the next larger one searched, in tiles. Where text is tilted, that part
is turned upright and searched once more.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from translatotron_v.ocr import LineDetector
from translatotron_v.page.ink import LONG, TEXT_LIKE, measure_angle, rooms, tighten
from translatotron_v.page.lines import Line, line_of, move_points, rectangle, turn, warp
from translatotron_v.page.tiles import CELL, Level, detailed_cells, mark, probabilities, pyramid, uneven_cells

STEEPEST = 45.0  # degrees; text tilted further is left as it is, unless it stands upright
SMALLEST = 6.0  # pixels per em below which text cannot be read

_CLEAR = 10.0  # pixels per em on the searched picture from which its boxes are exact enough
_LARGE = 90.0  # pixels per em on the searched picture above which a smaller one shows text better
_LEVEL = 0.3  # degrees; lines tilted less than this are taken as level, and no pixel of theirs is resampled
_LIFTED = 0.22  # ems by which the ends of a level line may seem to differ in height
_SAME_TILT = 1.5  # degrees within which lines belong to the same tilt
_TILTS = 6  # a picture is turned and searched again for so many different angles at most
_UPRIGHT = 1.5  # lines so many times higher than wide stand upright
_WHOLE = 0.8  # share of a picture that a box fills from which it is doubted
_WORD = 2.0  # times its height that a word is long which fills a picture
_SMALL_IN_WHOLE = 0.4  # of the height of a box that fills a picture, under which text on it shows that it is no line
_BAND = 4_000_000  # pixels of a map of probabilities that are searched for boxes together
_TAKEN = 0.35  # share of one of two boxes that lies in the other from which only one of them can be right ...
_TOUCHED = 0.2  # ... and where one of them may be several lines that ran together
_COVERED = 0.5  # share of a line's box that others of its height cover from which they are the same text
_SAME = 0.7  # share of both of two boxes that they have in common from which they are the same line
_UNLIKE, _BETTER = 0.75, 0.05  # fit up to which a line need not be text, and what a better one has more
_FILLED = 0.2  # share of a box that lines of text cover from which it is no line, but several that ran together
_TURNED = 30_000_000  # pixels of a turned part of a picture that is searched again, at most


@dataclass(frozen=True)
class _Found:
    """A line, and how many pixels per em it had where it was found."""

    line: Line
    seen: float
    again: bool = False  # whether a smaller picture showed it too
    fills: bool = False  # whether it takes up the whole picture: a crop of one line, or no line at all

    @property
    def settled(self) -> bool:
        """Whether no larger picture will show it better."""
        text = self.line.fit >= TEXT_LIKE and _measurable(self.line) and not self.fills
        return self.seen >= _CLEAR and (self.again or text)


def find_lines(pixels: np.ndarray, detector: LineDetector) -> list[Line]:
    """The lines of text on a picture (H, W, 3) of bytes, in no particular order.

    Lines that cannot be translated are among them, with the reason. One that stands upright has an angle of 90 degrees
    or -90, by which way its letters seem to stand.
    """
    levels = pyramid(pixels)
    kept: list[_Found] = []
    for number in reversed(range(len(levels))):
        level = levels[number]
        if number == len(levels) - 1:
            cells = uneven_cells(level)
        else:
            settled = [found.line for found in kept if found.settled]
            cells = detailed_cells(level, [level.to_level(_grown(line).quad) for line in settled])
            mark(cells, [level.to_level(found.line.quad) for found in kept if not found.settled], CELL / 2)
        if cells.any():
            kept = _merge(kept, _search(levels, number, cells, detector))
    height, width = pixels.shape[:2]
    lines = [_within(found.line, height, width) for found in kept if not _is_picture(found)]
    return [_judge(line) for line in _levelled(lines, levels)]


def refit(lines: Sequence[Line], pixels: np.ndarray, among: Sequence[Line] | None = None) -> list[Line]:
    """Lines that were turned with their picture (H, W, 3), as tight as those that were found on it.

    Args:
        among: all lines of the picture; None: there are no others.
    """
    levels = pyramid(pixels)
    fitted = zip([replace(line, skip_reason="") for line in lines], rooms(lines, among), strict=True)
    return [_judge(tighten(line, levels, *room)) for line, room in fitted]


def _search(levels: Sequence[Level], number: int, cells: np.ndarray, detector: LineDetector) -> list[_Found]:
    """The lines on one level where cells are set; those too small there are not measured, unless there is no larger."""
    level = levels[number]
    scale = min(level.scale)
    boxes = _boxes(probabilities(level.pixels, cells, detector), detector)
    lines = [_lying(line_of(level.to_picture(quad))) for quad in boxes]
    tiny = [line for line in lines if number and line.em * scale < _CLEAR]
    lines = [line for line in lines if not number or line.em * scale >= _CLEAR]
    lines = [_measured(line, levels) for line in lines]
    for tilt in _tilts(lines):
        lines = _search_tilted(levels, number, detector, lines, tilt)
    lines = _tightened([_settle(line, _tilt_of(line, lines)) for line in lines], levels)
    height, width = levels[0].pixels.shape[:2]
    whole = _WHOLE * width * height
    return [_Found(line, line.em * scale, fills=line.width * line.height > whole) for line in [*lines, *tiny]]


def _boxes(found: np.ndarray, detector: LineDetector) -> list[np.ndarray]:
    """Boxes (4, 2) from a map of probabilities (H, W), band by band between empty rows."""
    rows = np.flatnonzero(np.diff(found.any(axis=1), prepend=False, append=False))
    boxes: list[np.ndarray] = []
    starts, ends = rows[::2].tolist(), rows[1::2].tolist()
    while starts:
        top, bottom = starts.pop(0), ends.pop(0)
        while starts and (ends[0] - top) * found.shape[1] <= _BAND:
            starts.pop(0)
            bottom = ends.pop(0)
        # Boxes are larger than what is probable.
        top, bottom = max(top - CELL, 0), min(bottom + CELL, len(found))
        boxes += [np.add(quad, (0, top)) for quad in detector.boxes(found[top:bottom])]
    return boxes


def _lying(line: Line) -> Line:
    """A line whose box is higher than wide as one that stands upright, its letters' tops to the left."""
    if line.height <= _UPRIGHT * line.width:
        return line
    return line_of((line.quad[3], *line.quad[:3]))


def _tightened(lines: Sequence[Line], levels: Sequence[Level]) -> list[Line]:
    """Lines with the boxes that their ink has; those that stand upright the way in which it looks more like text."""
    found = []
    for line, (above, below) in zip(lines, rooms(lines), strict=True):
        tight = tighten(line, levels, above, below)
        if abs(line.angle) > STEEPEST:
            other = replace(line, quad=line.quad[2:] + line.quad[:2], angle=line.angle - math.copysign(180, line.angle))
            other = tighten(other, levels, below, above)
            tight = other if other.fit > tight.fit else tight
        found.append(tight)
    return found


def _is_picture(found: _Found) -> bool:
    """Whether a box is that of the whole picture, which the detector finds on some without text, and not a line's."""
    line = found.line
    return found.fills and not _measurable(line) and (line.fit < TEXT_LIKE or line.width < _WORD * line.height)


def _within(line: Line, height: int, width: int) -> Line:
    """A line whose ends lie on the picture; a tilted one as it is."""
    if line.angle == 0:
        return replace(line, quad=tuple((min(max(x, 0.0), float(width)), y) for x, y in line.quad))
    if abs(line.angle) == 90:
        return replace(line, quad=tuple((x, min(max(y, 0.0), float(height))) for x, y in line.quad))
    return line


def _grown(line: Line) -> Line:
    """A line with room for what belongs to its letters: accents, shadows, smear."""
    return rectangle(line.centre, line.width + line.em, line.height + line.em, line.angle)


def _measurable(line: Line) -> bool:
    return line.width > LONG * line.height


def _measured(line: Line, levels: Sequence[Level]) -> Line:
    return replace(line, angle=measure_angle(line, levels)) if _measurable(line) else line


def _levelled(lines: list[Line], levels: Sequence[Level]) -> list[Line]:
    """Lines, with those level whose tilt lifts an end by less than letters differ, where longer ones are level.

    A comma at one end and a capital at the other tilt an amount by two degrees, and it may be searched alone.
    """
    level = sum(line.width for line in lines if _measurable(line) and line.angle == 0)

    def little(line: Line) -> bool:
        lifted = line.width * math.sin(math.radians(abs(line.angle)))
        return 0 < abs(line.angle) < STEEPEST and lifted < _LIFTED * line.em and level > 2 * line.width

    answer = [_settle(line, 0.0) if little(line) else line for line in lines]
    changed = [number for number, (old, new) in enumerate(zip(lines, answer, strict=True)) if old is not new]
    around = rooms([answer[number] for number in changed], answer)
    for number, room in zip(changed, around, strict=True):
        answer[number] = tighten(answer[number], levels, *room)
    return answer


def _tilts(lines: Iterable[Line]) -> list[float]:
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


def _search_tilted(
    levels: Sequence[Level], number: int, detector: LineDetector, lines: list[Line], tilt: float
) -> list[Line]:
    """Lines of one tilt found anew where they are, on that part of a level turned upright; the others stay."""
    level = levels[number]
    alike = [line for line in lines if abs(line.angle - tilt) <= _SAME_TILT]
    corners = np.concatenate([level.to_level(_grown(line).quad) for line in alike])
    height, width = level.pixels.shape[:2]
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, (width, height)).astype(int).tolist()
    matrix, size = turn(tilt, bottom - top, right - left)
    if not 0 < size[0] * size[1] <= _TURNED:
        return lines
    matrix[:, 2] -= matrix[:, :2] @ (left, top)
    upright = warp(level.pixels, matrix, size, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    cells = np.zeros((-(-size[1] // CELL), -(-size[0] // CELL)), dtype=bool)
    mark(cells, [move_points(matrix, level.to_level(_grown(line).quad)) for line in alike])
    back = cv2.invertAffineTransform(matrix)
    found = []
    for quad in _boxes(probabilities(upright, cells, detector), detector):
        line = line_of(level.to_picture(move_points(back, quad)))
        middle = level.to_level([line.centre])[0]
        if not (0 <= middle[0] <= width and 0 <= middle[1] <= height):
            continue
        if _measurable(line):
            line = _measured(line, levels)
        elif abs(line.angle - tilt) < 2 * _SAME_TILT:
            line = replace(line, angle=tilt)
        if abs(line.angle - tilt) <= _SAME_TILT:
            found.append(line)
    return found + [line for line in lines if not any(_overlap(line, other) for other in found)]


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
    tilt = next((level for level in (-90.0, 0.0, 90.0) if abs(tilt - level) < _LEVEL), tilt)
    if line.height > line.width:
        return line
    off = np.sin(np.radians(abs(line.angle - tilt)))
    height = line.height if off < 0.02 else max(line.height - off * line.width / 4, line.height / 2)
    return rectangle(line.centre, line.width, float(height), tilt)


def _merge(kept: Sequence[_Found], new: Sequence[_Found]) -> list[_Found]:
    """What was found on smaller pictures and what was found on a larger one, without what is the same text twice."""
    shared = _shared_areas([found.line for found in kept], [found.line for found in new])
    areas = np.array([found.line.width * found.line.height for found in new])
    dropped: set[int] = set()  # of the new ones
    again: set[int] = set()
    left = []
    for found, inside in zip(kept, shared, strict=True):
        area = max(found.line.width * found.line.height, 1.0)
        touched = _TAKEN if found.settled else _TOUCHED
        over = np.flatnonzero(inside > touched * np.minimum(areas, area)).tolist()
        if found.settled or _outlasts(found, [(new[place], inside[place] / area) for place in over]):
            left.append(found)
            dropped.update(over)
        elif found.seen >= _CLEAR:
            again.update(place for place in over if inside[place] > _SAME * max(areas[place], area))
    return left + [replace(found, again=place in again) for place, found in enumerate(new) if place not in dropped]


def _outlasts(found: _Found, over: Sequence[tuple[_Found, float]]) -> bool:
    """Whether a line that is not surely text is better than what a larger picture has in its place.

    Args:
        over: the others, each with the share of the line that it covers.
    """
    height = found.line.height
    if found.seen < _CLEAR:  # too small to be known by itself
        return False
    if not over:  # what a larger picture does not show is none, unless it is too large there
        return 2 * found.seen > _LARGE and found.line.fit >= TEXT_LIKE
    alike = [(other, share) for other, share in over if 0.6 * height <= other.line.height <= height / 0.6]
    if sum(share for _, share in alike) > _COVERED:  # the same line, or its pieces
        return max(other.seen for other, _ in alike) > _LARGE
    if found.fills and any(
        _measurable(other.line) and other.line.fit >= TEXT_LIKE and other.line.height < _SMALL_IN_WHOLE * height
        for other, _ in over
    ):
        return False
    # Or else it is several lines that ran together.
    text = sum(share for other, share in over if other.line.fit >= TEXT_LIKE)
    better = [other.line for other, _ in over if other.line.fit > max(found.line.fit + _BETTER, _UNLIKE)]
    return text < _FILLED and not any(_measurable(line) and line.height < 0.6 * height for line in better)


def _shared_areas(lines: Sequence[Line], others: Sequence[Line]) -> np.ndarray:
    """The areas, pixels, that the boxes of lines share with those of others: (lines, others)."""
    areas = np.zeros((len(lines), len(others)))
    if not areas.size:
        return areas
    first, second = (np.array([line.bounds for line in some])[..., None] for some in (lines, others))
    apart = np.zeros(areas.shape, dtype=bool)
    for edge in (0, 1):
        apart |= (first[:, edge] >= second[:, edge + 2].T) | (first[:, edge + 2] <= second[:, edge].T)
    for row, column in np.argwhere(~apart).tolist():
        one, other = (np.array(line.quad, dtype=np.float32) for line in (lines[row], others[column]))
        areas[row, column] = cv2.intersectConvexConvex(one, other)[0]
    return areas


def _judge(line: Line) -> Line:
    """Say of a line that cannot be translated why."""
    if abs(abs(line.angle) - 90) <= STEEPEST / 3 or line.height > _UPRIGHT * line.width:
        return replace(line, skip_reason="vertical")
    if abs(line.angle) > STEEPEST:
        return replace(line, skip_reason="tilted")
    if line.em < SMALLEST - 1:  # boxes of the smallest text are a pixel too high or too low
        return replace(line, skip_reason="small")
    return line
