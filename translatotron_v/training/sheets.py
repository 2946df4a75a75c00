"""Pictures in training: sample sheets, and reading what was drawn."""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from translatotron_v import sheets
from translatotron_v.metrics.text import cer
from translatotron_v.ocr import boxes_to_text, make_ocr_engine

GAP = 4  # pixels between pages
SHEET_PAGES = 8  # pages on a sample sheet
PICTURES = 24  # generated pictures that an evaluation reads by OCR


def contact_sheet(columns: Sequence[Tensor]) -> Image.Image:
    """Columns of pages (B, channels, H, W) in [0, 1] as one picture, B rows from the top."""
    return sheets.contact_sheet([[as_picture(page) for page in row] for row in zip(*columns, strict=True)], gap=GAP)


def picture_error_rate(pictures: list[Tensor], texts: list[str]) -> float:
    """CER of OCR on pictures (channels, H, W) in [0, 1] against the texts they should show."""
    reader = make_ocr_engine()
    read = [boxes_to_text(reader.read(as_picture(picture))).lower() for picture in pictures]
    return cer(read, [text.lower() for text in texts[: len(pictures)]]).value


def as_picture(pixels: Tensor) -> Image.Image:
    """(channels, H, W) in [0, 1] -> an 8-bit picture."""
    values = (pixels.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return Image.fromarray(values[0] if values.shape[0] == 1 else values.transpose(1, 2, 0))
