"""Evaluations around a fake reader and a fake translator; the real ones run at the end, on a handful of pictures."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_synth.render import render_page
from data_synth.style import PageLayout, PageStyle
from translatotron_v.config import Config, to_yaml
from translatotron_v.errors import UserError
from translatotron_v.evaluation import checkpoint as checkpoints
from translatotron_v.evaluation.checkpoint import Options, render_split, score_checkpoint, sheet_pictures
from translatotron_v.evaluation.folders import PictureFolder, texts_for
from translatotron_v.evaluation.generation import GeneratedPage, Page, generate_pages
from translatotron_v.evaluation.pictures import TITLES, Expected, score_pictures
from translatotron_v.evaluation.reading import CACHE_FILE, PageOcr
from translatotron_v.evaluation.report import Report
from translatotron_v.ocr import TextBox, box_from_bounds

ROOT = Path(__file__).resolve().parent.parent
MAT, DOG, HAT = "the cat sat on the mat", "two dogs run over green grass", "a man with a hat waits here"


def draw(text: str) -> Page:
    page = render_page(text, PageLayout(), PageStyle())
    assert page is not None
    return page.pixels


class FakeReader:
    """Reads what it has been told, by the picture's pixels; anything else is blank."""

    signature = "ocr:fake"

    def __init__(self, *texts: str) -> None:
        self.texts = {draw(text).tobytes(): text for text in texts}
        self.calls = 0

    def read(self, image: Image.Image | np.ndarray) -> list[TextBox]:
        self.calls += 1
        text = self.texts.get(np.asarray(image).tobytes(), "")
        return [box_from_bounds(0, 0, 200, 16, text)] if text else []


def page_ocr(reader: FakeReader, folder: Path | None = None) -> PageOcr:
    return PageOcr(lambda: reader, folder, quiet=True)


def values(report: Report) -> dict[str, float]:
    return {line.score.name: line.score.value for line in report.lines}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three references; of the answers one is right, one shows another text, one is missing, and one is surplus."""
    answers, references = tmp_path / "answers", tmp_path / "references"
    for folder, texts in ((answers, {"a": MAT, "b": HAT, "d": DOG}), (references, {"a": MAT, "b": DOG, "c": HAT})):
        folder.mkdir()
        for name, text in texts.items():
            Image.fromarray(draw(text)[..., 0]).save(folder / f"{name}.png")
    return answers, references


def score(folders: tuple[Path, ...], texts: Sequence[Path] = (), **options: Any) -> Report:
    answers, *references = map(PictureFolder, folders)
    reader = page_ocr(FakeReader(MAT, DOG, HAT))
    return score_pictures(answers, Expected(references, texts), reader, quiet=True, **options)


def test_pictures_pair_by_name_and_missing_ones_count(folders: tuple[Path, Path], tmp_path: Path) -> None:
    texts = tmp_path / "texts.tsv"
    texts.write_text(f"b.png\t{DOG}\nc\t{HAT}\na\t{MAT} .\n", encoding="utf-8")  # the order of lines means nothing
    report = score(folders, [texts])
    bleu, chrf, cer, paper, strict, ssim, psnr = report.lines
    # "a" is right but for the full stop, "b" wrong, "c" missing
    assert cer.score.value > 0.6 and cer.ceiling is not None and cer.ceiling.value == pytest.approx(2 / 80)
    assert bleu.ceiling is not None and bleu.ceiling.value > 90 > bleu.score.value
    assert chrf.ceiling is not None and chrf.ceiling.value > chrf.score.value
    assert paper.score.name == "Structure-BLEU" and strict.score.name == "Structure-BLEU 1:1"
    assert paper.ceiling is not None and paper.score.value < 50
    shares = [row["SSIM"] for row in report.rows]
    assert shares[0] == pytest.approx(1.0) and 0 < float(shares[1]) < 1 and shares[2] == 0.0
    assert ssim.score.value == pytest.approx(sum(map(float, shares)) / 3)
    assert psnr.count == 3 and ssim.ceiling is None
    assert "Missing, counted as empty (1): c." in report.notes
    assert "Without a reference, left out (1): d." in report.notes
    assert report.worst == ["c", "b", "a"]
    assert all("ocr:fake" in line.score.signature for line in report.lines[:5])


def test_without_texts_the_references_are_read(folders: tuple[Path, Path]) -> None:
    report = score(folders)
    assert [row["reference"] for row in report.rows] == [MAT, DOG, HAT]
    assert all(line.ceiling is None for line in report.lines)
    assert any("no ceiling" in note for note in report.notes)
    same = score((folders[1], folders[1]))
    assert values(same) == pytest.approx(
        {"BLEU": 100, "chrF": 100, "CER": 0, "Structure-BLEU": 100, "Structure-BLEU 1:1": 100, "SSIM": 1, "PSNR": 100}
    )


def test_a_broken_picture_counts_as_empty_and_a_broken_reference_is_an_error(folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.png").write_bytes(b"no picture")
    report = score(folders)
    assert report.rows[0]["CER"] == 1.0 and report.rows[0]["SSIM"] == 0.0
    assert any(note.startswith("Broken, counted as empty (1)") and "a.png" in note for note in report.notes)
    (folders[1] / "b.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"b\.png"):
        score(folders)


def test_sizes_and_jpegs_are_noted(folders: tuple[Path, Path]) -> None:
    Image.fromarray(draw(MAT)[..., 0]).resize((512, 96)).save(folders[0] / "a.jpg")
    (folders[0] / "a.png").unlink()
    notes = " ".join(score(folders).notes)
    assert "resized for SSIM and PSNR (1): a." in notes and "JPEG, so that its losses count as theirs (1): a." in notes


def test_folders_that_cannot_be_paired(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[0] / "b.bmp").write_bytes(b"")
    with pytest.raises(UserError, match="bear one name"):
        PictureFolder(folders[0])
    with pytest.raises(UserError, match="no such folder"):
        PictureFolder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no pictures"):
        PictureFolder(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.tsv", "a\tx\nb y\n", "line 2: expected name TAB text"),
        ("t.tsv", "a\tx\na.png\ty\n", "'a' has two texts"),
        ("t.json", "[1]", "one JSON object"),
        ("t.json", "{", "not a JSON file"),
        ("t.tsv", "a\tx\n", "no text for b, c"),
    ],
)
def test_texts_that_cannot_be_used(
    folders: tuple[Path, Path], tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        score(folders, [path])


def test_texts_as_json_or_line_by_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    references = PictureFolder(folders[1])
    path = tmp_path / "texts.json"
    path.write_text(json.dumps({"a.png": "x", "c": "y.z", "b": ""}), encoding="utf-8")
    assert texts_for(path, references) == ["x", "", "y.z"]
    path = tmp_path / "texts.en"
    path.write_text("x\r\n\nz", encoding="utf-8")  # of the second nothing is known
    assert texts_for(path, references) == ["x", "", "z"]
    path.write_text("x\ny\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"texts\.en has 2 lines, .*references has 3 pictures: write one line for each"):
        texts_for(path, references)


def test_reports(folders: tuple[Path, Path], tmp_path: Path) -> None:
    report = score(folders, worst=2)
    opened = [PictureFolder(folder) for folder in folders]
    said = report.write(tmp_path / "out", lambda name: [opened[0].find(name), opened[1].open(name)], TITLES)
    paths = [tmp_path / "out" / name for name in ("scores.json", "scores.md", "samples.csv", "worst.png")]
    assert said == f"Written to {tmp_path / 'out'}: scores.json, scores.md, samples.csv, worst.png"
    content = json.loads(paths[0].read_text(encoding="utf-8"))
    assert {"name", "value", "signature", "ceiling", "of", "samples"} == set(content["scores"][0])
    assert content["scores"][0]["value"] == report.lines[0].score.value
    with open(paths[2], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a", "b", "c"] and rows[1]["read"] == HAT
    text = paths[1].read_text(encoding="utf-8")
    assert "case:lc" in text and "reference: " + HAT in text and f"reference: {MAT}" not in text
    with Image.open(paths[3]) as sheet:
        assert sheet.height > 2 * 48
    screen = report.screen().splitlines()
    assert len(screen) < 24 and max(map(len, screen)) <= 120


def test_readings_are_kept(tmp_path: Path) -> None:
    pages = [draw(MAT), None, draw(DOG), draw(MAT)]
    first = FakeReader(MAT, DOG)
    boxes = page_ocr(first, tmp_path).read_all(pages, 4, "")
    assert [[box.text for box in found] for found in boxes] == [[MAT], [], [DOG], [MAT]]
    assert first.calls == 2  # equal pictures are read once
    cache = tmp_path / CACHE_FILE
    cache.write_text(cache.read_text(encoding="utf-8")[:-20], encoding="utf-8")  # a kill while the last was written
    second = FakeReader(MAT, DOG)
    assert page_ocr(second, tmp_path).read_all(pages, 4, "") == boxes
    assert second.calls == 1
    second.signature = "ocr:other"
    page_ocr(second, tmp_path).read_all(pages, 4, "")
    assert second.calls == 3  # another engine does not believe the first


class FakeModel:
    """Translates by a table, drawing each text as a page of its own; it may fail at some call."""

    def __init__(self, config: Config, translations: dict[str, str], fail_at: int = 0) -> None:
        self.config = config
        self.identity: dict[str, Any] = {"checkpoint": "fake"}
        self.translations = {draw(source).tobytes(): (source, target) for source, target in translations.items()}
        self.fail_at = fail_at
        self.batches: list[int] = []

    def translate(self, pages: Sequence[Page]) -> list[GeneratedPage]:
        self.batches.append(len(pages))
        if len(self.batches) == self.fail_at:
            raise KeyboardInterrupt
        found = [self.translations.get(page.tobytes(), ("", "")) for page in pages]
        return [GeneratedPage(target, source, draw(target)) for source, target in found]

    def reconstruct(self, pages: Sequence[Page]) -> list[Page]:
        return [255 - page for page in pages]


PAIRS = [
    ("die katze sitzt", MAT),
    ("zwei hunde", DOG),
    ("ein Mann mit HUT", HAT.upper()),  # pages and texts are folded
    ("wort " * 200, "too long to be read"),
    ("kurz", "word " * 200),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Config:
    for column, language in enumerate(("de", "en")):
        lines = [pair[column].strip() for pair in PAIRS]
        (tmp_path / f"test.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = Config()
    config.data.folder = str(tmp_path)
    return config


def test_pages_of_a_split(corpus: Config) -> None:
    pages = render_split(corpus, "test")
    assert [page.source_page is None for page in pages] == [False, False, False, True, False]
    assert [page.reference_page is None for page in pages] == [False, False, False, False, True]
    assert pages[2].reference == HAT and pages[2].source_page is not None
    assert np.array_equal(pages[2].source_page, draw("ein mann mit hut"))
    blank = render_split(corpus, "test", limit=1, blank_source=True)
    assert len(blank) == 1 and blank[0].source_page is not None and blank[0].source_page.min() == 255


def run_checkpoint(corpus: Config, folder: Path, model: FakeModel | None = None, **options: Any) -> Report:
    texts = {"die katze sitzt": MAT, "zwei hunde": HAT, "ein mann mit hut": HAT, "kurz": "word"}
    model = model or FakeModel(corpus, texts)
    reader = page_ocr(FakeReader(MAT, DOG, HAT, "too long to be read", "word"))
    chosen = Options("test", batch_size=2, quiet=True, **options)
    pages = render_split(corpus, "test", blank_source=chosen.blank_source)
    return score_checkpoint(model, pages, reader, folder, chosen)


def test_a_checkpoint_is_scored_on_every_pair(corpus: Config, tmp_path: Path) -> None:
    report = run_checkpoint(corpus, tmp_path / "out")
    found = {(line.what, line.score.name): line for line in report.lines}
    translation, picture = found[checkpoints.TRANSLATION, "BLEU"], found[checkpoints.PICTURE, "BLEU"]
    assert translation.score.value == pytest.approx(picture.score.value)  # the pictures show the texts exactly
    assert translation.count == picture.count == 5
    assert "ocr" not in translation.score.signature and "ocr:fake" in picture.score.signature
    assert picture.ceiling is not None and picture.ceiling.value < 5  # the reference of 200 words fits no page
    assert report.value(checkpoints.OWN_TEXT, "exact") == 100.0
    assert report.value(checkpoints.OWN_TEXT, "CER") == 0.0 and found[checkpoints.OWN_TEXT, "CER"].count == 4
    assert found[checkpoints.STRUCTURE, "Structure-BLEU"].count == 4
    ceiling = found[checkpoints.STRUCTURE, "Structure-BLEU"].ceiling
    assert ceiling is not None and ceiling.value == pytest.approx(100.0)
    # right, wrong, right, no answer
    assert [row["SSIM"] for row in report.rows][::2] == [pytest.approx(1.0), pytest.approx(1.0), None]
    assert report.rows[3]["SSIM"] == 0.0 and report.rows[3]["read on the picture"] == ""
    assert report.value(checkpoints.TOKENIZER, "CER") == 1.0  # the fake's reconstructions are unreadable
    assert report.value(checkpoints.READER, "CER") == 0.0 and found[checkpoints.READER, "CER"].count == 4
    assert report.value(checkpoints.COST, "CPU-seconds") >= 0
    assert report.notes[0].startswith("1 source texts do not fit") and report.notes[1].startswith("1 reference texts")
    pictures = sheet_pictures(render_split(corpus, "test"), tmp_path / "out")
    assert [picture is None for picture in pictures("00003")] == [True, True, False]
    report.write(tmp_path / "out", pictures, checkpoints.TITLES)


def test_a_blank_source_is_translated_once(corpus: Config, tmp_path: Path) -> None:
    model = FakeModel(corpus, {})
    report = run_checkpoint(corpus, tmp_path / "out", model, blank_source=True)
    assert model.batches == [1]
    assert report.value(checkpoints.PICTURE, "BLEU") == 0.0 and report.title.endswith("source blanked")


def test_an_interrupted_generation_goes_on(tmp_path: Path) -> None:
    texts = {str(number): f"answer {number}" for number in range(5)}
    pages: list[Page | None] = [draw(text) for text in texts]
    model = FakeModel(Config(), texts, fail_at=2)
    with pytest.raises(KeyboardInterrupt):
        generate_pages(model.translate, pages, tmp_path / "kept", {"weights": 1}, batch_size=2, quiet=True)
    model = FakeModel(Config(), texts)
    answers = generate_pages(model.translate, pages, tmp_path / "kept", {"weights": 1}, batch_size=2, quiet=True)
    assert model.batches == [2, 1]
    assert [answer and answer.page.text for answer in answers] == list(texts.values())
    assert all(answer is not None and answer.page.picture.shape == (48, 256, 1) for answer in answers)
    pages[1] = draw("another page")  # only this one is translated again
    generate_pages(model.translate, pages, tmp_path / "kept", {"weights": 1}, batch_size=2, quiet=True)
    assert model.batches == [2, 1, 1]
    generate_pages(model.translate, pages, tmp_path / "kept", {"weights": 2}, batch_size=5, quiet=True)
    assert model.batches == [2, 1, 1, 5]  # other weights: nothing that is there can be used


def evaluate(*arguments: str | Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "evaluate.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)


def test_command_on_pictures(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = evaluate("pictures", *folders, "--out", out, "--workers", "2")
    assert done.returncode == 0, done.stderr
    content = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert "ocr:rapidocr-3." in content["scores"][0]["signature"]
    assert content["settings"]["command"].startswith("python evaluate.py pictures ")
    with open(out / "samples.csv", encoding="utf-8", newline="") as file:
        assert [row["read"] for row in csv.DictReader(file)] == [MAT, HAT, ""]
    assert "Missing, counted as empty (1): c." in done.stdout and str(out) in done.stdout
    assert len(done.stdout.splitlines()) < 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pictures", "nowhere", "."], "nowhere: no such folder"),
        (["checkpoint", "nowhere"], "nowhere: no such folder, nor weights of that name"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str) -> None:
    done = evaluate(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {message}") and len(done.stderr.splitlines()) == 1


def make_checkpoint(folder: Path) -> Path:
    """A translator of random weights, as small as it gets."""
    from translatotron_v.checkpoint import save_checkpoint
    from translatotron_v.data.vocabulary import Vocabulary
    from translatotron_v.models.translator import TranslatotronV

    config = Config()
    model = config.model
    for part in (model.image_encoder, model.image_decoder):
        part.width, part.layers, part.heads = 16, 1, 2
    model.image_encoder.ocr_layer = 1
    for text in (model.text_encoder, model.text_decoder, model.ocr_head, model.character_encoder):
        text.width, text.layers, text.heads, text.feed_forward, text.max_length = 16, 1, 2, 16, 12
    model.tokenizer.width, model.tokenizer.heads, model.tokenizer.codes = 16, 2, 16
    model.tokenizer.kmeans = False
    model.vocabulary.subwords = 0
    vocabulary = Vocabulary.build(["abcdefghijklmnopqrstuvwxyz"])
    translator = TranslatotronV(model, len(vocabulary), vocabulary.character_count)
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json()}
    save_checkpoint(folder, dict(translator.named_children()), files, {"step": 0})
    return folder


def test_command_on_a_checkpoint(corpus: Config, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from translatotron_v.evaluation.command import main

    weights = make_checkpoint(tmp_path / "random")
    data = ["--data", corpus.data.folder, "--split", "test", "--limit", "3"]
    arguments = ["checkpoint", str(weights), *data, "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert content["settings"]["data"] == corpus.data.folder and content["settings"]["split"] == "test"
    assert {entry["of"] for entry in content["scores"]} >= {checkpoints.TRANSLATION, checkpoints.PICTURE}
    ceilings = [entry["ceiling"] for entry in content["scores"] if entry["of"] == checkpoints.PICTURE]
    assert min(ceilings) > 95  # the references can be read
    assert "OCR ceiling" in printed
    first = (tmp_path / "out" / "samples.csv").read_bytes()
    assert main(arguments) == 0  # everything is there already
    assert (tmp_path / "out" / "samples.csv").read_bytes() == first
