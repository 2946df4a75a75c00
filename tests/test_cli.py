"""The command line, in a process of its own where that is what is tested, otherwise around a fake model."""

import gc
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.inference.fakes import FakeGenerate, fake_translator
from translatotron_v import __version__, cli
from translatotron_v.commands import translate as command
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.loaded import BlockTranslation, Translation
from translatotron_v.inference.pictures import open_picture
from translatotron_v.inference.pipeline import Translator
from translatotron_v.shipped import shipped_weights

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"timm", "torchvision", "torch._dynamo", "vector_quantize_pytorch"}


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "translatotron_v", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        Image.new("L", (64 + index, 16), 255).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeGenerate:
    generate = FakeGenerate()
    monkeypatch.setattr(command, "load", lambda options: fake_translator(generate))
    return generate


def test_version_and_help_load_nothing_heavy():
    code = (
        "import sys; from translatotron_v import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'timm', 'numpy', 'PIL', 'omegaconf'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for argument in ("--version", "--help"):
        done = subprocess.run([sys.executable, "-c", code, argument], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert run("--version").stdout.strip() == f"translatotron-v {__version__}"


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["-m", "translatotron_v", "info"], MODELS),
        (["-m", "translatotron_v", "merge", "no", "such", "-o", "out"], MODELS),
        (["-m", "translatotron_v", "translate", "page.png", "-o", "out.png", "--weights", "none"], MODELS),
        (["-m", "translatotron_v", "render", "--help"], {*MODELS, "torch"}),
        (["train.py", "--help"], {*MODELS, "torch"}),
        (["evaluate.py", "--help"], {*MODELS, "torch"}),
    ],
)
def test_what_needs_no_model_does_without_the_libraries_of_models(arguments: list[str], absent: set[str]):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "argparse" in imported and "Traceback" not in done.stderr
    assert not absent & imported


def test_what_is_loaded_is_left_out_of_the_search_for_garbage_until_the_command_ends(pages: Path, monkeypatch):
    seen = []

    class Watched(FakeGenerate):
        def __call__(self, *arguments, **options):
            seen.append(("translating", gc.isenabled(), gc.get_freeze_count() > 0))
            return super().__call__(*arguments, **options)

    def load(*_, **options):
        seen.append(("loading", gc.isenabled(), gc.get_freeze_count() > 0))
        return fake_translator(Watched())

    monkeypatch.setattr(Translator, "from_pretrained", load)
    assert cli.main(["translate", str(pages / "0.png"), "-o", str(pages.parent / "out.png")]) == 0
    assert seen == [("loading", False, False), ("translating", True, True)]
    assert gc.isenabled() and gc.get_freeze_count() == 0


@pytest.mark.parametrize("command", [[], ["translate"], ["demo"], ["render"], ["info"], ["merge"]])
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        cli.main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage: translatotron-v" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["translate", "in", "-o", "out", "--weights", "huge"], "huge: no such folder, nor weights of that name"),
        (["translate", "in", "-o", "out.png"], "out.png: one file cannot take 3 pictures"),
        (["translate", "nothing/*.png", "-o", "out"], "nothing/*.png: matches no picture"),
        (["translate", "in", "-o", "out", "--batch-size", "0"], "--batch-size: '0' is no whole number of at least 1"),
        (["translate", "in", "-o", "out", "--beams", "0"], "--beams: must lie in 1..1,024, not 0"),
        (["translate", "in", "-o", "out", "--temperature", "0"], "--temperature: must lie in (0, 1,000,000], not 0.0"),
        (["demo", "--min-confidence", "nan"], "--min-confidence: must lie in 0..1, not nan"),
        (["text", "in", "-o", "out", "--beams", "many"], "--beams: 'many' is no whole number"),
        (["translate", "in"], "the following arguments are required: -o/--output"),
        (["merge", "tuned", "text", "-o", "out", "--weight", "2"], "must lie in 0..1, not 2.0"),
        (["merge", "tuned", "text", "-o", "out", "--method", "slerp"], "--method: invalid choice: 'slerp'"),
        (["info", "no/such/config"], "no/such/config: no such file, nor configuration of that name"),
    ],
)
def test_bad_input_gets_one_clear_line_and_status_2(pages: Path, arguments: list[str], message: str):
    done = run(*arguments, cwd=pages.parent)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (pages.parent / "out").exists()


def test_a_few_pictures_are_reported_one_by_one(pages: Path, fake: FakeGenerate, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["translate", str(pages), "-o", str(pages.parent / "out")]) == 0
    out = capsys.readouterr().out
    assert out.count("read:  tinte 0") == 3
    assert f"file:  {pages.parent / 'out' / '0.png'}" in out
    assert "3 of 3 pictures translated into" in out
    assert [open_picture(pages.parent / "out" / f"{index}.png").size for index in range(3)] == [
        (64, 16),
        (65, 16),
        (66, 16),
    ]


def test_many_pictures_print_a_summary_only(pages: Path, fake, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "PRINTED", 2)
    assert (
        cli.main(["translate", str(pages), "-o", str(pages.parent / "out"), "--batch-size", "2", "--workers", "1"]) == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_broken_picture_is_named_and_the_rest_go_on(pages: Path, fake, capsys: pytest.CaptureFixture[str]):
    (pages / "1.png").write_bytes(b"broken")
    assert cli.main(["translate", str(pages), "-o", str(pages.parent / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"error: {pages / '1.png'}: not a PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF or HEIC picture\n"
    assert "2 of 3 pictures translated" in captured.out


def test_outputs_are_kept_without_force(pages: Path, fake, capsys: pytest.CaptureFixture[str]):
    arguments = ["translate", str(pages / "0.png"), "-o", str(pages.parent / "out.png")]
    assert cli.main(arguments) == 0
    assert cli.main(arguments) == 1
    assert "exists already; --force overwrites it" in capsys.readouterr().err
    assert cli.main([*arguments, "--force"]) == 0


def test_json_is_one_object_per_picture(pages: Path, fake, capsys: pytest.CaptureFixture[str]):
    (pages / "1.png").write_bytes(b"broken")
    arguments = ["translate", str(pages), "-o", str(pages.parent / "out"), "--json", "--compare"]
    assert cli.main(arguments) == 1
    records = {Path(record["input"]).name: record for record in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(records) == {"0.png", "1.png", "2.png"}
    assert records["0.png"]["text"] == "ink 0"
    assert records["0.png"]["scores"] == {"text": 0.9048, "image": 0.9048}
    assert records["0.png"]["low_confidence"] == []
    assert [Path(path).name for path in records["2.png"]["outputs"]] == ["2.png", "2-compare.png"]
    assert "not a PNG" in records["1.png"]["error"]


def test_pages_of_one_file_are_told_page_by_page(pages: Path, fake, capsys: pytest.CaptureFixture[str]):
    film = [Image.new("L", (64, 16), level) for level in (255, 250, 255)]
    film[0].save(pages / "film.tif", save_all=True, append_images=film[1:])
    (pages / "notes.txt").write_text("no picture")
    arguments = ["translate", str(pages), "-o", str(pages.parent / "out")]
    assert cli.main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    told = f"4 of 4 pictures translated into {pages.parent / 'out'}"
    assert captured.err.splitlines() == [told]  # what lies beside pictures is told in its record
    records = {Path(record["input"]).name: record for record in map(json.loads, captured.out.splitlines())}
    assert records["notes.txt"]["skip_reason"].startswith(f"{pages / 'notes.txt'}: not a PNG")
    film_record = records["film.tif"]
    assert "text" not in film_record and film_record["warnings"] == []
    assert [page["size"] for page in film_record["pages"]] == [[64, 16]] * 3
    first, second, third = (page["text"] for page in film_record["pages"])
    assert first == third == "ink 0" != second
    assert cli.main([*arguments, "--force"]) == 0
    captured = capsys.readouterr()
    assert f"{pages / 'film.tif'}\n  pages: 3, 3 translated\n" in captured.out
    assert f"skipped: {pages / 'notes.txt'}: not a PNG" in captured.err


def test_a_run_that_was_cut_off_goes_on_without_loading_for_what_is_done(
    pages: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    loads = []

    def load(options: object) -> Translator:
        loads.append(options)
        return fake_translator()

    monkeypatch.setattr(command, "load", load)
    arguments = ["translate", str(pages), "-o", str(pages.parent / "out"), "--compare", "--skip-existing"]
    assert cli.main(arguments) == 0 and len(loads) == 1
    (pages.parent / "out" / "1-compare.png").unlink()
    capsys.readouterr()
    assert cli.main(arguments) == 0 and len(loads) == 2
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out.splitlines()[-1] == "2 exist already"
    assert (pages.parent / "out" / "1-compare.png").is_file()
    assert cli.main([*arguments, "--json"]) == 0 and len(loads) == 2  # nothing is left to do
    records = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert [record["skip_reason"] for record in records] == ["exists already"] * 3


def test_inputs_without_pictures_stop_nobody(pages: Path, fake, capsys: pytest.CaptureFixture[str]):
    (pages.parent / "empty").mkdir()
    inputs = [str(pages.parent / "empty"), str(pages)]
    assert cli.main(["translate", *inputs, "-o", str(pages.parent / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {pages.parent / 'empty'}: no pictures in this folder")
    assert "3 of 4 pictures translated" in captured.out


def test_no_model_is_loaded_for_what_cannot_be_done(pages: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    def load(options: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(command, "load", load)
    Image.new("1", (10001, 10000)).save(pages / "big.png")
    out = str(pages.parent / "out")
    assert cli.main(["translate", str(pages / "big.png"), "-o", out]) == 1
    assert cli.main(["translate", "none.png", "-o", out]) == 1
    assert cli.main(["translate", str(pages / "0.png"), "-o", str(pages / "1.png" / "out.png")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error"] * 3
    assert "10001 x 10000 pixels are more" in lines[0]
    assert "no such file" in lines[1] and "cannot be written" in lines[2]


def test_names_that_are_not_utf_8_are_names(pages: Path, fake, capsys: pytest.CaptureFixture[str]):
    name = os.fsdecode(b"gru\xdfkarte.png")
    (pages / "0.png").rename(pages / name)
    assert cli.main(["translate", str(pages), "-o", str(pages.parent / "out"), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(record["input"]).name for record in records] == ["1.png", "2.png", "gru\\xdfkarte.png"]
    assert (pages.parent / "out" / name).is_file()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "model: {tokenizer: {patch: [-1, 4]}}",
            "model.tokenizer.patch has an entry that must lie in 1..16,384, not -1",
        ),
        ("model: {text_encoder: {layers: 1099511627776}}", "model.text_encoder.layers must lie in 0..256"),
        ("model: {teacher: {layout: .nan}}", "model.teacher.layout: timm has no model 'nan'"),
        ("model: {image_decoder: {dropout: -.5}}", "model.image_decoder.dropout must lie in [0, 1), not -0.5"),
    ],
)
def test_settings_that_make_no_model_name_their_key(tmp_path: Path, capsys, setting: str, message: str):
    (tmp_path / "config.yaml").write_text(setting)
    assert cli.main(["info", str(tmp_path / "config.yaml")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.splitlines()) == 1 and not captured.out


def test_low_confidence_is_a_warning(pages: Path, fake: FakeGenerate, capsys: pytest.CaptureFixture[str]):
    fake.text_score = -4.0
    assert cli.main(["translate", str(pages / "0.png"), "-o", str(pages.parent / "out")]) == 0
    assert f"warning: {pages / '0.png'}: low confidence (text 0.02)" in capsys.readouterr().err


def test_options_reach_the_model(pages: Path, fake: FakeGenerate):
    arguments = [
        "translate",
        str(pages),
        "-o",
        str(pages.parent / "out"),
        "--batch-size",
        "3",
        "--from",
        "en",
        "--to",
        "de",
    ]
    assert cli.main([*arguments, "--beams", "4", "--top-k", "5", "--temperature", "0.5", "--seed", "6"]) == 0
    shape, generation = fake.calls[0]
    assert shape[0] == 3
    assert generation == GenerationConfig("en", "de", beams=4, top_k=5, temperature=0.5, seed=6)


def test_a_picture_in_passes_is_refused_where_weights_draw_token_by_token(
    pages: Path, fake: FakeGenerate, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["translate", str(pages), "-o", str(pages.parent / "out"), "--image-steps", "8"]) == 2
    assert "not trained to draw in 8 passes" in capsys.readouterr().err
    assert not fake.calls


def test_a_page_says_what_was_left_and_that_there_was_no_text(
    pages: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    corner = ((0.0, 0.0), (9.0, 0.0), (9.0, 5.0), (0.0, 5.0))
    done = BlockTranslation(corner, "ein hund", "a dog", {"text": 0.9, "image": 0.99}, "DejaVuSans", 11.5, (9, 8, 7))
    left = BlockTranslation(corner, skip_reason="vertical")
    blank = Image.new("L", (8, 8))
    found = {
        "0.png": Translation(blank, "", "", {}),
        "1.png": Translation(blank, "a dog", "ein hund", done.scores, (done,)),
        "2.png": Translation(blank, "a dog", "ein hund", done.scores, (done, left)),
    }

    def translate(self: Translator, pictures: list[Image.Image], **options: object) -> list[Translation]:
        return [replace(found[f"{picture.width - 64}.png"], image=picture) for picture in pictures]

    monkeypatch.setattr(Translator, "translate", translate)
    monkeypatch.setattr(command, "load", lambda options: fake_translator())
    out = pages.parent / "out"
    assert cli.main(["translate", str(pages), "-o", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("nothing to translate: written as it was") == 1
    assert printed.out.count("wrote: a dog") == 2
    (warning,) = printed.err.strip().splitlines()
    assert warning.endswith("2.png: 1 of 2 blocks left as they were (1 vertical)")
    assert cli.main(["translate", str(pages), "-o", str(out), "--force", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "blocks" not in records[0]
    box = [list(point) for point in corner]
    (block,) = records[1]["blocks"]
    assert len(block.pop("drawn")) == 12
    assert block == {
        "box": box, "source_text": "ein hund", "language": "", "text": "a dog",
        "scores": {"text": 0.9, "image": 0.99}, "font": "DejaVuSans", "size": 11.5, "weight": 0.0, "colour": [9, 8, 7],
        "alignment": "left", "angle": 0.0, "rows": [],
    }  # fmt: skip
    left = records[2]["blocks"][1]
    assert left["box"] == box and left["skip_reason"] == "vertical" and "text" not in left


def test_an_interrupt_says_that_nothing_is_lost(pages: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "load", interrupt)
    assert cli.main(["translate", str(pages), "-o", str(pages.parent / "out")]) == 130
    assert "what was written so far stays" in capsys.readouterr().err


def test_the_demo_lays_out_source_translation_and_reference(tmp_path: Path, fake, monkeypatch, capsys):
    for kind in ("source", "reference"):
        (tmp_path / "examples" / kind).mkdir(parents=True)
    for index in range(2):
        Image.new("L", (256, 48), 255).save(tmp_path / "examples" / "source" / f"{index}.png")
    Image.new("L", (256, 48), 255).save(tmp_path / "examples" / "reference" / "0.png")
    monkeypatch.setattr("translatotron_v.shipped.shipped_folder", lambda kind: tmp_path / kind)
    arguments = ["demo", "--output", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert f"contact sheet: {tmp_path / 'out' / 'sheet.png'}" in out
    assert open_picture(tmp_path / "out" / "sheet.png").size == (3 * 512 + 4 * 8, 28 + 2 * 96 + 3 * 8)
    assert cli.main(arguments) == 2
    assert "--force overwrites it" in capsys.readouterr().err


@pytest.mark.skipif(not shipped_weights(), reason="no weights in this checkout")
def test_the_shipped_weights_translate_from_anywhere(tmp_path: Path):
    done = run("demo", "--output", "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo" / "sheet.png").is_file()
    assert "wrote:" in done.stdout


def test_info_names_the_installation():
    done = run("info")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"translatotron-v {__version__}, Python ")
    assert all(f"weights: {name} (" in done.stdout for name in shipped_weights())


def test_merge_hands_its_options_on_and_says_what_was_merged(monkeypatch, capsys: pytest.CaptureFixture[str]):
    from translatotron_v.training import merging

    calls = []

    def merge(*arguments, **named):
        calls.append((arguments, named))
        return merging.Merged(Path(arguments[2]), {"text_decoder": 3}, ["image_encoder", "text_encoder.connector.bias"])

    monkeypatch.setattr(merging, "merge_checkpoints", merge)
    assert cli.main(["merge", "tuned", "text", "-o", "out"]) == 0
    assert calls.pop() == (
        ("tuned", "text", "out"),
        {"method": "linear", "weight": None, "density": None, "overwrite": False, "base": None},
    )
    options = ["--method", "ties", "--weight", "0.5", "--density", "0.3", "--base", "text", "--force"]
    assert cli.main(["merge", "tuned", "text", "-o", "out", *options]) == 0
    assert calls.pop()[1] == {"method": "ties", "weight": 0.5, "density": 0.3, "overwrite": True, "base": "text"}
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "merged: text_decoder (3 tensors)",
        "of the first alone: image_encoder, text_encoder.connector.bias",
        "written to out",
    ]
