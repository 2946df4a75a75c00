"""What the training loop and a stage know of each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from PIL import Image
from torch import Tensor, nn


@dataclass(frozen=True)
class Evaluation:
    """What a stage says about its model."""

    metrics: dict[str, float]
    sheet: Image.Image | None = None  # sample pictures


@runtime_checkable
class TrainableStage(Protocol):
    """What the trainer needs of a stage, which is an ``nn.Module`` besides."""

    modules_to_save: Mapping[str, nn.Module]  # one safetensors file each, frozen ones included
    # dataset[i] is micro-batch i, a pure function of (seed, i), and has ``.to(device)``; where there are several ranks,
    # dataset.part(i, r, R) is every R-th of its pages from number r on
    dataset: Any

    def optimized(self) -> Mapping[str, list[nn.Parameter]]:
        """Optimizer name -> its parameters; within a step they take turns in this order."""

    def counts(self, batch: Any) -> Mapping[str, float]:
        """How much of what its losses average over a micro-batch holds, under the same names for every batch.

        Where a step has several, of one rank or of all, each is told its ``shares`` before ``forward``: what it holds
        of each name, in even parts of the step. A stage that multiplies its means by them gets the mean over all of the
        step.
        """

    def forward(self, batch: Any, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss that an optimizer, named, takes a step on, and what to report."""

    def after_step(self, step: int) -> None:
        """Called when all turns of a step are done."""

    def blocks(self) -> Sequence[nn.Module]:
        """What is gathered by itself where ranks share out the parameters; see ``sharding.shard``."""

    def evaluate(self, step: int) -> Evaluation:
        """Score the model; ranks share the work, and what the first returns counts."""

    def extra_files(self) -> Mapping[str, str]:
        """Text files that make a checkpoint complete, by name."""
