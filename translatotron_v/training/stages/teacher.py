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
from translatotron_v.decoding.words import draw_texts, drawing_mask
from translatotron_v.models.image_tokenizer import make_tokenizer
from translatotron_v.models.states import WordRows
from translatotron_v.models.teacher import TextToImage
from translatotron_v.training import losses
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.sheets import PICTURES, SHEET_PAGES, contact_sheet, picture_error_rate
from translatotron_v.training.stages.base import Stage
from translatotron_v.training.word_rows import split_words, word_rows


class TeacherStage(Stage):
    """Stage 2a: draw a page from its text."""

    wanted = frozenset({pages.TARGET_PIXELS, pages.TARGET_CHARACTERS})

    def __init__(self, config: Config, vocabulary: Vocabulary, train: list[Any], validation: list[Any]):
        if config.model.teacher.layout != "none":
            self.wanted = self.wanted | {pages.SOURCE_PIXELS}
        if config.loss.words:
            self.wanted = self.wanted | {pages.TARGET_WORDS}
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
        """Cross-entropy of the image tokens, of whole pages and of words that are drawn alone."""
        assert batch.target_pixels is not None and batch.target_characters is not None
        with torch.no_grad():
            ids = self.image_tokenizer.encode_to_ids(batch.target_pixels)
        settings = self.config.loss
        by_words = ranks.own_part_of_last(len(ids), round(settings.words * len(ids) * ranks.count()))
        whole = len(ids) - by_words  # pages that are drawn as such; the others word by word
        loss = torch.zeros((), device=ids.device)
        report: dict[str, Tensor | float] = {}
        if whole:
            characters = batch.target_characters[:whole]
            seen, fonts = (None if one is None else one[:whole] for one in (batch.source_pixels, batch.fonts))
            logits = self.teacher(ids[:whole], characters, drawing_mask(characters), seen, fonts)
            loss = whole / len(ids) * losses.image_cross_entropy(logits, ids[:whole], settings.image_smoothing)
            report["accuracy"] = (logits.argmax(-1) == ids[:whole]).float().mean()
        if by_words and (rows := self._word_rows(batch, ids, whole)) is not None:
            seen, fonts = (None if one is None else one[rows.pages] for one in (batch.source_pixels, batch.fonts))
            logits = self.teacher(rows.ids, rows.characters, rows.mask, seen, fonts)
            each = losses.counted_cross_entropy(logits, rows.ids, rows.counted, settings.image_smoothing)
            loss = loss + by_words / len(ids) * each
            report["accuracy_words"] = (logits.argmax(-1) == rows.ids)[rows.counted].float().mean()
        return loss, report

    def _word_rows(self, batch: Batch, ids: Tensor, first: int) -> WordRows | None:
        assert batch.target_characters is not None and batch.target_words is not None
        columns = self.config.model.token_grid[1]
        return word_rows(ids, batch.target_characters, None, batch.target_words, self.vocabulary, columns, first)

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """CER and BLEU of OCR on pictures drawn from gold text."""
        pictures: list[list[Tensor]] = []
        sheet = None
        for _, batch in self.own_batches(PICTURES):
            assert batch.target_pixels is not None and batch.target_characters is not None
            drawn = self._draw(batch.target_characters, batch)
            pictures.append(list(drawn.cpu()))
            if sheet is None:
                sheet = contact_sheet([batch.target_pixels[:SHEET_PAGES], drawn[:SHEET_PAGES]])
        drawings = ranks.joined(pictures)
        if ranks.number():
            return Evaluation({})
        texts = [sample.target for sample in self.validation]
        return Evaluation({"cer": picture_error_rate(drawings, texts)}, sheet)

    def _draw(self, characters: Tensor, batch: Batch) -> Tensor:
        """Pictures of texts (B, C): word by word where most pages are trained so, else token by token."""
        if self.config.loss.words <= 0.5:
            mask = drawing_mask(characters)
            states = self.teacher.states(characters, mask, batch.source_pixels, batch.fonts)
            ids, _ = generate_image(self.teacher.decoder, states, mask)
            return self.image_tokenizer.decode_from_ids(ids)
        words = [split_words(row, self.vocabulary) for row in characters.tolist()]
        ids_of = [[row[start:end] for start, end in runs] for row, runs in zip(characters.tolist(), words, strict=True)]
        made = draw_texts(
            self.teacher, self.config.model, self.image_tokenizer, ids_of, batch.source_pixels, batch.fonts
        )
        pixels: Tensor = made.pixels
        return pixels
