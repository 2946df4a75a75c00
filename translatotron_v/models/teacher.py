"""Text-to-image teacher: draws a page from the gold target text and the layout of the source page.

Shapes: B batch, C characters, N image tokens, D width, L layout width, K codes.
"""

import torch
from torch import Tensor, nn

from translatotron_v.config import ConfigError, ModelConfig
from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.text_decoder import CharacterEncoder


class LayoutEncoder(nn.Module):
    """A convolutional network over the source page, pooled and projected to one vector (ResNet-50 in the paper).

    Args:
        name: a timm model; no weights are downloaded.
        channels: of the page.
        width: L.
    """

    def __init__(self, name: str, channels: int, width: int):
        super().__init__()
        import timm  # takes two seconds, and no other model needs it

        if not timm.is_model(name):  # nor is one fetched from elsewhere
            raise ConfigError(f"model.teacher.layout: timm has no model {name!r}; none leaves the layout out")
        self.network = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=0)
        self.project = nn.Linear(int(self.network.num_features), width)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, L)."""
        return self.project(self.network(pixels * 2 - 1))


class TextToImage(nn.Module):
    """Character encoder, layout encoder and an image decoder that reads their states alone.

    Its decoder has the layers of the translator's, without the eyes for the source image, so that a translator of the
    same size can start from it.

    Args:
        config: all sizes.
        character_count: size of the character table.
    """

    def __init__(self, config: ModelConfig, character_count: int):
        super().__init__()
        self.encoder = CharacterEncoder(config.teacher_encoder, character_count, fonts=len(config.fonts))
        layout_width = 0
        self.layout: LayoutEncoder | None = None
        if config.teacher.layout != "none":
            layout_width = config.teacher.layout_width
            self.layout = LayoutEncoder(config.teacher.layout, config.canvas.channels, layout_width)
        text_width = config.teacher_encoder.width + layout_width
        self.decoder = ImageDecoder(
            config.teacher_decoder, config.tokenizer.codes, config.token_grid, text_width, image_width=0
        )

    def states(
        self, characters: Tensor, mask: Tensor, source_pixels: Tensor | None, fonts: Tensor | None = None
    ) -> Tensor:
        """Text states with the layout vector beside each: (B, C, D + L)."""
        text = self.encoder(characters, mask, fonts=fonts)  # (B, C, D)
        if self.layout is None:
            return text
        if source_pixels is None:
            raise ValueError("this teacher reads the source page's layout; no page was given")
        layout = self.layout(source_pixels)[:, None].expand(-1, text.shape[1], -1)  # (B, C, L)
        return torch.cat((text, layout), dim=-1)

    def forward(
        self,
        ids: Tensor,
        characters: Tensor,
        mask: Tensor,
        source_pixels: Tensor | None = None,
        fonts: Tensor | None = None,
    ) -> Tensor:
        """Teacher-forced pass.

        Args:
            ids: (B, N) the page's tokens.
            characters: (B, C) of the target text, with ``mask`` (B, C), true where there is one.
            source_pixels: (B, channels, H, W), the page whose layout is followed.
            fonts: (B,), the fonts to draw in, where the model knows several.

        Returns:
            Logits (B, N, K).
        """
        return self.decoder(ids, self.states(characters, mask, source_pixels, fonts), mask)
