"""Stepwise decoding of image tokens: the image decoder's own layers over one position, with what they read kept.

Shapes: B batch, D width, N image tokens, K codes.
"""

import torch
from torch import Tensor

from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.layers import plain


class ImageSteps:
    """The decoding of one batch of pages, a token of each at a time; inference only.

    Args:
        decoder: in evaluation mode.
        text, text_mask, image: what it reads, as in ``ImageDecoder.forward``.
        static: keep every shape the same at all steps, as CUDA graphs need: attention then reads the whole cache, what
            is not filled yet masked out, and the place is a tensor on the device.
        owners: which image each row reads, as in ``ImageDecoder.forward``.
        length: how many tokens are written at most; ``None``: a page's.
    """

    def __init__(
        self,
        decoder: ImageDecoder,
        text: Tensor,
        text_mask: Tensor | None,
        image: Tensor | None = None,
        static: bool = False,
        owners: Tensor | None = None,
        length: int | None = None,
    ) -> None:
        self.decoder, self.static, self.batch = plain(decoder), static, text.shape[0]
        self.start = decoder.start_vector.expand(self.batch, -1)  # (B, D)
        self.embedding = decoder.embedding.weight
        self.positions, self.places = decoder.positions(), decoder.bias.places  # (N, D), (N,)
        self.length = 0  # tokens scored so far
        self.place = torch.zeros_like(self.places[:1])  # the same, for static shapes
        cross_caches = decoder.project_kv(text, text_mask, image, owners)
        self.cross_caches = [tuple(memory.for_steps() for memory in layer) for layer in cross_caches]
        place = self.place if static else None
        self.caches = [
            layer.attention.new_cache(read[0].keys, length or decoder.length, place)
            for layer, read in zip(decoder.layers, cross_caches, strict=True)
        ]

    def __call__(self, ids: Tensor | None) -> Tensor:
        """Score the next token: the previous one (B,), ``None`` at first -> logits (B, K)."""
        logits = self.score(self.start if ids is None else self.embedding[ids])
        self.length += 1
        if self.static:
            self.place += 1
        return logits

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows of the batch alone."""
        self.start, self.batch = self.start[rows], len(rows)
        self.cross_caches = [tuple(memory.select(rows) for memory in layer) for layer in self.cross_caches]
        for cache in self.caches:
            cache.reorder(rows)

    def score(self, x: Tensor) -> Tensor:
        """Logits (B, K) from the embedded previous token (B, D), at the place where decoding stands."""
        if self.static:
            place, bias = self.place, self.decoder.bias(self.place, self.places.shape[0])
        else:  # nothing later is there to be hidden
            place = self.places[self.length : self.length + 1]
            bias = self.decoder.bias(place, self.length + 1, causal=False)
        return self.decoder.score((x + self.positions[place]).unsqueeze(1), self.cross_caches, bias, self.caches)[:, 0]
