"""The configuration: its arithmetic against published numbers and real modules, its refusals."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import time

import numpy as np
import pytest
import small_models
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from llama_tutorial import PRESETS, KVCache, ModelConfig, Transformer
from llama_tutorial.swiglu import hidden_dim

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

repeatable = settings(derandomize=True, deadline=None, max_examples=100)


@st.composite
def configurations(draw) -> ModelConfig:
    """Any valid configuration of a small size."""
    n_kv_heads = draw(st.integers(1, 4))
    n_heads = n_kv_heads * draw(st.integers(1, 4))
    return ModelConfig(
        dim=n_heads * 2 * draw(st.integers(1, 4)),
        n_layers=draw(st.integers(1, 3)),
        n_heads=n_heads,
        n_kv_heads=draw(st.sampled_from([n_kv_heads, None])),
        hidden_dim=draw(st.integers(1, 40)),
        vocab_size=draw(st.integers(1, 50)),
        max_seq_len=draw(st.integers(1, 40)),
        norm_eps=draw(st.floats(1e-8, 1.0)),
        rope_theta=draw(st.floats(1.0, 1e6)),
        norm=draw(st.sampled_from(["layernorm", "rmsnorm"])),
        feed_forward=draw(st.sampled_from(["gelu", "swiglu"])),
        positions=draw(st.sampled_from(["learned", "rope"])),
        bias=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
    )


def built_params(config: ModelConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in Transformer(config).parameters())


# Parameters

PUBLISHED_PARAMS = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-34b": 33_743_970_304,
    "llama-2-70b": 68_976_648_192,
    "stories260K": 260_032,
    "stories15M": 15_191_712,
    "stories42M": 41_689_600,
    "stories110M": 109_529_856,
    "tinyllama-1.1b": 1_100_048_384,
}


@pytest.mark.parametrize("name", PUBLISHED_PARAMS)
def test_published_parameter_counts(name):
    assert PRESETS[name].n_params == PUBLISHED_PARAMS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_of_every_preset_equal_the_built_models(name):
    assert PRESETS[name].n_params == built_params(PRESETS[name])


@pytest.mark.parametrize("name", small_models.EVERY)
def test_parameters_of_every_mixture_equal_the_built_models(name):
    config = small_models.EVERY[name]
    assert config.n_params == built_params(config)


@repeatable
@given(configurations())
def test_parameters_of_any_configuration_equal_the_built_models(config):
    assert config.n_params == built_params(config)


def test_untied_gpt2():
    assert PRESETS["gpt2"].replace(tie_embeddings=False).n_params == 163_037_184


def test_a_swiglu_layer_costs_what_the_gelu_layer_did():
    llama = PRESETS["llama-2-7b"]
    swiglu, gelu = 3 * llama.dim * llama.hidden_dim, 2 * llama.dim * 4 * llama.dim
    assert swiglu == 135_266_304
    assert gelu == 134_217_728


# Cache bytes


@pytest.mark.parametrize(
    ("name", "kib"),
    [("llama-2-7b", 512), ("llama-2-13b", 800), ("llama-2-34b", 192), ("llama-2-70b", 320)],
)
def test_published_cache_sizes(name, kib):
    assert PRESETS[name].kv_bytes_per_token("float16") == kib * 1024
    assert PRESETS[name].kv_bytes_per_token("float32") == 2 * kib * 1024


def test_grouped_heads_shrink_the_70b_cache_eightfold():
    config = PRESETS["llama-2-70b"].replace(n_kv_heads=64)
    assert config.kv_bytes_per_token("bfloat16") == 2560 * 1024


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_cache_bytes_equal_the_allocated_ones(dtype):
    config = small_models.LLAMA.replace(n_kv_heads=2)
    cache = KVCache(config, batch_size=3, max_seq_len=5, dtype=dtype)
    allocated = sum(slots.nbytes for slots in (*cache.k, *cache.v))
    assert allocated == 3 * 5 * config.kv_bytes_per_token(dtype)


@pytest.mark.parametrize(
    "dtype", ["float16", torch.float16, np.float16, np.dtype("float16"), "torch.float16"]
)
def test_the_name_of_a_dtype_is_enough(dtype):
    assert ModelConfig().kv_bytes_per_token(dtype) == 512 * 1024


@pytest.mark.parametrize("dtype", ["fp16", torch.int64, "float16x", None])
def test_an_unknown_dtype_is_refused(dtype):
    message = f"dtype={dtype!r}: must be one of float64, float32, bfloat16, float16, int8"
    with pytest.raises(ValueError, match=re.escape(message)):
        ModelConfig().kv_bytes_per_token(dtype)


# Floating-point operations


@pytest.mark.parametrize("name", small_models.NAMED_AND_PATH)
def test_flops_equal_torchs_count(name):
    """torch counts every matrix product that is really run."""
    config = small_models.NAMED_AND_PATH[name]
    model, T = Transformer(config).requires_grad_(False), 11
    tokens, cache = torch.zeros(1, T, dtype=torch.int64), KVCache(config)
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as whole:
            model(tokens)
        model(tokens[:, 1:], cache)
        with FlopCounterMode(display=False) as step:
            model(tokens[:, :1], cache)
    assert whole.get_total_flops() == T * config.flops_per_token(T)
    assert step.get_total_flops() == config.flops_per_token(T)


def test_flops_are_about_twice_the_parameters():
    config = PRESETS["llama-2-7b"]
    assert config.flops_per_token(1) / config.n_params == pytest.approx(2, rel=0.03)
    growth = config.flops_per_token(4096) - config.flops_per_token(1)
    assert growth == 4 * 4095 * config.dim * config.n_layers


@pytest.mark.parametrize("context", [0, -1, 4097])
def test_flops_refuse_a_context_that_does_not_exist(context):
    message = f"context={context}: must be between 1 and max_seq_len=4096"
    with pytest.raises(ValueError, match=re.escape(message)):
        ModelConfig().flops_per_token(context)


# The fields


def test_the_defaults_are_llama_2_7b():
    assert ModelConfig() == PRESETS["llama-2-7b"]


def test_the_presets_have_the_published_shapes():
    def shape(name):
        c = PRESETS[name]
        return c.dim, c.n_layers, c.n_heads, c.n_kv_heads, c.hidden_dim, c.vocab_size, c.max_seq_len

    assert shape("gpt2") == (768, 12, 12, 12, 3072, 50257, 1024)
    assert shape("gpt2-xl") == (1600, 48, 25, 25, 6400, 50257, 1024)
    assert shape("llama-2-7b") == (4096, 32, 32, 32, 11008, 32000, 4096)
    assert shape("llama-2-13b") == (5120, 40, 40, 40, 13824, 32000, 4096)
    assert shape("llama-2-34b") == (8192, 48, 64, 8, 22016, 32000, 4096)
    assert shape("llama-2-70b") == (8192, 80, 64, 8, 28672, 32000, 4096)
    assert shape("stories260K") == (64, 5, 8, 4, 172, 512, 512)
    assert shape("stories15M") == (288, 6, 6, 6, 768, 32000, 256)
    assert shape("stories42M") == (512, 8, 8, 8, 1376, 32000, 1024)
    assert shape("stories110M") == (768, 12, 12, 12, 2048, 32000, 1024)
    assert shape("tinyllama-1.1b") == (2048, 22, 32, 4, 5632, 32000, 2048)


def switches(config):
    return config.norm, config.feed_forward, config.positions, config.bias, config.tie_embeddings


def test_the_presets_have_the_published_switches():
    for name, config in PRESETS.items():
        assert config.norm_eps == 1e-5
        if name.startswith("gpt2"):
            assert switches(config) == ("layernorm", "gelu", "learned", True, True)
        elif name.startswith(("llama-2", "tinyllama")):
            assert switches(config) == ("rmsnorm", "swiglu", "rope", False, False)
            assert config.head_dim == (64 if "tiny" in name else 128)
        elif name.startswith("stories"):
            assert switches(config) == ("rmsnorm", "swiglu", "rope", False, True)


def test_llamas_widths_follow_its_rule():
    for name in ("llama-2-7b", "llama-2-13b", "llama-2-34b"):
        assert PRESETS[name].hidden_dim == hidden_dim(PRESETS[name].dim)
    assert PRESETS["llama-2-70b"].hidden_dim == hidden_dim(8192, 4096, 1.3)


def test_five_steps_lead_from_gpt2_to_llama_2_and_a_sixth_to_70b():
    config = PRESETS["gpt2"]
    config = config.replace(norm="rmsnorm")
    config = config.replace(positions="rope")
    config = config.replace(feed_forward="swiglu", hidden_dim=hidden_dim(config.dim))
    config = config.replace(bias=False, tie_embeddings=False)
    config = config.replace(
        dim=4096,
        n_layers=32,
        n_heads=32,
        hidden_dim=11008,
        vocab_size=32000,
        max_seq_len=4096,
        norm_eps=1e-5,
    )
    assert config == PRESETS["llama-2-7b"]
    config = config.replace(dim=8192, n_layers=80, n_heads=64, n_kv_heads=8, hidden_dim=28672)
    assert config == PRESETS["llama-2-70b"]


def test_key_heads_follow_query_heads_while_they_are_equal():
    many = ModelConfig(n_heads=32)
    assert many.n_kv_heads == 32
    assert many.replace(n_heads=16).n_kv_heads == 16
    assert many.replace(n_heads=16, n_kv_heads=4).n_kv_heads == 4
    assert many.replace(dim=2048).n_kv_heads == 32
    grouped = ModelConfig(n_heads=32, n_kv_heads=8)
    assert grouped.replace(n_heads=16).n_kv_heads == 8
    assert grouped.replace(n_kv_heads=None).n_kv_heads == 32


def test_derived_widths():
    config = ModelConfig(dim=48, n_heads=6, n_kv_heads=2)
    assert (config.head_dim, config.kv_dim, config.group_size) == (8, 16, 3)


def test_a_configuration_is_a_value():
    config = ModelConfig(dim=64, n_heads=2)
    assert {config: 1}[ModelConfig(dim=64, n_heads=2)] == 1
    assert config.replace() == config
    assert config.replace(dim=128).dim == 128
    assert config.dim == 64
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dim = 128


@repeatable
@given(configurations())
def test_dictionaries_json_and_pickles_bring_it_back(config):
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.replace(**config.to_dict()) == config


def test_to_dict_holds_every_field():
    assert list(ModelConfig().to_dict()) == [f.name for f in dataclasses.fields(ModelConfig)]


# Refusals. Without the runtime type check, which would refuse some of them first.

WHOLE_NUMBERS = ("dim", "n_layers", "n_heads", "n_kv_heads", "hidden_dim", "vocab_size")


@pytest.mark.parametrize("name", [*WHOLE_NUMBERS, "max_seq_len"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "8", True, 2**24 + 1, 2**62])
def test_sizes_are_whole_numbers(name, value, unchecked):
    message = f"{name}={value!r}: must be a whole number of at least 1"
    with pytest.raises(ValueError, match=re.escape(message)):
        ModelConfig(**{name: value})


@pytest.mark.parametrize("name", ["dim", "vocab_size"])
def test_only_key_heads_may_be_none(name, unchecked):
    with pytest.raises(ValueError, match=f"{name}=None: must be a whole number of at least 1"):
        ModelConfig(**{name: None})


@pytest.mark.parametrize("name", ["norm_eps", "rope_theta"])
@pytest.mark.parametrize(
    "value", [0, -1e-5, float("nan"), float("inf"), "1e-5", True, None, 1e13, 10**30]
)
def test_eps_and_theta_are_above_0(name, value, unchecked):
    message = f"{name}={value!r}: must be a finite number above 0"
    with pytest.raises(ValueError, match=re.escape(message)):
        ModelConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "choices"),
    [
        ("norm", "batchnorm", "'layernorm' or 'rmsnorm'"),
        ("norm", None, "'layernorm' or 'rmsnorm'"),
        ("feed_forward", "relu", "'gelu' or 'swiglu'"),
        ("positions", "alibi", "'learned' or 'rope'"),
        ("bias", 1, "False or True"),
        ("bias", "yes", "False or True"),
        ("tie_embeddings", 0, "False or True"),
    ],
)
def test_switches_have_two_positions(name, value, choices, unchecked):
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r}: must be {choices}")):
        ModelConfig(**{name: value})


def test_heads_must_divide_the_width():
    message = "n_heads=30 does not divide dim=4096: every head needs the same width; the nearest"
    with pytest.raises(ValueError, match=message + " n_heads that does is 32"):
        ModelConfig(n_heads=30)


def test_key_heads_must_divide_query_heads():
    message = "n_kv_heads=5 does not divide n_heads=32: every key head serves the same number of"
    with pytest.raises(ValueError, match=message + " query heads; the nearest .* does is 4"):
        ModelConfig(n_kv_heads=5)
    with pytest.raises(ValueError, match="n_kv_heads=64 does not divide n_heads=32"):
        ModelConfig(n_kv_heads=64)


def test_rope_needs_an_even_head():
    message = "dim=21 / n_heads=3 makes a head_dim of 7: RoPE rotates pairs, so it must be even"
    with pytest.raises(ValueError, match=message):
        ModelConfig(dim=21, n_heads=3)
    assert ModelConfig(dim=21, n_heads=3, positions="learned").head_dim == 7


@pytest.mark.parametrize("field", ["dim", "norm_eps", "norm", "n_kv_heads", "bias"])
@pytest.mark.parametrize(
    "value",
    [10**5000, "x" * 10**6, [[[[]]]] * 10**5, {"a": 1}, b"8", object()],
    ids=["long", "text", "list", "dict", "bytes", "object"],
)
def test_a_value_of_any_kind_is_refused_in_a_line(field, value, unchecked):
    with pytest.raises(ValueError, match=f"^{field}=") as error:
        ModelConfig(**{field: value})
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("fields", [None, 5, [], "dim", ["dim"]])
def test_a_configuration_is_a_dictionary(fields, unchecked):
    with pytest.raises(ValueError, match="must be a configuration"):
        ModelConfig.from_dict(fields)


def test_sizes_are_compared_before_anything_is_counted_or_built():
    begin = time.monotonic()
    for sizes in ({"dim": 2**24 - 3, "n_heads": 2**23}, {"dim": 2**24, "n_heads": 2**23 + 1}):
        with pytest.raises(ValueError, match="does not divide"):
            ModelConfig(**sizes)
    # RoPE's tables are computed, so that no file's size bounds them.
    small = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 24, "vocab_size": 30}
    with pytest.raises(ValueError, match=r"max_seq_len=16777216 with a head_dim of 8: RoPE's"):
        ModelConfig(**small, max_seq_len=2**24)
    assert ModelConfig(**small, max_seq_len=2**19)
    assert ModelConfig(max_seq_len=2**20)  # a large model may have a long context
    assert time.monotonic() - begin < 1


@repeatable
@given(st.integers(1, 300), st.integers(1, 300))
def test_the_advice_on_heads_is_right(dim, n_heads):
    try:
        ModelConfig(dim=dim, n_heads=n_heads, positions="learned")
    except ValueError as error:
        advice = int(str(error).rpartition(" ")[2])
        distances = [abs(d - n_heads) for d in range(1, dim + 1) if dim % d == 0]
        assert dim % advice == 0
        assert abs(advice - n_heads) == min(distances)
    else:
        assert dim % n_heads == 0


@pytest.mark.parametrize("make", [ModelConfig().replace, lambda **f: ModelConfig.from_dict(f)])
def test_unknown_fields_are_named(make):
    message = "dropout, width: no field of ModelConfig; it has dim, n_layers,"
    with pytest.raises(ValueError, match=message):
        make(width=3, dim=64, dropout=0.1)


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(KeyError) as error:
        PRESETS["llama-3-8b"]
    message = str(error.value)
    assert "'llama-3-8b' is no preset; there are gpt2, " in message
    assert all(name in message for name in PRESETS)
    assert "llama-3-8b" not in PRESETS
