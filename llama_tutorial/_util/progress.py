"""A progress bar for long work: tqdm's where it is installed, else none.

It shows on a terminal only, so that notebooks, logs and pipes stay clean; and where torchrun has
started several processes, the first alone draws. A command whose log somebody reads gets a line now
and then in its place (`lines_without_terminal`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

from llama_tutorial._util.terminal import printable

LINE_EVERY = 10.0  # seconds
_lines = False  # whether work that draws no bar says how far it is


def progress(items: Iterable[Any] | None, description: str, **options: Any) -> Any:
    """Iterate over ``items`` and draw how far they have come; ``options`` are tqdm's.

    What is returned has tqdm's ``set_postfix`` too, for figures beside the bar, and ``update``, for
    work that counts itself (``items`` is None then, and ``total`` an option); its ``drawn`` says
    whether there is a bar. With the option ``lines=False`` there are none in the bar's place, for
    work that writes its own.
    """
    lines = options.pop("lines", True) and _lines
    if os.environ.get("RANK", "0") != "0":
        return _Silent(items)
    try:
        from tqdm import tqdm
    except ImportError:
        return _without_bar(items, description, lines, options.get("total"))
    bar = tqdm(items, desc=printable(description), disable=None, **options)
    if bar.disable:
        return _without_bar(items, description, lines, options.get("total"))
    bar.drawn = True
    return bar


def write_line(line: str) -> None:
    """Print a line to standard output at once, above the bar if there is one."""
    if sys.stderr is not None and sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            with tqdm.external_write_mode(sys.stdout):
                print(line, flush=True)
            return
    print(line, flush=True)


@contextmanager
def lines_without_terminal() -> Iterator[None]:
    """Where no bar is drawn, let long work print a line every ten seconds of the block."""
    global _lines
    before, _lines = _lines, True
    try:
        yield
    finally:
        _lines = before


def clock(seconds: float) -> str:
    """A duration for people: ``0:07``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Silent:
    """The bar that is not drawn."""

    drawn = False

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


class _Lines(_Silent):
    """A line every ten seconds where the bar would be: how far, and how long it takes still."""

    def __init__(self, items: Iterable[Any] | None, description: str, total: int | None) -> None:
        super().__init__(items)
        self._description, self._total, self._done = printable(description), total, 0
        self._began = self._last = time.monotonic()

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            yield item
            self.update()

    def update(self, amount: int = 1) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._last < LINE_EVERY:
            return
        self._last, how_far = now, f"{self._description}: {self._done:,}"
        if self._total:
            left = (now - self._began) * (self._total - self._done) / max(self._done, 1)
            how_far += f" of {self._total:,} ({self._done / self._total:.0%}), {clock(left)} left"
        write_line(how_far)


def _without_bar(
    items: Iterable[Any] | None, description: str, lines: bool, total: int | None
) -> _Silent:
    if not lines:
        return _Silent(items)
    if total is None and isinstance(items, Sized):
        total = len(items)
    return _Lines(items, description, total)
