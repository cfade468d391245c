"""The configuration of a decoder, and what follows from it by arithmetic alone.

GPT-2 and Llama 2 are the same pre-norm decoder under two configurations: the switches ``norm``,
``positions``, ``feed_forward``, ``bias`` and ``tie_embeddings`` and the sizes tell them apart. A
configuration knows how many parameters, floating-point operations and cache bytes it stands for,
so nothing has to be built to compare two of them. This module needs no torch.

Sources: the Llama 2 paper (Touvron et al., 2023), table 1, and the ``params.json`` that Meta
publishes with the weights; the GPT-2 paper (Radford et al., 2019), table 2.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from reprlib import repr as shortened
from typing import Any

_SWITCHES = {
    "norm": ("layernorm", "rmsnorm"),
    "feed_forward": ("gelu", "swiglu"),
    "positions": ("learned", "rope"),
    "bias": (False, True),
    "tie_embeddings": (False, True),
}

_WHOLE_NUMBERS = (
    "dim",
    "n_layers",
    "n_heads",
    "n_kv_heads",
    "hidden_dim",
    "vocab_size",
    "max_seq_len",
)
LARGEST = 2**24
"""The most that a size can be: beyond every real model, and small enough to compute with."""
_MOST = {"norm_eps": 1, "rope_theta": 10**12}
# Numbers in RoPE's tables, max_seq_len times head_dim, that a model of any size may have.
_TABLE = 2**22
_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


@dataclass(frozen=True)
class ModelConfig:
    """One decoder: its sizes and its switches. The defaults are Llama 2 7B's.

    Args:
        dim: Width of the residual stream, D.
        n_layers: Number of transformer blocks.
        n_heads: Query heads in each attention layer, H. Divides ``dim``.
        n_kv_heads: Key and value heads, K. Divides ``n_heads``; ``None`` means as many as
            query heads, which is plain multi-head attention.
        hidden_dim: Width of the feed-forward layer, F.
            :func:`llama_tutorial.swiglu.hidden_dim` gives Llama's from ``dim``.
        vocab_size: Number of tokens, V.
        max_seq_len: The context: how many positions the model can see.
        norm_eps: What the norms add under the root, at most 1.
        rope_theta: Base of the rotary angles, at most 10^12.
        norm: ``"rmsnorm"`` (Llama) or ``"layernorm"`` (GPT).
        feed_forward: ``"swiglu"`` (Llama) or ``"gelu"`` (GPT).
        positions: ``"rope"`` (Llama) or ``"learned"`` (GPT).
        bias: Biases on every linear layer but the output head, and on LayerNorm (GPT).
        tie_embeddings: Let the output head use the token embedding's matrix (GPT).

    Raises:
        ValueError: A field is out of range (each size is 1 to `LARGEST`), two fields do not fit
            together, or the context's rotary tables would be larger than the model.
    """

    dim: int = 4096
    n_layers: int = 32
    n_heads: int = 32
    n_kv_heads: int | Any = None  # None when it is made; a number from then on
    hidden_dim: int = 11008
    vocab_size: int = 32000
    max_seq_len: int = 4096
    norm_eps: float | int = 1e-5
    rope_theta: float | int = 10000.0
    norm: str = "rmsnorm"
    feed_forward: str = "swiglu"
    positions: str = "rope"
    bias: bool = False
    tie_embeddings: bool = False

    def __post_init__(self) -> None:
        if self.n_kv_heads is None:
            object.__setattr__(self, "n_kv_heads", self.n_heads)  # the class is frozen
        _check_numbers(self)
        _check_switches(self)
        _check_heads(self)
        _check_context(self)

    def replace(self, **changes: Any) -> ModelConfig:
        """A copy with the named fields changed.

        Key and value heads follow ``n_heads`` where the two were equal (multi-head attention
        stays multi-head); every other field keeps its value unless it is named.

        Raises:
            ValueError: A name is no field, or the new configuration does not hold together.
        """
        _check_names(changes)
        if self.n_kv_heads == self.n_heads:
            changes = {"n_kv_heads": None, **changes} if "n_heads" in changes else changes
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ModelConfig:
        """The configuration that :meth:`to_dict` wrote.

        Raises:
            ValueError: It is no dictionary, a field is unknown, or the fields make no model.
        """
        if not isinstance(fields, dict):
            raise ValueError(f"{shortened(fields)} must be a configuration: names and values")
        _check_names(fields)
        return cls(**fields)

    @property
    def head_dim(self) -> int:
        """Width of one head, h = D / H."""
        return self.dim // self.n_heads

    @property
    def kv_dim(self) -> int:
        """Width of all key heads together, K · h; the values' as well."""
        return self.n_kv_heads * self.head_dim

    @property
    def group_size(self) -> int:
        """Query heads that share one key and value head, H / K."""
        return self.n_heads // self.n_kv_heads

    @property
    def n_params(self) -> int:
        """Trainable numbers in the model; a tied output head counts once."""
        embeddings = self.vocab_size * self.dim
        head = 0 if self.tie_embeddings else embeddings
        positions = self.max_seq_len * self.dim if self.positions == "learned" else 0
        block = self._matrix_params + self._bias_params + 2 * self._norm_params
        return embeddings + positions + self.n_layers * block + self._norm_params + head

    def flops_per_token(self, context: int) -> int:
        """Floating-point operations of the forward pass for one token that sees ``context``.

        A multiply and an add are two operations. Counted are the matrix products: every weight
        matrix (the output head too; the embedding is a look-up), and in attention the scores and
        the weighted sum over ``context`` keys, the token's own among them. Norms, activations
        and the softmax are below one percent. Training costs three times as much: the backward
        pass has two products for each of the forward pass.

        Raises:
            ValueError: ``context`` is not between 1 and ``max_seq_len``.
        """
        if not 1 <= context <= self.max_seq_len:
            raise ValueError(
                f"context={context}: must be between 1 and max_seq_len={self.max_seq_len}"
            )
        matrices = self.n_layers * self._matrix_params + self.vocab_size * self.dim
        attention = self.n_layers * 2 * context * self.dim  # q·k, then weights·v
        return 2 * (matrices + attention)

    def kv_bytes_per_token(self, dtype: Any) -> int:
        """Bytes that one position takes in the key-value cache, all layers together.

        Args:
            dtype: ``"float16"``, or any torch or NumPy dtype of that name.

        Raises:
            ValueError: The size of ``dtype`` is not known.
        """
        return 2 * self.n_layers * self.kv_dim * _dtype_bytes(dtype)

    @property
    def _matrix_params(self) -> int:
        """Weights of one block's matrices: attention (wq, wk, wv, wo) and feed-forward."""
        attention = 2 * self.dim * self.dim + 2 * self.dim * self.kv_dim
        n_matrices = 3 if self.feed_forward == "swiglu" else 2
        return attention + n_matrices * self.dim * self.hidden_dim

    @property
    def _bias_params(self) -> int:
        if not self.bias:
            return 0
        n_hidden = 2 if self.feed_forward == "swiglu" else 1
        return 3 * self.dim + 2 * self.kv_dim + n_hidden * self.hidden_dim

    @property
    def _norm_params(self) -> int:
        return self.dim * (2 if self.norm == "layernorm" and self.bias else 1)


def _check_names(fields: dict[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(ModelConfig)]
    if unknown := sorted(set(fields) - set(known)):
        shown = ", ".join(unknown).encode("unicode_escape").decode()  # a file's, perhaps
        raise ValueError(f"{shown:.200}: no field of ModelConfig; it has {', '.join(known)}")


def _check_numbers(config: ModelConfig) -> None:
    for name in _WHOLE_NUMBERS:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
            raise ValueError(
                f"{name}={_shown(value)}: must be a whole number of at least 1 and "
                f"at most {LARGEST}"
            )
    for name, most in _MOST.items():
        value = getattr(config, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value <= most:
            raise ValueError(
                f"{name}={_shown(value)}: must be a finite number above 0 and at most {most}"
            )


def _check_switches(config: ModelConfig) -> None:
    for name, choices in _SWITCHES.items():
        value = getattr(config, name)
        if type(value) is not type(choices[0]) or value not in choices:  # 1 is no True here
            raise ValueError(f"{name}={_shown(value)}: must be {choices[0]!r} or {choices[1]!r}")


def _shown(value: Any) -> str:
    """A value for a message, however long it is."""
    is_long = isinstance(value, int) and abs(value) >= 10**40  # Python may refuse to write it
    return "a number of more than 40 digits" if is_long else shortened(value)


def _check_heads(config: ModelConfig) -> None:
    dim, H, K = config.dim, config.n_heads, config.n_kv_heads
    if dim % H:
        raise ValueError(
            f"n_heads={H} does not divide dim={dim}: every head needs the same width; "
            f"the nearest n_heads that does is {_nearest_divisor(dim, H)}"
        )
    if H % K:
        raise ValueError(
            f"n_kv_heads={K} does not divide n_heads={H}: every key head serves the same number "
            f"of query heads; the nearest n_kv_heads that does is {_nearest_divisor(H, K)}"
        )
    if config.positions == "rope" and config.head_dim % 2:
        raise ValueError(
            f"dim={dim} / n_heads={H} makes a head_dim of {config.head_dim}: RoPE rotates pairs, "
            "so it must be even; change dim or n_heads"
        )


def _check_context(config: ModelConfig) -> None:
    """RoPE's tables are computed, not loaded, so no file's size bounds them."""
    table = config.max_seq_len * config.head_dim
    if config.positions == "rope" and table > max(_TABLE, config.n_params):
        raise ValueError(
            f"max_seq_len={config.max_seq_len} with a head_dim of {config.head_dim}: RoPE's tables "
            f"would hold {table} numbers, more than the {config.n_params} of the model itself"
        )


def _nearest_divisor(number: int, wanted: int) -> int:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return min(sorted([*small, *(number // d for d in small)]), key=lambda d: abs(d - wanted))


def _dtype_bytes(dtype: Any) -> int:
    # "torch.float16", "<class 'numpy.float16'>", "float16": the last word names the type.
    name = str(dtype).rstrip("'>").rpartition(".")[2]
    if name not in _BYTES:
        raise ValueError(f"dtype={dtype!r}: must be one of {', '.join(_BYTES)}")
    return _BYTES[name]


class _Presets(dict):
    """A dictionary whose KeyError lists what there is."""

    def __missing__(self, name: str) -> ModelConfig:
        raise KeyError(f"{name!r} is no preset; there are {', '.join(self)}")


def _gpt2(dim: int, n_layers: int, n_heads: int) -> ModelConfig:
    return ModelConfig(
        dim=dim,
        n_layers=n_layers,
        n_heads=n_heads,
        hidden_dim=4 * dim,
        vocab_size=50257,
        max_seq_len=1024,
        norm="layernorm",
        feed_forward="gelu",
        positions="learned",
        bias=True,
        tie_embeddings=True,
    )


_stories = partial(ModelConfig, tie_embeddings=True)

PRESETS: dict[str, ModelConfig] = _Presets(
    {
        # GPT-2: dim, layers, heads
        "gpt2": _gpt2(768, 12, 12),
        "gpt2-medium": _gpt2(1024, 24, 16),
        "gpt2-large": _gpt2(1280, 36, 20),
        "gpt2-xl": _gpt2(1600, 48, 25),
        # Llama 2: dim, layers, heads, key-value heads, hidden. The -chat weights share them.
        "llama-2-7b": ModelConfig(4096, 32, 32, 32, 11008),
        "llama-2-13b": ModelConfig(5120, 40, 40, 40, 13824),
        "llama-2-34b": ModelConfig(8192, 48, 64, 8, 22016),
        "llama-2-70b": ModelConfig(8192, 80, 64, 8, 28672),
        # Karpathy's tinyllamas: the same, then vocabulary and context; tied
        "stories260K": _stories(64, 5, 8, 4, 172, 512, 512),
        "stories15M": _stories(288, 6, 6, 6, 768, 32000, 256),
        "stories42M": _stories(512, 8, 8, 8, 1376, 32000, 1024),
        "stories110M": _stories(768, 12, 12, 12, 2048, 32000, 1024),
        "tinyllama-1.1b": ModelConfig(2048, 22, 32, 4, 5632, 32000, 2048),
    }
)
"""The published models by name. An unknown name is a KeyError that lists them."""
