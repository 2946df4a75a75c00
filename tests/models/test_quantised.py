"""Weights of eight bits: how close they are, what they replace, and what is left of the others."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.small import enliven, small, small_vocabulary
from translatotron_v.decoding.text import generate
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.models.layers import Linear
from translatotron_v.models.quantised import QuantisedLinear, can_quantise, quantise
from translatotron_v.models.translator import TranslatotronV

pytestmark = pytest.mark.skipif(not can_quantise(), reason="no kernels for bytes on this CPU")

VOCABULARY = small_vocabulary()
ASKED = GenerationConfig("de", "en")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


# --- one map ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("kind", [nn.Linear, Linear])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 64), (3, 64), (2, 5, 64), (2, 3, 4, 64)])
def test_a_map_of_bytes_is_close(kind: type[nn.Linear], bias: bool, shape: tuple[int, ...]):
    linear = kind(64, 48, bias=bias)
    x = torch.randn(shape)
    made = QuantisedLinear(linear)(x)
    assert made.shape == (*shape[:-1], 48)
    assert distance(made, linear(x)) < 0.03


@torch.no_grad()
def test_every_output_has_a_scale_of_its_own():
    """Outputs of very different sizes are all close; one whose weights are zero gives its bias."""
    linear = nn.Linear(64, 6)
    linear.weight *= torch.tensor([1e-3, 1e-1, 1.0, 1e2, 1e3, 0.0])[:, None]
    linear.bias.zero_()
    linear.bias[5] = 2.0
    x = torch.randn(50, 64)
    made, expected = QuantisedLinear(linear)(x), linear(x)
    for column in range(5):
        assert distance(made[:, column], expected[:, column]) < 0.03, column
    torch.testing.assert_close(made[:, 5], torch.full((50,), 2.0))


@torch.no_grad()
def test_nothing_but_bytes_is_kept():
    linear = nn.Linear(64, 48)
    quantised = QuantisedLinear(linear)
    before = quantised(torch.ones(1, 64))
    assert not list(quantised.parameters()) and not list(quantised.buffers())
    weight, bias = quantised.packed.unpack()
    assert weight.dtype == torch.qint8 and weight.shape == (48, 64) and weight.int_repr().element_size() == 1
    assert torch.equal(bias, linear.bias)
    linear.weight.zero_()  # nothing is shared with the map it was made from
    assert torch.equal(quantised(torch.ones(1, 64)), before)


# --- a whole model ----------------------------------------------------------------------------------------------------


def translator(*overrides: str) -> TranslatotronV:
    config = small(*overrides)
    model = enliven(TranslatotronV(config.model, len(VOCABULARY), VOCABULARY.character_count), scale=0.15)
    assert isinstance(model, TranslatotronV)
    return model


def linear_maps(model: nn.Module, kind: type[nn.Module] = nn.Linear) -> dict[str, nn.Module]:
    return {name: part for name, part in model.named_modules() if isinstance(part, kind)}


def test_every_linear_map_is_replaced_but_those_of_the_image_tokenizer():
    model = translator()
    before = linear_maps(model)
    tokenizer = {name for name in before if name.startswith("image_tokenizer.")}
    assert tokenizer and len(before) > len(tokenizer)
    kept = {name: tensor.clone() for name, tensor in model.image_tokenizer.state_dict().items()}
    names = {name: parameter.numel() for name, parameter in model.named_parameters()}
    quantise(model)
    assert set(linear_maps(model)) == tokenizer
    assert set(linear_maps(model, QuantisedLinear)) == set(before) - tokenizer
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.image_tokenizer.state_dict().items())
    # Not one weight or bias of the maps is left as a parameter, and nothing else has gone.
    gone = {name for name in names if name.rpartition(".")[0] in set(before) - tokenizer}
    left = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert left == {name: size for name, size in names.items() if name not in gone}
    assert not list(model.image_decoder.layers[0].feed_forward.parameters())


@torch.no_grad()
@pytest.mark.parametrize("overrides", [(), ("model.image_decoder.fusion=sum", "model.image_decoder.kv_heads=4")])
def test_a_translator_of_bytes_says_nearly_the_same(overrides: tuple[str, ...]):
    model = translator(*overrides)
    quantised = copy.deepcopy(model)
    quantise(quantised)
    pixels = torch.rand(3, 1, 16, 128)
    given = {
        "target_input": torch.randint(4, len(VOCABULARY), (3, 5)),
        "target_mask": torch.ones(3, 5, dtype=torch.bool),
        "ocr_input": torch.randint(4, len(VOCABULARY), (3, 4)),
        "image_ids": torch.randint(24, (3, 16)),
        "characters": torch.randint(4, VOCABULARY.character_count, (3, 6)),
        "character_mask": torch.ones(3, 6, dtype=torch.bool),
        "owners": torch.randint(5, (3, 6)),
    }
    wanted, made = (each(each.see(pixels), **given, ctc=True) for each in (model, quantised))
    for name in ("text", "ocr", "ctc", "image"):
        expected, close = getattr(wanted, name), getattr(made, name)
        assert close.isfinite().all() and 0 < distance(close, expected) < 0.1, name


def test_a_translator_of_bytes_generates():
    model = translator()
    quantise(model)
    pixels = torch.rand(3, 1, 16, 128)
    cached, uncached, parallel = (
        generate(model, VOCABULARY, pixels, replace(ASKED, image_steps=steps), cached=cached)
        for cached, steps in ((True, 0), (False, 0), (True, 3))
    )
    for made in (cached, uncached, parallel):
        assert made.image_ids.shape == (3, 16) and made.pixels.shape == pixels.shape
        assert made.pixels.isfinite().all() and len(made.texts) == 3
    again = generate(model, VOCABULARY, pixels, ASKED)
    assert again.texts == cached.texts and torch.equal(again.image_ids, cached.image_ids)
