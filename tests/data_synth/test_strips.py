"""Words on a grid, and strips as they come off other pages."""

import numpy as np
import pytest

from data_synth.render import PageLayout, PageStyle, render_page
from data_synth.strips import render_strip
from data_synth.typeset import Face

TEXT = "Zwei junge Männer sind im Freien."
LAYOUT = PageLayout(96, 512, 1)
STYLE = PageStyle(font_size=20, line_height=32, word_grid=8, advance_grid=2)


@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSansMono", "FiraGO-Regular"])
def test_words_begin_on_the_grid_and_look_alike_wherever_they_stand(font: str):
    face = Face(font, 20, 32, word_grid=8, advance_grid=2)
    mask = np.zeros((32, 512), dtype=np.uint8)
    face.set_line(mask, ["dog", "runs,", "dog", "dog"], 2, 0)
    ink = face.word("dog")
    start = 2
    for word in ("dog", "runs,", "dog", "dog"):
        if word == "dog":
            assert np.array_equal(mask[:, start + ink.left : start + ink.left + ink.mask.shape[1]], ink.mask)
        pen = start - 2 + face.word(word).advance
        assert face.after(pen) % 8 == 0 and pen < face.after(pen) <= pen + face.space + 8
        start = 2 + face.after(pen)
    assert ink.advance % 2 == 0


def test_without_a_grid_nothing_changes():
    plain, explicit = Face("DejaVuSans", 20, 32), Face("DejaVuSans", 20, 32, word_grid=0, advance_grid=1)
    assert plain.after(17) == 17 + plain.space
    assert np.array_equal(plain.word("Vögel").mask, explicit.word("Vögel").mask)


def test_letters_that_reach_back_are_whole():
    face = Face("DejaVuSans", 20, 32, word_grid=8, advance_grid=2)
    ink = face.word("jj")
    assert ink.left < 0 and ink.mask.any(axis=0)[0]


def strip(seed: int, sizes: tuple[int, int] = (8, 40)) -> np.ndarray:
    made = render_strip(TEXT, LAYOUT, STYLE, sizes, np.random.default_rng(seed))
    assert made is not None
    return made


def test_a_strip_is_a_function_of_its_seed():
    assert np.array_equal(strip(3), strip(3))
    assert not np.array_equal(strip(3), strip(4))
    assert strip(3).shape == (96, 512, 1) and strip(3).dtype == np.uint8


@pytest.mark.parametrize("sizes", [(8, 8), (20, 20), (40, 40)])
def test_ink_stays_on_its_lines_whatever_the_size_was(sizes: tuple[int, int]):
    clean = render_page(TEXT, LAYOUT, STYLE)
    assert clean is not None
    expected = [clean.mask[row : row + 32].astype(float).sum() for row in (0, 32, 64)]
    for seed in range(6):
        ink = 255.0 - strip(seed, sizes)[:, :, 0]
        ink[ink < 60] = 0  # noise
        found = [ink[row : row + 32].sum() for row in (0, 32, 64)]
        for seen, wanted in zip(found, expected, strict=True):
            assert (seen > 0.4 * wanted) if wanted else seen < 0.02 * sum(expected)


def test_what_does_not_fit_at_a_size_is_none():
    assert render_strip(TEXT * 8, LAYOUT, STYLE, (20, 20), np.random.default_rng(0)) is None
