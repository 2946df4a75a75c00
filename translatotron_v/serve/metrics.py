"""What the service counts, for Prometheus. Nothing of a picture or a text is among it."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)


class Metrics:
    """The figures of one service.

    Args:
        inside: how many requests are under way.
        waiting: how many pictures or groups of them wait for a batch.
    """

    def __init__(self, inside: Callable[[], int], waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        own: dict[str, Any] = {"registry": self.registry, "namespace": "translatotron"}
        self._requests = Counter("requests", "Requests that were answered.", ("method", "path", "status"), **own)
        self._seconds = Histogram("request_seconds", "From request to answer.", ("path",), buckets=_SECONDS, **own)
        self._refused = Counter("refused", "Requests that were refused.", ("error",), **own)
        self._pages = Counter("pages", "Pictures, frames and pages that were translated.", **own)
        self._blocks = Counter("blocks", "Blocks of text, by why they were left (empty: translated).", ("left",), **own)
        self._batch = Histogram("batch_pictures", "Pictures in a batch.", buckets=(1, 2, 4, 8, 16, 32), **own)
        self._batch_seconds = Histogram("batch_seconds", "That a batch took.", buckets=_SECONDS, **own)
        Gauge("requests_inside", "Requests under way.", **own).set_function(inside)
        Gauge("waiting", "What waits for a batch.", **own).set_function(waiting)
        self.batch_seconds = 1.0  # of late

    def note_request(self, method: str, path: str, status: int, seconds: float) -> None:
        """One request was answered; `path` is its route's, never what a client wrote."""
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def note_refusal(self, error: str) -> None:
        """One was refused."""
        self._refused.labels(error).inc()

    def note_batch(self, pictures: int, seconds: float) -> None:
        """One batch is done."""
        if pictures:
            self._batch.observe(pictures)
        self._batch_seconds.observe(seconds)
        self.batch_seconds += 0.2 * (seconds - self.batch_seconds)

    def note_page(self, page: dict[str, Any]) -> None:
        """One page is done, and this is told of it."""
        self._pages.inc()
        for block in page.get("blocks", ()):
            self._blocks.labels(block.get("skip_reason", "")).inc()

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)
