"""Lines are found whatever the size of their letters and of the picture, and wherever they stand on it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.page.pages import TEXTS, draw, render, tilt
from translatotron_v.ocr import LineDetector
from translatotron_v.page.ink import TEXT_LIKE, tighten
from translatotron_v.page.lines import Line, rectangle
from translatotron_v.page.profile import Setting
from translatotron_v.page.search import _Found, _levelled, _merge, find_lines
from translatotron_v.page.tiles import pyramid

ROWS = ("Zwölf kleine Boote", "liegen am Ufer.")


def from_top(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.bounds[1])


@pytest.mark.parametrize("size", [6, 9, 16, 40, 96, 180, 400])
def test_letters_of_all_sizes_are_found_and_measured(detector: LineDetector, size: int) -> None:
    pixels, boxes = draw(size, ROWS)
    lines = from_top(find_lines(pixels, detector))
    assert len(lines) == len(ROWS)
    for line, (left, top, right, bottom) in zip(lines, boxes, strict=True):
        assert not line.skip_reason and line.angle == 0
        assert line.em == pytest.approx(size, abs=max(0.05 * size, 0.5))
        assert left - 0.3 * size < line.bounds[0] < left and right < line.bounds[2] < right + 0.3 * size
        assert line.bounds[1] < top + 0.1 * size and line.bounds[3] > bottom - 0.1 * size


@pytest.mark.parametrize("size", [12, 40])
def test_text_that_fills_its_picture_is_found(detector: LineDetector, size: int) -> None:
    pixels, ((left, top, right, bottom),) = draw(size, ROWS[:1])
    crop = pixels[round(top) : round(bottom), round(left) : round(right)]
    (line,) = find_lines(crop, detector)
    assert line.bounds[0] < 0.1 * size and line.bounds[2] > crop.shape[1] - 0.15 * size
    assert line.em == pytest.approx(size, rel=0.08)


def test_ink_that_is_much_larger_than_the_box_is_not_that_of_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies around small text on a photograph may look like large text; at an edge the box may be too small."""
    setting = Setting(30.0, (40.0,), 0.99)
    monkeypatch.setattr("translatotron_v.page.ink.measure", lambda ink, rows: setting)
    within, tight = (pyramid(draw(20, ROWS[:1], margin)[0]) for margin in (2.0, 0.0))
    inside, at_edge = rectangle((120.0, 50.0), 160.0, 22.0, 0.0), rectangle((80.0, 11.0), 160.0, 22.0, 0.0)
    kept, grown = tighten(inside, within), tighten(at_edge, tight)
    assert kept.quad == inside.quad and kept.fit < TEXT_LIKE
    assert grown.height > 1.2 * at_edge.height and grown.fit == setting.fit


def test_a_box_that_fills_the_picture_gives_way_to_text_on_it() -> None:
    """It is settled only where nothing is found on it: then it is a crop of one line."""
    whole = _Found(replace(rectangle((320.0, 96.0), 640.0, 192.0, 0.0), fit=0.97), 80.0, fills=True)
    small = _Found(replace(rectangle((140.0, 24.0), 260.0, 14.0, 0.0), fit=0.96), 12.0)
    assert not whole.settled and replace(whole, fills=False).settled
    assert _merge([whole], [small]) == [small]
    assert _merge([whole], []) == [whole]


def test_text_at_each_edge_of_a_picture_is_found(detector: LineDetector) -> None:
    pixels, ((left, top, right, bottom),) = draw(24, ROWS[:1])
    word = pixels[round(top) : round(bottom), round(left) : round(right)]
    page = np.full((300, 640, 3), 255, dtype=np.uint8)
    height, width = word.shape[:2]
    for y, x in ((0, 0), (0, 640 - width), (300 - height, 0), (300 - height, 640 - width)):
        page[y : y + height, x : x + width] = word
    lines = find_lines(page, detector)
    assert len(lines) == 4
    assert all(line.em == pytest.approx(24, rel=0.08) and not line.skip_reason for line in lines)


@pytest.mark.parametrize("upright", [False, True])
def test_a_strip_of_65_000_pixels_is_searched(detector: LineDetector, upright: bool) -> None:
    word, _ = draw(20, ("Ausgang",), margin=0.4)
    height, width = word.shape[:2]
    strip = np.full((65_000, 200, 3), 255, dtype=np.uint8) if upright else np.full((60, 65_000, 3), 255, dtype=np.uint8)
    places = [(100, 20), (31_980, 20), (64_800, 20)] if upright else [(2, 100), (2, 32_700), (2, 64_800)]
    for y, x in places:
        strip[y : y + height, x : x + width] = word
    lines = sorted(find_lines(strip, detector), key=lambda line: sum(line.centre))
    assert len(lines) == len(places)
    for line, (y, x) in zip(lines, places, strict=True):
        assert line.centre == pytest.approx((x + width / 2, y + height / 2), abs=8)
        assert line.em == pytest.approx(20, rel=0.05)


def test_small_and_large_text_stand_on_one_page(detector: LineDetector) -> None:
    page = np.full((1100, 1500, 3), 255, dtype=np.uint8)
    large, _ = draw(200, ("Neu!",), margin=0.3)
    page[40 : 40 + large.shape[0], 60 : 60 + large.shape[1]] = large
    for place, size in enumerate((7, 12, 30)):
        part, _ = draw(size, ROWS)
        page[500 + 150 * place : 500 + 150 * place + part.shape[0], 900 : 900 + part.shape[1]] = part
    sizes = [line.em for line in from_top(find_lines(page, detector))]
    assert sizes == pytest.approx([200, 7, 7, 12, 12, 30, 30], rel=0.07)


def test_blocks_of_one_page_keep_their_own_angles(detector: LineDetector) -> None:
    page = np.full((760, 900, 3), 255, dtype=np.uint8)
    for place, angle in enumerate((-7, 4, 38)):
        part = tilt(draw(24, ROWS)[0], angle)
        row, column = ((0, 20), (0, 480), (300, 200))[place]
        page[row : row + part.shape[0], column : column + part.shape[1]] = part
    lines = find_lines(page, detector)
    assert sorted(round(line.angle) for line in lines) == [-7, -7, 4, 4, 38, 38]
    assert all(line.em == pytest.approx(24, rel=0.05) and not line.skip_reason for line in lines)


def test_tilts_up_to_45_degrees_are_measured(detector: LineDetector) -> None:
    page = render(24)
    lines = find_lines(tilt(page.pixels, -43), detector)
    assert len(lines) == len(page.boxes) and all(abs(line.angle + 43) < 0.5 for line in lines)


def test_lines_that_ran_together_on_a_small_picture_come_apart(detector: LineDetector) -> None:
    page = np.full((900, 900, 3), 255, dtype=np.uint8)
    for number in range(30):  # a third of a pixel of paper between two lines at a quarter of the size
        part, _ = draw(8, (TEXTS[number % 3],), margin=0.1)
        page[300 + 10 * number : 300 + 10 * number + part.shape[0], 40 : 40 + part.shape[1]] = np.minimum(
            page[300 + 10 * number : 300 + 10 * number + part.shape[0], 40 : 40 + part.shape[1]], part
        )
    lines = find_lines(page, detector)
    assert len(lines) == 30 and all(line.em == pytest.approx(8, rel=0.12) for line in lines)


def test_a_short_amount_on_a_level_page_is_level() -> None:
    """Boxes of "2,15" lean by the comma at one end; a short word that is tilted much stays so."""
    long = [rectangle((200.0, 40.0 * n), 300.0, 24.0, 0.0) for n in (1, 2, 3)]
    amount, word = rectangle((500.0, 80.0), 60.0, 24.0, -2.0), rectangle((500.0, 160.0), 60.0, 24.0, 12.0)
    levels = pyramid(np.full((240, 640, 3), 255, dtype=np.uint8))
    assert [line.angle for line in _levelled([*long, amount, word], levels)] == [0.0, 0.0, 0.0, 0.0, 12.0]
    assert [line.angle for line in _levelled([amount, word], levels)] == [-2.0, 12.0]
