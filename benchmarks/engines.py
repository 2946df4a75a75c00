"""PyTorch and ONNX graphs side by side: the first picture from a cold start, pictures at batch 1 and 16, memory.

Each figure is of fresh processes, the engines in turn, so that what else the machine does meets both alike.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.models import ROOT
from benchmarks.process import GIGABYTE, say
from benchmarks.results import Measure, Settings

ENGINES = ("torch", "onnx")
COLD = {"torch": 5.0, "onnx": 2.5}  # seconds to the first picture
FASTER = 1.3  # times, at batch 1
PAGE = "pages/small.jpg"


CASES = ("cold start", "strips", "pages")


def cases(settings: Settings) -> list[str]:
    """Each a few minutes; both engines belong to one run."""
    return list(CASES)


def run(case: str, settings: Settings) -> list[Measure]:
    """Cold starts; strips, which are the model alone (`tiny`); pages, which are all that stands around it (`small`)."""
    if case == "cold start":
        return _cold_starts(1 if settings.quick else 3)
    name, weights, folder = ("strip", "tiny", "source") if case == "strips" else ("page", "small", "pages")
    found = sorted(str(path) for path in (ROOT / "examples" / folder).iterdir() if path.suffix in (".png", ".jpg"))
    pictures = found[: 2 if settings.quick else 16]
    measures = []
    for batch in (1, 16):
        say(f"{len(pictures)} {name}s of {weights} at batch {batch}")
        made = {engine: _measured(engine, weights, batch, 1, pictures) for engine in ENGINES}
        what = f"a {name} of {weights}, batch {batch}"
        measures += [Measure(f"{engine}: {what}", made[engine]["seconds"], "CPU-s") for engine in ENGINES]
        ratio = made["torch"]["seconds"] / made["onnx"]["seconds"]
        target = FASTER if batch == 1 else None
        measures.append(Measure(f"torch to onnx: {what}", ratio, "times", target, at_least=True))
        measures += [
            Measure(f"{engine}: peak memory, {name}s, batch {batch}", made[engine]["peak"] / GIGABYTE, "GB")
            for engine in ENGINES
        ]
    return measures


def _cold_starts(repeats: int) -> list[Measure]:
    """The command that translates one small page, from start to end: the best by the clock, and its CPU time."""
    wall: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    cpu: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats):
            for engine in ENGINES:
                say(f"cold start {number + 1} of {engine}")
                command = [
                    sys.executable,
                    "-m",
                    "translatotron_v",
                    "translate",
                    str(ROOT / "examples" / PAGE),
                    "--force",
                ]
                command += ["-o", str(Path(folder) / f"{engine}.png"), "--engine", engine, "--device", "cpu"]
                before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ)
                wall[engine].append(time.perf_counter() - started)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu[engine].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return [
        measure
        for engine in ENGINES
        for measure in (
            Measure(f"{engine}: first picture from a cold start", min(wall[engine]), "s", COLD[engine]),
            Measure(f"{engine}: the same in CPU time", min(cpu[engine]), "CPU-s"),
        )
    ]


def _measured(engine: str, weights: str, batch: int, repeats: int, pictures: list[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.engine", engine, weights, str(batch), str(repeats), *pictures]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
