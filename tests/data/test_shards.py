"""Training from pages on disk: the batches that rendering on the fly gives, and one clear line where that fails."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from data_synth.build import BuildOptions, build
from data_synth.corpora import TextPair
from data_synth.style import PageLayout, StyleOptions
from tests.small import ALL
from translatotron_v.config import Config, load_config
from translatotron_v.data import pages, shards
from translatotron_v.data.page_dataset import PageDataset
from translatotron_v.data.pages import Batch, Collator
from translatotron_v.data.pairs import StoredPair, read_split
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.evaluation.checkpoint import render_split

WORDS = [("ein", "a"), ("Hund", "dog"), ("läuft", "runs"), ("durch", "through"), ("den", "the"), ("Park", "park")]
PAIRS = [TextPair(*(f"{i} " + " ".join(w[side] for w in WORDS[: i % 6 + 1]) for side in (0, 1))) for i in range(10, 24)]
PAIRS.insert(3, TextPair("viel zu lang " * 30, "too long"))  # fits no page: neither is it stored
FOLDED = [TextPair(pair.source.lower(), pair.target.lower()) for pair in PAIRS]
VOCABULARY = Vocabulary.build([text for pair in FOLDED for text in (pair.source, pair.target)], subwords=0)


def settings(folder: Path, *overrides: str) -> Config:
    small = ("model.canvas.height=32", "model.canvas.width=192", "trainer.batch_size=4", f"data.folder={folder}")
    return load_config(None, [*small, *overrides])


def render(folder: Path, split: str = "train", size: tuple[int, int] = (32, 192), channels: int = 1) -> Path:
    """Shards of the pairs in the style of training pages, five pages to a shard."""
    page = load_config(None, []).page
    style = StyleOptions(tuple(page.fonts), (page.font_size,) * 2, page.line_height, page.margin)
    layout = PageLayout(*size, channels, "paragraph")
    options = BuildOptions(split=split, layout=layout, style=style, lower=page.lower_case, shard_size=5)
    build(PAIRS, options, folder, quiet=True)
    return folder


def dataset(config: Config, pairs: list[TextPair]) -> PageDataset:
    return PageDataset(pages.fitting(pairs, config), config, Collator(config, VOCABULARY, ALL))


def same(one: Batch, other: Batch) -> bool:
    pairs = [(getattr(one, item.name), getattr(other, item.name)) for item in fields(Batch)]
    return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("shards"))


@pytest.mark.parametrize("override", ["data.sort_window=0", "data.sort_window=2", "data.both_languages=true"])
def test_the_batches_are_those_of_rendering_on_the_fly(folder: Path, override: str):
    config = settings(folder, override)
    stored, drawn = dataset(config, read_split(config, "train")), dataset(config, FOLDED)
    assert len(stored.pairs) == len(drawn.pairs) == len(PAIRS) - 1
    expected = [drawn[i] for i in range(8)]
    assert all(same(stored[i], expected[i]) for i in range(8))
    assert not any(same(expected[0], batch) for batch in expected[1:])


def test_a_resumed_run_sees_what_an_uninterrupted_one_saw(folder: Path):
    config = settings(folder, "data.sort_window=2", "data.both_languages=true")
    straight, resumed = (dataset(config, read_split(config, "train")) for _ in range(2))
    expected = [straight[i] for i in range(8)]
    for i in (7, 5, 5, 0):
        assert same(resumed[i], expected[i])


def test_pictures_are_taken_from_disk_and_not_drawn_again(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "render_page", lambda *_: pytest.fail("rendered"))
    config = settings(folder)
    pairs = pages.fitting(read_split(config, "train"), config)
    batch = Collator(config, VOCABULARY, ALL)(pages.plain_samples(pairs[:3], config))
    assert batch.source_pixels is not None and batch.source_pixels.shape == (3, 1, 32, 192)
    scored = render_split(config, "train", limit=3)
    assert [page.source for page in scored] == [pair.source for pair in pairs[:3]]
    for page, pixels in zip(scored, batch.target_pixels, strict=True):
        assert torch.equal(pages.to_pixels(page.reference_page[None])[0], pixels)


def test_colour_pages_keep_their_channels(tmp_path: Path):
    config = settings(render(tmp_path, channels=3), "model.canvas.channels=3")
    assert same(dataset(config, read_split(config, "train"))[0], dataset(config, FOLDED)[0])


def test_case_is_kept_where_pages_keep_it(folder: Path):
    config = settings(folder, "page.lower_case=false")  # the shards were lower-cased when they were made
    assert all(pair.source == pair.source.lower() for pair in read_split(config, "train"))


@pytest.mark.parametrize("setting", ["data.spans=0.1", "data.shuffled=0.25", "data.curriculum_steps=7"])
def test_words_of_stored_pages_cannot_be_moved(folder: Path, setting: str):
    config = settings(folder, setting)
    pairs = read_split(config, "train")
    with pytest.raises(UserError, match=f"set {setting.split('=')[0]}=0, or train from text"):
        dataset(config, pairs)


@pytest.mark.parametrize(
    ("size", "channels", "message"),
    [
        ((32, 200), 1, r"train-00000-of-00003.parquet: pages are 32x200 L, but the model's canvas is 32x192 L"),
        ((32, 192), 3, r"train-00000-of-00003.parquet: pages are 32x192 RGB, but the model's canvas is 32x192 L"),
    ],
)
def test_pages_of_another_size_are_refused(tmp_path: Path, size: tuple[int, int], channels: int, message: str):
    config = settings(render(tmp_path, size=size, channels=channels))
    with pytest.raises(UserError, match=message) as error:
        read_split(config, "train")
    assert "\n" not in str(error.value)


def test_a_missing_split_or_shard_is_named(tmp_path: Path):
    config = settings(render(tmp_path))
    with pytest.raises(UserError, match="no shards of split 'val', only of train; render it with"):
        read_split(config, "val")
    (tmp_path / "data" / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(UserError, match="not all 3 shards of split 'train' are there"):
        read_split(config, "train")


def test_other_languages_are_refused(folder: Path):
    with pytest.raises(UserError, match=r"pages from de to en, but .* are fr and en"):
        read_split(settings(folder, "data.source_language=fr"), "train")


def test_broken_files_get_one_line(tmp_path: Path):
    config = settings(render(tmp_path))
    pair = read_split(config, "train")[0]
    assert isinstance(pair, StoredPair)
    with pytest.raises(UserError, match="a stored page is broken"):
        shards.decode(pair.pictures[0][:100])
    assert shards.decode(pair.pictures[0]).dtype == np.uint8
    path = tmp_path / "data" / "train-00000-of-00003.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"train-00000-of-00003\.parquet: cannot be read") as error:
        read_split(config, "train")
    assert "\n" not in str(error.value)
