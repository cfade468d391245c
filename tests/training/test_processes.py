"""Several processes compute what one does: trained together, resumed by another number, sharing.

Real processes, started by torchrun, on the CPU: once two, once four, once two by the commands.
Each launch proves everything it can, since starting costs more than computing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import distributed_proofs as proofs
import pytest
import torch

from llama_tutorial.training.processes import (
    all_reduce_sum,
    any_rank,
    barrier,
    broadcast,
    is_rank0,
    loading_device,
    process_group,
    rank,
    rank0_first,
    world_size,
)
from llama_tutorial.training.run_lock import run_lock

ROOT = Path(__file__).resolve().parents[2]


def torchrun(n: int, *command: object) -> subprocess.CompletedProcess:
    """Start ``n`` processes; what they print and how they end."""
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*start, f"--nproc-per-node={n}", *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def reason(done: subprocess.CompletedProcess) -> str:
    """What the processes said, without torchrun's own report."""
    return "\n".join(line for line in done.stderr.splitlines() if "[rank" in line)[-4000:]


def launch(n: int, out: Path, before: Path) -> dict:
    with run_lock(out / "locked"):
        done = torchrun(n, ROOT / "tests" / "distributed_proofs.py", out, before)
    assert done.returncode == 0, reason(done)
    assert done.stdout.count("the first process speaks") == 1
    return json.loads((out / "results.json").read_text())


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> dict:
    """The same by this process alone."""
    out = tmp_path_factory.mktemp("one")
    results = {name: proofs.trained(out / name, name) for name in proofs.MODELS}
    results["lora"] = proofs.trained(out / "lora", "llama", lora=True)
    results["bfloat16"] = proofs.trained(out / "bfloat16", "llama", autocast="bfloat16")
    return results | {"out": out}


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("two")
    return launch(2, out, out / "nothing") | {"out": out}


@pytest.fixture(scope="module")
def four(tmp_path_factory, two) -> dict:
    """These go on with the run that two were stopped in."""
    out = tmp_path_factory.mktemp("four")
    shutil.copytree(two["out"] / "stopped", out / "before")
    return launch(4, out, out / "before") | {"out": out}


@pytest.fixture(params=["two", "four"])
def several(request) -> dict:
    return request.getfixturevalue(request.param)


def same_numbers(run: dict, expected: dict, tolerance: float = 1e-9) -> None:
    assert run["finished"]
    assert [line[0] for line in run["metrics"]] == list(range(1, 9))
    for ours, theirs in zip(run["metrics"], expected["metrics"], strict=True):
        assert ours == pytest.approx(theirs, abs=tolerance)
    assert run["samples"] == expected["samples"] or tolerance > 1e-6


@pytest.mark.parametrize("name", [*proofs.MODELS, "lora"])
def test_losses_equal_one_processs_at_every_step(one, several, name):
    same_numbers(several[name], one[name])


def test_gradient_checkpointing_and_other_parts_change_nothing(one, several):
    same_numbers(several["checkpointed"], one["llama"])


def test_bfloat16_is_one_processs_but_for_rounding(one, several):
    same_numbers(several["bfloat16"], one["bfloat16"], tolerance=0.01)
    assert several["bfloat16"]["metrics"] != one["llama"]["metrics"]


def test_the_finished_model_is_whole(one, several):
    for name in proofs.MODELS:
        ours, theirs = (
            torch.load(results["out"] / name / "model.pt", weights_only=True)
            for results in (several, one)
        )
        assert ours.keys() == theirs.keys()
        for key, weight in theirs.items():
            torch.testing.assert_close(ours[key], weight, rtol=0, atol=1e-9)
            assert type(ours[key]) is torch.Tensor


def test_a_signal_to_one_process_stops_all_with_a_checkpoint(several):
    stopped = several["stopped"]
    assert not stopped["finished"]
    assert [line[0] for line in stopped["metrics"]] == [1, 2, 3]
    latest = several["out"] / "stopped" / "checkpoints" / "latest"
    assert latest.read_text() == "step-00000003"


def test_what_one_process_alone_sees_diverge_stops_all(several):
    for how, step, seen in [
        ("loss", 3, "the norm of its gradient nan"),
        ("weight", 4, "weights are NaN or infinite after it"),
    ]:
        messages = several["diverged"][how]
        assert len(messages) == several["n"]
        assert len(set(messages)) == 1
        assert messages[0].startswith(f"the training has diverged at step {step}, ")
        assert seen in messages[0]
        checkpoints = several["out"] / how / "checkpoints"
        assert (checkpoints / "latest").read_text() == "step-00000002"
        lines = (several["out"] / how / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == list(range(1, step))


def test_what_two_have_saved_four_go_on_with(one, four):
    same_numbers(four["resumed"], one["llama"])


@pytest.mark.parametrize("number", ["two", "four"])
def test_what_several_have_saved_one_goes_on_with(one, number, request, tmp_path):
    out = request.getfixturevalue(number)["out"] / "stopped"
    shutil.copytree(out, tmp_path / "run")
    same_numbers(proofs.trained(tmp_path / "run", "llama"), one["llama"])


def test_every_process_writes_its_share_of_a_checkpoint(one, several):
    parts = sorted((several["out"] / "llama" / "checkpoints" / "step-00000008").glob("*.distcp"))
    assert len(parts) == several["n"]
    (whole,) = (one["out"] / "llama" / "checkpoints" / "step-00000008").glob("*.distcp")
    assert max(part.stat().st_size for part in parts) < 0.8 * whole.stat().st_size


def test_a_checkpoint_holds_what_is_trained_only(one, several):
    from torch.distributed.checkpoint import FileSystemReader

    for results in (one, several):
        folder = results["out"] / "lora" / "checkpoints" / "step-00000008"
        names = FileSystemReader(folder).read_metadata().state_dict_metadata
        weights = [name for name in names if name.startswith("model.")]
        assert len(weights) == 2 * 7 * proofs.LLAMA.n_layers
        assert all("lora_" in name for name in weights)


def test_processes_communicate(several):
    n = several["n"]
    assert several["sum"] == sum(number + 0.5 for number in range(n))
    assert several["any"] == [False, True]
    assert several["broadcast"] == "of process 0"
    assert several["order"] == ["first"] + ["other"] * (n - 1)


def test_an_error_of_the_first_process_reaches_all(several):
    """Nobody waits for it, also where it is the lock on a folder that could not be had."""
    assert len(several["in all"]) == several["n"]
    for first_fails, locked in several["in all"]:
        assert first_fails == "of the first process"
        assert f"another process (pid {os.getpid()} on " in locked


def test_one_process_has_nobody_to_communicate_with():
    with process_group("cpu") as device, rank0_first():
        assert device == loading_device(device) == torch.device("cpu")
        assert (world_size(), rank(), is_rank0()) == (1, 0, True)
        assert (all_reduce_sum(2.5), broadcast("x")) == (2.5, "x")
        assert (any_rank(True), any_rank(False)) == (True, False)
        barrier()


def test_one_gpu_for_all_is_refused(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="cuda:0: every process gets a GPU of its own; write cuda"):
        process_group("cuda:0").__enter__()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    message = r"process 2 of this machine has no GPU of its own: there are 1; start at most 1 "
    with pytest.raises(ValueError, match=message):
        process_group("cuda").__enter__()


# Generation: every layer shared


def test_shared_layers_give_the_logits_of_the_whole(several):
    for name, shared in several["shared"].items():
        tolerance = 1e-9 if "float64" in name else 1e-5
        assert max(shared["errors"]) < tolerance, name
        assert shared["ids"] == shared["whole_ids"], name


def test_a_process_holds_its_heads_and_its_weights_only(several):
    n = several["n"]
    for name, shared in several["shared"].items():
        assert shared["heads"] == shared["kv_heads"] // n
        if name.startswith("llama"):  # untied; only vectors, and a vocabulary of 31, are over
            assert shared["bytes"] < 1.1 * shared["whole_bytes"] / n


def test_heads_that_cannot_be_shared_are_refused(several):
    assert several["odd"] == (
        f"{several['n']} processes cannot share this model: its n_kv_heads of 3 must be a multiple "
        "of their number; start fewer of them (--nproc-per-node)"
    )


# The commands


def test_the_commands_take_several_processes(tmp_path):
    pytest.importorskip("sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("To be, or not to be: that is the question.\n" * 60)
    model = "--dim 16 --layers 1 --heads 4 --kv-heads 2 --hidden-dim 24 --context 32"
    steps = "--batch-size 4 --steps 4 --warmup 2 --evaluate-every 2 --data"
    options = ["--characters", *model.split(), *steps.split(), text, "--out", tmp_path / "run"]
    trained = torchrun(2, "-m", "llama_tutorial", "pretrain", *options)
    assert trained.returncode == 0, reason(trained)
    assert trained.stdout.count("step 2: ") == trained.stdout.count("finished: the model") == 1
    words = ["--prompt", "To be", "--temperature", "0", "--checkpoint", tmp_path / "run" / "model"]
    words += ["--tokenizer", tmp_path / "run" / "tokenizer.model"]
    several = torchrun(2, "-m", "llama_tutorial", "generate", *words)
    assert several.returncode == 0, reason(several)
    alone = subprocess.run(
        [sys.executable, "-m", "llama_tutorial", "generate", *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert several.stdout == alone.stdout
    assert several.stdout.startswith("To be")
