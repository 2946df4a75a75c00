"""The stage of the R-Probe (arXiv 2603.20020): pages drawn again from what a frozen image encoder hands on.

Shapes: B batch, C channels, H and W pixels.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from translatotron_v.checkpoint import load_module, read_info, resolve
from translatotron_v.config import Config
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.metrics.image import psnr, ssim
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.models.probe import ReconstructionProbe
from translatotron_v.ranks import joined
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.sheets import SHEET_PAGES, as_picture, contact_sheet
from translatotron_v.training.stages.base import Stage


class ProbeStage(Stage):
    """Trains a probe on source pages; the image encoder, its skip links included, is frozen.

    ``start.image_encoder`` and ``start.text_decoder`` name the run that is probed.
    """

    wanted = frozenset({pages.SOURCE_PIXELS})
    PROBED = ("image_encoder", "text_decoder")  # what ``start`` names

    def __init__(self, config: Config, vocabulary: Vocabulary, train: list[Any], validation: list[Any]):
        super().__init__(config, vocabulary, train, validation)
        self.image_encoder = ImageEncoder(config.model.image_encoder, config.model.canvas)
        self.probe = ReconstructionProbe(config.model)
        self.modules_to_save = {"probe": self.probe, "image_encoder": self.image_encoder}
        self.freeze("image_encoder", *config.freeze)

    def load_start(self) -> list[str]:
        """Take the image encoder, all of it, and the first layers of the text decoder.

        No vocabulary is asked for: neither holds embeddings. Returns the tensors that are new.

        Raises:
            UserError: one of the two is not named or another one is, a missing checkpoint, or weights of another shape.
        """
        for name in self.config.start:
            if name not in self.PROBED:
                raise UserError(f"start.{name}: the probe takes nothing but {' and '.join(self.PROBED)}")
        found = {name: self._origin(name) for name in self.PROBED}
        folder, name = found["image_encoder"]
        load_module(self.image_encoder, folder, name)
        folder, name = found["text_decoder"]
        for number, layer in enumerate(self.probe.layers):
            load_module(layer, folder, name, prefix=f"layers.{number}.")
        return [f"probe.{key}" for key in self.probe.state_dict() if not key.startswith("layers.")]

    def _origin(self, name: str) -> tuple[Path, str]:
        """The checkpoint that ``start`` names for a module, and the module's name there."""
        origin = self.config.start.get(name, "")
        if not origin:
            raise UserError(f"start.{name}: the probe looks into a trained model: set start.{name}=RUN")
        path, _, other = origin.partition("#")
        folder = resolve(Path(path))
        read_info(folder)
        return folder, other or name

    def forward(self, batch: Batch, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """``pixel_regression`` times the mean squared error of the source pages."""
        assert batch.source_pixels is not None
        with torch.no_grad():
            states = self.image_encoder(batch.source_pixels).final
        error = F.mse_loss(self.probe(states), batch.source_pixels)
        return self.config.loss.pixel_regression * error, {"mse": error.detach()}

    @torch.no_grad()
    def reconstruct(self, pixels: Tensor) -> Tensor:
        """Pages (B, C, H, W) in [0, 1] -> what the probe makes of their tokens, in [0, 1] too."""
        return self.probe(self.image_encoder(pixels).final).float().clamp(0, 1)

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """MSE (pixels in [0, 1]), PSNR (dB) and SSIM of the validation pages, and a sheet of originals and answers."""
        own: list[list[tuple[Tensor, Tensor]]] = []
        for _, batch in self.own_batches():
            assert batch.source_pixels is not None
            own.append(list(zip(batch.source_pixels.cpu(), self.reconstruct(batch.source_pixels).cpu(), strict=True)))
        originals, answers = (list(side) for side in zip(*joined(own), strict=True))
        sheet = contact_sheet([torch.stack(side[:SHEET_PAGES]) for side in (originals, answers)])
        return Evaluation(pixel_scores(originals, answers), sheet)


def pixel_scores(originals: list[Tensor], answers: list[Tensor]) -> dict[str, float]:
    """``mse``, ``psnr`` and ``ssim`` of pages (C, H, W) in [0, 1], means over pages; two of 8-bit pictures."""
    pictures, references = ([as_picture(page) for page in side] for side in (answers, originals))
    return {
        "mse": float(F.mse_loss(torch.stack(answers), torch.stack(originals))),
        "psnr": psnr(pictures, references).value,
        "ssim": ssim(pictures, references).value,
    }
