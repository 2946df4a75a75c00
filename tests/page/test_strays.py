"""Bars that belong to no letter, and letters that have none."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from data_synth.fonts import default_fonts, find_font
from translatotron_v.page.strays import has_stray
from translatotron_v.page.strips import BASELINE, EM, LINE


def typeset(word: str, font: str, left: float = 3.0) -> np.ndarray:
    """The ink (32, w) of a word, as a strip has it; a fraction of `left` moves it between columns."""
    face = ImageFont.truetype(str(find_font(font)), EM)
    page = Image.new("L", (int(face.getlength(word)) + 16, LINE), 0)
    ImageDraw.Draw(page).text((left, BASELINE), word, fill=255, font=face, anchor="ls")
    return np.asarray(page, dtype=np.float32) / 255


@pytest.mark.parametrize("font", default_fonts())
def test_letters_have_none_in_any_font(font: str):
    words = ["A", "boy", "Avenue", "girl", "fjord", "quick", "Wizard", "jumps", "(sky),", "Kilt", "MWV", "1740", "€25"]
    found = [word for word in words for left in (3.0, 3.3, 3.6) if has_stray(typeset(word, font, left))]
    assert found == []


@pytest.mark.parametrize("font", default_fonts())
def test_a_bar_beside_a_letter_is_found(font: str):
    ink = typeset("bo y", font)
    empty = np.flatnonzero(ink.max(0) < 0.1)
    column = empty[(empty > 8) & (empty < ink.shape[1] - 8)][2]  # in the space
    barred = ink.copy()
    barred[BASELINE - 9 : BASELINE, column] = 0.45
    assert not has_stray(ink) and has_stray(barred)


def test_the_edge_that_makes_an_o_an_a_is_found():
    """The right half of an "o", as tokens drew it in "boy": its last column is straight down to the baseline."""
    rows = [
        "003799740",
        "599999970",
        "299411389",
        "695000039",
        "791000008",
        "695000039",
        "299411389",
        "059999997",
        "000379974",
    ]
    ring = np.array([[int(digit) / 9 for digit in row] for row in rows], dtype=np.float32)
    picture = np.zeros((LINE, 16), dtype=np.float32)
    picture[12:21, 2:11] = ring
    assert not has_stray(picture)
    picture[13:22, 11] = 0.44
    assert has_stray(picture)
    assert not has_stray(np.zeros((LINE, 0), dtype=np.float32))
