"""Aligned text pairs from files: Moses pairs and TSV, plain or gzipped."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_synth.errors import UserError


@dataclass(frozen=True)
class TextPair:
    """One aligned pair; several blocks of a page are separated by newlines, the same number on both sides."""

    source: str
    target: str


def read_pairs(path: str | Path, source_language: str, target_language: str, split: str = "train") -> list[TextPair]:
    """Read the aligned pairs of one split.

    Args:
        path: a folder holding `<split>.<language>`, a prefix such as `data/train` (then `split` is ignored), or a
            `.tsv` file "source TAB target"; each possibly gzipped.
        source_language: file ending of the source side, for example "de".
        target_language: file ending of the target side.
        split: which split of a folder to read.

    Raises:
        UserError: a missing file, unequal line counts, text that is not UTF-8, or a TSV line without a tab.
    """
    path = Path(path).expanduser()
    if path.is_file() and path.name.endswith((".tsv", ".tsv.gz")):
        return _read_tsv(path)
    prefix = path / split if path.is_dir() else path
    source_file, target_file = (_text_file(prefix, language) for language in (source_language, target_language))
    sources, targets = _read_lines(source_file), _read_lines(target_file)
    return _paired(sources, targets, source_file, target_file)


def _text_file(prefix: Path, language: str) -> Path:
    for ending in (f".{language}", f".{language}.gz"):
        candidate = prefix.with_name(prefix.name + ending)
        if candidate.is_file():
            return candidate
    raise UserError(f"no file {prefix}.{language} nor {prefix}.{language}.gz: check path, split and language")


def _read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file, stripped; only newlines separate them (str.splitlines would also cut at U+2028)."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.strip() for line in lines]


def _paired(sources: Sequence[str], targets: Sequence[str], source_name: object, target_name: object) -> list[TextPair]:
    if len(sources) != len(targets):
        raise UserError(
            f"{source_name} has {len(sources)} lines but {target_name} has {len(targets)}: lines must correspond"
        )
    return [TextPair(source, target) for source, target in zip(sources, targets, strict=True) if source and target]


def _read_tsv(path: Path) -> list[TextPair]:
    pairs = []
    for number, line in enumerate(_read_lines(path), start=1):
        if not line:
            continue
        cells = line.split("\t")
        if len(cells) < 2:
            raise UserError(f"{path}, line {number}: expected source TAB target, found no tab")
        pairs.append(TextPair(cells[0].strip(), cells[1].strip()))
    return pairs
