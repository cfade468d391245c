"""The shapes in the signatures: ``Float[Tensor, "B T D"]`` and its kind.

They are `jaxtyping <https://docs.kidger.site/jaxtyping/>`_'s annotations. Nothing checks them in
ordinary use; the tests import the package under jaxtyping's hook, and then a call with another
shape is an error. Where jaxtyping is not installed, stand-ins take its place, so that the package
needs it for nothing but the checking. A lone axis is written ``" B"``, with a space, so that
linters do not take it for a name. To a type checker, every one is the tensor type alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from jaxtyping import Bool, Float, Int, UInt
except ImportError:
    if not TYPE_CHECKING:  # a type checker reads jaxtyping alone

        class _Array:
            """``Float[Tensor, "B T D"]`` without jaxtyping: the tensor type alone."""

            def __class_getitem__(cls, item: tuple) -> type:
                return item[0]

        Bool = Float = Int = UInt = _Array

__all__ = ["Bool", "Float", "Int", "UInt"]
