"""What belongs together and in which order it is read, by place alone: no pixel and no detector."""

from itertools import pairwise

import pytest

from translatotron_v.page.blocks import Block, find_blocks
from translatotron_v.page.lines import Line
from translatotron_v.page.order import Placed, in_reading_order
from translatotron_v.page.profile import EM_PER_HEIGHT

EM = 20.0
HEIGHT = EM / EM_PER_HEIGHT


def line(left: float, top: float, width: float, em: float = EM) -> Line:
    """A level line of ems: its left edge, its top, its width."""
    x, y, end, low = left * EM, top * EM, (left + width) * EM, top * EM + em / EM_PER_HEIGHT
    return Line(((x, y), (end, y), (end, low), (x, low)), 0.0, em / EM_PER_HEIGHT)


def found(*lines: Line, width: float = 60) -> list[list[int]]:
    """For each block, in reading order, the numbers of the lines that it holds."""
    blocks = find_blocks(list(lines), round(width * EM))
    return [[lines.index(one) for one in block.lines] for block in blocks]


def test_a_paragraph_is_one_block() -> None:
    rows = [line(2, 2, 30), line(2, 3.3, 28.5), line(2, 4.6, 29.5), line(2, 5.9, 11)]
    assert found(*rows) == [[0, 1, 2, 3]]


@pytest.mark.parametrize("pitch", [1.3, 1.7, 2.4])
def test_rows_of_a_menu_stay_rows_name_before_price(pitch: float) -> None:
    lines = []
    for number, name in enumerate((8.0, 5.0, 11.5, 3.0, 7.5)):
        lines += [line(2, 2 + number * pitch, name), line(36, 2 + number * pitch, 2.5)]
    assert found(*lines) == [[number] for number in range(10)]


@pytest.mark.parametrize("gap", [0.8, 1.5, 3.0])
def test_columns_are_read_one_after_the_other(gap: float) -> None:
    left = [line(2, 2 + 1.3 * n, width) for n, width in enumerate((18, 17.5, 18, 17, 9))]
    right = [line(20 + gap, 2 + 1.3 * n, width) for n, width in enumerate((17.5, 18, 17, 18, 12))]
    mixed = [one for pair in zip(left, right, strict=True) for one in pair]
    assert found(*mixed, width=22 + gap + 18) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


def test_a_heading_stands_apart_from_its_paragraph() -> None:
    rows = [line(2, 2, 9, 1.4 * EM), line(2, 3.8, 28), line(2, 5.1, 27.5), line(2, 6.4, 10)]
    assert found(*rows) == [[0], [1, 2, 3]]


def test_label_and_value_are_two_blocks() -> None:
    lines = [line(2, 2, 5), line(9, 2, 12), line(2, 4, 4), line(9, 4, 8)]
    assert found(*lines) == [[0], [1], [2], [3]]


def test_short_entries_are_no_paragraph() -> None:
    """The first word of each would have had room above: this is no text that was wrapped."""
    entries = [line(2, 2 + 1.8 * n, width) for n, width in enumerate((6, 21, 7, 5, 8))]
    parts = found(*entries)
    assert len(parts) >= 4 and [number for part in parts for number in part] == list(range(5))


def test_pieces_of_a_line_are_joined_up_to_a_word_gap() -> None:
    assert found(line(2, 2, 6), line(8.4, 2, 7)) == [[0, 1]]
    assert found(line(2, 2, 6), line(9.6, 2, 7)) == [[0], [1]]


def test_centred_lines_are_one_block() -> None:
    rows = [line(20, 2, 12), line(18, 3.3, 16), line(22, 4.6, 8)]
    assert found(*rows) == [[0, 1, 2]]
    (block,) = find_blocks(rows, 1200)
    assert block.alignment == "centre"


@pytest.mark.parametrize(("width", "alignment"), [(52, "centre"), (100, "left")])
def test_rows_of_nearly_one_length_are_centred_in_the_middle_of_the_picture(width: int, alignment: str) -> None:
    (block,) = find_blocks([line(20, 2, 12), line(19.85, 3.3, 12.3)], round(width * EM))
    assert block.alignment == alignment


def test_rows_whose_middles_agree_as_well_as_their_ragged_left_ends_are_centred() -> None:
    """On a photograph boxes stand off from their letters, some farther than others."""
    rows = [line(2.58, 1, 4.35), line(2.79, 2, 3.6), line(2.45, 3, 4.95)]
    (block,) = find_blocks(rows, width=10 * EM)
    assert block.alignment == "centre"
    in_line = [line(2.5, 1, 4.35), line(2.52, 2, 3.6), line(2.45, 3, 4.95)]
    assert find_blocks(in_line, width=10 * EM)[0].alignment == "left"


def test_rows_about_the_middle_of_the_picture_are_centred_however_equal_they_are() -> None:
    """Their left ends differ by an eighth of an em, their middles by a 25th: letters have no more room beside them."""
    (block,) = find_blocks([line(20, 2, 12), line(19.88, 3.3, 12.16)], round(52 * EM))
    assert block.alignment == "centre"


def test_a_row_that_ends_with_the_rows_of_another_block_is_set_to_the_right() -> None:
    paragraph = [line(12, 8, 16, 0.7 * EM), line(9, 9, 19, 0.7 * EM), line(15, 10, 13, 0.7 * EM)]
    heading, *_ = find_blocks([line(2.5, 2, 25.5), *paragraph], round(32 * EM))
    assert len(heading.rows) == 1 and heading.alignment == "right"


@pytest.mark.parametrize(("right", "alignment"), [(28.0, "right"), (26.5, "left")])
def test_a_row_at_the_other_margin_is_set_to_the_right(right: float, alignment: str) -> None:
    date, *_ = find_blocks([line(right - 9, 2, 9), line(2, 5, 14), line(2, 8, 11)], round(30 * EM))
    assert date.alignment == alignment


@pytest.mark.parametrize(("pitch", "blocks"), [(1.3, [[0, 2], [1, 3]]), (1.8, [[0], [1], [2], [3]])])
def test_tight_wrapped_rows_are_columns_even_far_apart(pitch: float, blocks: list[list[int]]) -> None:
    rows = [line(2, 2, 8), line(15, 2, 9), line(2, 2 + pitch, 6.5), line(15, 2 + pitch, 9.2)]
    assert found(*rows, width=26) == blocks


def test_tight_rows_of_a_table_are_no_columns() -> None:
    """The second row of either side would have had room for the first word of the third."""
    widths = ((11.5, 8), (12, 12), (7, 7.5), (12, 8), (7, 12))
    rows = [line(x, 2 + 1.3 * n, width[x > 2]) for n, width in enumerate(widths) for x in (2, 19)]
    assert all(len(block) == 1 for block in found(*rows, width=34))


def test_amounts_are_set_to_the_right() -> None:
    lines = []
    for number, (name, amount) in enumerate(((8, 3.5), (5, 2.9), (11, 4.1))):
        lines += [line(2, 2 + 2 * number, name), line(40 - amount, 2 + 2 * number, amount)]
    blocks = find_blocks(lines, 900)
    assert [block.alignment for block in blocks] == ["left", "right"] * 3


def test_entries_as_wide_as_one_another_are_set_to_the_left() -> None:
    """In a typewriter face two entries of as many letters have one middle, which says nothing."""
    lines = []
    for number, jitter in enumerate((0, 0.03, -0.03, 0.02)):
        lines += [line(2 + jitter, 2 + 1.8 * number, 9 - 2 * jitter), line(36, 2 + 1.8 * number, 2.5)]
    assert [block.alignment for block in find_blocks(lines, 900)][::2] == ["left"] * 4


def test_entries_whose_left_ends_tell_are_set_to_the_left() -> None:
    """Two of them end together, and the middle of a third is that of an amount: by chance."""
    lines = []
    for number, (width, place) in enumerate(((9, 0), (6, 0.04), (9, 0), (4, 0), (2, 3.5))):
        lines += [line(2, 2 + 1.8 * number, 7 + number), line(20 + place, 2 + 1.8 * number, width)]
    assert [block.alignment for block in find_blocks(lines, 900)][1:8:2] == ["left"] * 4


@pytest.mark.parametrize(("widths", "alignment"), [((5, 9, 7, 4), "centre"), ((6, 6, 6, 6), "left")])
def test_tabs_stand_at_equal_steps_by_their_middles(widths: tuple[float, ...], alignment: str) -> None:
    """Names as wide as one another do not tell, nor do those that begin where other text does."""
    tabs = [line(6 + 11 * n - width / 2, 30, width) for n, width in enumerate(widths)]
    assert [block.alignment for block in find_blocks(tabs, round(70 * EM))] == [alignment] * len(tabs)
    columns = [line(tab.quad[0][0] / EM, 28, 3) for tab in tabs]
    assert {block.alignment for block in find_blocks([*columns, *tabs], round(70 * EM))} == {"left"}


def place(left: float, top: float, right: float, bottom: float, **how: bool | int) -> Placed:
    rows = int(how.get("rows", 1))
    return Placed(
        (left, top, right, bottom), (bottom - top) / rows, rows, bool(how.get("boxed")), bool(how.get("listed"))
    )


def order(*items: Placed, cards: tuple[tuple[float, float, float, float], ...] = ()) -> list[int]:
    return in_reading_order(range(len(items)), lambda number: items[number], cards)


def test_tables_are_read_by_rows_and_lists_by_columns() -> None:
    cells = [place(x, y, x + 4, y + 1) for y in (0, 2, 4) for x in (0, 10, 20)]
    assert order(*cells) == list(range(9))
    entries = [place(x, y, x + 8, y + 1, listed=True) for x in (0, 12) for y in (0, 1.5, 3)]
    assert order(*entries) == list(range(6))


def test_boxes_are_read_by_rows() -> None:
    boxes = [place(x, y + shift, x + 4, y + shift + 2, boxed=True) for y in (0, 10) for x, shift in ((0, 1), (10, 0))]
    assert order(*boxes) == list(range(4))


def test_what_stands_on_one_card_is_read_together() -> None:
    cards = ((0.0, 0.0, 10.0, 20.0), (12.0, 0.0, 22.0, 20.0))
    items = [place(1, 1, 9, 2), place(1, 14, 9, 15), place(13, 1, 21, 2), place(13, 10, 21, 11)]
    assert order(*items, cards=cards) == [0, 1, 2, 3]
    assert order(*items) == [0, 2, 3, 1]


def test_every_line_is_in_one_block() -> None:
    lines = [line(2 + 0.7 * (n % 5), 2 + 1.4 * n, 5 + (7 * n) % 13) for n in range(20)]
    blocks: list[Block] = find_blocks(lines, 1200)
    assert sorted(lines.index(one) for block in blocks for one in block.lines) == list(range(20))
    for block in blocks:
        middles = [row[0].centre[1] for row in block.rows]
        assert all(above < below for above, below in pairwise(middles))
