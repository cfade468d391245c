"""Meta's ``params.json`` as a configuration, and back.

The file of Llama 2 7B holds six numbers::

    {
        "dim": 4096,
        "multiple_of": 256,
        "n_heads": 32,
        "n_layers": 32,
        "norm_eps": 1e-05,
        "vocab_size": -1,
    }

``vocab_size`` is -1: the tokenizer has it, and the embedding has as many rows. The feed-forward
width is not there either; it follows from ``dim``, ``multiple_of`` and, for 70B,
``ffn_dim_multiplier``. 70B has ``n_kv_heads`` too, and Code Llama ``rope_theta``. The context is
whatever the program chooses: 4096 in Llama 2.

Where a model of ours has something that Meta's code has no word for (another context, a tied head),
a file of our own says it. Meta's code, which refuses words that it does not know, never opens it.

Source: ``ModelArgs`` in Meta's ``model.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama_tutorial._util.tensor_check import listed
from llama_tutorial.checkpoints.folders import PARAMS, read_object, write_json
from llama_tutorial.config import LARGEST, ModelConfig
from llama_tutorial.swiglu import hidden_dim

EXTRA = "llama-tutorial.json"
_NEEDED = ("dim", "n_layers", "n_heads")
# Meta's defaults, and what the program sets: how many dialogs it answers at once.
_DEFAULTS = {
    "n_kv_heads": None,
    "vocab_size": -1,
    "multiple_of": 256,
    "ffn_dim_multiplier": None,
    "norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_seq_len": 4096,
    "max_batch_size": None,
    "use_scaled_rope": False,
}
_EXTRAS = {"max_seq_len": 4096, "tie_embeddings": False}
_HELD = {"norm": "rmsnorm", "feed_forward": "swiglu", "positions": "rope", "bias": False}
_MULTIPLIER = ("ffn_dim_multiplier", (int, float, type(None)))
_ROUND = [2**power for power in range(8, -1, -1)]


def read_params(params: dict[str, Any], folder: Path, vocab_size: int) -> ModelConfig:
    """The configuration of a folder of Meta's.

    Args:
        params: What its ``params.json`` says.
        folder: Where that lies, perhaps with a file of this package's beside it.
        vocab_size: Rows of the embedding, for a file that leaves it open.

    Raises:
        FileNotFoundError: There is no ``params.json``.
        ValueError: It lacks something, or asks for something that Llama 2 does not have.
    """
    path = folder / PARAMS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it belongs to the weights, download it too")
    if missing := [name for name in _NEEDED if name not in params]:
        raise ValueError(f"{path} is damaged; missing: {', '.join(missing)}")
    if unknown := sorted(set(params) - {*_NEEDED, *_DEFAULTS}):
        raise ValueError(
            f"{path} says {listed(unknown)}, which no Llama 2 has: this package cannot compute "
            "such a model"
        )
    if params.get("use_scaled_rope"):
        raise ValueError(f"{path} asks for scaled rotary angles, as Llama 3.1 has; Llama 2 has not")
    extra = _read_extra(folder)
    try:
        return _config(_DEFAULTS | params, extra, vocab_size)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def write_params(config: ModelConfig, folder: Path) -> None:
    """Write ``params.json``, and the file beside it if one is needed.

    Raises:
        ValueError: Meta's format cannot hold the model.
    """
    check_holdable(config)
    params: dict[str, Any] = {
        "dim": config.dim,
        "n_layers": config.n_layers,
        "n_heads": config.n_heads,
    }
    if config.n_kv_heads != config.n_heads:
        params["n_kv_heads"] = config.n_kv_heads
    params |= {"vocab_size": config.vocab_size, "norm_eps": config.norm_eps}
    params |= feed_forward_params(config.dim, config.hidden_dim)
    if config.rope_theta != _DEFAULTS["rope_theta"]:
        params["rope_theta"] = config.rope_theta
    write_json(params, folder / PARAMS)
    extra = {name: getattr(config, name) for name in _EXTRAS}
    if extra != _EXTRAS:
        write_json(extra, folder / EXTRA)


def check_holdable(config: ModelConfig) -> None:
    """Raise a ValueError unless the model is a Llama without biases."""
    others = [
        f"{name}={getattr(config, name)!r} (must be {value!r})"
        for name, value in _HELD.items()
        if getattr(config, name) != value
    ]
    if others:
        raise ValueError(
            f"Meta's format cannot hold {', '.join(others)}: its code computes Llamas only; save "
            "with format='native'"
        )


def feed_forward_params(dim: int, hidden: int) -> dict[str, Any]:
    """``multiple_of`` and ``ffn_dim_multiplier`` from which Meta's rule makes ``hidden``."""
    for multiple in _ROUND:
        if hidden_dim(dim, multiple) == hidden:
            return {"multiple_of": multiple}
    if hidden_dim(dim, 4096, 1.3) == hidden:  # as 70B is published
        return {"multiple_of": 4096, "ffn_dim_multiplier": 1.3}
    # The rule cuts the product to a whole number; half a unit more keeps it from falling below.
    return {"multiple_of": 1, "ffn_dim_multiplier": (hidden + 0.5) / hidden_dim(dim, 1)}


def _read_extra(folder: Path) -> Mapping[str, Any]:
    extra = read_object(folder / EXTRA)
    if unknown := sorted(set(extra) - set(_EXTRAS)):
        raise ValueError(f"{folder / EXTRA} says {listed(unknown)}, which it cannot")
    return extra


def _config(params: dict[str, Any], extra: Mapping[str, Any], vocab_size: int) -> ModelConfig:
    # What the width is computed from; ModelConfig looks at all else.
    for name, kinds in (("dim", (int,)), ("multiple_of", (int,)), _MULTIPLIER):
        value = params[name]
        if type(value) not in kinds or (value is not None and not 0 < value <= LARGEST):
            raise ValueError(f"{name}={value!r:.50}: must be a number above 0, at most {LARGEST}")
    multiplier = params["ffn_dim_multiplier"]
    return ModelConfig(
        dim=params["dim"],
        n_layers=params["n_layers"],
        n_heads=params["n_heads"],
        n_kv_heads=params["n_kv_heads"],
        hidden_dim=hidden_dim(params["dim"], params["multiple_of"], multiplier),
        vocab_size=vocab_size if params["vocab_size"] == -1 else params["vocab_size"],
        max_seq_len=extra.get("max_seq_len", params["max_seq_len"]),
        norm_eps=params["norm_eps"],
        rope_theta=params["rope_theta"],
        tie_embeddings=extra.get("tie_embeddings", False),
    )
