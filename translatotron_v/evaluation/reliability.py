"""Fitting scores to probabilities, and how well these hold: expected calibration error and reliability diagram."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from translatotron_v.errors import UserError
from translatotron_v.inference.certainty import FEATURES, Calibration

BINS = 10
_RIDGE = 1e-2  # on standardised features: keeps the weights finite where a feature tells right from wrong
_RISING = ("reading", "text")  # features whose weights may not be negative
_STEPS = 100
_PIXELS_PER_INCH = 150


@dataclass(frozen=True)
class Bin:
    """Answers whose probabilities lie in one tenth of [0, 1]."""

    count: int
    expected: float  # mean probability
    right: float  # share that is right


def reliability(probabilities: Sequence[float], right: Sequence[bool], bins: int = BINS) -> list[Bin]:
    """Answers sorted by their probabilities into bins of equal width; an empty one has a count of 0."""
    values, hits = np.asarray(probabilities, dtype=float), np.asarray(right, dtype=float)
    if values.shape != hits.shape or not len(values):
        raise ValueError(f"{len(values)} probabilities and {len(hits)} answers: give as many, at least one")
    places = np.minimum((values * bins).astype(int), bins - 1)
    found = []
    for number in range(bins):
        inside = places == number
        count = int(inside.sum())
        found.append(Bin(count, float(values[inside].mean()), float(hits[inside].mean())) if count else Bin(0, 0, 0))
    return found


def expected_calibration_error(probabilities: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """ECE (Naeini et al. 2015): how far shares and mean probabilities of bins lie apart, weighted by their counts."""
    found = reliability(probabilities, right, bins)
    total = sum(one.count for one in found)
    return sum(one.count / total * abs(one.right - one.expected) for one in found)


def fit(values: Sequence[Sequence[float]], right: Sequence[bool]) -> Calibration:
    """Logistic regression of answers on their features, by Newton's method.

    Platt's (1999) smoothed targets keep it from certainty that so many answers cannot give. A score whose weight comes
    out negative is left out, so that the map never falls where a score rises.

    Args:
        values: (N, 3), as `certainty.features` gives them.
        right: (N,).

    Raises:
        UserError: all answers are right, or none is.
    """
    points, hits = np.asarray(values, dtype=float), np.asarray(right, dtype=bool)
    good = int(hits.sum())
    if good in (0, len(hits)):
        raise UserError(f"{'none' if good == 0 else 'every one'} of {len(hits)} answers is right: nothing to calibrate")
    targets = np.where(hits, (good + 1) / (good + 2), 1 / (len(hits) - good + 2))
    mean, scale = points.mean(0), points.std(0)
    free = scale > 1e-9
    while True:
        inputs = np.column_stack([np.ones(len(points)), ((points - mean) / np.where(free, scale, 1.0))[:, free]])
        found = _newton(inputs, targets)
        weights = np.zeros(len(FEATURES))
        weights[free] = found[1:] / scale[free]
        falling = [index for index, name in enumerate(FEATURES) if name in _RISING and weights[index] < 0]
        if not falling:
            bias = float(found[0] - weights @ mean)
            return Calibration(dict(zip(FEATURES, weights.tolist(), strict=True)), bias)
        free[falling] = False


def _newton(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Weights of the least cross-entropy with a ridge on all but the first."""
    ridge = _RIDGE * np.eye(inputs.shape[1])
    ridge[0, 0] = 0
    weights = np.zeros(inputs.shape[1])
    weights[0] = np.log(targets.mean() / (1 - targets.mean()))
    for _ in range(_STEPS):
        shares = 1 / (1 + np.exp(-np.clip(inputs @ weights, -700, 700)))
        slope = inputs.T @ (shares - targets) + ridge @ weights
        curvature = (inputs * (shares * (1 - shares) + 1e-9)[:, None]).T @ inputs + ridge
        step = np.linalg.solve(curvature, slope)
        weights -= np.clip(step, -2, 2)
        if float(np.abs(step).max()) < 1e-9:
            break
    return weights


def draw(found: Sequence[Bin], path: Path, title: str) -> None:
    """Write the reliability diagram as a picture; a UserError where the file cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    centres = [(index + 0.5) / len(found) for index in range(len(found))]
    full = [(centre, one) for centre, one in zip(centres, found, strict=True) if one.count]
    width = 0.9 / len(found)
    upper.bar([centre for centre, _ in full], [one.right for _, one in full], width, label="share right")
    upper.plot([one.expected for _, one in full], [one.right for _, one in full], "o", color="black", markersize=4)
    upper.plot([0, 1], [0, 1], "--", color="grey", label="as promised")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of answers that are right")
    upper.set_title(title, fontsize="medium")
    upper.legend(loc="upper left")
    lower.bar(centres, [one.count for one in found], width, color="grey")
    lower.set(xlabel="probability", ylabel="answers")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=_PIXELS_PER_INCH)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
