"""Lines to blocks: paragraphs, headings and columns, each with its alignment, in reading order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from translatotron_v.page.lines import Line, Point, move_points, turn
from translatotron_v.page.profile import EM_PER_HEIGHT, Bounds

Alignment = Literal["left", "centre", "right", "justified"]

_SAME_ANGLE = 1.0  # degrees
_SAME_HEIGHT = 0.2  # share of the higher line's height by which the lines of a block may differ ...
_HEIGHT_NOISE = 1.5  # ... and pixels on top, which is what boxes of small print are off by
_WORD_GAP = 1.0  # ems between two pieces of one row up to which they belong together; columns stand farther apart
_PITCH = (0.85, 2.0)  # distance of two lines of a paragraph, in ems
_IRREGULAR = 1.2  # lines this many times farther apart than their block's usual distance begin another block
_INDENT = 2.5  # ems by which a line may begin farther right than its neighbour
_EDGE = 0.5  # ems within which edges are in line


@dataclass(frozen=True)
class Block:
    """Lines that are read one after another: a paragraph, a heading, a label.

    Attributes:
        rows: from top to bottom; each holds its pieces from left to right, mostly one.
        angle: of its lines, degrees, positive where they fall towards the right.
        alignment: of its rows; "left" where a single row does not tell.
    """

    rows: tuple[tuple[Line, ...], ...]
    angle: float
    alignment: Alignment = "left"

    @property
    def lines(self) -> list[Line]:
        """All pieces in reading order."""
        return [line for row in self.rows for line in row]

    @property
    def em(self) -> float:
        """Pixels per em as its boxes suggest; the ink tells it more exactly (`strips.measure`)."""
        return float(np.median([line.height for line in self.lines])) * EM_PER_HEIGHT

    @property
    def quad(self) -> tuple[Point, ...]:
        """The tilted rectangle around its lines: corners in pixels, clockwise from the top left."""
        matrix, _ = turn(self.angle, 1, 1)
        corners = move_points(matrix, [point for line in self.lines for point in line.quad])
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        back = np.linalg.inv(matrix[:, :2])
        found = (np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) - matrix[:, 2]) @ back.T
        return tuple((float(x), float(y)) for x, y in found)


@dataclass(frozen=True)
class _Row:
    """A row in the frame in which its lines are level."""

    bounds: Bounds
    pieces: tuple[Line, ...]

    @property
    def middle(self) -> float:
        return (self.bounds[1] + self.bounds[3]) / 2

    @property
    def height(self) -> float:
        return float(np.median([line.height for line in self.pieces]))

    @property
    def em(self) -> float:
        return self.height * EM_PER_HEIGHT


def find_blocks(lines: Sequence[Line], width: int) -> list[Block]:
    """Group the lines of a picture that is `width` pixels wide into blocks, in reading order.

    Lines that are marked as left out are in no block.
    """
    usable = [line for line in lines if not line.skip_reason]
    blocks: list[Block] = []
    while usable:
        angle = max(usable, key=lambda line: line.width).angle
        alike = [line for line in usable if abs(line.angle - angle) <= _SAME_ANGLE]
        usable = [line for line in usable if abs(line.angle - angle) > _SAME_ANGLE]
        matrix, _ = turn(angle, 1, 1)
        rows = _join_pieces([_Row(_level_bounds(matrix, line), (line,)) for line in alike])
        chains = [part for chain in _chains(rows) for part in _split_irregular(chain)]
        for chain in chains:
            others = [row for other in chains if other is not chain for row in other]
            alignment = _alignment(chain, others, width if angle == 0 else None)
            blocks.append(Block(tuple(row.pieces for row in chain), angle, alignment))
    return _in_reading_order(blocks)


def _level_bounds(matrix: np.ndarray, line: Line) -> Bounds:
    corners = move_points(matrix, line.quad)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return left, top, right, bottom


def _join_pieces(rows: list[_Row]) -> list[_Row]:
    """Put pieces of one row together that no more than a wide word gap parts."""
    joined: list[_Row] = []
    for row in sorted(rows, key=lambda row: row.bounds[0]):
        for index, other in enumerate(joined):
            gap = row.bounds[0] - other.bounds[2]
            small = min(row.em, other.em)
            beside = abs(row.middle - other.middle) < 0.35 * small and -0.5 * small < gap < _WORD_GAP * small
            if beside and _same_height(row, other):
                low = np.minimum(row.bounds, other.bounds).tolist()
                high = np.maximum(row.bounds, other.bounds).tolist()
                joined[index] = _Row((low[0], low[1], high[2], high[3]), (*other.pieces, *row.pieces))
                break
        else:
            joined.append(row)
    return joined


def _same_height(row: _Row, other: _Row) -> bool:
    most = max(row.height, other.height)
    return abs(row.height - other.height) <= _SAME_HEIGHT * most + _HEIGHT_NOISE


def _follows(above: _Row, below: _Row) -> bool:
    """Whether a row may be the next line of a paragraph after another."""
    em = (above.em + below.em) / 2
    distance = below.middle - above.middle
    if not (
        _PITCH[0] * em <= distance <= _PITCH[1] * em and _same_height(above, below) and _share_columns(above, below)
    ):
        return False
    left, right = (abs(above.bounds[edge] - below.bounds[edge]) for edge in (0, 2))
    centre = abs(sum(above.bounds[::2]) - sum(below.bounds[::2])) / 2
    return left <= _INDENT * em or right <= 2 * _EDGE * em or centre <= 2 * _EDGE * em


def _share_columns(row: _Row, other: _Row) -> bool:
    return min(row.bounds[2], other.bounds[2]) - max(row.bounds[0], other.bounds[0]) > 0


def _chains(rows: list[_Row]) -> list[list[_Row]]:
    """Rows that follow one another, each after the nearest above it."""
    rows = sorted(rows, key=lambda row: row.middle)
    after: dict[int, int] = {}
    for index, row in enumerate(rows):
        below = _nearest(row, [other for other in rows if other.middle > row.middle])
        if below is not None and _follows(row, below):
            above = _nearest(below, [other for other in rows if other.middle < below.middle])
            if above is row:
                after[index] = rows.index(below)
    starts = sorted(set(range(len(rows))) - set(after.values()))
    chains = []
    for start in starts:
        chain, index = [rows[start]], start
        while index in after:
            index = after[index]
            chain.append(rows[index])
        chains.append(chain)
    return chains


def _nearest(row: _Row, others: Sequence[_Row]) -> _Row | None:
    """The nearest row above or below that shares columns with it; None where two of them stand side by side."""
    found = [other for other in others if _share_columns(row, other) and abs(other.middle - row.middle) > 0.5 * row.em]
    if not found:
        return None
    nearest = min(found, key=lambda other: abs(other.middle - row.middle))
    beside = [other for other in found if abs(other.middle - nearest.middle) < 0.5 * row.em]
    return nearest if len(beside) == 1 else None


def _split_irregular(chain: list[_Row]) -> list[list[_Row]]:
    """Cut a chain where rows stand farther apart than its usual distance."""
    distances = [below.middle - above.middle for above, below in pairwise(chain)]
    if len(distances) < 2:
        return [chain]
    usual = sorted(distances)[(len(distances) - 1) // 2]
    parts = [[chain[0]]]
    for row, distance in zip(chain[1:], distances, strict=True):
        if distance > _IRREGULAR * usual + 1:
            parts.append([])
        parts[-1].append(row)
    return parts


def _alignment(chain: Sequence[_Row], others: Sequence[_Row], width: int | None) -> Alignment:
    """How rows are set; a single row is centred where its middle is the picture's or that of other rows.

    Where its left edge is in line as well, what agrees better tells.
    """
    em = float(np.median([row.em for row in chain]))
    edges = np.array([(row.bounds[0], (row.bounds[0] + row.bounds[2]) / 2, row.bounds[2]) for row in chain])
    if len(chain) == 1:
        left, centre, _ = edges[0]
        middles = [sum(other.bounds[::2]) / 2 for other in others if _share_columns(other, chain[0])]
        middles += [] if width is None else [width / 2]
        off_left = min((abs(other.bounds[0] - left) for other in others), default=math.inf)
        off_centre = min((abs(middle - centre) for middle in middles), default=math.inf)
        return "centre" if off_centre < min(_EDGE * em, off_left) else "left"
    left, centre, right = np.ptp(edges, axis=0)
    if left < _EDGE * em:
        full = np.ptp(edges[:-1, 2])
        chance = 0.25 if len(chain) > 3 else 0.06  # two full lines may end together by chance
        return "justified" if len(chain) > 2 and full < chance * em else "left"
    if centre < min(_EDGE * em, right):
        return "centre"
    return "right" if right < _EDGE * em else "left"


def _in_reading_order(blocks: list[Block]) -> list[Block]:
    """Columns from left to right where the page falls into columns, otherwise from top to bottom."""
    if not blocks:
        return []
    matrix, _ = turn(float(np.median([block.angle for block in blocks])), 1, 1)
    bounds = {id(block): _level_corners(matrix, block) for block in blocks}

    def order(some: list[Block]) -> list[Block]:
        if len(some) < 2:
            return some
        for edge in (0, 1):  # columns first, then what stands above the rest
            first, rest = _cut_off(some, [(bounds[id(block)][edge], bounds[id(block)][edge + 2]) for block in some])
            if rest:
                return order(first) + order(rest)
        return sorted(some, key=lambda block: (bounds[id(block)][1], bounds[id(block)][0]))

    return order(blocks)


def _level_corners(matrix: np.ndarray, block: Block) -> Bounds:
    corners = move_points(matrix, block.quad)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    slack = 0.2 * block.em  # boxes stand off from their ink
    return left + slack, top + slack, right - slack, bottom - slack


def _cut_off(blocks: list[Block], spans: list[tuple[float, float]]) -> tuple[list[Block], list[Block]]:
    """What lies before the first gap along one direction, and the rest; the rest is empty where there is no gap.

    `spans` says from where to where each block reaches in that direction.
    """
    numbers = sorted(range(len(blocks)), key=lambda number: spans[number][0])
    ordered = [blocks[number] for number in numbers]
    reach = -math.inf
    for index, number in enumerate(numbers):
        start, end = spans[number]
        if index and start >= reach:
            return ordered[:index], ordered[index:]
        reach = max(reach, end)
    return ordered, []
