"""The parts of the benchmarks that compute: random models, what a table says. No test measures time."""

import json

import pytest
import torch
from torch import nn

from benchmarks import machine
from benchmarks.models import random_translator
from benchmarks.plan import Sizes, kept_for_the_way_back
from benchmarks.results import Measure, Settings, as_json, read_measures, table
from benchmarks.steps import flop_counter
from translatotron_v.data.vocabulary import EOS
from translatotron_v.decoding.text import generate_text


def test_a_random_translator_writes_to_the_end():
    model, vocabulary = random_translator("debug", 5)
    assert not model.text_decoder.embedding.weight[EOS].any()
    memory = nn.init.normal_(nn.Parameter(model.image_decoder.start_vector.new_zeros(2, 3, 96))).detach()
    written = generate_text(model.text_decoder, vocabulary, memory, None, "translate", "en")
    assert [len(ids) for ids in written.ids] == [5, 5]


def test_targets_and_ratios():
    fast = Measure("a picture", 5.0, "CPU-s", target=25.0, uncached=100.0)
    assert (fast.met, fast.ratio) == (True, 20.0)
    assert Measure("a share", 70.0, "%", target=80.0, at_least=True).met is False
    assert Measure("a rate", 1.0, "GB/s").met is None


def test_measures_survive_the_way_between_processes():
    measures = [Measure("a", 1.5, "s", target=2.0, note="n", details={"parts": {"see": 1.0}}), Measure("b", 0.0, "")]
    assert read_measures(json.dumps(as_json(measures))) == measures
    rates = [Measure("read bandwidth", 20.0, "GB/s", details={"key": "bandwidth"})]
    assert machine.rates(rates) == {"bandwidth": 20e9}
    assert Settings(rates=machine.rates(rates)).rates["bandwidth"] == 20e9


def test_the_table_is_one_line_a_measure_and_one_a_note():
    measures = [
        Measure("slow", 1234.5, "CPU-s", target=25.0, uncached=12345.0, reference="1,022", note="see 0.1"),
        Measure("small", 0.0123, "GB", target=0.85),
    ]
    lines = [line.replace("|", " ").split() for line in table({"generation": measures}).splitlines()]
    assert lines[0] == ["generation"] and len(lines) == 8
    assert lines[4] == ["slow", "1,234", "CPU-s", "<=", "25.0", "NO", "12,345", "10.0", "x", "1,022"]
    assert lines[5] == ["small", "0.012", "GB", "<=", "0.850", "ok"]
    assert lines[7] == ["-", "slow:", "see", "0.1"]
    assert "NO" not in table({"generation": measures}, targets=False)


def test_memory_by_gpus():
    """Weights, gradients, two moments and an average; DDP's buckets; what is gathered where it is shared out."""
    sizes = Sizes(100, 40, 60, 10, True, inner=900, outer=500, inputs=30, deepest=300)
    assert sizes.state(1, False) == pytest.approx(4 * (5 * 100 + 40) / 1e9)
    assert sizes.state(8, False) == sizes.state(64, False) == pytest.approx(4 * (6 * 100 + 40) / 1e9)
    assert sizes.state(8, True) == pytest.approx(4 * ((5 * 100 + 40) / 8 + 2 * 80 + 3 * 10) / 1e9)
    assert sizes.activations(False) == 1400e-9 and sizes.activations(True) == 830e-9


def test_what_autograd_keeps_is_counted_once():
    class Sees(nn.Module):
        def __init__(self):
            super().__init__()
            self.vit = nn.Module()
            self.vit.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU()) for _ in range(2)])

        def forward(self, x):
            for block in self.vit.blocks:
                x = block(x)
            return x

    stage = nn.Sequential(Sees(), nn.Linear(4, 4, bias=False))
    page = torch.rand(3, 4, requires_grad=True)  # 48 bytes
    with kept_for_the_way_back(stage) as kept:
        stage(page).square().sum().backward()
    # First block: its input and what ReLU gives, which is the next one's input. Second: what its ReLU gives.
    assert kept == {"inner": 3 * 48, "outer": 48, "inputs": 2 * 48, "deepest": 2 * 48}


def test_fused_attention_is_counted():
    """Two products of matrices forward, five back."""
    heads = [torch.rand(1, 2, 8, 4, requires_grad=True) for _ in range(3)]
    with flop_counter() as counter:
        nn.functional.scaled_dot_product_attention(*heads).sum().backward()
    assert counter.get_total_flops() == (2 + 5) * 2 * (2 * 8 * 8 * 4)
