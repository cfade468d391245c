"""One vector through another kernel: the same numbers, and only where it is meant to be taken."""

from __future__ import annotations

import copy
import pickle

import pytest
import small_models
import torch
from torch import nn
from torch.nn import functional as F

from llama_tutorial import KVCache, ModelConfig, Transformer, generate
from llama_tutorial._util import fast_linear as module
from llama_tutorial._util.fast_linear import FastLinear, FastTiedOutput, fast_linear
from llama_tutorial.gpt import TiedOutput
from llama_tutorial.lora import add_lora, merge_lora


@pytest.fixture
def one_dnn(monkeypatch):
    """As where the kernel is faster, and with every size, if this PyTorch has it."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this PyTorch comes without oneDNN")
    monkeypatch.setattr(module, "one_dnn_is_faster", lambda: True)
    monkeypatch.setattr(module, "SMALLEST", 1)


def calls_of(monkeypatch) -> list:
    """The shapes that go to torch's own function from now on."""
    shapes, plain = [], F.linear

    def spy(x, weight, bias=None):
        shapes.append(tuple(x.shape))
        return plain(x, weight, bias)

    monkeypatch.setattr(F, "linear", spy)
    return shapes


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(40,), (1, 40), (1, 1, 40)])
@torch.inference_mode()
def test_one_vector_gives_the_same_numbers(one_dnn, monkeypatch, shape, bias):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(40, 70, bias=bias))
    x = torch.randn(shape)
    expected = copy.deepcopy(layers).double()(x.double())
    shapes = calls_of(monkeypatch)
    y = fast_linear(layers)(x)
    assert shapes == []
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=1e-5)


def test_all_else_is_torchs_own(one_dnn, monkeypatch):
    layers = fast_linear(nn.Sequential(nn.Linear(4, 5, bias=False)))
    nn.init.ones_(layers[0].weight)
    shapes = calls_of(monkeypatch)
    with torch.no_grad():
        layers(torch.ones(2, 4))  # two vectors
        layers(torch.ones(3, 1, 4))
        copy.deepcopy(layers).double()(torch.ones(1, 4).double())
        copy.deepcopy(layers).bfloat16()(torch.ones(1, 4).bfloat16())
    x = torch.ones(1, 1, 4, requires_grad=True)
    layers(x).sum().backward()  # gradients
    assert shapes == [(2, 4), (3, 1, 4), (1, 4), (1, 4), (1, 1, 4)]
    assert x.grad.tolist() == [[[5, 5, 5, 5]]]


def test_small_layers_stay(monkeypatch):
    monkeypatch.setattr(module, "one_dnn_is_faster", lambda: True)
    monkeypatch.setattr(module, "SMALLEST", 41)
    layers = fast_linear(nn.Sequential(nn.Linear(4, 10), nn.Linear(10, 5)))
    assert [type(layer) for layer in layers] == [nn.Linear, FastLinear]


def test_nothing_happens_where_the_kernel_is_not_faster(monkeypatch):
    monkeypatch.setattr(module, "one_dnn_is_faster", lambda: False)
    monkeypatch.setattr(module, "SMALLEST", 1)
    model = fast_linear(Transformer(small_models.LLAMA))
    assert {type(m) for m in model.modules() if isinstance(m, nn.Linear)} == {nn.Linear}


@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied", "gpt2"])
@torch.no_grad()
def test_decoding_gives_the_same_ids(one_dnn, monkeypatch, name):
    model = small_models.random_model(small_models.NAMED[name])
    prompts = [[1, 2, 3], [4], [7, 8]]
    plain = [generate(model, [prompt], 9, temperature=0)[0] for prompt in prompts]
    state = model.state_dict()
    fast = fast_linear(model)
    assert fast is model
    assert [*fast.state_dict()] == [*state]
    assert all(fast.state_dict()[key].data_ptr() == state[key].data_ptr() for key in state)
    kinds = {type(m) for m in fast.modules() if isinstance(m, nn.Linear | TiedOutput)}
    assert kinds <= {FastLinear, FastTiedOutput}
    shapes = calls_of(monkeypatch)
    assert plain == [generate(fast, [prompt], 9, temperature=0)[0] for prompt in prompts]
    assert {shape[-2] for shape in shapes} == {2, 3}  # prefills alone


@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied"])
@torch.no_grad()
def test_a_fast_model_is_copied_pickled_cast_and_adapted(one_dnn, name):
    model = small_models.random_model(small_models.NAMED[name])
    tokens = small_models.random_tokens(model.config, 1, 5)
    expected = model(tokens)
    fast = fast_linear(copy.deepcopy(model))
    for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        torch.testing.assert_close(other(tokens), expected, rtol=0, atol=1e-5)
    cache = KVCache(model.config)
    pieces = torch.cat([fast(token[None, None], cache) for token in tokens[0]], 1)
    torch.testing.assert_close(pieces, expected, rtol=0, atol=1e-5)
    add_lora(fast)
    merge_lora(fast, keep_base=False)
    torch.testing.assert_close(fast(tokens), expected, rtol=0, atol=1e-5)
    assert fast.double()(tokens).dtype == torch.float64


def test_a_real_size_on_this_processor():
    """Whatever this processor is: rows alone are rows together, with matrices above the limit."""
    torch.manual_seed(0)
    config = ModelConfig(256, 1, 4, 4, 768, vocab_size=1000, max_seq_len=16)
    model, tokens = fast_linear(Transformer(config)), torch.tensor([[1, 2, 3, 4]])
    assert model.layers[0].feed_forward.w1.weight.numel() > module.SMALLEST
    with torch.no_grad():
        full = model(tokens)[:, :1]
        torch.testing.assert_close(model(tokens[:, :1]), full, rtol=0, atol=1e-4)


def test_the_trial_runs_on_the_cpu_whatever_torchs_default_device_is(monkeypatch):
    devices = set()

    def spy(x, weight, bias):
        devices.update((x.device.type, weight.device.type))
        return x

    monkeypatch.setattr(module, "_one_dnn", spy)
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this PyTorch comes without oneDNN")
    with torch.device("meta"):
        module.one_dnn_is_faster.__wrapped__()
    assert devices == {"cpu"}
