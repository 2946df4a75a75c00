"""Strips to read: what a batch is a function of, which faces and texts it takes, how degradation grows, the stage."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data_synth.corpora import TextPair
from translatotron_v.config import Config, ConfigError, load_config
from translatotron_v.data.reading import NARROWEST, ReadingDataset, training_families, validation_strips
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.training.stages import check_stage
from translatotron_v.training.stages.reader import ReaderStage

FACES = """
training:
  matplotlib (PyPI):
    DejaVu Sans: {kind: sans, faces: [DejaVuSans, DejaVuSans-Bold]}
    DejaVu Serif: {kind: serif, faces: [DejaVuSerif]}
  pymupdf-fonts (PyPI):
    Space Mono: {kind: mono, faces: [SpaceMono-Regular]}
unseen:
  pymupdf-fonts (PyPI):
    FiraGO: {kind: sans, faces: [FiraGO-Regular]}
"""
PAIRS = [TextPair("Der Hund läuft schnell.", "The dog runs fast."), TextPair("Guten Tag!", "Good day!")]
VOCABULARY = Vocabulary.build([], 0, blocks=["ascii", "latin-1"])


def settings(tmp_path: Path, *overrides: str) -> Config:
    (tmp_path / "faces.yaml").write_text(FACES, encoding="utf-8")
    return load_config(
        None,
        [
            "stage=reader",
            f"page.faces={tmp_path / 'faces.yaml'}",
            "page.degraded_steps=10",
            "data.validation_limit=2",
            "loss.ctc=1",
            "loss.ocr=0",
            "trainer.batch_size=4",
            "model.canvas.height=32",
            "model.canvas.width=256",
            "model.fonts=[DejaVuSans,DejaVuSerif,DejaVuSansMono]",
            "model.vocabulary.subwords=0",
            "model.image_encoder.width=16",
            "model.image_encoder.layers=2",
            "model.image_encoder.ocr_layer=2",
            "model.image_encoder.patch=[32,16]",
            "model.image_encoder.stem_channels=[4,6,8]",
            "model.tokenizer.patch=[32,8]",
            *overrides,
        ],
    )


def test_a_batch_is_a_function_of_seed_and_place(tmp_path: Path):
    config = settings(tmp_path)
    first, again = ReadingDataset(PAIRS, config, VOCABULARY), ReadingDataset(PAIRS, config, VOCABULARY)
    again[3]  # what was drawn before does not matter
    one, same, next_one = first[5], again[5], first[6]
    assert one.source_pixels is not None and same.source_pixels is not None and next_one.source_pixels is not None
    assert torch.equal(one.source_pixels, same.source_pixels)
    assert not torch.equal(one.source_pixels, next_one.source_pixels)
    assert one.source_pixels.shape == (4, 1, 32, 256)


def test_families_are_those_of_the_model_that_are_nearest(tmp_path: Path):
    dataset = ReadingDataset(PAIRS, settings(tmp_path), VOCABULARY)
    strips = [strip for index in range(12) for strip in dataset.strips(index)]
    nearest = {strip.face: strip.font for strip in strips}
    assert nearest == {"DejaVuSans": 0, "DejaVuSans-Bold": 0, "DejaVuSerif": 1, "SpaceMono-Regular": 2}
    unseen = validation_strips(["Guten Tag"], settings(tmp_path), VOCABULARY, "unseen", False, 3)
    assert {(strip.face, strip.font) for strip in unseen} == {("FiraGO-Regular", -1)}


def test_texts_hold_what_the_vocabulary_knows(tmp_path: Path):
    pairs = [TextPair("Ω漢", "Ω"), *PAIRS]
    dataset = ReadingDataset(pairs, settings(tmp_path, "data.both_languages=true"), VOCABULARY)
    texts = [strip.text for index in range(10) for strip in dataset.strips(index)]
    assert set("".join(texts)) <= set(VOCABULARY.characters)
    assert any("dog" in text for text in texts) and any("Hund" in text for text in texts)


def test_a_share_of_the_letters_is_narrower(tmp_path: Path):
    widths = []
    dataset = ReadingDataset(PAIRS, settings(tmp_path, "page.narrowed=0.5"), VOCABULARY)
    draw = dataset.drawer.__call__
    dataset.drawer = lambda *args, width=1.0, **rest: widths.append(width) or draw(*args, width=width, **rest)  # type: ignore[assignment]
    for index in range(25):
        dataset.strips(index)
    narrow = [width for width in widths if width < 1]
    assert len(widths) == 100 and 35 < len(narrow) < 65
    assert NARROWEST <= min(narrow) < 0.7 and max(narrow) > 0.9


def test_degradation_grows(tmp_path: Path):
    dataset = ReadingDataset(PAIRS, settings(tmp_path, "page.degraded=[0.2,0.6]"), VOCABULARY)
    assert dataset.degradation(0) == pytest.approx((0.2, 0.5))
    assert dataset.degradation(5) == pytest.approx((0.4, 0.75))
    assert dataset.degradation(99) == pytest.approx((0.6, 1.0))


def test_faces_that_are_missing_are_named_with_their_package(tmp_path: Path):
    config = settings(tmp_path)
    lacking = FACES.replace("[DejaVuSerif]", "[NoSuchFace]").replace(
        "pymupdf-fonts (PyPI):\n    Space", "fonts-x:\n    Space"
    )
    (tmp_path / "faces.yaml").write_text(lacking, encoding="utf-8")
    with pytest.raises(UserError, match=r"faces are missing: install matplotlib \(PyPI\)"):
        training_families(config)
    going_on = replace(config, page=replace(config.page, allow_missing=True))
    assert [family.name for family in training_families(going_on)] == ["DejaVu Sans", "Space Mono"]


def test_a_corpus_of_other_characters_is_an_error(tmp_path: Path):
    dataset = ReadingDataset([TextPair("漢字", "漢")], settings(tmp_path), VOCABULARY)
    dataset.drawer.symbols = []
    with pytest.raises(UserError, match="no text can be drawn"):
        dataset.drawer(lambda: "漢字", np.random.default_rng(0), kind="words")


def test_the_stage_learns_and_says_what_it_reads(tmp_path: Path):
    config = settings(tmp_path, "loss.ctc_inner=0.5", "loss.ctc_inner_layer=1")
    torch.manual_seed(0)
    stage = ReaderStage(config, VOCABULARY, PAIRS, PAIRS)
    loss, report = stage(stage.dataset[0], "main", 0)
    assert {"ctc", "ctc_inner"} <= set(report)
    loss.backward()
    assert stage.translator.image_encoder.vit.patch_embed.convolutions[0][0].weight.grad.abs().sum() > 0
    metrics = stage.eval().evaluate(0).metrics
    names = {"cer_clean", "cer_degraded", "cer_clean_unseen", "cer_degraded_unseen"}
    assert names <= set(metrics) and all(metrics[name] > 0 for name in names)
    assert metrics == stage.evaluate(1).metrics


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.ocr=1", "page.faces"),
        ("page.degraded=[0.5]", "page.degraded"),
        ("model.image_encoder.stem_channels=[4,4,4,4,4]", "must be divisible by"),
        ("model.image_encoder.stem=[32,32]", "two kinds of stem"),
        ("loss.ctc_inner=1 loss.ctc_inner_layer=3", "loss.ctc_inner_layer"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, override: str, message: str):
    with pytest.raises(ConfigError, match=message):
        check_stage(settings(tmp_path, *override.split()))


def test_a_convolutional_stem_sees_beyond_its_patch_and_no_further(tmp_path: Path):
    config = settings(tmp_path).model
    stem = ImageEncoder(config.image_encoder, config.canvas).vit.patch_embed
    pixels = torch.zeros(1, 1, 32, 256, requires_grad=True)
    states = stem(pixels)
    assert states.shape == (1, 16, 16)
    states[0, 8].sum().backward()
    seen = torch.nonzero(pixels.grad[0, 0].abs().sum(0)).flatten()
    assert seen.min() < 8 * 16 and seen.max() >= 9 * 16  # it overlaps its neighbours
    assert seen.min() >= 8 * 16 - 16 and seen.max() < 9 * 16 + 16
