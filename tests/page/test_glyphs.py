"""Shapes of ink that are no letters."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from data_synth.fonts import find_font
from translatotron_v.page.glyphs import is_symbol
from translatotron_v.page.lines import Line
from translatotron_v.page.traits import look_at, trimmed

EM = 28


def shape(*rectangles: tuple[int, int, int, int]) -> np.ndarray:
    """Ink of filled rectangles: from left, top to right, bottom, in pixels."""
    picture = Image.new("L", (40, 40))
    for rectangle in rectangles:
        ImageDraw.Draw(picture).rectangle(rectangle, fill=255)
    return np.asarray(picture) > 0


BARS = shape((8, 10, 29, 12), (8, 18, 29, 20), (8, 26, 29, 28))
BOX = shape((8, 10, 27, 29)) & ~shape((10, 12, 25, 27))
TICKED = BOX | shape((14, 16, 20, 22))


@pytest.mark.parametrize("ink", [BARS, BOX, TICKED], ids=["bars", "box", "ticked box"])
def test_bars_of_a_menu_and_boxes_to_tick_are_symbols(ink: np.ndarray) -> None:
    assert is_symbol(ink, EM) and not is_symbol(np.rot90(BARS), EM)
    assert not is_symbol(ink, 4 * EM) and not is_symbol(ink, EM / 4)  # too small, too large
    assert not is_symbol(ink | shape((32, 10, 34, 29)), EM)  # something beside it


@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "Ubuntu-Regular"])
def test_no_letter_is_a_symbol(font: str) -> None:
    face = ImageFont.truetype(str(find_font(font)), EM)
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜßabcdefghijklmnopqrstuvwxyzäöü0123456789=§#&%€+-":
        picture = Image.new("L", (2 * EM, 2 * EM))
        ImageDraw.Draw(picture).text((8, 4), letter, font=face, fill=255)
        assert not is_symbol(np.asarray(picture) > 100, EM), letter


def test_a_symbol_before_words_is_no_part_of_their_line() -> None:
    picture = Image.new("RGB", (320, 60), (240, 240, 230))
    draw = ImageDraw.Draw(picture)
    for top in (20, 27, 34):
        draw.rectangle((20, top, 41, top + 2), fill=(20, 20, 20))
    draw.text((62, 40), "Alle Getränke", font=ImageFont.truetype(str(find_font("DejaVuSans")), EM), fill=0, anchor="ls")
    line = Line(((16.0, 14.0), (260.0, 14.0), (260.0, 48.0), (16.0, 48.0)), 0.0, 34.0)
    traits = look_at(line, np.asarray(picture))
    assert traits is not None and traits.symbol and traits.marker and len(traits.words) == 2
    cut, moved = trimmed(line, traits)
    assert 55 < cut.quad[0][0] < 64 and cut.quad[1][0] == 260 and moved.words[0][0] < 4
