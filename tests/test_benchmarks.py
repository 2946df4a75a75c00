"""The parts of the benchmarks that compute: counting, interpolation, what a table says. No test measures time."""

import json

import pytest
from torch import nn

from benchmarks import counting, growth, machine
from benchmarks.counting import Work
from benchmarks.models import random_translator
from benchmarks.results import Measure, Settings, as_json, read_measures, table
from translatotron_v.config import ImageDecoderConfig, TransformerConfig
from translatotron_v.data.vocabulary import EOS
from translatotron_v.inference.generate import generate_text
from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.text_decoder import TextDecoder


def test_matrices_are_counted_once_and_vectors_not_at_all():
    shared = nn.Linear(3, 5)
    module = nn.Sequential(shared, nn.LayerNorm(5), nn.Linear(5, 3, bias=False), shared, nn.Embedding(7, 3))
    assert counting.matrix_elements(module) == 15 + 15
    assert counting.matrix_elements(nn.Conv2d(2, 4, 3)) == 72


def test_one_pass_of_an_encoder():
    work = counting.layer_stack(nn.Linear(4, 4), states=10, width=4, layers=2, batch=3, weight_bytes=4)
    assert work.bytes == 64
    # 2 x 16 FLOPs a state; scores and weighted sums of 10 x 10 pairs, 4 wide, 2 x 2 x 4 x 100 a layer
    assert work.flops == 3 * (320 + 2 * 1600)


def test_steps_of_a_text_decoder():
    decoder = TextDecoder(TransformerConfig(width=4, layers=1, heads=2, feed_forward=8), 6, memory_width=3)
    work = counting.decoding(decoder, steps=2, batch=5, memories={"cross": 7}, weight_bytes=2)
    # self-attention 16 + 32 + 16, cross-attention 16 + 16, feed-forward 32 + 32, output table 24; projection 3 x 8
    each = 64 + 32 + 64 + 24
    # one and two positions of itself, twice seven of the memory; 2 x 4 numbers of 4 bytes each
    assert work.bytes == 2 * each * 2 + 24 * 2 + 5 * 8 * 4 * (3 + 14)
    assert work.flops == 5 * (2 * each * 2 + 2 * 24 * 7 + 4 * 4 * (3 + 14))


def test_an_image_decoder_shares_its_gate_and_its_keys():
    config = ImageDecoderConfig(width=4, layers=2, heads=2, kv_heads=1, feed_forward=4)
    decoder = ImageDecoder(config, 8, (1, 2), text_width=4, image_width=4)
    work = counting.decoding(decoder, steps=1, batch=1, memories={"text_cross": 3, "image_cross": 5}, weight_bytes=1)
    # a layer: self-attention 16 + 16 + 16, two cross-attentions of 16 + 16, feed-forward 16 + 16; projections 16 each
    layers, gate, out, projections = 2 * (48 + 64 + 32), 32, 32, 2 * 16
    assert work.bytes == layers + gate + out + 2 * projections + 2 * 4 * 4 * (1 + 3 + 5)
    flops = 2 * (layers + 2 * gate + out) + 2 * projections * (3 + 5) + 2 * 4 * 4 * (1 + 3 + 5)
    assert work.flops == flops


def test_a_pass_over_all_positions_reads_the_weights_once():
    decoder = TextDecoder(TransformerConfig(width=4, layers=1, heads=2, feed_forward=8), 6, memory_width=3)
    work = counting.teacher_forced(decoder, length=2, batch=5, memories={"cross": 7}, weight_bytes=2)
    assert work.bytes == 2 * (64 + 32 + 64 + 24 + 24)
    assert work.flops == counting.decoding(decoder, 2, 5, {"cross": 7}, 2).flops
    both_ways = counting.teacher_forced(decoder, 2, 5, {"cross": 7}, 2, causal=False)
    assert both_ways.flops == work.flops + 5 * 4 * 4  # the first position also sees the second


def test_the_bound_is_the_slower_of_reading_and_computing_in_each_phase():
    phases = {"reads": Work(bytes=100, flops=1), "computes": Work(bytes=1, flops=60)}
    assert counting.bound(phases, bandwidth=10, rate=20) == pytest.approx(10 + 3)


def test_a_generation_has_all_phases_and_more_pictures_share_the_weights():
    model, _ = random_translator("debug", 5)
    one, four = (counting.generation(model, batch, 5, 5, "fp32") for batch in (1, 4))
    assert list(one) == ["see", "text", "drawing states", "image tokens", "pixels", "reading"]
    for phase in one:
        assert four[phase].flops == pytest.approx(4 * one[phase].flops)
        assert one[phase].bytes <= four[phase].bytes < 4 * one[phase].bytes
    halved = counting.generation(model, 1, 5, 5, "bf16")
    assert all(halved[phase].bytes < one[phase].bytes for phase in one)
    parallel = counting.generation(model, 1, 5, 5, "fp32", passes=4)
    assert parallel["image tokens"].bytes < one["image tokens"].bytes
    assert parallel["image tokens"].flops > one["image tokens"].flops


def test_steps_between_the_sampled_ones_are_interpolated():
    assert counting.integrate([1, 3, 5], [1.0, 3.0, 3.0], 5) == pytest.approx(1 + 2 + 3 + 3 + 3)
    assert counting.integrate([1], [2.0], 1) == pytest.approx(2.0)


def test_exponents():
    sizes = [64, 256, 1024]
    assert growth.exponent(sizes, [3 * size for size in sizes]) == pytest.approx(1)
    assert growth.exponent(sizes, [size**2 / 7 for size in sizes]) == pytest.approx(2)


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
    lines = table({"generation": measures}).splitlines()
    assert len(lines) == 5
    assert lines[1] == "generation"
    assert lines[2].split() == ["slow", "1,234", "CPU-s", "<=", "25.0", "NO", "12,345", "10.0", "x", "1,022"]
    assert lines[3].strip() == "see 0.1"
    assert lines[4].split() == ["small", "0.012", "GB", "<=", "0.850", "ok"]
    assert "NO" not in table({"generation": measures}, targets=False)
