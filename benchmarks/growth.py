"""How generation grows: seconds and memory against the number of image tokens, against the batch, against the position.

The image decoder of the paper's size alone, with random weights, over a page's 1,025 image states and 150 characters.
Each point is a process of its own (``growth_point.py``), so that its peak memory is its own.
"""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.growth_point import BATCH_TOKENS, BATCHES, GRIDS, Point
from benchmarks.models import ROOT
from benchmarks.process import say
from benchmarks.results import Measure, Settings

LINEAR = 1.15  # largest exponent that counts as close to linear


def cases(settings: Settings) -> list[str]:
    """One process, which starts one for each point."""
    return ["tokens and batch"]


def run(case: str, settings: Settings) -> list[Measure]:
    """Measure, and plot where a folder is given."""
    sizes, batches = ([64, 256], [1, 2]) if settings.quick else (list(GRIDS), list(BATCHES))
    by_tokens = [point(size, 1, True, settings) for size in sizes]
    fixed = sizes[0] if settings.quick else BATCH_TOKENS
    by_batch = [point(fixed, batch, False, settings) for batch in batches]
    if settings.plots:
        from benchmarks.plots import plot_growth

        plot_growth(settings.plots, by_tokens, by_batch)
    return _measures(by_tokens, by_batch)


def point(tokens: int, batch: int, uncached: bool, settings: Settings) -> Point:
    """One generation, in a process of its own."""
    say(f"{tokens} tokens, batch {batch}")
    wanted = json.dumps({"tokens": tokens, "batch": batch, "uncached": uncached})
    command = [sys.executable, "-m", "benchmarks.growth_point", wanted, json.dumps(asdict(settings))]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Point(**json.loads(answer))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The power of the size that the value grows with: least squares on logarithms."""
    xs, ys = [math.log(size) for size in sizes], [math.log(value) for value in values]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean_x) ** 2 for x in xs)


def _measures(by_tokens: list[Point], by_batch: list[Point]) -> list[Measure]:
    sizes = [each.tokens for each in by_tokens]
    cached = exponent(sizes, [each.seconds for each in by_tokens])
    without = exponent(sizes, [each.uncached for each in by_tokens])
    tokens = ", ".join(f"{each.tokens}: {each.seconds:.2f} s ({each.uncached:.1f})" for each in by_tokens)
    batches = ", ".join(
        f"{each.batch}: {each.seconds / each.batch:.2f} s, {1e3 * each.memory:.0f} MB" for each in by_batch
    )
    one, most = by_batch[0], by_batch[-1]
    measures = [
        Measure(
            "tokens: seconds grow with the power",
            cached,
            "",
            target=LINEAR,
            note=f"tokens: seconds (cache off, power {without:.2f}): {tokens}",
            details={"points": [asdict(each) for each in by_tokens], "uncached_exponent": without},
        ),
        Measure(
            f"batch {most.batch}: times the seconds of one",
            most.seconds / one.seconds,
            "x",
            note=f"{one.tokens} tokens, a picture at batch {batches} above the weights",
            details={"points": [asdict(each) for each in by_batch]},
        ),
    ]
    steps = by_tokens[-1].steps
    if steps:
        tenth = max(1, len(steps) // 10)
        first, last = (sorted(part)[len(part) // 2] for part in (steps[1 : 1 + tenth], steps[-tenth:]))
        note = f"milliseconds a token: first tenth {1e3 * first:.1f}, last tenth {1e3 * last:.1f}"
        measures.append(Measure("last tokens: times the first ones", last / first, "x", note=note))
    return measures
