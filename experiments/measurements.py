"""Measurements of trained weights, in several processes, each kept as a file until weights or arguments change."""

import contextlib
import json
import multiprocessing
import os
import re
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from translatotron_v.errors import UserError
from translatotron_v.evaluation.report import write_whole
from translatotron_v.memory import prepare_to_train
from translatotron_v.terminal import progress

Task = tuple[Any, ...]  # (weights, key, function, *arguments), as `harness.Experiment.measure` takes them


def measure_all(tasks: Sequence[Task], folder: Path, jobs: int = 2) -> dict[str, Any]:
    """Key -> value of many measurements, each from its file in `folder` if neither weights nor arguments have changed.

    Raises:
        UserError: weights are missing, a file cannot be written, or a process was killed.
    """
    from translatotron_v.checkpoint import resolve, weights_digest

    values: dict[str, Any] = {}
    missing: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {}
    for weights, key, function, *arguments in tasks:
        if key in values or key in missing or not re.fullmatch(r"[\w.,+=-]+", key):
            raise ValueError(f"{key!r} is used twice or is no name of a file")
        paths = [weights] if isinstance(weights, str | Path) else list(weights)
        folders = [resolve(path) for path in paths]
        identity = {
            "function": function.__qualname__,
            "weights": {str(path): weights_digest(found) for path, found in zip(paths, folders, strict=True)},
            "arguments": json.loads(json.dumps(arguments, default=str)),
        }
        kept = _kept(folder / f"{key}.json")
        if {name: kept.get(name) for name in identity} == identity:
            values[key] = kept["value"]
        else:
            missing[key] = identity, (function, *folders, *arguments)
    with progress(len(tasks), "measuring", quiet=not missing, unit="measurement") as bar:
        bar.update(len(values))
        for key, (value, seconds) in _results({key: task for key, (_, task) in missing.items()}, jobs):
            entry = {**missing[key][0], "cpu_seconds": round(seconds, 2), "value": value}
            write_whole(folder / f"{key}.json", (json.dumps(entry, indent=1, ensure_ascii=False) + "\n").encode())
            values[key] = json.loads(json.dumps(value))  # what a later run will read
            bar.update()
    return {task[1]: values[task[1]] for task in tasks}


def cpu_seconds(folder: Path, keys: Collection[str]) -> float:
    """What these measurements cost when they were taken."""
    return sum(float(_kept(folder / f"{key}.json").get("cpu_seconds", 0.0)) for key in keys)


def _results(tasks: Mapping[str, tuple[Any, ...]], jobs: int) -> Iterator[tuple[str, tuple[Any, float]]]:
    """Key -> value and CPU seconds, as they come; a single task runs in this process."""
    if len(tasks) == 1 or jobs == 1:
        yield from ((key, _timed(*task)) for key, task in tasks.items())
        return
    if not tasks:
        return
    # spawn: a fork would copy the locks of torch's threads without the threads
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), multiprocessing.get_context("spawn"), _start_worker)
    try:
        futures = {pool.submit(_timed, *task): key for key, task in tasks.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise UserError("a measurement's process was killed, perhaps for want of memory: try --jobs 1") from None
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The value, and the CPU seconds of this process and the children that it has waited for."""
    import torch

    torch.set_num_threads(1)
    before = sum(os.times()[:4])
    value = function(*arguments)
    return value, sum(os.times()[:4]) - before


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    prepare_to_train()


def _kept(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        entry = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(entry, dict):
            return entry
    return {}
