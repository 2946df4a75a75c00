"""Strips as they are cut out of pages, the faces they are drawn in, and the texts that stand on them."""

from pathlib import Path

import numpy as np
import pytest

from data_synth.cutouts import draw_cutout
from data_synth.errors import UserError
from data_synth.faces import Family, draw_face, has_all, installed, read_faces, require_all
from data_synth.fonts import find_font
from data_synth.kinds import TextsByKind
from data_synth.literals import draw_literal
from data_synth.snippets import KINDS, draw_snippet
from data_synth.style import PageLayout

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = PageLayout(96, 512, 1)
SENTENCE = "Der Zug fährt um 12.30 Uhr von Gleis 7 ab."


def ink_rows(pixels: np.ndarray) -> list[float]:
    """How much ink each of the three lines holds."""
    ink = 255.0 - pixels[:, :, 0]
    ink[ink < 80] = 0  # noise
    return [float(ink[top : top + 32].sum()) for top in (0, 32, 64)]


def test_a_cutout_is_a_function_of_its_generator():
    first, again, other = (
        draw_cutout(SENTENCE, "DejaVuSerif", LAYOUT, np.random.default_rng(seed), 0.8) for seed in (3, 3, 4)
    )
    assert np.array_equal(first[0], again[0]) and not np.array_equal(first[0], other[0])
    assert first[0].shape == (96, 512, 1) and first[0].dtype == np.uint8


@pytest.mark.parametrize("sizes", [(7, 7), (20, 20), (200, 200)])
def test_text_is_found_on_its_line_whatever_its_size_was(sizes: tuple[int, int]):
    for seed in range(4):
        pixels, text = draw_cutout("Vögel", "DejaVuSans", LAYOUT, np.random.default_rng(seed), sizes=sizes)
        rows = ink_rows(pixels)
        assert text == "Vögel" and rows[0] > 10_000 and rows[1] == rows[2] == 0
        ink = 255.0 - pixels[:32, :, 0]
        weights = np.where(ink > 80, ink, 0).sum(axis=1)
        assert 12 < (weights * np.arange(32)).sum() / weights.sum() < 21  # between x-height and baseline


def test_what_does_not_fit_is_left_out_of_picture_and_text():
    pixels, text = draw_cutout(" ".join(["Straßenbahn"] * 40), "DejaVuSans", LAYOUT, np.random.default_rng(0))
    words = text.split()
    assert set(words) == {"Straßenbahn"} and 9 <= len(words) < 15
    assert min(ink_rows(pixels)) > 10_000
    assert draw_cutout("m" * 200, "DejaVuSans", LAYOUT, np.random.default_rng(0))[1] == ""


def test_a_line_break_begins_a_line():
    pixels, text = draw_cutout("eins\nzwei\ndrei\nvier", "DejaVuSans", LAYOUT, np.random.default_rng(0))
    assert text == "eins zwei drei" and min(ink_rows(pixels)) > 5_000


def test_letters_that_are_spaced_take_more_room():
    plain, spaced = (
        draw_cutout("SPARGEL", "DejaVuSans", LAYOUT, np.random.default_rng(1), tracking=tracking)[0]
        for tracking in (0.0, 0.4)
    )
    width = [np.flatnonzero((pixels[:32, :, 0] < 128).any(axis=0)).max() for pixels in (plain, spaced)]
    assert width[1] > width[0] + 6 * 0.4 * 20 * 0.7


@pytest.mark.parametrize("size", [10, 20, 60])
def test_narrower_letters_take_less_room_and_as_many_rows(size: int):
    plain, narrow = (
        draw_cutout("SPARGEL", "DejaVuSans", LAYOUT, np.random.default_rng(1), sizes=(size, size), width=width)[0]
        for width in (1.0, 0.7)
    )
    width = [np.flatnonzero((pixels[:32, :, 0] < 128).any(axis=0)) for pixels in (plain, narrow)]
    assert width[0][0] == pytest.approx(width[1][0], abs=1)  # the margin stays
    assert np.ptp(width[1]) == pytest.approx(0.7 * np.ptp(width[0]), abs=3)
    rows = [np.flatnonzero((pixels[:32, :, 0] < 128).any(axis=1)) for pixels in (plain, narrow)]
    assert rows[0] == pytest.approx(rows[1], abs=1)
    _, words = draw_cutout(" ".join(["Straßenbahn"] * 40), "DejaVuSans", LAYOUT, np.random.default_rng(0), width=0.7)
    assert len(words.split()) >= 15  # fewer than that fit at its own width


def test_wear_blurs_and_soils():
    clean, degraded = (
        np.stack(
            [draw_cutout("Ende", "DejaVuSans", LAYOUT, np.random.default_rng(seed), wear)[0] for seed in range(12)]
        )
        for wear in (0.0, 1.0)
    )
    assert (degraded[:, 32:] < 200).mean() > 10 * (clean[:, 32:] < 200).mean()


def test_fonts_of_the_system_are_found_by_family_and_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from data_synth import fonts

    monkeypatch.setattr(fonts, "_system_folders", lambda: [tmp_path])
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "OwnFace-BoldItalic.ttf").write_bytes(find_font("DejaVuSans").read_bytes())
    for cached in (fonts._system, fonts.find_font):
        cached.cache_clear()
    try:
        for name in ("OwnFace-BoldItalic", "Own Face Bold Italic", "ownface bolditalic"):
            assert find_font(name).name == "OwnFace-BoldItalic.ttf"
        with pytest.raises(UserError, match="no font 'Own Face Light'"):
            find_font("Own Face Light")
    finally:
        for cached in (fonts._system, fonts.find_font):
            cached.cache_clear()


def test_a_face_without_the_characters_asked_for_is_one_line():
    assert has_all("DejaVuSans", "Škoda 5 €") and not has_all("DejaVuSans", "漢字")
    with pytest.raises(UserError, match=r"face 'DejaVuSans' lacks the characters '字漢'"):
        require_all("DejaVuSans", "漢字 a")
    require_all("DejaVuSans", SENTENCE)


def test_families_are_drawn_alike_however_many_faces_they_have():
    families = [
        Family("many", "sans", ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique")),
        Family("one", "serif", ("DejaVuSerif",)),
    ]
    rng = np.random.default_rng(0)
    drawn = [draw_face(families, "ab", rng) for _ in range(400)]
    names = [found[0].name for found in drawn if found]
    assert len(names) == 400 and 160 < names.count("one") < 240
    assert draw_face(families, "漢", rng) is None


def test_the_faces_of_training_and_those_kept_apart():
    training, unseen = (read_faces(ROOT / "configs" / "faces.yaml", part) for part in ("training", "unseen"))
    faces = [face for family in training for face in family.faces]
    assert len(faces) == len(set(faces)) >= 120 and len(training) >= 100
    apart = [face for family in unseen for face in family.faces]
    assert len(apart) == 12
    for family in ("LiberationSans", "LiberationSerif", "LiberationMono"):
        assert {f"{family}-{style}" for style in ("Regular", "Bold", "Italic")} <= set(apart)
    assert not {family.name for family in training} & {family.name for family in unseen}
    assert not any("liberation" in face.lower() or "arimo" in face.lower() for face in faces)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "training: {p: {F: {kind: sans, faces: [A]}}}\nunseen: {p: {F: {kind: sans, faces: [A]}}}",
            "A is in training",
        ),
        ("training: {p: {F: {kind: fancy, faces: [A]}}}", "kind must be one of"),
        ("training: {p: {F: [A]}}", "expected {kind"),
        ("unseen: {p: {F: {kind: sans, faces: [A]}}}", "no part 'training'"),
        ("a: [", "not a YAML file"),
    ],
)
def test_a_file_of_faces_that_cannot_be_used(tmp_path: Path, content: str, message: str):
    (tmp_path / "faces.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_faces(tmp_path / "faces.yaml", "training")


def test_packages_that_would_bring_what_is_missing_are_named():
    families = [
        Family("DejaVu Sans", "sans", ("DejaVuSans",), "matplotlib"),
        Family("No Such", "sans", ("NoSuchFace-Regular", "NoSuchFace-Bold"), "fonts-no-such"),
    ]
    found, missing = installed(families)
    assert [family.name for family in found] == ["DejaVu Sans"] and missing == ["fonts-no-such"]


def test_texts_of_every_kind():
    rng = np.random.default_rng(0)
    drawn = {kind: [draw_snippet(lambda: SENTENCE, rng, "€§★", kind) for _ in range(40)] for kind in KINDS}
    assert all(snippet.text and "  " not in snippet.text for own in drawn.values() for snippet in own)
    assert not any(snippet.text.endswith(".") for snippet in drawn["fragment"])
    assert all(snippet.text == snippet.text.upper() for snippet in drawn["capitals"])
    assert all(snippet.tracking >= 0.1 for snippet in drawn["spaced"])
    assert any("★" in snippet.text for snippet in drawn["symbols"])
    assert sum(any(letter.isdigit() for letter in snippet.text) for snippet in drawn["literals"]) > 35
    assert any(". Der" in snippet.text for snippet in drawn["sentences"])  # full stops inside


def test_a_text_without_a_full_stop_is_as_common_as_one_with():
    rng = np.random.default_rng(1)
    texts = [draw_snippet(lambda: SENTENCE, rng, "€").text for _ in range(600)]
    ending = sum(text.endswith(".") for text in texts) / len(texts)
    assert 0.25 < ending < 0.55


def test_literals_are_digits_mostly_and_every_form_fills():
    rng = np.random.default_rng(2)
    literals = [draw_literal(rng) for _ in range(2000)]
    assert not any("{" in literal or "}" in literal for literal in literals)
    assert sum(any(letter.isdigit() for letter in literal) for literal in literals) > 1600
    assert len(set(literals)) > 1500


def test_kinds_of_the_test():
    makers = TextsByKind({"captions": ["Ein Hund läuft."], "everyday": ["Möchtest du Tee, oder nicht?"]})
    rng = np.random.default_rng(0)
    assert makers.draw("captions", rng) == "Ein Hund läuft."
    assert set(makers.draw("umlaut words", rng).split()) <= {"läuft", "Möchtest"}
    assert makers.draw("capitals", rng).isupper()
    assert " " not in makers.draw("single words", rng)
    assert len(makers.kinds) == 8
