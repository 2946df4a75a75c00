"""Pages of one line of text whose style is known: in many faces, sizes and colours, each with one thing to keep."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from translatotron_v.errors import UserError

SIZES = (12, 16, 22, 36, 64)  # pixels per em
LARGE = (160, 340)
KINDS = ("face", "shear", "underline", "underlined word", "strike", "spacing", "tint", "outline", "shadow", "large")
TEXTS = (
    "Ein Mann springt über die Wiese",
    "Heute geschlossen, morgen wieder da",
    "Bitte nicht auf den Rasen treten",
    "Drei Kinder spielen im Garten",
    "Frisches Brot und guter Kuchen",
    "Die Ausstellung beginnt am Montag",
    "Zimmer mit Blick auf den See",
    "Hunde müssen draußen bleiben",
)
_REGULAR = ("Regular", "Roman", "Book")
_STYLES = (
    "Thin", "ExtraLight", "Light", "Medium", "SemiBold", "Bold", "Black", "Italic", "BoldItalic", "LightItalic",
)  # fmt: skip
_CONTRAST = 0.55  # distance of the two colours of a page at least; black and white are 1.73 apart
_FINE = 200  # pixels per em of ink from which a face's stems and slant are measured


@dataclass(frozen=True)
class StyledFace:
    """A face, and the regular one of its family, in which a drawer would write."""

    face: str
    regular: str


@dataclass(frozen=True)
class StyledPage:
    """A page, and what is known of it.

    Attributes:
        kind: one of `KINDS`: what is to be given back.
        pixels: (H, W, 3) bytes.
        words: of its line.
        em, baseline: pixels.
        bounds: of its line: left, top, right, bottom.
        ink, ground: colours, RGB in [0, 1].
        truth: what else is known, by name: lengths in ems, angles in degrees, numbers of words, colours.
    """

    name: str
    kind: str
    pixels: np.ndarray
    words: tuple[str, ...]
    face: StyledFace
    em: int
    baseline: int
    bounds: tuple[int, int, int, int]
    ink: tuple[float, float, float]
    ground: tuple[float, float, float]
    truth: dict[str, Any] = field(default_factory=dict)


def styled_faces(families: Sequence[Any]) -> list[StyledFace]:
    """Faces of families (``data_synth.faces.Family``) that have a regular one, with further styles that are installed.

    Raises:
        UserError: none of them has.
    """
    from translatotron_v.data.pages import find_font

    def is_there(face: str) -> bool:
        try:
            find_font(face)
        except Exception:  # of the font finder's own family of errors: not installed
            return False
        return True

    faces: list[StyledFace] = []
    for family in families:
        regular = next((face for face in family.faces if face.split("-")[-1] in _REGULAR), None)
        if regular is None or not is_there(regular):
            continue
        stem = regular.rpartition("-")[0]
        others = dict.fromkeys([*family.faces, *(f"{stem}-{style}" for style in _STYLES)])
        faces += [StyledFace(face, regular) for face in others if face.startswith(stem) and is_there(face)]
    if not faces:
        raise UserError("no family of these faces has a regular one that is installed (docs/faces.md)")
    return faces


def styled_pages(faces: Sequence[StyledFace], count: int, seed: int) -> Iterator[StyledPage]:
    """Pages of every kind, the same for equal arguments: each face ``count`` times, and of each other kind as many."""
    rng = np.random.default_rng(seed)
    for number, face in enumerate(faces):
        for index in range(count):
            size = SIZES[(number + 2 * index) % len(SIZES)]
            yield _page("face", f"{face.face}-{size}-{index}", face, size, rng)
    upright = [face for face in faces if face.face == face.regular]
    for kind in KINDS[1:]:
        sizes = LARGE if kind == "large" else SIZES[1:] if kind in ("outline", "shadow") else SIZES
        for index in range(max(len(LARGE), count) if kind == "large" else 3 * count):
            face = upright[int(rng.integers(len(upright)))]
            size = sizes[index % len(sizes)]
            yield _page(kind, f"{kind.replace(' ', '-')}-{size}-{index}", face, size, rng)


def _page(kind: str, name: str, face: StyledFace, em: int, rng: np.random.Generator) -> StyledPage:
    words = TEXTS[int(rng.integers(len(TEXTS)))].split()
    if kind == "spacing":
        words = [word.upper().replace("ß", "SS") for word in words]
    if kind == "large":
        words = words[:2]
    ink, ground = _colours(rng)
    spacing = float(rng.uniform(0.12, 0.4)) if kind == "spacing" else 0.0
    mask, starts = line_mask(words, face.face, em, spacing)
    height, baseline = 3 * em, round(1.9 * em)
    margin = 2 * em
    width = round(margin + 1.5 * mask.shape[1] + 2 * em)
    whole = np.zeros((height, width), dtype=np.float32)
    top = baseline - round(1.5 * em)
    whole[top : top + len(mask), margin : margin + mask.shape[1]] = mask
    bounds = (margin, round(baseline - 0.87 * em), margin + starts[-1][1], round(baseline + 0.25 * em))
    page = StyledPage(name, kind, whole, tuple(words), face, em, baseline, bounds, ink, ground)
    return _PAINTERS.get(kind, _plain)(page, [(start + margin, end + margin) for start, end in starts], rng)


def line_mask(
    words: Sequence[str], face: str, em: int, spacing: float = 0.0, stroke: int = 0
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Words in a face on one line, and the columns [start, end) of each.

    Returns:
        Coverage (2 em, w) float32, its baseline 1.5 em below the top.
    """
    from translatotron_v.data.pages import find_font

    font = ImageFont.truetype(str(find_font(face)), em)
    advance = spacing * em
    letters: list[tuple[float, str]] = []
    starts, pen = [], 1.0 + stroke
    for word in words:
        start = pen
        pieces = list(word) if spacing else [word]
        for piece in pieces:
            letters.append((pen, piece))
            pen += font.getlength(piece) + (advance if spacing else 0.0)
        starts.append((int(start), math.ceil(pen - advance)))
        pen += font.getlength(" ") + advance
    picture = Image.new("L", (math.ceil(pen) + em, 2 * em))
    draw = ImageDraw.Draw(picture)
    for place, piece in letters:
        draw.text((round(place), round(1.5 * em)), piece, font=font, fill=255, anchor="ls", stroke_width=stroke)
    return np.asarray(picture, dtype=np.float32) / 255, starts


def _colours(rng: np.random.Generator) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Ink and ground that stand apart; every third time black on white."""
    if rng.random() < 1 / 3:
        return (0.05, 0.05, 0.05), (1.0, 1.0, 1.0)
    while True:
        ink, ground = np.rint(rng.random((2, 3)) * 255) / 255
        if float(np.linalg.norm(ink - ground)) > _CONTRAST and abs(float((ink - ground).mean())) > 0.2:
            return tuple(map(float, ink)), tuple(map(float, ground))  # type: ignore[return-value]


def _blend(picture: np.ndarray, mask: np.ndarray, colour: Sequence[float]) -> np.ndarray:
    return picture * (1 - mask[..., None]) + np.array(colour, dtype=np.float32) * mask[..., None]


def _finished(page: StyledPage, picture: np.ndarray, **truth: Any) -> StyledPage:
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return replace(page, pixels=pixels, truth={**page.truth, **truth})


def _ground(page: StyledPage) -> np.ndarray:
    return np.broadcast_to(np.array(page.ground, dtype=np.float32), (*page.pixels.shape, 3)).copy()


Columns = list[tuple[int, int]]
Painter = Callable[[StyledPage, Columns, np.random.Generator], StyledPage]


def _plain(page: StyledPage, columns: Columns, rng: np.random.Generator) -> StyledPage:
    return _finished(page, _blend(_ground(page), page.pixels, page.ink))


def _sheared(page: StyledPage, columns: Columns, rng: np.random.Generator) -> StyledPage:
    angle = float(rng.uniform(7, 18))
    lean = math.tan(math.radians(angle))
    matrix = np.array([[1, -lean, lean * page.baseline], [0, 1, 0]])
    height, width = page.pixels.shape
    mask = cv2.warpAffine(page.pixels, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return _finished(replace(page, pixels=mask), _blend(_ground(page), mask, page.ink), lean=angle)


def _ruled(page: StyledPage, columns: Columns, rng: np.random.Generator) -> StyledPage:
    """A line under all words or one of them, or through all."""
    first, last = 0, len(columns) - 1
    if page.kind == "underlined word":
        first = last = max(range(len(columns)), key=lambda index: columns[index][1] - columns[index][0])
    thickness = max(round(page.em * float(rng.uniform(0.05, 0.09))), 1)
    below = -0.26 if page.kind == "strike" else float(rng.uniform(0.11, 0.17))
    top = round(page.baseline + below * page.em - thickness / 2)
    mask = page.pixels.copy()
    mask[top : top + thickness, columns[first][0] : columns[last][1]] = 1
    return _finished(
        page,
        _blend(_ground(page), mask, page.ink),
        below=(top + thickness / 2 - page.baseline) / page.em,
        thickness=thickness / page.em,
        words=tuple(range(first, last + 1)),
    )


def _spaced(page: StyledPage, columns: Columns, rng: np.random.Generator) -> StyledPage:
    return _plain(page, columns, rng)


def _tinted(page: StyledPage, columns: Columns, rng: np.random.Generator) -> StyledPage:
    """One word in another colour."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    chosen = int(rng.integers(len(columns)))
    while True:
        red, green, blue = map(float, np.rint(rng.random(3) * 255) / 255)
        tint = (red, green, blue)
        lab = rgb2lab(np.array([[tint, page.ink, page.ground]]))[0]
        if deltaE_ciede2000(lab[0], lab[1]) > 20 and deltaE_ciede2000(lab[0], lab[2]) > 30:
            break
    own = np.zeros_like(page.pixels)
    start, end = columns[chosen]
    own[:, start:end] = page.pixels[:, start:end]
    picture = _blend(_blend(_ground(page), page.pixels - own, page.ink), own, tint)
    return _finished(page, picture, words=(chosen,), tint=tint)


def _outlined(page: StyledPage, columns: Columns, rng: np.random.Generator) -> StyledPage:
    width = max(round(page.em * float(rng.uniform(0.05, 0.1))), 1)
    mask, _ = line_mask(page.words, page.face.face, page.em, stroke=width)
    mask = mask[:, width:]
    whole = np.zeros_like(page.pixels)
    top, left = page.baseline - round(1.5 * page.em), page.bounds[0]
    whole[top : top + len(mask), left : left + mask.shape[1]] = mask
    outline = (0.0, 0.0, 0.0) if sum(page.ink) > 1.5 else (1.0, 1.0, 1.0)
    ground = tuple(0.35 + 0.3 * level for level in page.ground)  # stands apart from black and white
    page = replace(page, ground=ground)  # type: ignore[arg-type]
    ink = tuple(0.85 + 0.15 * level if outline[0] == 0 else 0.15 * level for level in page.ink)
    page = replace(page, ink=ink)  # type: ignore[arg-type]
    picture = _blend(_blend(_ground(page), whole, outline), page.pixels, page.ink)
    return _finished(page, picture, width=width / page.em, outline=outline)


def _shadowed(page: StyledPage, columns: Columns, rng: np.random.Generator) -> StyledPage:
    move = max(round(page.em * float(rng.uniform(0.06, 0.11))), 1)
    blur = float(rng.choice([0.0, 0.06])) * page.em
    moved = np.roll(page.pixels, (move, move), axis=(0, 1))
    cast = cv2.GaussianBlur(moved, (0, 0), blur) if blur else moved
    page = replace(page, ink=(1.0, 1.0, 1.0), ground=(0.35, 0.5, 0.65))
    picture = _blend(_blend(_ground(page), 0.8 * cast, (0.0, 0.0, 0.0)), page.pixels, page.ink)
    return _finished(page, picture, move=move / page.em, blur=blur / page.em)


_PAINTERS: dict[str, Painter] = {
    "shear": _sheared,
    "underline": _ruled,
    "underlined word": _ruled,
    "strike": _ruled,
    "tint": _tinted,
    "outline": _outlined,
    "shadow": _shadowed,
}


def fine_ink(words: Sequence[str], face: str) -> tuple[np.ndarray, float, float]:
    """Words in a face from which its stems and slant can be measured: ink, baseline and pixels per em."""
    mask, _ = line_mask(words, face, _FINE)
    return mask, 1.5 * _FINE, float(_FINE)


def drawn_words(page: StyledPage) -> list[np.ndarray]:
    """The page's words as a drawer would give them: (32, w), 20 pixels per em, in the regular face of the family."""
    from translatotron_v.page.strips import BASELINE, EM, LINE

    words = []
    for word in page.words:
        mask, _ = line_mask([word], page.face.regular, EM)
        columns = np.flatnonzero(mask.max(axis=0) > 0.05)
        top = round(1.5 * EM) - BASELINE
        words.append(np.ascontiguousarray(mask[top : top + LINE, columns[0] : columns[-1] + 1]))
    return words


def face_file_families(path: str | Path, part: str) -> list[Any]:
    """Families of a part of a file of faces, errors as this package's own."""
    from translatotron_v.data.pages import read_faces
    from translatotron_v.data.pairs import one_family_of_errors

    with one_family_of_errors():
        return list(read_faces(path, part))
