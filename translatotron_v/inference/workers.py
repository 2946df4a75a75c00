"""Folders by several processes: the parent plans, each worker loads the weights once and takes part after part.

A worker is told what to do over a pipe of its own, so that it ends with its parent, however that ends. One that dies
itself takes nothing with it: its part is tried again file by file, and a file that ends its worker twice is named.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from translatotron_v.errors import UserError
from translatotron_v.inference.containers import without_picture
from translatotron_v.inference.files import Progress, translate_jobs
from translatotron_v.inference.jobs import Job, Outcome
from translatotron_v.inference.pictures import leftover

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from translatotron_v.inference.pipeline import Translator

Load = Callable[[], "Translator"]  # travels to the workers: a function of a module, or a partial of one
STARTING = 1.5e9  # bytes that a worker takes beside its weights, of pictures of up to `containers.TOGETHER` pixels


@dataclass(frozen=True)
class Settings:
    """What workers do with each file; see `translate_jobs`.

    Attributes:
        generation: what is asked for over what the weights say (`GenerationOptions`).
        others: further arguments of `translate_jobs`.
    """

    generation: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fitting_workers(wanted: int | None, parts: int, weights: int) -> tuple[int, str]:
    """How many workers there are to be, and one line where it is fewer than were wanted for want of memory.

    Args:
        wanted: None: one a core.
        parts: of the plan; more workers would have nothing to do.
        weights: bytes of the weights' files.
    """
    import psutil

    each = STARTING + 3 * weights
    memory = max(1, int(psutil.virtual_memory().available // each))
    count = min(wanted or cores(), max(parts, 1))
    if count <= memory:
        return count, ""
    held = "1 worker" if memory == 1 else f"{memory} workers"
    return memory, f"{held} instead of {count}: each takes up to {each / 1e9:.1f} GB, and no more memory is free"


def one_by_one(
    translator: "Translator", parts: Sequence[Sequence[Job]], settings: Settings, progress: Progress
) -> Iterator[tuple[int, Outcome]]:
    """Translate parts in this process: the number of each outcome's job, counted over all parts, and the outcome."""
    generation = translator.generation.updated(**settings.generation)
    start = 0
    for part in parts:
        numbers = {id(job): start + place for place, job in enumerate(part)}
        for outcome in translate_jobs(translator, part, generation, progress=progress, **settings.others):
            yield numbers[id(outcome.job)], outcome
        start += len(part)


def in_workers(
    load: Load, parts: Sequence[Sequence[Job]], settings: Settings, progress: Progress, workers: int
) -> Iterator[tuple[int, Outcome]]:
    """The same by several processes, outcomes as they come; those of single pictures have no picture, but its size.

    Raises:
        UserError: the weights cannot be loaded, or the settings serve no picture.
    """
    return share_out(Processes(load, settings), parts, progress, workers)


def share_out(
    crew: "Crew", parts: Sequence[Sequence[Job]], progress: Progress, workers: int
) -> Iterator[tuple[int, Outcome]]:
    """Translate parts by the workers of a crew, wherever they are; see `in_workers`.

    Args:
        workers: how many, where there are so many parts.
    """
    starts = [sum(len(part) for part in parts[:place]) for place in range(len(parts))]
    waiting = deque(Part(start, list(part)) for start, part in zip(starts, parts, strict=True))
    team = [crew.start() for _ in range(min(workers, len(parts)))]
    try:
        while waiting or any(worker.part is not None for worker in team):
            for worker in team:
                if waiting and worker.ready and worker.part is None:
                    worker.part = waiting.popleft()
                    worker.send(worker.part.work)
            for worker in crew.wait([worker for worker in team if worker.part is not None or not worker.ready]):
                part = worker.part
                try:
                    kind, *what = worker.receive()
                except Died as death:
                    if part is not None:
                        yield from part.lost(waiting, str(death), crew.again)
                    team[team.index(worker)] = crew.start()
                    continue
                if kind == "refused":
                    raise UserError(what[0])
                if kind == "page" and part is not None:
                    number, done, count = what
                    progress(part.jobs[number], done, count)
                elif kind == "done" and part is not None:
                    number, outcome = what
                    yield from part.done(number, outcome)
                else:
                    worker.part = None
    finally:
        for worker in team:
            worker.end()
            for path in (path for job in (worker.part.jobs if worker.part else ()) for path in job.outputs):
                with contextlib.suppress(OSError):
                    leftover(path).unlink(missing_ok=True)


@dataclass
class Part:
    """Jobs that are translated together, the first of them with its number among all.

    Attributes:
        deaths: of workers that were at it.
        open: places of those that have no outcome yet.
    """

    start: int
    jobs: list[Job]
    deaths: int = 0
    open: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.open = self.open or set(range(len(self.jobs)))

    @property
    def work(self) -> list[Job]:
        """What a worker is given: one that died may have written what it did not tell of."""
        return [replace(job, force=True) for job in self.jobs] if self.deaths else self.jobs

    def done(self, number: int, outcome: Outcome) -> Iterator[tuple[int, Outcome]]:
        """What became of one of them, with its number among all; only once."""
        if number in self.open:
            self.open.discard(number)
            yield self.start + number, replace(outcome, job=self.jobs[number])

    def lost(self, waiting: "deque[Part]", why: str, again: int) -> Iterator[tuple[int, Outcome]]:
        """What becomes of it when its worker has died: it waits again, whole, then file by file, or is given up.

        Args:
            again: how many times it is tried whole.
        """
        deaths = self.deaths + 1
        if self.open and deaths <= again:
            waiting.appendleft(replace(self, deaths=deaths))
        elif len(self.jobs) > 1:
            waiting.extendleft(
                Part(self.start + place, [self.jobs[place]], max(deaths, again + 1))
                for place in sorted(self.open, reverse=True)
            )
        elif self.open:
            job = self.jobs[0]
            yield self.start, Outcome(job, error=f"{job.source}: the process that translated it died ({why}); memory?")


class Died(Exception):
    """A worker has ended by itself; says how."""


class Worker(Protocol):
    """One process, and what it is at.

    Attributes:
        part: None while it has nothing to do.
        ready: whether it can be given something; one that is not says "end" when it is.
    """

    part: Part | None
    ready: bool

    def send(self, jobs: Sequence[Job]) -> None:
        """Let it translate these."""

    def receive(self) -> tuple[Any, ...]:
        """What it says next: "page" or "done" of its part, "end" of that, or why all is "refused".

        Raises:
            Died: it is gone.
        """

    def end(self) -> None:
        """End it, whatever it is at."""


class Crew(Protocol):
    """Where workers come from.

    Attributes:
        again: how many times a part whose worker died is tried whole, before it is tried file by file.
    """

    again: int

    def start(self) -> Worker:
        """A new one."""

    def wait(self, workers: Sequence[Any]) -> Sequence[Worker]:
        """Those that have something to say; waits until one has."""


class Processes:
    """Workers that are processes of this machine."""

    again = 0  # nothing but a file ends a process here, as a rule

    def __init__(self, load: Load, settings: Settings) -> None:
        self.load, self.settings = load, settings

    def start(self) -> "_Worker":
        """A new one."""
        return _Worker(self.load, self.settings)

    def wait(self, workers: "Sequence[_Worker]") -> "Sequence[_Worker]":
        """Those that have something to say."""
        pipes = wait([worker.pipe for worker in workers])
        return [worker for worker in workers if worker.pipe in pipes]


class _Worker:
    """One process, and what it is at."""

    ready = True

    def __init__(self, load: Load, settings: Settings) -> None:
        self.part: Part | None = None
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, load, settings), daemon=True)
        with _one_thread():
            self.process.start()
        theirs.close()

    def send(self, jobs: Sequence[Job]) -> None:
        """See `Worker`."""
        with contextlib.suppress(OSError):  # it died: the next message says so
            self.pipe.send(jobs)

    def receive(self) -> tuple[Any, ...]:
        """See `Worker`."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            raise Died(f"signal {-code}" if code is not None and code < 0 else f"status {code}") from None

    def end(self) -> None:
        """See `Worker`."""
        self.pipe.close()
        if self.part is not None:
            self.process.kill()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """What is started here computes on one thread each: libraries read that when they are first imported."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _serve(pipe: Connection, load: Load, settings: Settings) -> None:
    """A worker's life: load, then part after part, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent ends us
    _end_with_parent()
    try:
        worker = Translating(load, settings)
        while True:
            jobs: list[Job] = pipe.recv()
            for message in worker.messages(jobs, pipe.send):
                pipe.send(message)
                if message[0] == "refused":
                    return
    except (EOFError, OSError):  # the parent is gone
        os._exit(1)


class Translating:
    """What a worker does wherever it is: it loads once, then translates part after part.

    Args:
        translate: instead of `translate_jobs`.
    """

    def __init__(self, load: Load, settings: Settings, translate: Callable[..., Iterator[Outcome]] = translate_jobs):
        self.make, self.settings, self.translate = load, settings, translate
        self.translator: Translator | None = None

    def load(self) -> None:
        """Load the weights, unless they are.

        Raises:
            UserError: they cannot be.
        """
        if self.translator is None:
            self.translator = self.make()
            self.generation = self.translator.generation.updated(**self.settings.generation)

    def messages(self, jobs: Sequence[Job], tell: Callable[[tuple[Any, ...]], object]) -> Iterator[tuple[Any, ...]]:
        """See `Worker.receive`; "page" goes to `tell` as it comes."""
        numbers = {id(job): number for number, job in enumerate(jobs)}
        try:
            self.load()
            outcomes = self.translate(
                self.translator, jobs, self.generation, **self.settings.others,
                progress=lambda job, done, count: tell(("page", numbers[id(job)], done, count)),
            )  # fmt: skip
            for outcome in outcomes:
                yield "done", numbers[id(outcome.job)], light(outcome)
        except UserError as error:
            yield "refused", str(error)
            return
        yield ("end",)


def light(outcome: Outcome) -> Outcome:
    """An outcome without pictures."""
    if outcome.translation is None:
        return outcome
    return replace(outcome, translation=without_picture(outcome.translation), sizes=(outcome.translation.image.size,))


def _end_with_parent() -> None:
    """See to it that a worker does not outlive its parent, so that nobody else writes where the next run does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent.pid:  # it died while this process started, with work in the pipe already
            os._exit(1)

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
