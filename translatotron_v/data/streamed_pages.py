"""Pages of shards that are too many for the memory, or lie elsewhere, as micro-batches by number.

Shards are dealt out to lanes, and page j of a micro-batch comes from lane j mod L: a rank that has every R-th page
reads the shards of its own lanes and no others (where R divides L), yet what a micro-batch shows does not depend on R.
A lane goes through its shards in random order, shuffled within windows, and begins anew when it is through.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from translatotron_v.config import Config
from translatotron_v.data.page_dataset import PageDataset
from translatotron_v.data.pages import Batch, Collator, Sample
from translatotron_v.data.pairs import StoredPair, TextPair, fold
from translatotron_v.data.remote import ShardCache, ShardReader, shard_lengths
from translatotron_v.data.shards import COLUMNS, TEXTS, checked, shards_of
from translatotron_v.errors import UserError

# What asks for all pages at once, or for other texts than those that are drawn.
_REFUSED = ("skip", "limit", "extra", "mixture", "text_share", "spans", "shuffled", "curriculum_steps", "capitals")


@dataclass(frozen=True)
class ShardSource:
    """What a stage trains on instead of a list of pairs: shards, how many pages each holds, and where copies lie."""

    shards: tuple[str, ...]
    lengths: tuple[int, ...]
    cache: ShardCache

    @classmethod
    def of(cls, config: Config) -> "ShardSource":
        """The training split of ``data.folder``.

        Raises:
            UserError: a setting that streamed pages do not serve; no such split; a shard that cannot be read.
        """
        data = config.data
        for name in _REFUSED:
            if getattr(data, name):
                raise UserError(
                    f"data.{name}: pages that are streamed from {data.folder} are shown as they are: unset it"
                )
        if config.page.faces:
            raise UserError(f"page.faces: strips are drawn from texts, and {data.folder} holds pages")
        if data.repeat > 1 or data.translated < 1 or config.ssr.reader:
            raise UserError(f"{data.folder}: data.repeat, data.translated and ssr.reader are not for streamed pages")
        shards = [str(shard) for shard in shards_of(data.folder, data.train)]
        lengths = shard_lengths(shards, Path(data.cache))
        full = [(shard, length) for shard, length in zip(shards, lengths, strict=True) if length]
        if not full:
            raise UserError(f"{data.folder}: the shards of split {data.train!r} hold no page")
        names, counts = zip(*full, strict=True)
        return cls(names, counts, shard_cache(config))

    def texts(self, most: int) -> Iterator[TextPair]:
        """The texts of the first pages of each shard in turn, about ``most`` in all."""
        reader = ShardReader(self.cache, TEXTS)
        each = max(1, most // len(self.shards))
        for shard, length in zip(self.shards[:most], self.lengths, strict=False):
            for number in range(min(each, length)):
                row = reader.row(shard, number)
                yield TextPair(row["source_text"], row["target_text"])


def shard_cache(config: Config) -> ShardCache:
    """Where a run keeps copies of shards: ``data.cache``, ``data.cache_gb`` of them."""
    return ShardCache(Path(config.data.cache) / "shards", int(config.data.cache_gb * 1e9))


class StreamedPages(PageDataset):
    """Micro-batches of streamed pages, without end: each a pure function of the seed and its number.

    Args:
        source: of the pages.
        config: data, page, canvas, seed and batch size; a window is ``data.window`` micro-batches.
        collator: makes the batches.
    """

    def __init__(self, source: ShardSource, config: Config, collator: Collator):
        self._set_up(config, collator)
        self.config, self.source = config, source
        self.reader = ShardReader(source.cache, COLUMNS)
        size = self.batch_size
        self.lanes = max(lanes for lanes in range(1, size + 1) if size % lanes == 0 and lanes <= len(source.shards))
        dealt = np.random.default_rng((self.seed, 6)).permutation(len(source.shards))
        self._shards = [dealt[lane :: self.lanes] for lane in range(self.lanes)]
        self._orders: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}  # lane -> epoch, shards, where each begins
        self._windows: dict[int, tuple[tuple[int, int], np.ndarray]] = {}  # lane -> epoch and window, order in it

    def part(self, index: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Every R-th page of a micro-batch, from number ``rank`` on; the others are not read."""
        return self.collator([self._page(index, place) for place in range(rank, self.batch_size, ranks)])

    def samples(self, index: int) -> list[Sample]:
        """What a micro-batch shows."""
        return [self._page(index, place) for place in range(self.batch_size)]

    def _page(self, index: int, place: int) -> Sample:
        shard, number = self.find(index, place)
        data = self.data
        row = self.reader.row(shard, number)
        stored = checked(row, shard, (data.source_language, data.target_language), self.config.model.canvas)
        page = self.config.page
        pair = StoredPair(fold(stored.source, page), fold(stored.target, page), stored.pictures)
        return self._sample(pair, np.random.default_rng((self.seed, 1, index, place)), index)

    def find(self, index: int, place: int) -> tuple[str, int]:
        """The shard, and the row in it, that stands at a place of a micro-batch."""
        lane, each = place % self.lanes, self.batch_size // self.lanes
        length = int(sum(self.source.lengths[shard] for shard in self._shards[lane]))
        epoch, position = divmod(index * each + place // self.lanes, length)
        order, begins = self._shard_order(lane, epoch)
        position = self._shuffled(lane, epoch, position, length)
        turn = int(np.searchsorted(begins, position, side="right")) - 1
        return self.source.shards[order[turn]], position - int(begins[turn])

    def _shard_order(self, lane: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """A lane's shards in the order of an epoch, and the position at which each begins."""
        if lane not in self._orders or self._orders[lane][0] != epoch:
            order = np.random.default_rng((self.seed, 7, lane, epoch)).permutation(self._shards[lane])
            lengths = np.array([self.source.lengths[shard] for shard in order])
            self._orders[lane] = (epoch, order, np.cumsum(lengths) - lengths)
        return self._orders[lane][1:]

    def _shuffled(self, lane: int, epoch: int, position: int, length: int) -> int:
        """Another position of the same window."""
        size = max(1, self.data.window * self.batch_size // self.lanes)
        window, inside = divmod(position, size)
        key = (epoch, window)
        if lane not in self._windows or self._windows[lane][0] != key:
            there = min(size, length - window * size)
            rng = np.random.default_rng((self.seed, 8, lane, epoch, window))
            self._windows[lane] = (key, rng.permutation(there))
        return window * size + int(self._windows[lane][1][inside])


def first_pages(config: Config, split: str, most: int) -> Sequence[StoredPair]:
    """The first pages of a streamed split, for validation.

    Raises:
        UserError: no such split, or a shard that cannot be read.
    """
    data, cache = config.data, shard_cache(config)
    found: list[StoredPair] = []
    shards = [str(shard) for shard in shards_of(data.folder, split)]
    reader = ShardReader(cache, COLUMNS)
    for shard, length in zip(shards, shard_lengths(shards, Path(data.cache)), strict=True):
        for number in range(min(length, most - len(found))):
            languages = (data.source_language, data.target_language)
            row: dict[str, Any] = reader.row(shard, number)
            stored = checked(row, shard, languages, config.model.canvas)
            found.append(
                StoredPair(fold(stored.source, config.page), fold(stored.target, config.page), stored.pictures)
            )
        if len(found) >= most:
            break
    return found
