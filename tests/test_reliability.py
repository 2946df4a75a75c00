"""Calibration: errors of given probabilities by hand, and what a fit finds."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from translatotron_v.errors import UserError
from translatotron_v.evaluation.reliability import Bin, draw, expected_calibration_error, fit, reliability
from translatotron_v.inference.certainty import CALIBRATION, LEAST, Calibration, features


def test_expected_calibration_error_by_hand() -> None:
    probabilities = [0.05, 0.05, 0.52, 0.58, 0.5, 1.0]
    right = [False, True, True, True, False, True]
    found = reliability(probabilities, right)
    assert [one.count for one in found] == [2, 0, 0, 0, 0, 3, 0, 0, 0, 1]
    assert found[0] == Bin(2, pytest.approx(0.05), 0.5) and found[9] == Bin(1, 1.0, 1.0)
    expected = 2 / 6 * 0.45 + 3 / 6 * abs(2 / 3 - 1.6 / 3) + 1 / 6 * 0
    assert expected_calibration_error(probabilities, right) == pytest.approx(expected)
    assert expected_calibration_error([0.5] * 4, [True, False, True, False]) == 0
    assert expected_calibration_error([1.0, 0.0], [False, True]) == 1
    assert expected_calibration_error([0.2, 0.8], [False, True], bins=1) == 0
    for wrong in (([], []), ([0.5], [True, False])):
        with pytest.raises(ValueError, match="give as many"):
            expected_calibration_error(*wrong)


def test_a_fit_finds_the_map_that_answers_were_drawn_from() -> None:
    rng = np.random.default_rng(0)
    true = Calibration({"reading": 2.0, "text": 3.0, "length": -0.5}, 2.0)
    drawn = [(-rng.exponential(0.3), -rng.exponential(0.8), int(rng.integers(1, 20))) for _ in range(8000)]
    right = [bool(rng.random() < true.probability(*one)) for one in drawn]
    found = fit([features(*one) for one in drawn[:4000]], right[:4000])
    assert found.weights["text"] == pytest.approx(3.0, rel=0.15)
    assert found.weights["reading"] == pytest.approx(2.0, rel=0.25)
    assert found.bias == pytest.approx(2.0, abs=0.4)
    held_out = [found.probability(*one) for one in drawn[4000:]]
    assert expected_calibration_error(held_out, right[4000:]) < 0.03
    raw = [math.exp(text) for _, text, _ in drawn[4000:]]
    assert expected_calibration_error(raw, right[4000:]) > 0.05


def test_a_score_that_misleads_is_left_out() -> None:
    rng = np.random.default_rng(1)
    values = [(-rng.random(), -rng.random(), 1.0) for _ in range(400)]
    found = fit(values, [text - reading + 0.3 * rng.normal() > 0 for reading, text, _ in values])
    assert found.weights["reading"] == 0 and found.weights["text"] > 0
    assert found.weights["length"] == 0  # always the same: tells nothing
    assert found.probability(-1, -0.1, 1) > found.probability(-1, -0.9, 1)


def test_separable_answers_stay_finite_and_one_kind_is_refused() -> None:
    values = [(-0.1, -0.1, 1.0)] * 5 + [(-2.0, -2.0, 1.0)] * 5
    found = fit(values, [True] * 5 + [False] * 5)
    assert all(map(math.isfinite, (*found.weights.values(), found.bias)))
    assert found.probability(-0.1, -0.1, 1) > 0.8 > 0.2 > found.probability(-2, -2, 1)
    with pytest.raises(UserError, match="none of 3 answers is right"):
        fit(values[:3], [False] * 3)
    with pytest.raises(UserError, match="every one of 3 answers is right"):
        fit(values[:3], [True] * 3)


def test_files(tmp_path: Path) -> None:
    assert Calibration.from_folder(tmp_path) is None
    made = Calibration({"reading": 1.0, "text": 2.0, "length": 0.0}, 0.5, {"answers": 12})
    (tmp_path / CALIBRATION).write_text(made.to_json(), encoding="utf-8")
    assert Calibration.from_folder(tmp_path) == made
    assert made.probability(0, 0, 3) == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert made.probability(-math.inf, -1, 3) == made.probability(LEAST, -1, 3) < 0.01
    broken = [
        "no json",
        "[]",
        json.dumps({"version": 2, "weights": dict(made.weights), "bias": 0}),
        json.dumps({"version": 1, "weights": {"text": 1}, "bias": 0}),
        json.dumps({"version": 1, "weights": dict(made.weights), "bias": math.nan}),
    ]
    for content in broken:
        (tmp_path / CALIBRATION).write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=r"calibration\.json: no calibration that this version knows"):
            Calibration.from_folder(tmp_path)


def test_the_diagram_is_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    draw(reliability([0.1, 0.95], [False, True]), tmp_path / "a" / "r.png", "held-out half")
    with Image.open(tmp_path / "a" / "r.png") as picture:
        assert picture.width > 400 and len(set(picture.convert("L").tobytes())) > 10
    with pytest.raises(UserError, match="cannot be written"):
        draw(reliability([0.1], [False]), tmp_path / "a" / "r.png" / "b.png", "")
