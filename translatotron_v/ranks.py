"""What a process asks of the others that train beside it; in a process of its own every answer is its own.

A micro-batch is dealt out page by page: rank r of R has its pages r, r + R, r + 2R and so on.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from translatotron_v.errors import UserError

T = TypeVar("T")
# What backends say when the other end of a connection is gone. They raise RuntimeError, and no class of their own.
_LOST = ("gloo", "nccl", "connection closed by peer", "connection reset", "broken pipe", "socket", "store")


class LostRank(UserError):
    """Another process of the same run has ended."""


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if count() > 1 else 0


def add_up(tensor: Tensor) -> Tensor:
    """The sum over all ranks, in place."""
    if count() > 1:
        dist.all_reduce(tensor)
    return tensor


def mean(tensor: Tensor) -> Tensor:
    """The mean over all ranks of tensors of one shape; no gradient passes."""
    return tensor if count() == 1 else add_up(tensor.detach().clone()) / count()


def summed(tensor: Tensor) -> Tensor:
    """The sum over all ranks of tensors of one shape; gradients come back from all of them."""
    if count() == 1:
        return tensor
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(tensor)


def share(amount: Tensor) -> Tensor | float:
    """How many even parts of what all ranks hold this one holds: what its mean weighs in the mean of all."""
    if count() == 1:
        return 1.0
    return amount * count() / add_up(amount.detach().clone()).clamp(min=1)


def whole(tensor: Tensor) -> Tensor:
    """The parts (B / R, ...) of a micro-batch that the ranks hold as one (B, ...), in its own order."""
    if count() == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(count())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.stack(parts, 1).flatten(0, 1)


def own_part_of_last(pages: int, last: int) -> int:
    """How many of the ``last`` pages of a micro-batch stand among the ``pages`` that this rank has, at their end."""
    first = pages * count() - last - number()  # of those pages, counted in steps of R
    return pages - max(0, -(-first // count()))


def from_first(tensors: Sequence[Tensor]) -> None:
    """Overwrite tensors with those of rank 0."""
    if count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def told_by_first(value: T) -> T:
    """A value that rank 0 alone knows."""
    if count() == 1:
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, 0)
    return box[0]


def joined(parts: Sequence[Sequence[T]]) -> list[T]:
    """Lists that were dealt out in turn (rank r has number r, r + R, ...) as one list in their own order."""
    if count() == 1:
        return [item for part in parts for item in part]
    everyone: list[Any] = [None] * count()
    dist.all_gather_object(everyone, list(parts))
    longest = max(map(len, everyone))
    return [item for turn in range(longest) for parts in everyone if turn < len(parts) for item in parts[turn]]


@contextlib.contextmanager
def one_line_for_a_lost_rank(remedy: str) -> Iterator[None]:
    """Turn what a backend raises where another rank has ended into one line, which ``remedy`` ends.

    Raises:
        LostRank: in its place.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error).lower()
        if count() > 1 and (isinstance(error, dist.DistError) or any(word in text for word in _LOST)):
            raise LostRank(f"another of the {count()} ranks has ended: {remedy}") from error
        raise
