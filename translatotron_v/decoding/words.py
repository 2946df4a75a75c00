"""Drawing word by word: all words of a batch at once, each on a page of its own, token after token to its end.

Given its letters, a word hardly depends on what stands beside it. What draws pages of one word (and decoders learn
that: their curriculum begins with spans of a word or two) therefore draws all words of all pages side by side: as many
passes as the longest word has tokens, instead of one for each token of a page. Where words stand is found afterwards.

Shapes: B batch, W words, T tokens of a word or pieces of a text, N tokens of a page, C characters, S states, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from translatotron_v.config import ModelConfig
from translatotron_v.data.ids import pad
from translatotron_v.data.vocabulary import PAD, Vocabulary
from translatotron_v.decoding.arrays import Array, inference, like, to_numpy
from translatotron_v.decoding.image import Words, generate_image, written
from translatotron_v.decoding.spelling import DrawnWord, Spelling
from translatotron_v.generation_config import GenerationConfig

if TYPE_CHECKING:
    from translatotron_v.models.teacher import TextToImage
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
class Draft:
    """What the pictures of a batch are drawn from.

    Attributes:
        states, mask: (B, T, D) of the text decoder, and (B, T), true where one writes a piece of the translation.
        first: for each text, the position of its first piece among the states.
        memory: (B, S, D) that the image decoder reads.
        fonts: (B,), the fonts to draw in, where the model knows several.
    """

    states: Array
    mask: Array
    first: list[int]
    memory: Array
    fonts: Array | None

    def rows(self, numbers: Sequence[int]) -> "Draft":
        """Those of some of the texts."""
        chosen = list(numbers)
        fonts = None if self.fonts is None else self.fonts[chosen]
        first = [self.first[number] for number in chosen]
        return Draft(self.states[chosen], self.mask[chosen], first, self.memory[chosen], fonts)


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
    draft: Draft,
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

    def write(words: Sequence[tuple[int, DrawnWord]]) -> tuple[np.ndarray, list[float]]:
        return _write(model, vocabulary, draft, words, generation, cached)

    pages = [spelling.words for spelling in spellings]
    lengths = [[len(word.characters) for word in words] for words in pages]
    return draw_rows(write, pages, lengths, model.config, model.image_tokenizer, draft.states)


@inference
def draw_texts(
    teacher: "TextToImage",
    config: ModelConfig,
    tokenizer: Any,
    pages: Sequence[Sequence[Sequence[int]]],
    source_pixels: Array | None = None,
    fonts: Array | None = None,
) -> Drawing:
    """Draw pages word by word by a text-to-image model.

    Args:
        teacher: in evaluation mode.
        config: of the model that it teaches.
        tokenizer: a codebook of patches.
        pages: for each page the character ids of each of its words.
        source_pixels, fonts: as of ``TextToImage.states``, of the pages.
    """
    other = next(teacher.parameters())

    def write(words: Sequence[tuple[int, Sequence[int]]]) -> tuple[np.ndarray, list[float]]:
        owners = [page for page, _ in words]
        characters = like(pad([word for _, word in words]), other)
        mask = drawing_mask(characters)
        seen, chosen = (None if one is None else one[owners] for one in (source_pixels, fonts))
        drawn = teacher.states(characters, mask, seen, chosen)
        rows = Words(owners, PAPER, longest_word(characters.shape[1], config.token_grid[1]))
        ids, scores = generate_image(teacher.decoder, drawn, mask, words=rows)
        return to_numpy(ids), scores

    return draw_rows(write, pages, [[len(word) for word in words] for words in pages], config, tokenizer, other)


def draw_rows(
    write: Callable[[list[tuple[int, Any]]], tuple[np.ndarray, list[float]]],
    pages: Sequence[Sequence[Any]],
    lengths: Sequence[Sequence[int]],
    config: ModelConfig,
    tokenizer: Any,
    other: Array,
) -> Drawing:
    """Pages of words.

    Args:
        write: the tokens (W, T) of some words, each with its page's number, and their mean log-probabilities.
        pages: the words of each.
        lengths: their characters; words of like length are drawn together.
        config: of the model.
        tokenizer: a codebook of patches.
        other: where ``like`` is.
    """
    words = [(page, word) for page, row in enumerate(pages) for word in row]
    sizes = [length for row in lengths for length in row]
    order = sorted(range(len(words)), key=lambda number: sizes[number])
    tokens: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(words)
    sums = [(0.0, 0)] * len(words)  # of log-probabilities, and tokens
    for start in range(0, len(order), AT_ONCE):
        numbers = order[start : start + AT_ONCE]
        for number, row, score in zip(numbers, *write([words[number] for number in numbers]), strict=True):
            count = written(row, PAPER)
            tokens[number], sums[number] = row, (score * count, count)
    lines, edges = _lines(tokens, config, tokenizer, other)
    own = [[number for number, (page, _) in enumerate(words) if page == one] for one in range(len(pages))]
    patch = config.tokenizer.patch[1]
    laid = [lay_out([tokens[n] for n in row], [edges[n] for n in row], config.token_grid, patch) for row in own]
    ids = like(np.stack(laid), other)
    totals = [[sum(sums[number][part] for number in row) for part in range(2)] for row in own]
    means = [total / max(count, 1) for total, count in totals]
    return Drawing(ids, means, tokenizer.decode_from_ids(ids), [[lines[number] for number in row] for row in own])


def _write(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    draft: Draft,
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


def _lines(
    tokens: Sequence[np.ndarray], config: ModelConfig, tokenizer: Any, other: Array
) -> tuple[list[np.ndarray], list[int]]:
    """Words' tokens as pixels (channels, h, w) of a line each, and one past the last column of their ink."""
    rows, columns = config.token_grid
    height = config.tokenizer.patch[0]
    lines: list[np.ndarray] = []
    for start in range(0, len(tokens), _PAGES):
        some = tokens[start : start + _PAGES]
        pages = np.full((len(some), rows * columns), PAPER, dtype=np.int64)
        for page, row in zip(pages, some, strict=True):
            page[: min(len(row), columns)] = row[:columns]
        pixels = to_numpy(tokenizer.decode_from_ids(like(pages, other)))
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
