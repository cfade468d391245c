"""What the tests of every command that trains ask of it: to go on where it was killed, and to reach
the same with two processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch

from llama_tutorial import load_model
from llama_tutorial.cli import main

ROOT = Path(__file__).resolve().parents[1]


class Killed(BaseException):
    """What ends a run in its middle; nothing catches it."""


def words(arguments: Sequence[object]) -> list[str]:
    """Options that are written as one text, or several, as separate words."""
    return [word for argument in arguments for word in str(argument).split()]


def metrics(out: Path) -> list[dict]:
    """What a run has noted of each step."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def check_resume(
    tmp_path: Path, module: ModuleType, command: str, *options: object, evaluations: int = 2
) -> Path:
    """A run that is killed goes on to the metrics and the weights of one that was not, bit by bit.

    Args:
        tmp_path: An empty folder.
        module: The command's, whose ``samples`` speaks at each evaluation.
        command: Its name.
        options: All but ``--out``.
        evaluations: At which of them the run is killed.

    Returns:
        The folder of the run that was killed.
    """
    whole, again = tmp_path / "whole", tmp_path / "again"
    assert main([command, *words(("--out", whole, *options))]) == 0
    calls = []

    def die(step, *_args, **_kwargs):
        calls.append(step)
        if len(calls) == evaluations:
            raise Killed

    resumed = [command, *words(("--out", again, *options))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "samples", die)
        with pytest.raises(Killed):
            main(resumed)
    assert not (again / "model").exists()
    assert any(again.rglob("step-*"))  # a round of several has its own folder
    assert main(resumed) == 0
    lines = [
        [{name: line[name] for name in line.keys() - {"tokens_per_s"}} for line in metrics(out)]
        for out in (whole, again)
    ]
    assert lines[0] == lines[1]
    weights = [load_model(out / "model").state_dict() for out in (whole, again)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    return again


def check_two_processes(
    tmp_path: Path, command: str, *options: object, steps: int = 1, apart: Sequence[str] = ()
) -> None:
    """Two processes have the metrics and the weights of one.

    Args:
        tmp_path: An empty folder.
        command: The command's name.
        options: All but ``--out``.
        steps: The run has more of them than this.
        apart: Metrics that may differ.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([command, *words(("--out", one, *options))]) == 0
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*start, "-m", "llama_tutorial", command, *words(("--out", two, *options))],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("finished") == 1
    assert len(metrics(one)) == len(metrics(two)) > steps
    for line, other in zip(metrics(one), metrics(two), strict=True):
        assert line.keys() == other.keys()
        for name in line.keys() - {"tokens_per_s", *apart}:
            assert line[name] == pytest.approx(other[name], abs=1e-4), name
    weights = [load_model(out / "model").state_dict() for out in (one, two)]
    for name, weight in weights[0].items():
        assert torch.allclose(weight, weights[1][name], atol=1e-4), name
