"""Lines drawn under text or through it: found beside the letters, taken off them, and drawn again.

Ink is coverage (h, w) in [0, 1] of a block's crop; places are its pixel edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from translatotron_v.page.ground import Colour, as_colour, length
from translatotron_v.page.inpaint import fill
from translatotron_v.page.profile import EM_PER_HEIGHT, Bounds, Setting, measure
from translatotron_v.page.separate import Layers

_PIECE, _WHOLE, _SURE = (
    0.45,
    1.2,
    2.5,
)  # ems: a rule's shortest piece, its longest one at least, and one that is no serif
_THICKEST = 0.2  # ems
_BEYOND = 0.45  # ems by which a rule may be longer than its text; others are those of forms, tables and frames
_UNDER, _THROUGH = (0.03, 0.42), (-0.42, -0.14)  # ems below the baseline at which they lie
_DESCENDERS, _FAR_UNDER = 0.3, 0.8  # ems below the baseline where letters end, and where another thing may begin
_TOUCHING = 0.3  # share of an underline that ink may touch from one side: slabs of letters stand on stems
_CROSSED = 0.75  # of one drawn through text
_VISIBLE = 0.35  # coverage from which a pixel is looked at
_EVEN = 0.1  # difference of a rule's pixels from its colour
_TELLING = 20_000  # pixels that tell whether a ground is plain
_PLAIN = 0.02  # spread of the ground's colours up to which what the letters' ink misses is seen by colour
_ALIKE = 0.96  # cosine between two differences from the ground's colour that makes them one colour


@dataclass(frozen=True)
class Rule:
    """A line under or through a row of a block.

    Attributes:
        row: of the block.
        left, right, top, bottom: pixels of the crop; top and bottom so that they hold as much ink as there is.
        colour: RGB in [0, 1].
    """

    row: int
    left: float
    right: float
    top: float
    bottom: float
    colour: Colour

    @property
    def middle(self) -> float:
        """Of its height."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True)
class _Band:
    """Rows [top, bottom) of the crop and columns (w,) bool that a rule may be.

    One that goes on beyond the text is no part of it: what a form has for an answer to stand on. Where it lies so low
    that the text ends above it, as the edge of a box below a label does, nothing below it is, either.
    """

    row: int
    top: int
    bottom: int
    columns: np.ndarray
    goes_on: bool
    ends: bool = False


def take_rules(
    pixels: np.ndarray, layers: Layers, rows: Sequence[Bounds]
) -> tuple[Layers, tuple[Rule, ...], np.ndarray]:
    """Find rules and take them off the letters.

    Args:
        pixels: the crop (h, w, 3), float32 in [0, 1].
        layers: of the crop.
        rows: the box of each row of text.

    Returns:
        The layers with the letters alone as ink and no rule in the background, the rules, and where (h, w) bool they
        stood on the picture. A line that goes on beyond the text is none of them, and stays in the background.
    """
    seen = _seen(pixels, layers)
    bands = [band for index in range(len(rows)) for band in _bands(seen, rows, index)]
    nowhere = np.zeros(seen.shape, dtype=bool)
    if not bands:
        return layers, (), nowhere
    kept = []
    for band in bands:
        letters = _without(layers.text_alpha, band)
        if not _is_even(pixels, letters, band):
            continue
        setting = measure(letters, rows)
        if _is_rule(seen, band, setting):
            kept.append(replace(band, ends=_ends(band, setting)))
    if not kept:
        return layers, (), nowhere
    letters, erased, stays = layers.text_alpha, nowhere, nowhere
    for band in kept:
        letters = _without(letters, band)
        stood = np.zeros_like(nowhere)
        stood[
            max(band.top - 1, 0) : band.bottom + 1,
            cv2.dilate(band.columns[None].astype(np.uint8), np.ones((1, 5)))[0] > 0,
        ] = True
        if band.ends:
            stood[band.top - 1 :] = True
            letters[band.top - 1 :] = 0
        if band.goes_on:
            stays = stays | (stood & (letters < 0.1))
        else:
            erased = erased | stood
    background = np.where(stays[..., None], pixels, layers.background)
    if erased.any():
        filled = fill(np.where(erased[..., None], pixels, background), erased | (layers.text_alpha > 0.1))
        background = np.where(erased[..., None], filled, background)
    cleaned = replace(layers, text_alpha=letters, background=background)
    rules = tuple(_rule(pixels, cleaned, band) for band in kept if not band.goes_on)
    return cleaned, rules, erased


def _seen(pixels: np.ndarray, layers: Layers) -> np.ndarray:
    """Ink, and on a plain ground whatever else stands out from it: a rule of another colour is no text's ink."""
    free = np.flatnonzero(layers.text_alpha < 0.02)
    if len(free) < 16:
        return layers.text_alpha
    ground = np.take(pixels.reshape(-1, 3), free[:: max(1, len(free) // _TELLING)], axis=0)
    plain = np.median(ground, axis=0)
    if float(np.median(np.abs(ground - plain))) > _PLAIN:
        return layers.text_alpha
    strength = max(float(np.linalg.norm(np.array(layers.colour) - plain)), 0.3)
    apart = length(pixels - plain) / np.float32(0.8 * strength)
    return np.maximum(layers.text_alpha, np.clip(apart, 0, 1))


def _bands(seen: np.ndarray, rows: Sequence[Bounds], index: int) -> list[_Band]:
    """What may be rules of one row by their length, height and place beside the text."""
    left, top, right, bottom = rows[index]
    em = (bottom - top) * EM_PER_HEIGHT
    first, last = max(round(top), 0), min(round(bottom + 0.35 * em), len(seen))
    if index + 1 < len(rows):
        last = min(last, max(round(rows[index + 1][1]), round(bottom)))
    piece = max(round(_PIECE * em), 4)
    window = (seen[first:last] > _VISIBLE).astype(np.uint8)
    if not window.size:
        return []
    opened = cv2.morphologyEx(window, cv2.MORPH_OPEN, np.ones((1, piece), np.uint8))
    longest = _longest(opened)
    found, start = [], None
    for place, long in enumerate([*(longest >= _WHOLE * em), False]):
        if long and start is None:
            start = place
        elif not long and start is not None:
            columns = np.asarray(opened[start:place].max(axis=0) > 0)
            where = np.flatnonzero(columns)
            goes_on = where[0] < left - _BEYOND * em or where[-1] >= right + _BEYOND * em
            if place - start <= _THICKEST * em + 1:
                found.append(_Band(index, first + start, first + place, columns, goes_on))
            start = None
    return found


def _longest(mask: np.ndarray) -> np.ndarray:
    """The longest run of each row of a mask (H, W): (H,)."""
    longest = np.zeros(len(mask), dtype=int)
    for place, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])))
        if len(edges):
            longest[place] = int((edges[1::2] - edges[::2]).max())
    return longest


def _is_rule(seen: np.ndarray, band: _Band, setting: Setting) -> bool:
    """Whether a band lies where rules do and is no row of serifs or bars: those hang on stems."""
    em = setting.em
    below = ((band.top + band.bottom) / 2 - setting.baselines[band.row]) / em
    step = round(0.02 * em)

    def touched(row: int) -> float:
        inside = 0 <= row < len(seen)
        return float((seen[row, band.columns] > 0.5).mean()) if inside else 0.0

    above, under = touched(band.top - 1 - step), touched(band.bottom + step)
    length = int(_longest(band.columns[None].astype(np.uint8))[0])
    if _UNDER[0] <= below <= (_FAR_UNDER if band.goes_on else _UNDER[1]):
        return under < _TOUCHING and (above < _TOUCHING or (length > _SURE * em and above < 2 * _TOUCHING))
    if _THROUGH[0] <= below <= _THROUGH[1] and not band.goes_on:
        on_both_sides = min(above, under) > 0.3 * max(above, under)  # what lies on top of small letters has them below
        return length > 1.5 * em and max(above, under) < _CROSSED and on_both_sides
    return False


def _ends(band: _Band, setting: Setting) -> bool:
    """Whether the text ends above a band that goes on: it lies below the last row's descenders."""
    base = setting.baselines[band.row]
    return band.goes_on and band.row + 1 == len(setting.baselines) and band.top > base + _DESCENDERS * setting.em


def _is_even(pixels: np.ndarray, letters: np.ndarray, band: _Band) -> bool:
    """Whether a band is of one colour where no letter crosses it; the shadow of letters is not."""
    free = band.columns & (letters[max(band.top - 1, 0) : band.bottom + 1].max(axis=0) < 0.1)
    if not free.any():
        return False
    colours = pixels[(band.top + band.bottom) // 2, free]
    apart = np.abs(colours - np.median(colours, axis=0)).max(axis=1)
    return float((apart < _EVEN).mean()) > 0.8


def _without(ink: np.ndarray, band: _Band) -> np.ndarray:
    """Ink (h, w) without a band, but for strokes that cross it."""
    first, last = max(band.top - 1, 0), min(band.bottom + 1, len(ink))
    above = ink[first - 1] if first else np.zeros(ink.shape[1], dtype=np.float32)
    below = ink[last] if last < len(ink) else np.zeros(ink.shape[1], dtype=np.float32)
    crossing = np.minimum(above, below)
    columns = cv2.dilate(band.columns[None].astype(np.uint8), np.ones((1, 5), np.uint8))[0] > 0
    cleaned = ink.copy()
    cleaned[first:last] = np.where(columns, np.minimum(crossing, ink[first:last]), ink[first:last])
    return cleaned


def _rule(pixels: np.ndarray, layers: Layers, band: _Band) -> Rule:
    """A band measured: its colour, and how much of it there is at each height."""
    first, last = max(band.top - 1, 0), min(band.bottom + 1, len(pixels))
    free = band.columns & (layers.text_alpha[first:last].max(axis=0) < 0.1)
    free = free if free.any() else band.columns
    colours = np.median(pixels[first:last, free], axis=1)  # of each row
    ground = np.median(layers.background[first:last, free], axis=1)
    apart = colours - ground
    strongest = int(np.argmax(np.linalg.norm(apart, axis=1)))
    colour, towards = colours[strongest], apart[strongest]
    own = np.array(layers.colour, dtype=np.float32) - ground[strongest]
    cosine = float(own @ towards) / max(float(np.linalg.norm(own) * np.linalg.norm(towards)), 1e-6)
    if cosine > _ALIKE:
        colour, towards = np.array(layers.colour, dtype=np.float32), own
    shares = np.clip(apart @ towards / max(float(towards @ towards), 1e-6), 0, 1)
    total = float(shares.sum())
    middle = first + float(shares @ (np.arange(len(shares)) + 0.5)) / max(total, 1e-6)
    where = np.flatnonzero(band.columns)
    return Rule(
        band.row,
        float(where[0]),
        float(where[-1] + 1),
        middle - total / 2,
        middle + total / 2,
        as_colour(colour),
    )
