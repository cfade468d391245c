"""Adapters for a whole model: only they learn, and the base comes back to the bit."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from small_models import EVERY, GPT2, LLAMA, NAMED, random_model, random_tokens, with_lora
from torch import nn
from torch.testing import assert_close

from llama_tutorial import PRESETS, KVCache, Transformer, generate
from llama_tutorial.lora import (
    TARGETS,
    LoRAConfig,
    adapter_state,
    add_lora,
    lora_config,
    lora_layers,
    merge_lora,
    remove_lora,
    unmerge_lora,
)
from llama_tutorial.lora import adapters as lora
from llama_tutorial.lora.linear import plain_linear
from llama_tutorial.training import checkpoint_layers, make_optimizer, train_step

GELU_TARGETS = TARGETS[:-1]


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def is_same(state: dict, other: dict) -> bool:
    return state.keys() == other.keys() and all(torch.equal(other[n], state[n]) for n in state)


# Adding


@pytest.mark.parametrize("name", EVERY)
@torch.no_grad()
def test_every_model_starts_as_its_base_exactly(name):
    config = EVERY[name]
    model, tokens = random_model(config), random_tokens(config, 2, 9)
    expected, state = model(tokens), snapshot(model)
    add_lora(model, targets=TARGETS if config.feed_forward == "swiglu" else GELU_TARGETS)
    assert torch.equal(model(tokens), expected)
    assert len(lora_layers(model)) == config.n_layers * (4 + 2 + (config.feed_forward == "swiglu"))
    assert list(state) == [n for n in model.state_dict() if not n.endswith(("lora_a", "lora_b"))]
    assert is_same(state, {name: model.state_dict()[name] for name in state})


def test_only_the_adapters_are_trainable_and_in_the_optimiser():
    model = random_model(LLAMA)
    add_lora(model, rank=3, targets=("wq", "w2"))
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    layers = [f"layers.{i}.{part}" for i in (0, 1) for part in ("attention.wq", "feed_forward.w2")]
    assert trainable == {f"{layer}.{part}" for layer in layers for part in ("lora_a", "lora_b")}
    assert trainable == set(adapter_state(model))
    optimizer = make_optimizer(model, lr=1e-3)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("base", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_moves_the_adapters_alone_and_learns(base, checkpointing):
    torch.manual_seed(0)
    model = random_model(LLAMA, dtype=base).train()
    add_lora(model, rank=4, dropout=0.1)
    if checkpointing:
        checkpoint_layers(model)
    state, tokens = snapshot(model), random_tokens(LLAMA, 4, 12)
    optimizer = make_optimizer(model, lr=1e-2)
    losses = [
        train_step(model, optimizer, tokens[:, :-1], tokens[:, 1:], lr=3e-2) for _ in range(8)
    ]
    assert losses[-1] < 0.8 * losses[0]
    for name, tensor in model.state_dict().items():
        is_adapter = name in adapter_state(model)
        assert torch.equal(tensor, state[name]) != is_adapter, name
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_gradient_checkpointing_draws_the_same_dropout_again():
    model = with_lora(random_model(LLAMA, dtype=torch.float64), dropout=0.4).train()
    tokens, gradients = random_tokens(LLAMA, 2, 9), []
    for checkpointing in (False, True):
        if checkpointing:
            checkpoint_layers(model)
        torch.manual_seed(5)
        model(tokens).logsumexp(-1).sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
        model.zero_grad()
    assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_dropout_is_active_in_training_only():
    model, tokens = with_lora(random_model(LLAMA), dropout=0.4), random_tokens(LLAMA, 2, 9)
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))
    merge_lora(model)
    assert torch.equal(model(tokens), model(tokens))


def test_new_layers_are_in_the_models_mode():
    for mode in (True, False):
        model = random_model(LLAMA).train(mode)
        add_lora(model)
        assert {module.training for module in model.modules()} == {mode}
        merge_lora(model, keep_base=False)
        assert {module.training for module in model.modules()} == {mode}


def test_an_untied_output_head_can_be_a_target():
    model = random_model(LLAMA)
    add_lora(model, targets=("wq", "output"))
    assert list(lora_layers(model))[-1] == "output"
    assert lora_config(model).targets == ("wq", "output")


def test_the_size_of_7bs_adapters_is_known_without_its_weights():
    with torch.device("meta"):
        model = Transformer(PRESETS["llama-2-7b"])
    add_lora(model, rank=8)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == 8 * 32 * (4 * (4096 + 4096) + 3 * (4096 + 11008)) == 19_988_480
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_a_model_without_storage_gets_base_and_adapters_by_assignment():
    source, tokens = with_lora(random_model(LLAMA)), random_tokens(LLAMA, 2, 9)
    with torch.device("meta"):
        model = Transformer(LLAMA)
    add_lora(model)
    model.load_state_dict(source.state_dict(), strict=True, assign=True)
    assert torch.equal(model.eval()(tokens), source(tokens))
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == set(adapter_state(model))


# Merging


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
@torch.no_grad()
def test_merged_equals_unmerged_and_the_base_comes_back(name, dtype, atol):
    config = NAMED[name]
    model, tokens = random_model(config, dtype=dtype), random_tokens(config, 2, 9)
    base, base_logits = snapshot(model), model(tokens)
    with_lora(model, targets=TARGETS if config.feed_forward == "swiglu" else GELU_TARGETS)
    state, logits = snapshot(model), model(tokens)
    assert (logits - base_logits).abs().max() > 1

    merge_lora(model)
    scale = logits.abs().max().item()
    assert_close(model(tokens), logits, rtol=0, atol=atol * max(scale, 1))
    merge_lora(model)  # a second time changes nothing
    unmerge_lora(model)
    assert is_same(state, model.state_dict())
    assert torch.equal(model(tokens), logits)

    merge_lora(model)
    remove_lora(model)
    assert is_same(base, model.state_dict())
    assert torch.equal(model(tokens), base_logits)


@torch.no_grad()
def test_merged_for_good_is_an_ordinary_model():
    model, tokens = with_lora(random_model(LLAMA)), random_tokens(LLAMA, 2, 9)
    for merged_before in (False, True):
        other = copy.deepcopy(model)
        if merged_before:
            merge_lora(other)
        expected = other(tokens)
        merge_lora(other, keep_base=False)
        assert_close(other(tokens), expected, rtol=0, atol=1e-4)
        assert list(other.state_dict()) == list(Transformer(LLAMA).state_dict())
        assert all(p.requires_grad for p in other.parameters())
        kinds = {type(m) for m in other.modules() if isinstance(m, nn.Linear)}
        assert kinds == {nn.Linear}
        plain = Transformer(LLAMA)
        plain.load_state_dict(other.state_dict())
        assert_close(plain.eval()(tokens), other(tokens), rtol=0, atol=1e-5)


def test_removing_leaves_a_model_that_trains():
    model = with_lora(random_model(LLAMA)).train()
    remove_lora(model)
    tokens = random_tokens(LLAMA, 2, 9)
    before = snapshot(model)
    optimizer = make_optimizer(model, lr=1e-2)
    train_step(model, optimizer, tokens[:, :-1], tokens[:, 1:], lr=1e-2)
    assert not any(torch.equal(before[name], p) for name, p in model.named_parameters())
    add_lora(model)  # and can be given others


def test_merging_for_good_frees_each_matrix_before_the_next(monkeypatch):
    model = with_lora(random_model(LLAMA))
    weights = [weakref.ref(layer.weight) for layer in lora_layers(model).values()]
    alive = []

    def counting(weight, bias):
        alive.append(sum(weight() is not None for weight in weights))
        return plain_linear(weight, bias)

    monkeypatch.setattr(lora, "plain_linear", counting)
    merge_lora(model, keep_base=False)
    n = len(weights)
    # When a layer is made, its own and perhaps the last one's matrix are there, and those to come.
    assert all(count <= n - done + 1 for done, count in enumerate(alive))
    assert not any(weight() is not None for weight in weights)


# At work


@pytest.mark.parametrize("merged", [False, True])
@torch.no_grad()
def test_cached_decoding_equals_the_full_pass(merged):
    config = NAMED["llama-gqa"]
    model = with_lora(random_model(config, dtype=torch.float64))
    if merged:
        merge_lora(model)
    tokens = random_tokens(config, 2, 12)
    cache = KVCache(config, 2, dtype=torch.float64)
    pieces = [model(piece, cache) for piece in tokens.split([5, 1, 1, 1, 4], dim=1)]
    assert_close(torch.cat(pieces, 1), model(tokens), rtol=0, atol=1e-9)


@pytest.mark.slow
def test_compiled_is_the_same_model():
    """In a process of its own, without the run-time check of shapes, which cannot be compiled."""
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, tests / "compiled_lora.py"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tests.parent), str(tests)))},
    )
    assert done.stdout == "the same\n", done.stderr


def test_generation_is_the_merged_models():
    model = with_lora(random_model(LLAMA, dtype=torch.float64))
    prompts = [[1, 2, 3], [4]]
    expected = generate(model, prompts, 9, seed=0)
    merge_lora(model)
    assert generate(model, prompts, 9, seed=0) == expected
    remove_lora(model)
    assert generate(model, prompts, 9, seed=0) != expected


# Errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank=0: must be a whole number of at least 1"),
        ({"rank": True}, "rank=True: must be a whole number"),
        ({"alpha": 0}, "alpha=0: must be a finite number above 0"),
        ({"alpha": float("inf")}, "alpha=inf: must be a finite number above 0"),
        ({"alpha": float("nan")}, "alpha=nan: must be"),
        ({"dropout": 1.0}, "dropout=1.0: must be at least 0 and below 1"),
        ({"dropout": -0.1}, "dropout=-0.1: must be"),
        ({"targets": ()}, r"targets=\(\): name at least one layer, such as 'wq'"),
        (
            {"targets": ("wq", "q_proj", "lm_head")},
            "no linear layer is called 'q_proj', 'lm_head'; this model has 'output', 'w1', 'w2', "
            "'w3', 'wk', 'wo', 'wq', 'wv'",
        ),
        ({"targets": "wq"}, "no linear layer is called 'w', 'q'; this model has 'output', 'w1'"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    model = random_model(LLAMA)
    with pytest.raises(ValueError, match=message):
        add_lora(model, **settings)
    assert all(p.requires_grad for p in model.parameters())  # nothing has been changed
    assert not lora_layers(model)


def test_gpt2_has_no_w3():
    with pytest.raises(ValueError, match="no linear layer is called 'w3'; this model has 'w1'"):
        add_lora(random_model(GPT2))


def test_a_second_adapter_is_refused():
    model = random_model(LLAMA)
    add_lora(model)
    with pytest.raises(
        ValueError, match=r"has LoRA adapters already: remove_lora\(model\) removes"
    ):
        add_lora(model)


@pytest.mark.parametrize(
    "function", [merge_lora, unmerge_lora, remove_lora, lora_config, adapter_state]
)
def test_a_model_without_adapters_is_refused(function):
    with pytest.raises(ValueError, match=r"no LoRA adapters: add_lora\(model\) gives it some"):
        function(random_model(LLAMA))
    merged = with_lora(random_model(LLAMA))
    merge_lora(merged, keep_base=False)
    with pytest.raises(ValueError, match="no LoRA adapters"):
        function(merged)


def test_the_settings_are_read_from_the_model():
    for settings in (
        LoRAConfig(),
        LoRAConfig(3, 7.5, 0.2, ("wk", "w1")),
        LoRAConfig(rank=1, targets=("output",)),
    ):
        model = random_model(LLAMA)
        add_lora(model, **vars(settings))
        assert lora_config(model) == settings
