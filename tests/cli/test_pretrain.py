"""``llama-tutorial pretrain``: from a text to a model that can be loaded and used."""

from __future__ import annotations

import json
import os
import threading

import pytest

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from llama_tutorial import load_model, load_tokenizer
from llama_tutorial.cli import main
from llama_tutorial.training.run_lock import run_lock

SMALL = "--dim 16 --layers 1 --heads 2 --kv-heads 1 --hidden-dim 24 --context 32 --batch-size 4"
TEXT = "To be, or not to be: that is the question.\n" * 60
QUICK = "--steps 6 --warmup 2 --evaluate-every 3 --checkpoint-every 2"


def run(*arguments) -> int:
    return main(["pretrain", *(word for a in arguments for word in str(a).split())])


def test_tales_become_a_model(tmp_path, capsys):
    options = ("--out", tmp_path, "--tales", 40, "--vocab-size", 400, SMALL, QUICK)
    assert run(*options) == 0
    out = capsys.readouterr().out
    model, tokenizer = load_model(tmp_path / "model"), load_tokenizer(tmp_path / "tokenizer.model")
    assert f"{model.config.n_params:,} parameters" in out
    assert "step 3: " in out
    assert "step 6: " in out
    assert (model.config.n_kv_heads, model.config.tie_embeddings) == (1, True)
    assert model.config.vocab_size == tokenizer.vocab_size == 400
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert main(["generate", "--checkpoint", str(tmp_path / "model")]) == 0
    # The same command again finds everything done.
    assert run(*options) == 0
    assert "finished" in capsys.readouterr().out


def test_a_run_goes_on_with_its_own_data_only(tmp_path, capsys):
    options = ("--out", tmp_path, "--tales", 40, "--vocab-size", 400, SMALL, QUICK)
    assert run(*options) == 0
    for other, message in [("--seed 1", "data setting"), ("--batch-size 2", "batch_size=4, not 2")]:
        assert run(*options, other) == 2
        assert message in capsys.readouterr().err
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 6


def test_a_text_file_in_characters(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    assert run("--out", tmp_path / "run", "--data", text, "--characters", SMALL, QUICK) == 0
    tokenizer = load_tokenizer(tmp_path / "run" / "tokenizer.model")
    assert tokenizer.vocab_size == 3 + len(set(text.read_text()))
    assert "finished" in capsys.readouterr().out


def test_a_run_goes_on_with_the_same_text_wherever_it_lies(tmp_path, capsys, monkeypatch):
    text, out = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT)
    options = ("--out", out, "--characters", SMALL, QUICK)
    assert run(*options, "--data", text) == 0
    os.utime(text, (1, 1))
    assert run(*options, "--data", text) == 0
    monkeypatch.chdir(tmp_path)
    assert run(*options, "--data ./text.txt") == 0
    tokens = (out / "training.tokens").read_bytes()
    text.write_text(TEXT.replace("not", "now"))
    assert run(*options, "--data", text) == 2
    assert "holds a run with data setting source='sha256" in capsys.readouterr().err
    assert (out / "training.tokens").read_bytes() == tokens  # refused before they are made anew


def test_a_run_of_version_0_2_goes_on(tmp_path, capsys):
    text, out = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT)
    options = ("--out", out, "--characters", SMALL, QUICK, "--data", text)
    assert run(*options) == 0
    status = text.stat()
    for file, part in [("settings.json", "data"), ("training.tokens.json", None)]:
        contents = json.loads((out / file).read_text())
        named = contents[part] if part else contents
        pieces = named["source"].split()[-1]
        named["source"] = f"{text} {status.st_size} {status.st_mtime_ns} {pieces}"
        named.pop("sha256", None)
        (out / file).write_text(json.dumps(contents))
    assert run(*options) == 0
    os.utime(text, (1, 1))
    assert run(*options) == 2
    assert f"holds a run with data setting source='{text} " in capsys.readouterr().err


def test_a_second_process_is_refused_at_once(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    errors = []

    def train():
        errors.append(run("--out", tmp_path / "run", "--characters", SMALL, QUICK, "--data", text))

    with run_lock(tmp_path / "run"):
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
    assert errors == [2]
    err = capsys.readouterr().err
    assert f"run: another process (pid {os.getpid()} on " in err
    assert err.count("\n") == 1
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_batch_has_a_row_for_every_process(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("llama_tutorial.cli.training.world_size", lambda: 5)
    assert run("--out", tmp_path, "--tales", 40, SMALL, QUICK) == 2
    assert "--batch-size 4: 5 processes divide the rows of a batch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--data missing.txt", "missing.txt: no such file, and none of the names tales, tinysto"),
        ("--preset llama-3", "--preset llama-3: must be one of gpt2"),
        ("--steps 0", "total_steps=0: must be at least 1"),
        ("--heads 3 --tales 20", "n_heads=3 does not divide dim=16"),
        ("--tokenizer missing.model", "missing.model"),
        ("--steps 3 --warmup 9", "warmup_steps=9: must be between 0 and total_steps=3"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, capsys, options, message):
    assert run("--out", tmp_path, "--tales", 40, "--vocab-size", 400, SMALL, QUICK, options) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
