"""Pages of known layout in translation: each block's in its place, its look and, where it must be, smaller."""

from dataclasses import replace

import numpy as np
import pytest

from data_synth.layout_translated import draw_translated, translated_pages
from data_synth.layouts import LAYOUTS, LayoutBlock, LayoutPage, draw_layout
from tests.data_synth.test_layouts import FAMILIES, TEXTS


@pytest.fixture
def page() -> LayoutPage:
    return draw_layout("form", TEXTS, FAMILIES, seed=3)


def ink(page: LayoutPage, block: LayoutBlock) -> tuple[int, int, int, int] | None:
    """Where a block alone puts its translation: left, top, right, bottom; None if it does not fit."""
    drawn = draw_translated(replace(page, blocks=(block,)))
    if drawn is None:
        return None
    changed = (drawn != page.ground).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def test_what_is_not_translated_stands_where_it_stood(page: LayoutPage) -> None:
    for block in page.blocks:
        if len(block.lines) == 1 and not block.marker:
            found = ink(page, replace(block, target=block.text))
            assert found is not None and np.allclose(found, block.box, atol=2)


def test_a_translation_too_long_for_its_place_is_set_smaller_down_to_a_half(page: LayoutPage) -> None:
    block = next(block for block in page.blocks if len(block.text) > 5)
    left, top, right, bottom = block.frame
    found = {}
    for more in ("", " inkl. MwSt."):
        place = ink(page, replace(block, target=block.text + more))
        assert place is not None
        assert left - 1 <= place[0] and place[2] <= right + 1 and top <= place[1] and place[3] <= bottom
        found[more] = place[3] - place[1]
    assert found[" inkl. MwSt."] < found[""]
    assert ink(page, replace(block, target=block.text * 4)) is None


def test_alignment_is_kept(page: LayoutPage) -> None:
    block = max(page.blocks, key=lambda block: block.box[2] - block.box[0])
    places = {side: ink(page, replace(block, target="il", alignment=side)) for side in ("left", "centre", "right")}
    left, centre, right = (places[side] for side in ("left", "centre", "right"))
    assert left is not None and centre is not None and right is not None
    assert abs(left[0] - block.box[0]) <= 2 and abs(right[2] - block.box[2]) <= 2
    assert abs((centre[0] + centre[2]) - (block.box[0] + block.box[2])) <= 4


def test_pages_take_the_layouts_in_turn() -> None:
    pages = list(translated_pages(TEXTS, FAMILIES, len(LAYOUTS) + 1, seed=1))
    assert [page.kind for page, _ in pages] == [*LAYOUTS, LAYOUTS[0]]
    shown = [translated for _, translated in pages if translated is not None]
    assert len(shown) > len(LAYOUTS) // 2
    for page, translated in pages:
        assert translated is None or translated.shape == page.pixels.shape
