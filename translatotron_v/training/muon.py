"""Muon (Jordan et al. 2024): the momentum of a matrix, made orthogonal, is the step.

PyTorch's own ``torch.optim.Muon`` orthogonalizes in bfloat16, which CPUs without such units emulate slowly; here the
products are in float32, or in what autocast has made of the step. Tables, norms, biases and everything that is no
matrix of a layer go to AdamW in the same optimizer.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: steep at zero, so that small singular values grow fast


def orthogonalize(matrix: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Singular values of a matrix (M, N) brought near one (0.7 to 1.2), by Newton-Schulz iterations."""
    a, b, c = _QUINTIC
    x = matrix.float()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(AdamW):
    """Muon for the parameter groups with ``muon: True``, AdamW for the others.

    A step is ``lr 0.2 sqrt(max(M, N))`` times the orthogonalized Nesterov momentum, so that its size is about that of
    an AdamW step (Liu et al. 2025). Groups without parameters to orthogonalize behave as ``torch.optim.AdamW``.

    Args:
        groups: parameter groups, as of any optimizer; matrices (M, N) alone may carry ``muon: True``.
        momentum: of Muon.
        defaults: of AdamW.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], momentum: float = 0.95, **defaults: Any):
        super().__init__(groups, **defaults)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of all groups."""
        own = [group for group in self.param_groups if group.get("muon")]
        others = [group for group in self.param_groups if not group.get("muon")]
        for group in own:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._orthogonal_step(parameter, parameter.grad, group["lr"], group["weight_decay"])
        everything = self.param_groups
        self.param_groups = others
        try:
            return super().step(closure) if others else None
        finally:
            self.param_groups = everything

    def _orthogonal_step(self, parameter: Tensor, gradient: Tensor, rate: float, weight_decay: float) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
            state["step"] = torch.tensor(0.0)  # AdamW looks for it in whatever state it loads
        momentum = state["momentum"].lerp_(gradient, 1 - self.momentum)
        update = orthogonalize(gradient.lerp(momentum, self.momentum))
        parameter.mul_(1 - rate * weight_decay)
        parameter.add_(update.to(parameter.dtype), alpha=-rate * 0.2 * max(parameter.shape) ** 0.5)


def muon_groups(root: nn.Module, groups: Iterable[dict[str, Any]], rate: float) -> list[dict[str, Any]]:
    """Split AdamW's groups: weights of linear maps go to Muon with their own learning rate ``rate``.

    Output heads are linear maps too, but their rows are entries of a table: modules named ``out`` or ``head`` whose
    output is no state of the model stay with AdamW (Jordan et al. 2024); so do embeddings and all that is no matrix.
    """
    maps = {
        id(module.weight)
        for name, module in root.named_modules()
        if isinstance(module, nn.Linear) and not name.endswith(("ctc_head.out", "font_head.out", "image_decoder.out"))
    }
    split: list[dict[str, Any]] = []
    for group in groups:
        own = [p for p in group["params"] if id(p) in maps]
        rest = [p for p in group["params"] if id(p) not in maps]
        split += [{**group, "params": own, "muon": True, "peak": rate}] if own else []
        split += [{**group, "params": rest}] if rest else []
    return split


def make_optimizer(
    kind: str, root: nn.Module, groups: list[dict[str, Any]], rate: float, muon_rate: float, betas: tuple[float, float]
) -> Optimizer:
    """AdamW, or Muon beside it.

    Each group's ``peak`` is the learning rate that a schedule scales, times the group's ``factor`` where it has one.
    """
    if kind == "muon":
        groups = muon_groups(root, groups, muon_rate)
    groups = [{**group, "peak": group.get("peak", rate) * group.get("factor", 1.0)} for group in groups]
    maker = Muon if kind == "muon" else AdamW
    return maker(groups, lr=rate, betas=betas, fused=True)
