"""Averages of the weights: a moving one while training, a mean of checkpoints at the end."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from translatotron_v.checkpoint import load_tensors
from translatotron_v.training.sharding import like

_COUNT = "|count"  # no parameter has such a name


class MovingAverage:
    """Exponential moving average of parameters; its decay d warms up, min(d, (1 + n) / (10 + n)) at update n.

    The warm-up lets short runs forget where they started.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        def update(averages: Sequence[Tensor], current: Sequence[Tensor], count: Tensor) -> None:
            n = float(count)
            torch._foreach_lerp_(list(averages), list(current), 1.0 - min(decay, (1.0 + n) / (10.0 + n)))

        self._live = nn.ParameterList(parameters)
        self._average = AveragedModel(self._live, multi_avg_fn=update)  # type: ignore[arg-type]

    def update(self) -> None:
        """Take in the parameters as they are now; the first call copies them."""
        self._average.update_parameters(self._live)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages stand in the parameters' place within, and the parameters come back after."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def tensors(self, names: Mapping[int, str]) -> dict[str, Tensor]:
        """The averages and their count, to be saved; ``names`` maps ``id(parameter)`` to its name."""
        return {names[id(p)]: average for p, average in self._pairs()} | {_COUNT: self._average.n_averaged}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], names: Mapping[int, str]) -> None:
        """Put back what ``tensors`` has returned."""
        for parameter, average in self._pairs():
            average.copy_(like(tensors[names[id(parameter)]], average))
        self._average.n_averaged.copy_(tensors[_COUNT])

    def _pairs(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        yield from zip(self._live.parameters(), self._average.module.parameters(), strict=True)

    @torch.no_grad()
    def _exchange(self) -> None:
        for parameter, average in self._pairs():
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)


def mean_of_checkpoints(folders: Sequence[Path], name: str) -> dict[str, Tensor]:
    """The mean of a module's floating-point tensors over checkpoints; other tensors are those of the last one."""
    if not folders:
        raise ValueError("nothing to average")
    sums: dict[str, Tensor] = {}
    for folder in folders:
        for key, tensor in load_tensors(folder / f"{name}.safetensors").items():
            if tensor.is_floating_point():
                sums[key] = sums.get(key, torch.zeros((), dtype=torch.float64)) + tensor.double()
            else:
                sums[key] = tensor
    return {key: (t / len(folders)).float() if t.is_floating_point() else t for key, t in sums.items()}
