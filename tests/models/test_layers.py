"""Attention, its cache and its positions, against torch's own and against closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translatotron_v.models.layers import (
    Attention,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    RelativeBias2d,
    SinusoidalPositions,
    initialise,
)

B, Q, L, D, M, H = 2, 5, 7, 16, 12, 4


def copy_into(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    """Give torch's multi-head attention our weights."""
    keys, values = ours.key_value.weight.chunk(2)
    key_bias, value_bias = ours.key_value.bias.chunk(2)
    with torch.no_grad():
        if theirs.in_proj_weight is None:
            theirs.q_proj_weight.copy_(ours.query.weight)
            theirs.k_proj_weight.copy_(keys)
            theirs.v_proj_weight.copy_(values)
        else:
            theirs.in_proj_weight.copy_(torch.cat((ours.query.weight, keys, values)))
        theirs.in_proj_bias.copy_(torch.cat((ours.query.bias, key_bias, value_bias)))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_self_attention_is_torchs():
    ours, theirs = Attention(D, H), nn.MultiheadAttention(D, H, batch_first=True)
    copy_into(theirs, ours)
    x = torch.randn(B, Q, D)
    torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0])
    later = torch.ones(Q, Q, dtype=torch.bool).triu(1)
    torch.testing.assert_close(ours(x, causal=True), theirs(x, x, x, attn_mask=later, need_weights=False)[0])


def test_masked_cross_attention_is_torchs():
    ours, theirs = Attention(D, H, M), nn.MultiheadAttention(D, H, kdim=M, vdim=M, batch_first=True)
    copy_into(theirs, ours)
    x, states = torch.randn(B, Q, D), torch.randn(B, L, M)
    mask = torch.arange(L)[None] < torch.tensor([[3], [L]])
    expected = theirs(x, states, states, key_padding_mask=~mask, need_weights=False)[0]
    torch.testing.assert_close(ours(x, ours.remember(states, mask)), expected)
    elsewhere = torch.where(mask[..., None], states, torch.randn(B, L, M))  # what the mask hides does not matter
    torch.testing.assert_close(ours(x, ours.remember(elsewhere, mask)), expected)


def test_attention_by_hand():
    ours = Attention(D, H)
    x = torch.randn(1, Q, D)
    queries, keys, values = ours.query(x), *ours.key_value(x).chunk(2, -1)
    heads = []
    for h in range(H):
        part = slice(h * D // H, (h + 1) * D // H)
        scores = queries[..., part] @ keys[..., part].transpose(1, 2) / math.sqrt(D // H)
        heads.append(scores.softmax(-1) @ values[..., part])
    torch.testing.assert_close(ours(x), ours.out(torch.cat(heads, -1)))


@pytest.mark.parametrize("groups", [1, 2])
def test_fewer_key_value_heads_are_shared_ones(groups: int):
    """Multi-query attention equals multi-head attention whose key/value heads are copies."""
    few, many = Attention(D, H, kv_heads=groups), Attention(D, H)
    assert few.key_value.out_features == 2 * groups * D // H
    many.load_state_dict(
        few.state_dict() | {f"key_value.{n}": many.key_value.state_dict()[n] for n in ("weight", "bias")}
    )
    with torch.no_grad():
        for name in ("weight", "bias"):
            parameter = getattr(few.key_value, name)
            parts = parameter.unflatten(0, (2, groups, D // H)).repeat_interleave(H // groups, dim=1)
            getattr(many.key_value, name).copy_(parts.flatten(0, 2))
    x = torch.randn(B, Q, D)
    torch.testing.assert_close(few(x, causal=True), many(x, causal=True))


@pytest.mark.parametrize("groups", [1, 4])
def test_cached_steps_equal_the_full_pass(groups: int):
    attention = Attention(D, H, kv_heads=groups)
    x = torch.randn(B, Q, D)
    cache = attention.new_cache(x, capacity=9)
    steps = [attention(x[:, i : i + 1], cache=cache) for i in range(Q)]
    torch.testing.assert_close(torch.cat(steps, 1), attention(x, causal=True), rtol=1e-5, atol=1e-6)
    assert cache.length == Q and cache.keys.shape == (B, groups, 9, D // H)


def test_a_cache_is_rearranged_with_its_batch():
    attention = Attention(D, H)
    x = torch.randn(3, Q, D)
    cache = attention.new_cache(x, Q)
    for i in range(Q - 1):
        attention(x[:, i : i + 1], cache=cache)
    rows = torch.tensor([2, 0, 0])
    cache.reorder(rows)
    again = attention(x[rows, Q - 1 :], cache=cache)
    torch.testing.assert_close(again, attention(x[rows], causal=True)[:, -1:], rtol=1e-5, atol=1e-6)


def test_a_memory_is_selected_with_its_mask():
    attention = Attention(D, H, M)
    x, states, mask = torch.randn(3, 1, D), torch.randn(3, L, M), torch.rand(3, L) < 0.7
    mask[:, 0] = True
    rows = torch.tensor([1, 1, 2])
    expected = attention(x, attention.remember(states[rows], mask[rows]))
    torch.testing.assert_close(attention(x, attention.remember(states, mask).select(rows)), expected)


def test_layers_do_not_look_ahead_and_encoders_do():
    x = torch.randn(B, Q, D)
    changed = x.clone()
    changed[:, 3:] = torch.randn(B, Q - 3, D)
    decoder = DecoderLayer(D, H, 2 * D, 0.0, M)
    memory = decoder.cross.remember(torch.randn(B, L, M), None)
    torch.testing.assert_close(decoder(x, memory)[:, :3], decoder(changed, memory)[:, :3])
    assert not torch.allclose(decoder(x, memory)[:, 3:], decoder(changed, memory)[:, 3:])
    encoder = EncoderLayer(D, H, 2 * D, 0.0)
    assert not torch.allclose(encoder(x)[:, :3], encoder(changed)[:, :3])
    mask = (torch.arange(Q) < 3)[None, None, None]
    torch.testing.assert_close(encoder(x, mask)[:, :3], encoder(changed, mask)[:, :3])


def test_an_encoder_layer_is_torchs():
    ours = EncoderLayer(D, H, 3 * D, 0.0)
    theirs = nn.TransformerEncoderLayer(D, H, 3 * D, 0.0, "gelu", batch_first=True, norm_first=True)
    copy_into(theirs.self_attn, ours.attention)
    theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
    theirs.norm2.load_state_dict(ours.feed_forward_norm.state_dict())
    theirs.linear1.load_state_dict(ours.feed_forward[0].state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward[2].state_dict())
    x = torch.randn(B, Q, D)
    torch.testing.assert_close(ours(x), theirs(x))


def test_feed_forward():
    layer = FeedForward(D, 24)
    x = torch.randn(3, D)
    torch.testing.assert_close(layer(x), layer[2](F.gelu(layer[0](x))))


def test_sinusoidal_positions():
    positions = SinusoidalPositions(D, 6)
    expected = torch.tensor(
        [[(math.sin, math.cos)[i % 2](p / 10_000 ** (2 * (i // 2) / D)) for i in range(D)] for p in range(20)]
    )
    torch.testing.assert_close(positions(0, 6), expected[:6])
    torch.testing.assert_close(positions(4, 1), expected[4:5])
    torch.testing.assert_close(positions(3, 17), expected[3:20])  # longer than it was built for
    assert not positions.state_dict()


def test_relative_bias_by_hand():
    rows, columns = 2, 3
    bias = RelativeBias2d(H, rows, columns)
    nn.init.normal_(bias.row_bias)
    nn.init.normal_(bias.column_bias)
    table = bias(0, 6)
    assert table.shape == (1, H, 6, 6)
    for query in range(6):
        for key in range(6):
            down, right = query // 3 - key // 3, query % 3 - key % 3
            expected = bias.row_bias[:, down + rows - 1] + bias.column_bias[:, right + columns - 1]
            if key > query:
                assert (table[0, :, query, key] == float("-inf")).all()
            else:
                torch.testing.assert_close(table[0, :, query, key], expected)


def test_a_row_of_the_relative_bias_is_that_of_the_table():
    bias = RelativeBias2d(H, 2, 3)
    nn.init.normal_(bias.row_bias)
    nn.init.normal_(bias.column_bias)
    table = bias(0, 6)
    for place in range(6):
        torch.testing.assert_close(bias(place, place + 1), table[:, :, place : place + 1, : place + 1])


def test_initialise():
    layers = nn.Sequential(nn.Linear(200, 200), nn.Embedding(200, 200), nn.LayerNorm(200))
    initialise(layers)
    assert layers[0].weight.detach().std().item() == pytest.approx(0.02, rel=0.05)
    assert layers[1].weight.detach().std().item() == pytest.approx(0.02, rel=0.05)
    assert not layers[0].bias.any() and (layers[2].weight == 1).all()
