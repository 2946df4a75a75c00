"""What a benchmark hands back, and the one screen that shows it."""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from translatotron_v.evaluation import report

HEAD = ("", "measured", "target", "cache off", "ratio", "paper's code")


@dataclass(frozen=True)
class Settings:
    """What all benchmarks are told; it travels to their processes as JSON.

    Attributes:
        quick: small sizes, to see that everything works; the figures mean nothing.
        device: "cpu" or "cuda".
        pictures: in the folder of `workers`.
        rates: what ``machine`` has measured: "bandwidth" in bytes a second, "fp32", "bf16" and "int8" in FLOP a second.
    """

    quick: bool = False
    device: str = "cpu"
    pictures: int = 48
    rates: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """One figure: a row of the table.

    Attributes:
        value: ``None`` where it was left out; the note says why.
        target: what it should be at most, or at least with ``at_least``; ``None`` where none is set.
        uncached: the same figure of our own code without caches; ``ratio`` is how many times it is larger.
        reference: range of the same figure of the paper's public code, measured once on this class of machine.
        note: a line printed below.
        details: only for the JSON.
    """

    what: str
    value: float | None
    unit: str
    target: float | None = None
    at_least: bool = False
    uncached: float | None = None
    reference: str = ""
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times larger the figure is without caches."""
        return None if self.uncached is None or self.value is None else self.uncached / self.value

    @property
    def met(self) -> bool | None:
        """Whether the target is met; ``None`` without one."""
        if self.target is None or self.value is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def read_measures(text: str) -> list[Measure]:
    """The reverse of ``as_json``."""
    known = Measure.__dataclass_fields__
    return [Measure(**{key: value for key, value in row.items() if key in known}) for row in json.loads(text)]


def as_json(measures: Iterable[Measure]) -> list[dict[str, Any]]:
    """JSON values of measures, with what follows from them."""
    return [asdict(measure) | {"ratio": measure.ratio, "met": measure.met} for measure in measures]


def table(results: Mapping[str, Sequence[Measure]], targets: bool = True) -> str:
    """All measures as text, by benchmark, notes below; without ``targets`` nothing is compared (quick runs)."""
    blocks = []
    for name, measures in results.items():
        notes = [f"{measure.what}: {measure.note}" for measure in measures if measure.note]
        blocks += [name, report.table(HEAD, [_cells(measure, targets) for measure in measures]), report.listed(notes)]
    return "\n\n".join(block for block in blocks if block)


def _cells(measure: Measure, targets: bool) -> tuple[str, ...]:
    target = ""
    if targets and measure.target is not None and measure.met is not None:
        sign = ">=" if measure.at_least else "<="
        target = f"{sign} {_number(measure.target)} {'ok' if measure.met else 'NO'}"
    return (
        measure.what,
        "" if measure.value is None else f"{_number(measure.value)} {measure.unit}",
        target,
        "" if measure.uncached is None else _number(measure.uncached),
        "" if measure.ratio is None else f"{_number(measure.ratio)} x",
        measure.reference if targets else "",
    )


def _number(value: float) -> str:
    """Three digits that matter, thousands apart: 0.0123, 1.23, 12.3, 1,234."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if size >= 10 else 2 if size >= 1 else 3}f}"


def record(
    results: Mapping[str, Sequence[Measure]], settings: Settings, seconds: float, failures: Mapping[str, str]
) -> dict[str, Any]:
    """Everything about a run as JSON values; ``seconds`` is how long it took by the clock on the wall."""
    import torch  # late: the runner needs it for this alone

    return {
        "settings": asdict(settings),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": platform.processor(),
        "wall_seconds": round(seconds, 1),
        "results": {name: as_json(measures) for name, measures in results.items()},
        "failures": dict(failures),
    }
