"""Drawing word by word: all words of a batch at once, each on a page of its own, token after token to its end.

Given its letters, a word hardly depends on what stands beside it. What draws pages of one word (and decoders learn
that: their curriculum begins with spans of a word or two) therefore draws all words of all pages side by side: as many
passes as the longest word has tokens, instead of one for each token of a page. Where words stand is found afterwards.

Shapes: B batch, W words, T tokens of a word, N of a page, C characters, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from translatotron_v.data.ids import pad
from translatotron_v.data.vocabulary import PAD, Vocabulary
from translatotron_v.decoding.arrays import Array, inference, like, to_numpy
from translatotron_v.decoding.image import Words, generate_image, written
from translatotron_v.decoding.spelling import DrawnWord, Spelling
from translatotron_v.generation_config import GenerationConfig

if TYPE_CHECKING:
    from translatotron_v.decoding.text import Draft
    from translatotron_v.models.translator import TranslatotronV

PAPER = 0  # the code of blank paper in a codebook of patches
AT_ONCE = 256  # rows that are drawn together
# Columns between the ink of a word and the token of the next one, which begins two columns later: at least five are
# left, as on the pages of training (``data_synth.typeset``).
GAP = 3
_TOKENS = 4  # that a character takes at most
_FAINT = 0.15  # coverage up to which a column counts as empty
_PAGES = 64  # that pixels are made of together


@dataclass
class Drawing:
    """Pages that were drawn word by word.

    Attributes:
        ids: (B, N); words that do not fit their page are not on it.
        scores: for each page the mean log-probability (nats) of its words' tokens.
        pixels: (B, channels, H, W) in [0, 1].
        lines: for each page and each of its words, the line (channels, h, w) in [0, 1] on which it stands alone.
    """

    ids: Array
    scores: list[float]
    pixels: Array
    lines: list[list[np.ndarray]]


def drawing_length(model: "TranslatotronV") -> int:
    """How many characters of a text are drawn."""
    return model.config.character_encoder.max_length


def drawing_mask(characters: Array) -> Array:
    """(B, C) true where there is a character; an empty text keeps one position, so that attention has something."""
    mask = characters != PAD
    mask[:, 0] = True
    return mask


@inference
def draw_words(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    draft: "Draft",
    spellings: Sequence[Spelling],
    generation: GenerationConfig,
    *,
    cached: bool = True,
) -> Drawing:
    """Draw pages word by word.

    Args:
        model: in evaluation mode, its tokenizer a codebook of patches.
        draft: of the pages.
        spellings: their words, each character with the number of its piece.
        generation: as of ``generate_image``.
        cached: ``False`` recomputes the whole prefix at each step, for comparison.
    """
    words = [(page, word) for page, spelling in enumerate(spellings) for word in spelling.words]
    tokens: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(words)
    sums = [(0.0, 0)] * len(words)  # of log-probabilities, and tokens
    order = sorted(range(len(words)), key=lambda number: len(words[number][1].characters))
    for start in range(0, len(order), AT_ONCE):
        numbers = order[start : start + AT_ONCE]
        ids, scores = _write(model, vocabulary, draft, [words[number] for number in numbers], generation, cached)
        for number, row, score in zip(numbers, ids, scores, strict=True):
            count = written(row, PAPER)
            tokens[number], sums[number] = row, (score * count, count)
    pages = [page for page, _ in words]
    lines, edges = _lines(model, tokens, draft.states)
    by_page = [[number for number, page in enumerate(pages) if page == one] for one in range(len(spellings))]
    grid = model.config.token_grid
    laid = np.stack(
        [
            lay_out([tokens[number] for number in numbers], [edges[number] for number in numbers], grid, _patch(model))
            for numbers in by_page
        ]
    )
    page_ids = like(laid, draft.states)
    means = []
    for numbers in by_page:
        total, count = (sum(sums[number][part] for number in numbers) for part in range(2))
        means.append(total / max(count, 1))
    pixels = model.image_tokenizer.decode_from_ids(page_ids)
    return Drawing(page_ids, means, pixels, [[lines[number] for number in numbers] for numbers in by_page])


def _write(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    draft: "Draft",
    words: Sequence[tuple[int, DrawnWord]],
    generation: GenerationConfig,
    cached: bool,
) -> tuple[np.ndarray, list[float]]:
    """Tokens (W, T) of words, each with its page's number, and their mean log-probabilities."""
    owners = [page for page, _ in words]
    spelled = [word.characters[: drawing_length(model)] for _, word in words]
    characters = like(pad([vocabulary.encode_characters(sign for sign, _ in row) for row in spelled]), draft.states)
    firsts = [draft.first[page] for page in owners]
    char_to_token = pad([[first + owner for _, owner in row] for first, row in zip(firsts, spelled, strict=True)])
    fonts = None if draft.fonts is None else draft.fonts[owners]
    drawn, mask = model.drawing_states(
        draft.states[owners],
        draft.mask[owners],
        characters,
        drawing_mask(characters),
        like(char_to_token, draft.states),
        fonts,
    )
    rows = Words(owners, PAPER, longest_word(characters.shape[1], model.config.token_grid[1]))
    decoder: Any = model.image_decoder
    ids, scores = generate_image(decoder, drawn, mask, draft.memory, generation, cached=cached, words=rows)
    return to_numpy(ids), scores


def longest_word(characters: int, columns: int) -> int:
    """Tokens that words of so many characters take at most, their end included: they stand on one line."""
    return min(columns, _TOKENS * characters + 2)


def _patch(model: "TranslatotronV") -> int:
    """Columns of a token."""
    return model.config.tokenizer.patch[1]


def _lines(model: "TranslatotronV", tokens: Sequence[np.ndarray], other: Array) -> tuple[list[np.ndarray], list[int]]:
    """Words' tokens as pixels (channels, h, w) of a line each, and one past the last column of their ink."""
    rows, columns = model.config.token_grid
    height = model.config.tokenizer.patch[0]
    lines: list[np.ndarray] = []
    for start in range(0, len(tokens), _PAGES):
        some = tokens[start : start + _PAGES]
        pages = np.full((len(some), rows * columns), PAPER, dtype=np.int64)
        for page, row in zip(pages, some, strict=True):
            page[: min(len(row), columns)] = row[:columns]
        pixels = to_numpy(model.image_tokenizer.decode_from_ids(like(pages, other)))
        lines += [picture[:, :height] for picture in pixels]
    inks = [np.flatnonzero((1 - line.mean(0)).max(0, initial=0.0) > _FAINT) for line in lines]
    return lines, [int(columns_[-1]) + 1 if len(columns_) else 0 for columns_ in inks]


def lay_out(words: Sequence[np.ndarray], edges: Sequence[int], grid: tuple[int, int], patch: int) -> np.ndarray:
    """A page's tokens (N,) from those of its words, which fill its lines from left to right.

    Args:
        words: tokens (T,) of each, paper after its end.
        edges: one past the last column of each word's ink.
        grid: rows and columns of tokens.
        patch: columns of a token.
    """
    rows, columns = grid
    page = np.full(grid, PAPER, dtype=np.int64)
    row, free = 0, 0  # where the next word may begin
    for tokens, edge in zip(words, edges, strict=True):
        count = -(-edge // patch)
        if free and free + count > columns:
            row, free = row + 1, 0
        if row == rows:
            break
        page[row, free : free + count] = tokens[:count]
        free += -(-(edge + GAP) // patch)
    return page.reshape(-1)
