"""What happens to an upload: opened in memory, led through the shared batches, and written into memory again."""

import io
import json
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.containers import Failure, Source, translate_frames
from translatotron_v.inference.glossary import Glossary
from translatotron_v.inference.loaded import Translation
from translatotron_v.inference.modes import changed
from translatotron_v.inference.pictures import PictureError, TooLargeError, opened, to_plain
from translatotron_v.inference.sources import open_source
from translatotron_v.memory import give_back
from translatotron_v.serve.batching import Batcher, Ticket
from translatotron_v.serve.limits import Limits, RefusedError
from translatotron_v.serve.metrics import Metrics
from translatotron_v.serve.uploads import Upload

NAME = Path("upload")  # what messages call every file: no name that a client gives is used for anything
MEDIA_TYPES = {
    ".png": "image/png", ".tif": "image/tiff", ".gif": "image/gif", ".webp": "image/webp", ".avif": "image/avif",
    ".heic": "image/heic", ".pdf": "application/pdf", ".zip": "application/zip",
    ".cbz": "application/vnd.comicbook+zip",
}  # fmt: skip
PREVIEW = 2000  # pixels of the longer side of what a page shows
log = logging.getLogger(__name__)

Record = Callable[[Translation, tuple[int, int]], dict[str, Any]]  # what is told of a page of that size, as JSON


class System(Protocol):
    """What translates: `Translator`, or another of its kind."""

    @property
    def generation(self) -> GenerationConfig:
        """How it answers unless it is asked otherwise."""
        ...

    def translate(
        self,
        images: Sequence[Image.Image],
        generation: GenerationConfig | None = None,
        *,
        batch_size: int | None = None,
    ) -> list[Translation]:
        """Answers to pictures, in their order; UserError for what it cannot do."""
        ...


class Redraw(Protocol):
    """What draws blocks of a page again."""

    def __call__(
        self, source: Image.Image, answer: Image.Image, page: dict[str, Any]
    ) -> tuple[Image.Image, dict[str, Any], list[str]]:
        """The new picture, what is told of it, and what is to be known of its blocks.

        Args:
            source: the page; `answer` is its translation, of the same size.
            page: what was told of that translation, with what has been changed.

        Raises:
            UserError: something in `page` that cannot be.
        """
        ...


@dataclass(frozen=True)
class Asked:
    """What a request wants of each picture; None: as the weights say."""

    system: str
    source_language: str | None = None
    target_language: str | None = None
    numbers: str | None = None
    min_confidence: float | None = None
    glossary: tuple[tuple[str, str], ...] = ()

    def generation(self, own: GenerationConfig) -> GenerationConfig:
        """The same, laid over what is usual. Raises UserError for values out of their range."""
        return own.updated(
            source_language=self.source_language, target_language=self.target_language, numbers=self.numbers,
            min_confidence=self.min_confidence, glossary=Glossary(self.glossary) if self.glossary else None,
        )  # fmt: skip


@dataclass
class Result:
    """A file that is done.

    Attributes:
        pages: what is told of each.
        previews: source and translation of each page as JPEG, where they were asked for.
    """

    content: bytes
    media_type: str
    suffix: str
    pages: list[dict[str, Any]]
    warnings: list[str] = field(default_factory=list)
    previews: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.content) + sum(len(one) + len(other) for one, other in self.previews)

    def as_json(self) -> dict[str, Any]:
        """Without the file."""
        return {"type": self.media_type, "pages": self.pages, "warnings": self.warnings}


Progress = Callable[[int, int], None]  # pages that are done, of how many


class Service:
    """Systems behind one queue.

    Args:
        systems: by name; the first is used where none is asked for.
        record: see `Record`.
        redraw: draws blocks again; None: not offered.
    """

    def __init__(
        self, systems: Mapping[str, System], record: Record, limits: Limits | None = None, redraw: Redraw | None = None
    ) -> None:
        self.systems, self.record, self.redraw = dict(systems), record, redraw
        self.limits = limits or Limits()
        self.metrics = Metrics(lambda: self._inside, lambda: self.batcher.waiting)
        self.batcher: Batcher[Asked, Translation] = Batcher(self._translate, self.limits, self._note_batch)
        self.pool = ThreadPoolExecutor(self.limits.requests, thread_name_prefix="request")
        self._inside = 0
        self._lock = threading.Lock()
        self._closing = False

    def _note_batch(self, pictures: int, seconds: float) -> None:
        self.metrics.note_batch(pictures, seconds)
        give_back()

    def _translate(self, asked: Asked, pictures: Sequence[Image.Image]) -> list[Translation]:
        system = self.systems[asked.system]
        return system.translate(pictures, asked.generation(system.generation), batch_size=len(pictures))

    def admit(self) -> None:
        """Let one more request in, until `leave`.

        Raises:
            RefusedError: there are as many as are taken.
        """
        with self._lock:
            if self._closing or self._inside >= self.limits.requests:
                what = "the service is being stopped" if self._closing else f"{self._inside} requests are under way"
                seconds = 10 if self._closing else min(60, max(1, math.ceil(self.metrics.batch_seconds)))
                raise RefusedError(
                    429, "busy", f"{what}; come again in {seconds} s", {"Retry-After": str(seconds)}
                )  # fmt: skip
            self._inside += 1

    def leave(self) -> None:
        """One that was let in has gone."""
        with self._lock:
            self._inside -= 1

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """`admit` and `leave`."""
        self.admit()
        try:
            yield
        finally:
            self.leave()

    def close(self) -> None:
        """Finish what runs, and take no more."""
        self._closing = True
        self.pool.shutdown(wait=True)
        self.batcher.close()

    def check(self, asked: Asked) -> None:
        """Raise RefusedError for what cannot be asked, as far as that shows without a picture."""
        if asked.system not in self.systems:
            raise RefusedError(
                422, "bad_option", f"system {asked.system!r}: there are {', '.join(self.systems)}"
            )  # fmt: skip
        try:
            asked.generation(self.systems[asked.system].generation)
        except UserError as error:
            raise refusal(error) from None

    def work(
        self,
        upload: Upload,
        asked: Asked,
        dpi: int,
        ticket: Ticket,
        previews: bool = False,
        progress: Progress = lambda done, count: None,
    ) -> Result:
        """Translate a file; waits for its pictures' turns.

        Raises:
            RefusedError: whatever is wrong with it.
        """
        try:
            limits = self.limits
            file = io.BytesIO(upload.content)
            with closing(open_source(NAME, dpi, file, limits.pixels, limits.unpacked)) as source:
                if source.count > limits.pages:
                    raise RefusedError(413, "too_many_pages", f"{source.count} pages are more than {limits.pages}")
                progress(0, source.count)
                return self._lead(source, upload, asked, ticket, previews, progress)
        except UserError as error:
            raise refusal(error) from None
        except Exception as error:  # what libraries raise on broken files has no common type
            log.exception("an upload failed")
            raise RefusedError(422, "broken_file", f"the file cannot be translated ({type(error).__name__})") from None

    def _lead(
        self, source: Source, upload: Upload, asked: Asked, ticket: Ticket, previews: bool, progress: Progress
    ) -> Result:
        """All frames of a file through the batches, into a file of its kind."""

        def translate(pictures: Sequence[Image.Image]) -> list[Translation]:
            return self.batcher.translate(asked, pictures, ticket)

        suffix, file = source.suffix, io.BytesIO()
        result = Result(b"", MEDIA_TYPES[suffix], suffix, [])
        writer = source.writer(file, suffix)
        differs = False
        at_a_time = max(1, self.limits.together // 2)  # so that others find room in its batches
        for done, (frame, answer) in enumerate(translate_frames(source.frames(), translate, at_a_time), start=1):
            ticket.check()
            if isinstance(answer, Failure):
                if source.count == 1:
                    raise RefusedError(422, "cannot_be_translated", f"it cannot be translated ({answer.reason})")
                result.warnings.append(f"page {done} is left as it was: cannot be translated ({answer.reason})")
                answer = Translation(frame.plain, "", "", {})
            writer.add(frame, answer.image)
            differs = differs or bool(changed(frame.plain, answer.image).any())
            result.pages.append(self.record(answer, answer.image.size))
            self.metrics.note_page(result.pages[-1])
            if previews:
                result.previews.append((_preview(frame.plain), _preview(answer.image)))
            progress(done, max(done, source.count))
        if not result.pages:
            raise RefusedError(422, "broken_file", "no picture in it could be read")
        lost = writer.finish()
        if not differs and source.copies(suffix):
            result.content = upload.content  # byte for byte
        else:
            result.content = file.getvalue()
            result.warnings += [line.replace(f"{NAME}/", "") for line in lost]
        return result

    def draw_again(self, upload: Upload, ticket: Ticket) -> Result:
        """Blocks of a page drawn anew: `file` is the source, `answer` its translation, `page` what is wanted.

        Raises:
            RefusedError: whatever is wrong with them, or the service does not offer it.
        """
        if self.redraw is None:
            raise RefusedError(404, "not_offered", "this service does not draw again")
        page = upload.json("page", None)
        if not isinstance(page, dict) or "answer" not in upload.parts:
            raise RefusedError(
                422, "bad_page", "a form is wanted with file (the source), answer (its translation), page (an object)"
            )
        redraw = self.redraw
        try:
            json.dumps(page, ensure_ascii=False, allow_nan=False).encode()  # it is told again
        except (ValueError, RecursionError):
            raise RefusedError(422, "bad_page", "page: holds what JSON in UTF-8 cannot say") from None
        try:
            source, answer = (self._picture(content) for content in (upload.content, upload.parts["answer"]))
            if source.size != answer.size:
                raise RefusedError(422, "bad_answer", f"source and answer differ in size: {source.size}, {answer.size}")
            drawn, told, notes = self.batcher.run(lambda: redraw(source, answer, page), ticket)
            file = io.BytesIO()
            drawn.save(file, format="PNG")
        except UserError as error:
            raise refusal(error) from None
        except Exception as error:
            log.exception("a page could not be drawn again")
            raise RefusedError(422, "bad_page", f"it cannot be drawn ({type(error).__name__})") from None
        return Result(file.getvalue(), "image/png", ".png", [told], notes, previews=[(b"", _preview(drawn))])

    def _picture(self, content: bytes) -> Image.Image:
        with opened(NAME, io.BytesIO(content), self.limits.pixels) as image:
            return to_plain(image)


def refusal(error: UserError) -> RefusedError:
    """What the rest of the package says of a file or an option, as an answer."""
    if isinstance(error, RefusedError):
        return error
    reason = str(error).removeprefix(f"{NAME}: ").removeprefix(f"{NAME}/")
    if isinstance(error, TooLargeError):
        return RefusedError(413, "too_large", reason)
    return RefusedError(422, "broken_file" if isinstance(error, PictureError) else "bad_option", reason)


def _preview(image: Image.Image) -> bytes:
    small = image.convert("RGB")
    if max(small.size) > PREVIEW:
        small.thumbnail((PREVIEW, PREVIEW))
    file = io.BytesIO()
    small.save(file, format="JPEG", quality=90)
    return file.getvalue()
