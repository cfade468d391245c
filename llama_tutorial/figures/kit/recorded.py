"""Results that take too long for a notebook, as the scripts in ``benchmarks/`` wrote them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def recorded(name: str) -> dict[str, Any]:
    """The results of that name, such as ``"swaps"`` or ``"shakespeare"``.

    Each says by which command it was made, on what machine and when.

    Raises:
        FileNotFoundError: There are no results of that name.
    """
    folder = files("llama_tutorial") / "data"
    path = folder / f"{name}.json"
    if not path.is_file():
        names = sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".json"))
        raise FileNotFoundError(f"no recorded results {name!r}; there are {', '.join(names)}")
    return json.loads(path.read_text(encoding="utf-8"))
