"""The table of reading: its strips are the same in every run, and its figures are those of what was read."""

import json
from pathlib import Path

import numpy as np
import pytest

from data_synth.style import PageLayout
from translatotron_v.errors import UserError
from translatotron_v.evaluation import command
from translatotron_v.evaluation.reader import DrawnStrip, draw_strips, held_back_texts, reading_report

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
