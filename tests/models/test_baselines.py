"""The pixel-level baseline: its segments, what each may see, and that pages can be learnt and written again."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.small import enliven
from translatotron_v.config import CanvasConfig, ConfigError, PixelBaselineConfig, load_config
from translatotron_v.models.baselines import PixelBaseline
from translatotron_v.training.stages import check_stage

CANVAS = CanvasConfig(height=16, width=32)
SIZE = PixelBaselineConfig(segment=[8, 4], width=32, encoder_layers=2, decoder_layers=2, heads=2, feed_forward=64)


def make(channels: int = 1) -> PixelBaseline:
    torch.manual_seed(0)
    return PixelBaseline(SIZE, CanvasConfig(CANVAS.height, CANVAS.width, channels)).eval()


def draw(count: int, channels: int = 1, seed: int = 1) -> Tensor:
    return torch.rand(count, channels, 16, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
def test_segments_are_cut_in_reading_order_and_joined_again(channels: int):
    model, pages = make(channels), draw(2, channels)
    segments = model.cut(pages)
    assert segments.shape == (2, 16, channels * 32)
    assert torch.allclose(model.join(segments), pages, atol=1e-6)
    tenth = pages[:, :, 8:16, 8:12]  # second of two rows, third of eight columns
    assert torch.equal(segments[:, 10], 1 - tenth.flatten(1))


def test_a_segment_is_scored_from_those_before_it_alone():
    model, source, target = make(), draw(2), draw(2, seed=2)
    changed = model.cut(target)
    changed[:, 5] = 1 - changed[:, 5]
    with torch.no_grad():
        difference = (model(source, target) - model(source, model.join(changed))).abs().amax((0, 2))
    assert difference[:6].max() < 1e-5  # its own place, 5, has not seen it
    assert difference[6:].min() > 1e-4


def test_every_segment_sees_the_whole_source():
    model, source, target = make(), draw(1), draw(1, seed=2)
    segments = model.cut(source)
    segments[:, -1] = 1 - segments[:, -1]
    with torch.no_grad():
        difference = (model(source, target) - model(model.join(segments), target)).abs().amax((0, 2))
    assert difference.min() > 1e-4


def test_positions_tell_segments_apart():
    """On a blank source, after blank segments, the same input stands in places of another row and another column."""
    model = enliven(make())
    logits = model(torch.ones(1, 1, 16, 32), torch.ones(1, 1, 16, 32))[0]
    assert (logits[3] - logits[4]).abs().max() > 1e-3 < (logits[3] - logits[11]).abs().max()


@torch.no_grad()
def test_steps_equal_the_full_pass():
    model, source, target = enliven(make(3), scale=0.1), draw(3, 3), draw(3, 3, seed=2)
    segments, cache = model.cut(target), model.start(source)
    steps = [model.step(segments[:, n - 1 : n] if n else None, cache) for n in range(16)]
    full = model(source, target)
    assert full.std() > 0.1
    assert torch.allclose(torch.cat(steps, dim=1), full, atol=1e-5)


def test_what_is_drawn_is_what_the_full_pass_expects_after_it():
    model, source = enliven(make(), scale=0.1), draw(2)
    drawn = model.generate(source)
    assert drawn.shape == source.shape and not drawn.requires_grad
    assert 0 <= drawn.min() < 0.45 and 0.55 < drawn.max() <= 1
    with torch.no_grad():
        again = model.join(model(source, drawn).sigmoid())
    assert torch.allclose(drawn, again, atol=1e-5)
    assert torch.allclose(drawn[1:], model.generate(source[1:]), atol=1e-5)  # pages do not see each other


def test_two_pages_are_learnt_and_written_again():
    """Each source has a target of its own, paper with black and grey ink, which is written from the source alone."""
    model, source = make().train(), (draw(2) > 0.1).float()
    target = 1 - (draw(2, seed=2) < 0.1) * (0.5 + 0.5 * (draw(2, seed=3) < 0.5))
    wanted = model.cut(target)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        loss = F.binary_cross_entropy_with_logits(model(source, target), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < F.binary_cross_entropy(wanted, wanted).item() + 0.02  # that of grey
    drawn = model.eval().generate(source)
    assert (drawn - target).abs().mean() < 0.02
    assert (drawn - target.flip(0)).abs().mean() > 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ("model.pixel_baseline.segment=[32,8]",),
            "model.pixel_baseline.segment 32x8 does not divide the canvas 48x256",
        ),
        (
            ("model.pixel_baseline.segment=[16,7]",),
            "model.pixel_baseline.segment 16x7 does not divide the canvas 48x256",
        ),
        (("model.pixel_baseline.segment=[16]",), "model.pixel_baseline.segment needs 2 entries"),
        (("model.pixel_baseline.segment=[0,8]",), "model.pixel_baseline.segment has an entry that must lie in 1"),
        (
            ("model.pixel_baseline.segment=[16,8]", "model.pixel_baseline.heads=3"),
            "model.pixel_baseline.width 256 must be a multiple",
        ),
        (
            ("model.pixel_baseline.segment=[16,8]", "model.pixel_baseline.decoder_layers=0"),
            "model.pixel_baseline.decoder_layers must lie in 1",
        ),
        (("model.pixel_baseline.segment=[16,8]", "model.pixel_baseline.dropout=1"), "model.pixel_baseline.dropout"),
    ],
)
def test_sizes_that_do_not_fit_name_their_key(settings: tuple[str, ...], message: str):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")) as caught:
        check_stage(load_config(None, ["stage=pixel_baseline", *settings]))
    assert "\n" not in str(caught.value)


def test_only_the_stage_that_cuts_segments_asks_for_a_fitting_canvas():
    config = load_config(None, ["model.pixel_baseline.segment=[32,8]"])
    with pytest.raises(ConfigError, match=r"model\.pixel_baseline\.segment"):
        PixelBaseline(config.model.pixel_baseline, config.model.canvas)
