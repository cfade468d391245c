"""GPT's parts against plain float64, torch's own and Hugging Face's."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
from torch import nn

from llama_tutorial.gpt import GeluFeedForward, LayerNorm, LearnedPositions


def randomised(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return module.to(dtype)


def vectors(*shape, scale=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return (scale * (torch.randn(shape, generator=generator, dtype=torch.float64) + 0.7)).to(dtype)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 0.1])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_layer_norm_equals_the_formula(bias, eps, scale):
    norm, x = randomised(LayerNorm(13, eps, bias=bias)), vectors(4, 13, scale=scale)
    shift = norm.bias.detach().numpy() if bias else None
    expected = oracles.layer_norm(x.numpy(), norm.weight.detach().numpy(), shift, eps)
    np.testing.assert_allclose(norm(x).detach(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_layer_norm_equals_torchs(bias, dtype, atol):
    ours, x = randomised(LayerNorm(48, bias=bias), dtype), vectors(2, 5, 48, dtype=dtype)
    theirs = nn.LayerNorm(48, eps=1e-5, bias=bias).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=atol)


def test_layer_norm_ignores_shift_and_scale():
    norm = randomised(LayerNorm(24, eps=1e-30), torch.float64)
    x = vectors(5, 24, dtype=torch.float64)
    torch.testing.assert_close(norm(3 * x - 40), norm(x), rtol=0, atol=1e-9)


def test_layer_norm_does_not_overflow_in_float16():
    x = torch.tensor([[300.0, -300.0, 300.0, -300.0]], dtype=torch.float16)
    torch.testing.assert_close(LayerNorm(4).half()(x), x.sign())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_layer_norm_keeps_the_dtype(dtype):
    assert LayerNorm(8).to(dtype)(vectors(3, 8, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("bias", [True, False])
def test_feed_forward_equals_the_formula_and_torchs_gelu(bias):
    layer, x = randomised(GeluFeedForward(12, 20, bias=bias)), vectors(2, 5, 12)
    w = {name: p.detach().double().numpy() for name, p in layer.named_parameters()}
    up = oracles.gelu_tanh(x.double().numpy() @ w["w1.weight"].T + w.get("w1.bias", 0.0))
    expected = up @ w["w2.weight"].T + w.get("w2.bias", 0.0)
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=0, atol=1e-5)
    theirs = nn.Sequential(layer.w1, nn.GELU(approximate="tanh"), layer.w2)
    torch.testing.assert_close(layer(x), theirs(x), rtol=0, atol=1e-6)


def test_gelu_is_the_tanh_form():
    layer = GeluFeedForward(1, 1, bias=False).double()
    nn.init.ones_(layer.w1.weight)
    nn.init.ones_(layer.w2.weight)
    x = torch.tensor([[2.0]], dtype=torch.float64)
    tanh_form, exact_form = oracles.gelu_tanh(np.float64(2.0)), nn.functional.gelu(x).item()
    assert abs(tanh_form - exact_form) > 9e-5  # the two can be told apart here
    assert layer(x).item() == pytest.approx(tanh_form, abs=1e-12)


def test_feed_forward_equals_hugging_face():
    transformers = pytest.importorskip("transformers")
    from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

    ours, x = randomised(GeluFeedForward(12, 20)), vectors(3, 12)
    theirs = GPT2MLP(20, transformers.GPT2Config(n_embd=12)).eval()
    with torch.no_grad():
        for mine, name in (("w1", "c_fc"), ("w2", "c_proj")):
            conv, linear = getattr(theirs, name), getattr(ours, mine)
            conv.weight.copy_(linear.weight.T)  # GPT-2's Conv1D keeps (in, out)
            conv.bias.copy_(linear.bias)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_learned_positions_look_up():
    positions = randomised(LearnedPositions(10, 3))
    assert torch.equal(positions(torch.tensor([[2, 3, 4]])), positions.weight[None, 2:5])
    rows = torch.tensor([[0, 1], [7, 8]])
    assert torch.equal(positions(rows), positions.weight[rows])
    assert positions.weight.shape == (10, 3)
