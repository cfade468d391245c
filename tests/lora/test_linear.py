"""One layer with an adapter: the formula, the types, and the base's bits."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from llama_tutorial.lora.linear import LoRALinear, add_change, plain_linear


def layer_of(
    dtype: torch.dtype = torch.float32, *, bias: bool = False, dropout: float = 0.0
) -> LoRALinear:
    """10 inputs, 6 outputs, rank 3, scaled by 2.5 / 3, with a B that counts."""
    torch.manual_seed(0)
    base = nn.Linear(10, 6, bias=bias).to(dtype).requires_grad_(False)
    layer = LoRALinear(base, rank=3, alpha=2.5, dropout=dropout)
    nn.init.normal_(layer.lora_b)
    return layer.eval()


def by_hand(layer: LoRALinear, x: torch.Tensor) -> list[list[float]]:
    """Equation 3 of the paper in plain Python: h = W x + alpha/r · B (A x)."""
    weight, a, b = (p.double().tolist() for p in (layer.weight, layer.lora_a, layer.lora_b))
    bias = [0.0] * len(weight) if layer.bias is None else layer.bias.double().tolist()

    def times(matrix, vector):
        return [math.fsum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix]

    rows = []
    for vector in x.double().tolist():
        change = times(b, times(a, vector))
        pairs = zip(times(weight, vector), bias, change, strict=True)
        rows.append([w + offset + 2.5 / 3 * c for w, offset, c in pairs])
    return rows


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_it_is_the_papers_formula(dtype, atol, bias):
    layer, x = layer_of(dtype, bias=bias), torch.randn(5, 10, dtype=dtype)
    y = layer(x)
    assert y.dtype == dtype
    assert_close(y.tolist(), by_hand(layer, x), rtol=0, atol=atol)
    assert_close(layer(x[None])[0], y, rtol=0, atol=atol)
    assert_close(layer(x[0]), y[0], rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_it_starts_as_the_base_exactly(dtype, bias):
    base, x = nn.Linear(10, 6, bias=bias).to(dtype), torch.randn(5, 10).to(dtype)
    layer = LoRALinear(base, rank=3, alpha=2.5)
    assert layer.weight is base.weight
    assert layer.bias is base.bias
    assert torch.equal(layer(x), base(x))
    assert not layer.lora_b.any()


def test_a_is_drawn_as_in_loralib():
    layer = LoRALinear(nn.Linear(400, 6), rank=64, alpha=1)
    a = layer.lora_a.detach()
    assert a.shape == (64, 400)
    assert a.abs().max() <= 1 / 20  # kaiming_uniform_(a=sqrt(5)) is uniform up to 1/sqrt(D)
    assert a.abs().max() > 0.999 / 20
    assert a.std() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.02)
    torch.manual_seed(1)
    expected = nn.init.kaiming_uniform_(torch.empty(64, 400), a=math.sqrt(5))
    torch.manual_seed(1)
    layer.reset_adapter()
    assert torch.equal(layer.lora_a, expected)


@pytest.mark.parametrize(
    ("base", "adapter"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_the_adapter_is_float32_at_least(base, adapter):
    layer = layer_of(base)
    assert layer.weight.dtype == base
    assert layer.lora_a.dtype == layer.lora_b.dtype == adapter


def test_a_bfloat16_base_computes_in_bfloat16_and_gets_float32_gradients():
    layer, x = layer_of(torch.bfloat16), torch.randn(5, 10).bfloat16()
    y = layer(x)
    assert y.dtype == torch.bfloat16
    exact = torch.tensor(by_hand(layer, x))
    assert (y.double() - exact).abs().max() < 2**-6 * exact.abs().max()
    y.sum().backward()
    assert layer.lora_a.grad.dtype == layer.lora_b.grad.dtype == torch.float32
    assert layer.lora_a.grad.any()
    assert layer.weight.grad is None


def test_autocast_keeps_the_adapter_and_computes_in_bfloat16():
    layer, x = layer_of(), torch.randn(5, 10)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    assert (y - layer(x)).abs().max() < 2**-6 * layer(x).abs().max()
    y.float().sum().backward()
    assert layer.lora_b.grad.dtype == torch.float32


def test_dropout_is_in_the_adapter_alone_and_in_training_alone():
    layer, x = layer_of(dropout=0.5), torch.ones(400, 10)
    assert torch.equal(layer(x), layer(x))
    base = nn.functional.linear(x, layer.weight)
    layer.train()
    torch.manual_seed(3)
    noisy = layer(x)
    torch.manual_seed(3)
    kept = nn.functional.dropout(x, 0.5)
    change = kept @ layer.lora_a.T @ layer.lora_b.T * layer.scaling
    assert_close(noisy, base + change, rtol=0, atol=1e-5)
    assert not torch.equal(layer(x), noisy)
    nn.init.zeros_(layer.lora_b)
    assert torch.equal(layer(x), base)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("bias", [False, True])
def test_merged_gives_the_same_numbers(dtype, atol, bias):
    layer, x = layer_of(dtype, bias=bias, dropout=0.5), torch.randn(5, 10, dtype=dtype)
    expected = layer(x)
    layer.merge()
    assert layer.merged
    assert_close(layer(x), expected, rtol=0, atol=atol)
    assert torch.equal(layer.train()(x), layer.eval()(x))  # nothing left that could be dropped
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_unmerging_gives_back_the_very_bits(dtype):
    layer = layer_of(dtype)
    with torch.no_grad():
        layer.lora_b *= 1e12  # subtracting it again would leave no bit of most weights
    before, state = layer.weight.detach().clone(), copy.deepcopy(layer.state_dict())
    change = layer.scaling * (layer.lora_b @ layer.lora_a).detach()
    for _ in range(3):
        layer.merge()
        layer.merge()  # nothing more
        assert layer.merged
        assert not torch.equal(layer.weight, before)
        assert not torch.equal((layer.weight - change.to(dtype)).to(dtype), before)
        assert layer.state_dict().keys() == state.keys()
        assert [n for n, p in layer.named_parameters() if p.requires_grad] == ["lora_a", "lora_b"]
        layer.unmerge()
        layer.unmerge()
    assert torch.equal(layer.weight, before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in layer.state_dict().items())


def test_what_was_put_aside_follows_the_layers_type():
    layer = layer_of()
    before = layer.weight.detach().clone()
    layer.merge()
    layer.bfloat16().unmerge()
    assert torch.equal(layer.weight, before.bfloat16())


def test_a_merged_weight_is_rounded_once():
    weight = torch.tensor([[1.0, 1.0]]).bfloat16()
    a, b = torch.tensor([[2**-8, 3 * 2**-8]]), torch.tensor([[1.0]])
    # bfloat16's neighbours of 1 are 2^-7 apart: half a step goes to the even one, more goes up.
    assert add_change(weight, a, b, 1).tolist() == [[1.0, 1 + 2**-6]]
    assert add_change(weight.float(), a, b, 1).tolist() == [[1 + 2**-8, 1 + 3 * 2**-8]]
    # In bfloat16 throughout, 1/3 of the change would be rounded first.
    third = add_change(weight, a, b, 1 / 3)
    assert third.tolist() == [[1.0, 1.0]]
    assert third.dtype == torch.bfloat16


def test_a_plain_layer_holds_the_same_tensors():
    layer = layer_of(bias=True)
    plain = plain_linear(layer.weight, layer.bias)
    assert plain.weight.data_ptr() == layer.weight.data_ptr()
    assert plain.bias.data_ptr() == layer.bias.data_ptr()
    assert plain.weight.requires_grad
    assert (plain.in_features, plain.out_features) == (10, 6)
    x = torch.randn(5, 10)
    assert torch.equal(plain(x), nn.functional.linear(x, layer.weight, layer.bias))
    assert plain_linear(layer.weight, None).bias is None


def test_it_says_what_it_is():
    expected = "in_features=10, out_features=6, bias=False, rank=3, alpha=2.5, dropout=0.5"
    assert repr(layer_of(dropout=0.5)) == f"LoRALinear({expected})"
