"""How far a run has come, and the learning rate that follows from it."""

import math


def progress(
    step: int,
    steps: int,
    elapsed: float = 0.0,
    minutes: float | None = None,
    cpu: float = 0.0,
    cpu_seconds: float | None = None,
) -> float:
    """The share of a run that is done, 0 to 1.

    Args:
        step: optimizer steps taken.
        steps: at which the run ends at the latest.
        elapsed: seconds of wall-clock time.
        minutes: after which the run ends, if its steps do not end first.
        cpu: CPU seconds of the loop.
        cpu_seconds: after so many of which the run ends, if nothing else ends it first.
    """
    done = step / steps
    if minutes is not None:
        done = max(done, elapsed / (60.0 * minutes))
    if cpu_seconds is not None:
        done = max(done, cpu / cpu_seconds)
    return min(1.0, done)


def learning_rate_factor(
    step: int, done: float, warmup_steps: int, decay: str, power: float = 1.0, decay_from: float = 0.0
) -> float:
    """What the peak learning rate is multiplied with: warm-up times decay.

    Linear warm-up over ``warmup_steps``, min(1, (step + 1) / warmup_steps), times a decay of the progress ``done``:
    "constant" 1, "polynomial" (1 - done)^power, "cosine" (1 + cos(pi done)) / 2. The decay knows only the progress, so
    that the same formula serves runs bounded by time. It begins at the progress ``decay_from``, before which the rate
    is constant ("warmup-stable-decay", Hu et al. 2024).

    Args:
        step: optimizer steps taken before this one.
        done: progress before this step, 0 to 1.
    """
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps > 0 else 1.0
    done = max(0.0, done - decay_from) / (1.0 - decay_from)
    if decay == "constant":
        return warmup
    if decay == "polynomial":
        return warmup * (1.0 - done) ** power
    if decay == "cosine":
        return warmup * 0.5 * (1.0 + math.cos(math.pi * done))
    raise ValueError(f"unknown decay {decay!r}")
