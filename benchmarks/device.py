"""On a GPU: pictures a second, and training pages a second with the share of the matrix rate (MFU); the paper's size.

Synchronised wall-clock seconds, bf16, batches of 1, 16 and 64; the first run of each, which compiles and captures, is
not timed. On a CPU (``--quick`` only) it shows that the code path works.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.generation import CHARACTERS, random_pixels, traced
from benchmarks.models import precision_of, random_translator
from benchmarks.process import Memory, say
from benchmarks.results import Measure, Settings
from benchmarks.steps import one_step, trainer_of
from benchmarks.training import random_stage, step_config

BATCHES = (1, 16, 64)
REPEATS = 3


def cases(settings: Settings) -> list[str]:
    """A process for each batch of each kind."""
    return [f"{kind}, batch {batch}" for kind in ("pictures", "training") for batch in BATCHES]


def run(case: str, settings: Settings) -> list[Measure]:
    """One of the cases; a batch that does not fit the GPU's memory is reported as none at all."""
    kind, batch = case.split(", batch ")
    try:
        return (_pictures if kind == "pictures" else _training)(int(batch), settings)
    except torch.OutOfMemoryError:
        return [Measure(f"{case}: out of memory", 0.0, "")]


def _pictures(batch: int, settings: Settings) -> list[Measure]:
    memory = Memory(settings.device)
    size, characters = ("debug", 20) if settings.quick else ("paper", CHARACTERS)
    model, vocabulary = random_translator(size, characters, settings.device)
    pixels = random_pixels(model, batch, settings.device)
    with precision_of(model, "bf16", settings.device) as ready:
        say(f"pictures, batch {batch}")
        traced(ready, vocabulary, pixels, settings.device)
        traces = [traced(ready, vocabulary, pixels, settings.device) for _ in range(REPEATS)]
    best = min(traces, key=lambda trace: trace.total)
    parts = ", ".join(f"{phase} {seconds:.3f}" for phase, seconds in best.seconds.items())
    tokens = best.tokens.numel() / best.seconds["image tokens"]
    details = {"phases": best.seconds, "tokens_per_second": tokens, "peak_gigabytes": memory.above()}
    name = f"pictures, batch {batch}"
    return [Measure(name, batch / best.total, "pictures/s", note=f"{parts} s; {tokens:,.0f} tokens/s", details=details)]


def _training(batch: int, settings: Settings) -> list[Measure]:
    memory = Memory(settings.device)
    config = step_config("stage 2, bf16", settings)
    config.trainer.batch_size = batch
    stage = random_stage(config)
    with trainer_of(stage, config) as trainer:
        say(f"training, batch {batch}")
        batches = [stage.dataset[0].to(trainer.device)]
        with FlopCounterMode(display=False) as counter:
            one_step(trainer, batches, settings.device)
        one_step(trainer, batches, settings.device)
        steps = [one_step(trainer, batches, settings.device) for _ in range(REPEATS)]
    best = min(steps, key=lambda step: step.total)
    parts = ", ".join(f"{part.removeprefix('main ')} {seconds:.3f}" for part, seconds in best.parts.items())
    details = {"parts": best.parts, "peak_gigabytes": memory.above()}
    name = f"training, batch {batch}"
    measures = [Measure(name, batch / best.total, "pages/s", note=f"{parts} s", details=details)]
    if settings.rates:
        share = 100 * counter.get_total_flops() / best.total / settings.rates["bf16"]
        measures.append(Measure(f"{name}: MFU", share, "%"))
    return measures
