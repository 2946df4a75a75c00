"""Lines to blocks: paragraphs, headings, rows and labels, each with its alignment and its ground, in reading order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from translatotron_v.page.chains import find_chains
from translatotron_v.page.lines import Line, Point, move_points, turn
from translatotron_v.page.order import Placed, in_reading_order
from translatotron_v.page.profile import EM_PER_HEIGHT, Bounds
from translatotron_v.page.regions import Region, RegionMap
from translatotron_v.page.rows import EDGE, Row, join_pieces, mark_lists, on_one_row, share_columns
from translatotron_v.page.traits import Traits, gutters, look_at, part_of, split_at, tightened, trimmed, wide_gaps

Alignment = Literal["left", "centre", "right", "justified"]

_SAME_ANGLE = 1.0  # degrees
_RIGHT_EDGE = 0.3  # ems within which the right ends of amounts are in line
_WITHIN = 0.75  # share of a line's box that lies in another's where it is a part of that
_OTHERS = 0.4  # as closely as the picture's middle do other rows' middles have to be in line
_AT_EDGE = 2.5  # ems from the edge of a box to a row that is set at that edge
_NEAR = 8.0  # ems from a row to those that show how it is set
_CORNER = 0.3  # share of its height that a button's corners are round
_CUT_OFF = 1.5  # heights of a line by which a box may cut it off at an end
_INNER, _LEFT_OVER = (
    0.25,
    0.4,
)  # shares of a line's height that its edges are, and that are left of it in its box at least
_MARKER = (0.3, 2.6)  # ems from a list's marker to its text
_BEYOND = 0.5  # ems by which rows reach beyond their region at most: some of a photograph is plain by chance
_OFF_LEFT = 0.07  # ems by which left ends that are in line differ for the shape of their letters
_RAGGED = 0.25  # and from which they are not in line, if middles agree as well
_MIDDLE = 0.12  # ems by which middles that are in line differ for the same reason
_AS_WIDE = 0.3  # ems by which rows differ in width, if where they begin and where their middles are tells apart
_TABS, _STEP = 3, 0.5  # rows beside one another at equal steps, and ems by which steps that are equal differ


@dataclass(frozen=True)
class Block:
    """Lines that are read one after another: a paragraph, a heading, a label.

    Attributes:
        rows: from top to bottom; each holds its pieces from left to right, mostly one.
        angle: of its lines, degrees, positive where they fall towards the right.
        alignment: of its rows; "left" where a single row does not tell.
        region: the plain ground that it stands on; None where there is none, or pixels were not looked at.
        marker: whether a list's marker stands before it.
    """

    rows: tuple[tuple[Line, ...], ...]
    angle: float
    alignment: Alignment = "left"
    region: Region | None = None
    marker: bool = False

    @property
    def lines(self) -> list[Line]:
        """All pieces in reading order."""
        return [line for row in self.rows for line in row]

    @cached_property
    def em(self) -> float:
        """Pixels per em as its boxes suggest; the ink tells it more exactly (`strips.measure`)."""
        return float(np.median([line.height for line in self.lines])) * EM_PER_HEIGHT

    @cached_property
    def quad(self) -> tuple[Point, ...]:
        """The tilted rectangle around its lines: corners in pixels, clockwise from the top left."""
        matrix, _ = turn(self.angle, 1, 1)
        corners = move_points(matrix, [point for line in self.lines for point in line.quad])
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        back = np.linalg.inv(matrix[:, :2])
        found = (np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) - matrix[:, 2]) @ back.T
        return tuple((float(x), float(y)) for x, y in found)


def find_blocks(lines: Sequence[Line], width: int, pixels: np.ndarray | None = None) -> list[Block]:
    """Group the lines of a picture that is `width` pixels wide into blocks, in reading order.

    Lines that are marked as left out are in no block.

    Args:
        pixels: the picture (H, W, 3), bytes. Where it is given, what lines look like and what they stand on is seen:
            a line is cut where it holds two labels or a row's name and price, and rules, boxes, markers, weight and
            colour tell what belongs together. Otherwise places alone do.
    """
    usable = [line for line in lines if not line.skip_reason]
    regions = None if pixels is None else RegionMap(pixels)
    blocks: list[Block] = []
    while usable:
        angle = max(usable, key=lambda line: line.width).angle
        alike = [line for line in usable if abs(line.angle - angle) <= _SAME_ANGLE]
        usable = [line for line in usable if abs(line.angle - angle) > _SAME_ANGLE]
        matrix, _ = turn(angle, 1, 1)
        pieces = _without_slivers([piece for line in alike for piece in _seen(line, pixels, regions)])
        parted = zip(pieces, gutters(pieces), strict=True)
        pieces = [part for (line, traits), at in parted for part in _parts(line, traits, at, pixels)]
        rows = [_row(matrix, line, traits, regions) for line, traits in pieces]
        chains = find_chains(mark_lists(join_pieces(rows)))
        for chain in chains:
            others = [row for other in chains if other is not chain for row in other]
            region = _region_of(chain, angle == 0)
            alignment = _alignment(chain, others, width if angle == 0 else None, region if angle == 0 else None)
            blocks.append(Block(tuple(row.pieces for row in chain), angle, alignment, region, chain[0].marker))
    return _in_reading_order(blocks, () if regions is None or len(blocks) < 3 else regions.cards())


def _without_slivers(pieces: list[tuple[Line, Traits | None]]) -> list[tuple[Line, Traits | None]]:
    """Pieces without those that lie within another: what a detector finds twice."""

    def within(line: Line, other: Line) -> bool:
        if line.angle != 0 or line.width >= 0.5 * other.width:  # the upright boxes of tilted lines overlap
            return False
        (left, top, right, bottom), box = line.bounds, other.bounds
        width, height = min(right, box[2]) - max(left, box[0]), min(bottom, box[3]) - max(top, box[1])
        return width > 0 and width * height > _WITHIN * (right - left) * (bottom - top) > 0

    return [
        piece for piece in pieces if not any(within(piece[0], other) for other, _ in pieces if other is not piece[0])
    ]


def _seen(line: Line, pixels: np.ndarray | None, regions: RegionMap | None) -> list[tuple[Line, Traits | None]]:
    """A line with its traits, within its box and without leaders, cut where more space than between words parts it.

    None of a line that is an icon.
    """
    if pixels is None or regions is None:
        return [(line, None)]
    traits = look_at(line, pixels)
    if traits is not None and traits.icon:
        return []
    whole, line = line, _within_box(line, regions)
    if line is not whole:
        traits = look_at(line, pixels)
        if traits is None and line.width > 2 * line.height:  # perhaps for a button's round corners
            line = part_of(line, (_CORNER * line.height, line.width - _CORNER * line.height))
            traits = look_at(line, pixels)
    if traits is None or not traits.words:
        return [(line, None)]
    return [
        (part, None) if seen is None else trimmed(part, seen)
        for part, seen in _parts(tightened(line, traits), traits, wide_gaps(line, traits), pixels)
    ]


def _within_box(line: Line, regions: RegionMap) -> Line:
    """A level line cut off at the edges of the button, field or cell that it stands in: some boxes take them in."""
    if line.angle != 0:
        return line
    left, top, right, bottom = line.bounds
    inner = min(_INNER * line.height, (right - left) / 3)
    for look in ((left, top, right, bottom), (left + inner, top + inner, right - inner, bottom - inner)):
        region = regions.region(look, _INNER * line.height)
        if region is None or not region.encloses:
            continue
        x, y, end, low = region.box
        inside = max(left, x + 1), max(top, y + 1), min(right, end - 1), min(bottom, low - 1)
        high = inside[3] - inside[1]
        if max(inside[0] - left, right - inside[2]) > _CUT_OFF * line.height:
            continue  # text that runs on beyond the region, as over things in a photograph
        if inside != (left, top, right, bottom) and high >= _LEFT_OVER * line.height and inside[2] - inside[0] > high:
            left, top, right, bottom = inside
            return replace(line, quad=((left, top), (right, top), (right, bottom), (left, bottom)), height=high)
    return line


def _parts(
    line: Line, traits: Traits | None, places: Sequence[int], pixels: np.ndarray | None
) -> list[tuple[Line, Traits | None]]:
    """A line cut before some of its words; each part is looked at anew: it may be of another size."""
    if traits is None or pixels is None or not places:
        return [(line, traits)]
    parts: list[tuple[Line, Traits | None]] = []
    for number, (part, old) in enumerate(split_at(line, traits, places)):
        seen = look_at(part, pixels)
        if seen is None or not seen.words:
            parts.append((part, old))
        else:
            marked = seen.marker and number == 0
            parts.append((tightened(part, seen), replace(seen, marker=marked)))
    return parts


def _row(matrix: np.ndarray, line: Line, traits: Traits | None, regions: RegionMap | None) -> Row:
    bounds = _level_bounds(matrix, line)
    region = None if regions is None else regions.region(line.bounds, line.height * EM_PER_HEIGHT)
    return Row(bounds, (line,), (traits,), region, traits is not None and traits.marker)


def _region_of(chain: Sequence[Row], level: bool) -> Region | None:
    """What rows stand on; None where they reach beyond it: they have no ground of their own then."""
    region = next((row.region for row in chain if row.region is not None), None)
    if region is None or not level:
        return region
    slack = _BEYOND * float(np.median([row.em for row in chain]))
    left, right = min(row.bounds[0] for row in chain), max(row.bounds[2] for row in chain)
    return region if region.box[0] - slack <= left and right <= region.box[2] + slack else None


def _level_bounds(matrix: np.ndarray, line: Line) -> Bounds:
    corners = move_points(matrix, line.quad)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return left, top, right, bottom


def _alignment(
    chain: Sequence[Row], others: Sequence[Row], width: int | None, region: Region | None = None
) -> Alignment:
    """How rows are set; a single row is centred where its middle is the picture's or that of other rows.

    Where its left edge is in line as well, what agrees better tells.
    """
    em = float(np.median([row.em for row in chain]))
    edges = np.array([(row.bounds[0], (row.bounds[0] + row.bounds[2]) / 2, row.bounds[2]) for row in chain])
    if region is not None and region.encloses and not _shares_box(chain, others, region.box):
        inside = _in_box(chain, region.box, em)
        if inside:
            return inside
    if len(chain) == 1:
        return _alignment_of_one(chain[0], others, width)
    left, centre, right = np.ptp(edges, axis=0)
    # Rows of nearly one length in the middle of the picture: their middles agree better than their left ends do.
    off_middle = math.inf if width is None else float(np.abs(edges[:, 1] - width / 2).max())
    middling = width is not None and abs(float(edges[:, 1].mean()) - width / 2) < 0.5 * EDGE * em
    agree = off_middle < _MIDDLE * em or (middling and centre < 0.3 * min(left, right))
    if agree and _OFF_LEFT * em < left < EDGE * em:
        return "centre"
    if _RAGGED * em < left < EDGE * em and centre <= left < 0.5 * right:
        return "centre"
    if left < EDGE * em:
        full = np.ptp(edges[:-1, 2])
        chance = 0.25 if len(chain) > 3 else 0.06  # two full lines may end together by chance
        return "justified" if len(chain) > 2 and full < chance * em else "left"
    if centre < min(EDGE * em, right):
        return "centre"
    return "right" if right < EDGE * em else "left"


def _alignment_of_one(row: Row, others: Sequence[Row], width: int | None) -> Alignment:
    """How a row is set that is a block of its own, by what its ends and its middle are in line with."""
    em, (left, _, right, _) = row.em, row.bounds
    centre = (left + right) / 2
    columns = [other for other in others if share_columns(other, row)]
    if any(other.marker and _MARKER[0] * em < other.bounds[0] - left < _MARKER[1] * em for other in columns):
        return "left"  # in line with the markers of a list
    # A row of the same column that is as wide agrees in everything, and tells nothing.
    telling = [other for other in columns if abs(other.bounds[2] - other.bounds[0] - (right - left)) > _AS_WIDE * em]
    off_left, told_left = (
        min((abs(other.bounds[0] - left) for other in some), default=math.inf) for some in (others, telling)
    )
    # Of another row the middle agrees closely, or by chance; so it does where left ends that tell are in line.
    middles = [abs(sum(other.bounds[::2]) / 2 - centre) / _OTHERS for other in telling]
    if told_left < _OFF_LEFT * em:
        middles = []
    off_centre = min([*middles, math.inf if width is None else abs(width / 2 - centre)])
    if off_left > _AS_WIDE * em and _is_tab(row, others):
        return "centre"
    # One end that is in line may be by chance, and any far away.
    near = [other for other in telling if 0.5 * em < abs(other.middle - row.middle) < _NEAR * em]
    off_right = sorted(abs(other.bounds[2] - right) for other in near)[1:2]
    ends = bool(off_right) and off_right[0] < min(_MIDDLE * em, off_centre) and told_left > _AS_WIDE * em
    if ends or (told_left > _MIDDLE * em and _ends_a_row(row, others)):
        return "right"
    if off_centre < min(EDGE * em, off_left):
        return "centre"
    margin = min((other.bounds[0] for other in others), default=math.inf)
    mirrored = width is not None and left > width / 2 and abs(width - right - margin) < _RIGHT_EDGE * em
    return "right" if mirrored and off_left > EDGE * em else "left"


def _is_tab(row: Row, others: Sequence[Row]) -> bool:
    """Whether a row and those beside it stand at equal steps by their middles, and not by their left ends."""
    beside = sorted([row, *(other for other in others if on_one_row(row, other))], key=_left)
    if len(beside) < _TABS:
        return False
    middles = np.array([(other.bounds[0] + other.bounds[2]) / 2 for other in beside])
    return bool(np.ptp(np.diff(middles)) < _STEP * row.em < np.ptp(np.diff([_left(other) for other in beside])))


def _left(row: Row) -> float:
    return row.bounds[0]


def _shares_box(chain: Sequence[Row], others: Sequence[Row], box: Bounds) -> bool:
    """Whether there are other rows beside these in their box, as in the head of a table."""
    return any(
        on_one_row(row, other) and box[0] <= other.bounds[0] and other.bounds[2] <= box[2]
        for row in chain
        for other in others
        if other not in chain
    )


def _ends_a_row(row: Row, others: Sequence[Row]) -> bool:
    """Whether a row stands at the right end of its line, in line with the right ends of others, as amounts do."""
    beside = [other for other in others if on_one_row(row, other)]
    in_line = [
        other for other in others
        if share_columns(row, other) and not on_one_row(row, other)
        and abs(other.bounds[2] - row.bounds[2]) < _RIGHT_EDGE * row.em
    ]  # fmt: skip
    return bool(in_line) and bool(beside) and all(other.bounds[2] < row.bounds[0] for other in beside)


def _in_box(chain: Sequence[Row], box: Bounds, em: float) -> Alignment | None:
    """How rows are set in their box, as far as it tells."""
    left = min(row.bounds[0] for row in chain) - box[0]
    right = box[2] - max(row.bounds[2] for row in chain)
    middles = [(row.bounds[0] + row.bounds[2]) / 2 for row in chain]
    lefts = float(np.ptp([row.bounds[0] for row in chain]))
    if chain[0].marker or (len(chain) > 1 and lefts < min(_OFF_LEFT * em + 1, 0.5 * float(np.ptp(middles)))):
        return "left"
    if abs(left - right) < max(0.4 * em, 0.08 * (left + right)) and float(np.ptp(middles)) < EDGE * em:
        return "centre"
    if len(chain) == 1 and left + right > em and min(left, right) < _AT_EDGE * em:
        return "left" if left < right else "right"
    return None


def _in_reading_order(blocks: list[Block], cards: Sequence[Bounds] = ()) -> list[Block]:
    if not blocks:
        return []
    matrix, _ = turn(float(np.median([block.angle for block in blocks])), 1, 1)

    def place(block: Block) -> Placed:
        corners = move_points(matrix, block.quad)
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        boxed = block.region is not None and block.region.encloses
        return Placed((left, top, right, bottom), block.em, len(block.rows), boxed, block.marker)

    return in_reading_order(blocks, place, cards if not matrix[0, 1] else ())
