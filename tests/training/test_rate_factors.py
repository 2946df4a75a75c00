"""Learning rates of single modules: AdamW's and Muon's, what no factor is named for, and names that are no module's."""

import pytest
import torch
from torch import nn

from tests.small import small
from translatotron_v.config import ConfigError
from translatotron_v.training.launch import TrainingError
from translatotron_v.training.muon import make_optimizer
from translatotron_v.training.state import parameter_groups


class Three(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.slow, self.usual, self.fast = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_steps_are_as_long_as_their_factors_say(kind: str):
    """The same gradient everywhere: a module's step is its factor times that of one without."""
    model = Three()
    factors = {"slow": 0.1, "fast": 2.0}
    modules = dict(model.named_children())
    groups = parameter_groups(model, list(model.parameters()), 0.0, factors, modules)
    assert sum(len(group["params"]) for group in groups) == 6
    optimizer = make_optimizer(kind, model, groups, 1e-2, 4e-2, (0.9, 0.98))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"]  # as the loop does
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    gradient = torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
    for parameter in model.parameters():
        parameter.grad = gradient[: parameter.shape[0]].clone() if parameter.ndim == 2 else gradient[0].clone()
    optimizer.step()
    moved = {name: parameter.detach() - before[name] for name, parameter in model.named_parameters()}
    for part in ("weight", "bias"):
        assert moved[f"usual.{part}"].abs().max() > 1e-3
        for name, factor in factors.items():
            torch.testing.assert_close(moved[f"{name}.{part}"], factor * moved[f"usual.{part}"], rtol=1e-3, atol=1e-6)


def test_without_factors_there_are_two_groups_as_ever():
    model = Three()
    decayed, rest = parameter_groups(model, list(model.parameters()), 0.1)
    assert [p.ndim for p in decayed["params"]] == [2] * 3 and [p.ndim for p in rest["params"]] == [1] * 3
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)


def test_a_factor_of_no_module_is_refused():
    model = Three()
    with pytest.raises(
        TrainingError, match=r"rate_factors: this stage has no module 'slowly'; it has slow, usual, fast"
    ):
        parameter_groups(model, [], 0.0, {"slowly": 0.1}, dict(model.named_children()))
    with pytest.raises(ConfigError, match=r"trainer\.rate_factors has an entry that"):
        small("trainer.rate_factors.image_encoder=0")
