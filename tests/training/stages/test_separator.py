"""The stage of the separator: its crops, its loss, that it learns, and that what it leaves can be loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data_synth.photographs import bundled_photographs
from tests.small import PAIRS, assert_same, small, small_vocabulary, write_corpus
from translatotron_v.config import Config, load_config
from translatotron_v.errors import UserError
from translatotron_v.page.separate import load_matting
from translatotron_v.training import losses
from translatotron_v.training.build import build_stage
from translatotron_v.training.protocol import TrainableStage
from translatotron_v.training.stages import separator as separator_stage
from translatotron_v.training.stages.separator import KINDS, InkBatch, SeparatorStage, faces, iou
from translatotron_v.training.trainer import Trainer

CROP = ("model.canvas.height=32", "model.canvas.width=64", "model.canvas.channels=3", "model.matting.widths=[8,12]")


def settings(*overrides: str) -> Config:
    return small("stage=separator", "trainer.batch_size=4", "data.validation_limit=6", *CROP, *overrides)


def make(*overrides: str) -> SeparatorStage:
    torch.manual_seed(0)
    return SeparatorStage(settings(*overrides), small_vocabulary(), PAIRS, PAIRS[:4])


def test_a_batch_is_a_function_of_the_seed_and_its_number():
    batch, again, other, seeded = (
        make().dataset[5],
        make().dataset[5],
        make().dataset[6],
        make("trainer.seed=2").dataset[5],
    )
    assert isinstance(batch, InkBatch)
    assert batch.pixels.shape == (4, 3, 32, 64) and batch.coverage.shape == (4, 1, 32, 64)
    assert torch.equal(batch.pixels, again.pixels) and torch.equal(batch.coverage, again.coverage)
    for different in (other, seeded):
        assert not torch.equal(batch.pixels, different.pixels)
    for values in (batch.pixels, batch.coverage):
        assert values.min() >= 0 and values.max() <= 1


def test_what_is_held_out_depends_on_nothing_but_its_number():
    crops = make().held_out
    few, many = crops.samples("photo", 2), crops.samples("photo", 3)
    for one, other in zip(few, many, strict=False):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_crops_show_text_where_their_coverage_says(kind: str):
    crops = make().held_out
    assert any((coverage > 200).any() for _, coverage in crops.samples(kind, 6))
    assert not any(coverage.any() for _, coverage in crops.samples(kind, 6, empty=True))


def test_ink_on_a_plain_page_has_one_colour():
    """Where the renderer says that there is nothing but ink, the picture shows nothing else, up to noise and JPEG."""
    for pixels, coverage in make().held_out.samples("plain", 8):
        full, none = pixels[coverage == 255], pixels[coverage == 0]
        if len(full) > 20 and len(none) > 20:
            between = np.linalg.norm(full.mean(axis=0) - none.mean(axis=0))
            assert between > 3 * full.std(axis=0).max()


def test_photographs_of_the_validation_are_not_trained_on():
    trained, held_out = set(separator_stage.TRAINING_PHOTOGRAPHS), set(separator_stage.VALIDATION_PHOTOGRAPHS)
    assert not trained & held_out
    assert trained | held_out == set(bundled_photographs())


def test_every_family_comes_in_bold_where_it_can():
    assert {"DejaVuSans", "DejaVuSans-Bold", "FiraGO-Regular", "FiraGO-Bold", "DejaVuSansCondensed"} <= set(faces())
    assert "DejaVuSansCondensed-Bold" not in faces()


def test_the_loss_by_hand():
    coverage = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    even = losses.ink_loss(torch.zeros(1, 1, 1, 2), coverage)  # ink is one half: overlap (2 * .5 + 1) / (.5 + 1 + 1)
    assert even.item() == pytest.approx(np.log(2) + 1 - 2 / 2.5, rel=1e-5)
    sure = losses.ink_loss(torch.tensor([20.0, -20.0]).reshape(1, 1, 1, 2), coverage)
    assert sure.item() == pytest.approx(0, abs=1e-6)
    assert losses.ink_loss(torch.full((1, 1, 4, 4), -20.0), torch.zeros(1, 1, 4, 4)).item() == pytest.approx(
        0, abs=1e-6
    )


def test_the_overlap_by_hand():
    found, wanted = torch.tensor([1.0, 0.9, 0.1, 0.2]), torch.tensor([0.0, 0.6, 0.7, 0.4])
    assert iou(found, wanted) == pytest.approx(1 / 3)
    assert iou(torch.zeros(4), torch.full((4,), 0.5)) is None


def test_it_learns(monkeypatch: pytest.MonkeyPatch):
    """On one batch it soon does better than if it called everything background."""
    monkeypatch.setattr(separator_stage, "SIZES", (12, 20))
    stage = make()
    batch = stage.dataset[0]
    optimizer = torch.optim.AdamW(stage.optimized()["main"], 2e-2)
    for step in range(100):
        loss, report = stage(batch, "main", step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert set(report) == {"error"} and not report["error"].requires_grad
    assert report["error"] < 0.5 * batch.coverage.mean()
    assert iou(stage.matting(batch.pixels).sigmoid(), batch.coverage) > 0.6


def test_an_evaluation_has_figures_for_each_background_and_a_sheet():
    stage = make().eval()
    with torch.no_grad():  # it calls everything ink
        last = stage.matting.sharpen[-1]
        last.weight.zero_()
        last.bias.fill_(20)
    evaluation = stage.evaluate(0)
    names = {f"{kind}_{what}" for kind in KINDS for what in ("iou", "error")}
    assert set(evaluation.metrics) == names | {"iou", "error", "blank_ink"}
    assert evaluation.metrics["blank_ink"] == 1
    coverage = np.concatenate([crop for _, crop in stage.held_out.samples("photo", 2)]) / 255
    assert evaluation.metrics["photo_error"] == pytest.approx(1 - coverage.mean(), abs=1e-4)
    assert evaluation.sheet is not None and evaluation.sheet.width == 4 + 3 * (64 + 4)


def test_a_run_leaves_a_separator_that_can_be_loaded(tmp_path: Path):
    """Through the front door: corpus, stage, loop, checkpoint."""
    write_corpus(tmp_path / "corpus")
    config = settings(f"data.folder={tmp_path / 'corpus'}", f"run={tmp_path / 'run'}", "trainer.steps=2")
    stage = build_stage(config)
    assert isinstance(stage, SeparatorStage) and isinstance(stage, TrainableStage)
    Trainer(stage, config.trainer, tmp_path / "run").fit()
    assert (tmp_path / "run" / "final" / "matting.safetensors").is_file()
    matting = load_matting(tmp_path / "run")
    assert_same(matting, stage.matting)
    assert not matting.training and not any(parameter.requires_grad for parameter in matting.parameters())


def test_grey_pages_are_refused():
    with pytest.raises(UserError, match=r"model\.canvas\.channels=3"):
        make("model.canvas.channels=1")


def test_the_shipped_settings_are_those_of_the_stage():
    config = load_config(Path(__file__).resolve().parents[3] / "configs" / "small" / "separator.yaml")
    assert config.stage == "separator" and config.model.canvas.channels == 3
