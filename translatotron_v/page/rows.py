"""Lines to rows: pieces that stand side by side, which rows are set alike, and which begin with a list's marker."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from translatotron_v.page.lines import Line
from translatotron_v.page.profile import EM_PER_HEIGHT, Bounds
from translatotron_v.page.regions import Region
from translatotron_v.page.traits import Traits

SAME_HEIGHT = 0.2  # share of the higher line's height by which the lines of a block may differ ...
BOXED_HEIGHT = 0.3  # the same of lines that are centred in one box
HEIGHT_NOISE = 1.5  # ... and pixels on top, which is what boxes of small print are off by
WORD_GAP = 1.0  # ems between two pieces of one row up to which they belong together; columns stand farther apart
GUTTER = 0.55  # ems of a gap that several rows share, which parts columns
EDGE = 0.5  # ems within which edges are in line
_LEVEL = 0.35  # ems by which the middles of what stands on one row differ
_UNIT = 1.6  # ems: a piece of a row that is no wider may be a currency or a number, whose height tells little
_LABEL = 3.2  # ems before a row within which what stands is the end of a label, where there is one
_WORD = 4.0  # ems that a word may be wide where none can be measured
_SPACE = 0.28  # ems between words where none can be measured
_HEAVIER = 1.28  # times that strokes are thicker in bold text than in regular
_LARGER = ((1.06, 0.5), (1.11, 0.8))  # times, and pixels, that letters are higher in a heading: perhaps, and surely
_HIGHER = 1.17  # times that the highest letters are higher where it is not known whether most are capitals
_SPACED = 0.15  # ems by which letters stand farther apart where that is meant
_LARGE, _SIZED = 30.0, 1.09  # pixels per em from which boxes tell sizes, and times that one is larger
_TELLING = 5.0  # ems: shorter lines do not tell their size
_SENTENCE = 4  # words from which the spaces between them tell a row's size,
_WIDER = 1.12  # and times that they are wider where it is larger
_UNCLEAR = (0.82, 0.92)  # height of most letters as a share of the highest: below small ones, above capitals
_OTHER_COLOUR = 50.0  # largest difference of a channel from which ink is of another colour
_PALER = (1.14, 28.0)  # times thicker and levels of colour that are another setting where both are seen at once
_CLEAR = 16.0  # pixels per em: smaller letters differ so much by themselves
_USUAL = 0.7  # share of the space after a number that words of the rows around are apart where that is no list's


@dataclass(frozen=True)
class Row:
    """A row in the frame in which its lines are level.

    Attributes:
        bounds: left, top, right, bottom.
        pieces: from left to right.
        traits: of each piece; None where its pixels are not known, or tell nothing.
        region: that it stands on; None where there is none, or pixels are not known.
    """

    bounds: Bounds
    pieces: tuple[Line, ...]
    traits: tuple[Traits | None, ...] = ()
    region: Region | None = None
    marker: bool = False

    @cached_property
    def middle(self) -> float:
        return (self.bounds[1] + self.bounds[3]) / 2

    @property
    def width(self) -> float:
        return self.bounds[2] - self.bounds[0]

    @cached_property
    def height(self) -> float:
        return float(np.median([line.height for line in self.pieces]))

    @cached_property
    def em(self) -> float:
        return self.height * EM_PER_HEIGHT

    @property
    def first_word(self) -> float:
        """Width of its first word, pixels; where it is not known, of a long one."""
        traits = self.traits[0] if self.traits else None
        if traits is None or not traits.words:
            return _WORD * self.em
        return traits.words[0][1] - traits.words[0][0]

    @cached_property
    def longest(self) -> Traits | None:
        """The traits of its longest piece, which tell most."""
        known = [(piece.width, number) for number, piece in enumerate(self.pieces) if number < len(self.traits)]
        return self.traits[max(known)[1]] if known else None

    @property
    def hyphen(self) -> bool:
        """Whether it ends in the middle of a word."""
        return bool(self.traits and self.traits[-1] is not None and self.traits[-1].hyphen)

    @property
    def introduces(self) -> bool:
        """Whether it ends in a colon."""
        return bool(self.traits and self.traits[-1] is not None and self.traits[-1].introduces)

    @property
    def labelled(self) -> bool:
        """Whether it begins with a word and a colon."""
        return bool(self.traits and self.traits[0] is not None and self.traits[0].label)

    @property
    def words(self) -> int:
        """How many words it has, or may have."""
        known = self.traits or (None,) * len(self.pieces)
        return sum(
            len(traits.words) if traits else max(1, round(piece.width / (_WORD * self.em)))
            for traits, piece in zip(known, self.pieces, strict=True)
        )

    @cached_property
    def space(self) -> float:
        """Between two words, pixels."""
        gaps = [gap for traits in self.traits if traits for gap in traits.gaps]
        return float(np.median(gaps)) if gaps else _SPACE * self.em


@dataclass
class Rows:
    """All rows of one tilt, and what stands beside each."""

    rows: list[Row]
    inner: set[int] = field(default_factory=set)  # numbers of the rows that go on in an entry of a list: no cells
    right_of: dict[int, int] = field(default_factory=dict)  # number of a row -> of the next one at its right
    left_of: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            beside = [
                (other.bounds[0], index)
                for index, other in enumerate(self.rows)
                if index != number and on_one_row(row, other) and one_ground(row, other)
                and not _another_size(row, other)
                and other.bounds[0] > (row.bounds[0] + row.bounds[2]) / 2
                and other.bounds[0] > row.bounds[2] - 0.3 * row.em
            ]  # fmt: skip
            if beside:
                self.right_of[number] = min(beside)[1]
        for number, right in self.right_of.items():
            known = self.left_of.get(right)
            if known is None or self.rows[known].bounds[2] < self.rows[number].bounds[2]:
                self.left_of[right] = number

    def is_beside(self, number: int) -> bool:
        """Whether anything that may be a cell of its table stands at a side of a row."""
        return any(found not in self.inner for found in self.beside(number))

    def beside(self, number: int) -> list[int]:
        """Numbers of the rows at the two sides of a row."""
        return [found for found in (self.left_of.get(number), self.right_of.get(number)) if found is not None]


def on_one_row(row: Row, other: Row) -> bool:
    """Whether two pieces stand side by side, on one row."""
    return abs(row.middle - other.middle) < _LEVEL * min(row.em, other.em)


def same_height(row: Row, other: Row) -> bool:
    """Whether two rows may be of one size; in a box more is allowed: the height of one word says little."""
    most = max(row.height, other.height)
    boxed = (
        row.region is not None
        and row.region.encloses
        and one_ground(row, other)
        and off_centre(row, other) < EDGE * row.em
    )
    return abs(row.height - other.height) <= (BOXED_HEIGHT if boxed else SAME_HEIGHT) * most + HEIGHT_NOISE


def share_columns(row: Row, other: Row) -> bool:
    return min(row.bounds[2], other.bounds[2]) - max(row.bounds[0], other.bounds[0]) > 0


def join_pieces(rows: list[Row]) -> list[Row]:
    """Put pieces of one row together that no more than a wide word gap parts, but for columns side by side.

    What stands before a row is no marker where it is a piece of its own; but a narrow piece may be one.
    """
    joined: list[Row] = []
    rows = [replace(row, marker=_is_marked(row, rows)) for row in rows]
    for row in sorted(rows, key=lambda row: row.bounds[0]):
        for index, other in enumerate(joined):
            gap = row.bounds[0] - other.bounds[2]
            small = min(row.em, other.em)
            beside = on_one_row(row, other) and -0.5 * small < gap < WORD_GAP * small
            narrow = min(row.width, other.width) < _UNIT * small
            if (
                beside
                and (narrow or same_height(row, other))
                and one_ground(row, other)
                and (narrow or looks_alike(row, other))
            ):
                if gap > GUTTER * small and _is_gutter(other.bounds[2], row.bounds[0], row, rows):
                    continue
                joined[index] = _merged(other, row)
                break
        else:
            joined.append(row)
    return joined


def _is_marked(row: Row, rows: Sequence[Row]) -> bool:
    before = [
        other for other in rows
        if other is not row and on_one_row(row, other) and 0 <= row.bounds[0] - other.bounds[2] < _LABEL * row.em
        and other.width > _UNIT * row.em
    ]  # fmt: skip
    return row.marker and not before


def _merged(left: Row, right: Row) -> Row:
    low = np.minimum(left.bounds, right.bounds).tolist()
    high = np.maximum(left.bounds, right.bounds).tolist()
    return Row(
        (low[0], low[1], high[2], high[3]), (*left.pieces, *right.pieces), (*left.traits, *right.traits),
        left.region or right.region, left.marker or right.marker,
    )  # fmt: skip


def _is_gutter(left: float, right: float, row: Row, rows: Sequence[Row]) -> bool:
    """Whether a gap goes on in a row above or below: pieces begin at its right side, and none crosses it."""
    edge, em = right, row.em
    begin = [
        other for other in rows
        if other is not row and abs(other.bounds[0] - edge) < 0.3 * em
        and 0.5 * em < abs(other.middle - row.middle) < 2.6 * em
    ]  # fmt: skip
    crossing = [
        other for other in rows
        if other.bounds[0] < left - 0.5 * em and other.bounds[2] > edge + 0.5 * em
        and 0.5 * em < abs(other.middle - row.middle) < 1.6 * em
    ]  # fmt: skip
    return bool(begin) and not crossing


def one_ground(row: Row, other: Row) -> bool:
    return row.region is None or other.region is None or row.region.number == other.region.number


def looks_alike(row: Row, other: Row) -> bool:
    """Whether two rows are set alike, or differ in one of weight, colour and, slightly, size."""
    return differences(row, other) < 2


def differences(row: Row, other: Row) -> int:
    """In how much two rows are set differently: weight, colour and size.

    One that is surely larger, or whose letters stand apart, counts twice.
    """
    first, second = row.longest, other.longest
    if first is None or second is None:
        return 0
    weights = sorted((first.weight, second.weight))
    heavier = weights[1] > _HEAVIER * weights[0]
    off = max(abs(a - b) for a, b in zip(first.colour, second.colour, strict=True))
    coloured = off > _OTHER_COLOUR
    larger = _larger(row, other, first, second)
    sizes = sorted((row.em, other.em))
    if heavier and sizes[0] > _LARGE and sizes[1] > _SIZED * sizes[0]:
        larger = max(larger, 1)
    spaced = (
        abs(first.spacing - second.spacing) > _SPACED and min(row.width / row.em, other.width / other.em) > _TELLING
    )
    clear = min(row.em, other.em) > _CLEAR
    paler = clear and weights[1] > _PALER[0] * weights[0] and off > _PALER[1]
    return max(heavier + coloured + larger, 2 * paler) + 2 * spaced


def _another_size(row: Row, other: Row) -> bool:
    first, second = row.longest, other.longest
    return first is not None and second is not None and _larger(row, other, first, second) > 0


def _larger(row: Row, other: Row, first: Traits, second: Traits) -> int:
    """How surely one of two rows is larger: 0 to 2."""
    long = min(row.width / row.em, other.width / other.em) > _TELLING
    kinds = [_small_letters(traits) for traits in (first, second)]
    if long and kinds[0] is not None and kinds[0] == kinds[1]:
        small, large = sorted((first.band, second.band))
        return sum(large > share * small and large - small > noise for share, noise in _LARGER)
    alike = abs(first.band - second.band) <= (_LARGER[0][0] - 1) * max(first.band, second.band) + _LARGER[0][1]
    lower, higher = sorted((first, second), key=lambda traits: traits.rise)
    if alike and not ((None in kinds or kinds[0] != kinds[1]) and _is_narrower(lower, higher)):
        return 0  # the lower one may have no high letters
    if long and lower.rise > 0 and len(lower.words) > 1:  # one word may have no high letter
        return 2 * (higher.rise > _HIGHER * lower.rise + 0.3)
    return 0


def _is_narrower(traits: Traits, other: Traits) -> bool:
    """Whether the words of a row, of which there are many, stand clearly closer than those of another."""
    if len(traits.words) < _SENTENCE or not other.gaps:
        return False
    close, wide = float(np.mean(traits.gaps)), float(np.mean(other.gaps))
    return wide > _WIDER * close and wide - close > 1


def _small_letters(traits: Traits) -> bool | None:
    """Whether most rows of ink are those of small letters, or of capitals and digits; None where that is not clear."""
    share = traits.band / max(traits.rise, 1e-6)
    return None if _UNCLEAR[0] < share < _UNCLEAR[1] else share <= _UNCLEAR[0]


def off_centre(row: Row, other: Row) -> float:
    return abs(sum(row.bounds[::2]) - sum(other.bounds[::2])) / 2


def mark_lists(rows: list[Row]) -> list[Row]:
    """Rows, with those marked whose first words are as wide as the one of a neighbour, and the second in line.

    A mark is taken back where nothing but space told it and other rows of the text have such spaces between words, as
    typewriter faces and justified lines do.
    """

    def number_of(row: Row) -> tuple[float, float] | None:
        traits = row.traits[0] if row.traits else None
        if traits is None or not traits.marker_like or len(traits.words) < 2:
            return None
        return traits.words[0][1] - traits.words[0][0], traits.words[1][0]

    answer = []
    for row in rows:
        own, em = number_of(row), row.em
        near = [
            other for other in rows
            if other is not row and abs(other.bounds[0] - row.bounds[0]) < 0.25 * em
            and 0.8 * em < abs(other.middle - row.middle) < 2.5 * em
        ]  # fmt: skip
        alike = [
            other for other in near
            if own is not None and (theirs := number_of(other)) is not None
            and abs(theirs[0] - own[0]) < 0.2 * em and abs(theirs[1] - own[1]) < 0.18 * em
        ]  # fmt: skip
        if row.marker and _is_word(row, near):
            answer.append(replace(row, marker=False))
        else:
            answer.append(replace(row, marker=True) if alike and own is not None and own[0] < 1.2 * em else row)
    return answer


def _is_word(row: Row, near: Sequence[Row]) -> bool:
    """Whether what was taken for a row's number is a word: rows around have no marker and are as widely spaced."""
    gap = row.traits[0].marker_gap if row.traits and row.traits[0] else 0.0
    spaces = [other.space for other in near if other.words > 1]
    return gap > 0 and bool(spaces) and not any(other.marker for other in near) and max(spaces) > _USUAL * gap
