"""What several stages ask of a translator: its losses on a batch, by the pure functions of ``losses.py``.

Shapes: B batch, S source states, M width of the ViT.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from translatotron_v.data.pages import Batch
from translatotron_v.data.vocabulary import PAD
from translatotron_v.models.text_decoder import TextEncoder
from translatotron_v.models.translator import SourceStates, TranslatotronV
from translatotron_v.training import losses

FONT_WEIGHT = 0.1  # of telling fonts apart, beside reading


def translation_loss(translator: TranslatotronV, source: SourceStates, batch: Batch, label_smoothing: float) -> Tensor:
    """Cross-entropy of the text decoder's answer."""
    assert batch.target_input is not None and batch.target_output is not None
    decoder = translator.text_decoder
    states = decoder.states(batch.target_input, source.memory, source.mask)
    wanted = batch.target_output != PAD  # a table's worth of logits for each position: only where one counts
    return F.cross_entropy(decoder.logits(states[wanted]), batch.target_output[wanted], label_smoothing=label_smoothing)


def transcription_loss(
    translator: TranslatotronV, source: SourceStates, batch: Batch, label_smoothing: float
) -> Tensor:
    """Cross-entropy of the source text, written by the text decoder under the OCR tag."""
    assert batch.source_input is not None and batch.source_output is not None
    logits, _ = translator.text_decoder(batch.source_input, source.memory, source.mask)
    return losses.text_cross_entropy(logits, batch.source_output, label_smoothing)


def text_only_loss(
    translator: TranslatotronV, batch: Batch, label_smoothing: float
) -> tuple[Tensor, dict[str, Tensor | float]]:
    """Text mode's cross-entropy on a text-only batch."""
    assert batch.source_pieces is not None
    source = translator.encode_text(batch.source_pieces, batch.source_pieces != PAD)
    loss = translation_loss(translator, source, batch, label_smoothing)
    return batch.share("target") * loss, {"text_only": loss.detach()}


def reading_loss(
    translator: TranslatotronV, states: Tensor, batch: Batch, ctc: float, ocr: float, label_smoothing: float
) -> tuple[Tensor, dict[str, Tensor | float]]:
    """Weighted losses of the heads that read the source page from the ViT's states (B, S, M)."""
    loss = states.new_zeros(())
    report: dict[str, Tensor | float] = {}
    if ctc and translator.ctc_head is not None:
        assert batch.source_characters is not None
        first = int(translator.config.image_encoder.class_token)
        part = losses.ctc(translator.ctc_head(states[:, first:]), batch.source_characters)
        loss = loss + ctc * part
        report["ctc"] = part.detach()
    if ocr:
        assert batch.source_input is not None and batch.source_output is not None and translator.ocr_head is not None
        logits, _ = translator.ocr_head(batch.source_input, states)
        part = losses.text_cross_entropy(logits, batch.source_output, label_smoothing)
        part = batch.share("source") * part
        loss = loss + ocr * part
        report["ocr"] = part.detach()
    if translator.font_head is not None and batch.fonts is not None and bool((batch.fonts >= 0).any()):
        part = F.cross_entropy(translator.font_head(states), batch.fonts, ignore_index=-1)
        part = batch.share("fonts") * part
        loss = loss + FONT_WEIGHT * part
        report["font"] = part.detach()
    return loss, report


def text_mode_parameters(translator: TranslatotronV) -> list[nn.Parameter]:
    """The text encoder's and decoder's parameters that text mode passes through."""
    encoder = [
        parameter
        for name, parameter in translator.text_encoder.named_parameters()
        if not name.startswith(TextEncoder.IMAGE_MODE_ONLY)
    ]
    return [*encoder, *translator.text_decoder.parameters()]
