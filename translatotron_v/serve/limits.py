"""What the service takes, and how it refuses the rest."""

from dataclasses import dataclass, field
from typing import Annotated

from translatotron_v.errors import UserError
from translatotron_v.ranges import Range, problems


@dataclass(frozen=True)
class Limits:
    """Bounds of one service; memory is bounded by them together: `requests` bodies, as many pictures, `kept_bytes`.

    Attributes:
        body_bytes: of a request's body.
        pixels: of each picture, frame or page; the frames of an animation may have four times as many in all.
        pages: of one file.
        unpacked: bytes of all files of an archive.
        upload_seconds: within which a body has to arrive.
        seconds: within which `/translate` and `/redraw` answer.
        job_seconds: that a job may take.
        requests: that are read, wait or run at a time, jobs among them; what comes then is asked to come again.
        together: pictures that share a batch, at most.
        gather_milliseconds: that a batch waits for those to come again who were there last time, or else a tenth of
            what the last batch took.
        kept_seconds: for which the answer of a job waits to be fetched.
        kept_bytes: of all answers that wait; the oldest make room.

    Raises:
        UserError: a value out of its range.
    """

    body_bytes: Annotated[int, Range(1_000, 2_000_000_000)] = 32_000_000
    pixels: Annotated[int, Range(1_000, 100_000_000)] = 25_000_000
    pages: Annotated[int, Range(1, 10_000)] = 200
    unpacked: Annotated[int, Range(1_000, 2_000_000_000)] = 200_000_000
    upload_seconds: Annotated[float, Range(0.05, 3_600)] = 60.0
    seconds: Annotated[float, Range(0.05, 86_400)] = 120.0
    job_seconds: Annotated[float, Range(0.05, 86_400)] = 3_600.0
    requests: Annotated[int, Range(1, 1_000)] = 32
    together: Annotated[int, Range(1, 1_000)] = 16
    gather_milliseconds: Annotated[float, Range(0, 1_000)] = 20.0
    kept_seconds: Annotated[float, Range(0.05, 86_400)] = 600.0
    kept_bytes: Annotated[int, Range(0, 100_000_000_000)] = 256_000_000

    def __post_init__(self) -> None:
        for problem in problems(self):
            raise UserError(problem)


@dataclass
class RefusedError(UserError):
    """A request that gets no answer, and why.

    Attributes:
        status: of HTTP, 4xx.
        code: what programs go by.
        reason: what people read.
        headers: of the answer.
    """

    status: int
    code: str
    reason: str
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.reason

    def as_json(self) -> dict[str, str]:
        """The body of the answer."""
        return {"error": self.code, "reason": self.reason}
