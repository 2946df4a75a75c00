"""From picture files to picture files: every job of a plan is read, translated and written, whole or not at all."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.inference.containers import (
    DPI,
    TOGETHER,
    Failure,
    Frame,
    Source,
    Writer,
    reason_of,
    translate_frames,
    without_picture,
)
from translatotron_v.inference.jobs import Job as Job
from translatotron_v.inference.jobs import Outcome as Outcome
from translatotron_v.inference.jobs import plan_jobs as plan_jobs
from translatotron_v.inference.jobs import refused
from translatotron_v.inference.modes import changed
from translatotron_v.inference.pictures import SAVE_OPTIONS, Aside, save_picture, unwritable
from translatotron_v.inference.sources import open_source
from translatotron_v.sheets import contact_sheet

if TYPE_CHECKING:
    from translatotron_v.generation_config import GenerationConfig
    from translatotron_v.inference.loaded import Translation
    from translatotron_v.inference.pipeline import Translator

COMPARED = 50  # pages of one file on its comparison
Progress = Callable[[Job, int, int], None]  # told of a file's pages: how many are done, of how many


def translate_jobs(
    translator: "Translator",
    jobs: Sequence[Job],
    generation: "GenerationConfig | None" = None,
    *,
    force: bool = False,
    batch_size: int | None = None,
    debug: Path | None = None,
    dpi: int = DPI,
    progress: Progress = lambda job, done, count: None,
) -> Iterator[Outcome]:
    """Read, translate and write, batch by batch; what goes wrong with one file does not stop the others.

    Args:
        generation: how to answer, by default as the weights say.
        force: overwrite outputs that exist; otherwise their pictures are left out and reported.
        batch_size: pictures at a time (the translator's own); fewer where together they would have more than
            `TOGETHER` pixels. Frames and pages of all files share batches.
        debug: folder that takes, for each picture, a folder of what the pipeline saw.
        dpi: of the pages of a PDF.
        progress: is told when a file is opened, and with each page that is done.
    """
    if batch_size is None:
        batch_size = translator.batch_size

    clean = any(job.clean for job in jobs)

    def translate(pictures: Sequence[Image.Image]) -> "list[Translation]":
        return translator.translate(
            pictures, generation=generation, batch_size=len(pictures), debug=debug is not None, clean=clean
        )

    works: dict[int, _Work] = {}
    early: list[Outcome] = []  # of files that gave no frame to translate, or fewer than they should have

    def frames() -> Iterator[Frame]:
        for job in jobs:
            if (outcome := refused(job, force, dpi)) is not None:
                early.append(outcome)
                continue
            try:
                work = _Work(job, open_source(job.source, dpi), debug)
            except UserError as error:
                early.append(Outcome(job, error=str(error)))
                continue
            works[id(work.source)] = work
            progress(job, 0, work.source.count)
            try:
                for frame in work.source.frames():
                    work.read += 1
                    yield frame
            except UserError as error:
                work.error = str(error)
            except Exception as error:  # what libraries raise on broken files has no common type
                work.error = str(reason_of(error, job.source))
            work.complete = True
            if work.done:
                early.append(works.pop(id(work.source)).finish())

    try:
        for frame, answer in translate_frames(frames(), translate, batch_size, TOGETHER):
            yield from early
            early.clear()
            work = works[id(frame.owner)]
            work.take(frame, answer)
            progress(work.job, work.taken, work.source.count)
            if work.done:
                yield works.pop(id(frame.owner)).finish()
        yield from early
    finally:
        for work in works.values():
            work.abort()


class _Work:
    """One file on its way, written aside until its last frame has come."""

    def __init__(self, job: Job, source: Source, debug: Path | None) -> None:
        self.job, self.source, self.debug = job, source, debug
        self.read = self.taken = 0
        self.complete = False  # whether all frames have been read
        self.error: str | None = None
        self.warnings: list[str] = []
        self.answers: list[Translation] = []
        self.sizes: list[tuple[int, int]] = []
        self.rows: list[list[Image.Image]] = []  # of the comparison
        self.changed = False
        self.aside = Aside(job.target)
        self.writer: Writer | None = None
        self.clean_aside = None if job.clean is None else Aside(job.clean)
        self.clean_writer: Writer | None = None

    @property
    def done(self) -> bool:
        """Whether no frame is still to come."""
        return self.complete and self.taken == self.read

    def take(self, frame: Frame, answer: "Translation | Failure") -> None:
        """Write the next frame; what goes wrong is kept for the outcome."""
        self.taken += 1
        if self.error is not None:
            return
        try:
            if self.writer is None:
                self.writer = self.source.writer(self.aside.open(), self.job.target.suffix.lower())
                if self.clean_aside is not None:
                    self.clean_writer = self.source.writer(
                        self.clean_aside.open(), self.clean_aside.path.suffix.lower()
                    )
            if isinstance(answer, Failure):
                self._failed(frame, answer)
            else:
                self._translated(frame, answer)
        except UserError as error:
            self.error = str(error)
        except Exception as error:  # a disk, a size that the format cannot hold, metadata that an encoder chokes on
            self.error = str(unwritable(self.job.target, error))

    def _failed(self, frame: Frame, answer: Failure) -> None:
        assert self.writer is not None
        if self.source.count == 1:
            self.error = f"{self.job.source}: cannot be translated ({answer.reason})"
            return
        self.warnings.append(f"page {self.taken} is left as it was: cannot be translated ({answer.reason})")
        self.writer.add(frame, frame.plain)
        if self.clean_writer is not None:
            self.clean_writer.add(frame, frame.plain)

    def _translated(self, frame: Frame, answer: "Translation") -> None:
        assert self.writer is not None
        self.writer.add(frame, answer.image)
        if self.clean_writer is not None:
            self.clean_writer.add(frame, frame.plain if answer.clean is None else answer.clean)
        several = self.source.count > 1
        self.changed = self.changed or bool(changed(frame.plain, answer.image).any())
        if self.debug is not None:
            folder = self.debug / self.job.target.stem / (f"{self.taken:04}" if several else "")
            for name, seen in answer.debug.items():
                save_picture(seen, folder / f"{name}.png")
        if self.job.comparison is not None and len(self.rows) < COMPARED:
            row = [frame.plain, answer.image]
            self.rows.append([one.copy() for one in row] if several else row)
            for one in self.rows[-1] if several else ():
                one.thumbnail((1024, 1024))
        self.answers.append(without_picture(answer) if several else answer)
        self.sizes.append(answer.image.size)

    def finish(self) -> Outcome:
        """Complete the file, or leave what was there."""
        try:
            if self.error is None and self.writer is None:
                self.error = f"{self.job.source}: no picture in it could be read"
            if self.error is None:
                self._complete()
        except UserError as error:
            self.error = str(error)
        except Exception as error:
            self.error = str(unwritable(self.job.target, error))
        self.abort()
        if self.error is not None:
            return Outcome(self.job, error=self.error)
        warnings = tuple(f"{self.job.source}: {line}" for line in self.warnings)
        if self.source.count == 1 and len(self.answers) == 1 and self.job.target.suffix.lower() in SAVE_OPTIONS:
            return Outcome(self.job, self.answers[0], warnings=warnings)
        return Outcome(self.job, warnings=warnings, pages=tuple(self.answers), sizes=tuple(self.sizes))

    def _complete(self) -> None:
        assert self.writer is not None and self.aside.file is not None
        lost = self.writer.finish()
        if not self.changed and self.source.copies(self.job.target.suffix.lower()):  # byte for byte
            self.aside.file.seek(0)
            self.aside.file.truncate()
            with open(self.job.source, "rb") as source:
                shutil.copyfileobj(source, self.aside.file)
        else:
            self.warnings += lost
        self.aside.commit()
        if self.job.comparison is not None:
            save_picture(contact_sheet(self.rows), self.job.comparison)
        if self.clean_writer is not None and self.clean_aside is not None:
            self.clean_writer.finish()
            self.clean_aside.commit()

    def abort(self) -> None:
        """Let go of everything."""
        for writer in (self.writer, self.clean_writer):
            if writer is not None:
                writer.abort()
        self.source.close()
        self.aside.abort()
        if self.clean_aside is not None:
            self.clean_aside.abort()
