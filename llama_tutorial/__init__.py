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
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.3.0"

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
    "check": "workbook",
}

__all__ = list(_HOME)

if TYPE_CHECKING:  # for editors and type checkers; "X as X" tells them that X is public
    from llama_tutorial.checkpoints import load_model as load_model
    from llama_tutorial.checkpoints import save_model as save_model
    from llama_tutorial.config import PRESETS as PRESETS
    from llama_tutorial.config import ModelConfig as ModelConfig
    from llama_tutorial.generation import generate as generate
    from llama_tutorial.generation import stream as stream
    from llama_tutorial.gqa import GroupedQueryAttention as GroupedQueryAttention
    from llama_tutorial.hub import load as load
    from llama_tutorial.kv_cache import KVCache as KVCache
    from llama_tutorial.model import Transformer as Transformer
    from llama_tutorial.rmsnorm import RMSNorm as RMSNorm
    from llama_tutorial.swiglu import SwiGLU as SwiGLU
    from llama_tutorial.tokenizer import BPETokenizer as BPETokenizer
    from llama_tutorial.tokenizer import Tokenizer as Tokenizer
    from llama_tutorial.tokenizer import load_tokenizer as load_tokenizer
    from llama_tutorial.workbook import check as check
else:  # a type checker that saw this would take every name for one of the package's

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        except ModuleNotFoundError as error:
            from llama_tutorial._util.extras import install_hint

            if (hint := install_hint(error.name)) is None:
                raise
            raise ImportError(f"llama_tutorial.{name} needs {error.name}: {hint}") from error
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """The public names, loaded or not, and the public modules that are loaded."""
    modules = {name for name, value in globals().items() if isinstance(value, ModuleType)}
    return sorted({"__version__", *__all__, *(name for name in modules if name[0] != "_")})
