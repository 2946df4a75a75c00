"""Archives of pictures (CBZ, zip): every picture in them is translated, everything else is copied as it is."""

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from PIL import Image

from translatotron_v.inference.containers import Frame, Writer
from translatotron_v.inference.formats import FORMATS
from translatotron_v.inference.frames import PictureSource
from translatotron_v.inference.modes import changed
from translatotron_v.inference.pictures import MAX_PIXELS, PictureError, TooLargeError

KINDS = (".zip", ".cbz")
MAX_UNPACKED = 2_000_000_000  # bytes of all files in an archive
MAX_FILES = 10_000
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


class ZipSource:
    """The pictures of an archive, in its own order.

    Args:
        path: of the archive, or its name, where `file` is its content.
        max_pixels: of each picture; those of one file may be four times as many in all.
        max_unpacked: bytes of all files.

    Raises:
        PictureError: no archive, a broken or encrypted one; one that unpacks to more than `max_unpacked` bytes or
            `MAX_FILES` files, names places outside itself, or holds no picture.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO | None = None,
        max_pixels: int = MAX_PIXELS,
        max_unpacked: int = MAX_UNPACKED,
    ) -> None:
        self.path, self.max_pixels, self.max_unpacked = path, max_pixels, min(max_unpacked, MAX_UNPACKED)
        self.suffix = ".cbz" if path.suffix.lower() == ".cbz" else ".zip"
        try:
            self.archive = zipfile.ZipFile(path if file is None else file)
        except FileNotFoundError:
            raise PictureError(f"{path}: no such file") from None
        except _DAMAGE as error:
            raise PictureError(f"{path}: broken archive ({getattr(error, 'strerror', None) or error})") from None
        self.entries = self.archive.infolist()
        try:
            self._check()
        except PictureError:
            self.close()
            raise
        self.pictures = [entry for entry in self.entries if _is_picture(entry)]
        self.count = len(self.pictures)  # what an animation among them adds shows when it is opened
        self.broken: list[str] = []
        if not self.pictures:
            self.close()
            raise PictureError(f"{path}: no pictures in this archive ({', '.join(FORMATS)})")

    def _check(self) -> None:
        size = sum(entry.file_size for entry in self.entries)  # no more than that is read of any of them
        if size > self.max_unpacked or len(self.entries) > MAX_FILES:
            raise TooLargeError(
                f"{self.path}: unpacks to {size:,} bytes in {len(self.entries):,} files, more than "
                f"{self.max_unpacked:,} or {MAX_FILES:,}; split it"
            )
        for entry in self.entries:
            name = entry.filename.replace("\\", "/")
            if name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name.split("/")[0]:
                raise PictureError(f"{self.path}: names a place outside itself ({entry.filename!r}), which is refused")
            if entry.flag_bits & 1:
                raise PictureError(f"{self.path}: encrypted; pack it without its password first")

    def frames(self) -> Iterator[Frame]:
        """See `containers.Source`; a picture that is broken is named in the end, and copied as it is if it can be."""
        for entry in self.pictures:
            name = f"{self.path}/{entry.filename}"
            try:
                content = io.BytesIO(self.archive.read(entry))
                source = PictureSource(Path(name), content, self.max_pixels)
            except PictureError as error:
                self.broken.append(str(error).removeprefix(f"{self.path}/"))
                continue
            except _DAMAGE:
                continue  # named when the others are copied
            try:
                ready = list(source.frames())
            except PictureError as error:
                self.broken.append(str(error).removeprefix(f"{self.path}/"))
                ready = []
            for number, frame in enumerate(ready, start=1):
                details = {"entry": entry, "source": source, "last": number == source.count, "frame": frame.details}
                yield replace(frame, details=details, owner=self)

    def check(self, suffix: str) -> None:
        """See `containers.Source`."""
        if suffix not in KINDS:
            raise PictureError(f"{self.path}: pictures of an archive go into a {self.suffix} file, not {suffix}")

    def copies(self, suffix: str) -> bool:
        """See `containers.Source`."""
        return suffix in KINDS

    def writer(self, file: BinaryIO, suffix: str) -> Writer:
        """See `containers.Source`."""
        self.check(suffix)
        return _Zip(self, file)

    def close(self) -> None:
        """See `containers.Source`."""
        self.archive.close()


class _Zip:
    """Entry by entry, under the names and in the order of the source; a picture without a change keeps its bytes."""

    def __init__(self, source: ZipSource, file: BinaryIO) -> None:
        self.source = source
        self.archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self.waiting = list(source.entries)
        self.lost: list[tuple[str, str]] = []
        self.held: list[tuple[Frame, Image.Image]] = []

    def add(self, frame: Frame, answer: Image.Image) -> None:
        """See `containers.Writer`."""
        self.held.append((frame, answer))
        if not frame.details["last"]:
            return
        entry, source = frame.details["entry"], frame.details["source"]
        self._copy_up_to(entry)
        if any(changed(one.plain, other).any() for one, other in self.held):
            suffix = PurePosixPath(entry.filename).suffix.lower()
            content = io.BytesIO()
            writer = source.writer(content, suffix)
            for one, other in self.held:
                writer.add(replace(one, details=one.details["frame"]), other)
            self.lost += [(entry.filename, line) for line in writer.finish()]
            self._write(entry, content.getvalue())
        else:
            self._write(entry, self.source.archive.read(entry))
        self.waiting.pop(0)
        self.held.clear()
        source.close()

    def finish(self) -> list[str]:
        """See `containers.Writer`."""
        self._copy_up_to(None)
        self.archive.close()
        lines = Counter(line for _, line in self.lost)
        one = {line: name for name, line in self.lost}
        said = [f"{one[line] if count == 1 else f'{count} pictures'}: {line}" for line, count in lines.items()]
        return [*self.source.broken, *said]

    def abort(self) -> None:
        """See `containers.Writer`."""
        with suppress(*_DAMAGE, ValueError):
            self.archive.close()  # or it would try when it is collected, with its file gone

    def _copy_up_to(self, entry: zipfile.ZipInfo | None) -> None:
        while self.waiting and self.waiting[0] is not entry:
            other = self.waiting.pop(0)
            try:
                content = b"" if other.is_dir() else self.source.archive.read(other)
            except _DAMAGE:
                self.lost.append((other.filename, "is damaged, and left out"))
                continue
            self._write(other, content)

    def _write(self, entry: zipfile.ZipInfo, content: bytes) -> None:
        named = zipfile.ZipInfo(entry.filename, entry.date_time)
        named.external_attr, named.compress_type, named.comment = (
            entry.external_attr,
            entry.compress_type,
            entry.comment,
        )
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            named.compress_type = zipfile.ZIP_DEFLATED
        self.archive.writestr(named, content)


def _is_picture(entry: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(entry.filename)
    return not entry.is_dir() and name.suffix.lower() in FORMATS and not name.name.startswith((".", "._"))
