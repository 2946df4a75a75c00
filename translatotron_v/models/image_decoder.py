"""The image decoder: writes the picture's tokens, row by row, from image states and text states.

Shapes: B batch, N image tokens, S image states, C text states, D width, K codes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from translatotron_v.config import ImageDecoderConfig
from translatotron_v.models.layers import (
    Attention,
    CrossAttentionCache,
    Dropout,
    FeedForward,
    KeyValueCache,
    Linear,
    RelativeBias2d,
    initialise,
)
from translatotron_v.models.modules import Modules


class ImageDecoderLayer(nn.Module):
    """Multi-query self-attention, two cross-attentions joined by a gate, feed-forward (paper, section 3.3).

    ``ix = cross(x, image)``, ``tx = cross(x, text)``, ``g = sigmoid(W [tx; ix])``, ``x = x + g tx + (1 - g) ix``; the
    decoder says how the two are joined (``ImageDecoder.fuse``). With fusion "text" or "image" there is one of the two.
    """

    def __init__(self, config: ImageDecoderConfig, image_width: int, text_width: int):
        super().__init__()
        width, heads, kv_heads = config.width, config.heads, config.kv_heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, kv_heads=kv_heads)
        self.cross_norm = nn.LayerNorm(width)
        if config.fusion != "image":
            self.text_cross = Attention(width, heads, text_width, kv_heads)
        if config.fusion != "text":
            self.image_cross = Attention(width, heads, image_width, kv_heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, config.feed_forward)
        self.dropout = Dropout(config.dropout)

    @property
    def crosses(self) -> list[Attention]:
        """The cross-attentions of this layer: over text, over image, or both in this order."""
        return [getattr(self, name) for name in ("text_cross", "image_cross") if hasattr(self, name)]

    def forward(
        self,
        x: Tensor,
        cross_caches: tuple[CrossAttentionCache, ...],
        fuse: Callable[[Tensor, Tensor], Tensor],
        bias: Tensor,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """(B, N, D) -> (B, N, D); ``cross_caches`` are of ``crosses``. With a cache, ``x`` is the next position."""
        x = x + self.dropout(self.attention(self.attention_norm(x), cache=cache, mask=bias))
        queries = self.cross_norm(x)
        read = [
            cross(queries, memory) for cross, memory in zip(self.crosses, cross_caches, strict=True)
        ]  # (B, N, D) each
        x = x + self.dropout(fuse(*read) if len(read) == 2 else read[0])
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class ImageDecoder(nn.Module):
    """Predicts image tokens: from left to right and top to bottom, or any that are missing from those that are known.

    Position n sees the embedding of token n-1 (a learned start vector at first) and the axial position of the token it
    is about to write. One gate matrix serves all layers, and input and output tables are not tied, as in the paper.

    Masked prediction (after MaskGIT, Chang et al. 2022) is no part of the paper and has no weights of its own:
    positions attend to both sides, and the start vector also stands for a token n-1 that is not known yet. Position n
    never sees token n as its own input, so that both ways of reading a position agree and a decoder that has learnt
    the first only needs tuning for the second.

    Args:
        config: size and fusion.
        codes: K.
        grid: rows and columns of the token grid.
        text_width, image_width: of the states it reads.
    """

    def __init__(
        self, config: ImageDecoderConfig, codes: int, grid: tuple[int, int], text_width: int, image_width: int
    ):
        super().__init__()
        rows, columns = grid
        self.length = rows * columns
        self.reads_image, self.reads_text = config.fusion != "text", config.fusion != "image"
        self.embedding = nn.Embedding(codes, config.width)
        self.start_vector = nn.Parameter(torch.zeros(config.width))
        self.row_positions = nn.Parameter(torch.zeros(rows, config.width))
        self.column_positions = nn.Parameter(torch.zeros(columns, config.width))
        self.bias = RelativeBias2d(config.heads, rows, columns)
        self.dropout = Dropout(config.dropout)
        self.layers: Modules[ImageDecoderLayer] = Modules(
            ImageDecoderLayer(config, image_width, text_width) for _ in range(config.layers)
        )
        self.gate = Linear(2 * config.width, config.width) if config.fusion == "gated" else None
        self.concat_proj = Linear(2 * config.width, config.width) if config.fusion == "concat" else None
        self.norm = nn.LayerNorm(config.width)
        self.out = Linear(config.width, codes, bias=False)
        self.initialise(config.fusion_start)

    def initialise(self, fusion_start: str = "text") -> None:
        """Normal start of maps, tables and positions.

        With ``fusion_start`` "text" the gate starts on the side of the text and what is read from the image starts at
        zero, so that a decoder whose other weights come from a text-to-image teacher begins by drawing what the teacher
        draws; so do the other ways of joining the two. With "even", the paper's, they start like any other map: the
        gate near one half, its bias at zero.
        """
        initialise(self)
        nn.init.normal_(self.embedding.weight, std=0.5)  # inputs are pre-normed: tokens must outweigh positions
        for vector in (self.start_vector, self.row_positions, self.column_positions):
            nn.init.normal_(vector, std=0.2)
        if fusion_start == "even":
            return
        if self.gate is not None:
            nn.init.zeros_(self.gate.weight)
            nn.init.constant_(self.gate.bias, 2.0)
        if self.concat_proj is not None:
            width = self.concat_proj.weight.shape[0]
            nn.init.eye_(
                self.concat_proj.weight[:, :width]
            )  # the text's half; what is read from the image comes in as zero
        for part in self.modules():
            if isinstance(part, ImageDecoderLayer) and self.reads_image and self.reads_text:
                nn.init.zeros_(part.image_cross.out.weight)

    def positions(self) -> Tensor:
        """Axial positions of all tokens: (N, D)."""
        return self.row_positions[self.bias.row] + self.column_positions[self.bias.column]

    def forward(
        self,
        ids: Tensor,
        text: Tensor,
        text_mask: Tensor | None,
        image: Tensor | None = None,
        owners: Tensor | None = None,
    ) -> Tensor:
        """Teacher-forced pass.

        Args:
            ids: (B, N) the tokens to be written.
            text: (B, C, text width), with ``text_mask`` (B, C), true where there is a state.
            image: (B, S, image width); unused by a decoder of text alone.
            owners: (B,), which of ``image`` each row reads, where several rows belong to one page (words).

        Returns:
            Logits (B, N, K): position n scores token n, having seen those before it.
        """
        start = self.start_vector.expand(ids.shape[0], 1, -1)  # (B, 1, D)
        x = torch.cat((start, self.embedding(ids[:, :-1])), dim=1)
        return self._score_all(x, self.project_kv(text, text_mask, image, owners))

    def predict_masked(self, ids: Tensor, known: Tensor, cross_caches: list[tuple[CrossAttentionCache, ...]]) -> Tensor:
        """Masked prediction: score every token from those that are known.

        Args:
            ids: (B, N), whatever they are where they are not known.
            known: (B, N), true where a token may be seen.
            cross_caches: from ``project_kv``.

        Returns:
            Logits (B, N, K); those of known tokens mean nothing, their neighbours have seen them.
        """
        before = torch.where(known[:, :-1, None], self.embedding(ids[:, :-1]), self.start_vector)
        x = torch.cat((self.start_vector.expand(ids.shape[0], 1, -1), before), dim=1)
        return self._score_all(x, cross_caches, causal=False)

    def _score_all(self, x: Tensor, cross_caches: list[tuple[CrossAttentionCache, ...]], causal: bool = True) -> Tensor:
        """Logits (B, Q, K) of the first Q tokens, from the embedded tokens before them (B, Q, D)."""
        count = x.shape[1]
        bias = self.bias(self.bias.places[:count], count, causal)
        return self.score(x + self.positions()[:count], cross_caches, bias, [None] * len(cross_caches))

    def score(
        self,
        x: Tensor,
        cross_caches: list[tuple[CrossAttentionCache, ...]],
        bias: Tensor,
        caches: Sequence[KeyValueCache | None],
    ) -> Tensor:
        """All layers, over all positions at once or over the next one alone.

        Args:
            x: (B, Q, D), for each position the embedded token before it, and its place.
            cross_caches: from ``project_kv``.
            bias: (1, H, Q, L), of these positions over what they read of each other and of the caches.
            caches: of each layer, with the positions before these, which are added; ``None``: there are none before.

        Returns:
            Logits (B, Q, K).
        """
        x = self.dropout(x)
        for layer, read, cache in zip(self.layers, cross_caches, caches, strict=True):
            x = layer(x, read, self.fuse, bias, cache)
        return self.out(self.norm(x))

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """What a layer has read of text and image, (B, N, D) each, as one: mapped together, gated, or else added."""
        if self.concat_proj is not None:
            return self.concat_proj(torch.cat((text, image), dim=-1))
        if self.gate is None:
            return text + image
        g = torch.sigmoid(self.gate(torch.cat((text, image), dim=-1)))
        return g * text + (1 - g) * image

    def project_kv(
        self, text: Tensor, text_mask: Tensor | None, image: Tensor | None = None, owners: Tensor | None = None
    ) -> list[tuple[CrossAttentionCache, ...]]:
        """What each layer's cross-attentions read of text states (B, C, width) and image states (B, S, width).

        With ``owners`` (B,) there are fewer images: row b reads ``image[owners[b]]``, which is projected once.
        """
        return [self._project_layer(layer, text, text_mask, image, owners) for layer in self.layers]

    def _project_layer(
        self,
        layer: ImageDecoderLayer,
        text: Tensor,
        text_mask: Tensor | None,
        image: Tensor | None,
        owners: Tensor | None,
    ) -> tuple[CrossAttentionCache, ...]:
        cross_caches = (layer.text_cross.project_kv(text, text_mask),) if self.reads_text else ()
        if not self.reads_image:
            return cross_caches
        if image is None:
            raise ValueError("this image decoder reads image states; none were given")
        seen = layer.image_cross.project_kv(image, None)
        return (*cross_caches, seen if owners is None else seen.select(owners))
