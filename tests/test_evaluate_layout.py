"""Scores of layout: counts worked by hand, and one page all the way."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from translatotron_v.evaluation.command import main
from translatotron_v.evaluation.layout import Bounds, Counts, compare, overlap

ROWS = [(0.0, 20.0 * n, 100.0, 20.0 * n + 10) for n in range(4)]


def test_overlap_of_boxes() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def counted(truth: Sequence[Bounds], found: Sequence[Bounds]) -> Counts:
    return compare(truth, found, (["left"] * len(truth), ["left"] * len(found)))


def test_what_is_found_is_counted() -> None:
    assert counted(ROWS, ROWS) == Counts(4, 4, 4, 6, 6, 3, 3, aligned=4)
    swapped = counted(ROWS, [ROWS[1], ROWS[0], *ROWS[2:]])
    assert (swapped.ordered, swapped.next, swapped.f1) == (5, 1, 1.0)
    merged = counted(ROWS, [(0, 0, 100, 30), *ROWS[2:]])
    assert (merged.matched, merged.merged, merged.split) == (2, 1, 0) and merged.f1 == pytest.approx(4 / 7)
    split = counted(ROWS, [(0, 0, 48, 10), (52, 0, 100, 10), *ROWS[1:]])
    assert (split.matched, split.merged, split.split) == (3, 0, 1)
    assert counted([], []).f1 == 1 and counted(ROWS, []).f1 == 0
    assert (counted(ROWS, ROWS) + counted(ROWS, [])).f1 == pytest.approx(8 / 12)
    aligned = compare(
        ROWS, ROWS, (["left", "right", "centre", "justified"], ["left", "left", "centre", "left"])
    ).aligned
    assert aligned == 3  # justified text stands at the left too


def test_a_page_all_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = tmp_path / "faces.yaml"
    kinds = "{DejaVu Sans: {kind: sans, faces: [DejaVuSans, DejaVuSans-Bold]}}"
    faces.write_text(f"unseen: {{bundled: {kinds}}}\ntraining: {{other: {kinds.replace('Sans', 'Serif')}}}\n")
    out = tmp_path / "out"
    command = ["layout", "--layouts", "receipt", "--limit", "1", "--seed", "4", "--faces", str(faces), "-o", str(out)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "receipt" in shown and "the bar of 0.95" in shown
    scores = json.loads((out / "scores.json").read_text())
    values = {(one["of"], one["name"]): one["value"] for one in scores["scores"]}
    assert values["receipt", "F1"] == values["all", "F1"] > 0.8 and values["all", "order"] > 0.9
    assert main(["layout", "--layouts", "poster", "--faces", str(faces)]) == 2
    assert "choose one of menu" in capsys.readouterr().err
