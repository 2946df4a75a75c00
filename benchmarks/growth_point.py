"""One point of ``growth``: ``python -m benchmarks.growth_point POINT SETTINGS`` prints what it measured as JSON."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch
from torch import Tensor

from benchmarks.counting import integrate
from benchmarks.models import ROOT, randomise_zeros
from benchmarks.process import Memory, clock
from benchmarks.results import Settings
from translatotron_v.config import load_config
from translatotron_v.inference.drawing import generate_image
from translatotron_v.models.image_decoder import ImageDecoder

GRIDS = {64: (8, 8), 256: (16, 16), 512: (16, 32), 1024: (32, 32)}  # image tokens -> rows and columns
BATCHES = (1, 2, 4, 8)
BATCH_TOKENS = 256  # at which the batch grows
SAMPLED = 5  # uncached steps that are timed, spread over the length
IMAGE_STATES, TEXT_STATES = 1025, 152


@dataclass(frozen=True)
class Point:
    """One generation.

    Attributes:
        seconds: of the whole batch.
        memory: peak in GB above the decoder's weights and the states it reads.
        steps: seconds of each step; empty where the decoder is not stepped through.
        lengths, recomputed: prefixes of some uncached steps, and their seconds; ``uncached`` is the sum of all steps.
    """

    tokens: int
    batch: int
    seconds: float
    memory: float
    steps: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    recomputed: list[float] = field(default_factory=list)
    uncached: float = 0.0


def main(arguments: list[str]) -> int:
    """Measure one point."""
    wanted, settings = json.loads(arguments[0]), Settings(**json.loads(arguments[1]))
    torch.set_num_threads(1)
    print(json.dumps(asdict(measure(wanted["tokens"], wanted["batch"], wanted["uncached"], settings))))
    return 0


@torch.inference_mode()
def measure(tokens: int, batch: int, uncached: bool, settings: Settings) -> Point:
    """Generate once with caches and, where asked, take some steps without."""
    decoder = _decoder(tokens, settings)
    text, image = _states(decoder, batch, settings)
    memory = Memory(settings.device)
    now = clock(settings.device)
    steps: list[float] = []
    plain: Callable[..., Any] = decoder.start

    def start(*given: Any, **options: Any) -> Any:
        step = plain(*given, **options)

        def timed(ids: Tensor | None) -> Tensor:
            started = now()
            logits = step(ids)
            steps.append(now() - started)
            return logits

        return timed if callable(step) else step

    with mock.patch.object(decoder, "start", start):
        started = now()
        ids, _ = generate_image(decoder, text, None, image)
        seconds = now() - started
    peak = memory.above()
    if len(steps) != tokens:
        steps.clear()
    if not uncached:
        return Point(tokens, batch, seconds, peak, steps)
    lengths = torch.linspace(1, tokens, SAMPLED).round().int().tolist()
    recomputed = []
    for length in lengths:
        started = now()
        best = decoder(ids[:, :length], text, None, image)[:, -1].argmax(-1)
        recomputed.append(now() - started)
        assert torch.equal(best, ids[:, length - 1]), f"token {length}: another one is drawn without caches"
    total = integrate(lengths, recomputed, tokens)
    return Point(tokens, batch, seconds, peak, steps, lengths, recomputed, total)


def _decoder(tokens: int, settings: Settings) -> ImageDecoder:
    config = load_config(ROOT / "configs" / ("debug" if settings.quick else "paper") / "model.yaml").model
    torch.manual_seed(1)
    decoder = ImageDecoder(
        config.image_decoder,
        config.tokenizer.codes,
        GRIDS[tokens],
        config.text_decoder.width,
        config.image_encoder.width,
    )
    randomise_zeros(decoder)
    return decoder.to(settings.device).eval()


def _states(decoder: ImageDecoder, batch: int, settings: Settings) -> tuple[Tensor, Tensor]:
    """Random text states (B, C, D) and image states (B, S, M)."""
    layer: Any = decoder.layers[0]
    random = torch.Generator().manual_seed(2)
    text = torch.randn(batch, TEXT_STATES, layer.text_cross.key_value.in_features, generator=random)
    image = torch.randn(batch, IMAGE_STATES, layer.image_cross.key_value.in_features, generator=random)
    return text.to(settings.device), image.to(settings.device)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
