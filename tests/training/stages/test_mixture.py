"""Stages on a mixture of corpora: text mode learns and is scored by domain, page stages show what fits."""

from pathlib import Path

import pytest
import torch
import yaml

from data_synth.grammar import grammar_pairs
from tests.small import SETTINGS
from translatotron_v.config import Config, load_config
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.mixture_pages import MixturePages
from translatotron_v.data.vocabulary import PAD
from translatotron_v.errors import UserError
from translatotron_v.training.build import build_stage, train
from translatotron_v.training.stages.text import TextStage


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two corpora, a validation set and the YAML that lists them."""
    folder = tmp_path_factory.mktemp("mixture")
    phrases = grammar_pairs("de", "en", 160, seed=7)
    parts = {"phrases": phrases[:120], "val": phrases[120:132], "numbers": []}
    for name, pairs in parts.items():
        rows = [(pair.source, pair.target) for pair in pairs] or [(f"Zimmer {n}", f"room {n}") for n in range(10, 60)]
        (folder / f"{name}.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in rows))
    entry = {"languages": ["de", "en"]}
    settings = {
        "domains": {"main": 0.7, "signs": 0.3},
        "languages": {"de": 1},
        "held_back": 0.1,
        "held_out": ["val.tsv"],
        "validation": [{"name": "dev", "path": "val.tsv", "domain": "main", **entry}],
        "corpora": [
            {"name": "phrases", "path": "phrases.tsv", "domain": "main", **entry},
            {"name": "numbers", "path": "numbers.tsv", "domain": "signs", **entry},
        ],
    }
    (folder / "mixture.yaml").write_text(yaml.safe_dump(settings))
    return folder


def settings(folder: Path, stage: str, *overrides: str) -> Config:
    own = [
        f"stage={stage}",
        f"data.mixture={folder / 'mixture.yaml'}",
        f"data.folder={folder}",
        f"data.cache={folder / 'cache'}",
        "data.window=4",
        "model.vocabulary.subwords=300",
        "model.vocabulary.characters=[ascii,latin-1]",
        "model.vocabulary.marks=true",
        "model.tie_embeddings=true",
    ]
    return load_config(None, [*SETTINGS, *own, *overrides])


def test_text_mode_learns_from_a_mixture(mixture: Path, tmp_path: Path):
    config = settings(
        mixture,
        "text",
        f"run={tmp_path}",
        "trainer.steps=60",
        "trainer.optimizer=muon",
        "trainer.muon_learning_rate=1e-2",
        "data.validation_limit=6",
        "loss.label_smoothing=0",
    )
    before = build_stage(config)
    assert isinstance(before, TextStage)
    loss = before.evaluate(0).metrics["validation_loss"]
    metrics = train(config)
    assert metrics["validation_loss"] < 0.8 * loss
    expected = {f"{name}_{domain}" for name in ("bleu", "chrf") for domain in ("dev", "main-de", "signs-de")}
    assert {name for name in metrics if name != "validation_loss"} == expected


def test_the_decoder_shares_its_table_with_the_encoder(mixture: Path):
    stage = build_stage(settings(mixture, "text"))
    assert isinstance(stage, TextStage)
    encoder, decoder = stage.translator.text_encoder, stage.translator.text_decoder
    assert encoder.embedding is decoder.embedding
    assert "embedding.weight" in decoder.state_dict() and "embedding.weight" not in encoder.state_dict()
    parameters = stage.optimized()["main"]
    assert len({id(p) for p in parameters}) == len(parameters)
    loss, _ = stage(stage.dataset[0], "main", 0)
    loss.backward()
    assert all(p.grad is not None for p in parameters)
    held = stage.groups
    assert set(held) == {"dev", "main-de", "signs-de"} and len(held) == len(stage.validation)


def test_pages_of_a_mixture_fit_and_are_a_function_of_their_place(mixture: Path):
    config = settings(mixture, "reader")
    one, other = (build_stage(config).dataset for _ in range(2))
    assert isinstance(one, MixturePages)
    kept = [one[index] for index in range(9)]
    for index in (8, 0, 5):
        again = other[index]
        assert torch.equal(again.source_pixels, kept[index].source_pixels)
        assert torch.equal(again.source_characters, kept[index].source_characters)
    assert all(len(batch.source_pixels) == config.trainer.batch_size for batch in kept)
    rows = {tuple(row) for batch in kept for row in batch.source_pieces.tolist()}
    assert len(rows) > 20


def test_a_share_of_the_pages_is_in_capitals(mixture: Path):
    stage = build_stage(settings(mixture, "teacher", "data.capitals=1"))
    batch = stage.dataset[0]
    texts = [stage.vocabulary.decode_characters(row) for row in batch.target_characters.tolist()]
    assert all(text == text.upper() and text for text in texts)
    small = build_stage(settings(mixture, "teacher")).dataset[0]
    assert not torch.equal(batch.target_pixels, small.target_pixels)


def test_a_stage_that_learns_no_words_takes_some_pairs(mixture: Path):
    stage = build_stage(
        settings(
            mixture, "separator", "data.limit=40", "page.font_size=8", "page.line_height=0", "model.canvas.channels=3"
        )
    )
    assert len(stage.dataset[0].pixels if hasattr(stage.dataset[0], "pixels") else [0])


def test_nothing_that_fits_is_one_line(mixture: Path):
    stage_settings = settings(mixture, "reader", "page.font_size=60", "page.line_height=16")
    with pytest.raises(UserError, match="fits the page"):
        build_stage(stage_settings).dataset[0]


def test_literals_are_placeholders_in_training(mixture: Path):
    stage = build_stage(settings(mixture, "text", "data.terms=0", "data.lower=0"))
    marks = [stage.vocabulary.specials[mark] for mark in LITERALS]
    found = [
        batch
        for index in range(8)
        if torch.isin((batch := stage.dataset[index]).source_pieces, torch.tensor(marks)).any()
    ]
    assert found
    for batch in found:
        for source, target in zip(batch.source_pieces.tolist(), batch.target_output.tolist(), strict=True):
            assert {p for p in source if p in marks} == {p for p in target if p in marks and p != PAD}
