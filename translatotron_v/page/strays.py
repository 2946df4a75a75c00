"""Faint bars beside letters: what a token drew for a neighbour other than the one that its word has.

A token is a patch of eight columns. One that was learnt beside an "a" may leave the edge of its stem in its first
column, so that the "o" of "boy" reads as an "a" to anybody but the reader that was trained on such pictures.
"""

import numpy as np

_FAINT, _STRONG = 0.2, 0.6  # coverage between which ink is no more than the edge of something
_EMPTY = 0.12  # coverage up to which nothing stands there
_APART = 2  # rows of a bar with nothing at either side, or
_LONG = 4  # so many rows of which one has nothing at either side


def has_stray(picture: np.ndarray) -> bool:
    """Whether a faint upright bar stands in the ink of a word (h, w) that belongs to no letter.

    The edge of a letter is faint too, but has a letter at its side from end to end.
    """
    faint = (picture > _FAINT) & (picture < _STRONG)
    around = np.pad(picture, ((0, 0), (1, 1)))
    alone = faint & (around[:, :-2] < _EMPTY) & (around[:, 2:] < _EMPTY)
    for column in np.flatnonzero(alone.any(0)):
        turns = np.flatnonzero(np.diff(np.pad(faint[:, column].astype(np.int8), 1)))
        for first, last in zip(turns[::2], turns[1::2], strict=True):
            apart = int(alone[first:last, column].sum())
            if apart >= _APART or (apart and last - first >= _LONG):
                return True
    return False
