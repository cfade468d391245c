"""The notebooks once more, as on a machine with another processor: the outputs must be the same.

PyTorch then uses no vector instructions and MKL its portable kernels, which sum in another order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbval")
pytest.importorskip("nbformat")

import nbformat
import notebooks

# Their losses are compared once; training them twice would take longer than all the rest.
TRAINED_ONCE = {"pretraining", "finetuning", "preferences"}


def _validate(path: Path) -> subprocess.CompletedProcess:
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment = own | notebooks.KERNEL_ENVIRONMENT | notebooks.OTHER_MACHINE
    options = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    command = [sys.executable, "-m", "pytest", *options, "--nbval-cell-timeout=300", str(path)]
    return subprocess.run(
        command, cwd=notebooks.ROOT, env=environment, capture_output=True, text=True, check=False
    )


def _one_cell(path: Path, source: str, printed: str) -> Path:
    cell = nbformat.v4.new_code_cell(source, execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed)]
    path.write_text(json.dumps(nbformat.v4.new_notebook(cells=[cell])), encoding="utf-8")
    return path


def test_kernels_see_the_other_machine(tmp_path: Path) -> None:
    names = [*notebooks.KERNEL_ENVIRONMENT, *notebooks.OTHER_MACHINE]
    source = f"import os\nprint([os.environ.get(n) for n in {names}])"
    values = [*notebooks.KERNEL_ENVIRONMENT.values(), *notebooks.OTHER_MACHINE.values()]
    done = _validate(_one_cell(tmp_path / "seen.ipynb", source, f"{values}\n"))
    assert done.returncode == 0, done.stdout


def test_one_changed_digit_is_found(tmp_path: Path) -> None:
    done = _validate(_one_cell(tmp_path / "digit.ipynb", "print(0.12345)", "0.12346\n"))
    assert done.returncode == 1
    assert "0.12346" in done.stdout


@pytest.mark.slow
@pytest.mark.elsewhere
@pytest.mark.parametrize(
    "path",
    [path for path in notebooks.every() if path.stem not in TRAINED_ONCE],
    ids=lambda path: path.stem,
)
def test_notebook_computes_the_same_elsewhere(path: Path) -> None:
    done = _validate(path)
    assert done.returncode == 0, done.stdout[-6000:]
