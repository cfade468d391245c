"""Files that are never half there: written beside their place, then renamed into it.

A renamed file is there whole or not at all, so whoever opens the name finds the old content or the
new, also after a crash or when the disk fills up. (What a killed process had written stays beside
it, under a name that begins with a dot and ends in ``.tmp``.)

No system that Python knows lets two folders change places in one step, so an old folder ``model``
is renamed to ``.model.old.tmp`` first. After a crash between the two renames it is there, whole;
`left_aside` finds it, and the next `replace_folder` gives it its name back before it begins.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file to write to; it takes the place of ``path`` when the block ends well.

    If the block raises, the new file is gone and ``path`` is as it was.

    Raises:
        FileNotFoundError: The folder that the file is to lie in does not exist.
        ValueError: ``path`` is a folder.
    """
    target = _target(path)
    if target.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    temporary = _temporary(target)
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
        FileNotFoundError: The folder that the new one is to lie in does not exist.
        ValueError: ``path`` is a file.
    """
    target = _target(path)
    if target.is_file():
        raise ValueError(f"{path} is a file: give the name of a folder")
    aside, temporary = _aside(target), _temporary(target)
    if left_aside(target) is not None:
        os.rename(aside, target)
    shutil.rmtree(aside, ignore_errors=True)  # of a crash after the second rename
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        if target.exists():
            os.rename(target, aside)
        try:
            os.rename(temporary, target)
        except BaseException:
            if aside.exists():
                os.rename(aside, target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def left_aside(path: str | os.PathLike[str]) -> Path | None:
    """The old folder of this name, where a crash came before the new one had it; else None."""
    target = Path(os.path.realpath(path))
    aside = _aside(target)
    return aside if aside.is_dir() and not target.exists() else None


def _target(path: str | os.PathLike[str]) -> Path:
    """``path`` without symbolic links, so that what they point to is replaced and not they."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {target.parent} does not exist; make it first")
    return target


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old.tmp")
