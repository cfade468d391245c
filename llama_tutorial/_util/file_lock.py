"""Locks on files: the system lets go of them when their process ends, however it ends.

POSIX systems have ``flock``, Windows ``msvcrt.locking``. Some network file systems have neither.
"""

from __future__ import annotations

import errno
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

_HELD_ELSEWHERE = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
_FAR = 2**30  # Windows locks bytes, and lets nobody read them: one that no file here has


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file, or an open folder, until the descriptor is closed.

    Returns:
        True where it is locked now, False where another descriptor has it, in this process or in
        another, None where the file system knows no locks.
    """
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            _lock_far_byte(descriptor)
    except OSError as error:
        return False if error.errno in _HELD_ELSEWHERE else None
    return True


def _lock_far_byte(descriptor: int) -> None:
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)
