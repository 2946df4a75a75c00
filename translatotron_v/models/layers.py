"""The parts that every transformer here is made of: the only attention, its cache, feed-forward, positions.

Shapes: B batch, H heads, G key/value heads, Q queries, L keys, D width, M width of the memory, C width of one head.
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class KeyValueCache:
    """Keys and values of one self-attention, allocated once and filled step by step.

    Attributes:
        keys, values: (B, G, capacity, C).
        length: how many positions are filled.
    """

    keys: Tensor
    values: Tensor
    length: int = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write the next positions (B, G, Q, C) and return all that are filled."""
        end = self.length + keys.shape[2]
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def reorder(self, rows: Tensor) -> None:
        """Rearrange the batch, as beam search does when it keeps some hypotheses and drops others."""
        self.keys = self.keys.index_select(0, rows)
        self.values = self.values.index_select(0, rows)


@dataclass
class Memory:
    """Keys and values that a cross-attention reads, projected once for all steps of a generation.

    Attributes:
        keys, values: (B, G, L, C).
        mask: (B, 1, 1, L), true where a position may be read; ``None`` where all may.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor | None

    def select(self, rows: Tensor) -> "Memory":
        """The memory of these rows of the batch."""
        mask = None if self.mask is None else self.mask.index_select(0, rows)
        return Memory(self.keys.index_select(0, rows), self.values.index_select(0, rows), mask)


class Attention(nn.Module):
    """Multi-head attention; ``kv_heads=1`` makes it multi-query (Shazeer 2019).

    Args:
        width: D, of the queries and of the result.
        heads: H.
        memory_width: M, of the states that are read; ``None`` for self-attention.
        kv_heads: G, must divide ``heads``; ``None`` for one each.
    """

    def __init__(self, width: int, heads: int, memory_width: int | None = None, kv_heads: int | None = None):
        super().__init__()
        self.heads = heads
        self.kv_heads = kv_heads or heads
        self.head_width = width // heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(memory_width or width, 2 * self.kv_heads * self.head_width)
        self.out = nn.Linear(width, width)

    def project(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, G, L, C) of states (B, L, M)."""
        keys, values = rearrange(self.key_value(states), "b l (two g c) -> two b g l c", two=2, g=self.kv_heads)
        return keys, values

    def remember(self, states: Tensor, mask: Tensor | None) -> Memory:
        """Project a memory (B, L, M) with its mask (B, L) once, for any number of queries."""
        return Memory(*self.project(states), None if mask is None else rearrange(mask, "b l -> b 1 1 l"))

    def new_cache(self, batch: int, capacity: int) -> KeyValueCache:
        """An empty cache for self-attention over up to ``capacity`` positions."""
        shape = (batch, self.kv_heads, capacity, self.head_width)
        return KeyValueCache(self.out.weight.new_zeros(shape), self.out.weight.new_zeros(shape))

    def forward(
        self,
        x: Tensor,
        memory: Memory | None = None,
        cache: KeyValueCache | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Attend from ``x``.

        Args:
            x: (B, Q, D).
            memory: what cross-attention reads; ``None`` for self-attention.
            cache: earlier positions of self-attention; ``x`` is appended to it.
            mask: broadcastable to (B, H, Q, L): boolean (true: may be read) or an additive bias.
            causal: no query reads a later position.

        Returns:
            (B, Q, D).
        """
        queries = rearrange(self.query(x), "b q (h c) -> b h q c", h=self.heads)
        if memory is not None:
            keys, values, mask = memory.keys, memory.values, memory.mask
        else:
            keys, values = self.project(x)
            if cache is not None:
                keys, values = cache.append(keys, values)
        attended = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=causal, enable_gqa=self.kv_heads != self.heads
        )
        return self.out(rearrange(attended, "b h q c -> b q (h c)"))


class FeedForward(nn.Sequential):
    """Two linear maps with a GELU between them: (..., D) -> (..., D)."""

    def __init__(self, width: int, hidden: int):
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and feed-forward: (B, L, D) -> (B, L, D)."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, feed_forward)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``mask`` is (B, 1, 1, L), true where a position may be read."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask=mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class DecoderLayer(nn.Module):
    """Pre-norm causal self-attention, cross-attention and feed-forward: (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float, memory_width: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.cross_norm = nn.LayerNorm(width)
        self.cross = Attention(width, heads, memory_width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, feed_forward)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Memory, cache: KeyValueCache | None = None) -> Tensor:
        """With a cache, ``x`` is the next position alone."""
        x = x + self.dropout(self.attention(self.attention_norm(x), cache=cache, causal=cache is None))
        x = x + self.dropout(self.cross(self.cross_norm(x), memory))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class SinusoidalPositions(nn.Module):
    """Fixed sine and cosine positions (Vaswani et al. 2017, section 3.5), of any length."""

    table: Tensor

    def __init__(self, width: int, length: int):
        super().__init__()
        self.width = width
        self.register_buffer("table", self._build(length), persistent=False)

    def _build(self, length: int) -> Tensor:
        rates = torch.exp(torch.arange(0, self.width, 2) * (-math.log(10_000.0) / self.width))
        angles = torch.arange(length)[:, None] * rates
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, : self.width]

    def forward(self, start: int, length: int) -> Tensor:
        """Positions ``start`` to ``start + length`` as (length, D)."""
        if start + length > self.table.shape[0]:
            self.table = self._build(start + length).to(self.table)
        return self.table[start : start + length]


class RelativeBias2d(nn.Module):
    """A learned bias of attention scores for each head, by row offset and by column offset of two grid positions.

    The public code of the paper adds such a bias in the self-attention of its image decoder.
    """

    def __init__(self, heads: int, rows: int, columns: int):
        super().__init__()
        self.columns = columns
        self.row_bias = nn.Parameter(torch.zeros(heads, 2 * rows - 1))
        self.column_bias = nn.Parameter(torch.zeros(heads, 2 * columns - 1))
        place = torch.arange(rows * columns)
        row, column = place // columns, place % columns
        self.register_buffer("row_offset", row[:, None] - row[None] + rows - 1, persistent=False)
        self.register_buffer("column_offset", column[:, None] - column[None] + columns - 1, persistent=False)

    def forward(self, start: int, stop: int) -> Tensor:
        """Causal bias of queries ``start`` to ``stop`` over keys 0 to ``stop``: (1, H, stop - start, stop)."""
        rows = self.row_offset[start:stop, :stop]
        columns = self.column_offset[start:stop, :stop]
        bias = self.row_bias[:, rows] + self.column_bias[:, columns]
        queries = torch.arange(start, stop, device=bias.device)
        later = torch.arange(stop, device=bias.device)[None] > queries[:, None]
        return bias.masked_fill(later, float("-inf"))[None]


def initialise(module: nn.Module) -> None:
    """Start all linear maps and tables of a transformer: normal with standard deviation 0.02, biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
