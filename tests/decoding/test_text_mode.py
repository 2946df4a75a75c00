"""Texts through text mode: what the model is given, and what comes of its answers."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.small import TEXTS, small
from translatotron_v.data.marks import LITERALS, TERM_CLOSE, TERM_IS, TERM_OPEN
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.text import translate_pieces
from translatotron_v.decoding.text_mode import Answer, Prepared, prepare, translate_texts
from translatotron_v.inference.answers import text_answers
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.models.translator import TranslatotronV


def shown(text: str) -> str:
    return re.sub("[\ue000-\ue00f]", lambda found: f"<{LITERALS.index(found[0])}>", text)


class Echo:
    """A model that answers with its source in brackets, and remembers it."""

    def __init__(self, answer: str = "[{}]") -> None:
        self.answer, self.seen = answer, [""][:0]

    def __call__(self, sentences: Sequence[Prepared]) -> list[Answer]:
        self.seen += [shown(sentence.text) for sentence in sentences]
        return [Answer(self.answer.format(sentence.text), -0.5, 3) for sentence in sentences]


@pytest.mark.parametrize(
    ("text", "seen", "answer"),
    [
        ("Zug 5 um 8:15 Uhr.", ["Zug <0> um <1> Uhr."], "[Zug 5 um 8:15 Uhr.]"),
        ("NUR 5 KM!", ["nur <0>!"], "[NUR 5 KM!]"),
        ("• Hut. Schal.\n• 3 Mützen", ["Hut.", "Schal.", "<0> Mützen"], "• [Hut.] [Schal.]\n• [3 Mützen]"),
        ("12.30 - 14.00", [], "12.30 - 14.00"),
        ("Preise • Kontakt", ["Preise", "Kontakt"], "[Preise] • [Kontakt]"),
        ("Achtung! 112!", ["Achtung!"], "[Achtung!] 112!"),
        ("", [], ""),
        ("Bitte \U0001f600!", ["Bitte <0>!"], "[Bitte \U0001f600!]"),
        (f"Gib {LITERALS[3]}acht", ["Gib acht"], "[Gib acht]"),
        (
            f"{TERM_OPEN}Gleis 3{TERM_IS}platform 3{TERM_CLOSE}: 5 Minuten",
            [f"{TERM_OPEN}Gleis 3{TERM_IS}platform 3{TERM_CLOSE}: <0> Minuten"],
            f"[{TERM_OPEN}Gleis 3{TERM_IS}platform 3{TERM_CLOSE}: 5 Minuten]",
        ),
    ],
)
def test_what_the_model_sees_and_what_comes_back(text: str, seen: list[str], answer: str) -> None:
    echo = Echo()
    (made,) = translate_texts([text], echo, unwritable=lambda text: re.findall("[\U0001f600]", text))
    assert echo.seen == seen
    assert made.text == answer


def test_all_sentences_go_together_and_scores_are_means_over_pieces() -> None:
    calls = []

    def translate(sentences: Sequence[Prepared]) -> list[Answer]:
        calls.append(len(sentences))
        return [Answer("a", -1.0, 1), Answer("b", -2.0, 3), Answer("c", -4.0, 1)]

    made = translate_texts(["Eins. Zwei.", "15", "Drei"], translate)
    assert calls == [3]
    assert [answer.text for answer in made] == ["A B", "15", "C"]
    assert made[0].score == pytest.approx((-1.0 * 2 - 2.0 * 4) / 6)
    assert made[0].length == 4 and made[1].score == 0.0


def test_lost_and_surplus_placeholders_are_repaired() -> None:
    assert translate_texts(["Raum 5, Haus 7."], Echo("Gone."))[0].text == "Gone 5 7."
    assert translate_texts(["Raum 5."], Echo(f"{LITERALS[0]} and {LITERALS[0]}, {LITERALS[4]}"))[0].text == "5 and,"


def test_characters_are_traced_to_the_source() -> None:
    prepared = prepare("GROSSE STR. 12-14, 5 KM")
    assert shown(prepared.text) == "große str. <0>, <1>"
    assert [literal.text for literal in prepared.literals] == ["12-14", "5 KM"]
    for sign, (start, end) in zip(prepared.text, prepared.spans, strict=True):
        there = prepared.source[start:end]
        if sign in LITERALS:
            assert there == prepared.literals[LITERALS.index(sign)].text
        else:
            assert there.lower().replace("ss", "ß") == sign or there.lower() == sign


@pytest.fixture(scope="module")
def marked() -> LoadedTranslator:
    """A translator without training whose vocabulary has marks."""
    config = small()
    vocabulary = Vocabulary.build(TEXTS, 60, marks=True)
    torch.manual_seed(0)
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count).eval()
    return LoadedTranslator(model, vocabulary, config, Path())


def test_answers_hold_every_literal_whatever_the_model_writes(marked: LoadedTranslator) -> None:
    texts = ["hund 5 ist 7", "• hund\n• 12", "12.30", "hund"]
    found = text_answers(marked, texts, quiet=True)
    assert all(literal in found.texts[0] for literal in ("5", "7"))
    assert found.texts[1].startswith("• ") and found.texts[1].endswith("\n• 12")
    assert found.texts[2] == "12.30" and found.lengths[2] == 0
    assert not set("".join(found.texts)) & set(LITERALS)
    assert found.unwritable[0] == [sign for sign in "57" if sign not in marked.vocabulary.characters]


def test_without_marks_texts_go_as_they_are(marked: LoadedTranslator) -> None:
    plain = Vocabulary.build(TEXTS, 60)
    loaded = replace(marked, vocabulary=plain)
    pieces = [plain.encode("HUND 5. Der")]
    expected = translate_pieces(marked.model, plain, pieces, "en").texts
    assert text_answers(loaded, ["HUND 5. Der"], quiet=True).texts == expected


def test_a_hypothesis_that_is_accepted_is_taken(marked: LoadedTranslator) -> None:
    pieces = [marked.vocabulary.encode("hund"), marked.vocabulary.encode("der")]
    best = translate_pieces(marked.model, marked.vocabulary, pieces, "en", 4)
    others: list[str] = []

    def other(text: str) -> bool:
        others.append(text)
        return text != best.texts[0]

    chosen = translate_pieces(marked.model, marked.vocabulary, pieces, "en", 4, [other, lambda text: False])
    assert chosen.texts[0] != best.texts[0] and chosen.texts[0] in others
    assert chosen.scores[0] <= best.scores[0]
    assert chosen.texts[1] == best.texts[1]  # none is accepted: the best
    greedy = translate_pieces(marked.model, marked.vocabulary, pieces, "en", 1)
    again = translate_pieces(marked.model, marked.vocabulary, pieces, "en", 1, [lambda text: True, lambda text: False])
    assert again.texts[0] == greedy.texts[0] and again.texts[1] == best.texts[1]


def test_numbers_come_back_as_the_target_language_writes_them() -> None:
    text = "Um 14.30 Uhr kosten 2 Karten 12,50 €."
    kept, localized = prepare(text), prepare(text, numbers_for="en")
    assert localized.text == kept.text and localized.spans == kept.spans
    answer = f"At {LITERALS[0]} {LITERALS[1]} tickets cost {LITERALS[2]}."
    assert kept.finish(answer) == "At 14.30 2 tickets cost 12,50 €."
    assert localized.finish(answer) == "At 14:30 2 tickets cost 12.50 €."
