"""Case: which texts are folded, what stays, and how translations come back."""

import pytest

from translatotron_v.data.casing import align, fold_case, head_case, restore_case
from translatotron_v.data.marks import LITERALS, LOWER, TERM_CLOSE, TERM_IS, TERM_OPEN


@pytest.mark.parametrize(
    ("text", "folded", "case"),
    [
        ("NOTAUSGANG", "notausgang", "upper"),
        ("BITTE NICHT RAUCHEN!", "bitte nicht rauchen!", "upper"),
        ("PKW FREI", "PKW frei", "upper"),
        ("GRÖSSERE STRASSE, WASSER", "größere straße, wasser", "upper"),
        ("FUßWEG", "fußweg", "upper"),
        ("PREISSCHILD AN DER AUSWEISSTELLE", "preisschild an der ausweisstelle", "upper"),
        ("NUR 5 KM ZUM A4-STELLPLATZ", "nur 5 KM zum A4-stellplatz", "upper"),
        ("MEHR AUF www.Beispiel.de", "mehr auf www.Beispiel.de", "upper"),
        ("A U S G A N G", "ausgang", "upper"),
        ("Z U  V E R K A U F E N", "z u verkaufen", "upper"),
        ("Bitte Nicht Rauchen", "bitte nicht rauchen", "title"),
        ("Frische Milch Vom Bauernhof", "frische milch vom bauernhof", "title"),
        # ordinary texts
        ("Frische Milch", "Frische Milch", ""),
        ("Rote Grütze Vanillesoße", "Rote Grütze Vanillesoße", ""),
        ("Fragen Sie", "Fragen Sie", ""),
        ("Freigabe: Die Antwort (Nur Text)", "Freigabe: Die Antwort (Nur Text)", ""),
        ("Zucker-Frei", "Zucker-Frei", ""),
        ("Die NATO und die EU tagen.", "Die NATO und die EU tagen.", ""),
        ("WC", "WC", ""),
        ("Gruppe A B C", "Gruppe A B C", ""),
        ("bitte nicht rauchen", "bitte nicht rauchen", ""),
        ("A4", "A4", ""),
        ("12.30", "12.30", ""),
        ("", "", ""),
    ],
)
def test_folding(text: str, folded: str, case: str) -> None:
    assert fold_case(text) == (folded, case)


def test_only_german_has_sharp_s() -> None:
    assert fold_case("GROSSESSE", "fr") == ("grossesse", "upper")


def test_marks_and_wanted_translations_stay() -> None:
    term = f"{TERM_OPEN}BAHNHOF{TERM_IS}Main Station{TERM_CLOSE}"
    folded, case = fold_case(f"ZUM {term} UM {LITERALS[0]} UHR")
    assert folded == f"zum {TERM_OPEN}bahnhof{TERM_IS}Main Station{TERM_CLOSE} um {LITERALS[0]} uhr"
    assert case == "upper"


@pytest.mark.parametrize(
    ("translation", "case", "restored"),
    [
        ("emergency exit", "upper", "EMERGENCY EXIT"),
        (f"only {LITERALS[3]} left", "upper", f"ONLY {LITERALS[3]} LEFT"),
        ("please do not smoke (here)", "title", "Please Do Not Smoke (Here)"),
        ("don't stop", "title", "Don't Stop"),
        ("No NATO", "", "No NATO"),
        ("free space", "", "free space"),
        ("free space", "head", "Free space"),
        ("“free” space", "head", "“Free” space"),
        ("iPhone cases", "head", "iPhone cases"),
        ("example.com is ours", "head", "example.com is ours"),
        (f"{LITERALS[0]} pieces", "head", f"{LITERALS[0]} pieces"),
        ("it's open", "head", "It's open"),
    ],
)
def test_restoring(translation: str, case: str, restored: str) -> None:
    assert restore_case(translation, case) == restored  # type: ignore[arg-type]


def test_a_label_keeps_its_first_capital_and_half_a_sentence_its_small_letter() -> None:
    assert [head_case(text) for text in ("Freier Platz", "„Neu“", "15 Äpfel", "und dann", "3", "")] == [
        "head", "head", "head", "", "", "",
    ]  # fmt: skip
    assert head_case(f"{LOWER}Ein Hund") == ""


@pytest.mark.parametrize(
    ("before", "after", "spans"),
    [
        ("AB", "ab", [(0, 1), (1, 2)]),
        ("GROSS", "groß", [(0, 1), (1, 2), (2, 3), (3, 5)]),
        ("A B", "ab", [(0, 1), (2, 3)]),
        ("so- da", "soda", [(0, 1), (1, 2), (4, 5), (5, 6)]),
        ("Fuß", "fuß", [(0, 1), (1, 2), (2, 3)]),
        ("aB5- c", "ab 5c", [(0, 1), (1, 2), (2, 3), (2, 3), (5, 6)]),
    ],
)
def test_characters_are_traced_back(before: str, after: str, spans: list[tuple[int, int]]) -> None:
    assert align(before, after) == spans
