"""Tiles cover what is to be searched, once, and what they say of a picture fits together."""

import numpy as np
import pytest

from tests.page.pages import render
from translatotron_v.ocr import LineDetector
from translatotron_v.page import tiles
from translatotron_v.page.lines import Line
from translatotron_v.page.search import find_lines
from translatotron_v.page.tiles import CELL, TILE, cover, detailed_cells, mark, probabilities, pyramid


@pytest.mark.parametrize(
    ("shape", "share"), [((1, 1), 1.0), ((20, 20), 0.1), ((90, 70), 1.0), ((90, 70), 0.05), ((3, 2031), 0.3)]
)
def test_every_cell_lies_in_one_tile(shape: tuple[int, int], share: float) -> None:
    cells = np.random.default_rng(0).random(shape) < share
    times = np.zeros(shape, dtype=int)
    for left, top, right, bottom in cover(cells):
        assert right - left <= TILE and bottom - top <= TILE
        times[top:bottom, left:right] += 1
    assert times.max() <= 1 and (times[cells] == 1).all()


def test_far_corners_are_tiles_of_their_own() -> None:
    cells = np.zeros((32, 32), dtype=bool)
    cells[0, 0] = cells[31, 31] = True
    assert sorted(cover(cells)) == [(0, 0, 1, 1), (31, 31, 32, 32)]
    assert list(cover(np.zeros((5, 5), dtype=bool))) == []


def test_detail_is_where_half_the_size_loses_it() -> None:
    pixels = np.full((400, 400, 3), 200, dtype=np.uint8)
    pixels[40:60, 100:120:2] = 0  # strokes of a pixel
    pixels[200:400, 200:400] = 90  # an edge that a smaller picture shows as well, but for its own pixels
    level = pyramid(pixels)[0]
    cells = detailed_cells(level, [])
    assert cells[1, 3] and not cells[8:, 8:].any() and not cells[:, 9:12][:5].any()
    assert not detailed_cells(level, [[(95, 35), (125, 35), (125, 65), (95, 65)]])[:3].any()
    mark(cells, [[(300, 300), (310, 300), (310, 310), (300, 310)]])
    assert np.argwhere(cells[7:, 7:]).tolist() == [[2, 2]]


def test_levels_are_halves_down_to_the_smallest_side() -> None:
    levels = pyramid(np.zeros((1001, 400, 3), dtype=np.uint8))
    assert [level.pixels.shape[:2] for level in levels] == [(1001, 400), (501, 200), (251, 100)]
    assert levels[2].to_picture(levels[2].to_level([(400.0, 1001.0)])) == pytest.approx(np.array([[400, 1001]]))
    assert levels[2].to_level([(400.0, 1001.0)]) == pytest.approx(np.array([[100, 251]]))


def test_seams_leave_no_trace(detector: LineDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    def bounds(lines: list[Line]) -> np.ndarray:
        return np.array([line.bounds for line in sorted(lines, key=lambda line: line.bounds[1])])

    pixels = render(16).pixels
    whole = bounds(find_lines(pixels, detector))
    cells = np.ones([-(-length // CELL) for length in pixels.shape[:2]], dtype=bool)
    monkeypatch.setattr(tiles, "TILE", 4)
    seen: list[tuple[int, ...]] = []
    plain = detector.probabilities
    monkeypatch.setattr(detector, "probabilities", lambda part: seen.append(part.shape[:2]) or plain(part))
    probabilities(pixels, cells, detector)
    assert len(seen) >= 9 and max(map(max, seen)) <= 4 * CELL + 2 * tiles.MARGIN
    assert bounds(find_lines(pixels, detector)) == pytest.approx(whole, abs=2)
