"""The image encoder: a timm ViT behind one face.

Shapes: B batch, C channels, S states (class token first, where there is one), D width.
"""

from dataclasses import dataclass
from typing import Any

import timm
from einops import rearrange
from torch import Tensor, nn

from translatotron_v.config import CanvasConfig, ImageEncoderConfig


@dataclass
class ImageStates:
    """What the encoder hands on.

    Attributes:
        final: (B, S, D), layer-normed states after the last block; both decoders read them.
        reading: (B, S, D), layer-normed states after block ``ocr_layer``; the OCR and CTC heads read them.
    """

    final: Tensor
    reading: Tensor


class OverlappingPatchEmbedding(nn.Module):
    """Patch embedding whose kernel is larger than its stride, so that no glyph is cut blindly.

    timm calls it with ``img_size``, ``patch_size``, ``in_chans`` and ``embed_dim``; ``kernel`` is bound beforehand.
    """

    def __init__(self, kernel: list[int], img_size, patch_size, in_chans: int, embed_dim: int, **_: object):
        super().__init__()
        self.grid_size = (img_size[0] // patch_size[0], img_size[1] // patch_size[1])
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        rows, columns = kernel
        padding = ((rows - patch_size[0]) // 2, (columns - patch_size[1]) // 2)
        self.proj = nn.Conv2d(in_chans, embed_dim, (rows, columns), stride=patch_size, padding=padding)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, S, D)."""
        return rearrange(self.proj(pixels), "b d rows columns -> b (rows columns) d")


class ImageEncoder(nn.Module):
    """ViT over a page; pixels come in [0, 1].

    Args:
        config: size of the ViT.
        canvas: size of the page.
    """

    def __init__(self, config: ImageEncoderConfig, canvas: CanvasConfig):
        super().__init__()
        self.ocr_layer = config.ocr_layer
        self.layers = config.layers
        self.has_class_token = config.class_token
        options: dict[str, Any] = {}
        if config.stem:
            options["embed_layer"] = lambda **given: OverlappingPatchEmbedding(config.stem, **given)
        self.vit = timm.models.VisionTransformer(
            img_size=(canvas.height, canvas.width),
            patch_size=(config.patch[0], config.patch[1]),
            in_chans=canvas.channels,
            num_classes=0,
            global_pool="",
            embed_dim=config.width,
            depth=config.layers,
            num_heads=config.heads,
            class_token=config.class_token,
            pos_drop_rate=config.dropout,
            proj_drop_rate=config.dropout,
            **options,
        )
        if config.ocr_layer < config.layers:
            self.reading_norm = nn.LayerNorm(config.width, eps=1e-6)

    def forward(self, pixels: Tensor) -> ImageStates:
        """(B, C, H, W) in [0, 1] -> states (B, S, D)."""
        x = self.vit.patch_embed(pixels * 2 - 1)  # (B, S, D)
        x = self.vit.norm_pre(self.vit._pos_embed(x))
        reading = x
        for number, block in enumerate(self.vit.blocks, start=1):
            x = block(x)
            if number == self.ocr_layer:
                reading = x
        final = self.vit.norm(x)
        return ImageStates(final, final if self.ocr_layer == self.layers else self.reading_norm(reading))
