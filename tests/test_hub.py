"""Models by name: fetched from a stand-in of the Hub, taken from its cache, refused, and uploaded with a card."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from huggingface_hub import constants
from PIL import Image

from tests import hub_standin
from tests.hub_standin import TOKEN, Hub
from translatotron_v import cli
from translatotron_v.errors import UserError
from translatotron_v.hub import fetch, is_hub_name
from translatotron_v.inference.pipeline import Translator
from translatotron_v.shipped import find_weights, shipped_folder

FILE = "{repo_id}/resolve/{revision}/{filename}"
TINY = shipped_folder("weights") / "tiny"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub without models, an empty cache, and nothing of this machine's own settings."""
    with hub_standin.running() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.address}/{FILE}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.chdir(tmp_path)
        yield hub


def model() -> dict[str, bytes]:
    """The files of a model that are small: what is fetched is looked at, not loaded."""
    header = json.dumps({"weight": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}}).encode()
    tensors = struct.pack("<Q", len(header)) + header + bytes(12)
    files = {name: (TINY / name).read_bytes() for name in ("checkpoint.json", "config.yaml", "vocabulary.json")}
    return files | {"ctc_head.safetensors": tensors, "README.md": b"# A card"}


def test_a_model_is_fetched_once_and_then_taken_from_the_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.models["user/model"] = model() | {"picture.png": b"x", "resume/optimizer.safetensors": b"x"}
    folder = find_weights("user/model")
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert found == model()  # and nothing else
    assert find_weights(f"user/model@{hub.sha('user/model')}") == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert find_weights("user/model") == folder and hub.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody answers
    assert find_weights("user/model") == folder


def test_folders_win_over_names_and_are_never_asked_for(hub: Hub, tmp_path: Path):
    hub.models["runs/model"] = model()
    (tmp_path / "runs").mkdir()
    for name in ("runs/model", "./user/model", "/user/model", "~/model", "user/model/final", "tiny2", "user/.."):
        assert not is_hub_name(name)
        with pytest.raises(UserError, match=r"no such folder, nor weights of that name \(shipped"):
            find_weights(name)
    assert cli.main(["info", "paper/translator"]) == 0 and cli.main(["info", "paper/none"]) == 2
    assert hub.asked == []
    (tmp_path / "runs" / "model").mkdir()
    (tmp_path / "runs" / "model" / "config.yaml").touch()
    assert find_weights("runs/model") == Path("runs/model")


def test_what_cannot_be_had_is_told_in_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    hub.models |= {
        "user/model": model(),
        "user/bert": {"config.json": b"{}", "model.safetensors": b"x"},
        "user/pickled": model() | {"pytorch_model.bin": b"x"},
        "user/hidden": model() | {"other/weights.PKL": b"x"},
    }
    for name, says in (
        ("user/none", "no such folder, nor a model of that name on the Hub"),
        ("user/model@v9", "the model has no such revision"),
        ("user/bert", "not a model of translatotron-v: it has no checkpoint.json"),
        ("user/pickled", "holds pytorch_model.bin; weights are loaded from safetensors alone"),
        ("user/hidden", "holds other/weights.PKL"),
    ):
        with pytest.raises(UserError) as caught:
            fetch(name)
        assert str(caught.value).startswith(f"{name}: {says}") and "\n" not in str(caught.value)
    assert not any("resolve" in request for request in hub.asked)  # no file of theirs was fetched
    Image.new("L", (20, 20)).save("page.png")
    assert cli.main(["translate", "page.png", "-o", "out.png", "--weights", "user/none"]) == 2
    assert "error: user/none: no such folder, nor a model" in capsys.readouterr().err
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="nor a model of that name in the Hub's cache, and the Hub cannot be reached"):
        fetch("user/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="in the Hub's cache, and HF_HUB_OFFLINE is set"):
        fetch("user/model")
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"takes huggingface_hub: pip install 'translatotron-v\[hub\]'"):
        fetch("user/model")


def test_up_and_down_again_it_is_the_same_model(hub: Hub, tmp_path: Path, capsys: Any):
    translator = Translator.from_pretrained("tiny", device="cpu", threads=1)
    with pytest.raises(UserError, match=r"^user/tiny: the Hub refuses your token"):
        translator.push_to_hub("user/tiny")
    address = translator.push_to_hub("user/tiny", token=TOKEN, license="other")
    assert address.startswith(f"{hub.address}/user/tiny/commit/")
    own = {path.name: path.read_bytes() for path in TINY.iterdir() if path.is_file()}
    assert {name: content for name, content in hub.models["user/tiny"].items() if name != "README.md"} == own
    card = hub.models["user/tiny"]["README.md"].decode()
    front = yaml.safe_load(card.split("---")[1])
    assert front["language"] == ["de", "en"] and front["license"] == "other" and "$" not in card
    assert "from de to en" in card and "a strip of 48 x 256 pixels" in card and 'from_pretrained("user/tiny")' in card
    # a card that somebody wrote stays
    hub.models["user/tiny"]["README.md"] = b"# By hand"
    translator.push_to_hub("user/tiny", token=TOKEN)
    assert hub.models["user/tiny"]["README.md"] == b"# By hand"
    again = Translator.from_pretrained("user/tiny", device="cpu", threads=1)
    picture = sorted(shipped_folder("examples").glob("**/*.png"))[0]
    assert again(picture).text == translator(picture).text
    assert again(picture).image.tobytes() == translator(picture).image.tobytes()
    assert cli.main(["info", "user/tiny"]) == 0 and "canvas 48 x 256 x 1, languages de, en" in capsys.readouterr().out
    again.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "README.md").read_bytes() == b"# By hand"
    with pytest.raises(UserError, match="saved: holds a model already; overwrite=True replaces it"):
        translator.save_pretrained(tmp_path / "saved")
    translator.save_pretrained(tmp_path / "saved", overwrite=True)
    assert "# Model card: `saved`" in (tmp_path / "saved" / "README.md").read_text()
    assert Translator.from_pretrained(tmp_path / "saved", device="cpu", threads=1).generation == translator.generation


def test_a_checkpoint_of_a_run_is_exported_first(tmp_path: Path):
    translator = Translator.from_pretrained("tiny", device="cpu", threads=1)
    translator.save_pretrained(tmp_path / "model")
    info = json.loads((tmp_path / "model" / "checkpoint.json").read_text())
    del info["weights"]
    (tmp_path / "model" / "checkpoint.json").write_text(json.dumps(info))
    run = Translator.from_pretrained(tmp_path / "model", device="cpu", threads=1)
    with pytest.raises(UserError, match=r"a checkpoint of a run, .* `translatotron-v export"):
        run.save_pretrained(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(UserError, match="full: exists, and is no model"):
        translator.save_pretrained(tmp_path / "full")
    assert huggingface_hub.constants.is_offline_mode()  # saving takes no Hub
