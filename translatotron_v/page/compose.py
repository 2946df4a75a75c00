"""Words of a translation put back where a block of text was: laid out in its room, in its colour, on its background."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from translatotron_v.page.arrange import PlacedWord, arrange, corners_of, quad_of
from translatotron_v.page.blocks import Alignment
from translatotron_v.page.free_ground import Ground
from translatotron_v.page.lines import Point, move_points, warp
from translatotron_v.page.profile import Setting
from translatotron_v.page.regions import Region
from translatotron_v.page.residue import grow
from translatotron_v.page.separate import Layers
from translatotron_v.page.shaping import Word
from translatotron_v.page.straighten import Crop
from translatotron_v.page.strips import USUAL_GAP
from translatotron_v.page.style import Style, paint_order

_OLD = 0.05  # coverage from which a pixel of the old text is replaced
_FRINGE = 2  # pixels around the old text that are replaced with it


@dataclass(frozen=True)
class Composed:
    """What became of one block.

    Attributes:
        pixels: the picture (H, W, 3), bytes: a new array, or the one given where the block was left as it is.
        em: the size of the new text, pixels per em; 0 where there is none.
        quads: the boxes of the new words on the picture, corners clockwise from the top left.
        skip_reason: why the block was left as it is; empty where it was replaced.
    """

    pixels: np.ndarray
    em: float = 0.0
    quads: tuple[tuple[Point, ...], ...] = ()
    skip_reason: str = ""


def compose(
    pixels: np.ndarray,
    crop: Crop,
    layers: Layers,
    setting: Setting,
    words: Sequence[Word],
    alignment: Alignment = "left",
    obstacles: Sequence[Sequence[Point]] = (),
    gap: float = USUAL_GAP,
    breaks: Collection[int] = (),
    style: Style | None = None,
    region: Region | None = None,
    largest: float = 1.0,
    in_place: bool = False,
    ground: Ground | None = None,
) -> Composed:
    """Put words in the place of a block's text.

    They keep the block's size, pitch, colour and alignment, in as many lines as its box holds; then free room below
    and beside it is used; then they are shrunk. Pixels that neither held old ink nor hold new are left as they are.

    Args:
        pixels: the picture (H, W, 3), bytes; perhaps with other blocks replaced already.
        crop, layers, setting: of the block.
        words, alignment, obstacles, gap, breaks, region, largest, ground: see `arrange`.
        style: what words have beside their shape, which `style.dress` gives them: lines, colours, outline, shadow.
        in_place: paint on the picture given instead of a copy of it, which takes time and room on a large one.
    """
    if not any(callable(word) or word.shape[1] for word in words):
        return Composed(pixels, skip_reason="no words")
    arranged = arrange(crop, setting, words, alignment, obstacles, gap, breaks, region, largest, ground)
    if arranged is None:
        return Composed(pixels, skip_reason="no room")
    new = pixels if in_place else pixels.copy()
    _paint(new, crop, layers, arranged.words, style or Style(), setting.em * arranged.share)
    back = crop.back
    quads = tuple(quad_of(back, word.bounds) for word in arranged.words)
    return Composed(new, setting.em * arranged.share, quads)


def _paint(
    answer: np.ndarray, crop: Crop, layers: Layers, placed: Sequence[PlacedWord], style: Style, em: float
) -> None:
    """Take the block's old ink off a picture and put words on."""
    erase(answer, crop, layers, style)
    painted, corner = paint_order(placed, layers.colour, style, em)
    for layer in painted:
        drawn, _ = _on_page(crop, layer.coverage, None, corner, answer.shape)
        if drawn is not None:
            rows, columns, coverage = drawn
            window = answer[rows, columns]
            inked = coverage > 0.5 / 255
            share = coverage[inked][:, None]
            colour = np.array(layer.colour, dtype=np.float32)
            window[inked] = _bytes(window[inked] / np.float32(255) * (1 - share) + colour * share)


def erase(answer: np.ndarray, crop: Crop, layers: Layers, style: Style) -> None:
    """Take the ink of a block off a picture (H, W, 3) of bytes, in place."""
    old = (grow(layers.text_alpha > _OLD, _FRINGE) & crop.where(_FRINGE)) | layers.hole
    if style.erased is not None:
        old |= style.erased
    removed, background = _on_page(crop, old.astype(np.float32), layers.background, (0, 0), answer.shape)
    if removed is not None:
        rows, columns, mask, colours = (*removed, background)
        window = answer[rows, columns]
        hole = mask > (0.5 if crop.level else 0.05)  # a tilted mask has soft edges
        window[hole] = _bytes(colours[hole])


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def _on_page(
    crop: Crop, mask: np.ndarray, colours: np.ndarray | None, corner: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice, np.ndarray] | None, np.ndarray]:
    """Arrays of the crop's frame on the picture: rows, columns and the mask there, and the colours there.

    Args:
        mask: (h, w) float32.
        colours: (h, w, 3) float32 or None.
        corner: the place (x, y) in the crop of the arrays' top left corner.
        shape: of the picture.

    Returns:
        None in place of the first where nothing falls on the picture.
    """
    height, width = mask.shape
    matrix = crop.back
    matrix[:, 2] += matrix[:, :2] @ np.array(corner, dtype=np.float64)  # leads the arrays' own places to the picture
    ends = move_points(matrix, corners_of((0, 0, width, height)))
    left, top = np.maximum(np.floor(ends.min(axis=0) + 1e-6), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(ends.max(axis=0) - 1e-6), (shape[1], shape[0])).astype(int).tolist()
    nothing = np.zeros((0, 0, 3), dtype=np.float32)
    if left >= right or top >= bottom:
        return None, nothing
    matrix = matrix - np.array([[0, 0, left], [0, 0, top]])
    rows, columns = slice(top, bottom), slice(left, right)
    size = (right - left, bottom - top)
    if crop.level:
        x, y = (-round(float(shift)) for shift in matrix[:, 2])
        part = np.s_[y : y + size[1], x : x + size[0]]
        return (rows, columns, mask[part]), nothing if colours is None else colours[part]
    moved = np.clip(warp(mask, matrix, size, cv2.INTER_CUBIC, cv2.BORDER_CONSTANT), 0, 1)
    if colours is None:
        return (rows, columns, moved), nothing
    return (rows, columns, moved), np.clip(warp(colours, matrix, size, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE), 0, 1)
