"""Words of training pages, each as a row of its own: its characters, and its tokens cut out of the page.

Shapes: B batch, N image tokens, C characters of a page, W words of a page, R rows.
"""

from itertools import groupby

import torch
from torch import Tensor

from translatotron_v.data.pages import pad
from translatotron_v.data.vocabulary import PAD, Vocabulary
from translatotron_v.decoding.words import PAPER, drawing_mask
from translatotron_v.models.states import WordRows

END = 2  # tokens of paper that end a word


def word_rows(
    ids: Tensor,
    characters: Tensor,
    char_to_token: Tensor | None,
    words: Tensor,
    vocabulary: Vocabulary,
    columns: int,
    first: int = 0,
) -> WordRows | None:
    """The words of pages from number ``first`` on; ``None`` where there is none.

    Where a page's text is too long for what is drawn, its last word may have lost its end and is left out.

    Args:
        ids: (B, N) tokens of the pages, ``columns`` in a row.
        characters, char_to_token: (B, C) as of a batch.
        words: (B, W, 3) as of a batch.
    """
    pages, spelled, owners, places = [], [], [], []
    for page in range(first, len(ids)):
        found = split_words(characters[page].tolist(), vocabulary)
        there = [place for place in words[page].tolist() if place[2]]
        if len(found) < len(there):
            found, there = found[:-1], there[: len(found) - 1]
        if len(found) != len(there):
            raise ValueError(f"{len(found)} words are to be drawn, {len(there)} stand on the page")
        for (start, end), place in zip(found, there, strict=True):
            pages.append(page)
            spelled.append(characters[page, start:end].tolist())
            owners.append([] if char_to_token is None else char_to_token[page, start:end].tolist())
            places.append(place)
    if not pages:
        return None
    device = ids.device
    row, column, count = torch.tensor(places, device=device).unbind(1)  # (R,) each
    length = min(int(count.max()) + END, columns)
    offset = torch.arange(length, device=device)
    own = torch.tensor(pages, device=device)
    taken = (row * columns + column)[:, None] + torch.minimum(offset, count[:, None] - 1)  # (R, T)
    tokens = torch.where(offset < count[:, None], ids[own[:, None], taken], PAPER)
    given = pad(spelled).to(device)
    return WordRows(
        own,
        given,
        drawing_mask(given),
        None if char_to_token is None else pad(owners).to(device),
        tokens,
        offset < count[:, None] + END,
    )


def split_words(ids: list[int], vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """First and last character (exclusive) of each word of a text's character ids."""
    [space] = vocabulary.encode_characters(" ")
    runs, place = [], 0
    for blank, group in groupby(ids, lambda one: one in (space, PAD)):
        length = len(list(group))
        if not blank:
            runs.append((place, place + length))
        place += length
    return runs
