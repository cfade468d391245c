"""The cache: slot = position, nothing stale is seen, and cached passes equal full ones."""

from __future__ import annotations

import re

import numpy as np
import pytest
import small_models
import torch

from llama_tutorial import KVCache

CONFIG = small_models.LLAMA.replace(n_kv_heads=2, n_layers=3)


def double_model(name):
    return small_models.random_model(small_models.EVERY[name], dtype=torch.float64)


def double_cache(model, batch_size=1, max_seq_len=None):
    return KVCache(model.config, batch_size, max_seq_len, dtype=torch.float64)


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


# Cached equals full


@pytest.mark.parametrize("name", small_models.EVERY)
@torch.no_grad()
def test_one_by_one_and_in_chunks_equals_the_full_pass(name):
    model = double_model(name)
    tokens = small_models.random_tokens(model.config, 2, 13)
    full, cache = model(tokens), double_cache(model, 2)
    for chunks in ([1] * 13, [4, 1, 1, 5, 2], [13], [12, 1]):
        cache.reset()
        pieces = [model(piece, cache) for piece in tokens.split(chunks, dim=1)]
        close(torch.cat(pieces, dim=1), full)
        assert cache.length.tolist() == [13, 13]


@pytest.mark.parametrize("name", small_models.NAMED_AND_PATH)
@torch.no_grad()
def test_rows_at_different_positions_equal_their_full_passes(name):
    """Rows of 3, 7 and 5 tokens, padded with rubbish, go on by two tokens and then by one."""
    model = double_model(name)
    tokens, lengths = small_models.random_tokens(model.config, 3, 10), torch.tensor([3, 7, 5])
    full, cache = model(tokens), double_cache(model, 3)
    padded = tokens[:, :7].clone()
    for row, length in enumerate(lengths):
        padded[row, length:] = 1
    first = model(padded, cache)
    cache.length = lengths
    behind = torch.stack([tokens[b, n : n + 3] for b, n in enumerate(lengths)])
    second, third = model(behind[:, :2], cache), model(behind[:, 2:], cache)
    assert cache.length.tolist() == [6, 10, 8]
    for row, n in enumerate(lengths.tolist()):
        close(first[row, :n], full[row, :n])
        close(second[row], full[row, n : n + 2])
        close(third[row], full[row, n + 2 : n + 3])


@torch.no_grad()
def test_a_used_cache_is_as_good_as_a_new_one():
    model = double_model("llama-gqa")
    old, new = (small_models.random_tokens(model.config, 1, n, seed=n) for n in (20, 9))
    cache = double_cache(model)
    model(old, cache)
    cache.reset()
    assert cache.length.tolist() == [0]
    close(model(new, cache), model(new))


@torch.no_grad()
def test_going_back_rewrites_what_follows():
    model = double_model("llama-gqa")
    tokens, other = (small_models.random_tokens(model.config, 2, 9, seed=s) for s in (0, 1))
    cache = double_cache(model, 2)
    model(tokens, cache)
    changed = torch.cat((tokens[:, :4], other[:, 4:7]), dim=1)
    close(model(other[:, 4:7], cache, start=4), model(changed)[:, 4:])
    assert cache.length.tolist() == [7, 7]
    starts = torch.tensor([2, 5])
    again = model(tokens[:, :1], cache, start=starts)
    for row, n in enumerate(starts):
        alone = torch.cat((changed[row, :n], tokens[row, :1]))[None]
        close(again[row], model(alone)[0, -1:])
    assert cache.length.tolist() == [3, 6]


@torch.no_grad()
def test_what_lies_behind_the_length_is_never_seen():
    model = double_model("llama-gqa")
    tokens = small_models.random_tokens(model.config, 2, 8)
    clean, dirty = double_cache(model, 2), double_cache(model, 2)
    for slots in (*dirty.k, *dirty.v):
        slots.normal_()
    for cache in (clean, dirty):
        cache.length = torch.tensor([0, 0])
        model(tokens[:, :5], cache)
        cache.length = torch.tensor([2, 5])
    assert torch.equal(model(tokens[:, 5:], clean), model(tokens[:, 5:], dirty))


@torch.no_grad()
def test_a_cache_of_just_the_right_size_is_enough():
    model = double_model("llama-gqa")
    tokens = small_models.random_tokens(model.config, 1, 6)
    cache = double_cache(model, 1, 6)
    logits = torch.cat([model(tokens[:, :5], cache), model(tokens[:, 5:], cache)], dim=1)
    close(logits, model(tokens))
    with pytest.raises(ValueError, match="the cache is full: 1 tokens at position 6 need 7 slots"):
        model(tokens[:, :1], cache)


# Gradients


def test_gradients_through_a_fresh_cache_are_the_full_passes():
    model = double_model("llama-gqa")
    tokens = small_models.random_tokens(model.config, 2, 6)
    model(tokens).logsumexp(-1).sum().backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(tokens, double_cache(model, 2)).logsumexp(-1).sum().backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        close(parameter.grad, gradient)


def test_gradients_end_at_the_entries_of_earlier_passes():
    """Two cached passes in one graph: the cache is written again, and backward still works."""
    model = double_model("llama-gqa")
    tokens = small_models.random_tokens(model.config, 1, 7)
    cache = double_cache(model)
    first, second = model(tokens[:, :4], cache), model(tokens[:, 4:], cache)
    close(torch.cat((first, second), dim=1), model(tokens))
    (first.sum() + second.sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_pass_without_gradients_leaves_those_of_an_earlier_one(mode):
    """What a later pass writes is not what backward reads; the slots themselves hold no graph."""
    model = double_model("llama-gqa")
    tokens = small_models.random_tokens(model.config, 2, 6)
    model(tokens[:, :4]).logsumexp(-1).sum().backward()
    expected = [p.grad.clone() for p in model.parameters()]
    for starts in (None, torch.tensor([4, 2])):  # rows together, and apart
        model.zero_grad()
        cache = double_cache(model, 2)
        slots = cache.k[0]
        loss = model(tokens[:, :4], cache).logsumexp(-1).sum()
        with mode():
            model(tokens[:, 4:], cache, start=starts)
        loss.backward()
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            close(parameter.grad, gradient)
        assert cache.k[0] is slots
        assert not any(entries.requires_grad for entries in (*cache.k, *cache.v))


# Slots and sizes


def test_slot_is_position():
    cache = KVCache(CONFIG, 2, 6)
    k, v = torch.rand(2, 2, 2, 6), torch.rand(2, 2, 2, 6)
    keys, values = cache.update(1, torch.tensor([[3, 4]]), 5, k, v)
    assert keys.shape == (2, 2, 5, 6)
    assert torch.equal(keys[:, :, 3:5], k)
    assert torch.equal(cache.v[1][:, :, 3:5], v)
    assert torch.equal(values, cache.v[1][:, :, :5])
    assert not any(cache.k[layer].any() for layer in (0, 2))
    assert not cache.k[1][:, :, [0, 1, 2, 5]].any()


def test_slot_is_position_in_every_row():
    cache = KVCache(CONFIG, 2, 6)
    k, v = torch.rand(2, 2, 2, 6), torch.rand(2, 2, 2, 6)
    keys, _ = cache.update(0, torch.tensor([[4, 5], [1, 2]]), 6, k, v)
    assert keys.shape == (2, 2, 6, 6)
    assert torch.equal(cache.k[0][0, :, 4:6], k[0])
    assert torch.equal(cache.v[0][1, :, 1:3], v[1])
    assert cache.k[0].count_nonzero() == k.numel()


def test_nothing_is_copied():
    cache = KVCache(CONFIG, 1, 6)
    k = torch.rand(1, 2, 1, 6)
    for position in (0, 1):
        keys, values = cache.update(2, torch.tensor([[position]]), position + 1, k, k)
        assert keys.data_ptr() == cache.k[2].data_ptr()
        assert values.data_ptr() == cache.v[2].data_ptr()


def test_a_shorter_context_takes_less_memory():
    assert [k.shape for k in KVCache(CONFIG, 2, 6).k] == 3 * [(2, 2, 6, 6)]
    assert [v.shape for v in KVCache(CONFIG).v] == 3 * [(1, 2, CONFIG.max_seq_len, 6)]
    assert KVCache(CONFIG).batch_size == 1
    assert KVCache(CONFIG, 4).batch_size == 4


def test_sizes_may_be_numpys(unchecked):
    assert KVCache(CONFIG, np.int64(2), np.int32(6)).k[0].shape == (2, 2, 6, 6)


def test_entries_take_the_given_dtype_and_device():
    cache = KVCache(CONFIG, dtype=torch.bfloat16, device="meta")
    assert (cache.k[0].dtype, cache.v[2].dtype) == (torch.bfloat16, torch.bfloat16)
    assert (cache.k[0].device.type, cache.v[2].device.type) == ("meta", "meta")
    assert cache.length.device.type == "cpu"
    assert cache.length.dtype == torch.int64


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "batch_size=0: must be at least 1"),
        ((1, 0), "max_seq_len=0: must be between 1 and the model's context of 32"),
        ((1, 33), "max_seq_len=33: must be between 1 and the model's context of 32"),
        ((-1,), "batch_size=-1: must be at least 1"),
        ((2.5,), "batch_size=2.5: must be at least 1, a whole number"),
        ((True,), "batch_size=True: must be at least 1, a whole number"),
        ((None,), "batch_size=None: must be at least 1, a whole number"),
        ((1, -3), "max_seq_len=-3: must be between 1 and the model's context of 32"),
        ((1, 2.5), "max_seq_len=2.5: must be between 1 and the model's context of 32"),
        ((1, True), "max_seq_len=True: must be between 1 and the model's context of 32"),
    ],
)
def test_sizes_out_of_range_are_refused(arguments, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)):
        KVCache(CONFIG, *arguments)


@pytest.mark.parametrize("start", [3, torch.tensor([1, 3])])
def test_an_overflow_gives_the_numbers(start):
    message = (
        "the cache is full: 4 tokens at position 3 need 7 slots, max_seq_len is 6; make a longer"
    )
    model, cache = double_model("llama-gqa"), KVCache(CONFIG.replace(n_layers=2), 2, 6)
    cache.length = torch.tensor([3, 3])
    with pytest.raises(ValueError, match=re.escape(message)):
        model(torch.zeros(2, 4, dtype=torch.int64), cache, start)


@torch.no_grad()
def test_a_refused_pass_changes_nothing():
    model = double_model("llama-gqa")
    tokens = small_models.random_tokens(model.config, 1, 9)
    cache = double_cache(model, 1, 6)
    model(tokens[:, :4], cache)
    with pytest.raises(ValueError, match="the cache is full"):
        model(tokens[:, 4:], cache)
    assert cache.length.tolist() == [4]
    close(model(tokens[:, 4:5], cache)[:, 0], model(tokens[:, :5])[:, -1])
