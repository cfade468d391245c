"""Files that are never half there: written beside their place, then renamed into it.

A renamed file is there whole or not at all, so whoever opens the name finds the old content or the
new, also after a crash or when the disk fills up. (What a killed process had written stays beside
it, under a name that begins with a dot.) A folder takes the place of another in one step where the
system can exchange two names (Linux). Elsewhere it takes two, and a crash between them leaves both
folders beside the empty place.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h and linux/fs.h


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file to write to; it takes the place of ``path`` when the block ends well.

    If the block raises, the new file is gone and ``path`` is as it was.

    Raises:
        FileNotFoundError: The folder that the file shall lie in does not exist.
        ValueError: ``path`` is a folder.
    """
    target = _target(path)
    if target.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    temporary = _beside(target)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def replace_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder to fill; it takes the place of ``path`` when the block ends well.

    An older folder of that name is deleted with all that it holds, afterwards. If the block
    raises, the new folder is gone and ``path`` is as it was.

    Raises:
        FileNotFoundError: The folder that the new one shall lie in does not exist.
        ValueError: ``path`` is a file.
    """
    target = _target(path)
    if target.is_file():
        raise ValueError(f"{path} is a file: give the name of a folder")
    temporary = _beside(target)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        if target.exists():
            _exchange(temporary, target)
            shutil.rmtree(temporary)
        else:
            os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _target(path: str | os.PathLike[str]) -> Path:
    """``path`` without symbolic links, so that what they point to is replaced and not they."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {target.parent} does not exist; make it first")
    return target


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def _exchange(new: Path, old: Path) -> None:
    """Let two folders change names."""
    if _exchange_in_one_step(new, old):
        return
    aside = _beside(old)
    os.rename(old, aside)
    try:
        os.rename(new, old)
    except BaseException:
        os.rename(aside, old)
        raise
    os.rename(aside, new)


def _exchange_in_one_step(new: Path, old: Path) -> bool:
    """Do it by Linux's ``renameat2``; False where the system or the disk cannot."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    names = os.fsencode(new), os.fsencode(old)
    return renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0
