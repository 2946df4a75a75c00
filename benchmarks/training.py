"""One training step at the paper's size, part by part: stage 2 with its teacher, and the tokenizer with its adversary.

Batch 1, random weights, the real trainer; the first steps, which allocate the optimizer's state, are not timed.
"""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import skipped_bf16
from benchmarks.models import ROOT
from benchmarks.process import Memory, say
from benchmarks.results import Measure, Settings
from benchmarks.steps import StepTimes, build_stage, flop_counter, grammar_texts, one_step, trainer_of
from translatotron_v.config import Config, load_config
from translatotron_v.memory import prepare_to_train
from translatotron_v.models.teacher import TextToImage
from translatotron_v.training.stages.base import Stage
from translatotron_v.training.stages.translator import TranslatorStage

CHARACTERS = 150
CASES = ("stage 2, fp32", "stage 2, bf16", "tokenizer, fp32")
TARGETS = {"stage 2, fp32": 20.0, "stage 2, bf16": 13.0, "tokenizer, fp32": 15.0}  # CPU-s
REFERENCE = {"stage 2, fp32": "28", "tokenizer, fp32": "29"}  # CPU-s
MEMORY_TARGETS = {"stage 2, fp32": 4.5}  # GB above the imports
MEMORY_REFERENCE = {"stage 2, fp32": "7.9 in all", "tokenizer, fp32": "6.2 in all"}


def cases(settings: Settings) -> list[str]:
    """A process for each stage and precision."""
    return list(CASES)


def run(case: str, settings: Settings) -> list[Measure]:
    """Time a step, its memory, and what share of the machine's matrix rate it reaches."""
    if case.endswith("bf16") and (row := skipped_bf16(case, settings)):
        return row
    memory = Memory(settings.device)
    prepare_to_train()  # as train.py does
    config = step_config(case, settings)
    stage = random_stage(config)
    batch = stage.dataset[0]
    with trainer_of(stage, config) as trainer:
        on_device = [batch.to(trainer.device)]
        say(f"{case}: first step")
        for _ in range(2):  # the first one fits the tokenizer's codebook and makes the optimizer's state
            one_step(trainer, on_device, settings.device)
        peak = memory.above(), memory.in_all()  # counting comes after it: that takes memory of its own
        with flop_counter() as counter:
            one_step(trainer, on_device, settings.device)
        say(f"{case}: timed step")
        times = one_step(trainer, on_device, settings.device)
    return _measures(case, times, counter, peak, settings)


def step_config(case: str, settings: Settings) -> Config:
    """The settings of a case, from the files of the paper's size."""
    size = "debug" if settings.quick else "paper"
    stage, precision = case.split(", ")
    overrides = [
        f"trainer.device={settings.device}",
        f"trainer.precision={precision}",
        "trainer.batch_size=1",
        "trainer.accumulate=1",
        "trainer.workers=0",
        "loss.distillation=0",  # the teacher is given later: there is no checkpoint to load one from
    ]
    if settings.quick and stage == "tokenizer":
        overrides += ["loss.perceptual=1", "loss.adversarial=1", "loss.quantise_from=0", "loss.adversarial_from=0"]
    name = "translator" if stage == "stage 2" else "tokenizer"
    config = load_config(ROOT / "configs" / size / f"{name}.yaml", overrides)
    config.start = {}
    return config


def random_stage(config: Config) -> Stage:
    """The stage with random weights; a translator also has a teacher of random weights."""
    torch.manual_seed(1)
    length = CHARACTERS if config.model.canvas.height >= 512 else 0
    stage = build_stage(config, grammar_texts(config, 4, length))
    if isinstance(stage, TranslatorStage):
        config.loss.distillation = 1.0
        stage.teacher = TextToImage(config.model, stage.vocabulary.character_count).requires_grad_(False)
    return stage


def _measures(
    case: str, times: StepTimes, counter: FlopCounterMode, peak: tuple[float, float], settings: Settings
) -> list[Measure]:
    optimizer = "generator" if case.startswith("tokenizer") else "main"
    seconds = times.of_optimizer(optimizer)
    parts = ", ".join(f"{name.removeprefix(f'{optimizer} ')} {taken:.2f}" for name, taken in times.parts.items())
    details: dict[str, Any] = {"parts": times.parts, "whole_step": times.total, "peak_gigabytes": peak[1]}
    flops = float(counter.get_total_flops())
    by_module = {name: sum(each.values()) for name, each in counter.get_flop_counts().items()}
    details["gigaflops"] = {name: count / 1e9 for name, count in by_module.items() if name.count(".") <= 2}
    measures = [
        Measure(
            f"{case}: {'generator step' if optimizer == 'generator' else 'a step'}",
            seconds,
            "CPU-s",
            target=TARGETS[case],
            reference=REFERENCE.get(case, ""),
            note=parts,
            details=details,
        ),
        Measure(
            f"{case}: memory above imports",
            peak[0],
            "GB",
            target=MEMORY_TARGETS.get(case),
            reference=MEMORY_REFERENCE.get(case, ""),
        ),
    ]
    if settings.rates:
        rate = settings.rates["bf16" if case.endswith("bf16") else "fp32"]
        share = 100 * flops / times.total / rate
        note = f"{flops / 1e12:.2f} TFLOP in the whole step of {times.total:.1f} s"
        measures.append(Measure(f"{case}: share of the matrix rate", share, "%", note=note))
    return measures
