"""What each format of picture holds: modes, metadata, frames; how a picture is written in it, and what is lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image, JpegImagePlugin

from translatotron_v.inference.pictures import has_alpha, save_options, to_plain

EXIF, ICC, DPI, XMP = "EXIF data", "colour profile", "dpi", "XMP data"
_ORIENTATION, _XMP = ExifTags.Base.Orientation, ExifTags.Base.XMLPacket
# Tags of a TIFF that say how its own pixels are stored, and which the writer sets.
_DESCRIPTIONS = (270, 271, 272, 285, 305, 306, 315, 316, 33432, 34665, 34853)
_OTHER_COLOURS = ("CMYK", "LAB", "YCbCr", "HSV")  # that RGB does not say bit by bit
_DEEP = {"I;16": "grey of 16 bits", "I;16B": "grey of 16 bits", "I": "grey of 32 bits", "F": "floating point grey"}
_SPACES = {"1": b"GRAY", "L": b"GRAY", "LA": b"GRAY", "I;16": b"GRAY", "I": b"GRAY", "F": b"GRAY", "CMYK": b"CMYK"}


@dataclass(frozen=True)
class Format:
    """What files of one extension hold.

    Attributes:
        name: as Pillow knows it.
        modes: that it stores as they are.
        keeps: kinds of metadata.
        lossless: whether pixels come back as they were written.
        frames: whether it holds several.
    """

    name: str
    modes: frozenset[str]
    keeps: frozenset[str]
    lossless: bool = True
    frames: bool = False


def _format(name: str, modes: str, keeps: tuple[str, ...], lossless: bool = True, frames: bool = False) -> Format:
    return Format(name, frozenset(modes.split()), frozenset(keeps), lossless, frames)


_ALL = (EXIF, ICC, DPI, XMP)
_TIFF = _format("TIFF", "1 L LA P RGB RGBA CMYK YCbCr LAB I;16 I;16B I F", _ALL, frames=True)
_JPEG = _format("JPEG", "L RGB CMYK", _ALL, lossless=False)
_HEIF = _format("HEIF", "L RGB RGBA", (EXIF, ICC, XMP), lossless=False, frames=True)
FORMATS: Mapping[str, Format] = {
    ".png": _format("PNG", "1 L LA P RGB RGBA I;16 I;16B", (EXIF, ICC, DPI), frames=True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".jfif": _JPEG,
    ".webp": _format("WEBP", "RGB RGBA", (EXIF, ICC, XMP), frames=True),
    ".bmp": _format("BMP", "1 L P RGB", (DPI,)),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".gif": _format("GIF", "1 L P RGB RGBA", (), frames=True),
    ".avif": _format("AVIF", "RGB RGBA", (EXIF, ICC, XMP), lossless=False, frames=True),
    ".heic": _HEIF,
    ".heif": _HEIF,
}


@dataclass(frozen=True)
class Metadata:
    """What a file says of its picture; None or empty where it says nothing, or nothing that can be read."""

    exif: bytes = b""
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    jpeg: dict[str, Any] = field(default_factory=dict)  # tables and subsampling, to write a JPEG as its source was

    upright: bool = True  # whether the source's pixels stood as they are seen

    @property
    def kinds(self) -> list[str]:
        """What there is."""
        there = ((EXIF, self.exif), (ICC, self.icc), (DPI, self.dpi), (XMP, self.xmp))
        return [name for name, value in there if value]


def read_metadata(image: Image.Image) -> Metadata:
    """The metadata of a picture as opened, the orientation taken out: whoever reads them turns the picture upright."""
    icc, dpi, xmp = image.info.get("icc_profile"), image.info.get("dpi"), image.info.get("xmp")
    try:
        resolution = (float(dpi[0]), float(dpi[1])) if dpi else None
        resolution = resolution if resolution and min(resolution) > 0 else None
    except (TypeError, ValueError, ZeroDivisionError, IndexError):
        resolution = None
    tables: dict[str, Any] = {}
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.quantization:
        tables = {"qtables": image.quantization, "subsampling": max(JpegImagePlugin.get_sampling(image), 0)}
    if isinstance(xmp, bytes) and b"tiff:Orientation" in xmp:
        xmp = None
    xmp = xmp if isinstance(xmp, bytes) else None
    return Metadata(_exif(image), icc or None, resolution, xmp, tables, _is_upright(image))


def _is_upright(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_ORIENTATION, 1) == 1
    except Exception:  # damaged data say nothing
        return True


def _exif(image: Image.Image) -> bytes:
    """EXIF data without orientation; nothing where they are damaged."""
    try:
        exif = image.getexif()
        if image.format == "TIFF":
            kept = Image.Exif()
            for tag in _DESCRIPTIONS:
                if tag in exif:
                    kept[tag] = exif.get_ifd(tag) if tag in (34665, 34853) else exif[tag]
            exif = kept
        raw = image.info.get("exif")
        for place in (0x8769, 0x8825):  # parses what is read as it is needed: damage shows here
            exif.get_ifd(place)
        if isinstance(raw, bytes) and image.format != "TIFF" and _ORIENTATION not in exif and len(exif):
            return raw  # as it stood: makers' notes hold places in it
        if not len(exif):
            return b""
        own = Image.Exif()  # not the picture's: it is still to be turned by its orientation
        own.load(exif.tobytes())
        own.pop(_ORIENTATION, None)
        return own.tobytes() if len(own) else b""
    except Exception:  # what parsers raise on garbage has no common type
        return b""


def held(image: Image.Image, suffix: str, metadata: Metadata) -> tuple[Image.Image, dict[str, Any], list[str]]:
    """A picture as a format holds it.

    Returns:
        The picture, options for Pillow's `save` or for a frame of several, and what is lost, as parts of a sentence.
    """
    kind = FORMATS[suffix]
    lost = []
    if image.mode in kind.modes and not ("transparency" in image.info and kind.name not in ("PNG", "GIF")):
        kept = image.copy()
    else:
        kept = _converted(image, kind)
        lost += [line for line in [_loss(image, kept, kind.name)] if line]
    kept.info = {name: kept.info[name] for name in ("transparency",) if name in kept.info}
    options = save_options(suffix)
    if metadata.exif and EXIF in kind.keeps:
        options["exif"] = metadata.exif
    if metadata.icc and ICC in kind.keeps:
        if metadata.icc[16:20] == _SPACES.get(kept.mode, b"RGB "):
            options["icc_profile"] = metadata.icc
        else:
            lost.append("the colour profile is left out, which is for other colours")
    if metadata.dpi and DPI in kind.keeps:
        options["dpi"] = metadata.dpi
    if metadata.xmp and XMP in kind.keeps:
        if kind.name == "TIFF":  # whose writer takes it as a tag alone
            tags = Image.Exif()
            tags.load(metadata.exif)
            tags[_XMP] = metadata.xmp
            options["exif"] = tags
        else:
            options["xmp"] = metadata.xmp
    if kind.name == "JPEG" and metadata.jpeg and "quality" in options:
        del options["quality"]
        options |= metadata.jpeg
    missing = [name for name in metadata.kinds if name not in kind.keeps]
    if missing:
        lost.append(f"{kind.name} holds no {' or '.join(missing)}")
    return kept, options, lost


def _converted(image: Image.Image, kind: Format) -> Image.Image:
    """The nearest mode that a format holds."""
    if has_alpha(image):
        if "RGBA" in kind.modes:
            return image.convert("RGBA")
        return (
            to_plain(image) if "L" in kind.modes or image.mode not in ("LA", "La") else to_plain(image).convert("RGB")
        )
    if image.mode.startswith("I") or image.mode == "F":
        grey = to_plain(image)
        return grey if "L" in kind.modes else grey.convert("RGB")
    if image.mode in ("1", "L") and "L" in kind.modes:
        return image.convert("L")
    return image.convert("RGB")


def _loss(image: Image.Image, kept: Image.Image, name: str) -> str:
    """What a conversion loses, or ""."""
    if has_alpha(image) and not has_alpha(kept):
        return f"transparency, which {name} does not hold here, was laid on the colour that it was translated on"
    if image.mode in _DEEP:
        return f"{_DEEP[image.mode]} became 8 bits, since {name} does not hold it here"
    return f"{image.mode} became {kept.mode}, since {name} does not hold it" if image.mode in _OTHER_COLOURS else ""
