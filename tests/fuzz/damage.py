"""Damaged files, one after another through the command line in a process of its own."""

import contextlib
import io
import multiprocessing
import os
import random
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS, BYTES = 20.0, 4e9  # of one damaged file, at most


@dataclass
class Part:
    """What became of one kind.

    Attributes:
        statuses: how often the command ended with each.
        failures: what should not have been, one line each.
        slowest, largest: seconds of a file, and GB that the process took at most.
    """

    count: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    largest: float = 0.0


def damage(name: str, folder: Path, count: int, seed: int) -> Part:
    """So many damaged files of a kind, one after another through a process that is replaced where one ends it."""
    part, child = Part(count), _Child(name, folder)
    statuses: Counter[str] = Counter()
    for number in range(count):
        answer = child.ask(seed * 1_000_003 + number)
        if answer is None:
            part.failures.append(f"{number}: {child.died()}")
            child = _Child(name, folder)
            statuses["died"] += 1
            continue
        part.slowest, part.largest = max(part.slowest, answer["seconds"]), max(part.largest, answer["bytes"] / 1e9)
        statuses[str(answer["status"])] += 1
        if answer["problem"]:
            part.failures.append(f"{number}: {answer['problem']}")
    child.end()
    part.statuses = dict(statuses)
    return part


class _Child:
    """The process in which commands run."""

    def __init__(self, name: str, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, name, folder), daemon=True)
        self.process.start()
        theirs.close()
        assert self.pipe.recv() == "ready"

    def ask(self, seed: int) -> dict[str, Any] | None:
        """What became of the file of a seed; None where the process is gone or does not come back."""
        self.pipe.send(seed)
        if not self.pipe.poll(3 * SECONDS):
            self.process.kill()
            return None
        try:
            return self.pipe.recv()
        except EOFError:
            return None

    def died(self) -> str:
        self.process.join()
        return f"the process ended with {self.process.exitcode}"

    def end(self) -> None:
        self.pipe.close()
        self.process.join(10)


def _serve(pipe: Any, name: str, folder: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    from tests.fuzz.kinds import KINDS

    kind = KINDS[name](folder / str(os.getpid()))
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            chance = random.Random(pipe.recv())
            arguments = kind(chance)
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            out, err = io.StringIO(), io.StringIO()
            started = time.perf_counter()
            status, problem = _run(arguments, out, err)
            seconds = time.perf_counter() - started
            size = _peak()
            if not problem and seconds > SECONDS:
                problem = f"took {seconds:.0f} s: {arguments}"
            if not problem and size > BYTES:
                problem = f"took {size / 1e9:.1f} GB: {arguments}"
            pipe.send({"status": status, "problem": problem, "seconds": seconds, "bytes": size})


def _run(arguments: list[str], out: io.StringIO, err: io.StringIO) -> tuple[int, str]:
    from translatotron_v import cli

    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(arguments)
        except BaseException:  # what a user would see as a traceback
            return -1, traceback.format_exc(limit=-3).replace("\n", " | ")
    lines = [line for line in err.getvalue().splitlines() if line]
    odd = [line for line in lines if line.split(":")[0] not in ("error", "warning", "skipped", "note")]
    odd = [
        line for line in odd if not line.endswith(("translated", "exist already")) and "pictures translated" not in line
    ]
    if status not in (0, 1, 2):
        return status, f"status {status}: {lines}"
    if status and not any(line.startswith("error: ") for line in lines):
        return status, f"status {status} without a reason: {lines}"
    return status, f"said: {odd[0]}" if odd else ""


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
