"""What a run tells: one line of progress for people, metrics.jsonl for programs, TensorBoard and sample sheets."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from translatotron_v.errors import UserError


@dataclass
class Interval:
    """Sums of what was reported since the last log line; tensors stay on their device until they are shown."""

    started: float = 0.0  # seconds, by the run's clock
    steps: int = 0
    sums: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        """Take in the values of a step, or of a micro-batch."""
        for name, value in values.items():
            value = value.detach().float() if isinstance(value, Tensor) else float(value)
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, Any]:
        """The mean of each value over the times it was reported."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}


class Clock:
    """Wall-clock and CPU seconds of a run over all its resumes, data workers included.

    CPU time counts from the start of the process, or from the end of the previous run in the same process, so that
    imports and the preparation of the data are part of the cost.
    """

    _accounted = 0.0  # CPU seconds of this process that earlier runs have reported

    def __init__(self, elapsed: float = 0.0, cpu: float = 0.0, loop_cpu: float = 0.0) -> None:
        self._elapsed, self._cpu, self._loop_cpu = elapsed, cpu, loop_cpu
        self._started, self._begun_at = time.monotonic(), _cpu_seconds()

    def elapsed(self) -> float:
        """Seconds of wall-clock time inside the loop."""
        return self._elapsed + time.monotonic() - self._started

    def cpu(self) -> float:
        """CPU seconds."""
        return self._cpu + _cpu_seconds() - Clock._accounted

    def loop_cpu(self) -> float:
        """CPU seconds inside the loop: what runs of equal cost are compared by, whoever prepared their common data."""
        return self._loop_cpu + _cpu_seconds() - self._begun_at

    def stop(self) -> None:
        """The next run in this process counts from here."""
        Clock._accounted = _cpu_seconds()


def _cpu_seconds() -> float:
    times = os.times()
    total = time.process_time() + times.children_user + times.children_system
    with contextlib.suppress(psutil.Error):  # a worker may end while we look
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                spent = child.cpu_times()
                total += spent.user + spent.system
    return total


class Reporter:
    """Writes a run's log; with a terminal on stderr a progress bar, otherwise one plain line per report."""

    def __init__(self, folder: Path, steps: int, step: int, quiet: bool = False) -> None:
        """``step`` is where the run continues: later entries, of a life that was lost, are dropped.

        Args:
            folder: of the run.
            steps: at which the run ends at the latest.
            step: steps that are done.
            quiet: say and write nothing (all processes but the first).
        """
        self.folder, self.steps, self.quiet = folder, steps, quiet
        self._bar: tqdm[Any] | None = None
        if quiet:
            return
        from torch.utils.tensorboard import SummaryWriter

        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._drop_entries_after(step)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
        if sys.stderr.isatty():
            self._bar = tqdm(total=steps, initial=step, desc=folder.name, dynamic_ncols=True, unit="step")

    @property
    def metrics_file(self) -> Path:
        """One JSON object per line."""
        return self.folder / "metrics.jsonl"

    def tick(self) -> None:
        """One step is done."""
        if self._bar is not None:
            self._bar.update(1)

    def note(self, text: str) -> None:
        """A line for the person who watches."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()

    def training(self, step: int, metrics: Mapping[str, float], pace: Mapping[str, float], eta: float) -> None:
        """Report the means of an interval; ``pace`` holds learning rate, speed and cost, ``eta`` is in seconds."""
        if self.quiet:
            return
        self._append({"kind": "training", "step": step, **metrics, **pace})
        self._scalars("training", {**metrics, **pace}, step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        cost = f"{pace['steps_per_second']:.3g} steps/s  {pace['cpu_seconds']:.0f} CPU-s  ETA {_duration(eta)}"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{shown}  {cost}")
        else:
            self.note(f"step {step}/{self.steps}  {shown}  {cost}")

    def evaluation(self, step: int, metrics: Mapping[str, float], sheet: Image.Image | None, cost: float) -> None:
        """Report an evaluation; ``cost`` in CPU seconds so far."""
        if self.quiet:
            return
        self._append({"kind": "evaluation", "step": step, **metrics, "cpu_seconds": round(cost, 2)})
        self._scalars("evaluation", metrics, step)
        where = ""
        if sheet is not None:
            path = self.folder / "sheets" / f"step-{step:07d}.png"
            with _writing(path):
                path.parent.mkdir(exist_ok=True)
                sheet.save(path)
            where = f"  {path}"
        self.note(f"step {step}/{self.steps}  evaluation  {_listed(metrics)}{where}")

    def close(self) -> None:
        """Flush and close everything."""
        if self._bar is not None:
            self._bar.close()
        if not self.quiet:
            self._board.close()

    def _scalars(self, group: str, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._board.add_scalar(f"{group}/{name}", value, step)

    def evaluated_at(self, step: int) -> bool:
        """Whether the log holds an evaluation of this step."""
        return any(entry["step"] == step and entry["kind"] == "evaluation" for entry in read_entries(self.folder))

    def _append(self, entry: Mapping[str, Any]) -> None:
        with _writing(self.metrics_file), open(self.metrics_file, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _drop_entries_after(self, step: int) -> None:
        kept = [entry for entry in read_entries(self.folder) if entry["step"] <= step]
        aside = self.metrics_file.with_suffix(".tmp")
        with _writing(aside):
            aside.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
            aside.replace(self.metrics_file)


def read_entries(run_folder: Path) -> list[dict[str, Any]]:
    """The entries of a run's metrics.jsonl; a last line that a kill has cut short is left out."""
    path = run_folder / "metrics.jsonl"
    entries = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and "step" in entry:
                    entries.append(entry)
    return entries


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot write: {error.strerror or error}") from error


def _listed(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
