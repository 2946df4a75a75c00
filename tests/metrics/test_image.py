"""Golden values of SSIM and PSNR, worked by hand."""

import math

import numpy as np
import pytest
from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.metrics import psnr, ssim


def flat(value: int, channels: int = 0, side: int = 16) -> np.ndarray:
    return np.full((side, side, channels) if channels else (side, side), value, dtype=np.uint8)


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_ssim_of_flat_pictures_is_the_luminance_term(channels: int) -> None:
    constant = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + constant) / (100**2 + 150**2 + constant)  # contrast and structure are 1
    assert ssim([flat(100, channels)], [flat(150, channels)]).value == pytest.approx(expected, abs=1e-6)
    assert ssim([flat(100, channels)], [flat(100, channels)]).value == pytest.approx(1.0)


def test_ssim_of_a_negative_is_the_contrast_term() -> None:
    # one window: its variance is v, its covariance with the negative -v, and both means are 127.5
    checks = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    value = ssim([255 - checks], [checks]).value
    assert -1.0 < value < -0.98


@pytest.mark.parametrize(
    ("error", "expected"), [(1, 20 * math.log10(255)), (5, 20 * math.log10(51)), (255, 0.0), (0, 100.0)]
)
def test_psnr(error: int, expected: float) -> None:
    assert psnr([flat(error)], [flat(0)]).value == pytest.approx(expected)


def test_means_count_a_missing_picture_as_nothing() -> None:
    pictures, references = [flat(9), None], [flat(9), flat(9)]
    assert ssim(pictures, references).value == pytest.approx(0.5)
    assert psnr(pictures, references).value == pytest.approx(50.0)


def test_pictures_of_other_size_or_mode_are_brought_to_the_reference() -> None:
    small, large = Image.new("L", (20, 10), 200), Image.new("RGB", (40, 20), (200, 200, 200))
    assert ssim([small], [large]).value == pytest.approx(1.0)
    assert psnr([large], [small]).value == 100.0


def test_signatures_say_how() -> None:
    assert ssim([flat(1)], [flat(1)]).signature.startswith("win:7|resize:lanczos|missing:0|skimage:")
    assert psnr([flat(1)], [flat(1)]).signature.startswith("peak:255|resize:lanczos|missing:0|equal:100|skimage:")


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UserError, match="too small for SSIM"):
        ssim([flat(0, side=4)], [flat(0, side=4)])
    with pytest.raises(ValueError, match="as many"):
        psnr([], [])
    with pytest.raises(TypeError, match="uint8"):
        psnr([flat(0).astype(np.float32)], [flat(0)])
