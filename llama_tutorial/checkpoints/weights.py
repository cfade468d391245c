"""From named tensors to a model, without a second copy in memory.

The model is built on torch's ``meta`` device, where tensors have shapes and no storage, and then
*assigned* the loaded tensors in place of its own. What comes from a memory-mapped file so stays in
the file until it is used, and a 13 GB checkpoint needs 13 GB and not 26.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from llama_tutorial._util.progress import progress
from llama_tutorial._util.tensor_check import Shapes, check_names, check_shapes
from llama_tutorial.config import ModelConfig
from llama_tutorial.model import Transformer


class _NoDraws(TorchFunctionMode):
    """Leaves out ``torch.nn.init``: `fill` brings the weights.

    On the meta device there is nothing to draw, and yet the first draw there makes torch import its
    compiler, which takes more than a second and 80 MB.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"]
        return func(*args, **kwargs)


def empty_model(config: ModelConfig) -> Transformer:
    """A model without storage, for `fill`."""
    with torch.device("meta"), _NoDraws():
        return Transformer(config)


def check_tensors(model: Transformer, shapes: Shapes, what: str) -> None:
    """Raise a ValueError that begins with ``what`` unless these are ``model``'s tensors."""
    expected = shapes_of(model)
    check_names(shapes, expected, what)
    check_shapes(shapes, expected, what)


def shapes_of(model: Transformer) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in the state dictionary."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk, opened and checked, and not yet read.

    Attributes:
        source: The file or folder, for messages.
        format: What it is, in a few words.
        dtype: What the weights are stored in.
        model: The model, still without storage; `fill` gives it the weights.
        tensors: Begins to give name and tensor, one after another.
        finish: Makes of a name and its tensor, in the model's type and on its device, the model's
            own.
    """

    source: Path
    format: str
    dtype: str
    model: Transformer
    tensors: Callable[[], Iterable[tuple[str, Tensor]]]
    finish: Callable[[str, Tensor], Tensor] = lambda _name, tensor: tensor

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self.model.config


@lru_cache(maxsize=8)
def _expected_shapes(config: ModelConfig) -> Shapes:
    return shapes_of(empty_model(config))


def check_state(model: Transformer) -> dict[str, Tensor]:
    """The state dictionary, after a check that it is what ``model.config`` says.

    Raises:
        ValueError: It is not: a layer was replaced, for instance.
    """
    shapes, expected = shapes_of(model), _expected_shapes(model.config)
    check_names(shapes, expected, "the model is not as its config says")
    check_shapes(shapes, expected, "the model is not as its config says")
    return model.state_dict()


def fill(
    checkpoint: Checkpoint, dtype: torch.dtype | None, device: torch.device | str
) -> Transformer:
    """The model of a checkpoint.

    Args:
        checkpoint: Its tensors are converted each before the next is asked for.
        dtype: Of the model; None keeps the tensors'.
        device: Of the model.

    Returns:
        A model that holds the tensors themselves, where they have dtype and device already.

    Raises:
        ValueError: A tensor is not floating, or ``dtype`` is None and they are of several types.
    """
    model, source, weights = checkpoint.model, checkpoint.source, {}
    bar = {"total": len(model.state_dict()), "delay": 1, "leave": False}
    for name, tensor in progress(checkpoint.tensors(), "loading", **bar):
        check_floating(name, tensor, source)
        weights[name] = checkpoint.finish(name, tensor.to(device, dtype or tensor.dtype))
    if len(found := sorted({dtype_name(tensor) for tensor in weights.values()})) > 1:
        raise ValueError(f"{source}: the weights are {' and '.join(found)}; choose one with dtype=")
    model.load_state_dict(weights, strict=True, assign=True)
    return model


def check_floating(name: str, tensor: Tensor, source: Path) -> None:
    """Raise a ValueError unless ``tensor`` can be a weight."""
    if not tensor.is_floating_point():
        raise ValueError(f"{source}: {name} is {dtype_name(tensor)}; weights are floating numbers")


def dtype_name(tensor: Tensor) -> str:
    """The tensor's type in a word: ``"bfloat16"``."""
    return str(tensor.dtype).removeprefix("torch.")
