"""What all tests share: the runtime shape check, and the real data where it is."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

# The notebooks' kernels and the tests run on one thread, so that numbers do not depend on it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ["LLAMA_TUTORIAL_CACHE"] = ""  # nothing is kept, and nothing of the user's is used

try:
    import beartype  # noqa: F401
    from jaxtyping import install_import_hook
except ImportError:  # GPU tests run with torch, NumPy and pytest alone
    pass
else:
    if "llama_tutorial" in sys.modules:
        raise RuntimeError("llama_tutorial was imported before its shapes could be checked")
    install_import_hook("llama_tutorial", "runtime_types.checked")


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No runtime check of types and shapes: what a caller without jaxtyping sees."""
    jaxtyping = sys.modules.get("jaxtyping")
    if jaxtyping is None:
        yield
        return
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def figure_look() -> Iterator[None]:
    """The book's look while a module's figures are drawn, and nothing left of it afterwards."""
    matplotlib = pytest.importorskip("matplotlib")
    from matplotlib import pyplot as plt

    from llama_tutorial import figures

    with matplotlib.rc_context():
        figures.use()
        yield
    plt.close("all")


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real test data; without it the test is skipped, or fails in CI."""
    folder = os.environ.get("LLAMA_TUTORIAL_ASSETS")
    if folder and Path(folder).is_dir():
        return Path(folder)
    reason = "LLAMA_TUTORIAL_ASSETS names no folder of test data"
    if os.environ.get("CI"):
        pytest.fail(reason + "; in CI these tests must run")
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    """Where several processes share the tests, they take the files in this file's order."""
    # xdist's own order has the files with the most tests first; but the ten tests that run a
    # notebook each take longer than hundreds of others, and would run last, on one process alone.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with slow tests first where processes share them; no GPU tests without a GPU."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        n_tests = Counter(item.path for item in items)
        items.sort(key=lambda item: (item.path not in slow, -n_tests[item.path]))
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
