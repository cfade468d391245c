"""The loop: metrics, checkpoints, and runs that are killed and go on."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

pytest.importorskip("safetensors")

from llama_tutorial import BPETokenizer, ModelConfig, Transformer, load_model
from llama_tutorial.training import IGNORE, Batch
from llama_tutorial.training.loop import TrainConfig, evaluate, train

CONFIG = ModelConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=24, vocab_size=31, max_seq_len=12)
SETTINGS = TrainConfig(
    total_steps=40, peak_lr=1e-2, warmup_steps=4, checkpoint_every=3, evaluate_every=10
)
LONG = dataclasses.replace(SETTINGS, total_steps=150)


def batch_at(step: int) -> Batch:
    tokens = torch.randint(0, 31, (4, 11), generator=torch.Generator().manual_seed(step))
    return Batch(tokens[:, :-1].clone(), tokens[:, 1:].clone())


def run(out: Path, settings: TrainConfig = SETTINGS, batches=batch_at, seed: int = 0) -> bool:
    torch.manual_seed(seed)
    return train(Transformer(CONFIG), batches, settings, out, validation=[batch_at(0)])


def metrics(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def losses(out: Path) -> list[tuple]:
    return [(m["step"], m["loss"], m["lr"], m.get("validation_loss")) for m in metrics(out)]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    assert run(out)
    return out


def test_the_run_is_written_down(whole_run):
    lines = metrics(whole_run)
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert [line["lr"] for line in lines] == [SETTINGS.lr(step) for step in range(1, 41)]
    assert [m["step"] for m in lines if "validation_loss" in m] == [10, 20, 30, 40]
    assert all(line["tokens"] == 40 for line in lines)
    assert all(line["grad_norm"] > 0 for line in lines)


def test_the_finished_model_is_the_one_that_was_evaluated(whole_run):
    model = load_model(whole_run / "model")
    assert evaluate(model, [batch_at(0)]) == metrics(whole_run)[-1]["validation_loss"]


def dying_run(out: Path, moment: int) -> None:
    """Run, and die by SIGKILL at the n-th touch of the disk, the data or the optimiser."""
    touches = itertools.count()

    def touch() -> None:
        if next(touches) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def touching(function):
        def wrapped(*args, **kwargs):
            touch()
            result = function(*args, **kwargs)
            touch()
            return result

        return wrapped

    disk = [(os, "replace"), (os, "rename"), (os, "fsync"), (os, "mkdir"), (shutil, "rmtree")]
    for module, name in [*disk, (torch, "save"), (torch.optim.AdamW, "step")]:
        setattr(module, name, touching(getattr(module, name)))
    run(out, LONG, touching(batch_at))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_ten_moments_the_losses_go_on_as_if_it_had_not_been(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, LONG)
    context = multiprocessing.get_context("fork")  # torch is imported already: quick to start
    resumed_from = []
    for moment in random.Random(7).sample(range(1, 600), 10):
        process = context.Process(target=dying_run, args=(killed, moment))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        latest = killed / "checkpoints" / "latest"
        resumed_from.append(latest.read_text() if latest.exists() else "")
    assert len(set(resumed_from)) > 4  # the kills fell into different places
    assert run(killed, LONG)
    assert losses(killed) == losses(whole)
    weights = [load_model(out / "model").state_dict() for out in (whole, killed)]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name])
    kept = sorted(folder.name for folder in (killed / "checkpoints").glob("step-*"))
    assert kept == ["step-00000147", "step-00000150"]


def test_a_checkpoint_that_was_being_written_is_not_taken(whole_run, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(whole_run, out)
    (out / "checkpoints" / "step-00000041.partial").mkdir()
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 41, "lo')
    assert run(out)
    assert losses(out) == losses(whole_run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_step_and_saves(tmp_path, whole_run, number):
    def interrupt_at_17(step: int) -> Batch:
        if step == 17:
            os.kill(os.getpid(), number)
        return batch_at(step)

    handler = signal.getsignal(number)
    assert not run(tmp_path, batches=interrupt_at_17)
    assert signal.getsignal(number) is handler
    assert metrics(tmp_path)[-1]["step"] == 17
    assert not (tmp_path / "model").exists()
    assert run(tmp_path)
    assert losses(tmp_path) == losses(whole_run)


def test_ctrl_c_in_the_last_step_is_too_late(tmp_path, whole_run):
    def interrupt_at_40(step: int) -> Batch:
        if step == 40:
            os.kill(os.getpid(), signal.SIGINT)
        return batch_at(step)

    assert run(tmp_path, batches=interrupt_at_40)
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-00000040"
    weights = [load_model(out / "model").state_dict() for out in (whole_run, tmp_path)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c_while_it_measures(tmp_path, whole_run, twice):
    """Once ends the step, twice ends it at once; and the losses go on as if nothing had been."""

    def interrupt(step: int, _model: Transformer) -> None:
        if step == 20:
            for _ in range(1 + twice):
                os.kill(os.getpid(), signal.SIGINT)

    torch.manual_seed(0)
    model = Transformer(CONFIG)
    arguments = (model, batch_at, SETTINGS, tmp_path)
    with pytest.raises(KeyboardInterrupt) if twice else nullcontext():
        assert not train(*arguments, validation=[batch_at(0)], on_evaluation=interrupt)
    assert metrics(tmp_path)[-1]["step"] == (19 if twice else 20)
    assert not any(module.training for module in model.modules())
    assert run(tmp_path)
    assert losses(tmp_path) == losses(whole_run)


def test_what_is_written_at_the_end_can_be_chosen(tmp_path):
    written = []

    def write(model: Transformer, path: Path) -> None:
        written.append((model, path))

    model, short = Transformer(CONFIG), TrainConfig(total_steps=2, warmup_steps=0)
    assert train(model, batch_at, short, tmp_path, write_model=write)
    assert written == [(model, tmp_path / "model")]
    assert not (tmp_path / "model").exists()


def test_a_finished_run_stays_as_it_is(tmp_path):
    short = TrainConfig(total_steps=2, warmup_steps=0)
    assert run(tmp_path, short)
    before = losses(tmp_path)
    assert run(tmp_path, short, batches=lambda step: pytest.fail(f"step {step} was run again"))
    assert losses(tmp_path) == before


def test_other_settings_are_refused(tmp_path):
    run(tmp_path, TrainConfig(total_steps=2, warmup_steps=0))
    with pytest.raises(ValueError, match=r"training setting warmup_steps=0, not 1: go on with the"):
        run(tmp_path, TrainConfig(total_steps=2, warmup_steps=1))
    with pytest.raises(
        ValueError, match=r"a run of 2 steps, and none gets shorter \(total_steps=1"
    ):
        run(tmp_path, TrainConfig(total_steps=1, warmup_steps=0))
    model = Transformer(CONFIG.replace(dim=32))
    with pytest.raises(ValueError, match="model setting dim=16, not 32"):
        train(model, batch_at, TrainConfig(total_steps=2, warmup_steps=0), tmp_path)
    assert len(metrics(tmp_path)) == 2


def test_lines_for_people(tmp_path, whole_run):
    """They measure the model before the first step, too, and change nothing."""
    lines = []
    torch.manual_seed(0)
    model = Transformer(CONFIG)
    before = evaluate(model, [batch_at(0)])
    arguments = (batch_at, SETTINGS, tmp_path)
    assert train(model, *arguments, validation=[batch_at(0)], log=lines.append)
    assert losses(tmp_path) == losses(whole_run)
    steps = [line.split(":")[0] for line in lines]
    assert steps[:-1] == [f"step {n}/40" for n in (0, 1, 10, 20, 30, 40)]
    assert lines[0] == f"step 0/40: validation loss {before:.3f}"
    part = losses(whole_run)[10:20]
    mean = sum(loss for _, loss, *_ in part) / 10
    said = f"step 20/40: training loss {mean:.3f} (mean of 10 steps), validation loss "
    assert lines[3].startswith(f"{said}{part[-1][3]:.3f}, lr {SETTINGS.lr(20):.3g}, ")
    assert lines[-1] == f"writing the model to {tmp_path / 'model'}"
    lines.clear()
    assert train(Transformer(CONFIG), *arguments, validation=[batch_at(0)], log=lines.append)
    assert [line.split(":")[0] for line in lines] == [f"writing the model to {tmp_path / 'model'}"]


def test_a_finished_run_gets_more_steps(tmp_path):
    """It goes on at the learning rate of a run of so many, says so, and survives a kill."""
    whole, killed, lines = tmp_path / "whole", tmp_path / "killed", []
    settings = {"peak_lr": 1e-2, "warmup_steps": 4, "checkpoint_every": 3}
    short, long = (TrainConfig(total_steps=n, **settings) for n in (10, 20))
    for out in (whole, killed):
        assert run(out, short)
        assert [line["lr"] for line in metrics(out)] == [short.lr(n) for n in range(1, 11)]
    first = losses(whole)
    arguments = (Transformer(CONFIG), batch_at, long, whole)
    assert train(*arguments, validation=[batch_at(0)], log=lines.append)
    assert losses(whole)[:10] == first
    assert [line["lr"] for line in metrics(whole)[10:]] == [long.lr(n) for n in range(11, 21)]
    assert lines[0] == (
        "the run was finished at step 10, and goes on to step 20: from here the learning rate "
        "follows the cosine of 20 steps, without another warm-up: it was 0.001, and is 0.00638 at "
        "the next step"
    )
    assert round(long.lr(11), 5) == 0.00638
    assert load_model(whole / "model").config == CONFIG
    assert json.loads((whole / "settings.json").read_text())["history"] == {"ends": [10]}

    def killed_at_17(step: int) -> Batch:
        if step == 17:
            raise MemoryError
        return batch_at(step)

    with pytest.raises(MemoryError):
        run(killed, long, killed_at_17)
    assert run(killed, long)
    assert losses(killed) == losses(whole)
    with pytest.raises(ValueError, match="a run of 20 steps, and none gets shorter"):
        run(killed, short)


def test_a_run_gets_more_steps_only_when_it_is_finished(tmp_path):
    def stopped_at_5(step: int) -> Batch:
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return batch_at(step)

    short, long = (TrainConfig(total_steps=n, warmup_steps=0) for n in (10, 20))
    assert not run(tmp_path, short, stopped_at_5)
    message = r"a run of 10 steps, and it gets more only when it has done these \(total_steps=20\)"
    with pytest.raises(ValueError, match=message):
        run(tmp_path, long)
    assert run(tmp_path, short)
    assert run(tmp_path, long)


NUMBERS = ("peak_lr", "min_ratio", "weight_decay", "beta1", "beta2", "eps", "clip")
COUNTS = ("total_steps", "warmup_steps", "micro_batches", "evaluate_every", "checkpoint_every")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_steps": 0}, "total_steps=0: must be at least 1"),
        ({"total_steps": 10**8}, "total_steps=100000000: must be at most 99,999,999"),
        ({"micro_batches": 0}, "micro_batches=0: must be at least 1"),
        ({"peak_lr": 0.0}, "peak_lr=0.0: must be above 0"),
        ({"peak_lr": -1e-3}, "peak_lr=-0.001: must be above 0"),
        ({"min_ratio": 1.1}, "min_ratio=1.1: must be between 0 and 1"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1: must be 0 or above"),
        ({"beta1": 1}, "beta1=1: must be at least 0 and below 1"),
        ({"beta2": -0.1}, "beta2=-0.1: must be at least 0 and below 1"),
        ({"eps": 0}, "eps=0: must be above 0"),
        ({"clip": -1.0}, "clip=-1.0: must be above 0"),
        ({"evaluate_every": -1}, "evaluate_every=-1: must be 0 or above"),
        ({"autocast": "int8"}, "autocast='int8': must be 'bfloat16' or None"),
        ({"autocast": torch.bfloat16}, "autocast=torch.bfloat16: must be 'bfloat16' or None"),
        ({"warmup_steps": 50}, "warmup_steps=50: must be between 0 and total_steps=40"),
        ({"compile": 1}, "compile=1: must be True or False"),
        *[({name: math.nan}, f"{name}=nan: must be ") for name in NUMBERS],
        *[
            ({name: sign * math.inf}, f"{name}=-?inf: must ")
            for name in NUMBERS
            for sign in (1, -1)
        ],
        *[({name: "1"}, f"{name}='1': must be a number") for name in NUMBERS],
        *[({name: True}, f"{name}=True: must be a number") for name in NUMBERS],
        *[({name: 2.0}, f"{name}=2.0: must be a whole number") for name in COUNTS],
        *[({name: True}, f"{name}=True: must be a whole number") for name in COUNTS],
        *[({name: None}, f"{name}=None: must be a whole number") for name in COUNTS],
    ],
)
def test_settings_are_checked(unchecked, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **changes)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("model/notes.txt", "model is there already and no checkpoint of this package"),
        ("model", "model is a file: give the name of a folder"),
    ],
)
def test_a_model_that_cannot_be_replaced_is_seen_before_the_first_step(tmp_path, place, message):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("important")
    with pytest.raises(ValueError, match=message):
        run(tmp_path, batches=pytest.fail)
    assert (tmp_path / place).read_text() == "important"


def test_a_tokenizer_that_is_too_large_is_seen_before_the_first_step(tmp_path):
    tokenizer = BPETokenizer.of_characters([chr(number) for number in range(60, 95)])
    with pytest.raises(ValueError, match="the tokenizer has 38 pieces, the model 31"):
        train(Transformer(CONFIG), pytest.fail, SETTINGS, tmp_path, tokenizer=tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_evaluation_weighs_tokens_not_batches():
    model = Transformer(CONFIG)
    short = Batch(batch_at(1).inputs, batch_at(1).targets.clone())
    short.targets[:, 1:] = IGNORE
    both = evaluate(model, [batch_at(0), short])
    alone = evaluate(model, [batch_at(0)]), evaluate(model, [short])
    assert both == pytest.approx((40 * alone[0] + 4 * alone[1]) / 44, abs=1e-6)
    with pytest.raises(ValueError, match="no token has a target"):
        evaluate(model, [])
