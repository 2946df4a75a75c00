"""A translator without text: the picture of the translation written straight from the source picture, as pixels.

After "In-Image Neural Machine Translation with Segmented Pixel Sequence-to-Sequence Model" (Tian et al., Findings of
EMNLP 2023). It is what the translators of this project are compared with: an encoder-decoder Transformer from a
sequence of pixel segments to another, with no text, no image tokenizer and no OCR anywhere.

Shapes: B batch, C channels, H and W pixels of a page, N segments, P pixels of a segment and its channels, D width.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from translatotron_v.config import CanvasConfig, PixelsConfig
from translatotron_v.models.layers import DecoderLayer, Dropout, EncoderLayer, Linear, initialise
from translatotron_v.models.modules import Modules
from translatotron_v.models.text_decoder import DecoderCache


class AxialPositions(nn.Module):
    """Learned positions on a grid in reading order: that of the row plus that of the column.

    Args:
        rows, columns: of the grid.
        width: D.
    """

    def __init__(self, rows: int, columns: int, width: int):
        super().__init__()
        self.rows = nn.Parameter(torch.empty(rows, width).normal_(std=0.2))
        self.columns = nn.Parameter(torch.empty(columns, width).normal_(std=0.2))

    def forward(self, start: int, stop: int) -> Tensor:
        """Positions of places ``start`` to ``stop``: (stop - start, D)."""
        place = torch.arange(start, stop, device=self.rows.device)
        columns = self.columns.shape[0]
        return self.rows[place // columns] + self.columns[place % columns]


class PixelToPixel(nn.Module):
    """Segments of the source page in, segments of the target page out, one after the other in reading order.

    A segment enters as the darkness of its pixels, 1 minus their value, so that white paper is zero. What comes out is
    one logit for each pixel: given the segments before it, a segment's pixels are independent Bernoulli variables, and
    a grey pixel is one that is dark so often.

    Args:
        config: size.
        canvas: of the pages.

    Raises:
        ConfigError: the segments do not tile the canvas.
    """

    def __init__(self, config: PixelsConfig, canvas: CanvasConfig):
        super().__init__()
        width, heads, hidden, dropout = config.width, config.heads, config.feed_forward, config.dropout
        self.rows, self.columns = config.grid(canvas)
        self.height, self.width = config.segment
        self.length = self.rows * self.columns
        pixels = canvas.channels * self.height * self.width
        self.source_embedding = Linear(pixels, width)
        self.source_positions = AxialPositions(self.rows, self.columns, width)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, hidden, dropout) for _ in range(config.encoder_layers))
        self.source_norm = nn.LayerNorm(width)
        self.start_vector = nn.Parameter(torch.zeros(width))
        self.target_embedding = Linear(pixels, width)
        self.target_positions = AxialPositions(self.rows, self.columns, width)
        self.decoder: Modules[DecoderLayer] = Modules(
            DecoderLayer(width, heads, hidden, dropout, width) for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = Linear(width, pixels)
        self.dropout = Dropout(dropout)
        self.initialise()

    def initialise(self) -> None:
        """Normal start of maps and vectors; pages begin as paper with a little ink.

        Without that, the first thing to be learnt is that pages are white, by way of states that are all alike.
        """
        initialise(self)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=0.2)  # inputs are pre-normed: ink must outweigh positions
        nn.init.normal_(self.start_vector, std=0.2)
        nn.init.constant_(self.out.bias, -3.0)

    def cut(self, pages: Tensor) -> Tensor:
        """Pages (B, C, H, W) in [0, 1], 1 white -> segments (B, N, P) in [0, 1], 1 black, in reading order."""
        size = {"h": self.height, "w": self.width}
        return 1 - rearrange(pages, "b c (r h) (k w) -> b (r k) (c h w)", r=self.rows, k=self.columns, **size)

    def join(self, segments: Tensor) -> Tensor:
        """Segments (B, N, P), as ``cut`` makes them -> pages (B, C, H, W)."""
        size = {"h": self.height, "w": self.width}
        return rearrange(1 - segments, "b (r k) (c h w) -> b c (r h) (k w)", r=self.rows, k=self.columns, **size)

    def encode(self, source: Tensor) -> Tensor:
        """Source pages (B, C, H, W) in [0, 1] -> states (B, N, D)."""
        x = self.source_embedding(self.cut(source))  # (B, N, D)
        x = self.dropout(x + self.source_positions(0, self.length))
        for layer in self.encoder:
            x = layer(x)
        return self.source_norm(x)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Teacher-forced pass.

        Args:
            source: (B, C, H, W), pages in [0, 1].
            target: (B, C, H, W), the pages to be written.

        Returns:
            Logits (B, N, P) of darkness: position n scores segment n, having seen those before it.
        """
        states = self.encode(source)  # (B, N, D)
        start = self.start_vector.expand(len(target), 1, -1)  # (B, 1, D)
        x = torch.cat((start, self.target_embedding(self.cut(target)[:, :-1])), dim=1)  # (B, N, D)
        x = self.dropout(x + self.target_positions(0, self.length))
        for layer in self.decoder:
            x = layer(x, layer.cross.remember(states, None))
        return self.out(self.norm(x))  # (B, N, P)

    def start(self, source: Tensor) -> DecoderCache:
        """Read source pages (B, C, H, W) and prepare to write their translations step by step."""
        states = self.encode(source)
        return DecoderCache(
            [layer.attention.new_cache(states, self.length) for layer in self.decoder],
            [(layer.cross.remember(states, None),) for layer in self.decoder],
        )

    def step(self, previous: Tensor | None, cache: DecoderCache) -> Tensor:
        """Score one more segment.

        Args:
            previous: (B, 1, P), darkness of the segment before it; ``None`` for the first.
            cache: from ``start``.

        Returns:
            Logits (B, 1, P).
        """
        place, pages = cache.length, len(cache.own[0].keys)
        start = self.start_vector.expand(pages, 1, -1)
        x = start if previous is None else self.target_embedding(previous)  # (B, 1, D)
        x = self.dropout(x + self.target_positions(place, place + 1))
        for layer, own, (memory,) in zip(self.decoder, cache.own, cache.memories, strict=True):
            x = layer(x, memory, own)
        return self.out(self.norm(x))

    @torch.no_grad()
    def generate(self, source: Tensor) -> Tensor:
        """Write the translations of pages, (B, C, H, W) in [0, 1] -> (B, C, H, W) in [0, 1].

        A segment is fed back as it is drawn: grey, the expected darkness of each pixel. The edges of letters are grey
        on the pages of training as well; pixels rounded to ink or paper, the edges lost, would be further from them.
        """
        cache = self.start(source)
        drawn: list[Tensor] = []
        for _ in range(self.length):
            logits = self.step(drawn[-1] if drawn else None, cache)  # (B, 1, P)
            drawn.append(logits.sigmoid())
        return self.join(torch.cat(drawn, dim=1))
