"""Turns a notebook into text that is easy to write in, and back.

    python scripts/notebook_text.py book/rope.ipynb draft.md     a draft, without outputs
    python scripts/notebook_text.py draft.md book/rope.ipynb     a notebook, not yet run

The draft is MyST Markdown: prose as it is, ``+++`` between two cells of prose, and code in
``{code-cell}`` fences whose tags and captions stand in a YAML head. Only the notebook is committed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import notebooks


def convert(source: Path, target: Path) -> None:
    """Writes ``target`` from ``source``; the direction is told by the endings.

    Raises:
        ValueError: Not exactly one of the two is a notebook.
    """
    if (source.suffix == ".ipynb") == (target.suffix == ".ipynb"):
        raise ValueError(
            f"one of {source.name!r} and {target.name!r} must be a notebook, the other not"
        )
    if source.suffix == ".ipynb":
        target.write_text(notebooks.to_text(notebooks.read(source)), encoding="utf-8")
    else:
        notebooks.write(notebooks.from_text(source.read_text(encoding="utf-8")), target)


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    convert(options.source, options.target)


if __name__ == "__main__":
    main()
