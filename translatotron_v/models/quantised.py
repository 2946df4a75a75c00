"""Weights of eight bits: linear maps that store one byte a weight and multiply bytes, for decoding on a CPU."""

import warnings

import torch
from torch import Tensor, nn

from translatotron_v.models.image_tokenizer import ImageTokenizer


class QuantisedLinear(nn.Module):
    """A linear map by dynamic quantisation: weights are bytes with a scale for each output, inputs become bytes too.

    PyTorch's own kernel does the arithmetic; inputs take seven bits, since eight overflow on CPUs without VNNI.
    Inference only: there is nothing to train and nothing to save.

    Args:
        linear: whose weights are taken.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(1).clamp(min=1e-8) / 127
        with warnings.catch_warnings():  # PyTorch means to retire this type of tensor; setup.cfg pins tested versions
            warnings.simplefilter("ignore", UserWarning)
            zeros = torch.zeros(len(scales), dtype=torch.long)
            stored = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.packed = torch.ops.quantized.linear_prepack(stored, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return torch.ops.quantized.linear_dynamic(x, self.packed, True)


def can_quantise() -> bool:
    """Whether this build of PyTorch has kernels for bytes on this CPU."""
    return any(engine != "none" for engine in torch.backends.quantized.supported_engines)


def quantise(model: nn.Module) -> None:
    """Replace the linear maps of a model on the CPU by those of eight bits, in place.

    The image tokenizer keeps its weights: it runs once a page, and what it gets wrong can be seen.
    """
    for child_name, child in model.named_children():
        if isinstance(child, nn.Linear):
            setattr(model, child_name, QuantisedLinear(child))
        elif not isinstance(child, ImageTokenizer):
            quantise(child)
