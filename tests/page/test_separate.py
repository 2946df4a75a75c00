"""Pictures taken apart and put together again: by colours alone, and with a network that knows."""

from dataclasses import replace

import numpy as np
import pytest

from data_synth.render import PageLayout, PageStyle, render_page
from translatotron_v.errors import UserError
from translatotron_v.page.separate import Layers, fill, load_matting, separate

TEXT = "Zwei Männer spielen Fußball, drei schlafen"
LAYOUT = PageLayout(96, 200, 3)
LOOKS = {
    "black on white": PageStyle(font_size=16, line_height=24, top=8, margin=8),
    "light on dark": PageStyle(font_size=16, line_height=24, top=8, margin=8, ink=(250, 240, 200), paper=(20, 30, 70)),
    "bold": PageStyle("DejaVuSans-Bold", font_size=18, line_height=24, margin=4, ink=(190, 0, 30)),
    "small": PageStyle("FiraGO-Regular", font_size=10, line_height=14, margin=6, top=10, ink=(0, 60, 160)),
    "gradient": PageStyle(
        font_size=18, line_height=26, margin=8, ink=(90, 0, 60), background="gradient", paper_end=(120, 220, 160)
    ),
    "noisy": PageStyle(font_size=18, line_height=26, margin=8, ink=(10, 80, 10), paper=(240, 220, 180), noise=6.0),
}
BACK_TOGETHER = 0.03  # mean error of the composed picture, black to white being 1


class Knowing:
    """In place of a trained network: one that was told the coverage."""

    def __init__(self, coverage: np.ndarray):
        self.known = coverage

    def coverage(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.shape == (*self.known.shape, 3) and pixels.dtype == np.float32
        return self.known.clip(1e-4, 1 - 1e-4)


def draw(style: PageStyle, text: str = TEXT) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (H, W, 3) and the ink's coverage (H, W), both in 0..1."""
    page = render_page(text, LAYOUT, style)
    assert page is not None
    return page.pixels.astype(np.float32) / 255, page.mask.astype(np.float32) / 255


def iou(layers: Layers, coverage: np.ndarray) -> float:
    found, wanted = layers.text_alpha > 0.5, coverage > 0.5
    return (found & wanted).sum() / (found | wanted).sum()


def require_whole(layers: Layers, pixels: np.ndarray) -> None:
    """The layers have the shapes and ranges that they promise, and give back the picture."""
    assert layers.text_alpha.shape == pixels.shape[:2] and layers.background.shape == pixels.shape
    assert layers.text_alpha.dtype == layers.background.dtype == np.float32
    for values in (layers.text_alpha, layers.background, np.array(layers.colour)):
        assert values.min() >= 0 and values.max() <= 1
    assert np.abs(layers.compose() - pixels).mean() < BACK_TOGETHER
    outside = layers.text_alpha == 0
    assert np.abs(layers.compose() - pixels)[outside].mean() < BACK_TOGETHER


@pytest.mark.parametrize("look", LOOKS)
def test_by_colours_alone(look: str):
    style = LOOKS[look]
    pixels, coverage = draw(style)
    layers = separate(pixels)
    require_whole(layers, pixels)
    assert iou(layers, coverage) > 0.9
    assert np.abs(layers.text_alpha - coverage).mean() < 0.02
    assert np.abs(np.array(layers.colour) - np.array(style.ink) / 255).max() < 0.1
    empty, _ = draw(replace(style, noise=0.0), "")
    assert np.abs(layers.background - empty).mean() < 0.03


@pytest.mark.parametrize("look", LOOKS)
def test_with_a_network_that_knows(look: str):
    style = LOOKS[look]
    pixels, coverage = draw(style)
    layers = separate(pixels, Knowing(coverage))
    require_whole(layers, pixels)
    assert iou(layers, coverage) > 0.93
    assert np.abs(np.array(layers.colour) - np.array(style.ink) / 255).max() < 0.06


def test_colours_sharpen_what_a_network_half_knows():
    """On an even background the equation counts more than a network that is unsure of every edge."""
    pixels, coverage = draw(LOOKS["light on dark"])
    unsure = (coverage * 0.9 + 0.02 + 0.15 * np.sin(np.arange(coverage.shape[1])) * (coverage > 0)).clip(0, 1)
    layers = separate(pixels, Knowing(unsure.astype(np.float32)))
    assert np.abs(layers.text_alpha - coverage).mean() < 0.3 * np.abs(unsure - coverage).mean()


def test_on_a_photograph_the_network_keeps_out_what_is_not_text():
    style = PageStyle(
        font_size=20,
        line_height=28,
        margin=8,
        background="photo",
        picture="coffee.png",
        fade=0.5,
        paper=(255, 255, 255),
    )
    pixels, coverage = draw(style, "Zwei Männer")
    layers = separate(pixels, Knowing(coverage))
    require_whole(layers, pixels)
    assert iou(layers, coverage) > 0.9
    assert not layers.text_alpha[60:].any() and np.array_equal(layers.background[60:], pixels[60:])


@pytest.mark.parametrize("paper", [(255, 255, 255), (0, 0, 0), (90, 160, 40)])
def test_an_empty_crop_has_no_ink(paper: tuple[int, int, int]):
    for style in (
        PageStyle(paper=paper),
        PageStyle(paper=paper, noise=6.0),
        PageStyle(paper=paper, background="gradient"),
    ):
        pixels, coverage = draw(style, "")
        for layers in (separate(pixels), separate(pixels, Knowing(coverage))):
            assert not layers.text_alpha.any()
            assert np.array_equal(layers.background, pixels)


def test_ink_stays_where_it_may_be():
    pixels, coverage = draw(LOOKS["black on white"])
    where = np.zeros(coverage.shape, dtype=bool)
    where[:32] = True  # the first of the lines
    for matting in (None, Knowing(coverage)):
        layers = separate(pixels, matting, where)
        assert not layers.text_alpha[32:].any() and np.array_equal(layers.background[32:], pixels[32:])
        assert np.abs(layers.text_alpha[:32] - coverage[:32]).mean() < 0.02
        assert np.abs(layers.background[:32] - 1).max() < 0.05


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (17, 23)])
def test_small_crops(size: tuple[int, int]):
    pixels = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    for matting in (None, Knowing(np.ones(size)), Knowing(np.zeros(size))):
        layers = separate(pixels, matting)
        assert layers.text_alpha.shape == size and np.isfinite(layers.background).all()


def test_a_hole_in_a_ramp_is_filled_as_the_ramp_goes_on():
    rows, columns = np.mgrid[0:40, 0:60].astype(np.float32)
    ramp = np.stack([rows / 40, columns / 60, (rows + columns) / 100], axis=2)
    hole = np.zeros((40, 60), dtype=bool)
    hole[10:30, 15:19] = hole[12:16, 10:50] = True
    spoilt = ramp.copy()
    spoilt[hole] = 0.5
    filled = fill(spoilt, hole)
    assert np.array_equal(filled[~hole], ramp[~hole])
    assert np.abs(filled - ramp)[hole].max() < 0.04
    assert np.array_equal(fill(ramp, np.ones_like(hole)), ramp)  # nothing to go by


@pytest.mark.parametrize(
    ("pixels", "where", "named"),
    [
        (np.zeros((4, 4), np.float32), None, r"shape \(H, W, 3\), got \(4, 4\)"),
        (np.zeros((4, 4, 1), np.float32), None, r"got \(4, 4, 1\)"),
        (np.zeros((0, 4, 3), np.float32), None, r"got \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.uint8), None, "float32 in .*, got uint8"),
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 5), bool), r"where: expected bool of shape \(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4)), "got float64"),
    ],
)
def test_what_is_no_picture_is_refused(pixels: np.ndarray, where: np.ndarray | None, named: str):
    with pytest.raises(ValueError, match=named):
        separate(pixels, None, where)


def test_a_folder_without_a_separator_is_refused(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        load_matting(tmp_path)
