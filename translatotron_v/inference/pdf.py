"""PDF: pages are rendered, and what has changed on them is laid over the page, which stays what it was beneath.

A patch is a picture of the box around a change. Everything else of the document (other pages, their sizes, outlines,
links, fonts) is copied as it is; the source text beneath a patch can still be searched.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from translatotron_v.inference.containers import DPI, Frame, Writer
from translatotron_v.inference.modes import changed, changes
from translatotron_v.inference.pictures import MAX_PIXELS, PictureError, TooLargeError

if TYPE_CHECKING:
    import pikepdf

_APART = 8  # pixels between changes that get patches of their own
Box = tuple[float, float, float, float]  # left, bottom, right, top, points


class PdfSource:
    """The pages of a PDF as pictures.

    Args:
        path: of the file, or its name, where `file` is its content.
        dpi: pixels per inch of the pages.
        max_pixels: of each page.
    """

    suffix = ".pdf"

    def __init__(self, path: Path, dpi: int = DPI, file: BinaryIO | None = None, max_pixels: int = MAX_PIXELS) -> None:
        try:
            import pikepdf
            import pypdfium2
        except ImportError:
            raise PictureError(
                f"{path}: PDF takes pypdfium2 and pikepdf: pip install 'translatotron-v[files]'"
            ) from None
        self.path, self.dpi, self.max_pixels = path, dpi, min(max_pixels, MAX_PIXELS)
        try:
            self.document = pikepdf.open(path if file is None else file)
            if not len(self.document.pages):
                self.close()
                raise PictureError(f"{path}: broken PDF (it has no pages)")
            self.pages: Any = pypdfium2.PdfDocument(path if file is None else _content(file))
        except FileNotFoundError:
            raise PictureError(f"{path}: no such file") from None
        except pikepdf.PasswordError:
            raise PictureError(f"{path}: encrypted; save it without its password first") from None
        except (pypdfium2.PdfiumError, pikepdf.PdfError, OSError) as error:
            self.close()
            reason = str(error).splitlines()[0].removeprefix(f"{path}: ").rstrip(".")
            raise PictureError(f"{path}: broken PDF ({reason})") from None
        self.count = len(self.pages)
        if self.count != len(self.document.pages):
            self.close()
            raise PictureError(f"{path}: broken PDF (its pages cannot be counted)")

    def frames(self) -> Iterator[Frame]:
        """See `containers.Source`."""
        for number in range(self.count):
            try:
                page = self.pages[number]
                width, height = (round(points * self.dpi / 72) for points in page.get_size())
                if width * height > self.max_pixels:
                    raise TooLargeError(
                        f"{self.path}: page {number + 1} has {width} x {height} pixels at {self.dpi} dpi, more than "
                        f"{self.max_pixels:,}; take a smaller --dpi"
                    )
                picture = page.render(scale=self.dpi / 72).to_pil().convert("RGB")
                page.close()
            except PictureError:
                raise
            except Exception as error:
                raise PictureError(f"{self.path}: page {number + 1} cannot be rendered ({error})") from None
            yield Frame(picture, picture, {"page": number}, self)

    def check(self, suffix: str) -> None:
        """See `containers.Source`."""
        if suffix != self.suffix:
            raise PictureError(f"{self.path}: pages of a PDF go into a .pdf file, not {suffix}")

    def copies(self, suffix: str) -> bool:
        """See `containers.Source`."""
        return suffix == self.suffix

    def writer(self, file: BinaryIO, suffix: str) -> Writer:
        """See `containers.Source`."""
        self.check(suffix)
        return _Patches(self, file)

    def close(self) -> None:
        """See `containers.Source`."""
        for part in (getattr(self, "pages", None), getattr(self, "document", None)):
            if part is not None:
                part.close()


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


class _Patches:
    """Lays what has changed over the pages of a copy."""

    def __init__(self, source: PdfSource, file: BinaryIO) -> None:
        self.source, self.file = source, file

    def add(self, frame: Frame, answer: Image.Image) -> None:
        """See `containers.Writer`."""
        import pikepdf

        where = changed(frame.plain, answer)
        if not where.any():
            return
        page = self.source.document.pages[frame.details["page"]]
        pixels = np.asarray(answer.convert("RGB"))
        drawn = []
        for left, top, right, bottom in boxes(where):
            patch = pikepdf.Stream(
                self.source.document,
                zlib.compress(pixels[top:bottom, left:right].tobytes()),
                Type=pikepdf.Name.XObject,
                Subtype=pikepdf.Name.Image,
                Width=right - left,
                Height=bottom - top,
                ColorSpace=pikepdf.Name.DeviceRGB,
                BitsPerComponent=8,
                Filter=pikepdf.Name.FlateDecode,
            )
            name = page.add_resource(patch, pikepdf.Name.XObject)
            height, width = where.shape
            share = (left / width, top / height, right / width, bottom / height)
            matrix = " ".join(f"{value:.5f}" for value in placed(share, shown_box(page), int(page.get("/Rotate", 0))))
            drawn.append(f"q {matrix} cm {name} Do Q")
        page.contents_add(b"q\n", prepend=True)
        page.contents_add(("\nQ\n" + "\n".join(drawn) + "\n").encode())

    def finish(self) -> list[str]:
        """See `containers.Writer`."""
        lost = ["its password for changes is not kept"] if self.source.document.is_encrypted else []
        self.source.document.save(self.file)
        return lost

    def abort(self) -> None:
        """See `containers.Writer`."""


def boxes(where: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) around changes (H, W), one for those that lie near one another."""
    found = []
    for own in changes(where, _APART):
        rows, columns = np.nonzero(own & where)
        found.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
    return found


def shown_box(page: "pikepdf.Page") -> Box:
    """What of a page is shown: its crop box, within its media box."""
    media, crop = (tuple(float(value) for value in box) for box in (page.mediabox, page.cropbox))
    (a, b, c, d), (e, f, g, h) = ((min(x, z), min(y, w), max(x, z), max(y, w)) for x, y, z, w in (media, crop))
    return max(a, e), max(b, f), min(c, g), min(d, h)


def placed(share: Box, box: Box, turned: int) -> tuple[float, float, float, float, float, float]:
    """The matrix that lays a picture over a part of a page as it is shown.

    Args:
        share: left, top, right and bottom of the part, from the top left corner of what is shown, in [0, 1].
        box: what is shown of the page, before it is turned.
        turned: by how much, degrees clockwise.
    """
    x0, y0, x1, y1 = box
    width, height = (x1 - x0, y1 - y0) if turned % 180 == 0 else (y1 - y0, x1 - x0)

    def point(across: float, down: float) -> tuple[float, float]:
        x, y = across * width, down * height  # from the top left corner of what is shown
        return {0: (x0 + x, y1 - y), 90: (x0 + y, y0 + x), 180: (x1 - x, y0 + y), 270: (x1 - y, y1 - x)}[turned % 360]

    left, top, right, bottom = share
    (e, f), (ax, ay), (bx, by) = point(left, bottom), point(right, bottom), point(left, top)
    return ax - e, ay - f, bx - e, by - f, e, f
