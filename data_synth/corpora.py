"""Aligned text pairs from files: Moses pairs and TSV, plain or gzipped, and IWSLT releases (see also `grammar`)."""

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_synth import iwslt
from data_synth.errors import UserError

PUBLIC_TEXTS = "public-texts"  # the name of the corpus that comes with the program


@dataclass(frozen=True)
class TextPair:
    """One aligned pair; several blocks of a page are separated by newlines, the same number on both sides."""

    source: str
    target: str


def read_pairs(path: str | Path, source_language: str, target_language: str, split: str = "train") -> list[TextPair]:
    """Read the aligned pairs of one split; pairs with an empty side are left out.

    Args:
        path: a folder holding `<split>.<language>`, or a prefix such as `data/train` (then `split` is ignored); a
            `.tsv` file "source TAB target" (a name such as `en-de.tsv` tells the order of its columns); each possibly
            gzipped; or an IWSLT release, as the downloaded archive or as a folder; or `PUBLIC_TEXTS`, whatever `split`.
        source_language: file ending of the source side, for example "de".
        target_language: file ending of the target side.
        split: "train", "validation", "test", or whatever a folder's files are called.

    Raises:
        UserError: a missing file, unequal line counts, text that is not UTF-8, a TSV line without a tab, or languages
            that `PUBLIC_TEXTS` does not have.
    """
    if str(path) == PUBLIC_TEXTS:
        return public_texts(source_language, target_language)
    path = Path(path).expanduser()
    if path.is_file() and path.name.endswith((".tsv", ".tsv.gz")):
        return _read_tsv(path, source_language, target_language)
    names = _SPLIT_NAMES.get(split, (split,))
    for prefix in [path / name for name in names] if path.is_dir() else [path]:
        files = [_text_file(prefix, language) for language in (source_language, target_language)]
        if files[0] is not None and files[1] is not None:
            return _paired(read_lines(files[0]), read_lines(files[1]), files[0], files[1])
    release = iwslt.open_release(path, (source_language, target_language))
    if release is not None:
        sides = iwslt.read_split(release, source_language, target_language, split)
        return _paired(*sides, source_language, target_language)
    prefix = path / split if path.is_dir() else path
    raise UserError(
        f"no text at {prefix}: expected {prefix.name}.{source_language} and {prefix.name}.{target_language} "
        "(.gz too), a .tsv file, or an IWSLT release"
    )


def missing_parts(path: str | Path, source_language: str, target_language: str, split: str = "train") -> list[str]:
    """What an IWSLT release lacks of its customary test set, by name; nothing of any other corpus or split.

    Raises:
        UserError: an archive that cannot be read.
    """
    path = Path(path).expanduser()
    if split != "test" or any(_text_file(path / name, source_language) for name in _SPLIT_NAMES[split]):
        return []
    return iwslt.missing_test_sets(path, source_language, target_language)


def read_texts(path: str | Path) -> list[str]:
    """All texts of a corpus, of every language and split that it has; what they translate to plays no part.

    Args:
        path: a text file, a `.tsv` (its first two columns), an IWSLT `.xml`, each possibly gzipped; a prefix such as
            `data/test`, which stands for `data/test.de`, `data/test.en` and so on; an IWSLT archive; or a folder of
            any of them.

    Raises:
        UserError: nothing is there, or it cannot be read.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and _TEXT_FILE.search(file.name))
    elif path.is_file():
        files = [path]
    else:
        files = sorted(file for file in path.parent.glob(f"{path.name}.*") if _LANGUAGE_FILE.search(file.name))
    if not files:
        raise UserError(f"no text at {path}: expected a text, .tsv or .xml file, {path.name}.LANGUAGE, or a folder")
    return [text for file in files for text in _texts_of(file)]


def public_texts(source_language: str, target_language: str) -> list[TextPair]:
    """The texts that come with the program: signs, menus, tickets, forms, labels, interfaces, letters; to train on.

    Raises:
        UserError: they are in German and English only.
    """
    if {source_language, target_language} != {"de", "en"}:
        raise UserError(f"{PUBLIC_TEXTS} is in de and en, not in {source_language} and {target_language}")
    return _read_tsv(Path(__file__).parent / "texts" / "public-texts.de-en.tsv", source_language, target_language)


_LANGUAGE_FILE = re.compile(r"\.[a-z]{2,3}(?:\.gz)?$")
_TEXT_FILE = re.compile(r"\.(?:[a-z]{2}|tsv|xml)(?:\.gz)?$")


def _texts_of(file: Path) -> list[str]:
    if iwslt.is_archive(file.name):
        return iwslt.read_texts(file)
    lines = read_lines(file)
    if file.name.endswith((".xml", ".xml.gz")):
        return iwslt.segments("\n".join(lines), str(file))
    if file.name.endswith((".tsv", ".tsv.gz")):
        return [cell.strip() for line in lines for cell in line.split("\t")[:2] if cell.strip()]
    return [line.strip() for line in lines if line.strip()]


_SPLIT_NAMES = {
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "test_2016_flickr", "tst"),
}


def _text_file(prefix: Path, language: str) -> Path | None:
    for ending in (f".{language}", f".{language}.gz"):
        candidate = prefix.with_name(prefix.name + ending)
        if candidate.is_file():
            return candidate
    return None


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file; only newlines separate them (str.splitlines would also cut at U+2028)."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def _paired(sources: Sequence[str], targets: Sequence[str], source_name: object, target_name: object) -> list[TextPair]:
    if len(sources) != len(targets):
        raise UserError(
            f"{source_name} has {len(sources)} lines but {target_name} has {len(targets)}: lines must correspond"
        )
    pairs = [TextPair(source.strip(), target.strip()) for source, target in zip(sources, targets, strict=True)]
    return [pair for pair in pairs if pair.source and pair.target]


def _read_tsv(path: Path, source_language: str, target_language: str) -> list[TextPair]:
    named = re.search(r"(?:^|[._])([a-z]{2,3})-([a-z]{2,3})\.tsv", path.name)
    swapped = named is not None and named.groups() == (target_language, source_language)
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) < 2:
            raise UserError(f"{path}, line {number}: expected source TAB target, found no tab")
        if cells[0] and cells[1]:
            pairs.append(TextPair(cells[1], cells[0]) if swapped else TextPair(cells[0], cells[1]))
    return pairs
