"""Runs notebooks in place, so that a second run writes the same file.

    python scripts/run_notebooks.py               every notebook of the book
    python scripts/run_notebooks.py rope gqa      these chapters

Nothing that differs from run to run is kept: no widget state, no time stamps, counted cell ids. The
environment is the one in which nbval runs the notebooks again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import notebooks
from nbclient import NotebookClient
from nbformat import NotebookNode

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def run(path: Path, timeout: int = 600) -> None:
    """Executes one notebook from top to bottom and writes it back.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed; the file stays as it was.
    """
    notebook = notebooks.read(path)
    notebooks.with_setup_cell(notebook)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    tidy(notebook)
    notebooks.write(notebook, path)


def tidy(notebook: NotebookNode) -> None:
    """Makes the outputs of a run independent of when and where it ran."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _merge_streams(cell.outputs)
            for output in cell.outputs:
                # A view that has lost its kernel shows an error where its HTML shows the figure.
                if "text/html" in output.get("data", {}):
                    output["data"].pop(WIDGET_VIEW, None)


def _merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Joins what was printed in one go: the kernel sends it in pieces, as its clock ticks."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def chosen(names: list[str]) -> list[Path]:
    """The notebooks meant by names or paths; all of them where no name is given."""
    if not names:
        return notebooks.every()
    paths = [Path(n) if n.endswith(".ipynb") else notebooks.BOOK / f"{n}.ipynb" for n in names]
    for path in paths:
        if not path.is_file():
            known = [notebook.stem for notebook in notebooks.every()]
            raise FileNotFoundError(f"no notebook {path.name!r}; there are: {known}")
    return paths


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line and runs the notebooks one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="names or paths; all when none is given")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a cell may take")
    options = parser.parse_args(arguments)
    os.environ.update(notebooks.KERNEL_ENVIRONMENT)
    for path in chosen(options.names):
        begin = time.perf_counter()
        run(path, options.timeout)
        print(f"{path.name}: {time.perf_counter() - begin:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
