"""Every format that translated texts come in, from the smallest file that shows it, and what is done to the pairs."""

import gzip
import json
import lzma
import struct
from pathlib import Path

import pytest

from data_synth.convert import main, read_pairs_of, tidied
from data_synth.corpora import read_pairs
from data_synth.errors import UserError
from data_synth.formats import FORMATS, Languages

GERMAN = Languages("de", "en")

PO = """\
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals=2; plural=(n != 1);\\n"

msgctxt "menu"
msgid "_Open"
msgstr "Ö_ffnen"

#, fuzzy
msgid "Close"
msgstr "Falsch"

msgid "A cup"
msgid_plural "Some cups"
msgstr[0] "Eine Tasse"
msgstr[1] "Einige Tassen"

msgid "item tag^Luck"
msgstr "Zufall"

msgid "Not yet"
msgstr ""

#~ msgid "Gone"
#~ msgstr "Weg"
"""


def catalog(messages: dict[str, str]) -> bytes:
    """A .mo file as the gettext manual lays it out."""
    sides = [[text.encode() for text in side] for side in (sorted(messages), [messages[k] for k in sorted(messages)])]
    tables, strings, start = b"", b"", 28 + 16 * len(messages)
    for side in sides:
        for text in side:
            tables += struct.pack("<II", len(text), start + len(strings))
            strings += text + b"\0"
    return struct.pack("<7I", 0x950412DE, 0, len(messages), 28, 28 + 8 * len(messages), 0, 0) + tables + strings


ANDROID = """<?xml version="1.0" encoding="utf-8"?>
<resources>
  <string name="%s">%s</string>
  <plurals name="days"><item quantity="one">%s</item><item quantity="other">%s</item></plurals>
</resources>"""

FLUENT = """\
# a comment
-brand = %s
open = %s { -brand }
menu =
    .label = %s
    .tooltip =
        %s
        %s
"""

DDTP = """\
Package: one
Description-md5: 0123abcd
Description-%s: %s
 %s
 %s
 .
 %s
 .
  * a list

"""

TAXONOMY = """\
# comment
stopwords:de: mit

<en:Foods
en: Cheeses, cheese
de: Käse, Käsesorten
fr: Fromages

en: Only English
"""

DING = """\
# Version
Bahnhof {m} [Bahn] | Bahnhöfe {pl} :: station /sta./ | stations
gehen {vi}; laufen {vi} | er geht / läuft | er ging :: to go; to walk | he goes / walks | he went
Es regnet in Strömen. :: It is raining cats and dogs.
schief | ungleich :: crooked
"""

TMX = """<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file><body>
<trans-unit id="a"><source>Page</source><target>Seite</target></trans-unit>
<trans-unit id="b"><source>Later</source></trans-unit></body></file></xliff>"""

# format -> name of each input -> its content; then the pairs
CASES: dict[str, tuple[dict[str, str | bytes], list[tuple[str, str]]]] = {
    "gettext": (
        {"de.po": PO, "de.mo": catalog({"": "Language: de\n", "&File": "&Datei", "menu\x04Help": "Hilfe"})},
        [
            ("Öffnen", "Open"),
            ("Eine Tasse", "A cup"),
            ("Einige Tassen", "Some cups"),
            ("Zufall", "Luck"),
            ("Datei", "File"),
            ("Hilfe", "Help"),
        ],
    ),
    "android": (
        {
            "values-de/strings.xml": ANDROID % ("go", "Los <b>geht\\'s</b>", "Ein Tag", "Tage"),
            "values/strings.xml": ANDROID % ("go", "Here <b>we</b> go", "One day", "Days"),
        },
        [("Los geht's", "Here we go"), ("Ein Tag", "One day"), ("Tage", "Days")],
    ),
    "json": (
        {
            "de.json": json.dumps({"de": {"menu": {"soup": "Suppe", "n": 3}, "days": ["Mo", "Di"]}, "@@locale": "de"}),
            "en.json": json.dumps({"en": {"menu": {"soup": "Soup", "n": 3}, "days": ["Mon", "Tue"]}, "x": "y"}),
        },
        [("Suppe", "Soup"), ("Mo", "Mon"), ("Di", "Tue")],
    ),
    "json-english": (
        {"de.json": json.dumps({"translations": {"Send": "Senden", "_%n day_::_%n days_": ["a", "b"]}})},
        [("Senden", "Send")],
    ),
    "yaml": (
        {"de.yml": "de:\n  map:\n    key: Legende\n  only: hier\n", "en.yml": "en:\n  map:\n    key: Key\n"},
        [("Legende", "Key")],
    ),
    "properties": (
        {
            "de.properties": "# c\nopen = \\u00d6ffnen\nlong: eine \\\n    Zeile\n",
            "en.properties": "! c\nopen=Open\nlong=one line\n",
        },
        [("Öffnen", "Open"), ("eine Zeile", "one line")],
    ),
    "fluent": (
        {
            "de/a.ftl": FLUENT % ("Fuchs", "Öffne", "Menü", "Zeigt", "alles"),
            "en/a.ftl": FLUENT % ("Fox", "Open", "Menu", "Shows", "all"),
        },
        [("Fuchs", "Fox"), ("Öffne Fuchs", "Open Fox"), ("Menü", "Menu"), ("Zeigt alles", "Shows all")],
    ),
    "dtd": (
        {"de.dtd": '<!ENTITY go.label "Zurück">\n', "en.dtd": "<!ENTITY go.label 'Back'>\n<!ENTITY x \"y\">"},
        [("Zurück", "Back")],
    ),
    "xliff": ({"de.xlf": TMX}, [("Seite", "Page")]),
    "html": (
        {
            "de/x.html": "<html><title>Titel</title><p>Ein\n  <b>Bild</b>.<ul><li>Punkt</ul></html>",
            "en/x.html": "<html><title>Title</title><p>A <b>picture</b>.<ul><li>Item</ul></html>",
        },
        [("Titel", "Title"), ("Ein Bild.", "A picture."), ("Punkt", "Item")],
    ),
    "ddtp": (
        {
            "Translation-de.xz": lzma.compress((DDTP % ("de", "Ein Spiel", "Ein", "Absatz.", "Noch einer.")).encode()),
            "Translation-en": DDTP % ("en", "A game", "One", "paragraph.", "Another one."),
        },
        [("Ein Spiel", "A game"), ("Ein Absatz.", "One paragraph."), ("Noch einer.", "Another one.")],
    ),
    "cldr": (
        {
            "de.json": json.dumps(
                {"main": {"de": {"names": {"de": "Deutsch", "en": "Englisch"}}}, "x": {"default": "y", "tts": ["Ball"]}}
            ),
            "en.json": json.dumps(
                {"main": {"en": {"names": {"de": "German", "en": "English"}}}, "x": {"default": "z", "tts": ["ball"]}}
            ),
        },
        [("Deutsch", "German"), ("Englisch", "English"), ("Ball", "ball")],
    ),
    "osm": (
        {
            "de.json": json.dumps({"de": {"presets": {"shop": {"name": "Laden", "terms": "Geschäft,Kiosk"}}}}),
            "en.json": json.dumps({"en": {"presets": {"shop": {"name": "Shop", "terms": "store"}}}}),
        },
        [("Laden", "Shop")],
    ),
    "taxonomy": ({"food.txt": TAXONOMY}, [("Käse", "Cheeses")]),
    "ding": (
        {"de-en.txt": DING},
        [("Bahnhof", "station"), ("Bahnhöfe", "stations"), ("gehen", "go"), ("er ging", "he went")],
    ),
    "ding-examples": ({"de-en.txt": DING}, [("Es regnet in Strömen.", "It is raining cats and dogs.")]),
    "dict": (
        {
            "freedict-deu-eng.dict.dz": gzip.compress("Tür /tyːɐ/ <n, f>\n1. door, gate\n2. x\n".encode()),
            "freedict-deu-eng.index": "00databaseshort\tA\tA\nTür\tA\tk\n",
        },
        [("Tür", "door")],
    ),
    "tab": ({"deu.txt": "Go.\tGeh.\tCC-BY 2.0\nHi.\tHallo.\tCC-BY 2.0\n"}, [("Geh.", "Go."), ("Hallo.", "Hi.")]),
    "moses": ({"x.de": "Eins\nZwei\n", "x.en": "One\nTwo\n"}, [("Eins", "One"), ("Zwei", "Two")]),
    "iwslt": (
        {
            "train.tags.de-en.de": "<url>x</url>\n<title>Der Titel</title>\nEin Satz.\n",
            "train.tags.de-en.en": "<url>x</url>\n<title>The title</title>\nA sentence.\n",
        },
        [("Der Titel", "The title"), ("Ein Satz.", "A sentence.")],
    ),
}


def write(folder: Path, files: dict[str, str | bytes]) -> list[Path]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return [folder / name for name in files]


def test_every_format_has_its_case() -> None:
    assert set(CASES) == set(FORMATS)


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(tmp_path: Path, kind: str) -> None:
    files, expected = CASES[kind]
    inputs = write(tmp_path, files)
    if kind == "iwslt":
        inputs = [tmp_path]
    elif kind == "dict":
        inputs = inputs[:1]
    assert read_pairs_of(kind, inputs, GERMAN) == expected


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("&Datei", "&File"), [("Datei", "File")]),
        (("Ö_ffnen …", "_Open …"), [("Öffnen …", "Open …")]),
        (("~Hilfe", "~Help"), [("Hilfe", "Help")]),
        (("R&D und A & B", "R&D and A & B"), [("R&D und A & B", "R&D and A & B")]),
        (("%s Dateien", "%s files"), [("%s Dateien", "%s files")]),  # the cleaning's business
        (("Eins.  Zwei.", "One. Two."), [("Eins.", "One."), ("Zwei.", "Two.")]),
        (("Eins. Zwei.", "One and two."), [("Eins. Zwei.", "One and two.")]),
        (("Eins\nZwei\n", "One\n\nTwo"), [("Eins", "One"), ("Zwei", "Two")]),
        (("A\u0308pfel\tda", "apples\r\nhere"), [("Äpfel da", "apples here")]),
        (("", "empty"), []),
    ],
)
def test_pairs_are_tidied(pair: tuple[str, str], expected: list[tuple[str, str]]) -> None:
    assert list(tidied(pair)) == expected


def test_folders_are_joined_by_file_and_id_and_doubtful_ids_are_left_out(tmp_path: Path) -> None:
    for part, words in {"a": ("eins", "one"), "b": ("zwei", "two")}.items():
        for language, word in zip(("de", "en"), words, strict=True):
            same = {"de": "ja", "en": "yes"}[language]
            content = json.dumps({"id": word, part: word, "same": same})
            write(tmp_path, {f"{language}/{part}/messages.{language}.json": content})
    pairs = read_pairs_of("json", [tmp_path / "de", tmp_path / "en"], GERMAN)
    assert sorted(pairs) == [("eins", "one"), ("ja", "yes"), ("zwei", "two")]


def test_one_folder_may_hold_both_languages(tmp_path: Path) -> None:
    for name, word in {"de": "eins", "en": "one", "fr": "un"}.items():
        write(tmp_path, {f"a/{name}.json": json.dumps({"id": word})})
    assert read_pairs_of("json", [tmp_path, tmp_path], GERMAN) == [("eins", "one")]


def test_of_a_folder_of_catalogs_those_of_the_language_are_read(tmp_path: Path) -> None:
    for path, word in {"po/de.po": "Ja", "locale/de_DE/x.po": "Nein", "po/fr.po": "Oui", "po/ende.po": "Ende"}.items():
        write(tmp_path, {path: f'msgid "{path}"\nmsgstr "{word}"\n'})
    assert {foreign for foreign, _ in read_pairs_of("gettext", [tmp_path], GERMAN)} == {"Ja", "Nein"}


def test_columns_of_tables(tmp_path: Path) -> None:
    (table,) = write(tmp_path, {"pairs.tsv": "1\tHallo\t2\tHello\n2\tNur\n"})
    assert read_pairs_of("tab", [table], GERMAN, (2, 4)) == [("Hallo", "Hello")]


def test_the_command_writes_what_the_trainer_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = write(tmp_path, {"x.fr": "Oui\nNon\nOui\n", "x.en": "Yes\nNo\nYes\n"})
    out = tmp_path / "made" / "x.fr-en.tsv.gz"
    command = ["moses", *map(str, inputs), "-o", str(out), "--foreign", "fr"]
    assert main(command) == 0
    assert capsys.readouterr().out == f"2 pairs -> {out}\n"
    assert [(pair.source, pair.target) for pair in read_pairs(out, "fr", "en")] == [("Oui", "Yes"), ("Non", "No")]
    first = out.read_bytes()
    assert main(command) == 0 and out.read_bytes() == first


@pytest.mark.parametrize(
    ("kind", "files", "message"),
    [
        ("moss", {"a": ""}, "unknown format 'moss'; there are gettext, "),
        ("moses", {"a": "", "b": "", "c": ""}, "moses reads files two by two: FOREIGN ENGLISH"),
        ("moses", {"a.de": "1\n2\n", "a.en": "1\n"}, "a.de has 2 lines but .*a.en has 1: lines must correspond"),
        ("json", {"a": "{}"}, "json joins two inputs by message id"),
        ("json", {"a": "{", "b": "{}"}, "a: Expecting property name"),
        ("json", {"a": '{"x": "1"}', "b": '{"y": "1"}'}, "have no message id in common"),
        ("android", {"a": "<resources>", "b": "<resources/>"}, "a: no element found"),
        ("android", {"a": '<!DOCTYPE r [<!ENTITY e "x">]><r/>', "b": "<r/>"}, "a: declares entities; refused"),
        ("yaml", {"a": "x: [", "b": "x: y"}, "a: while parsing"),
        ("json-english", {"a": "[1]"}, "a: not a JSON mapping"),
        ("xliff", {"a": "<x"}, "a: unclosed token"),
        ("gettext", {"a.po": "nonsense\n"}, "cannot read .*a.po"),
        ("gettext", {"a.mo": "nonsense\n"}, "cannot read .*a.mo"),
        ("tab", {"a": "one\ttwo\nthree\n"}, "a, line 2: expected 2 columns, found no tab"),
        ("properties", {"a": b"\xff=\xff", "b": ""}, "cannot read .*a: .*utf-8"),
        ("dict", {"a.dict": "x"}, "cannot read .*a.index"),
        ("ding", {"a": "nothing here\n"}, "no pair of de and en in "),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, files: dict[str, str | bytes], message: str
) -> None:
    inputs = write(tmp_path, files)
    assert main([kind, *map(str, inputs), "-o", str(tmp_path / "out.tsv")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)


def test_a_missing_input_and_a_wrong_column_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="gone does not exist"):
        read_pairs_of("json", [tmp_path / "gone", tmp_path], GERMAN)
    assert main(["tab", str(tmp_path), "-o", "x", "--columns", "0", "1"]) == 2
    assert "columns are counted from 1" in capsys.readouterr().err
