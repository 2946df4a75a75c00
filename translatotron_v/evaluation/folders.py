"""Folders of pictures as the field hands them out: which pictures belong together, and which texts stand on them.

Pictures pair by name. Known layouts (docs/field.md): folders `de` and `en` in one folder, with names such as `7.de.png`
and `7.en.png` (E2E-IIMT); in each of them `image` and `subtitle.txt` (IIMT30k); `menu.de.png` beside `menu.en.png`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from translatotron_v.errors import UserError, named
from translatotron_v.inference.pictures import SAVE_OPTIONS, PictureError, count_frames, open_picture

_INSIDE = ("image", "images")  # where the pictures of a folder may lie, beside other things
_LANGUAGE = re.compile(r"(.+)[._-]([a-z]{2}(?:[-_][A-Za-z]{2})?)$")  # at the end of a name without its extension


class PictureFolder:
    """The pictures of a folder by name, which is the file's without its extension; 10 comes after 9.

    Args:
        folder: where they lie, or what holds a folder `image` of them.
        paths: name -> file, where not all files of the folder are meant.

    Raises:
        UserError: no such folder, no pictures in it, or two of one name.
    """

    def __init__(self, folder: Path, paths: Mapping[str, Path] | None = None) -> None:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        self.folder = folder
        self.broken: dict[str, str] = {}  # name -> what is wrong with its file, once `find` has met it
        self.several: dict[str, int] = {}  # name -> frames or pages of its file, once it was opened
        if paths is None:
            self.folder = next((folder / name for name in _INSIDE if _is_within(folder, name)), folder)
            paths = _by_name([(path.stem, path) for path in _pictures_in(self.folder)])
        if not paths:
            raise UserError(f"{folder}: no pictures in this folder ({', '.join(SAVE_OPTIONS)})")
        self.paths = {name: paths[name] for name in sorted(paths, key=_natural)}

    def open(self, name: str) -> Image.Image:
        """The picture; a PictureError where it is missing or broken."""
        picture = open_picture(self.paths.get(name, self.folder / f"{name}.png"))
        if (frames := count_frames(picture)) > 1:
            self.several[name] = frames
        return picture

    def find(self, name: str) -> Image.Image | None:
        """The picture, or None where it is missing or broken."""
        try:
            return self.open(name) if name in self.paths else None
        except PictureError as error:
            self.broken[name] = str(error)
            return None

    def without_language(self) -> "PictureFolder":
        """The same pictures without the language at the end of their names, where all of them name the same one."""
        found = {name: _LANGUAGE.match(name) for name in self.paths}
        if len({match and match[2] for match in found.values()}) > 1 or None in found.values():
            return self
        return PictureFolder(self.folder, {match[1]: self.paths[name] for name, match in found.items() if match})

    def texts_beside(self) -> Path | None:
        """The file of their texts, one a line, that comes with IIMT30k and that the scripts of E2E-IIMT leave."""
        above = self.folder.parent
        places = [above / "subtitle.txt"] if self.folder.name in _INSIDE else []
        if above.name in _INSIDE:
            places.append(above.parent / f"plain.{self.folder.name}")
        return next((place for place in places if place.is_file()), None)


def aligned(folders: Sequence[PictureFolder]) -> list[PictureFolder]:
    """The folders with names by which they pair: where none is in all of them, languages are taken off the names."""
    plain = [folder.without_language() for folder in folders]
    return plain if not _shared(folders) and _shared(plain) else list(folders)


def check_some_paired(pictures: PictureFolder, references: PictureFolder) -> None:
    """Raise UserError where no picture has the name of a reference."""
    if not _shared([pictures, references]):
        one, other = (named(list(folder.paths)) for folder in (pictures, references))
        raise UserError(
            f"{pictures.folder} and {references.folder} share no name, by which pictures pair: {one} and {other}"
        )


def check_paired(folders: Sequence[PictureFolder]) -> None:
    """Raise UserError unless all folders have pictures of the same names."""
    first = folders[0]
    for other in folders[1:]:
        for one, two in ((first, other), (other, first)):
            if missing := [name for name in one.paths if name not in two.paths]:
                counts = f"{first.folder} has {len(first.paths):,} pictures, {other.folder} has {len(other.paths):,}"
                raise UserError(f"{counts}; they pair by name, and {two.folder} has none of {named(missing)}")


def texts_beside(folders: Sequence[PictureFolder]) -> list[Path]:
    """The files of texts that come with folders, where all of them have one."""
    found = [path for folder in folders if (path := folder.texts_beside()) is not None]
    return found if len(found) == len(folders) else []


def find_sides(folder: Path, source: str, target: str) -> list[PictureFolder]:
    """The pictures in two languages within one folder, source first, with names by which they pair.

    Raises:
        UserError: there are none, or those of a language share a name.
    """
    for base in (folder, *(folder / name for name in _INSIDE)):
        if (base / source).is_dir() and (base / target).is_dir():
            return aligned([PictureFolder(base / source), PictureFolder(base / target)])
    sides: dict[str, list[tuple[str, Path]]] = {source: [], target: []}
    for path in _pictures_in(folder):
        match = _LANGUAGE.match(path.stem)
        if match and match[2] in sides:
            sides[match[2]].append((match[1], path))
    if not sides[source] or not sides[target]:
        raise UserError(
            f"{folder}: expected folders {source} and {target} in it, or files NAME.{source}.png beside "
            f"NAME.{target}.png; or name two folders"
        )
    return [PictureFolder(folder, _by_name(side)) for side in sides.values()]


def texts_for(path: Path, pictures: PictureFolder) -> list[str]:
    """The text of each picture in the order of names, from a file of one of three forms.

    Lines "name TAB text" or a JSON object of names and texts, names with or without a picture's extension; or nothing
    but texts, a line for each picture in the order of their names, 10 after 9.

    Raises:
        UserError: the file is missing or holds something else (the message names the line), or a text is missing.
    """
    content = _content(path)
    lines = [line.rstrip("\r") for line in content.split("\n")]
    if lines[-1] == "":
        lines.pop()
    if path.suffix.lower() != ".json" and not any("\t" in line for line in lines):
        if len(lines) != len(pictures.paths):
            raise UserError(
                f"{path} has {len(lines):,} lines, {pictures.folder} has {len(pictures.paths):,} pictures: write one "
                "line for each in the order of their names, or name TAB text"
            )
        return lines
    texts = _by_key(path, _json_entries(path, content) if path.suffix.lower() == ".json" else _entries(path, lines))
    found = {name: texts.get(name, texts.get(file.stem)) for name, file in pictures.paths.items()}
    if missing := [name for name, text in found.items() if text is None]:
        raise UserError(f"{path}: no text for {named(missing)}")
    return [text for text in found.values() if text is not None]


def _pictures_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SAVE_OPTIONS and not path.name.startswith(".") and path.is_file()
    ]


def _is_within(folder: Path, name: str) -> bool:
    """Whether the pictures of a folder lie in one of that name in it, and not in itself."""
    return (folder / name).is_dir() and not _pictures_in(folder)


def _by_name(files: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in files:
        other = found.setdefault(name, path)
        if other != path:
            raise UserError(f"{other} and {path.name} bear one name: pictures are paired by it, keep one")
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _shared(folders: Sequence[PictureFolder]) -> set[str]:
    return set.intersection(*(set(folder.paths) for folder in folders))


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _entries(path: Path, lines: Sequence[str]) -> list[tuple[str, str]]:
    entries = []
    for number, line in enumerate(lines, start=1):
        name, separator, text = line.partition("\t")
        if separator:
            entries.append((name, text))
        elif line.strip():
            raise UserError(f"{path}, line {number}: expected name TAB text, found no tab")
    return entries


def _json_entries(path: Path, content: str) -> list[tuple[str, str]]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise UserError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise UserError(f"{path}: expected one JSON object of names and texts")
    return list(found.items())


def _by_key(path: Path, entries: Sequence[tuple[str, str]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, text in entries:
        key = Path(name).stem if Path(name).suffix.lower() in SAVE_OPTIONS else name
        if key in texts:
            raise UserError(f"{path}: {key!r} has two texts")
        texts[key] = text
    return texts
