"""The stage of the probe: what it starts from, what it leaves alone, and that it learns."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tests.small import PAIRS, TEXTS, enliven, small, small_vocabulary, write_corpus
from translatotron_v.checkpoint import load_tensors, resolve, save_checkpoint
from translatotron_v.config import Config, to_yaml
from translatotron_v.errors import UserError
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training.protocol import TrainableStage
from translatotron_v.training.stages.probe import ProbeStage, pixel_scores
from translatotron_v.training.trainer import Trainer

MODEL = ("model.text_decoder.layers=8", "model.image_encoder.layers=3", "model.image_encoder.fuse=[1,2]")


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a translator with skip links and random weights."""
    return save(tmp_path_factory.mktemp("probed"))


def save(folder: Path, *overrides: str, leave_out: str = "") -> Path:
    config = small(*MODEL, *overrides)
    vocabulary = small_vocabulary()
    model = enliven(TranslatotronV(config.model, len(vocabulary), vocabulary.character_count), scale=0.1)
    modules = {name: module for name, module in model.named_children() if name != leave_out}
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json()}
    save_checkpoint(folder, modules, files, {"step": 0})
    return folder


def settings(probed: Path, *overrides: str) -> Config:
    start = [f"start.{name}={probed}" for name in ("image_encoder", "text_decoder")]
    return small("stage=probe", *start, *MODEL, *overrides)


def make(config: Config) -> ProbeStage:
    torch.manual_seed(0)
    return ProbeStage(config, small_vocabulary(), PAIRS, PAIRS[:4])


def test_it_starts_from_the_image_encoder_and_the_decoders_first_layers(probed: Path):
    stage = make(settings(probed))
    new = stage.load_start()
    encoder, decoder = (load_tensors(probed / f"{name}.safetensors") for name in ("image_encoder", "text_decoder"))
    own = stage.image_encoder.state_dict()
    assert any(key.startswith("fusion.") for key in own)
    assert own.keys() == encoder.keys() and all(torch.equal(own[key], encoder[key]) for key in own)
    layers = {key: tensor for key, tensor in stage.probe.state_dict().items() if key.startswith("layers.")}
    assert {key.split(".")[1] for key in layers} == {"0", "1"}  # of eight
    assert all(torch.equal(tensor, decoder[key]) for key, tensor in layers.items())
    assert {key.split(".")[1] for key in new} == {"tokens", "memory", "positions", "norm", "out"}


def test_the_encoder_gets_no_gradient_and_does_not_change(probed: Path, tmp_path: Path):
    config = settings(probed, "trainer.steps=3", "trainer.weight_decay=0.5", f"run={tmp_path}")
    stage = make(config)
    stage.load_start()
    assert isinstance(stage, TrainableStage)
    before = {key: tensor.clone() for key, tensor in stage.state_dict().items()}
    modes = []
    stage.image_encoder.register_forward_hook(lambda module, given, made: modes.append(module.training))
    loss, report = stage(stage.dataset[0], "main", 0)
    loss.backward()
    assert set(report) == {"mse"} and not report["mse"].requires_grad
    assert all(parameter.grad is None for parameter in stage.image_encoder.parameters())
    assert all(parameter.grad is not None for parameter in stage.probe.parameters())
    stage.zero_grad()
    modes.clear()
    Trainer(stage, config.trainer, Path(config.run)).fit()
    assert modes and not any(modes)  # evaluation mode in every step
    after = stage.state_dict()
    assert [key for key in before if key.startswith("image_encoder") and not torch.equal(before[key], after[key])] == []
    assert [key for key in before if key.startswith("probe.") and torch.equal(before[key], after[key])] == []
    stored = load_tensors(resolve(tmp_path) / "image_encoder.safetensors")
    assert all(torch.equal(tensor, before[f"image_encoder.{key}"]) for key, tensor in stored.items())
    assert (resolve(tmp_path) / "probe.safetensors").is_file()


def test_the_loss_is_the_weighted_squared_error_of_the_source_pages(probed: Path):
    stage = make(settings(probed, "loss.pixel_regression=2")).eval()
    batch = stage.dataset[0]
    assert batch.target_pixels is None
    drawn = stage.probe(stage.image_encoder(batch.source_pixels).final)
    loss, report = stage(batch, "main", 0)
    expected = ((drawn - batch.source_pixels) ** 2).mean().item()
    assert float(report["mse"]) == pytest.approx(expected, rel=1e-5)
    assert loss.item() == pytest.approx(2 * expected, rel=1e-5)


def test_it_learns():
    """Better on six pages than their mean, which is as far as it gets without telling one page from another."""
    stage = make(small("stage=probe", *MODEL))
    batch = stage.dataset[0]
    assert batch.source_pixels is not None
    mean = F.mse_loss(batch.source_pixels.mean(0, keepdim=True).expand_as(batch.source_pixels), batch.source_pixels)
    optimizer = torch.optim.Adam(stage.optimized()["main"], 1e-2)
    first = stage(batch, "main", 0)[0].item()
    for step in range(40):
        loss, _ = stage(batch, "main", step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6 * mean.item() < first


def test_an_evaluation_has_figures_and_a_sheet(probed: Path):
    stage = make(settings(probed)).eval()
    with torch.no_grad():  # white pages, and beyond
        stage.probe.out.weight.zero_()
        stage.probe.out.bias.fill_(-1)
    evaluation = stage.evaluate(0)
    pages = torch.cat([batch.source_pixels for batch in stage.validation_batches()])
    assert set(evaluation.metrics) == {"mse", "psnr", "ssim"}
    assert evaluation.metrics["mse"] == pytest.approx((1 - pages).square().mean().item(), rel=1e-5)
    assert evaluation.sheet is not None and evaluation.sheet.size == (4 + 2 * (128 + 4), 4 + 4 * (16 + 4))


def test_scores_of_known_pages():
    grey, white = [torch.full((1, 16, 16), 128 / 255)] * 2, [torch.ones(1, 16, 16)] * 2
    assert pixel_scores(grey, grey) == pytest.approx({"mse": 0, "psnr": 100, "ssim": 1})
    scores = pixel_scores(white, grey)
    assert scores["mse"] == pytest.approx((127 / 255) ** 2)
    assert scores["psnr"] == pytest.approx(6.0549, abs=1e-3)  # -10 log10 of that
    assert scores["ssim"] < 1


def refusal(config: Config) -> str:
    with pytest.raises(UserError) as caught:
        make(config).load_start()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_starts_that_do_not_fit_get_one_line(probed: Path, tmp_path: Path):
    assert "start.image_encoder=RUN" in refusal(small("stage=probe"))
    assert "start.text_decoder=RUN" in refusal(small("stage=probe", f"start.image_encoder={probed}"))
    assert "start.painter" in refusal(settings(probed, f"start.painter={probed}"))
    assert "gone: no such folder" in refusal(settings(tmp_path / "gone"))
    silent = save(tmp_path / "silent", leave_out="text_decoder")
    assert "text_decoder.safetensors: no such file" in refusal(settings(silent))
    shallow = save(tmp_path / "shallow", "model.text_decoder.layers=1")
    assert "layers.1." in refusal(settings(shallow))
    message = refusal(settings(probed, "model.image_encoder.fuse=[]"))  # it would not be the encoder that was trained
    assert "image_encoder.safetensors" in message and "fusion." in message


def test_a_module_of_another_name_can_be_probed(probed: Path, tmp_path: Path):
    stage = make(settings(probed, f"start.image_encoder={probed}#image_encoder"))
    stage.load_start()
    assert "image_tokenizer.safetensors" in refusal(settings(probed, f"start.image_encoder={probed}#image_tokenizer"))


def test_the_probe_is_registered(probed: Path, tmp_path: Path):
    """Through the front door: corpus, vocabulary of the checkpoint, start."""
    from translatotron_v.training.build import build_stage

    write_corpus(tmp_path / "corpus")
    stage = build_stage(settings(probed, f"data.folder={tmp_path / 'corpus'}", f"run={tmp_path / 'run'}"))
    assert isinstance(stage, ProbeStage)
    assert len(stage.vocabulary.encode(TEXTS[0])) > 0
    decoder = load_tensors(probed / "text_decoder.safetensors")
    assert torch.equal(stage.probe.state_dict()["layers.1.cross.out.weight"], decoder["layers.1.cross.out.weight"])
