"""Files that are never half there: written beside their place, then renamed into it.

A renamed file is there whole or not at all, so whoever opens the name finds the old content or the
new, also after a crash, after a power cut, or when the disk fills up. What the system still holds
in memory is lost in a power cut, so contents are written to the disk before the new name is, and
the name before the block ends.

What a killed process had written stays beside the target, as ``.NAME.xxxxxxxx.tmp``, until the next
one writes the same target or cleans the folder (`remove_leftovers`). A living writer holds a lock
on what it writes; where the file system knows no locks, nothing is removed.

No system that Python knows lets two folders change places in one step, so an old folder ``model``
is renamed to ``.model.old.tmp`` first. After a crash between the two renames it is there, whole;
`left_aside` finds it, and the next `replace_folder` gives it its name back before it begins.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from llama_tutorial._util.file_lock import try_lock

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_ON_WINDOWS = os.name == "nt"  # which renames no open file, and opens no folder


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file to write to; it takes the place of ``path`` when the block ends well.

    It has the permissions of the file that it replaces. If the block raises, the new file is gone
    and ``path`` is as it was.

    Raises:
        FileNotFoundError: The folder that the file is to lie in does not exist.
        OSError: The disk is full or broken, also where ``torch.save`` says it in other words.
        ValueError: ``path`` is a folder.
    """
    target = _target(path)
    if target.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    remove_leftovers(target.parent, target.name)
    mode = _mode(target)
    with disk_errors(path):
        temporary, file = _new_file(target, mode)
        try:
            with file:
                if mode is not None:
                    os.chmod(temporary, mode)
                yield file
                file.flush()
                os.fsync(file.fileno())
                if _ON_WINDOWS:
                    file.close()
                os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


@contextmanager
def replace_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder to fill; it takes the place of ``path`` when the block ends well.

    An older folder of that name is deleted with all that it holds, afterwards; the new one and its
    files have the permissions of the older ones. If the block raises, the new folder is gone and
    ``path`` is as it was.

    Raises:
        FileNotFoundError: The folder that the new one is to lie in does not exist.
        OSError: The disk is full or broken, also where ``torch.save`` says it in other words.
        ValueError: ``path`` is a file.
    """
    target = _target(path)
    if target.is_file():
        raise ValueError(f"{path} is a file: give the name of a folder")
    remove_leftovers(target.parent, target.name)
    aside = _aside(target)
    if left_aside(target) is not None:
        os.rename(aside, target)
    shutil.rmtree(aside, ignore_errors=True)  # of a crash after the second rename
    mode = _mode(target)
    with disk_errors(path):
        temporary, lock = _new_folder(target, mode)
        try:
            yield temporary
            sync_tree(temporary)
            _copy_modes(target, temporary)
            if target.exists():
                os.rename(target, aside)
            try:
                os.rename(temporary, target)
            except BaseException:
                if aside.exists():
                    os.rename(aside, target)
                raise
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        finally:
            if lock is not None:
                os.close(lock)
        sync_folder(target.parent)
        shutil.rmtree(aside, ignore_errors=True)


def left_aside(path: str | os.PathLike[str]) -> Path | None:
    """The old folder of this name, where a crash came before the new one had it; else None."""
    target = Path(os.path.realpath(path))
    aside = _aside(target)
    return aside if aside.is_dir() and not target.exists() else None


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Delete what killed writers have left in a folder, and nothing that one is writing now.

    Args:
        folder: Where to look; not in what lies in it.
        name: The target whose leftovers are meant; without, all of them.
    """
    pattern = r".+" if name is None else re.escape(name)
    leftover = re.compile(rf"\.{pattern}\.[0-9a-f]{{8}}\.tmp")
    found: list[Path] = []
    with suppress(PermissionError):  # a folder may be one to write to and not to list
        found = [path for path in folder.iterdir() if leftover.fullmatch(path.name)]
    for path in found:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            continue
        with suppress(OSError):  # gone meanwhile, or somebody else's
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if try_lock(descriptor) is True:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)


@contextmanager
def disk_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let every error of the disk name ``path``, and be an OSError.

    The system does not say which file it could not write to, and ``torch.save`` raises a
    RuntimeError about a position in its archive instead.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        if cause is None or cause.errno not in _DISK_ERRORS:
            raise
        if cause is error and cause.filename is not None:
            raise
        raise OSError(cause.errno, cause.strerror, os.fspath(path)) from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing, and write them to the disk."""
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        sync_folder(folder.parent)


def sync_tree(folder: Path) -> None:
    """Write a folder with all that it holds to the disk."""
    for path in folder.iterdir():
        if path.is_dir():
            sync_tree(path)
        else:
            sync_file(path)
    sync_folder(folder)


def sync_file(path: Path) -> None:
    """Write a file's content to the disk."""
    with open(path, "rb+") as file:  # Windows syncs no file that is open for reading only
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system knows how."""
    if _ON_WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise
    finally:
        os.close(descriptor)


def _target(path: str | os.PathLike[str]) -> Path:
    """``path`` without symbolic links, so that what they point to is replaced and not they."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {target.parent} does not exist; make it first")
    return target


def _new_file(target: Path, mode: int | None) -> tuple[Path, BinaryIO]:
    """An empty file beside ``target``, locked, that nobody else may read if ``mode`` says so."""
    rights = 0o666 if mode is None else mode & 0o600
    while True:
        temporary = _temporary(target)
        file = open(  # noqa: SIM115  # closed by the caller
            temporary, "xb", opener=lambda name, flags: os.open(name, flags, rights)
        )
        if _is_claimed(file.fileno(), temporary):
            return temporary, file
        file.close()


def _new_folder(target: Path, mode: int | None) -> tuple[Path, int | None]:
    """An empty folder beside ``target``, and the descriptor that holds its lock."""
    while True:
        temporary = _temporary(target)
        temporary.mkdir(0o777 if mode is None else 0o700)
        if _ON_WINDOWS:
            return temporary, None
        lock = os.open(temporary, os.O_RDONLY)
        if _is_claimed(lock, temporary):
            return temporary, lock
        os.close(lock)


def _is_claimed(descriptor: int, temporary: Path) -> bool:
    """Lock what was just made; False where it was taken for a leftover before it was locked."""
    return try_lock(descriptor) is not False and temporary.exists()


def _mode(path: Path) -> int | None:
    """The permissions of what ``path`` is now; None where there is nothing."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


def _copy_modes(old: Path, new: Path) -> None:
    for path in (*new.iterdir(), new):
        if (mode := _mode(old / path.relative_to(new))) is not None:
            path.chmod(mode)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old.tmp")
