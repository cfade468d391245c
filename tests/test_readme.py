"""What the README says is so: its commands run, and its lists are whole."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path

import pytest

from llama_tutorial.cli import finetune, main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What each command of the journey is cut down by.
SMALL = {
    "pretrain": "--steps 2 --warmup 1 --tales 60 --dim 16 --layers 1 --heads 2 --kv-heads 1",
    "generate": "--max-new-tokens 4",
    "finetune": "--dialogs 12 --batch-size 2",
    "chat": "--max-new-tokens 4",
}


def test_ci_runs_the_test_command() -> None:
    commands = re.findall(r"^pip install -r requirements\.txt && .+$", README, re.MULTILINE)
    assert len(commands) == 2
    build, test = commands
    assert "jupyter-book build . -W -n --keep-going" in build
    assert "pytest" in test
    workflow = (ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8")
    assert build in workflow
    assert test in workflow


def test_the_python_runs(capsys) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Once upon a time, ")


def test_the_chapters_are_those_that_there_are() -> None:
    states = dict(re.findall(r"^\| `(\w+)` \|.*\| (\w+) \|$", README, re.MULTILINE))
    done = {path.stem for path in (ROOT / "book").glob("*.ipynb")} - {"intro"}
    assert {name for name, state in states.items() if state == "done"} == done


def test_the_journey_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Each command begins with what the ones before it wrote."""
    for needed in ("sentencepiece", "safetensors"):
        pytest.importorskip(needed)
    journey = README.split("## The whole journey")[1].split("\n## ")[0]
    commands = re.findall(r"^llama-tutorial (.+?)(?: {2,}#.*)?$", journey, re.MULTILINE)
    assert [command.split()[0] for command in commands] == list(SMALL)
    monkeypatch.setattr(finetune, "VALIDATION_DIALOGS", 4)
    monkeypatch.setattr(sys, "stdin", io.StringIO("Who was it?\n"))
    monkeypatch.chdir(tmp_path)
    for command in commands:
        small = SMALL[command.split()[0]].split()
        assert main([*shlex.split(command), *small]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.endswith("\n")
