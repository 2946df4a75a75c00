"""`python evaluate.py removal`: its table, its files, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from translatotron_v.evaluation import removal
from translatotron_v.evaluation.command import main
from translatotron_v.evaluation.rendering import draw_ground_page

TEXTS = (("Zwei Kinder", "lachen."),)


def test_a_page_is_the_same_in_every_format_but_for_jpeg():
    png, jpeg = (draw_ground_page((3, 1), "gradient", TEXTS, (20, 24), quality=quality) for quality in (0, 40))
    again = draw_ground_page((3, 1), "gradient", TEXTS, (20, 24))
    assert np.array_equal(png.pixels, again.pixels) and np.array_equal(png.clean, jpeg.clean)
    assert np.array_equal(png.text_alpha, jpeg.text_alpha) and not np.array_equal(png.pixels, jpeg.pixels)
    assert np.array_equal(png.ground, png.clean)
    assert np.array_equal(png.pixels[png.text_alpha == 0], png.ground[png.text_alpha == 0])


def test_what_is_measured():
    page = draw_ground_page((0, 0), "frame", TEXTS, (20, 24))
    perfect = removal.measure(page, page.ground)
    assert perfect.error == perfect.harm == perfect.beyond == 0 and perfect.texture is None
    assert removal.measure(page, page.pixels).error > 20  # nothing was taken off
    spoilt = page.ground.copy()
    row, column = np.argwhere(page.fixed)[0]
    spoilt[row, column] ^= 8
    harmed = removal.measure(page, spoilt)
    assert harmed.harm == 8 and harmed.error == 0 and harmed.beyond > 0


def test_the_command_writes_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["removal", "small", "--grounds", "plain,frame", "--count", "1", "-o", str(tmp_path)]
    assert main(arguments) == 0
    screen = capsys.readouterr().out
    assert "JPEG 30" in screen and "pages harmed" in screen
    scores = json.loads((tmp_path / "scores.json").read_text())["scores"]
    errors = {one["of"]: one["value"] for one in scores if one["name"] == "ground MAE"}
    assert len(errors) == 2 * len(removal.QUALITIES)
    assert errors["plain, PNG"] < 1 and errors["plain, JPEG 30"] < 3.5
    assert {one["value"] for one in scores if one["name"] == "pages harmed"} == {0.0}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--grounds", "marble"], "ground 'marble': choose from plain"),
        (["--photographs", "moon.png", "--grounds", "photo"], "photograph 'moon.png'"),
        (["--painter", "none.onnx"], "none.onnx: no such file"),
    ],
)
def test_what_does_not_exist_is_named(
    options: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["removal", "small", *options, "-o", str(tmp_path)]) == 2
    assert named in capsys.readouterr().err
