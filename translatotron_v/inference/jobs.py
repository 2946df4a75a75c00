"""Which files are read, where each answer goes, and what became of each."""

import glob
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.errors import UserError
from translatotron_v.inference.containers import DPI
from translatotron_v.inference.naming import distinct
from translatotron_v.inference.pictures import SAVE_OPTIONS, PictureError, check_picture
from translatotron_v.inference.sources import open_source

if TYPE_CHECKING:
    from translatotron_v.inference.loaded import Translation

KNOWN = (*SAVE_OPTIONS, ".pdf", ".cbz", ".zip")  # extensions of what is read and written
EXISTS = "exists already"
_LOSSY = (".jpg", ".jpeg", ".jfif", ".avif", ".heic", ".heif")  # kinds that change pixels where nothing was done


@dataclass(frozen=True)
class Job:
    """One file to translate."""

    source: Path
    target: Path
    comparison: Path | None = None  # where source and translation stand side by side
    force: bool = False  # overwrite outputs that exist
    clean: Path | None = None  # the source without the text that was translated

    @property
    def outputs(self) -> list[Path]:
        """Every file that this job writes."""
        return [path for path in (self.target, self.comparison, self.clean) if path is not None]


@dataclass(frozen=True)
class Outcome:
    """What became of one file: a translation that was written, or one line that says why not.

    Attributes:
        translation: of a single picture.
        pages: of a file of several frames or pages, one for each, without their pictures.
        sizes: width and height of each of those, or of a single picture that is not here any more.
        error: why it was not translated.
        skip_reason: why nobody tried.
        warnings: one line each, which name the file.
    """

    job: Job
    translation: "Translation | None" = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    pages: "tuple[Translation, ...]" = ()
    sizes: tuple[tuple[int, int], ...] = ()
    skip_reason: str = ""

    @property
    def existing(self) -> bool:
        """Whether it was left out since its outputs are there."""
        return self.skip_reason == EXISTS

    @property
    def translations(self) -> "tuple[Translation, ...]":
        """Of all frames."""
        return self.pages if self.translation is None else (self.translation,)


def plan_jobs(
    inputs: Sequence[str], output: str | Path, compare: bool = False, recursive: bool = False, clean: bool = False
) -> list[Job]:
    """Pair files with their outputs, before any work starts.

    Args:
        inputs: files, folders (the pictures directly in them) and globs (`**` reaches into folders).
        output: a file name with a known extension for a single file, otherwise a folder, where each answer has the
            source's name and is of the kind that `Source.suffix` says: what has several frames or pages stays what it
            is, a single picture becomes a PNG.
            Names that several sources would have are told apart (`naming.distinct`).
        compare: also write `NAME-compare` beside each answer.
        recursive: of folders take all that is in them, however deep, but for the output's folder; the answers lie in
            the same folders below the output.
        clean: also write `NAME-clean`, the source without the text that was translated.

    Raises:
        UserError: nothing to read, or several files for one.
    """
    found = [expand(item, output, recursive) for item in inputs]
    below: dict[str, tuple[Path, Path]] = {}  # by full path: a source, and the folder below the output that it goes to
    for item, (paths, _) in zip(inputs, found, strict=True):
        for path in paths:
            folder = path.parent.relative_to(item) if recursive and os.path.isdir(item) else Path()
            below.setdefault(os.path.abspath(path), (path, folder))
    sources = [source for source, _ in below.values()]
    if not sources:
        raise UserError(next(complaint for _, complaint in found if complaint))
    target = Path(output)
    if names_file(output, len(sources)):
        if target.suffix.lower() not in KNOWN:
            raise UserError(f"{output}: unknown kind of picture; known are {', '.join(KNOWN)}")
        if len(sources) > 1:
            raise UserError(f"{output}: one file cannot take {len(sources)} pictures; name a folder")
        return [make_job(sources[0], target, compare, clean)]
    if os.path.exists(target) and not os.path.isdir(target):  # false for a name that no file can bear
        raise UserError(f"{output}: a file, where a folder is needed")
    suffixes = [suffix_of(source) for source in sources]
    places = [target / folder for _, folder in below.values()]
    # What is written beside an answer has a name that follows from the answer's.
    paths = distinct(sources, suffixes, places, lambda path: make_job(path, path, compare, clean).outputs)
    return [make_job(source, path, compare, clean) for source, path in zip(sources, paths, strict=True)]


def left_out(inputs: Sequence[str], output: str | Path, recursive: bool = False) -> list[Outcome]:
    """What `plan_jobs` takes no job from: inputs without pictures, and what else lies in the folders."""
    outcomes = []
    for item in inputs:
        paths, complaint = expand(item, output, recursive)
        if complaint:
            outcomes.append(Outcome(Job(Path(item), Path(output)), error=complaint))
        if os.path.isdir(item):
            taken = set(paths)
            for file in _files(Path(item), output, recursive):
                if file not in taken and not file.name.startswith(".") and not file.is_dir():
                    outcomes.append(Outcome(Job(file, Path(output)), skip_reason=_why_not(file)))
    return outcomes


def without_existing(
    jobs: Sequence[Job], existed: Callable[[Job], Sequence[bool]] | None = None
) -> tuple[list[Job], list[Outcome]]:
    """The jobs that lack an output, which they may all write again, and what became of the others.

    Args:
        existed: of each output, whether it is to be kept; by default whether it is there.
    """
    done = [all(existed(job) if existed else [path.exists() for path in job.outputs]) for job in jobs]
    return (
        [replace(job, force=True) for job, whole in zip(jobs, done, strict=True) if not whole],
        [Outcome(job, skip_reason=EXISTS) for job, whole in zip(jobs, done, strict=True) if whole],
    )


def _why_not(file: Path) -> str:
    try:
        check_picture(file)
    except PictureError as error:
        return str(error)
    return f"{file}: not a picture"


def refused(job: Job, force: bool = False, dpi: int = DPI) -> Outcome | None:
    """Why a job cannot be done, as far as that shows without reading its pixels; else None."""
    try:
        for path in job.outputs:
            if path.exists() and not (force or job.force):
                return Outcome(job, error=f"{path}: exists already; --force overwrites it")
        place = next(folder for folder in job.target.absolute().parents if folder.exists())
        if not place.is_dir():
            return Outcome(job, error=f"{job.target}: cannot be written ({place} is a file, not a folder)")
        if not os.access(place, os.W_OK):
            return Outcome(job, error=f"{job.target}: cannot be written ({place} is read-only)")
        source = open_source(job.source, dpi)
        try:
            source.check(job.target.suffix.lower())
        finally:
            source.close()
    except UserError as error:
        return Outcome(job, error=str(error))
    except OSError as error:  # a name that is too long, a folder that may not be entered
        return Outcome(job, error=f"{job.target}: cannot be written ({error.strerror or error})")
    return None


def make_job(source: Path, target: Path, compare: bool, clean: bool = False) -> Job:
    """A job with the names of what is written beside its answer."""
    suffix = target.suffix.lower()
    job = Job(source, target)
    if compare:
        shown = target.suffix if suffix in SAVE_OPTIONS and suffix != ".gif" else ".png"
        job = replace(job, comparison=target.with_name(f"{target.stem}-compare{shown}"))
    if clean:
        kept = ".png" if suffix in _LOSSY else target.suffix
        job = replace(job, clean=target.with_name(f"{target.stem}-clean{kept}"))
    return job


def suffix_of(source: Path) -> str:
    """The extension of an answer in a folder; PNG for what cannot be read, which is said later."""
    try:
        opened = open_source(source)
    except (UserError, OSError):
        return ".png"
    try:
        return opened.suffix
    finally:
        opened.close()


def _files(folder: Path, output: str | Path, recursive: bool) -> list[Path]:
    """What lies in a folder, in natural order; with `recursive` below it too, but for hidden folders and the output."""
    if not recursive:
        return sorted(folder.iterdir(), key=natural)
    found = []
    own = os.path.abspath(output)
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if not name.startswith(".") and os.path.abspath(os.path.join(place, name)) != own
        ]
        found += [Path(place) / name for name in names]
    return sorted(found, key=natural)


def expand(item: str, output: str | Path = "", recursive: bool = False) -> tuple[list[Path], str]:
    """The files behind one argument, and a complaint where there are none.

    A file that is named is taken whatever its extension, and existing or not.
    """
    path = Path(item)
    if os.path.isdir(path):
        found = [file for file in _files(path, output, recursive) if _is_picture(file)]
        return found, "" if found else f"{item}: no pictures in this folder ({', '.join(KNOWN)})"
    if glob.has_magic(item) and not os.path.exists(path):
        matches = sorted(map(Path, glob.glob(item, recursive=True)), key=natural)
        found = [file for file in matches if _is_picture(file)]
        return found, "" if found else f"{item}: matches no picture"
    return [path], ""


def natural(path: Path) -> list[Any]:
    """To sort by: page2 before page10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def _is_picture(file: Path) -> bool:
    """Whether a file in a folder is taken: by its extension, or by its content where it has none."""
    if file.name.startswith("."):
        return False
    try:
        if file.suffix.lower() in KNOWN:
            return not file.is_dir()  # a link to nothing is named when it is read
        if file.suffix or not file.is_file():
            return False
        check_picture(file)
    except PictureError:
        return False
    except OSError:  # behind a folder that may not be entered: it is named when it is read
        return file.suffix.lower() in KNOWN
    return True


def names_file(output: str | Path, pictures: int) -> bool:
    """Whether an output names a file: by its extension, unless it is a folder already or ends with a slash."""
    target = Path(output)
    if str(output).endswith(("/", "\\")) or os.path.isdir(target) or not target.suffix:
        return False
    return target.suffix.lower() in KNOWN or pictures == 1
