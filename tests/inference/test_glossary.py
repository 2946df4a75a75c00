"""Glossaries: files, where terms are found, and whether an answer has them."""

from pathlib import Path

import pytest

from translatotron_v.data.marks import TERM_CLOSE, TERM_IS, TERM_OPEN
from translatotron_v.errors import UserError
from translatotron_v.inference.glossary import Glossary, Term, asked_terms, occurrences, read_entries

GLOSSARY = Glossary(
    [
        ("Gleis", "track"),
        ("Gleis Nord", "north platform"),
        ("Ostermann", ""),
        ("z. B.", "e.g."),
        ("Café Blau", ""),
        ("Straße", "Street"),
    ]
)


def seen(text: str) -> str:
    """The text with marks that can be read, ``am <Gleis|track>``, and without the spaces that they bring."""
    text = text.replace(f"{TERM_OPEN} ", TERM_OPEN).replace(f"{TERM_IS} ", TERM_IS)
    return text.replace(TERM_OPEN, "<").replace(TERM_IS, "|").replace(TERM_CLOSE, ">")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Zug auf Gleis 3", "Zug auf <Gleis|track> 3"),
        ("Zug auf gleis nord!", "Zug auf <gleis nord|north platform>!"),  # the longest, whatever its case
        ("GLEIS, Nord", "<GLEIS|track>, Nord"),
        ("Die Gleise am Bahngleis", "Die Gleise am Bahngleis"),  # whole words, and no endings guessed
        ("Gleis-Anlage", "Gleis-Anlage"),
        ("Gleis/Straße", "<Gleis|track>/<Straße|Street>"),
        ("STRASSE", "<STRASSE|Street>"),  # case-folded
        ("Bei Ostermann", "Bei <Ostermann|Ostermann>"),  # stays as it stands
        ("BEI OSTERMANN", "BEI <OSTERMANN|OSTERMANN>"),
        ("Obst, z.B. Äpfel", "Obst, <z.B.|e.g.> Äpfel"),  # signs count, spaces around them do not
        ("Café  Blau", "<Café  Blau|Café  Blau>"),
        ("www.gleis.de, gleis.de/x und info@gleis.de", "www.gleis.de, gleis.de/x und info@gleis.de"),
        ("", ""),
        ("Gleis\nNord, Café\nBlau", "<Gleis|track>\nNord, Café\nBlau"),  # none across lines
        ("Gleis Gleis Nord Gleis", "<Gleis|track> <Gleis Nord|north platform> <Gleis|track>"),
    ],
)
def test_annotate(text: str, expected: str) -> None:
    assert seen(GLOSSARY.annotate(text)) == expected


def test_what_is_annotated_is_left_alone() -> None:
    annotated = GLOSSARY.annotate("Gleis Nord, Gleis 3")
    assert GLOSSARY.annotate(annotated) == annotated


def test_insertions_give_the_annotated_text() -> None:
    text = "Zug nach Ostermann auf Gleis Nord"
    inserted = dict[int, str]()
    for place, more in GLOSSARY.insertions(text):
        inserted[place] = inserted.get(place, "") + more
    rebuilt = "".join(inserted.get(place, "") + letter for place, letter in enumerate(text)) + inserted.get(
        len(text), ""
    )
    assert rebuilt == GLOSSARY.annotate(text)
    assert GLOSSARY.insertions("nichts") == []


def test_whether_terms_were_used() -> None:
    annotated = GLOSSARY.annotate("Gleis oder gleis, bei Ostermann")
    assert asked_terms(annotated, "Track or rail, at Ostermanns") == [
        Term("Gleis", "track", True),
        Term("gleis", "track", False),  # wanted twice, there once
        Term("Ostermann", "Ostermann", False),  # a whole word
    ]
    assert asked_terms("nothing asked", "nothing") == []
    assert occurrences("New  York", "new york, New\nYork, New Yorker") == 2
    assert occurrences("C++", "C++ and C++11, (c++)") == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tabs.tsv", "Source\tTarget\nGleis\ttrack, rail\n\nOstermann\t\nGleis\ttrack, rail\n"),
        ("commas.csv", '\ufeffsource,target\r\nGleis,"track, rail"\r\nOstermann,\r\n'),
        ("semicolons.csv", "Gleis;track, rail\nOstermann;\n"),
    ],
)
def test_files(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    glossary = Glossary.from_file(path)
    assert len(glossary) == 2
    assert seen(glossary.annotate("Gleis Ostermann")) == "<Gleis|track, rail> <Ostermann|Ostermann>"


def test_lines_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "g.tsv"
    path.write_text("source\ttarget\n\nGleis \t a  track \n", encoding="utf-8")
    assert read_entries(path) == [(3, "Gleis", "a track")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"Gleis\ttrack\nBahnhof\n", r"g\.tsv:2: one column, where source and target are wanted"),
        (b"Gleis\n", r"g\.tsv:1: one column"),
        (b"Gleis\ttrack\trail\n", r"g\.tsv:1: 3 columns"),
        (b"\ttrack\n", r"g\.tsv:1: no source before the target 'track'"),
        (b"Gleis\ttrack\nGLEIS\trail\n", r"g\.tsv:2: 'GLEIS' stands in line 1 already, as 'track' instead of 'rail'"),
        (b"Gleis\ttrack\nGleis\t\n", r"g\.tsv:2: 'Gleis' stands in line 1 already, as 'track' instead of ''"),
        ("Straße\tstreet".encode("latin-1"), r"g\.tsv: not UTF-8"),
        (b"", r"g\.tsv: no terms"),
        (b"source\ttarget\n", r"g\.tsv: no terms"),
        (b'Gleis,"track\nBahnhof\n', r"g\.tsv:2: one column"),  # a quote that is not closed ends with its line
    ],
)
def test_bad_files_get_one_clear_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "g.tsv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says) as error:
        Glossary.from_file(path)
    assert "\n" not in str(error.value)


def test_bad_entries(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(No such file"):
        Glossary.from_file(tmp_path / "none.tsv")
    with pytest.raises(UserError, match="no terms"):
        Glossary([])
    with pytest.raises(UserError, match="'gleis' stands twice, as 'track' and as 'rail'"):
        Glossary([("Gleis", "track"), ("gleis", "rail")])
    with pytest.raises(UserError, match="without a source"):
        Glossary([(f" {TERM_OPEN}", "track")])
