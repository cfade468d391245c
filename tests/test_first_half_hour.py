"""A new user's first half hour: README's lines, in order, in an environment of their own.

The lines are read out of README, and each must be known here with what to look at after it. The
environment is new and grows line by line, as README's table does: NumPy alone, then PyTorch, the
hub, the notebooks; what a smaller one must not need is tried before the larger is installed.
(`pip install -r requirements.txt` is where all the tests run, and the journey is in test_readme.)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = README.split("## Install")[1].split("\n## ")[0]
# The second column of the table: `command`, and what follows "then" in some rows.
ROWS = re.findall(r"^\| .+? \| (`pip .+) \|$", INSTALL, re.MULTILINE)
LINES = [re.findall(r"`([^`]+)`", row) for row in ROWS]
BLOCKS = re.findall(r"```bash\n(.*?)\n```", INSTALL, re.DOTALL)
[SNIPPET] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TIMEOUT = 900


class Shell:
    """A shell in a new environment, in a folder where the package's source does not lie."""

    def __init__(self, folder: Path) -> None:
        self.source, self.empty = folder / "source", folder / "empty"
        leave = shutil.ignore_patterns(".*", "_build", "build", "*.egg-info", "__pycache__")
        shutil.copytree(ROOT, self.source, ignore=leave)  # pip builds in it
        self.empty.mkdir()
        environment = self.source / ".venv"
        own = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST", "CI"))}
        self.env = {**own, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}

    def run(self, command: str, cwd: Path | None = None, given: str = "") -> str:
        """What a command prints; its time is printed."""
        began = time.perf_counter()
        words = ["bash", "-c", command]
        done = subprocess.run(
            words, cwd=cwd or self.empty, env=self.env, input=given, capture_output=True,
            text=True, timeout=TIMEOUT,
        )  # fmt: skip
        print(f"{time.perf_counter() - began:6.1f} s  {command.splitlines()[0]}")
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def has(self, *modules: str) -> bool:
        """Whether one of these can be imported."""
        code = f"import importlib.util as u; print(*map(u.find_spec, {modules}))"
        return "ModuleSpec" in self.run(f'python -c "{code}"')


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """The shell, after README's first line; skipped where pip finds no index of packages."""
    folder = tmp_path_factory.mktemp("first")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:none:"]
    reachable = subprocess.run(
        [*pip, "--retries", "0", "--timeout", "15", "-d", folder, "setuptools>=77"],
        capture_output=True,
        text=True,
    )
    if reachable.returncode:
        reason = f"pip reaches no index of packages: {reachable.stderr[-300:]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    shell = Shell(folder)
    make, *_ = BLOCKS
    assert make.startswith("python3 -m venv .venv")
    shell.run(make.replace("python3", f"'{sys.executable}'", 1), shell.source)
    yield shell
    subprocess.run(["rm", "-rf", folder], check=False)  # 2 GB of small files


def numpy_alone(shell: Shell) -> None:
    """README's command, and `load(..., engine="numpy")`, without anything but NumPy."""
    assert not shell.has("torch", "sentencepiece", "safetensors", "tqdm", "argcomplete")
    *_, command = BLOCKS
    assert command.endswith("--engine numpy")
    assert shell.run(f"{command} --seed 0 --max-new-tokens 20").startswith("Once upon a time")
    evaluate = "llama-tutorial evaluate story.txt --model tales-small --engine numpy"
    (shell.empty / "story.txt").write_text("Once upon a time there was a girl.\n")
    assert "perplexity" in shell.run(evaluate)
    code = SNIPPET.replace('load("tales")', 'load("tales", engine="numpy")')
    code = code.replace("import generate, load", "import load")
    code = code.replace("= generate(model, ", "= model.generate(")
    assert code.count("engine") == code.count("model.generate(") == 1
    (shell.empty / "small.py").write_text(code)
    assert shell.run("python small.py").startswith("Once upon a time, ")


def with_torch(shell: Shell) -> None:
    """README's Python as it stands, and the commands that need PyTorch."""
    (shell.empty / "readme.py").write_text(SNIPPET)
    assert shell.run("python readme.py").startswith("Once upon a time, ")
    assert shell.run("llama-tutorial chat --seed 0", given="Who was it?\n").strip()
    assert "1,312,384" in shell.run("llama-tutorial info tales")


def with_the_hub(shell: Shell) -> None:
    assert shell.has("huggingface_hub")


def with_notebooks(shell: Shell) -> None:
    """JupyterLab starts, and a notebook runs in a folder where only the notebook lies."""
    then = LINES[-2][1]
    assert then.startswith("jupyter lab notebooks/")
    assert (ROOT / then.removeprefix("jupyter lab ")).is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", shell.run("jupyter lab --version"))
    cells = [SNIPPET, "from llama_tutorial import figures\nfigures.use()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    folder = shell.empty / "notebook"
    folder.mkdir()
    nbformat.write(notebook, folder / "mine.ipynb")
    shell.run("jupyter nbconvert --to notebook --execute --inplace mine.ipynb", folder)
    [output] = nbformat.read(folder / "mine.ipynb", 4).cells[0].outputs
    assert output.text.startswith("Once upon a time, ")


def torch_for_the_cpu(shell: Shell) -> None:
    """README's line; where its index is out of reach, the same version from pip's own."""
    _, command, _ = BLOCKS
    version, index = re.fullmatch(
        r"pip install (torch==[\d.]+) (--index-url \S+)", command
    ).groups()
    import torch

    assert torch.__version__.partition("+")[0] == version.removeprefix("torch==")
    try:
        shell.run(f"pip install -q --retries 0 --timeout 15 {version} {index}")
    except AssertionError:
        shell.run(f"pip install -q torch=={torch.__version__}")


def with_tensorboard(shell: Shell) -> None:
    """A run of one step, and the file that TensorBoard opens."""
    small = "--dim 16 --layers 1 --heads 2 --kv-heads 1 --hidden-dim 24 --context 16"
    shell.run(
        f"llama-tutorial pretrain --out run --tales 40 {small} --characters --steps 1 --tensorboard"
    )
    assert "events.out.tfevents" in shell.run("ls run/tensorboard")


def with_gguf(shell: Shell) -> None:
    """A file of llama.cpp's form is written, and writes."""
    shell.run("llama-tutorial convert tales tales.gguf --format gguf --quantize q8_0")
    assert shell.run('llama-tutorial generate "Once upon a time" --model tales.gguf').strip()


def with_kernels(shell: Shell) -> None:
    """Packed weights are multiplied without a warning that they would be slow."""
    assert shell.has("numba")
    assert shell.run('llama-tutorial generate "Once upon a time" --quantize int8').strip()


AFTER = {
    "pip install .": numpy_alone,
    'pip install ".[torch]"': with_torch,
    'pip install ".[torch,hub]"': with_the_hub,
    'pip install ".[torch,fast]"': with_kernels,
    'pip install ".[torch,tensorboard]"': with_tensorboard,
    'pip install ".[torch,gguf]"': with_gguf,
    'pip install ".[notebooks]"': with_notebooks,
}


def test_readmes_lines_are_those_that_are_tried() -> None:
    commands = [line[0] for line in LINES]
    assert commands == [*AFTER, "pip install -r requirements.txt"]
    assert len(BLOCKS) == 3


@pytest.mark.slow
def test_the_first_half_hour(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print()
        for command, look in AFTER.items():
            if "torch" in command and not shell.has("torch"):
                torch_for_the_cpu(shell)
            shell.run(command.replace("pip install", "pip install -q"), shell.source)
            look(shell)
