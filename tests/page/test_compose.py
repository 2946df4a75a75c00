"""Words put back: readable, in their place, and nothing else touched."""

import numpy as np
import pytest

from tests.page.pages import TEXTS, Taken, render, take_apart, tilt
from translatotron_v.metrics import cer
from translatotron_v.ocr import LineDetector, OcrEngine
from translatotron_v.page.arrange import SHRUNK
from translatotron_v.page.blocks import Block
from translatotron_v.page.compose import Composed, compose
from translatotron_v.page.lines import Line
from translatotron_v.page.profile import Setting
from translatotron_v.page.regions import RegionMap
from translatotron_v.page.separate import Layers, separate
from translatotron_v.page.straighten import Crop, straighten
from translatotron_v.page.strips import frame, usual_gap


def put(pixels: np.ndarray, taken: Taken, others: list[Taken], repeat: int = 1) -> Composed:
    return compose(
        pixels,
        taken.crop,
        taken.layers,
        taken.setting,
        [run.text_alpha for run in taken.runs] * repeat,
        taken.block.alignment,
        [other.block.quad for other in others if other is not taken],
        usual_gap(taken.runs),
    )


@pytest.mark.parametrize(("size", "angle", "dark"), [(12, 0, False), (20, 0, True), (16, 5, False), (32, 0, False)])
def test_unchanged_words_come_back(
    detector: LineDetector, reader: OcrEngine, size: int, angle: int, dark: bool
) -> None:
    ink, paper = ((240, 240, 200), (30, 40, 90)) if dark else ((0, 0, 0), (255, 255, 255))
    page = render(size, ink=ink, paper=paper)
    picture = tilt(page.pixels, angle, paper) if angle else page.pixels
    answer, old = picture, np.zeros(picture.shape[:2], dtype=bool)
    blocks = take_apart(picture, detector)
    for taken in blocks:
        composed = put(answer, taken, blocks)
        assert not composed.skip_reason and composed.em == taken.setting.em
        answer = composed.pixels
        left, top, right, bottom = (
            min(x for x, _ in taken.block.quad),
            min(y for _, y in taken.block.quad),
            max(x for x, _ in taken.block.quad),
            max(y for _, y in taken.block.quad),
        )
        slack = round(0.6 * size)
        old[max(int(top) - slack, 0) : int(bottom) + slack, max(int(left) - slack, 0) : int(right) + slack] = True
    lines = [" ".join(sorted(box.text for box in reader.read(page))) for page in (answer, picture)]
    assert cer(lines[:1], lines[1:]).value < 0.03
    assert np.array_equal(answer[~old], picture[~old])
    assert (answer == picture).all(axis=-1).mean() > 0.6


def test_a_longer_translation_covers_nothing_else(detector: LineDetector) -> None:
    regions = [(12, 10, 190, 200), (12, 130, 190, 300), (210, 10, 372, 380)]
    page = render(16, regions=regions)
    blocks = take_apart(page.pixels, detector)
    assert len(blocks) == 3
    first = blocks[0]
    composed = put(page.pixels, first, blocks, repeat=2)
    assert not composed.skip_reason and SHRUNK * first.setting.em <= composed.em <= first.setting.em
    changed = (composed.pixels != page.pixels).any(axis=-1)
    for other in blocks[1:]:
        left, top, right, bottom = (
            round(edge) for edge in (*np.min(other.block.quad, axis=0), *np.max(other.block.quad, axis=0))
        )
        assert not changed[top:bottom, left:right].any()
    for quad in composed.quads:
        assert min(min(corner) for corner in quad) >= 0 and max(max(corner) for corner in quad) <= 384


def test_what_has_no_room_stays(detector: LineDetector) -> None:
    page = render(24, texts=("Kein Platz für eine lange Zeile",), side=200)
    blocks = take_apart(page.pixels, detector)
    composed = put(page.pixels, blocks[0], blocks, repeat=20)
    assert composed.skip_reason == "no room" and composed.pixels is page.pixels and composed.quads == ()
    taken = blocks[0]
    assert compose(page.pixels, taken.crop, taken.layers, taken.setting, []).skip_reason == "no words"


def test_a_centred_line_grows_to_both_sides() -> None:
    pixels = np.full((60, 400, 3), 255, dtype=np.uint8)
    line = Line(((150.0, 20.0), (250.0, 20.0), (250.0, 44.0), (150.0, 44.0)), 0.0, 24.0)
    crop = straighten(pixels, Block(((line,),), 0.0, "centre"))
    layers = separate(crop.pixels.astype(np.float32) / 255, None, crop.where())
    ((_, top, _, _),) = crop.rows
    setting = Setting(20.0, (top + 17.0,), 1.0)
    words = [np.ones((32, 60), dtype=np.float32)] * 3
    edges = {}
    for alignment in ("left", "centre", "right"):
        composed = compose(pixels, crop, layers, setting, words, alignment)
        assert not composed.skip_reason and composed.em == 20.0
        corners = np.array(composed.quads).reshape(-1, 2)
        edges[alignment] = corners[:, 0].min(), corners[:, 0].max()
    assert edges["left"][0] == pytest.approx(150, abs=4) and edges["left"][1] > 330
    assert edges["right"][1] == pytest.approx(250, abs=4) and edges["right"][0] < 70
    assert sum(edges["centre"]) / 2 == pytest.approx(200, abs=4)


def one_line(pixels: np.ndarray) -> tuple[Crop, Layers, Setting]:
    """A line of 20 pixels per em from column 150 to 250 of a picture 60 pixels high."""
    line = Line(((150.0, 20.0), (250.0, 20.0), (250.0, 44.0), (150.0, 44.0)), 0.0, 24.0)
    crop = straighten(pixels, Block(((line,),), 0.0, "left"))
    ((_, top, _, _),) = crop.rows
    layers = separate(crop.pixels.astype(np.float32) / 255, None, crop.where())
    return crop, layers, Setting(20.0, (top + 17.0,), 1.0)


def test_over_a_photograph_words_may_stand_where_text_stood() -> None:
    """The plain ground around the text has its edge within the text, which is written over a photograph."""
    pixels = np.full((60, 400, 3), 255, dtype=np.uint8)
    pixels[:, :180] = np.random.default_rng(1).integers(0, 200, (60, 180, 3), dtype=np.uint8)
    region = RegionMap(pixels).region((150, 20, 250, 44), 20.0)
    assert region is not None and not region.encloses and region.box[0] > 170
    crop, layers, setting = one_line(pixels)

    def put_back(width: int) -> Composed:
        return compose(pixels, crop, layers, setting, [np.ones((32, width), dtype=np.float32)], region=region)

    composed = put_back(95)
    corners = np.array(composed.quads).reshape(-1, 2)
    assert not composed.skip_reason and composed.em == 20.0
    assert corners[:, 0].min() >= 145 and corners[:, 0].max() <= 256
    longer = put_back(130)  # smaller, not beyond
    assert not longer.skip_reason and SHRUNK * 20 <= longer.em < 20
    assert np.array(longer.quads).reshape(-1, 2)[:, 0].max() <= 256
    assert put_back(200).skip_reason == "no room"


def test_what_was_taken_for_a_line_around_the_text_is_no_obstacle() -> None:
    pixels = np.full((60, 400, 3), 255, dtype=np.uint8)
    crop, layers, setting = one_line(pixels)
    words = [np.ones((32, 60), dtype=np.float32)]

    def reason(*corners: float) -> str:
        left, top, right, bottom = corners
        quad = [(left, top), (right, top), (right, bottom), (left, bottom)]
        return compose(pixels, crop, layers, setting, words, obstacles=[quad]).skip_reason

    assert reason(160, -30, 300, 90) == ""  # such as the texture of a photograph
    assert reason(140, 36, 300, 90) == "no room"  # a line close below


def test_a_word_that_sets_itself_is_asked_for_the_size_it_gets(detector: LineDetector) -> None:
    page = render(28)
    blocks = take_apart(page.pixels, detector)
    taken, asked = blocks[0], []

    def word(scale: float) -> np.ndarray:
        asked.append(scale)
        return np.ones((sum(frame(scale)), 30), dtype=np.float32)

    for repeat in (1, 60):  # a few words at the block's size; many only at a smaller one
        asked.clear()
        others = [other.block.quad for other in blocks if other is not taken]
        composed = compose(page.pixels, taken.crop, taken.layers, taken.setting, [word] * repeat, obstacles=others)
        assert not composed.skip_reason and asked[-1] == pytest.approx(composed.em / 20)
        (left, top), (right, _), (_, bottom), _ = composed.quads[0]
        assert right - left == 30 and bottom - top == sum(frame(asked[-1]))
    assert composed.em < taken.setting.em


def test_a_line_begins_at_a_break_where_there_is_room(detector: LineDetector) -> None:
    page = render(20, texts=TEXTS[:1])
    (taken,) = take_apart(page.pixels, detector)
    words = [run.text_alpha for run in taken.runs]

    below = max(y for _, y in taken.block.quad) + 4
    floor = [(0.0, below), (384.0, below), (384.0, 384.0), (0.0, 384.0)]

    def lines(count: int, breaks: tuple[int, ...], obstacles: list[list[tuple[float, float]]]) -> list[int]:
        composed = compose(
            page.pixels,
            taken.crop,
            taken.layers,
            taken.setting,
            words[:count],
            taken.block.alignment,
            obstacles=obstacles,
            breaks=breaks,
        )
        assert not composed.skip_reason and len(composed.quads) == count
        bottoms = [max(y for _, y in quad) for quad in composed.quads]
        return [round((bottom - bottoms[0]) / taken.setting.pitch) for bottom in bottoms]

    assert lines(4, (), []) == [0, 0, 0, 0]
    assert lines(4, (2,), []) == [0, 0, 1, 1]
    everywhere = tuple(range(len(words)))
    assert lines(len(words), everywhere, [floor]) == lines(len(words), (), [floor])  # no room for so many lines
