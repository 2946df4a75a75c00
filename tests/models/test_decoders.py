"""Decoders and encoders of text and of image tokens: stepwise equals full, gates, masks, what is and is not read."""

import pytest
import torch
from torch import nn

from translatotron_v.config import ImageDecoderConfig, TransformerConfig
from translatotron_v.decoding.steps import ImageSteps
from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.text_decoder import CharacterEncoder, CtcHead, TextDecoder, TextEncoder

B, T, S, C, D, M, V, K = 3, 6, 5, 7, 16, 12, 20, 11
GRID = (2, 4)
N = GRID[0] * GRID[1]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(1)


def lively(module: nn.Module) -> nn.Module:
    """Every parameter random, zero starts too, so that no part of the sum vanishes; evaluation mode."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def text_size(**changes) -> TransformerConfig:
    return TransformerConfig(**({"width": D, "layers": 2, "heads": 4, "feed_forward": 32, "max_length": 12} | changes))


def text_decoder() -> TextDecoder:
    return lively(TextDecoder(text_size(), V, M))


def image_decoder(fusion: str = "gated", kv_heads: int = 1) -> ImageDecoder:
    config = ImageDecoderConfig(D, 2, 4, kv_heads, 32, 0.0, fusion)
    return lively(ImageDecoder(config, K, GRID, text_width=M, image_width=10))


TEXT_MASK = torch.arange(C)[None] < torch.tensor([[C], [3], [1]])


def require_close(steps: list[torch.Tensor], full: torch.Tensor) -> None:
    difference = (torch.cat(steps, 1) - full).norm() / full.norm()
    assert difference < 1e-5, difference


# --- text -------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_text_step_by_step_equals_the_full_pass():
    decoder, ids, memory = text_decoder(), torch.randint(V, (B, T)), torch.randn(B, S, M)
    mask = torch.arange(S)[None] < torch.tensor([[S], [2], [3]])
    logits, states = decoder(ids, memory, mask)
    assert logits.shape == (B, T, V) and states.shape == (B, T, D)
    cache = decoder.start(memory, mask, T)
    steps = [decoder.step(ids[:, i : i + 1], cache) for i in range(T)]
    assert cache.length == T
    require_close([step[0] for step in steps], logits)
    require_close([step[1] for step in steps], states)


@torch.no_grad()
def test_text_is_causal_and_reads_its_memory():
    decoder, ids, memory = text_decoder(), torch.randint(V, (B, T)), torch.randn(B, S, M)
    logits, _ = decoder(ids, memory)
    other = ids.clone()
    other[:, 3] = (ids[:, 3] + 1) % V
    changed, _ = decoder(other, memory)
    torch.testing.assert_close(changed[:, :3], logits[:, :3])
    assert not torch.allclose(changed[:, 3:], logits[:, 3:])
    assert not torch.allclose(decoder(ids, memory + 1)[0], logits)


@torch.no_grad()
def test_rearranged_rows_continue_their_own_text():
    decoder, ids, memory = text_decoder(), torch.randint(V, (B, T)), torch.randn(B, S, M)
    mask = torch.arange(S)[None] < torch.tensor([[S], [2], [3]])
    cache = decoder.start(memory, mask, T)
    for i in range(T - 1):
        decoder.step(ids[:, i : i + 1], cache)
    rows = torch.tensor([2, 2, 0])
    cache.reorder(rows)
    again = decoder.step(ids[rows, T - 1 :], cache)[0]
    require_close([again], decoder(ids[rows], memory[rows], mask[rows])[0][:, -1:])


@torch.no_grad()
def test_text_mode_and_image_mode_share_their_layers():
    encoder = lively(TextEncoder(text_size(), V, image_width=M, image_length=S))
    ids = torch.randint(V, (B, T))
    mask = torch.arange(T)[None] < torch.tensor([[T], [4], [2]])
    states = encoder(ids, mask)
    noisy = torch.where(mask, ids, (ids + 1) % V)
    torch.testing.assert_close(encoder(noisy, mask)[mask], states[mask])  # padding is not read
    image = encoder.from_image(torch.randn(B, S, M))
    assert image.shape == (B, S, D)
    before = image.clone()
    seen = torch.randn(B, S, M, generator=torch.Generator().manual_seed(0))
    before = encoder.from_image(seen)
    nn.init.zeros_(encoder.layers[0].feed_forward[2].weight)
    assert not torch.allclose(encoder.from_image(seen), before)
    assert not torch.allclose(encoder(ids, mask)[mask], states[mask])


@torch.no_grad()
def test_without_layers_image_states_pass_through():
    encoder = TextEncoder(text_size(layers=0), V, image_width=M, image_length=S)
    states = torch.randn(B, S, M)
    assert torch.equal(encoder.from_image(states), states)


@torch.no_grad()
def test_characters_take_the_state_of_their_piece():
    encoder = lively(CharacterEncoder(text_size(layers=0), V, piece_width=M))
    characters, pieces = torch.randint(V, (B, C)), torch.randn(B, T, M)
    char_to_token = torch.randint(T, (B, C))
    mask = torch.ones(B, C, dtype=torch.bool)
    given = encoder(characters, mask, pieces, char_to_token)
    summed = encoder.embedding(characters) * D**0.5 + encoder.positions(0, C)
    for b in range(B):
        for c in range(C):
            summed[b, c] += encoder.piece_projection(pieces[b, char_to_token[b, c]])
    torch.testing.assert_close(given, encoder.norm(summed), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_new_bridge_changes_nothing_and_learns():
    """A drawer that starts from text to image draws as before until training opens the connector."""
    encoder = CharacterEncoder(text_size(dropout=0.0), V, piece_width=M)
    characters, mask = torch.randint(V, (B, C)), torch.ones(B, C, dtype=torch.bool)
    char_to_token = torch.zeros(B, C, dtype=torch.long)
    torch.testing.assert_close(
        encoder(characters, mask, torch.randn(B, T, M), char_to_token), encoder(characters, mask)
    )
    with torch.enable_grad():
        encoder(characters, mask, torch.randn(B, T, M), char_to_token)[..., 0].sum().backward()
    assert encoder.piece_projection.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_characters_behind_the_mask_are_not_read():
    encoder = lively(CharacterEncoder(text_size(), V))
    characters = torch.randint(V, (B, C))
    states = encoder(characters, TEXT_MASK)
    noisy = torch.where(TEXT_MASK, characters, (characters + 1) % V)
    torch.testing.assert_close(encoder(noisy, TEXT_MASK)[TEXT_MASK], states[TEXT_MASK])


def test_ctc_frames_stand_in_reading_order():
    head = CtcHead(D, V, frames=3)
    states = torch.randn(B, S, D)
    frames = head(states)
    assert frames.shape == (B, 3 * S, V)
    for place in range(S):
        weight = head.out.weight.unflatten(0, (3, V))
        expected = torch.einsum("bd,fvd->bfv", states[:, place], weight) + head.out.bias.unflatten(0, (3, V))
        torch.testing.assert_close(frames[:, 3 * place : 3 * place + 3], expected)


# --- pictures ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["gated", "add", "concat", "text", "image"])
@pytest.mark.parametrize("kv_heads", [1, 4])
@pytest.mark.parametrize("static", [False, True])
def test_picture_step_by_step_equals_the_full_pass(fusion: str, kv_heads: int, static: bool):
    decoder, ids = image_decoder(fusion, kv_heads), torch.randint(K, (B, N))
    text, image = torch.randn(B, C, M), torch.randn(B, S, 10)
    logits = decoder(ids, text, TEXT_MASK, image)
    assert logits.shape == (B, N, K)
    cache = ImageSteps(decoder, text, TEXT_MASK, image, static)
    steps = [cache(ids[:, i - 1] if i else None)[:, None] for i in range(N)]
    require_close(steps, logits)


@torch.no_grad()
def test_a_token_is_scored_before_it_is_seen():
    decoder, ids = image_decoder(), torch.randint(K, (B, N))
    text, image = torch.randn(B, C, M), torch.randn(B, S, 10)
    logits = decoder(ids, text, None, image)
    other = ids.clone()
    other[:, 4] = (ids[:, 4] + 1) % K
    changed = decoder(other, text, None, image)
    torch.testing.assert_close(changed[:, :5], logits[:, :5])
    assert not torch.allclose(changed[:, 5], logits[:, 5])
    torch.testing.assert_close(decoder(ids[:, :3], text, None, image), logits[:, :3])


@torch.no_grad()
def test_text_behind_the_mask_is_not_read():
    decoder, ids = image_decoder(), torch.randint(K, (B, N))
    text, image = torch.randn(B, C, M), torch.randn(B, S, 10)
    other = torch.where(TEXT_MASK[..., None], text, torch.randn(B, C, M))
    torch.testing.assert_close(decoder(ids, other, TEXT_MASK, image), decoder(ids, text, TEXT_MASK, image))
    assert not torch.allclose(decoder(ids, other, None, image), decoder(ids, text, None, image))


@torch.no_grad()
def test_gated_fusion_by_hand():
    decoder = image_decoder()
    layer, x = decoder.layers[0], torch.randn(B, N, D)
    text, image = torch.randn(B, C, M), torch.randn(B, S, 10)
    bias = decoder.bias(decoder.bias.places, N)
    cross_caches = (layer.text_cross.project_kv(text, None), layer.image_cross.project_kv(image, None))
    y = x + layer.attention(layer.attention_norm(x), mask=bias)
    tx = layer.text_cross(layer.cross_norm(y), cross_caches[0])
    ix = layer.image_cross(layer.cross_norm(y), cross_caches[1])
    g = torch.sigmoid(torch.cat((tx, ix), -1) @ decoder.gate.weight.T + decoder.gate.bias)
    y = y + g * tx + (1 - g) * ix
    y = y + layer.feed_forward(layer.feed_forward_norm(y))
    torch.testing.assert_close(layer(x, cross_caches, decoder.fuse, bias), y)


@torch.no_grad()
def test_the_other_ways_of_joining_by_hand():
    tx, ix = torch.randn(B, N, D), torch.randn(B, N, D)
    torch.testing.assert_close(image_decoder("add").fuse(tx, ix), tx + ix)
    merge = (decoder := image_decoder("concat")).concat_proj
    expected = torch.empty(B, N, D)
    for b in range(B):
        for n in range(N):
            expected[b, n] = merge.weight[:, :D] @ tx[b, n] + merge.weight[:, D:] @ ix[b, n] + merge.bias
    torch.testing.assert_close(decoder.fuse(tx, ix), expected, rtol=1e-4, atol=1e-5)
    sizes = [sum(p.numel() for p in image_decoder(fusion).parameters()) for fusion in ("gated", "concat", "add")]
    assert sizes[0] == sizes[1] == sizes[2] + 2 * D * D + D  # one map for all layers


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["gated", "add", "concat"])
def test_a_decoder_that_starts_from_a_teacher_draws_what_the_teacher_draws(fusion: str):
    """What is read of the image comes in as zero, that of the text as it is; the gate lets 88 % of it in at first."""
    teacher = image_decoder("text")
    decoder = ImageDecoder(ImageDecoderConfig(D, 2, 4, 1, 32, 0.0, fusion), K, GRID, M, 10).eval()
    new, unknown = decoder.load_state_dict(teacher.state_dict(), strict=False)
    assert unknown == [] and all("image_cross" in name or "gate" in name or "concat_proj" in name for name in new)
    ids, text, image = torch.randint(K, (B, N)), torch.randn(B, C, M), torch.randn(B, S, 10)
    drawn = decoder(ids, text, TEXT_MASK, image)
    as_it_was = teacher(ids, text, TEXT_MASK)
    if fusion == "gated":
        assert not torch.allclose(drawn, as_it_was)
        for layer in teacher.layers:
            for parameter in layer.text_cross.out.parameters():
                parameter.mul_(torch.sigmoid(torch.tensor(2.0)))
        as_it_was = teacher(ids, text, TEXT_MASK)
    torch.testing.assert_close(drawn, as_it_was)


@torch.no_grad()
def test_an_even_start_favours_neither_side():
    """The paper's, where nothing comes from a teacher: the gate is near one half, and the image is read at once."""
    torch.manual_seed(0)
    config = ImageDecoderConfig(D, 2, 4, 1, 32, 0.0, fusion_start="even")
    decoder = ImageDecoder(config, K, GRID, M, 10).eval()
    assert decoder.gate is not None and decoder.gate.weight.abs().max() > 0
    shares = torch.sigmoid(decoder.gate(torch.randn(B, N, 2 * D)))
    assert shares.min() > 0.3 and shares.max() < 0.7 and abs(shares.mean() - 0.5) < 0.02  # 0.88 for a teacher's weights
    ids, text = torch.randint(K, (B, N)), torch.randn(B, C, M)
    one, other = (decoder(ids, text, TEXT_MASK, torch.randn(B, S, 10)) for _ in range(2))
    assert not torch.allclose(one, other)


class Constant(nn.Module):
    """A gate that says one thing."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value

    def forward(self, x):
        return torch.full((*x.shape[:-1], D), self.value)


@torch.no_grad()
@pytest.mark.parametrize(("gate", "reads_text", "reads_image"), [(1e4, True, False), (-1e4, False, True)])
def test_an_open_or_shut_gate_lets_one_side_through(gate: float, reads_text: bool, reads_image: bool):
    decoder, ids = image_decoder(), torch.randint(K, (B, N))
    decoder.gate = Constant(gate)
    text, image = torch.randn(B, C, M), torch.randn(B, S, 10)
    logits = decoder(ids, text, None, image)
    assert torch.allclose(decoder(ids, torch.randn(B, C, M), None, image), logits) != reads_text
    assert torch.allclose(decoder(ids, text, None, torch.randn(B, S, 10)), logits) != reads_image


@torch.no_grad()
def test_a_new_decoder_draws_from_text_alone():
    """What was learned from text to image is not disturbed by an image that nobody has learned to read yet."""
    decoder = ImageDecoder(ImageDecoderConfig(D, 2, 4, 1, 32, 0.0), K, GRID, M, 10).eval()
    ids, text = torch.randint(K, (B, N)), torch.randn(B, C, M)
    one, other = (decoder(ids, text, None, torch.randn(B, S, 10)) for _ in range(2))
    torch.testing.assert_close(one, other)
    assert not torch.allclose(decoder(ids, torch.randn(B, C, M), None, torch.randn(B, S, 10)), one)


@torch.no_grad()
def test_one_gate_serves_all_layers_and_tables_are_not_tied():
    decoder = image_decoder()
    gates = [name for name, part in decoder.named_modules() if "gate" in name]
    assert gates == ["gate"]
    assert decoder.out.weight.data_ptr() != decoder.embedding.weight.data_ptr()
    assert image_decoder("add").gate is None and image_decoder("text").gate is None


@torch.no_grad()
def test_a_decoder_of_text_alone_ignores_the_image():
    decoder, ids, text = image_decoder("text"), torch.randint(K, (B, N)), torch.randn(B, C, M)
    torch.testing.assert_close(decoder(ids, text, None, torch.randn(B, S, 10)), decoder(ids, text, None))
    assert not any("image_cross" in name for name, _ in decoder.named_parameters())
    with pytest.raises(ValueError, match="reads image states"):
        image_decoder("gated")(ids, text, None)


@torch.no_grad()
def test_a_decoder_of_the_image_alone_ignores_the_text():
    decoder, ids, image = image_decoder("image"), torch.randint(K, (B, N)), torch.randn(B, S, 10)
    text = torch.randn(B, C, M)
    logits = decoder(ids, text, TEXT_MASK, image)
    assert torch.equal(decoder(ids, torch.randn(B, C, M), None, image), logits)
    assert not torch.allclose(decoder(ids, text, TEXT_MASK, torch.randn(B, S, 10)), logits)
    assert not any("text" in name or name.startswith(("gate", "concat_proj")) for name, _ in decoder.named_parameters())
    assert decoder.layers[0].crosses == [decoder.layers[0].image_cross]
    new = ImageDecoder(ImageDecoderConfig(D, 2, 4, 1, 32, 0.0, "image"), K, GRID, text_width=M, image_width=10)
    assert new.layers[0].image_cross.out.weight.any()  # there is no text to begin from


def test_all_that_a_way_of_joining_has_is_learnt():
    for fusion in ("gated", "add", "concat", "image"):
        decoder, ids, _, read = filling(fusion)
        decoder(ids, *read).square().sum().backward()
        assert [name for name, parameter in decoder.named_parameters() if not parameter.grad.any()] == []


@torch.no_grad()
def test_equal_neighbours_are_told_apart_by_position():
    decoder = image_decoder()
    text, image = torch.randn(B, C, M), torch.randn(B, S, 10)
    logits = decoder(torch.full((B, N), 3), text, None, image)
    assert len({tuple(row) for row in logits[0].round(decimals=4).tolist()}) == N


# --- pictures by masked prediction ------------------------------------------------------------------------------------

KNOWN = torch.tensor(  # (B, N)
    [[1, 0, 0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0, 1, 1]], dtype=torch.bool
)


def filling(fusion: str = "gated", kv_heads: int = 1, layers: int = 2):
    """A decoder, ids, and what it reads: (cross_caches, inputs of the full pass)."""
    config = ImageDecoderConfig(D, layers, 4, kv_heads, 32, 0.0, fusion)
    decoder = lively(ImageDecoder(config, K, GRID, text_width=M, image_width=10))
    read = torch.randn(B, C, M), TEXT_MASK, torch.randn(B, S, 10)
    return decoder, torch.randint(K, (B, N)), decoder.project_kv(*read), read


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["gated", "add", "concat", "text", "image"])
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_tokens_that_are_not_known_are_not_seen(fusion: str, kv_heads: int):
    """Nor its own id, where a token is not known itself."""
    decoder, ids, cross_caches, _ = filling(fusion, kv_heads)
    logits = decoder.predict_masked(ids, KNOWN, cross_caches)
    assert logits.shape == (B, N, K)
    other = torch.where(KNOWN, ids, (ids + torch.randint(1, K, (B, N))) % K)
    assert torch.equal(decoder.predict_masked(other, KNOWN, cross_caches), logits)


@torch.no_grad()
@pytest.mark.parametrize("kv_heads", [1, 4])
@pytest.mark.parametrize("place", range(N))
def test_a_known_token_is_seen_from_both_sides(kv_heads: int, place: int):
    """By every other, but for the last of the page: no position's input is the token behind it."""
    decoder, ids, cross_caches, _ = filling(kv_heads=kv_heads)
    known = torch.zeros(B, N, dtype=torch.bool)
    known[:, place] = True
    logits = decoder.predict_masked(ids, known, cross_caches)
    other = ids.clone()
    other[:, place] = (ids[:, place] + 1) % K
    moved = (decoder.predict_masked(other, known, cross_caches) - logits).abs().amax(-1) > 1e-6  # (B, N)
    elsewhere = torch.arange(N) != place
    assert moved[:, elsewhere].all() if place < N - 1 else not moved.any()
    # To be known at all is seen as well.
    unlike = (decoder.predict_masked(ids, torch.zeros_like(known), cross_caches) - logits).abs().amax(-1) > 1e-6
    assert unlike[:, elsewhere].all() if place < N - 1 else not unlike.any()


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["gated", "add", "concat", "text", "image"])
def test_both_ways_of_reading_the_last_token_agree(fusion: str):
    """Behind all the others it is scored as from left to right; in one layer, whose inputs are the same, exactly so."""
    decoder, ids, cross_caches, read = filling(fusion, layers=1)
    known = torch.arange(N).expand(B, N) < N - 1
    full = decoder(ids, *read)
    torch.testing.assert_close(decoder.predict_masked(ids, known, cross_caches)[:, -1], full[:, -1])
    assert not torch.allclose(
        decoder.predict_masked(ids, known, cross_caches)[:, 0], full[:, 0]
    )  # what comes later is seen


@torch.no_grad()
def test_filling_by_hand():
    """Start vectors for what is not known, each position's own place, no mask; one layer of the full pass."""
    decoder, ids, cross_caches, _ = filling(layers=1)
    x = torch.empty(B, N, D)
    for b in range(B):
        for n in range(N):
            seen = n > 0 and KNOWN[b, n - 1]
            x[b, n] = decoder.embedding.weight[ids[b, n - 1]] if seen else decoder.start_vector
            x[b, n] += decoder.row_positions[n // GRID[1]] + decoder.column_positions[n % GRID[1]]
    x = decoder.layers[0](x, cross_caches[0], decoder.fuse, decoder.bias(decoder.bias.places, N, causal=False))
    torch.testing.assert_close(decoder.predict_masked(ids, KNOWN, cross_caches), decoder.norm(x) @ decoder.out.weight.T)


@torch.no_grad()
def test_pages_are_filled_each_by_itself():
    decoder, ids, cross_caches, _ = filling()
    rows = torch.tensor([2, 0])
    chosen = [tuple(memory.select(rows) for memory in layer) for layer in cross_caches]
    torch.testing.assert_close(
        decoder.predict_masked(ids[rows], KNOWN[rows], chosen),
        decoder.predict_masked(ids, KNOWN, cross_caches)[rows],
        rtol=1e-4,
        atol=1e-5,
    )


def test_masked_prediction_has_no_weights_of_its_own():
    """What earlier versions have saved is all there is, and what is learnt from left to right all that is tuned."""
    decoder, ids, _, read = filling(layers=1)
    maps = [
        f"{name}.{part}"
        for name in ("attention", "text_cross", "image_cross")
        for part in ("query", "key_value", "out")
    ]
    maps += ["attention_norm", "cross_norm", "feed_forward_norm", "feed_forward.0", "feed_forward.2"]
    names = {f"layers.0.{name}.{kind}" for name in maps for kind in ("weight", "bias")}
    names |= {"start_vector", "row_positions", "column_positions", "embedding.weight", "out.weight"}
    names |= {"bias.row_bias", "bias.column_bias", "gate.weight", "gate.bias", "norm.weight", "norm.bias"}
    assert set(decoder.state_dict()) == names
    for logits in (decoder.predict_masked(ids, KNOWN, decoder.project_kv(*read)), decoder(ids, *read)):
        decoder.zero_grad()
        logits.square().sum().backward()
        assert [name for name, parameter in decoder.named_parameters() if not parameter.grad.any()] == []
