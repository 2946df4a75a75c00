"""``python -m benchmarks [NAME ...]``: run benchmarks, print one screen, write JSON."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

from benchmarks.results import Measure, Settings, read_measures, record, table
from translatotron_v.evaluation.report import as_json, write_whole

ROOT = Path(__file__).resolve().parent.parent
NAMES = {
    "cpu": (
        "machine",
        "generation",
        "training",
        "tiny",
        "rendering",
        "finding",
        "pages",
        "drawing",
        "workers",
        "overhead",
        "plan",
        "engines",
    ),
    "cuda": ("machine", "device"),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 where a benchmark failed, 130 where it was interrupted."""
    options = _parse(arguments)
    settings = Settings(options.quick, options.device, options.pictures)
    names = options.names or NAMES[options.device]
    runner = Runner(settings, options.output)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        runner.run(["machine", *(name for name in names if name != "machine")])
    except KeyboardInterrupt:
        print("\ninterrupted; what was finished stays", file=sys.stderr)
        runner.report()
        return 130
    runner.report()
    return 1 if runner.failures else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = sorted({name for names in NAMES.values() for name in names})
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory, as ratios in one run.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which ones: {', '.join(known)} (all); NAME:TEXT takes its cases with TEXT in them",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything work?")
    parser.add_argument("--device", choices=tuple(NAMES), default="cpu")
    parser.add_argument(
        "--pictures", type=int, default=Settings.pictures, metavar="N",
        help=f"that workers share ({Settings.pictures}; 200 for the figure in the documentation)",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("out/bench.json"), metavar="FILE")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name.partition(":")[0] not in NAMES[options.device]]
    if unknown:
        parser.error(f"{unknown[0]!r}: on {options.device} there are {', '.join(NAMES[options.device])}")
    return options


class Runner:
    """Runs each case in a process of its own and keeps what it measured; the file is written after each."""

    def __init__(self, settings: Settings, output: Path):
        self.settings, self.output = settings, output
        self.results: dict[str, list[Measure]] = {}
        self.failures: dict[str, str] = {}
        self.started = time.perf_counter()

    def run(self, names: Sequence[str]) -> None:
        """Run benchmarks in this order; the first one measures the machine."""
        cases = [(name.partition(":")[0], case) for name in names for case in self._cases(*name.split(":")[:2])]
        for number, (name, case) in enumerate(cases, start=1):
            minutes = (time.perf_counter() - self.started) / 60
            title = f"{name}: {case}" if case else name
            print(f"[{number}/{len(cases)}, {minutes:.1f} min] {title}", file=sys.stderr, flush=True)
            measures = self._run_case(name, case)
            self.results.setdefault(name, []).extend(measures)
            if name == "machine" and measures:
                from benchmarks.machine import rates

                self.settings = replace(self.settings, rates=rates(measures))
            self._write()

    def _cases(self, name: str, part: str = "") -> list[str]:
        """The cases of a benchmark with a text in their names; in a quick run one process for all of them."""
        if self.settings.quick:
            return [""]
        return [case for case in import_module(f"benchmarks.{name}").cases(self.settings) if part in case]

    def _run_case(self, name: str, case: str) -> list[Measure]:
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "measures.json"
            settings = json.dumps(asdict(self.settings))
            command = [sys.executable, "-m", "benchmarks.worker", name, case, settings, str(answer)]
            status = subprocess.run(command, cwd=ROOT).returncode
            if sys.stderr.isatty():
                print("\r\033[K", end="", file=sys.stderr)
            if status or not answer.is_file():
                self.failures[f"{name}: {case}" if case else name] = f"exit status {status}"
                return []
            return read_measures(answer.read_text(encoding="utf-8"))

    def _write(self) -> None:
        values = record(self.results, self.settings, time.perf_counter() - self.started, self.failures)
        write_whole(self.output, as_json(values).encode())

    def report(self) -> None:
        """The one screen."""
        unit = "CPU-seconds on one thread" if self.settings.device == "cpu" else "synchronised seconds"
        print(f"\n{unit}; 'cache off' is our own code: eager, float32, the whole prefix recomputed, equal outputs\n")
        print(table(self.results, targets=not self.settings.quick))
        for what, why in self.failures.items():
            print(f"FAILED {what}: {why}")
        if self.settings.quick:
            print("\nquick: small sizes, the figures mean nothing")
        minutes = (time.perf_counter() - self.started) / 60
        print(f"\n{minutes:.1f} minutes; written to {self.output}")


if __name__ == "__main__":
    sys.exit(main())
