"""Lay text out on pages and draw it.

Shape letters: H page height, W page width, C channels (1 grey, 3 RGB). All pixel arrays are uint8.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_synth.backgrounds import Pixels, as_channels, degrade, make_background
from data_synth.corpora import TextPair
from data_synth.errors import UserError
from data_synth.style import BLACK, WHITE, PageLayout, PageStyle, StyleOptions, sample_style
from data_synth.typeset import Face, Mask, load_face

__all__ = [
    "Box",
    "PageLayout",
    "PagePair",
    "PageStyle",
    "RenderedPage",
    "StyleOptions",
    "fits",
    "lacking",
    "normalise",
    "render_page",
    "render_pair",
    "render_sample",
    "sample_style",
    "word_places",
]

Region = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive
Placed = list[tuple[Region, list[list[str]]]]  # per block: its region, and its lines as words

_BLOCK_GAP = 4  # free pixels between blocks
_ARRANGEMENTS = 12  # how often widths and places of blocks are drawn anew before a size is given up
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\ufeff"))  # soft hyphen, zero-width space, byte-order mark


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


@dataclass(frozen=True)
class PagePair:
    """Source and target page in one style, on one background, with blocks in the same places.

    Attributes:
        style: as drawn, so its font may be smaller than the one asked for.
        regions: where each block may put its lines.
    """

    source: RenderedPage
    target: RenderedPage
    style: PageStyle
    regions: list[Region]


def normalise(text: str) -> str:
    """Text as it is drawn: composed characters (NFC), nothing invisible, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_INVISIBLE).split())


def render_page(
    text: str, layout: PageLayout, style: PageStyle, regions: Sequence[Region] | None = None
) -> RenderedPage | None:
    """Draw a text on a page, the same pixels for the same arguments; None if it does not fit.

    Line i of a paragraph fills rows `top + i * line_height` and the `line_height - 1` below, and its pen starts at
    column `margin`; words are wrapped greedily. Blocks go to `regions`, by default to equal horizontal bands.
    """
    face = _face(style)
    placed = _place(text, layout, style, face, regions)
    return None if placed is None else _draw(placed, layout, style, face)


def word_places(text: str, layout: PageLayout, style: PageStyle) -> list[tuple[int, int, int]]:
    """Where `render_page` sets each word: the first row of its line, the pen's column, and one past its ink's last.

    Raises:
        ValueError: the text does not fit.
    """
    face = _face(style)
    placed = _place(text, layout, style, face, None)
    if placed is None:
        raise ValueError(f"does not fit the page: {text!r}")
    places = []
    for region, lines in placed:
        for number, words in enumerate(lines):
            for word, pen in zip(words, face.pens(words, region[0]), strict=True):
                ink = face.word(word)
                places.append((region[1] + number * face.line_height, pen, pen + ink.left + ink.mask.shape[1]))
    return places


def fits(text: str, layout: PageLayout, style: PageStyle) -> bool:
    """Whether `render_page` would draw the text, without drawing it."""
    return _place(text, layout, style, _face(style), None) is not None


def lacking(text: str, style: PageStyle) -> str:
    """The characters of a text that the style's font cannot draw."""
    return _face(style).lacks(normalise(text))


def render_pair(
    pair: TextPair, layout: PageLayout, style: PageStyle, rng: np.random.Generator, smallest: int | None = None
) -> PagePair | None:
    """Draw both pages of a pair in one style; None if one of them does not fit.

    Args:
        pair: the texts; blocks are separated by newlines.
        layout: page size and kind.
        style: the look; where the texts do not fit, smaller fonts are tried (line height stays, unless it is 0).
        rng: draws the places of blocks.
        smallest: font size in pixels down to which is tried; None: only the style's own.
    """
    for size in range(style.font_size, min(smallest or style.font_size, style.font_size) - 1, -1):
        smaller = replace(style, font_size=size)
        face = _face(smaller)
        regions = _arrange(pair, layout, smaller, face, rng)
        if regions is None:
            continue
        source = _place(pair.source, layout, smaller, face, regions)
        target = _place(pair.target, layout, smaller, face, regions)
        if source is not None and target is not None:
            pages = [_draw(placed, layout, smaller, face) for placed in (source, target)]
            return PagePair(pages[0], pages[1], smaller, list(regions))
    return None


def render_sample(
    pair: TextPair, layout: PageLayout, options: StyleOptions, seed: int, index: int, smallest: int | None = None
) -> tuple[PagePair | None, PageStyle]:
    """Draw sample `index` of a data set: a pure function of its arguments, used for shards and on the fly alike.

    Returns the pages (None: they do not fit) and the style that was asked for.
    """
    rng = np.random.default_rng([seed, index])
    style = sample_style(rng, options)
    return render_pair(pair, layout, style, rng, smallest), style


def _face(style: PageStyle) -> Face:
    return load_face(style.font, style.font_size, style.line_height, style.word_grid, style.advance_grid)


def _blocks(text: str, layout: PageLayout) -> list[list[str]]:
    """The words of each block."""
    parts = text.split("\n") if layout.kind == "blocks" else [text]
    return [normalise(part).split() for part in parts]


def _bands(count: int, layout: PageLayout, style: PageStyle) -> list[Region]:
    """Equal horizontal bands, one per block."""
    band = (layout.height - 2 * style.top) // count
    left, right = style.margin, layout.width - style.margin
    return [(left, style.top + i * band, right, style.top + (i + 1) * band) for i in range(count)]


def _place(
    text: str, layout: PageLayout, style: PageStyle, face: Face, regions: Sequence[Region] | None
) -> Placed | None:
    """Break each block of the text into the lines of its region; None if one does not fit."""
    blocks = _blocks(text, layout)
    placed: Placed = []
    for words, region in zip(blocks, regions or _bands(len(blocks), layout, style), strict=True):
        room = (region[3] - region[1]) // face.line_height
        lines = face.wrap(words, region[2] - region[0], min(room, 1) if layout.kind == "line" else room)
        if lines is None or any(region[0] + face.word(line[0]).left < 0 for line in lines):
            return None
        placed.append((region, lines))
    return placed


def _arrange(
    pair: TextPair, layout: PageLayout, style: PageStyle, face: Face, rng: np.random.Generator
) -> list[Region] | None:
    """Regions for the blocks of a pair, at random places that do not overlap; None if there is no room."""
    sources, targets = _blocks(pair.source, layout), _blocks(pair.target, layout)
    if len(sources) != len(targets):
        raise UserError(f"a page pair has {len(sources)} source but {len(targets)} target blocks: {pair.source!r}")
    if layout.kind != "blocks":
        return _bands(len(sources), layout, style)
    usable = layout.width - 2 * style.margin
    most = (layout.height - 2 * style.top) // face.line_height
    for _ in range(_ARRANGEMENTS):
        regions: list[Region] | None = []
        for source, target in zip(sources, targets, strict=True):
            width = int(usable * rng.uniform(0.3, 1.0))
            wrapped = [face.wrap(words, width, most) for words in (source, target)]
            rows = max((len(lines) for lines in wrapped if lines is not None), default=0) * face.line_height
            place = None if None in wrapped else _free_place(width, rows, regions or [], layout, style, rng)
            if place is None or regions is None:
                regions = None
                break
            regions.append(place)
        if regions is not None:
            return regions
    return None


def _free_place(
    width: int, height: int, taken: Sequence[Region], layout: PageLayout, style: PageStyle, rng: np.random.Generator
) -> Region | None:
    """A random place for a block of that size, away from the blocks that stand already; None after 30 tries."""
    across, down = layout.width - 2 * style.margin - width, layout.height - 2 * style.top - height
    if across < 0 or down < 0:
        return None
    for _ in range(30):
        left, top = style.margin + int(rng.integers(across + 1)), style.top + int(rng.integers(down + 1))
        right, bottom = left + width, top + height
        if all(
            right + _BLOCK_GAP <= other[0]
            or other[2] + _BLOCK_GAP <= left
            or bottom + _BLOCK_GAP <= other[1]
            or other[3] + _BLOCK_GAP <= top
            for other in taken
        ):
            return left, top, right, bottom
    return None


def _draw(placed: Placed, layout: PageLayout, style: PageStyle, face: Face) -> RenderedPage:
    mask: Mask = np.zeros((layout.height, layout.width), dtype=np.uint8)
    boxes = []
    for block, (region, lines) in enumerate(placed):
        for number, words in enumerate(lines):
            top = region[1] + number * face.line_height
            left, right = face.set_line(mask, words, region[0], top)
            boxes.append(Box(left, top, right, top + face.line_height, " ".join(words), block))
    return RenderedPage(_colour(mask, layout, style), mask, boxes, [box.text for box in boxes])


def _colour(mask: Mask, layout: PageLayout, style: PageStyle) -> Pixels:
    """Ink over background, then degraded: (H, W) coverage -> (H, W, C) pixels."""
    pixels: Pixels = np.empty((*mask.shape, layout.channels), dtype=np.uint8)
    if style.background == "plain" and style.ink == BLACK and style.paper == WHITE:
        pixels[...] = (255 - mask)[:, :, None]
    else:
        pixels[...] = make_background(style, layout.height, layout.width, layout.channels)
        inked = mask > 0
        alpha = mask[inked].astype(np.uint16)[:, None]
        ink = np.array(as_channels(style.ink, layout.channels), dtype=np.uint16)
        pixels[inked] = (pixels[inked] * (255 - alpha) + ink * alpha + 127) // 255
    return degrade(pixels, style)
