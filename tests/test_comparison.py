"""The comparison with cascades: parameters by hand, verdicts, significance, the page, what is kept."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments import comparison, harness
from experiments.comparison import END_TO_END, LOOKS, SETS, Results, inference_parameters, verdict
from translatotron_v import baselines
from translatotron_v.arguments import BASELINES
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.config import load_config, to_yaml
from translatotron_v.evaluation.rendering import TestPages
from translatotron_v.models.parameters import module_sizes

ROOT = Path(__file__).resolve().parent.parent
SMALL = load_config(ROOT / "weights" / "small" / "config.yaml")
PIECES, CHARACTERS = 10000, 430
TEXTS = [f"A dog number {number} runs through the tall green grass of the park." for number in range(40)]
WORSE = [text if number % 4 else "Nothing of the kind was ever seen here." for number, text in enumerate(TEXTS)]


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "modules"),
    [
        (
            "end-to-end",
            "image_encoder ctc_head font_head text_encoder text_decoder character_encoder image_decoder "
            "image_tokenizer",
        ),
        ("cascade-reader-draw", "image_encoder ctc_head font_head text_encoder text_decoder teacher image_tokenizer"),
        ("cascade-tit-draw", "image_encoder ctc_head font_head text_encoder text_decoder teacher image_tokenizer"),
        ("cascade-reader-render", "image_encoder ctc_head font_head text_encoder text_decoder"),
        ("cascade-tit-render", "image_encoder ctc_head font_head text_encoder text_decoder"),
    ],
)
def test_parameters_are_those_of_the_modules(system: str, modules: str):
    sizes = {row.name: row.parameters for row in module_sizes(SMALL, PIECES, CHARACTERS)}
    count = inference_parameters(system, SMALL, PIECES, CHARACTERS)
    assert count == sum(sizes[name] for name in modules.split())


def test_parameters_of_the_shipped_weights():
    """Shapes of the files themselves: the end-to-end model is what is shipped, less what it was trained with."""
    from safetensors import safe_open

    counted = 0
    for path in (ROOT / "weights" / "small").glob("*.safetensors"):
        if path.stem not in ("ocr_head", "matting", "image_tokenizer"):
            with safe_open(path, "np") as file:
                counted += sum(int(np.prod(file.get_slice(key).get_shape())) for key in file.keys())  # noqa: SIM118
    assert inference_parameters(END_TO_END, SMALL, PIECES, CHARACTERS) == counted


def test_parameters_of_another_reader():
    sizes = {row.name: row.parameters for row in module_sizes(SMALL, PIECES, CHARACTERS)}
    render, draw = (
        inference_parameters(f"cascade-rapidocr-{drawer}", SMALL, PIECES, CHARACTERS) for drawer in ("render", "draw")
    )
    engine = render - sizes["text_encoder"] - sizes["text_decoder"]
    assert 1e6 < engine < 2e7 and draw == render + sizes["teacher"] + sizes["image_tokenizer"]


def test_parameters_of_the_pixel_baseline():
    """By hand: maps of segments, positions, layers of an encoder and of a decoder, norms."""
    config, width, hidden = (
        SMALL.model.pixel_baseline,
        SMALL.model.pixel_baseline.width,
        SMALL.model.pixel_baseline.feed_forward,
    )
    rows, columns = config.grid(SMALL.model.canvas)
    segment = config.segment[0] * config.segment[1]
    count = inference_parameters("pixels", SMALL, PIECES, CHARACTERS)
    maps = 2 * (segment * width + width) + (width * segment + segment)
    places = 2 * (rows + columns) * width + width  # and the vector that a page starts with
    attention, feeding = 4 * width * width, 2 * width * hidden
    layers = config.encoder_layers * (attention + feeding) + config.decoder_layers * (2 * attention + feeding)
    assert maps + places + layers < count < 1.02 * (maps + places + layers)  # biases and norms


# --- significance and verdict -----------------------------------------------------------------------------------------


def test_bootstrap_tells_systems_apart():
    found = {
        "cascade-reader-draw": {"read": list(TEXTS), "references": TEXTS},
        END_TO_END: {"read": list(TEXTS), "references": TEXTS},
        "pixels": {"read": WORSE, "references": TEXTS},
        "cascade-tit-draw": {"read": [TEXTS[0] + " Twice.", *TEXTS[1:]], "references": TEXTS},
    }
    tested = comparison.significance(found)
    assert list(tested) == ["cascade-reader-draw", "pixels", "cascade-tit-draw"]
    assert tested["cascade-reader-draw"] == {"bleu": 1.0, "chrf": 1.0}
    assert tested["pixels"]["bleu"] < 0.01 and tested["pixels"]["chrf"] < 0.01
    assert tested["cascade-tit-draw"]["bleu"] > 0.05  # one page of forty
    assert comparison.significance(found) == tested  # of a seed
    assert comparison.significance({END_TO_END: found[END_TO_END]}) == {}


def test_a_difference_of_zero_is_none():
    """Texts that differ and score the same: no resample differs, which sacrebleu takes for its smallest p."""
    found = {
        END_TO_END: {"read": ["x y"] * 4, "references": ["a b c d e"] * 4},
        "pixels": {"read": ["v w"] * 4, "references": ["a b c d e"] * 4},
    }
    assert comparison.significance(found)["pixels"] == {"bleu": 1.0, "chrf": 1.0}


def results(bleu: dict[str, float], p: float = 0.001, **sizes: int) -> Results:
    """What was measured, as far as the verdict looks: BLEU by system, the same on each of two sets."""
    names = [END_TO_END, *(name for name in bleu if name != END_TO_END)]
    return Results(
        {name: {system: {"scores": {"bleu": bleu[system]}} for system in names} for name in ("clean", "photo")},
        {name: {system: {"bleu": p} for system in names[1:]} for name in ("clean", "photo")},
        {system: sizes.get(system.replace("-", "_"), 20_000_000) for system in names},
    )


DRAW, RENDER = "cascade-reader-draw", "cascade-reader-render"


def test_verdicts():
    won = results({END_TO_END: 30.0, DRAW: 29.0, RENDER: 30.0, "pixels": 1.0}, end_to_end=15_900_000)
    assert verdict(won).startswith("Reproduced: with 15.9 M parameters, fewer than any of the 2 cascades")
    close = results({END_TO_END: 30.0, DRAW: 30.4}, p=0.2, end_to_end=15_900_000)
    assert verdict(close).startswith("Reproduced: ")  # the lead is none
    mixed = results({END_TO_END: 30.0, DRAW: 29.0, RENDER: 32.5}, end_to_end=15_900_000, cascade_reader_render=10**7)
    assert verdict(mixed) == (
        "Partly: the end-to-end model (15.9 M parameters) matches or beats 1 of 2 cascades in BLEU on all 2 sets; it "
        "is behind cascade-reader-render by 2.5 on the set photo; it has fewer parameters than cascade-reader-draw. "
        "Both hold against cascade-reader-draw."
    )
    lost = results({END_TO_END: 30.0, DRAW: 31.0, RENDER: 32.5}, end_to_end=15_900_000)
    assert verdict(lost).startswith("Not reproduced: ") and verdict(lost).endswith("Both hold against none of them.")
    large = results({END_TO_END: 30.0, DRAW: 29.0}, end_to_end=30_000_000)
    assert verdict(large).startswith("Not reproduced: ") and "than none of them" in verdict(large)
    assert verdict(results({END_TO_END: 30.0, "pixels": 1.0})).startswith("Not reproduced: ")  # nothing to compare with


# --- the command ------------------------------------------------------------------------------------------------------


class Measured:
    """Notes what is measured, in place of the real measurement."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def score(self, main: Path, own: Path, system: str, look: dict[str, Any], *rest: Any) -> dict[str, Any]:
        TestPages(**look)  # is understood
        self.calls.append(system)
        folder = Path(rest[-1]) / system / "generated"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((192, 640, 3), 90, dtype=np.uint8)).save(folder / "00000.png")
        poor = system == "pixels"
        scores = {
            "bleu": 1.5 if poor else 40.0, "chrf": 9.5 if poor else 60.0, "own_cer": 0.5, "structure_bleu": 39.0,
            "structure_bleu_one_to_one": 38.0, "ssim": 0.9, "cpu_seconds": 0.25, "text_bleu": 41.0,
        }  # fmt: skip
        return {
            "scores": scores, "ceilings": {"bleu": 99.25, "chrf": 99.5, "own_cer": 0.0123},
            "read": WORSE if poor else TEXTS, "references": TEXTS, "signatures": {"bleu": "tok:13a"},
            "notes": ["3 source texts do not fit the page."],
        }  # fmt: skip


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    """The command in a folder of its own, with runs of the two models that it wants and nothing that takes time."""
    for name in ("weights", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    info = {"step": 1200, "cpu_seconds": 99.6, "metrics": {"cer": 0.03125}}
    for name, stage in (("TEXT_TO_IMAGE", "teacher"), ("PIXELS", "pixel_baseline")):
        run = Path("runs") / stage
        config = load_config(ROOT / "weights" / "small" / "config.yaml", [f"stage={stage}", f"run={run}"])
        save_checkpoint(run / "final", {}, {"config.yaml": to_yaml(config), "vocabulary.json": ""}, info)
        monkeypatch.setattr(baselines, name, str(run))
    monkeypatch.setattr(comparison, "RESAMPLES", 200)  # their p is 1 in 201 at the least
    stand_in = Measured()
    monkeypatch.setattr(comparison, "score", stand_in.score)
    return stand_in


def command(*arguments: str) -> int:
    options = ["--data", "grammar", "--limit", "2", "--jobs", "1", "--report", "docs/comparison.md"]
    return harness.run("comparison", "", comparison.body, [*options, *arguments], comparison.more)


def test_the_page(measured: Measured, capsys: pytest.CaptureFixture[str]):
    page = Path("docs/comparison.md")
    assert command() == 0, capsys.readouterr().err
    text = page.read_text(encoding="utf-8")
    first, rows = text.split("\n\n")[1], [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    assert first.startswith(("Reproduced: ", "Partly: ", "Not reproduced: "))
    cells = [[cell.strip() for cell in row[1:-1]] for row in rows]
    tables = [row for row in cells if len(row) == 11]
    for system in BASELINES:
        assert [row[0] for row in tables].count(system) == len(SETS)
    assert tables[0][:3] == ["system", "parameters, M", "BLEU"]
    assert tables[1] == ["end-to-end", "18.94", "40.00", "", "39.00", "38.00", "0.900", "60.00", "", "50.00", "0.25"]
    pixels = next(row for row in tables if row[0] == "pixels")
    assert pixels[2:4] == ["1.50", "0.005 †"] and pixels[7:10] == ["9.50", "0.005 †", ""]  # it has no text of its own
    assert ["OCR ceiling", "", "99.25", "", "", "", "", "99.50", "", "1.23", ""] in tables and tables[2][3] == "1.000"
    assert "3 source texts do not fit the page." in text and "clean 40, fonts 40, photo 40, layouts 40; seed 0" in text
    assert re.search(r"\npixel_baseline +1200 +100 +cer 0\.03125\n", text)
    assert "Where the end-to-end model loses" not in text
    sheet, plot = page.with_suffix("") / "samples.png", page.with_suffix("") / "bleu.png"
    with Image.open(sheet) as one, Image.open(plot) as other:
        assert sheet.stat().st_size <= 400_000 and one.width > 6 * 120 and other.size == (640, 360)
    wanted = [system for system in BASELINES for _ in SETS]
    assert measured.calls == wanted
    (page.with_suffix("") / "discussion.md").write_text("Where letters are small.\n", encoding="utf-8")
    assert command() == 0
    assert measured.calls == wanted  # all of it was kept
    text = page.read_text(encoding="utf-8")
    assert "## Where the end-to-end model loses, and why\n\nWhere letters are small.\n" in text
    assert command("--limit", "3", "--baselines", "pixels") == 0
    assert measured.calls[len(wanted) :] == [*["end-to-end"] * len(SETS), *["pixels"] * len(SETS)]
    kept = sorted(path.stem for path in Path("runs/comparison/measurements").glob("*.json"))
    assert "photo-cascade-tit-draw" in kept and len(kept) == len(wanted)


@pytest.mark.parametrize(("name", "target"), [("TEXT_TO_IMAGE", "make text-to-image"), ("PIXELS", "make pixels")])
def test_missing_weights_name_the_command_that_trains_them(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, target: str
):
    Path("runs/nowhere/checkpoints/step-0000005").mkdir(parents=True)  # it has begun
    monkeypatch.setattr(baselines, name, "runs/nowhere")
    assert command() == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: runs/nowhere: ") and target in printed and len(printed.splitlines()) == 1
    assert "--baselines" in printed and measured.calls == []
    without = [system for system in BASELINES if not system.endswith("draw" if "text" in target else "pixels")]
    assert command("--baselines", ",".join(without)) == 0


def test_options(capsys: pytest.CaptureFixture[str]):
    def parse(*arguments: str) -> Any:
        return harness.options("", "comparison", arguments, comparison.more)

    assert parse("--baselines", "pixels, cascade-tit-draw").baselines == ("end-to-end", "cascade-tit-draw", "pixels")
    full = parse()
    assert full.baselines == BASELINES and full.limit == 0 and str(full.report) == "docs/experiments/comparison.md"
    with pytest.raises(SystemExit):
        parse("--baselines", "magic")
    assert "'magic' is no baseline: choose from end-to-end, " in capsys.readouterr().err


def test_sets_differ_in_fonts_and_backgrounds():
    pages = {name: TestPages(**look) for name, look in SETS.items()}
    looks = {name: kind.looks(SMALL) for name, kind in pages.items() if kind.pages == "mix"}
    assert pages["layouts"].pages == "layouts" and set(LOOKS) == set(SETS)
    assert looks["clean"].fonts == ("DejaVuSans",) and looks["clean"].backgrounds == ("plain",)
    assert len(looks["fonts"].fonts) == 7 and looks["fonts"].backgrounds == ("plain",)
    assert len(looks["photo"].fonts) == 7 and looks["photo"].backgrounds == ("photo",)
