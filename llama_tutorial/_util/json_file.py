"""JSON that somebody else wrote: read whole, within bounds, or refused in one line.

Python's own reader takes more than JSON is (NaN, the same key twice) and ends in other errors than
ValueError where a file is nested deep or a number is long. Here each of these is a ValueError that
begins with the name of what was read, and what is returned has no surprises: every number is finite
and can be made a float, and no value is nested deeper than it can be printed.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

from llama_tutorial._util.given_file import check_file, foreign

LARGEST = 2**25  # bytes; the largest tokenizer.json is half of that
SMALL = 2**20  # bytes; settings have a few thousand
_MOST = {"values": (",[{", 2**20), "names": (":", 2**19)}  # Llama 3's tokenizer.json has half
_DEEPEST = 64
_DIGITS = 100  # "model_max_length" is 10**30 in many files


class _RefusedError(ValueError):
    """JSON by its grammar, and refused all the same."""


def read_json(path: str | os.PathLike[str], limit: int = SMALL) -> Any:
    """What a JSON file holds.

    Args:
        path: The file, in UTF-8, with or without a byte order mark.
        limit: The most bytes that it may have: `LARGEST` where it lists tokens or tensors.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no file, larger than ``limit``, not UTF-8, or what `parse_json` refuses.
            The message begins with ``path``.
    """
    check_file(path)
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path} is larger than {limit} bytes: no JSON file of its kind is")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not JSON: it is not UTF-8 text ({error.reason} at byte {error.start})"
        ) from None
    if text.lstrip()[:1] not in ("{", "[") and (what := foreign(data[:256])):
        raise ValueError(f"{path} is not JSON: it is {what}")
    return parse_json(text, os.fspath(path))


def parse_json(text: str, what: str) -> Any:
    """What a JSON text says.

    Args:
        text: The JSON.
        what: What it is, for the message: a path, "line 3".

    Raises:
        ValueError: It is not JSON, holds NaN or an infinite number, a number of more than 100
            digits, the same key twice in one object, more than a million values, or is nested more
            than 64 deep. The message begins with ``what``.
    """
    for kind, (marks, most) in _MOST.items():  # reading them would take seconds and gigabytes
        if sum(map(text.count, marks)) > most:
            raise ValueError(f"{what} holds more than {most} {kind}: no JSON of a model does")
    try:
        value = json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_object,
            parse_int=_int,
            parse_float=_float,
            parse_constant=_constant,
        )
        _check_depth(value)
    except _RefusedError as error:
        raise ValueError(f"{what} {error}") from None
    except RecursionError:
        raise ValueError(f"{what} is nested more than {_DEEPEST} deep") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text.strip() else ""
        place = f"{line}character {error.colno}"
        raise ValueError(f"{what} is not JSON: {error.msg} at {place}") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    contents = dict(pairs)
    if len(contents) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RefusedError(f"says {key[:60]!r} twice in one object")
            seen.add(key)
    return contents


def _int(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise _RefusedError(f"holds a number of {len(digits)} digits: {digits[:20]}...")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > 10 * _DIGITS or not math.isfinite(value := float(digits)):
        raise _RefusedError(f"holds the number {digits[:30]}, which is too large or too long")
    return value


def _constant(name: str) -> float:
    raise _RefusedError(f"holds {name}, which JSON does not know and no model needs")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise _RefusedError(f"is nested more than {_DEEPEST} deep")
