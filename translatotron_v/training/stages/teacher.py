"""Stage 2a, the text-to-image teacher."""

from typing import Any

import torch
from torch import Tensor

from translatotron_v import ranks
from translatotron_v.config import Config
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.image import generate_image
from translatotron_v.decoding.text import drawing_mask
from translatotron_v.models.image_tokenizer import make_tokenizer
from translatotron_v.models.teacher import TextToImage
from translatotron_v.training import losses
from translatotron_v.training.sheets import PICTURES, SHEET_PAGES, contact_sheet, picture_error_rate
from translatotron_v.training.stages.base import Stage
from translatotron_v.training.trainer import Evaluation


class TeacherStage(Stage):
    """Stage 2a: draw a page from its text."""

    wanted = frozenset({pages.TARGET_PIXELS, pages.TARGET_CHARACTERS})

    def __init__(self, config: Config, vocabulary: Vocabulary, train: list[Any], validation: list[Any]):
        if config.model.teacher.layout != "none":
            self.wanted = self.wanted | {pages.SOURCE_PIXELS}
        super().__init__(config, vocabulary, train, validation)
        self.teacher = TextToImage(config.model, vocabulary.character_count)
        self.image_tokenizer = make_tokenizer(config.model.tokenizer, config.model.canvas)
        self.modules_to_save = {
            "teacher_encoder": self.teacher.encoder,
            "teacher_decoder": self.teacher.decoder,
            "image_tokenizer": self.image_tokenizer,
        }
        if self.teacher.layout is not None:
            self.modules_to_save["teacher_layout"] = self.teacher.layout
        self.freeze("image_tokenizer", *config.freeze)

    def forward(self, batch: Batch, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Cross-entropy of the image tokens."""
        assert batch.target_pixels is not None and batch.target_characters is not None
        with torch.no_grad():
            ids = self.image_tokenizer.encode_to_ids(batch.target_pixels)
        mask = drawing_mask(batch.target_characters)
        logits = self.teacher(ids, batch.target_characters, mask, batch.source_pixels, batch.fonts)
        loss = losses.image_cross_entropy(logits, ids, self.config.loss.image_smoothing)
        return loss, {"accuracy": (logits.argmax(-1) == ids).float().mean()}

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """CER and BLEU of OCR on pictures drawn from gold text."""
        pictures: list[list[Tensor]] = []
        sheet = None
        for _, batch in self.own_batches(PICTURES):
            assert batch.target_pixels is not None and batch.target_characters is not None
            mask = drawing_mask(batch.target_characters)
            states = self.teacher.states(batch.target_characters, mask, batch.source_pixels, batch.fonts)
            ids, _ = generate_image(self.teacher.decoder, states, mask)
            drawn = self.image_tokenizer.decode_from_ids(ids)
            pictures.append(list(drawn.cpu()))
            if sheet is None:
                sheet = contact_sheet([batch.target_pixels[:SHEET_PAGES], drawn[:SHEET_PAGES]])
        drawings = ranks.joined(pictures)
        if ranks.number():
            return Evaluation({})
        texts = [sample.target for sample in self.validation]
        return Evaluation({"cer": picture_error_rate(drawings, texts)}, sheet)
