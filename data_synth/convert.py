"""Turn translated texts as the public gets them into a table "foreign TAB English", one pair a line.

`python -m data_synth.convert FORMAT INPUT... -o OUT.tsv.gz`; docs/data.md has the command for every corpus.
"""

import argparse
import gzip
import io
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data_synth.errors import UserError
from data_synth.formats import FORMATS, Keyed, Languages, Pair, Paired, Texts, read_file

_SENTENCE = re.compile(r"(?<=[.!?])[\"“”»’)]?\s+(?=[\"„“«»(]?[A-ZÀ-ÞĂÂÎȘȚĚŠČŘŽÝÁÍÉŤĎŇÚÓ])")
_ACCELERATOR = re.compile(r"(?<!\w)[&_~](?=\w)|(?<=\w)[&_~](?=[^\W\d_A-Z])")
_SHORT = 60  # characters; longer texts are no labels, so that "_" and "&" stand for themselves


def read_pairs_of(
    kind: str, inputs: Sequence[Path], languages: Languages, columns: tuple[int, int] = (2, 1)
) -> list[Pair]:
    """All pairs of some files, tidied, each once, in their order.

    Args:
        kind: of ``FORMATS``.
        inputs: files or folders, as the format wants them.
        languages: what the sides are in; in folders, it tells which files are meant.
        columns: of tables, counted from 1: that of the foreign and that of the English text.

    Raises:
        UserError: an unknown format, wrong inputs, a file that is missing, damaged or of another format.
    """
    if kind not in FORMATS:
        raise UserError(f"unknown format {kind!r}; there are {', '.join(FORMATS)}")
    form = FORMATS[kind]
    for path in inputs:
        if not path.exists():
            raise UserError(f"{path} does not exist")
    if isinstance(form, Keyed):
        if len(inputs) != 2:
            raise UserError(f"{kind} joins two inputs by message id: FOREIGN ENGLISH (files or folders)")
        pairs = _joined(form, inputs[0], inputs[1], languages)
    else:
        files = [file for path in inputs for file in _files(form, path, languages.foreign)]
        pairs = form.read(files, languages, columns)
    return list(dict.fromkeys(tidy for pair in pairs for tidy in tidied(pair)))


def tidied(pair: Pair) -> Iterator[Pair]:
    """A pair in composed characters and single spaces, without accelerator keys ("&File", "E_xit").

    Lines, and sentences within them, become pairs of their own where both sides have as many; a pair with an empty
    side yields nothing.
    """
    sides = [unicodedata.normalize("NFC", text).replace("\t", " ").replace("\r", "") for text in pair]
    sides = [_ACCELERATOR.sub("", text) if len(text) <= _SHORT else text for text in sides]
    for part in _split(sides, _lines):
        for sentence in _split(part, _SENTENCE.split):
            foreign, english = (" ".join(text.split()) for text in sentence)
            if foreign and english:
                yield foreign, english


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _split(sides: Sequence[str], cut: Callable[[str], list[str]]) -> list[tuple[str, str]]:
    """Both sides cut into parts, or left whole where they do not come to the same number."""
    foreign, english = (cut(side) for side in sides)
    return list(zip(foreign, english, strict=True)) if len(foreign) == len(english) else [(sides[0], sides[1])]


def _of_language(language: str) -> re.Pattern[str]:
    """Where a path names a language: de/, de.po, values-de, x_de.json, de_DE, de-DE."""
    return re.compile(rf"(?<![A-Za-z]){language}(?:[_-][A-Z]{{2}})?(?![A-Za-z])")


def _files(form: Keyed | Paired, path: Path, language: str) -> list[Path]:
    """The input itself; a folder stands for its files of the format that name the language, or for all if none does."""
    if not path.is_dir() or not form.endings:
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(form.endings))
    if not files:
        raise UserError(f"{path}: no {' or '.join(form.endings)} file in it")
    pattern = _of_language(language)
    return [file for file in files if pattern.search(str(file.relative_to(path)))] or files


def _joined(form: Keyed, foreign: Path, english: Path, languages: Languages) -> Iterator[Pair]:
    """Texts of both sides with the same id; within folders, in a file of the same name as well."""
    sides = [_texts(form, foreign, languages.foreign), _texts(form, english, languages.english)]
    common = [name for name in sides[0] if name in sides[1]]
    if not common:
        raise UserError(f"{foreign} and {english} have no message id in common")
    return ((sides[0][name], sides[1][name]) for name in common)


def _texts(form: Keyed, path: Path, language: str) -> Texts:
    """Texts by id; an id that a folder has several times with different texts tells nothing and is left out."""
    if path.is_dir() and not form.endings:
        raise UserError(f"{path} is a folder; name the file")
    texts: Texts = {}
    doubtful = set()
    for file in _files(form, path, language):
        prefix = _of_language(language).sub("*", file.name) + ":" if path.is_dir() else ""
        try:
            found = form.read(read_file(file), language)
        except UserError:
            raise
        except (ValueError, SyntaxError) as error:  # what the parsers of JSON and XML raise
            raise UserError(f"{file}: {' '.join(str(error).split())}") from None
        for name, text in found.items():
            if texts.setdefault(prefix + name, text) != text:
                doubtful.add(prefix + name)
    return {name: text for name, text in texts.items() if name not in doubtful}


def write_table(pairs: Sequence[Pair], path: Path) -> None:
    """Write "foreign TAB English" lines, packed where the name ends in .gz; the same pairs give the same bytes."""
    content = "".join(f"{foreign}\t{english}\n" for foreign, english in pairs).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=0) as file:
            file.write(content)
        content = buffer.getvalue()
    path.write_bytes(content)


def parser() -> argparse.ArgumentParser:
    """The options, with a list of the formats."""
    width = max(map(len, FORMATS))
    top = argparse.ArgumentParser(
        "python -m data_synth.convert",
        description=__doc__,
        epilog="formats\n" + "\n".join(f"  {name:{width}}  {form.help}" for name, form in FORMATS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("format", metavar="FORMAT", help="see below")
    top.add_argument("inputs", metavar="INPUT", nargs="+", type=Path, help="files or folders; FOREIGN, then ENGLISH")
    top.add_argument("-o", "--out", metavar="OUT", type=Path, required=True, help="table to write: .tsv or .tsv.gz")
    top.add_argument("--foreign", default="de", metavar="LANG", help="language of the first column (default: de)")
    top.add_argument("--english", default="en", metavar="LANG", help="language of the second column (default: en)")
    top.add_argument(
        "--columns", nargs=2, type=int, default=(2, 1), metavar="N", help="of tables: foreign, English (default: 2 1)"
    )
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, or 2 for a mistake of the user's."""
    arguments = parser().parse_args(argv)
    try:
        languages = Languages(arguments.foreign, arguments.english)
        if min(arguments.columns) < 1:
            raise UserError(f"--columns {arguments.columns[0]} {arguments.columns[1]}: columns are counted from 1")
        pairs = read_pairs_of(arguments.format, arguments.inputs, languages, tuple(arguments.columns))
        if not pairs:
            raise UserError(f"no pair of {languages.foreign} and {languages.english} in {arguments.inputs[0]}")
        write_table(pairs, arguments.out)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(pairs):,} pairs -> {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
