"""The optional stage of text mode: source pieces to target pieces, from pairs or from a mixture of corpora."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from translatotron_v import ranks
from translatotron_v.config import Config
from translatotron_v.data import literals, pages
from translatotron_v.data.pages import Batch
from translatotron_v.data.pairs import TextPair
from translatotron_v.data.parts import SharedBatches
from translatotron_v.data.text_batches import DomainPair, MixtureSource, MixtureText, PairEncoder, collate
from translatotron_v.data.vocabulary import PAD, Vocabulary
from translatotron_v.decoding.text import answer_texts
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.metrics.text import bleu, chrf
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.stages.base import Stage, Training, trainable
from translatotron_v.training.stages.objectives import (
    text_mode_parameters,
    transcription_loss,
    translation_loss,
)


class TextStage(Stage):
    """Optional pre-training: text mode, source pieces to target pieces, from pairs or from a mixture of corpora."""

    wanted = frozenset({pages.SOURCE_PIECES, pages.TARGET_PIECES})

    def __init__(self, config: Config, vocabulary: Vocabulary, train: Training, validation: list[TextPair]):
        super().__init__(config, vocabulary, train, validation)
        self.translator = self.make_translator("text_encoder", "text_decoder")
        if isinstance(train, MixtureSource):  # its validation pairs are chosen by domain already
            self.validation = pages.plain_samples(validation, config)
        self.groups = [pair.domain if isinstance(pair, DomainPair) else "" for pair in validation]

    def make_dataset(self, train: Training) -> SharedBatches[Batch]:
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
        loss = text = batch.share("target") * text
        if not weights.transcription:
            return loss, {}
        copy = batch.share("source") * transcription_loss(self.translator, source, batch, weights.label_smoothing)
        loss = loss + weights.transcription * copy
        return loss, {"text": text.detach(), "transcription": copy.detach()}

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """BLEU by target language of what text mode answers; of a mixture by domain, with chrF and the loss."""
        metrics = {}
        names = [sample.language or group for sample, group in zip(self.validation, self.groups, strict=False)]
        by_domain = any(self.groups)
        for name in dict.fromkeys(names):
            chosen = [sample for sample, own in zip(self.validation, names, strict=True) if own == name]
            target = chosen[0].language or self.config.data.target_language
            generation = GenerationConfig(self.config.data.source_language, target)
            sources = [sample.source for sample in chosen][ranks.number() :: ranks.count()]
            answers = answer_texts(self.translator, self.vocabulary, sources, generation) if sources else []
            hypotheses = ranks.joined([[answer.text] for answer in answers])
            references = [sample.target for sample in chosen]
            ending = f"_{name}" if len(set(names)) > 1 else ""
            metrics[f"bleu{ending}"] = bleu(hypotheses, references).value
            if by_domain:
                metrics[f"chrf{ending}"] = chrf(hypotheses, references).value
        if by_domain:
            metrics["validation_loss"] = self._validation_loss()
        return Evaluation(metrics)

    def _validation_loss(self) -> float:
        """Mean cross-entropy of a piece in nats, without label smoothing, over all validation pairs."""
        matched = [literals.match(sample.source, sample.target) for sample in self.validation]
        encoded = sorted(PairEncoder(self.config, self.vocabulary)(matched), key=lambda pair: pair.order)
        device = next(self.parameters()).device
        total = count = 0.0
        for start in range(64 * ranks.number(), len(encoded), 64 * ranks.count()):
            batch = collate(encoded[start : start + 64]).to(device)
            assert batch.source_pieces is not None and batch.target_output is not None
            source = self.translator.encode_text(batch.source_pieces, batch.source_pieces != PAD)
            pieces = float((batch.target_output != PAD).sum())
            total += pieces * float(translation_loss(self.translator, source, batch, 0.0))
            count += pieces
        total, count = ranks.add_up(torch.tensor([total, count], dtype=torch.float64, device=device)).tolist()
        return total / count
