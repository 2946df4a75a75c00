"""Shards as tasks of a Ray cluster: the driver hands out texts and gets counts back; pages never come to it."""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import PIL
from PIL import features

from data_synth.errors import UserError

DEATHS = 3  # of the workers that make one shard, before it is given up
AHEAD = 2  # tasks that wait for each core: their texts travel while others are rendered
STORE = 256 << 20  # bytes of object store of a Ray that is started here; texts and counts are all that it holds

T = TypeVar("T", covariant=True)


class Task(Protocol):
    """A shard to make."""

    @property
    def path(self) -> Any:
        """Where it will lie."""


@contextmanager
def cluster(address: str, workers: int) -> Iterator[Any]:
    """Ray, connected for as long as the context lasts.

    Args:
        address: of a running cluster (``auto``, ``HOST:6379``, ``ray://HOST:10001``); empty: what ``RAY_ADDRESS`` says,
            or else one that is started on this machine.
        workers: processes of one that is started here.

    Raises:
        UserError: Ray is not installed, or nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # of workers that die we say ourselves what is to be said
    try:
        import ray
    except ImportError:
        raise UserError("--ray: Ray is not installed: pip install 'translatotron-v[ray]'") from None
    address = address or os.environ.get("RAY_ADDRESS", "")
    own: dict[str, Any] = (
        {} if address else {"num_cpus": workers, "object_store_memory": STORE, "include_dashboard": False}
    )
    try:
        _knock(address)
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"--ray {address}: no cluster can be reached or started ({reason})") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at an address with a port: Ray itself would try for many minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def make_on_ray(tasks: Sequence[Task], make: Callable[[Any], T], address: str, workers: int) -> Iterator[T]:
    """Call ``make`` for each task on a Ray cluster, a core each, in whatever order they end.

    A task whose worker dies is done again on another, up to `DEATHS` times. Those that wait are few, whatever there is
    to do.

    Args:
        tasks: what `make` takes; both travel to the workers, which need this package.
        address, workers: see `cluster`.

    Raises:
        UserError: no cluster, a shard that cannot be made, or a worker with other libraries to draw with, which
            would draw other pages.
    """
    with cluster(address, workers) as ray:
        remote = ray.remote(num_cpus=1, max_retries=DEATHS)(_checked)
        waiting = iter(tasks)
        running: dict[Any, Task] = {}
        while True:
            cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
            while len(running) < AHEAD * cores and (task := next(waiting, None)) is not None:
                running[remote.remote(make, task, versions())] = task
            if not running:
                return
            ready, _ = ray.wait(list(running), num_returns=1)
            for reference in ready:
                task = running.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayTaskError as error:  # what the task itself has raised
                    raise error.cause from None
                except ray.exceptions.RayError as error:  # its worker, or the host, is gone
                    raise UserError(
                        f"{task.path}: {1 + DEATHS} workers died over it ({type(error).__name__}), probably for want "
                        "of memory: give Ray fewer CPUs a host, or a smaller --shard-size"
                    ) from error


def versions() -> tuple[str, ...]:
    """Of the libraries that draw."""
    return f"Pillow {PIL.__version__}", f"FreeType {features.version('freetype2')}"


def _checked(make: Callable[[Any], T], task: Task, wanted: tuple[str, ...]) -> T:
    if versions() != wanted:
        raise UserError(
            f"{socket.gethostname()} draws with {' and '.join(versions())}, this machine with {' and '.join(wanted)}: "
            "install the same on all hosts"
        )
    return make(task)
