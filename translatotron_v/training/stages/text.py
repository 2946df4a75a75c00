"""The optional stage of text mode: source pieces to target pieces, from pairs or from a mixture of corpora."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from translatotron_v.config import Config
from translatotron_v.data import literals, pages
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.pages import Batch
from translatotron_v.data.pairs import TextPair
from translatotron_v.data.text_batches import DomainPair, MixtureSource, MixtureText, PairEncoder, collate
from translatotron_v.data.vocabulary import PAD, Vocabulary
from translatotron_v.decoding.text import translate_pieces
from translatotron_v.metrics.text import bleu, chrf
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training.stages.base import Stage, trainable
from translatotron_v.training.stages.objectives import (
    text_mode_parameters,
    transcription_loss,
    translation_loss,
)
from translatotron_v.training.trainer import Evaluation


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

    def optimized(self) -> Mapping[str, list[nn.Parameter]]:
        """The text encoder and decoder; other modules of the translator stay out of this stage."""
        return {"main": trainable(text_mode_parameters(self.translator))}

    def forward(self, batch: Batch, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Cross-entropy of the translation and, by its weight, of the source text under the OCR tag."""
        assert batch.source_pieces is not None
        source = self.translator.encode_text(batch.source_pieces, batch.source_pieces != PAD)
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
            source = self.translator.encode_text(batch.source_pieces, batch.source_pieces != PAD)
            pieces = float((batch.target_output != PAD).sum())
            total += pieces * float(translation_loss(self.translator, source, batch, 0.0))
            count += pieces
        return total / count
