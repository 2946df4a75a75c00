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
from typing import TYPE_CHECKING, Any

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
    starts = [sum(len(part) for part in parts[:place]) for place in range(len(parts))]
    waiting = deque(_Part(start, list(part)) for start, part in zip(starts, parts, strict=True))
    crew = [_Worker(load, settings) for _ in range(min(workers, len(parts)))]
    try:
        for worker in crew:
            worker.take(waiting)
        while busy := [worker for worker in crew if worker.part is not None]:
            for ready in wait([worker.pipe for worker in busy]):
                worker = next(worker for worker in crew if worker.pipe is ready)
                part = worker.part
                assert part is not None
                try:
                    kind, *what = worker.pipe.recv()
                except (EOFError, OSError):
                    yield from worker.died(waiting)
                    crew[crew.index(worker)] = worker = _Worker(load, settings)
                    kind = "end"
                if kind == "page":
                    number, done, count = what
                    progress(part.jobs[number], done, count)
                elif kind == "done":
                    number, outcome = what
                    yield part.done(number, outcome)
                elif kind == "refused":
                    raise UserError(what[0])
                else:
                    worker.take(waiting)
    finally:
        for worker in crew:
            worker.end()


@dataclass
class _Part:
    """Jobs that are translated together, the first of them with its number among all."""

    start: int
    jobs: list[Job]
    open: set[int] = field(default_factory=set)  # places of those that have no outcome yet

    def __post_init__(self) -> None:
        self.open = set(range(len(self.jobs)))

    def done(self, number: int, outcome: Outcome) -> tuple[int, Outcome]:
        """What became of one of them, with its number among all."""
        self.open.discard(number)
        return self.start + number, replace(outcome, job=self.jobs[number])


class _Worker:
    """One process, and what it is at."""

    def __init__(self, load: Load, settings: Settings) -> None:
        self.part: _Part | None = None
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, load, settings), daemon=True)
        with _one_thread():
            self.process.start()
        theirs.close()

    def take(self, waiting: "deque[_Part]") -> None:
        """Give it the next part, if there is one."""
        self.part = waiting.popleft() if waiting else None
        if self.part is not None:
            with contextlib.suppress(OSError):  # it died: the next message says so
                self.pipe.send(self.part.jobs)

    def died(self, waiting: "deque[_Part]") -> Iterator[tuple[int, Outcome]]:
        """What becomes of the part of a process that ended by itself."""
        assert self.part is not None
        self.process.join()
        lost = [(self.part.start + place, self.part.jobs[place]) for place in sorted(self.part.open)]
        if len(self.part.jobs) > 1:
            waiting.extendleft(_Part(start, [job]) for start, job in reversed(lost))
            return
        for number, job in lost:
            code = self.process.exitcode
            why = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
            yield number, Outcome(job, error=f"{job.source}: the process that translated it died ({why}); memory?")

    def end(self) -> None:
        """End the process, and take away what it had not finished."""
        self.pipe.close()
        if self.part is not None:
            self.process.kill()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        for path in (path for job in (self.part.jobs if self.part else ()) for path in job.outputs):
            with contextlib.suppress(OSError):
                leftover(path).unlink(missing_ok=True)


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
        translator = None
        generation = None
        while True:
            jobs: list[Job] = pipe.recv()
            try:
                if translator is None:
                    translator = load()
                    generation = translator.generation.updated(**settings.generation)
                numbers = {id(job): number for number, job in enumerate(jobs)}

                def told(job: Job, done: int, count: int, numbers: dict[int, int] = numbers) -> None:
                    pipe.send(("page", numbers[id(job)], done, count))

                for outcome in translate_jobs(translator, jobs, generation, progress=told, **settings.others):
                    pipe.send(("done", numbers[id(outcome.job)], light(outcome)))
            except UserError as error:
                pipe.send(("refused", str(error)))
                return
            pipe.send(("end",))
    except (EOFError, OSError):  # the parent is gone
        os._exit(1)


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
