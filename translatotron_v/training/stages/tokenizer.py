"""Stage 1, the image tokenizer: pages to discrete tokens and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from translatotron_v import ranks
from translatotron_v.config import Config
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.models.discriminator import PatchDiscriminator, PerceptualDistance
from translatotron_v.models.image_tokenizer import ImageTokenizer, make_tokenizer
from translatotron_v.training import losses
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.sheets import PICTURES, SHEET_PAGES, contact_sheet, picture_error_rate
from translatotron_v.training.stages.base import Stage, trainable


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

    def optimized(self) -> Mapping[str, list[nn.Parameter]]:
        """The generator, and the discriminator after it where there is one."""
        generator = trainable(self.image_tokenizer.parameters())
        if self.discriminator is None:
            return {"main": generator}
        return {"generator": generator, "discriminator": trainable(self.discriminator.parameters())}

    def counts(self, batch: Any) -> Mapping[str, float]:
        """How much the pixels weigh, which the error of the reconstruction averages over."""
        return {"ink": float(losses.ink_weight(batch.target_pixels, self.config.loss.ink).double().mean())}

    def _quantises(self, step: int) -> bool:
        return step >= self.config.loss.quantise_from * self.config.trainer.steps

    def _has_adversary(self, step: int) -> bool:
        return self.discriminator is not None and step >= self.config.loss.adversarial_from * self.config.trainer.steps

    def forward(self, batch: Batch, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss of one optimizer and what to report."""
        real = batch.target_pixels
        assert real is not None
        if optimizer == "discriminator":
            return self._discriminate(real, step)
        share = batch.share("ink")
        assert isinstance(self.image_tokenizer, ImageTokenizer)
        weights = self.config.loss
        output = self.image_tokenizer(real, quantise=self._quantises(step))
        reconstruction = share * losses.weighted_reconstruction(
            output.pixels, real, weights.l1, weights.l2, weights.ink
        )
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
            balance = losses.adaptive_weight(reconstruction, fooled, self.image_tokenizer.last_layer, mean=ranks.mean)
            loss = loss + weights.adversarial * balance * fooled
            report["adversarial"] = fooled.detach()
        if output.ids is not None:
            report["codes"] = self.image_tokenizer.used(output.ids).sum().float()
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
        errors: list[list[float]] = []
        sheet = None
        used: set[int] = set()
        pictures: list[list[Tensor]] = []
        for start, batch in self.own_batches():
            assert batch.target_pixels is not None
            ids = self.image_tokenizer.encode_to_ids(batch.target_pixels)
            again = self.image_tokenizer.decode_from_ids(ids)
            errors.append((again - batch.target_pixels).abs().mean((1, 2, 3)).tolist())
            used.update(ids.unique().tolist())
            if start < PICTURES:
                pictures.append(list(again.cpu()))
            if sheet is None:
                sheet = contact_sheet([batch.target_pixels[:SHEET_PAGES], again[:SHEET_PAGES]])
        every_error, every_code, again_all = ranks.joined(errors), ranks.joined([sorted(used)]), ranks.joined(pictures)
        if ranks.number():
            return Evaluation({})
        metrics = {
            "mean_absolute_error": sum(every_error) / len(every_error),
            "codes_used": float(len(set(every_code))),
            "cer": picture_error_rate(again_all[:PICTURES], [sample.target for sample in self.validation]),
        }
        return Evaluation(metrics, sheet)
