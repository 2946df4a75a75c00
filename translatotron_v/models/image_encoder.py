"""The image encoder: a ViT with stems and skip links.

Shapes: B batch, C channels, S states (class token first, where there is one), D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from translatotron_v.config import CanvasConfig, ImageEncoderConfig
from translatotron_v.models.vit import LayerNorm2d, PatchEmbedding, VisionTransformer


@dataclass
class ImageStates:
    """What the encoder hands on.

    Attributes:
        final: (B, S, D), layer-normed states after the last block, joined by those of the fused blocks where there are
            any; both decoders read them.
        reading: (B, S, D), layer-normed states after block ``ocr_layer``; the OCR and CTC heads read them. The same as
            ``final`` where that is the last block.
        inner: (B, S, D), layer-normed states after an inner block, where one was asked for.
    """

    final: Tensor
    reading: Tensor
    inner: Tensor | None = None


class OverlappingPatchEmbedding(nn.Module):
    """Patch embedding whose kernel is larger than its stride, so that no glyph is cut blindly."""

    def __init__(
        self,
        kernel: list[int],
        img_size: tuple[int, int],
        patch_size: tuple[int, int],
        in_chans: int,
        embed_dim: int,
        **_: object,
    ):
        super().__init__()
        rows, columns = kernel
        padding = ((rows - patch_size[0]) // 2, (columns - patch_size[1]) // 2)
        self.proj = nn.Conv2d(in_chans, embed_dim, (rows, columns), stride=patch_size, padding=padding)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, S, D)."""
        return rearrange(self.proj(pixels), "b d rows columns -> b (rows columns) d")


class ConvolutionalStem(nn.Module):
    """3x3 convolutions of stride 2, then patches of what they give (Xiao et al. 2021): a small ViT reads sooner by it.

    Each convolution's output is layer-normed at every place for itself, so that a strip's empty lines do not matter to
    its others. The last kernel overlaps its neighbours by a column at either side.
    """

    def __init__(
        self,
        channels: list[int],
        img_size: tuple[int, int],
        patch_size: tuple[int, int],
        in_chans: int,
        embed_dim: int,
        **_: object,
    ):
        super().__init__()
        before = [in_chans, *channels]
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(given, made, 3, stride=2, padding=1), LayerNorm2d(made), nn.GELU())
                for given, made in zip(before, channels, strict=False)
            )
        )
        rows, columns = (size // 2 ** len(channels) for size in patch_size)
        self.proj = nn.Conv2d(before[-1], embed_dim, (rows, columns + 2), (rows, columns), padding=(0, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, S, D)."""
        return rearrange(self.proj(self.convolutions(pixels)), "b d rows columns -> b (rows columns) d")


class SkipFusion(nn.Module):
    """``z = MLP([h_final; h_k; ...; stop_gradient(h_j); ...])`` (arXiv 2603.20020, detached skip-links).

    Blocks in ``detach`` lend their states and get no gradient back through the link. Detaching adds no parameter.

    Args:
        width: D.
        layers: numbers of the fused blocks.
        detach: those whose link carries no gradient.
        adds: ``z = h_final + MLP([...])`` with an MLP that starts at zero, which is ours: a trained model that is given
            skip links starts as the model it was. Otherwise ``z`` is normed as ``h_final`` is.
    """

    def __init__(self, width: int, layers: list[int], detach: list[int], adds: bool = True):
        super().__init__()
        self.layers = tuple(sorted(layers))
        self.detached = frozenset(detach)
        self.adds = adds
        joined = width * (1 + len(layers))
        self.norm = nn.LayerNorm(joined)
        self.mlp = nn.Sequential(nn.Linear(joined, width), nn.GELU(), nn.Linear(width, width))
        self.out_norm = nn.Identity() if adds else nn.LayerNorm(width, eps=1e-6)
        for parameter in self.mlp[-1].parameters() if adds else ():
            nn.init.zeros_(parameter)

    def forward(self, final: Tensor, states: Mapping[int, Tensor]) -> Tensor:
        """Join the final states (B, S, D) and those after each fused block, by its number: (B, S, D)."""
        links = [states[layer].detach() if layer in self.detached else states[layer] for layer in self.layers]
        fused = self.mlp(self.norm(torch.cat([final, *links], dim=-1)))
        return final + fused if self.adds else self.out_norm(fused)


class ImageEncoder(nn.Module):
    """ViT over a page, with skip links from inner blocks where ``fuse`` names some; pixels come in [0, 1].

    Args:
        config: size of the ViT.
        canvas: size of the page.
    """

    def __init__(self, config: ImageEncoderConfig, canvas: CanvasConfig):
        super().__init__()
        self.ocr_layer = config.ocr_layer
        self.layers = config.layers
        self.recompute = False  # activations of the blocks, going back: less memory, a third more time
        self.has_class_token = config.class_token
        embed: Any = PatchEmbedding
        if config.stem_channels:
            embed = partial(ConvolutionalStem, config.stem_channels)
        if config.stem:
            embed = partial(OverlappingPatchEmbedding, config.stem)
        self.vit = VisionTransformer(
            embed,
            size=(canvas.height, canvas.width),
            patch=(config.patch[0], config.patch[1]),
            channels=canvas.channels,
            width=config.width,
            heads=config.heads,
            layers=config.layers,
            dropout=config.dropout,
            class_token=config.class_token,
        )
        if config.ocr_layer < config.layers:
            self.reading_norm = nn.LayerNorm(config.width, eps=1e-6)
        adds = config.fuse_by == "add"
        self.fusion = SkipFusion(config.width, config.fuse, config.detach, adds) if config.fuse else None

    def forward(self, pixels: Tensor, inner: int = 0) -> ImageStates:
        """(B, C, H, W) in [0, 1] -> states (B, S, D); ``inner`` names a block whose states are wanted too (0: none)."""
        x = self.vit.embed(pixels * 2 - 1)  # (B, S, D)
        recompute = self.recompute and torch.is_grad_enabled()
        after: dict[int, Tensor] = {}  # block number -> its states
        for number, block in enumerate(self.vit.blocks, start=1):
            x = after[number] = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
        final = self.vit.norm(x)
        if self.fusion is not None:
            final = self.fusion(final, after)
        reading = final if self.ocr_layer == self.layers else self.reading_norm(after[self.ocr_layer])
        return ImageStates(final, reading, self.vit.norm(after[inner]) if inner else None)
