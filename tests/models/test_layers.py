"""Attention, its cache and its positions, against torch's own and against closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translatotron_v.config import CanvasConfig, ImageEncoderConfig
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.models.layers import (
    Attention,
    DecoderLayer,
    Dropout,
    EncoderLayer,
    FeedForward,
    Linear,
    RelativeBias2d,
    SinusoidalPositions,
    _attend_multi_query,
    attend,
    initialise,
    plain,
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
    torch.testing.assert_close(ours(x, ours.project_kv(states, mask)), expected)
    elsewhere = torch.where(mask[..., None], states, torch.randn(B, L, M))  # what the mask hides does not matter
    torch.testing.assert_close(ours(x, ours.project_kv(elsewhere, mask)), expected)


def test_a_cpu_trains_attention_in_float32_within_autocast():
    queries, keys, values = (torch.randn(B, H, Q, D // H).bfloat16() for _ in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(queries.float(), keys.float(), values.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert attend(queries, keys, values).dtype == torch.bfloat16  # nothing is learnt
        learnt = attend(queries.requires_grad_(), keys, values)
    assert torch.equal(learnt, expected)
    learnt.sum().backward()
    assert queries.grad.dtype == torch.bfloat16 and queries.grad.abs().sum() > 0


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
    expected = attention(x, attention.project_kv(states[rows], mask[rows]))
    torch.testing.assert_close(attention(x, attention.project_kv(states, mask).select(rows)), expected)


def test_layers_do_not_look_ahead_and_encoders_do():
    x = torch.randn(B, Q, D)
    changed = x.clone()
    changed[:, 3:] = torch.randn(B, Q - 3, D)
    decoder = DecoderLayer(D, H, 2 * D, 0.0, M)
    memory = decoder.cross.project_kv(torch.randn(B, L, M), None)
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
    table = bias(torch.arange(6), 6)
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
    table = bias(torch.arange(6), 6)
    for place in range(6):
        torch.testing.assert_close(bias(torch.tensor([place]), place + 1), table[:, :, place : place + 1, : place + 1])


def test_initialise():
    layers = nn.Sequential(nn.Linear(200, 200), nn.Embedding(200, 200), nn.LayerNorm(200))
    initialise(layers)
    assert layers[0].weight.detach().std().item() == pytest.approx(0.02, rel=0.05)
    assert layers[1].weight.detach().std().item() == pytest.approx(0.02, rel=0.05)
    assert not layers[0].bias.any() and (layers[2].weight == 1).all()


def test_a_relative_bias_of_both_sides_by_hand():
    rows, columns = 3, 2
    bias = RelativeBias2d(H, rows, columns)
    nn.init.normal_(bias.row_bias)
    nn.init.normal_(bias.column_bias)
    table = bias(torch.arange(6), 6, causal=False)
    assert table.shape == (1, H, 6, 6)
    for query in range(6):
        for key in range(6):
            down, right = query // 2 - key // 2, query % 2 - key % 2
            expected = bias.row_bias[:, down + rows - 1] + bias.column_bias[:, right + columns - 1]
            torch.testing.assert_close(table[0, :, query, key], expected)


def test_no_later_key_is_read_in_a_causal_bias():
    bias = RelativeBias2d(H, 2, 3)
    nn.init.normal_(bias.row_bias)
    nn.init.normal_(bias.column_bias)
    for start, stop in ((0, 6), (0, 4), (2, 5), (5, 6)):
        queries = torch.arange(start, stop)
        later = torch.arange(stop) > queries[:, None]
        both_sides = bias(queries, stop, causal=False)
        assert both_sides.isfinite().all() and torch.equal(
            bias(queries, stop), both_sides.masked_fill(later, -math.inf)
        )


# --- the same in fewer bytes or less time -----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", range(1, 7))
@pytest.mark.parametrize("bias", [True, False])
def test_few_rows_are_multiplied_like_many(rows: int, bias: bool):
    layer = Linear(D, 24, bias=bias)
    tall = torch.randn(rows, 2, D)[:, 0]  # not contiguous
    for x in (torch.randn(rows, D), torch.randn(rows, 1, D), torch.randn(1, rows, D), torch.randn(D, rows).T, tall):
        with torch.no_grad():
            y = layer(x)
            assert y.shape == (*x.shape[:-1], 24) and y.is_contiguous()
            torch.testing.assert_close(y, F.linear(x, layer.weight, layer.bias))
        with torch.inference_mode():
            assert torch.equal(layer(x), y)


@torch.no_grad()
def test_two_to_four_rows_on_a_cpu_are_columns(monkeypatch):
    ours, as_rows = Linear(D, 24), []

    def watched(x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        as_rows.append(len(x))
        return x @ given[0].T

    monkeypatch.setattr(F, "linear", watched)
    for rows in range(1, 7):
        ours(torch.randn(rows, D))
    assert as_rows == [1, 5, 6]
    ours.to("meta")(torch.empty(3, D, device="meta"))
    with torch.enable_grad():
        Linear(D, 24)(torch.randn(3, D))
    assert as_rows == [1, 5, 6, 3, 3]


@pytest.mark.parametrize("rows", range(1, 7))
def test_gradients_of_few_rows_are_those_of_torchs_linear_map(rows: int):
    ours, theirs = Linear(D, 24), nn.Linear(D, 24)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(rows, D, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    ours(x).square().sum().backward()
    theirs(other).square().sum().backward()
    for one, wanted in ((x, other), (ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        torch.testing.assert_close(one.grad, wanted.grad)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_its_share_and_scales_the_rest(rate: float):
    layer, x = Dropout(rate), torch.randn(200, 500)
    y = layer(x)
    dropped = y == 0
    assert dropped.float().mean().item() == pytest.approx(rate, abs=0.01)
    assert dropped.float().mean(0).std().item() < 0.05  # everywhere alike
    torch.testing.assert_close(y[~dropped], x[~dropped] / (1 - rate))
    assert not torch.equal(layer(x), y)


def test_dropout_is_seeded_and_leaves_evaluation_alone():
    layer, x = Dropout(0.3), torch.randn(B, D)
    made = []
    for _ in range(2):
        torch.manual_seed(5)
        made.append(layer(x))
    assert torch.equal(*made)
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x) is x


def saved_by(compute) -> list[torch.Tensor]:
    """The tensors that a computation keeps for its backward pass."""
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        compute()
    return kept


def test_dropout_remembers_a_byte_an_element():
    x = torch.randn(B, Q, D, requires_grad=True)
    [mask] = saved_by(lambda: Dropout(0.5)(x))
    assert mask.shape == x.shape and mask.element_size() == 1
    y = Dropout(0.5)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(y == 0, 0.0, 2.0))


def test_dropout_takes_its_place_in_a_librarys_module():
    """Rates and names stay; what is a Dropout already, or another layer, is left alone."""
    own = Dropout(0.4)
    module = nn.Sequential(nn.Dropout(0.2), nn.Linear(3, 3), nn.ModuleDict({"deep": nn.Dropout(0.3), "own": own}))
    Dropout.replace_in(module)
    assert [type(part) for part in module] == [Dropout, nn.Linear, nn.ModuleDict]
    assert (module[0].p, module[2]["deep"].p) == (0.2, 0.3) and module[2]["own"] is own
    assert set(module.state_dict()) == {"1.weight", "1.bias"}


def test_an_image_encoder_has_no_dropout_of_torchs_own():
    config = ImageEncoderConfig(width=16, layers=2, heads=2, patch=[16, 8], ocr_layer=2, dropout=0.2)
    encoder = ImageEncoder(config, CanvasConfig(16, 32, 1))
    dropouts = [part for part in encoder.modules() if isinstance(part, nn.Dropout)]
    assert dropouts and all(type(part) is Dropout for part in dropouts)
    assert 0.2 in {part.p for part in dropouts}
    page = torch.rand(1, 1, 16, 32)
    assert not torch.equal(encoder(page).final, encoder(page).final)
    encoder.eval()
    assert torch.equal(encoder(page).final, encoder(page).final)


def plain_copy(layer: FeedForward) -> nn.Sequential:
    """Torch's own layers with the same weights."""
    into, _, out = layer
    plain = nn.Sequential(
        nn.Linear(into.in_features, into.out_features), nn.GELU(), nn.Linear(out.in_features, out.out_features)
    )
    plain.load_state_dict(layer.state_dict())
    return plain


@pytest.mark.parametrize("hidden", [FeedForward.WIDE - 1, FeedForward.WIDE, FeedForward.WIDE + 3])
def test_a_wide_feed_forward_has_the_values_and_gradients_of_a_plain_one(hidden: int):
    layer = FeedForward(D, hidden)
    plain = plain_copy(layer)
    x = torch.randn(B, Q, D, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    made, wanted = layer(x), plain(other)
    assert torch.equal(made, wanted)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), wanted)
    made.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad)
    for (name, one), theirs in zip(layer.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, theirs.grad, msg=name)


def test_a_wide_feed_forward_does_not_keep_what_its_gelu_gives():
    x = torch.randn(3, D, requires_grad=True)

    def keeps_it(layer: nn.Sequential) -> bool:
        given = F.gelu(layer[0](x)).detach()
        return any(one.shape == given.shape and torch.allclose(one, given) for one in saved_by(lambda: layer(x)))

    wide = FeedForward(D, FeedForward.WIDE)
    assert keeps_it(plain_copy(wide)) and keeps_it(FeedForward(D, FeedForward.WIDE - 1))
    assert not keeps_it(wide)


BOOLEAN = torch.arange(L) < torch.tensor([[3], [L]])  # (B, L)


@pytest.mark.parametrize("kind", ["none", "boolean", "bias", "bias with gaps", "bias of each page", "one query"])
def test_one_key_head_is_attended_like_copies_of_it(kind: str):
    count = 1 if kind == "one query" else Q
    gaps = torch.zeros(1, H, Q, L).masked_fill(torch.arange(L) > torch.arange(Q)[:, None] + 1, -math.inf)
    mask = {
        "none": None,
        "boolean": BOOLEAN[:, None, None],
        "bias": torch.randn(1, H, Q, L),
        "bias with gaps": torch.randn(1, H, Q, L) + gaps,
        "bias of each page": torch.randn(B, H, Q, L),
        "one query": torch.randn(1, H, 1, L),
    }[kind]
    queries = torch.randn(B, count, H, D // H).transpose(1, 2)  # as Attention makes them
    keys, values = torch.randn(B, 1, L, D // H), torch.randn(B, 1, L, D // H)
    for part in (queries, keys, values):
        part.requires_grad_()
    wanted = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, enable_gqa=True)
    made = _attend_multi_query(queries.transpose(1, 2), keys, values, mask).transpose(1, 2)
    assert made.shape == (B, H, count, D // H)
    torch.testing.assert_close(made, wanted)
    pull = torch.randn_like(wanted)
    for one, other in zip(
        torch.autograd.grad(made, (queries, keys, values), pull),
        torch.autograd.grad(wanted, (queries, keys, values), pull),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("causal", [True, False])
def test_a_learned_bias_of_one_key_head_has_its_gradients(causal: bool):
    bias = RelativeBias2d(H, 2, 3)
    nn.init.normal_(bias.row_bias)
    nn.init.normal_(bias.column_bias)
    parts = [torch.randn(B, heads, 6, D // H, requires_grad=True) for heads in (H, 1, 1)]
    learned = [*parts, bias.row_bias, bias.column_bias]
    pull = torch.randn(B, H, 6, D // H)
    made = _attend_multi_query(parts[0].transpose(1, 2), *parts[1:], bias(torch.arange(6), 6, causal)).transpose(1, 2)
    found = torch.autograd.grad(made, learned, pull)
    wanted = F.scaled_dot_product_attention(*parts, attn_mask=bias(torch.arange(6), 6, causal), enable_gqa=True)
    torch.testing.assert_close(made, wanted)
    for one, other in zip(found, torch.autograd.grad(wanted, learned, pull), strict=True):
        assert one.isfinite().all() and one.any()
        torch.testing.assert_close(one, other)


def test_a_learned_bias_keeps_no_weights_of_the_attention():
    """H Q x L weights are most of what a decoder's training would hold; they are computed again."""
    bias = nn.Parameter(torch.randn(1, H, Q, L))
    parts = [torch.randn(B, heads, length, D // H, requires_grad=True) for heads, length in ((H, Q), (1, L), (1, L))]
    queries, size = parts[0].transpose(1, 2), B * H * Q * L
    kept = saved_by(lambda: F.scaled_dot_product_attention(*parts, attn_mask=bias, enable_gqa=True))
    assert size in [tensor.numel() for tensor in kept]
    assert (
        max([tensor.numel() for tensor in saved_by(lambda: _attend_multi_query(queries, *parts[1:], bias))], default=0)
        < size
    )


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_plain_module_computes_what_the_module_computes(dropout: float):
    """Properties, bases' methods, missing parts, lists and sequences of modules; dropout as the module's mode says."""
    encoder = EncoderLayer(D, H, 32, dropout)
    parts = nn.Sequential(nn.Identity(), encoder, nn.GELU(), Linear(D, 3, bias=False))
    x = torch.randn(B, Q, D)
    for mode in (True, False):
        parts.train(mode)
        torch.manual_seed(0)
        expected = parts(x)
        torch.manual_seed(0)
        assert torch.equal(plain(parts)(x), expected)
    assert not any(isinstance(part, nn.Module) for part in vars(plain(encoder)).values())


def test_a_static_cache_reads_all_of_itself_and_writes_at_its_place():
    attention, place = Attention(D, H, kv_heads=2), torch.zeros(1, dtype=torch.long)
    x = torch.randn(B, Q, D)
    cache = attention.new_cache(x, Q + 3, place)
    expected = attention(x, causal=True)
    for i in range(Q):
        mask = (torch.arange(Q + 3) <= place)[None, None, None]
        step = attention(x[:, i : i + 1], cache=cache, mask=mask)
        torch.testing.assert_close(step, expected[:, i : i + 1], rtol=1e-5, atol=1e-6)
        place += 1
    assert cache.keys[:, :, Q:].eq(0).all() and cache.keys[:, :, :Q].any()
