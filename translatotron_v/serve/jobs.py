"""Jobs: files that are translated while their client follows the progress, and fetched when they are done."""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from translatotron_v.serve.batching import Ticket
from translatotron_v.serve.limits import Limits, RefusedError
from translatotron_v.serve.service import Progress, Result

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"

MAX_ENDED = 1000  # jobs that are remembered, however small their answers


@dataclass
class Job:
    """One of them.

    Attributes:
        id: cannot be guessed: whoever knows it may see, fetch and cancel the job.
        events: name and data of all that has been told.
    """

    id: str
    ticket: Ticket
    state: str = WAITING
    done: int = 0
    count: int = 0
    result: Result | None = None
    error: dict[str, str] | None = None
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ended: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _watchers: list[Callable[[], None]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What is told of it."""
        told: dict[str, Any] = {"id": self.id, "state": self.state, "done": self.done, "count": self.count}
        if self.error is not None:
            told |= self.error
        return told if self.result is None else told | {"result": self.result.as_json()}

    def tell(self, event: str, last: bool = False, **data: Any) -> None:
        """The next event, from any thread; after the last one nobody waits for another."""
        with self._lock:
            self.ended = time.monotonic() if last else None
            self.events.append((event, {"state": self.state, "done": self.done, "count": self.count, **data}))
            watchers, self._watchers = self._watchers, []
        for wake in watchers:
            wake()

    def advance(self, done: int, count: int) -> None:
        """Some pages are done, of how many."""
        self.done, self.count = done, count
        self.tell("progress")

    async def follow(self, first: int = 0, beat: float = 15.0) -> AsyncIterator[bytes]:
        """The events from a number on, as they come, until the job has ended; in the format of server-sent events.

        Args:
            beat: seconds of silence after which a comment says that the line still stands.
        """
        number, loop = max(0, first), asyncio.get_running_loop()
        while True:
            while number < len(self.events):
                name, data = self.events[number]
                yield f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()
                number += 1
            if self.ended is not None and number >= len(self.events):
                return
            came = asyncio.Event()
            with self._lock:
                if number < len(self.events):
                    continue
                self._watchers.append(lambda came=came: _wake(loop, came))  # type: ignore[misc]
            try:
                await asyncio.wait_for(came.wait(), beat)
            except asyncio.TimeoutError:
                yield b": still there\n\n"


def _wake(loop: asyncio.AbstractEventLoop, came: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(came.set)
    except RuntimeError:  # whoever waited is gone, and the loop too
        return


class Jobs:
    """All jobs of a service, in memory; answers are let go of after a while, the oldest first where they are too large.

    How many run is bounded by `Service.admit`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def open(self) -> Job:
        """A new one."""
        job = Job(secrets.token_urlsafe(18), Ticket(self._limits.job_seconds))
        with self._lock:
            self._sweep()
            self._jobs[job.id] = job
        job.tell("waiting")
        return job

    def find(self, name: str) -> Job:
        """The job of an id. Raises RefusedError where there is none, or none any more."""
        with self._lock:
            self._sweep()
            job = self._jobs.get(name)
        if job is None:
            raise RefusedError(404, "no_such_job", "there is no such job, or it has been let go of")
        return job

    def run(self, job: Job, work: Callable[[Progress], Result]) -> None:
        """Do its work, in the thread that calls."""
        name, told = DONE, dict[str, str]()
        job.state = RUNNING
        try:
            job.ticket.check()
            job.result = work(job.advance)
        except RefusedError as error:
            name = CANCELLED if error.code == "cancelled" else FAILED
            job.error = told = error.as_json()
        job.state = name
        job.tell(name, last=True, **told)
        with self._lock:
            self._sweep()

    def remove(self, job: Job) -> None:
        """Cancel it, or let go of its answer."""
        job.ticket.cancelled.set()
        if job.ended is not None:
            with self._lock:
                self._jobs.pop(job.id, None)

    def _sweep(self) -> None:
        ended = sorted((job for job in self._jobs.values() if job.ended is not None), key=lambda job: job.ended or 0)
        held = sum(job.result.size for job in ended if job.result is not None)
        for number, job in enumerate(ended, start=1):
            old = time.monotonic() - (job.ended or 0) > self._limits.kept_seconds
            many = held > self._limits.kept_bytes or len(ended) - number >= MAX_ENDED
            if not old and (not many or number == len(ended)):
                break
            del self._jobs[job.id]
            held -= 0 if job.result is None else job.result.size
