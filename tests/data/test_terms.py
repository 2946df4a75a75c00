"""Annotating terms in training text."""

import random

import numpy as np
import pytest

from translatotron_v.data.marks import LITERALS, LOWER, MARKS, TERM_CLOSE, TERM_IS, TERM_OPEN, strip_marks
from translatotron_v.data.terms import TermDictionary, annotate, annotated
from translatotron_v.data.vocabulary import Vocabulary

ENTRIES = [
    ("Bahnhof", "station"),
    ("Bahnhof", "railway station"),
    ("geschlossen", "closed"),
    ("frische Luft", "fresh air"),
    ("Luft", "air"),
    ("Straße", "street"),
    ("und", "and"),
    ("Gleis 3", "platform 3"),
]


def seen(text: str) -> str:
    """The text with marks that can be read: ``Am < Bahnhof| station>``."""
    return text.replace(TERM_OPEN, "<").replace(TERM_IS, "|").replace(TERM_CLOSE, ">")


def terms(source: str, target: str, seeds: int = 40) -> set[str]:
    """Every annotation that some seed brings out."""
    dictionary = TermDictionary(ENTRIES)
    found: set[str] = set()
    for seed in range(seeds):
        text = seen(annotate(source, target, dictionary, random.Random(seed)))
        found |= {piece.split(">")[0].strip().replace("| ", "|") for piece in text.split("<")[1:]}
    return found


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("Der Bahnhof ist zu.", "The Station is shut.", {"Bahnhof|Station"}),  # in the form of the target
        ("Der Bahnhof ist zu.", "The railway station is shut.", {"Bahnhof|station"}),  # the first entry that stands
        ("Der Bahnhof ist zu.", "The stations are shut.", set()),  # bounded by words
        ("Die STRASSE ist zu.", "The street is shut.", {"STRASSE|street"}),  # case-folded
        ("Frische Luft!", "Fresh air!", {"Frische Luft|Fresh air"}),  # the longest
        ("Frische, Luft!", "Fresh, air!", {"Luft|air"}),  # a run has nothing but a space between its words
        ("Luft und Luft", "air and more", {"Luft|air"}),  # one wanted word is asked for once
        ("Herr Ostermann wartet", "Mr Ostermann waits", {"Ostermann|Ostermann"}),  # a name stays
        ("Gleis 3 am Ring 1234", "platform 3 on ring 1234", set()),  # numbers are not terms
        ("in der Bar", "in the bar", set()),  # nor short words
        ("www.Luft.de, @luft, a/Luft, Luft_1", "air, www.Luft.de, @luft", set()),  # nor parts of addresses and codes
    ],
)
def test_what_is_annotated(source: str, target: str, expected: set[str]) -> None:
    assert terms(source, target) == expected


def test_one_to_three_terms_without_overlap() -> None:
    source = "Bahnhof geschlossen, frische Luft, Straße, Ostermann"
    target = "Station closed, fresh air, street, Ostermann"
    counts = set()
    for seed in range(60):
        text = annotate(source, target, TermDictionary(ENTRIES), random.Random(seed))
        counts.add(text.count(TERM_OPEN))
        depth = 0
        for character in text:
            depth += (character == TERM_OPEN) - (character == TERM_CLOSE)
            assert depth in (0, 1)
        assert text.count(TERM_OPEN) == text.count(TERM_IS) == text.count(TERM_CLOSE)
        plain = "".join(part.split(TERM_IS)[0] for part in text.replace(TERM_CLOSE, TERM_OPEN).split(TERM_OPEN))
        assert plain.replace("  ", " ").strip() == source
    assert counts == {1, 2, 3}


def test_marks_that_stand_already_are_left_alone() -> None:
    dictionary = TermDictionary(ENTRIES)
    done = f"Der {TERM_OPEN}Bahnhof{TERM_IS}halt{TERM_CLOSE} ist zu"
    assert annotate(done, "The station is shut", dictionary, random.Random(0)) == done
    source = f"{LOWER}frische {LITERALS[0]} Luft"
    result = annotate(source, f"fresh {LITERALS[0]} air", dictionary, random.Random(0))
    assert seen(result) == f"{LOWER}frische {LITERALS[0]} < Luft| air>"
    assert not set(strip_marks(result)) & set(MARKS)


def test_where_marks_stand() -> None:
    text = "Luft am Bahnhof (Straße)"
    terms = [(0, 4, "air"), (8, 15, "railway station"), (17, 23, "Street")]
    assert seen(annotated(text, terms)) == "< Luft| air> am < Bahnhof| railway station> (< Straße| Street>)"
    assert annotated(text, []) == text


def test_a_wanted_word_has_the_pieces_that_it_has_in_the_target() -> None:
    texts = ["Bahnhof Luft", "the air at the station", "am Bahnhof ist Luft"]
    vocabulary = Vocabulary.build(texts * 4, 120, marks=True)
    source, target = (
        vocabulary.encode(text) for text in (annotated("am Bahnhof", [(3, 10, "station")]), "at the station")
    )
    opening, is_, closing = (source.index(vocabulary.specials[mark]) for mark in (TERM_OPEN, TERM_IS, TERM_CLOSE))
    assert source[is_ + 1 : closing] == target[-(closing - is_ - 1) :]
    assert source[opening + 1 : is_] == vocabulary.encode("am Bahnhof")[-(is_ - opening - 1) :]


def test_nothing_to_annotate_and_the_same_for_the_same_seed() -> None:
    dictionary = TermDictionary(ENTRIES)
    assert annotate("Guten Tag", "Hello there", dictionary, random.Random(0)) == "Guten Tag"
    assert annotate("", "", dictionary, random.Random(0)) == ""
    source, target = "Bahnhof, Straße, Luft", "station, street, air"
    first, second = (annotate(source, target, dictionary, np.random.default_rng(5)) for _ in range(2))
    assert first == second != source


def test_the_dictionary() -> None:
    dictionary = TermDictionary([*ENTRIES, ("Luft ", "AIR"), ("a b c d", "long"), ("Tür (auf)", "door"), ("", "")])
    assert dictionary.translations("BAHNHOF") == ("station", "railway station")
    assert dictionary.translations("Luft") == ("air",)  # once, whatever its case
    assert dictionary.translations("und") == dictionary.translations("Gleis 3") == dictionary.translations("") == ()
    assert len(dictionary) == 5
