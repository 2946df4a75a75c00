"""COMET around a stand-in for its package: what it is asked, what is made of its answers, and what is missing."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from translatotron_v.errors import UserError
from translatotron_v.metrics import Comet


class Model:
    """Says of each sample the share of its translation's words that stand in the reference."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    def predict(self, samples: list[dict[str, str]], **options: Any) -> dict[str, list[float]]:
        assert options["gpus"] == 0
        self.asked += samples
        words = [(sample["mt"].split(), sample["ref"].split()) for sample in samples]
        return {"scores": [sum(word in said for word in mt) / max(len(mt), 1) for mt, said in words]}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """The package as a stand-in that loads any file."""
    package, model = ModuleType("comet"), Model()

    def load(path: str, local_files_only: bool) -> Model:
        assert local_files_only  # nothing is downloaded
        if Path(path).read_text() == "broken":
            raise RuntimeError("unexpected key\nand more")
        return model

    package.load_from_checkpoint = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comet", package)
    return model


def folder(path: Path, content: str = "weights") -> Path:
    (path / "checkpoints").mkdir(parents=True)
    (path / "checkpoints" / "model.ckpt").write_text(content)
    return path


def test_scores_are_means_in_percent(model: Model, tmp_path: Path) -> None:
    comet = Comet(folder(tmp_path / "wmt22-comet-da"))
    score, each = comet.score(["ein hund", "ein mann"], ["a dog", "a men"], [["a dog", "a man"]])
    assert model.asked[0] == {"src": "ein hund", "mt": "a dog", "ref": "a dog"}
    assert each == pytest.approx([100.0, 50.0]) and score.value == pytest.approx(75.0)
    assert score.signature.startswith("nrefs:1|model:wmt22-comet-da|scale:100|comet:")
    two, _ = comet.score(["ein hund"], ["a dog"], [["a dog"], ["one hound"]])
    assert two.value == pytest.approx(50.0) and two.signature.startswith("nrefs:2,mean|")
    with pytest.raises(ValueError, match="1 sources and 2 texts"):
        comet.score(["x"], ["y", "z"], [["y"]])


def test_a_model_in_the_cache_of_the_hub_goes_by_its_name(model: Model, tmp_path: Path) -> None:
    snapshot = folder(tmp_path / "models--Unbabel--wmt22-comet-da" / "snapshots" / "1a2b3c")
    assert Comet(snapshot).name == Comet(snapshot / "checkpoints" / "model.ckpt").name == "Unbabel/wmt22-comet-da"


def test_what_is_missing_is_one_line(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"nowhere: no COMET model: expected a folder with hparams\.yaml"):
        Comet(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"cannot be loaded \(unexpected key\)$"):
        Comet(folder(tmp_path / "bad", "broken"))
    monkeypatch.setitem(sys.modules, "comet", None)
    with pytest.raises(UserError, match=r"^COMET needs a package that is not installed: pip install unbabel-comet$"):
        Comet(tmp_path)
