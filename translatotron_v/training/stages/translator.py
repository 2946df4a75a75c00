"""Stage 2b, the translator: the parts of its loss, its teachers, and what an evaluation measures.

Shapes: B batch, T pieces, N image tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from translatotron_v import ranks
from translatotron_v.config import Config
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding.image import generate_image
from translatotron_v.decoding.source import encode_and_read, encode_source, masks_readings
from translatotron_v.decoding.spelling import Spelling, spell_plainly
from translatotron_v.decoding.text import (
    DecodedText,
    drawing_length,
    drawing_mask,
    drawing_states,
    finish_answers,
    generate_answer,
    generate_text,
    make_draft,
    read_source,
)
from translatotron_v.decoding.words import draw_words
from translatotron_v.errors import UserError
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig
from translatotron_v.metrics.text import bleu, cer
from translatotron_v.models.teacher import TextToImage
from translatotron_v.models.text_decoder import TextDecoder, TextEncoder
from translatotron_v.models.translator import SourceStates, TranslatorOutput, TranslatotronV, WordRows
from translatotron_v.training import losses
from translatotron_v.training.masked_answers import masked_answers
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.sheets import PICTURES, SHEET_PAGES, contact_sheet, picture_error_rate
from translatotron_v.training.stages.base import Stage, start_module, trainable
from translatotron_v.training.stages.objectives import reading_loss, text_only_loss, transcription_loss
from translatotron_v.training.word_rows import word_rows


class TranslatorStage(Stage):
    """Stage 2b: ``CE_image + alpha T^2 KL(teacher) + beta CE_ocr + gamma CE_text`` and, optionally, CTC."""

    wanted = frozenset({pages.SOURCE_PIXELS, pages.SOURCE_PIECES, pages.SOURCE_CHARACTERS, pages.TARGET_PIECES})
    teachers = ("teacher",)
    MODULES = (
        "image_encoder",
        "text_encoder",
        "text_decoder",
        "ocr_head",
        "ctc_head",
        "font_head",
        "character_encoder",
        "image_decoder",
        "image_tokenizer",
    )

    def __init__(self, config: Config, vocabulary: Vocabulary, train: list[Any], validation: list[Any]):
        self.draws = bool(config.loss.image or config.loss.distillation)
        if self.draws:
            self.wanted = self.wanted | {pages.TARGET_PIXELS, pages.TARGET_CHARACTERS}
            if config.loss.words:
                self.wanted = self.wanted | {pages.TARGET_WORDS}
        super().__init__(config, vocabulary, train, validation)
        self.translator = self.make_translator(*self.MODULES, frozen=("image_tokenizer",))
        self.teacher = self._load_teacher() if config.loss.distillation else None
        distils = bool(config.loss.self_distillation or config.loss.self_distillation_kl)
        self.own_teacher = (
            self._load_own_teacher() if distils and config.loss.self_distillation_from == "start" else None
        )

    def _load_teacher(self) -> TextToImage:
        """The frozen text-to-image teacher; it is not part of what this stage saves."""
        origin = self.config.start.get("teacher", "")
        if not origin:
            raise UserError("loss.distillation needs a teacher: set start.teacher=RUN, or loss.distillation=0")
        teacher = TextToImage(self.config.model, self.vocabulary.character_count)
        for name in ("encoder", "decoder", "layout"):
            part = getattr(teacher, name)
            if part is not None:
                start_module(part, f"teacher_{name}", origin, self.vocabulary)
        return teacher.requires_grad_(False)

    def _load_own_teacher(self) -> "TextMode":
        """Text mode with the weights that this run starts from, frozen; it is not part of what this stage saves."""
        model = TranslatotronV(self.config.model, len(self.vocabulary), self.vocabulary.character_count)
        for name in ("text_encoder", "text_decoder"):
            origin = self.config.start.get(name, "")
            if not origin:
                raise UserError(
                    f"loss.self_distillation needs a trained text mode: set start.{name}=RUN, or "
                    "loss.self_distillation_from=step"
                )
            start_module(getattr(model, name), name, origin, self.vocabulary, self.config.map_vocabulary)
        own = TextMode(model.text_encoder, model.text_decoder)
        own.requires_grad_(False)
        return own

    def train(self, mode: bool = True) -> "TranslatorStage":
        """Training mode for all but the frozen modules and the teachers."""
        super().train(mode)
        for teacher in (self.teacher, self.own_teacher):
            if teacher is not None:
                teacher.eval()
        return self

    def optimized(self) -> Mapping[str, list[nn.Parameter]]:
        """Everything of the translator that is not frozen and that a loss reaches."""
        modules = dict(self.modules_to_save)
        if not self.draws:
            for name in ("character_encoder", "image_decoder"):
                modules.pop(name, None)
        return {"main": trainable(p for module in modules.values() for p in module.parameters())}

    def forward(self, batch: Batch, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The weighted sum, and each part by name; on a text-only batch, text mode's cross-entropy alone."""
        weights = self.config.loss
        if batch.source_pixels is None:
            return text_only_loss(self.translator, batch, weights.label_smoothing)
        assert batch.target_output is not None
        source, batch = self._look(batch)
        assert source.reading is not None and batch.target_output is not None
        loss, report = reading_loss(
            self.translator, source.reading, batch, weights.ctc, weights.ocr, weights.label_smoothing
        )
        ids = known = words = None
        alone = 0  # pages that are drawn as a whole
        if self.draws and batch.target_pixels is not None:  # a page without translation has nothing to draw
            with torch.no_grad():
                ids = self.translator.image_tokenizer.encode_to_ids(batch.target_pixels)
            # The last pages of the micro-batch of all ranks are drawn word by word, and those before them masked.
            shares = [
                round(share * len(ids) * ranks.count()) for share in (weights.words, weights.words + weights.masked)
            ]
            by_words, not_in_order = (ranks.own_part_of_last(len(ids), last) for last in shares)
            alone = len(ids) - by_words
            if by_words:
                words = self._word_rows(batch, ids, alone)
            if pages_to_mask := not_in_order - by_words:
                known = losses.random_masks(pages_to_mask, ids.shape[1], ids.device)
        parts: list[tuple[str, float, Tensor]] = []
        output = None
        if weights.text or ids is not None or weights.text_distillation:
            whole = [
                None if one is None or not alone else one[:alone]
                for one in (ids, batch.target_characters, batch.char_to_token)
            ]
            output = self.translator(
                source,
                batch.target_input,
                batch.translation_mask,
                image_ids=whole[0],
                known=known,
                characters=whole[1],
                character_mask=None if whole[1] is None else drawing_mask(whole[1]),
                char_to_token=whole[2],
                fonts=batch.fonts,
                words=words,
            )
            if weights.text:
                assert output.text is not None
                parts.append(("text", weights.text, self._text_loss(output.text, batch)))
        if weights.transcription:
            copied = transcription_loss(self.translator, source, batch, weights.label_smoothing)
            parts.append(("transcription", weights.transcription, batch.share("source") * copied))
        parts += self._text_mode_parts(batch, None if output is None else output.text)
        if weights.self_distillation or weights.self_distillation_kl:
            parts += self._self_distillation_parts(batch, source)
        if ids is not None:
            assert output is not None
            parts += self._image_parts(batch, ids, known, output)
            if words is not None:
                assert output.words is not None
                each = losses.counted_cross_entropy(output.words, words.ids, words.counted, weights.image_smoothing)
                parts.append(("image_words", weights.image * (1 - alone / len(ids)), each))
        for name, weight, part in parts:
            loss = loss + weight * part
            report[name] = part.detach()
        return loss, report

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """As of every stage, and the pieces of answers by what they weigh."""
        answer = 0.0 if batch.target_output is None else float(self._answer_weights(batch).sum())
        return {**super().counts(batch), "answer": answer}

    def _answer_weights(self, batch: Batch) -> Tensor:
        """(B, T): 1 for what is written of a translation, ``ssr.weight`` for a transcript, 0 elsewhere."""
        assert batch.target_output is not None
        written = (batch.target_output != PAD).float()
        if not self.config.ssr.reader or batch.translation_mask is None:
            return written
        return torch.where(batch.translation_mask, written, self.config.ssr.weight * written)

    def _text_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of the answers; in SSR transcripts count as ``ssr.weight`` says."""
        assert batch.target_output is not None
        smoothing = self.config.loss.label_smoothing
        if not self.config.ssr.reader or self.config.ssr.weight == 1:
            return batch.share("target") * losses.text_cross_entropy(logits, batch.target_output, smoothing)
        weights = self._answer_weights(batch)
        return batch.share("answer") * losses.weighted_text_cross_entropy(
            logits, batch.target_output, weights, smoothing
        )

    def _word_rows(self, batch: Batch, ids: Tensor, first: int) -> WordRows | None:
        """The words of the pages from number ``first`` on."""
        assert batch.target_characters is not None and batch.target_words is not None
        columns = self.config.model.token_grid[1]
        return word_rows(
            ids, batch.target_characters, batch.char_to_token, batch.target_words, self.vocabulary, columns, first
        )

    def _look(self, batch: Batch) -> tuple[SourceStates, Batch]:
        """What is seen of a batch's pages, and the batch with answers that fit what was read on them."""
        assert batch.source_pixels is not None
        if batch.texts is None or not masks_readings(self.translator, self.vocabulary):
            return encode_source(self.translator, self.vocabulary, batch.source_pixels), batch
        language = self.config.data.source_language
        source, sentences = encode_and_read(self.translator, self.vocabulary, batch.source_pixels, language)
        model = self.config.model
        longest = min(model.text_encoder.max_length, model.text_decoder.max_length)
        answered = masked_answers(batch, sentences, self.vocabulary, longest, drawing_length(self.translator))
        assert answered.target_output is not None
        if ranks.count() > 1:  # answers have another length than was counted: the micro-batch's share is dealt out anew
            share = ranks.mean(torch.tensor(batch.share("target"), device=answered.target_output.device))
            share = share * ranks.share((answered.target_output != PAD).sum())
            answered.shares = (answered.shares or {}) | {"target": float(share)}
        return source, answered

    def _image_parts(
        self, batch: Batch, ids: Tensor, known: Tensor | None, output: TranslatorOutput
    ) -> list[tuple[str, float, Tensor]]:
        """Image tokens (B, N): those predicted from left to right, and those of the last pages, which were masked."""
        weights = self.config.loss
        parts = []
        if output.image is not None:
            count = len(output.image)
            image = losses.image_cross_entropy(output.image, ids[:count], weights.image_smoothing)
            parts.append(("image", weights.image * count / len(ids), image))
            if self.teacher is not None:
                kl = self._distillation(batch, ids[:count], output.image)
                parts.append(("distillation", weights.distillation * count / len(ids), kl))
        if output.masked_image is not None:
            assert known is not None
            there = len(known) + (0 if output.image is None else len(output.image))
            masked = losses.masked_cross_entropy(
                output.masked_image, ids[there - len(known) : there], known, weights.image_smoothing
            )
            parts.append(("image_masked", weights.image * len(known) / len(ids), masked))
        return parts

    def _distillation(self, batch: Batch, ids: Tensor, logits: Tensor) -> Tensor:
        """KL to what the teacher expects of the image tokens (B', N) of the first B' pages."""
        assert self.teacher is not None and batch.target_characters is not None
        count = len(ids)
        with torch.no_grad():
            characters = batch.target_characters[:count]
            pixels = None if batch.source_pixels is None else batch.source_pixels[:count]
            fonts = None if batch.fonts is None else batch.fonts[:count]
            expected = self.teacher(ids, characters, drawing_mask(characters), pixels, fonts)
        return losses.distillation(logits, expected, self.config.loss.temperature)

    def _text_mode_parts(self, batch: Batch, logits: Tensor | None) -> list[tuple[str, float, Tensor]]:
        """Text mode beside image mode, on the gold answer: its own loss, and the distance of image mode to it."""
        weights = self.config.loss
        if not (weights.text_mode or weights.text_distillation):
            return []
        assert batch.source_pieces is not None and batch.target_output is not None
        parts = []
        with torch.set_grad_enabled(bool(weights.text_mode)):
            source = self.translator.encode_text(batch.source_pieces, batch.source_pieces != PAD)
            expected = self.translator(source, batch.target_input).text
        assert expected is not None
        if weights.text_mode:
            own = losses.text_cross_entropy(expected, batch.target_output, weights.label_smoothing)
            parts.append(("text_mode", weights.text_mode, batch.share("target") * own))
        if weights.text_distillation:
            assert logits is not None
            kl = losses.distillation(logits, expected.detach(), mask=batch.target_output != PAD)
            parts.append(("text_distillation", weights.text_distillation, batch.share("target") * kl))
        return parts

    def _self_distillation_parts(self, batch: Batch, source: SourceStates) -> list[tuple[str, float, Tensor]]:
        """Image mode learns what text mode writes of the same sentences, by the model's own weights.

        On-policy self-distillation (arXiv 2603.09095), by sequence (cross-entropy) and by token (KL to text mode's
        distribution along that text). No gradient flows into text mode's answer. By default the answers are those of
        the weights that the run starts from; with those of every step, the shared layers drift along with their own
        targets (docs/experiments/modality-gap.md).
        """
        weights = self.config.loss
        given, wanted, expected = self._text_mode_answers(batch)
        logits, _ = self.translator.text_decoder(given, source.memory, source.mask)
        share = ranks.share((wanted != PAD).sum())
        parts = []
        if weights.self_distillation:
            sequence = losses.text_cross_entropy(logits, wanted, weights.label_smoothing)
            parts.append(("self_distillation", weights.self_distillation, share * sequence))
        if weights.self_distillation_kl:
            kl = losses.distillation(logits, expected, mask=wanted != PAD)
            parts.append(("self_distillation_kl", weights.self_distillation_kl, share * kl))
        return parts

    @torch.no_grad()
    def _text_mode_answers(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Text mode's greedy translations, without dropout: decoder input and targets (B, T), and its logits there."""
        assert batch.source_pieces is not None
        reader = self.own_teacher or TextMode(self.translator.text_encoder, self.translator.text_decoder)
        flags = [(part, part.training) for part in reader.modules()]
        reader.eval()
        mask = batch.source_pieces != PAD
        memory = reader.text_encoder(batch.source_pieces, mask)
        language = self.config.data.target_language
        answers = generate_text(reader.text_decoder, self.vocabulary, memory, mask, "translate", language)
        device = batch.source_pieces.device
        given = pages.pad([[*prefix, *ids] for prefix, ids in zip(answers.prefixes, answers.ids, strict=True)])
        wanted = pages.pad([[PAD, *ids, EOS] for ids in answers.ids])
        given, wanted = given.to(device), wanted.to(device)
        expected, _ = reader.text_decoder(given, memory, mask)
        for part, training in flags:
            part.training = training
        return given, wanted, expected

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """BLEU of the text, CER of the reading, of transcripts and, where pictures are drawn, of OCR on them."""
        data = self.config.data
        transcribes = bool(self.config.ssr.reader)
        answers: list[list[tuple[str, str]]] = []  # answer and reading of each page
        transcripts: list[list[str]] = []
        drawn_pages: list[list[Tensor]] = []
        sheet = None
        for start, batch in self.own_batches():
            assert batch.source_pixels is not None
            masks = masks_readings(self.translator, self.vocabulary) and not transcribes
            source, sentences = encode_and_read(
                self.translator, self.vocabulary, batch.source_pixels, data.source_language if masks else ""
            )
            decoded = generate_answer(
                self.translator,
                self.vocabulary,
                source,
                GenerationConfig(data.source_language, data.target_language, transcribe=transcribes),
                accepts=[sentence.accepts for sentence in sentences] if masks else None,
            )
            longest = self.config.model.text_decoder.max_length
            spellings = finish_answers(self.vocabulary, decoded, sentences, longest=longest) if masks else None
            if self.config.loss.transcription:
                written = generate_text(
                    self.translator.text_decoder,
                    self.vocabulary,
                    source.memory,
                    source.mask,
                    "ocr",
                    data.source_language,
                ).texts
            else:
                written = decoded.transcripts
            transcripts.append(written)
            read = read_source(self.translator, self.vocabulary, source, data.source_language)
            answers.append(list(zip(decoded.texts, read, strict=True)))
            if self.draws and start < PICTURES:
                pixels = self._draw(source, decoded, spellings)
                drawn_pages.append(list(pixels.cpu()))
                if sheet is None:
                    assert batch.target_pixels is not None
                    columns = [batch.source_pixels, pixels, batch.target_pixels]
                    sheet = contact_sheet([column[:SHEET_PAGES] for column in columns])
        answered, transcribed, pictures = ranks.joined(answers), ranks.joined(transcripts), ranks.joined(drawn_pages)
        if ranks.number():
            return Evaluation({})
        hypotheses = [answer for answer, _ in answered]
        sources = [sample.source for sample in self.validation]
        metrics = {
            "bleu": bleu(hypotheses, [sample.target for sample in self.validation]).value,
            "reading_cer": cer([reading for _, reading in answered], sources).value,
        }
        if transcribed:
            metrics["transcript_cer"] = cer(transcribed, sources).value
        if pictures:
            metrics["picture_cer"] = picture_error_rate(pictures[:PICTURES], hypotheses)
        return Evaluation(metrics, sheet)

    def _draw(self, source: SourceStates, decoded: DecodedText, spellings: Sequence[Spelling] | None) -> Tensor:
        """Pictures of answers: word by word where most pages are trained so, else token by token."""
        model = self.translator
        if self.config.loss.words <= 0.5:
            drawn, mask = drawing_states(model, self.vocabulary, source, decoded, spellings=spellings)
            ids, _ = generate_image(model.image_decoder, drawn, mask, source.image_memory)
            return model.image_tokenizer.decode_from_ids(ids)
        spelled = spellings or [spell_plainly(self.vocabulary.spell(row)) for row in decoded.ids]
        made = draw_words(model, self.vocabulary, make_draft(model, source, decoded), spelled, AS_TRAINED)
        pixels: Tensor = made.pixels
        return pixels


class TextMode(nn.Module):
    """The two modules of text mode."""

    def __init__(self, text_encoder: TextEncoder, text_decoder: TextDecoder):
        super().__init__()
        self.text_encoder, self.text_decoder = text_encoder, text_decoder
