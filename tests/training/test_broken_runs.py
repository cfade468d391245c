"""A little of what broken_runs.py does: killed, disk full, power cut; the same command goes on."""

from __future__ import annotations

import os
from functools import partial

import pytest

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")
if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)

import broken_runs


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    return broken_runs.Commands(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="module")
def whole(commands, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    runs = {}
    for name in ("pretrain", "finetune --lora"):
        folder = out / name.replace(" ", "")
        assert broken_runs.in_child(partial(commands.run, name, folder)) == (0, "")
        runs[name] = broken_runs.results(folder)
        assert len(runs[name][0]) >= 12
    return runs


def test_killed_runs_go_on(commands, whole, tmp_path):
    for name, n in [("pretrain", 2), ("finetune --lora", 1)]:
        (folder := tmp_path / name).mkdir()
        tried = list(broken_runs.kill(commands, name, folder, whole[name], n, seed=3))
        assert len(tried) == n
        assert [(where, wrong) for where, wrong in tried if wrong] == []


def test_runs_whose_disk_was_full_go_on(commands, whole, tmp_path):
    tried = list(broken_runs.fill(commands, "pretrain", tmp_path, whole["pretrain"], [1, 90]))
    assert [(where, wrong) for where, wrong in tried if wrong] == []
    assert not [where for where, _ in tried if where.endswith("enough")]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_runs_go_on_after_a_power_cut(commands, whole, tmp_path):
    name = "finetune --lora"
    tried = list(broken_runs.cut(commands, name, tmp_path, whole[name], 4))
    assert [(where, wrong) for where, wrong in tried if wrong] == []
    assert len([where for where, _ in tried if "(step 0)" not in where]) > 1
