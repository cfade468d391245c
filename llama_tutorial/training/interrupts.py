"""Signals that end a long work at the next good moment: Ctrl-C, and what schedulers send."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collect the numbers of SIGINT (Ctrl-C) and SIGTERM instead of dying of them.

    The second one does what it always did: it ends the program at once. ``torchrun`` hands both on
    to its processes, and waits half a minute before it kills them.
    """
    received: list[int] = []
    before: dict[int, object] = {}

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: whoever started the thread handles signals
        pass
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
