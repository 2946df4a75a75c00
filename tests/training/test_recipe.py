"""Recipes: order, settings of single steps, passing over what is finished, and every shipped one."""

import subprocess
import sys
from pathlib import Path

import pytest

from translatotron_v.checkpoint import read_info, save_checkpoint
from translatotron_v.config import ConfigError, to_yaml
from translatotron_v.training import build, command, recipe

ROOT = Path(__file__).resolve().parents[2]
STEPS = {"text": "text", "image": "tokenizer", "last": "translator"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of three steps, with runs below the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, stage in STEPS.items():
        (folder / f"{name}.yaml").write_text(f"stage: {stage}\nrun: runs/{name}\ntrainer: {{steps: 5}}\n")
    (folder / "recipe.yaml").write_text("steps: [text, image, last]\ncpu_seconds: 100\n")
    return folder


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Stands in for training: notes (run, steps) and leaves what a finished run leaves."""
    done: list[tuple[str, int]] = []

    def train(config):
        done.append((config.run, config.trainer.steps))
        info = {"step": config.trainer.steps, "metrics": {"bleu": 12.25}, "cpu_seconds": 7.0, "elapsed_seconds": 9.0}
        save_checkpoint(Path(config.run) / "final", {}, {}, info)
        return {}

    monkeypatch.setattr(build, "train", train)
    return done


def test_steps_run_in_order_and_once(folder: Path, trained: list[tuple[str, int]], capsys: pytest.CaptureFixture[str]):
    recipe.run_recipe(str(folder))
    assert trained == [("runs/text", 5), ("runs/image", 5), ("runs/last", 5)]
    table = capsys.readouterr().out.splitlines()
    assert table[1].split() == ["text", "5", "7", "bleu", "12.25"]
    assert table[-1].split() == ["in", "all", "21", "21%", "of", "the", "budget", "of", "100"]
    recipe.run_recipe(str(folder))
    assert len(trained) == 3
    assert capsys.readouterr().err.count("finished earlier") == 3


def test_an_interrupted_recipe_goes_on_where_it_was(folder: Path, trained, monkeypatch: pytest.MonkeyPatch):
    stand_in = build.train

    def interrupted(config):
        if config.stage == "tokenizer":
            raise SystemExit(130)
        return stand_in(config)

    monkeypatch.setattr(build, "train", interrupted)
    with pytest.raises(SystemExit, match="130"):
        recipe.run_recipe(str(folder))
    monkeypatch.setattr(build, "train", stand_in)
    recipe.run_recipe(str(folder))
    assert [run for run, _ in trained] == ["runs/text", "runs/image", "runs/last"]


def test_a_setting_can_be_meant_for_one_step(folder: Path, trained: list[tuple[str, int]]):
    recipe.run_recipe(str(folder), ["trainer.steps=3", "image:trainer.steps=4", "data.folder=C:/data"])
    assert trained == [("runs/text", 3), ("runs/image", 4), ("runs/last", 3)]
    recipe.run_recipe(str(folder), ["trainer.steps=3", "last:trainer.steps=9"])  # more steps: that step goes on
    assert trained[3:] == [("runs/last", 9)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["txt:trainer.steps=1"], "no step 'txt'.*nearest is 'text'"),
        (["last:trainer.stesp=1"], "trainer.steps"),
        (["image:run=runs/text"], "also that of the step 'text'"),
    ],
)
def test_mistakes_are_found_before_anything_runs(folder: Path, trained, settings: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        recipe.run_recipe(str(folder), settings)
    assert trained == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: []", "lists no steps"),
        ("stesp: [text]", "stesp"),
        ("steps: [", "not a YAML file"),
        ("steps: [other]", "other.yaml: no such config file"),
        ("steps: [text]\nexport: out", "only a translator"),
    ],
)
def test_a_broken_recipe_is_one_clear_line(folder: Path, text: str, message: str):
    (folder / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        recipe.load_recipe(folder)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_those_that_exist(capsys: pytest.CaptureFixture[str]):
    assert command.main(["tinny"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert all(name in message for name in ("'tinny'", "debug", "paper", "tiny"))


AFTER = {  # recipes that start from runs of another one, which they name
    "ablations": "tiny",
    "iwslt14_en_de": "small_en_de",
    **dict.fromkeys(("iwslt14", "modality_gap", "ssr", "textual_regularization"), "small"),
}


def test_every_shipped_recipe_fits_together():
    """Every step opens, and takes its weights and its vocabulary from earlier steps or from what is shipped."""
    for path in sorted((ROOT / "configs").glob("*/recipe.yaml")):
        _, steps = recipe.load_recipe(path.parent)
        before = AFTER.get(path.parent.name)
        made = [step.config.run for step in recipe.load_recipe(ROOT / "configs" / before)[1]] if before else []
        assert not before or f"train.py {before}" in path.read_text(encoding="utf-8")
        for step in steps:
            origins = [step.config.vocabulary, *step.config.start.values()]
            runs = [origin.partition("#")[0] for origin in origins if origin]
            assert all(run in made or (ROOT / run / "checkpoint.json").is_file() for run in runs), step.path
            made.append(step.config.run)


def test_the_other_direction_is_the_same_recipe_turned_about():
    """Nothing but the direction, the mixture and the names of runs differs, and no run of the first one is touched."""
    there, back = (recipe.load_recipe(ROOT / "configs" / name) for name in ("small", "small_en_de"))
    assert back[0] == there[0] and len(back[1]) == 8
    for step, turned in zip(there[1], back[1], strict=True):
        data = turned.config.data
        assert (data.source_language, data.target_language) == ("en", "de"), turned.path
        text = to_yaml(turned.config)
        assert "runs/small/" not in text and "configs/small/" not in text, turned.path
        for new, old in (("small_en_de", "small"), ("source_language: en", "source_language: de")):
            text = text.replace(new, old)
        assert text.replace("target_language: de", "target_language: en") == to_yaml(step.config), turned.path


def test_a_whole_recipe_from_the_command_line(tmp_path: Path):
    """The debug recipe without its teacher for a step each, with export; then the same again, which is done."""
    folder = tmp_path / "short"
    folder.mkdir()
    names = ("text", "reader", "tokenizer", "translator")
    for name in names:
        (folder / f"{name}.yaml").write_text(f"base: {ROOT}/configs/debug/{name}.yaml\n")
    (folder / "recipe.yaml").write_text(f"steps: [{', '.join(names)}]\nexport: out\n")
    settings = ["trainer.steps=1", "trainer.batch_size=12", "data.limit=200", "data.validation_limit=2"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(ROOT / "train.py"), str(folder), "--data", "grammar", *settings, "trainer.device=cpu"],
            cwd=tmp_path, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "exported to out" in done.stdout
    assert done.stderr.count("finished earlier") == 4
    info = read_info(tmp_path / "out")
    assert info["weights"] == "float16"
    assert "teacher" not in info["modules"]
