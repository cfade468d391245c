"""``llama-tutorial finetune``: from a base and dialogs to a model that can be talked to."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from cli_options import OUT_OF_RANGE
from training_commands import check_resume, check_two_processes, metrics, words

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from llama_tutorial import ModelConfig, Transformer, load, load_model, load_tokenizer, save_model
from llama_tutorial.cli import finetune, main, training
from llama_tutorial.shipped import SHIPPED

QUICK = "--batch-size 2 --evaluate-every 2 --checkpoint-every 2"
TALES = f"--dialogs 12 --context 256 {QUICK}"


@pytest.fixture(autouse=True)
def few_dialogs_to_measure_with(monkeypatch):
    monkeypatch.setattr(finetune, "VALIDATION_DIALOGS", 8)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small model that has learned nothing."""
    torch.manual_seed(0)
    config = ModelConfig(16, 1, 2, 1, 24, vocab_size=1024, max_seq_len=256, tie_embeddings=True)
    path = tmp_path_factory.mktemp("base") / "model"
    save_model(Transformer(config), path, tokenizer=load_tokenizer(SHIPPED["tales"].tokenizer))
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Dialogs of both forms."""
    path = tmp_path_factory.mktemp("data") / "dialogs.jsonl"
    lines = [{"instruction": f"Say {i}.", "output": f"Well, {i}."} for i in range(20)]
    lines += [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def run(*arguments) -> int:
    return main(["finetune", *words(arguments)])


def settings(out) -> dict:
    return json.loads((out / "settings.json").read_text())


def test_tales_become_a_model_that_answers(base, tmp_path, capsys):
    options = ("--out", tmp_path, "--model", base, TALES)
    assert run(*options) == 0
    out = capsys.readouterr().out
    model, tokenizer = load(tmp_path / "model")
    n = model.config.n_params
    assert f"{n:,} parameters, {n:,} of them trained; 12 dialogs in " in out
    assert "step 2: " in out
    assert " -> " in out
    assert "longer than" not in out
    assert tokenizer.vocab_size == 1024
    steps = metrics(tmp_path)
    assert steps[-1]["step"] == settings(tmp_path)["training"]["total_steps"]
    losses = [step["validation_loss"] for step in steps if "validation_loss" in step]
    assert losses == sorted(losses, reverse=True)
    assert model.dtype == torch.float32
    # The same command again finds everything done.
    assert run(*options) == 0
    assert "finished" in capsys.readouterr().out
    assert metrics(tmp_path) == steps


def test_lora_trains_adapters_and_writes_them_alone(base, tmp_path, capsys):
    lora = "--lora --rank 2 --alpha 4 --dropout 0.1 --targets wq wv"
    assert run("--out", tmp_path, "--model", base, lora, TALES) == 0
    out = capsys.readouterr().out
    folder = tmp_path / "model"
    written = json.loads((folder / "adapter.json").read_text())
    expected = {"rank": 2, "alpha": 4, "dropout": 0.1, "targets": ["wq", "wv"]}
    assert written["lora"] == expected
    trained = 2 * (16 + 16) + 2 * (16 + 8)  # wq is 16 x 16, wv is 8 x 16
    assert f"{trained} of them trained" in out
    merged, original = load(folder)[0], load_model(base)
    changed = [
        name
        for name, weight in merged.state_dict().items()
        if not torch.equal(weight, original.state_dict()[name])
    ]
    assert sorted(name.split(".")[-2] for name in changed) == ["wq", "wv"]


def test_lora_leaves_a_bfloat16_base_as_it_is(base, tmp_path, capsys):
    small = tmp_path / "bf16"
    tokenizer = load_tokenizer(SHIPPED["tales"].tokenizer)
    save_model(load_model(base, dtype=torch.bfloat16), small, tokenizer=tokenizer)
    assert run("--out", tmp_path / "run", "--model", small, "--lora", TALES) == 0
    assert load_model(tmp_path / "run" / "model").dtype == torch.bfloat16
    assert metrics(tmp_path / "run")[-1]["validation_loss"] < 6.95


def test_a_file_of_dialogs(base, file, tmp_path, capsys):
    options = ("--out", tmp_path / "run", "--model", base, "--data", file, "--epochs 3", QUICK)
    assert run(*options, "--context 64") == 0
    assert "19 dialogs in" in capsys.readouterr().out  # the last tenth is for validation
    assert load_model(tmp_path / "run" / "model").config.max_seq_len == 64
    # Another file to measure with leaves all of them to learn from.
    options = ("--out", tmp_path / "other", "--model", base, "--data", file, "--validation", file)
    assert run(*options, "--context 64", QUICK, "--packing concatenate") == 0
    assert "21 dialogs in" in capsys.readouterr().out


def test_what_is_cut_is_said(base, file, tmp_path, capsys):
    options = ("--out", tmp_path, "--model", base, "--data", file, "--context 28", QUICK)
    assert run(*options) == 0
    out = capsys.readouterr().out
    assert "longer than 28 tokens: " in out
    assert " dialogs lost their end, 0 were left out" in out


def test_a_run_that_was_killed_goes_on(base, tmp_path):
    """From a checkpoint in the middle: the same as if nothing had been."""
    options = ("--model", base, TALES, "--epochs 2")
    run_of = check_resume(tmp_path, finetune, "finetune", *options, evaluations=3)
    assert len(metrics(run_of)) > 6


def test_a_run_goes_on_with_its_own_data_only(base, tmp_path, capsys, monkeypatch):
    options = ("--out", tmp_path, "--model", base, TALES)
    assert run(*options) == 0
    monkeypatch.setattr(finetune.hub, "load", lambda *_, **__: pytest.fail("that is work"))
    for other, message in [
        ("--seed 1", "data setting --seed 0, not 1"),
        ("--packing concatenate", "data setting --packing documents, not 'concatenate'"),
        ("--weight-decay 0.2", "training setting --weight-decay 0.1, not 0.2"),
        ("--lr 0.5", "training setting --lr 0.002, not 0.5"),
        ("--lora --lr 2e-3", "data setting --lora False, not True"),
    ]:
        assert run(*options, other) == 2
        assert message in capsys.readouterr().err


def test_a_finished_run_gets_more_epochs(base, file, tmp_path, capsys):
    options = ("--out", tmp_path, "--model", base, "--data", file, "--context 64", QUICK)
    assert run(*options, "--epochs 1") == 0
    n, warmup = len(metrics(tmp_path)), settings(tmp_path)["training"]["warmup_steps"]
    capsys.readouterr()
    assert run(*options, "--epochs 20") == 0
    said = f"the run was finished at step {n}, and goes on to step {20 * n}: from here the learning"
    assert said in capsys.readouterr().out
    assert len(metrics(tmp_path)) == 20 * n
    assert settings(tmp_path)["training"]["warmup_steps"] == warmup == 0
    assert run(*options, "--epochs 1") == 2
    assert f"holds a run of {20 * n} steps, and none gets shorter" in capsys.readouterr().err


def test_a_run_is_tied_to_what_base_and_dialogs_hold_not_to_their_names(
    base, file, tmp_path, capsys
):
    options = ("--out", tmp_path / "run", f"--context 64 --epochs 1 {QUICK}")
    assert run(*options, "--model", base, "--data", file) == 0
    shutil.copytree(base, tmp_path / "copy")
    (tmp_path / "other.jsonl").write_text(file.read_text())
    assert run(*options, "--model", tmp_path / "copy", "--data", tmp_path / "other.jsonl") == 0
    (tmp_path / "other.jsonl").write_text(file.read_text().replace("Say 7", "Say 8"))
    assert run(*options, "--model", base, "--data", tmp_path / "other.jsonl") == 2
    assert "holds a run on other dialogs: go on" in capsys.readouterr().err
    model = load_model(tmp_path / "copy")
    model.layers[0].attention.wq.weight.data[0, 0] += 1
    save_model(model, tmp_path / "new", tokenizer=load_tokenizer(SHIPPED["tales"].tokenizer))
    assert run(*options, "--model", tmp_path / "new", "--data", file) == 2
    assert "data setting base='sha256" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("lora", ["", "--lora --rank 2"])
def test_two_processes_have_the_losses_of_one(base, file, tmp_path, lora):
    options = f"--model {base} --data {file} --context 64 --epochs 2 {QUICK} {lora}"
    check_two_processes(tmp_path, "finetune", options, steps=3)


# -- defaults -----------------------------------------------------------------------------------


def test_the_papers_settings_are_those_of_large_models(base, file, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "SMALL_MODEL", 0)
    options = ("--out", tmp_path, "--model", base, "--data", file, "--context 64")
    assert run(*options) == 0
    found = settings(tmp_path)
    assert found["training"]["peak_lr"] == 2e-5
    assert found["training"]["weight_decay"] == 0.1
    assert found["data"]["batch_size"] == 64
    assert found["training"]["total_steps"] == 1  # two epochs of a few rows fit into one batch
    assert finetune.PAPER.context == 4096
    assert finetune.PAPER.epochs == 2


def test_the_small_model_gets_a_longer_context_and_no_adapter_can(base, tmp_path, capsys):
    assert run("--out", tmp_path / "a", "--model", base, "--dialogs 6", QUICK) == 0
    assert load_model(tmp_path / "a" / "model").config.max_seq_len == finetune.SMALL.context == 512
    assert settings(tmp_path / "a")["training"]["peak_lr"] == finetune.SMALL.lr
    assert run("--out", tmp_path / "b", "--model", base, "--dialogs 6 --lora", QUICK) == 0
    assert load_model(tmp_path / "b" / "model").config.max_seq_len == 256
    assert settings(tmp_path / "b")["training"]["peak_lr"] == finetune.SMALL.lora_lr
    assert run("--out", tmp_path / "c", "--model", base, "--dialogs 6 --lora --context 512") == 2
    assert "--context 512: the model has 256, and with --lora it stays" in capsys.readouterr().err


# -- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--data none.jsonl", "none.jsonl: no such file; give a .jsonl file with one dialog a"),
        ("--model none", "none: no such file or folder"),
        (
            "--lora --targets output",
            "--targets: no linear layer is called 'output'; this",
        ),
        ("--warmup 1000", "--warmup 1000: must be between 0 and 6 steps"),
        ("--micro-batches 3", "--micro-batches 3: a batch has 2 rows, so it must be at most 2"),
    ],
)
def test_mistakes_are_one_line(base, tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert run("--out", "run", "--model", base, TALES, options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(pair for pair in OUT_OF_RANGE if "--steps" not in pair[0]),
        ("--dialogs 0", "--dialogs 0: must be at least 1"),
        ("--validation some.jsonl", "--validation some.jsonl: tales bring their own"),
        ("--lora --rank 0", "--rank 0: must be a whole number of at least 1"),
        ("--lora --alpha inf", "--alpha inf: must be a finite number above 0"),
        ("--lora --dropout nan", "--dropout nan: must be at least 0 and below 1"),
        ("--rank 4", "--rank 4: only with --lora; leave it out"),
        ("--targets wq wv", "--targets wq wv: only with --lora; leave it out"),
        ("--epochs 0", "--epochs 0.0: must be above 0"),
        ("--epochs inf", "--epochs inf: must be above 0 and below"),
        ("--epochs nan", "--epochs nan: must be above 0 and below"),
        ("--context 0", "--context 0: must be at least 1"),
        ("--lr 0", "--lr 0.0: must be above 0 and finite"),
        ("--data none.jsonl", "none.jsonl: no such file; give a .jsonl file with one dialog a"),
    ],
)
def test_settings_are_checked_before_any_work(tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.setattr(finetune, "process_group", lambda *_: pytest.fail("that is work"))
    monkeypatch.chdir(tmp_path)
    assert run("--out", "run", TALES, options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_dialogs_that_nothing_would_look_at_are_refused(file, tmp_path, capsys):
    assert run("--out", tmp_path, "--data", file, "--dialogs 7") == 2
    assert f"--dialogs 7: --data {file} is read whole; leave it out" in capsys.readouterr().err


@pytest.mark.parametrize("lora", ["", "--lora"])
def test_a_model_that_cannot_be_replaced_is_seen_before_any_work(
    tmp_path, capsys, monkeypatch, lora
):
    monkeypatch.setattr(finetune, "process_group", lambda *_: pytest.fail("that is work"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("important")
    assert run("--out", tmp_path, lora) == 2
    assert "model is there already and no checkpoint of this package" in capsys.readouterr().err
    assert (tmp_path / "model" / "notes.txt").read_text() == "important"


@pytest.mark.parametrize("out", [".", "model", "model/inside"])
def test_the_model_that_is_read_is_not_written_over(file, tmp_path, capsys, out):
    assert main(["convert", "tales-small", str(tmp_path / "model")]) == 0
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    options = ("--model", tmp_path / "model", "--data", file, QUICK)
    assert run("--out", tmp_path / out, *options) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert not (tmp_path / "model" / "inside").exists()


@pytest.mark.parametrize("lora", ["", "--lora"])
def test_a_run_that_diverges_says_so(base, file, tmp_path, capsys, lora):
    options = ("--model", base, "--data", file, "--context 64 --epochs 3 --lr 1e36", QUICK, lora)
    assert run("--out", tmp_path, *options) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "llama-tutorial: the training has diverged at step " in err
    assert not (tmp_path / "model").exists()


def test_one_dialog_is_too_few(base, file, tmp_path, capsys):
    alone = tmp_path / "alone.jsonl"
    alone.write_text(file.read_text().splitlines()[0])
    assert run("--out", tmp_path / "run", "--model", base, "--data", alone, QUICK) == 2
    assert "holds one dialog, and some must be kept for validation" in capsys.readouterr().err


def test_a_bad_line_is_named(base, file, tmp_path, capsys):
    bad = tmp_path / "bad.jsonl"
    shutil.copy(file, bad)
    with bad.open("a") as lines:
        lines.write('\n{"instruction": "Hi"}\n')
    assert run("--out", tmp_path / "run", "--model", base, "--data", bad, QUICK) == 2
    assert "bad.jsonl, line 22: 'output' is missing" in capsys.readouterr().err


def test_a_batch_has_a_row_for_every_process(base, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training, "world_size", lambda: 3)
    assert run("--out", tmp_path, "--model", base, TALES) == 2
    assert "--batch-size 2: 3 processes divide the rows of a batch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--lora --targets nope", "argument --targets: invalid choice: 'nope' (choose from"),
        ("--batch-size 99999999", "--batch-size 99999999: 15,000 dialogs fill at most as many"),
        ("--dialogs 10 --batch-size 11", "--batch-size 11: 10 dialogs fill at most as many rows"),
        ("--data {file} --batch-size 20", "--batch-size 20: 19 dialogs fill at most as many rows"),
    ],
)
def test_what_no_data_can_fill_is_refused_before_the_model_is_read(
    file, tmp_path, capsys, monkeypatch, options, message
):
    monkeypatch.setattr(finetune.hub, "load", lambda *_, **__: pytest.fail("that is work"))
    try:
        code = run("--out", tmp_path / "run", options.format(file=file))
    except SystemExit as stop:  # argparse's way out
        code = stop.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_batch_has_at_most_the_rows_that_there_are(base, file, tmp_path, capsys):
    options = ("--out", tmp_path, "--model", base, "--data", file, "--context 256")
    assert run(*options, "--batch-size 19") == 2
    err = capsys.readouterr().err
    assert re.search(
        r"--batch-size 19: the dialogs fill \d rows of 256 tokens; give \d or less", err
    )
