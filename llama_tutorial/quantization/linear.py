r"""Layers of a PyTorch model on packed weights, and a whole model made of them.

.. math:: y = x\,\hat W^\top + b

:func:`quantize_model` puts a :class:`QuantizedLinear` in place of every linear layer: the seven
matrices of a block, nearly all that a token reads, and the output head. The embedding becomes a
:class:`QuantizedEmbedding`, which saves memory and no time: a token reads one row of it. Norms and
biases stay. They are small, and what they multiply or move is everything.

In an int4 model embedding and head are int8. The head's rounding reaches the logits directly, with
no later layer to average it, and the embedding's every layer; and each is 2 % of a 7B model, so
that 4 bits there would save 65 MB. A tied head multiplies by the embedding's packed matrix.

The arrays are those of :class:`~llama_tutorial.quantization.packed.PackedMatrix`, in the same
memory; so both engines share one form and, on the CPU, one kernel. Activations keep the model's
type; products are computed in float32. Elsewhere than on the CPU, for gradients, and under
``torch.compile`` the matrix is made floating again and multiplied by torch: right, and no faster
than without, but as small.

Gradients flow to the input alone. That is what LoRA needs to train adapters beside a packed base,
which is QLoRA's idea; its NF4, 16 levels spaced as a normal distribution's quantiles, would be
another table for the integers, and is not here.

Source: Dettmers et al. (2023), "QLoRA: Efficient Finetuning of Quantized LLMs"; llama.cpp for the
choice of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.gpt import TiedOutput
from llama_tutorial.quantization.formats import fitting_group
from llama_tutorial.quantization.packed import ROWS, PackedMatrix

KINDS = ("int8", "int4")
"""What `quantize_model` and ``load(..., quantize=)`` know."""
GROUP = 32  # weights that share a scale, as in llama.cpp's files
PARTS = ("integers", "scales", "zeros")
_SCALES = {torch.float16, torch.float32}


class PackedLayer(nn.Module):
    """A packed matrix, frozen: what a linear layer and an embedding have in common.

    Args:
        in_features: Length of a row, D.
        out_features: Number of rows, F.
        bits: 8 or 4.
        group_size: Weights of a row that share a scale.
        scales: Type of the scales.
        zeros: Whether groups have a zero point (4 bits only).
        device: Of the empty arrays.

    Attributes:
        integers, scales, zeros: See :class:`~llama_tutorial.quantization.packed.PackedMatrix`.
            They keep their types when the model gets another, as by ``.to(torch.bfloat16)``.
    """

    integers: Tensor
    scales: Tensor
    zeros: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bits: int,
        group_size: int,
        scales: torch.dtype = torch.float16,
        zeros: bool = False,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        blocks, kind = -(-out_features // ROWS), torch.int8 if bits == 8 else torch.uint8
        shape = (blocks, in_features * bits // 8, ROWS)
        self.register_buffer("integers", torch.empty(shape, dtype=kind, device=device))
        shape = (blocks, in_features // group_size, ROWS)
        empty = torch.empty(shape, dtype=scales, device=device)
        self.register_buffer("scales", empty)
        self.register_buffer("zeros", torch.empty_like(empty) if zeros else None)
        self._numpy: tuple[Tensor, PackedMatrix] | None = None

    @property
    def bits(self) -> int:
        """8 or 4."""
        return 8 if self.integers.dtype == torch.int8 else 4

    @property
    def group_size(self) -> int:
        """Weights of a row that share a scale."""
        return self.in_features // self.scales.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the packed matrix."""
        return sum(buffer.nbytes for buffer in self.buffers())

    @property
    def packed(self) -> PackedMatrix:
        """The matrix for NumPy, in the same memory; the layer must be on the CPU."""
        # `self.integers` would go through torch's slow look-up, seven times a layer and token.
        if self._numpy is None or self._numpy[0] is not self._buffers["integers"]:
            arrays = [None if part is None else part.numpy() for part in self._parts()]
            matrix = PackedMatrix(self.out_features, *arrays)  # type: ignore[arg-type]
            self._numpy = (self.integers, matrix)
        return self._numpy[1]

    def product(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """``x @ W.T``, in the type of ``x``."""
        on_cpu = x.device.type == "cpu" and x.dtype != torch.float64
        if not on_cpu or torch.compiler.is_compiling() or not x.numel():
            return F.linear(x, self.dequantize(x.dtype))
        needs_gradient = torch.is_grad_enabled() and x.requires_grad
        return _Product.apply(x, self) if needs_gradient else self._times(x)

    def _times(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """``x @ W.T`` on the CPU."""
        # Shapes are changed in NumPy, where a step costs less: decoding, a call's own time counts.
        wide = x.detach().numpy() if x.dtype == torch.float32 else x.detach().float().numpy()
        y = self.packed.times(wide.reshape(-1, self.in_features), _matmul)
        y = y.reshape(*wide.shape[:-1], self.out_features)
        return torch.from_numpy(y).to(x.dtype)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "F D"]:
        """The matrix as a floating tensor, a new one, on the layer's device."""
        rows = [
            None if part is None else part.swapaxes(1, 2).flatten(0, 1)[: self.out_features]
            for part in self._parts()
        ]
        return _floating(rows, dtype)

    def keep_rows(self, n: int) -> None:
        """Cut the matrix to its first ``n`` rows."""
        self.out_features, self._numpy, blocks = n, None, -(-n // ROWS)
        for name, part in zip(PARTS, self._parts(), strict=True):
            setattr(self, name, None if part is None else part[:blocks])

    def _parts(self) -> list[Tensor | None]:
        return [self.integers, self.scales, self.zeros]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedLayer:
        """Move to another device, but keep the types: they are the format."""
        before = self._parts()
        super()._apply(fn, recurse)
        for name, part in zip(PARTS, before, strict=True):
            now = getattr(self, name)
            if part is not None and now.dtype != part.dtype:
                setattr(self, name, part.to(now.device))
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_numpy": None}


class QuantizedLinear(PackedLayer):
    """:class:`torch.nn.Linear` with its matrix packed, frozen.

    Args:
        in_features: Width of the input, D.
        out_features: Width of the output, F.
        bias: A floating bias, kept as it is; None without.
        settings: Those of :class:`PackedLayer` that remain.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: nn.Parameter | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(in_features, out_features, **settings)
        self.bias = bias

    @classmethod
    def of(cls, matrix: PackedMatrix, bias: Float[Tensor, " F"] | None = None) -> QuantizedLinear:
        """A layer around a packed matrix, on the CPU and in its memory."""
        (rows, columns), parts = matrix.shape, _tensors(matrix)
        own = None if bias is None else nn.Parameter(bias)
        layer = cls(columns, rows, bias=own, **_form(columns, parts))
        for name, part in parts.items():
            setattr(layer, name, part)
        return layer

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Apply the layer to each vector of ``x``."""
        y = self.product(x)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """The text that torch prints between the brackets."""
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return (
            f"{sizes}, bias={self.bias is not None}, int{self.bits} in groups of {self.group_size}"
        )


class QuantizedEmbedding(PackedLayer):
    """:class:`torch.nn.Embedding` with its matrix packed, frozen: a token's row is made floating.

    Args:
        norm: A layer of the model that stays floating: the rows are in its weight's type.
        in_features: Length of a row, D.
        out_features: Tokens of the vocabulary, V.
        settings: Those of :class:`PackedLayer` that remain.
    """

    def __init__(
        self, norm: nn.Module, in_features: int, out_features: int, **settings: Any
    ) -> None:
        super().__init__(in_features, out_features, **settings)
        self._norm: Any = (norm,)  # a tuple, which torch does not register: it is the model's own

    def forward(self, tokens: Int[Tensor, "*B"]) -> Float[Tensor, "*B D"]:
        """The row of each token.

        Raises:
            IndexError: An id is outside the vocabulary (on the CPU).
        """
        # Not those that count from the end, nor what fills the last block: torch shall refuse them.
        outside = (tokens < 0) | (tokens >= self.out_features)
        block = torch.where(outside, len(self.integers), tokens // ROWS)
        row = tokens % ROWS
        rows = [None if part is None else part[block, :, row] for part in self._parts()]
        return _floating(rows, self._norm[0].weight.dtype)

    def extra_repr(self) -> str:
        """The text that torch prints between the brackets."""
        sizes = f"{self.out_features}, {self.in_features}"
        return f"{sizes}, int{self.bits} in groups of {self.group_size}"


class QuantizedTiedOutput(TiedOutput):
    """:class:`~llama_tutorial.gpt.TiedOutput` of an embedding that is packed.

    Args:
        embedding: The token embedding, whose packed matrix ``(V, D)`` it shares.
    """

    def __init__(self, embedding: QuantizedEmbedding) -> None:
        nn.Module.__init__(self)
        self._shared: Any = (embedding,)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """The logits of each vector of ``x``, in ``x``'s dtype."""
        return self._shared[0].product(x)


def _floating(parts: list[Any], dtype: torch.dtype) -> Float[Tensor, "*B D"]:
    """Rows of integers times the scales of their groups."""
    integers, scales, zeros = parts
    grouped = integers.unflatten(-1, (scales.shape[-1], -1))  # (..., groups, .)
    if integers.dtype == torch.uint8:
        grouped = torch.cat((grouped & 15, grouped >> 4), -1)
        if zeros is None:
            grouped = grouped.to(torch.int8) - 8
    wide = grouped * scales[..., None].to(torch.promote_types(dtype, torch.float32))
    if zeros is not None:
        wide = wide + zeros[..., None]
    return wide.flatten(-2).to(dtype)  # (..., D)


class _Product(torch.autograd.Function):
    """``x @ W.T`` in float32 through the packed matrix; the gradient for ``x`` alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: PackedLayer) -> Tensor:
        ctx.layer = layer
        return layer._times(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient @ ctx.layer.dequantize(gradient.dtype), None


def _matmul(x: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """``x @ blocks`` by PyTorch, if it has several threads.

    NumPy's threads and PyTorch's would wait for each other: beside the rest of a layer a prompt
    took three times as long with two threads as with one.
    """
    if torch.get_num_threads() == 1:
        return np.matmul(x, blocks)
    return torch.matmul(torch.from_numpy(x), torch.from_numpy(blocks)).numpy()


def quantized(weight: Float[Tensor, "F D"], bits: int, group_size: int) -> dict[str, Tensor]:
    """A floating matrix rounded and packed: the buffers of a `QuantizedLinear`, on its device."""
    matrix = PackedMatrix.of(
        weight.detach(), bits, group_size, lambda rows: rows.float().cpu().numpy()
    )
    return {name: part.to(weight.device) for name, part in _tensors(matrix).items()}


def _tensors(matrix: PackedMatrix) -> dict[str, Tensor]:
    arrays = {name: getattr(matrix, name) for name in PARTS}
    return {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}


def check_kind(kind: str) -> None:
    """Raise a ValueError unless ``kind`` is one of `KINDS`."""
    if kind not in KINDS:
        raise ValueError(
            f"quantize={kind!r:.50}: must be 'int8' or 'int4', or None for the weights as they are"
        )


def plan(model: nn.Module, kind: str, group_size: int = GROUP) -> dict[str, tuple[int, int]]:
    """Bits and group size of each layer that `quantize_model` packs, by its name in ``model``.

    A row that no group of 8 to ``group_size`` weights divides is left as it is.
    """
    check_kind(kind)
    found = {}
    for name, layer in model.named_modules():
        is_table = isinstance(layer, nn.Embedding) and name == "tok_embeddings"
        if isinstance(layer, nn.Linear) or is_table:
            group = fitting_group(layer.weight.shape[1], group_size)
            bits = 8 if kind == "int8" or name in ("tok_embeddings", "output") else 4
            if group is not None:
                found[name] = (bits, group)
    return found


def quantize_model(model: nn.Module, kind: str, group_size: int = GROUP) -> nn.Module:
    """Pack the matrices of a model, in place, one layer after the other.

    Each layer's floating matrix is let go when it is packed: the most that is needed is the packed
    model and what of the floating one is left. The model is frozen: adapters learn beside it
    (:func:`~llama_tutorial.lora.adapters.add_lora`), its own weights no more.

    Args:
        model: A floating model, without adapters.
        kind: ``"int8"``, or ``"int4"``, in which embedding and output head are int8.
        group_size: The most weights that share a scale: the largest number up to it that divides a
            row is taken.

    Returns:
        The same model.

    Raises:
        ValueError: There is no such kind, the model is quantized already or has adapters, or it
            holds a weight that is not finite.
    """
    if quantized_layers(model):
        raise ValueError("the model is quantized already: load it anew for another kind")
    if any(hasattr(layer, "lora_a") for layer in model.modules()):
        raise ValueError(
            "the model has LoRA adapters: remove_lora(model), or merge_lora(model, "
            "keep_base=False) to make them part of the weights; then quantize"
        )
    for name, (bits, group) in plan(model, kind, group_size).items():
        layer: Any = model.get_submodule(name)
        try:
            parts = quantized(layer.weight, bits, group)
        except ValueError as error:
            raise ValueError(f"{name}.weight {error}") from None
        del layer
        packed = put_packed(model, name, parts)
        for part, tensor in parts.items():
            setattr(packed, part, tensor)
    return model.requires_grad_(False)


def pack_layers(model: nn.Module, parts: Mapping[str, Tensor], what: str) -> None:
    """Make packed layers, without storage, of those in an empty model whose arrays are in a file.

    Args:
        model: On the meta device.
        parts: The file's tensors by name, or tensors of their types and shapes.
        what: The beginning of a message.

    Raises:
        ValueError: The arrays do not fit each other.
    """
    layers = dict(model.named_modules())
    for name in [name.removesuffix(".integers") for name in parts if name.endswith(".integers")]:
        own = {part: parts[f"{name}.{part}"] for part in PARTS if f"{name}.{part}" in parts}
        layer: Any = layers.get(name)
        if "scales" not in own or not isinstance(layer, nn.Linear | nn.Embedding):
            continue  # the names do not fit: whoever compares them says so
        columns = layer.weight.shape[1]
        types = {part: tensor.dtype for part, tensor in own.items()}
        whole, others = types.pop("integers"), set(types.values())
        groups = own["scales"].shape[1] if own["scales"].ndim == 3 else 0
        if whole not in (torch.int8, torch.uint8) or len(others - _SCALES) or len(others) > 1:
            names = sorted(str(kind).removeprefix("torch.") for kind in {whole, *others})
            raise ValueError(f"{what}; {name} is packed in {' and '.join(names)}")
        if not groups or columns % groups:
            raise ValueError(f"{what}; {name} has {groups} scales for {columns} weights of a row")
        put_packed(model, name, own)


def put_packed(model: nn.Module, name: str, parts: dict[str, Tensor]) -> PackedLayer:
    """Put a packed layer in the place of a floating one.

    Args:
        model: Changed in place. A head that is tied to the layer is replaced with it.
        name: The layer's: a linear layer, the token embedding.
        parts: Its arrays are without storage, and have the types and shapes of these.

    Returns:
        The new layer.
    """
    before: Any = model.get_submodule(name)
    (rows, columns), bias = before.weight.shape, getattr(before, "bias", None)
    above, _, last = name.rpartition(".")
    parent: Any = model.get_submodule(above)
    layer: PackedLayer
    if isinstance(before, nn.Embedding):
        layer = QuantizedEmbedding(parent.norm, columns, rows, **_form(columns, parts))
        if isinstance(parent.output, TiedOutput):
            parent.output = QuantizedTiedOutput(layer).train(model.training)
    else:
        layer = QuantizedLinear(columns, rows, bias=bias, **_form(columns, parts))
    setattr(parent, last, layer.train(model.training))
    return layer


def _form(columns: int, parts: dict[str, Tensor]) -> dict[str, Any]:
    """The settings of an empty layer for such arrays."""
    integers, scales = parts["integers"], parts["scales"]
    return {
        "bits": 8 if integers.dtype == torch.int8 else 4,
        "group_size": columns // scales.shape[1],
        "scales": scales.dtype,
        "zeros": "zeros" in parts,
        "device": "meta",
    }


def quantized_layers(model: nn.Module) -> dict[str, PackedLayer]:
    """The packed layers, by their names in ``model``."""
    layers: Iterable[tuple[str, nn.Module]] = model.named_modules()
    return {name: layer for name, layer in layers if isinstance(layer, PackedLayer)}


def kind_of_model(model: nn.Module) -> str | None:
    """What a model's blocks are packed in, ``"int8"`` or ``"int4"``; None where nothing is."""
    layers = quantized_layers(model)
    return f"int{min(layer.bits for layer in layers.values())}" if layers else None
