r"""Foreign text on a terminal: shown, never obeyed.

A terminal takes orders from what it shows: ``\x1b]0;title\a`` renames its window, other sequences
hide text, move the cursor, or make the terminal type. A model, a file's name, a server's message
may hold such a sequence. Each character that gives orders is therefore written out, one by one, so
that a sequence in pieces is harmless too.
"""

from __future__ import annotations

import sys
from contextlib import suppress

# The control characters but for newline and tab; those that turn the direction of writing around;
# and halves of surrogate pairs, which no encoding can print (in them Python keeps the bytes of a
# file's name that are no UTF-8).
_ORDERS = [
    *(code for code in range(0x20) if chr(code) not in "\n\t"),
    *range(0x7F, 0xA0),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
]
_WRITTEN_OUT = {code: chr(code).encode("unicode_escape").decode() for code in _ORDERS}


def printable(text: str) -> str:
    r"""``text`` with everything that a terminal would obey written out: ESC as ``\x1b``.

    Newlines and tabs stay.
    """
    return text.translate(_WRITTEN_OUT)


def shown(text: str) -> str:
    """A model's text for standard output: `printable` on a terminal, as it is in a file or pipe."""
    return printable(text) if sys.stdout.isatty() else text


def one_line(text: object) -> str:
    """A message as one line that is safe to print."""
    return printable(" ".join(str(text).split()))


def bytes_in_words(n_bytes: int) -> str:
    """A size as people say it, 1 GB being 10^9 bytes: ``3.8 GB``."""
    unit, divisor = next(
        (unit, 10**power)
        for unit, power in (("GB", 9), ("MB", 6), ("kB", 3), ("bytes", 0))
        if n_bytes >= 10**power
    )
    return f"{n_bytes / divisor:.1f} {unit}"


def notice(text: object) -> None:
    """Print one line on standard error; where nobody can read it, the work goes on all the same."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # full, or closed
            print(one_line(text), file=sys.stderr, flush=True)
