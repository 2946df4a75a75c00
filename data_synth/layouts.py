"""Pages as people photograph them - menus, forms, receipts, screens - with the truth of every block of text on them.

Everything is a function of seed and number. Pixels are (H, W, 3) uint8; boxes are left, top, right, bottom in pixels,
the last two exclusive.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_synth.backgrounds import Pixels, degrade
from data_synth.corpora import TextPair
from data_synth.errors import UserError
from data_synth.faces import Family
from data_synth.layout_kinds import KINDS
from data_synth.layout_parts import Container, LayoutBlock, LayoutOptions, NoRoomError, Texts
from data_synth.layout_sheet import LARGEST, SMALLEST, Sheet
from data_synth.photographs import bundled_photographs
from data_synth.render import Region
from data_synth.style import Colour, PageStyle, contrast
from data_synth.typeset import Mask

__all__ = [
    "HELD_OUT",
    "LAYOUTS",
    "TUNING",
    "Container",
    "LayoutBlock",
    "LayoutOptions",
    "LayoutPage",
    "Texts",
    "draw_layout",
]

LAYOUTS = tuple(KINDS)
_ATTEMPTS = 60  # how often a page is begun anew when its texts do not fit
_READABLE = 4.5  # contrast ratio that WCAG 2 asks of body text

# What is drawn to choose thresholds on, and what nothing is chosen on: other measures, to both sides.
TUNING = LayoutOptions(photographs=("brick.png", "coffee.png", "grass.png", "rocket.jpg"))
HELD_OUT = LayoutOptions(
    widths=(400, 1600),
    ems=(11, 32),
    pitches=(0.95, 1.3),
    rows=(1.35, 2.8),
    columns=(0.8, 3.0),
    headings=(1.2, 2.4),
    gaps=(0.4, 1.6),
    paddings=(0.3, 1.4),
    borders=(1, 4),
    dark=0.35,
    jpeg=50,
    noise=4.0,
    photographs=("astronaut.png", "chelsea.png", "gravel.png", "hubble_deep_field.jpg"),
)


@dataclass(frozen=True)
class LayoutPage:
    """A drawn page.

    Attributes:
        kind: of the layout.
        pixels: the picture.
        ground: the same without text, and before what noise and JPEG do: shapes, rules, photographs.
        mask: ink coverage 0..255, (H, W).
        blocks: in reading order.
        solid: what no text may be drawn over, besides text: the boxes of rules, borders, icons and pictures.
        style: what was done to the whole page: noise, blur, JPEG.
    """

    kind: str
    pixels: Pixels
    ground: Pixels
    mask: Mask
    blocks: tuple[LayoutBlock, ...]
    solid: tuple[Region, ...]
    style: PageStyle


def draw_layout(
    kind: str,
    pairs: Sequence[TextPair] | Texts,
    families: Sequence[Family],
    options: LayoutOptions = TUNING,
    seed: int = 0,
    index: int = 0,
) -> LayoutPage:
    """Draw page number `index` of a kind: the same for the same arguments.

    Args:
        kind: a name of `layout_kinds.KINDS`.
        pairs: what may stand there.
        families: of faces, drawn alike.
        options: ranges of its measures.

    Raises:
        UserError: an unknown kind, no family, texts too few, or none of many tries fits.
    """
    if kind not in KINDS:
        raise UserError(f"layout {kind!r}: choose one of {', '.join(KINDS)}")
    if not families:
        raise UserError("layouts need at least one family of faces")
    texts = pairs if isinstance(pairs, Texts) else Texts(pairs)
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, index, LAYOUTS.index(kind), attempt])
        builder = KINDS[kind]
        sheet = _sheet(builder.widths, options, texts, families, rng)
        try:
            builder.lay(sheet)
        except NoRoomError:
            continue
        if len(sheet.blocks) > 1:
            return _finish(kind, sheet, options, rng)
    raise UserError(f"layout {kind!r}: no text of {len(texts.sentences)} sentences fits; give shorter ones")


def _sheet(
    widths: tuple[int, int],
    options: LayoutOptions,
    texts: Texts,
    families: Sequence[Family],
    rng: np.random.Generator,
) -> Sheet:
    least, most = max(widths[0], options.widths[0]), min(widths[1], options.widths[1])
    width = int(rng.integers(least, max(most, least) + 1))
    em = round(float(np.clip(width / rng.uniform(24, 48), *options.ems)))
    dark = rng.random() < options.dark
    paper = _tint(rng, 0, 70) if dark else _tint(rng, 215, 256)
    ink = _contrasting(rng, paper, 7.0)
    accent = _contrasting(rng, paper, _READABLE)
    faint = _mixed(ink, paper, 0.35)
    if contrast(faint, paper) < _READABLE:
        faint = ink
    family = families[int(rng.integers(len(families)))]
    pitch = float(rng.uniform(*options.pitches))
    border = int(rng.integers(options.borders[0], options.borders[1] + 1))
    backdrop = _backdrop(rng, options, paper)
    return Sheet(options, texts, rng, family, width, em, paper, ink, accent, faint, pitch, border, backdrop)


def _backdrop(rng: np.random.Generator, options: LayoutOptions, paper: Colour) -> PageStyle | None:
    """A gradient or a faint photograph in place of plain paper."""
    kind, seed = float(rng.random()), int(rng.integers(2**31))
    if kind < options.gradients:
        red, green, blue = (
            int(np.clip(level + shift, 0, 255)) for level, shift in zip(paper, rng.integers(-30, 31, 3), strict=True)
        )
        return PageStyle(background="gradient", paper=paper, paper_end=(red, green, blue), seed=seed)
    if kind < options.gradients + options.pictures:
        names = options.photographs or tuple(bundled_photographs())
        fade = float(rng.uniform(0.8, 0.9))
        return PageStyle(
            background="photo", picture=names[int(rng.integers(len(names)))], paper=paper, fade=fade, seed=seed
        )
    return None


def _finish(kind: str, sheet: Sheet, options: LayoutOptions, rng: np.random.Generator) -> LayoutPage:
    height = min(max(sheet.bottom + round(1.2 * sheet.em), SMALLEST), LARGEST)
    ground = np.asarray(sheet.ground)[:height].copy()
    mask = sheet.mask[:height].copy()
    pixels = ground.copy()
    for block in sheet.blocks:
        paint(pixels, mask, block.box, block.colour)
    style = PageStyle(
        noise=round(float(rng.uniform(0, options.noise)), 2) if rng.random() < 0.4 else 0.0,
        jpeg=int(rng.integers(options.jpeg, 96)) if options.jpeg and rng.random() < 0.5 else 0,
        seed=int(rng.integers(2**31)),
    )
    return LayoutPage(
        kind, degrade(pixels, style), ground, mask, tuple(sheet.blocks), tuple(sheet.solid),
        replace(style, font=sheet.family.name, font_size=sheet.em, ink=sheet.ink, paper=sheet.paper),
    )  # fmt: skip


def paint(pixels: Pixels, mask: Mask, box: Region, colour: Colour) -> None:
    """Put ink of a colour, by its coverage (H, W), on the part of a page (H, W, 3) that a box holds, in place."""
    left, top, right, bottom = box
    share = mask[top:bottom, left:right, None].astype(np.uint16)
    window = pixels[top:bottom, left:right]
    pixels[top:bottom, left:right] = (window * (255 - share) + np.array(colour, np.uint16) * share + 127) // 255


def _tint(rng: np.random.Generator, low: int, high: int) -> Colour:
    base = rng.integers(low, high)
    red, green, blue = (int(np.clip(base + shift, 0, 255)) for shift in rng.integers(-14, 15, 3))
    return red, green, blue


def _contrasting(rng: np.random.Generator, ground: Colour, least: float) -> Colour:
    """A colour that can be read on a ground: drawn, or black or white where none of many draws can."""
    for _ in range(30):
        red, green, blue = (int(level) for level in rng.integers(0, 256, 3))
        if contrast((red, green, blue), ground) >= least:
            return red, green, blue
    return max(((0, 0, 0), (255, 255, 255)), key=lambda colour: contrast(colour, ground))


def _mixed(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
