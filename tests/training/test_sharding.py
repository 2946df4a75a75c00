"""Parameters shared out among two ranks: what one process learns, in checkpoints that one process reads."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.small import small, write_corpus
from tests.training import rank_worker
from tests.training.test_ranks import comparable, losses, settings
from tests.training.toy import ToyStage
from translatotron_v.checkpoint import checkpoint_folder, load_tensors, read_info
from translatotron_v.config import CanvasConfig, ImageEncoderConfig, TrainerConfig
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.training import build
from translatotron_v.training.launch import TrainingError
from translatotron_v.training.sharding import like, whole
from translatotron_v.training.trainer import Trainer

RUN = ("trainer.steps=8", "trainer.checkpoint_every=4", "trainer.keep=3", "trainer.ema=0.9", "trainer.accumulate=2")
RUN += ("loss.ctc=1", "data.spans=0", "trainer.evaluate_every=4")


def begun(folder: Path, origin: Path) -> Path:
    """A run that was cut off after four steps of another."""
    shutil.copytree(checkpoint_folder(origin, 4), checkpoint_folder(folder, 4))
    return folder


def test_two_ranks_share_out_what_one_process_holds(tmp_path: Path):
    corpus = write_corpus(tmp_path / "corpus")
    one, two, after_one, after_two, brief = (tmp_path / name for name in ("one", "two", "after1", "after2", "brief"))
    build.train(small(*settings("reader", corpus, one, *RUN)))
    shared = (*RUN, "trainer.shard=true", "trainer.recompute=true")
    rank_worker.run(rank_worker.train_all, 2, [
        settings("reader", corpus, two, *shared),
        settings("reader", corpus, begun(after_one, one), *shared),
        settings("reader", corpus, brief, *shared, "trainer.precision=bf16", "trainer.steps=1"),
    ])  # fmt: skip
    build.train(small(*settings("reader", corpus, begun(after_two, two), *RUN)))
    wanted, tensors = losses(one), comparable(one)
    assert len(wanted) == 8
    assert losses(two) == pytest.approx(wanted, abs=1e-5)
    for run in (after_one, after_two):
        assert losses(run) == pytest.approx(wanted[4:], abs=1e-5)
    for run in (two, after_one, after_two):
        found = comparable(run)
        assert found.keys() == tensors.keys()
        assert max(float((found[key] - tensors[key]).abs().max()) for key in tensors) < 1e-4
        assert read_info(run / "final")["metrics"] == pytest.approx(read_info(one / "final")["metrics"], abs=1e-4)
    for name in ("optimizer-main", "ema"):  # whole, as one process writes them
        ours, theirs = (
            load_tensors(checkpoint_folder(run, 8) / "resume" / f"{name}.safetensors") for run in (two, one)
        )
        assert {key: value.shape for key, value in ours.items()} == {k: value.shape for k, value in theirs.items()}
    assert losses(brief) == pytest.approx(wanted[:1], rel=0.02) and losses(brief) != pytest.approx(wanted[:1], rel=1e-6)
    assert {tensor.dtype for tensor in comparable(brief).values() if tensor.is_floating_point()} == {torch.float32}


def test_what_cannot_be_shared_out_is_one_line(tmp_path: Path):
    sizes = {"steps": 2, "batch_size": 2, "shard": True, "device": "cpu"}
    with pytest.raises(TrainingError, match=r"trainer\.shard is for several ranks: start them with torchrun"):
        Trainer(ToyStage(), TrainerConfig(**sizes), tmp_path).fit()
    with pytest.raises(TrainingError, match=r"trainer\.shard does not go with several optimizers"):
        Trainer(ToyStage(adversary=True), TrainerConfig(**sizes), tmp_path).fit()
    with pytest.raises(TrainingError, match=r"trainer\.shard does not go with Muon"):
        Trainer(ToyStage(), TrainerConfig(**sizes, optimizer="muon"), tmp_path).fit()
    tensor = torch.ones(2)
    assert whole(tensor) is tensor and like(tensor, nn.Parameter(torch.zeros(2))) is tensor


def test_blocks_are_computed_again_going_back():
    torch.manual_seed(0)
    encoder = ImageEncoder(ImageEncoderConfig(16, 3, 2, ocr_layer=1, patch=[8, 8]), CanvasConfig(16, 32, 1))
    pixels, found = torch.rand(2, 1, 16, 32), []
    for recompute in (False, True):
        encoder.recompute = recompute
        calls: list[int] = []
        hooks = [
            block.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1)) for block in encoder.vit.blocks
        ]
        encoder.zero_grad()
        states = encoder(pixels)
        (states.final.square().sum() + states.reading.sum()).backward()
        assert len(calls) == (6 if recompute else 3)
        found.append([parameter.grad.clone() for parameter in encoder.parameters()])
        for hook in hooks:
            hook.remove()
    for before, after in zip(*found, strict=True):
        assert torch.allclose(before, after, atol=1e-6)
