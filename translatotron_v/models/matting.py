"""Text apart from what it stands on: how much of every pixel is ink.

Shapes: B batch, H and W pixels of any number, D width of a level.
"""

import itertools

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from translatotron_v import ranks
from translatotron_v.config import TextMattingConfig

_FINE = 8  # features of each pixel before the last layers, which see the pixels themselves again
_FOLD = 2  # pixels to a side that the first level takes as one: convolving whole pictures pixel by pixel costs most


class _Block(nn.Sequential):
    """Two convolutions of 3x3: (B, given, h, w) -> (B, D, h, w)."""

    def __init__(self, given: int, width: int):
        super().__init__(*_convolution(given, width), *_convolution(width, width))


class TextMatting(nn.Module):
    """A U-Net (Ronneberger et al. 2015) from colours to the ink's coverage.

    It is no part of a translator: it works where pages are taken apart.

    Args:
        config: width of each level; every level below the first has half the rows and columns of the one above.
    """

    def __init__(self, config: TextMattingConfig):
        super().__init__()
        widths = config.widths
        self.multiple = _FOLD * 2 ** (len(widths) - 1)  # rows and columns are padded to multiples of this
        given = [3 * _FOLD**2, *widths[:-1]]
        self.down = nn.ModuleList(_Block(*pair) for pair in zip(given, widths, strict=True))
        pairs = itertools.pairwise(widths)
        self.up = nn.ModuleList(nn.Sequential(*_convolution(fine + coarse, fine)) for fine, coarse in pairs)
        self.unfold = nn.Conv2d(widths[0], _FINE * _FOLD**2, 3, padding=1)
        self.sharpen = nn.Sequential(*_convolution(_FINE + 3, _FINE), nn.Conv2d(_FINE, 1, 3, padding=1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in [0, 1] -> logits (B, 1, H, W), whose sigmoid is the share of each pixel under ink."""
        height, width = pixels.shape[-2:]
        x = self._fold(pixels)  # (B, 3 * 4, H / 2, W / 2)
        levels: list[Tensor] = []
        for block in self.down:
            x = block(F.max_pool2d(x, 2) if levels else x)  # (B, D, H / 2, W / 2), then half of that, and so on
            levels.append(x)
        x = levels.pop()
        for block in reversed(self.up):
            fine = levels.pop()
            x = block(torch.cat([fine, F.interpolate(x, scale_factor=2.0, mode="nearest")], dim=1))
        x = rearrange(self.unfold(x), "b (k r c) h w -> b k (h r) (w c)", r=_FOLD, c=_FOLD)
        x = torch.cat([x[..., :height, :width], pixels * 2 - 1], dim=1)  # (B, 8 + 3, H, W)
        return self.sharpen(x)

    def coverage(self, pixels: np.ndarray) -> np.ndarray:
        """Of a picture (H, W, 3) float32 in [0, 1] the share of each pixel under ink (H, W)."""
        batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]  # channels stay last
        with torch.inference_mode():
            shares: np.ndarray = self(batch.to(self.unfold.weight.device))[0, 0].sigmoid().cpu().numpy()
        return shares

    def _fold(self, pixels: Tensor) -> Tensor:
        """Blocks of 2x2 pixels side by side, edges repeated until the levels divide the picture."""
        height, width = pixels.shape[-2:]
        padded = F.pad(pixels, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        return rearrange(padded * 2 - 1, "b k (h r) (w c) -> b (k r c) h w", r=_FOLD, c=_FOLD)


class _BatchNorm(nn.BatchNorm2d):
    """Of the whole batch where ranks hold parts of it (PyTorch's own SyncBatchNorm does without CPUs)."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, D, h, w) -> the same shape."""
        if not self.training or ranks.count() == 1:
            return super().forward(input)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        size = input.numel() // input.shape[1] * ranks.count()
        mean = ranks.summed(input.sum((0, 2, 3))) / size
        centred = input - mean[:, None, None]
        variance = ranks.summed(centred.square().sum((0, 2, 3))) / size
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * size / (size - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight / (variance + self.eps).sqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


def _convolution(given: int, width: int) -> tuple[nn.Module, ...]:
    # Statistics of batches: constants at inference, where those of a picture would change with what is cropped from it.
    return nn.Conv2d(given, width, 3, padding=1, bias=False), _BatchNorm(width), nn.ReLU(inplace=True)
