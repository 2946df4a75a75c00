"""Checkpoints of format 1 open again once they are converted, and give what they gave."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.small import SETTINGS, assert_same, small_vocabulary
from translatotron_v import cli
from translatotron_v.checkpoint import CheckpointError, load_module, read_info, save_checkpoint
from translatotron_v.config import load_config, to_yaml
from translatotron_v.conversion import convert
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.models.matting import TextMatting
from translatotron_v.models.translator import TranslatotronV

# How format 1 called what has another name now, written down here once more: the names of old files never change.
OLD_KEYS = {
    "model": {"connector": "bridge", "fonts": "families", "matting": "separator", "pixel_baseline": "pixels"},
    "page": {"word_grid": "snap", "advance_grid": "pitch"},
    "loss": {"pixel_regression": "pixels"},
}
OLD_TENSORS = {
    "text_encoder": {"visual_projection": "sight", "connector_norm": "bridge_norm", "connector": "bridge"},
    "character_encoder": {"piece_projection": "piece_bridge", "font": "family"},
    "image_decoder": {"concat_proj": "merge"},
}
READS = ("model.connector=read", "model.text_encoder.layers=1", "model.fonts=[DejaVuSans,DejaVuSerif]")


def old_name(key: str, names: dict[str, str]) -> str:
    return ".".join(names.get(part, part) for part in key.split("."))


def make_old(folder: Path, *overrides: str) -> TranslatotronV:
    """A checkpoint as format 1 had it, with a state of AdamW beside it; the model is what was saved."""
    torch.manual_seed(4)
    config = load_config(None, [*SETTINGS, *overrides])
    vocabulary = small_vocabulary()
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    modules: dict[str, Any] = dict(model.named_children())
    modules["matting"] = TextMatting(config.model.matting)
    resume = {
        "optimizer-main": {f"text_encoder.{key}|exp_avg": t for key, t in model.text_encoder.state_dict().items()}
    }
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json(), "NOTES.md": "ä\n"}
    save_checkpoint(folder, modules, files, {"step": 7, "metrics": {}}, resume)

    settings = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    for section, names in OLD_KEYS.items():
        settings[section] = {names.get(key, key): value for key, value in settings[section].items()}
    decoders = (settings["model"]["image_decoder"], settings["model"]["teacher_decoder"])
    for decoder in decoders:
        decoder["fusion"] = {"add": "sum"}.get(decoder["fusion"], decoder["fusion"])
    kind = settings["model"]["tokenizer"]["encoder"]
    settings["model"]["tokenizer"]["encoder"] = {"patch_codebook": "pixels"}.get(kind, kind)
    settings["data"] |= {"root": "corpora", "mixture": "mixture.yaml"}
    settings["freeze"], settings["start"] = ["family_head"], {"family_head": "runs/reader"}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    fields = json.loads(vocabulary.to_json())
    old = {name: fields[name] for name in ("characters", "subwords", "symbols")}
    (folder / "vocabulary.json").write_text(json.dumps(old), encoding="utf-8")
    for name, names in OLD_TENSORS.items():
        rename_tensors(folder / f"{name}.safetensors", names)
    rename_tensors(folder / "resume" / "optimizer-main.safetensors", OLD_TENSORS["text_encoder"])
    (folder / "resume" / "optimizer-main.safetensors").rename(folder / "resume" / "optimiser-main.safetensors")
    for name, before in {"font_head": "family_head", "matting": "separator"}.items():
        if (path := folder / f"{name}.safetensors").is_file():
            path.rename(folder / f"{before}.safetensors")
    info = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    info |= {"format_version": 1, "modules": sorted(modules)}
    (folder / "checkpoint.json").write_text(json.dumps(info), encoding="utf-8")
    return model


def rename_tensors(path: Path, names: dict[str, str]) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({old_name(key, names): tensor for key, tensor in load_file(path).items()}, path, metadata)


def opened(folder: Path) -> TranslatotronV:
    """The model of a checkpoint of the new format."""
    read_info(folder)
    config = load_config(folder / "config.yaml")
    vocabulary = Vocabulary.from_file(folder / "vocabulary.json")
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count).eval()
    for name, module in model.named_children():
        load_module(module, folder, name)
    return model


def outputs(model: TranslatotronV) -> list[torch.Tensor]:
    """Logits of text and image, by reading where the model reads first."""
    random = torch.Generator().manual_seed(1)
    source = model.encode_image(torch.rand(2, 1, 16, 128, generator=random))
    pieces, everything = torch.randint(5, 40, (2, 6), generator=random), torch.ones(2, 6, dtype=torch.bool)
    if model.config.connector == "read":
        places = torch.arange(6).expand(2, -1)
        source = model.encode_reading(source, pieces, everything, places, places + 1)
    made = model(
        source, pieces, everything, image_ids=torch.randint(24, (2, 16), generator=random),
        characters=torch.randint(1, 12, (2, 6), generator=random), character_mask=everything,
        char_to_token=torch.arange(6).expand(2, -1), fonts=torch.tensor([0, 1]) if model.config.fonts else None,
    )  # fmt: skip
    return [made.text, made.image]


@pytest.mark.parametrize(
    "overrides",
    [READS, ("model.text_encoder.layers=1", "model.image_decoder.fusion=concat"), ("model.image_decoder.fusion=add",)],
    ids=["reads", "states", "add"],
)
def test_an_old_checkpoint_gives_what_it_gave(tmp_path: Path, overrides: tuple[str, ...]):
    model = make_old(tmp_path / "old", *overrides)
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=r"format 1, .*: `translatotron-v convert .*old`"):
        read_info(tmp_path / "old")
    assert convert(tmp_path / "old", tmp_path / "new") == [tmp_path / "new"]
    again = opened(tmp_path / "new")
    assert all(map(torch.equal, outputs(model), outputs(again)))
    assert_same(model, again)
    config = load_config(tmp_path / "new" / "config.yaml")
    assert config.freeze == ["font_head"] and config.start == {"font_head": "runs/reader"}
    assert config.data.folder == "corpora"
    load_module(TextMatting(config.model.matting), tmp_path / "new", "matting")
    assert (tmp_path / "new" / "NOTES.md").read_text(encoding="utf-8") == "ä\n"
    assert {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()} == before


def test_what_goes_on_training_finds_its_optimizer(tmp_path: Path):
    model = make_old(tmp_path / "old", *READS)
    convert(tmp_path / "old")
    state = load_file(tmp_path / "old" / "resume" / "optimizer-main.safetensors")
    assert set(state) == {f"text_encoder.{key}|exp_avg" for key in model.text_encoder.state_dict()}


def test_half_precision_and_ties_stay(tmp_path: Path):
    make_old(tmp_path / "old", *READS)
    path = tmp_path / "old" / "text_encoder.safetensors"
    halves = {key: tensor.half() for key, tensor in load_file(path).items()}
    bias = halves.pop("norm.bias")
    halves["sight.bias"] = bias
    save_file(halves, path, {"tied": json.dumps({"norm.bias": "sight.bias"})})
    size = path.stat().st_size
    convert(tmp_path / "old")
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["tied"]) == {"norm.bias": "visual_projection.bias"}
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118
    assert path.stat().st_size < size + 200  # longer names, no more numbers


def test_a_run_is_converted_whole_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = tmp_path / "run"
    for place in ("final", "checkpoints/step-0000004", "checkpoints/step-0000008"):
        make_old(run / place, *READS)
    assert cli.main(["convert", str(run)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for place in ("final", "checkpoints/step-0000004", "checkpoints/step-0000008"):
        opened(run / place)
    assert cli.main(["convert", str(run)]) == 0 and "is up to date" in capsys.readouterr().out


def test_what_cannot_be_converted_stays_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    make_old(tmp_path / "old", *READS)
    (tmp_path / "old" / "text_encoder.safetensors").write_bytes(b"damaged")
    before = sorted((tmp_path / "old").iterdir())
    assert cli.main(["convert", str(tmp_path / "old")]) == 2
    error = capsys.readouterr().err
    assert "text_encoder.safetensors: cannot be converted" in error and len(error.splitlines()) == 1
    assert sorted((tmp_path / "old").iterdir()) == before and list(tmp_path.iterdir()) == [tmp_path / "old"]
    (tmp_path / "none").mkdir()
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        convert(tmp_path / "none")
    make_old(tmp_path / "other", *READS)
    with pytest.raises(CheckpointError, match="exists already"):
        convert(tmp_path / "other", tmp_path / "none")
