"""What is drawn of an answer: its characters, with literals spelled out, or a filler where they have ink of their own.

The drawer writes words, which are cut out of its strip and laid out anew by the page (``page.compose``), so nothing
depends on how wide it draws one, and nothing can overlap. Where an answer holds a literal whose ink is known the drawer
writes one digit, as a word like any other, and the source's own ink takes the place of that digit's picture: a long
address needs no room on the strip, the drawer sees ordinary text, and what stands against the literal in its word ("(",
".", "rd") is cut off the digit where the letters part.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from translatotron_v.data.casing import restore_case
from translatotron_v.data.literals import right_ordinals
from translatotron_v.data.marks import LITERALS
from translatotron_v.decoding.text_mode import Prepared
from translatotron_v.page.compose import Word, at_size
from translatotron_v.page.strips import cut_between

FILLER = "0"  # drawn in place of a literal: narrow, and letters beside it stand apart from it


@dataclass
class DrawnWord:
    """A word that the drawer writes: its characters, each with the number of its piece, and which are fillers.

    Attributes:
        fillers: number of the placeholder by the filler's place in the word.
    """

    characters: list[tuple[str, int]] = field(default_factory=list)
    fillers: dict[int, int] = field(default_factory=dict)


@dataclass
class Spelling:
    """How an answer is to be drawn."""

    words: list[DrawnWord] = field(default_factory=list)

    @property
    def characters(self) -> list[tuple[str, int]]:
        """What the drawer writes, each character with the number of the piece that it belongs to."""
        written: list[tuple[str, int]] = []
        for word in self.words:
            if written:
                written.append((" ", word.characters[0][1]))
            written += word.characters
        return written

    @property
    def text(self) -> str:
        """What the drawer writes."""
        return "".join(character for character, _ in self.characters)


def spell(pieces: Sequence[str], prepared: Prepared, inked: Collection[int] = ()) -> Spelling:
    """How an answer is drawn.

    Args:
        pieces: what each piece of the answer writes (``Vocabulary.spell``).
        prepared: the sentence that it answers.
        inked: numbers of the placeholders whose literals have ink.
    """
    written = "".join(pieces)
    owners = [number for number, piece in enumerate(pieces) for _ in piece]
    shown = restore_case(right_ordinals(written, prepared.literals), prepared.case)
    if len(shown) != len(written):  # a letter whose capital is two
        shown = written
    words = [DrawnWord()]
    for sign, owner in zip(shown, owners, strict=True):
        text = sign
        if sign in LITERALS:
            number = LITERALS.index(sign)
            text = prepared.literals[number].text if number < len(prepared.literals) else ""
            if number in inked:
                text = FILLER
                words[-1].fillers[len(words[-1].characters)] = number
        for letter in text:
            if letter.isspace():
                words.append(DrawnWord())
            else:
                words[-1].characters.append((letter, owner))
    return Spelling([word for word in words if word.characters])


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
            words += _joined(_parted(pictures[0], word, inks))
        else:
            words += _joined([inks[literal] for literal in word.fillers.values()])
    return words


def _parted(picture: np.ndarray, word: DrawnWord, inks: dict[int, list[Word]]) -> list[Sequence[Word]]:
    """The parts of a drawn word (32, w), literals in place of their fillers."""
    count, width = len(word.characters), picture.shape[1]
    edges = [0]
    for which in range(1, count):
        middles = ((which - 0.5) / count * width, (which + 0.5) / count * width)
        edges.append(max(cut_between(picture, *middles, which, count), edges[-1]))
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
    return [words[0] if len(words) == 1 else _Row(words) for words in joined]


class _Row:
    """Words set against one another, at any size."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = words

    def __call__(self, scale: float) -> np.ndarray:
        inks = [word(scale) if callable(word) else at_size(word, scale) for word in self.words]
        space = np.zeros((len(inks[0]), max(1, round(scale))), dtype=np.float32)
        row = [inks[0]]
        for ink in inks[1:]:
            row += [space, ink]
        return np.concatenate(row, axis=1)
