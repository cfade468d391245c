"""Signals that end a long job at the next good moment: Ctrl-C, and those of job schedulers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collect the numbers of SIGINT (Ctrl-C) and SIGTERM in the list instead of ending the program.

    The second signal does what it always does: it ends the program at once. ``torchrun`` forwards
    both to its processes, and kills them after half a minute.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, receive)
    except ValueError:  # not the main thread: the program that started the thread handles signals
        pass
    try:
        yield received
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)
