"""From named tensors to a model, without a second copy in memory.

The model is built on torch's ``meta`` device, where tensors have shapes and no storage, and then
*assigned* the loaded tensors in place of its own. What comes from a memory-mapped file so stays in
the file until it is used, and a 13 GB checkpoint needs 13 GB and not 26.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from llama_tutorial.config import ModelConfig
from llama_tutorial.model import Transformer
from llama_tutorial.progress import progress
from llama_tutorial.tensor_check import Shapes, check_names, check_shapes


class _NoDraws(TorchFunctionMode):
    """Leaves out ``torch.nn.init``: `fill` brings the weights.

    On the meta device there is nothing to draw, and yet the first draw there makes torch import its
    compiler, which takes more than a second and 70 MB.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def empty_model(config: ModelConfig) -> Transformer:
    """A model without storage, for `fill`."""
    with torch.device("meta"), _NoDraws():
        return Transformer(config)


def check_tensors(model: Transformer, shapes: Shapes, what: str) -> None:
    """Raise a ValueError that begins with ``what`` unless these are ``model``'s tensors."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    check_names(shapes, expected, what)
    check_shapes(shapes, expected, what)


def fill(
    model: Transformer,
    tensors: Iterable[tuple[str, Tensor]],
    dtype: torch.dtype | None,
    device: torch.device | str,
    source: str | os.PathLike[str],
) -> Transformer:
    """Give an `empty_model` its weights.

    Args:
        model: Its own (meta) tensors are replaced.
        tensors: Name and tensor, one after another; each is converted before the next is asked for.
        dtype: Of the model; None keeps the tensors'.
        device: Of the model.
        source: Where the tensors come from, for the error messages.

    Returns:
        ``model``. Tensors that have the dtype and device already are taken as they are.

    Raises:
        ValueError: A tensor is not floating, or ``dtype`` is None and they are of several types.
    """
    weights = {}
    total = len(model.state_dict())
    for name, tensor in progress(tensors, "loading", total=total, delay=1, leave=False):
        if not tensor.is_floating_point():
            raise ValueError(
                f"{source}: {name} is {_name(tensor.dtype)}; weights are floating numbers"
            )
        weights[name] = tensor.to(device, dtype or tensor.dtype)
    if len(found := sorted({_name(tensor.dtype) for tensor in weights.values()})) > 1:
        raise ValueError(f"{source}: the weights are {' and '.join(found)}; choose one with dtype=")
    model.load_state_dict(weights, strict=True, assign=True)
    return model


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
