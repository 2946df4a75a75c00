"""Lines are found with their tilt, and grouped into the blocks that they were set in."""

import numpy as np
import pytest

from tests.page.pages import TEXTS, render, tilt
from translatotron_v.ocr import LineDetector
from translatotron_v.page.blocks import Block, find_blocks
from translatotron_v.page.lines import Line
from translatotron_v.page.search import find_lines
from translatotron_v.page.straighten import straighten

DARK = {"ink": (240, 240, 200), "paper": (30, 40, 90)}


def level(left: float, top: float, right: float, bottom: float) -> Line:
    return Line(((left, top), (right, top), (right, bottom), (left, bottom)), 0.0, bottom - top)


def rows_of(blocks: list[Block]) -> list[int]:
    return [len(block.rows) for block in blocks]


@pytest.mark.parametrize(
    ("size", "font", "angle", "colours"),
    [
        (10, "DejaVuSans", 0, {}),
        (14, "FiraGO-Regular", 5, DARK),
        (20, "DejaVuSerif", -10, {}),
        (28, "Ubuntu-Regular", 0, DARK),
    ],
)
def test_lines_blocks_and_angles(detector: LineDetector, size: int, font: str, angle: int, colours: dict) -> None:
    page = render(size, font, ink=colours.get("ink", (0, 0, 0)), paper=colours.get("paper", (255, 255, 255)))
    picture = tilt(page.pixels, angle, colours.get("paper", (255, 255, 255))) if angle else page.pixels
    lines = find_lines(picture, detector)
    assert len(lines) == len(page.boxes) and not any(line.skip_reason for line in lines)
    assert all(abs(line.angle - angle) < 0.5 for line in lines)
    blocks = find_blocks(lines, picture.shape[1])
    assert rows_of(blocks) == [sum(box.block == number for box in page.boxes) for number in range(len(TEXTS))]
    crop = straighten(picture, blocks[0])
    assert crop.level == (angle == 0)
    if crop.level:
        left, top = (-crop.matrix[:, 2]).astype(int)
        height, width = crop.pixels.shape[:2]
        assert np.array_equal(crop.pixels, picture[top : top + height, left : left + width])


def test_columns_stay_apart_and_are_read_one_after_the_other(detector: LineDetector) -> None:
    texts = (TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[0])
    regions = [(12, 10, 180, 180), (12, 200, 180, 370), (210, 10, 372, 180), (210, 200, 372, 370)]
    page = render(13, texts=texts, regions=regions)
    blocks = find_blocks(find_lines(page.pixels, detector), 384)
    assert rows_of(blocks) == [sum(box.block == number for box in page.boxes) for number in range(4)]
    assert [block.quad[0][0] < 190 for block in blocks] == [True, True, False, False]


@pytest.mark.parametrize("shape", [(1, 1), (20, 3000), (3000, 20), (64, 100)])
def test_pictures_without_text_have_no_lines(detector: LineDetector, shape: tuple[int, int]) -> None:
    assert find_lines(np.full((*shape, 3), 200, dtype=np.uint8), detector) == []


def test_text_that_stands_upright_is_named(detector: LineDetector) -> None:
    page = render(20, texts=("Ausfahrt freihalten",))
    lines = find_lines(np.ascontiguousarray(np.rot90(page.pixels)), detector)
    assert lines and all(line.skip_reason for line in lines)
    assert find_blocks(lines, 384) == []


def test_alignment() -> None:
    def of(*edges: tuple[float, float]) -> str:
        lines = [level(left, 30 * row, right, 30 * row + 22) for row, (left, right) in enumerate(edges)]
        (block,) = find_blocks(lines, 1000)
        return block.alignment

    assert of((10, 300), (10, 250), (10, 280)) == "left"
    assert of((10, 300), (60, 300), (30, 300)) == "right"
    assert of((10, 300), (60, 250), (30, 280)) == "centre"
    assert of((10, 300), (10, 300), (10, 150)) == "justified"
    assert of((10, 300), (10, 299), (10, 302), (10, 150)) == "justified"
    assert of((10, 300), (10, 297), (10, 150)) == "left"
    assert of((450, 550)) == "centre"
    assert of((10, 550)) == "left"


def test_a_heading_over_a_centred_paragraph_is_centred() -> None:
    def of_heading(left: float, right: float) -> str:
        rows = [(left, 0, right, 30), (204, 70, 796, 92), (230, 98, 770, 120)]
        return find_blocks([level(*row) for row in rows], 1000)[0].alignment

    assert of_heading(210, 790) == "centre"  # both edges and the middle are near; the middle is nearest
    assert of_heading(204, 780) == "left"


def test_a_heading_and_a_paragraph_further_down_are_blocks_of_their_own() -> None:
    lines = [level(10, 0, 200, 34), level(10, 44, 300, 64), level(10, 68, 290, 88), level(10, 116, 300, 136)]
    assert rows_of(find_blocks(lines, 400)) == [1, 2, 1]
