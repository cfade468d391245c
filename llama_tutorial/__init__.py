"""Llama 2 from scratch: the package under the book.

One decoder, five switches: :class:`~llama_tutorial.config.ModelConfig` describes GPT-2, Llama 2
and every step between them, and :class:`~llama_tutorial.model.Transformer` builds it.

Notation, the same in every signature, docstring and chapter:

=====  ==============================================
``B``  batch: rows
``T``  query positions: the tokens of this call
``S``  key positions: cached ones and T
``D``  ``dim``, the width of the residual stream
``H``  query heads
``K``  key and value heads
``G``  query heads that share a key head, H / K
``h``  width of one head, D / H
``F``  width of the feed-forward layer
``V``  vocabulary
=====  ==============================================

The public names are loaded when they are first used, so that importing the package needs neither
torch nor sentencepiece.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "ModelConfig": "config",
    "PRESETS": "config",
    "Transformer": "model",
    "KVCache": "kv_cache",
    "RMSNorm": "rmsnorm",
    "SwiGLU": "swiglu",
    "GroupedQueryAttention": "gqa",
    "load_model": "checkpoints",
    "save_model": "checkpoints",
    "load_tokenizer": "tokenizer",
    "Tokenizer": "tokenizer",
    "BPETokenizer": "tokenizer",
    "generate": "generation",
    "stream": "generation",
    "load": "hub",
}

__all__ = list(_HOME)

if TYPE_CHECKING:
    from llama_tutorial.checkpoints import load_model, save_model
    from llama_tutorial.config import PRESETS, ModelConfig
    from llama_tutorial.generation import generate, stream
    from llama_tutorial.gqa import GroupedQueryAttention
    from llama_tutorial.hub import load
    from llama_tutorial.kv_cache import KVCache
    from llama_tutorial.model import Transformer
    from llama_tutorial.rmsnorm import RMSNorm
    from llama_tutorial.swiglu import SwiGLU
    from llama_tutorial.tokenizer import BPETokenizer, Tokenizer, load_tokenizer


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise ImportError(
            f"llama_tutorial.{name} needs {error.name}: pip install 'llama-tutorial[torch]'"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
