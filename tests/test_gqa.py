"""Grouped-query attention: the fast path, the written-out path and plain float64 are one."""

from __future__ import annotations

import re

import numpy as np
import oracles
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from llama_tutorial import GroupedQueryAttention
from llama_tutorial.gqa import attention_weights, causal_mask, repeat_kv
from llama_tutorial.model import document_positions
from llama_tutorial.rope import rope_table, to_half_split

HEADS = [(4, 4), (4, 2), (4, 1), (6, 3), (1, 1)]


def tensors(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def random_layer(dim=24, n_heads=4, n_kv_heads=None, bias=False, dtype=torch.float64):
    layer = GroupedQueryAttention(dim, n_heads, n_kv_heads, bias).to(dtype)
    generator = torch.Generator().manual_seed(1)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return layer


def causal(T, S):
    return torch.ones(1, 1, T, S, dtype=torch.bool).tril(S - T)


# Two heads side by side


def test_each_head_is_repeated_in_place():
    heads = torch.arange(2.0)[None, :, None, None].expand(1, 2, 3, 4)
    assert repeat_kv(heads, 2)[0, :, 0, 0].tolist() == [0, 0, 1, 1]  # not 0, 1, 0, 1
    assert repeat_kv(heads, 3)[0, :, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(repeat_kv(heads, 1), heads)


def test_repeating_equals_hugging_faces():
    pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import repeat_kv as theirs

    (x,) = tensors((2, 3, 5, 4))
    assert torch.equal(repeat_kv(x, 4), theirs(x, 4))


# The two paths


def fused(q, k, v, mask=None):
    """What the layer does between its projections, for heads that are given."""
    layer = GroupedQueryAttention(q.shape[1] * 6, q.shape[1], k.shape[1]).to(q.dtype)
    nn.init.eye_(layer.wo.weight)
    layer.project_qkv = lambda *_: (q, k, v)
    y = layer(torch.zeros(*q.shape[:1], q.shape[2], q.shape[1] * 6, dtype=q.dtype), None, mask)
    return y.detach().unflatten(-1, (-1, 6)).transpose(1, 2)  # (B, H, T, h)


@pytest.mark.parametrize(("H", "K"), HEADS)
@pytest.mark.parametrize("T", [5, 1])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_both_paths_equal_the_formula_without_a_mask(H, K, T, dtype, atol):
    q, k, v = tensors((2, H, T, 6), (2, K, T, 6), (2, K, T, 6), dtype=dtype)
    y, weights = fused(q, k, v), attention_weights(q, k)
    for b in range(2):
        rows = (x[b].double().numpy() for x in (q, k, v))
        expected, w = oracles.attend(*rows, causal(T, T)[0, 0].numpy())
        np.testing.assert_allclose(y[b], expected, rtol=0, atol=atol)
        np.testing.assert_allclose(weights[b], w, rtol=0, atol=atol)


@pytest.mark.parametrize(("H", "K"), HEADS)
@pytest.mark.parametrize("rows", [1, 2])
def test_both_paths_equal_the_formula_with_a_mask(H, K, rows):
    q, k, v = tensors((2, H, 3, 6), (2, K, 7, 6), (2, K, 7, 6))
    mask = torch.rand(rows, 1, 3, 7, generator=torch.Generator().manual_seed(3)) < 0.5
    mask[..., 0] = True  # every query sees something
    y, weights = fused(q, k, v, mask), attention_weights(q, k, mask)
    for b in range(2):
        sees = mask.expand(2, 1, 3, 7)[b, 0].numpy()
        expected, w = oracles.attend(q[b].numpy(), k[b].numpy(), v[b].numpy(), sees)
        np.testing.assert_allclose(y[b], expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(weights[b], w, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("H", "K"), HEADS)
def test_the_written_out_weights_give_the_fast_paths_output(H, K):
    q, k, v = tensors((2, H, 5, 6), (2, K, 5, 6), (2, K, 5, 6))
    written_out = attention_weights(q, k) @ repeat_kv(v, H // K)
    torch.testing.assert_close(fused(q, k, v), written_out, rtol=0, atol=1e-9)


def test_without_a_mask_the_queries_are_the_last():
    q, k = tensors((1, 2, 3, 4), (1, 2, 7, 4))
    expected = attention_weights(q, k, causal(3, 7))
    assert torch.equal(attention_weights(q, k), expected)


def test_weights_are_a_distribution_over_the_past():
    q, k = tensors((2, 4, 6, 8), (2, 2, 6, 8))
    weights = attention_weights(q, k)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 6).double(), rtol=0, atol=1e-12)
    assert (weights >= 0).all()
    assert torch.equal(weights, weights.tril())
    assert torch.equal(weights[:, :, 0, 0], torch.ones(2, 4).double())


def test_the_scale_is_one_over_the_root_of_the_head_width():
    q = torch.zeros(1, 1, 2, 4, dtype=torch.float64)
    q[..., 0] = 1.0
    k = torch.tensor([[3.0, 0, 0, 0], [1.0, 0, 0, 0]], dtype=torch.float64)[None, None]
    odds = attention_weights(q, k)[0, 0, 1, 0] / attention_weights(q, k)[0, 0, 1, 1]
    assert odds.log().item() == pytest.approx((3 - 1) / 4**0.5)


def test_a_lone_query_sees_every_key():
    """torch's is_causal with one query would let it see the first key alone."""
    q, k, v = tensors((1, 2, 1, 6), (1, 2, 9, 6), (1, 2, 9, 6))
    mask = causal_mask(torch.tensor([[8]]), torch.arange(9)[None])
    assert mask.all()
    trap = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(trap, v[:, :, :1], rtol=0, atol=1e-12)
    y = fused(q, k, v, mask)
    torch.testing.assert_close(y, attention_weights(q, k, mask) @ v, rtol=0, atol=1e-12)
    assert (y - trap).abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_are_summed_in_float32(dtype):
    q, k = tensors((1, 1, 1, 64), (1, 1, 4096, 64), dtype=dtype)
    mask = torch.ones(1, 1, 1, 4096, dtype=torch.bool)
    weights = attention_weights(0 * q, k, mask)
    assert weights.dtype == dtype
    assert weights.unique().tolist() == [1 / 4096]


# Grouped heads and whole heads


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_as_many_key_heads_as_query_heads_is_torchs_multi_head_attention(dtype, atol):
    ours, (x,) = random_layer(bias=True, dtype=dtype), tensors((2, 7, 24), dtype=dtype)
    theirs = nn.MultiheadAttention(24, 4, batch_first=True, dtype=dtype)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([w.weight for w in (ours.wq, ours.wk, ours.wv)]))
        theirs.in_proj_bias.copy_(torch.cat([w.bias for w in (ours.wq, ours.wk, ours.wv)]))
        theirs.out_proj.load_state_dict(ours.wo.state_dict())
    expected, _ = theirs(x, x, x, attn_mask=~causal(7, 7)[0, 0], need_weights=False)
    torch.testing.assert_close(ours(x), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_grouped_heads_equal_whole_heads_with_repeated_weights(n_kv_heads):
    grouped = random_layer(n_kv_heads=n_kv_heads, bias=True)
    whole = GroupedQueryAttention(24, 4, bias=True).double()
    state = grouped.state_dict()
    for name in ("wk.weight", "wk.bias", "wv.weight", "wv.bias"):
        heads = state[name].unflatten(0, (n_kv_heads, 6))
        state[name] = heads.repeat_interleave(4 // n_kv_heads, 0).flatten(0, 1)
    whole.load_state_dict(state)
    (x,) = tensors((2, 7, 24))
    rotation = rope_table(6, 7, dtype=torch.float64)
    torch.testing.assert_close(grouped(x, rotation), whole(x, rotation), rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_the_layer_equals_hugging_faces(n_kv_heads):
    transformers = pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import LlamaAttention

    ours = random_layer(n_kv_heads=n_kv_heads, dtype=torch.float32)
    config = transformers.LlamaConfig(
        hidden_size=24, num_attention_heads=4, num_key_value_heads=n_kv_heads
    )
    config._attn_implementation = "eager"
    theirs = LlamaAttention(config, 0)
    state = {f"{name[1]}_proj.weight": weight for name, weight in ours.state_dict().items()}
    state["q_proj.weight"] = to_half_split(state["q_proj.weight"], 4)
    state["k_proj.weight"] = to_half_split(state["k_proj.weight"], n_kv_heads)
    theirs.load_state_dict(state)
    (x,) = tensors((2, 7, 24), dtype=torch.float32)
    cos, sin = rope_table(6, 7)
    doubled = tuple(torch.cat((t, t), -1)[None] for t in (cos, sin))
    mask = torch.zeros(1, 1, 7, 7).masked_fill(~causal(7, 7), -torch.inf)
    torch.testing.assert_close(
        ours(x, (cos, sin)), theirs(x, doubled, mask)[0], rtol=1e-5, atol=1e-5
    )


def test_names_and_shapes_are_metas():
    shapes = {n: tuple(p.shape) for n, p in GroupedQueryAttention(24, 4, 2).named_parameters()}
    assert shapes == {
        "wq.weight": (24, 24),
        "wk.weight": (12, 24),
        "wv.weight": (12, 24),
        "wo.weight": (24, 24),
    }
    biased = {n for n, _ in GroupedQueryAttention(24, 4, bias=True).named_parameters()}
    assert biased == {*shapes, "wq.bias", "wk.bias", "wv.bias", "wo.bias"}


@pytest.mark.parametrize("sizes", [(24, 5), (24, 4, 3), (24, 4, 8), (24, 4, 0), (24, 0)])
def test_heads_that_do_not_divide_are_refused(sizes):
    dim, n_heads, n_kv_heads = (*sizes, sizes[1])[:3]
    message = (
        f"dim={dim}, n_heads={n_heads}, n_kv_heads={n_kv_heads}: n_heads must divide dim, "
        "and n_kv_heads must divide n_heads"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        GroupedQueryAttention(*sizes)


# Who sees whom


def brute_force(starts, T, S, documents=None):
    mask = torch.zeros(len(starts), 1, T, S, dtype=torch.bool)
    for b, i, j in np.ndindex(len(starts), T, S):
        mask[b, 0, i, j] = j <= starts[b] + i
        if documents is not None:
            mask[b, 0, i, j] &= len(set(documents[b][j : i + 1])) == 1  # one run from j to i
    return mask


def numbered(*rows):
    """Positions that follow each other, from one start a row."""
    return torch.tensor([[start + i for i in range(n)] for start, n in rows])


@pytest.mark.parametrize(("start", "T"), [(0, 5), (0, 1), (3, 1), (3, 4), (1, 2), (6, 2)])
def test_tokens_after_a_cache_see_all_of_it_and_their_own_past(start, T):
    mask = causal_mask(numbered((start, T)), numbered((0, start + T)))
    assert torch.equal(mask, brute_force([start], T, start + T))


@pytest.mark.parametrize("T", [1, 3])
def test_each_row_has_its_own_horizon(T):
    starts = [4, 0, 2]
    mask = causal_mask(numbered(*((start, T) for start in starts)), numbered((0, 4 + T)))
    assert torch.equal(mask, brute_force(starts, T, 4 + T))


def test_without_a_cache_only_distances_count():
    positions = numbered((5, 4))
    assert torch.equal(causal_mask(positions, positions), brute_force([0], 4, 4))


def test_documents_do_not_see_each_other():
    documents = torch.tensor([[0, 0, 0, 1, 1, 2], [7, 7, 3, 3, 7, 7], [1, 1, 1, 1, 1, 1]])
    positions = document_positions(documents)
    assert positions.tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 0, 1, 0, 1], [0, 1, 2, 3, 4, 5]]
    mask = causal_mask(positions, positions, documents)
    assert torch.equal(mask, brute_force([0, 0, 0], 6, 6, documents.tolist()))
    assert not mask[1, 0, 5, 0]  # the second document numbered 7 is another one
