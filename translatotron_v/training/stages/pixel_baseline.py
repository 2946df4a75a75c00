"""The stage of the baseline that knows no text: pixels of the source page to pixels of the target page.

Shapes: B batch, N segments, P pixels of a segment and its channels.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from translatotron_v import ranks
from translatotron_v.config import Config
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.metrics.text import bleu, cer
from translatotron_v.models.baselines import PixelBaseline
from translatotron_v.ocr import boxes_to_text, make_ocr_engine
from translatotron_v.training.losses import ink_weight
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.sheets import PICTURES, SHEET_PAGES, as_picture, contact_sheet
from translatotron_v.training.stages.base import Stage


class PixelBaselineStage(Stage):
    """Trains the pixel-level baseline (Tian et al. 2023) on pairs of pages; their texts serve the evaluation alone."""

    wanted = frozenset({pages.SOURCE_PIXELS, pages.TARGET_PIXELS})

    def __init__(self, config: Config, vocabulary: Vocabulary, train: list[Any], validation: list[Any]):
        super().__init__(config, vocabulary, train, validation)
        self.pixel_baseline = PixelBaseline(config.model.pixel_baseline, config.model.canvas)
        self.modules_to_save = {"pixel_baseline": self.pixel_baseline}
        self.freeze(*config.freeze)

    def forward(self, batch: Batch, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Cross-entropy of the target page's pixels, and the mean absolute error of their expected values."""
        assert batch.source_pixels is not None and batch.target_pixels is not None
        logits = self.pixel_baseline(batch.source_pixels, batch.target_pixels)
        darkness = self.pixel_baseline.cut(batch.target_pixels)
        error = (logits.detach().sigmoid() - darkness).abs().mean()
        return batch.share("ink") * darkness_cross_entropy(logits, darkness, self.config.loss.ink), {"error": error}

    def counts(self, batch: Any) -> Mapping[str, float]:
        """How much the pixels weigh, which the cross-entropy averages over."""
        return {"ink": float(ink_weight(batch.target_pixels, self.config.loss.ink).double().mean())}

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """CER and BLEU of OCR on pictures drawn from source pages, against the target texts; their pixels' error.

        The sheet shows sources, targets and what was drawn.
        """
        errors: list[list[float]] = []
        read: list[list[str]] = []
        sheet = None
        reader = make_ocr_engine()
        for _, batch in self.own_batches(PICTURES):
            assert batch.source_pixels is not None and batch.target_pixels is not None
            drawn = self.pixel_baseline.generate(batch.source_pixels).float()
            errors.append((drawn - batch.target_pixels).abs().mean((1, 2, 3)).tolist())
            read.append([boxes_to_text(reader.read(as_picture(page))) for page in drawn])
            if sheet is None:
                columns = (batch.source_pixels, batch.target_pixels, drawn)
                sheet = contact_sheet([column[:SHEET_PAGES] for column in columns])
        texts, every_error = ranks.joined(read), ranks.joined(errors)
        wanted = [sample.target for sample in self.validation[: len(texts)]]
        scores = {"cer": cer(texts, wanted).value, "bleu": bleu(texts, wanted).value}
        return Evaluation(scores | {"mean_absolute_error": sum(every_error) / len(texts)}, sheet)


def darkness_cross_entropy(logits: Tensor, darkness: Tensor, ink: float = 0.0) -> Tensor:
    """Binary cross-entropy of pixels whose grey values are soft targets; the weights average to one.

    Args:
        logits: (B, N, P).
        darkness: (B, N, P) in [0, 1], 1 black.
        ink: a pixel weighs ``1 + ink * darkness``. Where the target is sure its best value is the target whatever this
            is; where it is not, ink is made out more likely than it is by that much.
    """
    weight = 1 + ink * darkness
    return F.binary_cross_entropy_with_logits(logits, darkness, weight) / weight.mean()
