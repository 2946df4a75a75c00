"""The translator: image encoder, text decoder and image decoder composed, with text mode and reading heads beside them.

Shapes: B batch, S image states, T pieces, C characters, N image tokens, D width, V vocabulary, K codes.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from translatotron_v.config import ModelConfig
from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.models.image_tokenizer import make_tokenizer
from translatotron_v.models.states import SourceStates as SourceStates
from translatotron_v.models.states import WordRows as WordRows
from translatotron_v.models.text_decoder import CharacterEncoder, CtcHead, FontHead, TextDecoder, TextEncoder


@dataclass
class TranslatorOutput:
    """Logits of the heads that were asked for; the others are ``None``.

    Attributes:
        text: (B, T, V) target text.
        ocr: (B, T', V) source text, from the OCR head.
        ctc: (B, frames, characters) source text, from the CTC head.
        image: (B - R, N, K) image tokens, each from those before it.
        masked_image: (R, N, K) image tokens of the other pages, each from those that were known (masked prediction).
        words: (words, T, K) image tokens of words that are drawn alone.
    """

    text: Tensor | None = None
    ocr: Tensor | None = None
    ctc: Tensor | None = None
    image: Tensor | None = None
    masked_image: Tensor | None = None
    words: Tensor | None = None


class TranslatotronV(nn.Module):
    """All modules of a translator; each is saved in a file of its own under its attribute's name.

    Args:
        config: all sizes.
        pieces, characters: V and the size of the character table.
    """

    def __init__(self, config: ModelConfig, pieces: int, characters: int):
        super().__init__()
        self.config = config
        image_width = config.image_encoder.width
        patch_rows, patch_columns = config.image_encoder.patch
        length = (config.canvas.height // patch_rows) * (config.canvas.width // patch_columns)
        length += config.image_encoder.class_token
        self.image_encoder = ImageEncoder(config.image_encoder, config.canvas)
        reads = config.connector == "read"
        memory_width = config.text_encoder.width if config.text_encoder.layers else image_width
        tied = TextDecoder(config.text_decoder, pieces, memory_width) if config.tie_embeddings else None
        table = None if tied is None else tied.embedding
        self.text_encoder = TextEncoder(config.text_encoder, pieces, image_width, length, reads, table)
        self.text_decoder = tied or TextDecoder(config.text_decoder, pieces, memory_width)
        self.ocr_head = TextDecoder(config.ocr_head, pieces, image_width) if config.ocr_head.layers else None
        self.ctc_head = CtcHead(image_width, characters, config.ctc_frames) if config.ctc_frames else None
        self.font_head = FontHead(image_width, len(config.fonts)) if config.fonts else None
        self.character_encoder: CharacterEncoder | None = None
        drawing_width = config.text_decoder.width
        if config.character_encoder.layers:
            self.character_encoder = CharacterEncoder(
                config.character_encoder,
                characters,
                piece_width=config.text_decoder.width,
                fonts=len(config.fonts),
            )
            drawing_width = config.character_encoder.width
        self.image_decoder = ImageDecoder(
            config.image_decoder,
            config.tokenizer.codes,
            config.token_grid,
            drawing_width,
            image_width if reads else memory_width,
        )
        self.image_tokenizer = make_tokenizer(config.tokenizer, config.canvas)

    def array(self, values: np.ndarray) -> Tensor:
        """Numbers where the model is."""
        return torch.from_numpy(values).to(next(self.parameters()).device)

    def encode_image(self, pixels: Tensor) -> SourceStates:
        """Image mode: source pages (B, channels, H, W) in [0, 1].

        Where ``config.connector`` is "read" the memory is not ready yet: ``encode_reading`` makes it from what was
        read.
        """
        states = self.image_encoder(pixels)
        if self.config.connector == "read":
            return SourceStates(states.final, None, states.reading, states.final)
        return SourceStates(self.text_encoder.from_image(states.final), None, states.reading)

    def encode_reading(
        self,
        source: SourceStates,
        pieces: Tensor,
        mask: Tensor,
        first: Tensor,
        last: Tensor,
        weights: Tensor | None = None,
    ) -> SourceStates:
        """Image mode by reading: the text encoder's states of the pieces that were read (see its ``from_reading``)."""
        assert source.picture is not None
        memory = self.text_encoder.from_reading(pieces, mask, source.picture, first, last, weights)
        return replace(source, memory=memory, mask=mask)

    def encode_text(self, pieces: Tensor, mask: Tensor) -> SourceStates:
        """Text mode: source pieces (B, T) with mask (B, T), true where there is one."""
        return SourceStates(self.text_encoder(pieces, mask), mask, None)

    def ctc_logits(self, source: SourceStates) -> Tensor:
        """What the CTC head reads: (B, frames, characters)."""
        if self.ctc_head is None or source.reading is None:
            raise ValueError("there is no CTC head (model.ctc_frames is 0), or no page was seen")
        first = int(self.config.image_encoder.class_token)
        return self.ctc_head(source.reading[:, first:])

    def font_logits(self, source: SourceStates) -> Tensor:
        """Which font each page is set in: (B, fonts)."""
        if self.font_head is None or source.reading is None:
            raise ValueError("this model knows one font (model.fonts is empty), or no page was seen")
        return self.font_head(source.reading)

    def drawing_states(
        self,
        text_states: Tensor,
        text_mask: Tensor,
        characters: Tensor,
        character_mask: Tensor,
        char_to_token: Tensor,
        fonts: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The text states that the image decoder reads, and their mask.

        Args:
            text_states: (B, T, D) of the text decoder, with ``text_mask`` (B, T), true where one writes a piece.
            characters: (B, C) of the text to draw, with ``character_mask`` (B, C), true where there is one.
            char_to_token: (B, C), for each character the position in ``text_states`` of its piece.
            fonts: (B,), the fonts to draw in, where the model knows several.

        Returns:
            (B, C, D) and (B, C); the text decoder's own states where there is no character encoder (the paper).
        """
        if self.character_encoder is None:
            return text_states, text_mask
        return self.character_encoder(characters, character_mask, text_states, char_to_token, fonts), character_mask

    def forward(
        self,
        source: SourceStates,
        target_input: Tensor | None = None,
        target_mask: Tensor | None = None,
        ocr_input: Tensor | None = None,
        image_ids: Tensor | None = None,
        known: Tensor | None = None,
        characters: Tensor | None = None,
        character_mask: Tensor | None = None,
        char_to_token: Tensor | None = None,
        fonts: Tensor | None = None,
        ctc: bool = False,
        words: WordRows | None = None,
    ) -> TranslatorOutput:
        """Teacher-forced pass; a head runs only where its input is given.

        Args:
            source: from ``encode_image`` or ``encode_text``.
            target_input: (B, T) pieces of the translation, tags first; ``target_mask`` (B, T) marks the positions
                that write a piece.
            ocr_input: (B, T') pieces of the source text, tags first.
            image_ids: (B', N) tokens of the first B' target pages; needs ``target_input`` and, of as many pages, what
                ``drawing_states`` takes.
            known: (R, N), true where a token may be seen: the last R of them are for masked prediction.
            ctc: whether the CTC head reads.
            words: words of pages, to be drawn each alone; needs ``target_input``.
        """
        output = TranslatorOutput()
        if target_input is not None:
            output.text, states = self.text_decoder(target_input, source.memory, source.mask)
            if image_ids is not None:
                assert target_mask is not None and characters is not None
                assert character_mask is not None and char_to_token is not None
                count = len(image_ids)
                chosen = None if fonts is None else fonts[:count]
                drawn, mask = self.drawing_states(
                    states[:count], target_mask[:count], characters, character_mask, char_to_token, chosen
                )
                memory = source.image_memory[:count]
                first = len(image_ids) - (0 if known is None else len(known))
                if first:
                    output.image = self.image_decoder(image_ids[:first], drawn[:first], mask[:first], memory[:first])
                if known is not None:
                    cross_caches = self.image_decoder.project_kv(drawn[first:], mask[first:], memory[first:])
                    output.masked_image = self.image_decoder.predict_masked(image_ids[first:], known, cross_caches)
            if words is not None:
                assert target_mask is not None and words.char_to_token is not None
                own = words.pages
                drawn, mask = self.drawing_states(
                    states[own],
                    target_mask[own],
                    words.characters,
                    words.mask,
                    words.char_to_token,
                    None if fonts is None else fonts[own],
                )
                output.words = self.image_decoder(words.ids, drawn, mask, source.image_memory, own)
        if ocr_input is not None and source.reading is not None and self.ocr_head is not None:
            output.ocr, _ = self.ocr_head(ocr_input, source.reading)
        if ctc:
            output.ctc = self.ctc_logits(source)
        return output
