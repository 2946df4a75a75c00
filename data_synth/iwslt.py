"""The IWSLT (TED talk) releases as downloaded: an archive or a folder of tagged training text and XML dev/test sets.

The customary IWSLT14 recipe: from `train.tags.*`, lines that hold nothing but talk data (<url>, <keywords>, ...) are
dropped, titles and descriptions keep their text and lose their tags, and every 23rd remaining pair goes to validation;
the test set is dev2010, dev2012 and tst2010 to tst2012, as far as the release has them (`missing_test_sets` names the
others). A release is taken as it is handed out: the archive of one pair of languages (`de-en.tgz`, `de-en.zip`), that
of a whole year, in which those of all pairs lie (`2014-01.tgz`), or a folder of any of them or of what was unpacked.
Nothing is unpacked to disk, and the XML never meets an XML parser: segments are cut out by pattern, and a file that
declares entities is refused.
"""

import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from data_synth.errors import UserError

VALIDATION_EVERY = 23
TEST_SETS = ("dev2010", "dev2012", "tst2010", "tst2011", "tst2012")

_TRAIN = re.compile(r"train\.tags\.([a-z]{2,3})-([a-z]{2,3})\.([a-z]{2,3})$")
_SET = re.compile(r"(IWSLT\d+\.TEDX?)\.(\w+)\.([a-z]{2,3})-([a-z]{2,3})\.([a-z]{2,3})\.xml$")
_DATA_LINE = re.compile(r"<(url|keywords|speaker|talkid|reviewer|translator|doc|/doc|transcript)\b", re.I)
_KEPT_TAG = re.compile(r"</?(title|description)>", re.I)
_SEGMENT = re.compile(r"<seg\s+id\s*=\s*[\"']?\w+[\"']?\s*>(.*?)</seg>", re.S | re.I)
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
_ENTITY = re.compile("|".join(_ENTITIES))
_LARGEST_FILE = 1 << 30  # bytes; a guard against archives that unpack without end
_ARCHIVES = (".tgz", ".tar.gz", ".tar", ".zip")
_YEAR = re.compile(r"\d{4}-\d\d")  # of the archive of a year, which has all pairs of languages
_DEPTH = 2  # the archive of a year holds those of pairs, and these hold files


@dataclass(frozen=True)
class Release:
    """The corpus files of one release: file name -> its content (from an archive) or its path (in a folder)."""

    name: str
    files: dict[str, bytes | Path] = field(repr=False)


def is_archive(name: str) -> bool:
    """Whether a file may be a release as it was downloaded, by its name."""
    return name.endswith(_ARCHIVES)


def open_release(path: Path, languages: tuple[str, str] | None = None) -> Release | None:
    """The IWSLT release at a path, or None if there is none: no archive, or a folder without its files.

    Args:
        languages: only files of this pair of languages, in either order; None takes all.

    Raises:
        UserError: an archive that cannot be read.
    """
    files: dict[str, bytes | Path] = {}
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        for file in inside:
            if is_archive(file.name) and _may_hold(file.name, languages):
                files |= _read_archive(file, languages)
        files |= {
            file.name: file for file in inside if _is_wanted(file.name, languages)
        }  # what is unpacked comes first
        return Release(str(path), files) if files else None
    if path.is_file() and is_archive(path.name):
        return Release(str(path), {**_read_archive(path, languages)})
    return None


def _is_wanted(name: str, languages: tuple[str, str] | None) -> bool:
    """Whether a file belongs to the corpus, and to the pair of languages."""
    match = _TRAIN.match(name) or _SET.match(name)
    return match is not None and (languages is None or set(languages) == set(match.groups()[-3:-1]))


def _may_hold(name: str, languages: tuple[str, str] | None) -> bool:
    """Whether an archive within a release, such as `de-en.tgz` or `DeEnItNlRo-DeEnItNlRo.tgz`, may have the pair."""
    if languages is None or _YEAR.match(name):
        return True
    return all(language in name.lower() for language in languages)


def _read_archive(path: Path, languages: tuple[str, str] | None) -> dict[str, bytes]:
    try:
        with open(path, "rb") as file:
            return _unpack(file, str(path), languages, _DEPTH)
    except OSError as error:
        raise UserError(f"cannot read archive {path}: {error}") from error


def _unpack(file: IO[bytes], name: str, languages: tuple[str, str] | None, depth: int) -> dict[str, bytes]:
    """The corpus files of an archive, and of archives within it down to a depth."""
    contents: dict[str, bytes] = {}
    try:
        for member, size, content in _members(file, name):
            base = member.rpartition("/")[2]
            nested = depth > 1 and is_archive(base) and _may_hold(base, languages)
            if not nested and not _is_wanted(base, languages):
                continue
            if size > _LARGEST_FILE:
                raise UserError(f"{name}: {member} claims {size:,} bytes, which no corpus file has")
            with content() as opened:
                if nested:
                    contents |= _unpack(io.BytesIO(opened.read()), f"{name}: {member}", languages, depth - 1)
                else:
                    contents[base] = opened.read()
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, RuntimeError) as error:
        raise UserError(f"cannot read archive {name}: {error}") from error
    return contents


def _members(file: IO[bytes], name: str) -> Iterator[tuple[str, int, Callable[[], IO[bytes]]]]:
    """Name, size in bytes and a way to open each file of a tar or zip archive."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(file) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    yield info.filename, info.file_size, partial(packed.open, info)
        return
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for member in archive:
            if member.isfile():
                yield member.name, member.size, partial(_opened, archive, member)


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return archive.extractfile(member) or io.BytesIO()


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


def missing_test_sets(path: Path, source: str, target: str) -> list[str]:
    """Which of `TEST_SETS` a release lacks in one of the languages; none where the path is no release.

    Raises:
        UserError: an archive that cannot be read.
    """
    release = open_release(path, (source, target))
    names = _sides(release, _SET, source, target) if release else {}
    return [name for name in TEST_SETS if name not in names] if release else []


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

    A release is made for one direction, but serves both; files of the asked direction come first. Where several years
    or both TED and TEDX have a set, it is the first of them by name.
    """
    found: dict[str, tuple[str, str]] = {}
    for direction in ((source, target), (target, source)):
        sides: dict[tuple[str, ...], dict[str, str]] = {}  # campaign and set -> language -> name
        for name in sorted(release.files):
            match = pattern.match(name)
            if match is not None and match.groups()[-3:-1] == direction:
                sides.setdefault(match.groups()[:-3], {})[match.groups()[-1]] = name
        for title, names in sides.items():
            if source in names and target in names:
                found.setdefault(title[-1] if title else "", (names[source], names[target]))
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
