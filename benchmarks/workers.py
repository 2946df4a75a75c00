"""A folder of mixed small pictures by one process and by two: how much more they do in the same time.

By the clock on the wall, since that is what a second core is for: it means nothing where both are not free.
"""

import functools
import random
import tempfile
import time
from pathlib import Path

import psutil
from PIL import Image

from benchmarks.models import ROOT
from benchmarks.process import say
from benchmarks.results import Measure, Settings
from translatotron_v.inference.files import plan_jobs
from translatotron_v.inference.jobs import Job
from translatotron_v.inference.parts import cut
from translatotron_v.inference.pipeline import Translator
from translatotron_v.inference.workers import Settings as Work
from translatotron_v.inference.workers import cores, in_workers
from translatotron_v.shipped import shipped_weights

CASES = ("two workers",)
TARGET = 1.8  # times one worker's throughput
BUSY = 20.0  # % of a core from which something else is running


def cases(settings: Settings) -> list[str]:
    """One: both counts belong to one run."""
    return list(CASES)


def run(case: str, settings: Settings) -> list[Measure]:
    """The same folder by one worker and by two, weights loaded."""
    count = 8 if settings.quick else settings.pictures
    busy = sorted(psutil.cpu_percent(1.0, percpu=True))[:2]  # of the two idlest cores
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder) / "in", count)
        taken = {}
        for workers in (1, 2):
            say(f"{count} pictures, {workers} workers")
            taken[workers] = _seconds(Path(folder), workers)
    notes = [] if cores() > 1 else ["one core only"]
    notes += [f"the idlest two cores were {busy[1]:.0f} % busy before"] if busy[-1] > BUSY else []
    details = {
        "seconds": {str(workers): {"in all": all_, "loaded": loaded} for workers, (all_, loaded) in taken.items()}
    }
    ratio = taken[1][1] / taken[2][1]
    return [
        Measure(f"{count} pictures, one worker", count / taken[1][1], "pictures/s"),
        Measure("two workers to one", ratio, "times", TARGET, at_least=True, note="; ".join(notes), details=details),
        Measure("the same, loading counted", taken[1][0] / taken[2][0], "times"),
    ]


def write_pictures(folder: Path, count: int) -> None:
    """The examples of this repository, whole pages and captions, in different sizes."""
    folder.mkdir()
    chance = random.Random(0)
    sources = sorted((ROOT / "examples" / "pages").glob("*.jpg")) + sorted((ROOT / "examples" / "source").glob("*.png"))
    for number in range(count):
        picture = Image.open(sources[number % len(sources)]).convert("RGB")
        scale = chance.uniform(0.75, 1.1)
        size = (max(8, round(picture.width * scale)), max(8, round(picture.height * scale)))
        picture.resize(size, Image.Resampling.LANCZOS).save(folder / f"{number:03}.png")


def load() -> Translator:
    """The shipped weights, on one thread."""
    return Translator.from_pretrained("small" if "small" in shipped_weights() else "tiny", device="cpu", threads=1)


def _seconds(folder: Path, workers: int) -> tuple[float, float]:
    """In all, and since the first worker had loaded the weights."""
    jobs = plan_jobs([str(folder / "in")], folder / f"out{workers}")
    parts = [[jobs[number] for number in part] for part in cut(jobs)]
    marks = [time.perf_counter()]

    def began(job: Job, done: int, count: int) -> None:
        if len(marks) == 1:
            marks.append(time.perf_counter())

    for _, outcome in in_workers(functools.partial(load), parts, Work(), began, workers):
        if outcome.error is not None:
            raise RuntimeError(outcome.error)
    end = time.perf_counter()
    return end - marks[0], end - marks[1]
