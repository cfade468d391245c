"""RoPE against complex numbers and Hugging Face's; what it promises; the precision of tables."""

from __future__ import annotations

import copy
import math
import pickle
import re

import numpy as np
import oracles
import pytest
import torch

from llama_tutorial.rope import (
    RotaryPositions,
    apply_rope,
    for_features,
    rope_table,
    rotate,
    to_half_split,
    to_interleaved,
)


def vectors(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def table(head_dim=8, max_seq_len=64, theta=10000.0, dtype=torch.float64):
    return rope_table(head_dim, max_seq_len, theta, dtype=dtype)


def at(x, position, theta=10000.0):
    """The vectors ``x``, all turned as if they stood at ``position``."""
    cos, sin = table(x.shape[-1], position + 1, theta)
    return apply_rope(x.unsqueeze(-2), cos[position:], sin[position:]).squeeze(-2)


# The tables


@pytest.mark.parametrize(("head_dim", "theta"), [(2, 10000.0), (8, 500.0), (128, 1e6)])
def test_the_table_is_cosines_and_sines(head_dim, theta):
    cos, sin = rope_table(head_dim, 4096, theta)
    assert cos.shape == sin.shape == (4096, head_dim // 2)
    assert cos.dtype == sin.dtype == torch.float32
    for m in (0, 1, 17, 4095):
        for j in range(head_dim // 2):
            angle = m * theta ** (-2 * j / head_dim)
            assert cos[m, j].item() == pytest.approx(math.cos(angle), abs=1e-7)
            assert sin[m, j].item() == pytest.approx(math.sin(angle), abs=1e-7)


def test_theta_is_10000_unless_told():
    assert torch.equal(rope_table(8, 16)[0], rope_table(8, 16, 10000.0)[0])
    assert not torch.equal(rope_table(8, 16)[0], rope_table(8, 16, 500.0)[0])


def test_the_first_pair_turns_by_one_radian_a_position():
    cos, sin = table()
    assert cos[1, 0].item() == pytest.approx(math.cos(1))
    assert sin[1, 0].item() == pytest.approx(math.sin(1))


def test_the_table_goes_where_it_is_told():
    assert rope_table(8, 4, device="meta")[0].device.type == "meta"
    with torch.device("meta"):
        assert rope_table(8, 4)[0].device.type == "meta"
    assert rope_table(8, 4, dtype=torch.float64)[1].dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7, 4), "head_dim=7: RoPE rotates pairs, so it must be even and at least 2"),
        ((0, 4), "head_dim=0: RoPE rotates pairs"),
        ((-2, 4), "head_dim=-2: RoPE rotates pairs"),
        ((8, 0), "max_seq_len=0: must be at least 1"),
    ],
)
def test_the_table_refuses(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        rope_table(*arguments)


# The rotation


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("theta", [10000.0, 500.0])
def test_equals_complex_multiplication(dtype, atol, theta):
    x = vectors(2, 3, 40, 6, dtype=dtype)  # (B, H, T, h)
    y = apply_rope(x, *rope_table(6, 40, theta, dtype=dtype))
    for b, i, t in np.ndindex(2, 3, 40):
        expected = oracles.rope_interleaved(x[b, i, t].double().numpy(), t, theta)
        np.testing.assert_allclose(y[b, i, t], expected, rtol=0, atol=atol)


def test_equals_metas_view_as_complex():
    x = vectors(2, 3, 40, 6, dtype=torch.float32)
    cos, sin = rope_table(6, 40)
    turned = torch.view_as_complex(x.unflatten(-1, (-1, 2))) * torch.complex(cos, sin)
    expected = torch.view_as_real(turned).flatten(-2)
    torch.testing.assert_close(apply_rope(x, cos, sin), expected, rtol=0, atol=1e-6)


def test_equals_hugging_face_after_the_permutation():
    pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    q, k = vectors(2, 4, 50, 8, dtype=torch.float32), vectors(2, 2, 50, 8, dtype=torch.float32)
    cos, sin = rope_table(8, 50)
    doubled = [torch.cat((t, t), -1)[None] for t in (cos, sin)]
    halves = [torch.cat((x[..., 0::2], x[..., 1::2]), -1) for x in (q, k)]
    for ours, theirs in zip((q, k), apply_rotary_pos_emb(*halves, *doubled), strict=True):
        mine = apply_rope(ours, cos, sin)
        mine = torch.cat((mine[..., 0::2], mine[..., 1::2]), -1)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_neighbours_are_a_pair():
    x = torch.zeros(1, 4, dtype=torch.float64)
    x[0, 0] = 1.0
    turned = at(x, 3)
    assert turned[0, :2].tolist() == pytest.approx([math.cos(3), math.sin(3)])
    assert turned[0, 2:].tolist() == [0.0, 0.0]


def test_position_0_is_the_identity():
    x = vectors(5, 8)
    assert torch.equal(at(x, 0), x)


@pytest.mark.parametrize("position", [1, 63, 4095])
def test_norms_are_kept(position):
    x = vectors(10, 8)
    torch.testing.assert_close(at(x, position).norm(dim=-1), x.norm(dim=-1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("theta", [10000.0, 500.0])
def test_a_score_depends_on_the_distance_alone(theta):
    q, k = vectors(10, 8, seed=1), vectors(10, 8, seed=2)
    for distance in (0, 1, 5, 40):
        scores = [
            (at(q, n + distance, theta) * at(k, n, theta)).sum(-1) for n in (0, 1, 17, 100, 3000)
        ]
        for score in scores[1:]:
            torch.testing.assert_close(score, scores[0], rtol=0, atol=1e-9)
    near, far = ((at(q, n, theta) * at(k, 0, theta)).sum(-1) for n in (1, 40))
    assert (near - far).abs().max() > 0.1  # and it does depend on that


def test_a_rotation_forward_and_backward_is_none():
    x, (cos, sin) = vectors(3, 20, 8), table(8, 20)
    torch.testing.assert_close(apply_rope(apply_rope(x, cos, sin), cos, -sin), x, rtol=0, atol=1e-9)


def test_rotations_add_up():
    x = vectors(4, 8)
    torch.testing.assert_close(at(at(x, 5), 9), at(x, 14), rtol=0, atol=1e-9)


def test_rows_may_stand_at_different_positions():
    x, (cos, sin) = vectors(2, 3, 4, 8), table()
    places = torch.tensor([[0, 1, 2, 3], [30, 31, 2, 40]])
    y = apply_rope(x, cos[places].unsqueeze(1), sin[places].unsqueeze(1))
    for b, t in np.ndindex(2, 4):
        torch.testing.assert_close(y[b, :, t], at(x[b, :, t], int(places[b, t])))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_turned_in_float32_and_rounded_once(dtype):
    x, (cos, sin) = vectors(3, 64, 8, dtype=torch.float32).to(dtype), rope_table(8, 64)
    y = apply_rope(x, cos, sin)
    assert y.dtype == dtype
    assert torch.equal(y, apply_rope(x.float(), cos, sin).to(dtype))


@pytest.mark.parametrize("x_dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("table_dtype", [torch.float32, torch.float64])
def test_the_wider_dtype_counts(x_dtype, table_dtype):
    x, tables = vectors(3, 64, 8, dtype=x_dtype), rope_table(8, 64, dtype=table_dtype)
    y = apply_rope(x, *tables)
    assert y.dtype == x_dtype
    wide = apply_rope(x.double(), *(t.double() for t in tables)).to(x_dtype)
    torch.testing.assert_close(y, wide, rtol=0, atol=0 if table_dtype != x_dtype else 1e-6)


def test_factors_for_features_do_what_tables_for_pairs_do():
    x, tables = vectors(2, 3, 20, 8), table(8, 20)
    rotation = for_features(*tables)
    assert [t.shape for t in rotation] == [(20, 8), (20, 8)]
    assert torch.equal(rotate(x, rotation), apply_rope(x, *tables))


@pytest.mark.parametrize("head_dim", [4, 16])
def test_tables_of_another_width_are_no_tables(head_dim, unchecked):
    with pytest.raises(RuntimeError):
        apply_rope(vectors(3, 20, 8), *table(head_dim, 20))


# The two layouts


@pytest.mark.parametrize("columns", [(5,), ()])  # a weight, a bias
def test_the_layouts_undo_each_other(columns):
    weight = vectors(24, *columns)
    for n_heads in (1, 2, 3, 12):
        assert torch.equal(to_interleaved(to_half_split(weight, n_heads), n_heads), weight)
        assert torch.equal(to_half_split(to_interleaved(weight, n_heads), n_heads), weight)


def test_the_permutation_row_by_row():
    rows = torch.arange(16.0)
    assert to_half_split(rows, 2).tolist() == [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15]
    assert to_interleaved(rows, 2).tolist() == [
        *(0, 4, 1, 5, 2, 6, 3, 7),
        *(8, 12, 9, 13, 10, 14, 11, 15),
    ]


def test_the_wrong_number_of_heads_gives_another_matrix():
    weight = vectors(24, 5)
    assert not torch.equal(to_half_split(weight, 2), to_half_split(weight, 3))


def test_permuted_rows_give_the_same_scores_in_the_other_layout():
    """One head: Meta's rotation of W x equals Hugging Face's of the permuted W x, reordered."""
    wq, wk = (vectors(8, 5, seed=s).numpy() for s in (1, 2))
    hq, hk = (to_half_split(torch.from_numpy(w), 1).numpy() for w in (wq, wk))
    x, y = vectors(5, seed=3).numpy(), vectors(5, seed=4).numpy()
    for m, n in ((0, 0), (7, 3), (40, 2)):
        meta = oracles.rope_interleaved(wq @ x, m) @ oracles.rope_interleaved(wk @ y, n)
        hf = oracles.rope_half_split(hq @ x, m) @ oracles.rope_half_split(hk @ y, n)
        assert meta == pytest.approx(hf, abs=1e-12)
        unpermuted = oracles.rope_half_split(wq @ x, m) @ oracles.rope_half_split(wk @ y, n)
        # Forgotten, the permutation goes unnoticed at position 0 and nowhere else.
        assert (abs(meta - unpermuted) > 1e-3) == ((m, n) != (0, 0))


# The module that keeps the tables


def test_tables_are_no_part_of_the_state():
    rope = RotaryPositions(8, 16, 10000.0)
    assert rope.state_dict() == {}
    assert [name for name, _ in rope.named_buffers()] == ["cos", "sin"]


MOVES = {
    "to bfloat16": (lambda m: m.to(torch.bfloat16), torch.float32),
    "bfloat16()": (lambda m: m.bfloat16(), torch.float32),
    "half()": (lambda m: m.half(), torch.float32),
    "double()": (lambda m: m.double(), torch.float64),
    "half then float": (lambda m: m.half().float(), torch.float32),
    "double then bfloat16": (lambda m: m.double().bfloat16(), torch.float32),
    "meta then to_empty": (lambda m: m.to("meta").to_empty(device="cpu"), torch.float32),
    "deepcopy": (copy.deepcopy, torch.float32),
    "deepcopy then half": (lambda m: copy.deepcopy(m).half(), torch.float32),
    "pickle": (lambda m: pickle.loads(pickle.dumps(m)), torch.float32),
}


@pytest.mark.parametrize("move", MOVES)
def test_tables_survive(move):
    change, dtype = MOVES[move]
    rope = change(RotaryPositions(128, 4096, 10000.0))
    cos, sin = rope_table(128, 4096, dtype=dtype)
    assert rope.cos.dtype == dtype
    assert torch.equal(rope.cos, cos)
    assert torch.equal(rope.sin, sin)


def test_rounded_tables_would_not_tell_neighbours_apart():
    """Why the tables stay in float32: what bfloat16 leaves of 4096 positions."""
    positions = torch.arange(4096)
    assert positions.bfloat16().unique().numel() == 769
    rope = RotaryPositions(128, 4096, 10000.0).bfloat16()
    assert (rope.cos[4094] != rope.cos[4095]).any()
    assert (rope.sin[4094] != rope.sin[4095]).sum() > 60  # of 64 pairs


def test_tables_take_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        assert RotaryPositions(8, 4, 10000.0).cos.dtype == torch.float64
        torch.set_default_dtype(torch.bfloat16)
        assert RotaryPositions(8, 4, 10000.0).cos.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
