"""Contact sheets: pictures in rows and columns on one page."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_PAPER = (208, 208, 208)
_HEAD, _LETTERS = 28, 18  # pixels: height of the titles' row, size of their letters


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]], titles: Sequence[str] = (), column: int = 0, gap: int = 8
) -> Image.Image:
    """A table of pictures (RGB).

    Args:
        rows: of pictures; None leaves a place empty.
        titles: of the columns; without them there is no room above for any.
        column: pixels of width that every picture is scaled to; 0 leaves pictures as they are.
        gap: pixels between pictures and around them.
    """
    shown = [[picture and _to_width(picture, column) for picture in row] for row in rows]
    columns = [[row[i] for row in shown if i < len(row)] for i in range(max(map(len, [titles, *shown])))]
    count = len(columns)
    widths = [column or max((picture.width for picture in one if picture), default=0) for one in columns]
    heights = [max((picture.height for picture in row if picture), default=0) for row in shown]
    lefts = [gap + sum(widths[:i]) + gap * i for i in range(count)]
    top = (_HEAD if titles else 0) + gap
    page = Image.new("RGB", (gap + sum(widths) + gap * count, top + sum(heights) + gap * len(shown)), _PAPER)
    draw = ImageDraw.Draw(page)
    for left, title in zip(lefts, titles, strict=False):
        draw.text((left, gap), title, fill=(0, 0, 0), font=ImageFont.load_default(_LETTERS))
    for row, height in zip(shown, heights, strict=True):
        for left, picture in zip(lefts, row, strict=False):
            if picture:
                page.paste(picture.convert("RGB"), (left, top))
        top += height + gap
    return page


def _to_width(picture: Image.Image, width: int) -> Image.Image:
    if width in (0, picture.width):
        return picture
    return picture.resize((width, max(1, round(picture.height * width / picture.width))), Image.Resampling.LANCZOS)
