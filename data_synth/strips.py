"""Strips as they come off other pages: drawn at the size they had there and brought to the strip's, at a cost."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from data_synth.backgrounds import Pixels
from data_synth.render import render_page
from data_synth.style import PageLayout, PageStyle

_SMALLEST = 6  # pixels per em below which nothing is legible
_SIZE_ERROR = 0.12  # share by which the size of text on a page is misjudged, at most
_ROW_ERROR = 2  # rows by which a line is off its place, at most
_SOFTEST = 0.9  # radius of the strongest blur, pixels of the strip
_NOISIEST = 14.0  # standard deviation of the strongest noise, grey levels


def render_strip(
    text: str, layout: PageLayout, style: PageStyle, sizes: tuple[int, int], rng: np.random.Generator
) -> Pixels | None:
    """Draw dark text on white as if it had been cut out of a page where it was smaller or larger: (H, W, C).

    The page's size is drawn log-uniformly from ``sizes`` (pixels per em, inclusive). Its lines are found with small
    errors of size and place; their ink is a little too faint or too bold, blurred and noisy. None if the text does not
    fit at that size.
    """
    size = float(np.exp(rng.uniform(*np.log(sizes))))
    scale = size / style.font_size
    rows = layout.height // style.line_height
    line_height = max(round(style.line_height * scale), 1)
    there = PageLayout(rows * line_height, max(round(layout.width * scale), 1), 1, layout.kind)
    font_size = max(round(size * (1 + rng.uniform(-_SIZE_ERROR, _SIZE_ERROR))), _SMALLEST)
    small = replace(style, font_size=font_size, line_height=line_height, margin=round(style.margin * scale))
    page = render_page(text, there, replace(small, word_grid=0, advance_grid=1))
    if page is None:
        return None
    picture = Image.fromarray(page.mask).resize((layout.width, rows * style.line_height), Image.Resampling.BICUBIC)
    radius = rng.uniform(0, _SOFTEST)
    if radius > 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(radius))
    ink = np.zeros((layout.height, layout.width), dtype=np.float32)
    for row in range(rows):
        top = row * style.line_height
        line = np.asarray(picture.crop((0, top, layout.width, top + style.line_height)), dtype=np.float32)
        ink[top : top + style.line_height] = _shift(line, int(rng.integers(-_ROW_ERROR, _ROW_ERROR + 1)))
    ink *= rng.uniform(0.75, 1.3)
    ink += rng.standard_normal(ink.shape, dtype=np.float32) * np.float32(rng.uniform(0, _NOISIEST))
    grey = (255 - np.clip(ink, 0, 255)).astype(np.uint8)
    return np.repeat(grey[:, :, None], layout.channels, axis=2)


def _shift(line: npt.NDArray[np.float32], rows: int) -> npt.NDArray[np.float32]:
    """A line moved down by some rows (up where negative); what leaves it is lost."""
    moved = np.zeros_like(line)
    height = len(line)
    moved[max(rows, 0) : height + min(rows, 0)] = line[max(-rows, 0) : height - max(rows, 0)]
    return moved
