"""Turned pages are turned upright, by their ink where it tells, by reading where it does not."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.page.pages import draw, render
from translatotron_v.ocr import LineDetector
from translatotron_v.page.lines import Line
from translatotron_v.page.orientation import SURE, orient, turn_points
from translatotron_v.page.search import find_lines

TEXT = ("Ein junger Mann mit Hut fährt auf dem Rad am Fluss entlang nach Hause.",)
CAPITALS = ("HIER NOCH EIN HINWEIS", "NICHT INS EIS SEHEN")  # the profile of such lines says little of up and down


class Reader:
    """Reads as surely as it is told to, one answer after the other, and notes what it was shown."""

    def __init__(self, *answers: float) -> None:
        self.answers = list(answers)
        self.seen: list[np.ndarray] = []

    def __call__(self, pixels: np.ndarray, lines: Sequence[Line]) -> float:
        assert 0 < len(lines) <= 3
        self.seen.append(pixels)
        return self.answers.pop(0)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_ink_tells_how_a_page_was_turned(detector: LineDetector, turns: int) -> None:
    page = render(20, texts=TEXT).pixels
    turned = np.ascontiguousarray(np.rot90(page, -turns))
    upright = orient(turned, find_lines(turned, detector))
    assert upright.turns == turns and np.array_equal(upright.pixels, page)
    assert not any(line.skip_reason for line in upright.lines)
    expected, found = (
        np.array([line.bounds for line in sorted(lines, key=lambda line: line.bounds[1])])
        for lines in (find_lines(page, detector), upright.lines)
    )
    assert found == pytest.approx(expected, abs=2)


@pytest.mark.parametrize(
    ("answers", "turns"), [((-0.01,), 0), ((-0.5, -0.02), 2), ((-0.2, -0.9), 0), ((-0.3, -0.26), 0)]
)
def test_reading_tells_where_ink_does_not(detector: LineDetector, answers: tuple[float, ...], turns: int) -> None:
    page, _ = draw(24, CAPITALS)
    reader = Reader(*answers)
    upright = orient(page, find_lines(page, detector), reader)
    assert upright.turns == turns and not reader.answers  # nothing is asked that is known
    assert np.array_equal(reader.seen[0], page)
    if len(answers) > 1:
        assert np.array_equal(reader.seen[1], np.rot90(page, 2))
    assert (answers[0] >= SURE) == (len(answers) == 1)


def test_what_is_surely_upright_is_not_read(detector: LineDetector) -> None:
    page = render(20, texts=TEXT).pixels
    assert orient(page, find_lines(page, detector), Reader()).turns == 0


def test_a_line_that_stands_on_an_upright_page_is_taken_as_it_reads(detector: LineDetector) -> None:
    page = np.full((512, 512, 3), 255, dtype=np.uint8)
    text, _ = draw(20, ("Ein Mann liest auf einer Bank", "die Zeitung von gestern."))
    page[20 : 20 + text.shape[0], 100 : 100 + text.shape[1]] = text
    label = np.rot90(draw(20, ("Bilder vom Sommer",))[0])  # reads upwards
    page[150 : 150 + label.shape[0], 10 : 10 + label.shape[1]] = label
    lines = find_lines(page, detector)
    assert sorted(line.skip_reason for line in lines) == ["", "", "vertical"]
    for answers, angle in (((-0.01,), -90), ((-0.9, -0.1), 90)):
        upright = orient(page, lines, Reader(*answers))
        assert upright.turns == 0 and not any(line.skip_reason for line in upright.lines)
        assert sorted(line.angle for line in upright.lines) == sorted([0, 0, angle])


def test_points_go_with_the_pixels() -> None:
    pixels = np.arange(12).reshape(3, 4)
    for turns in range(4):
        turned = np.rot90(pixels, turns)
        for row, column in np.ndindex(pixels.shape):
            ((x, y),) = turn_points([(column + 0.5, row + 0.5)], turns, 4, 3)
            assert turned[int(y), int(x)] == pixels[row, column]


def test_a_page_without_text_stays() -> None:
    page = np.zeros((20, 30, 3), dtype=np.uint8)
    assert orient(page, [], Reader()).turns == 0
