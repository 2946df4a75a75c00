"""Pictures as the field hands them out: layouts of folders, several references, COMET, and what cannot be paired.

The miniatures are drawn here, laid out as the published sets are; the reader and the translator are fakes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.test_evaluate import DOG, HAT, MAT, FakeModel, FakeReader, draw, make_checkpoint, page_ocr
from translatotron_v.config import Config
from translatotron_v.errors import UserError
from translatotron_v.evaluation import checkpoint, command, loading, pairs, reading
from translatotron_v.evaluation.folders import (
    PictureFolder,
    aligned,
    check_paired,
    check_some_paired,
    find_sides,
    texts_beside,
    texts_for,
)
from translatotron_v.evaluation.generation import GeneratedBlock, GeneratedPage, left_blocks
from translatotron_v.evaluation.pairs import score_pairs
from translatotron_v.evaluation.pictures import Expected, score_pictures
from translatotron_v.evaluation.report import Report
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.metrics import Score

GERMAN = {"9": "die katze sitzt auf der matte", "10": "zwei hunde rennen", "11": "ein mann mit hut"}
ENGLISH = {"9": MAT, "10": DOG, "11": HAT}


def lay(folder: Path, texts: dict[str, str], ending: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        Image.fromarray(draw(text)[..., 0]).save(folder / f"{name}{ending}")
    return folder


def write(path: Path, texts: dict[str, str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts.values()), encoding="utf-8")
    return path


def e2e_iimt(folder: Path) -> Path:
    """Strips named 9.de.png and 9.en.png in folders of their own, as that repository has and makes them."""
    for language, texts in (("de", GERMAN), ("en", ENGLISH)):
        lay(folder / "image" / language, texts, f".{language}.png")
        write(folder / f"plain.{language}", texts)
    return folder


def iimt30k(folder: Path) -> Path:
    """A split of one font: pictures, the same without background, their texts, and the backgrounds."""
    for language, texts in (("de", GERMAN), ("en", ENGLISH)):
        lay(folder / language / "image", texts)
        lay(folder / language / "text", dict.fromkeys(texts, "nothing to see"))
        write(folder / language / "subtitle.txt", texts)
    lay(folder / "background", dict.fromkeys(ENGLISH, ""))
    return folder


def screenshots(folder: Path) -> Path:
    """Files side by side, which tell the language by the end of their names; a logo has none."""
    lay(folder, GERMAN, "_de.png")
    lay(folder, ENGLISH, "_en.png")
    return lay(folder, {"logo": "x"})


LAYOUTS = {"E2E-IIMT": e2e_iimt, "IIMT30k": iimt30k, "screenshots": screenshots}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_sides_of_a_layout_are_found_in_one_folder(layout: str, tmp_path: Path) -> None:
    sides = find_sides(LAYOUTS[layout](tmp_path / "set"), "de", "en")
    for side, texts in zip(sides, (GERMAN, ENGLISH), strict=True):
        assert list(side.paths) == ["9", "10", "11"]  # by number, as lines of texts stand
        assert all(np.array_equal(np.asarray(side.open(name)), draw(texts[name])[..., 0]) for name in texts)
    found = texts_beside(sides)
    if layout == "screenshots":
        assert found == []
    else:
        assert [texts_for(path, side) for path, side in zip(found, sides, strict=True)] == [
            list(GERMAN.values()), list(ENGLISH.values())
        ]  # fmt: skip


def test_languages_are_taken_off_names_only_where_that_pairs_them(tmp_path: Path) -> None:
    answers = PictureFolder(lay(tmp_path / "answers", ENGLISH))
    references = PictureFolder(lay(tmp_path / "references", ENGLISH, ".en-GB.png"))
    assert [list(folder.paths) for folder in aligned([answers, references])] == [["9", "10", "11"]] * 2
    plain = aligned([references, PictureFolder(tmp_path / "references")])
    assert list(plain[0].paths) == ["9.en-GB", "10.en-GB", "11.en-GB"]  # they pair as they are
    mixed = PictureFolder(lay(tmp_path / "references", {"12": MAT}, ".de.png"))
    assert mixed.without_language() is mixed


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("empty", r"en: no pictures in this folder \(\.png"),
        ("sides", r"set: expected folders fr and en in it, or files NAME\.fr\.png beside NAME\.en\.png"),
        ("twice", r"9\.de\.png and 9_de\.png bear one name"),
        ("counts", r"de has 3 pictures, .*en has 2; they pair by name, and .*en has none of 11$"),
        ("names", r"de has 3 pictures, .*en has 3; they pair by name, and .*en has none of 9, 10, 11$"),
        ("strangers", r"share no name, by which pictures pair: 9, 10, 11 and a, b$"),
    ],
)
def test_what_cannot_be_paired_is_one_line(case: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    lay(folder / "de", GERMAN)
    with pytest.raises(UserError, match=message) as caught:
        if case == "empty":
            (folder / "en").mkdir()
            find_sides(folder, "de", "en")
        elif case == "sides":
            find_sides(folder, "fr", "en")
        elif case == "twice":
            lay(folder / "one", {"9_en": MAT, "9_de": MAT, "9.de": MAT})
            find_sides(folder / "one", "de", "en")
        elif case == "strangers":
            others = lay(folder / "other", {"a": MAT, "b": DOG})
            check_some_paired(PictureFolder(folder / "de"), PictureFolder(others))
        else:
            lay(folder / "en", {"9": MAT, "10": DOG} if case == "counts" else {"a": MAT, "b": DOG, "c": HAT})
            check_paired([PictureFolder(folder / "de"), PictureFolder(folder / "en")])
    assert "\n" not in str(caught.value)


# several references


def value(report: Report, what: str, name: str) -> Any:
    return next(line for line in report.lines if (line.score.name, line.what[: len(what)]) == (name, what))


def test_the_best_of_several_references_counts(tmp_path: Path) -> None:
    """Of the two folders each shows another half of what was answered; layout and pixels go by the first."""
    answers = PictureFolder(lay(tmp_path / "answers", ENGLISH))
    first = PictureFolder(lay(tmp_path / "first", {"9": MAT, "10": DOG, "11": DOG}))
    second = PictureFolder(lay(tmp_path / "second", {"9": HAT, "10": HAT, "11": HAT}))
    reader = page_ocr(FakeReader(MAT, DOG, HAT))
    alone = score_pictures(answers, Expected([first]), reader, quiet=True)
    both = score_pictures(answers, Expected([first, second]), reader, quiet=True)
    assert value(alone, "pictures against reference texts", "BLEU").score.value < 90
    bleu, cer = (value(both, "pictures against reference texts", name) for name in ("BLEU", "CER"))
    assert bleu.score.value == pytest.approx(100) and bleu.score.signature.startswith("nrefs:2|")
    assert cer.score.value == 0.0 and both.rows[2]["BLEU"] == pytest.approx(100)
    assert both.rows[2]["reference"] == DOG and both.rows[2]["reference 2"] == HAT
    ssim = value(both, "pictures against references", "SSIM")
    assert ssim.what.endswith("(the first folder's)") and ssim.score == value(alone, "pictures", "SSIM").score

    texts = [write(tmp_path / "a.txt", first_texts := {"9": "x", "10": DOG, "11": DOG}), write(tmp_path / "b", ENGLISH)]
    known = score_pictures(answers, Expected([first], texts), reader, quiet=True)
    best = value(known, "pictures against reference texts", "BLEU")
    assert best.score.value == pytest.approx(100) and best.ceiling.value == pytest.approx(100)
    assert [row["reference"] for row in known.rows] == list(first_texts.values())


class FakeComet:
    """Half a point where the source is there, and half where the translation is the reference."""

    def score(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[Score, list[float]]:
        rows = zip(sources, hypotheses, *references, strict=True)
        values = [50.0 * bool(source) + 50.0 * (text in own) for source, text, *own in rows]
        return Score("COMET", sum(values) / len(values), f"nrefs:{len(references)}|model:fake"), values


def test_comet_stands_beside_the_other_scores(tmp_path: Path) -> None:
    answers = PictureFolder(lay(tmp_path / "answers", {"9": MAT, "10": MAT, "11": MAT}))
    references = PictureFolder(lay(tmp_path / "references", ENGLISH))
    texts = [write(tmp_path / "texts", ENGLISH)]
    expected = Expected([references], texts, list(GERMAN.values()), FakeComet())  # type: ignore[arg-type]
    report = score_pictures(answers, expected, page_ocr(FakeReader(MAT, DOG, HAT)), quiet=True)
    line = value(report, "pictures against reference texts", "COMET")
    assert line.score.value == pytest.approx(200 / 3) and line.ceiling.value == pytest.approx(100)
    assert line.score.signature == "nrefs:1|model:fake|ocr:fake"
    assert [row["COMET"] for row in report.rows] == [100, 50, 50]


# pairs


def model() -> FakeModel:
    return FakeModel(Config(), {GERMAN["9"]: MAT, GERMAN["10"]: HAT, GERMAN["11"]: HAT})


def run_pairs(folder: Path, out: Path, fake: FakeModel | None = None, **expected: Any) -> Report:
    sources, references = find_sides(folder, "de", "en")
    texts = texts_beside([references])
    reader = page_ocr(FakeReader(*GERMAN.values(), *ENGLISH.values()))
    options = pairs.PairOptions(batch_size=2, quiet=True)
    wanted = Expected([references], texts, **expected)
    return score_pairs(fake or model(), sources, wanted, reader, out, sources.texts_beside(), options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_are_translated_and_scored(layout: str, tmp_path: Path) -> None:
    report = run_pairs(LAYOUTS[layout](tmp_path / "set"), tmp_path / "out")
    known = layout != "screenshots"
    own = value(report, pairs.TRANSLATION, "BLEU")
    pictures = value(report, "pictures against reference texts", "BLEU")
    assert own.score.value == pytest.approx(pictures.score.value)  # the pictures show the texts exactly
    assert 30 < own.score.value < 80 and own.count == 3 and "ocr" not in own.score.signature
    assert (pictures.ceiling is not None and pictures.ceiling.value == pytest.approx(100)) == known
    assert value(report, pairs.OWN_TEXT, "CER").score.value == 0.0
    assert [row["SSIM"] == pytest.approx(1.0) for row in report.rows] == [True, False, True]
    assert value(report, "paragraphs", "Structure-BLEU").score.value == pytest.approx(own.score.value)
    assert value(report, checkpoint.COST, "CPU-seconds").count == 3
    assert report.rows[1]["model's text"] == HAT and report.rows[1]["reference"] == DOG
    if known:
        read = value(report, pairs.READER, "CER")
        assert read.score.value == 0.0 and read.ceiling.value == 0.0 and report.rows[0]["source"] == GERMAN["9"]
    else:
        assert all(line.what != pairs.READER for line in report.lines) and "no ceiling" in report.notes[-1]


def test_pairs_go_on_where_they_were_and_may_be_limited(tmp_path: Path) -> None:
    folder, out = e2e_iimt(tmp_path / "set"), tmp_path / "out"
    first, again = model(), model()
    assert len(run_pairs(folder, out, first, limit=2).rows) == 2 and first.batches == [2]
    report = run_pairs(folder, out, again)
    assert again.batches == [1] and [row["name"] for row in report.rows] == ["9", "10", "11"]


def test_comet_of_pairs_gets_sources_from_texts_or_from_ocr(tmp_path: Path) -> None:
    shots = run_pairs(screenshots(tmp_path / "shots"), tmp_path / "a", comet=FakeComet())
    strips = run_pairs(e2e_iimt(tmp_path / "strips"), tmp_path / "b", comet=FakeComet())
    for report in (shots, strips):
        assert value(report, pairs.TRANSLATION, "COMET").score.value == pytest.approx(250 / 3)
        assert value(report, "pictures against", "COMET").score.value == pytest.approx(250 / 3)
    noted = [any(note.startswith("COMET got the source texts") for note in one.notes) for one in (shots, strips)]
    assert noted == [True, False]


def test_blocks_that_were_left_are_counted_by_their_reasons() -> None:
    bounds = (0.0, 0.0, 1.0, 1.0)
    left = [GeneratedBlock(bounds, "", "x", reason) for reason in ("no room", "no text", "no room", "")]
    page = GeneratedPage("", "", draw(MAT), tuple(left))
    assert left_blocks([page, None]) == ["Of 4 blocks 3 were left as they were (2 no room, 1 no text)."]
    assert left_blocks([GeneratedPage("", "", draw(MAT), (left[3],)), None]) == []


def test_a_broken_source_is_named(tmp_path: Path) -> None:
    folder = screenshots(tmp_path / "set")
    (folder / "10_de.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"10_de\.png: not a PNG"):
        run_pairs(folder, tmp_path / "out")


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way with weights of random numbers, and with the files that `pairs` leaves as pictures to score."""
    monkeypatch.setattr(reading, "make_ocr_engine", lambda engine, languages: FakeReader(*ENGLISH.values()))
    weights, folder, out = make_checkpoint(tmp_path / "random"), iimt30k(tmp_path / "test_flickr"), tmp_path / "out"
    assert command.main(["pairs", str(weights), str(folder), "--limit", "2", "--out", str(out)]) == 0
    content = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert content["settings"]["texts"].endswith("en/subtitle.txt") and content["settings"]["limit"] == 2
    assert {entry["name"] for entry in content["scores"]} >= {"BLEU", "Structure-BLEU", "SSIM", "CPU-seconds"}
    assert (out / "worst.png").is_file() and "2 pictures" in capsys.readouterr().out
    lay(tmp_path / "mine", ENGLISH)
    sides = [str(tmp_path / "mine"), str(folder / "en")]
    assert command.main(["pictures", *sides, "--out", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "scores.json").read_text(encoding="utf-8"))
    assert again["scores"][0]["value"] == pytest.approx(100) and again["scores"][0]["ceiling"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pairs", "nowhere", "{set}/de", "{set}/none"], "none: no such folder"),
        (["pairs", "nowhere", "{set}/none"], "none: no such folder"),
        (["pairs", "nowhere", "{set}/de", "{set}/en"], "has 3 pictures, "),
        (["pictures", "{set}/de", "{set}/de", "--comet", "x"], "--comet: COMET reads the source as well; give its"),
        (["pictures", "{set}/de", "{set}/en"], "share no name"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path / "de", GERMAN)
    lay(tmp_path / "en", {"a": MAT})
    assert command.main([argument.replace("{set}", str(tmp_path)) for argument in arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.startswith("error: ") and printed.count("\n") == 1


def test_other_languages_than_the_weights_own_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--source` and `--target` reach the translator, and the answers that are kept know it."""

    class Asked:
        baseline, baseline_folder = "end-to-end", None
        loaded = SimpleNamespace(config=Config(), precision="fp32", folder=Path("x"))
        generation = GenerationConfig(source_language="de", target_language="en")

        def translate(self, pictures: Sequence[Image.Image], **options: Any) -> list[Any]:
            self.options = options
            return []

    monkeypatch.setattr(loading, "weights_digest", lambda folder: "digest")
    translator: Any = Asked()
    asked = loading.TranslatorModel(translator, "fake", languages=("fr", ""))
    asked.translate([draw(MAT)])
    wanted = translator.options["generation"]
    assert (wanted.source_language, wanted.target_language) == ("fr", "en")
    assert asked.identity["languages"] == "fr to "
    assert "languages" not in loading.TranslatorModel(translator, "fake").identity
