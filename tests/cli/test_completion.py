"""Completion in a shell: argcomplete itself is asked, as a shell asks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("argcomplete")

import llama_tutorial
from llama_tutorial import cli
from llama_tutorial.checkpoints import FORMATS
from llama_tutorial.config import PRESETS
from llama_tutorial.shipped import SHIPPED


@pytest.fixture
def ask(tmp_path):
    """The completions of a line that a shell shows, in a folder with one file and one folder."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "tame.txt").touch()
    (tmp_path / "here" / "runs").mkdir()

    def completions(line: str, **more: str) -> list[str]:
        out = tmp_path / "out"
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(llama_tutorial.__file__).parents[1]),
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
            "_ARGCOMPLETE_SHELL": "bash",
            "_ARGCOMPLETE_IFS": "\n",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            **more,
        }
        code = "from llama_tutorial.cli import program; raise SystemExit(program())"
        subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path / "here", check=True
        )
        return sorted(word.strip() for word in out.read_text().split("\n"))

    return completions


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("generate --mo", ["--model"]),
        ("eval", ["evaluate"]),
        ("generate --model tales-", ["tales-chat", "tales-small"]),
        ("generate --model ta", [*SHIPPED, "tame.txt"]),
        ("convert tales out --format ", FORMATS),
        ("pretrain --preset llama-2-", [name for name in PRESETS if name.startswith("llama-2-")]),
        ("pretrain --data t", ["tales", "tame.txt", "tinystories"]),
        ("evaluate t", ["tales", "tame.txt"]),
        ("finetune --targets w1 wq --targets o", ["output"]),
        ("generate --device c", ["cpu", "cuda"]),
        ("generate --seed ", []),
        ("finetune --out r", ["runs/"]),
        ("prefer --method ", ["dpo", "ppo", "rejection"]),
        ("prefer --data t", ["tales", "tame.txt"]),
        ("info stories1", [name for name in PRESETS if name.startswith("stories1")]),
    ],
)  # fmt: skip
def test_what_a_shell_shows(ask, line, expected):
    assert [word for word in ask(f"llama-tutorial {line}") if word] == sorted(expected)


def test_the_mark_stands_where_argcomplete_looks():
    assert b"PYTHON_ARGCOMPLETE_OK" in Path(cli.__file__).read_bytes()[:1024]


def test_without_argcomplete_and_without_a_shell_that_asks_nothing_is_loaded(tmp_path):
    """The command starts no slower, and works where argcomplete is not installed."""
    code = """
import sys
from llama_tutorial.cli import main
try:
    main(["--version"])
except SystemExit:
    pass
print("argcomplete" in sys.modules, "llama_tutorial.cli.completion" in sys.modules)
sys.modules["argcomplete"] = None  # importing it is an error
import os
os.environ["_ARGCOMPLETE"] = "1"
main(["info", "gpt2"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, loaded, *info = done.stdout.splitlines()
    assert version.startswith("llama-tutorial ")
    assert loaded == "False False"
    assert info[0] == "preset gpt2"
