"""The vision transformer of the image encoder (Dosovitskiy et al. 2021), pre-normed.

Parameters bear the names that timm's ``VisionTransformer`` gives them, start as its do and compute what its do: it was
the image encoder until November 2026, and checkpoints know its names. Importing timm, and torchvision with it, takes
two seconds, a third of the way to a first picture.

Shapes: B batch, S states (class token first, where there is one), D width, H heads.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translatotron_v.models.layers import Dropout, attend

_EPS = 1e-6


class PatchEmbedding(nn.Module):
    """Patches side by side; every stem has the face of this one.

    Args:
        img_size: rows and columns of the page, pixels; ``patch_size`` those of a patch.
        in_chans: channels of the page.
        embed_dim: D.
    """

    def __init__(self, img_size: tuple[int, int], patch_size: tuple[int, int], in_chans: int, embed_dim: int):
        super().__init__()
        self.grid_size = (img_size[0] // patch_size[0], img_size[1] // patch_size[1])
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride=patch_size)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, S, D)."""
        states: Tensor = self.proj(pixels).flatten(2).transpose(1, 2)
        return states


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.proj_drop = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        batch, count, width = x.shape
        qkv = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = attend(*qkv.unbind(0))  # (B, H, S, D / H)
        mixed: Tensor = self.proj_drop(self.proj(attended.transpose(1, 2).reshape(batch, count, width)))
        return mixed


class _FeedForward(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.drop1 = Dropout(dropout)
        self.fc2 = nn.Linear(4 * width, width)
        self.drop2 = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        mapped: Tensor = self.drop2(self.fc2(self.drop1(F.gelu(self.fc1(x)))))
        return mapped


class Block(nn.Module):
    """Self-attention and feed-forward: (B, S, D) -> (B, S, D)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = _SelfAttention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = _FeedForward(width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Any batch and number of states."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches, positions and blocks; who uses it runs the blocks, and takes the states that are wanted.

    Args:
        embed: makes the patch embedding, given ``img_size``, ``patch_size``, ``in_chans`` and ``embed_dim``.
        size: rows and columns of the page, pixels; ``patch`` those of a patch.
        channels: of the page.
        width: D; ``heads``, ``layers`` and ``dropout`` are those of the blocks.
        class_token: whether a learned state precedes those of the patches.
    """

    def __init__(
        self,
        embed: Callable[..., nn.Module],
        size: tuple[int, int],
        patch: tuple[int, int],
        channels: int,
        width: int,
        heads: int,
        layers: int,
        dropout: float,
        class_token: bool,
    ):
        super().__init__()
        self.patch_embed = embed(img_size=size, patch_size=patch, in_chans=channels, embed_dim=width)
        count = (size[0] // patch[0]) * (size[1] // patch[1])
        self.cls_token = nn.Parameter(torch.empty(1, 1, width)) if class_token else None
        self.pos_embed = nn.Parameter(torch.empty(1, count + class_token, width))
        self.pos_drop = Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        _start(self.pos_embed)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=1e-6)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                _start(part.weight)
                nn.init.zeros_(part.bias)

    def embed(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> the states before the first block (B, S, D)."""
        x: Tensor = self.patch_embed(pixels)
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        placed: Tensor = self.pos_drop(x + self.pos_embed)
        return placed


@torch.no_grad()
def _start(weight: Tensor) -> None:
    """Normal of standard deviation 0.02, by inversion as timm has it, so that one seed gives the weights of before."""
    weight.uniform_(-1, 1).erfinv_().mul_(0.02 * math.sqrt(2)).clamp_(-2, 2)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm of the channels at every place: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Any size."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
