"""Files that somebody else gives: what a name stands for, and what a file is by its first bytes.

A checkpoint is often not what its name says: a pointer of git-lfs, a web page that was saved in its
place, a half of a download. Each of these is told by its name, so that nobody looks for the fault
in the model. And a name may stand for something that is no file at all; opening a named pipe would
wait for ever.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_UNFINISHED = (".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2", ".!qB")


def kind_of(path: str | os.PathLike[str]) -> Literal["file", "folder", ""]:
    """What is there by this name; '' where there is nothing.

    Raises:
        ValueError: It is neither a file nor a folder (a named pipe, a device), or the name is none
            that this system can look up.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except PermissionError:
        raise
    except (OSError, ValueError) as error:  # too long, links in a circle, a null character
        name, reason = os.fspath(path), getattr(error, "strerror", None) or error
        short = name if len(name) <= 80 else f"{name[:60]}... ({len(name)} characters)"
        raise ValueError(f"{short!r} names no file: {reason}") from None
    if stat.S_ISDIR(mode):
        return "folder"
    if not stat.S_ISREG(mode):
        what = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise ValueError(f"{path} is {what}: it must be a file or a folder")
    return "file"


def check_file(path: str | os.PathLike[str]) -> None:
    """Raise an error unless there is a file by this name.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: It is a folder, or what `kind_of` refuses.
    """
    kind = kind_of(path)
    if not kind:
        raise FileNotFoundError(f"{path}: no such file")
    if kind == "folder":
        raise ValueError(f"{path} is a folder: it must be a file")


def read_bytes(path: str | os.PathLike[str], largest: int) -> bytes:
    """What a file holds.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: It is no file, or has more than ``largest`` bytes.
    """
    check_file(path)
    with open(path, "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) <= largest:
            data = file.read(largest + 1)
            size = len(data)
    if size > largest:
        raise ValueError(f"{path} is too large: it has more than {largest} bytes")
    return data


def read_lined(path: Path, thing: str, form: str) -> str:
    """The text of a file that holds one ``thing`` a line, each of the ``form``.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not UTF-8, or a file of another kind.
    """
    if not kind_of(path):
        raise FileNotFoundError(f"{path}: no such file; give a .jsonl file with one {thing} a line")
    check_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors write a BOM first
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    what = foreign(text[:256].encode()) if text.strip() else None
    if what and not what.startswith("text"):
        raise ValueError(f"{path} is {what}; a line must be {form}")
    return text


def parse_lines(text: str, path: Path, thing: str, parse: Callable[[str], Any]) -> list[Any]:
    """What ``parse`` makes of each line that is not empty.

    Raises:
        ValueError: As ``parse``, with the line's number; or all lines are empty.
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):  # JSON may hold other line separators
        if not line.strip():
            continue
        try:
            found.append(parse(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not found:
        raise ValueError(f"{path} holds no {thing}: every line is empty")
    return found


def is_unfinished(name: str) -> bool:
    """Whether a file's name says that it is half of a download."""
    return name.endswith(_UNFINISHED)


def foreign(head: bytes, name: str = "") -> str | None:
    """What a file is, in words, if that is plain to see.

    Args:
        head: The first bytes of the file, 200 or more if it has them.
        name: Of the file, which may say that it is half of a download.
    """
    if is_unfinished(name):
        return "a download that was not finished, as its name says: download it again"
    if not head:
        return "an empty file (0 bytes): download or write it again"
    if head.startswith(b"version https://git-lfs.github.com/"):
        return "a pointer of git-lfs, which stands for the real file: fetch it with `git lfs pull`"
    text = _text(head)
    if text is not None and text.lstrip().lower().startswith(("<!doctype html", "<html", "<?xml")):
        return "a web page that was saved in its place: download the file itself"
    if head.startswith(b"PK\3\4"):
        return "a zip archive, as torch.save makes them"
    if head.startswith(b"GGUF"):
        return "a GGUF file"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")):
        return "a compressed file: unpack it first"
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file, as Keras makes them"
    if head[4:9] == b"\0\0\0\0{":  # a 64-bit length, then JSON
        return "a safetensors file"
    if not head.strip(b"\0"):
        return "all zeros at its beginning: the disk was full, or the download broke"
    if text is not None:
        begin = " ".join(text.split())[:40]
        return f"text that begins {begin!r}" if begin.isprintable() else None
    return None


def _text(head: bytes) -> str | None:
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return None
