"""Pages rendered beforehand: the Parquet shards that ``python -m data_synth FOLDER --split SPLIT`` writes.

A folder holds all its splits, as ``FOLDER/data/SPLIT-00000-of-00012.parquet`` and so on. Pictures stay PNG bytes until
a batch needs them.
"""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from translatotron_v.config import CanvasConfig
from translatotron_v.data.remote import is_remote, list_files
from translatotron_v.errors import UserError

_NAME = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.parquet")
COLUMNS = tuple(f"{side}_{what}" for side in ("source", "target") for what in ("text", "language", "image"))
TEXTS = ("source_text", "target_text")
_MODES = {1: "L", 3: "RGB"}  # channels -> Pillow's name for such pictures


class StoredPages(NamedTuple):
    """One row of a shard: both texts, and the PNG bytes of the source and the target page."""

    source: str
    target: str
    pictures: tuple[bytes, bytes]


def holds_shards(folder: Path) -> bool:
    """Whether the folder is one of rendered pages."""
    return bool(_splits(folder))


def read_shards(folder: Path, split: str, languages: tuple[str, str], canvas: CanvasConfig) -> Iterator[StoredPages]:
    """The rows of a split in the order of their ids, shard by shard.

    Args:
        folder: what ``data_synth`` wrote to.
        split: as it was named there.
        languages: of source and target.
        canvas: size and channels that every page must have.

    Raises:
        UserError: the split or one of its shards is missing, a shard cannot be read, or it holds other languages or
            pages of another size.
    """
    for path in shards_of(folder, split):
        yield from _rows(path, languages, canvas)


def shards_of(folder: str | Path, split: str) -> Sequence[str | Path]:
    """The shards of a split in their order; ``folder`` may lie elsewhere (``data/remote.py``).

    Raises:
        UserError: the split or one of its shards is missing.
    """
    splits = _splits(folder)
    if split not in splits:
        raise UserError(
            f"{folder}: no shards of split {split!r}, only of {', '.join(sorted(splits)) or 'none'}; render it with "
            f"`python -m data_synth {folder} --split {split}`, or name another one (data.train, data.validation)"
        )
    paths = splits[split]
    count = int(_match(paths[0])["count"])
    if [int(_match(path)["number"]) for path in paths] != list(range(count)):
        raise UserError(f"{folder}: not all {count} shards of split {split!r} are there; render it again")
    return paths


def decode(picture: bytes) -> np.ndarray:
    """PNG bytes -> uint8 (H, W, channels).

    Raises:
        UserError: the picture is broken.
    """
    try:
        with Image.open(io.BytesIO(picture), formats=("PNG",)) as image:
            pixels = np.array(image)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken PNGs
        raise UserError(f"data.folder: a stored page is broken ({error}); render the shards again") from None
    return pixels[..., None] if pixels.ndim == 2 else pixels


def checked(row: dict[str, Any], path: str | Path, languages: tuple[str, str], canvas: CanvasConfig) -> StoredPages:
    """A row of a shard, which must be in these languages and of this size.

    Raises:
        UserError: it is not.
    """
    found = (row["source_language"], row["target_language"])
    if found != languages:
        raise UserError(
            f"{path}: pages from {found[0]} to {found[1]}, but data.source_language and "
            f"data.target_language are {languages[0]} and {languages[1]}"
        )
    pictures = (row["source_image"]["bytes"], row["target_image"]["bytes"])
    for picture in pictures:
        _check_size(picture, path, canvas)
    return StoredPages(row["source_text"], row["target_text"], pictures)


def _match(path: str | Path) -> re.Match[str]:
    match = _NAME.fullmatch(str(path).rpartition("/")[2])
    assert match is not None
    return match


def _splits(folder: str | Path) -> dict[str, list[str | Path]]:
    """Split -> its shards in order."""
    splits: dict[str, list[str | Path]] = {}
    found: Sequence[str | Path]
    if is_remote(folder):
        found = list_files(f"{str(folder).rstrip('/')}/data", ".parquet")
    else:
        found = sorted((Path(folder) / "data").glob("*.parquet"))
    for path in found:
        if match := _NAME.fullmatch(str(path).rpartition("/")[2]):
            splits.setdefault(match["split"], []).append(path)
    return splits


def _rows(path: str | Path, languages: tuple[str, str], canvas: CanvasConfig) -> Iterator[StoredPages]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            missing = set(COLUMNS) - set(file.schema_arrow.names)
            if missing:
                raise UserError(f"{path}: no shard of data_synth, it has no column {min(missing)!r}")
            for batch in file.iter_batches(batch_size=100, columns=list(COLUMNS)):
                for row in batch.to_pylist():
                    yield checked(row, path, languages, canvas)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]}); render it again") from None


def _check_size(picture: bytes, path: str | Path, canvas: CanvasConfig) -> None:
    """Compare a picture's header with the canvas; nothing is decoded."""
    with Image.open(io.BytesIO(picture), formats=("PNG",)) as image:
        (width, height), mode = image.size, image.mode
    wanted = _MODES[canvas.channels]
    if (height, width, mode) != (canvas.height, canvas.width, wanted):
        raise UserError(
            f"{path}: pages are {height}x{width} {mode}, but the model's canvas is {canvas.height}x{canvas.width} "
            f"{wanted}; render with --size {canvas.height}x{canvas.width}{' --grey' if wanted == 'L' else ''}"
        )
