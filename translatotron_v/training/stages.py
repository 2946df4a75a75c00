"""One class for each stage of training: what a step does, what it reports, what its checkpoint holds.

The translator's, the largest, is in ``translator_stage.py``; ``STAGES`` names them all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from translatotron_v.config import Config
from translatotron_v.data import literals, pages
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.pages import Batch
from translatotron_v.data.pairs import TextPair
from translatotron_v.data.reading import ReadingDataset, Strip, collate_strips, validation_strips
from translatotron_v.data.text_batches import DomainPair, MixtureSource, MixtureText, PairEncoder, collate
from translatotron_v.data.vocabulary import PAD, Vocabulary
from translatotron_v.inference.drawing import generate_image
from translatotron_v.inference.generate import drawing_mask, read_ctc, translate_pieces
from translatotron_v.metrics.text import bleu, cer, chrf
from translatotron_v.models.discriminator import PatchDiscriminator, PerceptualDistance
from translatotron_v.models.image_tokenizer import ImageTokenizer, make_tokenizer
from translatotron_v.models.teacher import TextToImage
from translatotron_v.models.text_decoder import TextEncoder
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training import losses
from translatotron_v.training.objectives import reading_loss, text_only_loss, transcription_loss, translation_loss
from translatotron_v.training.sheets import PICTURES, SHEET_PAGES, contact_sheet, picture_error_rate
from translatotron_v.training.stage import Stage, trainable
from translatotron_v.training.trainer import Evaluation
from translatotron_v.training.translator_stage import TranslatorStage


class TokenizerStage(Stage):
    """Stage 1: reconstruct pages through discrete tokens.

    A plain autoencoder first, then with the codebook; perceptual and adversarial losses where they are asked for. A
    tokenizer without a network has nothing to train: ``codebook.py`` fits it.
    """

    wanted = frozenset({pages.TARGET_PIXELS})

    def __init__(self, config: Config, vocabulary: Vocabulary, train: list[Any], validation: list[Any]):
        super().__init__(config, vocabulary, train, validation)
        self.image_tokenizer = make_tokenizer(config.model.tokenizer, config.model.canvas)
        self.modules_to_save = {"image_tokenizer": self.image_tokenizer}
        self.discriminator: PatchDiscriminator | None = None
        if config.loss.adversarial:
            self.discriminator = PatchDiscriminator(config.model.discriminator, config.model.canvas.channels)
            self.modules_to_save["discriminator"] = self.discriminator
        self.freeze(*config.freeze)
        self.perceptual = PerceptualDistance(config.loss.perceptual_weights) if config.loss.perceptual else None

    def optimised(self) -> Mapping[str, list[nn.Parameter]]:
        """The generator, and the discriminator after it where there is one."""
        generator = trainable(self.image_tokenizer.parameters())
        if self.discriminator is None:
            return {"main": generator}
        return {"generator": generator, "discriminator": trainable(self.discriminator.parameters())}

    def _quantises(self, step: int) -> bool:
        return step >= self.config.loss.quantise_from * self.config.trainer.steps

    def _has_adversary(self, step: int) -> bool:
        return self.discriminator is not None and step >= self.config.loss.adversarial_from * self.config.trainer.steps

    def forward(self, batch: Batch, turn: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """One turn's loss and what to report."""
        real = batch.target_pixels
        assert real is not None
        if turn == "discriminator":
            return self._discriminate(real, step)
        assert isinstance(self.image_tokenizer, ImageTokenizer)
        weights = self.config.loss
        output = self.image_tokenizer(real, quantise=self._quantises(step))
        reconstruction = losses.weighted_reconstruction(output.pixels, real, weights.l1, weights.l2, weights.ink)
        loss = reconstruction + weights.commitment * output.commitment
        report: dict[str, Tensor | float] = {"reconstruction": reconstruction.detach()}
        if self.perceptual is not None:
            distance = self.perceptual(output.pixels, real)
            loss = loss + weights.perceptual * distance
            reconstruction = reconstruction + weights.perceptual * distance
            report["perceptual"] = distance.detach()
        if self.training and self._has_adversary(step):
            assert self.discriminator is not None
            fooled = losses.hinge_generator(self.discriminator(output.pixels))
            balance = losses.adaptive_weight(reconstruction, fooled, self.image_tokenizer.last_layer)
            loss = loss + weights.adversarial * balance * fooled
            report["adversarial"] = fooled.detach()
        if output.ids is not None:
            report["codes"] = float(output.ids.unique().numel())
        return loss, report

    def _discriminate(self, real: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        assert self.discriminator is not None and isinstance(self.image_tokenizer, ImageTokenizer)
        self.image_tokenizer.eval()  # looking at its pages must not move the codebook
        with torch.no_grad():
            fake = self.image_tokenizer(real, quantise=self._quantises(step)).pixels
        self.image_tokenizer.train(self.training)
        loss = losses.hinge_discriminator(self.discriminator(real), self.discriminator(fake))
        if not self._has_adversary(step):
            loss = loss * 0.0
        return loss, {}

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """Error of the pixels, codes in use, and CER of OCR on the reconstructions."""
        error, count, sheet = 0.0, 0, None
        used: set[int] = set()
        pictures: list[Tensor] = []
        for batch in self.validation_batches():
            assert batch.target_pixels is not None
            ids = self.image_tokenizer.encode_to_ids(batch.target_pixels)
            again = self.image_tokenizer.decode_from_ids(ids)
            error += float((again - batch.target_pixels).abs().mean()) * len(ids)
            count += len(ids)
            used.update(ids.unique().tolist())
            pictures += again
            if sheet is None:
                sheet = contact_sheet([batch.target_pixels[:SHEET_PAGES], again[:SHEET_PAGES]])
        metrics = {"mean_absolute_error": error / count, "codes_used": float(len(used))}
        metrics["cer"] = picture_error_rate(pictures[:PICTURES], [sample.target for sample in self.validation])
        return Evaluation(metrics, sheet)


class TextStage(Stage):
    """Optional pre-training: text mode, source pieces to target pieces, from pairs or from a mixture of corpora."""

    wanted = frozenset({pages.SOURCE_PIECES, pages.TARGET_PIECES})

    def __init__(
        self,
        config: Config,
        vocabulary: Vocabulary,
        train: Sequence[TextPair] | MixtureSource,
        validation: list[TextPair],
    ):
        super().__init__(config, vocabulary, train, validation)
        self.translator = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
        self.modules_to_save = {
            "text_encoder": self.translator.text_encoder,
            "text_decoder": self.translator.text_decoder,
        }
        self.freeze(*config.freeze)
        if isinstance(train, MixtureSource):  # its validation pairs are chosen by domain already
            self.validation = pages.plain_samples(validation, config)
        self.groups = [pair.domain if isinstance(pair, DomainPair) else "" for pair in validation]

    def make_dataset(self, train: Sequence[TextPair] | MixtureSource) -> Dataset[Batch]:
        """Pairs, or a mixture."""
        if isinstance(train, MixtureSource):
            return MixtureText(train.mixture, train.stores, self.config, self.vocabulary)
        return super().make_dataset(train)

    def optimised(self) -> Mapping[str, list[nn.Parameter]]:
        """The text encoder and decoder; other modules of the translator stay out of this stage."""
        return {"main": trainable(text_mode_parameters(self.translator))}

    def forward(self, batch: Batch, turn: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Cross-entropy of the translation and, by its weight, of the source text under the OCR tag."""
        assert batch.source_pieces is not None
        source = self.translator.read(batch.source_pieces, batch.source_pieces != PAD)
        weights = self.config.loss
        text = translation_loss(self.translator, source, batch, weights.label_smoothing)
        loss = batch.share("target") * text
        if not weights.transcription:
            return loss, {}
        copy = transcription_loss(self.translator, source, batch, weights.label_smoothing)
        loss = loss + weights.transcription * batch.share("source") * copy
        return loss, {"text": text.detach(), "transcription": copy.detach()}

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """BLEU of greedy translations by target language; by domain, with chrF and the loss, of a mixture."""
        metrics = {}
        names = [sample.language or group for sample, group in zip(self.validation, self.groups, strict=False)]
        by_domain = any(self.groups)
        for name in dict.fromkeys(names):
            chosen = [sample for sample, own in zip(self.validation, names, strict=True) if own == name]
            hypotheses = self._translate([sample.source for sample in chosen], chosen[0].language)
            references = [sample.target for sample in chosen]
            ending = f"_{name}" if len(set(names)) > 1 else ""
            metrics[f"bleu{ending}"] = bleu(hypotheses, references).value
            if by_domain:
                metrics[f"chrf{ending}"] = chrf(hypotheses, references).value
        if by_domain:
            metrics["validation_loss"] = self._validation_loss()
        return Evaluation(metrics)

    def _translate(self, texts: Sequence[str], language: str) -> list[str]:
        """Greedy translations, literals carried through as placeholders where the vocabulary has them."""
        masked = [literals.mask(text) if self.vocabulary.knows(LITERALS[0]) else (text, []) for text in texts]
        order = sorted(range(len(texts)), key=lambda index: len(masked[index][0]))
        answers = [""] * len(texts)
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            pieces = [self.vocabulary.encode(masked[row][0]) for row in rows]
            target = language or self.config.data.target_language
            written = translate_pieces(self.translator, self.vocabulary, pieces, target).texts
            for row, text in zip(rows, written, strict=True):
                found = masked[row][1]
                answers[row] = literals.restore(literals.repair(text, len(found)), found) if found else text
        return answers

    def _validation_loss(self) -> float:
        """Mean cross-entropy of a piece in nats, without label smoothing, over all validation pairs."""
        matched = [literals.match(sample.source, sample.target) for sample in self.validation]
        encoded = sorted(PairEncoder(self.config, self.vocabulary)(matched), key=lambda pair: pair.order)
        device = next(self.parameters()).device
        total = count = 0.0
        for start in range(0, len(encoded), 64):
            batch = collate(encoded[start : start + 64]).to(device)
            assert batch.source_pieces is not None and batch.target_output is not None
            source = self.translator.read(batch.source_pieces, batch.source_pieces != PAD)
            pieces = float((batch.target_output != PAD).sum())
            total += pieces * float(translation_loss(self.translator, source, batch, 0.0))
            count += pieces
        return total / count


class ReaderStage(Stage):
    """Optional pre-training: read the source page, with the CTC head and the OCR head.

    Where ``page.faces`` names faces, pages are strips of any text in any of them (``data/reading.py``).
    """

    wanted = frozenset({pages.SOURCE_PIXELS, pages.SOURCE_PIECES, pages.SOURCE_CHARACTERS})

    def __init__(
        self,
        config: Config,
        vocabulary: Vocabulary,
        train: Sequence[TextPair] | MixtureSource,
        validation: list[TextPair],
    ):
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
        self.watched: dict[str, list[Strip]] = {}
        if config.page.faces:
            texts = _mixed([pair.source for pair in validation])
            for part, suffix in (("training", ""), ("unseen", "_unseen")):
                for degraded, state in ((False, "clean"), (True, "degraded")):
                    self.watched[f"cer_{state}{suffix}"] = validation_strips(
                        texts, config, vocabulary, part, degraded, config.data.validation_limit
                    )

    def make_dataset(self, train: Sequence[TextPair] | MixtureSource) -> Dataset[Batch]:
        """Strips of any text in any face, where the faces are named; pages of the pairs otherwise."""
        if self.config.page.faces:
            return ReadingDataset(train, self.config, self.vocabulary)
        return super().make_dataset(train)

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

    def _evaluate_strips(self) -> Evaluation:
        """CER, true case, of the strips that are watched, and how often the nearest family is told."""
        metrics: dict[str, float] = {}
        known: list[bool] = []
        device = next(self.parameters()).device
        for name, strips in self.watched.items():
            read: list[str] = []
            for start in range(0, len(strips), 32):
                batch = collate_strips(strips[start : start + 32], self.vocabulary, True).to(device)
                assert batch.source_pixels is not None and batch.families is not None
                source = self.translator.see(batch.source_pixels)
                read += read_ctc(self.translator.ctc_logits(source), self.vocabulary)
                if self.translator.family_head is not None:
                    right = self.translator.family_logits(source).argmax(1) == batch.families
                    known += right[batch.families >= 0].tolist()
            metrics[name] = cer(read, [strip.text for strip in strips], lower_case=False).value
        if known:
            metrics["family_accuracy"] = sum(known) / len(known)
        return Evaluation(metrics)


def _mixed(texts: Sequence[str]) -> list[str]:
    """Texts in an order that takes no corpus first; the same in every run."""
    return [texts[index] for index in np.random.default_rng(0).permutation(len(texts))]


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

    def forward(self, batch: Batch, turn: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Cross-entropy of the image tokens."""
        assert batch.target_pixels is not None and batch.target_characters is not None
        with torch.no_grad():
            ids = self.image_tokenizer.encode_to_ids(batch.target_pixels)
        mask = drawing_mask(batch.target_characters)
        logits = self.teacher(ids, batch.target_characters, mask, batch.source_pixels, batch.families)
        loss = losses.image_cross_entropy(logits, ids, self.config.loss.image_smoothing)
        return loss, {"accuracy": (logits.argmax(-1) == ids).float().mean()}

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """CER and BLEU of OCR on pictures drawn from gold text."""
        pictures: list[Tensor] = []
        sheet = None
        for batch in self.validation_batches(most=PICTURES):
            assert batch.target_pixels is not None and batch.target_characters is not None
            mask = drawing_mask(batch.target_characters)
            states = self.teacher.states(batch.target_characters, mask, batch.source_pixels, batch.families)
            ids, _ = generate_image(self.teacher.decoder, states, mask)
            drawn = self.image_tokenizer.decode_from_ids(ids)
            pictures += drawn
            if sheet is None:
                sheet = contact_sheet([batch.target_pixels[:SHEET_PAGES], drawn[:SHEET_PAGES]])
        texts = [sample.target for sample in self.validation]
        return Evaluation({"cer": picture_error_rate(pictures, texts)}, sheet)


def text_mode_parameters(translator: TranslatotronV) -> list[nn.Parameter]:
    """The text encoder's and decoder's parameters that text mode passes through."""
    encoder = [
        parameter
        for name, parameter in translator.text_encoder.named_parameters()
        if not name.startswith(TextEncoder.IMAGE_MODE_ONLY)
    ]
    return [*encoder, *translator.text_decoder.parameters()]


STAGES: dict[str, type[Stage]] = {
    "tokenizer": TokenizerStage,
    "reader": ReaderStage,
    "text": TextStage,
    "teacher": TeacherStage,
    "translator": TranslatorStage,
}
