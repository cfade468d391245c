"""Memory-mapped files, and how to give their pages back once they have been copied.

A mapped file costs no memory until it is read; then the pages that were read count as the
process's own, until the system wants them back. A loader that copies (shards into one matrix, rows
into another order) would so hold everything twice. It need not: what has been copied is not looked
at again, and `Mapped.release` takes those pages out of the process. They stay in the system's
cache, and whoever does look again finds the file's content as before.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from torch import Tensor


class Mapped:
    """The places at which one file is mapped into this process's memory.

    Where the system does not tell (it is no Linux), there are none, and nothing is released.

    Args:
        path: A file that has been mapped, and that nobody has written to by way of the mapping.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._places = _places(os.path.realpath(path))

    def __contains__(self, tensor: Tensor) -> bool:
        """Whether all of ``tensor``'s numbers lie in the file."""
        start, stop = _extent(tensor)
        return any(place.start <= start and stop <= place.stop for place in self._places)

    def release(self, tensor: Tensor) -> None:
        """Give back the whole pages that ``tensor`` lies on; its numbers can still be read."""
        if tensor not in self:  # memory of our own would be wiped
            return
        start, stop = _extent(tensor)
        first, last = -(-start // mmap.PAGESIZE), stop // mmap.PAGESIZE
        if last > first:
            length = (last - first) * mmap.PAGESIZE
            _madvise()(ctypes.c_void_p(first * mmap.PAGESIZE), length, mmap.MADV_DONTNEED)


def _extent(tensor: Tensor) -> tuple[int, int]:
    """The addresses between which the tensor's numbers lie."""
    if not tensor.numel():
        return tensor.data_ptr(), tensor.data_ptr()
    steps = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (steps + 1) * tensor.element_size()


def _places(path: str) -> list[range]:
    places = []
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                # start-stop permissions offset device inode path
                fields = line.rstrip("\n").split(maxsplit=5)
                if len(fields) == 6 and fields[5] == path:
                    start, stop = fields[0].split("-")
                    places.append(range(int(start, 16), int(stop, 16)))
    except OSError:
        return []
    return places


def _madvise():
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return madvise
