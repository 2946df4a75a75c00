"""The optional stage that reads: the image encoder with the CTC head and the OCR head."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from translatotron_v.config import Config
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.source import read_ctc
from translatotron_v.metrics.text import cer
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training.stages.base import Stage, trainable
from translatotron_v.training.stages.objectives import (
    reading_loss,
    text_mode_parameters,
    text_only_loss,
)
from translatotron_v.training.trainer import Evaluation


class ReaderStage(Stage):
    """Optional pre-training: read the source page, with the CTC head and the OCR head."""

    wanted = frozenset({pages.SOURCE_PIXELS, pages.SOURCE_PIECES, pages.SOURCE_CHARACTERS})

    def __init__(self, config: Config, vocabulary: Vocabulary, train: list, validation: list):
        super().__init__(config, vocabulary, train, validation)
        self.translator = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
        self.modules_to_save = {
            name: module
            for name in ("image_encoder", "ctc_head", "ocr_head", "family_head")
            if (module := getattr(self.translator, name)) is not None
        }
        if config.data.text_share:
            self.modules_to_save |= {name: getattr(self.translator, name) for name in ("text_encoder", "text_decoder")}
        self.freeze(*config.freeze)

    def optimised(self) -> Mapping[str, list[nn.Parameter]]:
        """The image encoder and the heads that read; text mode where it trains beside them."""
        modules = (module for name, module in self.modules_to_save.items() if not name.startswith("text_"))
        parameters = [parameter for module in modules for parameter in module.parameters()]
        if self.config.data.text_share:
            parameters += text_mode_parameters(self.translator)
        return {"main": trainable(parameters)}

    def forward(self, batch: Batch, turn: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """``ctc`` times CTC plus ``beta`` times the OCR head's cross-entropy; text mode's on a text-only batch."""
        weights = self.config.loss
        if batch.source_pixels is None:
            return text_only_loss(self.translator, batch, weights.label_smoothing)
        states = self.translator.image_encoder(batch.source_pixels)
        return reading_loss(self.translator, states.reading, batch, weights.ctc, weights.ocr, weights.label_smoothing)

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """CER of the CTC head's reading, and how often the font is told."""
        read: list[str] = []
        known: list[bool] = []
        for batch in self.validation_batches():
            assert batch.source_pixels is not None
            source = self.translator.see(batch.source_pixels)
            read += read_ctc(self.translator.ctc_logits(source), self.vocabulary)
            if batch.families is not None:
                known += (self.translator.family_logits(source).argmax(1) == batch.families).tolist()
        metrics = {"cer": cer(read, [sample.source for sample in self.validation]).value}
        if known:
            metrics["family_accuracy"] = sum(known) / len(known)
        return Evaluation(metrics)
