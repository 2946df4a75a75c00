"""Muon: orthogonal steps of the right size, the right parameters, AdamW for all else, and state that resumes."""

import torch
from torch import nn

from translatotron_v.training import state
from translatotron_v.training.muon import Muon, make_optimizer, muon_groups, orthogonalize


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.one, self.two = nn.Linear(6, 10), nn.Linear(10, 3)
        self.norm = nn.LayerNorm(6)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(self.norm(self.embedding(ids))).tanh())


def grouped(model: nn.Module) -> list[dict]:
    return state.parameter_groups(model, list(model.parameters()), 0.01)


def test_singular_values_come_near_one():
    torch.manual_seed(0)
    for shape in ((8, 8), (5, 30), (40, 12)):
        matrix = torch.randn(shape) * 100
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        found = orthogonalize(matrix)
        assert found.dtype == torch.float32 and found.shape == matrix.shape
        values = torch.linalg.svdvals(found)
        assert float(values.min()) > 0.6 and float(values.max()) < 1.3
        # The directions stay: near the closest orthogonal matrix, U V^T.
        assert torch.nn.functional.cosine_similarity(found.flatten(), (left @ right).flatten(), dim=0) > 0.97
    assert not orthogonalize(torch.zeros(3, 4)).any()


def test_products_are_in_the_precision_of_the_step():
    torch.manual_seed(0)
    matrix = torch.randn(12, 40)
    with torch.autocast("cpu", torch.bfloat16):
        found = orthogonalize(matrix)
    assert found.dtype == torch.bfloat16
    values = torch.linalg.svdvals(found.float())
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3
    assert torch.nn.functional.cosine_similarity(found.float().flatten(), orthogonalize(matrix).flatten(), dim=0) > 0.99


def test_matrices_of_layers_alone_go_to_muon():
    model = Model()
    groups = muon_groups(model, grouped(model), 0.5)
    own = {id(p) for group in groups if group.get("muon") for p in group["params"]}
    assert own == {id(model.one.weight), id(model.two.weight)}
    everything = [id(p) for group in groups for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in model.parameters())


def test_a_step_has_the_size_that_is_asked_for():
    layer = nn.Linear(20, 5, bias=False)
    before = layer.weight.detach().clone()
    optimizer = Muon([{"params": [layer.weight], "muon": True, "weight_decay": 0.0}], lr=0.1)
    layer.weight.grad = torch.randn(5, 20) * 1e-4  # its scale does not matter
    optimizer.step()
    step = (layer.weight.detach() - before) / (0.1 * 0.2 * 20**0.5)
    assert float(torch.linalg.svdvals(step).min()) > 0.6 and float(torch.linalg.svdvals(step).max()) < 1.3
    assert float((step * layer.weight.grad).sum()) < 0  # downhill


def test_without_matrices_it_is_adamw():
    torch.manual_seed(1)
    models = [nn.Linear(4, 4) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    groups = [[{"params": list(model.parameters())}] for model in models]
    optimizers = [Muon(groups[0], lr=0.1, weight_decay=0.1), torch.optim.AdamW(groups[1], lr=0.1, weight_decay=0.1)]
    for _ in range(3):
        x = torch.randn(6, 4)
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    assert torch.equal(models[0].weight, models[1].weight) and torch.equal(models[0].bias, models[1].bias)


def test_state_resumes():
    def train(model: Model, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            torch.manual_seed(step)
            optimizer.zero_grad()
            model(torch.randint(7, (8,))).square().sum().backward()
            optimizer.step()

    torch.manual_seed(2)
    whole, half = Model(), Model()
    half.load_state_dict(whole.state_dict())
    options = ("muon", 0.1, 0.05, (0.9, 0.98))
    optimizer = make_optimizer(options[0], whole, grouped(whole), *options[1:])
    train(whole, optimizer, range(6))
    first = make_optimizer(options[0], half, grouped(half), *options[1:])
    train(half, first, range(3))
    again = Model()
    again.load_state_dict(half.state_dict())
    resumed = make_optimizer(options[0], again, grouped(again), *options[1:])
    tensors = state.optimizer_tensors(first, state.parameter_names(half))
    assert any(key.endswith("|momentum") for key in tensors) and any(key.endswith("|exp_avg") for key in tensors)
    state.restore_optimizer(resumed, tensors, state.parameter_names(again))
    train(again, resumed, range(3, 6))
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert {group["peak"] for group in resumed.param_groups} == {0.1, 0.05}
