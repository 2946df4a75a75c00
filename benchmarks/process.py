"""What a benchmark's own process says about itself: CPU-seconds, memory, progress."""

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

GIGABYTE = 1e9  # bytes


def clock(device: str) -> Callable[[], float]:
    """A clock in seconds: CPU time of this process, or wall-clock time with the GPU's work done."""
    if device == "cpu":
        return time.process_time

    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronised


def seconds_of(work: Callable[[], object], device: str = "cpu", repeats: int = 1) -> float:
    """The best of some runs."""
    now = clock(device)
    taken = []
    for _ in range(repeats):
        started = now()
        work()
        taken.append(now() - started)
    return min(taken)


class Memory:
    """Peak memory above what was resident when it was made: make it after the imports, before the model.

    On a GPU it is the peak of what torch has allocated there.
    """

    def __init__(self, device: str = "cpu"):
        self.device = device
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        # Linux forgets the peak so far, that of the imports; elsewhere (no such file) it stays.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self.before = psutil.Process().memory_info().rss

    def above(self) -> float:
        """Peak above the start, in GB."""
        if self.device != "cpu":
            return torch.cuda.max_memory_allocated() / GIGABYTE
        return (_peak() - self.before) / GIGABYTE

    def in_all(self) -> float:
        """Peak of the whole process, in GB."""
        return _peak() / GIGABYTE


def _peak() -> int:
    """Peak resident memory of this process in bytes; the C library's own figure would include its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def say(text: str) -> None:
    """What is being done, on the standard error stream; on a terminal each line takes the place of the last."""
    if sys.stderr.isatty():
        print(f"\r\033[K    {text}", end="", file=sys.stderr, flush=True)
    else:
        print(f"    {text}", file=sys.stderr, flush=True)
