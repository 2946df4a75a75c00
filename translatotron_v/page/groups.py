"""Which blocks are set alike, so that what becomes smaller does so together: buttons of a row, labels of a column."""

from collections.abc import Sequence

from translatotron_v.page.blocks import Block
from translatotron_v.page.profile import Bounds

_SAME_SIZE = 0.05  # share by which the sizes of equals differ
_SAME_BOX = 0.15  # share by which the heights of their boxes differ
_IN_LINE = 0.5  # ems within which their edges or middles are in line


def size_groups(blocks: Sequence[Block], ems: Sequence[float]) -> list[list[int]]:
    """Numbers of the blocks of each group, in order.

    Two blocks are equals where their sizes (`ems`, pixels, as measured) are, and where they stand in boxes of equal
    height, or on one ground in one column or row, both of one line or both of several.
    """
    group = list(range(len(blocks)))

    def leader(number: int) -> int:
        while group[number] != number:
            number = group[number]
        return number

    for one in range(len(blocks)):
        for two in range(one):
            close = abs(ems[one] - ems[two]) <= _SAME_SIZE * max(ems[one], ems[two])
            if close and leader(one) != leader(two) and _equals(blocks[one], blocks[two]):
                group[leader(one)] = leader(two)
    found: dict[int, list[int]] = {}
    for number in range(len(blocks)):
        found.setdefault(leader(number), []).append(number)
    return list(found.values())


def _equals(one: Block, two: Block) -> bool:
    boxes = [block.region.box if block.region is not None and block.region.encloses else None for block in (one, two)]
    if boxes[0] is not None and boxes[1] is not None and one.region != two.region:
        heights = [box[3] - box[1] for box in boxes if box is not None]
        return abs(heights[0] - heights[1]) <= _SAME_BOX * max(heights)
    grounds = [None if block.region is None else block.region.number for block in (one, two)]
    if abs(one.angle - two.angle) > 1 or grounds[0] != grounds[1] or (len(one.rows) > 1) != (len(two.rows) > 1):
        return False
    first, second = _bounds(one), _bounds(two)
    slack = _IN_LINE * max(one.em, two.em)
    columns = abs(first[0] - second[0]), abs(first[2] - second[2]), abs(sum(first[::2]) - sum(second[::2])) / 2
    return min(columns) <= slack or abs(sum(first[1::2]) - sum(second[1::2])) / 2 <= 0.7 * slack


def _bounds(block: Block) -> Bounds:
    columns, rows = zip(*block.quad, strict=True)
    return min(columns), min(rows), max(columns), max(rows)
