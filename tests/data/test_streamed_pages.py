"""Pages from elsewhere: what is shown does not depend on ranks; the cache is bounded, and faults are named."""

from collections import Counter
from pathlib import Path

import fsspec
import pytest
import torch

from tests.data.test_shards import PAIRS, VOCABULARY, render, settings
from tests.small import ALL
from translatotron_v.data import remote
from translatotron_v.data.pages import Collator
from translatotron_v.data.pairs import read_split
from translatotron_v.data.remote import ShardCache, ShardReader
from translatotron_v.data.streamed_pages import ShardSource, StreamedPages, first_pages
from translatotron_v.errors import UserError

STORED = len(PAIRS) - 1


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> str:
    """Shards of five, five and four pages in fsspec's memory."""
    folder = render(tmp_path_factory.mktemp("shards"))
    files = fsspec.filesystem("memory")
    files.put(str(folder), "/pages", recursive=True)
    assert len(files.glob("/pages/data/*.parquet")) == 3
    return "memory://pages"


def streamed(place: str, cache: Path, *more: str) -> StreamedPages:
    config = settings(Path("."), f"data.folder={place}", f"data.cache={cache}", "data.window=2", *more)
    return StreamedPages(ShardSource.of(config), config, Collator(config, VOCABULARY, ALL))


def shown(pages: StreamedPages, batches: range) -> list[list[tuple[str, int]]]:
    return [[pages.find(index, place) for place in range(pages.batch_size)] for index in batches]


def test_every_page_comes_once_in_an_epoch_of_its_lane(place, tmp_path):
    pages = streamed(place, tmp_path)  # four pages of a micro-batch: two lanes, of one shard and of two
    assert pages.lanes == 2
    for lane in (0, 1):
        own = {pages.source.shards[shard]: pages.source.lengths[shard] for shard in pages._shards[lane]}
        length = sum(own.values())
        found = [pages.find(index, place) for index in range(length) for place in (lane, lane + 2)]
        wanted = {(shard, row) for shard, rows in own.items() for row in range(rows)}
        for epoch in (found[:length], found[length:]):
            assert set(epoch) == wanted and len(epoch) == length
        assert found[:length] != found[length:]


def test_ranks_share_what_one_process_sees_and_read_their_own_shards(place, tmp_path):
    whole = streamed(place, tmp_path / "whole")
    parts = [streamed(place, tmp_path / f"rank{rank}") for rank in (0, 1)]
    for index in (0, 3, 9):
        batch = whole[index]
        shares = [pages.part(index, rank, 2) for rank, pages in enumerate(parts)]
        together = torch.stack([share.source_pixels for share in shares], 1).flatten(0, 1)
        assert torch.equal(together, batch.source_pixels)
    fetched = [{path.name for path in (tmp_path / f"rank{rank}/shards").glob("*.parquet")} for rank in (0, 1)]
    assert not fetched[0] & fetched[1] and sorted(map(len, fetched)) == [1, 2]


def test_a_resumed_run_begins_at_any_batch(place, tmp_path):
    straight = shown(streamed(place, tmp_path), range(12))
    assert shown(streamed(place, tmp_path), range(7, 12)) == straight[7:]
    assert shown(streamed(place, tmp_path, "trainer.seed=2"), range(12)) != straight


def test_the_pages_are_those_of_the_shards(place, tmp_path):
    folder = render(tmp_path / "local")
    stored = read_split(settings(folder), "train")
    config = settings(Path("."), f"data.folder={place}", f"data.cache={tmp_path}")
    assert list(first_pages(config, "train", 100)) == stored
    assert list(first_pages(config, "train", 7)) == stored[:7]
    source = ShardSource.of(config)
    assert Counter(pair.source.lower() for pair in source.texts(100)) == Counter(pair.source for pair in stored)
    assert sum(source.lengths) == STORED


def test_the_cache_is_bounded(place, tmp_path):
    pages = streamed(place, tmp_path)
    sizes = {shard: fsspec.filesystem("memory").size(shard.removeprefix("memory:/")) for shard in pages.source.shards}
    cache = ShardCache(tmp_path / "bounded", max(sizes.values()) + min(sizes.values()))
    reader = ShardReader(cache, ("source_text",), memory=1)
    for turn in range(2):
        for shard in pages.source.shards:
            assert reader.row(shard, turn)["source_text"]
            held = [path.stat().st_size for path in cache.folder.glob("*.parquet")]
            assert len(held) <= 2 and sum(held) <= cache.limit
    assert len(reader._groups) == 1


def test_a_shard_that_fails_is_tried_again_and_then_named(place, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "WAIT", 0.0)
    shard = ShardSource.of(settings(Path("."), f"data.folder={place}", f"data.cache={tmp_path}")).shards[1]
    files = type(fsspec.filesystem("memory"))
    get, failures = files.get_file, []

    def failing(times):
        def get_file(self, path, target, **options):
            failures.append(path)
            if len(failures) <= times:
                raise ConnectionError("the network is away")
            return get(self, path, target, **options)

        failures.clear()
        monkeypatch.setattr(files, "get_file", get_file)

    failing(remote.TRIES - 1)
    assert ShardCache(tmp_path / "lucky", 10**9).fetch(shard).is_file() and len(failures) == remote.TRIES
    failing(remote.TRIES)
    with pytest.raises(UserError, match=f"{shard}: cannot be read, tried {remote.TRIES} times .the network is away.$"):
        ShardCache(tmp_path / "unlucky", 10**9).fetch(shard)
    assert not list((tmp_path / "unlucky").glob("*.p*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("data.spans=0.5",), r"data\.spans"),
        (("data.train=trian",), "no shards of split 'trian', only of train"),
        (("data.folder=memory://elsewhere",), "only of none"),
        (("data.folder=nowhere://x",), r"nowhere://x/data: .*translatotron-v\[scale\]"),
        (("data.source_language=fr",), "pages from de to en"),
    ],
)
def test_mistakes_get_one_line(place, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        streamed(place, tmp_path, *changes)[0]
    assert "\n" not in str(caught.value)


def test_lanes_divide_the_micro_batch(place, tmp_path):
    assert [streamed(place, tmp_path, f"trainer.batch_size={size}").lanes for size in (1, 5, 6)] == [1, 1, 3]
