"""A page that is being laid out: boxes, rules and texts are put on it, and what was put is remembered.

Pixels are (H, W, 3) uint8. Boxes are left, top, right, bottom in pixels; the last two exclusive.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from data_synth.backgrounds import make_background
from data_synth.corpora import TextPair
from data_synth.faces import Family
from data_synth.layout_parts import Container, LayoutBlock, LayoutOptions, NoRoomError, Texts
from data_synth.photographs import bundled_photographs
from data_synth.render import Region
from data_synth.style import Colour, PageStyle, contrast
from data_synth.typeset import Face, Mask, load_face

LARGEST, SMALLEST = 1600, 400  # sides of a page, pixels

_WIDEST = 1.0  # ems between the words of a justified line: a line that would need more is set as it is

Room = Callable[[float, float], tuple[float, float] | None]  # from and to which column there is room, for rows


@dataclass(frozen=True)
class Look:
    """How one text is set: its face, size and colour."""

    font: str
    em: int
    colour: Colour

    @property
    def face(self) -> Face:
        """The font at its size."""
        return load_face(self.font, self.em)


@dataclass
class Sheet:
    """A page that is being laid out; blocks are read in the order in which they are put.

    Attributes:
        width: pixels.
        em: of body text, pixels.
        paper, ink, accent, faint: colours of the ground, of text, of headings or bars, and of what matters less.
    """

    options: LayoutOptions
    texts: Texts
    rng: np.random.Generator
    family: Family
    width: int
    em: int
    paper: Colour
    ink: Colour
    accent: Colour
    faint: Colour
    pitch: float = 1.0
    border: int = 1
    backdrop: PageStyle | None = None  # of the page's ground; None: plain paper
    blocks: list[LayoutBlock] = field(default_factory=list)
    solid: list[Region] = field(default_factory=list)

    def __post_init__(self) -> None:
        style = self.backdrop or PageStyle(paper=self.paper)
        self.ground = Image.fromarray(make_background(style, LARGEST, self.width, 3))
        self.pen = ImageDraw.Draw(self.ground)
        self.mask: Mask = np.zeros((LARGEST, self.width), dtype=np.uint8)
        self.bottom = 0

    # --- draws of chance

    def between(self, range_: tuple[float, float]) -> float:
        """A number of a range."""
        return float(self.rng.uniform(*range_))

    def ems(self, range_: tuple[float, float]) -> int:
        """A number of a range of ems, in pixels."""
        return round(self.between(range_) * self.em)

    def some(self, least: int, most: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(least, most + 1))

    def chance(self, share: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < share)

    # --- looks

    def look(self, size: float = 1.0, bold: bool = False, colour: Colour | None = None) -> Look:
        """A look in the page's family; bold where the family has such a face."""
        plain = [face for face in self.family.faces if not _is(face, "italic", "oblique", "it")]
        wanted = [face for face in plain if _is(face, "bold") == bold] or plain or list(self.family.faces)
        return Look(wanted[0], max(round(size * self.em), 9), colour or self.ink)

    def on(self, ground: Colour) -> Colour:
        """Black or white, whichever reads better."""
        return max((self.ink, (0, 0, 0), (255, 255, 255)), key=lambda colour: min(contrast(colour, ground), 7.0))

    # --- drawing

    def shape(self, kind: str, box: Region, fill: Colour | None, outline: Colour | None = None) -> Container:
        """Draw a box, a bubble or a diamond; what is inside its border."""
        left, top, right, bottom = box
        if bottom > LARGEST or right > self.width or left < 0 or top < 0:
            raise NoRoomError
        border = self.border if outline is not None else 0
        edges = (left, top, right - 1, bottom - 1)
        if kind == "ellipse":
            self.pen.ellipse(edges, fill, outline, border)
        elif kind == "rounded":
            self.pen.rounded_rectangle(edges, min(bottom - top, right - left) // 4, fill, outline, border)
        elif kind == "diamond":
            x, y = (left + right - 1) / 2, (top + bottom - 1) / 2
            points = [(x, top), (right - 1, y), (x, bottom - 1), (left, y)]
            self.pen.polygon(points, fill)
            if outline is not None:
                self.pen.line([*points, points[0], points[1]], outline, border, "curve")
        else:
            self.pen.rectangle(edges, fill, outline, border)
        self.bottom = max(self.bottom, bottom)
        return Container(kind, (left + border, top + border, right - border, bottom - border))

    def rule(self, left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        """A straight line as a filled box."""
        if bottom > LARGEST:
            raise NoRoomError
        self.pen.rectangle((left, top, right - 1, bottom - 1), colour)
        self.solid.append((left, top, right, bottom))
        self.bottom = max(self.bottom, bottom)

    def photograph(self, box: Region, fade: float = 0.0) -> None:
        """A window of a photograph."""
        left, top, right, bottom = box
        if bottom > LARGEST or right > self.width:
            raise NoRoomError
        names = self.options.photographs or tuple(bundled_photographs())
        style = PageStyle(
            background="photo", picture=names[self.some(0, len(names) - 1)], paper=self.paper, fade=fade,
            seed=self.some(0, 2**31 - 1),
        )  # fmt: skip
        self.ground.paste(Image.fromarray(make_background(style, bottom - top, right - left, 3)), (left, top))
        self.bottom = max(self.bottom, bottom)

    def put(
        self,
        pair: TextPair,
        look: Look,
        role: str,
        left: int,
        top: int,
        right: int,
        alignment: str = "left",
        container: Container | None = None,
        lines: int = 12,
        marker: str = "",
        indent: int = 0,
    ) -> int:
        """Set a text between two columns from a row downwards; the row below its last line.

        Args:
            lines: it may take at most.
            marker: stands before the first line; the text is set `indent` pixels farther right.

        Raises:
            NoRoomError: it needs more lines than that, a word is too wide, or it would touch another block.
        """
        face, pitch = look.face, self.step(look)
        words = face.wrap(pair.source.split(), right - left - indent, lines)
        if words is None or top + (len(words) - 1) * pitch + face.line_height > LARGEST or top < 0:
            raise NoRoomError
        rows = []
        for number, row in enumerate(words):
            free = right - left - indent - extent(face, row)
            stretch = 0.0
            if alignment == "justified" and number + 1 < len(words) and len(row) > 1:
                stretch = free / (len(row) - 1)
                stretch = stretch if face.space + stretch <= _WIDEST * look.em else 0.0
            start = left + indent + {"centre": free // 2, "right": free}.get(alignment, 0)
            rows.append((row, start, top + number * pitch, stretch))
        self._set(pair, look, role, rows, alignment, container, marker, left)
        return top + (len(words) - 1) * pitch + face.line_height

    def put_inside(self, pair: TextPair, look: Look, role: str, container: Container, padding: int) -> None:
        """Set a text into the middle of a container, in as few lines as it takes."""
        face, pitch = look.face, self.step(look)
        words = pair.source.split()
        room = room_of(container, padding)
        upper, lower = container.box[1], container.box[3]
        for count in range(1, 9):
            height = (count - 1) * pitch + face.line_height
            first = (upper + lower - height) // 2
            spans = [room(first + n * pitch, first + n * pitch + face.line_height) for n in range(count)]
            rows, left = [], list(words)
            for number, span in enumerate(spans):
                if span is None:
                    break
                row: list[str] = []
                while left and extent(face, [*row, left[0]]) <= span[1] - span[0]:
                    row.append(left.pop(0))
                if row:
                    start = round((span[0] + span[1] - extent(face, row)) / 2)
                    rows.append((row, start, first + number * pitch, 0.0))
            if not left and len(rows) == count:
                self._set(pair, look, role, rows, "centre", container, "", 0)
                return
        raise NoRoomError

    def step(self, look: Look) -> int:
        """From line to line of a text, pixels."""
        return max(round(self.pitch * 1.17 * look.em), round(1.05 * look.em))

    def _set(
        self,
        pair: TextPair,
        look: Look,
        role: str,
        rows: Sequence[tuple[list[str], int, int, float]],
        alignment: str,
        container: Container | None,
        marker: str,
        marker_at: int,
    ) -> None:
        face, lines, strips = look.face, [], []
        for number, (row, start, top, stretch) in enumerate(rows):
            strip: Mask = np.zeros((face.line_height, self.width), dtype=np.uint8)
            mark = [marker] if marker and number == 0 else []
            if any(not face.word(word).drawable for word in [*mark, *row]) or top < 0:
                raise NoRoomError
            if mark:
                face.set_line(strip, mark, marker_at, 0)
            if stretch:
                pen = float(start)
                for word in row:
                    face.set_line(strip, [word], round(pen), 0)
                    pen += extent(face, [word]) + face.space + stretch
            else:
                face.set_line(strip, row, start, 0)
            left, upper, right, lower = _box(strip)
            lines.append((" ".join([*mark, *row]), (left, top + upper, right, top + lower)))
            strips.append((top, strip))
        edges = np.array([line for _, line in lines])
        low, high = edges.min(axis=0), edges.max(axis=0)
        box = int(low[0]), int(low[1]), int(high[2]), int(high[3])
        if box[0] <= 0 or box[2] >= self.width or any(_touch(box, other.box) for other in self.blocks):
            raise NoRoomError
        for top, strip in strips:
            target_rows = self.mask[top : top + len(strip)]
            np.maximum(target_rows, strip[: len(target_rows)], out=target_rows)
        text, target = (f"{marker} {side}".strip() for side in (pair.source, pair.target))
        block = LayoutBlock(
            text=text,
            target=target,
            lines=tuple(lines),
            box=box,
            order=len(self.blocks),
            role=role,
            alignment=alignment,
            em=look.em,
            baselines=tuple(top + face.baseline for _, _, top, _ in rows),
            pitch=self.step(look),
            font=look.font,
            colour=look.colour,
            container=container,
            marker=marker,
        )
        self.blocks.append(block)
        self.bottom = max(self.bottom, box[3])


def extent(face: Face, words: Sequence[str]) -> int:
    """Columns that a line of words takes, from the pen's start to the farther of the pen's end and its ink's."""
    pen = reach = 0
    for number, word in enumerate(words):
        ink = face.word(word)
        pen = face.after(pen) if number else pen
        reach = max(pen + ink.advance, pen + ink.left + ink.mask.shape[1])
        pen += ink.advance
    return reach


def room_of(container: Container, padding: int) -> Room:
    """The columns that are free in a container between two rows, for text that keeps away from its border."""
    left, top, right, bottom = (edge + sign * padding for edge, sign in zip(container.box, (1, 1, -1, -1), strict=True))
    x, y, across, down = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2

    def room(upper: float, lower: float) -> tuple[float, float] | None:
        if upper < top or lower > bottom or across <= 0 or down <= 0:
            return None
        off = min(max(abs(upper - y), abs(lower - y)) / down, 1.0)
        share = {"ellipse": math.sqrt(1 - off * off), "diamond": 1 - off}.get(container.shape, 1.0)
        return (x - share * across, x + share * across) if share * across > 4 else None

    return room


def _is(face: str, *styles: str) -> bool:
    return any(style in face.lower().replace("-", " ").split()[-1] for style in styles) and "-" in face


def _box(mask: npt.NDArray[np.uint8]) -> Region:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise NoRoomError
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _touch(box: Region, other: Region) -> bool:
    return box[0] < other[2] + 2 and other[0] < box[2] + 2 and box[1] < other[3] + 1 and other[1] < box[3] + 1
