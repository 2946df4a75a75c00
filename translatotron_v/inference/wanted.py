"""What the JSON of a translation says of its blocks, as somebody wants them: read, and held against what was drawn."""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np

from translatotron_v.errors import UserError
from translatotron_v.page.blocks import Alignment, Block
from translatotron_v.page.lines import Line, Point

Quad = tuple[Point, ...]

CHANGES = ("text", "font", "size", "weight", "colour", "alignment", "leave")  # what is drawn again where it differs
WEIGHTS = {"light": 0.065, "regular": 0.09, "bold": 0.14, "black": 0.18}  # ems, width of stems

AROUND = 3.0  # pixels around a block's boxes in which what differs from the source is its doing, whatever its size
_LONGEST = (5000, 200)  # characters of a text, and of a word: nothing longer can be set in a block
_SIZES = (4.0, 2000.0)  # pixels per em
_LEVEL = 0.02  # degrees up to which a line that is given by its corners is level


@dataclass(frozen=True)
class Wanted:
    """One block as somebody wants it.

    Attributes:
        rows: quads of its lines in the source, row by row.
        words: quads of the words that were drawn in its place; none where it was left.
        text: to draw; "": none, so that its ground is left.
        font: a face of the model, or another one; "": the model's own idea.
        size: pixels per em; None as in the source, and so with all that follow.
        weight: ems, width of its stems.
        colour: of its letters, bytes.
        leave: it is to stand as in the source.
        changed: whether it is to be drawn again.
    """

    rows: tuple[tuple[Quad, ...], ...]
    words: tuple[Quad, ...] = ()
    text: str = ""
    font: str = ""
    size: float | None = None
    weight: float | None = None
    colour: tuple[int, int, int] | None = None
    alignment: Alignment = "left"
    leave: bool = False
    changed: bool = False

    @property
    def quads(self) -> list[Quad]:
        """Of all that it covers or covered."""
        return [*(quad for row in self.rows for quad in row), *self.words]

    @property
    def em(self) -> float:
        """Pixels, as its boxes tell."""
        return float(np.median([_line(quad).em for row in self.rows for quad in row]))

    @property
    def block(self) -> Block:
        """Where it stood."""
        rows = tuple(tuple(_line(quad) for quad in row) for row in self.rows)
        widest = max((line for row in rows for line in row), key=lambda line: line.width)
        return Block(rows, widest.angle, self.alignment)

    def lies_on(self, width: int, height: int) -> bool:
        """Whether its lines lie on a picture, as if they were found there, but for what their boxes are too large."""
        return all(_lies_on(quad, width, height) for row in self.rows for quad in row)


def stamp(block: dict[str, Any]) -> str:
    """What stands for all that a block was drawn from; another one where any of it has been changed."""
    told = [block.get(name) or None for name in CHANGES]
    return hashlib.blake2b(json.dumps(told).encode(), digest_size=6).hexdigest()


def read_blocks(page: dict[str, Any], where: str) -> list[Wanted]:
    """The blocks of a page of JSON.

    Args:
        where: what messages begin with.

    Raises:
        UserError: a value that is missing or cannot be; the message names it.
    """
    blocks = page.get("blocks", [])
    if not isinstance(blocks, list):
        raise UserError(f"{where}: blocks: a list is wanted")
    wanted = []
    for number, block in enumerate(blocks, start=1):
        place = f"{where}: block {number}"
        if not isinstance(block, dict):
            raise UserError(f"{place}: an object is wanted, not {_short(block)}")
        wanted.append(_read_block(block, place))
    return wanted


def _read_block(block: dict[str, Any], place: str) -> Wanted:
    def bad(name: str, what: str) -> UserError:
        return UserError(f"{place}: {name}: {what} is wanted, not {_short(block.get(name))}")

    rows = block.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and row for row in rows):
        raise bad("rows", "the lines of the block, as --json writes them,")
    quads = [[_quad(quad) for quad in row] for row in rows]
    words = (
        [_quad(quad) for quad in block.get("words") or []] if isinstance(block.get("words"), list | None) else [None]
    )
    if any(quad is None for row in quads for quad in row):
        raise bad("rows", "four corners for each line")
    if any(quad is None for quad in words):
        raise bad("words", "a list of four corners each")
    for name in ("text", "font"):
        if not isinstance(block.get(name, ""), str):
            raise bad(name, "a text")
    text = block.get("text", "")
    if len(text) > _LONGEST[0] or any(len(word) > _LONGEST[1] for word in text.split()):
        raise bad("text", f"one of up to {_LONGEST[0]:,} characters, {_LONGEST[1]} a word,")
    size, weight, colour = block.get("size"), block.get("weight") or None, block.get("colour")
    if size is not None and not (_is_number(size) and _SIZES[0] <= size <= _SIZES[1]):
        raise bad("size", f"a number of pixels from {_SIZES[0]:g} to {_SIZES[1]:g}")
    if isinstance(weight, str):
        weight = WEIGHTS.get(weight, weight)
    if weight is not None and not (_is_number(weight) and 0.02 <= weight <= 0.4):
        raise bad("weight", f"{', '.join(WEIGHTS)} or the width of stems from 0.02 to 0.4 ems")
    if colour is not None and not (
        isinstance(colour, list) and len(colour) == 3 and all(type(one) is int and 0 <= one <= 255 for one in colour)
    ):
        raise bad("colour", "[red, green, blue], each from 0 to 255,")
    alignment = block.get("alignment", "left")
    if alignment not in get_args(Alignment):
        raise bad("alignment", f"one of {', '.join(get_args(Alignment))}")
    if not isinstance(block.get("leave", False), bool):
        raise bad("leave", "true or false")
    return Wanted(
        rows=tuple(tuple(cast(Quad, quad) for quad in row) for row in quads),
        words=tuple(cast(Quad, quad) for quad in words),
        text=text, font=block.get("font", ""), size=size, weight=weight,
        colour=None if colour is None else (colour[0], colour[1], colour[2]),
        alignment=alignment, leave=block.get("leave", False), changed=block.get("drawn") != stamp(block),
    )  # fmt: skip


def _quad(value: Any) -> Quad | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    for point in value:
        if not isinstance(point, list) or len(point) != 2 or not all(_is_number(one) for one in point):
            return None
    quad = tuple((float(x), float(y)) for x, y in value)
    return quad if all(abs(one) < 1e6 for point in quad for one in point) and _size(quad) > 1 else None


def _size(quad: Quad) -> float:
    return min(math.dist(quad[0], quad[1]), math.dist(quad[0], quad[3]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _lies_on(quad: Quad, width: int, height: int) -> bool:
    """Whether a line lies on a picture, as one that was found there, but for what its box is too large."""
    points = np.array(quad)
    slack = min(2 * _size(quad), max(width, height)) + AROUND
    inside = (points > -slack).all() and (points[:, 0] < width + slack).all() and (points[:, 1] < height + slack).all()
    x, y = points.mean(axis=0)
    return bool(inside and 0 <= x <= width and 0 <= y <= height)


def _line(quad: Quad) -> Line:
    (x, y), (right, lower) = quad[0], quad[1]
    angle = math.degrees(math.atan2(lower - y, right - x))
    return Line(quad, 0.0 if abs(angle) < _LEVEL else angle, math.dist(quad[0], quad[3]))
