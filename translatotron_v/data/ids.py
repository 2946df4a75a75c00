"""Ragged ids as arrays, and which characters are drawn of pieces: what batches of training and decoding share.

Shapes: B batch, C characters, T pieces.
"""

from collections.abc import Sequence

import numpy as np

from translatotron_v.data.vocabulary import PAD, Vocabulary


def pad(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Ragged ids as one array (B, longest) of int64, filled with ``PAD``."""
    longest = max(1, *(len(row) for row in rows)) if rows else 1
    return np.array([[*row, *[PAD] * (longest - len(row))] for row in rows], dtype=np.int64)


def drawing_ids(
    vocabulary: Vocabulary, pieces: Sequence[Sequence[int]], longest: int, first: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Characters (B, C) of piece sequences and, for each, the decoder position that wrote its piece.

    ``first`` is the position of each sequence that writes its first piece: that of the language tag before it.
    """
    characters, char_to_token = [], []
    for ids, start in zip(pieces, first, strict=True):
        spelled, positions = vocabulary.characters_of_pieces(ids)
        characters.append(spelled[:longest])
        char_to_token.append([position + start for position in positions[:longest]])
    return pad(characters), pad(char_to_token)


def longest_transcript(max_length: int) -> int:
    """How many pieces of a transcript go before a translation, of a decoder that writes ``max_length`` in all."""
    return max_length // 2 - 2
