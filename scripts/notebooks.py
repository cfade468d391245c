"""What the tools and the tests know of notebooks: their environment, set-up cell and form.

The set-up cell is one text, here; the repository's address and the release's tag in it come from
``_config.yml``, the one place where people edit them.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
RUN_EDITION = ROOT / "notebooks"  # what scripts/run_edition.py makes of the book, for running
FIRST_PAGE = "intro"

# Every run of a notebook, by the runner or by nbval, sees these: one thread, so that sums add up in
# one order; no progress bars, whose text is a clock; no network.
KERNEL_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONHASHSEED": "0",
}

# A stand-in for another machine: no vector instructions, other matrix kernels.
OTHER_MACHINE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

# Cells whose source the page does not show; Jupyter and Colab show them collapsed.
COLLAPSED_TAGS = {"remove-cell", "remove-input"}

SETUP_TAG = "remove-cell"
SETUP_CELL = """\
# @title Set-up: installs the book's package where it is missing, and chooses the device
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("llama_tutorial") is None:
    source = os.environ.get(
        "LLAMA_TUTORIAL_SOURCE",
        "llama-tutorial[torch,figures] @ git+{url}@{tag}",
    )
    pip = [sys.executable, "-m", "pip", "install", "-qq", source]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    importlib.invalidate_caches()

# On matrices as small as those of this book, more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from llama_tutorial import figures

device = "cuda" if torch.cuda.is_available() else "cpu"
if device == "cpu":
    torch.set_num_threads(1)
figures.use()"""


def repository() -> tuple[str, str]:
    """The repository's address and the tag of the release, from ``_config.yml``."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    return config["url"].rstrip("/"), config["branch"]


def published() -> str:
    """The address of the book's pages, with a slash at its end, from ``_config.yml``."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return config["html"]["baseurl"].rstrip("/") + "/"


def setup_cell() -> str:
    """The text of the first code cell of every notebook.

    It installs a release, which stays what it is, and not whatever a branch holds on that day.
    """
    url, tag = repository()
    return SETUP_CELL.replace("{url}", url).replace("{tag}", tag)


def is_setup_cell(cell: NotebookNode) -> bool:
    """Whether a cell is the set-up cell, of this or of an earlier text."""
    return cell.cell_type == "code" and bool(re.match(r"# (@title )?Set-up: ", cell.source))


def every() -> list[Path]:
    """The notebooks of the book: its first page and the chapters."""
    return sorted(BOOK.glob("*.ipynb"))


def chapters() -> list[Path]:
    """The notebooks that are chapters. The first page is none: it has no exercises."""
    return [path for path in every() if path.stem != FIRST_PAGE]


def read(path: Path) -> NotebookNode:
    """A notebook as nbformat 4."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Writes a notebook in the one form that is committed.

    The set-up cell of today, counted cell ids, collapsed where the page does not show the source,
    no metadata that depends on who ran it or where.
    """
    with_setup_cell(notebook)
    without_collapsing(notebook)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"c{number:03d}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code" and COLLAPSED_TAGS & set(cell.metadata.get("tags", [])):
            collapse(cell)
    notebook.metadata = NotebookNode(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def collapse(cell: NotebookNode) -> None:
    """Hides the source of a cell until its reader asks for it, in Jupyter and in Colab."""
    cell.metadata["cellView"] = "form"  # in Colab
    cell.metadata.setdefault("jupyter", NotebookNode())["source_hidden"] = True


def without_collapsing(notebook: NotebookNode) -> None:
    """Takes away what collapses cells in Jupyter and in Colab: it follows from the tags."""
    for cell in notebook.cells:
        cell.metadata.pop("cellView", None)
        cell.metadata.get("jupyter", {}).pop("source_hidden", None)
        if not cell.metadata.get("jupyter", True):
            del cell.metadata["jupyter"]


def with_setup_cell(notebook: NotebookNode) -> None:
    """Puts the set-up cell of today in the place of the one that is there, or first of all code."""
    places = [i for i, cell in enumerate(notebook.cells) if is_setup_cell(cell)]
    if not places:
        code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        places = [code[0] if code else len(notebook.cells)]
        notebook.cells.insert(places[0], nbformat.v4.new_code_cell())
    cell = notebook.cells[places[0]]
    cell.source = setup_cell()
    cell.metadata["tags"] = [SETUP_TAG]
