"""Write rendered page pairs to Parquet shards that Hugging Face `datasets` opens.

A shard is a pure function of the settings, the texts and its number, so the bytes do not depend on how many workers
made it. It is written aside and then renamed, and carries a fingerprint of all settings: a run that was interrupted
finds the shards it has and goes on with the rest.
"""

import hashlib
import io
import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import PIL
from PIL import features
from tqdm import tqdm

from data_synth.backgrounds import to_png
from data_synth.card import METADATA_KEY, shard_metadata, write_card
from data_synth.corpora import TextPair
from data_synth.errors import UserError
from data_synth.on_ray import make_on_ray
from data_synth.places import place, put
from data_synth.render import PagePair, RenderedPage, lacking, render_sample
from data_synth.style import PageLayout, StyleOptions

FORMAT_VERSION = 1


@dataclass(frozen=True)
class BuildOptions:
    """Everything that decides what is written, except the texts."""

    source_language: str = "de"
    target_language: str = "en"
    split: str = "train"  # name of the split, and of its files
    origin: str = "built-in grammar"  # where the texts come from, for the data card
    layout: PageLayout = field(default_factory=PageLayout)
    style: StyleOptions = field(default_factory=StyleOptions)
    blocks: tuple[int, int] = (1, 1)  # fewest and most pairs on a page
    smallest: int | None = None  # font size that text which does not fit may shrink to, pixels
    lower: bool = False  # lower-case all text
    seed: int = 0  # of styles, places and noise
    shard_size: int = 500  # pages asked for per shard

    def __post_init__(self) -> None:
        if not self.split.replace("_", "").replace(".", "").isalnum():
            raise UserError(f"split {self.split!r}: letters, digits, dots and underscores only")
        if not 1 <= self.blocks[0] <= self.blocks[1]:
            raise UserError(f"blocks {self.blocks[0]}-{self.blocks[1]}: expected 1 <= fewest <= most")
        if self.shard_size < 1:
            raise UserError(f"shard_size={self.shard_size}: at least 1")


@dataclass
class Summary:
    """What a build did; `counts` has keys asked, written, shrunk, no_room and no_glyph."""

    folder: Path
    counts: Counter[str]
    shards: int
    shards_found: int
    size: int  # bytes on disk


@dataclass(frozen=True)
class _Task:
    """One shard to make: pages `first` and on, page i from `texts[starts[i]:starts[i + 1]]`."""

    path: Path
    first: int
    texts: Sequence[TextPair]
    starts: tuple[int, ...]
    options: BuildOptions
    fingerprint: str


def build(
    texts: Sequence[TextPair],
    options: BuildOptions,
    folder: str | Path,
    *,
    pages: int | None = None,
    workers: int = 1,
    force: bool = False,
    quiet: bool = False,
    ray: str | None = None,
) -> Summary:
    """Render texts into `folder/data/<split>-*.parquet` and write the data card.

    Args:
        texts: aligned pairs.
        options: what to draw and how.
        folder: made if need be, a path or a place of fsspec's (``s3://...``); other splits in it are left alone.
        pages: how many pages at most; None for as many as the texts fill.
        workers: processes to render with.
        force: throw away shards of the same split that were made with other settings.
        quiet: no progress bar (there is none either where standard error is no terminal).
        ray: render on the Ray cluster at this address instead (`on_ray.cluster`); all its hosts write to `folder`.

    Raises:
        UserError: shards made with other settings are in the way, nothing to render, or the disk is full.
    """
    folder = place(folder)
    starts = _page_starts(len(texts), options, pages)
    tasks = _tasks(texts, options, folder, starts)
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        found = _shards_found(tasks, options, folder, force)
        missing = [task for task in tasks if task.path not in found]
        counts = sum(found.values(), Counter())
        total = len(starts) - 1
        with tqdm(total=total, initial=counts["asked"], unit="page", disable=quiet or None, desc=options.split) as bar:
            for shard in _make_all(missing, workers, bar.update, ray):
                counts += shard
        write_card(folder)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error}") from error
    return Summary(folder, counts, len(tasks), len(found), sum(task.path.stat().st_size for task in tasks))


def _page_starts(available: int, options: BuildOptions, pages: int | None) -> list[int]:
    """Page i holds pairs starts[i] to starts[i + 1]; how many is drawn per page."""
    rng = random.Random(f"{options.seed}/blocks")
    starts = [0]
    while pages is None or len(starts) <= pages:
        end = starts[-1] + rng.randint(*options.blocks)
        if end > available:
            break
        starts.append(end)
    if len(starts) == 1:
        raise UserError(f"no page to render: {available} text pairs, {options.blocks[0]} or more needed for a page")
    return starts


def _tasks(texts: Sequence[TextPair], options: BuildOptions, folder: Path, starts: list[int]) -> list[_Task]:
    total = len(starts) - 1
    fingerprint = _fingerprint(texts, options, total)
    count = -(-total // options.shard_size)
    tasks = []
    for number in range(count):
        first = number * options.shard_size
        edges = starts[first : first + options.shard_size + 1]
        path = folder / "data" / f"{options.split}-{number:05d}-of-{count:05d}.parquet"
        relative = tuple(edge - edges[0] for edge in edges)
        tasks.append(_Task(path, first, texts[edges[0] : edges[-1]], relative, options, fingerprint))
    return tasks


def _fingerprint(texts: Sequence[TextPair], options: BuildOptions, pages: int) -> str:
    """A hash of everything that a page depends on."""
    digest = hashlib.sha256()
    versions = [FORMAT_VERSION, PIL.__version__, features.version("freetype2")]
    digest.update(json.dumps([versions, asdict(options), pages], sort_keys=True).encode())
    if isinstance(texts, list):
        for pair in texts:
            digest.update(f"{pair.source}\t{pair.target}\n".encode())
    else:
        digest.update(repr(texts).encode())
    return digest.hexdigest()


def _shards_found(tasks: Sequence[_Task], options: BuildOptions, folder: Path, force: bool) -> dict[Path, Counter[str]]:
    """The shards of these settings that are there already, and their counts; clears what an earlier run left over."""
    for leftover in (folder / "data").glob(f".tmp-{options.split}-*"):
        leftover.unlink(missing_ok=True)
    wanted = {task.path: task.fingerprint for task in tasks}
    found = {}
    for path in sorted((folder / "data").glob(f"{options.split}-?????-of-?????.parquet")):
        record = shard_metadata(path)
        if record is not None and wanted.get(path) == record["fingerprint"]:
            found[path] = Counter(record["counts"])
        elif force:
            path.unlink()
        else:
            raise UserError(f"{path} was made from other texts or settings: choose another folder, or pass --force")
    return found


def _make_all(
    tasks: Sequence[_Task], workers: int, progress: Callable[[int], object], ray: str | None
) -> Iterator[Counter[str]]:
    """Make shards, in this process, in several, or on a cluster."""
    if ray is not None and tasks:
        for counts in make_on_ray(tasks, _make_shard, ray, workers):
            progress(counts["asked"])
            yield counts
        return
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield _make_shard(task, progress)
        return
    # Spawned, not forked: a forked child of a process with threads (Arrow's, tqdm's) may hang.
    pool = ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn"), _ignore_interrupts)
    try:
        for done in as_completed([pool.submit(_make_shard, task) for task in tasks]):
            counts = done.result()
            progress(counts["asked"])
            yield counts
    except BrokenProcessPool as error:
        raise UserError(
            "a worker died, probably for want of memory: fewer --workers or a smaller --shard-size"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C is for the parent, which then lets running shards finish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make_shard(task: _Task, progress: Callable[[int], object] | None = None) -> Counter[str]:
    """Render the pages of one shard and put the file in place, whole or not at all."""
    counts: Counter[str] = Counter(asked=0, written=0, shrunk=0, no_room=0, no_glyph=0)
    rows = []
    for number, (start, end) in enumerate(zip(task.starts, task.starts[1:], strict=False)):
        pair = _join(task.texts[start:end], task.options)
        index = task.first + number
        pages, style = render_sample(
            pair, task.options.layout, task.options.style, task.options.seed, index, task.options.smallest
        )
        counts["asked"] += 1
        if pages is not None:
            counts["written"] += 1
            counts["shrunk"] += pages.style.font_size < style.font_size
            rows.append(_row(index, pair, pages, task.options))
        else:
            counts["no_glyph" if lacking(f"{pair.source} {pair.target}", style) else "no_room"] += 1
        if progress is not None:
            progress(1)
    _write(task, rows, counts)
    return counts


def _join(pairs: Sequence[TextPair], options: BuildOptions) -> TextPair:
    """The pairs of a page as one, a block a line."""
    source, target = ("\n".join(side) for side in zip(*((pair.source, pair.target) for pair in pairs), strict=True))
    return TextPair(source.lower(), target.lower()) if options.lower else TextPair(source, target)


def _row(index: int, pair: TextPair, pages: PagePair, options: BuildOptions) -> dict[str, Any]:
    row: dict[str, Any] = {"id": index}
    sides = (
        ("source", pair.source, options.source_language, pages.source),
        ("target", pair.target, options.target_language, pages.target),
    )
    for side, text, language, page in sides:
        row[f"{side}_image"] = {"bytes": to_png(page.pixels), "path": None}
        row[f"{side}_text"] = text
        row[f"{side}_language"] = language
        row[f"{side}_boxes"] = _boxes(page)
    row["style"] = pages.style.to_json()
    return row


def _boxes(page: RenderedPage) -> list[dict[str, Any]]:
    return [asdict(box) for box in page.boxes]


def _write(task: _Task, rows: list[dict[str, Any]], counts: Counter[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = {"fingerprint": task.fingerprint, "counts": dict(counts), "options": _public(task.options)}
    metadata = {
        b"huggingface": json.dumps({"info": {"features": _features()}}).encode(),
        METADATA_KEY: json.dumps(record, sort_keys=True).encode(),
    }
    table = pa.Table.from_pylist(rows, schema=_schema().with_metadata(metadata))
    content = io.BytesIO()
    # Small row groups, so that readers can fetch a few pages without reading a whole shard.
    pq.write_table(table, content, row_group_size=100)
    put(task.path, content.getvalue())


def _public(options: BuildOptions) -> dict[str, Any]:
    """The options as they are recorded: files of the user's by name only."""
    style = options.style
    fonts, pictures = (tuple(Path(item).name for item in items) for items in (style.fonts, style.pictures))
    return asdict(replace(options, style=replace(style, fonts=fonts, pictures=pictures)))


def _schema() -> Any:
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    numbers = [(name, pa.int32()) for name in ("left", "top", "right", "bottom")]
    boxes = pa.list_(pa.struct([*numbers, ("text", pa.string()), ("block", pa.int32())]))
    fields = [("id", pa.int64())]
    for side in ("source", "target"):
        fields += [
            (f"{side}_image", image),
            (f"{side}_text", pa.string()),
            (f"{side}_language", pa.string()),
            (f"{side}_boxes", boxes),
        ]
    return pa.schema([*fields, ("style", pa.string())])


def _features() -> dict[str, Any]:
    """The schema in the words of Hugging Face `datasets`, which then decodes the pictures by itself."""

    def value(dtype: str) -> dict[str, str]:
        return {"dtype": dtype, "_type": "Value"}

    box: dict[str, Any] = {name: value("int32") for name in ("left", "top", "right", "bottom")}
    box |= {"text": value("string"), "block": value("int32")}
    found: dict[str, Any] = {"id": value("int64")}
    for side in ("source", "target"):
        found |= {
            f"{side}_image": {"_type": "Image"},
            f"{side}_text": value("string"),
            f"{side}_language": value("string"),
            f"{side}_boxes": [box],
        }
    return found | {"style": value("string")}
