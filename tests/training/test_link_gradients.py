"""What flows back by skip links: as autograd says by hand, zero where they are detached, and of a run as it began."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.small import PAIRS, save_small, small, small_vocabulary, write_corpus
from translatotron_v.data.pages import Batch
from translatotron_v.data.vocabulary import PAD
from translatotron_v.errors import UserError
from translatotron_v.evaluation.command import main
from translatotron_v.evaluation.link_gradients import link_gradients
from translatotron_v.training import losses
from translatotron_v.training.build import build_stage
from translatotron_v.training.link_gradients import measure
from translatotron_v.training.stages.translator import TranslatorStage
from translatotron_v.training.trainer import Trainer

LOSSES = ("loss.image=0", "loss.distillation=0", "loss.ocr=0", "loss.ctc=0.3", "loss.label_smoothing=0")
LAYERS = ("model.image_encoder.layers=3", "model.image_encoder.ocr_layer=3", "model.image_encoder.fuse_by=concat")
FUSED = (*LOSSES, *LAYERS, "model.image_encoder.fuse=[1,2]")


def make(*overrides: str) -> tuple[TranslatorStage, Batch]:
    torch.manual_seed(0)
    stage = TranslatorStage(small("stage=translator", *overrides), small_vocabulary(), PAIRS, PAIRS[:4])
    return stage, stage.validation_batches()[0]


def by_hand(stage: TranslatorStage, batch: Batch, ctc: float, text: float) -> dict[str, Tensor]:
    """Gradients of the states of blocks 1 and 2, whole and by their links, without hooks."""
    model, encoder = stage.translator.eval(), stage.translator.image_encoder
    x = encoder.vit.embed(batch.source_pixels * 2 - 1)
    states, links = {}, {}
    for number, block in enumerate(encoder.vit.blocks, start=1):
        x = states[number] = block(x)
    for number in (1, 2):
        links[number] = states[number] * 1
    final = encoder.fusion(encoder.vit.norm(x), links)
    memory = model.text_encoder.from_image(final)
    log = model.text_decoder(batch.target_input, memory)[0].log_softmax(-1)
    nats = -log.gather(-1, batch.target_output[..., None])[..., 0][batch.target_output != PAD].mean()
    loss = text * nats + ctc * losses.ctc(model.ctc_head(final), batch.source_characters)
    wanted = {f"{kind} {n}": tensors[n] for kind, tensors in (("block", states), ("link", links)) for n in (1, 2)}
    gradients = torch.autograd.grad(loss, list(wanted.values()), retain_graph=True, allow_unused=True)
    return dict(zip(wanted, gradients, strict=True))


def test_the_share_of_a_link_is_autograds():
    stage, batch = make(*FUSED)
    found = measure(stage, [batch])
    hand = by_hand(stage, batch, 0.3, 1.0)
    parts = by_hand(stage, batch, 0.3, 0.0), by_hand(stage, batch, 0.0, 1.0)
    for number in (1, 2):
        whole, link = hand[f"block {number}"], hand[f"link {number}"]
        rest = whole - link
        assert found[f"block_{number}"] == pytest.approx(float(whole.norm()), rel=1e-4)
        assert found[f"link_{number}"] == pytest.approx(float(link.norm()), rel=1e-4)
        share, others = ((part * whole).sum() / whole.square().sum() for part in (link, rest))
        assert found[f"share_{number}"] == pytest.approx(float(share), rel=1e-3)
        assert float(share + others) == pytest.approx(1.0)
        one, other = (part[f"block {number}"].flatten() for part in parts)
        cosine = torch.nn.functional.cosine_similarity(one, other, dim=0)
        assert found[f"conflict_{number}"] == pytest.approx(float(cosine), abs=1e-4)
    assert 0 < found["share_1"] < 1
    assert "block_3" in found and "share_3" not in found
    assert stage.config.loss.ctc == 0.3 and all(p.grad is None for p in stage.parameters())  # as it was


def test_nothing_comes_by_a_detached_link():
    stage, batch = make(*FUSED, "model.image_encoder.detach=[1]")
    found = measure(stage, [batch, batch])
    assert found["share_1"] == 0.0 == found["link_1"] and found["block_1"] > 0
    assert found["share_2"] != 0.0
    [once] = [measure(stage, [batch])]
    assert found == pytest.approx(once | {key: once[key] / 2**0.5 for key in once if key[:4] in ("bloc", "link")})


def test_a_correction_that_starts_at_zero_lets_nothing_through():
    stage, batch = make(*FUSED, "model.image_encoder.fuse_by=add")
    found = measure(stage, [batch])
    assert found["share_1"] == 0.0 == found["share_2"]


def test_without_links_or_without_reading_there_is_less_to_tell():
    stage, batch = make(*LOSSES, "loss.ctc=0")
    assert set(measure(stage, [batch])) == {"block_1", "block_2"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three steps, all from nothing."""
    data = write_corpus(tmp_path / "corpus")
    config = small("stage=translator", *FUSED, f"data.folder={data}", f"run={tmp_path / 'run'}", "trainer.steps=3")
    Trainer(build_stage(config), config.trainer, Path(config.run)).fit()
    return tmp_path / "run"


def test_before_and_after_training(run: Path, capsys: pytest.CaptureFixture[str]):
    before, after = link_gradients(run, begun=True), link_gradients(run)
    assert set(before) == set(after) and before["share_1"] != after["share_1"]
    config = small("stage=translator", *FUSED, f"data.folder={run.parent / 'corpus'}", "run=runs/none")
    fresh = build_stage(config)
    assert before == pytest.approx(measure(fresh, fresh.validation_batches()))
    assert main(["link-gradients", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(after)
    assert main(["link-gradients", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["1", "2", "3"]
    assert f"{after['share_1']:.4g}" in lines[2]


def test_only_translators_have_them(tmp_path: Path):
    folder = save_small(tmp_path, small("stage=reader"))
    with pytest.raises(UserError, match="'reader'; gradients are those of a translator"):
        link_gradients(folder)
