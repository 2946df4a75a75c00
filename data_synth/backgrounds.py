"""Paper to print on, and what scanners and cameras do to the printed page.

Everything is a pure function of the style, so that both pages of a pair get the same paper. Nothing is downloaded.
"""

import io
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, UnidentifiedImageError

from data_synth.errors import UserError
from data_synth.photographs import bundled_photographs
from data_synth.style import Colour, PageStyle

Pixels = npt.NDArray[np.uint8]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def pictures_in(folder: str | Path) -> tuple[str, ...]:
    """The pictures in a folder of the user's, sorted.

    Raises:
        UserError: not a folder, or no picture in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder of background pictures")
    found = tuple(sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES))
    if not found:
        raise UserError(f"{folder} holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    return found


def as_channels(colour: Colour, channels: int) -> tuple[int, ...]:
    """A colour in 3 channels, or its luminance (ITU-R BT.601) in one."""
    red, green, blue = colour
    return colour if channels == 3 else ((299 * red + 587 * green + 114 * blue + 500) // 1000,)


@lru_cache(maxsize=8)
def make_background(style: PageStyle, height: int, width: int, channels: int) -> Pixels:
    """The empty page of a style: (H, W, C), read-only because it is shared."""
    paper = np.array(as_channels(style.paper, channels), dtype=np.float32)
    if style.background == "gradient":
        page = _gradient(style, paper, height, width, channels)
    elif style.background in ("photo", "folder"):
        page = _crop(style, height, width, channels) * (1 - style.fade) + paper * style.fade
    else:
        page = np.broadcast_to(paper, (height, width, channels))
    pixels = np.rint(page).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


def _gradient(style: PageStyle, paper: npt.NDArray[np.float32], height: int, width: int, channels: int) -> Pixels:
    """A linear blend of two colours in a random direction: (H, W, C), float."""
    angle = np.random.default_rng(style.seed).uniform(0, 2 * math.pi)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    along = rows * math.sin(angle) + columns * math.cos(angle)
    share = ((along - along.min()) / max(float(np.ptp(along)), 1.0))[:, :, None]
    end = np.array(as_channels(style.paper_end, channels), dtype=np.float32)
    return paper * (1 - share) + end * share


def _crop(style: PageStyle, height: int, width: int, channels: int) -> Pixels:
    """A random window of the style's picture, of the page's proportions: (H, W, C)."""
    picture = _open(style.picture if style.background == "folder" else str(bundled_photographs()[style.picture]))
    rng = np.random.default_rng(style.seed)
    scale = min(picture.width / width, picture.height / height) * rng.uniform(0.5, 1.0)
    across, down = width * scale, height * scale
    left, top = rng.uniform(0, picture.width - across), rng.uniform(0, picture.height - down)
    window = picture.resize((width, height), Image.Resampling.BILINEAR, box=(left, top, left + across, top + down))
    if channels == 1:
        window = window.convert("L")
    return np.asarray(window, dtype=np.uint8).reshape(height, width, channels)


@lru_cache(maxsize=16)
def _open(path: str) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read background picture {path}: {error}") from error


def degrade(pixels: Pixels, style: PageStyle) -> Pixels:
    """Blur, then noise, then JPEG, as far as the style asks: (H, W, C) -> (H, W, C)."""
    if style.blur:
        blurred = _to_image(pixels).filter(ImageFilter.GaussianBlur(style.blur))
        pixels = np.asarray(blurred, dtype=np.uint8).reshape(pixels.shape)
    if style.noise:
        pixels = np.clip(np.rint(pixels + _noise(style.seed, style.noise, pixels.shape)), 0, 255).astype(np.uint8)
    if style.jpeg:
        buffer = io.BytesIO()
        _to_image(pixels).save(buffer, "JPEG", quality=style.jpeg)
        with Image.open(buffer) as picture:
            pixels = np.asarray(picture, dtype=np.uint8).reshape(pixels.shape)
    return pixels


@lru_cache(maxsize=2)
def _noise(seed: int, deviation: float, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Gaussian noise in grey levels; kept, because both pages of a pair get the same."""
    return np.random.default_rng([seed, 1]).standard_normal(shape, dtype=np.float32) * np.float32(deviation)


def _to_image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def to_png(pixels: Pixels) -> bytes:
    """(H, W, C) -> the bytes of a PNG file."""
    buffer = io.BytesIO()
    _to_image(pixels).save(buffer, "PNG", compress_level=3)  # 3 % more bytes than level 6, half the time
    return buffer.getvalue()
