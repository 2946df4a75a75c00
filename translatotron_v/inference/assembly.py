"""The words of an answer as they are put back: drawn ones, the ink of literals, and both together.

The source's own ink takes the place of the digit that was drawn for a literal (``decoding.spelling``); what stands
against the literal in its word ("(", ".", "rd") is cut off the digit where the letters part.
"""

from collections.abc import Sequence

import numpy as np

from translatotron_v.decoding.spelling import DrawnWord, Spelling
from translatotron_v.inference.letter_widths import width_of
from translatotron_v.page.shaping import Word, WordRow
from translatotron_v.page.strips import cut_between


def assemble(spelling: Spelling, drawn: Sequence[np.ndarray], inks: dict[int, list[Word]]) -> list[Word]:
    """The words of an answer as they are to be set: drawn ones, the ink of literals, and both together.

    Args:
        spelling: of the answer.
        drawn: the drawer's words (32, w); where there are fewer or more than it was to write they are spread in order.
        inks: the words of each literal, by its placeholder's number; several where a line's end parted it.
    """
    words: list[Word] = []
    share = len(drawn) / len(spelling.words) if spelling.words else 0.0
    taken = 0
    for number, word in enumerate(spelling.words, start=1):
        upto = round(number * share)
        pictures, taken = drawn[taken:upto], upto
        if not word.fillers:
            words += pictures
        elif len(pictures) == 1 and len(word.characters) > len(word.fillers):
            words += _joined(_cut_at_fillers(pictures[0], word, inks))
        else:
            words += _joined([inks[literal] for literal in word.fillers.values()])
    return words


def _cut_at_fillers(picture: np.ndarray, word: DrawnWord, inks: dict[int, list[Word]]) -> list[Sequence[Word]]:
    """The parts of a drawn word (32, w), literals in place of their fillers."""
    count, width = len(word.characters), picture.shape[1]
    shares = np.array([width_of(letter) for letter, _ in word.characters])
    middles = (np.cumsum(shares) - shares / 2) / shares.sum() * width
    edges = [0]
    for which in range(1, count):
        before, after = float(middles[which - 1]), float(middles[which])
        edges.append(max(cut_between(picture, before, after, which, count), edges[-1]))
    edges.append(width)
    parts: list[Sequence[Word]] = []
    start = 0  # of the characters since the last filler
    for place in [*word.fillers, count]:
        if place > start and edges[place] > edges[start]:
            parts.append([picture[:, edges[start] : edges[place]]])
        if place < count:
            parts.append(inks[word.fillers[place]])
        start = place + 1
    return parts


def _joined(pictures: Sequence[Sequence[Word]]) -> list[Word]:
    """Runs of words that follow each other without a space: the last of one is set against the first of the next."""
    joined: list[list[Word]] = []
    for run in pictures:
        if joined and run:
            joined[-1].append(run[0])
            run = run[1:]
        joined += [[word] for word in run]
    return [words[0] if len(words) == 1 else WordRow(words) for words in joined]
