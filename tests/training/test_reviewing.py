"""Transcripts of training pages: who writes them, that they are written once, and what makes them be written anew."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from data_synth.corpora import TextPair
from tests.small import PAIRS, small, small_vocabulary
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.config import Config, to_yaml
from translatotron_v.data import pages
from translatotron_v.data.pairs import StoredPair
from translatotron_v.decoding.text import generate_text
from translatotron_v.errors import UserError
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training import reviewing
from translatotron_v.training.reviewing import Reader, transcripts

CHOSEN = [PAIRS[i] for i in (0, 4, 8, 16, 20, 7, 11)]
SPEEDY = ("model.text_decoder.max_length=8",)


def save_reader(folder: Path, seed: int = 0, leave_out: str = "") -> Path:
    """A checkpoint of a translator with random weights that looks hard at its pages."""
    config, vocabulary = small(*SPEEDY), small_vocabulary()
    torch.manual_seed(seed)
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
    nn.init.normal_(model.text_decoder.embedding.weight, std=0.3)
    nn.init.normal_(model.text_decoder.layers[0].cross.out.weight, std=3.0)
    modules = {name: module for name, module in model.named_children() if name != leave_out}
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json()}
    save_checkpoint(folder, modules, files, {"step": 0})
    return folder


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_reader(tmp_path_factory.mktemp("reader"))


@pytest.fixture
def config(reader: Path, tmp_path: Path) -> Config:
    return settings(reader, tmp_path)


def settings(reader: Path, folder: Path, *overrides: str) -> Config:
    return small(f"ssr.reader={reader}", f"ssr.cache={folder / 'transcripts'}", *SPEEDY, *overrides)


class Watched:
    """Counts the pages that a reader sees, and may stop it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop_after: int | None = None):
        self.calls: list[int] = []
        transcribe = Reader.transcribe

        def watched(own: Reader, pixels: torch.Tensor, language: str) -> list[str]:
            if len(self.calls) == stop_after:
                raise KeyboardInterrupt
            self.calls.append(len(pixels))
            return transcribe(own, pixels, language)

        monkeypatch.setattr(Reader, "transcribe", watched)
        monkeypatch.setattr(reviewing, "_BATCH", 3)


def cache_of(config: Config) -> Path:
    [path] = Path(config.ssr.cache).iterdir()
    return path


def refusal(config: Config) -> str:
    with pytest.raises(UserError) as caught:
        transcripts(config, CHOSEN)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@torch.no_grad()
def test_the_readers_text_decoder_transcribes(reader: Path, config: Config, monkeypatch: pytest.MonkeyPatch):
    """Page by page, its own vocabulary, under the tag of OCR and of the source language."""
    watched = Watched(monkeypatch)
    found = transcripts(config, CHOSEN)
    assert watched.calls == [3, 3, 1] and len(set(found)) > 1
    model, vocabulary = Reader(str(reader)).model, small_vocabulary()
    assert not any(part.training for part in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    collator = pages.Collator(config, vocabulary, frozenset({pages.SOURCE_PIXELS}))
    for pair, text in zip(CHOSEN, found, strict=True):
        source = model.encode_image(collator(pages.plain_samples([pair], config)).source_pixels)
        expected = generate_text(model.text_decoder, vocabulary, source.memory, source.mask, "ocr", "de")
        assert [text] == expected.texts


def test_a_second_call_reads_the_file(config: Config, monkeypatch: pytest.MonkeyPatch):
    watched = Watched(monkeypatch)
    first = transcripts(config, CHOSEN)
    assert sum(watched.calls) == len(CHOSEN)
    before = cache_of(config).read_bytes()
    assert transcripts(config, CHOSEN) == first
    assert sum(watched.calls) == len(CHOSEN) and cache_of(config).read_bytes() == before


def test_an_interrupted_call_goes_on_where_it_stopped(
    reader: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = transcripts(settings(reader, tmp_path / "other"), CHOSEN)
    with monkeypatch.context() as patch:
        watched = Watched(patch, stop_after=1)
        with pytest.raises(KeyboardInterrupt):
            transcripts(config, CHOSEN)
    assert watched.calls == [3] and len(cache_of(config).read_text("utf-8").splitlines()) == 3
    watched = Watched(monkeypatch)
    assert transcripts(config, CHOSEN) == whole
    assert watched.calls == [3, 1]


@pytest.mark.parametrize("torn", ['[4, "h', '[4, "bä', "[", '[4, "a"'])
def test_a_line_that_was_cut_short_is_written_again(config: Config, monkeypatch: pytest.MonkeyPatch, torn: str):
    first = transcripts(config, CHOSEN)
    lines = [json.dumps([index, text]) for index, text in enumerate(first)]
    content = "".join(f"{line}\n" for line in lines[:4]).encode()
    content += torn.encode()[:-1] if torn.endswith("ä") else torn.encode()  # a letter of two bytes is cut in its middle
    cache_of(config).write_bytes(content)
    watched = Watched(monkeypatch)
    assert transcripts(config, CHOSEN) == first
    assert watched.calls == [3]  # pages 4 to 6
    assert transcripts(config, CHOSEN) == first
    assert watched.calls == [3]


def test_any_text_survives_the_file(config: Config, monkeypatch: pytest.MonkeyPatch):
    odd = ["", 'ein "hund"\\', "schläft\u2028hier", "a\u0085b", "🐕", "[1, 2]", "\n"]
    monkeypatch.setattr(Reader, "transcribe", lambda self, pixels, language: odd)
    assert transcripts(config, CHOSEN) == odd
    monkeypatch.setattr(Reader, "transcribe", None)
    assert transcripts(config, CHOSEN) == odd


def test_what_transcripts_depend_on_has_a_file_of_its_own(
    reader: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Reader, "transcribe", lambda self, pixels, language: ["ein"] * len(pixels))
    other = save_reader(tmp_path / "reader", seed=4)
    cases = [
        (config, CHOSEN),
        (settings(other, tmp_path), CHOSEN),
        (settings(reader, tmp_path, "page.font_size=9"), CHOSEN),
        (settings(reader, tmp_path, "data.source_language=en"), CHOSEN),
        (config, [*CHOSEN[1:], CHOSEN[0]]),
        (config, [replace(CHOSEN[0], source="vogel vogel"), *CHOSEN[1:]]),
    ]
    for number, (changed, pairs) in enumerate(cases, start=1):
        transcripts(changed, pairs)
        assert len(list((tmp_path / "transcripts").iterdir())) == number
    # What transcripts do not depend on: the translations, and how the run trains.
    same = settings(reader, tmp_path, "trainer.seed=9", "data.target_language=fr")
    transcripts(same, [replace(pair, target="?") for pair in CHOSEN])
    assert len(list((tmp_path / "transcripts").iterdir())) == len(cases)


def stored(pair: TextPair, shade: int) -> StoredPair:
    """Pages of one shade of grey."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 128), shade, dtype=np.uint8)).save(buffer, "PNG")
    return StoredPair(pair.source, pair.target, (buffer.getvalue(), buffer.getvalue()))


def test_stored_pages_are_read_as_they_are(config: Config, monkeypatch: pytest.MonkeyPatch):
    shades: list[float] = []

    def look(self: Reader, pixels: torch.Tensor, language: str) -> list[str]:
        shades.extend(pixels.mean((1, 2, 3)).tolist())
        return [f"{value:.1f}" for value in pixels.mean((1, 2, 3)).tolist()]

    monkeypatch.setattr(Reader, "transcribe", look)
    assert transcripts(config, [stored(CHOSEN[0], 255), stored(CHOSEN[1], 0)]) == ["1.0", "0.0"]
    # Other pages of the same texts, as from shards that were rendered anew.
    assert transcripts(config, [stored(CHOSEN[0], 0), stored(CHOSEN[1], 255)]) == ["0.0", "1.0"]
    assert shades == [1.0, 0.0, 0.0, 1.0]


def test_readers_that_cannot_be_used(reader: Path, config: Config, tmp_path: Path):
    message = refusal(settings(reader, tmp_path, "model.canvas.width=64"))
    assert message.startswith("ssr.reader: ") and str(reader) in message and "model.canvas" in message
    assert "width=128" in message and "width=64" in message
    assert "gone: no such folder" in refusal(settings(tmp_path / "gone", tmp_path))
    blind = save_reader(tmp_path / "blind", leave_out="text_decoder")
    assert "text_decoder.safetensors: no such file" in refusal(settings(blind, tmp_path))
    (tmp_path / "transcripts").write_text("a file")
    message = refusal(config)
    assert message.startswith("ssr.cache: ") and "cannot be written" in message
