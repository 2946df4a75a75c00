"""A corpus in five languages out of a mixture whose corpora are all parallel to English: joined by their English side.

The same string of a program's interface, say, has been translated into many languages. Whatever stands in all of them
becomes a line of `train`, `val` or `test` in each: what `data.text_languages` needs where no corpus is parallel.

    python -m experiments.pivot DATA OUT
"""

import argparse
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from translatotron_v.data.cleaning import clean_text
from translatotron_v.data.mixture import load_mixture
from translatotron_v.data.pairs import read_corpus
from translatotron_v.errors import UserError
from translatotron_v.evaluation.report import write_whole

MIXTURE = "configs/small/mixture.yaml"
LANGUAGES = ("de", "fr", "cs", "ro")
WORDS, LETTERS = (4, 16), 100  # of an English side: as many as tell a language, as few as fit a strip
PARTS = 40  # one of them is `val`, one `test`
_DOMAINS = ("interfaces", "help", "games", "signs", "descriptions")

Row = dict[str, str]  # language -> text


def join(tables: dict[str, dict[str, str]]) -> list[Row]:
    """Rows of all languages, sorted by their English side; what is the same in two languages was not translated.

    Args:
        tables: language -> English text -> its translation.
    """
    rows = []
    for english in sorted(set.intersection(*(set(table) for table in tables.values()))):
        row = {"en": english, **{language: table[english] for language, table in tables.items()}}
        lengths = len(english.split()), len(english)
        fits = WORDS[0] <= lengths[0] <= WORDS[1] and max(map(len, row.values())) <= LETTERS
        if fits and len(set(row.values())) == len(row):
            rows.append(row)
    return rows


def part_of(english: str) -> str:
    """Which split a string belongs to: by its letters alone, whatever else there is."""
    number = zlib.crc32(english.lower().encode()) % PARTS
    return {0: "val", 1: "test"}.get(number, "train")


def read_tables(data: Path, mixture: str = MIXTURE, languages: Sequence[str] = LANGUAGES) -> dict[str, dict[str, str]]:
    """Language -> English text -> its first translation, from those corpora of a mixture that are there.

    Raises:
        UserError: no such mixture, or none of its corpora is there in one of the languages.
    """
    tables: dict[str, dict[str, str]] = {language: {} for language in languages}
    for corpus in load_mixture(mixture).corpora:
        source, target = corpus.languages
        if source not in tables or target != "en" or corpus.domain not in _DOMAINS or not (data / corpus.path).exists():
            continue
        for pair in read_corpus(corpus.path, data, corpus.languages):
            tables[source].setdefault(clean_text(pair.target), clean_text(pair.source))
    if missing := [language for language, table in tables.items() if not table]:
        raise UserError(f"{data}: no corpus of {mixture} into {', '.join(missing)} is there (docs/data.md)")
    return tables


def write(rows: Sequence[Row], out: Path) -> dict[str, int]:
    """Write `SPLIT.LANGUAGE` files; returns how many lines each split has."""
    counts = {}
    for split in ("train", "val", "test"):
        chosen = [row for row in rows if part_of(row["en"]) == split]
        counts[split] = len(chosen)
        for language in rows[0]:
            write_whole(out / f"{split}.{language}", "".join(f"{row[language]}\n" for row in chosen).encode())
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m experiments.pivot", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that the paths of the mixture start from")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the new corpus")
    parser.add_argument("--mixture", default=MIXTURE, metavar="FILE", help=f"({MIXTURE})")
    options = parser.parse_args(argv)
    try:
        rows = join(read_tables(options.data, options.mixture))
        if not rows:
            raise UserError(f"{options.data}: no string stands in all of en, {', '.join(LANGUAGES)}")
        counts = write(rows, options.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(", ".join(f"{count:,} of {split}" for split, count in counts.items()) + f", written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
