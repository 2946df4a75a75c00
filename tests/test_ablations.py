"""The ablations: which variants there are, labels of our own, what the figures say, and the page around them."""

import re
from pathlib import Path
from typing import Any

import pytest

from experiments import ablations, scores, variants
from experiments.ablations import DRAWING, PARTS, READING
from translatotron_v.evaluation.report import VERDICTS, Page
from translatotron_v.training.recipe import Step, load_recipe

ROOT = Path(__file__).resolve().parent.parent
SEEDS = [1, 2, 3]


class Stand:
    """What the script needs of an experiment, with nothing trained or measured."""

    def __init__(self, folder: Path) -> None:
        _, steps = load_recipe(ROOT / "configs" / "ablations", ["data.folder=grammar"])
        self.variants, self.seeds, self.data, self.folder = (
            {step.name: step for step in steps},
            SEEDS,
            "grammar",
            folder,
        )
        self.trained: list[Step] = []

    def train(self, steps: list[Step]) -> None:
        self.trained += steps

    def limited(self, count: int) -> int:
        return count

    def picture(self, name: str) -> Path:
        return self.folder / "page" / name

    def report(self, title: str, verdict: str) -> Page:
        return Page(self.folder / "page.md", title, verdict)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    return Stand(tmp_path_factory.mktemp("ablations"))


@pytest.fixture(scope="module")
def every(stand: Stand) -> dict[str, Step]:
    return ablations.all_variants(stand)  # type: ignore[arg-type]


def drawn(bleu: float, cer: float = 0.02) -> dict[str, float]:
    return {
        "bleu": bleu,
        "bleu_ceiling": 98.0,
        "text_bleu": 24.5,
        "own_cer": cer,
        "ssim": 0.8,
        "tokenizer_cer": 0.01,
        "structure_bleu": bleu,
        "image_cross_entropy": 0.2,
        "image_accuracy": 0.9,
    }


def read(bleu: float, accuracy: float = 0.8) -> dict[str, float]:
    return {"bleu": bleu, "ctc_accuracy": accuracy, "lf": 100.0}


def figures(**changed: float) -> dict[str, dict[str, float]]:
    """What would be measured of every variant: BLEU 20 of drawings, spread 1, and 10 of readings; some are changed."""
    found = {f"full-seed{seed}": drawn(19.0 + 0.5 * seed) for seed in SEEDS}
    found |= {name: drawn(20.0) for name in (*DRAWING, "unlabelled")}
    found |= {f"translating-seed{seed}": read(9.0 + 0.5 * seed) for seed in SEEDS}
    found |= {f"translating{suffix}": read(10.0) for suffix in READING}
    for name, value in changed.items():
        found[name.replace("_no", "-no") if name.startswith("translating") else name]["bleu"] = value
    return found


# --- variants ---------------------------------------------------------------------------------------------------------


def test_variants_have_names_and_runs_of_their_own_and_start_from_what_is_there(every: dict[str, Step]):
    assert len(every) == 3 * len(SEEDS) + len(DRAWING) + 2 * len(READING) + 1
    runs = [step.run for step in every.values()]
    assert len(set(runs)) == len(runs) and {run.parent for run in runs} == {Path("runs/ablations")}
    tiny = [step.run for step in load_recipe(ROOT / "configs" / "tiny")[1]]
    shipped = [path.relative_to(ROOT) for path in (ROOT / "weights").iterdir() if path.is_dir()]
    for step in every.values():
        assert [origin for origin in variants.origins(step.config) if origin not in (*runs, *tiny, *shipped)] == [], (
            step
        )


def test_a_variant_changes_what_its_name_says(every: dict[str, Step]):

    def setting(name: str, get: Any) -> Any:
        return get(every[name].config)

    fusions = {name: setting(name, lambda c: c.model.image_decoder.fusion) for name in ("full-seed2", *DRAWING)}
    assert fusions == {"full-seed2": "gated", "sum": "add", "concat": "concat", "alone": "image"} | {
        name: "gated" for name in ("no_teacher", "no_teacher_long", "kl", "both")
    }
    assert [setting(f"full-seed{seed}", lambda c: c.trainer.seed) for seed in SEEDS] == SEEDS
    assert "image_decoder" not in every["no_teacher"].config.start and every["no_teacher"].config.loss.distillation == 0
    assert every["translating-no-ocr"].config.start["image_encoder"] == "runs/ablations/reader-no-ocr"
    unlabelled = every["unlabelled"].config
    assert list(unlabelled.start) == ["image_tokenizer"] and unlabelled.model.image_decoder.fusion == "image"
    assert (unlabelled.loss.text, unlabelled.loss.ocr, unlabelled.loss.ctc) == (0, 0, 0)


def test_one_budget_for_each_group(every: dict[str, Step]):
    drawing = ["full-seed1", *(variant for variant in DRAWING if variant != "no_teacher_long")]
    reading = ["translating-seed1", *(f"translating{suffix}" for suffix in READING)]
    for group in (drawing, reading):
        assert len({(every[one].config.trainer.steps, every[one].config.trainer.batch_size) for one in group}) == 1


def test_what_is_measured(stand: Stand, every: dict[str, Step], monkeypatch: pytest.MonkeyPatch):
    asked: list[list[tuple[Any, ...]]] = []

    def measure(tasks: list[tuple[Any, ...]]) -> dict[str, dict[str, float]]:
        asked.append(tasks)
        return {task[1]: {task[1].rpartition("-")[2]: 1.0} for task in tasks}

    monkeypatch.setattr(stand, "measure", measure, raising=False)
    found = ablations.measured(stand, every)  # type: ignore[arg-type]
    assert set(found) == set(figures())
    assert found["sum"] == {"pictures": 1.0, "tokens": 1.0}
    assert found["translating-no-ocr"] == {"texts": 1.0}
    assert [task[2] for task in asked[0]] == [scores.pictures]  # alone, so that references are read once
    names = {task[1].rpartition("-")[0]: task[0] for task in asked[1]}
    assert all(names[name] == step.run for name, step in every.items() if name in names)


# --- what the figures say ---------------------------------------------------------------------------------------------


def test_seeds_stand_together_and_what_means_nothing_is_left_out():
    values = ablations.collected(figures())
    assert [one["bleu"] for one in values["full"]] == [19.5, 20.0, 20.5]
    assert len(values["translating"]) == 3 and "full-seed1" not in values
    assert "own_cer" in values["sum"][0] and "own_cer" not in values["unlabelled"][0]
    assert "ctc_accuracy" not in values["translating-no-ctc"][0]


def test_rows_and_differences():
    values = ablations.collected(figures(alone=2.0, unlabelled=20.9))
    names = {"full": "all", "alone": "no text", "unlabelled": "none"}
    columns = {name: ablations.DRAWN[name] for name in ("BLEU of the pictures", "CER against own text, %")}
    assert ablations.rows(values, names, columns) == [
        ["all", "20.0 ± 0.5", "2.0 ± 0.0"],
        ["no text", "2.0", "2.0"],
        ["none", "20.9", None],
    ]
    assert ablations.differences(values, {"alone": "no text", "unlabelled": "none"}, "full", columns) == [
        ["no text", "-18.0", "+0.0 (inside the spread)"],
        ["none", "+0.9 (inside the spread)", None],
    ]


LOST = {
    "alone": 1.0,
    "no_teacher": 0.5,
    "sum": 18.0,
    "concat": 18.5,
    "translating_no-ocr": 5.0,
    "translating_no-ctc": 1.0,
}


@pytest.mark.parametrize(
    ("lost", "begin", "say"),
    [
        (list(LOST), "Reproduced: every part is needed", "without the target text (-19.0), the teacher (-19.5), the"),
        (["alone"], "Partly: ", "without the target text (-19.0); it does not without the teacher (+0.0), the gate"),
        ([], "Not reproduced: no part is needed", "BLEU does not without the target text (+0.0)"),
    ],
)  # fmt: skip
def test_the_verdict_comes_from_the_figures(lost: list[str], begin: str, say: str):
    found = figures(**{name: LOST[name] for name in lost}, unlabelled=3.0)
    told = ablations.verdict(ablations.collected(found))
    assert told.startswith(begin) and told.startswith(VERDICTS) and say in told
    assert told.endswith("the pictures reach BLEU 3.0.")


def test_the_verdict_speaks_of_variants_that_exist():
    values = ablations.collected(figures())
    assert all(
        ablations.taken(values, name, m) for variant, control, m in PARTS.values() for name in (variant, control)
    )


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_whole_page(stand: Stand, every: dict[str, Step], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ablations, "all_variants", lambda experiment: every)
    monkeypatch.setattr(ablations, "cpu_seconds", lambda steps: 100.0 * len(steps))
    monkeypatch.setattr(ablations, "curve", lambda run, value: ([10, 20], [2.0, 1.0]))
    monkeypatch.setattr(ablations, "measured", lambda experiment, variants: figures(**LOST))
    ablations.body(stand)  # type: ignore[arg-type]
    page = (stand.folder / "page.md").read_text(encoding="utf-8")
    assert page.startswith("# What each part contributes\n\nReproduced: ")
    assert stand.trained == list(every.values())
    assert re.findall(r"^## (.*)$", page, re.M) == [
        "Drawing", "Reading", "Without text labels",
    ]  # fmt: skip
    assert "7 variants, each of 160 steps of 16 pages or 1,100 steps of 16 pages; 100 CPU-seconds on average." in page
    assert "One variant of 160 steps of 16 pages" in page and "| control " in page and "| no gate: sum " in page
    pictures = re.findall(r"!\[[^]]*\]\((.*)\)", page)
    assert pictures == [f"page/{name}.png" for name in ("drawing", "losses")]
    assert all((stand.folder / picture).stat().st_size < 60_000 for picture in pictures)
