"""Training steps of the real trainer, timed part by part, without a corpus and without a run that is kept.

The trainer's loop is not run: evaluations and checkpoints are no part of a step.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop, sdpa_flop

from benchmarks.process import clock
from data_synth.grammar import grammar_pairs
from translatotron_v.config import Config
from translatotron_v.data.pages import fitting
from translatotron_v.data.pairs import TextPair, fold
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.training.stages import stage_class
from translatotron_v.training.stages.base import Stage
from translatotron_v.training.trainer import Trainer

RATE = 1e-4  # learning rate; small, so that a step changes nothing about the next one's cost


def flop_counter() -> FlopCounterMode:
    """Counts FLOPs within; by itself torch's counter passes over the fused attention of CPUs."""
    name = "_scaled_dot_product_flash_attention_for_cpu"
    formulas = {
        getattr(torch.ops.aten, name): sdpa_flop,
        getattr(torch.ops.aten, f"{name}_backward"): sdpa_backward_flop,
    }
    for formula in formulas.values():
        formula._get_raw = True  # they take tensors, and need no wrapper that makes shapes of them
    return FlopCounterMode(display=False, custom_mapping=formulas)


@dataclass
class StepTimes:
    """Seconds of one optimizer step: of the optimizers' parts, as "OPTIMIZER PART", and in all."""

    parts: dict[str, float] = field(default_factory=dict)
    total: float = 0.0

    def of_optimizer(self, optimizer: str) -> float:
        """Seconds of one optimizer."""
        return sum(seconds for name, seconds in self.parts.items() if name.startswith(f"{optimizer} "))


def grammar_texts(config: Config, count: int, length: int = 0) -> list[TextPair]:
    """Pairs of the built-in grammar that fit the page.

    Args:
        length: sentences are joined until source and target have this many characters at least; 0: single sentences.
    """
    pairs = iter(grammar_pairs("de", "en", 2 * count * (1 + length // 20), seed=0))
    joined: list[TextPair] = []
    for pair in pairs:
        source, target = pair.source, pair.target
        while min(len(source), len(target)) < length:
            more = next(pairs)
            source, target = f"{source} {more.source}", f"{target} {more.target}"
        joined.append(TextPair(fold(source, config.page), fold(target, config.page)))
        if len(joined) == 2 * count:
            break
    return fitting(joined, config)[:count]


def build_stage(config: Config, pairs: Sequence[TextPair], vocabulary: Vocabulary | None = None) -> Stage:
    """The stage of a config with random weights, over these pairs."""
    if vocabulary is None:
        texts = [text for pair in pairs for text in (pair.source, pair.target)]
        settings = config.model.vocabulary
        vocabulary = Vocabulary.build(texts, settings.subwords, settings.symbols)
    return stage_class(config.stage)(config, vocabulary, list(pairs), list(pairs[:1]))


@contextlib.contextmanager
def trainer_of(stage: Stage, config: Config) -> Iterator[Trainer]:
    """A trainer that is ready for its first step, in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(stage, config.trainer, Path(folder) / "run")
        trainer._set_up()
        trainer._train_mode()
        try:
            yield trainer
        finally:
            trainer.reporter.close()
            trainer.clock.stop()


def one_step(trainer: Trainer, batches: Sequence[Any], device: str = "cpu") -> StepTimes:
    """One optimizer step on these micro-batches, with the times of its parts."""
    now = clock(device)
    times = StepTimes()
    optimizer = ""

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            nonlocal optimizer
            if part == "forward":
                optimizer = given[1]
            started = now()
            result = function(*given, **options)
            name = f"{optimizer} {part}"
            times.parts[name] = times.parts.get(name, 0.0) + now() - started
            return result

        return call

    with contextlib.ExitStack() as stack:
        for owner, name, part in [
            (trainer, "model", "forward"),
            (trainer.accelerator, "backward", "backward"),
            (trainer.accelerator, "clip_grad_norm_", "clip"),
            *((optimizer, "step", "optimizer") for optimizer in trainer.optimizers.values()),
        ]:
            stack.enter_context(mock.patch.object(owner, name, timed(part, getattr(owner, name))))
        started = now()
        trainer._one_step(batches, RATE)
        times.total = now() - started
    return times
