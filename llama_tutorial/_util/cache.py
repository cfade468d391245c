"""A place for what is the same every time and takes long to make: the user's cache folder.

``~/.cache/llama-tutorial``, or where ``XDG_CACHE_HOME`` says; ``LLAMA_TUTORIAL_CACHE`` names
another folder, and where it is empty nothing is kept. All of it may be deleted at any time: a cache
that cannot be read or written is none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from llama_tutorial._util.files import replace_file


def cache_folder() -> Path | None:
    """Where things are kept; None where nothing is."""
    named = os.environ.get("LLAMA_TUTORIAL_CACHE")
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "llama-tutorial"


def fetch(key: str, paths: Iterable[Path]) -> bool:
    """Copy what was kept under ``key`` to ``paths``, by their names; whether all of it was there.

    What is copied has to be checked by whoever knows what it should be.
    """
    folder = cache_folder()
    if folder is None:
        return False
    try:
        for path in paths:
            with open(folder / key / path.name, "rb") as kept, replace_file(path) as file:
                shutil.copyfileobj(kept, file)
    except OSError:
        return False
    return True


def keep(key: str, paths: Iterable[Path]) -> None:
    """Copy files to the cache, where it can be written to."""
    folder = cache_folder()
    if folder is None:
        return
    with suppress(OSError):
        (folder / key).mkdir(parents=True, exist_ok=True)
        for path in paths:
            with open(path, "rb") as made, replace_file(folder / key / path.name) as file:
                shutil.copyfileobj(made, file)
