"""The separator's network: any size of picture, and what it costs."""

import pytest
import torch

from tests.small import enliven
from translatotron_v.config import ConfigError, ModelConfig, TextMattingConfig, load_config
from translatotron_v.models.matting import TextMatting
from translatotron_v.models.translator import TranslatotronV


def make() -> TextMatting:
    return enliven(TextMatting(TextMattingConfig(widths=[4, 6, 8])), scale=0.2)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 13), (16, 16), (31, 70)])
def test_a_logit_for_every_pixel_of_a_picture_of_any_size(size: tuple[int, int]):
    logits = make()(torch.rand(2, 3, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.isfinite().all()


def test_padding_leaves_what_is_far_from_it_alone():
    """A picture that is cut to an odd size has the same logits as before, away from the cut."""
    matting, pixels = make(), torch.rand(1, 3, 96, 96)
    whole, cut = matting(pixels), matting(pixels[..., :91, :93])
    assert torch.allclose(whole[..., :40, :40], cut[..., :40, :40], atol=1e-5)
    assert not torch.allclose(whole[..., :91, :93], cut, atol=1e-5)


def test_a_picture_is_judged_by_itself():
    matting, pixels = make(), torch.rand(3, 3, 16, 16)
    assert torch.allclose(matting(pixels)[1:2], matting(pixels[1:2]), atol=1e-5)


def test_every_parameter_learns():
    matting = TextMatting(TextMattingConfig(widths=[4, 6, 8])).train()
    matting(torch.rand(4, 3, 32, 32)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in matting.parameters())


def test_it_is_small_and_no_part_of_a_translator():
    assert 0.08e6 < sum(p.numel() for p in TextMatting(TextMattingConfig()).parameters()) < 0.16e6
    with torch.device("meta"):
        model = TranslatotronV(ModelConfig(), 50, 40)
    assert not any(isinstance(module, TextMatting) for module in model.modules())


@pytest.mark.parametrize("widths", ["[]", "[8,0]"])
def test_widths_that_make_no_sense_are_refused(widths: str):
    with pytest.raises(ConfigError, match=r"model\.matting\.widths"):
        load_config(None, [f"model.matting.widths={widths}"])
