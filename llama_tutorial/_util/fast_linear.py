r"""Faster kernels for the products of a matrix and a few vectors, where decoding spends its time.

.. math:: y = W x + b

A prompt's many rows make this a product of matrices, and arithmetic bounds it. Decoding feeds one
token: each weight is fetched for a single multiplication, so the time is the weights' bytes over
the speed of the memory. PyTorch gives the product to a library that is made for matrices, and on
some processors that reaches half of that speed with one vector, or a tenth with three. There are
others:

- ``oneDNN``: PyTorch carries it along, with a kernel of its own for one vector;
- ``rows``: a loop of three lines over the rows, compiled by numba
  (:mod:`llama_tutorial.quantization.kernels`), for float32 and for bfloat16, whose 16 bits are
  shifted into a float32;
- ``transposed``: ``(W @ x.T).T``, the same product seen from the other side;
- ``widened``: bfloat16 made float32 block by block, for processors that have no instructions for
  it.

Which one is fastest is not known by a processor's name, and so it is tried: a few milliseconds, in
each process once for each type and number of vectors, when the first such product comes. The
results are the same up to rounding. Gradients, other devices and ``torch.compile`` get torch's own.
:func:`llama_tutorial.hub.load` puts these layers into models whose weights are more than a
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
from llama_tutorial.quantization import packed

# A call costs some 10 microseconds, which smaller matrices do not win back.
SMALLEST = 2**17
# How many times as fast as torch's own a kernel has to be, so that noise decides nothing.
WORTHWHILE = 1.15
FEW = 8  # vectors: from here on it is a product of matrices
SOME, MANY = 4, 32  # vectors that stand for fewer and for more, when kernels are tried
BLOCK = 2**21  # weights that are widened at a time

Kernel = Callable[[Tensor, Tensor], Tensor]


def fast_linear(model: nn.Module) -> nn.Module:
    """Let a model's large linear layers use the kernels that are fastest here.

    The layers are replaced in place; parameters, their names and the state stay.

    Args:
        model: Its linear layers are replaced; packed ones, and small ones, stay.

    Returns:
        The same model.
    """
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
    """:class:`torch.nn.Linear` with the fastest kernel for a few vectors."""

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Apply the layer to each vector of ``x``."""
        return _linear(x, self.weight, self.bias)


class FastTiedOutput(TiedOutput):
    """:class:`~llama_tutorial.gpt.TiedOutput` with the fastest kernel for a few vectors."""

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B V"]:
        """The logits of each vector of ``x``."""
        return _linear(x, self.weight, None)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    n = x.numel() // x.shape[-1]
    if (
        x.dtype == weight.dtype
        and x.device.type == "cpu"
        and n > 0
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()  # the compiler has plans of its own
    ):
        kernel = fastest(x.dtype, 1 if n == 1 else SOME if n < FEW else MANY)
        if kernel is not None:
            y = kernel(x.reshape(n, -1), weight).reshape(*x.shape[:-1], -1)
            return y if bias is None else y + bias
    return F.linear(x, weight, bias)


def _one_dnn(x: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


def _rows(x: Tensor, weight: Tensor) -> Tensor:
    kernels: Any = packed.kernels()
    if x.dtype == torch.float32:
        y = packed.rows_times(kernels.float32, weight.detach().numpy(), x.numpy())
    else:
        bits = weight.detach().view(torch.uint16).numpy()
        y = packed.rows_times(kernels.bfloat16, bits, x.float().numpy())
    return torch.from_numpy(y).to(x.dtype)


def _transposed(x: Tensor, weight: Tensor) -> Tensor:
    return torch.mm(weight, x.T).T


def _widened(x: Tensor, weight: Tensor) -> Tensor:
    wide, y = x.float(), x.new_empty(len(x), len(weight))
    step = max(1, BLOCK // weight.shape[1])
    for first in range(0, len(weight), step):
        y[:, first : first + step] = wide @ weight[first : first + step].float().T
    return y


def kernels(dtype: torch.dtype, n: int) -> dict[str, Kernel]:
    """What there is here, beside torch's own, for ``n`` vectors of a type."""
    found: dict[str, Kernel] = {}
    if dtype == torch.float32 and n == 1 and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        found |= {"oneDNN": _one_dnn} if torch.backends.mkldnn.is_available() else {}
    if dtype in (torch.float32, torch.bfloat16) and n < FEW and packed.kernels() is not None:
        found |= {"rows": _rows}
    if dtype == torch.float32 and 1 < n < FEW:
        found |= {"transposed": _transposed}
    if dtype == torch.bfloat16 and n > 1:
        found |= {"widened": _widened}
    return found


@cache
def fastest(dtype: torch.dtype, n: int) -> Kernel | None:
    """The fastest kernel for ``n`` vectors, found by trying all; None where torch's own is it."""
    others = kernels(dtype, n)
    if not others:
        return None
    with torch.inference_mode():
        times = trial(others, dtype, n)
    best = min(times, key=lambda name: times[name])
    usual = times.pop("torch")
    return others[best] if best in others and usual > WORTHWHILE * times[best] else None


def trial(others: dict[str, Kernel], dtype: torch.dtype, n: int) -> dict[str, float]:
    """Seconds that each kernel and torch's own take for a matrix of 1365 x 768.

    A million weights; not 1024 x 1024, where torch's own is faster on some processors than at the
    widths of models, and would be chosen where it takes half as long again.

    All take turns with all matrices, and of each one's times the lower quartile counts: on a busy
    machine most calls are not disturbed, and the first few are perhaps not typical.
    """
    # As much as no cache holds where memory is the limit; where arithmetic is, a few are enough.
    weights = [torch.ones(1365, 768, device="cpu", dtype=dtype) for _ in range(32 if n == 1 else 8)]
    x = torch.ones(n, 768, device="cpu", dtype=dtype)

    def seconds(kernel: Kernel, weight: Tensor) -> float:
        start = time.perf_counter()
        kernel(x, weight)
        return time.perf_counter() - start

    all_of_them: dict[str, Kernel] = {"torch": F.linear, **others}
    for kernel in all_of_them.values():
        kernel(x, weights[0])  # numba compiles now, or reads what it has compiled
    times: dict[str, list[float]] = {name: [] for name in all_of_them}
    for name, kernel in [*all_of_them.items()] * 2:
        times[name] += [seconds(kernel, weight) for weight in weights]
    return {name: sorted(found)[len(found) // 4] for name, found in times.items()}
