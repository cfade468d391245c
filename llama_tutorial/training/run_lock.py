"""One run, one process group: whoever trains in a folder holds a lock on it as long as it does.

The lock is the system's, on the file ``.lock`` in the folder, and ends with the process, so that a
run that was killed blocks nobody. The file stays and says who was the last.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llama_tutorial._util.file_lock import try_lock
from llama_tutorial._util.files import make_folder
from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.terminal import printable
from llama_tutorial.training.processes import of_rank0

_HOLDER = re.compile(r"pid \d+ on [\w.-]+")
# The locks of this process: the descriptor that holds each, and the thread that took it.
_held: dict[Path, tuple[int, int]] = {}


@contextmanager
def run_lock(out: str | os.PathLike[str]) -> Iterator[None]:
    """Keep every other process out of a run's folder, which is made if it is missing.

    The processes of one group share the lock, which rank 0 holds. A thread that has it may take it
    again: a command locks its whole work, and `train` within it. Where the file system knows no
    locks, there is a warning and no lock.

    Raises:
        BlockingIOError: Another process, or another thread, trains in the folder.
        ValueError: Its ``.lock`` is no file.
    """
    folder = Path(os.path.realpath(out))
    if _is_mine(folder):
        yield
        return
    of_rank0(lambda: _acquire(folder, Path(out)))
    try:
        yield
    finally:
        if (held := _held.pop(folder, None)) is not None:  # rank 0, and no child that it forked
            os.close(held[0])


class RunLock:
    """Whether a folder is still the one whose lock this process took.

    The lock is the file's, and the name is not: a folder may be renamed, or the lock's file
    deleted, and then another process may train under the old name.

    Args:
        out: The folder. Where this process holds no lock on it, nothing is checked.
    """

    def __init__(self, out: str | os.PathLike[str]) -> None:
        self.path = Path(out)
        self._descriptor = _held.get(Path(os.path.realpath(out)), (None, 0))[0]

    def holds(self) -> bool:
        """Whether the lock's file is still there by its name."""
        if self._descriptor is None:
            return True
        try:
            return os.path.samestat(os.stat(self.path / ".lock"), os.fstat(self._descriptor))
        except OSError:
            return False

    def check(self) -> None:
        """Raise an OSError unless the lock holds."""
        if not self.holds():
            raise OSError(
                f"{self.path}: while this run trained in it, the folder was moved or removed, or "
                "its file .lock was; nothing more is written there, as another process may train "
                "in a folder of this name"
            )


def _is_mine(folder: Path) -> bool:
    return of_rank0(lambda: folder in _held and _held[folder][1] == threading.get_ident())


def _acquire(folder: Path, out: Path) -> None:
    make_folder(folder)
    if kind_of(folder / ".lock") == "folder":
        raise ValueError(f"{folder / '.lock'} is a folder: move it away")
    # No link: the file is written to, and in a folder from elsewhere it might be one to anything.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(folder / ".lock", flags, 0o666)
    locked = False if folder in _held else try_lock(descriptor)
    if locked is False:
        holder = _HOLDER.match(os.read(descriptor, 300).decode(errors="replace"))
        os.close(descriptor)
        raise BlockingIOError(
            f"{out}: another process ({holder[0] if holder else 'unknown'}) trains in this folder; "
            "wait until it has ended, or choose another folder"
        )
    if locked is None:
        warnings.warn(
            f"{printable(str(out))} lies on a file system without locks: see that one process "
            "trains in it",
            stacklevel=4,
        )
    _held[folder] = descriptor, threading.get_ident()
    with suppress(OSError):  # a full disk: the lock is the lock, these are words about it
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())


def _forget() -> None:
    """Let go of the copies that a forked child gets: they would outlive the parent."""
    for descriptor, _ in _held.values():
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
