"""SwiGLU against plain float64 and Hugging Face's; the rule for its width."""

from __future__ import annotations

import re

import numpy as np
import oracles
import pytest
import torch
from torch import nn

from llama_tutorial import SwiGLU
from llama_tutorial.swiglu import hidden_dim


def random_layer(dim=12, hidden=20, bias=False, dtype=torch.float32) -> SwiGLU:
    layer = SwiGLU(dim, hidden, bias=bias).to(dtype)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return layer


def vectors(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_equals_the_formula(bias, dtype, atol):
    layer, x = random_layer(bias=bias, dtype=dtype), vectors(2, 5, 12, dtype=dtype)
    w = {name: p.detach().double().numpy() for name, p in layer.named_parameters()}

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    a = x.double().numpy()
    expected = linear(oracles.silu(linear(a, "w1")) * linear(a, "w3"), "w2")
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=0, atol=atol)


def test_equals_hugging_face():
    transformers = pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import LlamaMLP

    ours, x = random_layer(), vectors(3, 12)
    config = transformers.LlamaConfig(
        hidden_size=12, intermediate_size=20, num_attention_heads=1, num_key_value_heads=1
    )
    theirs = LlamaMLP(config)
    names = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
    state = {f"{names[name[:2]]}.weight": p for name, p in ours.state_dict().items()}
    theirs.load_state_dict(state)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_names_and_shapes_are_metas():
    shapes = {name: tuple(p.shape) for name, p in SwiGLU(12, 20).named_parameters()}
    assert shapes == {"w1.weight": (20, 12), "w2.weight": (12, 20), "w3.weight": (20, 12)}
    biased = {name for name, _ in SwiGLU(12, 20, bias=True).named_parameters()}
    assert biased == {*shapes, "w1.bias", "w2.bias", "w3.bias"}


def test_w1_is_the_gate():
    layer = random_layer(dtype=torch.float64)
    nn.init.zeros_(layer.w1.weight)  # silu(0) = 0: a closed gate lets nothing through
    assert torch.equal(layer(vectors(3, 12, dtype=torch.float64)), torch.zeros(3, 12).double())


@pytest.mark.parametrize(
    ("arguments", "width"),
    [
        ((4096,), 11008),  # 7B
        ((5120,), 13824),  # 13B
        ((8192,), 22016),  # 34B
        ((8192, 4096, 1.3), 28672),  # 70B
        ((8192, 4096), 24576),  # 70B without the multiplier
        ((8192, 256, 1.3), 28416),  # 70B without the multiple
        ((288, 32), 768),  # stories15M
        ((512, 32), 1376),
        ((768, 32), 2048),
        ((64, 4), 172),  # stories260K
        ((768,), 2048),  # GPT-2's width with Llama's rule
        ((6, 1), 16),  # already a multiple: stays
        ((1, 256), 256),
    ],
)
def test_the_width_rule(arguments, width):
    assert hidden_dim(*arguments) == width


def test_the_width_is_cut_before_the_multiplier_and_after():
    # 2·4·10/3 = 26.67 -> 26; 26 · 1.5 = 39. One cut at the end would give 40.
    assert hidden_dim(10, 1, 1.5) == 39


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "dim=0, multiple_of=256: both must be at least 1"),
        ((8, 0), "dim=8, multiple_of=0: both must be at least 1"),
        ((8, 4, 0), "ffn_dim_multiplier=0: must be above 0, or None"),
        ((8, 4, -1.5), "ffn_dim_multiplier=-1.5: must be above 0"),
        ((8, 4, float("nan")), "ffn_dim_multiplier=nan: must be above 0"),
    ],
)
def test_the_width_rule_refuses(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        hidden_dim(*arguments)
