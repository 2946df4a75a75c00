"""Pages of known style: drawn as they say, given back, and judged by what is known."""

from pathlib import Path

import numpy as np
import pytest

from translatotron_v.errors import UserError
from translatotron_v.evaluation.command import build_parser
from translatotron_v.evaluation.style import COLOUR, Given, colour_error, coverage, give_back, style_report
from translatotron_v.evaluation.style_pages import (
    KINDS,
    StyledFace,
    drawn_words,
    face_file_families,
    styled_faces,
    styled_pages,
)

SANS = StyledFace("DejaVuSans", "DejaVuSans")
BOLD = StyledFace("DejaVuSans-Bold", "DejaVuSans")
FACES = """
unseen:
  here: {DejaVu Sans: {kind: sans, faces: [FiraGO-Regular, FiraGO-Bold]}}
training:
  there: {No Such Family: {kind: sans, faces: [NoSuchFamily-Regular]}}
"""


def test_pages_are_the_same_for_equal_arguments_and_of_every_kind() -> None:
    pages, again, other = (list(styled_pages([SANS, BOLD], 1, seed)) for seed in (0, 0, 1))
    assert {page.kind for page in pages} == set(KINDS)
    assert all(np.array_equal(one.pixels, two.pixels) for one, two in zip(pages, again, strict=True))
    assert any(one.words != two.words for one, two in zip(pages, other, strict=True))
    for page in pages:
        left, top, right, bottom = page.bounds
        inside = coverage(page.pixels, page)[top:bottom, left:right]
        assert page.pixels.dtype == np.uint8 and inside.max() > 0.9
        assert len(drawn_words(page)) == len(page.words)
        assert all(word.shape[0] == 32 and word.max() > 0.5 for word in drawn_words(page))


def test_faces_come_with_the_regular_one_of_their_family(tmp_path: Path) -> None:
    path = tmp_path / "faces.yaml"
    path.write_text(FACES, encoding="utf-8")
    faces = styled_faces(face_file_families(path, "unseen"))
    assert StyledFace("FiraGO-Bold", "FiraGO-Regular") in faces
    assert all(face.regular == "FiraGO-Regular" for face in faces)
    with pytest.raises(UserError, match=r"docs/faces\.md"):
        styled_faces(face_file_families(path, "training"))
    with pytest.raises(UserError, match="missing"):
        face_file_families(tmp_path / "missing.yaml", "unseen")


def test_colours_are_compared_as_eyes_do() -> None:
    assert colour_error((0.2, 0.4, 0.6), (0.2, 0.4, 0.6)) == 0
    assert colour_error((0, 0, 0), (1, 1, 1)) == pytest.approx(100, abs=0.1)
    assert colour_error((0.5, 0.5, 0.5), (0.52, 0.5, 0.5)) < COLOUR < colour_error((0.5, 0.5, 0.5), (0.7, 0.5, 0.5))


def test_a_bold_page_is_given_back_and_reported() -> None:
    page = next(page for page in styled_pages([BOLD], 3, 0) if page.em >= 22)
    given = give_back(page, None)
    assert given.errors["left as it was"] == 0 and given.errors["stem before"] > 0.3 > 0.15 > given.errors["stem"]
    assert given.errors["slant"] < 3 and given.errors["colour"] < COLOUR
    assert given.pixels.shape == page.pixels.shape and (given.pixels != page.pixels).any()
    wrong = Given(page, page.pixels, {**given.errors, "stem": 0.5})
    report = style_report("title", {"seed": 0}, [given, wrong])
    assert report.value("faces and large text", "stem width, mean") == pytest.approx((given.errors["stem"] + 0.5) / 2)
    assert report.value("faces and large text: stem width", "accuracy") == 0.5
    assert [row["kind"] for row in report.rows] == ["face", "face"] and len(report.worst) == 2
    assert '"stem width, mean"' in report.as_json()


@pytest.mark.parametrize(("kind", "errors"), [("underline", ("line: place",)), ("tint", ("tint: colour",))])
def test_what_is_asked_of_a_kind_is_measured(kind: str, errors: tuple[str, ...]) -> None:
    page = next(page for page in styled_pages([SANS], 2, 0) if page.kind == kind and page.em >= 16)
    given = give_back(page, None)
    assert given.errors["missed"] == 0 and all(name in given.errors for name in errors)
    assert "stem" not in given.errors


def test_the_command_has_its_options(tmp_path: Path) -> None:
    options = build_parser().parse_args(["style", "--seed", "3", "--count", "1", "-o", str(tmp_path)])
    assert (options.seed, options.count, options.part, options.out) == (3, 1, "unseen", tmp_path)
    with pytest.raises(SystemExit):
        build_parser().parse_args(["style", "--count", "0"])
