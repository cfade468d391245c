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

KERNELS = ("oneDNN", "rows", "transposed", "widened")


def use(monkeypatch, name: str) -> None:
    """As where this kernel is the fastest, wherever it can be taken, and for every size."""

    def fastest(dtype, n):
        return module.kernels(dtype, n).get(name)

    monkeypatch.setattr(module, "fastest", fastest)
    monkeypatch.setattr(module, "SMALLEST", 1)


@pytest.fixture(params=["oneDNN", "rows"])
def kernel(request, monkeypatch):
    """Each kernel for one vector that there is here."""
    if request.param not in module.kernels(torch.float32, 1):
        pytest.skip(f"there is no {request.param} here")
    use(monkeypatch, request.param)
    return request.param


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
def test_one_vector_gives_the_same_numbers(kernel, monkeypatch, shape, bias):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(40, 70, bias=bias))
    x = torch.randn(shape)
    expected = copy.deepcopy(layers).double()(x.double())
    shapes = calls_of(monkeypatch)
    y = fast_linear(layers)(x)
    assert shapes == []
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=1e-5)


def test_all_else_is_torchs_own(monkeypatch):
    use(monkeypatch, "oneDNN")
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


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize("shape", [(70, 40), (3, 9), (2100, 1000)])
def test_every_kernel_gives_the_same_numbers(monkeypatch, name, dtype, n, shape):
    stands_for = 1 if n == 1 else module.SOME if n < module.FEW else module.MANY
    if name not in module.kernels(dtype, stands_for):
        pytest.skip(f"{name} is not for {n} vectors of {dtype}")
    use(monkeypatch, name)
    torch.manual_seed(0)
    layer = fast_linear(nn.Sequential(nn.Linear(shape[1], shape[0]))).to(dtype)
    x = torch.randn(n, shape[1], dtype=dtype)
    expected = F.linear(x.double(), layer[0].weight.double(), layer[0].bias.double())
    with torch.inference_mode():
        y = layer(x)
    assert (y.dtype, y.shape) == (dtype, expected.shape)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(y.double(), expected, rtol=tolerance, atol=tolerance)


def test_which_kernels_there_are_for_what():
    assert not module.kernels(torch.float64, 1)
    assert not module.kernels(torch.float16, 4)
    assert not module.kernels(torch.float32, module.MANY)
    assert [*module.kernels(torch.bfloat16, module.MANY)] == ["widened"]
    assert "transposed" in module.kernels(torch.float32, module.SOME)


def test_without_numba_there_is_no_loop_over_rows(monkeypatch):
    monkeypatch.setattr(module.packed, "_compiled", lambda: None)
    assert "rows" not in module.kernels(torch.float32, 1) | module.kernels(torch.bfloat16, 1)


def test_small_layers_stay(monkeypatch):
    monkeypatch.setattr(module, "SMALLEST", 41)
    layers = fast_linear(nn.Sequential(nn.Linear(4, 10), nn.Linear(10, 5)))
    assert [type(layer) for layer in layers] == [nn.Linear, FastLinear]


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ({"torch": 1.0, "one": 0.9, "two": 0.95}, None),  # too little to be sure of
        ({"torch": 1.0, "one": 0.8, "two": 0.5}, "two"),
        ({"torch": 1.0, "one": 1.2, "two": 1.5}, None),
    ],
)
def test_the_fastest_is_taken_where_it_is_worth_while(monkeypatch, times, chosen):
    others = {"one": lambda *_: None, "two": lambda *_: None}
    monkeypatch.setattr(module, "kernels", lambda *_: others)
    monkeypatch.setattr(module, "trial", lambda *_: dict(times))
    assert module.fastest.__wrapped__(torch.float32, 1) is others.get(chosen)


def test_the_trial_times_every_kernel_and_decides_once(monkeypatch):
    tried = []
    monkeypatch.setattr(module, "trial", lambda *given: tried.append(given[2]) or {"torch": 1.0})
    monkeypatch.setattr(module, "kernels", lambda *_: {"other": None})
    module.fastest.cache_clear()
    try:
        layer = fast_linear(nn.Sequential(nn.Linear(512, 512, bias=False)))
        with torch.no_grad():
            for n in (1, 1, 3, 7, 8, 300):
                layer(torch.ones(n, 512))
        assert tried == [1, module.SOME, module.MANY]
    finally:
        module.fastest.cache_clear()


@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied", "gpt2"])
@torch.no_grad()
def test_decoding_gives_the_same_ids(kernel, monkeypatch, name):
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
    left = {2, 3} if kernel == "oneDNN" else set()  # which takes no prompt of several tokens
    assert {shape[-2] for shape in shapes} == left


@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied"])
@torch.no_grad()
def test_a_fast_model_is_copied_pickled_cast_and_adapted(kernel, name):
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


def test_the_trial_runs_on_the_cpu_whatever_torchs_default_device_is():
    devices = set()

    def spy(x, weight):
        devices.update((x.device.type, weight.device.type))

    with torch.device("meta"):
        times = module.trial({"spy": spy}, torch.float32, module.SOME)
    assert devices == {"cpu"}
    assert times.keys() == {"torch", "spy"}
    assert 0 < times["spy"] < times["torch"]
