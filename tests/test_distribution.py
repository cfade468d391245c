"""What is built from the repository: a source distribution whose tests run."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

setuptools = pytest.importorskip("setuptools")

ROOT = Path(__file__).resolve().parent.parent
NOT_DISTRIBUTED = {".gitignore", ".ci/run"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built and unpacked."""
    if not (ROOT / ".git").exists():
        pytest.skip("built from a clone")
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, folder / "clone"], check=True)
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    command = [sys.executable, "-c", code, str(folder)]
    subprocess.run(command, cwd=folder / "clone", check=True, capture_output=True)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def test_holds_what_is_committed(unpacked: Path) -> None:
    clone = unpacked.parent / "clone"
    git = subprocess.run(["git", "ls-files"], cwd=clone, capture_output=True, text=True, check=True)
    missing = {name for name in git.stdout.splitlines() if not (unpacked / name).is_file()}
    assert missing == NOT_DISTRIBUTED


def test_its_tests_run(unpacked: Path) -> None:
    chosen = ["tests/test_rmsnorm.py", "tests/test_house.py", "-k", "not mypy and not ruff"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "CI": ""}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout
