"""The tokenizer's four verbs, its two encoders, its codebook, and that settings of size are respected."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translatotron_v.config import CanvasConfig, TokenizerConfig
from translatotron_v.models.image_tokenizer import ImageTokenizer

CANVAS = CanvasConfig(32, 24, 3)


def tokenizer(canvas: CanvasConfig = CANVAS, **changes) -> ImageTokenizer:
    base = {"patch": [16, 4], "width": 16, "heads": 2, "codes": 20, "code_width": 8, "kmeans": False}
    torch.manual_seed(3)
    return ImageTokenizer(TokenizerConfig(**(base | changes)), canvas)


def some_pages(count: int = 3, canvas: CanvasConfig = CANVAS) -> torch.Tensor:
    return torch.rand(count, canvas.channels, canvas.height, canvas.width, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("encoder", ["mlp", "vit"])
def test_the_four_verbs_agree(encoder: str):
    model, pixels = tokenizer(encoder=encoder).eval(), some_pages()
    codes, ids = model.encode(pixels)
    assert codes.shape == (3, 12, 8) and ids.shape == (3, 12)
    assert torch.equal(model.encode_to_ids(pixels), ids)
    torch.testing.assert_close(codes, model.quantizer.codebook[ids])
    again = model.decode(codes)
    assert again.shape == pixels.shape
    torch.testing.assert_close(model.decode_from_ids(ids), again.clamp(0, 1))
    output = model(pixels)  # in evaluation, the training pass says the same
    assert torch.equal(output.ids, ids)
    torch.testing.assert_close(output.pixels, again)


@torch.no_grad()
def test_ids_are_the_nearest_codes_by_angle():
    model, pixels = tokenizer().eval(), some_pages()
    latents, codebook = model._latents(pixels), model.quantizer.codebook
    torch.testing.assert_close(latents.norm(dim=-1), torch.ones(3, 12))
    nearest = F.cosine_similarity(latents[..., None, :], codebook, dim=-1).argmax(-1)
    assert torch.equal(model.encode_to_ids(pixels), nearest)


@torch.no_grad()
def test_tokens_stand_in_reading_order():
    """The patch of a page that changes is the token that changes, and the patch that is drawn by it."""
    model = tokenizer(codes=400).eval()
    pixels = some_pages(1)
    before = model._latents(pixels)
    for place in range(12):
        row, column = divmod(place, 6)
        changed = pixels.clone()
        changed[:, :, 16 * row : 16 * row + 16, 4 * column : 4 * column + 4] = 0.0
        moved = (model._latents(changed) - before).abs().amax(-1)[0] > 1e-6
        assert moved.nonzero().flatten().tolist() == [place]  # this encoder sees one patch at a time
    codes = torch.zeros(1, 12, 8)
    model.decoder, blank = nn.ModuleList(), None
    blank = model.decode(codes)
    codes[0, 7] = 1.0
    drawn = (model.decode(codes) - blank).abs().amax((0, 1)) > 1e-6
    assert drawn[16:, 4:8].all() and drawn.sum() == 16 * 4


@torch.no_grad()
def test_the_vit_encoder_looks_around():
    pixels = some_pages(1)
    changed = pixels.clone()
    changed[..., :4] = 0
    for encoder, looks in (("mlp", False), ("vit", True)):
        model = tokenizer(encoder=encoder)
        moved = (model._latents(changed) - model._latents(pixels)).abs().amax(-1)[0] > 1e-7
        assert bool(moved[5]) == looks


@pytest.mark.parametrize(
    ("height", "width", "patch", "channels"), [(48, 256, [16, 4], 1), (32, 32, [8, 8], 3), (16, 40, [4, 20], 1)]
)
def test_patch_and_canvas_decide_the_grid(height: int, width: int, patch: list[int], channels: int):
    canvas = CanvasConfig(height, width, channels)
    model = tokenizer(canvas, patch=patch).eval()
    assert (model.rows, model.columns) == (height // patch[0], width // patch[1])
    assert model.patch_in.in_features == model.patch_out.out_features == channels * patch[0] * patch[1]
    with torch.no_grad():
        ids = model.encode_to_ids(some_pages(2, canvas))
        assert ids.shape == (2, model.rows * model.columns)
        assert model.decode_from_ids(ids).shape == (2, channels, height, width)


@pytest.mark.parametrize(("encoder_layers", "decoder_layers"), [(1, 3), (3, 1)])
@pytest.mark.parametrize("encoder", ["mlp", "vit"])
def test_depths_are_respected(encoder: str, encoder_layers: int, decoder_layers: int):
    model = tokenizer(encoder=encoder, encoder_layers=encoder_layers, decoder_layers=decoder_layers)
    assert (len(model.encoder), len(model.decoder)) == (encoder_layers, decoder_layers)


def test_gradients_reach_the_encoder_through_the_codes():
    model = tokenizer().train()
    output = model(some_pages())
    output.pixels.square().mean().backward()
    assert model.patch_in.weight.grad.abs().sum() > 0
    assert float(output.commitment.detach()) > 0


def test_without_quantising_it_is_an_autoencoder():
    model = tokenizer().train()
    before = model.quantizer.codebook.clone()
    output = model(some_pages(), quantise=False)
    assert output.ids is None and float(output.commitment) == 0
    torch.testing.assert_close(output.pixels, model.decode(model._latents(some_pages())))
    assert torch.equal(model.quantizer.codebook, before)


def test_the_codebook_moves_in_training_and_never_in_evaluation():
    model = tokenizer(restart_after=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.eval()
    for _ in range(4):
        model(some_pages())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    model.train()
    model(some_pages())
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert "quantizer._codebook.embed" in moved
    assert all(name.startswith(("quantizer", "idle_steps")) for name in moved)


def test_kmeans_starts_from_the_first_batch_that_is_quantised():
    model = tokenizer(kmeans=True, codes=4).train()
    model(some_pages(), quantise=False)
    assert not model.quantizer._codebook.initted.any()
    model(some_pages())
    assert model.quantizer._codebook.initted.all()
    torch.testing.assert_close(model.quantizer.codebook.norm(dim=-1), torch.ones(4), rtol=1e-3, atol=1e-3)


def restarted(latents: torch.Tensor, codes: torch.Tensor, idle: list[int]) -> ImageTokenizer:
    """A tokenizer with these codes, idle for these numbers of steps, after one look at latents (B, N, W)."""
    model = tokenizer(codes=len(codes), code_width=codes.shape[1], restart_after=5)
    model.quantizer._codebook.embed.copy_(F.normalize(codes, dim=-1)[None])
    model.idle_steps.copy_(torch.tensor(idle))
    ids = (latents @ model.quantizer.codebook.T).argmax(-1)
    model._restart_dead_codes(latents, ids)
    return model


def directions(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack((angles.cos(), angles.sin()), -1)


def test_dead_codes_restart_on_the_worst_quantised_vectors_that_differ():
    latents = directions(0, 1, 50, 50, 50, 70, 89)[None]  # 70 is worst quantised but one, 50 stands there three times
    model = restarted(latents, directions(0, 90, 200, 210), [0, 0, 9, 9])
    codebook = model.quantizer.codebook
    torch.testing.assert_close(codebook[:2], directions(0, 90))
    found = {round(float(torch.atan2(y, x).rad2deg())) for x, y in codebook[2:]}
    assert found == {50, 70}
    assert model.idle_steps.tolist() == [0, 0, 0, 0]
    book = model.quantizer._codebook
    assert (book.cluster_size[0, 2:] == 1).all()  # what the average forgets at once would be dead again
    torch.testing.assert_close(book.embed_avg[0, 2:], codebook[2:])


def test_codes_in_use_or_only_just_idle_stay():
    latents = directions(0, 40, 90)[None]
    model = restarted(latents, directions(0, 90, 200, 210), [9, 9, 5, 4])
    torch.testing.assert_close(model.quantizer.codebook[[0, 1, 3]], directions(0, 90, 210))
    assert not torch.allclose(model.quantizer.codebook[2], directions(200)[0])
    assert model.idle_steps.tolist() == [0, 0, 0, 5]


def test_more_dead_codes_than_vectors():
    latents = directions(0, 0, 45)[None]
    model = restarted(latents, directions(0, 180, 190, 200, 210), [0, 9, 9, 9, 9])
    angles = [round(float(torch.atan2(y, x).rad2deg())) % 360 for x, y in model.quantizer.codebook]
    assert angles[0] == 0 and 45 in angles
    assert len(set(angles) - {0}) >= 3  # the rest keep their places


def test_restarts_bring_a_dead_codebook_to_life():
    def used(restart_after: int) -> int:
        model = tokenizer(codes=60, restart_after=restart_after, decay=0.8).train()
        model.quantizer._codebook.embed[0, 5:] = -model.quantizer._codebook.embed[0, :1]
        for step in range(30):
            model(torch.rand(8, 3, 32, 24, generator=torch.Generator().manual_seed(step)))
        return model.eval().encode_to_ids(some_pages(40)).unique().numel()

    with torch.no_grad():
        assert used(3) > 1.5 * used(0)
