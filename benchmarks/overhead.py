"""What it costs to be several at equal work, in CPU-seconds of all processes: two ranks, and workers of a Ray.

On few cores nothing gets faster; what is left is the overhead.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import psutil

from benchmarks.models import ROOT
from benchmarks.process import say
from benchmarks.results import Measure, Settings
from data_synth import on_ray
from data_synth.build import BuildOptions, build
from data_synth.grammar import GrammarPairs
from data_synth.style import PageLayout, StyleOptions
from translatotron_v.checkpoint import read_info

CASES = ("ranks", "ray")


def cases(settings: Settings) -> list[str]:
    """Ray has a process of its own."""
    return list(CASES)


def run(case: str, settings: Settings) -> list[Measure]:
    """The same work by one process and by several."""
    measures = []
    if case in ("", "ranks"):
        measures += _ranks(5 if settings.quick else 40)
    if case in ("", "ray"):
        measures += _ray(160 if settings.quick else 4000)
    return measures


def _ranks(steps: int) -> list[Measure]:
    """A reader of the tiny size on grammar pages: CPU-seconds of all ranks from the first step to the last."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder)
        pairs = GrammarPairs("de", "en", 0, range(1000))[:]
        for split in ("train", "val"):
            for language, side in (("de", "source"), ("en", "target")):
                lines = [f"{getattr(pair, side)}\n" for pair in (pairs if split == "train" else pairs[:16])]
                (corpus / f"{split}.{language}").write_text("".join(lines), encoding="utf-8")
        taken = {}
        for ranks, more in ((1, ""), (2, ""), (2, "trainer.shard=true")):
            say(f"{steps} steps, {ranks} processes {more}")
            name = f"{ranks}{more}"
            launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--master-port=0", "--standalone"]
            command = [sys.executable, *(launcher if ranks > 1 else []), "train.py", "reader", "--config"]
            command += [
                "configs/tiny/reader.yaml",
                f"data.folder={corpus}",
                f"run={corpus / name}",
                "start={}",
                'vocabulary=""',
            ]
            command += [
                f"trainer.steps={steps}",
                "trainer.device=cpu",
                "trainer.evaluate_every=1000000",
                "trainer.minutes=null",
            ]
            command += ["trainer.checkpoint_every=1000000", "data.validation_limit=4", *([more] if more else [])]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            subprocess.run(command, cwd=ROOT, check=True, env=environment, stderr=subprocess.DEVNULL)
            taken[name] = read_info(corpus / name / "final")["cpu_seconds"]
    one = taken.pop("1")
    two, shared = taken.values()
    return [
        Measure(f"{steps} steps, one process", one, "CPU-s"),
        Measure("two ranks to one process", two / one, "times", note=f"{two:.1f} CPU-s"),
        Measure("two that share parameters out to one", shared / one, "times", note=f"{shared:.1f} CPU-s"),
    ]


def _ray(pages: int) -> list[Measure]:
    """Plain strips in sixteen shards, by one process, by two, and by a Ray of two workers."""
    options = BuildOptions(
        layout=PageLayout(48, 256, 1, "paragraph"), style=StyleOptions(sizes=(11, 11), line_height=16, margin=2, top=0),
        shard_size=pages // 16,
    )  # fmt: skip
    texts = GrammarPairs("de", "en", 0, range(pages))
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            say(f"{pages} strips, {workers} processes")
            before = _spent()
            size = build(texts, options, Path(folder) / str(workers), workers=workers, quiet=True).size
            taken[str(workers)] = _spent() - before
        say(f"{pages} strips, Ray")
        started, wall = _spent(), time.perf_counter()
        with on_ray.cluster("", 2) as ray:
            taken["start"], start_wall = _spent() - started, time.perf_counter() - wall
            with mock.patch.object(on_ray, "cluster", lambda *given: nullcontext(ray)):
                build(texts, options, Path(folder) / "ray", workers=2, quiet=True, ray="")
            taken["ray"] = _spent() - started
    one = taken["1"]
    note = f"{pages:,} strips in 16 shards of {size / 16 / 1e3:.0f} kB, {size / pages:.0f} bytes a pair"
    return [
        Measure("strips by one process", pages / one, "pairs/CPU-s", note=note),
        Measure("two processes to one", taken["2"] / one, "times", note=f"{taken['2']:.1f} CPU-s to {one:.1f}"),
        Measure(
            "two workers of a Ray to one process", taken["ray"] / one, "times",
            note=f"{taken['ray']:.1f} CPU-s, of which {taken['start']:.1f} to start Ray ({start_wall:.0f} s)",
        ),
    ]  # fmt: skip


def _spent() -> float:
    """CPU-seconds of this process and of all that it has started, those that have ended too."""
    own = psutil.Process()
    times = [own.cpu_times(), *(child.cpu_times() for child in own.children(recursive=True))]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)
