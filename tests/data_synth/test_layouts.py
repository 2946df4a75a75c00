"""Pages of known layout: what is said of their blocks is what was drawn."""

from itertools import combinations

import numpy as np
import pytest

from data_synth.corpora import TextPair, public_texts
from data_synth.errors import UserError
from data_synth.faces import Family
from data_synth.layout_sheet import room_of
from data_synth.layouts import HELD_OUT, LAYOUTS, TUNING, Container, LayoutPage, Texts, draw_layout

FAMILIES = [
    Family("DejaVu Sans", "sans", ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique")),
    Family("DejaVu Serif", "serif", ("DejaVuSerif", "DejaVuSerif-Bold")),
]
TEXTS = Texts(public_texts("de", "en"))


@pytest.fixture(scope="module", params=LAYOUTS)
def page(request: pytest.FixtureRequest) -> LayoutPage:
    return draw_layout(request.param, TEXTS, FAMILIES, HELD_OUT, seed=3)


def test_boxes_hold_all_the_ink_and_no_more(page: LayoutPage) -> None:
    inside = np.zeros(page.mask.shape, dtype=bool)
    for block in page.blocks:
        for _, (left, top, right, bottom) in block.lines:
            ink = page.mask[top:bottom, left:right]
            assert ink[0].any() and ink[-1].any() and ink[:, 0].any() and ink[:, -1].any()
            inside[top:bottom, left:right] = True
        boxes = np.array([box for _, box in block.lines])
        assert block.box == (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
    assert not page.mask[~inside].any()
    assert page.pixels.shape == page.ground.shape == (*page.mask.shape, 3) and min(page.mask.shape) >= 400


def test_blocks_stand_apart_and_are_told_in_order(page: LayoutPage) -> None:
    assert [block.order for block in page.blocks] == list(range(len(page.blocks)))
    for one, two in combinations(page.blocks, 2):
        a, b = one.box, two.box
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for block in page.blocks:
        assert " ".join(text for text, _ in block.lines) == block.text and block.target
        assert block.text.startswith(block.marker) and 9 <= block.em <= 4 * HELD_OUT.ems[1]


def test_text_is_inside_its_container(page: LayoutPage) -> None:
    for block in page.blocks:
        if block.container is not None:
            left, top, right, bottom = block.container.box
            assert left <= block.box[0] and top <= block.box[1] and block.box[2] <= right and block.box[3] <= bottom
            if block.container.shape == "ellipse":
                for _, line in block.lines:
                    for x, y in ((line[0], line[1]), (line[2], line[3])):
                        off = ((2 * x - left - right) / (right - left)) ** 2 + (
                            (2 * y - top - bottom) / (bottom - top)
                        ) ** 2
                        assert off < 1.05


def test_the_ground_is_the_page_without_its_ink(page: LayoutPage) -> None:
    clean = page.mask == 0
    assert np.abs(page.pixels[clean].astype(int) - page.ground[clean]).mean() < 6
    if not page.style.jpeg and not page.style.noise:
        assert (page.pixels[clean] == page.ground[clean]).all()
    full = page.mask == 255
    assert np.abs(page.pixels[full].astype(int) - page.ground[full]).max() > 60


def test_the_same_numbers_draw_the_same_page() -> None:
    one, same, other = (draw_layout("menu", TEXTS, FAMILIES, TUNING, seed=1, index=n) for n in (0, 0, 1))
    assert (one.pixels == same.pixels).all() and one.blocks == same.blocks
    assert one.pixels.shape != other.pixels.shape or (one.pixels != other.pixels).any()


def test_rows_of_a_menu_are_read_name_before_price() -> None:
    page = draw_layout("menu", TEXTS, FAMILIES, TUNING, seed=2)
    prices = [block for block in page.blocks if block.role == "price"]
    assert len(prices) >= 3
    for price in prices:
        name = page.blocks[price.order - 1]
        assert name.role == "name" and name.box[2] < price.box[0]
        assert name.box[1] < price.box[3] and price.box[1] < name.box[3]


def test_an_ellipse_has_less_room_at_its_ends() -> None:
    box = (0, 0, 200, 100)
    middle, end = (room_of(Container("ellipse", box), 0)(*rows) for rows in ((45, 55), (10, 20)))
    assert middle is not None and end is not None
    assert middle[1] - middle[0] == pytest.approx(2 * 100 * (1 - 0.1**2) ** 0.5)
    assert end[1] - end[0] == pytest.approx(2 * 100 * (1 - 0.8**2) ** 0.5)
    assert room_of(Container("rectangle", box), 10)(5, 20) is None


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(UserError, match="choose one of menu"):
        draw_layout("poster", TEXTS, FAMILIES)
    with pytest.raises(UserError, match="family"):
        draw_layout("menu", TEXTS, [])
    with pytest.raises(UserError, match="several lengths"):
        Texts([TextPair("Ein Hund schläft auf dem Sofa.", "A dog sleeps on the sofa.")])
