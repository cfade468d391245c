"""The keys of a GGUF file's header as a configuration, and back.

Of llama.cpp's many architectures one is read, ``llama``, which is Llama 1 to 3, TinyLlama, Mistral
and all that are built alike. It has knobs that this package has not (scaled rotary angles, experts,
a sliding window): a file that turns one makes another model, and is refused with the knob's name.

Source: ``llama-arch.cpp`` and ``llama-model.cpp`` of llama.cpp; ``set_gguf_parameters`` of its
``convert_hf_to_gguf.py``.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llama_tutorial.config import ModelConfig

ARCHITECTURE = "general.architecture"
# A field of ModelConfig: its key, where "llama." stands before it.
_SIZES = {
    "dim": "embedding_length",
    "n_layers": "block_count",
    "n_heads": "attention.head_count",
    "n_kv_heads": "attention.head_count_kv",
    "hidden_dim": "feed_forward_length",
    "vocab_size": "vocab_size",
    "max_seq_len": "context_length",
}
_NUMBERS = {"norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base"}
_MAY_LACK = {"n_kv_heads": None, "rope_theta": 10000.0}
# Knob: what it may be where it is said.
_FIXED: dict[str, tuple[Any, ...]] = {
    "rope.scaling.type": ("none",),
    "rope.scaling.factor": (1.0, 0.0),
    "rope.scaling.attn_factor": (1.0,),
    "rope.scale_linear": (1.0,),
    "expert_count": (0,),
    "attention.causal": (True,),
    "attention.scale": (0.0,),
    "attention.clamp_kqv": (0.0,),
    "attention.max_alibi_bias": (0.0,),
    "attn_logit_softcapping": (0.0,),
    "final_logit_softcapping": (0.0,),
    "logit_scale": (0.0, 1.0),
    "residual_scale": (0.0, 1.0),
    "embedding_scale": (0.0, 1.0),
    "use_parallel_residual": (False,),
}
_HEAD_DIMS = ("rope.dimension_count", "attention.key_length", "attention.value_length")
_LLAMA = {"norm": "rmsnorm", "feed_forward": "swiglu", "positions": "rope"}


def read_config(
    metadata: Mapping[str, Any], path: Path, *, vocab_size: int, bias: bool, tied: bool
) -> ModelConfig:
    """The configuration that a header says.

    Args:
        metadata: Of the header.
        path: For the message.
        vocab_size: Rows of the embedding, for files of 2023, which do not say.
        bias: Whether there are tensors of biases.
        tied: Whether there is no tensor for the output head.

    Raises:
        ValueError: It is of another architecture, lacks a size, has one that makes no model, or
            asks for something that this package cannot compute.
    """
    if (architecture := metadata.get(ARCHITECTURE)) != "llama":
        raise ValueError(
            f"{path}: {ARCHITECTURE} is {architecture!r:.50}; of llama.cpp's models this package "
            "computes 'llama'"
        )
    said = {key.removeprefix("llama."): value for key, value in metadata.items()}
    for knob, allowed in _FIXED.items():
        if knob in said and not any(_is(said[knob], value) for value in allowed):
            _refuse(path, knob, said[knob], f"must be {allowed[0]!r}")
    sizes = {"vocab_size": vocab_size, **said}
    fields: dict[str, Any] = {}
    fields |= {name: _size(sizes, key, path) for name, key in _SIZES.items() if key in sizes}
    fields |= {name: _number(said, key, path) for name, key in _NUMBERS.items() if key in said}
    keys = {**_SIZES, **_NUMBERS}
    missing = [f"llama.{key}" for name, key in keys.items() if name not in {**_MAY_LACK, **fields}]
    if missing:
        raise ValueError(f"{path} is damaged; missing: {', '.join(missing)}")
    try:
        config = ModelConfig(**{**_MAY_LACK, **fields}, bias=bias, tie_embeddings=tied)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    window = said.get("attention.sliding_window", 0)
    if not _is(window, 0) and not (type(window) is int and window >= config.max_seq_len):
        _refuse(path, "attention.sliding_window", window, "must be 0, or as long as the context")
    for knob in _HEAD_DIMS:
        if not _is(said.get(knob, config.head_dim), config.head_dim):
            must = f"must be embedding_length / head_count, {config.head_dim}"
            _refuse(path, knob, said[knob], must)
    return config


def write_config(config: ModelConfig) -> dict[str, int | float]:
    """The keys that hold a configuration: the sizes are ints, the others floats.

    Raises:
        ValueError: llama.cpp's ``llama`` cannot be such a model.
    """
    others = [
        f"{name}={getattr(config, name)!r}"
        for name, value in _LLAMA.items()
        if getattr(config, name) != value
    ]
    others += [
        f"{name}={getattr(config, name)!r} (the file has it in float32, as "
        f"{_shortest(getattr(config, name))!r})"
        for name in _NUMBERS
        if _shortest(getattr(config, name)) != getattr(config, name)
    ]
    if others:
        raise ValueError(
            f"GGUF's format cannot hold this model: its llama cannot have {', '.join(others)}; "
            "save with format='native'"
        )
    return {
        **{f"llama.{key}": getattr(config, name) for name, key in _SIZES.items()},
        **{f"llama.{key}": float(getattr(config, name)) for name, key in _NUMBERS.items()},
        f"llama.{_HEAD_DIMS[0]}": config.head_dim,
    }


def _is(value: Any, allowed: Any) -> bool:
    return not isinstance(value, array | list) and bool(value == allowed)


def _shortest(number: float) -> float:
    """The shortest decimal number that is the same in float32: 1e-5 for 9.99999974738e-06."""
    return float(str(np.float32(number)))


def _size(said: Mapping[str, Any], key: str, path: Path) -> int:
    """A whole number; one for each layer counts as one where they are all the same."""
    value = said[key]
    if isinstance(value, array):
        values = set(value.tolist())
        if len(values) != 1:
            _refuse(path, key, value.tolist()[:4], "must be the same in every layer")
        (value,) = values
    if type(value) is not int:
        raise ValueError(f"{path} is damaged: llama.{key} is {value!r:.50}, must be a whole number")
    return value


def _number(said: Mapping[str, Any], key: str, path: Path) -> float:
    value = said[key]
    if type(value) is not float or not np.isfinite(value):
        raise ValueError(f"{path} is damaged: llama.{key} is {value!r:.50}, must be a number")
    return _shortest(value)


def _refuse(path: Path, knob: str, value: Any, must: str) -> None:
    raise ValueError(
        f"{path} asks for llama.{knob}={value!r:.60} ({must}), which this package cannot compute"
    )
