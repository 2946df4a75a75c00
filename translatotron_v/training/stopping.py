"""When a run ends before its steps do: after so much time, or when its own validation stops getting better."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translatotron_v.checkpoint import INFO_FILE, read_info
from translatotron_v.config import TrainerConfig
from translatotron_v.errors import UserError
from translatotron_v.training.reporting import read_entries
from translatotron_v.training.schedule import progress

BEST = "best"  # folder of a run that keeps the weights of its best evaluation
_ERRORS = ("cer", "loss", "error", "mse", "distance")  # parts of names of scores that fall as a model gets better


def is_better(name: str, value: float, than: float) -> bool:
    """Whether a score of that name is better than another: smaller for errors and losses, larger for all else."""
    return value < than if any(part in name for part in _ERRORS) else value > than


def finished(info: Mapping[str, Any], config: TrainerConfig) -> bool:
    """Whether a run whose ``final`` weights say ``info`` has come to its end under these settings."""
    done = progress(
        info["step"],
        config.steps,
        info["elapsed_seconds"],
        config.minutes,
        info.get("loop_cpu_seconds", 0.0),
        config.cpu_seconds,
    )
    return done >= 1.0 or 0 < config.patience <= info.get("without_gain", 0)


class Watch:
    """Which evaluation of a run was the best by ``trainer.watch``, and how many there have been since.

    All that it knows lies in the run's folder, so that a run that resumes ends where it would have ended.

    Args:
        config: ``patience`` above 0 switches it on.
        folder: of the run.
    """

    def __init__(self, config: TrainerConfig, folder: Path) -> None:
        self.config, self.folder = config, folder

    @property
    def best(self) -> dict[str, Any] | None:
        """What the checkpoint of the best evaluation says; None before there is one."""
        path = self.folder / BEST
        return read_info(path) if (path / INFO_FILE).is_file() else None

    def gains(self, metrics: Mapping[str, float]) -> bool:
        """Whether these scores are the best so far.

        Raises:
            UserError: the score that is watched is none of them.
        """
        name = self.config.watch
        if name not in metrics:
            raise UserError(f"trainer.watch: this stage's evaluation has no {name!r}; it has {', '.join(metrics)}")
        best = self.best
        return best is None or is_better(name, metrics[name], best["metrics"][name])

    def without_gain(self) -> int:
        """Evaluations since the best one."""
        best = self.best
        if best is None:
            return 0
        later = {
            entry["step"]
            for entry in read_entries(self.folder)
            if entry["kind"] == "evaluation" and entry["step"] > best["step"]
        }
        return len(later)

    def is_over(self) -> bool:
        """Whether as many evaluations as ``trainer.patience`` have brought nothing."""
        return 0 < self.config.patience <= self.without_gain()
