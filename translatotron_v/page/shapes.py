"""The shapes of ink: how heavy, slanted, spaced and sharp it is.

Ink is coverage (H, W) in [0, 1], float32. Lengths are pixels of the array at hand unless they are said to be ems.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from translatotron_v.page.strips import BASELINE, EM, LINE

_HALF = 0.5  # coverage at which an edge lies
_VALLEY = 0.6  # coverage between two strokes falls below this share of the lower of them
_FAINT = 0.15  # coverage up to which a column counts as empty
_LONGEST = 0.42  # ems; longer runs of ink are bars, not stems
_STEM_EM = 48.0  # pixels per em at which stems are measured at most,
_GAP_EM = 60.0  # gaps are counted in columns of so many an em at least
_SLANT_EM = 32.0  # and slants
_STEEPEST, _ANGLE_STEP = 40.0, 0.5  # degrees from upright within which edges tell the slant, and of the histogram
_ANGLES = np.arange(-_STEEPEST + _ANGLE_STEP / 2, _STEEPEST, _ANGLE_STEP)
_MOST_SLANT = 24.0  # degrees
_ANGLE_SPREAD = 3.0  # degrees (standard deviation) by which the histogram is smoothed
_STANDING = 0.5  # share of the strongest direction's edges that have a likelier one where those are diagonals
_LIKELY = (-3.0, 16.0)  # degrees that type leans; what seems to lean otherwise are the diagonals of "A", "W" and "v"
_MOST_RAMP = 12  # pixels that an edge may be wide to be measured


@dataclass(frozen=True)
class Line:
    """A line of text: its ink (H, W), the row on which its letters stand (an edge), and its size in pixels per em."""

    ink: np.ndarray
    baseline: float
    em: float

    def at_most(self, em: float) -> "Line":
        """The line no larger than so many pixels per em."""
        scale = em / self.em
        if scale >= 1:
            return self
        height, width = self.ink.shape
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        ink = cv2.resize(self.ink, size, interpolation=cv2.INTER_AREA)
        return Line(ink, self.baseline * size[1] / height, self.em * size[1] / height)


def strip_line(words: Sequence[np.ndarray]) -> Line:
    """Words (32, w) as one line at a strip's size, an ordinary gap apart."""
    gap = np.zeros((LINE, 7), dtype=np.float32)
    parts = [part for word in words for part in (gap, word)]
    return Line(np.concatenate([*parts, gap], axis=1), BASELINE, EM)


def stem_width(lines: Sequence[Line]) -> float:
    """How wide the stems of text are, in ems; 0 where there are none.

    The rows between baseline and x-height are cut into runs, one for each stroke that they cross; the middle one of
    what the runs hold is the answer. What a run holds is its stroke's width however blurred it is.
    """
    held: list[np.ndarray] = []
    for line in lines:
        line = line.at_most(_STEM_EM)
        top, bottom = round(line.baseline - 0.46 * line.em), round(line.baseline - 0.06 * line.em)
        band = line.ink[max(top, 0) : max(bottom, top + 1, 0)]
        if band.size:
            held.append(_runs(band) / line.em)
    widths = np.concatenate(held) if held else np.zeros(0)
    widths = widths[(widths > 0.012) & (widths < _LONGEST)]
    return float(np.median(widths)) if len(widths) else 0.0


def _runs(band: np.ndarray) -> np.ndarray:
    """What the strokes hold that each row of a band (H, W) crosses, cut at valleys between them."""
    padded = np.pad(band, ((0, 0), (1, 1)))
    flat = padded.ravel()
    peaks = flat[1:-1][(flat[1:-1] >= flat[:-2]) & (flat[1:-1] > flat[2:]) & (flat[1:-1] > 0.2)]
    if not len(peaks):
        return np.zeros(0)
    low = _VALLEY * min(float(np.quantile(peaks, 0.5)), 1.0)
    valley = np.concatenate([[True], (flat[1:-1] <= flat[:-2]) & (flat[1:-1] < flat[2:]) & (flat[1:-1] < low), [True]])
    # Of a flat valley its right end counts; empty columns between strokes are a valley of their own.
    sums = np.add.reduceat(flat, np.flatnonzero(valley))
    highest = np.maximum.reduceat(flat, np.flatnonzero(valley))
    return sums[highest > low]


def slant(lines: Sequence[Line]) -> float:
    """How far text leans to the right, in degrees: the direction that most of its steep edges have.

    The histogram of the gradients' directions, weighted by their squares, has its peak where the stems are; what is
    round adds as much on either side.
    """
    histogram = np.zeros(len(_ANGLES))
    for line in lines:
        histogram += _directions(line.at_most(_SLANT_EM))
    if not histogram.any():
        return 0.0
    smooth = np.exp(-0.5 * np.square(np.arange(-20, 21) * _ANGLE_STEP / _ANGLE_SPREAD))
    smoothed = np.convolve(histogram, smooth, "same")
    best = int(np.argmax(np.where(np.abs(_ANGLES) <= _MOST_SLANT, smoothed, -1)))
    least, most = _LIKELY
    if not 2 * least < _ANGLES[best] < most:
        peaks = (smoothed >= np.roll(smoothed, 1)) & (smoothed >= np.roll(smoothed, -1))
        likely = np.where(peaks & (np.abs(_ANGLES - (least + most) / 2) < (most - least) / 2), smoothed, -1)
        if likely.max() > _STANDING * smoothed[best]:
            best = int(np.argmax(likely))
    about = np.abs(_ANGLES - _ANGLES[best]) <= _ANGLE_SPREAD
    return float((_ANGLES * smoothed)[about].sum() / smoothed[about].sum())


def _directions(line: Line) -> np.ndarray:
    """How strong the edges of each of `_ANGLES` are on a line."""
    top, bottom = round(line.baseline - 0.8 * line.em), round(line.baseline + 0.25 * line.em)
    ink = line.ink[max(top, 0) : max(bottom, 1)]
    if not ink.size:
        return np.zeros(len(_ANGLES))
    up, smooth = (2, 0.055) if line.em > 20 else (4, 0.07)  # the fewer pixels a letter has, the more its grid tells
    if up > 1:
        ink = cv2.resize(ink, None, fx=up, fy=up, interpolation=cv2.INTER_CUBIC)
    ink = cv2.GaussianBlur(ink, (0, 0), max(smooth * line.em * up, 0.6))
    across, down = cv2.Scharr(ink, cv2.CV_32F, 1, 0), cv2.Scharr(ink, cv2.CV_32F, 0, 1)
    strength = np.square(across) + np.square(down)
    angles = np.degrees(np.arctan2(down * np.sign(across), np.abs(across) + 1e-9))
    edges = (np.abs(angles) < _STEEPEST) & (strength > 0.04 * strength.max(initial=0.0))
    found, _ = np.histogram(
        angles[edges], bins=len(_ANGLES), range=(-_STEEPEST, _STEEPEST), weights=strength[edges].astype(np.float64)
    )
    return found


def letter_gaps(lines: Sequence[Line]) -> np.ndarray:
    """The widths of all empty stretches between ink on lines, in ems, sorted."""
    found = [np.zeros(0)]
    for line in lines:
        held = line.ink.max(axis=0, initial=0.0)
        up = max(math.ceil(_GAP_EM / line.em), 1)
        held = cv2.resize(held[None], None, fx=up, fy=1, interpolation=cv2.INTER_LINEAR)[0] if up > 1 else held
        steps = np.diff(np.flatnonzero(held > _FAINT)) - 1
        found.append(steps[steps > 0] / (up * line.em))
    return np.sort(np.concatenate(found))


def edge_width(ink: np.ndarray) -> float:
    """Over how many pixels steep edges rise from a tenth of full ink to nine tenths, the middle one; 0: none."""
    rows, columns = np.nonzero((ink[1:-1, :-1] < _HALF) & (ink[1:-1, 1:] >= _HALF))
    rows = rows + 1
    steep = np.abs(ink[rows + 1, columns] - ink[rows - 1, columns]) < 0.2
    steep &= np.abs(ink[rows + 1, columns + 1] - ink[rows - 1, columns + 1]) < 0.2
    rows, columns = rows[steep], columns[steep]
    padded = np.pad(ink, ((0, 0), (_MOST_RAMP, _MOST_RAMP)))
    columns = columns + _MOST_RAMP

    def reach(start: np.ndarray, step: int, level: float) -> np.ndarray:
        """How far from a pixel on one side of the edge it first passes a level, in pixels; nan: not monotonously."""
        place = np.full(len(rows), np.nan)
        open_ = np.ones(len(rows), dtype=bool)
        here = padded[rows, start]
        for number in range(_MOST_RAMP - 1):
            following = padded[rows, np.clip(start + step * (number + 1), 0, padded.shape[1] - 1)]
            passed = open_ & ((here - level) * (following - level) <= 0) & (here != following)
            place[passed] = number + ((here - level) / (here - following + 1e-9))[passed]
            open_ &= ~passed & ((following - here) * step >= -0.02)
            here = following
        return place

    rising = reach(columns + 1, -1, 0.1) + reach(columns, 1, 0.9) - 1
    rising = rising[~np.isnan(rising)]
    return float(np.median(rising)) if len(rising) else 0.0
