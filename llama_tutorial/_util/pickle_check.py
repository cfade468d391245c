"""Pickles that somebody else wrote: walked through before anything is built from them.

A pickle is a program for a small stack machine. Even one that may call nothing can end the process:
three million tuples, one in another, take three megabytes, and to hash them C recurses until its
stack is full. So the program is first followed here without running it, only with the depths of the
values on its stack.
"""

from __future__ import annotations

import io
import pickletools
from typing import Any

LARGEST = 2**25  # bytes; the pickle of a 70B checkpoint, which holds names and shapes, has 100 kB
_LONGEST = 2**20  # opcodes; about 40 for each tensor, so this takes 20,000 of them, and a second
_DEEPEST = 64
# Buffers from outside, and the codes of a registry that is one for the whole process.
_REFUSED = {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
_FILLING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
# Of each opcode's name: those that take all that is above a mark, how many values they take else
# (below it), and those that leave a value.
_KINDS = {
    opcode.name: [kind.name for kind in opcode.stack_before] for opcode in pickletools.opcodes
}
_MARKED = {name for name, kinds in _KINDS.items() if "mark" in kinds}
_TAKES = {name: [*kinds, "mark"].index("mark") for name, kinds in _KINDS.items()}
_PUSHING = {opcode.name for opcode in pickletools.opcodes if opcode.stack_after}
_MARK = -1


def check_pickle(data: bytes, count: int = 1) -> None:
    """Check that pickles can be read without harm to the process.

    What they would call is not looked at: whoever reads them must allow only what is harmless.

    Args:
        data: The pickles, one after the other; what comes after their end is not looked at.
        count: How many.

    Raises:
        ValueError: One is truncated or damaged, or they have more than 32 MiB or a million
            opcodes, or nest values more than 64 deep.
    """
    if len(data) > LARGEST:
        raise ValueError(f"a pickle of more than {LARGEST} bytes")
    file, number = io.BytesIO(data), 0
    try:
        for _ in range(count):
            stack: list[int] = []  # the depth of each value
            memo: dict[int, int] = {}
            for opcode, argument, _position in pickletools.genops(file):
                number += 1
                if number > _LONGEST:
                    raise ValueError(f"a pickle of more than {_LONGEST} opcodes")
                if opcode.name in _REFUSED:
                    raise ValueError(f"a pickle with the opcode {opcode.name}")
                _follow(opcode, argument, stack, memo)
    except (LookupError, OverflowError) as error:  # too little on the stack, or not in the memo
        raise ValueError(f"a damaged pickle ({type(error).__name__})") from None


def _follow(opcode: Any, argument: Any, stack: list[int], memo: dict[int, int]) -> None:
    """Do to the depths of the values what the opcode does to the values."""
    match opcode.name:
        case "MARK":
            stack.append(_MARK)
        case "POP":
            stack.pop()
        case "DUP":
            stack.append(stack[-1])
        case "MEMOIZE":
            memo[len(memo)] = stack[-1]
        case "PUT" | "BINPUT" | "LONG_BINPUT":
            if not 0 <= argument <= _LONGEST:  # C's reader makes a list of that length
                raise ValueError(f"a pickle that remembers something as number {argument}")
            memo[argument] = stack[-1]
        case "GET" | "BINGET" | "LONG_BINGET":
            stack.append(memo[argument])
        case name:
            taken = _take(name, stack)
            if name in _FILLING:
                depth = max(taken[-1], 1 + max(taken[:-1], default=_MARK))
            else:
                depth = 1 + max(taken, default=_MARK)
            if depth > _DEEPEST:
                raise ValueError(f"a pickle whose values are nested more than {_DEEPEST} deep")
            if name in _PUSHING:
                stack.append(depth)


def _take(name: str, stack: list[int]) -> list[int]:
    """Pop what an opcode takes, the top of the stack first."""
    taken = []
    if name in _MARKED:
        while (depth := stack.pop()) != _MARK:
            taken.append(depth)
    return taken + [stack.pop() for _ in range(_TAKES[name])]
