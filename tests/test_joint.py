"""One model trained as a whole: what is measured of which run, how hard pages are chosen, verdicts, the page."""

from pathlib import Path
from typing import Any

import pytest

from experiments import comparison, harness, joint, variants
from experiments.comparison import END_TO_END
from experiments.joint import CLEAN, CONTROL, HARD, RENDER, TIT, Results, chosen, verdict
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.config import to_yaml
from translatotron_v.errors import UserError
from translatotron_v.evaluation.rendering import TestPages
from translatotron_v.training.recipe import Step, find_recipe, load_recipe

ROOT = Path(__file__).resolve().parent.parent
TEXTS = [f"A dog number {number} runs through the tall green grass of the park." for number in range(20)]
WORSE = [text if number % 3 else "Nothing of the kind was ever seen." for number, text in enumerate(TEXTS)]


def results(hard: dict[str, dict[str, float]], clean: float = 0.0, p: float = 0.01, seeds: int = 2) -> Results:
    """BLEU of systems of variants on hard pages; on plain paper all have 30 but typesetting, which is ahead."""
    plain = {variant: {system: 30 + clean * (system == RENDER) for system in of} for variant, of in hard.items()}
    scores = {
        name: {
            f"{variant}-seed{seed}": {system: {"scores": {"bleu": bleu}} for system, bleu in of.items()}
            for variant, of in values.items()
            for seed in range(1, seeds + 1)
        }
        for name, values in ((CLEAN, plain), (HARD, hard))
    }
    against = {name: {one: dict.fromkeys(of, p) for one, of in runs.items()} for name, runs in scores.items()}
    return Results(scores, against, {}, {0.5: 0.05}, 0.5)


def test_verdicts():
    won = {END_TO_END: 27.0, RENDER: 25.0, TIT: 26.0}
    lost = {END_TO_END: 25.0, RENDER: 25.5, TIT: 24.0}
    both = {CONTROL: lost, "joint": lost, "soft": won}
    assert verdict(results(both)) == (
        "Reproduced: on hard pages the variant `soft` is +2.0 BLEU to cascade-reader-render, +1.0 BLEU to "
        "cascade-tit-render and +2.0 to the frozen reader, on plain paper +0.0 to cascade-reader-render; beaten with p "
        "< .05 under every seed: cascade-reader-render, cascade-tit-render."
    )
    assert verdict(results(both, clean=0.6)).startswith("Partly: ") and "-0.6 to" in verdict(results(both, clean=0.6))
    assert verdict(results(both, p=0.06)).startswith("Partly: ") and "every seed: none." in verdict(
        results(both, p=0.06)
    )
    assert verdict(results({CONTROL: won, "joint": lost}, clean=2.0)).startswith("Not reproduced: ")
    unsure = results(both)
    unsure.against[HARD]["soft-seed2"][TIT] = 0.2
    assert verdict(unsure).startswith("Partly: ") and verdict(unsure).endswith("every seed: cascade-reader-render.")


def test_pages_are_as_hard_as_is_wanted_or_not_at_all():
    assert chosen({0.2: 0.01, 0.4: 0.03, 0.6: 0.06, 0.8: 0.3}) == 0.6
    with pytest.raises(UserError, match=r"no strength .* 2 to 10 % .*\(0\.2: 1\.0 %, 0\.4: 30\.0 %\)"):
        chosen({0.2: 0.01, 0.4: 0.3})


def test_variants_differ_in_what_they_say_they_do():
    _, steps = load_recipe(find_recipe("joint"), ["data.folder=grammar"])
    frozen, whole, soft = (step.config for step in steps)
    reader = {"image_encoder", "ctc_head", "font_head"}
    assert reader <= set(frozen.freeze) and not reader & {*whole.freeze, *soft.freeze}
    assert frozen.loss.ctc == 0 and whole.loss.ctc > 0 and soft.loss.ctc == whole.loss.ctc
    assert [one.model.reading for one in (frozen, whole, soft)] == ["hard", "hard", "soft"]
    assert whole.trainer == soft.trainer and set(whole.trainer.rate_factors) == reader
    assert frozen.trainer.steps == whole.trainer.steps and frozen.trainer.seed == whole.trainer.seed
    assert {one.model.connector for one in (frozen, whole, soft)} == {"read"}


class Done:
    """A training that has ended at the first look."""

    returncode = 0

    def poll(self) -> int:
        return 0


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The command in a folder of its own, where training leaves a checkpoint at once and nothing is really scored."""
    for name in ("weights", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    monkeypatch.setattr(comparison, "RESAMPLES", 50)  # their p is 1 in 51 at the least
    found: dict[str, Any] = {"trained": [], "scored": [], "tried": []}

    def launch(step: Step, log: Path) -> Done:
        info = {"step": step.config.trainer.steps, "metrics": {}, "cpu_seconds": 7.0, "elapsed_seconds": 9.0}
        save_checkpoint(step.run / "final", {}, {"config.yaml": to_yaml(step.config), "vocabulary.json": ""}, info)
        found["trained"].append(step.name)
        return Done()

    def score(main: Path, own: Path, system: str, look: dict[str, Any], data: str, split: str, limit: int, folder: str):
        TestPages(**look)  # is understood
        assert (main / "matting.safetensors").is_file()  # without it no whole page is translated
        assert own == main and split == "test_2016_flickr" and limit == 4
        found["scored"].append((Path(folder).parts[-2:], system, look.get("degraded", 0.0)))
        poor = system != END_TO_END
        scores = {"bleu": 20.0 if poor else 30.0, "text_bleu": 31.0, "chrf": 50.0, "cpu_seconds": 0.2}
        read = WORSE if poor else TEXTS
        return {"scores": scores, "read": read, "references": TEXTS, "signatures": {"bleu": "tok:13a"}, "notes": []}

    def errors(main: Path, data: str, limit: int, strength: float) -> float:
        found["tried"].append((strength, limit))
        return strength**4

    monkeypatch.setattr(variants, "launch", launch)
    monkeypatch.setattr(comparison, "score", score)
    monkeypatch.setattr(joint, "reading_errors", errors)
    return found


def test_the_whole_way(noted: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    arguments = ["--quick", "--jobs", "1"]
    assert harness.run("joint", joint.__doc__, joint.body, arguments) == 0, capsys.readouterr().err
    names = [f"{variant}-seed{seed}" for variant in (CONTROL, "joint", "soft") for seed in (1, 2)]
    assert noted["trained"] == names
    assert noted["tried"] == [(strength, 4) for strength in joint.STRENGTHS]
    # .5^4 is nearest to 5 %; every run is scored with its cascades, on both sets
    assert noted["scored"] == [
        ((name, one), system, strength)
        for name, strength in ((CLEAN, 0.0), (HARD, 0.5))
        for one in names
        for system in (END_TO_END, RENDER, TIT)
    ]
    text = Path("out/quick/joint/joint.md").read_text(encoding="utf-8")
    assert text.split("\n\n")[1].startswith("Reproduced: ") and "--quick: the figures mean nothing" in text
    table = [row for row in text.splitlines() if row.startswith("| joint")]
    assert len(table) == 2 * 3
    cells = [cell.strip() for cell in table[0].split("|")[1:-1]]
    assert cells[:3] == ["joint", END_TO_END, "30.0 ± 0.0"] and cells[4] == "1.000, 1.000"  # as good as the control
    cells = [cell.strip() for cell in table[1].split("|")[1:-1]]
    assert cells[1] == RENDER and cells[3] == "0.020, 0.020" and cells[4] == ""
