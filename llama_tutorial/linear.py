r"""The product of a matrix and one vector, where decoding spends its time.

.. math:: y = W x + b

A prompt's many rows make this a product of matrices, and arithmetic bounds it. Decoding feeds one
token: each weight is fetched for a single multiplication, so the time is the weights' bytes over
the speed of the memory. PyTorch gives the product to Intel's MKL, whose kernel for one vector
reaches about half of that speed on AMD's processors. oneDNN, which PyTorch carries along, has a
kernel of its own that does not ask who made the processor: there, one vector goes to it.

The result is the same up to rounding. Everywhere else, in training, and for several rows, this is
:func:`torch.nn.functional.linear` and nothing more.

Read next: :mod:`llama_tutorial.swiglu`, which builds on it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float

# A call of oneDNN's costs some 10 microseconds, which smaller matrices do not win back.
SMALLEST = 2**17


def _mkl_is_slow() -> bool:
    """Whether this is an AMD processor, and a PyTorch with both libraries."""
    described = getattr(torch.cpu, "get_capabilities", dict)()  # newer than PyTorch 2.6
    both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    has_kernel = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return both and has_kernel and "AMD" in str(described.get("cpu_name", ""))


MKL_IS_SLOW = _mkl_is_slow()


def linear(
    x: Float[Tensor, "*B D"], weight: Float[Tensor, "F D"], bias: Float[Tensor, " F"] | None = None
) -> Float[Tensor, "*B F"]:
    """``x @ weight.T + bias``, by the kernel that reads ``weight`` fastest."""
    if MKL_IS_SLOW and is_one_large_product(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def is_one_large_product(x: Tensor, weight: Tensor) -> bool:
    """Whether this is one float32 vector on the CPU, without gradients, and a large matrix."""
    if torch.compiler.is_compiling():  # the compiler has plans of its own for linear layers
        return False
    return (
        weight.numel() >= SMALLEST
        and x.numel() == x.shape[-1]
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_grad_enabled()
    )


class Linear(nn.Linear):
    """:class:`torch.nn.Linear`, with :func:`linear` inside."""

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Apply the layer to each vector of ``x``."""
        return linear(x, self.weight, self.bias)
