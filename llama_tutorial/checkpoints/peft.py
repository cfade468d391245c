"""LoRA adapters in the form of Hugging Face's peft, for a base in Hugging Face's layout.

::

    adapter_config.json         rank, alpha, dropout, targets; the base's name
    adapter_model.safetensors   A and B of every layer

The numbers are those of :mod:`llama_tutorial.checkpoints.adapter`; what differs is what they are
called and, for queries and keys, the order of the rows of B: the rows of ``B A`` are the rows of
the matrix that it changes, and Hugging Face's Llama has those in another order
(:mod:`llama_tutorial.checkpoints.names`).

Source: ``peft/tuners/lora`` of huggingface/peft, whose own ``LoraModel`` the tests compare with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from llama_tutorial._util.tensor_check import check_names
from llama_tutorial.checkpoints.folders import PEFT
from llama_tutorial.checkpoints.huggingface_config import family_for
from llama_tutorial.checkpoints.names import TABLE, from_stored, heads, stored_as
from llama_tutorial.config import ModelConfig
from llama_tutorial.lora.adapters import LoRAConfig
from llama_tutorial.rope import to_half_split

CONFIG, TENSORS = PEFT, "adapter_model.safetensors"
_PREFIX = "base_model.model."
# Ours by theirs: q_proj is wq.
_TARGETS = {
    row[0].name.split(".")[-2]: name.split(".")[-2]
    for name, row in TABLE.items()
    if row[0] is not None and re.search(r"\.w\w\.weight$|^output", name)
}
# What takes these values only.
_MUST_BE: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    # Other ones change the base's matrices too.
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal", "mica"),
    "use_rslora": (False, True, None),
}
# What is read below, and what changes nothing in what the adapter computes.
_KNOWN = {
    *_MUST_BE,
    "base_model_name_or_path", "target_modules", "r", "lora_alpha", "lora_dropout",
    "auto_mapping", "eva_config", "inference_mode", "megatron_core", "peft_version",
    "qalora_group_size", "revision", "runtime_config", "task_type",
}  # fmt: skip


def is_peft(contents: Mapping[str, Any]) -> bool:
    """Whether a JSON file's contents are those of an ``adapter_config.json``."""
    return "peft_type" in contents


def config_of(lora: LoRAConfig, base: str | None, config: ModelConfig) -> dict[str, Any]:
    """The contents of ``adapter_config.json``.

    Raises:
        ValueError: The base, of configuration ``config``, is no Llama, or has no such target.
    """
    if (family := family_for(config)) != "llama":
        raise ValueError(f"format='peft' is for adapters of a Llama, and the base is {family!r}")
    theirs = {ours: name for name, ours in _TARGETS.items()}
    check_names(lora.targets, sorted(set(theirs) & set(lora.targets)), "targets for peft")
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": [theirs[target] for target in lora.targets],
        "bias": "none",
        "fan_in_fan_out": False,
    }


def parse_config(contents: Mapping[str, Any], path: Path) -> tuple[str | None, LoRAConfig]:
    """The base's name and the settings that an ``adapter_config.json`` says.

    Raises:
        ValueError: It is of another kind of adapter, or damaged.
    """
    for name, allowed in _MUST_BE.items():
        value = contents.get(name)
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise ValueError(
                f"{path}: {name}={value!r:.50}; this package reads plain LoRA, with "
                f"{name}={allowed[0]!r}"
            )
    for name, value in contents.items():
        if name not in _KNOWN and value not in (None, False, "", [], {}):
            raise ValueError(
                f"{path}: {name!r:.50} is {value!r:.50}; this package reads plain LoRA, without it"
            )
    base, targets = contents.get("base_model_name_or_path"), contents.get("target_modules")
    if not isinstance(base, str | None):
        raise ValueError(f"{path}: base_model_name_or_path={base!r:.50} must be a name or null")
    if not isinstance(targets, list) or not set(map(str, targets)) <= _TARGETS.keys():
        raise ValueError(
            f"{path}: target_modules={targets!r:.100} must be a list of {', '.join(_TARGETS)}"
        )
    rank = _number(contents, "r", int, path)
    alpha = _number(contents, "lora_alpha", int | float, path)
    dropout = _number({"lora_dropout": 0, **contents}, "lora_dropout", int | float, path)
    try:
        lora = LoRAConfig(rank, alpha, dropout, tuple(_TARGETS[target] for target in targets))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if contents.get("use_rslora"):  # the change is scaled by alpha / sqrt(r) there
        lora = LoRAConfig(lora.rank, lora.alpha * lora.rank**0.5, lora.dropout, lora.targets)
    return base or None, lora


def _number(contents: Mapping[str, Any], name: str, kind: Any, path: Path) -> Any:
    value = contents.get(name)
    if isinstance(value, bool) or not isinstance(value, kind):
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{path}: {name}={value!r:.50} must be {what}")
    return value


def to_peft(state: Mapping[str, Tensor], config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Tensors of ``adapter_state`` under peft's names, in its layout."""
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        stored = stored_as(f"{layer}.weight", "llama")
        if stored.half_split and part == "lora_b":
            tensor = to_half_split(tensor, heads(name, config))
        yield their_name(name), tensor.contiguous()


def from_peft(name: str, tensor: Tensor, config: ModelConfig) -> Tensor:
    """A tensor of peft's as this package has it; ``name`` is ours."""
    layer, _, part = name.rpartition(".")
    stored = stored_as(f"{layer}.weight", "llama")
    return from_stored(tensor, stored, heads(name, config)) if part == "lora_b" else tensor


def their_name(name: str) -> str:
    """The name in peft of ``layers.0.attention.wq.lora_a``."""
    layer, _, part = name.rpartition(".")
    stored = stored_as(f"{layer}.weight", "llama").name.removesuffix(".weight")
    return f"{_PREFIX}{stored}.lora_{part[-1].upper()}.weight"
