"""Micro-batches that ranks share: what a data set of training must be able to do."""

from typing import TypeVar

from torch.utils.data import Dataset

B = TypeVar("B")


class SharedBatches(Dataset[B]):
    """Micro-batches by number, without end, each a pure function of the seed and its number."""

    def __getitem__(self, index: int) -> B:
        return self.part(index)

    def part(self, index: int, rank: int = 0, ranks: int = 1) -> B:
        """Every R-th page of micro-batch ``index``, from number ``rank`` on; what others have is not rendered."""
        raise NotImplementedError
