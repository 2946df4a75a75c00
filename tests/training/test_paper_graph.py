"""``configs/paper`` and ``configs/paper_tiny`` are the published model in two sizes: its parts, weights and starts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.small import write_corpus
from translatotron_v.config import Config, load_config
from translatotron_v.decoding.text import generate
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.training.build import build_stage
from translatotron_v.training.stages import teacher as teacher_stage
from translatotron_v.training.stages import tokenizer as tokenizer_stage
from translatotron_v.training.stages import translator as translator_stage
from translatotron_v.training.trainer import Trainer

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STAGES = ("tokenizer", "teacher", "translator")
# As small as the parts allow: pages of one short line.
DEBUG = (
    "model.canvas.height=32",
    "model.canvas.width=128",
    "page.source_sizes=[]",
    "page.font_size=10",
    "page.line_height=16",
    "page.fonts=[DejaVuSans]",
    "model.tokenizer.codes=32",
    "model.image_encoder.layers=2",
    "model.image_encoder.ocr_layer=1",
    "model.text_decoder.layers=1",
    "model.image_decoder.layers=1",
    "model.teacher_encoder.layers=1",
    "model.teacher_decoder.layers=1",
    "trainer.batch_size=4",
    "trainer.evaluate_every=1000",
    "trainer.device=cpu",
)


@pytest.mark.parametrize("folder", ["paper", "paper_tiny"])
def test_the_graph_and_the_losses_are_the_published_ones(folder: str):
    tokenizer, teacher, translator = (load_config(CONFIGS / folder / f"{stage}.yaml") for stage in STAGES)
    model = translator.model
    assert model == tokenizer.model == teacher.model
    # none of what the other configurations add
    added = model.text_encoder.layers, model.character_encoder.layers, model.ctc_frames, model.vocabulary.subwords
    assert added == (0, 0, 0, 0) and model.bridge == "states" and model.families == []
    encoder = model.image_encoder
    assert encoder.class_token and not encoder.stem and not encoder.fuse and encoder.ocr_layer * 2 == encoder.layers
    assert encoder.patch == model.tokenizer.patch == [16, 16] and model.tokenizer.encoder == "vit"
    decoder = model.image_decoder
    assert (decoder.fusion, decoder.fusion_start, decoder.kv_heads) == ("gated", "even", 1)
    assert model.teacher.layout.startswith("resnet") and model.teacher_decoder.fusion == "text"
    assert model.teacher_decoder.width * 4 == decoder.width * 3  # 384 to 512
    assert "image_decoder" not in translator.start and "character_encoder" not in translator.start
    loss = translator.loss
    assert (loss.image, loss.distillation, loss.ocr, loss.text, loss.temperature) == (1, 1, 1, 1, 1)
    assert (loss.label_smoothing, loss.image_smoothing) == (0.1, 0.1)
    assert teacher.loss.image_smoothing == 0 and encoder.dropout == 0
    ours = (loss.ctc, loss.text_mode, loss.text_distillation, loss.self_distillation, loss.masked, loss.transcription)
    assert ours == (0,) * 6
    first = tokenizer.loss
    assert (first.l1, first.l2, first.ink, first.commitment, first.adversarial) == (1, 0, 0, 1, 1)
    assert (first.quantise_from, tokenizer.trainer.ema, model.tokenizer.decay) == (0, 0.995, 0.9)
    dropouts = {decoder.dropout, model.text_decoder.dropout, model.ocr_head.dropout, model.teacher_decoder.dropout}
    assert dropouts == {0.1} and translator.trainer.decay == "polynomial" and translator.trainer.average > 1


def settings(stage: str, folder: Path, *more: str) -> Config:
    path = CONFIGS / "paper_tiny" / f"{stage}.yaml"
    start = [f"start.{module}={folder / Path(origin).name}" for module, origin in load_config(path).start.items()]
    moved = [f"data.folder={folder / 'corpus'}", f"run={folder / stage}", "trainer.steps=2", *start]
    return load_config(path, [*DEBUG, *moved, *more])


def test_its_three_stages_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module in (tokenizer_stage, teacher_stage, translator_stage):
        monkeypatch.setattr(module, "picture_error_rate", lambda pictures, texts: 1.0)
    write_corpus(tmp_path / "corpus")
    for name in STAGES:
        stage = build_stage(config := settings(name, tmp_path, "loss.adversarial_from=0"))
        Trainer(stage, replace(config.trainer, checkpoint_every=1), tmp_path / name).fit()
    translator = stage
    assert translator.teacher is not None and translator.teacher.layout is not None
    batch = next(iter(translator.validation_batches(2)))
    loss, report = translator(batch, "main", 0)
    assert set(report) == {"image", "distillation", "ocr", "text"}
    assert loss.item() == pytest.approx(sum(float(part.detach()) for part in report.values()), rel=1e-5)
    loss.backward()
    assert not any(p.grad is not None for p in translator.teacher.parameters())
    assert all(p.grad is not None for p in translator.translator.image_decoder.gate.parameters())
    translator.eval()
    with torch.inference_mode():
        made = generate(translator.translator, translator.vocabulary, batch.source_pixels, GenerationConfig("de", "en"))
    assert made.image_ids.shape == (2, 16)
