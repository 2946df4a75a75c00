"""Fonts are found by name and can draw every language of the grammar."""

import sys
from pathlib import Path

import numpy as np
import pytest

from data_synth.errors import UserError
from data_synth.fonts import covered, default_fonts, find_font, font_families
from data_synth.typeset import Face

LETTERS = {
    "de": "äöüßÄÖÜ„“",
    "en": "abcxyzABCXYZ0123456789.,;:!?'\"()-",
    "fr": "àâæçéèêëîïôœùûüÿÀÂÇÉÈÊËÎÏÔŒÙÛÜ«»’",
    "ro": "ăâîșțĂÂÎȘȚ",
    "cs": "áčďéěíňóřšťúůýžÁČĎÉĚÍŇÓŘŠŤÚŮÝŽ",
}


@pytest.mark.parametrize("font", default_fonts())
def test_every_diacritic_is_drawn_and_none_as_the_missing_glyph(font: str) -> None:
    face = Face(font, 20)
    missing = face.font.getmask("\U0010fffe")  # no font has this code point
    for letter in "".join(LETTERS.values()):
        assert ord(letter) in covered(font), letter
        ink = face.word(letter)
        assert ink.drawable and ink.mask.any(), letter
        drawn = face.font.getmask(letter)
        assert drawn.size != missing.size or bytes(drawn) != bytes(missing), letter


@pytest.mark.parametrize("font", default_fonts())
def test_letters_with_and_without_diacritic_differ(font: str) -> None:
    face = Face(font, 20)
    for plain, marked in zip("aouesctrzyAU", "äöüéșčțřžýÂŮ", strict=True):
        assert not np.array_equal(face.word(plain).mask, face.word(marked).mask), marked


def test_default_families_come_from_both_wheels_without_pymupdf() -> None:
    assert {"DejaVuSans", "DejaVuSerif", "FiraGO", "NotoSans", "Ubuntu"} <= set(font_families())
    assert all(path.is_file() for paths in font_families().values() for path in paths)
    assert "fitz" not in sys.modules and "pymupdf" not in sys.modules


def test_a_font_is_found_by_name_with_or_without_its_face_and_by_path() -> None:
    assert find_font("FiraGO") == find_font("FiraGO-Regular")
    path = find_font("DejaVuSans")
    assert find_font(str(path)) == path


def test_an_unknown_font_names_the_nearest() -> None:
    with pytest.raises(UserError, match="DejaVuSans"):
        find_font("DejavuSan")


def test_a_file_that_is_no_font_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"not a font")
    with pytest.raises(UserError, match=r"broken\.ttf"):
        Face(str(broken), 12)


def test_unpacking_works_where_the_home_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    find_font.cache_clear()
    try:
        assert find_font("FiraGO").is_relative_to(tmp_path)
    finally:
        find_font.cache_clear()
