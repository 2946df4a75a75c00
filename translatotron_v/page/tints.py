"""Words of another colour than the rest of their block."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from translatotron_v.page.colours import ciede2000, rgb_to_lab
from translatotron_v.page.ground import Colour, as_colour, length, total
from translatotron_v.page.profile import EM_PER_HEIGHT, Bounds
from translatotron_v.page.separate import Layers
from translatotron_v.page.strips import greatest_leap

APART = 12.0  # units of CIEDE2000 from which two words are of two colours
_FAINT = 0.12  # coverage up to which a column is empty
_GAPS = (0.16, 0.12, 0.14, 0.18, 0.2, 0.24, 0.28)  # ems of empty columns that may part words, the usual one first
_FULLEST = 0.12  # share of a word's inked pixels that show its colour best
_INKED = 0.3  # coverage from which a pixel is looked at
_SURELY = 0.04  # difference of each channel within which colours are one, without a closer look
_SOLID = 0.3  # share of inked pixels that are full, from which strokes are wider than a pixel
_SEEDS = 4  # words that may stand for a colour
_FEW = 6  # such pixels below which a word's colour is not known


@dataclass(frozen=True)
class WordBox:
    """A word of a row of the block, in pixels of the crop."""

    row: int
    left: int
    right: int
    top: int
    bottom: int


@dataclass(frozen=True)
class Tint:
    """Words next to each other in a colour of their own."""

    words: tuple[WordBox, ...]
    colour: Colour


def find_words(ink: np.ndarray, rows: Sequence[Bounds]) -> list[WordBox]:
    """The words of a block's rows by the gaps between them, in reading order."""
    words = []
    for number, (left, top, right, bottom) in enumerate(rows):
        em = (bottom - top) * EM_PER_HEIGHT
        first, last = max(int(left - 0.2 * em), 0), min(int(right + 0.2 * em) + 1, ink.shape[1])
        upper, lower = max(int(top), 0), min(int(bottom) + 1, len(ink))
        columns = np.flatnonzero(ink[upper:lower, first:last].max(axis=0, initial=0.0) > _FAINT) + first
        if not len(columns):
            continue
        widths = np.diff(columns) - 1
        jumps = np.flatnonzero(widths >= _word_gap(widths, em))
        starts = [int(columns[0]), *(int(columns[jump + 1]) for jump in jumps)]
        ends = [*(int(columns[jump]) + 1 for jump in jumps), int(columns[-1]) + 1]
        words += [WordBox(number, start, end, upper, lower) for start, end in zip(starts, ends, strict=True)]
    return words


def _word_gap(widths: np.ndarray, em: float) -> float:
    """The narrowest gap between words, in pixels: where the sorted widths of all gaps make their greatest leap."""
    return greatest_leap(widths[widths > 0].tolist(), [max(border * em, 1.5) for border in _GAPS], em)


def take_tints(
    pixels: np.ndarray, layers: Layers, rows: Sequence[Bounds]
) -> tuple[Layers, list[WordBox], tuple[Tint, ...]]:
    """Tell words of other colours, and how much ink they hold in their own.

    Args:
        pixels: the crop (h, w, 3), float32 in [0, 1].

    Returns:
        Layers whose colour is that of most words and whose ink is solved word by word, all words, and those whose
        colour differs.
    """
    words = find_words(layers.text_alpha, rows)
    shown = {number: one for number, word in enumerate(words) if (one := _shown(pixels, layers, word)) is not None}
    if len(shown) < 2:
        return layers, words, ()
    inked = layers.text_alpha > _INKED
    solid = float((layers.text_alpha[inked] > 0.9).mean()) > _SOLID
    widths = [words[number].right - words[number].left for number in shown]
    groups = dict(zip(shown, _grouped(list(shown.values()), widths, solid), strict=True))
    if max(groups.values()) == 0:
        return layers, words, ()
    main = 0  # the first group is the widest one
    colours = [
        np.median([sum(shown[number]) for number, own in groups.items() if own == group], axis=0)
        for group in range(max(groups.values()) + 1)
    ]
    ink = layers.text_alpha.copy()
    tints: list[Tint] = []
    last = main
    for number, word in enumerate(words):
        group = groups.get(number, last)
        part = np.s_[word.top : word.bottom, word.left : word.right]
        ink[part] = _solved(pixels[part], layers, part, colours[group])
        if group != main and group == last and tints:
            tints[-1] = Tint((*tints[-1].words, word), tints[-1].colour)
        elif group != main:
            tints.append(Tint((word,), as_colour(colours[group])))
        last = group
    return replace(layers, text_alpha=ink, colour=as_colour(colours[main])), words, tuple(tints)


def _shown(pixels: np.ndarray, layers: Layers, word: WordBox) -> tuple[np.ndarray, np.ndarray] | None:
    """The ground (3,) under a word, and by how much its strongest pixels differ from it (3,); None: too few pixels."""
    part = np.s_[word.top : word.bottom, word.left : word.right]
    ink = layers.text_alpha[part]
    away = pixels[part] - layers.background[part]
    inked = ink > _INKED * float(ink.max(initial=0.0))
    if np.count_nonzero(inked) < _FEW:
        return None
    apart = length(away)
    strongest = inked & (apart >= float(np.quantile(apart[inked], 1 - _FULLEST)))
    return np.median(layers.background[part][strongest], axis=0), np.median(away[strongest], axis=0)


def _grouped(shown: Sequence[tuple[np.ndarray, np.ndarray]], widths: Sequence[int], solid: bool) -> list[int]:
    """The group of each word by its colour, the widest group first.

    Strokes thinner than a pixel show their colour in part, and each word another part: of text that is not ``solid``
    only the direction counts in which colours differ from the ground.
    """
    grounds, aways = (np.stack([one[part] for one in shown]) for part in (0, 1))

    def alike(seed: int) -> np.ndarray:
        than, away = aways[seed], aways
        if not solid:
            share = away @ than / np.maximum(np.square(away).sum(axis=1), 1e-6)
            away = away * np.clip(share, 0.5, 2.0)[:, None]
        if float(np.abs(away - than).max()) < _SURELY:
            return np.ones(len(shown), dtype=bool)
        lab = rgb_to_lab(np.clip(np.stack([grounds + away, grounds + than]), 0, 1))
        return ciede2000(lab[0], lab[1]) <= APART

    groups = [-1] * len(shown)
    count = 0
    while -1 in groups:
        rest = [number for number, group in enumerate(groups) if group < 0]
        seeds = sorted(rest, key=lambda number: -widths[number])[:_SEEDS]
        same = {seed: alike(seed) for seed in seeds}
        near = {seed: [number for number in rest if number == seed or same[seed][number]] for seed in seeds}
        chosen = max(seeds, key=lambda seed: (sum(widths[number] for number in near[seed]), -seed))
        for number in near[chosen]:
            groups[number] = count
        count += 1
    totals = [sum(width for width, group in zip(widths, groups, strict=True) if group == one) for one in range(count)]
    order = sorted(range(count), key=lambda one: (-totals[one], one))
    return [order.index(group) for group in groups]


def _solved(pixels: np.ndarray, layers: Layers, part: tuple[slice, slice], colour: np.ndarray) -> np.ndarray:
    """Coverage of a word's box where its ink has a colour, within what is ink at all."""
    ground = layers.background[part]
    towards = np.asarray(colour, dtype=np.float32) - ground
    share = total((pixels - ground) * towards) / np.maximum(total(np.square(towards)), 1e-6)
    return np.where(layers.text_alpha[part] > 0, np.clip(share, 0, 1), np.float32(0)).astype(np.float32)
