"""Stepwise decoding of image tokens, with everything that stays the same from step to step prepared once.

A step is a few hundred small operations, and for a small model most of its time is the way there through modules. What
is here computes what ``ImageDecoder.forward`` computes for the last position, from flat lists of weights.

Shapes: B batch, H heads, G key/value heads, D width, C width of one head, N image tokens, K codes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translatotron_v.models.image_decoder import ImageDecoder, join
from translatotron_v.models.layers import Attention, Linear, Memory

Map = Callable[[Tensor], Tensor]


@dataclass
class _Cross:
    """One cross-attention."""

    query: Map
    out: Map
    keys: Tensor  # (B, G, L, C)
    values: Tensor
    mask: Tensor | None  # (B, 1, 1, L), additive


@dataclass
class _Layer:
    """One decoder layer: its maps, and what its attentions read."""

    attention_norm: Map
    query: Map
    key_value: Map
    attention_out: Map
    cross_norm: Map
    crosses: list["_Cross"]
    feed_forward_norm: Map
    feed_forward_in: Map
    feed_forward_out: Map
    keys: Tensor  # (B, G, N, C), filled step by step
    values: Tensor


class ImageSteps:
    """The decoding of one batch of pages, a token of each at a time; inference only, without dropout.

    Args:
        decoder: in evaluation mode.
        text, text_mask, image: what it reads, as in ``ImageDecoder.forward``.
        static: keep every shape the same at all steps, as CUDA graphs need: attention then reads the whole cache, what
            is not filled yet masked out, and the place is a tensor on the device.
    """

    def __init__(
        self,
        decoder: ImageDecoder,
        text: Tensor,
        text_mask: Tensor | None,
        image: Tensor | None = None,
        static: bool = False,
    ) -> None:
        memories = decoder.remember(text, text_mask, image)
        self.static = static
        self.batch = batch = text.shape[0]
        self.size = decoder.length
        device = decoder.start_vector.device
        first: Any = decoder.layers[0].attention
        self.heads, self.kv_heads, self.head_width = first.heads, first.kv_heads, first.head_width
        self.start = decoder.start_vector.expand(batch, -1)  # (B, D)
        self.embedding = decoder.embedding.weight
        self.positions = decoder.positions(0, self.size)  # (N, D)
        self.bias = decoder.bias
        self.places = torch.arange(self.size, device=device)
        self.rows, self.columns = self.places // self.bias.columns, self.places % self.bias.columns
        self.gate = None if decoder.gate is None else _linear(decoder.gate, batch)
        self.merge = None if decoder.merge is None else _linear(decoder.merge, batch)
        self.norm, self.out = _norm(decoder.norm), _linear(decoder.out, batch)
        self.layers = [self._prepare(layer, read, batch) for layer, read in zip(decoder.layers, memories, strict=True)]
        self.length = 0  # tokens scored so far
        self.place = torch.zeros(1, dtype=torch.long, device=device)  # the same, for static shapes

    def _prepare(self, layer: Any, memories: tuple[Memory, ...], batch: int) -> _Layer:
        keys = memories[0].keys
        cache = keys.new_zeros(batch, self.kv_heads, self.size, self.head_width)
        return _Layer(
            _norm(layer.attention_norm),
            _linear(layer.attention.query, batch),
            _linear(layer.attention.key_value, batch),
            _linear(layer.attention.out, batch),
            _norm(layer.cross_norm),
            [self._cross(cross, read, batch) for cross, read in zip(layer.crosses, memories, strict=True)],
            _norm(layer.feed_forward_norm),
            _linear(layer.feed_forward[0], batch),
            _linear(layer.feed_forward[2], batch),
            cache,
            torch.zeros_like(cache),
        )

    def _cross(self, attention: Attention, memory: Memory, batch: int) -> _Cross:
        mask = None
        if memory.mask is not None and not memory.mask.all():
            mask = torch.zeros_like(memory.mask, dtype=memory.keys.dtype).masked_fill(~memory.mask, float("-inf"))
        query, out = _linear(attention.query, batch), _linear(attention.out, batch)
        return _Cross(query, out, memory.keys, memory.values, mask)

    def __call__(self, ids: Tensor | None) -> Tensor:
        """Score the next token: the previous one (B,), ``None`` at first -> logits (B, K)."""
        logits = self.score(self.start if ids is None else self.embedding[ids])
        self.length += 1
        self.place += 1
        return logits

    def score(self, x: Tensor) -> Tensor:
        """Logits (B, K) from the embedded previous token (B, D), at the place where decoding stands."""
        stop = self.size if self.static else self.length + 1
        x = x + (self.positions[self.place] if self.static else self.positions[self.length])
        bias = self._bias_row(stop)  # (1, H, 1, L)
        for layer in self.layers:
            normed = layer.attention_norm(x)
            new = layer.key_value(normed).view(self.batch, 2, self.kv_heads, 1, self.head_width)
            if self.static:
                layer.keys.index_copy_(2, self.place, new[:, 0].to(layer.keys.dtype))
                layer.values.index_copy_(2, self.place, new[:, 1].to(layer.keys.dtype))
            else:
                layer.keys[:, :, self.length] = new[:, 0, :, 0]
                layer.values[:, :, self.length] = new[:, 1, :, 0]
            keys, values = layer.keys[:, :, :stop], layer.values[:, :, :stop]
            x = x + layer.attention_out(self._attend(layer.query(normed), keys, values, bias))
            x = x + self._fuse(layer, layer.cross_norm(x))
            x = x + layer.feed_forward_out(F.gelu(layer.feed_forward_in(layer.feed_forward_norm(x))))
        return self.out(self.norm(x))

    def _fuse(self, layer: _Layer, queries: Tensor) -> Tensor:
        """What the cross-attentions read (B, D), joined as the decoder joins them."""
        seen = [
            cross.out(self._attend(cross.query(queries), cross.keys, cross.values, cross.mask))
            for cross in layer.crosses
        ]
        if len(seen) == 1:
            return seen[0]
        return join(seen[0], seen[1], self.gate, self.merge)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of one position of each page: (B, D) -> (B, D)."""
        if self.kv_heads == 1:  # the heads are the queries of the one key head
            queries = queries.view(self.batch, 1, self.heads, self.head_width)
            if mask is not None and mask.shape[1] > 1:
                mask = mask.transpose(1, 2)
            attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        else:
            queries = queries.view(self.batch, self.heads, 1, self.head_width)
            attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, enable_gqa=True)
        return attended.reshape(self.batch, -1)

    def _bias_row(self, stop: int) -> Tensor:
        """The relative bias of this place over the first ``stop``, later ones masked out: (1, H, 1, stop)."""
        place = self.place if self.static else self.length
        rows = self.rows[place] - self.rows[:stop] + self.bias.rows - 1
        columns = self.columns[place] - self.columns[:stop] + self.bias.columns - 1
        bias = self.bias.row_bias[:, rows] + self.bias.column_bias[:, columns]  # (H, L)
        if self.static:
            bias = bias.masked_fill(self.places > place, float("-inf"))
        return bias[None, :, None]


def _linear(module: nn.Module, rows: int) -> Map:
    """The map for this many rows, without the way through ``Module.__call__``."""
    if isinstance(module, Linear) and not module.takes_columns(rows, module.weight):
        return partial(F.linear, weight=module.weight, bias=module.bias)
    return module.forward


def _norm(norm: nn.LayerNorm) -> Map:
    return partial(
        F.layer_norm, normalized_shape=norm.normalized_shape, weight=norm.weight, bias=norm.bias, eps=norm.eps
    )
