"""A translator without weights: it draws what it is given, mirrored, and says what it saw."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from translatotron_v.config import Config
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.pipeline import Translator


class FakeGenerate:
    """Stands in for `generate`; remembers its calls."""

    def __init__(self, text_score: float = -0.1, image_score: float = -0.1) -> None:
        self.calls: list[tuple[tuple[int, ...], GenerationConfig]] = []
        self.text_score, self.image_score = text_score, image_score

    def __call__(
        self, model: object, vocabulary: object, pixels: np.ndarray, generation: GenerationConfig
    ) -> SimpleNamespace:
        self.calls.append((tuple(pixels.shape), generation))
        ink = [round(float((1 - page).sum())) for page in pixels]
        return SimpleNamespace(
            texts=[f"ink {amount}" for amount in ink],
            sources=[f"tinte {amount}" for amount in ink],
            pixels=1 - pixels,
            text_scores=[self.text_score] * len(pixels),
            image_scores=[self.image_score] * len(pixels),
        )


def fake_translator(generate: FakeGenerate | None = None, channels: int = 1) -> Translator:
    """A `Translator` around `FakeGenerate` with the canvas of the shipped model."""
    config = Config()
    config.model.canvas.channels = channels
    loaded = LoadedTranslator(SimpleNamespace(array=lambda pixels: pixels), None, config, Path())  # type: ignore[arg-type]
    return Translator(loaded, generate=generate or FakeGenerate())  # type: ignore[arg-type]
