"""Checkpoints: round trips, what is refused and how, and that a failed save costs nothing."""

import errno
import json
import os
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.small import assert_same, small
from translatotron_v import checkpoint
from translatotron_v.checkpoint import (
    CheckpointError,
    checkpoint_folder,
    latest_checkpoint,
    load_module,
    load_tensors,
    read_info,
    resolve,
    save_checkpoint,
    skip_init,
)
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.models.text_decoder import TextDecoder
from translatotron_v.training.averaging import mean_of_checkpoints

ROOT = Path(__file__).parents[1]
FILES = {"config.yaml": "width: 4\n", "vocabulary.json": '["ä"]\n'}


def save(folder: Path, module: nn.Module, **more) -> Path:
    save_checkpoint(folder, {"net": module}, FILES, {"step": 3}, **more)
    return folder


def refusal(action, *arguments, **named) -> str:
    """The message of the CheckpointError, which must be one line."""
    with pytest.raises(CheckpointError) as caught:
        action(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_round_trip(tmp_path):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    save(tmp_path / "c", net)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    load_module(other, tmp_path / "c", "net")
    for key, tensor in net.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[key])
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"net.safetensors", "checkpoint.json", *FILES}
    assert (tmp_path / "c" / "vocabulary.json").read_text("utf-8") == FILES["vocabulary.json"]
    assert read_info(tmp_path / "c") == {"format_version": 2, "step": 3, "modules": ["net"]}


@pytest.mark.parametrize(
    ("kept", "half", "stored"),
    [
        (torch.float32, False, torch.float32),
        (torch.bfloat16, False, torch.float32),
        (torch.float64, False, torch.float64),
        (torch.float32, True, torch.float16),
        (torch.int64, True, torch.int64),
        (torch.bool, False, torch.bool),
    ],
)
def test_types(tmp_path, kept, half, stored):
    save_checkpoint(tmp_path / "c", {"net": {"x": torch.ones(2, dtype=kept)}}, {}, {}, half=half)
    assert load_tensors(tmp_path / "c" / "net.safetensors")["x"].dtype == stored


def test_half_precision_loads_as_single(tmp_path):
    net = nn.Linear(8, 8)
    save(tmp_path / "c", net, half=True)
    other = nn.Linear(8, 8)
    load_module(other, tmp_path / "c", "net")
    assert other.weight.dtype == torch.float32
    assert torch.equal(other.weight, net.weight.half().float())


@pytest.mark.parametrize(
    "build",
    [
        lambda model: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
        lambda model: ImageEncoder(model.image_encoder, model.canvas),  # timm has an initialisation of its own
        lambda model: TextDecoder(model.text_decoder, 80, 16),
    ],
)
def test_a_module_without_init_draws_no_random_numbers_and_loads_like_any_other(tmp_path, build):
    model = small("model.image_encoder.stem=[16,16]").model
    save(tmp_path / "c", build(model), half=True)
    plain = build(model)
    random_state = torch.get_rng_state()
    with skip_init():
        empty = build(model)
    assert torch.equal(torch.get_rng_state(), random_state)
    for module in (plain, empty):
        load_module(module, tmp_path / "c", "net")
    assert_same(empty, plain)
    assert not torch.equal(torch.nn.Linear(3, 4).weight, torch.nn.Linear(3, 4).weight)  # the context has ended


def test_tied_weights_are_stored_once(tmp_path):
    net = nn.ModuleDict({"embed": nn.Embedding(1000, 8), "head": nn.Linear(8, 1000, bias=False)})
    net["head"].weight = net["embed"].weight
    save(tmp_path / "c", net)
    assert (tmp_path / "c" / "net.safetensors").stat().st_size < 1.5 * 1000 * 8 * 4
    assert load_tensors(tmp_path / "c" / "net.safetensors").keys() == net.state_dict().keys()
    load_module(net, tmp_path / "c", "net")
    untied = nn.ModuleDict({"embed": nn.Embedding(1000, 8), "head": nn.Linear(8, 1000, bias=False)})
    load_module(untied, tmp_path / "c", "net")
    assert torch.equal(untied["head"].weight, net["embed"].weight)


def test_overlapping_views(tmp_path):
    base = torch.arange(12.0)
    tensors = {"all": base, "part": base[2:6], "across": base.view(3, 4).T}
    save_checkpoint(tmp_path / "c", {"net": tensors}, {}, {})
    stored = load_tensors(tmp_path / "c" / "net.safetensors")
    assert all(torch.equal(stored[key], tensor) for key, tensor in tensors.items())


def test_prefix_and_partial_loading(tmp_path):
    save(tmp_path / "c", nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}))
    stored = load_tensors(tmp_path / "c" / "net.safetensors")
    part = nn.Linear(2, 2)
    load_module(part, tmp_path / "c", "net", prefix="b.")
    assert torch.equal(part.weight, stored["b.weight"])
    bigger = nn.ModuleDict({"a": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    untouched = bigger["c"].weight.clone()
    load_module(bigger, tmp_path / "c", "net", strict=False)
    assert torch.equal(bigger["a"].weight, stored["a.weight"])
    assert torch.equal(bigger["c"].weight, untouched)


def test_other_shapes_and_names_are_refused(tmp_path):
    folder = save(tmp_path / "c", nn.Linear(3, 4))
    message = refusal(load_module, nn.Linear(3, 5), folder, "net")
    assert "net.safetensors" in message and "'weight'" in message and "(4, 3)" in message and "(5, 3)" in message
    assert "(4, 3)" in refusal(load_module, nn.Linear(3, 5), folder, "net", strict=False)
    assert "'bias'" in refusal(load_module, nn.Linear(3, 4, bias=False), folder, "net")
    assert "'0.weight'" in refusal(load_module, nn.Sequential(nn.Linear(3, 4)), folder, "net")
    assert "there are: net" in refusal(load_module, nn.Linear(3, 4), folder, "ent")


def test_a_refused_load_changes_nothing(tmp_path):
    folder = save(tmp_path / "c", nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3)))
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 4))
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    refusal(load_module, net, folder, "net")
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("version", "remedy"),
    [(3, "newer translatotron-v"), (1, "`translatotron-v convert"), (0, "again"), (None, "again"), ("x", "again")],
)
def test_format_version(tmp_path, version, remedy):
    folder = save(tmp_path / "c", nn.Linear(1, 1))
    (folder / "checkpoint.json").write_text(json.dumps({"format_version": version}))
    message = refusal(read_info, folder)
    assert str(folder) in message and f"format {version}" in message and "format 2" in message and remedy in message


def test_broken_files(tmp_path):
    folder = save(tmp_path / "c", nn.Linear(30, 30))
    weights = folder / "net.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    assert "net.safetensors" in refusal(load_module, nn.Linear(30, 30), folder, "net")
    (folder / "checkpoint.json").write_text("{")
    assert "checkpoint.json" in refusal(read_info, folder)
    assert "is not a checkpoint" in refusal(read_info, tmp_path)


def test_resolve(tmp_path):
    run = tmp_path / "run"
    assert "no such folder" in refusal(resolve, run)
    run.mkdir()
    assert "holds no checkpoint" in refusal(resolve, run)
    assert latest_checkpoint(run) is None
    for step in (9, 10, 11):
        save(checkpoint_folder(run, step), nn.Linear(1, 1))
    (checkpoint_folder(run, 11) / "checkpoint.json").unlink()  # by hand: no save leaves such a thing
    (run / "checkpoints" / ".tmp-step-0000012-x").mkdir()
    assert latest_checkpoint(run) == resolve(run) == checkpoint_folder(run, 10)
    assert resolve(checkpoint_folder(run, 9)) == checkpoint_folder(run, 9)
    final = save(run / "final", nn.Linear(1, 1))
    assert resolve(str(run)) == resolve(final) == final


@pytest.mark.parametrize("fails_at", range(6))
def test_full_disk(tmp_path, monkeypatch, fails_at):
    """Whichever file does not fit: the checkpoint of before is whole, and no debris stays."""
    net = nn.Linear(2, 2)
    folder = save(tmp_path / "c", net)
    write, written = checkpoint._write, []

    def full(path: Path, content: bytes) -> None:
        if len(written) == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        write(path, content)

    monkeypatch.setattr(checkpoint, "_write", full)
    message = refusal(save, folder, nn.Linear(2, 2), resume={"a": {"x": torch.ones(1)}, "b": [1]})
    assert "No space left" in message and str(folder) in message
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    load_module(other := nn.Linear(2, 2), folder, "net")
    assert torch.equal(other.weight, net.weight)


def test_failed_rename_brings_the_old_one_back(tmp_path, monkeypatch):
    folder = save(tmp_path / "c", net := nn.Linear(2, 2))
    replace = os.replace

    def broken(source, target) -> None:
        if Path(target) == folder and not Path(source).name.startswith(".tmp-replaced"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, target)

    monkeypatch.setattr(os, "replace", broken)
    refusal(save, folder, nn.Linear(2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    load_module(other := nn.Linear(2, 2), folder, "net")
    assert torch.equal(other.weight, net.weight)


def test_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write" in refusal(save, tmp_path / "file" / "c", nn.Linear(1, 1))


@pytest.mark.parametrize("count", [1, 3])
def test_mean_of_checkpoints(tmp_path, count):
    """The mean divides by the number of checkpoints; whole numbers are not averaged."""
    for step in range(count):
        tensors = {"x": torch.full((2,), float(step**2)), "n": torch.tensor(step)}
        save_checkpoint(tmp_path / str(step), {"net": tensors}, {}, {})
    means = mean_of_checkpoints([tmp_path / str(step) for step in range(count)], "net")
    assert means["x"].tolist() == pytest.approx([sum(step**2 for step in range(count)) / count] * 2)
    assert means["x"].dtype == torch.float32
    assert means["n"] == count - 1


def test_no_pickles_in_the_sources():
    forbidden = re.compile(
        r"(?<!safetensors\.)torch\.(save|load)\(|\bpickle|\.(save|load)_state\(|joblib|allow_pickle=True"
    )
    refused = re.compile(r'"\.(pickle|joblib)"')  # hub.py names the endings of files that it does not fetch
    sources = [*ROOT.glob("*.py"), *(ROOT / "translatotron_v").rglob("*.py"), *(ROOT / "data_synth").rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if forbidden.search(refused.sub("", line) if path.name == "hub.py" else line.partition("#")[0])
    ]
    assert sources and not found
