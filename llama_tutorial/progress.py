"""A progress bar for long work: tqdm's where it is installed, else none.

It shows on a terminal only, so that notebooks, logs and pipes stay clean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, **options: Any) -> Iterator[Item]:
    """Yield ``items`` and draw how far they have come; ``options`` are tqdm's."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return iter(items)
    return iter(tqdm(items, desc=description, disable=None, **options))
