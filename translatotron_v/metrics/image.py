"""SSIM and PSNR between pictures, by scikit-image, as means over the pairs."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.metrics.score import Score

Picture = Image.Image | np.ndarray

WINDOW = 7  # side of SSIM's window, scikit-image's default; smaller pictures cannot be compared
PSNR_CEILING = 100.0  # dB; stands for the infinity of equal pictures, so that a mean exists


def ssim(hypotheses: Sequence[Picture | None], references: Sequence[Picture]) -> Score:
    """Mean structural similarity of whole pictures, -1..1.

    Args:
        hypotheses: pictures, or None for one that is missing and earns 0.
        references: as many; a hypothesis of another size is resized to its reference.
    """
    return mean_ssim([pair_ssim(*pair) for pair in _pairs(hypotheses, references)])


def psnr(hypotheses: Sequence[Picture | None], references: Sequence[Picture]) -> Score:
    """Mean peak signal-to-noise ratio in dB, 0..100; a missing picture earns 0, equal ones 100. See `ssim`."""
    return mean_psnr([pair_psnr(*pair) for pair in _pairs(hypotheses, references)])


def mean_ssim(values: Sequence[float]) -> Score:
    """The score of pairs that `pair_ssim` has measured."""
    return Score("SSIM", float(np.mean(values)), f"win:{WINDOW}|resize:lanczos|missing:0|skimage:{_version()}")


def mean_psnr(values: Sequence[float]) -> Score:
    """The score of pairs that `pair_psnr` has measured."""
    signature = f"peak:255|resize:lanczos|missing:0|equal:{PSNR_CEILING:g}|skimage:{_version()}"
    return Score("PSNR", float(np.mean(values)), signature)


def pair_ssim(hypothesis: Picture | None, reference: Picture) -> float:
    """SSIM of one pair. Raises UserError where the reference is smaller than the window."""
    if hypothesis is None:
        return 0.0
    from skimage.metrics import structural_similarity

    left, right = _alike(hypothesis, reference)
    if min(right.shape[:2]) < WINDOW:
        raise UserError(
            f"a picture of {right.shape[1]} x {right.shape[0]} pixels is too small for SSIM ({WINDOW} x {WINDOW})"
        )
    axis = 2 if right.ndim == 3 else None
    return float(structural_similarity(left, right, win_size=WINDOW, data_range=255, channel_axis=axis))


def pair_psnr(hypothesis: Picture | None, reference: Picture) -> float:
    """PSNR of one pair in dB, at most `PSNR_CEILING`."""
    if hypothesis is None:
        return 0.0
    from skimage.metrics import peak_signal_noise_ratio

    left, right = _alike(hypothesis, reference)
    if np.array_equal(left, right):
        return PSNR_CEILING
    return min(float(peak_signal_noise_ratio(right, left, data_range=255)), PSNR_CEILING)


def _alike(hypothesis: Picture, reference: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Both as uint8 arrays of the reference's size: (H, W) if both are grey, otherwise (H, W, 3)."""
    left, right = _image(hypothesis), _image(reference)
    mode = "L" if left.mode == right.mode == "L" else "RGB"
    if left.size != right.size:
        left = left.convert(mode).resize(right.size, Image.Resampling.LANCZOS)
    return np.asarray(left.convert(mode)), np.asarray(right.convert(mode))


def _image(picture: Picture) -> Image.Image:
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8:
            raise TypeError(f"a picture's array must be uint8, not {picture.dtype}")
        picture = Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def _pairs(hypotheses: Sequence[Picture | None], references: Sequence[Picture]) -> list[tuple[Picture | None, Picture]]:
    if len(hypotheses) != len(references) or not references:
        raise ValueError(f"{len(hypotheses)} pictures and {len(references)} references: give as many, at least one")
    return list(zip(hypotheses, references, strict=True))


def _version() -> str:
    return version("scikit-image")
