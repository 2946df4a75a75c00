"""Pictures, animations and files of several pages that Pillow opens: their frames, and files of the same kind again."""

import io
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import GifImagePlugin, Image, TiffImagePlugin

from translatotron_v.inference.containers import Frame, Writer, reason_of
from translatotron_v.inference.deep import is_deep, png_chunks, read_deep, write_chunk, write_deep
from translatotron_v.inference.formats import FORMATS, Metadata, held, read_metadata
from translatotron_v.inference.modes import changed, give_back, pack_colours
from translatotron_v.inference.pictures import (
    MAX_PIXELS,
    PictureError,
    TooLargeError,
    count_frames,
    has_alpha,
    opened,
    to_plain,
    upright,
)

MAX_MOVING = 400_000_000  # pixels of all frames of an animation together, which are held at once,
_FRAMES_HELD = 4  # and as many of the largest frames
_TIMED = ("GIF", "PNG", "WEBP", "AVIF", "HEIF")  # whose frames follow one another in time
_DETAILS = ("duration", "disposal", "blend")
_PACKED = {"group3", "group4", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "raw"}  # lossless
_SUFFIXES = {"GIF": ".gif", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "AVIF": ".avif", "HEIF": ".heic"}


class PictureSource:
    """A file that Pillow opens, of one frame or of many.

    Args:
        path: of the file, or its name, where `file` is its content.
        max_pixels: of each frame; an animation may have four times as many in all.
    """

    def __init__(self, path: Path, file: BinaryIO | None = None, max_pixels: int = MAX_PIXELS) -> None:
        self.path, self.max_pixels = path, max_pixels
        self._stack = ExitStack()
        self.image = self._stack.enter_context(opened(path, file, max_pixels))
        try:
            self.count = count_frames(self.image)
        except Exception as error:  # what decoders raise on broken files has no common type
            self._stack.close()
            raise reason_of(error, path) from None
        self.format = str(self.image.format)
        self.moving = self.count > 1 and self.format in _TIMED
        most = min(MAX_MOVING, _FRAMES_HELD * max_pixels)
        if self.moving and self.count * self.image.width * self.image.height > most:
            self._stack.close()
            raise TooLargeError(
                f"{path}: {self.count} frames of {self.image.width} x {self.image.height} pixels are more than "
                f"{most:,} together; shrink it first"
            )
        self.deep = is_deep(self.image)  # before metadata, for which a PNG is read whole
        self.metadata = read_metadata(self.image)
        self.loop = self.image.info.get("loop")
        self.still_first = bool(getattr(self.image, "default_image", False))  # of an APNG: a picture for others
        self._file = file

    @property
    def suffix(self) -> str:
        """PNG, and for what it does not hold the source's own format or TIFF."""
        if self.count > 1:
            return _SUFFIXES.get(self.format, ".png")
        mode = self.image.mode
        return ".png" if mode in FORMATS[".png"].modes or mode in ("PA", "La", "RGBa") or not _rich(mode) else ".tif"

    def frames(self) -> Iterator[Frame]:
        """See `containers.Source`."""
        for number in range(self.count):
            try:
                if number:
                    self.image.seek(number)
                if self.image.width * self.image.height > self.max_pixels:
                    raise TooLargeError(f"{self.path}: page {number + 1} has more than {self.max_pixels:,} pixels")
                self.image.load()
                image = upright(self.image)
            except EOFError:
                raise PictureError(f"{self.path}: broken (frame {number + 1} of {self.count} is missing)") from None
            except Exception as error:
                raise reason_of(error, self.path) from None
            image = image.copy() if image is self.image else image
            details: dict[str, Any] = {name: self.image.info[name] for name in _DETAILS if name in self.image.info}
            if self.format == "GIF":
                details["disposal"] = getattr(self.image, "disposal_method", 0)
            if self.format == "TIFF":
                details |= {"metadata": read_metadata(self.image), "compression": self.image.info.get("compression")}
            if self.deep and self.count == 1 and image.size == self.image.size:
                details["deep"] = read_deep(self.path, self._file, image.size)
            yield Frame(image, to_plain(image), details, self)

    def check(self, suffix: str) -> None:
        """See `containers.Source`."""
        kind = FORMATS.get(suffix)
        if kind is None or (self.count > 1 and not (kind.frames and self.moving == (kind.name in _TIMED))):
            what = "frames" if self.moving else "pages"
            raise PictureError(
                f"{self.path}: has {self.count} {what}, which {suffix} files do not hold; write a {self.suffix} file"
                if self.count > 1
                else f"{self.path}: {suffix} is no picture; known are {', '.join(FORMATS)}"
            )

    def copies(self, suffix: str) -> bool:
        """See `containers.Source`; what is packed without loss is written anew, without damaged EXIF data."""
        kind = FORMATS[suffix]
        return kind.name == self.format and (self.count > 1 or (not kind.lossless and self.metadata.upright))

    def writer(self, file: BinaryIO, suffix: str) -> Writer:
        """See `containers.Source`."""
        self.check(suffix)
        kind = FORMATS[suffix]
        if kind.name == "GIF":
            return _Gif(self, file)
        if self.count == 1:
            return _Picture(self, file, suffix)
        if kind.name == "TIFF":
            return _Tiff(self, file, suffix)
        return _Apng(self, file, suffix) if kind.name == "PNG" else _Encoder(self, file, suffix)

    def close(self) -> None:
        """See `containers.Source`."""
        self._stack.close()


def _rich(mode: str) -> bool:
    """Whether RGB does not say all that a mode does."""
    return mode in ("CMYK", "LAB", "YCbCr", "F", "I")


class _Base:
    """What writers of pictures share: what is lost, each said once."""

    def __init__(self, source: PictureSource, file: BinaryIO, suffix: str) -> None:
        self.source, self.file, self.suffix = source, file, suffix
        self.lost: list[str] = []

    def hold(self, frame: Frame, answer: Image.Image, metadata: Metadata) -> tuple[Image.Image, dict[str, Any]]:
        """A frame as the format takes it, and its options."""
        given = give_back(frame.image, frame.plain, answer)
        if self.source.deep and "16 bits a channel became 8" not in self.lost:
            self.lost.append("16 bits a channel became 8")
        if given.mode != frame.image.mode and not (has_alpha(given) and has_alpha(frame.image)):
            self.lost.append(f"{frame.image.mode} became {given.mode}")
        kept, options, lost = held(given, self.suffix, metadata)
        self.lost += [line for line in lost if line not in self.lost]
        return kept, options

    def finish(self) -> list[str]:
        """See `containers.Writer`."""
        if not FORMATS[self.suffix].lossless:
            self.lost.append(f"{FORMATS[self.suffix].name} is packed with loss, so all pixels may change a little")
        return list(dict.fromkeys(self.lost))

    def abort(self) -> None:
        """See `containers.Writer`."""


class _Picture(_Base):
    """One picture."""

    def add(self, frame: Frame, answer: Image.Image) -> None:
        """See `containers.Writer`."""
        metadata = frame.details.get("metadata", self.source.metadata)
        kept, options = self.hold(frame, answer, metadata)
        deep = frame.details.get("deep")
        if options["format"] == "PNG" and deep is not None:
            where = changed(frame.plain, answer)
            deep[where] = np.asarray(kept.convert(("RGB", "RGBA")[deep.shape[2] - 3]), dtype=np.uint16)[where] * 257
            self.lost.clear()
            write_deep(self.file, deep, options)
            return
        if options["format"] == "JPEG" and "qtables" in options and kept.mode != self.source.image.mode:
            options |= {"quality": 95, "subsampling": 0}
            del options["qtables"]
        if frame.details.get("compression") in _PACKED and options["format"] == "TIFF":
            options["compression"] = _compression(frame.details["compression"], kept)
        kept.save(self.file, **options)


class _Tiff(_Base):
    """Page after page: nothing but the one at hand is held."""

    def __init__(self, source: PictureSource, file: BinaryIO, suffix: str) -> None:
        super().__init__(source, file, suffix)
        self.pages = TiffImagePlugin.AppendingTiffWriter(file)

    def add(self, frame: Frame, answer: Image.Image) -> None:
        """See `containers.Writer`."""
        kept, options = self.hold(frame, answer, frame.details.get("metadata", self.source.metadata))
        options["compression"] = _compression(frame.details.get("compression"), kept)
        page = io.BytesIO()
        kept.save(page, **options)
        page.seek(0)
        self.pages.write(page.read())
        self.pages.newFrame()

    def finish(self) -> list[str]:
        """See `containers.Writer`."""
        self.pages.finalize()
        return super().finish()


def _compression(name: str | None, image: Image.Image) -> str:
    """The source's compression, where it loses nothing and takes the mode."""
    if name not in _PACKED or (name.startswith("group") and image.mode != "1"):
        return "tiff_deflate"
    return name


class _Moving(_Base):
    """Frames in one mode, held until the last has come."""

    def __init__(self, source: PictureSource, file: BinaryIO, suffix: str) -> None:
        super().__init__(source, file, suffix)
        self.kept: list[Image.Image] = []
        self.details: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}

    def add(self, frame: Frame, answer: Image.Image) -> None:
        """See `containers.Writer`."""
        kept, self.options = self.hold(frame, answer, self.source.metadata)
        self.kept.append(kept)
        self.details.append(frame.details)

    def _level(self) -> None:
        """Frames of one size; those of damaged files may differ."""
        size = max(image.width for image in self.kept), max(image.height for image in self.kept)
        for number, image in enumerate(self.kept):
            if image.size != size:
                self.kept[number] = Image.new(image.mode, size)
                self.kept[number].paste(image)

    def alike(self) -> list[Image.Image]:
        """All frames in the one mode that says what each of them does."""
        self._level()
        modes = {image.mode for image in self.kept}
        if len(modes) == 1 and "P" not in modes and not any("transparency" in image.info for image in self.kept):
            return self.kept
        mode = "RGBA" if any(has_alpha(image) for image in self.kept) else "RGB"
        return [image.convert(mode) for image in self.kept]


class _Encoder(_Moving):
    """WebP, AVIF and HEIF animations, by Pillow's encoders; those join equal neighbours, and keep their time."""

    def finish(self) -> list[str]:
        """See `containers.Writer`."""
        first, *rest = self.alike()
        options = self.options | {"save_all": True, "append_images": rest}
        if all("duration" in details for details in self.details):
            options["duration"] = [round(details["duration"]) for details in self.details]
        if self.source.loop is not None:
            options["loop"] = self.source.loop
        first.save(self.file, **options)
        return super().finish()


class _Apng(_Moving):
    """Chunks written by hand: Pillow's own writer joins equal frames and forgets how they were to be disposed of.

    Every frame covers the whole picture and replaces what was there, so that any disposal shows the same.
    """

    def finish(self) -> list[str]:
        """See `containers.Writer`."""
        frames = self.alike()
        moving = len(frames) - self.source.still_first
        sequence = 0
        for number, (image, details) in enumerate(zip(frames, self.details, strict=True)):
            packed = io.BytesIO()
            image.info = {}
            image.save(packed, **(self.options if number == 0 else {"format": "PNG"}))
            chunks = list(png_chunks(packed.getvalue()))
            if number == 0:
                self.file.write(b"\x89PNG\r\n\x1a\n")
                for name, content in chunks:
                    if name == b"IDAT":
                        break
                    write_chunk(self.file, name, content)
                write_chunk(self.file, b"acTL", struct.pack(">II", moving, self.source.loop or 0))
            if number or not self.source.still_first:
                share = _share(float(details.get("duration", 0)))
                ops = (int(details.get("disposal", 0)), 0)
                write_chunk(self.file, b"fcTL", struct.pack(">IIIIIHHBB", sequence, *image.size, 0, 0, *share, *ops))
                sequence += 1
            for name, content in chunks:
                if name == b"IDAT" and number == 0:
                    write_chunk(self.file, name, content)
                elif name == b"IDAT":
                    write_chunk(self.file, b"fdAT", struct.pack(">I", sequence) + content)
                    sequence += 1
        write_chunk(self.file, b"IEND", b"")
        return super().finish()


def _share(milliseconds: float) -> tuple[int, int]:
    """A duration as a fraction of a second, each part of 16 bits."""
    for parts in (1000, 10_000, 60):
        if abs(milliseconds * parts / 1000 - round(milliseconds * parts / 1000)) < 1e-3 and milliseconds < 65_000:
            return round(milliseconds * parts / 1000), parts
    return (round(milliseconds), 1000) if milliseconds < 65_535 else (min(round(milliseconds / 1000), 65_535), 1)


class _Gif(_Moving):
    """Frame after frame with a palette of its own; Pillow's own writer joins equal frames.

    A frame is cut to what differs from the one before, where that is left standing.
    """

    def __init__(self, source: PictureSource, file: BinaryIO) -> None:
        super().__init__(source, file, ".gif")
        self.fixed: list[np.ndarray] = []  # of each frame, the colours of what has not changed

    def add(self, frame: Frame, answer: Image.Image) -> None:
        """See `containers.Writer`."""
        super().add(frame, answer)
        same = np.asarray(self.kept[-1].convert("RGB"))[~changed(frame.plain, answer)]
        self.fixed.append(np.unique(pack_colours(same)))

    def finish(self) -> list[str]:
        """See `containers.Writer`."""
        self._level()
        frames = [np.asarray(image.convert("RGBA")) for image in self.kept]
        disposals = [int(details.get("disposal", 0)) for details in self.details]
        if self.source.format != "GIF":
            disposals = [0] * len(frames)  # others count them otherwise, and frames come whole
            if any(((frame[..., 3] > 0) & (frame[..., 3] < 255)).any() for frame in frames):
                self.lost.append("a pixel of a GIF is seen or not: what was half transparent is one of them")
        for number in range(1, len(frames)):
            uncovered = (frames[number - 1][..., 3] >= 128) & (frames[number][..., 3] < 128)
            if disposals[number - 1] < 2 and uncovered.any():  # a frame can draw over another, not rub it out
                disposals[number - 1] = 2
        height, width = frames[0].shape[:2]
        self.file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0))
        if self.source.loop is not None:
            self.file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", self.source.loop) + b"\0")
        for number, frame in enumerate(frames):
            left, top, right, bottom = 0, 0, width, height
            if number and disposals[number - 1] < 2:
                left, top, right, bottom = _difference(frames[number - 1], frame)
            part, index = self._indexed(frame[top:bottom, left:right], self.fixed[number])
            options: dict[str, Any] = {"include_color_table": True, "disposal": disposals[number]}
            options["duration"] = self.details[number].get("duration", 0)
            if index is not None:
                options["transparency"] = index
            for block in GifImagePlugin.getdata(part, (left, top), **options):
                self.file.write(block)
        self.file.write(b";")
        return super().finish()

    def _indexed(self, rgba: np.ndarray, fixed: np.ndarray) -> tuple[Image.Image, int | None]:
        """A part of a frame with a palette, and the entry that is nothing; `fixed` are colours that have to stay."""
        nothing = rgba[..., 3] < 128
        room = 255 if nothing.any() else 256
        solid = np.ascontiguousarray(rgba[~nothing][:, :3])
        numbers = pack_colours(solid)
        colours, index = np.unique(numbers, return_inverse=True)
        if len(colours) > room:
            own = np.intersect1d(colours, fixed)
            own = own if len(own) < room else own[:0]
            loose = ~np.isin(numbers, own)
            few = Image.fromarray(solid[loose][None]).quantize(room - len(own), dither=Image.Dither.NONE)
            made = np.frombuffer(bytes(few.getpalette("RGB") or []), dtype=np.uint8).reshape(-1, 3)
            colours = np.concatenate([own, pack_colours(made[: room - len(own)])])
            index = np.searchsorted(own, numbers)
            index[loose] = len(own) + np.asarray(few)[0].astype(int)
            if "GIF holds 256 colours a frame" not in self.lost:
                self.lost.append("GIF holds 256 colours a frame")
        places = np.full(nothing.shape, min(len(colours), 255), dtype=np.uint8)
        places[~nothing] = index.reshape(-1)
        made_image = Image.frombytes("P", (rgba.shape[1], rgba.shape[0]), places.tobytes())
        palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).reshape(-1).tolist()
        made_image.putpalette([*palette, *([0, 0, 0] if nothing.any() else [])])
        return made_image, len(colours) if nothing.any() else None


def _difference(before: np.ndarray, after: np.ndarray) -> tuple[int, int, int, int]:
    """The box around what differs, at least one pixel."""
    rows, columns = np.nonzero((before != after).any(axis=-1))
    if not len(rows):
        return 0, 0, 1, 1
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
