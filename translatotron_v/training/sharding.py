"""Fully sharded data parallelism (torch's FSDP2): each rank keeps a part of weights, gradients and optimizer state.

Accelerate starts the ranks; its own wrapping knows GPUs alone, so that what it would call, ``fully_shard``, is called
here. Blocks that a stage names are gathered while they compute and let go of after; what is not in a block is gathered
for the whole of a pass. Checkpoints hold whole tensors, whatever the number of ranks.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(stage: nn.Module, blocks: Iterable[nn.Module]) -> None:
    """Give each rank its part of a stage's parameters, in place.

    Weights travel and are added up in float32. In bfloat16 computes whoever calls ``forward`` within autocast, as
    without sharding: embeddings and norms read float32.

    Args:
        blocks: modules of the stage that are called as such, and nothing of them otherwise, within ``forward``.
    """
    device = next(stage.parameters()).device.type
    mesh = init_device_mesh(device, (dist.get_world_size(),))  # not of whatever accelerator the machine has
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(stage, mesh=mesh)
    # The first module that is called is taken for the root; a run that begins with an evaluation calls a block first.
    root: Any = stage
    root._get_fsdp_state()._lazy_init()


@contextlib.contextmanager
def gathered(stage: nn.Module) -> Iterator[None]:
    """Whole parameters in every module within, for what is called beside ``forward``; they must not be changed."""
    parts = [module for module in stage.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not stage)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; of one that is shared out, what the ranks hold together, which all of them must ask for."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_tensors(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The same of the tensors of a mapping."""
    return {name: whole(value) if isinstance(value, Tensor) else value for name, value in tensors.items()}


def like(value: Tensor, tensor: Tensor) -> Tensor:
    """A whole tensor, shared out as another of its shape is."""
    if not isinstance(tensor, DTensor) or isinstance(value, DTensor) or value.shape != tensor.shape:
        return value
    return distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
