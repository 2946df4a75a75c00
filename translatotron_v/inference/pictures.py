"""Any picture in, any picture out: reading, fitting to a model's canvas, fitting back, writing.

Shape letters: H, W, C are the height, width and channels of a model's canvas.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from translatotron_v.config import CanvasConfig
from translatotron_v.errors import UserError

Colour = tuple[float, float, float]  # red, green, blue in [0, 1]

SAVE_OPTIONS: dict[str, dict[str, Any]] = {  # extension -> what Pillow is given; lossless wherever the format allows it
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jfif": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "lossless": True, "exact": True},
    ".bmp": {"format": "BMP"},
    ".tif": {"format": "TIFF", "compression": "tiff_deflate"},
    ".tiff": {"format": "TIFF", "compression": "tiff_deflate"},
    ".gif": {"format": "GIF"},
    ".avif": {"format": "AVIF", "quality": 95, "subsampling": "4:4:4"},
    ".heic": {"format": "HEIF", "quality": 95, "chroma": 444},
    ".heif": {"format": "HEIF", "quality": 95, "chroma": 444},
}
# Pillow knows more, some of which start other programs
READABLE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF")
MAX_PIXELS = 100_000_000  # what is held in memory at once; a small file can unpack to any size

_FRAMES = "frames"  # key of a picture's `info`
_BLACK: Colour = (0.0, 0.0, 0.0)
_WHITE: Colour = (1.0, 1.0, 1.0)
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's mode L
_FAINT = 0.12  # colours nearer than this (Euclidean, RGB in [0, 1]) to the paper are paper


class PictureError(UserError):
    """One picture that cannot be read or written; the message names the file."""


class TooLargeError(PictureError):
    """One that has more pixels, or unpacks to more, than is taken."""


@dataclass(frozen=True)
class Tone:
    """The two colours of a page: a canvas of one channel shows the ink as black and the paper as white."""

    ink: Colour
    paper: Colour


@dataclass(frozen=True)
class Fitted:
    """A picture on a model's canvas, and what it takes to lead the answer back."""

    pixels: np.ndarray  # (H, W, C) float32 in [0, 1]
    size: tuple[int, int]  # width and height of the picture itself
    placed: tuple[int, int]  # width and height it takes on the canvas, from the top left corner
    paper: Colour  # its border colour as the canvas shows it
    tone: Tone | None  # set where colours were mapped to black on white


def open_picture(path: str | Path) -> Image.Image:
    """Read a picture in mode L or RGB, upright, with transparency laid on white (on black where the ink is light).

    Of an animation or of several pages it is the first; `count_frames` says of how many.

    Raises:
        PictureError: the file is missing, no picture, broken, or unpacks to more than `MAX_PIXELS`.
    """
    with opened(path) as image:
        return to_plain(image)


def check_picture(path: str | Path) -> None:
    """Raise what `open_picture` would, as far as a file's first bytes tell: they say its kind and its size."""
    with opened(path):
        pass


def count_frames(image: Image.Image) -> int:
    """How many frames or pages a picture has, or had when it was opened.

    The small copies that cameras hide in a JPEG (MPO) are none.
    """
    noted = image.info.get(_FRAMES)
    if isinstance(noted, int):  # a PNG's own remarks are text
        return noted
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


@contextmanager
def opened(path: str | Path, file: BinaryIO | None = None, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """A file as Pillow opens it; whatever is wrong with it, within the context too, is a `PictureError`.

    Args:
        path: its name, in messages too.
        file: its content, where it does not lie there.
        max_pixels: how many it may have.
    """
    path, max_pixels = Path(path), min(max_pixels, MAX_PIXELS)
    head = b""
    try:
        if file is None and path.is_dir():
            raise PictureError(f"{path}: a folder, not a picture")
        head = _head(path, file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; the size is checked below
            with Image.open(file or path, formats=_readable(path, head)) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise TooLargeError(
                        f"{path}: {width} x {height} pixels are more than {max_pixels:,}; shrink it first"
                    )
                yield image
    except PictureError:
        raise
    except FileNotFoundError:
        what = "a link to a file that is not there" if path.is_symlink() else "no such file"
        raise PictureError(f"{path}: {what}") from None
    except UnidentifiedImageError:
        if path.suffix.lower() in (".svg", ".svgz") or b"<svg" in head:
            raise PictureError(f"{path}: an SVG drawing, which is not read; export it as PNG or PDF first") from None
        raise PictureError(f"{path}: not a PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF or HEIC picture") from None
    except Image.DecompressionBombError:
        raise TooLargeError(f"{path}: more than {max_pixels:,} pixels; shrink it first") from None
    except Exception as error:  # what decoders raise on broken files has no common type
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0] or type(error).__name__
        raise PictureError(f"{path}: broken picture ({reason})") from None


def _head(path: Path, file: BinaryIO | None) -> bytes:
    """What a file begins with."""
    if file is not None:
        file.seek(0)
        head = file.read(1024)
        file.seek(0)
        return head
    with open(path, "rb") as own:
        return own.read(1024)


def _readable(path: Path, head: bytes) -> list[str]:
    """The formats that can be read here; HEIC takes a package that not everyone needs."""
    Image.init()
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"):
        _register_heif(str(path))
    return [name for name in READABLE_FORMATS if name in Image.OPEN]


def _register_heif(name: str) -> None:
    """Let Pillow read and write HEIC."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise PictureError(f"{name}: HEIC takes pillow-heif: pip install 'translatotron-v[files]'") from None
    register_heif_opener()


def to_plain(image: Image.Image) -> Image.Image:
    """The picture as seen, in mode L or RGB: upright, first frame (see `open_picture`), eight bits, opaque."""
    frames = count_frames(image)
    plain = _opaque(upright(image))
    plain.info[_FRAMES] = frames
    return plain


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_eight_bits(np.asarray(image, dtype=np.float64)))
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return image.convert("L")
    if has_alpha(image):
        return _flatten(image.convert("RGBA"))
    return in_mode(image, "RGB")


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """A picture in a mode: itself where it has it already, since a copy of 100 million pixels takes 400 MB."""
    return image if image.mode == mode else image.convert(mode)


def has_alpha(image: Image.Image) -> bool:
    """Whether a picture may be seen through somewhere."""
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF data say; data that are damaged say nothing, and are dropped so that nobody trips on them."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # what parsers raise on garbage has no common type; broken pixels raise again below
        plain = image.copy()
        for name in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
            plain.info.pop(name, None)
        return plain


def _to_eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 or 32 bits, or floating point in [0, 1] or [0, 255], as bytes."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(np.rint(values * eight_bit_scale(values)), 0, 255).astype(np.uint8)


def eight_bit_scale(values: np.ndarray) -> float:
    """What grey values of any range are multiplied by to lie in [0, 255]."""
    top = float(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).max(initial=0.0))
    return 255.0 if top <= 1 else 1.0 if top <= 255 else 1 / 257 if top <= 65535 else 255 / top


def _flatten(image: Image.Image) -> Image.Image:
    """Lay an RGBA picture on what `ground_under` says."""
    return Image.alpha_composite(Image.new("RGBA", image.size, (*ground_under(image), 255)), image).convert("RGB")


def ground_under(image: Image.Image) -> tuple[int, int, int]:
    """What an RGBA picture is laid on to be read: white, or black where what is visible is light and would vanish."""
    values = np.asarray(image, dtype=np.float32) / 255
    alpha = values[..., 3]
    visible = float(alpha.sum())
    luminance = float((values[..., :3] @ _LUMINANCE * alpha).sum()) / visible if visible else 0.0
    light_on_nothing = luminance > 0.6 and float(alpha.mean()) < 0.5
    return (0, 0, 0) if light_on_nothing else (255, 255, 255)


def border_colour(values: np.ndarray) -> Colour:
    """The median colour of the outermost ring of an (height, width, 3) array in [0, 1]."""
    ring = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    red, green, blue = np.median(ring, axis=0).tolist()
    return red, green, blue


def fit(image: Image.Image, canvas: CanvasConfig) -> Fitted:
    """Put a picture on a model's canvas.

    It keeps its proportions: shrunk as far as it must be, never enlarged, at the top left (where rendered text starts),
    the rest filled with its own border colour. For a canvas of one channel, colours are mapped to black on white.
    """
    image = image if image.mode in ("L", "RGB") else to_plain(image)
    scale = min(1.0, canvas.width / image.width, canvas.height / image.height)
    placed = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image if placed == image.size else image.resize(placed, Image.Resampling.LANCZOS)
    values = np.asarray(small.convert("RGB"), dtype=np.float32) / 255  # (h, w, 3)
    paper = border_colour(values)
    tone = find_tone(values, paper) if canvas.channels == 1 else None
    if canvas.channels == 1:
        values = (
            np.asarray(small.convert("L"), dtype=np.float32)[..., None] / 255 if tone is None else _ink(values, tone)
        )
        paper = border_colour(values.repeat(3, axis=-1)) if tone is None else _WHITE
    pixels = np.empty((canvas.height, canvas.width, canvas.channels), dtype=np.float32)
    pixels[:] = paper[: canvas.channels]
    pixels[: placed[1], : placed[0]] = values
    return Fitted(pixels, image.size, placed, paper, tone)


def find_tone(values: np.ndarray, paper: Colour) -> Tone | None:
    """The ink that goes with a paper colour: the mean of the colours farthest from it.

    None where the picture is black on white already, which then stays as it is to the last bit.
    """
    distance = np.linalg.norm(values - np.array(paper, dtype=np.float32), axis=-1)
    farthest = float(distance.max())
    if farthest < _FAINT:  # a blank page has no ink to measure
        ink = _BLACK if float(np.dot(paper, _LUMINANCE)) > 0.5 else _WHITE
    else:
        red, green, blue = values[distance >= 0.95 * farthest].mean(axis=0).tolist()
        ink = (red, green, blue)
    return None if min(paper) >= 0.9 and max(ink) <= 0.3 else Tone(ink, paper)


def _ink(values: np.ndarray, tone: Tone) -> np.ndarray:
    """Colours (h, w, 3) projected on the line from ink (0) to paper (1): (h, w, 1)."""
    ink, paper = np.array(tone.ink, dtype=np.float32), np.array(tone.paper, dtype=np.float32)
    axis = paper - ink
    return np.clip((values - ink) @ axis / float(axis @ axis), 0, 1)[..., None]


def fit_back(pixels: np.ndarray, fitted: Fitted) -> Image.Image:
    """Lead a canvas (H, W, C) in [0, 1] back to the size and colours of the picture that `fit` was given.

    The padding is cut off again; where the answer needs some of it (more lines than the source had), the whole answer
    is shrunk to the picture's size instead of being cut.
    """
    paper = np.array(fitted.paper[: pixels.shape[-1]], dtype=np.float32)
    rows, columns = np.nonzero(np.abs(pixels - paper).max(axis=-1) > 0.5)
    width = max(fitted.placed[0], int(columns.max(initial=-1)) + 1)
    height = max(fitted.placed[1], int(rows.max(initial=-1)) + 1)
    region = np.clip(pixels[:height, :width], 0, 1)
    if fitted.tone is not None:
        ink, ground = np.array(fitted.tone.ink), np.array(fitted.tone.paper)
        region, paper = ink + region * (ground - ink), ground
    values = np.rint(region * 255).astype(np.uint8)
    answer = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    if (width, height) == fitted.placed:
        return answer if answer.size == fitted.size else answer.resize(fitted.size, Image.Resampling.BICUBIC)
    scale = min(fitted.size[0] / width, fitted.size[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fill = tuple(np.rint(paper * 255).astype(int).tolist())
    page = Image.new(answer.mode, fitted.size, fill if len(fill) == 3 else fill[0])
    page.paste(answer.resize(size, Image.Resampling.LANCZOS), (0, 0))
    return page


def save_picture(image: Image.Image, path: str | Path) -> None:
    """Write a picture in the format of its extension, aside first, so that a failure leaves what was there.

    Raises:
        PictureError: an unknown extension, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SAVE_OPTIONS:
        raise PictureError(f"{path}: unknown kind of picture; known are {', '.join(SAVE_OPTIONS)}")
    options = save_options(path.suffix.lower())
    with written(path) as file:
        image.save(file, **options)


def save_options(suffix: str) -> dict[str, Any]:
    """What Pillow is given to write a file of an extension; PictureError where that takes a package that is missing."""
    options = dict(SAVE_OPTIONS[suffix])
    if options["format"] == "HEIF":
        _register_heif(suffix)
    return options


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole; whatever goes wrong within the context is a `PictureError`."""
    aside = Aside(path)
    try:
        yield aside.open()
        aside.commit()
    except BaseException as error:  # a disk, a size that the format cannot hold, metadata that an encoder chokes on
        aside.abort()
        if isinstance(error, UserError) or not isinstance(error, Exception):
            raise
        raise unwritable(path, error) from None


def unwritable(path: Path, error: Exception) -> PictureError:
    """Why a file cannot be written, in one line."""
    return PictureError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})")


def leftover(path: Path) -> Path:
    """What a file is called until it is whole; a process that was killed leaves one, which the next one overwrites."""
    return path.with_name(f".{path.name}.part")


class Aside:
    """A file that is written under another name, and gets its own when it is whole.

    Args:
        path: its own name; folders above are made.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.aside = path, leftover(path)
        self.file: BinaryIO | None = None

    def open(self) -> BinaryIO:
        """The file to write to."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.aside, "w+b")  # noqa: SIM115 - closed by either of the two below
        return self.file

    def commit(self) -> None:
        """Give it its name."""
        assert self.file is not None
        self.file.close()
        os.replace(self.aside, self.path)

    def abort(self) -> None:
        """Leave what bore the name before."""
        with suppress(OSError, ValueError):
            if self.file is not None:
                self.file.close()
        with suppress(OSError):
            self.aside.unlink(missing_ok=True)
