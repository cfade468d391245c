"""RMSNorm against plain float64, torch's and Hugging Face's; its invariances; half precision."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
from torch import nn

from llama_tutorial import RMSNorm


def random_norm(dim: int, eps: float = 1e-5, dtype: torch.dtype = torch.float32) -> RMSNorm:
    norm = RMSNorm(dim, eps).to(dtype)
    nn.init.normal_(norm.weight, mean=1.0, std=0.5, generator=torch.Generator().manual_seed(1))
    return norm


def vectors(*shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (scale * torch.randn(shape, generator=generator, dtype=torch.float64) + 0.3).to(dtype)


@pytest.mark.parametrize("eps", [1e-6, 1e-5, 0.1])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_equals_the_formula(eps, scale):
    norm, x = random_norm(13, eps), vectors(4, 13, scale=scale)
    expected = oracles.rms_norm(x.numpy(), norm.weight.detach().numpy(), eps)
    np.testing.assert_allclose(norm(x).detach(), expected, rtol=1e-5, atol=1e-6)


def test_equals_the_formula_in_float64():
    norm, x = random_norm(13, dtype=torch.float64), vectors(4, 13, dtype=torch.float64)
    expected = oracles.rms_norm(x.numpy(), norm.weight.detach().numpy(), norm.eps)
    np.testing.assert_allclose(norm(x).detach(), expected, rtol=0, atol=1e-12)


def test_equals_torch_in_float32():
    ours, x = random_norm(48), vectors(2, 5, 48)
    theirs = nn.RMSNorm(48, eps=1e-5)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_equals_hugging_face_to_the_bit(dtype):
    pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    ours, x = random_norm(48, dtype=dtype), vectors(2, 5, 48, dtype=dtype)
    theirs = LlamaRMSNorm(48, eps=1e-5).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(x), theirs(x))


def test_goes_back_to_half_precision_before_the_weight():
    norm, x = random_norm(4096, dtype=torch.bfloat16), vectors(8, 4096, dtype=torch.bfloat16)
    wide = x.float() / (x.float().pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    meta, late = wide.bfloat16() * norm.weight, (wide * norm.weight.float()).bfloat16()
    assert torch.equal(norm(x), meta)
    assert not torch.equal(meta, late)  # the order shows, so the line above means something


def test_a_float32_weight_widens_a_bfloat16_input():
    assert random_norm(8)(vectors(3, 8, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keeps_the_dtype(dtype):
    assert random_norm(8, dtype=dtype)(vectors(3, 8, dtype=dtype)).dtype == dtype


def test_squares_do_not_overflow_in_float16():
    x = torch.full((1, 16), 300.0, dtype=torch.float16)  # 300² is beyond float16's 65504
    torch.testing.assert_close(RMSNorm(16).half()(x), torch.ones_like(x))


def test_eps_is_inside_the_root():
    x = torch.full((1, 4), 0.01, dtype=torch.float64)
    norm = RMSNorm(4, eps=1e-5).double()
    assert norm(x)[0, 0].item() == pytest.approx(0.01 / (1e-4 + 1e-5) ** 0.5, abs=1e-12)


def test_the_zero_vector_stays_zero_and_has_a_gradient():
    x = torch.zeros(1, 8, requires_grad=True)
    y = RMSNorm(8)(x)
    y.sum().backward()
    assert torch.equal(y, torch.zeros(1, 8))
    assert torch.isfinite(x.grad).all()


def test_scale_does_not_matter():
    norm, x = random_norm(24, eps=1e-30, dtype=torch.float64), vectors(5, 24, dtype=torch.float64)
    for scale in (1e-4, 0.5, 3.0, 1e4):
        torch.testing.assert_close(norm(scale * x), norm(x), rtol=0, atol=1e-9)
    torch.testing.assert_close(norm(-x), -norm(x), rtol=0, atol=1e-12)


def test_the_mean_is_kept():
    x = vectors(5, 24, dtype=torch.float64) + 10
    y = RMSNorm(24).double()(x)
    torch.testing.assert_close(y.pow(2).mean(-1), torch.ones(5).double(), rtol=0, atol=1e-6)
    assert (y.mean(-1) > 0.9).all()  # LayerNorm's would be 0


def test_positions_do_not_mix():
    norm, x = random_norm(12, dtype=torch.float64), vectors(2, 6, 12, dtype=torch.float64)
    changed = x.clone()
    changed[:, 4:] *= 100
    assert torch.equal(norm(changed)[:, :4], norm(x)[:, :4])
    assert torch.equal(norm(x)[1, 3], norm(x[1, 3]))  # one vector alone


def test_gradients_are_right():
    norm = random_norm(6, dtype=torch.float64)
    x = vectors(2, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, weight: functional(norm, x, weight), (x, norm.weight))


def functional(norm, x, weight):
    return torch.func.functional_call(norm, {"weight": weight}, (x,))
