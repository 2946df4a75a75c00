"""From picture files to picture files: which are read, where each answer goes, and what became of each."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.inference.pictures import SAVE_OPTIONS, check_picture, open_picture, save_picture
from translatotron_v.sheets import contact_sheet

if TYPE_CHECKING:
    from translatotron_v.generation_config import GenerationConfig
    from translatotron_v.inference.loaded import Translation
    from translatotron_v.inference.pipeline import Translator

TOGETHER = 24_000_000  # pixels of pictures that are held and translated together; a larger one goes alone


@dataclass(frozen=True)
class Job:
    """One picture to translate."""

    source: Path
    target: Path
    comparison: Path | None = None  # where source and translation stand side by side

    @property
    def outputs(self) -> list[Path]:
        """Every file that this job writes."""
        return [self.target] if self.comparison is None else [self.target, self.comparison]


@dataclass(frozen=True)
class Outcome:
    """What became of one job: a translation that was written, or one line that says why not."""

    job: Job
    translation: "Translation | None" = None
    error: str | None = None
    warnings: tuple[str, ...] = ()  # one line each, which name the file


def plan_jobs(inputs: Sequence[str], output: str | Path, compare: bool = False) -> list[Job]:
    """Pair pictures with their outputs, before any work starts.

    Args:
        inputs: files, folders (the pictures directly in them) and globs (`**` reaches into folders).
        output: a file name with a picture's extension for a single file, otherwise a folder, where each answer is a PNG
            of the source's name.
        compare: also write `NAME-compare` beside each answer.

    Raises:
        UserError: nothing to read, several pictures for one file, or two pictures for one output.
    """
    sources = list(dict.fromkeys(path for item in inputs for path in _expand(item)))
    target = Path(output)
    if _names_file(output, len(sources)):
        if target.suffix.lower() not in SAVE_OPTIONS:
            raise UserError(f"{output}: unknown kind of picture; known are {', '.join(SAVE_OPTIONS)}")
        if len(sources) > 1:
            raise UserError(f"{output}: one file cannot take {len(sources)} pictures; name a folder")
        return [_job(sources[0], target, compare)]
    if os.path.exists(target) and not os.path.isdir(target):  # false for a name that no file can bear
        raise UserError(f"{output}: a file, where a folder is needed")
    stems = [source.stem for source in sources]
    names = [source.stem if stems.count(source.stem) == 1 else source.name for source in sources]
    jobs = [_job(source, target / f"{name}.png", compare) for source, name in zip(sources, names, strict=True)]
    taken: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            other = taken.setdefault(path, job.source)
            if other != job.source:
                raise UserError(f"{job.source} and {other} would both be written to {path}; translate them apart")
    return jobs


def refused(job: Job, force: bool = False) -> Outcome | None:
    """Why a job cannot be done, as far as that shows without reading its pixels; else None."""
    try:
        for path in job.outputs:
            if path.exists() and not force:
                return Outcome(job, error=f"{path}: exists already; --force overwrites it")
        place = next(folder for folder in job.target.absolute().parents if folder.exists())
        if not place.is_dir():
            return Outcome(job, error=f"{job.target}: cannot be written ({place} is a file, not a folder)")
        if not os.access(place, os.W_OK):
            return Outcome(job, error=f"{job.target}: cannot be written ({place} is read-only)")
        check_picture(job.source)
    except UserError as error:
        return Outcome(job, error=str(error))
    except OSError as error:  # a name that is too long, a folder that may not be entered
        return Outcome(job, error=f"{job.target}: cannot be written ({error.strerror or error})")
    return None


def translate_jobs(
    translator: "Translator",
    jobs: Sequence[Job],
    generation: "GenerationConfig | None" = None,
    *,
    force: bool = False,
    batch_size: int | None = None,
    debug: Path | None = None,
) -> Iterator[Outcome]:
    """Read, translate and write, batch by batch; what goes wrong with one picture does not stop the others.

    Args:
        generation: how to answer, by default as the weights say.
        force: overwrite outputs that exist; otherwise their pictures are left out and reported.
        batch_size: pictures at a time (the translator's own); fewer where together they would have more than
            `TOGETHER`.
        debug: folder that takes, for each picture, a folder of what the pipeline saw.
    """
    if batch_size is None:
        batch_size = translator.batch_size
    for start in range(0, len(jobs), batch_size):
        batch: list[tuple[Job, Image.Image]] = []
        pixels = 0
        for job in jobs[start : start + batch_size]:
            if (outcome := refused(job, force)) is not None:
                yield outcome
                continue
            try:
                picture = open_picture(job.source)
            except UserError as error:
                yield Outcome(job, error=str(error))
                continue
            size = picture.width * picture.height
            if batch and pixels + size > TOGETHER:
                yield from _translate_batch(translator, batch, generation, debug)
                batch, pixels = [], 0
            batch.append((job, picture))
            pixels += size
        if batch:
            yield from _translate_batch(translator, batch, generation, debug)


def _translate_batch(
    translator: "Translator",
    batch: Sequence[tuple[Job, Image.Image]],
    generation: "GenerationConfig | None",
    debug: Path | None = None,
) -> Iterator[Outcome]:
    """Translate pictures together, then write them one by one."""
    try:
        translations = translator.translate(
            [picture for _, picture in batch], generation=generation, batch_size=len(batch), debug=debug is not None
        )
    except UserError:  # of the settings, which are those of all pictures
        raise
    except Exception as error:  # one bad picture takes no others with it
        if len(batch) > 1:
            for one in batch:
                yield from _translate_batch(translator, [one], generation, debug)
        else:
            reason = f"{type(error).__name__}: {str(error).strip()}".split("\n")[0]
            yield Outcome(batch[0][0], error=f"{batch[0][0].source}: cannot be translated ({reason})")
        return
    for (job, picture), translation in zip(batch, translations, strict=True):
        try:
            save_picture(translation.image, job.target)
            if job.comparison is not None:
                save_picture(contact_sheet([[picture, translation.image]]), job.comparison)
            if debug is not None:
                for name, seen in translation.debug.items():
                    save_picture(seen, debug / job.target.stem / f"{name}.png")
        except UserError as error:
            yield Outcome(job, error=str(error))
        else:
            yield Outcome(job, translation, warnings=_warnings(job, translation))


def _warnings(job: Job, translation: "Translation") -> tuple[str, ...]:
    if translation.frames == 1:
        return ()
    return (f"{job.source}: only the first of {translation.frames} frames or pages is translated",)


def _job(source: Path, target: Path, compare: bool) -> Job:
    return Job(source, target, target.with_name(f"{target.stem}-compare{target.suffix}") if compare else None)


def _expand(item: str) -> list[Path]:
    """The pictures behind one argument; a file that is named is taken whatever its extension, and existing or not."""
    path = Path(item)
    if os.path.isdir(path):
        found = [file for file in sorted(path.iterdir()) if _is_picture(file)]
        if not found:
            raise UserError(f"{item}: no pictures in this folder ({', '.join(SAVE_OPTIONS)})")
        return found
    if glob.has_magic(item) and not os.path.exists(path):
        found = [file for match in sorted(glob.glob(item, recursive=True)) if _is_picture(file := Path(match))]
        if not found:
            raise UserError(f"{item}: matches no picture")
        return found
    return [path]


def _is_picture(file: Path) -> bool:
    if file.suffix.lower() not in SAVE_OPTIONS or file.name.startswith("."):
        return False
    try:
        return file.is_file()
    except OSError:  # behind a folder that may not be entered: it is named when it is read
        return True


def _names_file(output: str | Path, pictures: int) -> bool:
    """Whether an output names a file: by its extension, unless it is a folder already or ends with a slash."""
    target = Path(output)
    if str(output).endswith(("/", "\\")) or os.path.isdir(target) or not target.suffix:
        return False
    return target.suffix.lower() in SAVE_OPTIONS or pictures == 1
