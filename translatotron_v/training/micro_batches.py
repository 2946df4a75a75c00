"""The micro-batches of a run: read in order, dealt out to the ranks, and told how much of their step they are."""

from collections.abc import Generator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from translatotron_v import ranks
from translatotron_v.config import TrainerConfig
from translatotron_v.training.protocol import TrainableStage
from translatotron_v.training.signals import leave_signals_to_parent


class MicroBatches:
    """Those of a stage; of several ranks each takes its part of every one.

    Args:
        stage: whose dataset it is, and who counts.
        config: the loop's settings.
        device: where they go.
        rank, count: which of how many processes this is.
    """

    def __init__(
        self, stage: TrainableStage, config: TrainerConfig, device: torch.device, rank: int, count: int
    ) -> None:
        self.stage, self.config, self.device, self.rank, self.count = stage, config, device, rank, count

    def steps(self, first: int) -> Generator[list[Any], None, None]:
        """The micro-batches of each step, from a step on."""
        config, dataset = self.config, self.stage.dataset
        loader = DataLoader(
            dataset if self.count == 1 else _Part(dataset, self.rank, self.count),
            batch_size=None,
            sampler=range(first * config.accumulate, config.steps * config.accumulate),
            num_workers=config.workers,
            collate_fn=_as_is,
            worker_init_fn=leave_signals_to_parent,
            pin_memory=False,
        )
        micro_batches = iter(loader)
        while True:
            yield self.weighed([next(micro_batches).to(self.device) for _ in range(config.accumulate)])

    def weighed(self, batches: list[Any]) -> list[Any]:
        """Tell the micro-batches of a step, over all processes, their shares of what the step's losses average over."""
        parts = len(batches) * self.count
        if parts == 1:
            return batches
        counts = [self.stage.counts(batch) for batch in batches]
        own = [sum(count[name] for count in counts) for name in counts[0]]
        totals = ranks.add_up(torch.tensor(own, dtype=torch.float64, device=self.device)).tolist()
        for name, total in zip(counts[0], totals, strict=True):
            if total:
                for batch, count in zip(batches, counts, strict=True):
                    batch.shares = (batch.shares or {}) | {name: count[name] * parts / total}
        return batches


class _Part(Dataset[Any]):
    """What one rank of several sees of a stage's micro-batches."""

    def __init__(self, dataset: Any, rank: int, count: int) -> None:
        self.dataset, self.rank, self.count = dataset, rank, count

    def __getitem__(self, index: int) -> Any:
        return self.dataset.part(index, self.rank, self.count)


def _as_is(batch: Any) -> Any:
    return batch
