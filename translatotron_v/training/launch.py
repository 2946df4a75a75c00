"""The processes of a run: one, or the ranks that ``torchrun`` or ``accelerate launch`` has started."""

import os
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin

from translatotron_v import ranks
from translatotron_v.config import TrainerConfig
from translatotron_v.errors import UserError

# How long a rank waits for the others. The first reads corpora and fills caches before the others go on.
PATIENCE = timedelta(hours=4)

Kind = TypeVar("Kind", DistributedDataParallelKwargs, GradientAccumulationPlugin)


class TrainingError(UserError):
    """A run that cannot go on."""


def join_ranks(config: TrainerConfig) -> PartialState:
    """Meet the other ranks, where there are some; accelerate keeps the answer for the life of the process.

    Raises:
        TrainingError: a device that is not there, or ranks that cannot share the micro-batch; the first says so, and
            the others end without a word.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("trainer.device=cuda, but there is no CUDA device: use trainer.device=cpu")
    # Before they meet, by what the launcher has told each: who ends while another is still connecting is a lost rank.
    problem = split_problem(config.batch_size, int(os.environ.get("WORLD_SIZE", 1)))
    if problem:
        if os.environ.get("RANK", "0") != "0":
            raise SystemExit(2)
        raise TrainingError(problem)
    return PartialState(cpu=config.device == "cpu" or not torch.cuda.is_available(), timeout=PATIENCE)


def make_accelerator(config: TrainerConfig) -> Accelerator:
    """accelerate keeps its settings in globals; a second run in the same process starts from fresh ones."""
    if AcceleratorState._shared_state:
        GradientState._reset_state()
        AcceleratorState._reset_state(ranks.count() == 1)  # the ranks stay together
    processes = join_ranks(config)
    return Accelerator(
        cpu=processes.device.type == "cpu",
        mixed_precision="bf16" if config.precision == "bf16" else "no",
        gradient_accumulation_plugin=_telling(GradientAccumulationPlugin, num_steps=config.accumulate),
        # Of several ranks: a name, or an early part of a curriculum, leaves parameters without gradient.
        kwargs_handlers=[_telling(DistributedDataParallelKwargs, find_unused_parameters=True)],
    )


def _telling(kind: type[Kind], **settings: Any) -> Kind:
    """One of accelerate's collections of settings that tells these itself when it is asked what is set.

    Its own way is to compare them with the defaults in an emptied environment, which it fills again afterwards. A
    thread that looks something up meanwhile, such as one that writes the log, ends the process: in C nothing may be
    looked up while the environment changes.
    """
    made = kind(**settings)
    vars(made)["to_kwargs"] = lambda: dict(settings)
    return made


def split_problem(batch_size: int, count: int) -> str:
    """Why a micro-batch cannot be dealt out evenly; empty where it can."""
    if batch_size % count == 0:
        return ""
    fitting = [size for size in (batch_size - batch_size % count, batch_size + count - batch_size % count) if size]
    return (
        f"trainer.batch_size={batch_size} is that of all ranks together, and {count} cannot share it evenly: set it to "
        f"{' or '.join(map(str, fitting))}, or start another number of ranks"
    )
