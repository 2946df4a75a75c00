"""Workers that are actors of a Ray cluster; who shares out the parts is `inference/workers.py`, as for processes."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from data_synth import on_ray
from data_synth.errors import UserError as RenderingError
from translatotron_v.errors import UserError
from translatotron_v.inference.jobs import Job, Outcome
from translatotron_v.inference.workers import STARTING, Died, Load, Part, Settings, Translating

STARTS = 3  # of actors in a row that may end before they have loaded the weights


@contextmanager
def cluster(address: str, cores: int) -> Iterator[Any]:
    """Ray, connected for as long as the context lasts; see `data_synth.on_ray.cluster`.

    Raises:
        UserError: Ray is not installed, or nothing answers at the address.
    """
    with ExitStack() as stack:
        try:
            ray = stack.enter_context(on_ray.cluster(address, cores))
        except RenderingError as error:
            raise UserError(str(error)) from error
        yield ray


def fitting_actors(nodes: Sequence[dict[str, Any]], wanted: int | None, parts: int, need: dict[str, float]) -> int:
    """How many actors a cluster's hosts have room for.

    Args:
        nodes: as ``ray.nodes()`` describes them.
        wanted: None: as many as there is room for.
        parts: of the plan; more actors would have nothing to do.
        need: of one actor, by the names that Ray gives resources.

    Raises:
        UserError: no host has room for one.
    """
    room = 0
    for node in nodes:
        has = node["Resources"] if node["Alive"] else {}
        room += int(min(has.get(name, 0.0) // amount for name, amount in need.items()))
    if not room:
        wants = ", ".join(f"{name} {amount:.3g}" for name, amount in need.items())
        raise UserError(f"--ray: no host of the cluster has room for one worker ({wants})")
    return min(wanted or room, room, max(parts, 1))


def needs(threads: int, weights: int, gpu: bool) -> dict[str, float]:
    """What an actor takes of its host: cores, bytes (`fitting_workers`), and a GPU where it is to use one."""
    return {"CPU": threads, "memory": STARTING + 3 * weights} | ({"GPU": 1} if gpu else {})


class Actors:
    """A crew of Ray actors, which load the weights once.

    Args:
        ray: the module, connected.
        load: gives an actor its translator.
        settings: what it does with each file.
        need: of one actor (`needs`).
        translate: instead of `translate_jobs`.
    """

    again = 1  # hosts go for reasons of their own: what was lost with one is first done as it would have been

    def __init__(
        self, ray: Any, load: Load, settings: Settings, need: dict[str, float],
        translate: Callable[..., Iterator[Outcome]] | None = None,
    ) -> None:  # fmt: skip
        self.ray, self.died = ray, 0
        more = {} if translate is None else {"translate": translate}
        self.make = partial(Translating, load, settings, **more)
        self.kind = ray.remote(_Actor).options(
            num_cpus=need["CPU"], num_gpus=need.get("GPU", 0), memory=need["memory"], max_restarts=0
        )

    def start(self) -> "_RayWorker":
        """A new actor; it is ready when it has loaded the weights."""
        return _RayWorker(self, self.kind.remote(self.make))

    def wait(self, workers: "Sequence[_RayWorker]") -> "Sequence[_RayWorker]":
        """Those that have something to say."""
        streams = [worker.stream for worker in workers]
        ready, _ = self.ray.wait(streams, num_returns=1)
        return [worker for worker in workers if any(worker.stream is stream for stream in ready)]


class _Actor:
    """What lives in a process of the cluster."""

    def __init__(self, make: Callable[[], Translating]) -> None:
        self.translating = make()

    def load(self) -> Iterator[tuple[Any, ...]]:
        try:
            self.translating.load()
        except UserError as error:
            yield "refused", str(error)
            return
        yield "end", os.getpid()

    def translate(self, jobs: Sequence[Job]) -> Iterator[tuple[Any, ...]]:
        pages: list[tuple[Any, ...]] = []
        for message in self.translating.messages(jobs, pages.append):
            while pages:  # Ray sends values into the generator, which `yield from` would hand to the list
                yield pages.pop(0)
            yield message


class _RayWorker:
    """One actor, and what it is at."""

    def __init__(self, crew: Actors, actor: Any) -> None:
        self.crew, self.actor = crew, actor
        self.part: Part | None = None
        self.ready = False
        self.stream = actor.load.options(num_returns="streaming").remote()

    def send(self, jobs: Sequence[Job]) -> None:
        """See `Worker`."""
        self.stream = self.actor.translate.options(num_returns="streaming").remote(list(jobs))

    def receive(self) -> tuple[Any, ...]:
        """See `Worker`.

        Raises:
            Died: the actor or its host is gone.
            UserError: several in a row have gone while they loaded the weights.
        """
        try:
            message: tuple[Any, ...] = self.crew.ray.get(next(self.stream))
        except self.crew.ray.exceptions.RayTaskError as error:  # a fault of the program
            raise error.cause from None
        except self.crew.ray.exceptions.RayError as error:
            self.crew.died += not self.ready
            if self.crew.died >= STARTS:
                raise UserError(
                    f"--ray: {STARTS} workers in a row died while they loaded the weights ({type(error).__name__}), "
                    "probably for want of memory"
                ) from error
            raise Died(type(error).__name__) from error
        if not self.ready:
            self.ready, self.crew.died = True, 0
        return message

    def end(self) -> None:
        """See `Worker`."""
        self.crew.ray.kill(self.actor)
