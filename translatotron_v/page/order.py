"""Blocks in reading order: rows of tables, menus and charts row by row, columns of text column by column."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from translatotron_v.page.profile import Bounds

Item = TypeVar("Item")

_ALIGNED = 0.6  # share of the fewer blocks beside a gap that have one level with them at its other side: a table
_SINGLE = 0.35  # share of all rows that stand alone in their block, from which level blocks are a table's
_FOOT = 1.5  # rows of space above what stands at the foot of columns
_LEVEL = 0.4  # of a row's height by which the first rows of what is level differ


class Placed:
    """A block as its order sees it.

    Attributes:
        bounds: in the frame in which the page is level.
        row: height of one of its rows, pixels.
        rows: how many it has.
        boxed: whether it stands in a box or bubble of its own.
        listed: whether it begins with a list's marker.
    """

    __slots__ = ("bounds", "boxed", "listed", "row", "rows")

    def __init__(self, bounds: Bounds, row: float, rows: int, boxed: bool = False, listed: bool = False) -> None:
        self.bounds, self.row, self.rows, self.boxed, self.listed = bounds, row, rows, boxed, listed

    @property
    def first_middle(self) -> float:
        """Of its first row."""
        return self.bounds[1] + self.row / 2


Cut = tuple[list[tuple[Placed, Item]], list[tuple[Placed, Item]]]  # what lies before a gap, and what after it


def in_reading_order(
    items: Sequence[Item], place: Callable[[Item], Placed], cards: Sequence[Bounds] = ()
) -> list[Item]:
    """Items in the order in which they are read; what stands on one card, or in one panel, is read together.

    The page is cut along empty stripes, again and again: along one from top to bottom where it parts columns of text,
    otherwise along one from side to side, and where there is none, along one from top to bottom after all.
    """
    placed = [(place(item), item) for item in items]
    groups: dict[int, list[tuple[Placed, Item]]] = {}
    for number, (one, item) in enumerate(placed):
        middle = (one.bounds[0] + one.bounds[2]) / 2, (one.bounds[1] + one.bounds[3]) / 2
        inside = [n for n, card in enumerate(cards) if card[0] < middle[0] < card[2] and card[1] < middle[1] < card[3]]
        groups.setdefault(inside[0] if inside else -1 - number, []).append((one, item))
    units = [
        (_around(group, cards[key] if key >= 0 and len(group) > 1 else None), group) for key, group in groups.items()
    ]
    if len(units) == 1:
        return [item for _, item in _ordered(placed)]
    return [item for _, group in _ordered(units) for _, item in _ordered(group)]


def _around(group: list[tuple[Placed, Item]], card: Bounds | None) -> Placed:
    """Where a card stands; what is alone on its card stands for itself."""
    first = group[0][0]
    return first if card is None else Placed(card, first.row, 2, True)


def _ordered(items: list[tuple[Placed, Item]]) -> list[tuple[Placed, Item]]:
    if len(items) < 2:
        return items
    upright = _cuts(items, 0)
    foot = _foot(items, upright)
    if foot is not None:
        return _ordered(foot[0]) + _ordered(foot[1])
    for first, rest in sorted(upright, key=_gap_between, reverse=True):
        if _parts_columns([one for one, _ in first], [one for one, _ in rest]):
            return _ordered(first) + _ordered(rest)
    for cuts in (_cuts(items, 1), upright):
        if cuts:
            first, rest = cuts[0]
            return _ordered(first) + _ordered(rest)
    return sorted(items, key=lambda item: (item[0].first_middle, item[0].bounds[0]))


def _foot(items: list[tuple[Placed, Item]], upright: Sequence[Cut[Item]]) -> Cut[Item] | None:
    """What stands below a wide gap at the foot of both of two columns, such as a source and a page's number."""
    level = _cuts(items, 1)
    if not level or not upright:
        return None
    rest, foot = level[-1]
    row = max(one.row for one, _ in foot)
    gap = min(one.bounds[1] for one, _ in foot) - max(one.bounds[3] for one, _ in rest)
    if gap < _FOOT * row or len(rest) < 3 or any(one.rows > 1 or one.listed or one.boxed for one, _ in foot):
        return None
    for left, _ in upright:
        edge = max(one.bounds[2] for one, _ in left)
        if any(len({one.bounds[2] <= edge for one, _ in part}) < 2 for part in (rest, foot)):
            continue
        if all(one.row <= 1.05 * max(other.row for other, _ in rest) for one, _ in foot):
            return rest, foot
    return None


def _gap_between(cut: Cut[Item]) -> float:
    first, rest = cut
    return min(one.bounds[0] for one, _ in rest) - max(one.bounds[2] for one, _ in first)


def _cuts(items: list[tuple[Placed, Item]], edge: int) -> list[Cut[Item]]:
    """What lies before each gap along one direction (0: to the right, 1: downwards), and what lies after it."""
    ordered = sorted(items, key=lambda item: item[0].bounds[edge])
    found, reach = [], -math.inf
    for index, (one, _) in enumerate(ordered):
        slack = 0.2 * one.row if edge == 1 else 0.0  # boxes stand off from their ink
        if index and one.bounds[edge] + slack >= reach:
            found.append((ordered[:index], ordered[index:]))
        reach = max(reach, one.bounds[edge + 2] - slack)
    return found


def _parts_columns(left: Sequence[Placed], right: Sequence[Placed]) -> bool:
    """Whether what stands at the two sides of a gap are columns of text, read one after the other."""
    if any(one.boxed for one in (*left, *right)):
        return False
    if any(one.listed for one in right) and any(one.listed or one.rows > 1 for one in left):
        return True
    fewer, more = sorted((left, right), key=len)
    level = sum(any(abs(one.first_middle - other.first_middle) < _LEVEL * one.row for other in more) for one in fewer)
    rows = sum(one.rows for one in (*left, *right))
    single = sum(one.rows == 1 for one in (*left, *right))
    if level >= _ALIGNED * len(fewer) and single >= _SINGLE * rows:
        return False
    return all(any(one.rows > 1 for one in side) or len(side) > 2 for side in (left, right))
