"""Hugging Face's ``config.json`` as a configuration, and back.

Two families are read, ``llama`` and ``gpt2``. Each has knobs that this package has not (biases on
attention alone, scaled rotary angles, another activation): a file that sets one of them makes
another model, and is refused with the knob's name.

The same Llama is described in two ways. As Llama 2 was published: ``torch_dtype``, and no
``rope_theta``, which is 10000 then. As transformers writes it since version 5: ``dtype``, and
``rope_parameters`` with the theta. Both are read, and both are written.

Source: ``configuration_llama.py`` and ``configuration_gpt2.py`` of transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_tutorial._util.tensor_check import listed
from llama_tutorial.config import ModelConfig

ARCHITECTURES = {
    "llama": ("LlamaForCausalLM",),
    "gpt2": ("GPT2LMHeadModel", "GPT2Model"),
}
_SWITCHES: dict[str, dict[str, Any]] = {
    "llama": {"norm": "rmsnorm", "feed_forward": "swiglu", "positions": "rope"},
    "gpt2": {"norm": "layernorm", "feed_forward": "gelu", "positions": "learned", "bias": True},
}
# Knob: what it must be, the default first.
_FIXED: dict[str, dict[str, tuple[Any, ...]]] = {
    "llama": {
        "is_causal": (True,),
        "hidden_act": ("silu", "swish"),
        "partial_rotary_factor": (1.0, None),
    },
    "gpt2": {
        "is_causal": (True,),
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    },
}
# Other names for GPT-2's sizes, which transformers takes too.
_ALIASES = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_positions": "max_position_embeddings",
}
# The tokens that begin and end a text, where no tokenizer says so.
_BOS_EOS = {"llama": (1, 2), "gpt2": (50256, 50256)}


def family_of(contents: dict[str, Any], path: Path) -> str:
    """``"llama"`` or ``"gpt2"``.

    Raises:
        ValueError: The model is of another kind, or has another head than a language model's.
    """
    architectures = contents.get("architectures") or []
    family = contents.get("model_type")
    names_classes = isinstance(architectures, list)
    if not names_classes or not all(isinstance(name, str) for name in architectures):
        raise ValueError(
            f'{path} is damaged: "architectures" is {architectures!r:.50}, must be a list of names'
        )
    if not isinstance(family, str | None):
        raise ValueError(f'{path} is damaged: "model_type" is {family!r:.50}, must be a name')
    if family is None:
        names = ARCHITECTURES.items()
        family = next((f for f, classes in names if set(architectures) & set(classes)), None)
    if family not in ARCHITECTURES:
        kind = architectures[0] if family is None and architectures else repr(family)
        raise ValueError(
            f"{path} is of a {listed([kind])} model; of Hugging Face's models this package "
            "knows 'llama' and 'gpt2'"
        )
    others = [name for name in architectures if name not in ARCHITECTURES[family]]
    if others:
        raise ValueError(
            f"{path} is of a {listed(others)}; this package reads "
            f"{' and '.join(ARCHITECTURES[family])}"
        )
    return family


def read_config(contents: dict[str, Any], path: Path) -> tuple[str, ModelConfig]:
    """The family and the configuration that a ``config.json`` says.

    Raises:
        ValueError: It is of another kind of model, lacks a size, has one that makes no model, or
            asks for something that this package cannot compute.
    """
    family = family_of(contents, path)
    for knob, allowed in _FIXED[family].items():
        if contents.get(knob, allowed[0]) not in allowed:
            _refuse(path, f"{knob}={contents[knob]!r:.50} (must be {allowed[0]!r})")
    if contents.get("quantization_config"):
        _refuse(path, "quantization_config: quantized weights")
    read = _read_llama if family == "llama" else _read_gpt2
    try:
        return family, read(contents, path)
    except KeyError as error:
        raise ValueError(f"{path} is damaged; missing: {error.args[0]}") from None
    except ValueError as error:
        text = str(error)
        raise ValueError(text if str(path) in text else f"{path} is damaged: {text}") from None


def write_config(config: ModelConfig, dtype: str, special: dict[str, int | None]) -> dict[str, Any]:
    """The contents of ``config.json``.

    Args:
        config: Of a Llama or a GPT-2.
        dtype: Of the weights: ``"bfloat16"``.
        special: ``bos_token_id`` and ``eos_token_id``; empty where they are not known.

    Raises:
        ValueError: Neither family can hold the model.
    """
    family = family_for(config)
    bos_eos = dict(zip(("bos_token_id", "eos_token_id"), _BOS_EOS[family], strict=True))
    known = {name: i if i < config.vocab_size else None for name, i in bos_eos.items()}
    return {
        "architectures": [ARCHITECTURES[family][0]],
        "model_type": family,
        "dtype": dtype,
        "torch_dtype": dtype,  # until version 4
        **(_write_llama(config) if family == "llama" else _write_gpt2(config)),
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_embeddings,
        **known,
        **special,
    }


def family_for(config: ModelConfig) -> str:
    """The family that a model belongs to.

    Raises:
        ValueError: To neither; the message says what stands in the way.
    """
    reasons = []
    for family, switches in _SWITCHES.items():
        others = [
            f"{name}={getattr(config, name)!r}"
            for name, value in switches.items()
            if getattr(config, name) != value
        ]
        if family == "gpt2" and config.n_kv_heads != config.n_heads:
            others.append(f"n_kv_heads={config.n_kv_heads}")
        if not others:
            return family
        reasons.append(f"its {family} cannot have {', '.join(others)}")
    raise ValueError(
        f"Hugging Face's format cannot hold this model: {'; '.join(reasons)}; save with "
        "format='native'"
    )


def _refuse(path: Path, what: str) -> None:
    raise ValueError(f"{path} asks for {what}, which this package cannot compute")


def _read_llama(contents: dict[str, Any], path: Path) -> ModelConfig:
    attention_bias, mlp_bias = (
        _switch(contents, knob, False) for knob in ("attention_bias", "mlp_bias")
    )
    if attention_bias != mlp_bias:
        _refuse(
            path,
            f"biases on some matrices alone (attention_bias={attention_bias}, "
            f"mlp_bias={mlp_bias}; here all have them or none)",
        )
    config = ModelConfig(
        dim=contents["hidden_size"],
        n_layers=contents["num_hidden_layers"],
        n_heads=contents["num_attention_heads"],
        n_kv_heads=contents.get("num_key_value_heads"),
        hidden_dim=contents["intermediate_size"],
        vocab_size=contents["vocab_size"],
        max_seq_len=contents.get("max_position_embeddings", 2048),
        norm_eps=contents.get("rms_norm_eps", 1e-6),
        rope_theta=_theta(contents, path),
        bias=mlp_bias,
        tie_embeddings=_switch(contents, "tie_word_embeddings", False),
    )
    if (head_dim := contents.get("head_dim")) not in (None, config.head_dim):
        _refuse(path, f"head_dim={head_dim!r:.50} (must be hidden_size / heads, {config.head_dim})")
    return config


def _theta(contents: dict[str, Any], path: Path) -> Any:
    """The base of the rotary angles, from wherever it stands."""
    given = {"rope_theta": contents.get("rope_theta")}
    for knob in ("rope_parameters", "rope_scaling"):
        scaling = contents.get(knob) or {}
        if not isinstance(scaling, dict):
            raise ValueError(f"{knob} is {scaling!r:.50}, must be an object")
        kind = scaling.get("rope_type", scaling.get("type", "default"))
        by_layer = any(isinstance(value, dict) for value in scaling.values())
        if kind != "default" or by_layer or scaling.get("partial_rotary_factor", 1.0) != 1.0:
            _refuse(path, f"{knob}={scaling!r:.90}: other rotary angles than Llama 2's")
        given[f"{knob}.rope_theta"] = scaling.get("rope_theta")
    if contents.get("rope_scaling") and contents.get("rope_parameters"):
        # transformers forgets rope_parameters then, its theta too
        old = given["rope_theta"]
        given["rope_scaling.rope_theta"] = scaling.get(
            "rope_theta", 10000.0 if old is None else old
        )
    given = {name: theta for name, theta in given.items() if theta is not None}
    if any(theta != other for theta in given.values() for other in given.values()):
        bases = " and ".join(f"{name}={theta!r:.30}" for name, theta in given.items())
        raise ValueError(f"it gives two bases of the rotary angles: {bases}; delete the wrong one")
    return next(iter(given.values()), 10000.0)


def _switch(contents: dict[str, Any], knob: str, default: bool) -> bool:
    value = contents.get(knob, default)
    if not isinstance(value, bool | None):
        raise ValueError(f"{knob} is {value!r:.50}, must be true or false")
    return default if value is None else value


def _read_gpt2(contents: dict[str, Any], _: Path) -> ModelConfig:
    dim = _either(contents, "n_embd")
    inner: Any = contents.get("n_inner")
    return ModelConfig(
        dim=dim,
        n_layers=_either(contents, "n_layer"),
        n_heads=_either(contents, "n_head"),
        hidden_dim=4 * dim if inner is None and isinstance(dim, int) else inner,
        vocab_size=contents["vocab_size"],
        max_seq_len=_either(contents, "n_positions"),
        norm_eps=contents.get("layer_norm_epsilon", 1e-5),
        tie_embeddings=_switch(contents, "tie_word_embeddings", True),
        **_SWITCHES["gpt2"],
    )


def _either(contents: dict[str, Any], name: str) -> Any:
    """A size of GPT-2's, under one of its two names."""
    alias = _ALIASES[name]
    if alias not in contents:
        return contents[name]
    size = contents[alias]
    if contents.get(name, size) != size:
        raise ValueError(
            f"{name}={contents[name]!r:.30} and {alias}={size!r:.30} are two names of one size; "
            "delete the wrong one"
        )
    return size


def _write_llama(config: ModelConfig) -> dict[str, Any]:
    return {
        "hidden_size": config.dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.hidden_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_seq_len,
        "rms_norm_eps": float(config.norm_eps),  # transformers refuses whole numbers
        "rope_theta": float(config.rope_theta),  # until version 4
        "rope_parameters": {"rope_theta": float(config.rope_theta), "rope_type": "default"},
        "attention_bias": config.bias,
        "mlp_bias": config.bias,
    }


def _write_gpt2(config: ModelConfig) -> dict[str, Any]:
    return {
        "n_embd": config.dim,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": config.hidden_dim,
        "n_positions": config.max_seq_len,
        "layer_norm_epsilon": float(config.norm_eps),
        "activation_function": "gelu_new",
        # transformers trains with a tenth of the numbers dropped if nothing is said
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }
