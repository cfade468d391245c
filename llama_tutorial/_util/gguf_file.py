"""The header of a GGUF file, read within bounds: what is said of the model, and where tensors lie.

::

    "GGUF", version, number of tensors, number of keys
    key, type, value    the model's sizes (``llama.block_count``), its tokenizer, and more
    name, shape, type, offset    of each tensor; the shape backwards, the row's length first
    the tensors, each at a multiple of ``general.alignment``, 32 bytes if that is not given

A text is a 64-bit length and UTF-8; an array a type, a 64-bit length and the values. Everything is
little-endian. Nothing in it is executed; but every number in it may be wrong, so none is believed
before it is compared with the length of the file.

The gguf package reads headers too. It takes two seconds and 80 MB for 32,000 pieces, one object a
number, and believes what the file says; the tests hold this reader equal to it.

Source: ``docs/gguf.md`` of ggml.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from llama_tutorial._util.given_file import check_file
from llama_tutorial._util.tensor_check import listed
from llama_tutorial._util.terminal import one_line

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY, _BOOL = 8, 9, 7
# Types of values: their codes in Python's ``struct`` and ``array``.
_NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
# The largest vocabularies make a header of 15 MB and half a million strings; a model of 405 billion
# parameters has some 1,100 tensors.
_LONGEST, _STRINGS, _KEYS, _TENSORS = 2**26, 2**20, 2**12, 2**16
_ALIGNMENTS = [2**power for power in range(3, 21)]
_NAME, _TEXT = 2**16 - 1, 2**22
_PART = re.compile(r"(?P<front>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


class Place(NamedTuple):
    """Where a tensor lies.

    Attributes:
        shape: Rows first, as everywhere but in the file.
        type: ggml's number of the type.
        start: Of its bytes in the file.
    """

    shape: tuple[int, ...]
    type: int
    start: int


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        path: The file.
        version: Of the format: 2 or 3.
        metadata: By key: a bool, int, float or str, a list of strings, or an ``array`` of numbers.
        tensors: By name.
    """

    path: Path
    version: int
    metadata: dict[str, Any]
    tensors: dict[str, Place]


def is_gguf(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as GGUF does."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == MAGIC


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the header of one file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated, damaged, of another version or byte order, or something
            else.
    """
    path = Path(path)
    check_file(path)
    size = path.stat().st_size
    if not size:
        raise ValueError(f"{path} is an empty file (0 bytes): download or write it again")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _header(path, _Cursor(data, min(size, _LONGEST), size))
        except _DamageError as error:
            raise ValueError(
                f"{path} is a GGUF file that is truncated or damaged: {one_line(error)}; download "
                "or write it again"
            ) from None


def parts_of(path: Path) -> list[Path]:
    """The files of a model that was cut into several, of which ``path`` is one; else it alone."""
    if not (match := _PART.fullmatch(path.name)):
        return [path]
    front, count = match["front"], int(match["count"])
    return [path.with_name(f"{front}-{i + 1:05}-of-{count:05}.gguf") for i in range(count)]


class _DamageError(ValueError):
    """What is wrong, without the name of the file."""


class _Cursor:
    """Values of the header, one after another."""

    def __init__(self, data: mmap.mmap, end: int, size: int) -> None:
        self.data, self.at, self.end, self.size = data, 0, end, size
        self.strings = 0

    def take(self, n_bytes: int, what: str) -> int:
        """Where the next ``n_bytes`` begin, after a check that they are there."""
        start = self.at
        if n_bytes > self.end - start:
            if self.end < self.size:
                raise _DamageError(f"its header is longer than {self.end} bytes, at {what}")
            raise _DamageError(
                f"{what} takes {n_bytes} bytes at byte {start}, and the file has {self.size}"
            )
        self.at = start + n_bytes
        return start

    def number(self, form: str, what: str) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.take(struct.calcsize(form), what))
        return value

    def text(self, longest: int, what: str) -> str:
        length = self.number("<Q", what)
        if length > longest:
            raise _DamageError(f"{what} is {length} bytes long; at most {longest} can be")
        start = self.take(length, what)
        try:
            return self.data[start : start + length].decode()
        except UnicodeDecodeError:
            raise _DamageError(f"{what} is not UTF-8 text, at byte {start}") from None

    def value(self, kind: int, what: str) -> Any:
        if kind == _STRING:
            return self.text(_TEXT, what)
        if kind == _ARRAY:
            return self.several(what)
        value = self.numbers(kind, 1, what)[0]
        if kind == _BOOL and value > 1:
            raise _DamageError(f"{what} is {value}, must be 0 or 1")
        return bool(value) if kind == _BOOL else value

    def several(self, what: str) -> Any:
        kind, length = self.number("<I", what), self.number("<Q", what)
        if kind != _STRING:
            return self.numbers(kind, length, what)
        self.strings += length
        if self.strings > _STRINGS:
            raise _DamageError(f"{what} makes {self.strings} strings; at most {_STRINGS} can be")
        texts, at, unpack = [], self.at, struct.Struct("<Q").unpack_from
        for _ in range(length):  # a hundred thousand, perhaps: no more calls than must be
            stop = at + 8 + (unpack(self.data, at)[0] if at + 8 <= self.end else 0)
            if stop > self.end:
                self.at = at
                self.take(stop - at, what)
            # Surrogates, in which no text can be written, stand for bytes that are none.
            texts.append(self.data[at + 8 : stop].decode("utf-8", "surrogateescape"))
            at = stop
        self.at = at
        return texts

    def numbers(self, kind: int, length: int, what: str) -> array[Any]:
        if kind not in _NUMBERS:
            raise _DamageError(f"{what} is of type {kind}, which is none that a value can have")
        values = array(_NUMBERS[kind])
        start = self.take(length * values.itemsize, what)
        values.frombytes(self.data[start : self.at])
        if sys.byteorder == "big":
            values.byteswap()
        return values


def _header(path: Path, cursor: _Cursor) -> Header:
    if (magic := cursor.data[:4]) != MAGIC:
        raise ValueError(f"{path} is no GGUF file: it begins with {magic!r}")
    cursor.take(4, "the mark GGUF")
    version = cursor.number("<I", "the version")
    if version not in _VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        if swapped in _VERSIONS:
            raise ValueError(f"{path} is a GGUF file for big-endian machines; this package reads "
                             "little-endian ones: convert the model again")  # fmt: skip
        raise ValueError(
            f"{path} is a GGUF file of version {version}; this package reads versions 2 and 3: "
            "convert the model again"
        )
    n_tensors = _count(cursor, _TENSORS, "the number of tensors")
    n_keys = _count(cursor, _KEYS, "the number of keys")
    metadata = _distinct(cursor, n_keys, "key", _entry)
    tensors = _distinct(cursor, n_tensors, "tensor", _place)
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment not in _ALIGNMENTS:
        raise _DamageError(
            f"general.alignment is {alignment!r:.40}, must be a power of two from 8 to 2^20"
        )
    data = -(-cursor.at // alignment) * alignment
    for name, place in tensors.items():
        if place.start % alignment:
            raise _DamageError(
                f"{listed([name])} begins at {place.start}, no multiple of the alignment, "
                f"{alignment}"
            )
        tensors[name] = place._replace(start=data + place.start)
    return Header(path, version, metadata, tensors)


def _count(cursor: _Cursor, most: int, what: str) -> int:
    if (count := cursor.number("<Q", what)) > most:
        raise _DamageError(f"{what} is {count}; at most {most} can be")
    return count


def _distinct(
    cursor: _Cursor, count: int, what: str, read: Callable[[_Cursor, str], Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in range(count):
        name = cursor.text(_NAME, f"the name of {what} {number}")
        if name in found:
            raise _DamageError(f"{what} {listed([name])} is there twice")
        found[name] = read(cursor, listed([name]))
    return found


def _entry(cursor: _Cursor, name: str) -> Any:
    return cursor.value(cursor.number("<I", name), name)


def _place(cursor: _Cursor, name: str) -> Place:
    n_dims = cursor.number("<I", name)
    if not 1 <= n_dims <= 4:
        raise _DamageError(f"{name} has {n_dims} dimensions; 1 to 4 can be")
    shape = tuple(cursor.number("<Q", name) for _ in range(n_dims))[::-1]
    kind, start = cursor.number("<I", name), cursor.number("<Q", name)
    # A block of the smallest type holds some hundred numbers in a few bytes.
    if not all(1 <= size <= 256 * cursor.size for size in shape):
        raise _DamageError(f"{name} is of shape {shape}, in a file of {cursor.size} bytes")
    if start > cursor.size:
        raise _DamageError(f"{name} begins at {start}, and the file has {cursor.size} bytes")
    return Place(shape, kind, start)
