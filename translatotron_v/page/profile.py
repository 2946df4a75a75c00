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
_PROFILES = np.array([_MIXED, _CAPITALS])
BELOW_CENTRE = 0.27  # ems from the middle of a line's box down to its baseline
_POWER = 0.6  # of ink, so that ascenders and descenders, which tell mixed text from capitals, count for more
_CAPITALS_RARER = 0.985  # what a fit with the profile of capitals counts for beside one with that of mixed text
_TOO_SMALL = 1.025  # sizes come out so much too small on average, since x-heights are rounded and ink is blurred
_SIZES = np.exp(np.arange(-0.5, 0.5, 0.02))  # sizes that are tried, as shares of what the boxes suggest
_SIZE_SPREAD, _SIZE_WEIGHT = 0.2, 0.01  # how far and how dearly the ink may contradict the boxes


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
    windows = [_profile(ink, rows, index, guess) for index in range(len(rows))]
    weights = np.array([math.sqrt(max(right - left, 1.0)) for left, _, right, _ in rows])
    weights = weights / weights.sum()
    penalty = _SIZE_WEIGHT * (np.log(_SIZES) / _SIZE_SPREAD) ** 2
    scores = -penalty
    for (start, profile), row, weight in zip(windows, rows, weights, strict=True):
        scores += weight * np.array([_fit(profile, start, row, size * guess)[0] for size in _SIZES])
    best = int(np.argmax(scores))
    em = guess * float(_SIZES[best] * math.exp(0.02 * _peak(scores, best)))
    fits = [_fit(profile, start, row, em) for (start, profile), row in zip(windows, rows, strict=True)]
    return Setting(em * _TOO_SMALL, tuple(base for _, base in fits), float(weights @ [score for score, _ in fits]))


def _profile(ink: np.ndarray, rows: Sequence[Bounds], index: int, em: float) -> tuple[int, np.ndarray]:
    """The ink of each crop row around one line, up to halfway to its neighbours, and the first of those rows."""
    left, _, right, _ = rows[index]
    middles = [(top + bottom) / 2 for _, top, _, bottom in rows]
    top, bottom = middles[index] - 1.2 * em, middles[index] + 1.2 * em
    if index:
        top = max(top, (middles[index] + middles[index - 1]) / 2 - 0.1 * em)
    if index + 1 < len(rows):
        bottom = min(bottom, (middles[index] + middles[index + 1]) / 2 + 0.1 * em)
    first = max(math.floor(top), 0)
    window = ink[first : max(math.ceil(bottom), first + 1), max(int(left), 0) : math.ceil(right)]
    return first, window.sum(axis=1, dtype=np.float64) ** _POWER


def _fit(profile: np.ndarray, start: int, row: Bounds, em: float) -> tuple[float, float]:
    """The best cosine between a line's profile and that of text of a size, and the baseline at which it is reached."""
    expected = (row[1] + row[3]) / 2 + BELOW_CENTRE * em
    norm = float(np.linalg.norm(profile))
    if norm < 1e-6:
        return 0.0, expected
    step = min(em / 40, 0.25)
    bases = expected + np.arange(-0.4 * em, 0.4 * em, step)
    edges = (start + np.arange(len(profile) + 1) - bases[:, None]) / em  # (bases, rows + 1), in ems
    grid = _TOP + _STEP * np.arange(_PROFILES.shape[1] + 1)
    scores = np.zeros(len(bases))
    for shares, worth in zip(_PROFILES, (1.0, _CAPITALS_RARER), strict=True):
        total = np.concatenate([[0], np.cumsum(shares)])
        model = np.diff(np.interp(edges, grid, total), axis=1) ** _POWER
        # Rows of the model outside the window count too: text does not end where the picture of it does.
        whole = np.sqrt(np.square(model).sum(axis=1) + _outside(edges, total, grid, em))
        scores = np.maximum(scores, worth * (model @ profile) / (norm * np.maximum(whole, 1e-9)))
    best = int(np.argmax(scores))
    return float(scores[best]), float(bases[best] + step * _peak(scores, best))


def _outside(edges: np.ndarray, total: np.ndarray, grid: np.ndarray, em: float) -> np.ndarray:
    """The square sum of a model's rows above and below a window, as if its ink there were even over half an em."""
    above = np.interp(edges[:, 0], grid, total)
    below = total[-1] - np.interp(edges[:, -1], grid, total)
    rows = max(em / 2, 1.0)
    return rows * (np.square((above / rows) ** _POWER) + np.square((below / rows) ** _POWER))


def _peak(values: np.ndarray, index: int) -> float:
    """Where between its neighbours a peak really lies: the top of the parabola through three values, in steps."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, here, after = values[index - 1 : index + 2].tolist()
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else 0.5 * (before - after) / bend
