"""How a block of text looks, measured on its picture and given back to the words that are drawn in its place.

What is measured: the width of stems, slant, distance of letters, lines under and through words, outline, shadow, and
words of another colour. Drawn words come upright and regular in one of a few families; what they are measured to be is
set against the source, and the difference is what is done to them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from translatotron_v.page.effects import Layer, Outline, Shadow, layers_below, margin, measure_around
from translatotron_v.page.ground import Colour, distance
from translatotron_v.page.plain import settle, smooth_ground, with_hue
from translatotron_v.page.profile import Bounds, Setting, measure
from translatotron_v.page.rules import Rule, take_rules
from translatotron_v.page.separate import Layers
from translatotron_v.page.shapes import Line, edge_width, letter_gaps, slant, stem_width, strip_line
from translatotron_v.page.shaping import Shape, ShapedWord, Word, WordRow
from translatotron_v.page.straighten import Crop
from translatotron_v.page.strips import USUAL_GAP, frame
from translatotron_v.page.tints import Tint, WordBox, take_tints

_SAME_STEM = 0.05  # share of a stem's width up to which the drawn one is right
_UPRIGHT, _SAME_SLANT = 4.0, 1.0  # degrees up to which text stands upright, and up to which two slants are one
_OBLIQUE = 8.0  # degrees up to which a drawn family is upright, whatever the curves of its letters seem to say
_TELLING = 8.0  # ems of drawn words from which they tell their family's slant
_SPACED, _MORE_SPACE = 0.18, 0.07  # ems between letters from which text is spaced, and more than drawn letters have
_LETTER, _LETTERS = 0.5, 0.6  # ems of a letter, and the share of a line that letters and gaps must come to
_GAP_NOISE = 1.0  # pixels by which the grid may widen gaps
_LIGHTEST, _HEAVIEST = -0.06, 0.1  # ems by which outlines are moved at most
_WIDER = 1.0  # ems by which an em of heavier letters is wider, for each em that their stems are
_OPENED = 0.5  # share of what stems gain that is put between letters
_PITCH = 0.55  # ems from one letter to the next, about
_AS_WIDE, _NARROWEST = 0.88, 0.55  # shares of width from which letters are made narrower, and that they keep
_SAMPLE = 240  # columns of drawn words on which a shape is tried
_TRIALS = 2
_TRIAL_SCALE = 2.0
_MOST_WORDS = 40  # of a block, from which style is measured
_WHOLE = 0.6  # share of a text from which a line under a part of it is taken for one under all
_SOFT = 2.2  # pixels over which crisp edges rise at most; softer ones are given back softer
_SMEARED = 4  # pixels beside letters in which their hue is looked for
_NEW = 0.05  # difference of colours from which the ground without effects counts


@dataclass(frozen=True)
class Span:
    """A part of a text, as shares of its length from 0 to 1."""

    start: float
    end: float


@dataclass(frozen=True)
class Decoration:
    """A line under or through words: how far its middle lies below the baseline and how thick it is, in ems."""

    below: float
    thickness: float
    colour: Colour
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Style:
    """How a block looks.

    Attributes:
        stem: width of its stems, ems; 0 where it is not known.
        slant: degrees to the right.
        gap: between two letters, ems, where that is more than is usual; 0 otherwise.
        soft: pixels over which its edges rise from nothing to full ink; 1 is crisp.
        decorations: lines under and through words.
        tints: parts of the text in another colour.
        outline, shadow: of its letters.
        erased: (h, w) bool, where on the block's crop there was more than its letters: lines, outline, shadow.
    """

    stem: float = 0.0
    slant: float = 0.0
    gap: float = 0.0
    soft: float = 1.0
    decorations: tuple[Decoration, ...] = ()
    tints: tuple[tuple[Span, Colour], ...] = ()
    outline: Outline | None = None
    shadow: Shadow | None = None
    erased: np.ndarray | None = None


@dataclass(frozen=True)
class Placed:
    """A word where it is to be: its ink (h, w), its first column and row, its baseline, and its number in the text."""

    text_alpha: np.ndarray
    left: int
    top: int
    baseline: float
    number: int


# --- measuring --------------------------------------------------------------------------------------------------------


def measure_style(crop: Crop, layers: Layers) -> tuple[Layers, Setting, Style]:
    """Tell how a block is set and how it looks.

    Returns:
        Layers of letters alone, each word's ink solved in its own colour, on a ground without lines, outline and
        shadow; size and baselines; and the style.
    """
    pixels = crop.pixels.astype(np.float32) / 255
    layers = settle(pixels, layers, crop.rows, crop.where())
    letters, rules, erased = take_rules(pixels, layers, crop.rows)
    letters, words, tints = take_tints(pixels, letters, crop.rows)
    setting = measure(letters.text_alpha, crop.rows)
    around = measure_around(pixels, letters.text_alpha, letters.colour, setting.em)
    if around.ground is not None:
        touched = crop.where(around.reach)
        smooth = smooth_ground(pixels, ~touched)
        ground = around.ground if smooth is None else smooth
        erased = erased | (touched & (distance(pixels, ground) > _NEW / 2))
    if not (tints or rules or around.outline or around.shadow):
        letters = with_hue(pixels, letters, crop.where(_SMEARED))
    lines = _lines(letters.text_alpha, crop.rows, setting, words)
    gaps = letter_gaps(lines)
    gap = _letter_gap(gaps)
    style = Style(
        stem=stem_width(lines),
        slant=slant(lines),
        gap=gap if gap > _SPACED + _GAP_NOISE / setting.em and _is_spaced(lines, gaps) else 0.0,
        soft=_softness(lines, setting.em),
        decorations=_decorations(rules, words, setting),
        tints=tuple((_stretch(tint, words), tint.colour) for tint in tints),
        outline=around.outline,
        shadow=around.shadow,
        erased=erased if erased.any() else None,
    )
    return letters, setting, style


def _lines(ink: np.ndarray, rows: Sequence[Bounds], setting: Setting, words: Sequence[WordBox]) -> list[Line]:
    """The ink of each row of a block, between its neighbours', of the first `_MOST_WORDS` words."""
    lines = []
    em = setting.em
    last_row = words[min(len(words), _MOST_WORDS) - 1].row if words else 0
    for (left, _, right, _), baseline in zip(rows[: last_row + 1], setting.baselines, strict=False):
        first, last = max(int(left - 0.3 * em), 0), int(right + 0.3 * em) + 1
        top, bottom = max(round(baseline - 0.95 * em), 0), max(round(baseline + 0.3 * em), 1)
        part = ink[top:bottom, first:last]
        if part.size:
            lines.append(Line(part, baseline - top, em))
    return lines


def _letter_gap(gaps: np.ndarray) -> float:
    """The usual gap between letters, ems: there are more of them than of gaps between words."""
    return float(np.quantile(gaps, 0.4)) if len(gaps) else 0.0


def _is_spaced(lines: Sequence[Line], gaps: np.ndarray) -> bool:
    """Whether letters stand so far apart: where they touch, the gaps between words are all that there are."""
    inked = [np.flatnonzero(line.ink.max(axis=0, initial=0.0) > 0.5) for line in lines]
    length = sum(np.ptp(columns) / line.em for columns, line in zip(inked, lines, strict=True) if len(columns))
    return len(gaps) * (_letter_gap(gaps) + _LETTER) >= _LETTERS * length


def _softness(lines: Sequence[Line], em: float) -> float:
    """Pixels over which edges rise from nothing to full ink; 1 where they are crisp, or too near each other to tell."""
    found = [width for line in lines[:3] if (width := edge_width(line.ink)) > 0]
    width = float(np.median(found)) if found else 0.0
    return 1.0 if width <= _SOFT or em < 16 else min(0.9 * width, 0.1 * em)


def _decorations(rules: Sequence[Rule], words: Sequence[WordBox], setting: Setting) -> tuple[Decoration, ...]:
    """Rules of one kind and colour, on however many rows, as one decoration of parts of the text."""
    kinds: list[list[Rule]] = []
    for rule in rules:
        below = rule.middle - setting.baselines[rule.row]
        for kind in kinds:
            other = kind[0].middle - setting.baselines[kind[0].row]
            apart = float(np.abs(np.subtract(kind[0].colour, rule.colour)).max())
            if abs(below - other) < 0.15 * setting.em and apart < 0.2:
                kind.append(rule)
                break
        else:
            kinds.append([rule])
    decorations = []
    for kind in kinds:
        spans = [
            Span(_place(words, rule.row, rule.left), _place(words, rule.row, rule.right))
            for rule in kind
            if rule.right > rule.left
        ]
        if spans:
            below = float(np.median([rule.middle - setting.baselines[rule.row] for rule in kind]))
            thickness = float(np.median([rule.bottom - rule.top for rule in kind]))
            whole = sum(span.end - span.start for span in spans) > _WHOLE
            decorations.append(
                Decoration(
                    below / setting.em,
                    thickness / setting.em,
                    kind[0].colour,
                    (Span(0.0, 1.0),) if whole else tuple(spans),
                )
            )
    return tuple(decorations)


def _place(words: Sequence[WordBox], row: int, column: float) -> float:
    """Where in the text a column of a row lies, as a share of the length of all words."""
    before = sum(
        word.right - word.left if word.row < row else min(max(column - word.left, 0.0), word.right - word.left)
        for word in words
        if word.row <= row
    )
    return before / max(sum(word.right - word.left for word in words), 1)


def _stretch(tint: Tint, words: Sequence[WordBox]) -> Span:
    first, last = tint.words[0], tint.words[-1]
    return Span(_place(words, first.row, first.left), _place(words, last.row, last.right))


# --- giving back ------------------------------------------------------------------------------------------------------


def dress(
    words: Sequence[Word], style: Style | None, width: float | None = None
) -> tuple[list[Callable[[float], np.ndarray]], float]:
    """Words in the shape of a style, as what sets them at any size, and the ems between two of them.

    Pictures are shaped; what sets itself has its look already, such as ink of the source.

    Args:
        width: of the source's letters, in parts of the drawn ones', where it is known; of a narrow face drawn ones
            become as narrow.
    """
    drawn = [word for word in words if not callable(word)]
    shape = Shape() if style is None else shape_for(drawn, style, width)
    # What stands apart because letters grew is in the letters' own width; spaced text has wider gaps between words too.
    spacing = 0.0 if style is None or not style.gap else max(shape.spacing, 0.0)

    def dressed(word: Word) -> Callable[[float], np.ndarray]:
        if isinstance(word, WordRow):
            return word.shaped(shape)
        return word if callable(word) else ShapedWord(word, shape)

    return [dressed(word) for word in words], USUAL_GAP * min(shape.stretch, 1.0) + 2 * spacing


def shape_for(drawn: Sequence[np.ndarray], style: Style, width: float | None = None) -> Shape:
    """What makes drawn words (32, w) of a style: tried on some until their stems are as wide as the source's."""
    drawn = [word for word in drawn if word.shape[1]]
    if not drawn:
        return Shape(blur=style.soft)
    line = strip_line(drawn[:_MOST_WORDS])
    tells = line.ink.shape[1] > _TELLING * line.em
    lean = _leant(style.slant, slant([line]) if tells else 0.0)
    stem = stem_width([line])
    gap = _letter_gap(letter_gaps([line]))
    shape = Shape(slant=lean, blur=style.soft)
    heavier = _WIDER * (style.stem - stem) if style.stem and stem else 0.0
    if width is not None and width < _AS_WIDE * (1 + heavier):
        shape = replace(shape, stretch=max(width, _NARROWEST))
        stem, gap = shape.stretch * stem, shape.stretch * gap
    if style.stem and stem and abs(style.stem / stem - 1) > _SAME_STEM:
        shape = _weighted(drawn, shape, stem, style.stem)
    more = style.gap - (gap - max(2 * shape.grow - shape.spacing, 0.0))
    if style.gap and more > _MORE_SPACE:
        shape = replace(shape, spacing=shape.spacing + more)
    return shape


def _leant(source: float, drawn: float) -> float:
    """The shear, in degrees, from one slant to another."""
    source = 0.0 if abs(source) < _UPRIGHT else source
    drawn = 0.0 if drawn < _OBLIQUE else drawn
    lean = float(np.degrees(np.arctan(np.tan(np.radians(source)) - np.tan(np.radians(drawn)))))
    return 0.0 if abs(lean) < _SAME_SLANT else lean


def _weighted(drawn: Sequence[np.ndarray], shape: Shape, stem: float, wanted: float) -> Shape:
    """The shape with the growth that brings stems to a width, found by measuring what comes out."""
    gain = wanted - stem
    stretch = 1 + float(np.clip(_WIDER * gain, -0.05, 0.2))
    spacing = _OPENED * max(gain, 0.0)
    if shape.stretch < 1:  # how wide letters are to be was measured: what is put between them is taken off them
        stretch = max(shape.stretch - spacing / _PITCH, _NARROWEST)
    sample: list[np.ndarray] = []
    columns = 0
    for word in sorted(drawn, key=lambda word: -word.shape[1]):
        if sample and columns + word.shape[1] > _SAMPLE:
            break
        sample.append(word)
        columns += word.shape[1]
    grow = float(np.clip((wanted - stem * stretch / shape.stretch) / 2, _LIGHTEST, _HEAVIEST))
    for _ in range(_TRIALS):
        trial = Shape(grow=grow, stem=stem, spacing=spacing + 0.1, stretch=stretch)  # apart, so that each stem is seen
        above = frame(_TRIAL_SCALE)[0]
        lines = [Line(ShapedWord(word, trial)(_TRIAL_SCALE), above, 20 * _TRIAL_SCALE) for word in sample]
        got = stem_width(lines)
        if not got or abs(got / wanted - 1) < 0.02:
            break
        grow = float(np.clip(grow + (wanted - got) / 2, _LIGHTEST, _HEAVIEST))
    return replace(shape, grow=grow, stem=stem, spacing=spacing, stretch=stretch)


def marked(span: Span, widths: Sequence[int]) -> list[int]:
    """The words of a text, given their widths, that stand where a span does; the nearest one at least."""
    ends = np.cumsum(widths) / max(sum(widths), 1)
    middles = ends - np.asarray(widths) / (2 * max(sum(widths), 1))
    inside = np.flatnonzero((middles >= span.start) & (middles <= span.end))
    if not len(inside):
        inside = np.array([int(np.argmin(np.abs(middles - (span.start + span.end) / 2)))])
    return [int(number) for number in inside]


def paint_order(
    words: Sequence[Placed], colour: Colour, style: Style, em: float
) -> tuple[list[Layer], tuple[int, int]]:
    """Words and all that belongs to them as layers, the lowest first, and where their top left corner lies (x, y).

    Args:
        words: placed in the crop, in reading order.
        colour: of the block.
        em: the words' size, pixels.
    """
    room = margin(style.outline, style.shadow, em)
    below = max((one.below + one.thickness for one in style.decorations), default=0.0)
    left = min(word.left for word in words) - room
    top = min(word.top for word in words) - room
    right = max(word.left + word.text_alpha.shape[1] for word in words) + room
    bottom = max(max(word.top + len(word.text_alpha), word.baseline + below * em + 2) for word in words) + room
    shape = (int(np.ceil(bottom)) - top, right - left)
    order = sorted(range(len(words)), key=lambda index: words[index].number)
    widths = [words[index].text_alpha.shape[1] for index in order]
    colours = [colour] * len(words)
    for span, tint in style.tints:
        for place in marked(span, widths):
            colours[order[place]] = tint
    fills = []
    for one in dict.fromkeys(colours):
        ink = np.zeros(shape, dtype=np.float32)
        for word, own in zip(words, colours, strict=True):
            if own == one:
                _put(ink, word.text_alpha, word.top - top, word.left - left)
        fills.append(Layer(ink, one))
    for decoration in style.decorations:
        numbers = {order[place] for span in decoration.spans for place in marked(span, widths)}
        ink = np.zeros(shape, dtype=np.float32)
        for start, end, baseline in _stretches(words, order, numbers):
            middle = baseline + decoration.below * em - top
            half = max(decoration.thickness * em, 0.8) / 2
            _bar(ink, middle - half, middle + half, start - left, end - left)
        own = decoration.colour if decoration.colour else colour
        fills.insert(0 if decoration.below > 0 else len(fills), Layer(ink, own))
    letters = np.maximum.reduce([layer.coverage for layer in fills])
    return [*layers_below(letters, style.outline, style.shadow, em), *fills], (left, top)


def _put(ink: np.ndarray, word: np.ndarray, row: int, column: int) -> None:
    target = ink[row : row + len(word), column : column + word.shape[1]]
    np.maximum(target, word, out=target)


def _stretches(words: Sequence[Placed], order: Sequence[int], numbers: set[int]) -> list[tuple[int, int, float]]:
    """Columns and baseline of each run of words that follow one another on a line."""
    found: list[tuple[int, int, float]] = []
    before = None
    for index in order:
        if index not in numbers:
            before = None
            continue
        word = words[index]
        end = word.left + word.text_alpha.shape[1]
        if before is not None and found[-1][2] == word.baseline:
            found[-1] = (found[-1][0], end, word.baseline)
        else:
            found.append((word.left, end, word.baseline))
        before = index
    return found


def _bar(ink: np.ndarray, top: float, bottom: float, left: int, right: int) -> None:
    """A bar between two heights, each row of pixels as far as it is covered."""
    rows = np.arange(len(ink))
    share = np.clip(np.minimum(bottom, rows + 1) - np.maximum(top, rows), 0, 1).astype(np.float32)
    target = ink[:, left:right]
    np.maximum(target, share[:, None], out=target)
