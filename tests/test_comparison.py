"""The comparison with cascades: parameters by hand, verdicts, significance, the page, what is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments import comparison, comparison_page
from experiments import comparison_measurements as taken
from experiments import comparison_parameters as parameters
from experiments.comparison_page import END_TO_END, SETS, Results, verdict
from translatotron_v.arguments import SYSTEMS
from translatotron_v.config import load_config, to_yaml
from translatotron_v.errors import UserError
from translatotron_v.evaluation.rendering import Drawing
from translatotron_v.inference import cascade
from translatotron_v.models.parameters import module_sizes
from translatotron_v.training.checkpoint import save_checkpoint

ROOT = Path(__file__).resolve().parent.parent
SMALL = load_config(ROOT / "weights" / "small" / "config.yaml")
PAPER = load_config(ROOT / "configs" / "paper" / "model.yaml")
PIECES, CHARACTERS = 6000, 117
TEXTS = [f"A dog number {number} runs through the tall green grass of the park." for number in range(40)]
WORSE = [text if number % 4 else "Nothing of the kind was ever seen here." for number, text in enumerate(TEXTS)]


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "modules"),
    [
        (
            "end-to-end",
            "image_encoder ctc_head family_head text_encoder text_decoder character_encoder image_decoder "
            "image_tokenizer",
        ),
        ("cascade-reader-draw", "image_encoder ctc_head family_head text_encoder text_decoder teacher image_tokenizer"),
        ("cascade-tit-draw", "image_encoder ctc_head family_head text_encoder text_decoder teacher image_tokenizer"),
        ("cascade-reader-render", "image_encoder ctc_head family_head text_encoder text_decoder"),
        ("cascade-tit-render", "image_encoder ctc_head family_head text_encoder text_decoder"),
    ],
)
def test_parameters_are_those_of_the_modules(system: str, modules: str):
    sizes = {row.name: row.parameters for row in module_sizes(SMALL, PIECES, CHARACTERS)}
    count = parameters.inference_parameters(system, SMALL, PIECES, CHARACTERS)
    assert count == sum(sizes[name] for name in modules.split())
    assert parameters.codebook_values(system, SMALL) == (0 if system.endswith("render") else 8192 * 32 * 8)


def test_parameters_of_the_shipped_weights():
    """Shapes of the files themselves: the end-to-end model is what is shipped, less what it was trained with."""
    from safetensors import safe_open

    counted = 0
    for path in (ROOT / "weights" / "small").glob("*.safetensors"):
        if path.stem not in ("ocr_head", "separator", "image_tokenizer"):
            with safe_open(path, "np") as file:
                counted += sum(int(np.prod(file.get_slice(key).get_shape())) for key in file.keys())  # noqa: SIM118
    assert parameters.inference_parameters(END_TO_END, SMALL, PIECES, CHARACTERS) == counted


def test_parameters_of_other_engines():
    engine = parameters.engine_parameters("rec")
    sizes = {row.name: row.parameters for row in module_sizes(SMALL, PIECES, CHARACTERS)}
    translating = sizes["text_encoder"] + sizes["text_decoder"]
    count = parameters.inference_parameters("cascade-rapidocr-render", SMALL, PIECES, CHARACTERS)
    assert count == engine + translating and 1e6 < engine < 2e7
    drawn = parameters.inference_parameters("cascade-rapidocr-draw", SMALL, PIECES, CHARACTERS)
    assert drawn == count + sizes["teacher"]
    shared = parameters.shared_parameters(SMALL)
    assert shared["detection"] == parameters.engine_parameters("det") and 0 < shared["separator"] < 1e6
    with pytest.raises(UserError, match="rapidocr's nonsense model"):
        parameters.engine_parameters("nonsense")


def test_parameters_of_the_pixel_baseline():
    """By hand: maps of segments, positions, layers of an encoder and of a decoder, norms."""
    config, width, hidden = SMALL.model.pixels, SMALL.model.pixels.width, SMALL.model.pixels.feed_forward
    rows, columns = config.grid(SMALL.model.canvas)
    segment = config.segment[0] * config.segment[1]
    count = parameters.inference_parameters("pixels", SMALL, PIECES, CHARACTERS)
    maps = 2 * (segment * width + width) + (width * segment + segment)
    places = 2 * (rows + columns) * width + width  # and the vector that a page starts with
    attention, feeding = 4 * width * width, 2 * width * hidden
    layers = config.encoder_layers * (attention + feeding) + config.decoder_layers * (2 * attention + feeding)
    assert maps + places + layers < count < 1.02 * (maps + places + layers)  # biases and norms
    assert parameters.codebook_values("pixels", SMALL) == 0


def test_the_paper_s_sizes_add_up_and_give_about_its_share():
    end_to_end, readings = parameters.paper_end_to_end(PAPER), parameters.paper_readings(PAPER)
    sizes = {row.name: row.parameters for row in module_sizes(PAPER)}
    seeing = {name: end_to_end[name] for name in ("image encoder", "target-text decoder", "image decoder")}
    assert list(seeing.values()) == [sizes[name] for name in ("image_encoder", "text_decoder", "image_decoder")]
    # from a code of 64 to 256, positions of 1,024 tokens, four blocks, a norm, 16 x 16 x 3 pixels
    blocks = 4 * (4 * 256 * 256 + 2 * 256 * 1024)
    tokens = end_to_end["tokenizer's decoder"]
    assert tokens == pytest.approx(64 * 256 + 1024 * 256 + blocks + 256 * 768, rel=0.02)
    plainest, total = readings[0], sum(end_to_end.values())
    parts = [*(sizes[name] for name in ("image_encoder", "text_decoder", "teacher")), tokens]
    assert plainest.sum == sum(plainest.cascade.values()) == sum(parts) + plainest.cascade["NMT: 8 + 8 layers"]
    # self-attention and feed-forward in 8 layers, cross-attention besides in 8 more, two tables of 256 symbols
    translating = 8 * (4 * 512**2 + 2 * 512 * 2048) + 8 * (8 * 512**2 + 2 * 512 * 2048) + 2 * 256 * 512
    assert plainest.cascade["NMT: 8 + 8 layers"] == pytest.approx(translating, rel=0.01)
    assert 0.6 < total / plainest.sum < 0.8
    shares = [total / reading.sum for reading in readings]
    assert max(shares) == shares[-1] and all(0.6 < share < 1 for share in shares)
    sentence = parameters.paper_share_sentence(end_to_end, readings)
    assert "70.9 %" in sentence and f"“{plainest.name}” fits best: {100 * shares[0]:.1f} %" in sentence
    far = parameters.paper_share_sentence(end_to_end, readings[-1:])
    assert "comes nearest, and does not fit" in far


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
    assert tested["cascade-reader-draw"] == {"BLEU": 1.0, "chrF": 1.0}
    assert tested["pixels"]["BLEU"] < 0.01 and tested["pixels"]["chrF"] < 0.01
    assert tested["cascade-tit-draw"]["BLEU"] > 0.05  # one page of forty
    assert comparison.significance(found) == tested  # of a seed
    assert comparison.significance({END_TO_END: found[END_TO_END]}) == {}


def test_a_difference_of_zero_is_none():
    """Texts that differ and score the same: no resample differs, which sacrebleu takes for its smallest p."""
    found = {
        END_TO_END: {"read": ["x y"] * 4, "references": ["a b c d e"] * 4},
        "pixels": {"read": ["v w"] * 4, "references": ["a b c d e"] * 4},
    }
    assert comparison.significance(found)["pixels"] == {"BLEU": 1.0, "chrF": 1.0}


def results(bleu: dict[str, float], p: float = 0.001, **sizes: int) -> Results:
    """What was measured, as far as the verdict looks: BLEU by system, the same on each of two sets."""
    names = [END_TO_END, *(name for name in bleu if name != END_TO_END)]
    return Results(
        pages={},
        sets={name: {system: {"scores": {"BLEU": bleu[system]}} for system in names} for name in ("clean", "photo")},
        memory={},
        significance={name: {system: {"BLEU": p} for system in names[1:]} for name in ("clean", "photo")},
        parameters={system: sizes.get(system.replace("-", "_"), 20_000_000) for system in names},
        codebooks={},
        shared={},
        weights={},
        cpu_seconds=0.0,
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
    """Notes what is measured, in place of the real measurements."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def read_references(self, main: Path, look: dict[str, Any], *rest: Any) -> dict[str, int]:
        self.calls.append("references")
        return {"pages": len(TEXTS), "whole": len(TEXTS)}

    def score(self, main: Path, own: Path, system: str, look: dict[str, Any], *rest: Any) -> dict[str, Any]:
        Drawing(**look)  # is understood
        self.calls.append(system)
        folder = Path(rest[-1]) / "generated"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((192, 640, 3), 90, dtype=np.uint8)).save(folder / "00000.png")
        poor = system == "pixels"
        scores = {
            "BLEU": 1.5 if poor else 40.0, "chrF": 9.5 if poor else 60.0, "CER": 0.5, "Structure-BLEU": 39.0,
            "Structure-BLEU 1:1": 38.0, "SSIM": 0.9, "seconds": 0.25, "BLEU of the text": 41.0,
        }  # fmt: skip
        return {
            "scores": scores, "ceiling": {"BLEU": 99.25, "chrF": 99.5, "CER": 0.0123, "Structure-BLEU": 99.0},
            "read": WORSE if poor else TEXTS, "references": TEXTS, "signatures": {"BLEU": "tok:13a"},
            "notes": ["3 source texts do not fit the page."],
        }  # fmt: skip

    def peak_memory(self, main: Path, own: Path, system: str, *rest: Any) -> float:
        self.calls.append(f"memory-{system}")
        return 0.75


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    """The command in a folder of its own, with runs of the two models that it wants and nothing that takes time."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(comparison, "FOLDER", tmp_path / "runs")
    for name, stage in (("TEXT_TO_IMAGE", "teacher"), ("PIXELS", "pixels")):
        run = tmp_path / stage
        config = load_config(ROOT / "weights" / "small" / "config.yaml", [f"stage={stage}", f"run={run}"])
        save_checkpoint(run / "final", {}, {"config.yaml": to_yaml(config), "vocabulary.json": ""}, {"step": 5})
        monkeypatch.setattr(cascade, name, str(run))
    stand_in = Measured()
    for name in ("read_references", "score", "peak_memory"):
        monkeypatch.setattr(taken, name, getattr(stand_in, name))
    return stand_in


def test_the_page(measured: Measured, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "docs" / "comparison.md"
    options = ["--data", "grammar", "--limit", "2", "--jobs", "1", "--report", str(page)]
    assert comparison.main(options) == 0, capsys.readouterr().err
    text = page.read_text(encoding="utf-8")
    first, rows = text.split("\n\n")[1], [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    assert first.startswith(("Reproduced: ", "Partly: ", "Not reproduced: "))
    cells = [[cell.strip() for cell in row[1:-1]] for row in rows]
    tables = [row for row in cells if len(row) == 10]
    for system in SYSTEMS:
        assert [row[0] for row in tables].count(system) == len(SETS)
    assert tables[0][:3] == ["system", "parameters, M", "BLEU"]
    assert tables[1] == [
        "end-to-end", "15.88 (+ 2.10)", "40.00", "39.00", "38.00", "0.900", "60.00", "50.00", "0.25", "0.75",
    ]  # fmt: skip
    pixels = next(row for row in tables if row[0] == "pixels")
    assert pixels[2] == "1.50 †" and pixels[6] == "9.50 †" and pixels[7] == ""  # it has no text of its own
    assert ["OCR ceiling", "", "99.25", "", "", "", "99.50", "1.23", "", ""] in tables
    assert "p = 1.000" in text and "-38.50, p = 0.001 †" in text
    assert "3 source texts do not fit the page." in text and "40 pages in each set" in text
    assert "“OCR with a decoder of 8 x 512, NMT of 8 + 8 layers, teacher” fits best" in text
    assert "Where the end-to-end model loses" not in text
    sheet, plot = page.with_suffix("") / "samples.png", page.with_suffix("") / "bleu.png"
    with Image.open(sheet) as one, Image.open(plot) as other:
        assert sheet.stat().st_size <= 400_000 and one.width > 6 * 120 and other.size == (640, 360)

    wanted = [*["references"] * 3, *SYSTEMS * 3, *(f"memory-{system}" for system in SYSTEMS)]
    assert measured.calls == wanted
    (page.with_suffix("") / "discussion.md").write_text("Where letters are small.\n", encoding="utf-8")
    assert comparison.main(options) == 0
    assert measured.calls == wanted  # all of it was kept
    text = page.read_text(encoding="utf-8")
    assert "## Where the end-to-end model loses, and why\n\nWhere letters are small.\n" in text
    assert comparison.main([*options[:2], "--limit", "3", *options[4:], "--systems", "pixels"]) == 0
    assert measured.calls[len(wanted) :] == [*["references"] * 3, *["end-to-end", "pixels"] * 3]  # memory holds
    kept = sorted(path.stem for path in (tmp_path / "runs" / "measurements").glob("*.json"))
    assert "photo-cascade-tit-draw" in kept and "clean-references" in kept and "memory-pixels" in kept


@pytest.mark.parametrize(("name", "command"), [("TEXT_TO_IMAGE", "make text-to-image"), ("PIXELS", "make pixels")])
def test_missing_weights_name_the_command_that_trains_them(
    measured: Measured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    command: str,
):
    run = tmp_path / "nowhere"
    (run / "checkpoints" / "step-0000005").mkdir(parents=True)  # it has begun
    monkeypatch.setattr(cascade, name, str(run))
    options = ["--data", "grammar", "--limit", "2", "--jobs", "1", "--report", str(tmp_path / "page.md")]
    assert comparison.main(options) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {run}: ") and command in printed and len(printed.splitlines()) == 1
    assert "--systems" in printed and measured.calls == []
    without = [system for system in SYSTEMS if not system.endswith("draw" if "text" in command else "pixels")]
    assert comparison.main([*options, "--systems", ",".join(without)]) == 0


def test_options(capsys: pytest.CaptureFixture[str]):
    chosen = comparison.parse(["--quick", "--systems", "pixels, cascade-tit-draw"])
    assert chosen.systems == ("end-to-end", "cascade-tit-draw", "pixels") and chosen.limit == 4
    assert chosen.data == "grammar" and "quick" in str(chosen.report) and "quick" in str(chosen.folder)
    full = comparison.parse([])
    assert full.systems == SYSTEMS and full.limit == 0 and str(full.report) == "docs/experiments/comparison.md"
    for wrong in (["--systems", "magic"], ["--quick", "--report", "docs/experiments/comparison.md"]):
        with pytest.raises(SystemExit):
            comparison.parse(wrong)
    assert "'magic' is no system: choose from end-to-end, " in capsys.readouterr().err


def test_sets_differ_in_fonts_and_backgrounds():
    looks = {name: Drawing(**look).looks(SMALL) for name, look in SETS.items()}
    assert looks["clean"].fonts == ("DejaVuSans",) and looks["clean"].backgrounds == ("plain",)
    assert len(looks["fonts"].fonts) == 7 and looks["fonts"].backgrounds == ("plain",)
    assert len(looks["photo"].fonts) == 7 and looks["photo"].backgrounds == ("photo",)


def test_memory_is_that_of_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch):
    """The part that runs there, with a translator that does nothing."""
    shown: list[str] = []
    monkeypatch.setattr(taken, "_load", lambda *_: shown.append)
    assert 0.01 < taken.peak_of(Path("weights"), Path("weights"), END_TO_END, ["a.png", "b.png"]) < 1000
    assert shown == ["a.png", "b.png"]


def test_a_sheet_of_noise_is_made_to_fit():
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (192, 640, 3), dtype=np.uint8)) for _ in range(4)]
    content = comparison_page.small_sheet([noise, [None, *noise[1:]]] * 2, ["a", "b", "c", "d"])
    assert len(content) <= 400_000


def test_how_a_run_was_trained_is_told_back_to_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, start in (("first", "weights/small"), ("second", "runs/first#teacher_encoder"), ("third", "runs/gone")):
        config = load_config(None, ["stage=teacher", f"start.teacher_encoder={start}", "trainer.batch_size=12"])
        info = {"step": 1200, "cpu_seconds": 99.6, "metrics": {"cer": 0.03125}}
        save_checkpoint(Path("runs") / name / "final", {}, {"config.yaml": to_yaml(config)}, info)
    said = "1,200 steps of 12 pages, 100 CPU-seconds; on `val` cer 0.03125"
    assert comparison.trained(Path("runs/first")) == f"`runs/first`: {said}"
    assert comparison.trained(Path("runs/second")) == f"`runs/second`: {said}; before it `runs/first`: {said}"
    assert comparison.trained(Path("runs/third")) == f"`runs/third`: {said}"
