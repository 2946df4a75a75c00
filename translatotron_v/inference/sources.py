"""Any file that can be translated, opened as a source of frames (`containers.py`)."""

from pathlib import Path
from typing import BinaryIO

from translatotron_v.errors import UserError
from translatotron_v.inference.archives import ZipSource
from translatotron_v.inference.containers import DPI, Source, reason_of
from translatotron_v.inference.frames import PictureSource
from translatotron_v.inference.pdf import PdfSource


def open_source(path: str | Path, dpi: int = DPI, file: BinaryIO | None = None) -> Source:
    """Open a picture, an animation, a file of several pages, a PDF or an archive.

    Args:
        path: of the file, or its name, where `file` is its content.
        dpi: of the pages of a PDF.

    Raises:
        PictureError: a file that is missing, broken, encrypted, of no known kind or too large; the package is missing
            that opens it.
    """
    try:
        return _open(Path(path), dpi, file)
    except UserError:
        raise
    except Exception as error:  # what libraries raise on broken files has no common type
        raise reason_of(error, Path(path)) from None


def _open(path: Path, dpi: int, file: BinaryIO | None) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".pdf" or _begins(path, file, b"%PDF-"):
        return PdfSource(path, dpi)
    if file is None and (suffix in (".cbz", ".zip") or _begins(path, file, b"PK\3\4")):
        return ZipSource(path)
    return PictureSource(path, file)


def _begins(path: Path, file: BinaryIO | None, mark: bytes) -> bool:
    if file is not None:
        return False  # archives hold pictures alone
    try:
        with open(path, "rb") as own:
            return own.read(len(mark)) == mark
    except OSError:
        return False  # whoever reads it says why
