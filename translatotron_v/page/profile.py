"""Size and baseline of lines of text, from how much ink each row of pixels holds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Bounds = tuple[float, float, float, float]  # left, top, right, bottom in pixels

EM_PER_HEIGHT = 1 / 1.12  # pixels per em of a line for each pixel of its box's height, on average over families

# How much ink a line of text has at each height, from 1.05 em above the baseline to 0.35 em below it in steps of
# 0.05 em: the average over seven families of mixed text in two languages, and of text in capitals and digits.
_TOP, _STEP = -1.05, 0.05
_MIXED = [0, 0, 0, 0.001, 0.001, 0.021, 0.147, 0.208, 0.157, 0.155, 0.778, 1, 0.663, 0.61]
_MIXED += [0.686, 0.801, 0.589, 0.564, 0.598, 0.846, 0.951, 0.073, 0.026, 0.043, 0.053, 0.011, 0, 0]
_CAPITALS = [0, 0, 0.001, 0.009, 0.009, 0.001, 0.391, 1, 0.756, 0.575, 0.561, 0.565, 0.663, 0.841]
_CAPITALS += [0.709, 0.602, 0.622, 0.582, 0.583, 0.839, 0.971, 0.03, 0.003, 0.003, 0.001, 0, 0, 0]
_TOTALS = [np.concatenate([[0.0], np.cumsum(profile)]) for profile in (_MIXED, _CAPITALS)]
_GRID = _TOP + _STEP * np.arange(len(_MIXED) + 1)  # heights at which the totals hold, ems below the baseline
BELOW_CENTRE = 0.27  # ems from the middle of a line's box down to its baseline
_POWER = 0.6  # of ink, so that ascenders and descenders, which tell mixed text from capitals, count for more
_CAPITALS_RARER = 0.985  # what a fit with the profile of capitals counts for beside one with that of mixed text
_TOO_SMALL = 1.03  # sizes come out so much too small on average, since x-heights are rounded and ink is blurred
_SIZES = np.exp(np.arange(-0.5, 0.5, 0.02))  # sizes that are tried, as shares of what the boxes suggest
_COARSE = 3  # every so many sizes are tried first, then those around the best two
_ENOUGH = 24.0  # pixels per em that a profile needs no more of
# How far and how dearly the ink may contradict the boxes, and how dearly at most: some are half as high again.
_SIZE_SPREAD, _SIZE_WEIGHT, _SIZE_MOST = 0.2, 0.006, 0.02


@dataclass(frozen=True)
class Setting:
    """How a block is set, in pixels of its crop.

    Attributes:
        em: pixels per em.
        baselines: for each row, the edge on which its letters stand.
        fit: how well the ink's profile agrees with that of text, in [0, 1]; below about 0.8 it may be no text.
    """

    em: float
    baselines: tuple[float, ...]
    fit: float

    @property
    def pitch(self) -> float:
        """From one baseline to the next; 1.2 ems where there is only one."""
        steps = np.diff(self.baselines)
        return float(np.median(steps)) if len(steps) else 1.2 * self.em


def measure(ink: np.ndarray, rows: Sequence[Bounds]) -> Setting:
    """Size and baselines of a block's lines from the profile of their ink.

    Every size is compared with how much ink text of that size has at each height, all lines together, since they are
    of one size; for each line the better of mixed text and capitals counts.

    Args:
        text_alpha: coverage (h, w) of the block's crop.
        rows: the box of each line in the crop.
    """
    guess = float(np.median([bottom - top for _, top, _, bottom in rows])) * EM_PER_HEIGHT
    bins = max(1, int(guess // _ENOUGH))  # rows that are counted as one: large text is not known better by more rows
    windows = [_profile(ink, rows, index, guess, bins) for index in range(len(rows))]
    scaled = [(left, top / bins, right, bottom / bins) for left, top, right, bottom in rows]
    guess /= bins
    weights = np.array([math.sqrt(max(right - left, 1.0)) for left, _, right, _ in rows])
    weights = weights / weights.sum()

    def score(size: float) -> float:
        fits = [_fit(*window, row, size * guess)[0] for window, row in zip(windows, scaled, strict=True)]
        return float(weights @ fits) - min(_SIZE_WEIGHT * (math.log(size) / _SIZE_SPREAD) ** 2, _SIZE_MOST)

    scores = np.full(len(_SIZES), -math.inf)
    scores[::_COARSE] = [score(size) for size in _SIZES[::_COARSE]]
    for peak in np.argsort(scores)[-2:]:
        for place in range(max(peak - _COARSE, 0), min(peak + _COARSE + 1, len(_SIZES))):
            scores[place] = score(_SIZES[place]) if scores[place] == -math.inf else scores[place]
    best = int(np.argmax(scores))
    em = guess * float(_SIZES[best] * math.exp(0.02 * _peak(scores, best)))
    fits = [_fit(*window, row, em) for window, row in zip(windows, scaled, strict=True)]
    fit = float(weights @ [score for score, _ in fits])
    return Setting(em * bins * _TOO_SMALL, tuple(base * bins for _, base in fits), fit)


def _profile(ink: np.ndarray, rows: Sequence[Bounds], index: int, em: float, bins: int) -> tuple[float, np.ndarray]:
    """The ink around one line, up to halfway to its neighbours, in bins of crop rows, and in which bin it begins."""
    left, _, right, _ = rows[index]
    middles = [(top + bottom) / 2 for _, top, _, bottom in rows]
    top, bottom = middles[index] - 1.2 * em, middles[index] + 1.2 * em
    if index:
        top = max(top, (middles[index] + middles[index - 1]) / 2 - 0.1 * em)
    if index + 1 < len(rows):
        bottom = min(bottom, (middles[index] + middles[index + 1]) / 2 + 0.1 * em)
    first = max(math.floor(top), 0)
    window = ink[first : max(math.ceil(bottom), first + 1), max(int(left), 0) : math.ceil(right)]
    found = window.sum(axis=1, dtype=np.float64)
    binned = np.pad(found, (0, -len(found) % bins)).reshape(-1, bins).sum(axis=1)
    return first / bins, binned**_POWER


def _fit(start: float, profile: np.ndarray, row: Bounds, em: float) -> tuple[float, float]:
    """The best cosine between a line's profile and that of text of a size, and the baseline at which it is reached.

    Baselines are tried in steps of a whole part of a row, so that what the model says of any row under any baseline
    lies on one lattice: it is computed once.
    """
    expected = (row[1] + row[3]) / 2 + BELOW_CENTRE * em
    norm = float(np.linalg.norm(profile))
    if norm < 1e-6:
        return 0.0, expected
    parts = max(4, math.ceil(40 / em))  # steps to a row
    reach = int(0.4 * em * parts)
    count = 2 * reach + 1
    lattice = (start - expected + np.arange(-reach, parts * len(profile) + reach + 1) / parts) / em
    scores = np.zeros(count)
    for total, worth in zip(_TOTALS, (1.0, _CAPITALS_RARER), strict=True):
        below = np.interp(lattice, _GRID, total)
        model = (below[parts:] - below[:-parts]) ** _POWER
        # (bases, rows), lowest first: windows on the model, as `sliding_window_view` makes them more slowly
        shape = len(model) - parts * (len(profile) - 1), len(profile)
        by_base = np.ndarray(shape, model.dtype, model, 0, (model.itemsize, parts * model.itemsize))
        # Rows of the model outside the window count too: text does not end where the picture of it does.
        outside = _outside(below[:count], total[-1] - below[-count:], em)
        whole = np.sqrt(np.einsum("br,br->b", by_base, by_base) + outside)
        scores = np.maximum(scores, worth * (by_base @ profile) / (norm * np.maximum(whole, 1e-9)))
    scores = scores[::-1]
    best = int(np.argmax(scores))
    return float(scores[best]), expected + (best - reach + _peak(scores, best)) / parts


def _outside(above: np.ndarray, below: np.ndarray, em: float) -> np.ndarray:
    """The square sum of a model's rows above and below a window, as if its ink there were even over half an em."""
    rows = max(em / 2, 1.0)
    return rows * (np.square((above / rows) ** _POWER) + np.square((below / rows) ** _POWER))


def _peak(values: np.ndarray, index: int) -> float:
    """Where between its neighbours a peak really lies: the top of the parabola through three values, in steps."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, here, after = values[index - 1 : index + 2].tolist()
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else 0.5 * (before - after) / bend
