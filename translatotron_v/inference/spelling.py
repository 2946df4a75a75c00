"""What is drawn of an answer: its characters, with literals spelled out, or left out where they have ink of their own.

The drawer writes words; where an answer holds a literal whose ink is known, the source's own ink is put between the
drawn words afterwards. So the drawer never sees such a literal, and what stands directly before or after it in its word
("(", ".", "rd") is drawn as a word apart and set against the ink. Nothing is drawn into a box of given width, and
nothing overlaps, since all words, drawn or taken up, are laid out by the page alone (``page.compose``).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from translatotron_v.data.casing import restore_case
from translatotron_v.data.literals import right_ordinals
from translatotron_v.data.marks import LITERALS
from translatotron_v.inference.text_units import Prepared
from translatotron_v.page.compose import Word, at_size


@dataclass
class Spelling:
    """How an answer is to be drawn.

    Attributes:
        characters: what the drawer writes, each with the number of the piece that it belongs to.
        words: of the whole answer: the parts of each, a drawn word as its number among them, a literal with ink as the
            complement ``~k`` of its placeholder's number.
        drawn: how many words the drawer writes.
    """

    characters: list[tuple[str, int]] = field(default_factory=list)
    words: list[list[int]] = field(default_factory=list)
    drawn: int = 0

    @property
    def text(self) -> str:
        """What the drawer writes."""
        return "".join(character for character, _ in self.characters)

    def _add(self, characters: list[tuple[str, int]]) -> None:
        """One more drawn word, as the next part of the last word."""
        if self.characters:
            self.characters.append((" ", characters[0][1]))
        self.characters += characters
        self.words[-1].append(self.drawn)
        self.drawn += 1


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
    spelling = Spelling()
    word: list[tuple[str, int]] = []
    begun = False

    def close() -> None:
        if word:
            spelling._add(list(word))
            word.clear()

    for sign, owner in zip(shown, owners, strict=True):
        if sign.isspace():
            close()
            begun = False
            continue
        number = LITERALS.index(sign) if sign in LITERALS else -1
        text = sign if number < 0 else prepared.literals[number].text if number < len(prepared.literals) else ""
        if not text:
            continue
        if not begun:
            spelling.words.append([])
            begun = True
        if number in inked:
            close()
            spelling.words[-1].append(~number)
            continue
        for letter in text:
            if letter.isspace():
                close()
                spelling.words.append([])
            else:
                word.append((letter, owner))
    close()
    spelling.words = [parts for parts in spelling.words if parts]
    return spelling


def assemble(spelling: Spelling, drawn: Sequence[np.ndarray], inks: dict[int, list[Word]]) -> list[Word]:
    """The words of an answer as they are to be set: drawn ones, the ink of literals, and both together.

    Args:
        spelling: of the answer.
        drawn: the drawer's words (32, w); where there are fewer or more than it was to write they are spread in order.
        inks: the words of each literal, by its placeholder's number; several where a line's end parted it.
    """
    words: list[Word] = []
    share = len(drawn) / spelling.drawn if spelling.drawn else 0.0
    taken = 0
    for parts in spelling.words:
        pictures: list[list[Word]] = []
        for part in parts:
            if part < 0:
                pictures.append(inks[~part])
                continue
            upto = round((part + 1) * share)
            pictures.append(list(drawn[taken:upto]))
            taken = upto
        words += _joined(pictures)
    return [*words, *drawn[taken:]]


def _joined(pictures: Sequence[Sequence[Word]]) -> list[Word]:
    """Runs of words that follow each other without a space: the last of one is set against the first of the next."""
    joined: list[list[Word]] = []
    for run in pictures:
        if not run:
            continue
        if joined:
            joined[-1].append(run[0])
            joined += [[word] for word in run[1:]]
        else:
            joined += [[word] for word in run]
    return [words[0] if len(words) == 1 else _Row(words) for words in joined]


class _Row:
    """Words set against one another, at any size."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = words

    def __call__(self, scale: float) -> np.ndarray:
        inks = [word(scale) if callable(word) else at_size(word, scale) for word in self.words]
        space = np.zeros((len(inks[0]), max(1, round(1.5 * scale))), dtype=np.float32)
        row = [inks[0]]
        for ink in inks[1:]:
            row += [space, ink]
        return np.concatenate(row, axis=1)
