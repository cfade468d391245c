"""The mistakes of the museum: each is the one that it says, and it goes away without a trace."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_models import GPT2, LLAMA

from llama_tutorial import KVCache, Transformer
from llama_tutorial.bugs import BUGS, break_model, broken_prompt, right_model
from llama_tutorial.quantization import quantize, quantize_int4
from llama_tutorial.quantization.linear import quantize_model
from llama_tutorial.rope import to_half_split, to_interleaved

CONFIG = LLAMA.replace(n_kv_heads=2, n_layers=3)
ROUNDED = [name for name, bug in BUGS.items() if bug.chapter == "quantization"]
TOKENS = torch.tensor([[1, 5, 36, 0, 5, 17, 9], [1, 2, 3, 4, 30, 31, 32]])


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(CONFIG).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model.requires_grad_(False)


def logits_of(model: Transformer) -> torch.Tensor:
    return model(TOKENS)


def in_steps(model: Transformer) -> torch.Tensor:
    """One token at a time: (B, T, V)."""
    cache = KVCache(model.config, batch_size=2, dtype=torch.float64)
    return torch.cat([model(TOKENS[:, t : t + 1], cache) for t in range(TOKENS.shape[1])], dim=1)


def broken(model: Transformer, bug: str, run: Callable = logits_of) -> torch.Tensor:
    with break_model(model, bug):
        return run(model)


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_comes_and_goes(model, bug: str) -> None:
    other = copy.deepcopy(model)
    right, state = in_steps(model), copy.deepcopy(model.state_dict())
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    with right_model(model, bug) as same:
        assert same is model
        beside = in_steps(model)
    assert torch.equal(beside, right) == (bug not in ROUNDED)
    assert torch.equal(in_steps(model), right)
    with break_model(model, bug) as same:
        assert same is model
        wrong = in_steps(model)
        assert torch.equal(in_steps(other), right)
    assert torch.equal(in_steps(model), right)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before
    assert all(torch.equal(state[name], one) for name, one in model.state_dict().items())
    assert wrong.shape == right.shape
    changed = not torch.allclose(wrong, beside, rtol=0, atol=1e-9)
    assert changed == (not BUGS[bug].harmless and BUGS[bug].prompt is None)


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_goes_when_its_block_fails(model, bug: str) -> None:
    right = in_steps(model)
    with pytest.raises(RuntimeError, match="in between"), break_model(model, bug):
        raise RuntimeError("in between")
    assert torch.equal(in_steps(model), right)


def test_bugs_can_be_nested(model) -> None:
    right = logits_of(model)
    with break_model(model, "relu"):
        relu = logits_of(model)
        with break_model(model, "no_norm_weight"):
            assert not torch.allclose(logits_of(model), relu)
        assert torch.equal(logits_of(model), relu)
    assert torch.equal(logits_of(model), right)


# Other ways to the same mistake: other weights, or another configuration, in right code.


def _rows_in_halves(model: Transformer) -> None:
    for layer in model.layers:
        attention = layer.attention
        for matrix, heads in ((attention.wq, CONFIG.n_heads), (attention.wk, CONFIG.n_kv_heads)):
            matrix.weight.copy_(to_interleaved(matrix.weight, heads))


def _no_angles(model: Transformer) -> None:
    model.rope.cos.fill_(1)
    model.rope.sin.fill_(0)


def _weights_of_one(model: Transformer) -> None:
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.fill_(1)


def _eps(value: float) -> Callable[[Transformer], None]:
    def change(model: Transformer) -> None:
        for norm in [module for module in model.modules() if hasattr(module, "eps")]:
            norm.eps = value

    return change


def _exchanged(model: Transformer) -> None:
    for layer in model.layers:
        w1, w3 = layer.feed_forward.w1.weight, layer.feed_forward.w3.weight
        a = w1.clone()
        w1.copy_(w3)
        w3.copy_(a)


def _queries_times(factor: float) -> Callable[[Transformer], None]:
    def change(model: Transformer) -> None:
        for layer in model.layers:
            layer.attention.wq.weight.mul_(factor)

    return change


def _other_partners(model: Transformer) -> None:
    """Query heads, and the columns of wo that read them, where their wrong key head is theirs."""
    order = torch.arange(CONFIG.n_heads).view(-1, CONFIG.n_kv_heads).T.flatten()
    for layer in model.layers:
        wq, wo = layer.attention.wq.weight, layer.attention.wo.weight
        wq.copy_(wq.unflatten(0, (CONFIG.n_heads, -1))[order].flatten(0, 1))
        wo.copy_(wo.unflatten(1, (CONFIG.n_heads, -1))[:, order].flatten(1))


def _larger_rows(model: Transformer) -> None:
    model.output.weight = torch.nn.Parameter(model.output.weight.clone(), requires_grad=False)
    model.tok_embeddings.weight.mul_(math.sqrt(CONFIG.dim))


def _each_matrix(bits: int, read: Callable) -> Callable[[Transformer], None]:
    """``read(w)`` of float32 rows in all matrices of so many bits; an int4 model has int8 ends."""

    def change(model: Transformer) -> None:
        for name, matrix in model.named_parameters():
            if matrix.ndim == 2:
                rows = matrix.float().numpy()
                right = bits == 4 and not name.startswith("layers.")
                matrix.copy_(torch.from_numpy(_right_int8(rows) if right else read(rows)))

    return change


def _group(rows: np.ndarray) -> int:
    return {24: 24, 40: 20}[rows.shape[1]]


def _right_int8(rows: np.ndarray) -> np.ndarray:
    return quantize(rows, _group(rows), np.float16).dequantize()


def _one_scale(rows: np.ndarray) -> np.ndarray:
    largest = rows.flat[np.abs(rows).argmax()]
    scale = np.float32(np.float16(largest / -8))
    return np.clip(np.floor(rows / (largest / -8) + 0.5), -8, 7) * scale


def _truncated(rows: np.ndarray) -> np.ndarray:
    right = quantize_int4(rows, _group(rows))
    integers, exact = right.integers() - 8.0, rows.reshape(*right.scales.shape, -1)
    step = np.abs(exact).max(-1, keepdims=True) / 8
    farther = np.abs(integers) * step > np.abs(exact) * (1 + 1e-6)  # rounded away from zero
    integers -= np.where(farther, np.sign(integers), 0)
    return (integers * right.scales[..., None].astype(np.float32)).reshape(rows.shape)


def _by_bytes(nibbles: Callable) -> Callable:
    """Reads what is packed byte by byte: ``nibbles(byte)`` to a low and a high integer."""

    def read(rows: np.ndarray) -> np.ndarray:
        right, half = quantize_int4(rows, _group(rows)), _group(rows) // 2
        found = np.empty_like(rows)
        for r, row in enumerate(right.packed):
            for i, byte in enumerate(row):
                group, j = divmod(i, half)
                for place, q in nibbles(int(byte), j, half):
                    found[r, 2 * half * group + place] = q * np.float32(right.scales[r, group])
        return found

    return read


def _twos_complement(byte: int, j: int, half: int) -> list[tuple[int, int]]:
    low, high = ((n ^ 8) - 8 for n in (byte & 15, byte >> 4))
    return [(j, low), (j + half, high)]


def _two_neighbours(byte: int, j: int, half: int) -> list[tuple[int, int]]:
    return [(2 * j, byte % 16 - 8), (2 * j + 1, byte // 16 - 8)]


def _next_scale(rows: np.ndarray) -> np.ndarray:
    right = quantize(rows, _group(rows), np.float16)
    each = np.repeat(right.scales.astype(np.float32).flatten(), _group(rows))  # of every weight
    return right.values * np.roll(each, -_group(rows)).reshape(rows.shape)


def _wraps_around(rows: np.ndarray) -> np.ndarray:
    grouped = rows.reshape(-1, _group(rows))
    largest = np.abs(grouped).max(1, keepdims=True)
    integers = np.rint(grouped / (largest / 128))
    integers[integers == 128] = -128
    return (integers * (largest / 128).astype(np.float16)).reshape(rows.shape)


OTHER_WAYS = {
    "half_split": _rows_in_halves,
    "not_rotated": _no_angles,
    "both_late": lambda _: None,
    "no_norm_weight": _weights_of_one,
    "small_eps": _eps(1e-6),
    "large_eps": _eps(1e-1),
    "swapped_gate": _exchanged,
    "repeat_in_rounds": _other_partners,
    "no_scale": _queries_times(math.sqrt(CONFIG.head_dim)),
    "scaled_twice": _queries_times(1 / math.sqrt(CONFIG.head_dim)),
    "scaled_by_width": _queries_times(math.sqrt(CONFIG.head_dim / CONFIG.dim)),
    "scaled_embedding": _larger_rows,
    "one_scale": _each_matrix(4, _one_scale),
    "truncated": _each_matrix(4, _truncated),
    "signed_nibbles": _each_matrix(4, _by_bytes(_twos_complement)),
    "nibble_order": _each_matrix(4, _by_bytes(_two_neighbours)),
    "next_scale": _each_matrix(8, _next_scale),
    "times_128": _each_matrix(8, _wraps_around),
}


@pytest.mark.parametrize("bug", OTHER_WAYS)
@pytest.mark.parametrize("run", [logits_of, in_steps])
def test_a_bug_is_the_one_that_it_says(model, bug: str, run: Callable) -> None:
    wrong = broken(model, bug, run)
    OTHER_WAYS[bug](model)
    torch.testing.assert_close(run(model), wrong, rtol=0, atol=1e-9)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("bug", ROUNDED)
def test_what_stands_beside_is_the_quantized_model(bug: str, tied: bool) -> None:
    torch.manual_seed(0)
    model = Transformer(CONFIG.replace(tie_embeddings=tied)).double().eval().requires_grad_(False)
    with right_model(model, bug):
        right = logits_of(model)
    kind = "int8" if bug in ("next_scale", "times_128") else "int4"
    packed = logits_of(quantize_model(model, kind))
    torch.testing.assert_close(right, packed, rtol=0, atol=1e-9)
    for change in (right_model, break_model):
        with pytest.raises(ValueError, match="the model is quantized already: load it without"):
            change(model, bug).__enter__()


def test_half_split_is_undone_by_reordering_the_rows(model) -> None:
    right = logits_of(model)
    for layer in model.layers:
        attention = layer.attention
        for matrix, heads in ((attention.wq, CONFIG.n_heads), (attention.wk, CONFIG.n_kv_heads)):
            matrix.weight.copy_(to_half_split(matrix.weight, heads))
    torch.testing.assert_close(broken(model, "half_split"), right, rtol=0, atol=1e-9)


@pytest.mark.parametrize("bug", ["skips_slot_zero", "reads_before_writing"])
def test_bugs_of_the_cache_need_a_cache(model, bug: str) -> None:
    assert torch.equal(broken(model, bug), logits_of(model))


def test_both_bugs_of_the_cache_leave_an_empty_key_of_score_zero(model) -> None:
    """They differ in this: who reads before writing does not see itself."""
    late, shifted = (
        broken(model, b, in_steps) for b in ("reads_before_writing", "skips_slot_zero")
    )
    assert not torch.allclose(late, shifted)
    for block in model.layers:  # where the values are zero an empty slot is worth a full one
        block.attention.wv.weight.zero_()
    right = in_steps(model)
    for bug in ("reads_before_writing", "skips_slot_zero"):
        torch.testing.assert_close(broken(model, bug, in_steps), right, rtol=0, atol=1e-9)


def test_mean_over_positions_keeps_nothing_but_signs_one_token_at_a_time(model) -> None:
    x = torch.randn(2, 1, CONFIG.dim, dtype=torch.float64)
    norm = model.norm
    with break_model(model, "mean_over_positions"):
        assert torch.allclose(norm(x), x.sign() * norm.weight, atol=0.05)
        y = torch.cat((x, 9 * x), dim=1)
        assert not torch.allclose(norm(y)[:, :1], norm(x))  # the future counts


def test_prompts(model) -> None:
    assert broken_prompt([1, 5, 6], "no_bos") == [5, 6]
    assert broken_prompt([1, 5, 6], "double_bos") == [1, 1, 5, 6]
    assert broken_prompt([5, 6], "no_bos") == [5, 6]
    assert broken_prompt((1, 5), "relu") == [1, 5]


def test_every_bug_is_described() -> None:
    for name, bug in BUGS.items():
        assert re.fullmatch(r"[a-z_0-9]+", name)
        assert bug.chapter in {
            *("gpt", "tokenizer", "rmsnorm", "rope", "swiglu", "gqa", "quantization")
        }
        assert bug.right != bug.wrong
        assert max(map(len, (bug.right, bug.wrong))) < 60
        assert len(bug.title) < 32
        assert bug.what.endswith(".")
        assert (bug.changes is None) != (bug.prompt is None)
        assert (bug.base is not None) == (bug.chapter == "quantization")
    assert len({bug.title for bug in BUGS.values()}) == len(BUGS)


def test_what_cannot_be_broken_is_refused(model) -> None:
    with pytest.raises(ValueError, match="no bug 'nothing'; there are half_split, half_split_keys"):
        break_model(model, "nothing").__enter__()
    with pytest.raises(ValueError, match="no bug 'nothing'"):
        right_model(model, "nothing").__enter__()
    with pytest.raises(ValueError, match="no bug 'nothing'"):
        broken_prompt([1], "nothing")
    with pytest.raises(ValueError, match="only a Llama can be broken"):
        break_model(Transformer(GPT2), "relu").__enter__()
