"""Cleaning: texts in one form, each reason to leave a pair out, test sets that nothing is learned from."""

import gzip
from pathlib import Path

import pytest

from translatotron_v.data import cleaning
from translatotron_v.data.cleaning import Cleaner, HeldOut, Rules, Seen, clean_text, is_held_back
from translatotron_v.errors import UserError


def cleaner(**rules: object) -> Cleaner:
    return Cleaner(Rules(**rules), ("de", "en"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  Zwei \t Wörter \n", "Zwei Wörter"),
        ("A\u0308pfel", "Äpfel"),
        ("Sonnen\u00adbrille", "Sonnenbrille"),
        ("a\u200bb\u200d\u200e\ufeffc\x00d\x7f", "abcd"),
        ("10\u00a0%\u2028mehr", "10 % mehr"),
        ("Haus &amp; Garten", "Haus & Garten"),
        ("Stra&szlig;e &#8364; 5 &quot;neu&quot;", 'Straße € 5 "neu"'),
        ("<b>Nicht</b> <a href='x'>öffnen</a>!", "Nicht öffnen!"),
        ("Zeile eins<br/>Zeile zwei", "Zeile eins Zeile zwei"),
        ("&lt;p&gt;Ein Satz.&lt;/p&gt;<p>Noch einer.</p>", "Ein Satz. Noch einer."),
        ("<!-- weg -->Da", "Da"),
        ("5 < 7 und 9 > 8", "5 < 7 und 9 > 8"),
        ("R&D, AT&T, A & B", "R&D, AT&T, A & B"),
        ("\ue000Text\ue013", "Text"),
        ("„Straße“ – ‚ja‘ …", "„Straße“ – ‚ja‘ …"),
        ("", ""),
    ],
)
def test_texts_come_in_one_form(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean
    assert clean_text(clean) == clean


KEPT = [
    ("Notausgang", "Emergency exit"),
    ("Montag bis Freitag 9 – 17 Uhr", "Monday to Friday 9 am – 5 pm"),
    ("Ermäßigung: 50 % für Schüler", "Discount: 50 % for pupils"),
    ("100%ige Baumwolle", "100% cotton"),
    ("Schreiben Sie an post@example.org oder rufen Sie an.", "Write to post@example.org or call us on the phone."),
    ("Vor- und Nachname", "First and last name"),
    ("Haupt- und -nebenstraßen - wie immer", "Main and side streets - as ever"),
    ("Preis: 12,50 $", "Price: $12.50"),
    ("S. 3 ff.", "p. 3 ff."),
    ("Herr/Frau/Divers", "Mr/Ms/Other"),
    ("Berlin Hauptbahnhof", "Berlin Hauptbahnhof"),
    ("Hilfe > Über", "Help > About"),
    ("Kalbsschnitzel in feiner Zitronenbutter", "Veal schnitzel in lemon butter"),
    ("Vertretung: Dr. Müller, Tel. 4 56 78", "Cover: Dr Müller, tel. 4 56 78"),
]


@pytest.mark.parametrize(("source", "target"), KEPT)
def test_what_pages_say_is_kept(source: str, target: str) -> None:
    assert cleaner()(source, target) == (source, target)


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("", "Exit", cleaning.EMPTY),
        ("Ausgang", "<br>", cleaning.EMPTY),
        ("12:30", "12:30", cleaning.EMPTY),
        ("w" * 401, "w" * 399, cleaning.LONG),
        ("Ja", "This says very much more than a yes", cleaning.RATIO),
        ("Ist <datei> offen?", "Is <file> open?", cleaning.MARKUP),
        ("[b]Fett[/b]", "[b]Bold[/b]", cleaning.MARKUP),
        ("Siehe [[Hilfe]]", "See [[Help]]", cleaning.MARKUP),
        ("%d Dateien", "%d files", cleaning.PLACEHOLDER),
        ("Öffne %1 jetzt", "Open %1 now", cleaning.PLACEHOLDER),
        ("%2$s von %(name)s", "%2$s of %(name)s", cleaning.PLACEHOLDER),
        ("Hallo {name}", "Hello {name}", cleaning.PLACEHOLDER),
        ("Hallo $name", "Hello $name", cleaning.PLACEHOLDER),
        ("Ihr #PRS_ORG# ist da", "Your #PRS_ORG# is here", cleaning.PLACEHOLDER),
        ("Zeile\\n", "Line\\n", cleaning.PLACEHOLDER),
        ("Datei /etc/passwd", "File /etc/passwd", cleaning.CODE),
        ("siehe --help", "see --help", cleaning.CODE),
        ("max_size setzen", "set max_size", cleaning.CODE),
        ("https://example.org", "https://example.org", cleaning.CODE),
        ("Вход в дом", "Way in", cleaning.LANGUAGE),
        ("Das Haus am alten See", "das Haus am alten See!", cleaning.COPY),
        (
            "The door is open and the light is on.",
            "The door is wide open, and all of the lights are on.",
            cleaning.LANGUAGE,
        ),
        ("Die Tür ist offen und das Licht brennt.", "Die Tür ist auf, und alle Lichter brennen.", cleaning.LANGUAGE),
        (
            "Grilled salmon, boiled potatoes, fresh green salad",
            "Grilled salmon with boiled potatoes and a fresh green salad",
            cleaning.LANGUAGE,
        ),
        (
            "Drzwi są otwarte, a światło pali się w całym domu przez całą długą noc.",
            "The door is open, and the light is on in all of the house all night long.",
            cleaning.LANGUAGE,
        ),
    ],
)
def test_every_reason_to_leave_a_pair_out(source: str, target: str, reason: str) -> None:
    clean = cleaner()
    assert clean(source, target) == reason
    assert (clean.counts, clean.kept) == ({reason: 1}, 0)


def test_a_sentence_with_an_address_is_no_code_and_one_of_addresses_is() -> None:
    clean = cleaner()
    few = ("Mehr darüber steht auf www.example.org", "You can read more at www.example.org")
    assert clean(*few) == few
    assert clean("a@b.de, c@d.de", "a@b.de, c@d.de") == cleaning.CODE


def test_dictionaries_are_never_identified() -> None:
    pair = ("The door is open and the light is on.", "The door is wide open, and all of the lights are on.")
    assert cleaner(identify=False)(*pair) == pair


def test_duplicates_are_folded_and_sources_have_so_many_targets() -> None:
    clean = cleaner(most_targets=2)
    answers = [
        clean(*pair)
        for pair in [
            ("Bitte warten!", "Please wait!"),
            ("BITTE WARTEN", "Please wait…"),
            ("Bitte warten.", "One moment, please"),
            ("bitte warten", "Hold on"),
            ("bitte warten", "one moment please"),
        ]
    ]
    assert [answer if isinstance(answer, str) else "kept" for answer in answers] == [
        "kept",
        cleaning.DUPLICATE,
        "kept",
        cleaning.TARGETS,
        cleaning.DUPLICATE,
    ]
    assert clean.report("ui") == "ui: 5 pairs, kept 2; duplicates 2, more targets 1"


def test_corpora_that_share_what_was_seen_share_nothing_else() -> None:
    seen = Seen()
    first, second = (Cleaner(Rules(), ("de", "en"), seen=seen) for _ in range(2))
    assert first("Eingang", "Entrance") == ("Eingang", "Entrance")
    assert second("Eingang", "Entrance") == cleaning.DUPLICATE
    assert Cleaner(Rules(), ("de", "en"))("Eingang", "Entrance") == ("Eingang", "Entrance")
    assert (first.kept, second.kept) == (1, 0)


def test_an_unknown_language_is_named_before_anything_is_read() -> None:
    with pytest.raises(UserError, match="unknown language 'xx'"):
        Cleaner(Rules(), ("xx", "en"))
    with pytest.raises(UserError, match="unknown language 'sv'; the languages are de, en"):
        cleaning.check_languages(["de", "sv"], ["de", "en"])
    cleaning.check_languages(["de", "en"])


def write_test_sets(folder: Path) -> list[str | Path]:
    """A Moses pair with one side gzipped, a TSV and an IWSLT set."""
    (folder / "flickr.de").write_text("Zwei Hunde, ein Ball.\nEs regnet.\n", encoding="utf-8")
    with gzip.open(folder / "flickr.en.gz", "wt", encoding="utf-8") as file:
        file.write("Two dogs, one ball.\nIt rains.\n")
    (folder / "other.de").write_text("Nicht gemeint\n", encoding="utf-8")
    (folder / "dev.de-en.tsv").write_text("Notausgang\tEmergency exit\n", encoding="utf-8")
    talk = "Und so kam es dass wir am Ende &amp; alle nach Hause gingen"
    name = "IWSLT17.TED.tst2015.en-de.de.xml"
    (folder / name).write_text(f'<doc>\n<title>Titel</title>\n<seg id="1"> {talk}. </seg>\n</doc>', encoding="utf-8")
    return [folder / "flickr", folder / "dev.de-en.tsv", folder / name]


@pytest.mark.parametrize(
    ("source", "target", "leaks"),
    [
        ("zwei hunde ein ball", "Some other words", True),
        ("Andere Wörter stehen hier", "TWO DOGS: ONE BALL!", True),
        ("Zwei Hunde, ein Ball, ein Kind", "Two dogs, one ball, one child", False),
        ("Notausgang!", "Way out", True),
        ("Ein Ausgang", "emergency exit", True),
        ("Der Notausgang", "The emergency exit", False),
        ("Wir wissen, dass wir am Ende alle nach Hause gingen.", "We know that we all went home in the end.", True),
        ("Wir wissen: dass wir am Ende alle nach Norden gingen.", "We know that we all went north in the end.", False),
        ("Titel", "Title", False),
        ("Nicht gemeint", "Not meant", False),
    ],
)
def test_pairs_of_test_sets_are_found_on_either_side(tmp_path: Path, source: str, target: str, leaks: bool) -> None:
    held_out = HeldOut.from_files(write_test_sets(tmp_path))
    assert len(held_out) == 7
    answer = Cleaner(Rules(), ("de", "en"), held_out)(source, target)
    assert answer == (cleaning.LEAK if leaks else (source, target))


def test_single_words_of_a_test_set_may_be_learned_when_told_so(tmp_path: Path) -> None:
    held_out = HeldOut.from_files(write_test_sets(tmp_path), fewest_words=2)
    clean = Cleaner(Rules(), ("de", "en"), held_out)
    assert clean("Notausgang", "Way out") == ("Notausgang", "Way out")
    assert clean("Ausgang", "Emergency exit") == cleaning.LEAK


def test_a_folder_of_test_sets_is_read_whole_and_a_missing_one_is_named(tmp_path: Path) -> None:
    write_test_sets(tmp_path)
    assert len(HeldOut.from_files([tmp_path])) == 8
    with pytest.raises(UserError, match=r"no text at .*gone: expected"):
        HeldOut.from_files([tmp_path / "gone"])


def test_what_is_held_back_is_a_matter_of_the_source_alone() -> None:
    sources = [f"Satz Nummer {number}" for number in range(4000)]
    held = [source for source in sources if is_held_back(source, 0.1)]
    assert 320 < len(held) < 480
    assert all(is_held_back(source.upper() + "!", 0.1) for source in held)
    assert {source for source in sources if is_held_back(source, 0.02)} < set(held)
    assert not any(is_held_back(source, 0.0) for source in sources)
    assert all(is_held_back(source, 1.0) for source in sources)


def test_hashes_are_the_same_in_every_run() -> None:
    assert cleaning.text_hash("notausgang") == 0x0B60F0D54F44EFD8  # printf notausgang | b2sum -l 64
