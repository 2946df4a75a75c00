"""Pages for the tests of `translatotron_v.page`, and the way over them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import data_synth
from data_synth.render import RenderedPage, render_page
from data_synth.style import Colour, PageLayout, PageStyle
from translatotron_v.page.blocks import Block, find_blocks
from translatotron_v.page.profile import Setting, measure
from translatotron_v.page.search import find_lines
from translatotron_v.page.separate import Layers, separate
from translatotron_v.page.straighten import Crop, straighten
from translatotron_v.page.strips import Run, cut_lines, normalise

FACE = Path(data_synth.__file__).parent / "typefaces" / "DejaVuSansCondensed.ttf"
TEXTS = (
    "A young man in a blue jacket rides his bicycle along the river early in the morning.",
    "Zwei ältere Frauen sitzen auf einer Bank im Park und füttern die Tauben mit Brot.",
    "Children are playing football on a green meadow behind the old school building.",
)


def render(
    size: int,
    font: str = "DejaVuSans",
    texts: Sequence[str] = TEXTS,
    regions: Sequence[tuple[int, int, int, int]] | None = None,
    ink: Colour = (0, 0, 0),
    paper: Colour = (255, 255, 255),
    side: int = 0,
) -> RenderedPage:
    """A square RGB page with one block for each text, 384 pixels wide or as wide as large text needs."""
    side = side or (384 if size < 24 else 512)
    style = PageStyle(font=font, font_size=size, line_height=0, margin=12, top=8, ink=ink, paper=paper)
    page = render_page("\n".join(texts), PageLayout(side, side, 3, "blocks"), style, regions)
    assert page is not None
    return page


def draw(size: float, rows: Sequence[str], margin: float = 1.0) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """A picture (H, W, 3) of black rows on white, their shapes not fitted to its pixels, and the boxes of their ink.

    Args:
        size: pixels per em; it need not be whole.
        margin: white around the text, ems.
    """
    times = max(1, math.ceil(40 / size))
    font = ImageFont.truetype(str(FACE), round(size * times))
    pitch, edge = round(1.3 * size * times), round(margin * size * times)
    width = 2 * edge + max(round(font.getlength(row)) for row in rows)
    height = 2 * edge + pitch * len(rows)
    page = Image.new("L", (-(-width // times) * times, -(-height // times) * times), 255)
    boxes = []
    for number, row in enumerate(rows):
        ink = Image.new("L", page.size, 255)
        ImageDraw.Draw(ink).text((edge, edge + number * pitch), row, font=font, fill=0)
        page.paste(ink, mask=ink.point(lambda level: 255 - level))
        boxes.append(tuple(bound / times for bound in ink.point(lambda level: 255 - level).getbbox() or ()))
    small = page.resize((page.width // times, page.height // times), Image.Resampling.BOX)
    return np.repeat(np.asarray(small)[..., None], 3, axis=2), boxes


def tilt(pixels: np.ndarray, angle: float, fill: Colour = (255, 255, 255)) -> np.ndarray:
    """The page turned clockwise by degrees, whole."""
    turned = Image.fromarray(pixels).rotate(-angle, Image.Resampling.BICUBIC, expand=True, fillcolor=fill)
    return np.asarray(turned)


@dataclass(frozen=True)
class Taken:
    """A block with all that is known of it."""

    block: Block
    crop: Crop
    layers: Layers
    setting: Setting
    runs: list[Run]


def take_apart(pixels: np.ndarray, detector) -> list[Taken]:
    taken = []
    for block in find_blocks(find_lines(pixels, detector), pixels.shape[1]):
        crop = straighten(pixels, block)
        layers = separate(crop.pixels.astype(np.float32) / 255, None, crop.where())
        setting = measure(layers.text_alpha, crop.rows)
        taken.append(Taken(block, crop, layers, setting, cut_lines(normalise(layers.text_alpha, crop.rows, setting))))
    return taken


def as_picture(ink: np.ndarray) -> np.ndarray:
    """Ink as a grey picture of bytes, black on white."""
    return np.rint(255 * (1 - ink)).astype(np.uint8)
