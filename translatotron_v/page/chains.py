"""Rows to chains: what is read on, row after row, and what stands apart.

A row goes on in the one below where both are alike (size, weight, colour), stand on the same ground with no rule
between, at a paragraph's distance - and where the first word below would not have fitted above: text that is wrapped
fills its lines; rows of a menu, entries of a list, labels of a form do not.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from translatotron_v.page.rows import (
    EDGE,
    Row,
    Rows,
    differences,
    looks_alike,
    off_centre,
    one_ground,
    same_height,
    share_columns,
)

PITCH = (0.85, 2.0)  # distance of two lines of a paragraph, in ems
_APART = 1.65  # ems from which a row that is set differently is no next line
IRREGULAR = 1.2  # lines this many times farther apart than their block's usual distance begin another block
INDENT = 2.5  # ems by which a line may begin farther right than its neighbour
_TIGHT = 1.45  # ems from row to row up to which a break by hand is taken for one inside a text
_CELL = 3.0  # ems that the lines of a cell may be shorter than the cell
_WRAPPED = 0.5  # ems that a line may be shorter than wrapping would have made it
_HAND = 4.0  # ems by which lines of a centred or tight text may be broken earlier, by hand
_TEXT = 3  # rows that fill their column from which they are running text
_FULL = 0.62  # share of a column's width that the lines of its text fill, all but the last
_GUTTERS = 4.0  # ems between columns of text, at most,
_FAR_GUTTERS = 8.0  # and of tight rows where what stands at either side is wrapped
_NARROW = 7.0  # ems: a column that is narrower holds no text beside another


def follows(above: Row, below: Row) -> bool:
    """Whether a row may be the next line of a paragraph after another, by place and looks alone."""
    em = (above.em + below.em) / 2
    distance = below.middle - above.middle
    if not (PITCH[0] * em <= distance <= PITCH[1] * em and same_height(above, below) and share_columns(above, below)):
        return False
    if below.marker or not one_ground(above, below) or not looks_alike(above, below):
        return False
    if distance > _APART * em and differences(above, below):
        return False
    region = above.region or below.region
    if region is not None and region.map.rule_between(above.bounds, below.bounds):
        return False
    left, right = (abs(above.bounds[edge] - below.bounds[edge]) for edge in (0, 2))
    return left <= INDENT * em or right <= 2 * EDGE * em or off_centre(above, below) <= 2 * EDGE * em


def find_chains(rows: list[Row]) -> list[list[Row]]:
    """Rows that follow one another, each after the nearest above it, cut where they are no text that goes on."""
    rows = sorted(rows, key=lambda row: row.middle)
    after: dict[int, int] = {}
    for index, row in enumerate(rows):
        below = _nearest(row, [other for other in rows if other.middle > row.middle])
        if below is not None and follows(row, below):
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
    numbers = {id(row): number for number, row in enumerate(rows)}
    inner = {numbers[id(row)] for chain in chains if chain[0].marker for row in chain[1:]}
    page = Rows(rows, inner)
    parts = [part for chain in chains for part in _split_irregular(chain)]
    parts = [part for chain in parts for part in _split_unwrapped(chain, page, numbers)]
    return [part for chain in parts for part in _split_labels(chain)]


def _nearest(row: Row, others: Sequence[Row]) -> Row | None:
    """The nearest row above or below that shares columns with it; None where two of them stand side by side."""
    found = [other for other in others if share_columns(row, other) and abs(other.middle - row.middle) > 0.5 * row.em]
    if not found:
        return None
    nearest = min(found, key=lambda other: abs(other.middle - row.middle))
    beside = [other for other in found if abs(other.middle - nearest.middle) < 0.5 * row.em]
    return nearest if len(beside) == 1 else None


def _split_irregular(chain: list[Row]) -> list[list[Row]]:
    """Cut a chain where rows stand farther apart than its usual distance."""
    distances = [below.middle - above.middle for above, below in pairwise(chain)]
    if len(distances) < 2:
        return [chain]
    usual = sorted(distances)[(len(distances) - 1) // 2]
    parts = [[chain[0]]]
    for row, distance in zip(chain[1:], distances, strict=True):
        if distance > IRREGULAR * usual + 1:
            parts.append([])
        parts[-1].append(row)
    return parts


def _split_labels(chain: list[Row]) -> list[list[Row]]:
    """Cut a chain after what ends in a colon, and before a row that begins with a word and a colon.

    In text of several rows colons stand anywhere.
    """
    em = float(np.median([row.em for row in chain]))
    if len(chain) >= _TEXT and _fills_column(chain, em):
        return [chain]
    parts = [[chain[0]]]
    for above, below in pairwise(chain):
        if above.introduces or below.labelled:
            parts.append([])
        parts[-1].append(below)
    return parts


def _split_unwrapped(chain: list[Row], page: Rows, numbers: dict[int, int]) -> list[list[Row]]:
    """Cut a chain where the first word of a row had room on the row above it, or a table's next row begins."""
    if len(chain) < 2:
        return [chain]
    em = float(np.median([row.em for row in chain]))
    boxed = chain[0].region is not None and chain[0].region.encloses
    centred = _is_centred(chain, em)
    if centred and boxed:
        return [chain]
    edge = max(row.bounds[2] for row in chain)
    parts = [[chain[0]]]
    for above, below in pairwise(chain):
        spare = _spare(chain, above, below, edge, centred)
        distance = below.middle - above.middle
        by_hand = _HAND * em if centred else (_HAND / 2 * em if distance < _TIGHT * em else 0.0)
        first, second = (page.is_beside(numbers[id(row)]) for row in (above, below))
        apart = first != second  # perhaps a cell's second line
        by_hand = 0.0 if differences(above, below) else (_CELL * em if apart and not centred else by_hand)
        # The next name of a list with amounts, below what is set in under the one before.
        outdented = second and not first and above.bounds[0] - below.bounds[0] > EDGE * em
        if outdented or (spare > max(_WRAPPED * em, by_hand) and not above.hyphen):
            parts.append([])
        parts[-1].append(below)
    return [row for part in parts for row in _split_table(part, page, numbers, em)]


def _split_table(chain: list[Row], page: Rows, numbers: dict[int, int], em: float) -> list[list[Row]]:
    """Cut rows of a table, a menu or a form; what has nothing beside it goes on in its cell."""
    beside = [page.is_beside(numbers[id(row)]) for row in chain]
    if len(chain) < 2 or chain[0].marker or 2 * sum(beside) < len(chain) or _is_text(chain, page, numbers, em):
        return [chain]
    parts = [[chain[0]]]
    for number, (above, below) in enumerate(pairwise(chain)):
        right = page.right_of.get(numbers[id(above)])
        spare = 0.0 if right is None else page.rows[right].bounds[0] - em - above.bounds[2] - below.first_word
        if above.hyphen or (not beside[number + 1] and _in_one_cell(above, below, page, numbers, em)):
            parts[-1].append(below)
            continue
        if beside[number + 1] or below.middle - above.middle > _TIGHT * em + 1 or spare > _CELL * em:
            parts.append([])
        parts[-1].append(below)
    return parts


def _in_one_cell(above: Row, below: Row, page: Rows, numbers: dict[int, int], em: float) -> bool:
    """Whether two tight rows stand in a table whose rows are parted by rules, with none between the two."""
    region = above.region or below.region
    if region is None or below.middle - above.middle > _TIGHT * em + 1:
        return False
    others = [row for row in page.rows if row is not above and row is not below and share_columns(row, above)]
    higher = [row for row in others if row.middle < above.middle]
    lower = [row for row in others if row.middle > below.middle]
    before, after = (
        max(higher, key=lambda row: row.middle, default=None),
        min(lower, key=lambda row: row.middle, default=None),
    )
    return any(
        region.map.rule_between(one.bounds, other.bounds)
        for one, other in ((before, above), (below, after))
        if one is not None and other is not None
    )


def _spare(chain: Sequence[Row], above: Row, below: Row, edge: float, centred: bool) -> float:
    """Pixels that would have been left on a row had the first word of the next one been put there."""
    room = max(row.width for row in chain) - above.width if centred else edge - above.bounds[2]
    return room - above.space - below.first_word


def _is_centred(chain: Sequence[Row], em: float) -> bool:
    lefts = [row.bounds[0] for row in chain]
    middles = [(row.bounds[0] + row.bounds[2]) / 2 for row in chain]
    return float(np.ptp(middles)) < 0.4 * em < 0.75 * float(np.ptp(lefts))


def _is_text(chain: Sequence[Row], page: Rows, numbers: dict[int, int], em: float) -> bool:
    """Whether rows beside others are text in a column: wrapped, and beside other text that is no narrower than that."""
    edge, left = max(row.bounds[2] for row in chain), min(row.bounds[0] for row in chain)
    width = edge - left
    beside = [page.rows[found] for row in chain for found in page.beside(numbers[id(row)])]
    wide = float(np.median([row.width for row in beside])) if beside else width
    gutter = min(max(row.bounds[0] - edge, left - row.bounds[2]) for row in beside)
    return (
        _fills_column(chain, em) and wide > max(0.8 * _NARROW * em, 0.3 * width)
        and gutter < max(_gutters(chain, page, numbers, em), 0.35 * width)
    )  # fmt: skip


def _fills_column(rows: Sequence[Row], em: float) -> bool:
    """Whether rows below one another are wide, fill their column, and broke where the next word had no room."""
    edge, left = max(row.bounds[2] for row in rows), min(row.bounds[0] for row in rows)
    full = float(np.mean([row.width for row in rows[:-1]])) > _FULL * (edge - left)
    wrapped = all(_spare(rows, above, below, edge, False) <= _WRAPPED * em for above, below in pairwise(rows))
    words = float(np.mean([row.words for row in rows]))
    return edge - left > _NARROW * em and full and wrapped and words >= 2


def _gutters(chain: Sequence[Row], page: Rows, numbers: dict[int, int], em: float) -> float:
    """Pixels between columns of text, at most: more where rows are tight and their neighbours are wrapped text too."""
    tight = all(below.middle - above.middle < _TIGHT * em for above, below in pairwise(chain))
    sides = [
        [page.rows[of[numbers[id(row)]]] for row in chain if numbers[id(row)] in of]
        for of in (page.left_of, page.right_of)
    ]
    text = all(_fills_column(side, em) for side in sides if len(side) > 1) and max(map(len, sides)) > 1
    return (_FAR_GUTTERS if tight and text else _GUTTERS) * em
