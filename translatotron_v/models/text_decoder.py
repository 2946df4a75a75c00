"""Everything that reads or writes text: decoder, source-text encoder, character encoder, CTC head.

Shapes: B batch, T pieces, C characters, S states of the memory, D width, M width of the memory, V vocabulary.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from translatotron_v.config import TransformerConfig
from translatotron_v.models.layers import (
    CrossAttentionCache,
    DecoderLayer,
    Dropout,
    EncoderLayer,
    KeyValueCache,
    SinusoidalPositions,
    initialise,
)
from translatotron_v.models.modules import Modules


@dataclass
class DecoderCache:
    """What a decoder keeps between steps: one self-attention cache and the cross_caches of each layer."""

    own: list[KeyValueCache]
    cross_caches: list[tuple[CrossAttentionCache, ...]]

    @property
    def length(self) -> int:
        """Positions decoded so far."""
        return self.own[0].length

    def reorder(self, rows: Tensor) -> None:
        """Rearrange the batch (beam search)."""
        for cache in self.own:
            cache.reorder(rows)
        self.cross_caches = [tuple(memory.select(rows) for memory in layer) for layer in self.cross_caches]


class TextDecoder(nn.Module):
    """Autoregressive text: the target-text decoder and, smaller, the OCR head.

    Args:
        config: size.
        vocabulary_size: V.
        memory_width: M, of the states it reads.
    """

    def __init__(self, config: TransformerConfig, vocabulary_size: int, memory_width: int):
        super().__init__()
        self.max_length = config.max_length
        self.embedding = nn.Embedding(vocabulary_size, config.width)
        self.positions = SinusoidalPositions(config.width, config.max_length)
        self.dropout = Dropout(config.dropout)
        self.layers: Modules[DecoderLayer] = Modules(
            DecoderLayer(
                config.width, config.heads, config.feed_forward, config.dropout, memory_width, config.activation
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        initialise(self)
        self.scale = config.width**0.5

    def _embed(self, ids: Tensor, start: int) -> Tensor:
        return self.dropout(self.embedding(ids) * self.scale + self.positions(start, ids.shape[1]))

    def forward(self, ids: Tensor, memory: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Teacher-forced pass.

        Args:
            ids: (B, T) input pieces, tags first.
            memory: (B, S, M).
            mask: (B, S), true where the memory may be read.

        Returns:
            Logits (B, T, V) of the next piece, and the states (B, T, D) they come from.
        """
        states = self.states(ids, memory, mask)
        return self.logits(states), states

    def states(self, ids: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """The states (B, T, D) of a teacher-forced pass, for who needs the logits of some positions only."""
        x = self._embed(ids, 0)  # (B, T, D)
        for layer in self.layers:
            x = layer(x, layer.cross.project_kv(memory, mask))
        return self.norm(x)

    def logits(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., V); the output table is the input table."""
        return states @ self.embedding.weight.T

    def start(self, memory: Tensor, mask: Tensor | None, capacity: int) -> DecoderCache:
        """Prepare stepwise decoding of up to ``capacity`` positions over a memory (B, S, M)."""
        return DecoderCache(
            [layer.attention.new_cache(memory, capacity) for layer in self.layers],
            [(layer.cross.project_kv(memory, mask),) for layer in self.layers],
        )

    def step(self, ids: Tensor, cache: DecoderCache) -> tuple[Tensor, Tensor]:
        """Decode one more position: ids (B, 1) -> logits (B, 1, V) and states (B, 1, D)."""
        x = self._embed(ids, cache.length)
        for layer, own, (memory,) in zip(self.layers, cache.own, cache.cross_caches, strict=True):
            x = layer(x, memory, own)
        states = self.norm(x)
        return self.logits(states), states


class TextEncoder(nn.Module):
    """Source-text encoder of text mode, whose layers image mode shares.

    Text mode feeds it embedded pieces. Image mode feeds it the projected states of the ViT or, with ``reads``, the
    embedded pieces that the CTC head has read, each joined by the projected states that it was read from. After the
    shared layers both modes are read by the same decoders. With zero layers (the paper's size) image states pass
    through unchanged.

    Args:
        config: size.
        vocabulary_size: V.
        image_width: M, width of the ViT's states.
        image_length: S, how many of them there are.
        reads: whether image mode starts from what was read.
        table: embedding of the pieces that belongs to another module, which saves it; ``None``: one of its own.
    """

    IMAGE_MODE_ONLY = (
        "connector",
        "image_positions",
        "visual_projection",
    )  # how names of tensors begin that text mode does not use

    def __init__(
        self,
        config: TransformerConfig,
        vocabulary_size: int,
        image_width: int,
        image_length: int,
        reads: bool = False,
        table: nn.Embedding | None = None,
    ):
        super().__init__()
        if table is None:
            self.embedding = nn.Embedding(vocabulary_size, config.width)
        else:
            self.__dict__["embedding"] = table  # seen, and not registered: its owner trains and saves it
        self.positions = SinusoidalPositions(config.width, config.max_length)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, config.feed_forward, config.dropout, config.activation)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width) if config.layers else nn.Identity()
        self.connector = nn.Linear(image_width, config.width) if config.layers and not reads else nn.Identity()
        self.scale = config.width**0.5
        initialise(self)
        if reads:
            self.visual_projection = nn.Linear(image_width, config.width)
            nn.init.zeros_(self.visual_projection.weight)  # starts as the text mode whose weights it takes over
            nn.init.zeros_(self.visual_projection.bias)
        elif config.layers:
            self.image_positions = nn.Parameter(torch.zeros(image_length, config.width))
            self.connector_norm = nn.LayerNorm(config.width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Text mode: pieces (B, T) with mask (B, T), true where there is one -> (B, T, D)."""
        x = self.embedding(ids) * self.scale + self.positions(0, ids.shape[1])
        return self._encode(self.dropout(x), rearrange(mask, "b t -> b 1 1 t"))

    def from_image(self, states: Tensor) -> Tensor:
        """Image mode: states of the ViT (B, S, M) -> (B, S, D)."""
        if not self.layers:
            return states
        x = self.connector_norm(self.connector(states)) + self.image_positions
        return self._encode(self.dropout(x), None)

    def from_reading(
        self,
        ids: Tensor,
        mask: Tensor,
        states: Tensor,
        first: Tensor,
        last: Tensor,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Image mode by reading.

        Args:
            ids: (B, T) pieces that were read, with ``mask`` (B, T), true where there is one.
            states: (B, S, M) of the ViT.
            first, last: (B, T), the states that each piece was read from, both inclusive; none where first > last.
            weights: (B, T, A), of as many alternatives of each piece, which ``ids`` (B, T, A) then are.

        Returns:
            (B, T, D).
        """
        pieces = self.embedding(ids) if weights is None else (self.embedding(ids) * weights[..., None]).sum(2)
        x = pieces * self.scale + self.positions(0, ids.shape[1])
        x = x + self.visual_projection(mean_of_spans(states, first, last))
        return self._encode(self.dropout(x), rearrange(mask, "b t -> b 1 1 t"))

    def _encode(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


def mean_of_spans(states: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Means of runs of states (B, S, M) from ``first`` to ``last`` (B, T), both inclusive; zero for an empty run."""
    sums = F.pad(states.cumsum(1), (0, 0, 1, 0))  # (B, S + 1, M)
    length = (last + 1 - first).clamp(min=0)
    ends = [place[..., None].expand(-1, -1, states.shape[-1]) for place in (first, first + length)]
    return (sums.gather(1, ends[1]) - sums.gather(1, ends[0])) / length.clamp(min=1)[..., None]


class CharacterEncoder(nn.Module):
    """Text states for drawing: one state for each character of the text to be written.

    Subwords translate and characters draw: each character's embedding may be joined by the projected decoder state of
    the piece that it belongs to, which carries what the decoder knew when it chose the word.

    Args:
        config: size.
        character_count: size of the character table.
        piece_width: width of the text decoder's states; 0 for a drawer of plain text (the teacher).
        fonts: number of fonts to draw in; 0 where there is one.
    """

    def __init__(self, config: TransformerConfig, character_count: int, piece_width: int = 0, fonts: int = 0):
        super().__init__()
        self.embedding = nn.Embedding(character_count, config.width)
        self.positions = SinusoidalPositions(config.width, config.max_length)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, config.feed_forward, config.dropout, config.activation)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.scale = config.width**0.5
        self.font = nn.Embedding(fonts, config.width) if fonts else None
        initialise(self)
        if piece_width:
            self.piece_projection = nn.Linear(piece_width, config.width)
            nn.init.zeros_(
                self.piece_projection.weight
            )  # starts as the text-to-image encoder whose weights it takes over
            nn.init.zeros_(self.piece_projection.bias)

    def forward(
        self,
        characters: Tensor,
        mask: Tensor,
        piece_states: Tensor | None = None,
        char_to_token: Tensor | None = None,
        fonts: Tensor | None = None,
    ) -> Tensor:
        """Encode the characters of a text.

        Args:
            characters: (B, C) ids.
            mask: (B, C), true where there is a character.
            piece_states: (B, T, M), decoder states of the pieces.
            char_to_token: (B, C), for each character the position of its piece.
            fonts: (B,), numbers of the fonts to draw in.

        Returns:
            (B, C, D).
        """
        x = self.embedding(characters) * self.scale + self.positions(0, characters.shape[1])
        if self.font is not None:
            if fonts is None:
                raise ValueError("this model draws in several fonts; none was given")
            x = x + self.font(fonts)[:, None] * self.scale
        if piece_states is not None and char_to_token is not None:
            projected = self.piece_projection(piece_states)  # (B, T, D)
            x = x + projected.gather(1, char_to_token[..., None].expand(-1, -1, projected.shape[-1]))
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, rearrange(mask, "b c -> b 1 1 c"))
        return self.norm(x)


class CtcHead(nn.Module):
    """Reads characters off image states; each state gives several frames, so that narrow letters find room.

    Args:
        width: of the image states.
        character_count: size of the character table; id 0 (padding) is the blank.
        frames: frames of one state.
    """

    def __init__(self, width: int, character_count: int, frames: int):
        super().__init__()
        self.frames = frames
        self.out = nn.Linear(width, frames * character_count)

    def forward(self, states: Tensor) -> Tensor:
        """(B, S, M), no class token -> logits (B, S * frames, characters), rows of the page one after the other."""
        return rearrange(self.out(states), "b s (f v) -> b (s f) v", f=self.frames)


class FontHead(nn.Module):
    """Which of the known fonts a page is set in.

    Args:
        width: M, of the image states.
        fonts: F, how many there are.
    """

    def __init__(self, width: int, fonts: int):
        super().__init__()
        self.out = nn.Linear(width, fonts)

    def forward(self, states: Tensor) -> Tensor:
        """(B, S, M) -> logits (B, F), from the mean of the states."""
        return self.out(states.mean(1))
