"""R-Probe (arXiv 2603.20020): how much of a page can be drawn again from the tokens that the decoders are given.

Shapes: B batch, C channels, H and W pixels, S image states (class token first, where there is one), N patches,
P pixels of a patch and its channels, D width of the text decoder, M width of its memory, I width of the image states.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from translatotron_v.config import ModelConfig
from translatotron_v.models.layers import DecoderLayer, initialise
from translatotron_v.models.modules import Modules


def probe_layers(config: ModelConfig) -> int:
    """Layers of the probe: the first quarter of the text decoder's, at least one."""
    return max(1, config.text_decoder.layers // 4)


def assemble(patches: Tensor, rows: int, patch: tuple[int, int]) -> Tensor:
    """Patches (B, N, P), rows of the page from the top and each from the left, to pages (B, C, H, W).

    Args:
        patches: each holds its channels one after the other, a channel its rows from the top.
        rows: of patches on a page.
        patch: rows and columns of pixels in a patch.
    """
    height, width = patch
    return rearrange(patches, "b (r k) (c h w) -> b c (r h) (k w)", r=rows, h=height, w=width)


class ReconstructionProbe(nn.Module):
    """A shallow decoder that regresses the pixels of each patch from the fused tokens of a frozen image encoder.

    Its layers are the first of the text decoder and bear the names they have there (``layers.0...``): what they can
    draw was in the tokens, in a form that this decoder can read. The two projections, the positions and the map to
    pixels are new. There is no dropout: noise in the states would only blur the pixels.

    Args:
        config: of the whole translator.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        canvas, size, image_width = config.canvas, config.text_decoder, config.image_encoder.width
        self.first = int(config.image_encoder.class_token)  # the first state that stands for a patch
        self.patch = (config.image_encoder.patch[0], config.image_encoder.patch[1])
        self.rows = canvas.height // self.patch[0]
        states = self.first + self.rows * (canvas.width // self.patch[1])
        memory_width = config.text_encoder.width if config.text_encoder.layers else image_width
        self.tokens = nn.Linear(image_width, size.width)
        # As in ``TextEncoder``: without layers of its own the decoder reads the image states as they are.
        self.memory = nn.Linear(image_width, memory_width) if config.text_encoder.layers else nn.Identity()
        self.positions = nn.Parameter(torch.zeros(states, size.width))
        self.layers: Modules[DecoderLayer] = Modules(
            DecoderLayer(size.width, size.heads, size.feed_forward, 0.0, memory_width)
            for _ in range(probe_layers(config))
        )
        self.norm = nn.LayerNorm(size.width)
        self.out = nn.Linear(size.width, canvas.channels * self.patch[0] * self.patch[1])
        initialise(self)
        for part in (self.tokens, self.memory):  # trained layers expect states of about unit size
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)

    def forward(self, states: Tensor) -> Tensor:
        """Fused tokens ``ImageStates.final`` (B, S, I) -> pages (B, C, H, W), 0 black and 1 white, not clamped.

        Self-attention is causal, as these layers know it; cross-attention sees all tokens.
        """
        memory = self.memory(states)  # (B, S, M)
        x = self.tokens(states) + self.positions  # (B, S, D)
        for layer in self.layers:
            x = layer(x, layer.cross.remember(memory, None))
        patches = 1 - self.out(self.norm(x[:, self.first :]))  # (B, N, P); white paper is zero to the last map
        return assemble(patches, self.rows, self.patch)
