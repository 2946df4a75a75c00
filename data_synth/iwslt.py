"""The IWSLT (TED talk) releases as downloaded: an archive or a folder of tagged training text and XML dev/test sets.

The customary IWSLT14 recipe: from `train.tags.*`, lines that hold nothing but talk data (<url>, <keywords>, ...) are
dropped, titles and descriptions keep their text and lose their tags, and every 23rd remaining pair goes to validation;
the test set is dev2010, dev2012 and tst2010 to tst2012, as far as the release has them. Nothing is unpacked to disk,
and the XML never meets an XML parser: segments are cut out by pattern, and a file that declares entities is refused.
"""

import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from data_synth.errors import UserError

VALIDATION_EVERY = 23
TEST_SETS = ("dev2010", "dev2012", "tst2010", "tst2011", "tst2012")

_TRAIN = re.compile(r"train\.tags\.([a-z]{2,3})-([a-z]{2,3})\.([a-z]{2,3})$")
_SET = re.compile(r"IWSLT\d+\.TEDX?\.(\w+)\.([a-z]{2,3})-([a-z]{2,3})\.([a-z]{2,3})\.xml$")
_DATA_LINE = re.compile(r"<(url|keywords|speaker|talkid|reviewer|translator|doc|/doc|transcript)\b", re.I)
_KEPT_TAG = re.compile(r"</?(title|description)>", re.I)
_SEGMENT = re.compile(r"<seg\s+id\s*=\s*[\"']?\w+[\"']?\s*>(.*?)</seg>", re.S | re.I)
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
_ENTITY = re.compile("|".join(_ENTITIES))
_LARGEST_FILE = 1 << 30  # bytes; a guard against archives that unpack without end


@dataclass(frozen=True)
class Release:
    """The corpus files of one release: file name -> its content (from an archive) or its path (in a folder)."""

    name: str
    files: dict[str, bytes | Path]


def open_release(path: Path) -> Release | None:
    """The IWSLT release at a path, or None if there is none: no archive, or a folder without its files.

    Raises:
        UserError: an archive that cannot be read.
    """
    if path.is_dir():
        found = {file.name: file for file in sorted(path.rglob("*")) if _is_corpus_file(file.name) and file.is_file()}
        return Release(str(path), {**found}) if found else None
    if path.is_file() and path.name.endswith((".tgz", ".tar.gz", ".tar")):
        return Release(str(path), {**_read_archive(path)})
    return None


def _is_corpus_file(name: str) -> bool:
    return bool(_TRAIN.match(name) or _SET.match(name))


def _read_archive(path: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = Path(member.name).name
                if not member.isfile() or not _is_corpus_file(name):
                    continue
                if member.size > _LARGEST_FILE:
                    raise UserError(f"{path}: {member.name} claims {member.size:,} bytes, which no corpus file has")
                file = archive.extractfile(member)
                contents[name] = file.read() if file is not None else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"cannot read archive {path}: {error}") from error
    return contents


def read_split(release: Release, source: str, target: str, split: str) -> tuple[list[str], list[str]]:
    """Both sides of "train", "validation" or "test", of equal length.

    Raises:
        UserError: files missing, sides of unequal length, not UTF-8, or XML that declares entities.
    """
    if split == "test":
        return _test(release, source, target)
    if split not in ("train", "validation"):
        raise UserError(f"{release.name}: an IWSLT release has splits train, validation and test, not {split!r}")
    names = _sides(release, _TRAIN, source, target)
    if "" not in names:
        raise UserError(f"{release.name}: no train.tags.{source}-{target}.{source} and .{target} in this release")
    sides = [_untag(_text(release, name)) for name in names[""]]
    _check_equal(release, names[""], sides)
    pairs = [(one, other) for one, other in zip(*sides, strict=True) if one and other]
    validation = split == "validation"
    kept = [pair for number, pair in enumerate(pairs, start=1) if (number % VALIDATION_EVERY == 0) == validation]
    return [pair[0] for pair in kept], [pair[1] for pair in kept]


def read_texts(path: Path) -> list[str]:
    """Every sentence of a release's dev and test sets, in all its languages.

    Raises:
        UserError: an archive that cannot be read or has no such set.
    """
    release = open_release(path)
    names = sorted(name for name in release.files if _SET.match(name)) if release else []
    if release is None or not names:
        raise UserError(f"{path}: no IWSLT dev or test set in it")
    return [sentence for name in names for sentence in segments(_text(release, name), name)]


def _test(release: Release, source: str, target: str) -> tuple[list[str], list[str]]:
    names = _sides(release, _SET, source, target)
    sources: list[str] = []
    targets: list[str] = []
    for name in TEST_SETS:
        if name in names:
            sides = [segments(_text(release, file), file) for file in names[name]]
            _check_equal(release, names[name], sides)
            sources += sides[0]
            targets += sides[1]
    if not sources:
        raise UserError(f"{release.name}: none of {', '.join(TEST_SETS)} is there in both {source} and {target}")
    return sources, targets


def _sides(release: Release, pattern: re.Pattern[str], source: str, target: str) -> dict[str, tuple[str, str]]:
    """Set name ("" for training text) -> names of its source and target file, where both exist.

    A release is made for one direction, but serves both; files of the asked direction come first.
    """
    found: dict[str, tuple[str, str]] = {}
    for first, second in ((source, target), (target, source)):
        sides: dict[tuple[str, str], str] = {}
        for name in release.files:
            match = pattern.match(name)
            if match is None:
                continue
            *title, one, other, language = match.groups()
            if (one, other) == (first, second):
                sides[("".join(title), language)] = name
        for title_, language in sides:
            if language == source and (title_, target) in sides:
                found.setdefault(title_, (sides[(title_, source)], sides[(title_, target)]))
    return found


def _text(release: Release, name: str) -> str:
    try:
        content = release.files[name]
        return (content if isinstance(content, bytes) else content.read_bytes()).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{release.name}: cannot read {name}: {error}") from error


def _untag(text: str) -> list[str]:
    """The lines of training text, talk data dropped and the remaining tags stripped."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [_KEPT_TAG.sub("", line).strip() for line in lines if not _DATA_LINE.match(line.lstrip())]


def segments(text: str, name: str) -> list[str]:
    """The sentences of a dev or test set, in its order.

    Raises:
        UserError: the text declares entities.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UserError(f"{name}: declares a document type or entities, which IWSLT files never do; refused")
    return [_ENTITY.sub(lambda match: _ENTITIES[match[0]], segment).strip() for segment in _SEGMENT.findall(text)]


def _check_equal(release: Release, names: tuple[str, str], sides: list[list[str]]) -> None:
    if len(sides[0]) != len(sides[1]):
        raise UserError(
            f"{release.name}: {names[0]} has {len(sides[0])} sentences but {names[1]} has {len(sides[1])}; "
            "the release is damaged"
        )
