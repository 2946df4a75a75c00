"""The plot of how generation grows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth_point import Point

WINDOW = 32  # steps whose median is one point of the curve by position
POWERS = {0: "constant", 1: "linear", 2: "quadratic"}


def plot_growth(folder: str | Path, by_tokens: Sequence[Point], by_batch: Sequence[Point]) -> Path:
    """Write ``growth.png``: seconds and memory against tokens and batch, and seconds of a token by its position."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplot_mosaic([["a", "b", "e"], ["c", "d", "e"]], figsize=(13, 6.5), layout="constrained")
    sizes = [point.tokens for point in by_tokens]
    _curve(axes["a"], sizes, [point.seconds for point in by_tokens], "with caches", (1,))
    _curve(axes["a"], sizes, [point.uncached for point in by_tokens], "prefix recomputed", (2,))
    axes["a"].set(xlabel="image tokens", ylabel="CPU-seconds of a picture", title="Batch 1")
    _curve(axes["b"], sizes, [1e3 * point.memory for point in by_tokens], "with caches", (1,))
    axes["b"].set(xlabel="image tokens", ylabel="MB above the weights", title="Batch 1")
    batches = [point.batch for point in by_batch]
    _curve(axes["c"], batches, [point.seconds for point in by_batch], "the batch", (1,))
    _curve(axes["c"], batches, [point.seconds / point.batch for point in by_batch], "a picture", ())
    axes["c"].set(xlabel="batch", ylabel="CPU-seconds", title=f"{by_batch[0].tokens} tokens")
    _curve(axes["d"], batches, [1e3 * point.memory for point in by_batch], "with caches", (1,))
    axes["d"].set(xlabel="batch", ylabel="MB above the weights", title=f"{by_batch[0].tokens} tokens")
    _by_position(axes["e"], by_tokens[-1])
    for each in axes.values():
        each.legend()
    figure.suptitle("Image-token generation: decoder of the paper's size, float32, one thread")
    path = Path(folder) / "growth.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return path


def _curve(axes: Any, sizes: Sequence[int], values: Sequence[float], label: str, powers: Sequence[int]) -> None:
    """A curve on logarithmic axes, and from its first point dashed lines that grow with powers of the size."""
    values = [max(value, 1e-3) for value in values]  # nothing that was measured as nothing can be drawn there
    axes.loglog(sizes, values, "o-", label=label)
    for power in powers:
        _slope(axes, sizes, values[0], power)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()


def _slope(axes: Any, sizes: Sequence[float], start: float, power: int) -> None:
    style = {0: ":", 1: "--", 2: "-."}[power]
    reached = [start * (size / sizes[0]) ** power for size in sizes]
    axes.loglog(sizes, reached, style, color="grey", linewidth=1, label=POWERS[power])


def _by_position(axes: Any, point: Point) -> None:
    """Milliseconds of single tokens: medians over windows with caches, the sampled steps without."""
    places, medians = [], []
    for start in range(0, len(point.steps) - WINDOW + 1, WINDOW):
        steps = sorted(point.steps[start : start + WINDOW])
        places.append(start + WINDOW / 2)
        medians.append(1e3 * steps[WINDOW // 2])
    if medians:
        axes.loglog(places, medians, ".-", label="with caches")
        _slope(axes, places, medians[0], 0)
    axes.loglog(point.lengths, [1e3 * seconds for seconds in point.recomputed], "o-", label="prefix recomputed")
    _slope(axes, [256, point.tokens], 1e3 * point.recomputed[-1] * 256 / point.tokens, 1)
    axes.set(xlabel="position", ylabel="CPU-milliseconds of a token", title=f"One token, of {point.tokens}")
