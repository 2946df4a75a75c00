"""What translated texts come in, format by format: message catalogs, word lists, package indices, aligned lines.

A format is either *keyed* (one file a language: message id -> text, joined by id) or *paired* (both languages in one
go). Nothing here judges a text: markup and placeholders stay in, whoever trains cleans.
"""

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from data_synth import iwslt
from data_synth.corpora import read_lines, read_pairs
from data_synth.errors import UserError

Pair = tuple[str, str]  # foreign, English
Texts = dict[str, str]  # message id -> text


@dataclass(frozen=True)
class Languages:
    """Codes of the foreign side and of the side that every corpus has, for example "de" and "en"."""

    foreign: str
    english: str


@dataclass(frozen=True)
class Keyed:
    """A format with a file for each language: inputs are FOREIGN and ENGLISH, two files or two folders.

    Attributes:
        endings: of the files that are looked for in a folder.
        read: content of a file -> its texts by id; the second argument is the file's language.
        help: what it reads.
    """

    endings: tuple[str, ...]
    read: Callable[[str, str], Texts]
    help: str


@dataclass(frozen=True)
class Paired:
    """A format that has both languages: each input, or all of them, yield pairs.

    Attributes:
        endings: of the files that are looked for in a folder; empty where a folder is no input.
        read: inputs, languages, columns (of tables) -> pairs.
        help: what it reads.
    """

    endings: tuple[str, ...]
    read: Callable[[Sequence[Path], Languages, tuple[int, int]], Iterator[Pair]]
    help: str


def read_file(path: Path) -> str:
    """A text file in UTF-8, packed or not (gz, dz, bz2, xz).

    Raises:
        UserError: it cannot be read.
    """
    openers: dict[str, Any] = {".gz": gzip.open, ".dz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    try:
        with openers.get(path.suffix, open)(path, "rb") as file:
            return str(file.read().decode("utf-8-sig"))
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def _flat(value: Any, language: str, skipped: Sequence[str] = (), path: str = "") -> Iterator[Pair]:
    """The texts of a nested mapping by path; a level whose key is the language itself is no part of it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if str(key) not in skipped and not str(key).startswith("@"):
                level = str(key) == language and isinstance(inner, Mapping)
                yield from _flat(inner, language, skipped, path if level else f"{path}/{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, language, skipped, f"{path}/{number}")


def _json(*skipped: str) -> Callable[[str, str], Texts]:
    return lambda text, language: dict(_flat(json.loads(text), language, skipped))


def _yaml(text: str, language: str) -> Texts:
    import yaml

    try:
        return dict(_flat(yaml.safe_load(text), language))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _xml(text: str) -> ElementTree.Element:
    if "<!ENTITY" in text:
        raise ValueError("declares entities; refused")
    return ElementTree.fromstring(text)


def _android(text: str, language: str) -> Texts:
    texts = {}
    for element in _xml(text).iter():
        name = element.get("name", "")
        if element.tag == "string":
            texts[name] = "".join(element.itertext())
        elif element.tag in ("plurals", "string-array"):
            for number, item in enumerate(element.iter("item")):
                texts[f"{name}/{item.get('quantity', number)}"] = "".join(item.itertext())
    return {name: re.sub(r"\\(['\"@?])", r"\1", value).replace("\\n", "\n") for name, value in texts.items()}


_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")


def _properties(text: str, language: str) -> Texts:
    def resolve(match: re.Match[str]) -> str:
        escaped = match[1]
        return chr(int(escaped[1:], 16)) if len(escaped) == 5 else {"n": "\n", "t": "\t"}.get(escaped, escaped)

    texts = {}
    for line in re.sub(r"\\\n\s*", "", text).split("\n"):
        entry = re.match(r"\s*([^\s#!=:][^=:\s]*)\s*[=:]\s*(.*)", line)
        if entry:
            texts[entry[1]] = _ESCAPE.sub(resolve, entry[2])
    return texts


def _fluent(text: str, language: str) -> Texts:
    """Messages, terms and attributes; terms of the same file are put in where they are used."""
    texts: Texts = {}
    message = current = ""
    for line in text.split("\n"):
        entry = re.match(r"(-?[A-Za-z][\w-]*) *= *(.*)", line)
        attribute = re.match(r"\s+\.([A-Za-z][\w-]*) *= *(.*)", line)
        if entry:
            message = current = entry[1]
            texts[current] = entry[2]
        elif attribute and message:
            current = f"{message}.{attribute[1]}"
            texts[current] = attribute[2]
        elif line[:1].isspace() and current:
            texts[current] += " " + line.strip()
        elif line:
            message = current = ""
    terms = {name: value for name, value in texts.items() if name.startswith("-")}
    return {
        name: re.sub(r"\{ *(-[\w-]+) *\}", lambda term: terms.get(term[1], term[0]), value).strip()
        for name, value in texts.items()
    }


def _dtd(text: str, language: str) -> Texts:
    found = re.findall(r"<!ENTITY\s+([\w.-]+)\s+(?:\"([^\"]*)\"|'([^']*)')\s*>", text)
    return {name: double or single for name, double, single in found}


def _descriptions(text: str, language: str) -> Texts:
    """A Debian Translation index: title and paragraphs of every description, by its checksum.

    The number of paragraphs is part of a paragraph's id, so that only descriptions with as many correspond.
    """
    texts = {}
    for stanza in text.split("\n\n"):
        found = re.search(r"^Description-md5: *(\w+)\nDescription-[\w-]+: *(.*)\n?((?:^ .*\n?)*)", stanza, re.MULTILINE)
        if not found:
            continue
        texts[found[1]] = found[2]
        paragraphs = re.split(r"^ \.\n", found[3], flags=re.MULTILINE)
        for number, paragraph in enumerate(paragraphs):
            if not paragraph.startswith(("  ", " *", " -")):  # lists are broken in as many ways as there are lists
                texts[f"{found[1]}/{number}/{len(paragraphs)}"] = " ".join(paragraph.split())
    return texts


class _Blocks(HTMLParser):
    """The text of every block of a page, in order."""

    TAGS = ("p", "li", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6", "td", "th", "caption", "title")

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in self.TAGS:
            self.blocks.append("")
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        if tag in self.TAGS:
            self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.blocks[-1] += data


def _html(text: str, language: str) -> Texts:
    """Blocks by number; that of all blocks is part of the id, so that only pages with as many correspond."""
    parser = _Blocks()
    parser.feed(text)
    return {f"{number}/{len(parser.blocks)}": " ".join(block.split()) for number, block in enumerate(parser.blocks)}


def _gettext(paths: Sequence[Path], languages: Languages, columns: tuple[int, int]) -> Iterator[Pair]:
    try:
        import polib
    except ImportError:
        raise UserError(
            "gettext catalogues are read by polib, which is not installed: pip install 'translatotron-v[convert]'"
        ) from None

    for path in paths:
        try:
            entries = polib.mofile(str(path)) if path.suffix in (".mo", ".gmo") else polib.pofile(str(path))
        except (OSError, ValueError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
        for entry in entries:
            if entry.obsolete or "fuzzy" in entry.flags:
                continue
            english = re.sub(r"^[\w ]+\^", "", entry.msgid)  # Wesnoth writes the context before the text
            if entry.msgid_plural:
                forms = [text for _, text in sorted(entry.msgstr_plural.items())]
                yield forms[0], english
                yield forms[-1], entry.msgid_plural
            else:
                yield entry.msgstr, english


def _english_keys(paths: Sequence[Path], languages: Languages, columns: tuple[int, int]) -> Iterator[Pair]:
    for path in paths:
        try:
            content = json.loads(read_file(path))
            messages = content.get("translations", content)
            pairs = [(value, key) for key, value in messages.items() if isinstance(value, str)]
        except (ValueError, AttributeError) as error:
            raise UserError(f"{path}: not a JSON mapping of English texts to translations ({error})") from None
        yield from pairs


def _xliff(paths: Sequence[Path], languages: Languages, columns: tuple[int, int]) -> Iterator[Pair]:
    for path in paths:
        try:
            root = _xml(read_file(path))
        except (ValueError, ElementTree.ParseError) as error:
            raise UserError(f"{path}: {error}") from None
        for unit in root.iter():
            sides = {child.tag.rpartition("}")[2]: "".join(child.itertext()) for child in unit}
            if "source" in sides and "target" in sides:
                yield sides["target"], sides["source"]


def _ding(longest: int, shortest: int) -> Callable[[Sequence[Path], Languages, tuple[int, int]], Iterator[Pair]]:
    """Entries "a; b | c :: x; y | z": senses correspond by position, and of synonyms the first is taken."""

    def bare(text: str) -> str:
        text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|<[^>]*>|(?<!\S)/[^/ ]+/(?!\S)", " ", text)
        return " ".join(text.split(";")[0].split())

    def read(paths: Sequence[Path], languages: Languages, columns: tuple[int, int]) -> Iterator[Pair]:
        for line in (line for path in paths for line in read_file(path).split("\n")):
            sides = [side.split("|") for side in line.split("::")]
            if line.startswith("#") or len(sides) != 2 or len(sides[0]) != len(sides[1]):
                continue
            for german, english in zip(*sides, strict=True):
                foreign, own = bare(german), bare(english)
                if not shortest <= len(foreign.split()) <= longest or " / " in foreign + own:  # a / b: words to choose
                    continue
                yield foreign, own.removeprefix("to ") if foreign.endswith("n") else own  # infinitives

    return read


_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _dict(paths: Sequence[Path], languages: Languages, columns: tuple[int, int]) -> Iterator[Pair]:
    """Entries of a dictd database: headword, pronunciation and part of speech in a line, then numbered senses."""
    for path in paths:
        stem = path.name.partition(".dict")[0]
        index = path.with_name(f"{stem}.index")
        content = read_file(path).encode("utf-8")
        reverse = re.search(r"(?:^|-)eng-", stem) is not None
        for line in read_file(index).split("\n"):
            cells = line.split("\t")
            if len(cells) < 3 or cells[0].startswith("00"):
                continue
            start, size = (_number(cell) for cell in cells[1:3])
            head, *senses = content[start : start + size].decode("utf-8", "replace").strip().split("\n")
            word = re.split(r" [/<\[(]", head)[0].strip()
            sense = next((re.sub(r"^\d+\. *", "", sense.strip()) for sense in senses if sense.strip()), "")
            meaning = re.split(r"[,;]", re.sub(r"\([^)]*\)|\[[^\]]*\]|<[^>]*>", "", sense))[0].strip()
            yield (meaning, word) if reverse else (word, meaning)


def _number(digits: str) -> int:
    """A number as dictd writes it, in base 64 without padding."""
    value = 0
    for digit in digits:
        value = value * 64 + _DIGITS.index(digit)
    return value


def _table(paths: Sequence[Path], languages: Languages, columns: tuple[int, int]) -> Iterator[Pair]:
    for path in paths:
        for number, line in enumerate(read_file(path).split("\n"), start=1):
            cells = line.rstrip("\r").split("\t")
            if len(cells) >= max(columns):
                yield cells[columns[0] - 1], cells[columns[1] - 1]
            elif line.strip() and len(cells) == 1:  # shorter rows lack the languages; this is no row
                raise UserError(f"{path}, line {number}: expected {max(columns)} columns, found no tab")


def _moses(paths: Sequence[Path], languages: Languages, columns: tuple[int, int]) -> Iterator[Pair]:
    if len(paths) % 2:
        raise UserError("moses reads files two by two: FOREIGN ENGLISH")
    for foreign, english in zip(paths[::2], paths[1::2], strict=True):
        sides = [
            iwslt.segments(read_file(path), str(path)) if ".xml" in path.suffixes else read_lines(path)
            for path in (foreign, english)
        ]
        if len(sides[0]) != len(sides[1]):
            raise UserError(
                f"{foreign} has {len(sides[0])} lines but {english} has {len(sides[1])}: lines must correspond"
            )
        yield from zip(*sides, strict=True)


def _iwslt(paths: Sequence[Path], languages: Languages, columns: tuple[int, int]) -> Iterator[Pair]:
    for path in paths:
        for split in ("train", "validation"):
            for pair in read_pairs(path, languages.foreign, languages.english, split):
                yield pair.source, pair.target


def _taxonomy(paths: Sequence[Path], languages: Languages, columns: tuple[int, int]) -> Iterator[Pair]:
    """Stanzas of "de: Name, synonym" lines, one a language; the names correspond."""
    for stanza in (stanza for path in paths for stanza in read_file(path).split("\n\n")):
        names = dict(re.findall(r"^([a-z]{2}): *([^,\n]+)", stanza, re.MULTILINE))
        if languages.foreign in names and languages.english in names:
            yield names[languages.foreign], names[languages.english]


FORMATS: dict[str, Keyed | Paired] = {
    "gettext": Paired((".po", ".mo", ".gmo"), _gettext, "gettext catalogs .po and .mo, English to FOREIGN"),
    "android": Keyed((".xml",), _android, "Android strings.xml"),
    "json": Keyed((".json", ".arb"), _json(), "JSON of any depth, message ids as keys"),
    "json-english": Paired((".json",), _english_keys, "JSON with the English text itself as key (nextcloud)"),
    "yaml": Keyed((".yml", ".yaml"), _yaml, "YAML of any depth, message ids as keys (Rails and others)"),
    "properties": Keyed((".properties",), _properties, "Java .properties"),
    "fluent": Keyed((".ftl",), _fluent, "Fluent .ftl"),
    "dtd": Keyed((".dtd",), _dtd, "Mozilla .dtd"),
    "xliff": Paired((".xlf", ".xliff"), _xliff, "XLIFF, English to FOREIGN"),
    "html": Keyed((".html", ".xhtml"), _html, "the same pages in two languages, block by block"),
    "ddtp": Keyed((), _descriptions, "Debian Translation-LANG indices, joined by checksum"),
    "cldr": Keyed((".json",), _json("default", "identity", "_version"), "CLDR JSON: main/LANG/*.json, annotations"),
    "osm": Keyed((".json",), _json("terms", "aliases"), "OpenStreetMap presets: dist/translations/LANG.json"),
    "taxonomy": Paired((".txt",), _taxonomy, "Open Food Facts taxonomies/*.txt"),
    "ding": Paired((), _ding(3, 1), "TU Chemnitz word list (trans-de-en): words and phrases of up to three words"),
    "ding-examples": Paired((), _ding(100, 4), "the same: phrases and sentences of four words and more"),
    "dict": Paired((".dict.dz", ".dict"), _dict, "dictd databases (freedict), NAME.dict.dz beside NAME.index"),
    "tab": Paired((".txt", ".tsv"), _table, "tables: manythings.org (English TAB foreign), Tatoeba (--columns 2 4)"),
    "moses": Paired((), _moses, "aligned lines FOREIGN ENGLISH; or segments of two IWSLT .xml files"),
    "iwslt": Paired((), _iwslt, "an IWSLT release: training text of the archive or its folder"),
}
