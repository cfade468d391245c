r"""One linear layer with a LoRA adapter: a change of low rank beside the frozen matrix.

.. math::
    y &= W x + \frac{\alpha}{r}\, B A x \\
    A &\in \mathbb R^{r \times D}, \quad B \in \mathbb R^{F \times r}

``W`` is frozen. Only ``A`` and ``B`` learn, ``r (D + F)`` numbers where ``W`` has ``D F``: so
gradients, AdamW's two moments and the saved file shrink by the same factor. ``A`` begins random and
``B`` at 0, so that the first step starts exactly from the base model::

    x ─┬─ W (F, D), frozen ───────────────────────── + ── y
       └─ dropout ── A (r, D) ── B (F, r) ── · α/r ──┘

After training, the product can be added to ``W`` once and then costs nothing. Rounding makes
``(W + BA) - BA`` differ from ``W``, so a merged change is never subtracted: the base's own matrix
is kept and put back.

Source: Hu et al. (2021), "LoRA: Low-Rank Adaptation of Large Language Models"; ``A`` and ``B`` are
initialised as in the ``loralib`` published with it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float
from llama_tutorial.quantization.linear import QuantizedLinear


class LoRALinear(nn.Module):
    """A frozen linear layer and its adapter. ``weight`` and ``bias`` are the base's own parameters.

    A base on packed weights stays packed, as ``packed_base``; then there is no ``weight`` until a
    merge makes a floating one.

    The adapter is at least float32, so that small steps of the optimizer are not rounded away. It
    computes in the dtype of its input, as mixed precision does.

    Args:
        base: The layer that is adapted.
        rank: Rank of the change, r.
        alpha: The change is scaled by ``alpha / rank``.
        dropout: Probability that an input of ``A`` is dropped in training.

    Attributes:
        lora_a: ``(rank, D)``.
        lora_b: ``(F, rank)``, 0 at first.
        off: Leave the adapter out, for :func:`llama_tutorial.lora.adapters.adapters_off`.
    """

    weight: Any
    packed_base: Any

    def __init__(
        self,
        base: nn.Linear | QuantizedLinear,
        rank: int,
        alpha: float | int,
        dropout: float | int = 0.0,
    ) -> None:
        super().__init__()
        self.packed_base = base if isinstance(base, QuantizedLinear) else None
        self.weight = base.weight if isinstance(base, nn.Linear) else None
        self.bias = base.bias
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        own = base.weight if isinstance(base, nn.Linear) else base.scales
        dtype = torch.promote_types(own.dtype, torch.float32)
        empty = partial(torch.empty, dtype=dtype, device=own.device)
        self.lora_a = nn.Parameter(empty(rank, base.in_features))
        self.lora_b = nn.Parameter(empty(base.out_features, rank))
        self.merged = False
        self.off = False
        self._base_weight: Tensor | None = None  # the base's matrix, while ``weight`` is merged
        self.reset_adapter()

    def reset_adapter(self) -> None:
        """``A`` uniform up to 1/sqrt(D), as torch initialises a linear layer; ``B`` 0."""
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        nn.init.zeros_(self.lora_b)

    @property
    def scaling(self) -> float:
        """``alpha / rank``."""
        return self.alpha / self.rank

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Apply the layer to each vector of ``x``."""
        packed = self.weight is None
        y = self.packed_base(x) if packed else F.linear(x, self.weight, self.bias)  # (..., F)
        if self.merged or self.off:
            return y
        x = F.dropout(x, self.dropout, self.training)
        low = F.linear(x, self.lora_a.to(x.dtype))  # (..., r)
        return y + F.linear(low, self.lora_b.to(x.dtype)) * self.scaling

    @torch.no_grad()
    def merge(self, dtype: torch.dtype = torch.float32) -> None:
        """Add the change to ``weight``; the base's matrix is kept, a floating one in CPU memory.

        Of a packed base, ``dtype`` is the merged weight's.
        """
        if not self.merged:
            merged = self.merged_weight(dtype)
            if self.weight is not None:
                self._base_weight = self.weight.detach().cpu()
            self.weight, self.merged = _frozen(merged), True

    def unmerge(self) -> None:
        """Put the base's matrix back."""
        if self.merged:
            base = self._base_weight
            self.weight = None if base is None else _frozen(base.to(self.weight))
            self._base_weight, self.merged = None, False

    def merged_weight(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "F D"]:
        """The base's matrix plus the change, without gradients; ``dtype`` is for a packed base."""
        packed = self.weight is None
        base = self.packed_base.dequantize(dtype) if packed else self.weight.detach()
        if self.merged:
            return base
        return add_change(base, self.lora_a.detach(), self.lora_b.detach(), self.scaling)

    def extra_repr(self) -> str:
        """The text that torch prints between the brackets."""
        out_features, in_features = len(self.lora_b), self.lora_a.shape[1]
        sizes = f"{in_features=}, {out_features=}, bias={self.bias is not None}"
        return f"{sizes}, rank={self.rank}, alpha={self.alpha}, dropout={self.dropout}"


def add_change(
    weight: Float[Tensor, "F D"],
    lora_a: Float[Tensor, "r D"],
    lora_b: Float[Tensor, "F r"],
    scaling: float | int,
) -> Float[Tensor, "F D"]:
    """``W + scaling · B A``, computed at least in float32 and rounded once, to ``weight``'s dtype.

    In float32 the merged layer gives the same numbers up to about 1e-6. A bfloat16 has 8 bits: a
    change below 1/512 of the weight may be rounded away.
    """
    wide = torch.promote_types(weight.dtype, torch.float32)
    merged = torch.addmm(weight.to(wide), lora_b.to(wide), lora_a.to(wide), alpha=scaling)
    return merged.to(weight.dtype)


def plain_linear(weight: Float[Tensor, "F D"], bias: Float[Tensor, " F"] | None) -> nn.Linear:
    """A layer without an adapter around existing tensors; nothing is copied."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weight.detach())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach())
    return layer


def _frozen(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight, requires_grad=False)
