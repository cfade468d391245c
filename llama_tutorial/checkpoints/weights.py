"""From named tensors to a model, without a second copy in memory.

The model is built on torch's ``meta`` device, where tensors have shapes and no storage, and then
*assigned* the loaded tensors in place of its own. What comes from a memory-mapped file so stays in
the file until it is used, and a 13 GB checkpoint needs 13 GB and not 26.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from llama_tutorial._util.progress import progress
from llama_tutorial._util.tensor_check import Shapes, check_names, check_shapes
from llama_tutorial._util.torch_names import FLOATS
from llama_tutorial.config import ModelConfig
from llama_tutorial.model import Transformer
from llama_tutorial.quantization.linear import (
    kind_of_model,
    pack_layers,
    plan,
    put_packed,
    quantized,
    quantized_layers,
)

_LAYERS = 256  # are built in a tenth of a second, and then the message can name what is missing
SMALL = 2**24  # weights: to look at each takes some hundredths of a second


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


def empty_model(
    config: ModelConfig, stored: Collection[str] | None = None, what: str = ""
) -> Transformer:
    """A model without storage, for `fill`.

    Args:
        config: Its configuration.
        stored: The names that its file holds: a model that has more layers is not built.
        what: The beginning of the message.

    Raises:
        ValueError: ``stored`` are fewer than the layers, and these are very many.
    """
    if stored is not None and config.n_layers > max(len(stored), _LAYERS):
        raise ValueError(f"{what}; {config.n_layers} layers, and {len(stored)} tensors in all")
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

    Packed layers (:mod:`llama_tutorial.quantization.linear`) count as what they stand for.

    Raises:
        ValueError: It is not: a layer was replaced, for instance; or `load_model` would refuse it,
            for its weights are of several types, or not finite.
    """
    shapes, expected, packed = shapes_of(model), _expected_shapes(model.config), packed_names(model)
    if packed:
        like = empty_model(model.config)
        pack_layers(like, model.state_dict(), "the model is not as its config says")
        expected = shapes_of(like)
    check_names(shapes, expected, "the model is not as its config says")
    check_shapes(shapes, expected, "the model is not as its config says")
    state = model.state_dict()
    floating = {name: tensor for name, tensor in state.items() if name not in packed}
    if len(kinds := sorted({dtype_name(tensor) for tensor in floating.values()})) > 1:
        raise ValueError(f"the model's weights are {' and '.join(kinds)}: convert it to one type")
    for name, tensor in state.items():
        if name in floating:
            check_floating(name, tensor, "the model")
        if tensor.device.type == "meta":
            raise ValueError(f"the model's {name} is on the meta device: it has no numbers")
        check_finite(name, tensor, "the model")
    return state


def packed_names(model: Transformer) -> set[str]:
    """The names in the state dictionary that belong to packed layers."""
    layers = quantized_layers(model).items()
    return {f"{name}.{part}" for name, layer in layers for part, _ in layer.named_buffers()}


def fill(
    checkpoint: Checkpoint,
    dtype: torch.dtype | None,
    device: torch.device | str,
    quantize: str | None = None,
) -> Transformer:
    """The model of a checkpoint.

    Args:
        checkpoint: Its tensors are converted each before the next is asked for.
        dtype: Of the model; None keeps the tensors'.
        device: Of the model.
        quantize: What the matrices are packed in, each before the next is asked for.

    Returns:
        A model in eval mode that holds the tensors themselves, where they have dtype and device
        already.

    Raises:
        ValueError: A tensor is not floating, or ``dtype`` is None and they are of several types; or
            a model of at most `SMALL` weights holds one that is not finite (to look at those of a
            large one would read all of its file); or it is quantized already, in another way.
    """
    model, source, weights = checkpoint.model, checkpoint.source, {}
    packed, stored = packed_names(model), kind_of_model(model)
    if quantize is not None and stored not in (None, quantize):
        raise ValueError(f"{source} is quantized to {stored} already, not to {quantize}")
    layers = {} if quantize is None else plan(model, quantize)
    made_of = {f"{name}.weight": name for name in layers}
    is_small = checkpoint.config.n_params <= SMALL

    def take(name: str, tensor: Tensor) -> None:
        if name in packed:
            weights[name] = tensor.to(device)
            if is_small:
                check_finite(name, tensor, source)
            return
        check_floating(name, tensor, source)
        stays = name not in made_of
        place, kind = (device, dtype or tensor.dtype) if stays else ("cpu", tensor.dtype)
        weight = checkpoint.finish(name, tensor.to(place, kind))
        if is_small and weight.device.type != "meta":
            check_finite(name, weight, source)
        if stays:
            weights[name] = weight
        else:
            target = made_of[name]
            try:
                parts = quantized(weight, *layers[target])
            except ValueError as error:
                raise ValueError(f"{source}: {name} {error}") from None
            put_packed(model, target, parts)
            for part, array in parts.items():
                weights[f"{target}.{part}"] = array.to(device)

    bar = progress(None, "loading", total=len(model.state_dict()), delay=1, leave=False)
    for name, tensor in checkpoint.tensors():
        take(name, tensor)
        del tensor  # or it would be there beside the next one
        bar.update()
    bar.close()
    packed = packed_names(model)
    kinds = sorted({dtype_name(tensor) for name, tensor in weights.items() if name not in packed})
    if len(kinds) > 1:
        raise ValueError(f"{source}: the weights are {' and '.join(kinds)}; choose one with dtype=")
    model.load_state_dict(weights, strict=True, assign=True)
    return (model if not packed else model.requires_grad_(False)).eval()


def check_floating(name: str, tensor: Tensor, source: Path | str) -> None:
    """Raise a ValueError unless ``tensor`` can be a weight: of one of `FLOATS`."""
    if tensor.dtype not in FLOATS:
        raise ValueError(
            f"{source}: {name} is {dtype_name(tensor)}; weights are floating numbers of 16 bits or "
            "more"
        )


def check_finite(name: str, tensor: Tensor, source: Path | str) -> None:
    """Raise a ValueError where a weight is NaN or infinite."""
    if not tensor.is_floating_point():
        return
    # Of finite numbers the sum is finite too, but for a few very large ones; and it is fast.
    if tensor.detach().sum(dtype=torch.promote_types(tensor.dtype, torch.float32)).isfinite():
        return
    if bad := int((~tensor.detach().isfinite()).sum()):
        raise ValueError(
            f"{source}: {name} holds {bad} numbers of {tensor.numel()} that are NaN or infinite "
            f"in {dtype_name(tensor)}: the weights are damaged, or a training has diverged"
        )


def dtype_name(tensor: Tensor) -> str:
    """The tensor's type in a word: ``"bfloat16"``."""
    return str(tensor.dtype).removeprefix("torch.")
