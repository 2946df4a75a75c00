"""What is drawn of an answer: its characters, with literals spelled out, or a filler where they have ink of their own.

The drawer writes words, which are cut out of its strip and laid out anew by whoever puts them back, so nothing
depends on how wide it draws one, and nothing can overlap. Where an answer holds a literal whose ink is known the drawer
writes one digit, as a word like any other, and the source's own ink takes the place of that digit's picture: a long
address needs no room on the strip, the drawer sees ordinary text, and what stands against the literal in its word ("(",
".", "rd") is cut off the digit where the letters part.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from translatotron_v.data.casing import restore_case
from translatotron_v.data.literals import Literal, right_ordinals
from translatotron_v.data.marks import LITERALS
from translatotron_v.decoding.text_mode import Prepared

FILLER = "0"  # drawn in place of a literal: narrow, and letters beside it stand apart from it


@dataclass
class DrawnWord:
    """A word that the drawer writes: its characters, each with the number of its piece, and which are fillers.

    Attributes:
        fillers: number of the placeholder by the filler's place in the word.
        space: number of the piece that writes the space before it; None at the beginning.
    """

    characters: list[tuple[str, int]] = field(default_factory=list)
    fillers: dict[int, int] = field(default_factory=dict)
    space: int | None = None


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
                written.append((" ", word.characters[0][1] if word.space is None else word.space))
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
    char_to_token = [number for number, piece in enumerate(pieces) for _ in piece]
    shown = restore_case(right_ordinals(written, prepared.literals), prepared.case)
    if len(shown) != len(written):  # a letter whose capital is two
        shown = written
    return _spelled(shown, char_to_token, prepared.literals, inked)


def spell_plainly(pieces: Sequence[str]) -> Spelling:
    """How pieces without placeholders are drawn: as they are written."""
    written = "".join(pieces)
    return _spelled(written, [number for number, piece in enumerate(pieces) for _ in piece])


def _spelled(
    shown: str, char_to_token: Sequence[int], literals: Sequence[Literal] = (), inked: Collection[int] = ()
) -> Spelling:
    words = [DrawnWord()]
    for sign, owner in zip(shown, char_to_token, strict=True):
        text = sign
        if sign in LITERALS:
            number = LITERALS.index(sign)
            text = literals[number].text if number < len(literals) else ""
            if number in inked:
                text = FILLER
                words[-1].fillers[len(words[-1].characters)] = number
        for letter in text:
            if letter.isspace():
                words.append(DrawnWord(space=owner))
            else:
                words[-1].characters.append((letter, owner))
    return Spelling([word for word in words if word.characters])
