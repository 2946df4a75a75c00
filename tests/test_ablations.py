"""The ablations: which arms there are, labels of our own, what the figures say, and the page around them."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from experiments import ablations, arms, coarse_codebook, harness, pseudo_text, scores
from experiments.ablations import DRAWING, PARTS, READING, TOKENIZERS
from experiments.report import VERDICTS, Report
from tests.small import small_vocabulary
from translatotron_v.config import load_config
from translatotron_v.models.parameters import ModuleSize
from translatotron_v.training.checkpoint import load_tensors
from translatotron_v.training.recipe import Step, load_recipe

ROOT = Path(__file__).resolve().parent.parent
SEEDS = [1, 2, 3]


class Stand:
    """What the script needs of an experiment, with nothing trained or measured."""

    def __init__(self, folder: Path) -> None:
        _, steps = load_recipe(ROOT / "configs" / "ablations", ["data.folder=grammar"])
        self.arms, self.seeds, self.data, self.folder = {step.name: step for step in steps}, SEEDS, "grammar", folder
        self.trained: list[Step] = []

    def train(self, steps: list[Step]) -> None:
        self.trained += steps

    def limited(self, count: int) -> int:
        return count

    def picture(self, name: str) -> Path:
        return self.folder / "page" / name

    def report(self, title: str, verdict: str) -> Report:
        return Report(self.folder / "page.md", title, verdict)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    return Stand(tmp_path_factory.mktemp("ablations"))


@pytest.fixture(scope="module")
def every(stand: Stand) -> dict[str, Step]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pseudo_text, "prepare", lambda experiment, count: Path("labelled") / str(count))
        return ablations.all_arms(stand)  # type: ignore[arg-type]


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
    """What would be measured of every arm: BLEU 20 of drawings with a spread of 1, 10 of readings; some are changed."""
    found = {f"full-seed{seed}": drawn(19.0 + 0.5 * seed) for seed in SEEDS}
    found |= {name: drawn(20.0) for name in (*DRAWING, "unlabelled", "full-pseudo")}
    found |= {f"codes{suffix}": drawn(20.0) for suffix in TOKENIZERS}
    found |= {name: drawn(20.0) for name in ("shipped", *(f"merged-{codes}" for codes in ablations.MERGED))}
    found |= {f"translating-seed{seed}": read(9.0 + 0.5 * seed) for seed in SEEDS}
    found |= {f"translating{suffix}": read(10.0) for suffix in (*READING, "-pseudo")}
    for name, value in changed.items():
        found[name.replace("_no", "-no") if name.startswith("translating") else name]["bleu"] = value
    return found


# --- arms -------------------------------------------------------------------------------------------------------------


def test_arms_have_names_and_runs_of_their_own_and_start_from_what_is_there(every: dict[str, Step]):
    assert len(every) == 3 * len(SEEDS) + len(DRAWING) + 2 * len(READING) + 2 * len(TOKENIZERS) + 1 + 3
    runs = [step.run for step in every.values()]
    assert len(set(runs)) == len(runs) and {run.parent for run in runs} == {Path("runs/ablations")}
    tiny = [step.run for step in load_recipe(ROOT / "configs" / "tiny")[1]]
    shipped = [path.relative_to(ROOT) for path in (ROOT / "weights").iterdir() if path.is_dir()]
    for step in every.values():
        assert [origin for origin in arms.origins(step.config) if origin not in (*runs, *tiny, *shipped)] == [], step


def test_an_arm_changes_what_its_name_says(every: dict[str, Step]):

    def setting(name: str, get: Any) -> Any:
        return get(every[name].config)

    fusions = {name: setting(name, lambda c: c.model.image_decoder.fusion) for name in ("full-seed2", *DRAWING)}
    assert fusions == {"full-seed2": "gated", "sum": "sum", "concat": "concat", "alone": "image"} | {
        name: "gated" for name in ("no_teacher", "no_teacher_long", "kl", "both")
    }
    assert [setting(f"full-seed{seed}", lambda c: c.trainer.seed) for seed in SEEDS] == SEEDS
    assert "image_decoder" not in every["no_teacher"].config.start and every["no_teacher"].config.loss.distillation == 0
    assert every["translating-no-ocr"].config.start["image_encoder"] == "runs/ablations/reader-no-ocr"
    assert every["codes-256"].config.start["image_tokenizer"] == "runs/ablations/tokenizer-256"
    assert setting("codes-256", lambda c: c.model.tokenizer.codes) == 256
    assert setting("codes-quarter", lambda c: c.trainer.steps) == setting("codes-1024", lambda c: c.trainer.steps)
    assert setting("translating-pseudo", lambda c: c.data.folder) == f"labelled/{ablations.LABELLED}"
    unlabelled = every["unlabelled"].config
    assert list(unlabelled.start) == ["image_tokenizer"] and unlabelled.model.image_decoder.fusion == "image"
    assert (unlabelled.loss.text, unlabelled.loss.ocr, unlabelled.loss.ctc) == (0, 0, 0)


def test_one_budget_for_each_group(every: dict[str, Step]):
    drawing = ["full-seed1", *(arm for arm in DRAWING if arm != ablations.LONG), "full-pseudo"]
    tokenizers = [f"codes{suffix}" for suffix in TOKENIZERS]
    reading = ["translating-seed1", *(f"translating{suffix}" for suffix in READING), "translating-pseudo"]
    for group in (drawing, tokenizers, reading):
        assert len({(every[one].config.trainer.steps, every[one].config.trainer.batch_size) for one in group}) == 1


def test_what_is_measured(stand: Stand, every: dict[str, Step], monkeypatch: pytest.MonkeyPatch):
    asked: list[list[tuple[Any, ...]]] = []

    def measure_all(tasks: list[tuple[Any, ...]]) -> dict[str, dict[str, float]]:
        asked.append(tasks)
        return {task[1]: {task[1].rpartition("-")[2]: 1.0} for task in tasks}

    monkeypatch.setattr(stand, "measure_all", measure_all, raising=False)
    monkeypatch.setattr(ablations.coarse_codebook, "coarsen", lambda weights, folder, codes: folder)
    found = ablations.measured(stand, every)  # type: ignore[arg-type]
    assert set(found) == set(figures())
    assert found["sum"] == {"pictures": 1.0, "tokens": 1.0} and found["codes-quarter"] == {"pictures": 1.0}
    assert found["translating-no-ocr"] == {"texts": 1.0}
    assert [task[2] for task in asked[0]] == [scores.pictures]  # alone, so that references are read once
    names = {task[1].rpartition("-")[0]: task[0] for task in asked[1]}
    assert all(names[name] == step.run for name, step in every.items() if name in names)
    assert names["merged-256"] == stand.folder / "merged" / "256" and names["shipped"] == "weights/tiny"


# --- a coarser codebook -----------------------------------------------------------------------------------------------


def test_a_coarse_codebook_keeps_everything_but_the_difference_of_like_codes(tmp_path: Path):
    weights = ROOT / "weights" / "tiny"
    for codes in (8, 64):
        folder = coarse_codebook.coarsen(weights, tmp_path / str(codes), codes)
        old, new = (load_tensors(one / "image_tokenizer.safetensors") for one in (weights, folder))
        book, before = (one["quantizer._codebook.embed"][0].float() for one in (new, old))
        assert len(book.unique(dim=0)) == codes and torch.allclose(book.norm(dim=1), torch.ones(len(book)), atol=2e-3)
        assert all(torch.equal(new[key], old[key]) for key in old if key != "quantizer._codebook.embed")
        likeness = (book * before).sum(1)[old["quantizer._codebook.cluster_size"][0] > 1e-3].mean()
        assert likeness > (0.5 if codes == 8 else 0.8)
        for path in weights.glob("*.safetensors"):
            assert path.stem == "image_tokenizer" or (folder / path.name).read_bytes() == path.read_bytes()
    again = coarse_codebook.coarsen(weights, tmp_path / "again", 64)
    files = [one / "image_tokenizer.safetensors" for one in (again, tmp_path / "64")]
    assert files[0].read_bytes() == files[1].read_bytes()


# --- labels of our own ------------------------------------------------------------------------------------------------


class Read:
    """A reader that sees the same letters on every page."""

    def __init__(self, text: str) -> None:
        self.vocabulary, self.pages = small_vocabulary(), 0
        self.model = SimpleNamespace(see=self.see, ctc_logits=self.logits)
        self.ids = self.vocabulary.encode_characters(text)

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape[1:] == (1, 48, 256) and 0 <= pixels.min() < pixels.max() <= 1
        self.pages += len(pixels)
        return pixels

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        row = torch.nn.functional.one_hot(torch.tensor(self.ids), self.vocabulary.character_count)
        return row.float().expand(len(pixels), -1, -1)


def test_training_pages_are_labelled_and_validation_pages_keep_their_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from translatotron_v.metrics import cer

    gold, folder, reader = tmp_path / "pages", tmp_path / "pseudo", Read("ein hund")
    for split in ("train", "val"):
        pseudo_text._render(gold, "grammar", split, 2)
    monkeypatch.setattr("translatotron_v.inference.loaded.load_translator", lambda name: reader)
    pseudo_text._label(gold, folder)

    def tables(place: Path, split: str) -> Any:
        paths = sorted((place / "data").glob(f"{split}*.parquet"))
        assert len(paths) == 1
        return pq.read_table(paths[0])

    true, labelled = tables(gold, "train"), tables(folder, "train")
    assert labelled["source_text"].to_pylist() == labelled["target_text"].to_pylist() == ["ein hund"] * 2
    assert labelled.column_names == true.column_names and labelled["source_image"] == true["source_image"]
    assert tables(folder, "val") == tables(gold, "val")
    assert reader.pages == 4
    labels = json.loads((folder / "labels.json").read_text())
    assert labels["pages"] == 2
    for side in ("source", "target"):
        assert labels["cer"][side] == pytest.approx(cer(["ein hund"] * 2, true[f"{side}_text"].to_pylist()).value)
    config = load_config(ROOT / "configs" / "ablations" / "reader.yaml", [f"data.folder={folder}"])
    from translatotron_v.data.pairs import read_split

    assert [pair.source for pair in read_split(config, "train")] == ["ein hund"] * 2


def test_labels_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[str] = []
    monkeypatch.setattr(pseudo_text, "_render", lambda folder, data, split, count: made.append(f"{split} {count}"))
    monkeypatch.setattr(pseudo_text, "_label", lambda gold, folder: (folder.mkdir(), (folder / "labels.json").touch()))
    experiment: Any = SimpleNamespace(folder=tmp_path, data="grammar")
    for _ in range(2):
        assert pseudo_text.prepare(experiment, 6) == tmp_path / "pseudo"
    assert made == ["train 6", f"val {2 * pseudo_text.BATCH}"]


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
    assert told.endswith("the pictures reach 3.0.") and "(gold labels: 10.0 ± 0.5)" in told


def test_the_verdict_speaks_of_arms_that_exist():
    values = ablations.collected(figures())
    assert all(ablations.taken(values, name, m) for arm, control, m in PARTS.values() for name in (arm, control))
    assert set(ablations.SHOWN) <= set(figures())


def test_texts_that_differ_are_not_said_to_be_the_same():
    found = figures()
    assert "All arms write the same texts, whose BLEU of 24.5" in ablations.texts_line(ablations.collected(found))
    found["sum"]["text_bleu"] = 20.0
    assert "differ (BLEU 20.0 to 24.5)" in ablations.texts_line(ablations.collected(found))


def test_points_of_the_plot_stand_in_order():
    found = figures()
    for suffix, (cer, bleu) in {"-256": (0.3, 5.0), "-1024": (0.1, 15.0), "-4096": (0.05, 17.0)}.items():
        found[f"codes{suffix}"] |= {"tokenizer_cer": cer, "bleu": bleu}
    series = ablations.tokenizer_series(ablations.collected(found))
    told = ablations.tokenizer_line(ablations.collected(found))
    assert "(CER 1.0 %) to the worst (30.0 %)" in told and "changes by -15.0; " in told and "differs by 1.0." in told
    merged, anew = series.values()
    assert anew == (pytest.approx([1.0, 5.0, 10.0, 30.0]), [20.0, 17.0, 15.0, 5.0])
    assert len(merged[0]) == 1 + len(ablations.MERGED)


def test_the_papers_sizes(monkeypatch: pytest.MonkeyPatch):
    """Counted elsewhere; here, that each file has its number of codes."""
    monkeypatch.chdir(ROOT)
    asked: list[int] = []

    def sizes(config: Any) -> list[ModuleSize]:
        asked.append(config.model.tokenizer.codes)
        return [ModuleSize("image_decoder", 1000 * asked[-1], 0, "inference")]

    monkeypatch.setattr("translatotron_v.models.parameters.module_sizes", sizes)
    table = ablations.paper_rows()
    assert asked == list(ablations.PAPER) == [4096, 8192, 16384]
    assert table[1] == ["`tokenizer.yaml`", 8192, pytest.approx(0.524288), pytest.approx(8.192)]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_whole_page(stand: Stand, every: dict[str, Step], monkeypatch: pytest.MonkeyPatch):
    (stand.folder / "pseudo").mkdir()
    (stand.folder / "pseudo" / "labels.json").write_text('{"pages": 5952, "cer": {"source": 0.0072, "target": 0.0351}}')
    info = {"step": 1200, "cpu_seconds": 1384.1, "metrics": {"codes_used": 548.0}}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("translatotron_v.training.checkpoint.resolve", Path)
    monkeypatch.setattr("translatotron_v.training.checkpoint.read_info", lambda folder: info)
    monkeypatch.setattr(ablations, "all_arms", lambda experiment: every)
    monkeypatch.setattr(ablations, "cpu_seconds", lambda steps: 100.0 * len(steps))
    monkeypatch.setattr(ablations, "curve", lambda run, value: ([10, 20], [2.0, 1.0]))
    monkeypatch.setattr(ablations, "measured", lambda experiment, arms: figures(**LOST))
    monkeypatch.setattr(ablations, "paper_rows", lambda: [["`tokenizer.yaml`", 8192, 0.5, 40.2]])
    shown: dict[str, Path] = {}

    def sheet(runs: dict[str, Path], data: str, picture: Any) -> Path:
        shown.update(runs)
        return picture("pictures.png")

    monkeypatch.setattr(ablations, "sheet", sheet)
    ablations.body(stand)  # type: ignore[arg-type]
    page = (stand.folder / "page.md").read_text(encoding="utf-8")
    assert page.startswith("# What each part contributes\n\nReproduced: ")
    assert stand.trained == list(every.values())
    assert re.findall(r"^## (.*)$", page, re.M) == [
        "Drawing", "Reading", "The image tokenizer", "Without text labels", "What it looks like",
    ]  # fmt: skip
    assert "9 arms, each of 160 steps of 16 pages; 100 CPU-seconds on average." in page
    assert "4 arms, each of 50 steps of 24 pages or 200 steps of 24 pages" in page
    assert "The teacher itself took 1,200 steps and 1,384 CPU-seconds" in page
    assert "0.7 % of the characters of source pages, 3.5 % of the characters of target pages" in page
    pictures = re.findall(r"!\[[^]]*\]\((.*)\)", page)
    assert pictures == [f"page/{name}.png" for name in ("drawing", "losses", "tokenizer", "pictures")]
    assert all((stand.folder / picture).stat().st_size < 60_000 for picture in pictures[:-1])
    assert list(shown) == list(ablations.SHOWN.values()) and shown["no gate: sum"] == Path("runs/ablations/sum")


def test_the_sheet_has_a_row_for_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def translate(pictures: list[Image.Image]) -> list[Any]:
        return [SimpleNamespace(image=Image.new("L", one.size, 99)) for one in pictures]

    config = load_config(ROOT / "configs" / "tiny" / "translator.yaml")
    stand_in = SimpleNamespace(loaded=SimpleNamespace(config=config), translate=translate)
    monkeypatch.setattr(
        "translatotron_v.inference.pipeline.Translator.from_pretrained", lambda place, **options: stand_in
    )
    place = ablations.sheet({"one": Path("a"), "other": Path("b")}, "grammar", lambda name: tmp_path / name)
    assert place == tmp_path / "pictures.png" and place.stat().st_size < 300_000
    with Image.open(place) as picture:
        assert picture.width < 900 and picture.height > 4 * 48
        colours = {colour for _, colour in picture.convert("L").getcolors(256)}
        assert {99, 208, 255} <= colours


def test_the_experiment_is_known():
    assert "ablations" in harness.EXPERIMENTS
