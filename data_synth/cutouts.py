"""Strips as they are cut out of pages, in any face and any state: what a reader is trained and tested on.

A line of text is drawn at the size it had on its page (7 to 200 pixels per em), wears what pages wear (bold and thin
ink, outlines, shadows, blur, JPEG), is brought to the strip's size with errors of size, place and angle, and keeps
remains of its background. Ink is coverage 0..255, uint8, until the last step.

Letters above 40 pixels per em are drawn at 40: they are made smaller by half, which leaves no trace of the
size that they had.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from data_synth.backgrounds import Pixels
from data_synth.errors import UserError
from data_synth.fonts import find_font
from data_synth.style import PageLayout

Ink = npt.NDArray[Any]  # uint8 on pages, float32 on strips: OpenCV says of its arrays only that they hold numbers

EM, LINE, BASELINE, MARGIN = (
    20,
    32,
    23,
    2,
)  # of a strip: pixels per em, rows of a line, row of its baseline, free columns
SIZES = (7, 200)  # pixels per em on pages
_USUAL, _RARE = (9, 36), 0.35  # sizes of most text, within those, and the share of text of any other
_DRAWN = (7, 8, 10, 12, 14, 16, 20, 24, 32, 40)  # sizes that letters are drawn at
_SMOOTH_BELOW = 16  # letters smaller than this are drawn at twice the size half the time: not all screens hint
_FACES = 8192  # faces at a size whose letters are kept: all that a list of 700 can ask for, about some 250 MB
_POOL = 1 << 20  # values of noise, drawn once


@dataclass(frozen=True)
class Typesetting:
    """How a strip's text is set.

    Attributes:
        size: pixels per em that the letters are drawn at.
        rows: rows of a line at that size; ``LINE`` rows on the strip.
        tracking: columns between letters beyond the font's own.
        gap: columns between words.
    """

    size: int
    rows: int
    tracking: float
    gap: float


def draw_cutout(
    text: str,
    font: str,
    layout: PageLayout,
    rng: np.random.Generator,
    degraded: float = 0.0,
    sizes: tuple[int, int] = SIZES,
    tracking: float = 0.0,
    width: float = 1.0,
) -> tuple[Pixels, str]:
    """Draw as much of a text as a strip holds: pixels (H, W, C), dark on white, and the words that stand on them.

    Args:
        text: words with single spaces or line breaks between them; those that do not fit are left out, from the first
            such word on.
        font: as of ``find_font``; it must have the text's characters (``covered``).
        layout: size of the strip, lines of 32 rows.
        rng: draws everything else.
        degraded: 0: as a good page is cut out; up to 1: the more, the worse the page.
        sizes: smallest and largest size on the page, pixels per em.
        tracking: space between letters beyond the font's own, ems.
        width: of letters and spaces, in parts of what the face has: below 1 stands for faces narrower than any listed.
    """
    smooth = float(rng.random()) < 0.5
    setting = _setting(font, rng, degraded, sizes, tracking, smooth, width)
    lines = layout.height // LINE
    page, words = _set(text.replace("\n", " \n ").split(" "), font, layout, lines, setting, rng, width)
    if degraded:
        page = _degrade_page(page, setting.size, degraded, rng)
    strip = _bring_to_size(page, layout.width, lines, degraded, rng)
    ink = np.zeros((layout.height, layout.width), dtype=np.float32)
    ink[: lines * LINE] = strip
    if degraded:
        ink = _degrade_strip(ink, degraded, rng)
    ink *= np.float32(rng.uniform(0.9 - 0.3 * degraded, 1.08 + 0.25 * degraded))
    ink += _noise(rng, ink.shape) * np.float32(rng.uniform(0, 2 + 20 * degraded))
    grey = (255 - np.clip(ink, 0, 255)).astype(np.uint8)
    return np.repeat(grey[:, :, None], layout.channels, axis=2), " ".join(words)


@lru_cache(maxsize=512)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(str(find_font(name)), size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise UserError(f"cannot read font {name}: {error}") from error


def _setting(
    font: str,
    rng: np.random.Generator,
    degraded: float,
    sizes: tuple[int, int],
    tracking: float,
    smooth: bool,
    width: float,
) -> Typesetting:
    usual = (max(sizes[0], _USUAL[0]), min(sizes[1], _USUAL[1]))
    smallest, largest = usual if rng.random() > _RARE and usual[0] <= usual[1] else sizes
    size = math.exp(rng.uniform(math.log(smallest), math.log(largest)))
    drawn = min(_DRAWN, key=lambda candidate: abs(candidate - size))
    if smooth and drawn < _SMOOTH_BELOW:
        drawn *= 2
    misjudged = 1 + np.clip(rng.standard_normal(), -2.5, 2.5) * (0.03 + 0.04 * degraded)
    rows = max(round(drawn * LINE / (EM * misjudged)), 8)
    space = _advance(font, " ") * drawn
    gap = max(space * rng.uniform(0.85, 1.4), 0.21 * drawn / width) + 2.2 * tracking * drawn
    return Typesetting(drawn, rows, tracking * drawn, gap)


def _set(
    words: Sequence[str],
    font: str,
    layout: PageLayout,
    lines: int,
    setting: Typesetting,
    rng: np.random.Generator,
    narrowed: float,
) -> tuple[Ink, list[str]]:
    """Lines of words, one below the other, at the page's size: ink (lines * rows, w), and the words that fit."""
    rows, tracking = setting.rows, setting.tracking
    glyphs = _glyphs(font, setting.size)
    width = round(layout.width * rows / LINE / narrowed)  # letters become narrower when this is brought to the strip's
    margin = MARGIN * rows / LINE / narrowed
    page = np.zeros((lines * rows, width), dtype=np.uint8)
    jitter = rows / LINE * (1.0 + rng.random())  # a line is found a little too high or too low
    bases = np.rint(np.clip(BASELINE / LINE * rows + rng.uniform(-jitter, jitter, lines), 1, rows - 1)).astype(int)
    gaps = setting.gap * rng.uniform(0.92, 1.08, len(words))
    row, pen, done = 0, margin, []
    for number, word in enumerate(words):
        if word == "\n":
            row, pen = row + 1, margin
        if not word.strip():
            continue
        drawn = [glyphs.get(letter) or _draw_glyph(glyphs, font, setting.size, letter) for letter in word]
        advance = sum(glyph.advance for glyph in drawn) + tracking * (len(drawn) - 1)
        if pen > margin and pen + advance > width - margin:
            row, pen = row + 1, margin
        if row >= lines or advance > width - 2 * margin:
            break
        line = page[row * rows : (row + 1) * rows]
        for glyph in drawn:
            _paste(line, glyph, round(pen), int(bases[row]))
            pen += glyph.advance + tracking
        pen += float(gaps[number]) - tracking
        done.append(word)
    return page, done


@dataclass(frozen=True)
class Glyph:
    """A letter's ink (h, w), its first column and row from the pen on the baseline, and how far it moves the pen."""

    ink: Ink
    left: int
    top: int
    advance: float


@lru_cache(maxsize=_FACES)
def _glyphs(font: str, size: int) -> dict[str, Glyph]:
    """The letters of a face at a size that were drawn already: hinting takes longer than all else here."""
    return {}


def _draw_glyph(known: dict[str, Glyph], font: str, size: int, letter: str) -> Glyph:
    image = Image.new("L", (3 * size, 3 * size))
    ImageDraw.Draw(image).text((size, 2 * size), letter, fill=255, font=_font(font, size), anchor="ls")
    box = image.getbbox() or (0, 0, 1, 1)
    ink = np.asarray(image.crop(box), dtype=np.uint8)
    known[letter] = Glyph(ink, box[0] - size, box[1] - 2 * size, _advance(font, letter) * size)
    return known[letter]


def _advance(font: str, letter: str) -> float:
    """How far a letter moves the pen, ems."""
    known = _advances(font)
    if letter not in known:
        known[letter] = _font(font, EM).getlength(letter) / EM
    return known[letter]


@lru_cache(maxsize=2048)
def _advances(font: str) -> dict[str, float]:
    """Advances of a face that are known already."""
    return {}


def _paste(line: Ink, glyph: Glyph, pen: int, base: int) -> None:
    """Lay a letter over a line (rows, w); what leaves the line is lost."""
    top, left = base + glyph.top, pen + glyph.left
    above, before = max(-top, 0), max(-left, 0)
    bottom, right = max(top + glyph.ink.shape[0], 0), max(left + glyph.ink.shape[1], 0)
    target = line[top + above : bottom, left + before : right]
    if target.size:
        np.maximum(target, glyph.ink[above : above + target.shape[0], before : before + target.shape[1]], out=target)


def _degrade_page(ink: Ink, size: int, degraded: float, rng: np.random.Generator) -> Ink:
    """What pages do to letters, in the order in which it happens: weight, outline, shadow, blur, JPEG."""
    chance = rng.random(5)
    if chance[0] < 0.3:
        kernel = np.ones((2, 2) if size < 18 else (3, 3), dtype=np.uint8)
        other = cv2.dilate(ink, kernel) if chance[0] < 0.18 else cv2.erode(ink, kernel)
        share = float(rng.uniform(0.2, 0.9)) * (1.0 if chance[0] < 0.18 else 0.55)
        ink = cv2.addWeighted(ink, 1 - share, other, share, 0)
    elif chance[0] < 0.35 and size >= 20:
        reach = 3 if size < 40 else 5
        ink = cv2.subtract(cv2.dilate(ink, np.ones((reach, reach), dtype=np.uint8)), ink)
    if chance[1] < 0.12:
        reach = max(1, round(size * float(rng.uniform(0.04, 0.1))))
        shift = np.zeros_like(ink)
        shift[reach:, reach:] = ink[:-reach, :-reach]
        ink = np.maximum(ink, (shift * rng.uniform(0.2, 0.55)).astype(np.uint8))
    if chance[2] < 0.4:
        ink = cv2.GaussianBlur(ink, (0, 0), size * float(rng.uniform(0.02, 0.065)) * (0.5 + 0.5 * degraded))
    if chance[3] < 0.35:
        quality = int(rng.integers(round(75 - 55 * degraded), 90))
        contrast = float(rng.uniform(0.35, 1.0))
        _, packed = cv2.imencode(".jpg", 255 - (ink * contrast).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        again = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
        assert again is not None
        ink = np.clip((255.0 - again) / contrast, 0, 255).astype(np.uint8)
    return ink


def _bring_to_size(page: Ink, width: int, lines: int, degraded: float, rng: np.random.Generator) -> Ink:
    """The lines of a page at the strip's size (lines * 32, width), each turned and slanted as it was misjudged."""
    rows = len(page) // lines
    how = cv2.INTER_AREA if rows > LINE else cv2.INTER_CUBIC
    turned = degraded > 0 and rng.random() < 0.45
    strip = np.empty((lines * LINE, width), dtype=np.uint8)
    for index in range(lines):
        line = page[index * rows : (index + 1) * rows]
        line = line if line.shape == (LINE, width) else cv2.resize(line, (width, LINE), interpolation=how)
        strip[index * LINE : (index + 1) * LINE] = line
    if turned:
        slant, turn = (
            rng.uniform(-0.18, 0.18) * degraded,
            math.tan(math.radians(float(rng.uniform(-0.45, 0.45)) * degraded)),
        )
        narrow, bend = rng.uniform(-0.04, 0.04) * degraded, rng.uniform(-1e-4, 1e-4) * degraded
        middle = width / 2
        for index in range(lines):
            matrix = np.array(
                [
                    [1 - abs(narrow) / 2, slant, -slant * BASELINE],
                    [turn, 1 + narrow, -turn * middle - narrow * BASELINE],
                    [bend, 0, 1 - bend * middle],
                ]
            )
            line = strip[index * LINE : (index + 1) * LINE]
            line[:] = cv2.warpPerspective(line, matrix, (width, LINE), flags=cv2.INTER_LINEAR)
    return strip.astype(np.float32)


def _degrade_strip(ink: Ink, degraded: float, rng: np.random.Generator) -> Ink:
    """What separating ink from its background leaves: residue, rules, remains of neighbours, holes, blur."""
    height, width = ink.shape
    chance = rng.random(5)
    if chance[0] < 0.25:
        field = cv2.resize(
            rng.random((int(rng.integers(3, 12)), int(rng.integers(6, 48))), dtype=np.float32),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        ink = np.maximum(ink, (field - 0.55) * np.float32(rng.uniform(60, 240) * degraded))
    if chance[1] < 0.12:  # an underline, a rule, the edge of a box
        row = int(rng.integers(height))
        left, right = sorted(int(edge) for edge in rng.integers(0, width, 2))
        thick = int(rng.integers(1, 3))
        ink[row : row + thick, left:right] = np.maximum(ink[row : row + thick, left:right], rng.uniform(50, 255))
    if chance[2] < 0.15:  # descenders of the line above, ascenders of the line below
        rows = int(rng.integers(2, 6))
        shift = int(rng.integers(40, width - 40))
        for top in range(0, height, LINE):
            remains = np.roll(ink[(top + BASELINE + 1) % height :][:rows], shift, axis=1)
            ink[top : top + len(remains)] = np.maximum(ink[top : top + len(remains)], remains)
    if chance[3] < 0.1:
        field = cv2.resize(rng.random((height // 4, width // 4), dtype=np.float32), (width, height))
        ink = ink * np.clip((field - rng.uniform(0.05, 0.2)) * 6, 0, 1)
    if chance[4] < 0.5:
        ink = cv2.GaussianBlur(ink, (0, 0), 0.3 + float(rng.uniform(0, 0.8)) * degraded)
    return ink


@lru_cache(maxsize=1)
def _pool() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(_POOL, dtype=np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Gaussian noise of deviation one, a window of what is drawn once."""
    count = math.prod(shape)
    start = int(rng.integers(_POOL - count))
    return _pool()[start : start + count].reshape(shape)
