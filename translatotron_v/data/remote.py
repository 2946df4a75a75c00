"""Shards that lie elsewhere: fetched through fsspec into a bounded cache, read a few pages at a time.

A name with a protocol (``s3://``, ``gs://``, ``hf://``, ``memory://``, ``file://``) is a place of fsspec's.
"""

import json
import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from translatotron_v.errors import UserError

TRIES = 4  # of a shard before it is given up
WAIT = 0.5  # seconds before the second; each further wait is twice the one before
_THREADS = 16  # that ask for the lengths of shards


def is_remote(place: str | Path) -> bool:
    """Whether a name is one of fsspec's, with a protocol."""
    return "://" in str(place)


def filesystem(place: str) -> tuple[Any, str]:
    """The file system of a place, and the place's path there.

    Raises:
        UserError: an unknown protocol, or one whose package is not installed.
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{place}: {reason}; `pip install 'translatotron-v[scale]'` brings s3 along") from None


def list_files(folder: str, ending: str) -> list[str]:
    """The files of a remote folder whose names end so, with their protocol, in order of their names.

    Raises:
        UserError: it cannot be listed.
    """
    files, path = filesystem(folder)
    found = patiently(folder, lambda: files.ls(path, detail=False, refresh=True) if files.exists(path) else [])
    return sorted(files.unstrip_protocol(name) for name in found if name.endswith(ending))


def patiently(place: str, attempt: Any) -> Any:
    """What an attempt gives, made again a few times where it fails.

    Raises:
        UserError: it failed each time; the place is named.
    """
    for number in range(TRIES):
        try:
            return attempt()
        except Exception as error:  # every file system raises a family of its own
            failure = error
            if number + 1 < TRIES:
                time.sleep(WAIT * 2**number)
    reason = (str(failure).splitlines() or [type(failure).__name__])[0]
    raise UserError(f"{place}: cannot be read, tried {TRIES} times ({reason})") from None


class ShardCache:
    """Copies of remote shards on the local disk, the least recently used of which make room for others.

    Processes of one host share it: a shard is fetched once. One that is open stays readable when it is deleted.

    Args:
        folder: of the copies.
        limit: bytes that they may take together; the one that was asked for last stays whatever it takes.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit

    def fetch(self, shard: str) -> Path:
        """The copy of a shard, whole.

        Raises:
            UserError: it cannot be had, or is no Parquet file.
        """
        from filelock import FileLock

        key = sha256(shard.encode()).hexdigest()[:24]
        copy = self.folder / f"{key}.parquet"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{key}.lock"):
            if not copy.is_file():
                patiently(shard, lambda: self._copy(shard, copy))
            os.utime(copy)
        self._make_room(copy)
        return copy

    def _copy(self, shard: str, copy: Path) -> None:
        import pyarrow.parquet as pq

        files, path = filesystem(shard)
        aside = copy.with_suffix(f".{os.getpid()}.part")
        try:
            files.get_file(path, str(aside))
            pq.read_metadata(aside)  # a copy that was cut short has no footer
            os.replace(aside, copy)
        finally:
            aside.unlink(missing_ok=True)

    def _make_room(self, kept: Path) -> None:
        copies = []
        for path in self.folder.glob("*.parquet"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process has just deleted it
                continue
            copies.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in copies)
        for _, size, path in sorted(copies):
            if total <= self.limit:
                break
            if path != kept:
                path.unlink(missing_ok=True)
                total -= size


def shard_lengths(shards: Sequence[str], cache: Path) -> list[int]:
    """How many rows each shard has, by its footer alone; asked once and kept in the cache.

    Raises:
        UserError: a shard cannot be read.
    """
    import pyarrow.parquet as pq

    kept = cache / f"lengths-{sha256(json.dumps(list(shards)).encode()).hexdigest()[:16]}.json"
    if kept.is_file():
        return json.loads(kept.read_text("utf-8"))

    def length(shard: str) -> int:
        files, path = filesystem(shard)

        def ask() -> int:
            with files.open(path, "rb") as file:
                return pq.read_metadata(file).num_rows

        return patiently(shard, ask)

    with ThreadPoolExecutor(_THREADS) as threads:
        found = list(threads.map(length, shards))
    cache.mkdir(parents=True, exist_ok=True)
    aside = kept.with_suffix(f".{os.getpid()}.part")
    aside.write_text(json.dumps(found), encoding="utf-8")
    os.replace(aside, kept)
    return found


@dataclass(frozen=True)
class _Group:
    rows: list[dict[str, Any]]
    size: int


class ShardReader:
    """Single rows of shards, by number.

    Args:
        cache: of whole shards.
        columns: that are read.
        memory: bytes of rows that stay in memory, the least recently used leaving first.
    """

    def __init__(self, cache: ShardCache, columns: Sequence[str], memory: int = 256 << 20):
        self.cache, self.columns, self.memory = cache, list(columns), memory
        self._groups: OrderedDict[tuple[str, int], _Group] = OrderedDict()
        self._starts: dict[str, list[int]] = {}

    def row(self, shard: str, number: int) -> dict[str, Any]:
        """Row ``number`` of a shard.

        Raises:
            UserError: the shard cannot be had.
        """
        if shard not in self._starts:
            with self._opened(shard) as file:
                footer = file.metadata
            starts = [0]
            for group in range(footer.num_row_groups):
                starts.append(starts[-1] + footer.row_group(group).num_rows)
            self._starts[shard] = starts
        starts = self._starts[shard]
        group = next(place for place in range(len(starts) - 1) if number < starts[place + 1])
        key = (shard, group)
        if key not in self._groups:
            with self._opened(shard) as file:
                table = file.read_row_group(group, columns=self.columns)
            self._groups[key] = _Group(table.to_pylist(), table.nbytes)
            while len(self._groups) > 1 and sum(held.size for held in self._groups.values()) > self.memory:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key].rows[number - starts[group]]

    def _opened(self, shard: str) -> Any:
        """A shard's copy, open; fetched again where another process has deleted it in between."""
        import pyarrow.parquet as pq

        while True:
            copy = self.cache.fetch(shard)
            try:
                return pq.ParquetFile(copy, memory_map=True)
            except FileNotFoundError:
                continue
