"""The image encoder, the adversary and the perceptual loss, the teacher, and the translator that composes them all."""

import pytest
import torch
from torch import nn

from translatotron_v.config import CanvasConfig, DiscriminatorConfig, ImageEncoderConfig, ModelConfig, load_config
from translatotron_v.models.discriminator import PatchDiscriminator, PerceptualDistance
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.models.teacher import TextToImage
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training.losses import hinge_discriminator


def encoder(**changes) -> ImageEncoder:
    canvas = changes.pop("canvas", CanvasConfig(32, 48, 1))
    torch.manual_seed(0)
    base = {"width": 16, "layers": 3, "heads": 2, "patch": [16, 8], "ocr_layer": 2}
    return ImageEncoder(ImageEncoderConfig(**(base | changes)), canvas).eval()


@torch.no_grad()
@pytest.mark.parametrize("stem", [[], [16, 16], [20, 12]])
@pytest.mark.parametrize("class_token", [False, True])
def test_rectangular_pages_and_patches(stem: list[int], class_token: bool):
    states = encoder(stem=stem, class_token=class_token)(torch.rand(2, 1, 32, 48))
    assert states.final.shape == states.reading.shape == (2, 2 * 6 + class_token, 16)


@torch.no_grad()
def test_states_stand_in_reading_order():
    model = encoder(layers=1, ocr_layer=1)
    model.vit.blocks = nn.ModuleList([nn.Identity()])  # without attention a state depends on its own patch alone
    pixels = torch.rand(1, 1, 32, 48)
    before = model(pixels).final
    for place in range(12):
        row, column = divmod(place, 6)
        changed = pixels.clone()
        changed[..., 16 * row : 16 * row + 16, 8 * column : 8 * column + 8] = 0
        assert ((model(changed).final - before).abs().amax(-1)[0] > 1e-6).nonzero().flatten().tolist() == [place]


@torch.no_grad()
def test_an_overlapping_stem_sees_its_neighbours():
    pixels = torch.rand(1, 1, 32, 48)
    changed = pixels.clone()
    changed[..., 15] = 0  # the last column of the second patch
    for stem, touched in (([], [1, 7]), ([16, 16], [1, 2, 7, 8])):
        embed = encoder(stem=stem).vit.patch_embed
        moved = ((embed(changed) - embed(pixels)).abs().amax(-1)[0] > 1e-6).nonzero().flatten().tolist()
        assert moved == touched


@torch.no_grad()
def test_the_reading_states_come_from_their_block():
    model, pixels = encoder(), torch.rand(2, 1, 32, 48)
    states = model(pixels)
    nn.init.normal_(model.vit.blocks[2].mlp.fc2.weight)
    after = model(pixels)
    torch.testing.assert_close(after.reading, states.reading)  # block 3 comes after block 2
    assert not torch.allclose(after.final, states.final)
    nn.init.normal_(model.vit.blocks[1].mlp.fc2.weight)
    assert not torch.allclose(model(pixels).reading, states.reading)
    last = encoder(ocr_layer=3)
    states = last(pixels)
    assert torch.equal(states.reading, states.final) and not hasattr(last, "reading_norm")


@torch.no_grad()
def test_colour_pages():
    assert encoder(canvas=CanvasConfig(32, 48, 3))(torch.rand(1, 3, 32, 48)).final.shape == (1, 12, 16)


# --- skip links -------------------------------------------------------------------------------------------------------


def linked(**changes) -> ImageEncoder:
    """With links from blocks 1 and 2, and a fusion that does something."""
    model = encoder(**({"fuse": [1, 2], "ocr_layer": 3} | changes))
    nn.init.normal_(model.fusion.mlp[-1].weight)
    return model


def gradients(module: nn.Module) -> list[torch.Tensor]:
    return [p.grad for p in module.parameters() if p.grad is not None and p.grad.any()]


def test_no_gradient_passes_a_detached_link():
    fusion, joined = linked(detach=[1]).fusion, linked().fusion
    final, shallow, deep = (torch.randn(2, 5, 16, requires_grad=True) for _ in range(3))
    fused = fusion(final.detach(), {1: shallow, 2: deep})
    assert torch.equal(fused, joined(final.detach(), {1: shallow, 2: deep}))  # going forward nothing changes
    fused.square().sum().backward()
    assert shallow.grad is None and deep.grad.abs().sum() > 0
    assert all(p.grad.any() for p in fusion.parameters())


@pytest.mark.parametrize(
    ("fuse", "detach", "reached"),
    [([1], [], [True, False, False]), ([1], [1], [False] * 3), ([1, 2], [1], [True, True, False]),
     ([1, 2], [1, 2], [False] * 3)],
)  # fmt: skip
def test_where_the_links_alone_lead_gradients_to(fuse: list[int], detach: list[int], reached: list[bool]):
    """The way through the last block is cut; a live link of a deep block leads through the shallow ones."""
    model = linked(fuse=fuse, detach=detach)
    model.vit.norm.register_forward_hook(lambda module, given, made: made.detach())
    model(torch.rand(2, 1, 32, 48)).final.square().sum().backward()
    assert [bool(gradients(block)) for block in model.vit.blocks] == reached
    assert bool(gradients(model.vit.patch_embed)) == reached[0]


def test_a_detached_link_leaves_the_main_way_open():
    pixels = torch.rand(2, 1, 32, 48)
    found = []
    for detach in ([], [1, 2]):
        model = linked(detach=detach)
        model(pixels).final.square().sum().backward()
        found.append(torch.cat([gradient.flatten() for gradient in gradients(model.vit.blocks[0])]))
    assert found[0].shape == found[1].shape and not torch.allclose(found[0], found[1])


def test_detaching_costs_no_parameter():
    plain, fused, detached = (
        sum(p.numel() for p in encoder(**changes).parameters())
        for changes in ({}, {"fuse": [1, 2]}, {"fuse": [1, 2], "detach": [1]})
    )
    assert plain < fused == detached


@torch.no_grad()
@pytest.mark.parametrize("class_token", [False, True])
def test_links_start_at_nothing(class_token: bool):
    """A trained encoder that is given links starts as the encoder it was."""
    pixels = torch.rand(2, 1, 32, 48)
    trained = encoder(class_token=class_token)
    fused = encoder(class_token=class_token, fuse=[2, 1], detach=[1])
    for parameter in fused.vit.parameters():
        nn.init.normal_(parameter)
    missing, unknown = fused.load_state_dict(trained.state_dict(), strict=False)
    assert not unknown and missing and all(key.startswith("fusion.") for key in missing)
    before, after = trained(pixels), fused(pixels)
    assert torch.equal(after.final, before.final) and torch.equal(after.reading, before.reading)
    assert after.final.shape == (2, 12 + class_token, 16)
    nn.init.normal_(fused.fusion.mlp[-1].weight)
    assert ((fused(pixels).final - before.final).abs().amax(-1) > 1e-4).all()  # every state, the class token's too


@torch.no_grad()
def test_the_reading_states_come_before_the_links():
    pixels = torch.rand(2, 1, 32, 48)
    plain, fused = encoder(), linked(ocr_layer=2)
    assert torch.equal(fused(pixels).reading, plain(pixels).reading)
    assert not torch.allclose(fused(pixels).final, plain(pixels).final)
    last = linked()(pixels)
    assert torch.equal(last.reading, last.final)


@torch.no_grad()
def test_the_links_come_from_their_blocks():
    model, pixels = linked(fuse=[2]), torch.rand(2, 1, 32, 48)
    states = {}
    for number, block in enumerate(model.vit.blocks, start=1):
        block.register_forward_hook(lambda module, given, made, number=number: states.update({number: made}))
    final = model(pixels).final
    main = model.vit.norm(states[3])
    joined = model.fusion.norm(torch.cat([main, states[2]], dim=-1))
    torch.testing.assert_close(final, main + model.fusion.mlp(joined))


@torch.no_grad()
def test_a_fusion_by_concatenation_takes_the_place_of_the_final_states():
    """z = norm(MLP(norm([h_final; h_1; h_2]))): no sum with the final states, nothing at zero, D wide as before."""
    adds, concat = (encoder(fuse=[1, 2], detach=[1], fuse_by=kind).fusion for kind in ("add", "concat"))
    final, states = torch.randn(2, 5, 16), {number: torch.randn(2, 5, 16) for number in (1, 2)}
    assert concat(final, states).shape == (2, 5, 16)
    expected = nn.functional.layer_norm(
        concat.mlp(concat.norm(torch.cat([final, states[1], states[2]], dim=-1))), (16,), eps=1e-6
    )
    torch.testing.assert_close(concat(final, states), expected)
    assert torch.equal(adds(final, states), final) and not torch.allclose(concat(final, states), final, atol=0.5)
    wide, narrow = 3 * 16, 16
    parameters = {2 * wide, wide * narrow + narrow, narrow * narrow + narrow}  # norm, and the two layers of the MLP
    assert sum(p.numel() for p in adds.parameters()) == sum(parameters)
    assert sum(p.numel() for p in concat.parameters()) == sum(parameters) + 2 * narrow  # its output is normed


def test_a_concatenating_fusion_lets_gradients_through_from_the_first_step():
    """What the one that adds does not, whose last layer is zero; and detached, none comes by the shallow link."""
    for kind, detach, reached in (("add", [], [False] * 2), ("concat", [], [True] * 2), ("concat", [1], [False, True])):
        fusion = encoder(fuse=[1, 2], detach=detach, fuse_by=kind).fusion
        states = {number: torch.randn(2, 5, 16, requires_grad=True) for number in (1, 2)}
        (fusion(torch.randn(2, 5, 16), states) * torch.randn(2, 5, 16)).sum().backward()
        assert [states[number].grad is not None and bool(states[number].grad.any()) for number in (1, 2)] == reached


# --- stage 1's adversary and perceptual loss --------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_the_critic_scores_patches_and_learns(channels: int):
    torch.manual_seed(0)
    critic = PatchDiscriminator(DiscriminatorConfig(width=8, layers=2), channels)
    real, fake = torch.zeros(4, channels, 16, 32), torch.rand(4, channels, 16, 32)
    assert critic(real).shape == (4, 1, 4, 8)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        hinge_discriminator(critic(real), critic(fake)).backward()
        optimizer.step()
    assert critic(real).mean() > critic(fake).mean() + 1


@pytest.fixture(scope="module")
def perceptual() -> PerceptualDistance:
    torch.manual_seed(0)
    return PerceptualDistance()


def test_the_perceptual_network_is_never_trained(perceptual: PerceptualDistance):
    assert not any(parameter.requires_grad for parameter in perceptual.parameters())
    holder = nn.ModuleDict({"perceptual": perceptual}).train()
    assert holder.training and not any(part.training for part in perceptual.modules())
    page = torch.rand(1, 1, 16, 32, requires_grad=True)
    perceptual(page, torch.rand(1, 1, 16, 32)).backward()
    assert page.grad.abs().sum() > 0  # the picture learns from it,
    assert all(parameter.grad is None for parameter in perceptual.parameters())  # it learns nothing


@torch.no_grad()
def test_perceptual_distance(perceptual: PerceptualDistance):
    torch.manual_seed(0)
    page = torch.rand(2, 3, 16, 32)
    assert float(perceptual(page, page)) == 0
    near, far = (float(perceptual(page, (page + scale * torch.randn_like(page)).clamp(0, 1))) for scale in (0.02, 0.5))
    assert 0 < near < far


# --- the teacher and the whole ----------------------------------------------------------------------------------------

TINY = (
    "model.canvas.height=16",
    "model.canvas.width=32",
    "model.image_encoder.width=16",
    "model.image_encoder.layers=2",
    "model.image_encoder.ocr_layer=1",
    "model.tokenizer.width=16",
    "model.tokenizer.codes=12",
    "model.tokenizer.code_width=4",
    *(f"model.{name}.width=16" for name in ("text_encoder", "text_decoder", "ocr_head", "character_encoder")),
    *(f"model.{name}.width=16" for name in ("image_decoder", "teacher_encoder", "teacher_decoder")),
    *(f"model.{name}.layers=1" for name in ("text_encoder", "text_decoder", "image_decoder", "teacher_decoder")),
)


def sizes(*overrides: str) -> ModelConfig:
    return load_config(None, [*TINY, *overrides]).model


@torch.no_grad()
def test_a_teacher_follows_the_layout_of_the_source_page():
    torch.manual_seed(0)
    config = sizes("model.teacher.layout=resnet18", "model.teacher.layout_width=5")
    teacher = TextToImage(config, 30).eval()
    ids, characters = torch.randint(12, (2, 8)), torch.randint(30, (2, 6))
    mask = torch.ones(2, 6, dtype=torch.bool)
    page = torch.rand(2, 1, 16, 32)
    assert teacher.states(characters, mask, page).shape == (2, 6, 16 + 5)
    logits = teacher(ids, characters, mask, page)
    assert logits.shape == (2, 8, 12)
    assert not torch.allclose(teacher(ids, characters, mask, 1 - page), logits)
    with pytest.raises(ValueError, match="no page was given"):
        teacher(ids, characters, mask)


@torch.no_grad()
def test_a_teacher_without_layout_reads_text_alone():
    torch.manual_seed(0)
    teacher = TextToImage(sizes(), 30).eval()
    ids, characters = torch.randint(12, (2, 8)), torch.randint(30, (2, 6))
    mask = torch.ones(2, 6, dtype=torch.bool)
    torch.testing.assert_close(teacher(ids, characters, mask, torch.rand(2, 1, 16, 32)), teacher(ids, characters, mask))


def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "target_input": torch.randint(4, 40, (2, 5)),
        "target_mask": torch.ones(2, 5, dtype=torch.bool),
        "ocr_input": torch.randint(4, 40, (2, 4)),
        "image_ids": torch.randint(12, (2, 8)),
        "characters": torch.randint(4, 30, (2, 6)),
        "character_mask": torch.ones(2, 6, dtype=torch.bool),
        "char_to_token": torch.randint(5, (2, 6)),
    }


@torch.no_grad()
@pytest.mark.parametrize("class_token", ["true", "false"])
def test_the_translator_has_named_outputs(class_token: str):
    model = TranslatotronV(sizes(f"model.image_encoder.class_token={class_token}"), 40, 30).eval()
    source = model.encode_image(torch.rand(2, 1, 16, 32))
    output = model(source, **inputs(), ctc=True)
    assert output.text.shape == (2, 5, 40) and output.ocr.shape == (2, 4, 40)
    assert output.image.shape == (2, 8, 12)
    assert output.ctc.shape == (2, 4 * 2, 30)  # two frames for each of the four patches, none for the class token
    nothing = model(source)
    assert nothing.text is nothing.ocr is nothing.image is nothing.ctc is None


@torch.no_grad()
def test_text_mode_is_read_by_the_same_decoder():
    model = TranslatotronV(sizes(), 40, 30).eval()
    pieces = torch.randint(4, 40, (2, 7))
    source = model.encode_text(pieces, torch.ones(2, 7, dtype=torch.bool))
    assert model(source, inputs()["target_input"]).text.shape == (2, 5, 40)
    assert model(source, ocr_input=inputs()["ocr_input"]).ocr is None  # there is no page to read
    with pytest.raises(ValueError, match="no page was seen"):
        model.ctc_logits(source)


@torch.no_grad()
def test_the_papers_composition_has_no_character_encoder():
    model = TranslatotronV(
        sizes("model.vocabulary.subwords=0", "model.character_encoder.layers=0", "model.ctc_frames=0"), 40, 40
    ).eval()
    assert model.character_encoder is None and model.ctc_head is None
    given = inputs()
    source = model.encode_image(torch.rand(2, 1, 16, 32))
    states, mask = torch.randn(2, 5, 16), torch.ones(2, 5, dtype=torch.bool)
    drawn = model.drawing_states(states, mask, given["characters"], given["character_mask"], given["char_to_token"])
    assert drawn[0] is states and drawn[1] is mask  # the text decoder's last hidden states are what is drawn
    assert model(source, **given).image.shape == (2, 8, 12)


def test_the_picture_loss_reaches_every_module_that_draws():
    model = TranslatotronV(sizes(), 40, 30)
    nn.init.normal_(model.character_encoder.piece_projection.weight)
    for layer in model.image_decoder.layers:
        nn.init.normal_(layer.image_cross.out.weight)
    source = model.encode_image(torch.rand(2, 1, 16, 32))
    model(source, **inputs()).image.square().mean().backward()
    for name in ("image_encoder", "text_encoder", "text_decoder", "character_encoder", "image_decoder"):
        assert any(p.grad is not None and p.grad.any() for p in getattr(model, name).parameters()), name
    assert all(p.grad is None for p in model.image_tokenizer.parameters())
    assert all(p.grad is None for p in model.ocr_head.parameters())
