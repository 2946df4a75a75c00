"""Text as a reader would have it: letters dropped, doubled and taken for others that look like them.

A translator that learnt from clean text only falls apart over one wrong letter, since a misread word is cut into other
pieces; one that has seen such words guesses them from the rest of the sentence.
"""

import numpy as np

from translatotron_v.data.marks import MARKS

# Letters that are taken for one another, and those that are taken for letters much narrower.
ALIKE = (
    "iljtfrI1!|í",
    "oeacOCGQ0ö",
    "uünvwrhm",
    "hbkdl",
    "BPRDFE8",
    "sS5ßz",
    "fFT7Y",
    "gqyp9",
    "aäàáe",
    "HKNMW",
    ".,:;",
    "-–",
)
_NEIGHBOURS = {
    letter: "".join(group for group in ALIKE if letter in group).replace(letter, "") for letter in "".join(ALIKE)
}
_DROPPED, _REPLACED = 0.5, 0.35  # of the errors; the others are letters read twice


def misread(text: str, share: float, rng: np.random.Generator) -> str:
    """The text with some of its letters misread.

    Half of the texts stay as they are. In each of the others every character goes wrong with one probability, which is
    drawn from 0 to four times ``share``, so that ``share`` is what goes wrong on average.

    Args:
        text: any.
        share: of the characters, 0..0.25.
        rng: drawn from once for each character.
    """
    rate = rng.uniform(0, 4 * share) if rng.random() < 0.5 else 0.0
    draws = rng.random((len(text), 3))
    letters = []
    for letter, (wrong, kind, which) in zip(text, draws, strict=True):
        if wrong >= rate or letter in MARKS:
            letters.append(letter)
        elif kind >= _DROPPED and letter != " ":
            alike = _NEIGHBOURS.get(letter, "") if kind < _DROPPED + _REPLACED else ""
            letters.append(alike[int(which * len(alike))] if alike else 2 * letter)
    return " ".join("".join(letters).split())
