"""Literals: what is recognised, that it comes back, and what training pairs look like."""

import re

import numpy as np
import pytest

from translatotron_v.data.literals import complete, find_literals, localize, mask, match, place, repair, restore
from translatotron_v.data.marks import LITERALS, TERM_CLOSE, TERM_IS, TERM_OPEN


def shown(text: str) -> str:
    """Placeholders as <0>, <1>, which one can read in a failing test."""
    return re.sub("[\ue000-\ue00f]", lambda found: f"<{LITERALS.index(found[0])}>", text)


FOUND = [
    ("Es kommen 25 Gäste.", ["25"]),
    ("Wir zählen 1.250 Stück und 3,5 Millionen", ["1.250", "3,5"]),
    ("Einwohner: 1 200 000, das sind +3 mehr, -4,5 weniger", ["1 200 000", "+3", "-4,5"]),
    ("about 1,250.75 and 12.50", ["1,250.75", "12.50"]),
    ("½ Liter, 1½ Tassen, 3/4 voll", ["½", "1½", "3/4"]),
    ("Bis zu 50 % Rabatt, 5% Zinsen", ["50 %", "5%"]),
    ("am 3. Mai im 2. Stock", ["3", "2"]),
    ("the 3rd floor, le 2e étage, die 20er Jahre", ["3", "2", "20"]),
    ("nur 2,99 € statt 3,49 €/kg", ["2,99 €", "3,49 €/kg"]),
    ("EUR 12,50 oder 12,- oder 12,-- € oder $5 oder CHF 7.50", ["EUR 12,50", "12,-", "12,-- €", "$5", "CHF 7.50"]),
    ("5 Euro für 2 Personen um 8 Uhr", ["5", "2", "8"]),
    ("vom 24.12.2026 bis 06.01.27", ["24.12.2026", "06.01.27"]),
    ("Geschlossen vom 24.12. bis 2.1.", ["24.12.", "2.1"]),
    ("seit 2026-11-26 oder 26/11/2026", ["2026-11-26", "26/11/2026"]),
    ("1.8.–15.8.2026 geschlossen", ["1.8.–15.8.2026"]),
    ("12.30 - 14.00 Uhr, 8:15 Uhr", ["12.30 - 14.00", "8:15"]),
    ("Mo–Fr 8–18 Uhr", ["8–18"]),
    ("Tel. 030 1234567", ["030 1234567"]),
    ("Tel.: +49 (0)30 / 123 45-67, Fax 089/12 34 56", ["+49 (0)30 / 123 45-67", "089/12 34 56"]),
    ("Notruf 112, appelez le 01 23 45 67 89", ["112", "01 23 45 67 89"]),
    ("noch 5 km, 20 °C, 0,5 l, 500g, 30 km/h, 80 m²", ["5 km", "20 °C", "0,5 l", "500g", "30 km/h", "80 m²"]),
    ("NOCH 5 KM, 16 GB RAM", ["5 KM", "16 GB"]),
    ("Platte 30 x 40 cm, 1920×1080", ["30 x 40 cm", "1920×1080"]),
    ("2 X 8,00 €, 6X4", ["2 X 8,00", "6X4"]),  # read off a receipt
    ("A4-Papier, Sitz B2-17, Linie U6, COVID-19, CO2-Ausstoß", ["A4", "B2-17", "U6", "COVID-19", "CO2"]),
    ("Nr. 2026/0815, Version 2.0.1, Haus 12a", ["2026/0815", "2.0.1", "12a"]),
    ("ISBN 978-3-16-148410-0", ["ISBN 978-3-16-148410-0"]),
    ("IBAN: DE89 3704 0044 0532 0130 00 BANK", ["DE89 3704 0044 0532 0130 00"]),
    ("Mehr unter https://beispiel.de/a?b=1.", ["https://beispiel.de/a?b=1"]),
    ("Siehe www.stadt-beispiel.de, beispiel.org/plan!", ["www.stadt-beispiel.de", "beispiel.org/plan"]),
    ("Mail an info@beispiel.de, 24h@beispiel.com.", ["info@beispiel.de", "24h@beispiel.com"]),
    ("#Sommerfest mit @anna.muster", ["#Sommerfest", "@anna.muster"]),
    ("Datei liesmich.txt nicht gefunden: %s (%1$d von {total})", ["liesmich.txt", "%s", "%1$d", "{total}"]),
    ("eine 3-Zimmer-Wohnung für 24-Stunden-Gäste, 10-jährig", ["3", "24", "10"]),
    ("von 2010-2015, S. 12-14.", ["2010-2015", "12-14"]),
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_literals_of_every_kind_are_found(text: str, expected: list[str]) -> None:
    found = find_literals(text)
    assert [literal.text for literal in found] == expected
    assert [text[literal.start : literal.end] for literal in found] == expected


@pytest.mark.parametrize(
    "text",
    ["", "Bitte nicht rauchen!", "Geschlossen.Danke", "z.B. hier, d.h. dort", "E-Mail-Adresse", "u.a. Ein- und Ausgang",
     "100-prozentig".replace("100", "hundert"), "A B C - D", "Fragen? Antworten: hier/dort"],
)  # fmt: skip
def test_words_are_no_literals(text: str) -> None:
    assert find_literals(text) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [("12.30 - 14.00", "time"), ("5 €", "price"), ("€5", "price"), ("a@b.de", "email"), ("1a@b.de", "email"),
     ("b.de", "url"), ("5 %", "percent"), ("5 kg", "measure"), ("26.11.2026", "date"), ("+49 30 123456", "phone"),
     ("A4", "code"), ("7", "number")],
)  # fmt: skip
def test_kinds(text: str, kind: str) -> None:
    assert [literal.kind for literal in find_literals(text)] == [kind]


@pytest.mark.parametrize(("text", "_"), FOUND)
def test_masking_and_restoring_is_exact(text: str, _: list[str]) -> None:
    masked, literals = mask(text)
    assert [sign for sign in masked if sign in LITERALS] == list(LITERALS[: len(literals)])
    assert restore(masked, literals) == text


def test_at_most_sixteen_are_masked() -> None:
    text = " und ".join(str(number) for number in range(20))
    masked, literals = mask(text)
    assert len(literals) == 16 and masked.endswith("15> und 16 und 17 und 18 und 19".replace("15>", LITERALS[15]))
    assert restore(masked, literals) == text


def test_terms_keep_their_numbers() -> None:
    term = f"{TERM_OPEN}Gleis 3{TERM_IS}platform 3{TERM_CLOSE}"
    assert shown(mask(f"Von 9 Uhr an: {term}, 5 km")[0]) == f"Von <0> Uhr an: {term}, <1>"


def test_english_ordinals_take_the_ending_of_their_number() -> None:
    _, literals = mask("Im 3. Stock am 21. und 12. Tag")
    answer = f"On the {LITERALS[0]}th floor on the {LITERALS[1]}rd and {LITERALS[2]}nd day"
    assert restore(answer, literals) == "On the 3rd floor on the 21st and 12th day"

    assert restore(answer.upper(), literals) == "ON THE 3RD FLOOR ON THE 21ST AND 12TH DAY"


def test_what_nobody_can_write_is_a_literal() -> None:
    masked, literals = mask("Hallo \U0001f600 \U0001f600 um 5, \U0001f600!", "\U0001f600")
    assert shown(masked) == "Hallo <0> um <1>, <2>!"
    assert [literal.kind for literal in literals] == ["foreign", "number", "foreign"]


def test_unknown_placeholders_are_dropped() -> None:
    assert restore(f"a {LITERALS[7]}b", mask("5")[1]) == "a b"


@pytest.mark.parametrize(
    ("answer", "count", "whole", "repaired"),
    [("to <0> and <1>.", 2, True, "to <0> and <1>."),
     ("to <1>.", 2, False, "to <1> <0>."),
     ("to <0> and <0>, <3>.", 1, False, "to <0> and,."),
     ("", 2, False, "<0> <1>"),
     ("Gone", 1, False, "Gone <0>")],
)  # fmt: skip
def test_repair(answer: str, count: int, whole: bool, repaired: str) -> None:
    marked = re.sub(r"<(\d+)>", lambda found: LITERALS[int(found[1])], answer)
    assert complete(marked, count) is whole
    assert shown(repair(marked, count)) == repaired
    assert complete(repair(marked, count), count)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [("Raum 5, Haus 7", "House 7, room 5", ("Raum <0>, Haus <1>", "House <1>, room <0>")),
     ("Bis zu 50 % auf 2 Paar", "Up to 50% off two pairs", ("Bis zu <0> auf 2 Paar", "Up to <0> off two pairs")),
     ("3 und 3 sind 6", "3 and 3 make 6", ("<0> und <1> sind <2>", "<0> and <1> make <2>")),
     ("3 und 3", "3 twice", ("<0> und 3", "<0> twice")),
     ("nur 5 €", "only €5", ("nur <0>", "only <0>")),
     ("1.500,50 m Draht", "1,500.50 m of wire", ("<0> Draht", "<0> of wire")),
     ("um 8.15 Uhr am 26.11.2026", "at 8:15 on 26/11/2026", ("um <0> Uhr am <1>", "at <0> on <1>")),
     ("5:2 in den 1980ern", "5-2 in the 1980s", ("<0> in den <1>ern", "<0> in the <1>s")),
     ("3. Stock", "3rd floor", ("<0>. Stock", "<0>rd floor")),
     ("Seite 4", "page 5", ("Seite 4", "page 5")),
     ("Kein Zutritt", "No entry", ("Kein Zutritt", "No entry"))],
)  # fmt: skip
def test_pairs_for_training(source: str, target: str, expected: tuple[str, str]) -> None:
    assert tuple(map(shown, match(source, target))) == expected


def test_more_pairs_than_placeholders_stay_text() -> None:
    text = " und ".join(str(number) for number in range(20))
    source, target = match(text, text)
    assert source == target and sum(sign in LITERALS for sign in source) == 16


def test_all_placeholders_are_learnt_and_some_numbers_stay() -> None:
    rng = np.random.default_rng(0)
    drawn = [match("Raum 5, Haus 7", "House 7, room 5", rng) for _ in range(2000)]
    seen = {sign for source, _ in drawn for sign in source if sign in LITERALS}
    assert seen == set(LITERALS)
    plain = sum(source == "Raum 5, Haus 7" for source, _ in drawn) / len(drawn)
    assert 0.07 < plain < 0.14
    assert all(sorted(set(source) & set(LITERALS)) == sorted(set(target) & set(LITERALS)) for source, target in drawn)


def test_targets_take_the_placeholders_of_a_masked_source() -> None:
    masked, literals = mask("3 Tage, Haus 7, Raum 5")
    assert shown(masked) == "<0> Tage, Haus <1>, Raum <2>"
    assert shown(place(literals, "room 5, house 7 for three days, 9 am")) == "room <2>, house <1> for three days, 9 am"


@pytest.mark.parametrize(
    ("source", "target", "text", "expected"),
    [
        ("de", "en", "12,5", "12.5"),
        ("de", "en", "1.234,56 €", "1,234.56 €"),
        ("de", "en", "1 234,5 km", "1,234.5 km"),
        ("de", "en", "1.234", "1,234"),
        ("de", "en", "12.5", "12.5"),
        ("de", "en", "1,234.5", "1,234.5"),
        ("de", "en", "12,-", "12,-"),
        ("de", "en", "14.30–16.00", "14:30–16:00"),
        ("de", "en", "24.12.2026", "24.12.2026"),
        ("en", "de", "1,234.5", "1.234,5"),
        ("en", "de", "12.5 km", "12,5 km"),
        ("en", "fr", "0.5", "0,5"),
        ("de", "fr", "1.234,5", "1.234,5"),
    ],
)
def test_numbers_as_the_target_language_writes_them(source: str, target: str, text: str, expected: str):
    (literal,) = find_literals(text)
    assert localize(literal, source, target) == expected
