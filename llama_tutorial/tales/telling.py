"""Many tales, told by several processes: a tale takes about a millisecond, and none needs another.

Each process is this module, run by the same Python. It tells every so many-th block of seeds and
writes the texts, one a line in JSON, to a pipe; the pipes are read in turn, so that the tales come
in the order of their seeds. A process whose reader has gone, also one that was killed, ends at its
next line.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from llama_tutorial.tales.tale import tell

_BLOCK = 50  # tales; a pipe has room for about as many, so that nobody waits for another
_FEW = 2000  # are told here: to start processes takes as long


def texts(
    n: int, split: str = "train", seed: int = 0, processes: int | None = None
) -> Iterator[str]:
    """The texts of ``n`` tales, those of the seeds from ``seed`` on, in order.

    Args:
        n: Number of tales.
        split: As for :func:`llama_tutorial.tales.tale.tell`.
        seed: The first seed.
        processes: Number of processes beside this one; as many as there are processors by default,
            and none for a few tales.

    Raises:
        ChildProcessError: One of the processes has ended, killed perhaps for want of memory.
    """
    if processes is None:
        processes = 0 if n < _FEW else _n_processors()
    if processes < 1:
        yield from (tell(number, split).text for number in range(seed, seed + n))
        return
    with ExitStack() as stack:
        workers = [_start(stack, n, split, seed, first, processes) for first in range(processes)]
        for block, begin in enumerate(range(0, n, _BLOCK)):
            worker = workers[block % processes]
            assert worker.stdout is not None
            lines = list(islice(worker.stdout, min(_BLOCK, n - begin)))
            if len(lines) < min(_BLOCK, n - begin) or not lines[-1].endswith("\n"):
                raise ChildProcessError(
                    f"a process that tells tales has ended (exit code {worker.wait()}); the same "
                    "command begins to tell them again"
                )
            yield from map(json.loads, lines)


def story_world() -> str:
    """A name for the story world as it is now: whatever changes a tale changes it."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.py"), *folder.glob("data/*.txt")]):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _start(
    stack: ExitStack, n: int, split: str, seed: int, first: int, every: int
) -> subprocess.Popen[str]:
    """A process that tells every ``every``-th block; it ends when the stack is left."""
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    worker = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, (n, split, seed, first, every))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Ctrl-C reaches it, too, and one message is enough
            env=os.environ | {"PYTHONPATH": paths},
            text=True,
            encoding="utf-8",
        )
    )
    stack.callback(worker.kill)
    return worker


def _n_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def main(n: int, split: str, seed: int, first: int, every: int) -> None:
    """Tell one process's blocks."""
    for begin in range(first * _BLOCK, n, every * _BLOCK):
        for number in range(begin, min(begin + _BLOCK, n)):
            print(json.dumps(tell(seed + number, split).text))
        sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)  # without Python's own flush, which would fail again
