"""Stepwise decoding of image tokens against the full pass: every batch size, kind of shapes, mask and arithmetic."""

import pytest
import torch

from tests.small import enliven
from translatotron_v.config import ImageDecoderConfig
from translatotron_v.decoding.steps import ImageSteps
from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.layers import FeedForward

S, C, D, M, K = 5, 7, 16, 12, 11
GRID = (2, 4)
N = GRID[0] * GRID[1]
LENGTHS = torch.tensor([C, 3, 1, 5, 2])  # characters of each of up to five pages


def image_decoder(fusion: str = "gated", kv_heads: int = 1) -> ImageDecoder:
    config = ImageDecoderConfig(D, 2, 4, kv_heads, 32, 0.0, fusion)
    decoder = enliven(ImageDecoder(config, K, GRID, text_width=M, image_width=10))
    assert isinstance(decoder, ImageDecoder)
    return decoder


def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids (B, N), text states and image states."""
    torch.manual_seed(2)
    return torch.randint(K, (batch, N)), torch.randn(batch, C, M), torch.randn(batch, S, 10)


def text_mask(batch: int) -> torch.Tensor:
    return torch.arange(C)[None] < LENGTHS[:batch, None]


def all_steps(steps: ImageSteps, ids: torch.Tensor) -> torch.Tensor:
    """Logits (B, N, K) of the tokens, each scored after those before it were handed over."""
    return torch.stack([steps(ids[:, i - 1] if i else None) for i in range(ids.shape[1])], 1)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.float() - other).norm() / other.norm())


@torch.no_grad()
@pytest.mark.parametrize("batch", range(1, 6))
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_every_batch_size_equals_the_full_pass(batch: int, static: bool, kv_heads: int):
    """Two to four pages are multiplied in another way than one or five."""
    decoder, (ids, text, image) = image_decoder(kv_heads=kv_heads), inputs(batch)
    steps = ImageSteps(decoder, text, text_mask(batch), image, static)
    logits = all_steps(steps, ids)
    assert logits.shape == (batch, N, K) and steps.length == N
    assert distance(logits, decoder(ids, text, text_mask(batch), image)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_mask_that_masks_nothing_is_no_mask(static: bool, batch: int):
    decoder, (ids, text, image) = image_decoder(), inputs(batch)
    everything = torch.ones(batch, C, dtype=torch.bool)
    masked, plain = (all_steps(ImageSteps(decoder, text, mask, image, static), ids) for mask in (everything, None))
    assert torch.equal(masked, plain)
    assert distance(masked, decoder(ids, text, None, image)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("fusion", ["gated", "text"])
def test_text_behind_the_mask_is_not_read(static: bool, fusion: str):
    decoder, (ids, text, image) = image_decoder(fusion), inputs(4)
    mask = text_mask(4)
    other = torch.where(mask[..., None], text, torch.randn_like(text))
    given, noisy, unmasked = (
        all_steps(ImageSteps(decoder, states, chosen, image, static), ids)
        for states, chosen in ((text, mask), (other, mask), (other, None))
    )
    torch.testing.assert_close(noisy, given)
    torch.testing.assert_close(unmasked[0], given[0])  # all of the first page's characters may be read
    assert not any(torch.allclose(unmasked[row], given[row]) for row in (1, 2, 3))


@torch.no_grad()
def test_pages_do_not_depend_on_their_neighbours():
    decoder, (ids, text, image) = image_decoder(), inputs(3)
    together = all_steps(ImageSteps(decoder, text, text_mask(3), image), ids)
    for row in range(3):
        one = slice(row, row + 1)
        alone = all_steps(ImageSteps(decoder, text[one], text_mask(3)[one], image[one]), ids[one])
        assert distance(alone, together[one]) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 5])
def test_arithmetic_of_half_precision_runs_and_is_close(batch: int, static: bool, masked: bool):
    decoder, (ids, text, image) = image_decoder(), inputs(batch)
    mask = text_mask(batch) if masked else None
    expected = decoder(ids, text, mask, image)
    with torch.autocast("cpu", torch.bfloat16):
        steps = ImageSteps(decoder, text, mask, image, static)
        logits = all_steps(steps, ids)
        full = decoder(ids, text, mask, image)
    assert logits.dtype == full.dtype == torch.bfloat16
    assert distance(logits, expected) < 0.05 and distance(full, expected) < 0.05


@torch.no_grad()
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("change", ["relu2", "tied tables", "tied layers", "a wide middle"])
def test_steps_compute_whatever_the_layers_compute(change: str, static: bool):
    """There is no second list of what a layer is made of that could differ from it."""
    decoder, (ids, text, image) = image_decoder(), inputs(3)
    before = decoder(ids, text, text_mask(3), image)
    if change == "relu2":
        for layer in decoder.layers:
            layer.feed_forward = enliven(FeedForward(D, 32, "relu2"))
    elif change == "tied tables":
        decoder.out.weight = decoder.embedding.weight
    elif change == "tied layers":
        decoder.layers[1] = decoder.layers[0]
    else:
        decoder.layers[0].feed_forward = enliven(FeedForward(D, FeedForward.WIDE))
    expected = decoder(ids, text, text_mask(3), image)
    assert distance(expected, before) > 1e-2
    assert distance(all_steps(ImageSteps(decoder, text, text_mask(3), image, static), ids), expected) < 1e-5


@torch.no_grad()
def test_steps_see_weights_that_change_in_place():
    decoder, (ids, text, image) = image_decoder(), inputs(2)
    steps = ImageSteps(decoder, text, None, image)
    decoder.out.weight.mul_(2)
    assert distance(steps(None), decoder(ids, text, None, image)[:, 0]) < 1e-5
