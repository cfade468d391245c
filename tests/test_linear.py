"""One vector through another kernel: the same numbers, and only where it is meant to be taken."""

from __future__ import annotations

import pytest
import small_models
import torch
from torch import nn
from torch.nn import functional as F

from llama_tutorial import ModelConfig, Transformer, generate, linear


@pytest.fixture
def one_dnn(monkeypatch):
    """As on an AMD processor, if this PyTorch has both libraries."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this PyTorch comes without oneDNN")
    monkeypatch.setattr(linear, "MKL_IS_SLOW", True)
    monkeypatch.setattr(linear, "SMALLEST", 1)


def calls_of(monkeypatch) -> list:
    """The shapes that go to torch's own function from now on."""
    shapes = []
    monkeypatch.setattr(F, "linear", spy(F.linear, shapes))
    return shapes


def spy(function, shapes):
    def call(x, weight, bias=None):
        shapes.append(tuple(x.shape))
        return function(x, weight, bias)

    return call


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(40,), (1, 40), (1, 1, 40)])
@torch.inference_mode()
def test_one_vector_gives_the_same_numbers(one_dnn, monkeypatch, shape, bias):
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(s, generator=generator) for s in (shape, (70, 40)))
    offset = torch.randn(70, generator=generator) if bias else None
    expected = F.linear(x.double(), weight.double(), offset.double() if bias else None)
    shapes = calls_of(monkeypatch)
    y = linear.linear(x, weight, offset)
    assert shapes == []
    assert y.dtype == torch.float32
    assert y.shape == (*shape[:-1], 70)
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=1e-5)


def test_all_else_is_torchs_own(one_dnn, monkeypatch):
    shapes, weight = calls_of(monkeypatch), torch.ones(5, 4)
    with torch.no_grad():
        linear.linear(torch.ones(2, 4), weight)  # two vectors
        linear.linear(torch.ones(1, 4).double(), weight.double())
        linear.linear(torch.ones(1, 4).bfloat16(), weight.bfloat16())
        monkeypatch.setattr(linear, "SMALLEST", 21)
        linear.linear(torch.ones(3, 1, 4), weight)
        linear.linear(torch.ones(1, 4), weight)  # small
        monkeypatch.setattr(linear, "SMALLEST", 20)
        monkeypatch.setattr(linear, "MKL_IS_SLOW", False)
        linear.linear(torch.ones(4), weight)  # another processor
        monkeypatch.setattr(linear, "MKL_IS_SLOW", True)
    x = torch.ones(1, 1, 4, requires_grad=True)
    linear.linear(x, weight).sum().backward()  # gradients
    assert shapes == [(2, 4), (1, 4), (1, 4), (3, 1, 4), (1, 4), (4,), (1, 1, 4)]
    assert x.grad.tolist() == [[[5, 5, 5, 5]]]


def test_the_layer_is_torchs_linear(one_dnn):
    torch.manual_seed(0)
    theirs = nn.Linear(6, 3)
    ours = linear.Linear(6, 3)
    ours.load_state_dict(theirs.state_dict())
    assert isinstance(ours, nn.Linear)
    with torch.no_grad():
        for x in (torch.randn(6), torch.randn(4, 6), torch.randn(2, 3, 6)):
            torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)


def test_every_linear_layer_of_a_model_is_quick():
    model = Transformer(small_models.LLAMA)
    kinds = {type(module) for module in model.modules() if isinstance(module, nn.Linear)}
    assert kinds == {linear.Linear}
    assert len([m for m in model.modules() if isinstance(m, linear.Linear)]) == 2 * 7 + 1


@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied", "gpt2"])
@torch.no_grad()
def test_decoding_gives_the_same_ids(one_dnn, monkeypatch, name):
    model = small_models.random_model(small_models.NAMED[name])
    prompts = [[1, 2, 3], [4], [7, 8]]
    quick = [generate(model, [prompt], 9, temperature=0)[0] for prompt in prompts]
    shapes = calls_of(monkeypatch)
    generate(model, [prompts[0]], 9, temperature=0)
    assert {shape[-2] for shape in shapes} == {3}  # the prefill's alone
    monkeypatch.setattr(linear, "MKL_IS_SLOW", False)
    assert quick == [generate(model, [prompt], 9, temperature=0)[0] for prompt in prompts]


def test_a_real_size_on_this_processor():
    """Whatever this processor is: rows alone are rows together, with matrices above the limit."""
    torch.manual_seed(0)
    config = ModelConfig(256, 1, 4, 4, 768, vocab_size=1000, max_seq_len=16)
    model, tokens = Transformer(config), torch.tensor([[1, 2, 3, 4]])
    assert model.layers[0].feed_forward.w1.weight.numel() > linear.SMALLEST
    with torch.no_grad():
        full = model(tokens)[:, :1]
        torch.testing.assert_close(model(tokens[:, :1]), full, rtol=0, atol=1e-4)
