"""`evaluate.py literals`: the sentences it makes, and what counts as right."""

import json
from pathlib import Path

import pytest

from translatotron_v.data.literals import find_literals
from translatotron_v.evaluation import command
from translatotron_v.evaluation.literals import count_right, make_pictures, make_sentences


def test_sentences_hold_one_to_four_literals_and_are_the_same_for_a_seed() -> None:
    made = make_sentences(200, 3)
    assert made == make_sentences(200, 3) and made != make_sentences(200, 4)
    assert {len(sentence.literals) for sentence in made} == {1, 2, 3, 4}
    for sentence in made:
        place = 0
        for literal in sentence.literals:
            place = sentence.text.index(literal, place) + len(literal)
        found = [literal.text for literal in find_literals(sentence.text)]
        assert found == list(sentence.literals), sentence


@pytest.mark.parametrize(
    ("literals", "answer", "right"),
    [
        (("5 €", "8.15"), "At 8.15 it costs 5€.", 2),
        (("5", "5"), "5 of 6", 1),
        (("5",), "15 of 50", 0),
        (("8.15",), "8:15", 0),
        (("www.beispiel.org",), "see www.beispiel.org.", 1),
        (("3",), "the 3rd", 1),
        (("2,5 km",), "12,5 km", 0),
        (("23.26", "8"), "From 23.26 8.", 2),
        (("976", "57.739"), "From 976, 57.739 came.", 2),
        (("14.45", "9:03"), "At 14.45,9:03 am", 2),
        (("5.739",), "From 5.739,8 to 45.739", 0),
        (("23.26",), "23.268 or 1.23.26", 0),
        (("+49 89 4999",), "+498 9 4999", 1),
        ((), "", 0),
    ],
)
def test_what_counts(literals: tuple[str, ...], answer: str, right: int) -> None:
    assert count_right(literals, answer) == right


def test_pictures_are_of_one_size() -> None:
    made = make_pictures(make_sentences(4), ["DejaVuSans"])
    assert {picture.shape for picture in made} == {(200, 640, 3)}
    assert all(picture.min() < 60 and picture.max() == 255 for picture in made)


def test_the_command_counts_and_writes(tmp_path: Path) -> None:
    assert command.main(["literals", "small", "--limit", "3", "--text-only", "-o", str(tmp_path)]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert [score["of"] for score in scores] == ["literals in the text"] and 0 <= scores[0]["value"] <= 100
