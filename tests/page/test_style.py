"""Styles of blocks: told from pixels whose style is known, and given back."""

from dataclasses import replace
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from data_synth.fonts import find_font
from translatotron_v.page.blocks import Block
from translatotron_v.page.compose import compose
from translatotron_v.page.effects import Outline, Shadow, layers_below, measure_around, widened
from translatotron_v.page.lines import Line
from translatotron_v.page.plain import settle
from translatotron_v.page.profile import Setting, measure
from translatotron_v.page.rules import take_rules
from translatotron_v.page.separate import Layers, separate
from translatotron_v.page.shapes import Line as InkLine
from translatotron_v.page.shapes import slant, stem_width
from translatotron_v.page.shaping import Shape, ShapedWord
from translatotron_v.page.straighten import Crop, straighten
from translatotron_v.page.strips import BASELINE, EM, LINE, USUAL_GAP, frame
from translatotron_v.page.style import (
    Decoration,
    Placed,
    Span,
    Style,
    dress,
    marked,
    measure_style,
    paint_order,
    shape_for,
)
from translatotron_v.page.tints import find_words, take_tints

WORDS = ["Zwei", "Hunde", "liegen", "im", "Schatten"]


def text_mask(
    words: list[str] = WORDS, font: str = "DejaVuSans", em: int = 28, spacing: float = 0.0, stroke: int = 0
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """A line of words as coverage, its baseline in row 2 em, and the columns of each word."""
    face = ImageFont.truetype(str(find_font(font)), em)
    picture = Image.new("L", (24 * em, 4 * em))
    draw, pen, columns = ImageDraw.Draw(picture), 2.0 * em, []
    for word in words:
        start = pen
        for piece in word if spacing else [word]:
            draw.text((round(pen), 2 * em), piece, font=face, fill=255, anchor="ls", stroke_width=stroke)
            pen += face.getlength(piece) + spacing * em
        columns.append((round(start), round(pen - spacing * em)))
        pen += face.getlength(" ") + spacing * em
    return np.asarray(picture, dtype=np.float32) / 255, columns


def over(ground: np.ndarray | tuple[float, ...], mask: np.ndarray, colour: tuple[float, ...]) -> np.ndarray:
    below = np.broadcast_to(np.array(ground, dtype=np.float32), (*mask.shape, 3))
    return below * (1 - mask[..., None]) + np.array(colour, dtype=np.float32) * mask[..., None]


def cut_out(picture: np.ndarray, right: int, em: int = 28, left: int = 0) -> tuple[np.ndarray, Crop, Layers]:
    """The page as bytes, the crop of its line, and its layers without a network."""
    pixels = np.rint(picture * 255).astype(np.uint8)
    left, top, bottom = left or 2 * em, 2 * em - round(0.87 * em), 2 * em + round(0.25 * em)
    quad = ((float(left), top), (float(right), top), (float(right), bottom), (float(left), bottom))
    crop = straighten(pixels, Block(((Line(quad, 0.0, bottom - top),),), 0.0))
    return pixels, crop, separate(crop.pixels.astype(np.float32) / 255, None, crop.where())


def told(picture: np.ndarray, right: int, em: int = 28) -> Style:
    _, crop, layers = cut_out(picture, right, em)
    return measure_style(crop, layers)[2]


def drawn(font: str = "DejaVuSans", words: list[str] = WORDS) -> list[np.ndarray]:
    """Words at a strip's size, as a drawer gives them."""
    found = []
    for word in words:
        mask, ((left, right),) = text_mask([word], font, EM)
        found.append(mask[2 * EM - BASELINE : 2 * EM - BASELINE + LINE, left : right + 1])
    return found


@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSans-Bold", "FiraGO-Bold", "DejaVuSansMono-Oblique"])
@pytest.mark.parametrize("em", [16, 28])
def test_weight_and_slant_are_told_and_given_back(font: str, em: int) -> None:
    mask, columns = text_mask(font=font, em=em)
    style = told(over((1, 1, 1), mask, (0.1, 0.1, 0.1)), columns[-1][1], em)
    fine, _ = text_mask(font=font, em=160)
    true = InkLine(fine, 320, 160)
    regular = {"FiraGO-Bold": "FiraGO-Regular", "DejaVuSansMono-Oblique": "DejaVuSansMono"}.get(font, "DejaVuSans")
    shape = shape_for(drawn(regular), style)
    scale = em / EM
    lines = [InkLine(ShapedWord(word, shape)(8.0), frame(8.0)[0], 160) for word in drawn(regular)]
    assert stem_width(lines) == pytest.approx(stem_width([true]), rel=0.15)
    assert slant(lines) == pytest.approx(slant([true]), abs=3)
    assert ShapedWord(drawn(regular)[0], shape)(scale).shape[0] == sum(frame(scale))
    assert not style.decorations and not style.tints and style.outline is None and style.shadow is None


def test_an_upright_regular_block_leaves_drawn_words_as_they_are() -> None:
    mask, columns = text_mask()
    style = told(over((1, 1, 1), mask, (0, 0, 0)), columns[-1][1])
    assert shape_for(drawn(), style).plain and style.erased is None
    (first, *_), gap = dress(drawn(), style)
    assert gap == USUAL_GAP and np.array_equal(first(1.0), drawn()[0])


@pytest.mark.parametrize(("below", "thick", "rule"), [(4, 2, (0, 0, 0)), (3, 1, (0, 0, 0)), (4, 2, (0.8, 0.1, 0.1))])
def test_underlines_are_taken_off_and_measured(below: int, thick: int, rule: tuple[float, ...]) -> None:
    mask, columns = text_mask()
    line = np.zeros_like(mask)
    line[56 + below : 56 + below + thick, columns[0][0] : columns[-1][1]] = 1
    picture = over(over((1, 1, 1), mask, (0, 0, 0)), line, rule)
    pixels, crop, layers = cut_out(picture, columns[-1][1])
    letters, setting, style = measure_style(crop, layers)
    (found,) = style.decorations
    assert found.below * setting.em == pytest.approx(below + thick / 2, abs=1)
    assert found.thickness * setting.em == pytest.approx(thick, abs=0.4) and found.spans == (Span(0.0, 1.0),)
    assert found.colour == pytest.approx(rule, abs=0.05)
    clean = cut_out(over((1, 1, 1), mask, (0, 0, 0)), columns[-1][1])[2]
    assert np.abs(letters.text_alpha - clean.text_alpha).mean() < 0.004
    composed = compose(pixels, crop, letters, setting, dress(drawn(), style)[0], style=replace(style, decorations=()))
    assert not composed.skip_reason
    row = composed.pixels[56 + below, columns[1][1] + 3 : columns[2][0] - 3]
    assert (row > 250).all()  # between two words nothing is left of it


def test_a_line_under_one_word_or_through_all() -> None:
    mask, columns = text_mask()
    one, through = mask.copy(), mask.copy()
    one[60:62, columns[1][0] : columns[1][1]] = 1
    (found,) = told(over((1, 1, 1), one, (0, 0, 0)), columns[-1][1]).decorations
    assert marked(found.spans[0], [end - start for start, end in columns]) == [1]
    through[48:50, columns[0][0] : columns[-1][1]] = 1
    (found,) = told(over((1, 1, 1), through, (0, 0, 0)), columns[-1][1]).decorations
    assert found.below == pytest.approx(-7 / 28, abs=0.05)


def test_rules_of_tables_and_serifs_are_no_underlines() -> None:
    mask, columns = text_mask()
    table = mask.copy()
    table[62:64, :] = 1  # runs on beyond the text
    assert not told(over((1, 1, 1), table, (0, 0, 0)), columns[-1][1]).decorations
    for font in ("DejaVuSerif-Bold", "DejaVuSansMono-Bold"):
        mask, columns = text_mask(["mmmmm", "EEETTT", "nnnnnn"], font)
        assert not told(over((1, 1, 1), mask, (0, 0, 0)), columns[-1][1]).decorations


def test_the_line_that_an_answer_stands_on_in_a_form_stays_on_the_page() -> None:
    """It goes on beyond the words, so it is neither ink, which would shrink them, nor an underline."""
    mask, columns = text_mask()
    form = mask.copy()
    form[61:63, columns[0][0] :] = 1
    right = columns[-1][1]
    pixels, crop, layers = cut_out(over((1, 1, 1), form, (0.4, 0, 0.2)), right)
    letters, setting, style = measure_style(crop, layers)
    _, alone, plain = cut_out(over((1, 1, 1), mask, (0.4, 0, 0.2)), right)
    expected, without, _ = measure_style(alone, plain)
    assert setting.em == pytest.approx(without.em, rel=0.03) and style.decorations == () and style.erased is None
    assert np.abs(letters.text_alpha - expected.text_alpha).mean() < 0.004
    composed = compose(pixels, crop, letters, setting, dress(drawn(words=["Two", "dogs"]), style)[0], style=style)
    assert not composed.skip_reason
    assert (composed.pixels[62, columns[0][0] + 3 :].mean(axis=-1) < 100).all()  # the line, whole


@pytest.mark.parametrize("low", [12, 14])
def test_the_box_below_a_label_stays_whole(low: int) -> None:
    """Its edges are neither ink nor underlines: what lies below the descenders is no part of the label."""
    mask, columns = text_mask(["Meldung:"])
    form = mask.copy()
    left, top = columns[0][0], 2 * 28 + low
    form[top, left:] = form[top:, left] = 1
    right = columns[-1][1]

    def cut_with_all_its_ink(mask: np.ndarray) -> tuple[np.ndarray, Crop, Layers]:
        """As a network sees it, which takes lines near text for ink."""
        pixels, crop, layers = cut_out(over((0.05, 0.05, 0.1), mask, (0.5, 0.6, 0.6)), right)
        return pixels, crop, replace(layers, text_alpha=np.clip((crop.pixels[..., 1] / 255 - 0.05) / 0.55, 0, 1))

    pixels, crop, layers = cut_with_all_its_ink(form)
    letters, setting, style = measure_style(crop, layers)
    _, alone, plain = cut_with_all_its_ink(mask)
    expected, without, _ = measure_style(alone, plain)
    assert setting.em == pytest.approx(without.em, rel=0.03) and style.decorations == () and style.erased is None
    assert np.abs(letters.text_alpha - expected.text_alpha).mean() < 0.004
    composed = compose(pixels, crop, letters, setting, dress(drawn(words=["News:"]), style)[0], style=style)
    assert not composed.skip_reason and np.array_equal(composed.pixels[top:], pixels[top:])


def test_take_rules_without_any_gives_the_layers_back() -> None:
    mask, columns = text_mask()
    _, crop, layers = cut_out(over((1, 1, 1), mask, (0, 0, 0)), columns[-1][1])
    same, rules, erased = take_rules(crop.pixels.astype(np.float32) / 255, layers, crop.rows)
    assert same is layers and rules == () and not erased.any()


@pytest.mark.parametrize("heavy", [False, True])
def test_words_become_narrow_and_keep_height_and_stems(heavy: bool) -> None:
    mask, columns = text_mask(font="DejaVuSans-Bold" if heavy else "DejaVuSans")
    style = told(over((1, 1, 1), mask, (0, 0, 0)), columns[-1][1])
    words, gap = dress(drawn(), style, 0.7)
    assert gap < 0.75 * USUAL_GAP
    assert dress(drawn(), style, 0.7 if heavy else 0.9)[1] == (gap if heavy else USUAL_GAP)  # bold ones are wider
    for one, other in zip(drawn(), words, strict=True):
        inks = [word(3.0) > 0.5 for word in (ShapedWord(one), other)]
        sizes = [[np.ptp(np.flatnonzero(ink.any(axis=axis))) for axis in (0, 1)] for ink in inks]
        assert sizes[1][0] / sizes[0][0] == pytest.approx(0.7, abs=0.06)
        assert sizes[1][1] == pytest.approx(sizes[0][1], rel=0.1)  # x-heights are kept, ascenders of bold words less
    stem = stem_width([InkLine(word(3.0), frame(3.0)[0], 60.0) for word in words])
    assert stem == pytest.approx(style.stem, rel=0.12)


@pytest.mark.parametrize("spacing", [0.2, 0.35])
def test_spaced_capitals_come_back_spaced(spacing: float) -> None:
    mask, columns = text_mask(["ZURÜCK", "ZUM", "ANFANG"], spacing=spacing)
    style = told(over((1, 1, 1), mask, (0, 0, 0)), columns[-1][1])
    words = drawn(words=["BACK", "TO", "THE", "START"])
    shape = shape_for(words, style)
    assert shape.spacing == pytest.approx(spacing, abs=0.08)
    assert dress(words, style)[1] == pytest.approx(USUAL_GAP + 2 * shape.spacing)
    mask, columns = text_mask(["ZURÜCK", "ZUM", "ANFANG"])
    assert shape_for(words, told(over((1, 1, 1), mask, (0, 0, 0)), columns[-1][1])).spacing == 0


def test_words_whose_letters_touch_are_not_spaced() -> None:
    """The gaps between words are all that there are."""
    mask, columns = text_mask(["Zwei", "Hunde", "liegen", "hier"])
    wide = cv2.dilate(mask, np.ones((1, 5)))
    assert told(over((1, 1, 1), wide, (0, 0, 0)), columns[-1][1]).gap == 0


def test_words_of_another_colour() -> None:
    mask, columns = text_mask()
    own = np.zeros_like(mask)
    own[:, columns[2][0] : columns[2][1]] = mask[:, columns[2][0] : columns[2][1]]
    picture = over(over((1, 1, 1), mask - own, (0.1, 0.1, 0.1)), own, (0.8, 0.1, 0.1))
    _, crop, layers = cut_out(picture, columns[-1][1])
    letters, _, style = measure_style(crop, layers)
    assert letters.colour == pytest.approx((0.1, 0.1, 0.1), abs=0.03)
    ((span, colour),) = style.tints
    assert colour == pytest.approx((0.8, 0.1, 0.1), abs=0.03)
    assert marked(span, [end - start for start, end in columns]) == [2]
    part = np.s_[:, columns[2][0] - round(crop.matrix[0, 2]) * -1 :]
    assert letters.text_alpha[part].max() > 0.95  # as much ink as the others have
    assert not told(over((1, 1, 1), mask, (0.1, 0.1, 0.1)), columns[-1][1]).tints


def test_words_are_parted_by_their_gaps() -> None:
    mask, columns = text_mask()
    found = find_words(mask, [(columns[0][0], 30.0, columns[-1][1], 64.0)])
    assert np.array([(word.left, word.right) for word in found]) == pytest.approx(np.array(columns), abs=4)
    empty, white = np.zeros((20, 50), dtype=np.float32), np.ones((20, 50, 3), dtype=np.float32)
    nothing = Layers(empty, (0.0, 0.0, 0.0), white, empty > 0)
    assert take_tints(white, nothing, [(0.0, 0.0, 50.0, 20.0)]) == (nothing, [], ())


@pytest.mark.parametrize("width", [2, 3])
def test_outlines_are_measured(width: int) -> None:
    mask, columns = text_mask(em=36)
    wide, _ = text_mask(em=36, stroke=width)

    picture = over(over((0.4, 0.5, 0.6), wide, (0, 0, 0)), mask, (1, 1, 1))
    style = told(picture, columns[-1][1], 36)
    assert style.outline is not None and style.shadow is None
    assert style.outline.width == pytest.approx(width / 36, abs=0.6 / 36)
    assert style.outline.colour == pytest.approx((0, 0, 0), abs=0.06)
    assert style.erased is not None and style.erased.any()


@pytest.mark.parametrize(("right", "down", "blur"), [(3, 3, 0.0), (-3, 2, 0.0), (3, 3, 2.2)])
def test_shadows_are_measured(right: int, down: int, blur: float) -> None:
    mask, _ = text_mask(em=36)
    cast = np.roll(mask, (down, right), axis=(0, 1))
    cast = cv2.GaussianBlur(cast, (0, 0), blur) if blur else cast
    picture = over(over((0.4, 0.5, 0.6), 0.8 * cast, (0, 0, 0)), mask, (1, 1, 1))
    crop_pixels = picture.astype(np.float32)
    around = measure_around(crop_pixels, mask, (1.0, 1.0, 1.0), 36)
    assert around.outline is None and around.shadow is not None
    assert around.shadow.right * 36 == pytest.approx(right, abs=1.5) and around.shadow.down * 36 == pytest.approx(
        down, abs=1.5
    )
    assert around.shadow.blur * 36 == pytest.approx(blur, abs=1.2)
    assert around.ground is not None and np.abs(around.ground - (0.4, 0.5, 0.6)).max() < 0.05
    below = layers_below(mask, None, around.shadow, 36)[0]
    again = over(over((0.4, 0.5, 0.6), below.coverage, below.colour), mask, (1, 1, 1))
    assert np.abs(again - picture).mean() < 0.01


def test_plain_text_has_nothing_around_it() -> None:
    mask, _ = text_mask(em=36)
    for ground, ink in (((1, 1, 1), (0, 0, 0)), ((0.2, 0.3, 0.5), (1, 0.9, 0.3))):
        around = measure_around(over(ground, mask, ink).astype(np.float32), mask, ink, 36)
        assert around.outline is None and around.shadow is None and around.ground is None
    nothing = np.zeros((40, 40), dtype=np.float32)
    assert measure_around(np.ones((40, 40, 3), dtype=np.float32), nothing, (0, 0, 0), 20).reach == 0


def test_ink_is_widened_by_pixels() -> None:
    square = np.zeros((60, 60), dtype=np.float32)
    square[20:40, 20:40] = 1
    for width in (1.5, 3.0, 6.0, 12.0):
        wide = widened(square, width)
        assert wide[30].sum() == pytest.approx(20 + 2 * width, abs=0.7) and (wide >= square).all()


def test_on_plain_ground_colours_tell_ink_that_was_not_seen() -> None:
    mask, columns = text_mask()
    left, right = columns[1]
    picture = over((0.95, 0.95, 0.9), mask, (0.2, 0.1, 0.5)).astype(np.float32)
    missed = mask.copy()
    missed[:, left:right] = 0  # a word that a network took for ground
    hole = missed > 0
    ground = np.where(hole[..., None], 0.95, picture).astype(np.float32)
    seen = Layers(0.8 * missed, (0.3, 0.2, 0.55), ground, hole)
    where = np.zeros(mask.shape, dtype=bool)
    where[28:66] = True
    settled = settle(picture, seen, [(columns[0][0], 30.0, columns[-1][1], 64.0)], where)
    assert np.abs(settled.text_alpha - mask)[where].max() < 0.05
    assert settled.colour == pytest.approx((0.2, 0.1, 0.5), abs=0.02)
    assert np.abs(settled.background[where] - (0.95, 0.95, 0.9)).max() < 0.05
    noisy = np.random.default_rng(0).random(picture.shape).astype(np.float32)
    assert settle(noisy, seen, [(0.0, 30.0, 400.0, 64.0)], where) is seen  # no plain ground


def test_what_jpeg_leaves_beside_letters_is_no_ink() -> None:
    """It overshoots: single pixels are brighter than the paper, and no letters in white. A word in white still is."""
    mask, columns = text_mask(em=24)
    white = mask.copy()
    white[:, : columns[-1][0]] = 0
    drawn = over(over((0.7, 0.65, 0.55), mask - white, (0.18, 0.16, 0.08)), white, (1, 1, 1))
    file = BytesIO()
    Image.fromarray(np.rint(drawn * 255).astype(np.uint8)).save(file, "JPEG", quality=75)
    picture = np.asarray(Image.open(file), dtype=np.float32) / 255
    seen = Layers(mask - white, (0.18, 0.16, 0.08), np.full_like(picture, 0.6), mask > 0)
    settled = settle(picture, seen, [(columns[0][0], 26.0, columns[-1][1], 56.0)], np.ones(mask.shape, dtype=bool))
    beside = cv2.dilate(mask, np.ones((3, 3))) == 0
    assert settled.text_alpha[beside].max() < 0.3
    assert settled.text_alpha[white > 0.9].min() > 0.7


def test_stars_behind_letters_are_no_ink() -> None:
    """What was not taken for ink, and is as small as a full stop, is none, however bright."""
    mask, columns = text_mask(em=24)
    stars = np.zeros_like(mask)
    for left in range(60, columns[-1][1], 37):
        stars[62:65, left : left + 3] = 1
    ink, ground = (0.05, 0.1, 0.35), (0.6, 0.6, 0.6)
    picture = over(over(ground, stars, (1.0, 0.9, 0.8)), mask, ink).astype(np.float32)
    seen = Layers(mask, ink, np.full_like(picture, 0.6), mask > 0)
    settled = settle(picture, seen, [(columns[0][0], 26.0, columns[-1][1], 66.0)], np.ones(mask.shape, dtype=bool))
    assert settled.text_alpha[(stars > 0) & (mask == 0)].max() < 0.1
    assert settled.text_alpha[mask > 0.9].min() > 0.8


def test_specks_do_not_tell_the_colour_of_letters_that_run_into_one_another() -> None:
    """What JPEG leaves on a dark ground joins all letters; the specks beside it are faint, and of the ink's hue."""
    mask, columns = text_mask(["HALT", "AM", "MARKT"], em=24)
    ground = np.full((*mask.shape, 3), (0.02, 0.02, 0.06), dtype=np.float32)
    for rows, first, last in ((slice(44, 46), columns[0][0], columns[-1][1]), (slice(4, 80), columns[0][0], 60)):
        ground[rows, first:last] += (0.03, 0.05, 0.05)
    specks = np.zeros_like(mask)
    specks[84:86, 60:300:8] = 0.15
    cyan = (0.3, 0.85, 0.8)
    picture = over(over(ground, specks, cyan), mask, cyan).astype(np.float32)
    seen = Layers(np.maximum(mask, specks), cyan, ground, mask > 0)
    settled = settle(picture, seen, [(columns[0][0], 26.0, columns[-1][1], 56.0)], np.ones(mask.shape, dtype=bool))
    assert settled.colour == pytest.approx(cyan, abs=0.05)


def test_letters_with_an_outline_are_what_lies_inside() -> None:
    mask, columns = text_mask(em=24)
    wide, _ = text_mask(em=24, stroke=2)
    picture = over(over((0.5, 0.5, 0.5), wide, (0, 0, 0)), mask, (1, 1, 1)).astype(np.float32)
    seen = Layers(wide, (0.0, 0.0, 0.0), np.full_like(picture, 0.5), wide > 0)  # outline and letters taken for one
    where = np.ones(mask.shape, dtype=bool)
    settled = settle(picture, seen, [(columns[0][0], 26.0, columns[-1][1], 56.0)], where)
    assert settled.colour == pytest.approx((1, 1, 1), abs=0.05)
    assert np.abs(settled.text_alpha - mask).mean() < 0.02


@pytest.mark.parametrize("colours", [((0.89, 0.97, 1), (0.3, 0.16, 0.32)), ((0.1, 0.1, 0.3), (1, 0.8, 0.2))])
def test_the_edge_that_jpeg_makes_wide_is_no_outline(colours: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    """Nor are thin letters lost in whose middle it leaves little."""
    mask, columns = text_mask(["Wechselwirkungen"], em=30)
    file = BytesIO()
    drawn = over(colours[0], mask, colours[1])
    Image.fromarray(np.rint(drawn * 255).astype(np.uint8)).save(file, "JPEG", quality=70)
    picture = np.asarray(Image.open(file), dtype=np.float32) / 255
    seen = Layers(mask, colours[1], np.full_like(picture, colours[0]), mask > 0)
    where = np.ones(mask.shape, dtype=bool)
    settled = settle(picture, seen, [(columns[0][0], 26.0, columns[-1][1], 56.0)], where)
    bright, expected = (np.dot(colour, (0.299, 0.587, 0.114)) for colour in (settled.colour, colours[1]))
    assert bright == pytest.approx(expected, abs=0.08)  # hue is smeared, and told from all ink later
    assert settled.text_alpha.sum() == pytest.approx(mask.sum(), rel=0.1)


def test_words_around_which_jpeg_left_nothing_stay_beside_those_where_it_did() -> None:
    """What it leaves joins letters, which then lie in it as in an outline: no reason to lose the words that do not."""
    mask, columns = text_mask(["Zwei", "Hunde", "liegen", "faul", "im", "Schatten"], em=24)
    around = cv2.dilate(mask, np.ones((7, 7)))
    around[:, columns[4][0] - 6 :] = 0  # the last two words are clean
    ground, ink = (0.89, 0.96, 0.92), (0.34, 0.1, 0.52)
    picture = over(ground, np.maximum(mask, 0.09 * around), ink).astype(np.float32)
    seen = Layers(mask, ink, np.full_like(picture, ground), mask > 0)
    where = np.ones(mask.shape, dtype=bool)
    settled = settle(picture, seen, [(columns[0][0], 26.0, columns[-1][1], 56.0)], where)
    for first, last in columns:
        assert settled.text_alpha[:, first:last].sum() == pytest.approx(mask[:, first:last].sum(), rel=0.35)


def test_spans_mark_words_by_their_place() -> None:
    assert marked(Span(0.0, 1.0), [10, 20, 30]) == [0, 1, 2]
    assert marked(Span(0.5, 1.0), [10, 10, 10, 10]) == [2, 3]
    assert marked(Span(0.48, 0.49), [10, 10, 10, 10]) == [1]  # the nearest, where none lies inside


def test_what_belongs_to_words_is_painted_in_order() -> None:
    ink = np.ones((20, 30), dtype=np.float32)
    words = [Placed(ink, 40 * number, 5, 20.0, number) for number in range(3)]
    style = Style(
        outline=Outline(0.1, (0.0, 0.0, 0.0)),
        shadow=Shadow(0.2, 0.1, 0.05, (0.1, 0.1, 0.1), 0.5),
        tints=((Span(0.34, 0.66), (1.0, 0.0, 0.0)),),
        decorations=(Decoration(0.3, 0.1, (0.0, 0.0, 1.0), (Span(0.0, 0.6),)),),
    )
    layers, (left, top) = paint_order(words, (1.0, 1.0, 1.0), style, 20.0)
    colours = [layer.colour for layer in layers]
    assert colours == [(0.1, 0.1, 0.1), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)]
    assert left < 0 and top < 5 and layers[0].coverage.max() <= 0.5
    rule, white, red = layers[2].coverage, layers[3].coverage, layers[4].coverage
    assert red[10 - top, 45 - left] == 1 and white[10 - top, 45 - left] == 0 and white[10 - top, 5 - left] == 1
    rows = np.flatnonzero(rule.max(axis=1) > 0)
    assert rows[0] + top == 25 and rows[-1] + top == 26  # 0.3 em below the baseline, two pixels thick
    columns = np.flatnonzero(rule.max(axis=0) > 0) + left
    assert columns[0] == 0 and columns[-1] == 69  # under two words and what is between them


def test_a_styled_block_is_put_back_whole() -> None:
    """Bold, red and underlined text comes back so; what lies beside it stays."""
    mask, columns = text_mask(font="DejaVuSans-Bold")
    mask[60:62, columns[0][0] : columns[-1][1]] = 1
    pixels, crop, layers = cut_out(over((1, 1, 0.9), mask, (0.7, 0.1, 0.1)), columns[-1][1])
    letters, setting, style = measure_style(crop, layers)
    composed = compose(pixels, crop, letters, setting, dress(drawn(), style)[0], style=style)
    assert not composed.skip_reason
    new = np.clip((pixels[0, 0] - composed.pixels.astype(np.float32)) @ (0, 1, 1) / 409.0, 0, 1)
    line = InkLine(np.delete(new, range(58, 64), axis=0), 56.0, 28.0)
    bold, _ = text_mask(font="DejaVuSans-Bold", em=160)
    assert stem_width([line]) == pytest.approx(stem_width([InkLine(bold, 320, 160)]), rel=0.15)
    assert new[60:62].max(axis=0).sum() > 0.8 * (columns[-1][1] - columns[0][0])
    assert np.array_equal(composed.pixels[:20], pixels[:20])
    assert isinstance(setting, Setting) and shape_for([], style) == Shape(blur=style.soft)


def test_sizes_of_short_texts_hold_though_boxes_are_too_high() -> None:
    """Detectors give small labels boxes a quarter to a half too high; their ink tells their size."""
    wrong, tried = 0, 0
    for text in ("Ein", "Aus", "Nein", "Hier", "Uhr", "Mai", "zu", "Bus", "12,4 GB", "EIN", "Größe", "Name"):
        for font, em in (("DejaVuSans", 14), ("NotoSans-Regular", 20), ("Ubuntu-Regular", 30)):
            mask, columns = text_mask(text.split(), font, em)
            middle = (2 - 0.27) * em
            for share in (1.25, 1.5):
                half = 0.56 * em * share
                setting = measure(mask, [(2.0 * em, middle - half, float(columns[-1][1]), middle + half)])
                tried += 1
                wrong += abs(setting.em / em - 1) > 0.12
    assert wrong < 0.1 * tried
