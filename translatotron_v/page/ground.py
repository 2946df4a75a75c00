"""Smooth ground behind text: paper, gradients and panels, fitted through what is surely no text.

The fit is robust: a plane that most of the surroundings agree on, then corrections from ever smaller neighbourhoods,
each from pixels alone that agree with the one before (Tukey's biweight). What lies beyond a panel's edge, rules and the
letters' own shadows are outliers to it.

Shapes: H and W pixels of a crop, h and w cells of a coarse grid over it. Colours are RGB in [0, 1].
"""

from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]  # RGB in [0, 1]

_EDGE = 0.15  # ems by which a text's own box may be seen too small
_LEAST = 12  # cells of a text's own box from which they alone tell its ground
_CELLS = 7  # of the coarse grid to an em
_APART = 0.06  # ems around ink that say nothing of the ground,
_DOUBTFUL = 0.15  # those in which outlines and shadows may lie,
_NEAR = 0.45  # and those that say most of it
_FADES = 0.27  # ems in which what is farther away loses its weight
_QUIET = (0.2, 0.7)  # ems from ink between which its noise is measured
_CLOSE = 0.3  # ems from ink in which most must agree with a fit,
_WRONG = 0.65  # a larger share of pixels so far off speaks of a panel that is hardly larger than its text
_BETTER = 0.85  # share of those that another fit may be astray from
_OTHER = 0.1  # distance from the fit
_TRIALS = 96  # planes that are tried through three cells each
_PLANE = 10 / 255  # distance from a plane up to which a cell agrees with it
# Standard deviation of a neighbourhood in ems, and distance from the fit so far from which a cell has no say.
_LEVELS = ((3.0, 24 / 255), (1.5, 24 / 255), (1.5, 24 / 255), (0.8, 20 / 255), (0.8, 16 / 255), (0.6, 9 / 255))
_FINER = (*((0.5, 24 / 255),) * 6, (0.5, 20 / 255), (0.5, 14 / 255), (0.4, 9 / 255))  # only where those fail
_FAILS = (2 / 255, 5 / 255)  # mean distance in a neighbourhood from which they begin to fail, and do
_DRAG = 0.02  # cells' worth of trust in the fit so far
_HOLDS = 6 / 255  # mean distance of the channels up to which the fit holds in a cell,
_SUPPORT = 0.5  # and the share of the cells around a place that it must hold in
_AROUND = 0.8  # ems


@dataclass(frozen=True)
class SmoothGround:
    """A fit, and where it may be believed.

    Attributes:
        colours: (H, W, 3) float32.
        holds: (H, W) bool, true where the surroundings agree with it.
        noise: standard deviation of the pixels around it, where it holds.
    """

    colours: np.ndarray
    holds: np.ndarray
    noise: float


def fit_smooth(pixels: np.ndarray, ink: np.ndarray, em: float, within: np.ndarray | None = None) -> SmoothGround:
    """Fit smooth ground through a crop (H, W, 3) float32 around ink (H, W) bool with so many pixels per em.

    Args:
        within: (H, W) bool, true in the text's own box: what lies outside says nothing of the ground under it.
    """
    height, width = ink.shape
    step = max(1.0, em / _CELLS)
    size = (max(1, round(width / step)), max(1, round(height / step)))
    reach = max(1, round(_APART * em))
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    known = 1 - cv2.dilate(ink.astype(np.uint8), kernel).astype(np.float32)
    if within is not None and np.count_nonzero(known[within]) < _LEAST * step**2:
        within = None
    if within is not None:
        known = np.where(within, known, np.float32(0))
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    cells = cv2.resize(pixels * known[..., None], size, interpolation=cv2.INTER_AREA)
    cells = cells / np.maximum(share, 1e-6)[..., None]
    away = cv2.distanceTransform((~ink).astype(np.uint8), cv2.DIST_L2, 3) / np.float32(em)
    quiet = (away > _QUIET[0]) & (away < _QUIET[1])
    beside = (away > 0) & (away < _CLOSE)
    away = cv2.resize(away, size, interpolation=cv2.INTER_AREA)
    weight = np.where(share > 0.5, share, np.float32(0)) * _say(away)
    if np.count_nonzero(weight > 0.05) < 6:
        return SmoothGround(pixels, np.zeros(ink.shape, dtype=bool), 0.0)
    scale = em * size[0] / width  # cells to an em
    fitted = _fit(cells, weight, away, scale)
    colours = cv2.resize(fitted, (width, height), interpolation=cv2.INTER_LINEAR)
    close = beside & (known > 0)
    astray = _astray(pixels, colours, close)
    if astray > _WRONG:
        inside = weight * (away < _CLOSE) * (distance(cells, fitted) > _OTHER)
        if np.count_nonzero(inside > 0.05) >= 6:
            again = _fit(cells, inside, away, scale)
            wide = cv2.resize(again, (width, height), interpolation=cv2.INTER_LINEAR)
            if _astray(pixels, wide, close) < _BETTER * astray:
                weight, fitted, colours = inside, again, wide
    off = total(np.abs(cells - fitted)) / 3
    both = np.dstack([weight * (off < _HOLDS), weight])
    support = cv2.GaussianBlur(both, (0, 0), _AROUND * scale)
    holds = (support[..., 0] > _SUPPORT * support[..., 1]) & (support[..., 1] > 1e-6)
    believed = cv2.resize(holds.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    if within is not None:  # beyond its box is other ground, whose difference is no noise
        edge = 2 * max(1, round(_EDGE * em)) + 1
        believed &= cv2.dilate(within.astype(np.uint8), np.ones((edge, edge), np.uint8)) > 0
        quiet &= within
    return SmoothGround(colours, believed, _noise(pixels, colours, believed & quiet))


def _astray(pixels: np.ndarray, colours: np.ndarray, where: np.ndarray) -> float:
    """The share of pixels (H, W, 3) there (H, W) bool that are far off a fit."""
    count = np.count_nonzero(where)
    return np.count_nonzero((distance(pixels, colours) > _OTHER) & where) / count if count else 0.0


def _fit(cells: np.ndarray, weight: np.ndarray, away: np.ndarray, scale: float) -> np.ndarray:
    """Colours (h, w, 3) that most cells agree with; `scale` is cells to an em, `away` ems from ink."""
    fitted = _plane(cells, weight)
    for around, border in _LEVELS:
        fitted = fitted + _correction(cells - fitted, weight, border, around * scale)
    failing = _failing(cells - fitted, np.where(away < _DOUBTFUL, np.float32(0), weight), scale)
    if failing.any():
        for around, border in _FINER:
            fitted = fitted + failing * _correction(cells - fitted, weight, border, around * scale)
    return fitted.astype(np.float32)


def _say(away: np.ndarray) -> np.ndarray:
    """How much cells (h, w) that are so many ems away from ink say of the ground under it."""
    say = np.exp(-np.maximum(away - _NEAR, 0) / _FADES)
    return np.where(away < _DOUBTFUL, np.float32(0.35), say).astype(np.float32)


def _correction(off: np.ndarray, weight: np.ndarray, border: float, around: float) -> np.ndarray:
    """What a neighbourhood of so many cells lies off the fit, on average over those that roughly agree: (h, w, 3)."""
    agreed = weight * _biweight(off, border)
    blurred = cv2.GaussianBlur(np.dstack([off * agreed[..., None], agreed]), (0, 0), around)
    return blurred[..., :3] / (blurred[..., 3:] + _DRAG / around**2)


def _failing(off: np.ndarray, weight: np.ndarray, scale: float) -> np.ndarray:
    """Where (h, w, 1) a fit through neighbourhoods fails, though perhaps not by so much as an edge: 0 to 1."""
    far = largest(np.abs(off)).clip(0, _FINER[0][1])
    blurred = cv2.GaussianBlur(np.dstack([far * weight, weight]), (0, 0), 0.6 * scale)
    mean = blurred[..., 0] / np.maximum(blurred[..., 1], 1e-6)
    return ((mean - _FAILS[0]) / (_FAILS[1] - _FAILS[0])).clip(0, 1)[..., None]


def _plane(cells: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The plane of colours (h, w, 3) that most cells agree with, of some through three cells each."""
    rng = np.random.default_rng(0)  # the same crop has the same ground
    rows, columns = np.nonzero(weight > 0.05)
    say = weight[rows, columns]
    chosen = rng.choice(len(rows), size=min(600, len(rows)), replace=False, p=say / say.sum(dtype=np.float64))
    rows, columns, say = rows[chosen], columns[chosen], say[chosen]
    places = np.stack([np.ones(len(rows)), rows / weight.shape[0], columns / weight.shape[1]], axis=1)
    colours = cells[rows, columns].astype(np.float64)
    triples = rng.integers(0, len(rows), (_TRIALS, 3))
    corners = places[triples]  # (trials, 3, 3)
    steep = np.abs(np.linalg.det(corners)) < 0.02  # almost on one line: a plane of one colour instead
    corners[steep] = np.eye(3)
    planes = np.linalg.solve(corners, colours[triples])
    planes[steep] = 0
    planes[steep, 0] = colours[triples[steep, 0]]
    off = largest(np.abs(places @ planes - colours))  # (trials, cells)
    best = planes[int(np.argmax(((1 - off / _PLANE).clip(0) * say).sum(axis=1)))]
    for border in (2 * _PLANE, _PLANE):
        agreed = say * _biweight((places @ best - colours)[None], border)[0]
        if np.count_nonzero(agreed) >= 6:
            root = np.sqrt(agreed)[:, None]
            best = np.linalg.lstsq(places * root, colours * root, rcond=None)[0]
    down, across = np.indices(weight.shape)
    grid = np.stack([np.ones(weight.shape), down / weight.shape[0], across / weight.shape[1]], axis=2)
    return (grid @ best).astype(np.float32)


def _biweight(off: np.ndarray, border: float) -> np.ndarray:
    """Tukey's weights of differences of colours (..., 3)."""
    far = largest(np.square(off / np.float32(border)))
    return np.square(1 - far.clip(0, 1))


def as_colour(values: np.ndarray) -> Colour:
    """Red, green and blue (3,) as plain numbers."""
    red, green, blue = (float(level) for level in values)
    return red, green, blue


def distance(pixels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far colours (..., 3) are from others, in the channel in which they are farthest: (...)."""
    return largest(np.abs(pixels - others))


def largest(values: np.ndarray) -> np.ndarray:
    """The largest of three channels (..., 3); numpy's own maximum over so short an axis takes five times as long."""
    answer: np.ndarray = np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2])
    return answer


def length(values: np.ndarray) -> np.ndarray:
    """The Euclidean length of colours or their differences (..., 3); `numpy.linalg.norm` takes ten times as long."""
    answer: np.ndarray = np.sqrt(total(np.square(values)))
    return answer


def total(values: np.ndarray) -> np.ndarray:
    """The sum of three channels (..., 3), which numpy's own over so short an axis is slow at too."""
    answer: np.ndarray = values[..., 0] + values[..., 1] + values[..., 2]
    return answer


def under(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) where a mask (H, W) is set, row by row: (N, 3); numpy's own indexing takes twice as long."""
    return np.take(values.reshape(-1, values.shape[2]), np.flatnonzero(mask), axis=0)


def _noise(pixels: np.ndarray, colours: np.ndarray, where: np.ndarray) -> float:
    """Robust standard deviation of pixels around a ground, 0 where nothing is known."""
    off = under(pixels - colours, where)
    return 1.4826 * float(np.median(np.abs(off))) if off.size else 0.0
