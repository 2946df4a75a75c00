"""Text over a ground that is known to the last pixel: what taking text off a picture is measured on.

Lines of text with or without an outline and a shadow stand on paper, gradients, photographs, checkerboards and film
grain, or beside rules and inside frames, buttons and speech bubbles. Everything is a function of the generator's state.

Shapes: H and W rows and columns of the picture; all arrays of pixels are uint8.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from data_synth.backgrounds import Pixels, make_background
from data_synth.fonts import find_font
from data_synth.photographs import bundled_photographs
from data_synth.style import Colour, PageStyle

SMOOTH = ("plain", "gradient", "disc")
PHOTOGRAPHS = ("photo", "bare photo")  # faded towards white or black as under readable text; as it is
TEXTURES = ("checker", "grain")
FURNITURE = ("rules", "frame", "button", "bubble")
GROUNDS = (*SMOOTH, *PHOTOGRAPHS, *TEXTURES, *FURNITURE)
LOOKS = ("flat", "shadow", "soft shadow", "outline", "outline and shadow")

_HEIGHT_PER_EM = 1.12  # of a line's box as a detector draws it
_BELOW_CENTRE = 0.27  # ems from the middle of that box down to the baseline
_CONTRAST = 110  # least distance of ink and ground in brightness, grey levels
_FRAME_GAP = (0.15, 0.6)  # ems from the lines' boxes to a rule or a frame

Box = tuple[float, float, float, float]  # left, top, right, bottom
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class GroundPage:
    """A picture of text, and what it was made of.

    Attributes:
        pixels: (H, W, 3), the picture.
        ground: (H, W, 3), the same without its text, through the same JPEG where there is one.
        clean: (H, W, 3), the ground before any JPEG.
        text_alpha: (H, W), how much of each pixel is letter, outline or shadow, 0..255.
        fill_alpha: (H, W), how much of it is letter.
        fixed: (H, W) bool, pixels of rules, frames and edges.
        lines: the box of each line as a detector draws it.
        em: pixels per em.
    """

    pixels: Pixels
    ground: Pixels
    clean: Pixels
    text_alpha: Pixels
    fill_alpha: Pixels
    fixed: npt.NDArray[np.bool_]
    lines: tuple[Box, ...]
    em: int


def draw_on_ground(
    rng: np.random.Generator,
    ground: str,
    look: str,
    lines: tuple[str, ...],
    font: str,
    em: int,
    photographs: tuple[str, ...] = (),
    quality: int = 0,
) -> GroundPage:
    """Draw lines of text on a ground.

    Args:
        ground: one of `GROUNDS`.
        look: of the letters, one of `LOOKS`.
        font: bundled name or file.
        em: pixels per em.
        photographs: names of bundled ones to draw from; none: all of them.
        quality: of the JPEG that the picture goes through, and its ground alone; 0 for none.

    Raises:
        ValueError: a ground or a look that is not in the list.
        UserError: no such font.
    """
    if ground not in GROUNDS or look not in LOOKS:
        raise ValueError(f"ground {ground!r}, look {look!r}: choose from {GROUNDS} and {LOOKS}")
    face = ImageFont.truetype(str(find_font(font)), em, layout_engine=ImageFont.Layout.BASIC)
    pitch = round(em * rng.uniform(1.2, 1.5))
    margin = round(1.6 * em)
    width = math.ceil(max(face.getlength(line) for line in lines)) + 2 * margin
    height = pitch * (len(lines) - 1) + round(1.1 * em) + 2 * margin
    bases = [margin + round(0.85 * em) + number * pitch for number in range(len(lines))]
    letters = Image.new("L", (width, height))
    boxes = []
    for line, base in zip(lines, bases, strict=True):
        ImageDraw.Draw(letters).text((margin, base), line, fill=255, font=face, anchor="ls")
        middle, half = base - _BELOW_CENTRE * em, _HEIGHT_PER_EM * em / 2
        boxes.append((margin - 0.1 * em, middle - half, margin + face.getlength(line) + 0.1 * em, middle + half))
    bounds = (margin, boxes[0][1], width - margin, boxes[-1][3])
    bare, fixed = _draw_ground(rng, ground, (height, width), bounds, em, photographs)
    page, alpha = _draw_letters(rng, bare, look, letters, lines, bases, margin, face, em)
    pixels, ground_pixels = (_through_jpeg(one, quality) if quality else one for one in (page, bare))
    return GroundPage(pixels, ground_pixels, bare, alpha, np.asarray(letters), fixed, tuple(boxes), em)


def _draw_letters(
    rng: np.random.Generator,
    ground: Pixels,
    look: str,
    letters: Image.Image,
    lines: tuple[str, ...],
    bases: list[int],
    left: int,
    face: ImageFont.FreeTypeFont,
    em: int,
) -> tuple[Pixels, Pixels]:
    """The ground with shadow, outline and fill over it, and the coverage of all three together, 0..255."""
    level = float(ground[np.asarray(letters) > 0].mean())
    ink = _ink(rng, level)
    opposite = (0, 0, 0) if sum(ink) > 384 else (255, 255, 255)
    layers: list[tuple[Values, Colour]] = []
    reach = max(1, round(em * rng.uniform(0.04, 0.09)))
    stroked = letters
    if "outline" in look:
        stroked = Image.new("L", letters.size)
        width = max(1, round(em * rng.uniform(0.04, 0.08)))
        for line, base in zip(lines, bases, strict=True):
            ImageDraw.Draw(stroked).text((left, base), line, fill=255, font=face, anchor="ls", stroke_width=width)
    if "shadow" in look:
        blurred = stroked.filter(ImageFilter.GaussianBlur(0.06 * em)) if look == "soft shadow" else stroked
        moved = Image.new("L", letters.size)
        moved.paste(blurred, (reach, reach))
        share = np.float32(rng.uniform(0.4, 0.8))
        dark = (0, 0, 0) if look != "outline and shadow" else tuple(255 - level for level in opposite)
        layers.append((_share(moved) * share, (dark[0], dark[1], dark[2])))
    if "outline" in look:
        layers.append((_share(stroked), opposite))
    layers.append((_share(letters), ink))
    page, left_over = ground.astype(np.float32), np.ones(ground.shape[:2], dtype=np.float32)
    for share, colour in layers:
        page = page * (1 - share[..., None]) + np.array(colour, dtype=np.float32) * share[..., None]
        left_over *= 1 - share
    return np.rint(page).astype(np.uint8), np.ceil((1 - left_over) * 255).astype(np.uint8)


def _ink(rng: np.random.Generator, level: float) -> Colour:
    """A colour that stands off from a ground of some brightness."""
    while True:
        red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
        if abs(0.299 * red + 0.587 * green + 0.114 * blue - level) >= min(_CONTRAST, 0.8 * max(level, 255 - level)):
            return red, green, blue


def _draw_ground(
    rng: np.random.Generator,
    kind: str,
    size: tuple[int, int],
    bounds: tuple[int, float, int, float],
    em: int,
    photographs: tuple[str, ...],
) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """The ground (H, W, 3), and which of its pixels (H, W) belong to rules and edges."""
    fixed = np.zeros(size, dtype=bool)
    colours = [_colour(rng) for _ in range(2)]
    seed = int(rng.integers(2**31))
    if kind in ("plain", "gradient"):
        style = PageStyle(background=kind, paper=colours[0], paper_end=colours[1], seed=seed)
        return make_background(style, *size, 3).copy(), fixed
    if kind in PHOTOGRAPHS:
        names = photographs or tuple(bundled_photographs())
        fade = float(rng.uniform(0.55, 0.85)) if kind == "photo" else 0.0
        paper = (255, 255, 255) if rng.random() < 0.6 else (0, 0, 0)
        picture = names[int(rng.integers(len(names)))]
        style = PageStyle(background="photo", picture=picture, fade=fade, paper=paper, seed=seed)
        return make_background(style, *size, 3).copy(), fixed
    if kind == "disc":
        return _disc(size, colours[0], colours[1]), fixed
    if kind == "checker":
        return _checker(rng, size, colours[0], colours[1], em), fixed
    if kind == "grain":
        grain = rng.normal(0, rng.uniform(5, 12), (*size, 1)).astype(np.float32) + np.array(colours[0], np.float32)
        soft = Image.fromarray(_bytes(grain)).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.6)))
        return np.asarray(soft, dtype=np.uint8), fixed
    return _draw_furniture(rng, kind, size, bounds, em, colours[0])


def _disc(size: tuple[int, int], paper: Colour, middle: Colour) -> Pixels:
    """A disc whose colour runs from its middle to its edge, wider than the text, on paper."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    radius = np.hypot((columns / size[1] - 0.5) / 0.75, (rows / size[0] - 0.5) / 0.75)[..., None]
    edge = np.array([0.35 * level + 0.65 * other for level, other in zip(middle, paper, strict=True)], np.float32)
    page = np.array(middle, np.float32) * (1 - radius) + edge * radius
    return _bytes(np.where(radius < 1, page, np.array(paper, np.float32)))


def _checker(rng: np.random.Generator, size: tuple[int, int], first: Colour, second: Colour, em: int) -> Pixels:
    side = max(3, round(em * rng.uniform(0.2, 0.45)))
    rows, columns = np.indices(size)
    odd = ((rows // side + columns // side) % 2).astype(np.float32)[..., None]
    pale = np.array([round(0.75 * one + 0.25 * other) for one, other in zip(first, second, strict=True)], np.float32)
    return _bytes(np.array(first, np.float32) * (1 - odd) + pale * odd)


def _draw_furniture(
    rng: np.random.Generator,
    kind: str,
    size: tuple[int, int],
    bounds: tuple[int, float, int, float],
    em: int,
    paper: Colour,
) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """Paper with rules above and below, a frame, a button or a bubble around the text."""
    dark = 0.299 * paper[0] + 0.587 * paper[1] + 0.114 * paper[2] < 128
    pen = (240, 240, 240) if dark else (20, 20, 20)
    inside = tuple(min(max(level + (40 if dark else -40), 0), 255) for level in paper)
    image, mask = Image.new("RGB", size[::-1], paper), Image.new("L", size[::-1])
    gap = round(rng.uniform(*_FRAME_GAP) * em)
    left, top, right, bottom = bounds[0] - gap, round(bounds[1]) - gap, bounds[2] + gap, round(bounds[3]) + gap
    width = int(rng.integers(1, 4))
    if kind == "rules":
        for row in (top, bottom):
            ImageDraw.Draw(image).line((4, row, size[1] - 5, row), fill=pen, width=width)
            ImageDraw.Draw(mask).line((4, row, size[1] - 5, row), fill=255, width=width)
    elif kind == "frame":
        ImageDraw.Draw(image).rectangle((left, top, right, bottom), outline=pen, width=width)
        ImageDraw.Draw(mask).rectangle((left, top, right, bottom), outline=255, width=width)
    elif kind == "button":
        ImageDraw.Draw(image).rounded_rectangle((left, top, right, bottom), em // 3, fill=inside)
        ImageDraw.Draw(mask).rounded_rectangle((left, top, right, bottom), em // 3, outline=255, width=2)
    else:
        wide, high = 0.21 * (right - left), 0.21 * (bottom - top)
        corners = (left - wide, top - high, right + wide, bottom + high)
        ImageDraw.Draw(image).ellipse(corners, fill=inside, outline=pen, width=width)
        ImageDraw.Draw(mask).ellipse(corners, outline=255, width=width)
    return np.asarray(image).copy(), np.asarray(mask) > 0


def _colour(rng: np.random.Generator) -> Colour:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _share(image: Image.Image) -> Values:
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _bytes(values: npt.NDArray[np.float32]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _through_jpeg(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)
