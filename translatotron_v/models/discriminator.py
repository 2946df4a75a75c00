"""Stage 1's adversary and perceptual loss.

Shapes: B batch, C channels.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from translatotron_v.config import DiscriminatorConfig


class PatchDiscriminator(nn.Module):
    """Convolutional critic that judges overlapping patches (Isola et al. 2017), without batch statistics.

    Args:
        config: size.
        channels: of the page.
    """

    def __init__(self, config: DiscriminatorConfig, channels: int):
        super().__init__()
        blocks: list[nn.Module] = []
        width = channels
        for layer in range(config.layers):
            wider = config.width * min(2**layer, 8)
            blocks += [nn.Conv2d(width, wider, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            width = wider
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> scores (B, 1, rows, columns), high for real pages."""
        return self.blocks(pixels * 2 - 1)


class PerceptualDistance(nn.Module):
    """Distance of VGG-16 features after four blocks; frozen, and never trained by anything.

    Args:
        weights: ``random`` for untrained features (nothing is downloaded; edges and texture still show), or a
            safetensors file of torchvision's VGG-16.
    """

    def __init__(self, weights: str = "random"):
        super().__init__()
        from torchvision.models.vgg import cfgs, make_layers  # only this loss needs torchvision

        features = make_layers(cfgs["D"], batch_norm=False)  # without the classifier, nine tenths of the network
        if weights != "random":
            stored = load_file(Path(weights))
            prefix = "features."
            features.load_state_dict({k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)})
        self.blocks = nn.ModuleList(features[start:stop] for start, stop in ((0, 4), (4, 9), (9, 16), (16, 23)))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "PerceptualDistance":
        """Stays in evaluation mode whatever surrounds it."""
        return super().train(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Mean distance of two pages (B, C, H, W) in [0, 1]: a scalar."""
        distance = first.new_zeros(())
        x, y = (_as_vgg_input(pixels) for pixels in (first, second))
        for block in self.blocks:
            x, y = block(x), block(y)
            distance = distance + (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(1).mean()
        return distance


def _as_vgg_input(pixels: Tensor) -> Tensor:
    mean = torch.tensor((0.485, 0.456, 0.406), device=pixels.device)[:, None, None]
    deviation = torch.tensor((0.229, 0.224, 0.225), device=pixels.device)[:, None, None]
    return (pixels.expand(-1, 3, -1, -1) - mean) / deviation
