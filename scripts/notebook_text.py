"""Turns a notebook into text that is easy to write in, and back, by jupytext.

    python scripts/notebook_text.py book/rope.ipynb draft.md     a draft, without outputs
    python scripts/notebook_text.py draft.md book/rope.ipynb     and back

The draft is MyST Markdown: prose as it is, ``+++`` between two cells of prose, and code in
``{code-cell}`` fences whose head carries tags and captions. Where the notebook is there already,
code that the draft has not changed keeps its outputs. Only the notebook is committed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jupytext
import notebooks
from nbformat import NotebookNode


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
        notebook = notebooks.read(source)
        notebooks.without_collapsing(notebook)
        jupytext.write(notebook, target, fmt="md:myst")
        return
    draft = jupytext.read(source, fmt="md:myst")
    if target.exists():
        keep_outputs(draft, notebooks.read(target))
    notebooks.write(draft, target)


def keep_outputs(notebook: NotebookNode, before: NotebookNode) -> None:
    """Gives the code cells that ``before`` has word for word what they put out there.

    jupytext's own ``--update`` hands outputs on to changed cells too, by their place.
    """
    ran = [cell for cell in before.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        same = (old for old in ran if cell.cell_type == "code" and old.source == cell.source)
        if old := next(same, None):
            ran.remove(old)
            cell.outputs, cell.execution_count = old.outputs, old.execution_count


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    convert(options.source, options.target)


if __name__ == "__main__":
    main()
