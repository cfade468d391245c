"""Run somebody's code: for so long and no longer, and with its errors kept.

The code runs in a thread of its own. When its time is up, an exception is raised in that thread
from outside, which ends a loop in Python wherever the check was called from: the main thread of a
notebook, a server's thread, a shell; on Windows, too, where there is no alarm signal. A loop inside
a C function goes on until that returns.

What counts is the time of the processor, so that a machine which is busy with something else makes
nobody wrong.
"""

from __future__ import annotations

import ctypes
import inspect
import linecache
import threading
import time
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_PATIENCE = 6  # seconds on the wall for one of the processor: it may wait, or sleep


class TimeUp(BaseException):
    """Raised in a thread whose time is up. No Exception, so that `except Exception` lets it by."""


@dataclass(frozen=True)
class Outcome:
    """What came of a call: a value, or an error."""

    value: Any = None
    error: BaseException | None = None


def run_limited(work: Callable[[], Any], seconds: float | int) -> Outcome:
    """Call ``work`` for at most ``seconds`` of the processor's; then the error is a `TimeUp`.

    By the clock on the wall it may be several times as many.
    """
    found: list[Outcome] = []

    def run() -> None:
        with suppress(TimeUp):  # one that comes when the work is over
            try:
                found.append(Outcome(work()))
            except BaseException as error:  # SystemExit as well: it is the answer's, not ours
                found.append(Outcome(error=error))

    thread = threading.Thread(target=run, name="check", daemon=True)
    thread.start()
    used, passed = time.process_time(), time.monotonic()
    try:
        while thread.is_alive() and time.process_time() - used < seconds:
            if time.monotonic() - passed > _PATIENCE * seconds:
                break
            thread.join(0.02)
    finally:  # on Ctrl-C, too
        tries = 0
        while thread.is_alive() and tries < 20:  # a bare `except:` catches the first ones
            ident = ctypes.c_ulong(thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(TimeUp))
            thread.join(0.1)
            tries += 1
    return found[0] if found else Outcome(error=TimeUp())


@dataclass(frozen=True)
class Place:
    """A line of somebody's code."""

    function: str
    number: int
    text: str
    names: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What the function's own names stood for."""

    def __str__(self) -> str:
        text = f": `{self.text}`" if self.text else ""
        return f"line {self.number} of {self.function}{text}"


def place_of(error: BaseException, answer: Any) -> Place | None:
    """The last line of the answer's own file on the way to an error; None if there is none."""
    files, place = _files_of(answer), None
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename in files:
            text = linecache.getline(code.co_filename, traceback.tb_lineno).strip()
            place = Place(code.co_qualname, traceback.tb_lineno, text, traceback.tb_frame.f_locals)
        traceback = traceback.tb_next
    return place


def _files_of(answer: Any) -> set[str]:
    """The files, or cells of a notebook, in which an answer is written."""
    things = [answer, *vars(answer).values()] if isinstance(answer, type) else [answer]
    found = set()
    for thing in things:
        thing = getattr(thing, "__func__", getattr(thing, "func", thing))  # methods, partial
        code = getattr(inspect.unwrap(thing) if callable(thing) else thing, "__code__", None)
        if isinstance(code, types.CodeType):
            found.add(code.co_filename)
    return found
