"""Shapes of ink: measured in closed form, and brought to another shape at any size."""

import math

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from data_synth.fonts import find_font
from translatotron_v.page.shapes import Line, edge_width, letter_gaps, slant, stem_width, strip_line
from translatotron_v.page.shaping import Shape, ShapedWord, WordRow, at_size
from translatotron_v.page.strips import BASELINE, EM, LINE, frame


def bars(width: float, em: float, count: int = 6, lean: float = 0.0, scale: int = 8) -> Line:
    """Bars of a width (ems) that stand half an em apart, as tall as capitals, leant by degrees."""
    fine = em * scale
    height, room = round(1.5 * fine), round((count + 2) * 0.5 * fine)
    base = round(1.1 * fine)
    picture = np.zeros((height, room), dtype=np.float32)
    for number in range(count):
        left = round((number + 1) * 0.5 * fine)
        picture[base - round(0.7 * fine) : base, left : left + round(width * fine)] = 1
    rise = math.tan(math.radians(lean))
    leant = cv2.warpAffine(picture, np.array([[1, -rise, rise * base], [0, 1, 0]]), (room, height))
    size = (round(room / scale), round(height / scale))
    return Line(cv2.resize(leant, size, interpolation=cv2.INTER_AREA), base / scale, em)


def word(em: int = EM, width: float = 0.1, count: int = 3) -> np.ndarray:
    """A word (32, w) of upright bars at a strip's size."""
    picture = np.zeros((LINE, round(0.5 * EM * count)), dtype=np.float32)
    for number in range(count):
        left = round(0.5 * EM * number)
        picture[BASELINE - 14 : BASELINE, left : left + round(width * EM)] = 1
    return picture[:, : round(0.5 * EM * (count - 1)) + round(width * EM)]


@pytest.mark.parametrize("em", [12, 20, 48, 160])
@pytest.mark.parametrize("width", [0.05, 0.1, 0.2])
def test_stems_are_as_wide_as_they_are_however_small_or_blurred(em: int, width: float) -> None:
    line = bars(width, em)
    assert stem_width([line]) == pytest.approx(width, rel=0.06, abs=0.003)
    blurred = Line(cv2.GaussianBlur(line.ink, (0, 0), 0.05 * em), line.baseline, line.em)
    assert stem_width([blurred]) == pytest.approx(width, rel=0.08, abs=0.004)


def test_nothing_has_no_stems_slant_gaps_or_edges() -> None:
    empty = Line(np.zeros((40, 100), dtype=np.float32), 30.0, 20.0)
    assert stem_width([empty]) == slant([empty]) == edge_width(empty.ink) == 0.0
    assert stem_width([]) == slant([]) == 0.0 and letter_gaps([empty]).size == 0


@pytest.mark.parametrize("em", [16, 24, 64])
@pytest.mark.parametrize("lean", [-8, 0, 6, 12, 18])
def test_slant_is_the_angle_by_which_stems_lean(em: int, lean: float) -> None:
    assert slant([bars(0.1, em, lean=lean)]) == pytest.approx(lean, abs=1.5)


def test_gaps_between_letters() -> None:
    assert letter_gaps([bars(0.1, 40, count=4)]) == pytest.approx([0.4] * 3, abs=0.05)


@pytest.mark.parametrize("blur", [1.0, 2.0, 3.0])
def test_an_edge_is_as_wide_as_its_blur(blur: float) -> None:
    step = np.zeros((20, 60), dtype=np.float32)
    step[:, 30:] = 1
    # From a tenth to nine tenths a Gaussian's integral takes 2.563 standard deviations.
    assert edge_width(cv2.GaussianBlur(step, (0, 0), blur)) == pytest.approx(2.563 * blur, rel=0.05)


def test_a_word_at_its_own_size_is_the_word() -> None:
    drawn = word()
    assert at_size(drawn, 1.0) is drawn
    assert ShapedWord(drawn, Shape(blur=2.0))(1.0) is drawn


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.7, 3.0, 8.0, 20.0])
def test_any_size_has_its_frame_and_its_stems(scale: float) -> None:
    above, below = frame(scale)
    drawn = word(width=0.15)
    ink = at_size(drawn, scale)
    assert ink.shape[0] == above + below and ink.dtype == np.float32
    assert ink.shape[1] == pytest.approx(drawn.shape[1] * scale, abs=2 * scale)
    assert ink.min() >= 0 and ink.max() <= 1
    rows = np.flatnonzero(ink.max(axis=1) > 0.5)
    assert rows[-1] + 1 == pytest.approx(above, abs=max(1.0, 0.1 * scale))  # it stands on the baseline
    assert stem_width([Line(ink, above, EM * scale)]) == pytest.approx(0.15, rel=0.08)


@pytest.mark.parametrize("scale", [3.0, 8.0, 20.0])
def test_enlarged_ink_is_sharp_and_round(scale: float) -> None:
    rows, columns = np.indices((LINE * 8, LINE * 8)) / 8
    radius = np.hypot(rows - 16, columns - 16)
    disc = cv2.resize((radius < 6).astype(np.float32), (LINE, LINE), interpolation=cv2.INTER_AREA)
    ink = at_size(disc, scale)
    assert 0 < edge_width(ink) < 1.7
    outline = ink > 0.5
    rows, columns = np.nonzero(outline & ~(cv2.erode(outline.astype(np.uint8), np.ones((3, 3))) > 0))
    distances = np.hypot(rows - rows.mean(), columns - columns.mean()) / scale
    assert distances.mean() + 0.5 / scale == pytest.approx(6, abs=0.15) and distances.std() < 0.15  # no staircase


@pytest.mark.parametrize("grow", [-0.03, 0.02, 0.04])
def test_growing_moves_both_sides_of_a_stem_and_keeps_its_height(grow: float) -> None:
    plain, grown = (ShapedWord(word(width=0.15), Shape(grow=one, stem=0.15))(4.0) for one in (0.0, grow))
    above = frame(4.0)[0]
    assert stem_width([Line(grown, above, 80)]) == pytest.approx(0.15 + 2 * grow, abs=0.012)
    heights = [np.ptp(np.flatnonzero(ink.max(axis=1) > 0.5)) for ink in (plain, grown)]
    assert heights[1] == pytest.approx(heights[0], rel=0.06)


def test_thinning_leaves_hairlines() -> None:
    picture = np.zeros((LINE, 40), dtype=np.float32)
    picture[9:BASELINE, 4:8] = 1
    picture[14:15, 8:30] = 1  # a quarter as wide as the stem
    thin = ShapedWord(picture, Shape(grow=-0.07, stem=0.2))(4.0)
    assert (thin[:, 8 * 4 : 24 * 4].max(axis=0) > 0.3).all()


@pytest.mark.parametrize("lean", [-10, 10, 16])
def test_a_leant_word_leans(lean: float) -> None:
    line = strip_line([word()])
    assert slant([line]) == pytest.approx(0, abs=0.6)
    leant = ShapedWord(word(), Shape(slant=lean))(3.0)
    assert slant([Line(leant, frame(3.0)[0], 60.0)]) == pytest.approx(lean, abs=1.5)


def test_spacing_parts_letters_that_no_empty_column_parts() -> None:
    """Like A and V: the second begins above the first's foot."""
    picture = np.zeros((LINE, 24), dtype=np.float32)
    picture[9:16, 2:8] = 1
    picture[18:BASELINE, 7:14] = 1
    assert letter_gaps([Line(picture, BASELINE, EM)]).size == 0
    spread = ShapedWord(picture, Shape(spacing=0.3))(2.0)
    assert letter_gaps([Line(spread, frame(2.0)[0], 40.0)]) == pytest.approx([0.3 - 0.05], abs=0.05)


def test_dots_stay_with_their_letters() -> None:
    picture = np.zeros((LINE, 20), dtype=np.float32)
    for left in (2, 12):
        picture[13:BASELINE, left : left + 4] = 1
        picture[8:11, left : left + 3] = 1
    spread = ShapedWord(picture, Shape(spacing=0.5))(2.0)
    stems, dots = (np.flatnonzero(spread[rows].max(axis=0) > 0.5) for rows in (slice(30, 44), slice(16, 21)))
    assert set(dots) <= set(stems)


def test_a_row_of_words_shapes_its_pictures_and_leaves_what_sets_itself() -> None:
    asked: list[float] = []

    def literal(scale: float) -> np.ndarray:
        asked.append(scale)
        return np.ones((sum(frame(scale)), 9), dtype=np.float32)

    row = WordRow([word(), literal])
    plain, bold = row(2.0), row.shaped(Shape(grow=0.03, stem=0.1))(2.0)
    assert asked == [2.0, 2.0] and plain.shape[0] == bold.shape[0] == sum(frame(2.0))
    assert bold[:, :-11].sum() > 1.3 * plain[:, :-11].sum()
    assert (bold[:, -9:] == 1).all()


@pytest.mark.parametrize("word", ["Analysis", "App Store", "AVATAR", "Wall"])
@pytest.mark.parametrize("em", [20, 37])
def test_diagonals_of_letters_are_no_slant(word: str, em: int) -> None:
    font = ImageFont.truetype(str(find_font("DejaVuSans")), em)
    page = Image.new("L", (int(font.getlength(word)) + 20, 2 * em))
    ImageDraw.Draw(page).text((10, round(1.4 * em)), word, fill=255, font=font, anchor="ls")
    line = Line(np.asarray(page, dtype=np.float32) / 255, round(1.4 * em), em)
    assert abs(slant([line])) < 3
