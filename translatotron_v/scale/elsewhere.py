"""Files that lie elsewhere: listed through fsspec, fetched to be translated, written back whole or not at all.

The plan is that of `inference/jobs.py`, with paths of universal_pathlib where a place has a protocol. Only workers read
and write pictures: to a folder of their own disk, a part at a time.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.data.remote import filesystem, is_remote, patiently
from translatotron_v.errors import UserError, first_line
from translatotron_v.inference import jobs as here
from translatotron_v.inference.files import Progress, translate_jobs
from translatotron_v.inference.jobs import KNOWN, Job, Outcome
from translatotron_v.inference.naming import distinct
from translatotron_v.inference.sources import open_source

if TYPE_CHECKING:
    from translatotron_v.generation_config import GenerationConfig
    from translatotron_v.inference.pipeline import Translator

_THREADS = 16  # that look at the heads of files
_BLOCK = 1 << 16  # bytes that are asked for at a time then
_ALWAYS = (".pdf", ".cbz", ".zip")  # stay what they are; others by what is in them


def place(name: str | Path) -> Path:
    """A path; of universal_pathlib, which does what pathlib's do, where there is a protocol.

    Raises:
        UserError: an unknown protocol, or a package that it needs is not installed.
    """
    if not is_remote(name) or not isinstance(name, str):
        return Path(name) if isinstance(name, str) else name
    try:
        from upath import UPath
    except ImportError:
        raise UserError(f"{name}: takes universal-pathlib: pip install 'translatotron-v[scale]'") from None
    filesystem(name)
    found: Any = UPath(name)
    return found


def plan_jobs(
    inputs: Sequence[str], output: str, compare: bool = False, recursive: bool = False, clean: bool = False
) -> list[Job]:
    """See `jobs.plan_jobs`; the output is a folder.

    Raises:
        UserError: nothing to read, a place that cannot be listed, or an output that is a file.
    """
    if Path(output).suffix.lower() in KNOWN:
        raise UserError(f"{output}: with files that lie elsewhere the output is a folder")
    found = [_expand(item, output, recursive) for item in inputs]
    below: dict[str, tuple[Path, str]] = {}  # by name: a source, and the folder below the output that it goes to
    for paths, _, _ in found:
        for path, folder in paths:
            below.setdefault(str(path), (path, folder))
    sources = [source for source, _ in below.values()]
    if not sources:
        raise UserError(next(complaint for _, _, complaint in found if complaint))
    with ThreadPoolExecutor(_THREADS) as threads:
        suffixes = list(threads.map(_suffix, sources))
    # Names are told apart on paths that stand for the real ones.
    root = Path(os.sep, "out")
    stand_ins = [Path(os.sep, str(source).replace("://", "/")) for source in sources]
    places = [root / folder for _, folder in below.values()]
    answers = distinct(stand_ins, suffixes, places, lambda path: here.make_job(path, path, compare, clean).outputs)
    target = place(output)
    return [
        here.make_job(source, target / path.relative_to(root).as_posix(), compare, clean)
        for source, path in zip(sources, answers, strict=True)
    ]


def left_out(inputs: Sequence[str], output: str, recursive: bool = False) -> list[Outcome]:
    """See `jobs.left_out`."""
    outcomes = []
    for item in inputs:
        _, others, complaint = _expand(item, output, recursive)
        if complaint:
            outcomes.append(Outcome(Job(place(item), place(output)), error=complaint))
        outcomes += [Outcome(Job(path, place(output)), skip_reason=f"{path}: not a picture") for path in others]
    return outcomes


def refused(job: Job, force: bool = False, dpi: int = 0) -> Outcome | None:
    """See `jobs.refused`; whether a file can be read is found out by whoever translates it."""
    for path in job.outputs:
        if not (force or job.force) and path.exists():
            return Outcome(job, error=f"{path}: exists already; --force overwrites it")
    return None


def journal_folder(output: str) -> Path:
    """Where this machine keeps the journal of a run into a place that cannot be appended to."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "translatotron-v" / "runs" / sha256(output.rstrip("/").encode()).hexdigest()[:24]


def _expand(item: str, output: str, recursive: bool) -> tuple[list[tuple[Path, str]], list[Path], str]:
    """Files behind one argument, each with its folder below the output; others there; a complaint if there are none."""
    if not is_remote(item):
        paths, complaint = here.expand(item, output, recursive)
        folders = [path.parent.relative_to(item) if recursive and os.path.isdir(item) else Path() for path in paths]
        return [(path, folder.as_posix()) for path, folder in zip(paths, folders, strict=True)], [], complaint
    files, path = filesystem(item)
    if not _is_folder(files, path, item):
        if "*" not in item:
            return [(place(item), "")], [], ""
        matches = patiently(item, lambda: files.glob(path))
        found = sorted((place(files.unstrip_protocol(name)) for name in matches), key=here.natural)
        found = [file for file in found if file.suffix.lower() in KNOWN]
        return [(file, "") for file in found], [], "" if found else f"{item}: matches no picture"
    names = patiently(item, lambda: files.find(path, maxdepth=None if recursive else 1))
    root, own = path.rstrip("/"), filesystem(output)[1].rstrip("/") + "/" if is_remote(output) else ""
    taken: list[tuple[Path, str]] = []
    others: list[Path] = []
    for name in sorted(names, key=lambda name: here.natural(Path(name))):
        relative = Path(name[len(root) + 1 :])
        if any(part.startswith(".") for part in relative.parts) or (own and name.startswith(own)):
            continue
        file = place(files.unstrip_protocol(name))
        if relative.suffix.lower() in KNOWN:
            taken.append((file, relative.parent.as_posix()))
        else:
            others.append(file)
    return taken, others, "" if taken else f"{item}: no pictures in this folder ({', '.join(KNOWN)})"


def _is_folder(files: Any, path: str, item: str) -> bool:
    return "*" not in item and bool(patiently(item, lambda: files.isdir(path)))


def _suffix(source: Path) -> str:
    """The extension of an answer; PNG for what cannot be read, which is said later."""
    if source.suffix.lower() in _ALWAYS:
        return source.suffix.lower()
    if not is_remote(str(source)):
        return here.suffix_of(source)
    try:
        files, path = filesystem(str(source))
        with files.open(path, "rb", block_size=_BLOCK) as file:
            opened = open_source(Path(source.name), file=file)
            try:
                return opened.suffix
            finally:
                opened.close()
    except Exception:  # every file system raises a family of its own
        return ".png"


def translate_staged(
    translator: "Translator",
    jobs: Sequence[Job],
    generation: "GenerationConfig | None" = None,
    *,
    force: bool = False,
    progress: Progress = lambda job, done, count: None,
    **others: Any,
) -> Iterator[Outcome]:
    """`translate_jobs` for files that may lie elsewhere: fetched to the local disk, and put where they belong."""
    with tempfile.TemporaryDirectory(prefix="translatotron-v-") as folder:
        staged: dict[int, tuple[Job, Job]] = {}  # by id of the local job
        for number, job in enumerate(jobs):
            if (outcome := refused(job, force)) is not None:
                yield outcome
                continue
            own = Path(folder, str(number))
            try:
                local = _fetched(job, own)
            except UserError as error:
                yield Outcome(job, error=str(error))
                continue
            staged[id(local)] = (local, job)

        def told(local: Job, done: int, count: int) -> None:
            progress(staged[id(local)][1], done, count)

        plan = [local for local, _ in staged.values()]
        for outcome in translate_jobs(translator, plan, generation, force=True, progress=told, **others):
            local, job = staged[id(outcome.job)]
            yield _delivered(outcome, local, job)


def _fetched(job: Job, folder: Path) -> Job:
    """A job between files of this machine; a source that is here already is read where it is."""
    for side in ("in", "out"):
        (folder / side).mkdir(parents=True)
    source = job.source
    if is_remote(str(source)):
        source = folder / "in" / job.source.name
        files, path = filesystem(str(job.source))
        patiently(str(job.source), partial(files.get_file, path, str(source)))
    out = folder / "out"
    return replace(
        job,
        source=source,
        target=out / job.target.name,
        comparison=None if job.comparison is None else out / job.comparison.name,
        clean=None if job.clean is None else out / job.clean.name,
        force=True,
    )


def _delivered(outcome: Outcome, local: Job, job: Job) -> Outcome:
    """Put what was written where it belongs, and call files by their own names."""

    def named(text: str) -> str:
        for path, real in [(local.source, job.source), *zip(local.outputs, job.outputs, strict=True)]:
            text = text.replace(str(path), str(real))
        return text

    error = None if outcome.error is None else named(outcome.error)
    if error is None and not outcome.skip_reason:
        try:
            for path, real in reversed(list(zip(local.outputs, job.outputs, strict=True))):  # the answer comes last
                _put(path, real)
        except UserError as failure:
            error = str(failure)
    for path in local.outputs:
        path.unlink(missing_ok=True)
    if local.source != job.source:
        local.source.unlink(missing_ok=True)
    if error is not None:
        return Outcome(job, error=error)
    return replace(outcome, job=job, warnings=tuple(map(named, outcome.warnings)))


def _put(local: Path, real: Path) -> None:
    """Write a file whole or not at all: an object is one request; on a file system it is renamed from beside.

    Raises:
        UserError: it cannot be written.
    """
    content = local.read_bytes()
    try:
        if not is_remote(str(real)) or str(real).startswith("file:"):
            final = Path(str(real).removeprefix("file://"))
            final.parent.mkdir(parents=True, exist_ok=True)
            aside = final.with_name(f".{final.name}.{os.getpid()}.part")
            aside.write_bytes(content)
            os.replace(aside, final)
        else:
            files, path = filesystem(str(real))
            patiently(str(real), partial(files.pipe_file, path, content))
    except OSError as error:
        raise UserError(f"{real}: cannot be written ({error.strerror or first_line(error)})") from None
