"""One thread runs the model; pictures of different clients that want the same of it share its batches."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.serve.limits import Limits, RefusedError

Asked = TypeVar("Asked", bound=Hashable)
Answer = TypeVar("Answer")
_PATIENCE = 0.1  # share of what the last batch took that the next one waits for more
PIXELS_TOGETHER = 24_000_000  # of a batch; a larger picture goes alone


@dataclass
class Ticket:
    """One request on its way: how long it may take, and whether anyone still waits for it."""

    seconds: float
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.ends = time.monotonic() + self.seconds

    def check(self) -> None:
        """Raises RefusedError where it has been cancelled, or its time is over."""
        if self.cancelled.is_set():
            raise RefusedError(409, "cancelled", "the request was cancelled")
        if time.monotonic() > self.ends:
            raise RefusedError(
                408, "took_too_long", f"not done within {self.seconds:g} seconds; send less, or send it as a job"
            )


@dataclass(eq=False)
class _Entry(Generic[Asked]):
    asked: Asked | None  # None: a task of its own
    pictures: Sequence[Image.Image]
    ticket: Ticket
    run: Callable[[], Any] | None = None
    future: "Future[Any]" = field(default_factory=Future)

    @property
    def pixels(self) -> int:
        return sum(picture.width * picture.height for picture in self.pictures)


class Batcher(Generic[Asked, Answer]):
    """Runs what translates, one batch at a time.

    How many pictures wait is bounded by whoever lets requests in (`Limits.requests`).

    Args:
        translate: pictures to answers, in order, by what was asked.
        noted: told of each batch: how many pictures, how many seconds.
    """

    def __init__(
        self,
        translate: Callable[[Asked, Sequence[Image.Image]], Sequence[Answer]],
        limits: Limits,
        noted: Callable[[int, float], None] = lambda pictures, seconds: None,
    ) -> None:
        self._translate, self._limits, self._noted = translate, limits, noted
        self._waiting: deque[_Entry[Asked]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._took = 0.0  # seconds, the last batch
        self._expected = 1  # entries that may come: as many as there were when the last batch began
        self._thread = threading.Thread(target=self._work, name="translates", daemon=True)
        self._thread.start()

    def translate(self, asked: Asked, pictures: Sequence[Image.Image], ticket: Ticket) -> list[Answer]:
        """Translate pictures, together with those of others; waits.

        Raises:
            RefusedError: as of `Ticket.check`.
            Exception: whatever translating them, and nobody else's, raises.
        """
        return list(self._wait(_Entry(asked, pictures, ticket)))

    def run(self, task: Callable[[], Any], ticket: Ticket) -> Any:
        """Run something else that needs the model, in turn; waits, and raises as `translate`."""
        return self._wait(_Entry(None, (), ticket, task))

    @property
    def waiting(self) -> int:
        """Entries that no batch has taken yet."""
        return len(self._waiting)

    def close(self) -> None:
        """End the thread when what waits is done."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _wait(self, entry: "_Entry[Asked]") -> Any:
        with self._changed:
            if self._closing:
                raise RefusedError(429, "closing", "the service is being stopped", {"Retry-After": "10"})
            self._waiting.append(entry)
            self._changed.notify_all()
        while True:
            entry.ticket.check()  # what it waited for goes on or is dropped, and nobody looks at it
            try:
                return entry.future.result(timeout=min(1.0, max(0.001, entry.ticket.ends - time.monotonic())))
            except NotYetError:  # or one of the task's own
                if entry.future.done():
                    raise

    def _work(self) -> None:
        while batch := self._next():
            started = time.monotonic()
            self._run(batch)
            self._took = time.monotonic() - started
            self._noted(sum(len(entry.pictures) for entry in batch), self._took)

    def _next(self) -> "list[_Entry[Asked]]":
        """The oldest entry that is still wanted, and others that want the same.

        Whoever has just been answered often comes again: until as many are there as were last time, it waits a little.
        """
        with self._changed:
            while True:
                self._drop()
                if self._waiting:
                    break
                if self._closing:
                    return []
                self._changed.wait()
            first = self._waiting.popleft()
            batch = [first]
            ends = time.monotonic() + max(self._limits.gather_milliseconds / 1000, _PATIENCE * self._took)
            while first.asked is not None:
                self._gather(batch)
                left = ends - time.monotonic()
                full = sum(len(entry.pictures) for entry in batch) >= self._limits.together
                if full or len(batch) + len(self._waiting) >= self._expected or left <= 0 or self._closing:
                    break
                self._changed.wait(left)
            self._expected = len(batch) + len(self._waiting)
            return batch

    def _drop(self) -> None:
        """Let go of what nobody waits for; `Batcher.translate` has said so."""
        for entry in list(self._waiting):
            try:
                entry.ticket.check()
            except RefusedError:
                self._waiting.remove(entry)

    def _gather(self, batch: "list[_Entry[Asked]]") -> None:
        for entry in list(self._waiting):
            pictures = sum(len(one.pictures) for one in [*batch, entry])
            pixels = sum(one.pixels for one in [*batch, entry])
            if entry.asked == batch[0].asked and pictures <= self._limits.together and pixels <= PIXELS_TOGETHER:
                self._waiting.remove(entry)
                batch.append(entry)

    def _run(self, batch: "list[_Entry[Asked]]") -> None:
        """Answer all entries; where a batch fails each is tried alone, so that no one's picture fails another's."""
        first = batch[0]
        try:
            if first.run is not None:
                first.future.set_result(first.run())
                return
            assert first.asked is not None
            pictures = [picture for entry in batch for picture in entry.pictures]
            answers = list(self._translate(first.asked, pictures))
        except BaseException as error:
            if len(batch) > 1 and not isinstance(error, UserError):  # that is of what was asked, the same of all
                for entry in batch:
                    self._run([entry])
                return
            for entry in batch:
                entry.future.set_exception(error)
            return
        for entry in batch:
            entry.future.set_result(answers[: len(entry.pictures)])
            del answers[: len(entry.pictures)]
