"""A notebook of the run edition alone in an empty folder, without the package: as Colab opens it.

The environment has the libraries, as Colab has, but not the package: its set-up cell must fetch
that, here from this source tree instead of from the repository's address.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("nbclient")

import nbformat
import notebooks
import run_notebooks
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python with this environment's libraries, but without the package."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False)
    paths = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", vars=paths))
    # A path file adds the libraries; the path files among these, such as the one of our own
    # package installed in place, are not read again.
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Path(sysconfig.get_path("scripts", vars=paths)) / "python"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The source tree, copied, because building a wheel writes into it."""
    built = ("_build", "build", "*.egg-info", "__pycache__")
    leave = shutil.ignore_patterns(".*", *built, "book", "notebooks")
    return shutil.copytree(notebooks.ROOT, tmp_path / "source", ignore=leave)


def _open(notebook: nbformat.NotebookNode, python: Path, source: str, folder: Path) -> None:
    """Runs a notebook in its own folder by that Python, without an index of packages."""
    folder.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LLAMA_TUTORIAL_SOURCE": source,
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as the negation of its name
        "JUPYTER_PATH": str(folder),
        **notebooks.KERNEL_ENVIRONMENT,
    }
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.create_kernel_manager()
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    client.km.kernel_spec.argv = command
    client.execute(env=environment)


def _printed(cells: list[nbformat.NotebookNode]) -> list[tuple]:
    """What the cells printed and displayed, by type and as plain text."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [
        (output.output_type, output.get("text"), output.get("data", {}).get("text/plain"))
        for output in outputs
    ]


def test_environment_lacks_the_package(python: Path) -> None:
    code = (
        "import torch, ipykernel; import importlib.util as u; print(u.find_spec('llama_tutorial'))"
    )
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [python, "-c", code], env=environment, cwd=python.parent, capture_output=True, text=True
    )
    assert done.stdout == "None\n", done.stderr


def test_a_bad_source_raises_what_pip_says(python: Path, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(notebooks.setup_cell())])
    with pytest.raises(CellExecutionError, match=r"(?s)RuntimeError.*nowhere' does not exist"):
        _open(notebook, python, str(tmp_path / "nowhere"), tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["intro", "rope"])
def test_a_notebook_runs_alone(name: str, python: Path, source: Path, tmp_path: Path) -> None:
    alone = notebooks.read(notebooks.RUN_EDITION / f"{name}.ipynb")
    _open(alone, python, f"{source}[torch,figures]", tmp_path / "alone")
    run_notebooks.tidy(alone)
    # Without the solutions, all else comes out as the book's own run has it.
    ours = {cell.id for cell in alone.cells}
    book = notebooks.read(notebooks.BOOK / f"{name}.ipynb").cells
    assert _printed(alone.cells) == _printed([cell for cell in book if cell.id in ours])
    installed = list(python.parent.parent.rglob("site-packages/llama_tutorial/__init__.py"))
    assert len(installed) == 1
    assert sys.prefix != str(python.parent.parent)
