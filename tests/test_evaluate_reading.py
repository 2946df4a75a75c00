"""The table of reading: its strips are the same in every run, and its figures are those of what was read."""

import json
from pathlib import Path

import numpy as np
import pytest

from data_synth.cutouts import draw_cutout
from data_synth.style import PageLayout
from translatotron_v.data.pages import page_layout
from translatotron_v.errors import UserError
from translatotron_v.evaluation import command
from translatotron_v.evaluation.reader import (
    DrawnStrip,
    draw_strips,
    held_back_texts,
    load_reading,
    read_strips,
    reading_report,
)
from translatotron_v.inference import paragraphs
from translatotron_v.metrics import cer
from translatotron_v.shipped import find_weights, shipped_weights

TEXTS = {"captions": ["Ein Hund läuft über die Wiese."], "everyday": ["Möchtest du (heute) Tee, oder nicht?"]}
LAYOUT = PageLayout(96, 512, 1)


def strip(name: str, text: str, face: str, kind: str, state: str) -> DrawnStrip:
    return DrawnStrip(name, np.zeros((96, 512, 1), dtype=np.uint8), text, face, kind, state)


def test_strips_of_every_kind_face_and_state():
    strips, again = (draw_strips(TEXTS, ["DejaVuSans", "FiraGO-Regular"], LAYOUT, 1) for _ in range(2))
    assert len(strips) == 2 * 8 * 2 and len({own.name for own in strips}) == len(strips)
    assert all(np.array_equal(own.pixels, other.pixels) for own, other in zip(strips, again, strict=True))
    clean, degraded = strips[0], strips[1]
    assert (clean.state, degraded.state) == ("clean", "degraded") and clean.text == degraded.text


def test_a_face_that_lacks_the_characters_is_named():
    with pytest.raises(UserError, match="face 'SpaceMono-Regular' lacks the characters '漢'"):
        draw_strips({"captions": ["漢"]}, ["SpaceMono-Regular"], LAYOUT, 1)


def test_the_table_counts_by_face_and_by_kind():
    strips = [
        strip("a", "abcd", "One", "captions", "clean"),
        strip("b", "abcdefgh", "Two", "literals", "clean"),
        strip("c", "abcd", "One", "captions", "degraded"),
    ]
    report = reading_report("t", {}, strips, ["abcx", "ABcdefgh", "abcd"], ["abcd", "", "ab"])
    assert report.value("clean: all", "CER") == pytest.approx(3 / 12)
    assert report.value("clean: face One", "CER") == pytest.approx(1 / 4)
    assert report.value("clean: kind literals", "CER") == pytest.approx(2 / 8)  # case counts
    assert report.value("degraded: all", "CER") == 0
    beside = {line.what: line.ceiling.value for line in report.lines if line.ceiling}
    assert beside["clean: all"] == pytest.approx(8 / 12) and beside["degraded: kind captions"] == pytest.approx(2 / 4)
    shown = report.screen().splitlines()
    assert next(row for row in shown if row.startswith("face Two")).split() == ["face", "Two", "25.00", "100.00"]
    assert next(row for row in shown if row.startswith("all")).split() == ["all", "25.00", "66.67", "0.00", "50.00"]


def test_texts_come_from_a_corpus_or_are_missing(tmp_path: Path):
    (tmp_path / "val.de").write_text("Guten Tag.\n", encoding="utf-8")
    (tmp_path / "val.en").write_text("Good day.\n", encoding="utf-8")
    assert held_back_texts(".", tmp_path, tmp_path) == {"": ["Guten Tag."]}
    with pytest.raises(UserError):
        held_back_texts("nowhere", tmp_path, tmp_path)


def test_the_command_reads_with_shipped_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["reading", "tiny", "--data", "grammar", "--faces", "DejaVuSans", "--limit", "1", "--engine", "none"]
    assert command.main([*arguments, "-o", str(tmp_path / "out")]) == 0
    assert "face DejaVuSans" in capsys.readouterr().out
    scores = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert {"clean: all", "degraded: kind literals"} <= {score["of"] for score in scores["scores"]}
    assert (tmp_path / "out" / "scores.md").is_file()
    assert command.main([*arguments, "--faces", "NoSuchFace", "-o", str(tmp_path / "none")]) == 2


@pytest.mark.skipif("small" not in shipped_weights(), reason="no weights of whole pages in this checkout")
def test_narrow_letters_are_read_though_no_face_of_the_training_is_so_narrow(monkeypatch: pytest.MonkeyPatch):
    model, vocabulary, config = load_reading(find_weights("small"), "cpu")
    layout = page_layout(config.model.canvas)
    texts = ["Ein kleiner Junge spielt mit seinem Hund im Garten", "Zwei Frauen sitzen auf einer Bank vor dem Haus",
             "Die Straße ist wegen Bauarbeiten bis Ende August gesperrt"]  # fmt: skip
    strips = []
    for seed, text in enumerate(texts * 4):
        rng = np.random.default_rng(seed)
        pixels, drawn = draw_cutout(text, "Ubuntu-Regular", layout, rng, sizes=(14, 40), width=0.55)
        strips.append(DrawnStrip(str(seed), pixels, drawn, "Ubuntu-Regular", "captions", "clean"))
    said = [one.text for one in strips]
    read = read_strips(model, vocabulary, strips, 8, "cpu")
    monkeypatch.setattr(paragraphs, "widening", lambda seen: 1.0)
    once = read_strips(model, vocabulary, strips, 8, "cpu")
    errors = [cer([" ".join(answers)], [" ".join(said)], lower_case=False).value for answers in (read, once)]
    assert errors[0] < 0.03 < 0.06 < errors[1], errors
