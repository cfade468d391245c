"""A progress bar for long work: tqdm's where it is installed, else none.

It shows on a terminal only, so that notebooks, logs and pipes stay clean; and where torchrun has
started several processes, the first alone draws.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from llama_tutorial._util.terminal import printable


def progress(items: Iterable[Any] | None, description: str, **options: Any) -> Any:
    """Iterate over ``items`` and draw how far they have come; ``options`` are tqdm's.

    What is returned has tqdm's ``set_postfix`` too, for figures beside the bar, and ``update``, for
    work that counts itself (``items`` is None then, and ``total`` an option).
    """
    if os.environ.get("RANK", "0") != "0":
        return _Silent(items)
    try:
        from tqdm import tqdm
    except ImportError:
        return _Silent(items)
    return tqdm(items, desc=printable(description), disable=None, **options)


class _Silent:
    """The bar that is not drawn."""

    def __init__(self, items: Iterable[Any] | None) -> None:
        self._items = () if items is None else items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def set_postfix(self, **_figures: Any) -> None:
        """Show nothing."""

    def update(self, _amount: int = 1) -> None:
        """Count nothing."""

    def close(self) -> None:
        """Close nothing."""
