"""The baseline that knows no text: the baseline of `models.baselines`, strips of pixels in, strips of pixels out."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from translatotron_v.baselines.weights import open_run
from translatotron_v.checkpoint import load_module
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.strip_reading import batches, pixels_of
from translatotron_v.models.baselines import PixelBaseline
from translatotron_v.page.strips import LINE, LINES, cut_lines, pack


class PixelTranslator:
    """Pixels to pixels, without any text: strips in, strips out (`models.baselines`)."""

    reads: ClassVar[bool] = False

    def __init__(self, model: PixelBaseline, folder: Path) -> None:
        self.model, self.folder = model, folder

    @classmethod
    def from_folder(cls, folder: str | Path, loaded: LoadedTranslator) -> "PixelTranslator":
        """From a run of the stage `pixel_baseline`; a UserError where it is missing or of another size."""
        path, config = open_run(folder, "pixel_baseline", "make pixels", loaded)
        model = PixelBaseline(config.model.pixel_baseline, config.model.canvas)
        load_module(model, path, "pixel_baseline")
        return cls(model.eval().to(loaded.device), path)

    def read(self, pages: Sequence[np.ndarray], states: Sequence[Sequence[BlockState]], batch_size: int) -> None:
        """Nothing is read."""

    @torch.inference_mode()
    def translate(self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig) -> None:
        """See `BlockTranslator.translate`; languages are those of training, and nothing is sampled."""
        asked = [(state, strip) for state in states for strip in pack(state.paragraph.runs)]
        device = next(self.model.parameters()).device
        for batch in batches(asked, batch_size):
            drawn = self.model.generate(torch.from_numpy(pixels_of([strip for _, strip in batch])).to(device))
            for (state, _), ink in zip(batch, 1 - drawn.float().mean(1).cpu().numpy(), strict=True):
                state.paragraph.drawn.append(ink)
                lines = [ink[row * LINE : (row + 1) * LINE] for row in range(LINES)]
                state.paragraph.words += [run.text_alpha for run in cut_lines(lines)]
