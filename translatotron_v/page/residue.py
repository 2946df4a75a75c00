"""Which pixels old text has touched: its ink, outline and shadow, and what JPEG smeared around them.

On smooth ground whatever differs from the ground is the text's, but for rules, frames and edges. On other ground a
place beside the letters counts as touched where, on average over the whole block, it differs from its surroundings.

Shapes: H and W pixels of a crop.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from translatotron_v.page.ground import SmoothGround, largest
from translatotron_v.page.inpaint import fill

_REACH = 0.3  # ems from ink in which its outline and shadow lie,
_BLOCK = 8  # and pixels to which a JPEG block carries them
_CLEAR, _FAINT = 3 / 255, 1.6 / 255  # least distance from smooth ground of one pixel, and of a mean of 3 x 3
_NOISY, _NOISY_MEAN = 4.5, 2.0  # standard deviations of the noise that are as much
_APART = 6 / 255  # least distance of such a mean that tells of more than JPEG
_BESIDE = 0.5  # ems beyond the reach that show whether ground is plain,
_BUSY = 0.15  # and the share of them that may differ from it where it is
STRONG = 0.12  # distance from the ground that a rule or an edge has
_LONG, _THIN = 1.5, 0.14  # ems: least length of a rule, and most thickness
_WORK = 20.0  # pixels per em at which shifted copies of the ink are looked at
_SHIFT = 0.25  # ems, the farthest shift
_SURE, _VISIBLE = 4.0, 5 / 255  # standard errors, and colour, that a shifted copy differs by
_BLOCKY = 0.4  # how much more colours leap between JPEG's blocks than inside them,
_LEAP = 8 / 255  # when larger leaps count as so much


@dataclass(frozen=True)
class Touched:
    """What must be painted anew.

    Attributes:
        hole: (H, W) bool.
        plain: (H, W) bool, where the ground is its smooth fit but for noise.
        away: (H, W) float32, pixels to the nearest ink.
    """

    hole: np.ndarray
    plain: np.ndarray
    away: np.ndarray


def touched(
    pixels: np.ndarray,
    ground: SmoothGround,
    ink: np.ndarray,
    lines: np.ndarray,
    em: float,
    where: np.ndarray | None = None,
    within: np.ndarray | None = None,
) -> Touched:
    """What text has touched, given where ink surely is (H, W) bool, and where it may be (None: everywhere).

    `lines` (H, W) bool are the straight ones on the picture (`straight_lines`). Outside the text's own box (`within`,
    None: it has none) only smooth ground is touched.
    """
    off = pixels - ground.colours
    blocky = is_blocky(pixels)
    tight = grow(ink, 2 if blocky else 1)
    away = cv2.distanceTransform((~ink).astype(np.uint8), cv2.DIST_L2, 3)
    plain = ground.holds
    if plain.any():
        far = largest(np.abs(off))
        mean = largest(np.abs(cv2.blur(off, (3, 3))))
        differs = (far > max(_NOISY * ground.noise, _CLEAR)) | (mean > max(_NOISY_MEAN * ground.noise, _FAINT))
        fixed = grow(foreign(far, ink, away, lines, em, where), 3 if blocky else 2)
        reach = _REACH * em + _BLOCK
        apart = mean > max(_NOISY_MEAN * ground.noise, _APART)
        beside = (away > reach) & (away < reach + _BESIDE * em) & ~grow(far > STRONG, _BLOCK)
        if within is None:  # a box of its own is plain, or it would not have been found
            plain = plain & ~_busy(apart, beside, em)
    unclear = ~plain if within is None else ~plain & within
    if (unclear & grow(tight, round(_SHIFT * em))).any():
        tight |= _shifted(pixels, ink, em) & unclear & ~grow(lines, 1)
    if plain.any():
        tight |= grow(differs & plain & (away < reach) & ~fixed, 1) & ~fixed & plain
    return Touched(tight & ~(lines & ~ink), plain, away)


def _busy(differs: np.ndarray, beside: np.ndarray, em: float) -> np.ndarray:
    """Where (H, W) bool the ground beside the text has much that its smooth fit has not."""
    step = max(1, round(em / 6))
    size = (-(-differs.shape[1] // step), -(-differs.shape[0] // step))
    both = np.dstack([(differs & beside).astype(np.float32), beside.astype(np.float32)])
    small = cv2.GaussianBlur(cv2.resize(both, size, interpolation=cv2.INTER_AREA), (0, 0), em / step)
    busy = (small[..., 0] > _BUSY * small[..., 1]).astype(np.uint8)
    return cv2.resize(busy, differs.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def foreign(
    far: np.ndarray,
    ink: np.ndarray,
    away: np.ndarray,
    lines: np.ndarray,
    em: float,
    where: np.ndarray | None = None,
) -> np.ndarray:
    """Rules, frames and edges (H, W) bool: what differs from the ground but leads away from the text, or is a line.

    Args:
        far: how far each pixel is from the ground.
        ink: where ink surely is.
        away: pixels to the nearest ink.
        lines: see `straight_lines`.
        where: where ink may be; None: everywhere.
    """
    strong = (far > STRONG).astype(np.uint8)
    beyond = away >= _REACH * em + _BLOCK
    rest = ((strong > 0) & ~ink & ~lines).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=8)
    outside = np.bincount(labels[beyond], minlength=count) > 0.2 * stats[:, cv2.CC_STAT_AREA]
    if where is not None:  # other lines' letters
        apart = np.bincount(labels[~where], minlength=count) > 0.5 * stats[:, cv2.CC_STAT_AREA]
        apart[labels[grow(ink, 2)]] = False
        outside |= apart
    outside[0] = False
    return outside[labels] | lines


def straight_lines(strong: np.ndarray, em: float) -> np.ndarray:
    """Thin straight lines, level or upright, longer than a letter: (H, W) bool."""
    long, thin = max(round(_LONG * em), 5), max(round(_THIN * em), 4)
    found, reaching = np.zeros(strong.shape, dtype=bool), strong > 0
    for along, across in (((1, long), (thin + 1, 1)), ((long, 1), (1, thin + 1))):
        thick = cv2.morphologyEx(strong, cv2.MORPH_OPEN, np.ones(across, np.uint8))
        runs = cv2.morphologyEx(strong & (1 - thick), cv2.MORPH_OPEN, np.ones(along, np.uint8))
        runs = cv2.morphologyEx(runs, cv2.MORPH_CLOSE, np.ones(along, np.uint8))  # it goes on behind letters
        found |= (runs & strong) > 0
        reaching &= cv2.dilate(runs, np.ones((min(along[0], 2 * thin + 1), min(along[1], 2 * thin + 1)), np.uint8)) > 0
    return found | reaching  # which are corners


def _shifted(pixels: np.ndarray, ink: np.ndarray, em: float) -> np.ndarray:
    """Ink and the shifted copies of it that differ from their surroundings on average: (H, W) bool.

    Shifts are looked at from near to far, each on pixels that no nearer one has taken,
    while some still differ. The error of a mean is told from the means of stretches one em wide.
    """
    height, width = ink.shape
    scale = min(_WORK / em, 1.0)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    letters = cv2.resize(ink.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    taken = grow(letters, 1)
    em *= scale
    reach = max(2, round(_SHIFT * em))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    small = small - fill(small, grow(letters, reach + 1))
    starts = np.arange(0, size[0], max(4, round(em)))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    kernel[reach, reach] = 1
    for ring in range(2, reach + 1):  # what is next to ink is taken anyway
        found = []
        for down in range(-ring, ring + 1):
            for across in range(-ring, ring + 1):
                if max(abs(down), abs(across)) == ring and _differs(small, letters, taken, (down, across), starts):
                    found.append((down, across))
                    kernel[reach + down, reach + across] = 1
        if not found:
            break
        for shift in found:
            taken |= _moved(letters, shift)
    if kernel.sum() == 1:
        return ink
    full = 2 * max(1, round(reach / scale)) + 1
    there = cv2.resize(kernel, (full, full), interpolation=cv2.INTER_NEAREST)
    return grow(cv2.dilate(ink.astype(np.uint8), there[::-1, ::-1]) > 0, 1)


def _differs(
    off: np.ndarray, letters: np.ndarray, taken: np.ndarray, shift: tuple[int, int], starts: np.ndarray
) -> bool:
    """Whether the colours under a shifted copy, where nothing is taken yet, are off on average."""
    mask = _moved(letters, shift) & ~taken
    counts = np.add.reduceat(mask.sum(axis=0), starts)
    kept = counts >= 3
    if np.count_nonzero(kept) < 3:
        return False
    sums = np.add.reduceat((off * mask[..., None]).sum(axis=0), starts, axis=0)[kept]
    means, weights = sums / counts[kept, None], counts[kept] / counts[kept].sum()
    mean = weights @ means
    spread = np.sqrt(np.square(weights[:, None] * (means - mean)).sum(axis=0))
    return bool((np.abs(mean) > np.maximum(_SURE * spread, _VISIBLE)).any())


def _moved(mask: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """A mask so many rows farther down and columns farther right."""
    matrix = np.array([[1, 0, shift[1]], [0, 1, shift[0]]], dtype=np.float32)
    return cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST) > 0


def is_blocky(pixels: np.ndarray) -> bool:
    """Whether a picture (H, W, 3) came through JPEG at low quality: colours leap at every eighth row and column."""
    grey = pixels[..., 1]
    for axis in (0, 1):
        leaps = np.abs(np.diff(grey, axis=axis)).clip(0, _LEAP)
        count = leaps.shape[axis] // 8 * 8
        if count < 24:
            return False
        lines = leaps.mean(axis=1 - axis)[:count].reshape(-1, 8)
        apart = (lines - np.median(lines, axis=1, keepdims=True)).mean(axis=0)
        if apart.max() < _BLOCKY * (np.median(lines, axis=1).mean() + 1e-4):
            return False
    return True


def grow(mask: np.ndarray, reach: int) -> np.ndarray:
    """A mask (H, W) and all pixels that are at most so many rows and columns away from it."""
    size = 2 * reach + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
