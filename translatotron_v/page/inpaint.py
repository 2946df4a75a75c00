"""The ground under old text painted again: smooth where it is smooth, with its texture where it has one.

Shapes: H and W pixels of a crop. Colours are RGB in [0, 1].
"""

from typing import Protocol

import cv2
import numpy as np

from translatotron_v.page import texture
from translatotron_v.page.ground import SmoothGround, largest, under

_RELAXATIONS = 6  # of a filled hole, on each level of its pyramid
_WORK = 16.0  # pixels per em at which what a smooth fit leaves is filled
_NEAR = 1.2  # ems from ink in which a texture is looked for
_OUTLYING = 5.0  # standard deviations of the noise that no ground has
_FITS = 6 / 255  # distance from a smooth fit that its ground may have anyway
_SURELY = 4 / 255  # noise around smooth ground from which a painter of the user's knows better


class Painter(Protocol):
    """What fills holes in pictures, such as `painter.OnnxPainter`."""

    def __call__(self, pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """A picture (H, W, 3) float32 in [0, 1], and where to paint (H, W) bool -> a picture of the same shape."""
        ...


def repaint(
    pixels: np.ndarray, hole: np.ndarray, away: np.ndarray, ground: SmoothGround, em: float, painter: Painter | None
) -> np.ndarray:
    """A crop (H, W, 3) with what is under a hole (H, W) bool painted again.

    Smooth ground is the fit and what the hole's rim differs from it, texture a copy of what stands near; anything else
    is filled smoothly from its rim, or by a painter where there is one. `away` (H, W) is pixels to the nearest ink.
    """
    off = pixels - ground.colours
    far = largest(np.abs(off))
    smooth = hole & ground.holds
    rest = hole & ~ground.holds
    grainy = ground.noise > _SURELY
    answer = pixels.copy()
    if painter is not None and (rest.any() or (grainy and hole.any())):
        known = hole if grainy else rest
        answer[known] = painter(pixels, hole)[known]
        if known is hole:
            return answer
    else:
        near = away < _NEAR * em
        mostly = bool(np.count_nonzero(smooth) > np.count_nonzero(rest))
        if mostly:
            near &= far < _OUTLYING * ground.noise
        found = texture.continued(off, hole, near, em, mostly)
        if found is not None:
            copied, repeats = found
            painted = hole if repeats else smooth  # grain belongs to the ground that it was told from
            _put(answer, painted, under(ground.colours, painted) + under(copied, painted))
            rest, smooth = rest & ~painted, smooth & ~painted
        if rest.any():
            _put(answer, rest, under(fill(pixels, hole), rest))
    if smooth.any():
        aside = far > max(_OUTLYING * ground.noise, _FITS)
        left = _coarse_fill(off, hole | aside, min(1.0, _WORK / em))
        _put(answer, smooth, under(ground.colours, smooth) + under(left, smooth))
    return answer


def _put(picture: np.ndarray, where: np.ndarray, colours: np.ndarray) -> None:
    """Set the pixels of a picture (H, W, 3), in place, where a mask (H, W) is set, to colours (N, 3) cut to [0, 1]."""
    picture.reshape(-1, 3)[np.flatnonzero(where)] = colours.clip(0, 1)


def fill(pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) with the colours around a hole (H, W) bool drawn smoothly over it.

    What is known is averaged to coarser and coarser pictures until nothing of the hole is left; on the way back each
    finer one is relaxed towards the membrane that hangs from the hole's rim (Laplace's equation).
    """
    known = np.where(hole, np.float32(0), np.float32(1))
    if not known.any():
        return pixels.copy()
    filled = _fill(pixels * known[..., None], known)
    return np.where(hole[..., None], filled.clip(0, 1), pixels)


def _coarse_fill(off: np.ndarray, hole: np.ndarray, scale: float) -> np.ndarray:
    """Differences (H, W, 3) drawn over a hole at a fraction of their size: they are smooth."""
    height, width = hole.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    known = np.where(hole, np.float32(0), np.float32(1))
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    if not share.any():
        return np.zeros_like(off)
    small = cv2.resize(off * known[..., None], size, interpolation=cv2.INTER_AREA)
    some = (share > 0.0).astype(np.float32)
    filled = _fill(small / np.maximum(share, 1e-6)[..., None] * some[..., None], some)
    return cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)


def _fill(pixels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Known pixels (H, W, 3), the others black, and weights (H, W) -> all pixels."""
    height, width = known.shape
    if known.all() or max(height, width) == 1:
        return pixels / np.maximum(known, 1e-6)[..., None]
    size = ((width + 1) // 2, (height + 1) // 2)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    colour = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) / np.maximum(weight, 1e-6)[..., None]
    some = (weight > 0.0).astype(np.float32)
    coarse = _fill(colour * some[..., None], some)
    hole = known == 0
    wide = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    filled = pixels.copy()
    filled[hole] = wide[hole]
    for _ in range(_RELAXATIONS):
        filled[hole] = cv2.blur(filled, (3, 3), borderType=cv2.BORDER_REPLICATE)[hole]
    return filled
