"""The stage of the pixel-level baseline: its loss, that it learns, its figures, and what it leaves behind."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.small import PAIRS, assert_same, small, small_vocabulary, write_corpus
from translatotron_v.checkpoint import load_module, resolve
from translatotron_v.config import Config, load_config
from translatotron_v.models.baselines import PixelBaseline
from translatotron_v.ocr import TextBox
from translatotron_v.training.build import build_stage
from translatotron_v.training.protocol import TrainableStage
from translatotron_v.training.stages import pixel_baseline as pixel_baseline_stage
from translatotron_v.training.stages.pixel_baseline import PixelBaselineStage, darkness_cross_entropy
from translatotron_v.training.trainer import Trainer

SIZE = ("segment=[16,8]", "width=32", "encoder_layers=1", "decoder_layers=1", "heads=2", "feed_forward=64")
CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def settings(*overrides: str) -> Config:
    return small("stage=pixel_baseline", *(f"model.pixel_baseline.{size}" for size in SIZE), *overrides)


def make(*overrides: str) -> PixelBaselineStage:
    torch.manual_seed(0)
    return PixelBaselineStage(settings(*overrides), small_vocabulary(), PAIRS, PAIRS[:4])


class Reads:
    """A reader that reads the same on every picture."""

    def __init__(self, text: str):
        self.text = text

    def read(self, picture: object) -> list[TextBox]:
        return [TextBox(((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)), self.text)]


@pytest.fixture(autouse=True)
def no_reader(monkeypatch: pytest.MonkeyPatch):
    """OCR takes seconds to load and is tested elsewhere."""
    monkeypatch.setattr(pixel_baseline_stage, "make_ocr_engine", lambda: Reads(PAIRS[0].target))


def test_the_loss_by_hand():
    logits, darkness = torch.tensor([[[0.0, math.log(3)]]]), torch.tensor([[[1.0, 0.0]]])  # probabilities 1/2 and 3/4
    assert darkness_cross_entropy(logits, darkness).item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    weighted = darkness_cross_entropy(logits, darkness, ink=2.0)
    assert weighted.item() == pytest.approx((3 * math.log(2) + math.log(4)) / 4)


@pytest.mark.parametrize("ink", [0.0, 4.0])
def test_grey_is_best_answered_by_itself(ink: float):
    darkness = torch.tensor([[[0.25, 0.8]]])

    def loss(answer: Tensor) -> float:
        return darkness_cross_entropy(answer.logit(), darkness, ink).item()

    assert loss(darkness) < min(loss(darkness + 0.05), loss(darkness - 0.05), loss(darkness.round().clamp(0.01, 0.99)))


def test_every_parameter_learns():
    """On one batch the loss falls, and no tensor is left out of it."""
    stage = make("loss.ink=1")
    batch = stage.dataset[0]
    assert batch.source_pixels is not None and batch.target_pixels is not None
    assert batch.source_pieces is None and batch.target_characters is None  # no text goes in
    loss, report = stage(batch, "main", 0)
    assert set(report) == {"error"} and not report["error"].requires_grad
    first = loss.item()
    optimizer = torch.optim.Adam(stage.optimized()["main"], 5e-3)
    for step in range(40):
        loss, report = stage(batch, "main", step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 0:
            assert [name for name, part in stage.named_parameters() if part.grad is None or not part.grad.any()] == []
    assert loss.item() < 0.7 * first


def test_an_evaluation_reads_what_was_drawn_from_the_sources(monkeypatch: pytest.MonkeyPatch):
    stage = make().eval()
    given: list[Tensor] = []

    def generate(source: Tensor) -> Tensor:
        given.append(source)
        return torch.ones_like(source)

    monkeypatch.setattr(stage.pixel_baseline, "generate", generate)
    evaluation = stage.evaluate(0)
    batches = stage.validation_batches()
    sources, targets = (torch.cat([getattr(b, f"{side}_pixels") for b in batches]) for side in ("source", "target"))
    assert torch.equal(torch.cat(given), sources)
    assert set(evaluation.metrics) == {"cer", "bleu", "mean_absolute_error"}
    assert evaluation.metrics["mean_absolute_error"] == pytest.approx((1 - targets).mean().item(), rel=1e-4)
    assert 0 < evaluation.metrics["cer"] < 1  # one of the four texts is what the reader always reads
    assert evaluation.sheet is not None and evaluation.sheet.size == (4 + 3 * (128 + 4), 4 + 4 * (16 + 4))


def test_a_perfect_page_scores_as_one(monkeypatch: pytest.MonkeyPatch):
    stage = make("data.validation_limit=1").eval()
    assert stage.evaluate(0).metrics["cer"] == 0
    monkeypatch.setattr(pixel_baseline_stage, "make_ocr_engine", lambda: Reads(""))
    metrics = stage.evaluate(0).metrics
    assert metrics["cer"] == 1 and metrics["bleu"] == 0


def test_a_run_leaves_a_model_that_can_be_loaded(tmp_path: Path):
    """Through the front door: corpus, stage, loop, checkpoint."""
    write_corpus(tmp_path / "corpus")
    config = settings(f"data.folder={tmp_path / 'corpus'}", f"run={tmp_path / 'run'}", "trainer.steps=2")
    stage = build_stage(config)
    assert isinstance(stage, PixelBaselineStage) and isinstance(stage, TrainableStage)
    Trainer(stage, config.trainer, tmp_path / "run").fit()
    folder = resolve(tmp_path / "run")
    saved = load_config(folder / "config.yaml")
    assert saved.stage == "pixel_baseline"
    model = PixelBaseline(saved.model.pixel_baseline, saved.model.canvas)
    load_module(model, folder, "pixel_baseline")
    assert_same(model, stage.pixel_baseline)


def test_the_shipped_settings_compare_in_size():
    config = load_config(CONFIGS / "small" / "pixel_baseline.yaml")
    with torch.device("meta"):
        model = PixelBaseline(config.model.pixel_baseline, config.model.canvas)
        logits = model(torch.zeros(2, 1, 96, 512), torch.zeros(2, 1, 96, 512))
    assert logits.shape == (2, 192, 256)
    assert 4e6 < sum(parameter.numel() for parameter in model.parameters()) < 8e6
