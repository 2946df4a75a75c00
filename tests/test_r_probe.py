"""`evaluate.py r-probe` around a fake reader and a checkpoint of random weights."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.small import PAIRS, save_small, small, small_vocabulary, write_corpus
from translatotron_v.checkpoint import load_tensors, resolve
from translatotron_v.config import config_from_text
from translatotron_v.errors import UserError
from translatotron_v.evaluation import r_probe
from translatotron_v.evaluation.reading import PageOcr
from translatotron_v.ocr import TextBox, box_from_bounds
from translatotron_v.training.stages.probe import ProbeStage

TRICKS = ("data.spans=0.5", "data.shuffled=0.5", "data.text_share=0.5", "freeze=[image_encoder]", "data.limit=20")


class FakeReader:
    """Reads "ein hund rennt" on every page that has ink to the very black, and nothing on any other."""

    signature = "ocr:fake"

    def read(self, image: Image.Image | np.ndarray) -> list[TextBox]:
        return [box_from_bounds(0, 0, 100, 16, "ein hund rennt")] if np.asarray(image).min() < 20 else []


@pytest.fixture(autouse=True)
def fake_reader(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(r_probe, "make_ocr_engine", lambda engine, languages: FakeReader())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translator of random weights, whose own training had every trick that the probe's must not have."""
    folder = tmp_path_factory.mktemp("checkpoint")
    write_corpus(folder / "corpus")
    return save_small(folder / "weights", small(f"data.folder={folder / 'corpus'}", *TRICKS))


def test_a_checkpoint_is_probed(checkpoint: Path, tmp_path: Path):
    out = tmp_path / "out"
    scores = r_probe.probe_checkpoint(checkpoint, folder=out, steps=2, batch_size=4, limit=3, quiet=True).scores
    assert set(scores) == {"mse", "psnr", "ssim", "cer", "cer_ceiling"}
    texts = [pair.source for pair in PAIRS[:3]]  # the first is what the reader reads on every original
    assert texts[0] == "ein hund rennt" and 0 < scores["cer_ceiling"] < 1
    assert scores["cer"] > scores["cer_ceiling"]  # grey in grey after two steps
    assert 0 < scores["mse"] < 1 and 0 < scores["psnr"] < 100 and -1 <= scores["ssim"] < 1

    content = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    found = {(entry["of"], entry["name"]): entry for entry in content["scores"]}
    assert found[r_probe.RECONSTRUCTION, "MSE"]["value"] == scores["mse"]
    reading = found[r_probe.TEXT, "CER"]
    assert (reading["value"], reading["ceiling"]) == (scores["cer"], scores["cer_ceiling"])
    assert "ocr:fake" in reading["signature"] and reading["samples"] == 3
    assert content["settings"]["fused blocks"] == "none" and content["settings"]["steps"] == 2
    assert f"R-Probe of {checkpoint}" in (out / "scores.md").read_text(encoding="utf-8")
    with Image.open(out / "pages.png") as sheet:
        assert sheet.size == (4 + 128 + 4, 4 + 2 * 3 * (16 + 4))

    (run,) = out.glob("run-*")
    before = (resolve(run) / "probe.safetensors").read_bytes()
    again = r_probe.probe_checkpoint(checkpoint, folder=out, steps=2, batch_size=4, limit=3, quiet=True).scores
    assert again == scores  # the finished run is loaded, not trained again
    assert (resolve(run) / "probe.safetensors").read_bytes() == before
    r_probe.probe_checkpoint(checkpoint, folder=out, steps=1, batch_size=4, limit=1, seed=2, quiet=True)
    assert len(list(out.glob("run-*"))) == 2  # other settings, another probe


def test_the_probe_trains_on_plain_pages_with_the_encoder_frozen(checkpoint: Path, tmp_path: Path):
    r_probe.probe_checkpoint(checkpoint, folder=tmp_path, steps=1, batch_size=4, limit=1, quiet=True)
    final = resolve(next(tmp_path.glob("run-*")))
    config = config_from_text((final / "config.yaml").read_text(encoding="utf-8"), "the probe's")
    assert (config.stage, config.data.spans, config.data.shuffled, config.data.text_share) == ("probe", 0, 0, 0)
    assert config.data.limit == 20 and config.data.train == "train"
    probed, own = (load_tensors(folder / "image_encoder.safetensors") for folder in (checkpoint, final))
    assert probed.keys() == own.keys() and all(torch.equal(probed[key], own[key]) for key in own)


def test_a_probe_that_returns_the_page_is_scored_as_perfect(checkpoint: Path, tmp_path: Path):
    config = r_probe.probe_config(checkpoint, r_probe.ProbeOptions())
    stage = ProbeStage(config, small_vocabulary(), PAIRS, PAIRS[:4]).eval()
    stage.reconstruct = lambda pixels: pixels  # type: ignore[method-assign]
    reader = PageOcr(FakeReader, None, quiet=True)
    report, sheet = r_probe.score(stage, stage.validation, reader)
    scores = r_probe.Probed(report, sheet).scores
    assert (scores["mse"], scores["psnr"], scores["ssim"]) == (0.0, 100.0, pytest.approx(1.0))
    assert scores["cer"] == scores["cer_ceiling"] > 0
    white = torch.cat([(1 - batch.source_pixels).square() for batch in stage.validation_batches()]).mean().item()
    assert report.value(r_probe.WHITE, "MSE") == pytest.approx(white, rel=1e-5)
    assert '"ceiling"' in report.as_json()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": "nowhere"}, "nowhere: no such folder, nor weights of that name"),
        ({"checkpoint": "empty"}, "empty: holds no checkpoint"),
        ({"checkpoint": "text_decoder"}, r"holds no text_decoder\.safetensors"),
        ({"checkpoint": "image_encoder"}, r"holds no image_encoder\.safetensors"),
        ({"data": "missing"}, r"data\.folder"),
        ({"split": "spring"}, "spring"),
        ({"learning_rate": 0.0}, "learning rate"),
        ({"steps": 0}, r"trainer\.steps"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing_behind(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict, message: str
):
    monkeypatch.chdir(tmp_path)
    name = options.pop("checkpoint", checkpoint)
    if name == "empty":
        Path(name).mkdir()
    elif str(name).endswith("coder"):
        save_small(Path(name), small(), leave_out=str(name))
    with pytest.raises(UserError, match=message) as caught:
        r_probe.probe_checkpoint(name, folder=tmp_path / "out", quiet=True, **options)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()  # before any work


def test_the_command(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    parser = argparse.ArgumentParser()
    r_probe.add_command(parser.add_subparsers())
    out = tmp_path / "out"
    arguments = ["r-probe", str(checkpoint), "--split", "train", "--steps", "1", "--batch-size", "2", "--limit", "2"]
    options = parser.parse_args([*arguments, "--out", str(out)])
    options.command = "python evaluate.py r-probe"
    options.run(options)
    printed = capsys.readouterr().out
    assert "OCR ceiling" in printed and str(out) in printed and "pages.png" in printed
    settings = json.loads((out / "scores.json").read_text(encoding="utf-8"))["settings"]
    assert settings["command"] == options.command and settings["split"] == "train" and settings["limit"] == 2
    with pytest.raises(SystemExit):
        parser.parse_args([*arguments, "--workers", "0"])
