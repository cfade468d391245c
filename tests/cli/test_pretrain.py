"""``llama-tutorial pretrain``: from a text to a model that can be loaded and used."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading

import pytest
from cli_options import OUT_OF_RANGE

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from llama_tutorial import load, load_model, load_tokenizer, save_model
from llama_tutorial._util.cache import cache_folder
from llama_tutorial.cli import main, pretrain, training
from llama_tutorial.pretraining import TokenStream
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.training import loop
from llama_tutorial.training.loop import evaluate
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
    said = [
        "training a tokenizer of 400 pieces",
        "telling and tokenizing 40 documents for training",
        "telling and tokenizing 500 documents for validation",
        f"building a model of {model.config.n_params:,} parameters",
        "training: 6 steps of 4 rows of 32 tokens; ",
        "step 0/6: validation loss ",
        "step 1/6: training loss ",
        "step 3/6: training loss ",
        "step 3: ",
        "step 6/6: training loss ",
        "step 6: ",
        f"writing the model to {tmp_path / 'model'}",
        "finished: ",
    ]
    lines = [line for line in out.splitlines() if line.startswith(tuple(said))]
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))
    assert (model.config.n_kv_heads, model.config.tie_embeddings) == (1, True)
    assert model.config.vocab_size == tokenizer.vocab_size == 400
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert main(["generate", "--checkpoint", str(tmp_path / "model")]) == 0
    # The same command again finds everything done.
    assert run(*options) == 0
    assert "finished" in capsys.readouterr().out


def test_a_run_goes_on_with_its_own_data_only(tmp_path, capsys, monkeypatch):
    options = ("--out", tmp_path, "--tales", 40, "--vocab-size", 400, SMALL, QUICK)
    assert run(*options) == 0
    monkeypatch.setattr(pretrain, "load_corpus", lambda *_: pytest.fail("that is work"))
    for other, message in [
        ("--seed 1", "data setting --seed 0, not 1"),
        ("--batch-size 2", "data setting --batch-size 4, not 2"),
        ("--lr 0.1", "training setting --lr 0.003, not 0.1"),
        ("--steps 5", "holds a run of 6 steps, and none gets shorter (--steps 5): go on with"),
    ]:
        assert run(*options, other) == 2
        assert message in capsys.readouterr().err
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 6


def test_a_finished_run_gets_more_steps(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    options = ("--out", tmp_path / "run", "--data", text, "--characters", SMALL)
    assert run(*options, "--steps 20") == 0
    capsys.readouterr()
    assert run(*options, "--steps 40") == 0  # with the warm-up that it has had: 2 steps, not 4
    out = capsys.readouterr().out
    assert "the run was finished at step 20, and goes on to step 40: from here the learning" in out
    assert "step 40/40: training loss " in out
    assert "step 0/" not in out
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["training"]["warmup_steps"] == 2
    assert run(*options, "--steps 60 --warmup 6") == 2
    assert "training setting --warmup 2, not 6" in capsys.readouterr().err


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
    assert "holds a run on another text or tokenizer: go on" in capsys.readouterr().err
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
    assert "holds a run on another text or tokenizer: go on" in capsys.readouterr().err


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
        ("--tokenizer missing.model", "missing.model"),
        ("--micro-batches 5", "--micro-batches 5: a batch has 4 rows, so it must be at most 4"),
        ("--device cuda:99", "--device cuda:99: cannot be used here"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, capsys, options, message):
    assert run("--out", tmp_path, "--tales", 40, "--vocab-size", 400, SMALL, QUICK, options) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_the_warm_up_follows_the_steps(tmp_path, monkeypatch):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    begun = []

    def begin(_model, _batch_at, config, *_, **__) -> bool:
        begun.append(config)
        return True

    monkeypatch.setattr(pretrain, "train", begin)
    for options in ("--steps 60", "--steps 9", "--steps 3000", "--steps 60 --warmup 7"):
        assert run("--out", tmp_path / "run", "--characters", SMALL, "--data", text, options) == 0
    assert [config.warmup_steps for config in begun] == [6, 0, 100, 7]


def test_the_number_of_tales_follows_the_steps(tmp_path, monkeypatch):
    """Up to that of the run whose model is shipped; and a run keeps what it began with."""
    asked = []

    def load_corpus(_data, n, *_) -> None:
        asked.append(n)
        raise ValueError("enough")

    monkeypatch.setattr(pretrain, "load_corpus", load_corpus)
    options = ("--out", tmp_path / "run")
    for more in ("--steps 60", "--steps 2000", "", "--steps 60 --tales 77"):
        assert run(*options, more) == 2
    assert asked == [5000, 40_960, 200_000, 77]
    (tmp_path / "run").mkdir()
    settings = {"data": {"source": "tales 123 0 abc"}, "training": {"total_steps": 60}}
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings))
    assert run(*options, "--steps 60") == 2
    assert asked[-1] == 123


@pytest.mark.parametrize("data", ["missing.txt", "empty.txt", "binary.txt", "short.txt"])
@pytest.mark.parametrize("out", ["run", "runs/deep/run"])
def test_a_start_that_fails_leaves_no_folder(tmp_path, capsys, monkeypatch, data, out):
    monkeypatch.chdir(tmp_path)
    for name, contents in [("empty", b""), ("binary", b"\xff\x00"), ("short", b"ab")]:
        (tmp_path / f"{name}.txt").write_bytes(contents)
    assert run("--out", out, "--data", data, "--characters", SMALL, QUICK) == 2
    assert data in capsys.readouterr().err or data == "short.txt"
    assert not (tmp_path / out.split("/")[0]).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *OUT_OF_RANGE,
        ("--tales -5", "--tales -5: must be at least 1"),
        ("--tales 0", "--tales 0: must be at least 1"),
        ("--vocab-size 259", "--vocab-size 259: must be at least 260"),
        ("--vocab-size -1", "--vocab-size -1: must be at least 260"),
        ("--context 0", "--context 0: must be a whole number of at least 1"),
        ("--context -8", "--context -8: must be a whole number of at least 1"),
        ("--dim 33", "--heads 2 does not divide --dim 33"),
        ("--dim 0", "--dim 0: must be a whole number of at least 1"),
        ("--layers 0", "--layers 0: must be a whole number of at least 1"),
        ("--heads 3", "--heads 3 does not divide --dim 16"),
        ("--kv-heads 3", "--kv-heads 3 does not divide --heads 2"),
        ("--hidden-dim -1", "--hidden-dim -1: must be a whole number of at least 1"),
        ("--preset gpt2", "--dim 16: --preset gpt2 has its own; leave it out"),
        ("--characters", "--vocab-size 400: --characters takes as many as there are; leave it"),
        (f"--data {__file__}", "--tales 40: --data "),
    ],
)
def test_settings_are_checked_before_any_work(tmp_path, capsys, monkeypatch, options, message):
    for work in ("process_group", "load_corpus", "tokenize", "Transformer"):
        monkeypatch.setattr(pretrain, work, lambda *_args, **_rest: pytest.fail("that is work"))
    out = tmp_path / "run"
    assert run("--out", out, "--tales", 40, "--vocab-size", 400, SMALL, QUICK, options) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_a_tokenizer_that_is_given_is_taken_as_it_is(tmp_path, capsys):
    options = ("--out", tmp_path / "run", "--tokenizer", SHIPPED["tales"].tokenizer)
    assert run(*options, "--characters") == 2
    assert "--characters: --tokenizer " in capsys.readouterr().err
    assert run(*options, "--vocab-size 400") == 2
    assert " is taken as it is; leave it out" in capsys.readouterr().err


def test_a_run_goes_on_with_its_own_tokenizer_only(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text(TEXT * 5)
    trained, letters = tmp_path / "trained", tmp_path / "letters"
    options = ("--data", text, SMALL, QUICK, "--out")
    assert run(*options, trained, "--vocab-size 300") == 0
    assert run(*options, letters, "--characters") == 0
    capsys.readouterr()
    for out, asked, was in [
        (trained, "--vocab-size 290", "--vocab-size 300"),
        (trained, "", "--vocab-size 300"),  # the default is 1024
        (trained, "--characters", "--vocab-size 300"),
        (letters, "", "--characters"),
        (letters, "--vocab-size 300", "--characters"),
    ]:
        assert run(*options, out, asked) == 2
        err = capsys.readouterr().err
        assert f"tokenizer.model was made with {was}: go on with that, or choose another" in err
        assert (asked or "--vocab-size 1024") in err
    assert run(*options, trained, "--vocab-size 300") == 0
    assert run(*options, letters, "--characters") == 0


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("model/notes.txt", "model is there already and no checkpoint of this package"),
        ("model", "model is a file: give the name of a folder"),
    ],
)
def test_a_model_that_cannot_be_replaced_is_seen_before_any_work(
    tmp_path, capsys, monkeypatch, place, message
):
    monkeypatch.setattr(pretrain, "load_corpus", lambda *_: pytest.fail("that is work"))
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("important")
    assert run("--out", tmp_path, "--tales", 40, "--vocab-size", 400, SMALL, QUICK) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / place).read_text() == "important"


def test_a_model_that_no_run_has_made_is_not_replaced(tmp_path, capsys):
    assert main(["convert", "tales-small", str(tmp_path / "model")]) == 0
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    capsys.readouterr()
    assert run("--out", tmp_path, "--tales", 40, "--vocab-size", 400, SMALL, QUICK) == 2
    assert "holds no run that has made it: it would be replaced" in capsys.readouterr().err
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before


def test_a_start_without_a_step_leaves_no_tokenizer_to_others(tmp_path, capsys):
    short, long = tmp_path / "short.txt", tmp_path / "long.txt"
    short.write_text("zzz yyy xxx www")
    long.write_text(TEXT)
    options = ("--characters", SMALL, QUICK)
    assert run("--out", tmp_path / "run", "--data", short, *options) == 2
    assert run("--out", tmp_path / "run", "--data", long, *options) == 0
    assert run("--out", tmp_path / "fresh", "--data", long, *options) == 0
    tokenizers = [(tmp_path / name / "tokenizer.model").read_bytes() for name in ("run", "fresh")]
    assert tokenizers[0] == tokenizers[1]


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_killed_start_has_left_is_removed(tmp_path, whole):
    text, out = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT)
    options = ("--out", out, "--data", text, "--characters", SMALL, QUICK)
    if whole:  # the tokens were there already
        assert run(*options) == 0
    out.mkdir(exist_ok=True)
    for name in (".training.tokens.bb0647d2.tmp", ".tokenizer.model.0a1b2c3d.tmp"):
        (out / name).write_bytes(b"half")
    assert run(*options) == 0
    assert not list(out.glob(".*.tmp"))


def test_an_empty_name_for_the_folder(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", "--out", ""]) == 2
    assert "--out is empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_run_that_diverges_says_so(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("To be, or not to be: that is the question.\n" * 60)
    out = tmp_path / "run"
    options = ("--out", out, "--data", text, "--characters", SMALL, QUICK, "--lr 1e36")
    assert run(*options) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "llama-tutorial: the training has diverged at step " in err
    assert "nothing of this step was written, and " in err
    assert not (out / "model").exists()
    metrics = out / "metrics.jsonl"
    assert not metrics.exists() or "NaN" not in metrics.read_text()


# Going on from a model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small model that has learned to write one text."""
    folder = tmp_path_factory.mktemp("base")
    text = folder / "text.txt"
    text.write_text(TEXT)
    options = ("--vocab-size 280", SMALL, "--steps 40", "--lr 1e-2")
    assert run("--out", folder / "run", "--data", text, *options) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def other_text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("Whether 'tis nobler in the mind to suffer the slings and arrows.\n" * 60)
    return path


def validation_losses(out: str) -> dict[int, float]:
    found = re.findall(r"^step (\d+)/\d+: .*validation loss ([\d.]+)", out, re.MULTILINE)
    return {int(step): float(loss) for step, loss in found}


@pytest.mark.parametrize("where", ["run", "model"])
def test_a_model_learns_another_text(base, other_text, tmp_path, capsys, where):
    """Before the first step it is the model that was given; then its loss falls."""
    model, tokenizer = load(base if where == "run" else base / "model")
    path = base if where == "run" else base / "model"
    out = tmp_path / "run"
    options = ("--out", out, "--model", path, "--data", other_text, "--batch-size 4 --steps 30")
    assert run(*options, "--evaluate-every 10") == 0
    losses = validation_losses(capsys.readouterr().out)
    stream = TokenStream(out / "validation.tokens", 4, 32)
    assert losses[0] == pytest.approx(evaluate(model, stream.every_window()), abs=6e-4)
    assert losses[0] > losses[10] > losses[30]
    further, its = load(out)
    assert further.config == model.config
    assert its.vocabulary.pieces == tokenizer.vocabulary.pieces
    settings = json.loads((out / "settings.json").read_text())
    assert settings["data"]["base"] == training.weights_name(model)
    assert settings["training"]["warmup_steps"] == 3
    assert not (out / "tokenizer.model").exists()
    assert run(*options, "--evaluate-every 10") == 0  # finished, and found so
    assert "step 0/" not in capsys.readouterr().out


def test_a_run_from_a_model_that_was_stopped_goes_on(base, other_text, tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ("--model", base, "--data", other_text, "--batch-size 4 --steps 6", "--context 16")
    options += ("--checkpoint-every 2 --evaluate-every 3 --warmup 2", "--out")
    assert run(*options, whole) == 0
    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "_sample", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            run(*options, killed)
    assert (killed / "checkpoints" / "latest").read_text() == "step-00000002"
    assert run(*options, killed) == 0
    lines = [
        [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        for out in (whole, killed)
    ]
    losses = [[(line["loss"], line.get("validation_loss")) for line in run] for run in lines]
    assert losses[0] == losses[1]
    assert load(killed)[0].config.max_seq_len == 16


def test_a_run_goes_on_from_its_own_model_only(base, other_text, tmp_path, capsys):
    options = ("--data", other_text, "--batch-size 4 --steps 2 --out", tmp_path / "run")
    assert run(*options, "--model", base) == 0
    model, tokenizer = load(base)
    model.layers[0].attention.wq.weight.data[0, 0] += 1
    save_model(model, tmp_path / "other", tokenizer=tokenizer)
    capsys.readouterr()
    assert run(*options, "--model", tmp_path / "other") == 2
    assert "data setting base='sha256" in capsys.readouterr().err
    assert run(*options, SMALL) == 2
    assert "holds a run that began from a model: give it again with --" in capsys.readouterr().err
    assert run("--data", other_text, "--out", base, "--model tales-small --batch-size 4") == 2
    assert "holds a run that began from nothing: leave it out, or" in capsys.readouterr().err
    dialogs = tmp_path / "dialogs.jsonl"
    dialogs.write_text('{"instruction": "Hi", "output": "Ho"}\n' * 20)
    tuned = ("--model", str(base), "--data", str(dialogs), "--out")
    assert main(["finetune", *tuned, str(tmp_path / "run")]) == 2
    assert "holds a run of pretrain, and finetune cannot go on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--preset gpt2", "--preset gpt2: --model tales-small has its own; leave it out"),
        ("--dim 16", "--dim 16: --model tales-small has its own; leave it out"),
        ("--layers 1", "--layers 1: --model tales-small has its own; leave it out"),
        ("--hidden-dim 24", "--hidden-dim 24: --model tales-small has its own; leave it out"),
        ("--untied", "--untied: --model tales-small has its own; leave it out"),
        ("--vocab-size 300", "--vocab-size 300: --model tales-small has its own; leave it out"),
        ("--characters", "--characters: --model tales-small has its own; leave it out"),
        ("--context 0", "--context 0: must be at least 1"),
        ("--lr 0", "--lr 0.0: must be above 0 and finite"),
    ],
)
def test_what_a_model_has_cannot_be_chosen(tmp_path, capsys, options, message):
    assert run("--out", tmp_path / "run", "--model tales-small", options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_model_keeps_its_tokenizer(base, other_text, tmp_path, capsys):
    options = ("--data", other_text, "--batch-size 4 --steps 2 --out", tmp_path / "run")
    assert run(*options, "--model", base, "--tokenizer", SHIPPED["tales"].tokenizer) == 2
    err = capsys.readouterr().err
    assert "was trained with the pieces of " in err
    assert "knows no others; leave it out" in err
    assert not (tmp_path / "run").exists()
    same = base / "model" / "tokenizer.model"
    assert run(*options, "--model", base, "--tokenizer", same) == 0


def test_mistakes_about_the_model_leave_no_folder(base, other_text, tmp_path, capsys):
    options = ("--data", other_text, "--batch-size 4 --steps 2 --out")
    assert run(*options, tmp_path / "run", "--model none") == 2
    assert "none: no such file or folder" in capsys.readouterr().err
    assert run(*options, tmp_path / "run", "--filename x.bin") == 2
    assert "--filename x.bin: only with --model; leave it out" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert run(*options, base / "model" / "run", "--model", base / "model") == 2
    assert "the model that is read, " in capsys.readouterr().err


def test_a_run_that_is_stopped_ends_as_other_commands_do(tmp_path, capsys, monkeypatch):
    """So `pretrain && finetune` does not go on with a model that is not there."""
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    options = ("--out", tmp_path / "run", "--characters", SMALL, QUICK, "--data", text)
    step = loop.train_step

    def stops(*arguments, **settings):
        monkeypatch.setattr(loop, "train_step", step)  # a second signal would end it at once
        os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments, **settings)

    monkeypatch.setattr(loop, "train_step", stops)
    assert run(*options) == 130
    assert "stopped; the same command goes on from here" in capsys.readouterr().out
    assert run(*options) == 0
    assert "finished: the model is" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "message"),
    [(1000, "--vocab-size 1000: this text gives at most "), (261, "alone take 27")],
)
def test_a_text_that_does_not_give_so_many_pieces(tmp_path, capsys, size, message):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    options = ("--out", tmp_path / "run", SMALL, QUICK, "--data", text, "--vocab-size", size)
    assert run(*options) == 2
    assert message in capsys.readouterr().err


# The user's cache


def test_tokens_of_many_tales_are_made_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pretrain, "MANY_TALES", 30)
    monkeypatch.setenv("LLAMA_TUTORIAL_CACHE", str(tmp_path / "cache"))
    options = ("--tales", 40, "--tokenizer", SHIPPED["tales"].tokenizer, SMALL, QUICK, "--out")
    assert run(*options, tmp_path / "one") == 0
    assert "telling and tokenizing 40 documents for training" in capsys.readouterr().out
    [kept] = (tmp_path / "cache").iterdir()
    tokens = (kept / "training.tokens").read_bytes()
    assert tokens == (tmp_path / "one" / "training.tokens").read_bytes()

    monkeypatch.setattr("llama_tutorial.pretraining.texts", lambda *_: pytest.fail("told again"))
    assert run(*options, tmp_path / "two") == 0
    assert "for training" not in capsys.readouterr().out
    assert (tmp_path / "two" / "training.tokens").read_bytes() == tokens
    metrics = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("one", "two")]
    losses = [[json.loads(line)["loss"] for line in text.splitlines()] for text in metrics]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("damage", ["cut", "changed", "description", "other source"])
def test_a_damaged_cache_is_none(tmp_path, capsys, monkeypatch, damage):
    monkeypatch.setattr(pretrain, "MANY_TALES", 30)
    monkeypatch.setenv("LLAMA_TUTORIAL_CACHE", str(tmp_path / "cache"))
    options = ("--tales", 40, "--tokenizer", SHIPPED["tales"].tokenizer, SMALL, QUICK, "--out")
    assert run(*options, tmp_path / "one") == 0
    [kept] = (tmp_path / "cache").iterdir()
    path, info = kept / "training.tokens", kept / "training.tokens.json"
    tokens = path.read_bytes()
    if damage == "cut":
        path.write_bytes(tokens[:-20])
    elif damage == "changed":
        path.write_bytes(bytes([tokens[0] ^ 1]) + tokens[1:])
    elif damage == "description":
        info.write_text("{")
    else:
        info.write_text(info.read_text().replace("tales 40", "tales 41"))
    capsys.readouterr()
    assert run(*options, tmp_path / "two") == 0
    assert "telling and tokenizing 40 documents for training" in capsys.readouterr().out
    assert (tmp_path / "two" / "training.tokens").read_bytes() == tokens
    assert path.read_bytes() == tokens  # and the cache is whole again


def test_a_cache_that_cannot_be_written_to_is_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pretrain, "MANY_TALES", 30)
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLAMA_TUTORIAL_CACHE", str(tmp_path / "file"))
    options = ("--tales", 40, "--tokenizer", SHIPPED["tales"].tokenizer, SMALL, QUICK, "--out")
    assert run(*options, tmp_path / "one") == 0
    assert "finished" in capsys.readouterr().out


def test_the_cache_lies_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_TUTORIAL_CACHE", "")
    assert cache_folder() is None
    monkeypatch.delenv("LLAMA_TUTORIAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "llama-tutorial"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "llama-tutorial"
