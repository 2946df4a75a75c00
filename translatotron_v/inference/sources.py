"""Any file that can be translated, opened as a source of frames (`containers.py`)."""

from pathlib import Path
from typing import BinaryIO

from translatotron_v.errors import UserError
from translatotron_v.inference.archives import MAX_UNPACKED, ZipSource
from translatotron_v.inference.containers import DPI, Source, reason_of
from translatotron_v.inference.frames import PictureSource
from translatotron_v.inference.pdf import PdfSource
from translatotron_v.inference.pictures import MAX_PIXELS


def open_source(
    path: str | Path,
    dpi: int = DPI,
    file: BinaryIO | None = None,
    max_pixels: int = MAX_PIXELS,
    max_unpacked: int = MAX_UNPACKED,
) -> Source:
    """Open a picture, an animation, a file of several pages, a PDF or an archive.

    Args:
        path: of the file, or its name, where `file` is its content.
        dpi: of the pages of a PDF.
        max_pixels: of each frame; those of an animation may be four times as many in all.
        max_unpacked: bytes of all files of an archive.

    Raises:
        PictureError: a file that is missing, broken, encrypted, of no known kind or too large; the package is missing
            that opens it.
    """
    try:
        return _open(Path(path), dpi, file, max_pixels, max_unpacked)
    except UserError:
        raise
    except Exception as error:  # what libraries raise on broken files has no common type
        raise reason_of(error, Path(path)) from None


def _open(path: Path, dpi: int, file: BinaryIO | None, max_pixels: int, max_unpacked: int) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".pdf" or _begins(path, file, b"%PDF-"):
        return PdfSource(path, dpi, file, max_pixels)
    if suffix in (".cbz", ".zip") or _begins(path, file, b"PK\3\4"):
        return ZipSource(path, file, max_pixels, max_unpacked)
    return PictureSource(path, file, max_pixels)


def _begins(path: Path, file: BinaryIO | None, mark: bytes) -> bool:
    if file is not None:
        file.seek(0)
        head = file.read(len(mark))
        file.seek(0)
        return head == mark
    try:
        with open(path, "rb") as own:
            return own.read(len(mark)) == mark
    except OSError:
        return False  # whoever reads it says why
