"""Lines to text, text to list entries and sentences."""

import pytest

from translatotron_v.data.sentences import is_wordless, join_lines, split_parts, split_sentences


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("Sonnen-/brille", "Sonnenbrille"),
        ("Ein- und/Ausgang", "Ein- und Ausgang"),
        ("Ein-/und Ausgang", "Ein- und Ausgang"),
        ("Vor-/oder Nachname", "Vor- oder Nachname"),
        ("Ein-//Ausgang", "Ein- /Ausgang"),
        ("E-Mail-/Adresse", "E-Mail-Adresse"),
        ("Baden-/Württemberg", "Baden-Württemberg"),
        ("PKW-/Fahrer", "PKW-Fahrer"),
        ("LKW-/fahrer", "LKW-fahrer"),
        ("U-/Bahn", "U-Bahn"),
        ("SONNEN-/BRILLE", "SONNENBRILLE"),
        ("PKW-/STELLPLATZ", "PKW-STELLPLATZ"),
        ("E-MAIL-/ADRESSE", "E-MAIL-ADRESSE"),
        ("COVID-/19", "COVID-19"),
        ("Montag -/Freitag", "Montag - Freitag"),
        ("Sonnen\u00ad/brille und Son\u00adne", "Sonnenbrille und Sonne"),
        ("Das ist/ ein  Satz./Noch einer.", "Das ist ein Satz. Noch einer."),
        ("", ""),
    ],
)
def test_lines_are_joined(lines: str, text: str) -> None:
    # "/" parts lines here; a line that begins with one is written "//"
    parts = lines.replace("//", "/\0").split("/")
    expected = text.replace(" /", "/")
    assert join_lines([part.replace("\0", "/") for part in parts]) == expected


def test_french_hyphens_that_stay() -> None:
    assert join_lines(["Votre rendez-", "vous"], "fr") == "Votre rendez-vous"
    assert join_lines(["une infor-", "mation"], "fr") == "une information"


def test_list_entries_keep_their_lines() -> None:
    lines = ["Bitte mitbringen:", "• Sonnen-", "brille", "• Hut und", "Creme", "3. Mai"]
    assert join_lines(lines) == "Bitte mitbringen:\n• Sonnenbrille\n• Hut und Creme 3. Mai"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("• Hut\n• Creme", [("•", "Hut"), ("•", "Creme")]),
        ("1. Öffnen Sie das Fenster.\n2. Atmen Sie.", [("1.", "Öffnen Sie das Fenster."), ("2.", "Atmen Sie.")]),
        ("a) Brot b) Käse", [("a)", "Brot b) Käse")]),
        ("(2) Das Amt prüft. Es antwortet.", [("(2)", "Das Amt prüft."), ("", "Es antwortet.")]),
        ("– Eis – Kuchen", [("–", "Eis – Kuchen")]),
        ("* neu", [("*", "neu")]),
        ("→ Ausgang", [("→", "Ausgang")]),
        ("•Hut", [("•", "Hut")]),
        ("Preise • Kontakt • Anfahrt", [("", "Preise"), ("•", "Kontakt"), ("•", "Anfahrt")]),
        ("Start | Hilfe", [("", "Start"), ("", "Hilfe")]),
        ("3. Mai", [("", "3. Mai")]),
        ("2. Stock links", [("", "2. Stock links")]),
        ("-5 Grad", [("", "-5 Grad")]),
        ("", []),
    ],
)
def test_entries_and_their_markers(text: str, parts: list[tuple[str, str]]) -> None:
    found = split_parts(text)
    assert [(part.marker, text[part.start : part.end]) for part in found] == parts
    for part in found:
        if part.marker:
            assert text[: part.start].rstrip().endswith(part.marker)


@pytest.mark.parametrize(
    ("language", "text", "count"),
    [
        ("de", "Heute ist zu. Morgen ist auf! Kommen Sie? Ja.", 4),
        ("de", "Bringen Sie z. B. Brot oder z.B. Käse mit.", 1),
        ("de", "Siehe Nr. 5, Abs. 2, d. h. Dr. Müller in der Bahnhofstr. 12, Tel. 030 123456.", 1),
        ("de", "Am 3. Mai und am 24.12. Feier im 2. Stock.", 1),
        ("de", "Er wohnt im Haus 12. Danach kommt der Wald.", 2),
        ("de", "Geöffnet bis 18.30 Uhr. 5 Minuten zu Fuß.", 2),
        ("de", "Obst, Gemüse usw. Alles ist frisch, inkl. MwSt. und ca. 5 kg.", 1),
        ("de", "„Halt!“ Er blieb stehen.", 2),
        ("de", "Er sagte: „Nein!“, und ging.", 1),
        ("de", "Mo. bis Fr. offen. Sa. zu.", 2),
        ("de", "Im Jahr 2025. Der Rest folgt.", 2),
        ("de", "Mehr auf www.beispiel.de. Danke!", 2),
        ("de", "ACHTUNG! BITTE NICHT RAUCHEN. DANKE.", 3),
        ("de", "Warte… Jetzt.", 2),
        ("en", "Mr. Smith left at 5 p.m. on Monday. He came back.", 2),
        ("en", "It is 3. Then four.", 2),
        ("fr", "M. Dupont arrive. Il est là, cf. Annexe 2.", 2),
        ("cs", "Otevřeno např. Po a Út. Zítra zavřeno, tel. 123.", 2),
        ("ro", "Strada nr. 5, str. Mare. Închis azi.", 2),
    ],
)
def test_sentences(language: str, text: str, count: int) -> None:
    found = split_sentences(text, language)
    assert len(found) == count, found
    assert " ".join(found) == text


def test_wordless() -> None:
    assert is_wordless("12.30 – 14.00 ***") and is_wordless("") and not is_wordless("5 km")
