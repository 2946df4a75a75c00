"""How wide letters are in an average face: what a text's width says of its face, and where the letters of a word stand.

Advances in ems, rounded to a tenth: the mean of DejaVu Sans and Serif, FiraGO, Noto Sans and Ubuntu.
"""

from translatotron_v.page.strips import EM

_USUAL = 0.6
_WIDTHS = {
    0.2: "'’‚‘",
    0.3: "ijlI.,:;!|()[]{}-",
    0.4: 'Jftr/"“”„',
    0.5: "svxyzc?–",
    0.7: "ACDGRUBÄÜ+",
    0.8: "HNOQÖ&w",
    0.9: "MmW%",
}
_WIDTH_OF = {letter: width for width, letters in _WIDTHS.items() for letter in letters}


def width_of(letter: str) -> float:
    """How far a letter moves the pen, ems."""
    return _WIDTH_OF.get(letter, _USUAL)


def columns_of(text: str) -> float:
    """How many columns the letters of a text take at a strip's size, without its spaces."""
    return EM * sum(width_of(letter) for letter in text if not letter.isspace())
