"""Checkpoints of a hub, and one file of several, from a shell; the hub is one of our own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")
pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from fake_hub import FakeHub, running
from run_cli import run
from small_models import LLAMA, random_model

import llama_tutorial
from llama_tutorial import Tokenizer, load, load_model, save_model

SOURCE = Path(llama_tutorial.__file__).parents[1]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["the cat sat on the mat", "a dog ran to the park"] * 50, 290)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    """What two repositories hold: a folder, and a collection of files without tokenizers."""
    path = tmp_path_factory.mktemp("hub")
    model = random_model(LLAMA.replace(hidden_dim=48, vocab_size=tokenizer.vocab_size))
    save_model(model, path / "llama", "huggingface", tokenizer=tokenizer)
    (path / "files").mkdir()
    for name in ("small.bin", "large.bin"):
        save_model(model, path / "files" / name, "llama2c")
    tokenizer.save(path / "pieces.model")
    return path


@pytest.fixture
def shell(folder, tmp_path):
    """Runs a command where the hub is ours: exit code, output, errors, and what was fetched."""
    repositories = {"someone/llama": folder / "llama", "someone/files": folder / "files"}
    with running(FakeHub(repositories)) as hub:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache")}
        env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        env |= {"PYTHONPATH": str(SOURCE), "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}

        def command(*words):
            # A new process, for huggingface_hub reads its environment once.
            line = [sys.executable, "-m", "llama_tutorial", *map(str, words)]
            done = subprocess.run(
                line, capture_output=True, text=True, env=clean | env, cwd=tmp_path
            )
            return done.returncode, done.stdout, done.stderr, hub.fetched

        yield command


def test_info_of_a_repository(shell):
    code, out, err, _ = shell("info", "someone/llama")
    assert (code, err) == (0, "")
    assert out.startswith("someone/llama: Hugging Face, llama, float32\n")
    assert "  vocab_size       290\n" in out


def test_info_of_one_file_asks_for_no_tokenizer_and_fetches_no_other(shell):
    code, out, err, fetched = shell("info", "someone/files", "--filename", "small.bin")
    assert (code, err) == (0, "")
    assert out.startswith("someone/files, small.bin: llama2.c, version 0, float32\n")
    assert fetched == ["someone/files/small.bin"]


def test_info_of_several_files_asks_for_a_name(shell):
    code, out, err, fetched = shell("info", "someone/files")
    assert (code, out, fetched) == (2, "", [])
    assert "name one of them with --filename; there are" in err
    assert re.search(r"large\.bin \(\d.* [kM]B\), small\.bin \(\d.* [kM]B\)$", err.strip())


def test_info_of_no_repository(shell):
    code, out, err, _ = shell("info", "someone/nothing")
    assert (code, out) == (2, "")
    assert "someone/nothing: no such folder here, and http://127.0.0.1" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_generate_with_one_file(shell, folder, engine):
    words = ("generate", "--checkpoint", "someone/files", "--filename", "large.bin")
    more = ("--prompt", "the cat", "--max-new-tokens", 3, "--temperature", 0, "--engine", engine)
    code, out, err, fetched = shell(*words, *more, "--tokenizer", folder / "pieces.model")
    assert (code, err) == (0, "")
    assert out.startswith("the cat")
    assert fetched == ["someone/files/large.bin"]


def test_generate_needs_the_files_tokenizer(shell):
    words = ("generate", "--checkpoint", "someone/files", "--filename", "large.bin")
    code, out, err, fetched = shell(*words)
    assert (code, out, fetched) == (2, "", [])
    assert "large.bin of someone/files comes without a tokenizer" in err
    assert "--tokenizer" in err


def test_convert_one_file_of_a_repository(shell, folder, tmp_path):
    words = ("convert", "someone/files", "out", "--filename", "small.bin", "--format", "meta")
    assert shell(*words)[::2] == (0, "")
    same_weights(tmp_path / "out", folder / "files" / "small.bin")
    assert not (tmp_path / "out" / "tokenizer.model").exists()
    words = ("convert", "someone/files", "two", "--filename", "small.bin")
    assert shell(*words, "--tokenizer", folder / "pieces.model")[::2] == (0, "")
    assert load(tmp_path / "two")[1].vocab_size == 290


def same_weights(path, other):
    state, expected = load_model(path).state_dict(), load_model(other).state_dict()
    assert list(state) == list(expected)
    assert all((state[name] == tensor).all() for name, tensor in expected.items())


# A folder of several files


def test_one_file_of_a_folder(folder, tmp_path, capsys):
    code, out, err = run(capsys, "info", folder / "files", "--filename", "small.bin")
    assert (code, err) == (0, "")
    assert out.startswith(f"{folder / 'files'}, small.bin: llama2.c, version 0")
    words = ("convert", folder / "files", tmp_path / "out", "--filename", "large.bin")
    assert run(capsys, *words)[::2] == (0, "")
    same_weights(tmp_path / "out", folder / "files" / "large.bin")


@pytest.mark.parametrize("command", ["info", "convert", "generate"])
def test_a_name_that_is_not_there(folder, tmp_path, capsys, command):
    words = {
        "info": ("info", folder / "files"),
        "convert": ("convert", folder / "files", tmp_path / "out"),
        "generate": ("generate", "--checkpoint", folder / "files"),
    }[command]
    code, out, err = run(capsys, *words, "--filename", "none.bin", *_pieces(command, folder))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "none.bin: no such file" in err


@pytest.mark.parametrize("command", ["info", "convert", "generate"])
def test_a_shipped_model_is_one_file(tmp_path, capsys, command):
    words = {
        "info": ("info", "tales"),
        "convert": ("convert", "tales", tmp_path / "out"),
        "generate": ("generate", "--checkpoint", "tales"),
    }[command]
    code, out, err = run(capsys, *words, "--filename", "small.bin")
    assert (code, out) == (2, "")
    assert "--filename small.bin: 'tales' comes with the package, as one file" in err


def _pieces(command, folder):
    return () if command == "info" else ("--tokenizer", folder / "pieces.model")
