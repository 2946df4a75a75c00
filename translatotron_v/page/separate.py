"""A picture of text taken apart: how much of every pixel is ink, the ink's colour, and what lies behind.

Shapes: H and W pixels of a crop. Colours are RGB in [0, 1].
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from translatotron_v.errors import UserError
from translatotron_v.page.ground import Colour, SmoothGround, as_colour, distance, fit_smooth, length, total, under
from translatotron_v.page.inpaint import Painter, fill, repaint
from translatotron_v.page.residue import STRONG, grow, straight_lines, touched

if TYPE_CHECKING:
    from translatotron_v.models.matting import TextMatting

_LEAST = 8  # pixels of ink below which a crop counts as empty
_FAINT = 0.1  # coverage from which a pixel is no longer background
_FRINGE = 2  # pixels around ink whose colour may be touched by it
_FAINT_INK = 0.3  # coverage from which a pixel says something of the ink's colour
_SURE = 0.9  # coverage from which it shows it, where its neighbours do too
_CORE = 24  # such pixels that are enough to take the colour from
_NEAR = 0.12  # distance of ink and background (black to white is 1.73) under which colours say nothing of coverage
_BRIGHTNESS = 3.0  # weight of a difference in brightness against one in hue alone
_DOUBT = 0.15  # standard error of a network's coverage
_NOISE = 0.01  # least standard error of a background, in distance of colours
_WINDOWS = (15, 31, 63, 127)  # pixels of a running median, the smallest one that is wide enough is taken
_STROKES = 5.0  # a median's window is at least as wide as this many strokes
_PER_STROKE = 9.0  # strokes to an em
_LARGE, _SEEN = 44.0, 32.0  # pixels per em from which text is made smaller for the network, and how small
_MOSTLY = 0.7  # share of the ink on smooth ground from which shapes are told from it
_OUTSIDE = 0.6  # share of a shape outside the lines of text from which it is none
_ASTRAY = 0.5  # ems wide and high that differ because the fit is wrong there
_MOSTLY_THEIRS = 0.6  # share of a letter in the boxes of one text from which it is that text's whole
_LEGIBLE = 0.12  # distance of colours that counts as text without a network


class Matting(Protocol):
    """A trained network: ``models.matting.TextMatting``, or its graph."""

    def coverage(self, pixels: np.ndarray) -> np.ndarray:
        """Of a picture (H, W, 3) float32 in [0, 1] the share of each pixel under ink (H, W)."""
        ...


@dataclass(frozen=True)
class Layers:
    """``background * (1 - ink) + colour * ink`` is the picture again, but for noise under the text."""

    text_alpha: np.ndarray  # (H, W) float32, coverage 0..1
    colour: Colour  # of the text, RGB in [0, 1]; black where there is none
    background: np.ndarray  # (H, W, 3) float32 in [0, 1], the crop without its text
    hole: np.ndarray  # (H, W) bool, where the background differs from the crop: ink, outline, shadow and their traces

    def compose(self) -> np.ndarray:
        """The layers over one another, (H, W, 3)."""
        ink = self.text_alpha[..., None]
        return self.background * (1 - ink) + np.array(self.colour, dtype=np.float32) * ink


def separate(
    pixels: np.ndarray,
    matting: Matting | None = None,
    where: np.ndarray | None = None,
    em: float | None = None,
    painter: Painter | None = None,
    within: np.ndarray | None = None,
    foreign: np.ndarray | None = None,
) -> Layers:
    """Take a crop around one block of text, in one colour, apart.

    Coverage comes from the network, or else from a running median; smooth ground is fitted around it; what the text has
    touched is painted again (`page.inpaint`); then the compositing equation
    ``pixels = background * (1 - ink) + colour * ink`` is solved for the ink, which counts the more, the smoother the
    background and the stronger the contrast.

    Args:
        pixels: (H, W, 3) float32 in [0, 1].
        matting: a trained network; None works with colours alone, for text that stands out from
            an even background.
        where: (H, W) bool, true where ink may be (inside the lines of text); None: everywhere.
        em: pixels per em, roughly; None: as the strokes suggest. The network looks at large text made smaller.
        painter: fills what is no smooth ground; None: what is around it does.
        within: (H, W) bool, true in the box or bubble that the text stands in; None: it has none.
        foreign: (H, W) bool, true in the boxes of other text, which stays as it is; None: there is none.

    Raises:
        ValueError: an array of another shape or type.
    """
    _require_picture(pixels, where)
    coverage = _by_median(pixels, where) if matting is None else _by_network(pixels, matting, em)
    others = None
    if where is not None:
        if foreign is not None:
            others = _others(coverage, where, foreign)
            where = (where | foreign) & ~others
        coverage = np.where(where, coverage, np.float32(0))
    nothing = Layers(
        np.zeros(pixels.shape[:2], dtype=np.float32),
        (0.0, 0.0, 0.0),
        pixels.copy(),
        np.zeros(pixels.shape[:2], dtype=bool),
    )
    if np.count_nonzero(coverage > 0.5) < _LEAST:
        return nothing
    em = em or min(max(_PER_STROKE * _stroke(coverage > 0.5), 8.0), 400.0)
    ground = fit_smooth(pixels, coverage > _FAINT, em, within)
    strong, lines = _strong(pixels, ground, em)
    if where is not None:
        foreign_ink = _not_text(strong, lines, ground, coverage > _FAINT, where, em)
        coverage = np.where(foreign_ink, np.float32(0), coverage)
        if np.count_nonzero(coverage > 0.5) < _LEAST:
            return nothing
    ink = coverage > _FAINT
    if lines.any():  # a rule beside text says nothing of the ground
        ground = fit_smooth(pixels, ink | lines, em, within)
        _, lines = _strong(pixels, ground, em)
    found = touched(pixels, ground, ink, lines, em, where, within)
    ground, hole = replace(ground, holds=found.plain), found.hole
    if others is not None:
        hole &= ~others
    background = repaint(pixels, hole, found.away, ground, em, painter)
    colour = _ink_colour(pixels, background, coverage)
    beside = grow(ink, _FRINGE) & hole
    if where is not None:
        beside &= where
    doubt = None if matting is None else _DOUBT
    alpha = _solve(pixels, background, colour, coverage, beside, _unrest(pixels, ground, hole), doubt)
    return Layers(alpha, as_colour(colour), background, hole)


def load_matting(folder: str | Path) -> "TextMatting":
    """The network of a run or checkpoint of the stage ``separator``, or that lies beside a model's weights.

    Raises:
        CheckpointError: there is none, or its weights do not fit the settings beside them.
    """
    import torch

    from translatotron_v.checkpoint import load_module, read_info, resolve
    from translatotron_v.config import config_from_text
    from translatotron_v.models.matting import TextMatting

    folder = resolve(folder)
    read_info(folder)
    path = folder / "config.yaml"
    try:
        config = config_from_text(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    matting = TextMatting(config.model.matting)
    load_module(matting, folder, "matting")
    # channels_last: two thirds of the time on a CPU
    return matting.to(memory_format=torch.channels_last).requires_grad_(False).eval()


def _strong(pixels: np.ndarray, ground: SmoothGround, em: float) -> tuple[np.ndarray, np.ndarray]:
    """What differs from the ground as ink and edges do (H, W) bytes of 0 or 1, and which of it are straight lines."""
    strong = (distance(pixels, ground.colours) > STRONG).astype(np.uint8)
    return strong, straight_lines(strong, em)


def _not_text(
    strong: np.ndarray, lines: np.ndarray, ground: SmoothGround, ink: np.ndarray, where: np.ndarray, em: float
) -> np.ndarray:
    """What differs from smooth ground but cannot be letters: lines, and what lies mostly outside the lines of text."""
    if not ground.holds[ink].mean() > _MOSTLY:
        return np.zeros(where.shape, dtype=bool)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(strong, connectivity=8)
    outside = np.bincount(labels[~where], minlength=count) > _OUTSIDE * stats[:, cv2.CC_STAT_AREA]
    # Where the fit is wrong all differs from it, and letters are parts of what does.
    side = max(round(_ASTRAY * em), 2)
    astray = cv2.morphologyEx(strong & ~ground.holds, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)) > 0
    outside &= np.bincount(labels[astray & where], minlength=count) < side**2
    outside[0] = False
    return grow(outside[labels] | lines, 1)


def _others(coverage: np.ndarray, where: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """What (H, W) bool belongs to other text: letters that lie mostly in its boxes, and the ground between them.

    A letter that reaches into the other text's box, as an accent or a descender does, is this text's. Letters of both
    that touch are parted where the boxes are.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((coverage > _FAINT).astype(np.uint8), connectivity=8)
    inside = np.bincount(labels[foreign], minlength=count) / np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    ours = np.bincount(labels[where], minlength=count) / np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    theirs, own = inside > _MOSTLY_THEIRS, ours > _MOSTLY_THEIRS
    theirs[0] = own[0] = False
    return (foreign & ~grow(own[labels], 1)) | (grow(theirs[labels], 1) & ~grow(own[labels], 1))


def _stroke(text: np.ndarray) -> float:
    """The width of strokes, pixels."""
    mask = text.astype(np.uint8)
    return 2 * float(np.quantile(cv2.distanceTransform(mask, cv2.DIST_L2, 3)[text], 0.95))


def _by_network(pixels: np.ndarray, matting: Matting, em: float | None) -> np.ndarray:
    """Coverage (H, W) as the network sees it, of large text as it sees it at a size that it was trained on."""
    height, width = pixels.shape[:2]
    small = em is not None and em > _LARGE
    if em is not None and small:
        size = (max(1, round(width * _SEEN / em)), max(1, round(height * _SEEN / em)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    coverage = matting.coverage(pixels)
    if small:
        coverage = cv2.resize(coverage, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    return coverage


def _by_median(pixels: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    """Coverage (H, W) by colours alone: what stands out from a running median, in the colour that most of it has."""
    grey_levels = np.rint(pixels * 255).astype(np.uint8)
    nothing = np.zeros(pixels.shape[:2], dtype=np.float32)
    text = background = apart = nothing
    for window in _WINDOWS:
        background = cv2.medianBlur(grey_levels, window).astype(np.float32) / 255
        apart = length(pixels - background)
        if where is not None:
            apart = np.where(where, apart, np.float32(0))
        threshold = max(_otsu(apart), _LEGIBLE)
        text = (apart > threshold).astype(np.uint8)
        if np.count_nonzero(text) < _LEAST:
            continue
        if window >= _STROKES * _stroke(text > 0):
            break
    if np.count_nonzero(text) < _LEAST:
        return nothing
    chosen = text > 0
    colour = pixels[chosen & (apart >= np.quantile(apart[chosen], 0.8))].mean(axis=0)
    for _ in range(4):  # two means: the ink's colour, and for each pixel that of its own background
        inked = chosen & (length(pixels - colour) < apart)
        if np.count_nonzero(inked) < _LEAST:
            return nothing
        strong = inked & (apart >= np.median(apart[inked]))
        colour = np.median(pixels[strong], axis=0)
    coverage, _ = _equation(pixels, background, colour)
    return np.where(grow(inked, 1), coverage, np.float32(0))


def _ink_colour(pixels: np.ndarray, background: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """The colour (3,) of the text: the median inside its strokes, or for thin ones an extrapolation to full ink.

    The extrapolation solves the compositing equation for the colour, in the least squares over all inked pixels, and
    goes on in the same direction as far as the farthest tenth of the pixels does.
    """
    core = cv2.erode((coverage > _SURE).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if np.count_nonzero(core) >= _CORE:
        return np.median(pixels[core], axis=0)
    inked = coverage > _FAINT_INK
    share = coverage[inked][:, None]
    rest = pixels[inked] - background[inked] * (1 - share)
    colour = (share * rest).sum(axis=0) / np.square(share).sum()
    most = coverage > 0.5
    start = background[most].mean(axis=0)
    towards = colour - start
    reached = (pixels[most] - background[most]) @ towards / max(float(towards @ towards), 1e-6)
    return (start + towards * max(1.0, float(np.quantile(reached, 0.9)))).clip(0, 1)


def _equation(pixels: np.ndarray, background: np.ndarray, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (...) that mixes background and colour to the pixels (..., 3), and the distance (...) of the two."""
    from_ink = np.asarray(colour, dtype=np.float32) - background
    towards = _brightened(from_ink)
    coverage = total(_brightened(pixels - background) * towards)
    coverage /= np.maximum(total(np.square(towards)), 1e-6)
    return coverage.clip(0, 1), length(from_ink)


def _brightened(difference: np.ndarray) -> np.ndarray:
    """A difference of colours (H, W, 3) with more weight on brightness: JPEG smears the rest across edges."""
    return difference + (_BRIGHTNESS - 1) * (difference @ np.array((0.299, 0.587, 0.114), dtype=np.float32))[..., None]


def _solve(
    pixels: np.ndarray,
    background: np.ndarray,
    colour: np.ndarray,
    coverage: np.ndarray,
    beside: np.ndarray,
    noise: float,
    doubt: float | None,
) -> np.ndarray:
    """Ink (H, W): the solution of the compositing equation and a network's coverage, each by how sure it is.

    The equation errs by the background's own unrest beside the text, divided by its distance from the ink's colour;
    the network by ``doubt``. Without a network (None) the first guess counts only where colours say nothing.
    """
    guess = coverage[beside]
    solved, apart = _equation(under(pixels, beside), under(background, beside), colour)
    if doubt is not None:
        trust = doubt**2 / (doubt**2 + np.square(noise / np.maximum(apart, 1e-3)))
        solved = trust * solved + (1 - trust) * guess
    ink = np.zeros(coverage.shape, dtype=np.float32)
    ink[beside] = np.where(apart > _NEAR, solved, guess)
    return ink


def _unrest(pixels: np.ndarray, ground: SmoothGround, hole: np.ndarray) -> float:
    """How far colours beside a hole are from what would be painted there if they were hidden too."""
    rim = grow(hole, 6) & ~hole
    if (ground.holds | ~hole).all():
        off = under(pixels - ground.colours, rim & ground.holds)
    else:
        off = under(pixels - fill(pixels, hole | _checker(hole)), rim & _checker(hole))
    noise = float(np.sqrt(total(np.square(off)).mean())) if off.size else 0.0
    return max(noise, _NOISE)


def _checker(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    return (rows // 3 + columns // 3) % 2 == 0


def _otsu(values: np.ndarray) -> float:
    """The threshold that splits values best in two (Otsu 1979)."""
    top = max(float(values.max()), 1e-6)
    level, _ = cv2.threshold(np.rint(values / top * 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return level / 255 * top


def _require_picture(pixels: np.ndarray, where: np.ndarray | None) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"pixels: expected shape (H, W, 3), got {pixels.shape}")
    if pixels.dtype != np.float32:
        raise ValueError(f"pixels: expected float32 in [0, 1], got {pixels.dtype}")
    if where is not None and (where.shape != pixels.shape[:2] or where.dtype != bool):
        raise ValueError(f"where: expected bool of shape {pixels.shape[:2]}, got {where.dtype} of {where.shape}")
