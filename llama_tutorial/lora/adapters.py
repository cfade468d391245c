"""LoRA for a whole model: add adapters, merge them, remove them.

    >>> add_lora(model, rank=8)  # frozen, except the adapters
    >>> ...  # train: make_optimizer takes what is trainable
    >>> save_adapter(model, "polite", base="tales")  # of llama_tutorial.checkpoints
    >>> merge_lora(model)  # as fast as the base
    >>> unmerge_lora(model)  # the base's matrices, bit for bit, and the adapters
    >>> merge_lora(model, keep_base=False)  # an ordinary model, which save_model takes

The base's parameters keep Meta's names; ``wq.lora_a`` and ``wq.lora_b`` are added to ``wq.weight``.
The mathematics is in :mod:`llama_tutorial.lora.linear`; files of adapters are written and read by
:mod:`llama_tutorial.checkpoints.adapter`.

Source: Hu et al. (2021), "LoRA: Low-Rank Adaptation of Large Language Models".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from llama_tutorial.config import LARGEST
from llama_tutorial.lora.linear import LoRALinear, plain_linear
from llama_tutorial.quantization.linear import QuantizedLinear, quantized_layers

Layer = TypeVar("Layer", bound=nn.Module)
TARGETS = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")
"""The matrices of Llama's attention and feed-forward layers."""


@dataclass(frozen=True)
class LoRAConfig:
    """The settings of an adapter.

    Args:
        rank: Rank of the change, r.
        alpha: The change is scaled by ``alpha / rank``, so that another rank needs no other
            learning rate.
        dropout: Probability that an input of ``A`` is dropped in training.
        targets: Names of the linear layers that get an adapter, in every block.

    Raises:
        ValueError: A number is out of range, or there are no targets.
    """

    rank: int = 8
    alpha: float | int = 16.0
    dropout: float | int = 0.0
    targets: tuple[str, ...] = TARGETS

    def __post_init__(self) -> None:
        if type(self.rank) is not int or not 1 <= self.rank <= LARGEST:
            raise ValueError(
                f"rank={self.rank!r:.50}: must be a whole number of at least 1 and "
                f"at most {LARGEST}"
            )
        if not _is_number(self.alpha) or not 0 < self.alpha <= LARGEST:
            raise ValueError(
                f"alpha={self.alpha!r:.50}: must be a finite number above 0 and at most {LARGEST}"
            )
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout!r:.50}: must be at least 0 and below 1")
        if not self.targets or not all(isinstance(target, str) for target in self.targets):
            raise ValueError(f"targets={self.targets!r:.50}: name at least one layer, such as 'wq'")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def add_lora(
    model: nn.Module,
    *,
    rank: int = 8,
    alpha: float | int = 16.0,
    dropout: float | int = 0.0,
    targets: Sequence[str] = TARGETS,
) -> None:
    """Freeze ``model`` and add an adapter to each target, in place.

    Only the adapters are trainable afterwards. The base's own tensors stay in use, under their
    names, and the model computes the same until the first step. Those of a quantized model stay
    packed: QLoRA's idea.

    Args:
        model: A model without adapters, of any dtype and device ("meta" too).
        rank: Rank of the change, r.
        alpha: The change is scaled by ``alpha / rank``.
        dropout: Probability that an input of an adapter is dropped in training.
        targets: Names of linear layers, such as ``("wq", "wv")``.

    Raises:
        ValueError: A setting is out of range, a target does not exist, or the model has adapters.
    """
    if lora_layers(model):
        raise ValueError(
            "the model has LoRA adapters already: remove_lora(model) removes them, and "
            "merge_lora(model, keep_base=False) makes them part of the weights"
        )
    config = LoRAConfig(rank, alpha, dropout, tuple(targets))
    layers = _linear_layers(model)
    known = sorted({_last(name) for name in layers})
    if unknown := [target for target in config.targets if target not in known]:
        raise ValueError(
            f"targets: no linear layer is called {', '.join(map(repr, unknown)):.200}; this "
            f"model has {', '.join(map(repr, known))}"
        )
    model.requires_grad_(False)
    for name, layer in layers.items():
        if _last(name) in config.targets:
            _replace(model, name, LoRALinear(layer, rank, alpha, dropout))


def merge_lora(model: nn.Module, *, keep_base: bool = True) -> None:
    """Add every adapter's change to its matrix, which makes the model as fast as its base.

    Args:
        model: A model with adapters, changed in place.
        keep_base: Keep the base's matrices in CPU memory, so that `unmerge_lora` restores them bit
            for bit. They then exist twice, merged and unmerged (memory-mapped ones take no
            memory). With False the layers become plain ones for good, one after the other; they are
            trainable, and the model can be saved in every format, where nothing else of it is
            packed (an embedding and a head that have no adapters stay as they are). Either way a
            packed matrix with an adapter becomes a floating one, 4 to 8 times as large.

    Raises:
        ValueError: The model has no adapters.
    """
    own = (part.dtype for name, part in model.named_parameters() if "lora_" not in name)
    dtype = next(own, torch.float32)
    for name in _adapted(model):
        layer = _lora_layer(model, name)
        if keep_base:
            layer.merge(dtype)
        else:
            _replace(model, name, plain_linear(layer.merged_weight(dtype), layer.bias))
    if not keep_base:
        model.requires_grad_(not quantized_layers(model))


def unmerge_lora(model: nn.Module) -> None:
    """Undo `merge_lora`: restore the base's matrices, bit for bit, and the adapters beside them.

    Raises:
        ValueError: The model has no adapters. After ``merge_lora(model, keep_base=False)`` they
            are gone.
    """
    for name in _adapted(model):
        _lora_layer(model, name).unmerge()


def remove_lora(model: nn.Module) -> None:
    """Remove the adapters, merged or not: what remains is the base, bit for bit, and trainable.

    (A quantized base stays frozen.)

    Raises:
        ValueError: The model has no adapters.
    """
    unmerge_lora(model)
    for name in _adapted(model):
        layer = _lora_layer(model, name)
        base = layer.packed_base
        _replace(model, name, plain_linear(layer.weight, layer.bias) if base is None else base)
    model.requires_grad_(not quantized_layers(model))


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """The base, bit for bit, while the block lasts: what a policy is compared with needs no copy.

    Args:
        model: A model with adapters that are not merged.

    Raises:
        ValueError: The model has no adapters, or merged ones.
    """
    layers = [_lora_layer(model, name) for name in _adapted(model)]
    if any(layer.merged for layer in layers):
        raise ValueError("the model's adapters are merged: unmerge_lora(model) first")
    try:
        for layer in layers:
            layer.off = True
        yield
    finally:
        for layer in layers:
            layer.off = False


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The layers with adapters, by their names in ``model``."""
    return _named(model, LoRALinear)


def lora_config(model: nn.Module) -> LoRAConfig:
    """The settings that the adapters of ``model`` were made with.

    Raises:
        ValueError: The model has no adapters, or adapters that one `add_lora` does not make.
    """
    names = _adapted(model)
    first = _lora_layer(model, names[0])
    for name in names:
        layer = _lora_layer(model, name)
        for setting in ("rank", "alpha", "dropout"):
            one, other = getattr(first, setting), getattr(layer, setting)
            if one != other:
                raise ValueError(
                    f"the adapters have several settings: {setting} is {one} in {names[0]} and "
                    f"{other} in {name}; remove_lora(model), and add_lora(model) anew"
                )
    targets = dict.fromkeys(_last(name) for name in names)  # each once, in the model's order
    if bare := next((name for name in _linear_layers(model) if _last(name) in targets), None):
        raise ValueError(
            f"{bare} has no adapter, and {_last(bare)} of another layer has one; "
            "remove_lora(model), and add_lora(model) anew"
        )
    return LoRAConfig(first.rank, first.alpha, first.dropout, tuple(targets))


def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """Only the adapters' tensors, by their names in ``model.state_dict()``.

    Raises:
        ValueError: The model has no adapters.
    """
    layers = lora_layers(model)
    return {
        f"{name}.{part}": getattr(layers[name], part).detach()
        for name in _adapted(model)
        for part in ("lora_a", "lora_b")
    }


def _adapted(model: nn.Module) -> list[str]:
    """Names, not layers: a caller that replaces layers one by one must not keep the old ones."""
    if not (layers := lora_layers(model)):
        raise ValueError("the model has no LoRA adapters: add_lora(model) gives it some")
    return list(layers)


def _lora_layer(model: nn.Module, name: str) -> LoRALinear:
    return cast(LoRALinear, model.get_submodule(name))


def _linear_layers(model: nn.Module) -> dict[str, nn.Linear | QuantizedLinear]:
    return {**_named(model, nn.Linear), **_named(model, QuantizedLinear)}


def _named(model: nn.Module, kind: type[Layer]) -> dict[str, Layer]:
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    layer.train(model.training)
    setattr(model.get_submodule(parent), attribute, layer)
