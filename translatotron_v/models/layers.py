"""The parts that every transformer here is made of: the only attention, its cache, feed-forward, positions.

Shapes: B batch, H heads, G key/value heads, Q queries, L keys, D width, M width of the memory, C width of one head.
"""

import math
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


@dataclass
class KeyValueCache:
    """Keys and values of one self-attention, allocated once and filled step by step.

    Attributes:
        keys, values: (B, G, capacity, C).
        length: how many positions are filled.
        place: (1,), the next position, on the device. With it every shape is the same at all steps, as CUDA graphs
            need: all of the cache is read, what is not filled yet masked out, and whoever made the place moves it on.
    """

    keys: Tensor
    values: Tensor
    length: int = 0
    place: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write the next positions (B, G, Q, C) and return all that are filled."""
        if self.place is not None:
            self.keys.index_copy_(2, self.place, keys.to(self.keys.dtype))
            self.values.index_copy_(2, self.place, values.to(self.values.dtype))
            return self.keys, self.values
        start, count = self.length, keys.shape[2]
        self.keys.narrow(2, start, count).copy_(keys)
        self.values.narrow(2, start, count).copy_(values)
        self.length = end = start + count
        return self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)

    def reorder(self, rows: Tensor) -> None:
        """Rearrange the batch, as beam search does when it keeps some hypotheses and drops others."""
        self.keys = self.keys.index_select(0, rows)
        self.values = self.values.index_select(0, rows)


@dataclass
class CrossAttentionCache:
    """Keys and values that a cross-attention reads, projected once for all steps of a generation.

    Attributes:
        keys, values: (B, G, L, C).
        mask: (B, 1, 1, L), true where a position may be read, or what is added to its scores; ``None`` where all may.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor | None

    def select(self, rows: Tensor) -> "CrossAttentionCache":
        """The memory of these rows of the batch."""
        mask = None if self.mask is None else self.mask.index_select(0, rows)
        return CrossAttentionCache(self.keys.index_select(0, rows), self.values.index_select(0, rows), mask)

    def for_steps(self) -> "CrossAttentionCache":
        """The same for many reads: its mask as it is added to scores, and none where all may be read."""
        if self.mask is None or self.mask.all():
            return CrossAttentionCache(self.keys, self.values, None)
        added = torch.zeros_like(self.mask, dtype=self.keys.dtype).masked_fill(~self.mask, float("-inf"))
        return CrossAttentionCache(self.keys, self.values, added)


class Linear(nn.Linear):
    """``nn.Linear`` that keeps to the speed of the memory when a decoder multiplies a few rows on a CPU.

    A batch of two to four pages hands over as many rows at each step. BLAS's kernels for ``x W^T`` then read the
    weights several times slower than those for ``W x^T``, which is the same product (docs/performance.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        rows = x.numel() // self.in_features
        if not 2 <= rows <= 4 or not x.is_cpu or torch.is_grad_enabled():
            return F.linear(x, self.weight, self.bias)
        columns = x.reshape(rows, -1).T
        y = self.weight @ columns if self.bias is None else torch.addmm(self.bias[:, None], self.weight, columns)
        return y.T.contiguous().view(*x.shape[:-1], -1)  # attention's fused kernel wants rows


class Dropout(nn.Dropout):
    """``nn.Dropout`` that remembers what it dropped in a byte an element; on a CPU, PyTorch's own takes four."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.native_dropout(x, self.p, True)[0] if self.training and self.p else x

    @classmethod
    def replace_in(cls, module: nn.Module) -> None:
        """Take the place of every ``nn.Dropout`` of a library's module."""
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, cls(child.p))
            else:
                cls.replace_in(child)


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
        self.query = Linear(width, width)
        self.key_value = Linear(memory_width or width, 2 * self.kv_heads * self.head_width)
        self.out = Linear(width, width)

    def project(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, G, L, C) of states (B, L, M)."""
        return _keys_and_values(self.key_value(states), self.kv_heads)

    def project_kv(self, states: Tensor, mask: Tensor | None) -> CrossAttentionCache:
        """Project a memory (B, L, M) with its mask (B, L) once, for any number of queries."""
        return CrossAttentionCache(*self.project(states), None if mask is None else rearrange(mask, "b l -> b 1 1 l"))

    def new_cache(self, states: Tensor, capacity: int, place: Tensor | None = None) -> KeyValueCache:
        """An empty cache for self-attention over up to ``capacity`` positions of the pages of ``states`` (B, ...)."""
        shape = (states.shape[0], self.kv_heads, capacity, self.head_width)
        return KeyValueCache(states.new_zeros(shape), states.new_zeros(shape), place=place)

    def forward(
        self,
        x: Tensor,
        memory: CrossAttentionCache | None = None,
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
        batch, count, width = x.shape
        queries = self.query(x).view(batch, count, self.heads, self.head_width)
        if memory is not None:
            keys, values, mask = memory.keys, memory.values, memory.mask
        else:
            keys, values = _keys_and_values(self.key_value(x), self.kv_heads)
            if cache is not None:
                keys, values = cache.append(keys, values)
        if self.kv_heads == 1 and not causal:
            attended = _attend_multi_query(queries, keys, values, mask)
        else:
            attended = attend(
                queries.transpose(1, 2),
                keys,
                values,
                mask,
                is_causal=causal,
                enable_gqa=self.kv_heads != self.heads,
            ).transpose(1, 2)
        return self.out(attended.reshape(batch, count, width))


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, **options: bool) -> Tensor:
    """``F.scaled_dot_product_attention``; while a CPU trains within autocast, in float32.

    Going back, PyTorch's kernel takes three times as long in bfloat16 as in float32 there, also where the products of
    the layers are five times as fast.
    """
    if queries.device.type == "cpu" and queries.requires_grad and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return attend(queries.float(), keys.float(), values.float(), mask, **options)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, **options)


def _keys_and_values(projected: Tensor, kv_heads: int) -> tuple[Tensor, Tensor]:
    """(B, L, 2 G C) -> (B, G, L, C) each."""
    both = projected.view(projected.shape[0], projected.shape[1], 2, kv_heads, -1)
    keys, values = both.permute(2, 0, 3, 1, 4).unbind(0)
    return keys, values


def _attend_multi_query(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of queries (B, Q, H, C) to one head of keys and values (B, 1, L, C) -> (B, Q, H, C).

    The heads are folded into the queries, so that nothing is repeated for each head and a step of decoding is one
    product of H rows instead of H products of one.
    """
    batch, count, heads, width = queries.shape
    if mask is not None and mask.shape[1] > 1:
        mask = mask.reshape(mask.shape[0], 1, heads * count, -1)  # (1 or B, 1, H Q, L)
    if count == 1:  # folded as it stands
        return attend(queries, keys, values, mask)
    folded = queries.transpose(1, 2).reshape(batch, 1, heads * count, width)
    if mask is not None and mask.requires_grad:
        # A learned bias rules out the fused kernels, which would not keep the H Q x L weights: compute them again.
        attended = checkpoint(attend, folded, keys, values, mask, use_reentrant=False, preserve_rng_state=False)
    else:
        attended = attend(folded, keys, values, mask)
    return attended.view(batch, heads, count, width).transpose(1, 2)


class _SquaredReLU(torch.autograd.Function):
    """Half the passes over memory that autograd makes of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        kept = x.clamp(min=0)
        ctx.save_for_backward(kept)
        return kept.square()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (kept,) = ctx.saved_tensors
        return (gradients[0] * kept).mul_(2)


class SquaredReLU(nn.Module):
    """``max(x, 0)^2`` (So et al. 2021, Primer)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return _SquaredReLU.apply(x) if torch.is_grad_enabled() else F.relu(x).square()


class FeedForward(nn.Sequential):
    """Two linear maps with an activation between them, "gelu" or "relu2": (..., D) -> (..., D).

    In training, wide ones keep the GELU's input alone for the backward pass and compute its output again.
    """

    WIDE = 1024

    def __init__(self, width: int, hidden: int, activation: str = "gelu"):
        activate = nn.GELU() if activation == "gelu" else SquaredReLU()
        super().__init__(Linear(width, hidden), activate, Linear(hidden, width))
        self.saves_memory = hidden >= self.WIDE and activation == "gelu"

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        into, activate, out = self
        if not (self.saves_memory and torch.is_grad_enabled()):
            return out(activate(into(x)))
        return checkpoint(lambda h: out(activate(h)), into(x), use_reentrant=False, preserve_rng_state=False)


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and feed-forward: (B, L, D) -> (B, L, D)."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float, activation: str = "gelu"):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, feed_forward, activation)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``mask`` is (B, 1, 1, L), true where a position may be read."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask=mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class DecoderLayer(nn.Module):
    """Pre-norm causal self-attention, cross-attention and feed-forward: (B, T, D) -> (B, T, D)."""

    def __init__(
        self,
        width: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        memory_width: int,
        activation: str = "gelu",
    ):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.cross_norm = nn.LayerNorm(width)
        self.cross = Attention(width, heads, memory_width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, feed_forward, activation)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, memory: CrossAttentionCache, cache: KeyValueCache | None = None) -> Tensor:
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

    row: Tensor  # (N,), as is ``column``: where each place of the grid is
    column: Tensor
    places: Tensor  # (N,)

    def __init__(self, heads: int, rows: int, columns: int):
        super().__init__()
        self.rows, self.columns = rows, columns
        self.row_bias = nn.Parameter(torch.zeros(heads, 2 * rows - 1))
        self.column_bias = nn.Parameter(torch.zeros(heads, 2 * columns - 1))
        places = torch.arange(rows * columns)
        self.register_buffer("row", places // columns, persistent=False)
        self.register_buffer("column", places % columns, persistent=False)
        self.register_buffer("places", places, persistent=False)

    def forward(self, queries: Tensor, stop: int, causal: bool = True) -> Tensor:
        """Bias of the positions ``queries`` (Q,) over keys 0 to ``stop``: (1, H, Q, stop).

        With ``causal`` no query reads a later key.
        """
        rows = (self.row[queries] + (self.rows - 1)).unsqueeze(1) - self.row[:stop]  # (Q, L)
        columns = (self.column[queries] + (self.columns - 1)).unsqueeze(1) - self.column[:stop]
        bias = self.row_bias[:, rows] + self.column_bias[:, columns]
        if not causal:
            return bias[None]
        return bias.masked_fill(self.places[:stop] > queries[:, None], float("-inf"))[None]


def plain(module: nn.Module) -> Any:
    """A module without the way through ``nn.Module``, for steps so small that the way takes a fifth of their time.

    The methods are the module's own, over an object that has its tensors, numbers and submodules as plain attributes;
    ``super()`` is out of their reach. Hooks are not called, and what is replaced in the module later is not seen.
    """
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    parts = {name: None if part is None else plain(part) for name, part in module._modules.items()}
    kind: Any = type(module)  # to mypy the hash of the class is that of its instances
    return _plain_class(kind)(**own, **module._parameters, **module._buffers, **parts, _modules=parts)


@cache
def _plain_class(kind: type[nn.Module]) -> type[SimpleNamespace]:
    """What a class and its bases add to ``nn.Module``."""
    own: dict[str, Any] = {}
    for base in reversed(kind.__mro__[: kind.__mro__.index(nn.Module)]):
        own |= {name: value for name, value in vars(base).items() if name not in vars(SimpleNamespace)}
    return type(kind.__name__, (SimpleNamespace,), own | {"__call__": own.get("forward")})


def initialise(module: nn.Module) -> None:
    """Start all linear maps and tables of a transformer: normal with standard deviation 0.02, biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
