"""The probe's shapes and layers, the arrangement of its patches, and what each patch may look at."""

import pytest
import torch

from translatotron_v.config import ModelConfig, load_config
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.models.probe import ReconstructionProbe, assemble, probe_layers
from translatotron_v.models.text_decoder import TextDecoder

SIZES = (
    "model.canvas.height=32",
    "model.canvas.width=48",
    "model.image_encoder.width=16",
    "model.image_encoder.heads=2",
    "model.image_encoder.layers=2",
    "model.image_encoder.ocr_layer=1",
    "model.image_encoder.patch=[16,8]",
    "model.text_encoder.width=24",
    "model.text_decoder.width=32",
    "model.text_decoder.feed_forward=40",
)


def sizes(*overrides: str) -> ModelConfig:
    return load_config(None, [*SIZES, *overrides]).model


def make(*overrides: str) -> ReconstructionProbe:
    torch.manual_seed(0)
    return ReconstructionProbe(sizes(*overrides)).eval()


@torch.no_grad()
@pytest.mark.parametrize("class_token", ["true", "false"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("text_layers", [0, 1])  # with none the decoder reads the image states themselves
def test_it_turns_the_encoders_states_into_pages(class_token: str, channels: int, text_layers: int):
    config = sizes(
        f"model.image_encoder.class_token={class_token}",
        f"model.canvas.channels={channels}",
        f"model.text_encoder.layers={text_layers}",
    )
    encoder = ImageEncoder(config.image_encoder, config.canvas)
    pages = torch.rand(2, channels, 32, 48)
    assert ReconstructionProbe(config)(encoder(pages).final).shape == pages.shape


@pytest.mark.parametrize(("layers", "expected"), [(1, 1), (2, 1), (4, 1), (7, 1), (8, 2), (12, 3)])
def test_it_has_the_first_quarter_of_the_decoders_layers(layers: int, expected: int):
    config = sizes(f"model.text_decoder.layers={layers}")
    assert probe_layers(config) == len(ReconstructionProbe(config).layers) == expected


@pytest.mark.parametrize("text_layers", [0, 2])
def test_its_layers_bear_the_names_and_shapes_of_the_decoders(text_layers: int):
    config = sizes("model.text_decoder.layers=8", f"model.text_encoder.layers={text_layers}")
    decoder = TextDecoder(config.text_decoder, 30, 24 if text_layers else 16).state_dict()
    own = {k: t.shape for k, t in ReconstructionProbe(config).state_dict().items() if k.startswith("layers.")}
    assert own == {k: t.shape for k, t in decoder.items() if k.startswith(("layers.0.", "layers.1."))}


def cut(pages: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Patches of pages, one by one in reading order."""
    rows, columns = pages.shape[2] // height, pages.shape[3] // width
    patches = [
        pages[:, :, height * r : height * (r + 1), width * k : width * (k + 1)].flatten(1)
        for r in range(rows)
        for k in range(columns)
    ]
    return torch.stack(patches, dim=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_are_put_where_they_were_cut(channels: int):
    pages = torch.rand(2, channels, 32, 48)
    assert torch.equal(assemble(cut(pages, 16, 8), 2, (16, 8)), pages)


@torch.no_grad()
@pytest.mark.parametrize("class_token", [0, 1])
def test_known_pixels_stand_at_their_patch(class_token: int):
    """Where the positions alone decide, each patch is given its own pixels by a map that is solved for."""
    probe = make("model.canvas.channels=3", f"model.image_encoder.class_token={bool(class_token)}")
    pages = torch.rand(1, 3, 32, 48)
    states = 12 + class_token
    for part in probe.layers:
        for name in ("attention", "cross"):
            getattr(part, name).out.weight.zero_()
        part.feed_forward[-1].weight.zero_()  # the layers add nothing to what they are given
    probe.tokens.weight.zero_()
    probe.positions.copy_(torch.eye(states, 32))  # each state is one unit vector
    marks = probe.norm(probe.positions)[class_token:]  # (N, D)
    probe.out.weight.copy_((torch.linalg.pinv(marks) @ (1 - cut(pages, 16, 8)[0])).T)
    torch.testing.assert_close(probe(torch.randn(1, states, 16)), pages, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_patch_sees_all_tokens_by_cross_attention_and_earlier_ones_by_itself():
    probe = make()
    states = torch.randn(1, 12, 16)
    changed = states.clone()
    changed[:, 7] += 1
    moved = (cut(probe(changed) - probe(states), 16, 8).abs().amax(-1)[0] > 1e-6).nonzero().flatten().tolist()
    assert moved == list(range(12))
    for layer in probe.layers:
        layer.cross.out.weight.zero_()
    moved = (cut(probe(changed) - probe(states), 16, 8).abs().amax(-1)[0] > 1e-6).nonzero().flatten().tolist()
    assert moved == list(range(7, 12))


@torch.no_grad()
def test_the_class_token_can_be_read_but_draws_nothing():
    probe = make("model.image_encoder.class_token=true")
    states = torch.randn(1, 13, 16)
    changed = states.clone()
    changed[:, 0] += 1
    assert not torch.allclose(probe(changed), probe(states))
    for layer in probe.layers:
        layer.cross.out.weight.zero_()
        layer.attention.out.weight.zero_()
    torch.testing.assert_close(probe(changed), probe(states))
