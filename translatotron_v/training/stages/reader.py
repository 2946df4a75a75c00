"""The optional stage that reads: the image encoder with the CTC head and the OCR head."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from translatotron_v import ranks
from translatotron_v.config import Config
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch
from translatotron_v.data.pairs import TextPair
from translatotron_v.data.parts import SharedBatches
from translatotron_v.data.reading import ReadingDataset, Strip, collate_strips, validation_strips
from translatotron_v.data.streamed_pages import ShardSource
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.source import read_ctc
from translatotron_v.metrics.text import cer
from translatotron_v.training import losses
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.stages.base import Stage, Training, trainable
from translatotron_v.training.stages.objectives import (
    reading_loss,
    text_mode_parameters,
    text_only_loss,
)


class ReaderStage(Stage):
    """Optional pre-training: read the source page, with the CTC head and the OCR head.

    Where ``page.faces`` names faces, pages are strips of any text in any of them (``data/reading.py``).
    """

    wanted = frozenset({pages.SOURCE_PIXELS, pages.SOURCE_PIECES, pages.SOURCE_CHARACTERS})

    def __init__(self, config: Config, vocabulary: Vocabulary, train: Training, validation: list[TextPair]):
        super().__init__(config, vocabulary, train, validation)
        text_mode = ("text_encoder", "text_decoder") if config.data.text_share else ()
        self.translator = self.make_translator("image_encoder", "ctc_head", "ocr_head", "font_head", *text_mode)
        self.watched: dict[str, list[Strip]] = {}
        if config.page.faces:
            texts = _mixed([pair.source for pair in validation])
            for part, suffix in (("training", ""), ("unseen", "_unseen")):
                for degraded, state in ((False, "clean"), (True, "degraded")):
                    self.watched[f"cer_{state}{suffix}"] = validation_strips(
                        texts, config, vocabulary, part, degraded, config.data.validation_limit
                    )

    def make_dataset(self, train: Training) -> SharedBatches[Batch]:
        """Strips of any text in any face, where the faces are named; pages of the pairs otherwise."""
        if self.config.page.faces:
            assert not isinstance(train, ShardSource)  # it refuses faces
            return ReadingDataset(train, self.config, self.vocabulary)
        return super().make_dataset(train)

    def optimized(self) -> Mapping[str, list[nn.Parameter]]:
        """The image encoder and the heads that read; text mode where it trains beside them."""
        modules = (module for name, module in self.modules_to_save.items() if not name.startswith("text_"))
        parameters = [parameter for module in modules for parameter in module.parameters()]
        if self.config.data.text_share:
            parameters += text_mode_parameters(self.translator)
        return {"main": trainable(parameters)}

    def forward(self, batch: Batch, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """``ctc`` times CTC plus ``beta`` times the OCR head's cross-entropy; text mode's on a text-only batch."""
        weights = self.config.loss
        if batch.source_pixels is None:
            return text_only_loss(self.translator, batch, weights.label_smoothing)
        states = self.translator.image_encoder(batch.source_pixels, weights.ctc_inner_layer if weights.ctc_inner else 0)
        loss, report = reading_loss(
            self.translator, states.reading, batch, weights.ctc, weights.ocr, weights.label_smoothing
        )
        if states.inner is not None and self.translator.ctc_head is not None:
            assert batch.source_characters is not None
            first = int(self.config.model.image_encoder.class_token)
            inner = losses.ctc(self.translator.ctc_head(states.inner[:, first:]), batch.source_characters)
            loss = loss + weights.ctc_inner * inner
            report["ctc_inner"] = inner.detach()
        return loss, report

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """CER of the CTC head's reading, and how often the font is told; by faces and state where faces are named."""
        if self.watched:
            return self._evaluate_strips()
        own: list[list[str]] = []
        told: list[list[bool]] = []
        for _, batch in self.own_batches():
            assert batch.source_pixels is not None
            source = self.translator.encode_image(batch.source_pixels)
            own.append(read_ctc(self.translator.ctc_logits(source), self.vocabulary))
            if batch.fonts is not None:
                told.append((self.translator.font_logits(source).argmax(1) == batch.fonts).tolist())
        read, known = ranks.joined(own), ranks.joined(told)
        metrics = {"cer": cer(read, [sample.source for sample in self.validation]).value}
        if known:
            metrics["font_accuracy"] = sum(known) / len(known)
        return Evaluation(metrics)

    def _evaluate_strips(self) -> Evaluation:
        """CER, true case, of the strips that are watched, and how often the nearest family is told."""
        metrics: dict[str, float] = {}
        told: list[list[bool]] = []
        device = next(self.parameters()).device
        for name, strips in self.watched.items():
            own: list[list[str]] = []
            for start in range(32 * ranks.number(), len(strips), 32 * ranks.count()):
                batch = collate_strips(strips[start : start + 32], self.vocabulary, True).to(device)
                assert batch.source_pixels is not None and batch.fonts is not None
                source = self.translator.encode_image(batch.source_pixels)
                own.append(read_ctc(self.translator.ctc_logits(source), self.vocabulary))
                if self.translator.font_head is not None:
                    right = self.translator.font_logits(source).argmax(1) == batch.fonts
                    told.append(right[batch.fonts >= 0].tolist())
            metrics[name] = cer(ranks.joined(own), [strip.text for strip in strips], lower_case=False).value
        known = ranks.joined(told)
        if known:
            metrics["font_accuracy"] = sum(known) / len(known)
        return Evaluation(metrics)


def _mixed(texts: Sequence[str]) -> list[str]:
    """Texts in an order that takes no corpus first; the same in every run."""
    return [texts[index] for index in np.random.default_rng(0).permutation(len(texts))]
