r"""A faster kernel for the product of a matrix and one vector, where decoding spends its time.

.. math:: y = W x + b

A prompt's many rows make this a product of matrices, and arithmetic bounds it. Decoding feeds one
token: each weight is fetched for a single multiplication, so the time is the weights' bytes over
the speed of the memory. PyTorch gives the product to MKL, which on some processors reaches half of
that speed. oneDNN, which PyTorch carries along, has a kernel of its own: where it is found to be
faster, :func:`fast_linear` puts it into a model's large layers.

The result is the same up to rounding, and everything but one float32 vector on a CPU is computed as
before. :func:`llama_tutorial.hub.load` calls it for models whose weights are more than a
processor's caches hold; the small models of the book stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float
from llama_tutorial.gpt import TiedOutput

# A call of oneDNN's costs some 10 microseconds, which smaller matrices do not win back.
SMALLEST = 2**17
# How many times as fast the kernel has to be, so that noise decides nothing.
WORTHWHILE = 1.15


def fast_linear(model: nn.Module) -> nn.Module:
    """Let a model's large linear layers use oneDNN's kernel for one vector, if it is faster here.

    The layers are replaced in place; parameters, their names and the state stay.

    Args:
        model: Its float32 layers on the CPU are replaced; others stay.

    Returns:
        The same model.
    """
    if not one_dnn_is_faster():
        return model
    kinds: dict[type, type] = {nn.Linear: FastLinear, TiedOutput: FastTiedOutput}
    for module in list(model.modules()):
        children: list[tuple[str, Any]] = list(module.named_children())
        for name, layer in children:
            if type(layer) in kinds and layer.weight.numel() >= SMALLEST:
                fast: nn.Module = nn.Module.__new__(kinds[type(layer)])
                fast.__dict__.update(layer.__dict__)  # the same parameters
                setattr(module, name, fast)
    return model


class FastLinear(nn.Linear):
    """:class:`torch.nn.Linear` with the faster kernel for one vector."""

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Apply the layer to each vector of ``x``."""
        return _linear(x, self.weight, self.bias)


class FastTiedOutput(TiedOutput):
    """:class:`~llama_tutorial.gpt.TiedOutput` with the faster kernel for one vector."""

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B V"]:
        """The logits of each vector of ``x``."""
        return _linear(x, self.weight, None)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if (
        x.numel() == x.shape[-1]
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()  # the compiler has plans of its own
    ):
        return _one_dnn(x, weight, bias)
    return F.linear(x, weight, bias)


@cache
def one_dnn_is_faster() -> bool:
    """Whether oneDNN's product with one vector is faster here, found by trying both (0.1 s)."""
    has_kernel = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if not (torch.backends.mkldnn.is_available() and has_kernel):
        return False
    # 64 MB: more than a cache holds
    weights = [torch.ones(1024, 1024, device="cpu") for _ in range(16)]
    x = torch.ones(1, 1024, device="cpu")

    def seconds(kernel: Callable[..., Tensor]) -> float:
        start = time.perf_counter()
        for weight in weights:
            kernel(x, weight, None)
        return time.perf_counter() - start

    with torch.inference_mode():  # in turn, so that both meet the same disturbances
        rounds = [(seconds(F.linear), seconds(_one_dnn)) for _ in range(4)]
    usual, one_dnn = map(min, zip(*rounds, strict=True))
    return usual > WORTHWHILE * one_dnn


def _one_dnn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
