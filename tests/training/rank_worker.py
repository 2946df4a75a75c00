"""Ranks for tests: processes of one run, forked from one that has imported torch and used nothing of it."""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from tests.small import small
from translatotron_v.terminal import guarded
from translatotron_v.training import build
from translatotron_v.training.stages.reader import ReaderStage

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.rank_worker"])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(function: Callable[..., None], ranks: int, *arguments: Any) -> list[Any]:
    """Start processes that each call the function, as torchrun would start them."""
    port = free_port()
    processes = [CONTEXT.Process(target=_rank, args=(function, rank, ranks, port, arguments)) for rank in range(ranks)]
    for process in processes:
        process.start()
    return processes


def run(function: Callable[..., None], ranks: int, *arguments: Any) -> None:
    """Call a function on so many ranks; all must end well."""
    processes = start(function, ranks, *arguments)
    for process in processes:
        process.join(300)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * ranks


def _rank(function: Callable[..., None], rank: int, ranks: int, port: int, arguments: tuple[Any, ...]) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    function(*arguments)


def train(settings: list[str], log: str = "", die_at: int | None = None) -> None:
    """Train a small stage, as ``train.py`` does.

    Args:
        settings: laid over those of a small model.
        log: what is said goes to ``LOG-RANK``.
        die_at: a reader's step in which rank 1 is killed.
    """
    if log:
        stream = open(f"{log}-{os.environ['RANK']}", "w", encoding="utf-8", buffering=1)  # noqa: SIM115
        sys.stdout = sys.stderr = stream
    config = small(*settings)

    def command() -> int:
        build.train(config)
        return 0

    if die_at is not None and os.environ["RANK"] == "1":
        ReaderStage.after_step = lambda self, step: os.kill(os.getpid(), signal.SIGKILL) if step == die_at else None
    status = guarded(command, "interrupted")
    if status:
        sys.exit(status)


def train_all(runs: list[list[str]]) -> None:
    """Train small stages, one after the other."""
    for settings in runs:
        train(settings)
