"""Lay text out on pages and draw it.

Shape letters: H page height, W page width, C channels (1 grey, 3 RGB). All pixel arrays are uint8.
"""

import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_synth.errors import UserError
from data_synth.typeset import Face, Mask, load_face

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Region = tuple[int, int, int, int]

KINDS = ("line", "paragraph", "blocks")


@dataclass(frozen=True)
class PageStyle:
    """How a page looks; both pages of a pair share one.

    The defaults are the plain strip on which small models are trained: black DejaVu Sans of 11 px on white, lines
    exactly on a 16-px grid.
    """

    font: str = "DejaVuSans"  # bundled name or path of a font file
    font_size: int = 11  # pixels per em
    line_height: int = 16  # rows per line; 0 takes the font's own ascent + descent
    margin: int = 2  # columns left free at either side
    top: int = 0  # rows left free above the first line and below the last
    ink: Colour = (0, 0, 0)  # colour of the text
    paper: Colour = (255, 255, 255)  # colour of a plain background


@dataclass(frozen=True)
class PageLayout:
    """Size and arrangement of a page."""

    height: int = 48  # rows
    width: int = 256  # columns
    channels: int = 1  # 1 grey, 3 RGB
    kind: str = "paragraph"  # "line": one line; "paragraph": wrapped; "blocks": one block per line of the text

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise UserError(f"page size {self.height}x{self.width}: both sides must be positive")
        if self.channels not in (1, 3):
            raise UserError(f"channels={self.channels}: a page has 1 (grey) or 3 (RGB)")
        if self.kind not in KINDS:
            raise UserError(f"kind={self.kind!r}: choose one of {', '.join(KINDS)}")


@dataclass(frozen=True)
class Box:
    """One line of text: the rectangle of its line rows and ink columns, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    text: str
    block: int = 0


@dataclass(frozen=True)
class RenderedPage:
    """A drawn page.

    Attributes:
        pixels: the picture, (H, W, C).
        mask: ink coverage 0..255, (H, W).
        boxes: one per line of text, in reading order.
        lines: the text of each line.
    """

    pixels: Pixels
    mask: Mask
    boxes: list[Box]
    lines: list[str]


def normalise(text: str) -> str:
    """Text as it is drawn: composed characters (NFC), single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def render_page(text: str, layout: PageLayout, style: PageStyle) -> RenderedPage | None:
    """Draw a text on a page, the same pixels for the same arguments; None if it does not fit.

    Line i of a paragraph fills rows `top + i * line_height` and the `line_height - 1` below, and its pen starts at
    column `margin`; words are wrapped greedily.
    """
    face = load_face(style.font, style.font_size, style.line_height)
    placed = _place(text, layout, style, face)
    if placed is None:
        return None
    mask: Mask = np.zeros((layout.height, layout.width), dtype=np.uint8)
    boxes = []
    for block, (region, lines) in enumerate(placed):
        for number, words in enumerate(lines):
            top = region[1] + number * face.line_height
            left, right = face.set_line(mask, words, region[0], top)
            boxes.append(Box(left, top, right, top + face.line_height, " ".join(words), block))
    return RenderedPage(_colour(mask, layout, style), mask, boxes, [box.text for box in boxes])


def fits(text: str, layout: PageLayout, style: PageStyle) -> bool:
    """Whether `render_page` would draw the text, without drawing it."""
    return _place(text, layout, style, load_face(style.font, style.font_size, style.line_height)) is not None


def _regions(count: int, layout: PageLayout, style: PageStyle) -> list[Region]:
    """Equal horizontal bands, one per block."""
    band = (layout.height - 2 * style.top) // max(count, 1)
    left, right = style.margin, layout.width - style.margin
    return [(left, style.top + i * band, right, style.top + (i + 1) * band) for i in range(count)]


def _place(
    text: str, layout: PageLayout, style: PageStyle, face: Face
) -> list[tuple[Region, list[list[str]]]] | None:
    """Break each block of the text into the lines of its region; None if one does not fit."""
    blocks = [normalise(part) for part in text.split("\n")] if layout.kind == "blocks" else [normalise(text)]
    placed = []
    for block, region in zip(blocks, _regions(len(blocks), layout, style), strict=True):
        room = (region[3] - region[1]) // face.line_height
        lines = face.wrap(block.split(), region[2] - region[0], min(room, 1) if layout.kind == "line" else room)
        if lines is None:
            return None
        placed.append((region, lines))
    return placed


def _colour(mask: Mask, layout: PageLayout, style: PageStyle) -> Pixels:
    """Ink over paper: (H, W) coverage -> (H, W, C) pixels."""
    coverage = mask[:, :, None]
    if style.ink == (0, 0, 0) and style.paper == (255, 255, 255):
        return np.repeat(255 - coverage, layout.channels, axis=2)
    ink, paper = (np.array(_channels(colour, layout.channels), np.uint16) for colour in (style.ink, style.paper))
    alpha = coverage.astype(np.uint16)
    return ((paper * (255 - alpha) + ink * alpha + 127) // 255).astype(np.uint8)


def _channels(colour: Colour, channels: int) -> tuple[int, ...]:
    """A colour in 3 channels, or its luminance (ITU-R BT.601) in one."""
    red, green, blue = colour
    return colour if channels == 3 else ((299 * red + 587 * green + 114 * blue + 500) // 1000,)
