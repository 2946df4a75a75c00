"""Lists of faces by family: which a reader is trained on, and which no training page has (configs/faces.yaml)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_synth.errors import UserError
from data_synth.fonts import covered, find_font

PARTS = ("training", "unseen")
KINDS = ("sans", "serif", "mono", "narrow", "hand", "display", "slab")
_TRIES = 8  # families that are drawn before a text is given up


@dataclass(frozen=True)
class Family:
    """Faces of one design.

    Attributes:
        name: of the family.
        kind: one of ``KINDS``.
        faces: names as of ``find_font``.
        package: what brings them: of Debian, of PyPI, or "bundled".
    """

    name: str
    kind: str
    faces: tuple[str, ...]
    package: str = ""


def read_faces(path: str | Path, part: str) -> list[Family]:
    """The families of one part of a file of faces.

    The file maps parts to packages, packages to families, and families to ``{kind: serif, faces: [name, ...]}``.

    Raises:
        UserError: no such file or part, an entry of another form, or a face that stands in both parts.
    """
    path = Path(path)
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; it should list faces (docs/faces.md)") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a YAML file: {str(error).splitlines()[0]}") from None
    if not isinstance(settings, dict) or part not in settings:
        raise UserError(f"{path}: has no part {part!r}; a file of faces has {' and '.join(PARTS)}")
    parts = {name: _families(settings[name], f"{path}: {name}") for name in PARTS if name in settings}
    seen = {face for family in parts.get("training", ()) for face in family.faces}
    for family in parts.get("unseen", ()):
        for face in family.faces:
            if face in seen:
                raise UserError(f"{path}: {face} is in training and unseen; it can be in one of them only")
    return parts[part]


def _families(packages: Any, where: str) -> list[Family]:
    if not isinstance(packages, dict) or not packages:
        raise UserError(f"{where}: expected packages with their families")
    families = []
    for package, entries in packages.items():
        for name, entry in (entries if isinstance(entries, dict) else {"?": None}).items():
            if not isinstance(entry, dict) or set(entry) != {"kind", "faces"} or not isinstance(entry["faces"], list):
                raise UserError(f"{where}: {package}: {name}: expected {{kind: serif, faces: [name, ...]}}")
            if entry["kind"] not in KINDS:
                raise UserError(
                    f"{where}: {package}: {name}: kind must be one of {', '.join(KINDS)}: {entry['kind']!r}"
                )
            families.append(Family(str(name), entry["kind"], tuple(map(str, entry["faces"])), str(package)))
    return families


def installed(families: Sequence[Family]) -> tuple[list[Family], list[str]]:
    """Those faces that are on this machine, by family, and the packages that would bring the others, sorted."""
    found, missing = [], set()
    for family in families:
        faces = []
        for face in family.faces:
            try:
                find_font(face)
            except UserError:
                missing.add(family.package)
            else:
                faces.append(face)
        if faces:
            found.append(Family(family.name, family.kind, tuple(faces), family.package))
    return found, sorted(missing)


def has_all(face: str, text: str) -> bool:
    """Whether a face has a glyph for every character of a text but spaces."""
    return set(map(ord, text)) - {32} <= covered(face)


def require_all(face: str, text: str) -> None:
    """Raises UserError, which names the characters, where a face lacks some of a text."""
    lacking = "".join(sorted({letter for letter in text if letter != " " and ord(letter) not in covered(face)}))
    if lacking:
        raise UserError(f"face {face!r} lacks the characters {lacking!r}: choose another, or leave them out")


def draw_face(families: Sequence[Family], text: str, rng: np.random.Generator) -> tuple[Family, str] | None:
    """A face that has the text's characters: every family alike, then every face of it; None after some tries."""
    for _ in range(_TRIES):
        family = families[int(rng.integers(len(families)))]
        face = family.faces[int(rng.integers(len(family.faces)))]
        if has_all(face, text):
            return family, face
    return None
