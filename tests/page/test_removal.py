"""Text taken off ground that is known to the last pixel, by a network that knows the letters and nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

from data_synth.grounds import LOOKS, GroundPage, draw_on_ground
from translatotron_v.page.ground import SmoothGround, fit_smooth
from translatotron_v.page.inpaint import repaint
from translatotron_v.page.residue import STRONG, foreign, straight_lines
from translatotron_v.page.separate import Layers, separate

FONT = "DejaVuSansCondensed"
LINES = ("Zwei Männer spielen", "und lachen danach.")


class Knowing:
    """In place of a trained network: it was told the letters, and brings them to the size that it is shown."""

    def __init__(self, page: GroundPage):
        self.known = torch.from_numpy(page.fill_alpha.astype(np.float32) / 255)[None, None]
        self.shown: list[tuple[int, ...]] = []

    def coverage(self, pixels: np.ndarray) -> np.ndarray:
        self.shown.append(pixels.shape[:2])
        small = nn.functional.interpolate(self.known, size=pixels.shape[:2], mode="area")
        return small[0, 0].clamp(1e-4, 1 - 1e-4).numpy()


def draw(ground: str, look: str = "flat", em: int = 24, quality: int = 0, seed: int = 5) -> GroundPage:
    return draw_on_ground(np.random.default_rng(seed), ground, look, LINES, FONT, em, quality=quality)


def take_off(page: GroundPage) -> Layers:
    where = np.zeros(page.fixed.shape, dtype=bool)
    for left, top, right, bottom in page.lines:
        where[int(top) - 3 : int(bottom) + 4, int(left) - 3 : int(right) + 4] = True
    return separate(page.pixels.astype(np.float32) / 255, Knowing(page), where, page.em)


def error(page: GroundPage, layers: Layers) -> float:
    """Mean absolute error of the clean ground under letters, outlines and shadows, 8-bit levels."""
    off = np.abs(np.rint(layers.background * 255) - page.clean)
    return float(off[page.text_alpha > 0].mean())


@pytest.mark.parametrize("quality", [0, 30])
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("ground", ["plain", "gradient"])
def test_nothing_of_the_text_is_left_on_smooth_ground(ground: str, look: str, quality: int):
    page = draw(ground, look, quality=quality)
    layers = take_off(page)
    assert error(page, layers) <= (3.5 if quality else 0.5)  # of a page; 2 on average
    assert layers.hole[page.text_alpha > 128].all()  # not one pixel of a shadow stays as it was


def test_a_disc_keeps_its_middle():
    page = draw("disc", "outline")
    assert error(page, take_off(page)) <= 2.0


@pytest.mark.parametrize("seed", [4, 14, 28])
def test_letters_go_where_the_ground_is_fitted_wrongly(seed: int):
    """On one side of a steep disc everything differs from the fit: that says nothing of what are letters."""
    lines = ("Bitte nicht füttern!", "Die Tiere sind satt.")
    page = draw_on_ground(np.random.default_rng(seed), "disc", "flat", lines, FONT, 24)
    layers = take_off(page)
    assert layers.hole[page.fill_alpha > 200].all()
    assert error(page, layers) <= 3.0


def test_grain_is_continued_only_where_its_ground_is_known():
    rng = np.random.default_rng(0)
    truth = np.full((80, 240, 3), 0.6, dtype=np.float32)
    truth[:, :160] += rng.normal(0, 0.04, (80, 160, 1)).astype(np.float32)
    truth[:, 160:] = (0.2, 0.3, 0.5)
    hole = np.zeros((80, 240), dtype=bool)
    hole[30:50, 20:220] = True
    holds = np.ones_like(hole)
    holds[:, 160:] = False
    ground = SmoothGround(np.full_like(truth, 0.6), holds, 0.04)
    pixels = np.where(hole[..., None], np.float32(0), truth)
    answer = repaint(pixels, hole, np.where(hole, 0.0, 1.0).astype(np.float32), ground, 24.0, None)
    assert 0.8 < answer[30:50, 20:150].std() / truth[30:50, 20:150].std() < 1.25
    assert np.abs(answer - truth)[30:50, 180:220].max() < 0.02


@pytest.mark.parametrize("ground", ["rules", "frame"])
@pytest.mark.parametrize("look", ["flat", "soft shadow"])
def test_lines_beside_text_are_not_touched(ground: str, look: str):
    page = draw(ground, look)
    layers = take_off(page)
    assert not layers.hole[page.fixed].any()
    assert np.array_equal(layers.background[~layers.hole], page.pixels[~layers.hole].astype(np.float32) / 255)
    assert error(page, layers) <= 0.5


def deviation(pixels: np.ndarray) -> float:
    return float(pixels.mean(axis=1).std())


@pytest.mark.parametrize("ground", ["checker", "grain"])
def test_texture_goes_on_under_text(ground: str):
    page = draw(ground, em=32)
    layers, under = take_off(page), page.text_alpha > 0
    share = deviation(layers.background[under] * 255) / deviation(page.clean[under].astype(np.float32))
    assert 0.8 <= share <= 1.25
    if ground == "checker":  # not only as rough as it was, but the same tiles
        assert error(page, layers) <= 2.0


def test_large_text_is_shown_to_the_network_at_a_size_that_it_knows():
    page = draw_on_ground(np.random.default_rng(1), "gradient", "flat", ("Zu",), FONT, 300)
    matting = Knowing(page)
    layers = separate(page.pixels.astype(np.float32) / 255, matting, None, 300)
    height, width = page.fixed.shape
    assert matting.shown == [(round(height * 32 / 300), round(width * 32 / 300))]
    assert error(page, layers) <= 1.0
    alpha = page.fill_alpha / 255
    assert np.abs(layers.text_alpha - alpha)[alpha > 0].mean() < 0.03  # as sharp as the colours say, not the network
    assert layers.text_alpha.shape == page.fixed.shape


def test_a_line_is_told_from_letters_that_touch_it():
    far = np.zeros((60, 200), dtype=np.float32)
    far[40:42] = 1
    far[18:40, 50:54] = far[18:40, 90:94] = 1  # two letters that stand on the line
    ink = far > 0
    ink[40:42] = False
    away = np.full(far.shape, 5.0)
    found = foreign(far, ink, away, straight_lines((far > STRONG).astype(np.uint8), 24), 24)
    assert found[40:42, :45].all() and found[40:42, 100:].all() and not found[18:38].any()


def test_a_button_hardly_larger_than_its_text_is_its_ground() -> None:
    """Most of what surrounds the letters is what the button stands on, and says nothing of what is under them."""
    pixels = np.full((60, 200, 3), 0.95, dtype=np.float32)
    pixels[20:40, 30:170] = (0.1, 0.3, 0.6)
    ink = np.zeros((60, 200), dtype=bool)
    ink[22:38, 34:166:4] = ink[22:38, 35:166:4] = True
    within = np.zeros((60, 200), dtype=bool)
    within[21:39, 31:169] = True
    ground = fit_smooth(pixels, ink, 18.0, within)
    assert np.abs(ground.colours[ink] - (0.1, 0.3, 0.6)).max() < 2 / 255
    assert np.array_equal(
        fit_smooth(pixels, ink, 18.0, np.zeros_like(ink)).colours, fit_smooth(pixels, ink, 18.0).colours
    )


@pytest.mark.parametrize("seed", [1, 5])
def test_a_tight_button_gives_its_own_ground_and_keeps_its_edge(seed: int):
    """What lies outside a text's own box is neither the ground under it nor noise around it."""
    page = draw("button", em=24, seed=seed)
    middle = page.clean[len(page.clean) // 2, page.clean.shape[1] // 2]
    inside = (page.clean == middle).all(axis=2)
    where = np.zeros(page.fixed.shape, dtype=bool)
    for left, top, right, bottom in page.lines:
        where[int(top) - 3 : int(bottom) + 4, int(left) - 3 : int(right) + 4] = True
    layers = separate(page.pixels.astype(np.float32) / 255, Knowing(page), where, page.em, within=inside)
    assert 0.1 < inside.mean() < 0.9 and error(page, layers) < 0.5
    assert np.array_equal(np.rint(layers.background * 255)[~inside], page.pixels[~inside])


@pytest.mark.parametrize("ground", ["gradient", "photo"])
def test_letters_of_other_text_stay_though_boxes_overlap(ground: str):
    """The second line is another block's; where both boxes lie it is known by the letters that reach into them."""
    page = draw(ground, em=24)
    boxes = []
    for left, top, right, bottom in page.lines:
        box = np.zeros(page.fixed.shape, dtype=bool)
        box[int(top) - 6 : int(bottom) + 6, int(left) - 3 : int(right) + 4] = True
        boxes.append(box)
    first, second = boxes
    middle = round((page.lines[0][3] + page.lines[1][1]) / 2)
    second[:middle] = first[middle:] = False
    layers = separate(page.pixels.astype(np.float32) / 255, Knowing(page), first, page.em, foreign=second)
    letters = page.fill_alpha > 200
    rows = np.arange(len(letters))[:, None]
    assert layers.hole[letters & (rows < middle - 3)].mean() > 0.99
    assert not layers.hole[letters & (rows > middle + 3)].any()
    assert not layers.text_alpha[letters & (rows > middle + 3)].any()
