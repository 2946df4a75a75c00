"""SIGINT and SIGTERM as requests: finish the step, save, leave."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Interruption(BaseException):
    """The run shall stop; no library's ``except Exception`` may swallow it."""


class StopSignals:
    """While active, the first signal is noted in ``received``; a second SIGINT interrupts at once, as ever."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._breakable = False

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Handle signals within (in the main thread; elsewhere Python has none to handle)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous: dict[int, Any] = {}

        def receive(number: int, frame: FrameType | None) -> None:
            if self.received is not None:
                if number == signal.SIGINT:
                    raise KeyboardInterrupt
                return  # whoever cannot wait has SIGKILL
            self.received = number
            if self._breakable:
                raise Interruption

        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, receive)
        try:
            yield
        finally:
            for caught, handler in previous.items():
                signal.signal(caught, handler)

    @contextlib.contextmanager
    def breakable(self) -> Iterator[None]:
        """Work that changes nothing: a signal leaves it at once, with ``Interruption``."""
        self._breakable = True
        try:
            if self.received is not None:
                raise Interruption
            yield
        finally:
            self._breakable = False


def leave_signals_to_parent(worker: int) -> None:
    """For data workers: a signal to the whole process group must not kill them under a step that is to be finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
