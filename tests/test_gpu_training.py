"""Training and several processes on CUDA devices: the CPU's numbers. Needs torch, NumPy and pytest.

float64 is compared step by step; in bfloat16 only rounding may differ. What needs two GPUs is
skipped where there is one; sharding is tried there too, on a group of one process.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llama_tutorial import ModelConfig, Transformer, generate, load_model, save_model
from llama_tutorial.finetuning import Example
from llama_tutorial.lora import add_lora, merge_lora
from llama_tutorial.preferences.batches import PairBatches
from llama_tutorial.preferences.dpo import DPO
from llama_tutorial.preferences.reward_model import RewardModel, RewardTraining
from llama_tutorial.training import IGNORE, Batch, make_optimizer, train_step
from llama_tutorial.training.loop import TrainConfig, evaluate, train

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).resolve().parent.parent
LLAMA = ModelConfig(
    dim=64, n_layers=2, n_heads=8, n_kv_heads=2, hidden_dim=96, vocab_size=211, max_seq_len=48
)
CONFIGS = {
    "llama": LLAMA,
    "tied": LLAMA.replace(tie_embeddings=True),
    "gpt2": LLAMA.replace(
        norm="layernorm", feed_forward="gelu", positions="learned", bias=True, tie_embeddings=True
    ),
}
SETTINGS = TrainConfig(total_steps=12, peak_lr=1e-2, warmup_steps=3, checkpoint_every=4)


def make_model(name: str = "llama", dtype: torch.dtype = torch.float64) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(CONFIGS[name]).to(dtype)
    model.reset_parameters()
    return model


def batch_at(step: int) -> Batch:
    tokens = torch.randint(0, 211, (4, 41), generator=torch.Generator().manual_seed(step))
    inputs, targets = tokens[:, :-1].clone(), tokens[:, 1:].clone()
    targets[0, 5:] = IGNORE
    return Batch(inputs, targets, (torch.arange(40) // 15).expand(4, 40))


def losses(model: Transformer, out: Path, settings: dict | None = None, stop: int = 0) -> list:
    """Of a run, step by step, and the validation's at the end; ``stop`` ends it early."""

    def batches(step: int) -> Batch:
        if step == stop:
            raise InterruptedError
        return batch_at(step)

    config = TrainConfig(**(vars(SETTINGS) | (settings or {})))
    try:
        train(model, batches, config, out, validation=[batch_at(0)])
    except InterruptedError:
        return []
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines] + [lines[-1]["validation_loss"]]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_has_the_cpus_losses(tmp_path, name):
    expected = losses(make_model(name), tmp_path / "cpu")
    model = make_model(name).cuda()
    got = losses(model, tmp_path / "gpu")
    assert got == pytest.approx(expected, abs=1e-9)
    written = load_model(tmp_path / "gpu" / "model", device="cuda")
    assert evaluate(written, [batch_at(0)]) == pytest.approx(got[-1], abs=1e-12)


@pytest.mark.parametrize(
    "settings", [{"micro_batches": 3}, {"gradient_checkpointing": True}], ids=str
)
def test_what_saves_memory_changes_nothing(tmp_path, settings):
    expected = losses(make_model(), tmp_path / "cpu")
    assert losses(make_model().cuda(), tmp_path / "gpu", settings) == pytest.approx(
        expected, abs=1e-9
    )


def test_a_killed_run_goes_on_here_and_on_the_cpu(tmp_path):
    expected = losses(make_model().cuda(), tmp_path / "whole")
    for device in ("cuda", "cpu"):
        out = tmp_path / device
        assert losses(make_model().cuda(), out, stop=10) == []
        assert (out / "checkpoints" / "latest").read_text() == "step-00000008"
        model = make_model().to(device)
        torch.manual_seed(99)
        assert losses(model, out) == pytest.approx(expected, abs=1e-9)


def test_random_numbers_go_on_too(tmp_path):
    """With dropout on the GPU, a resumed run has the losses of one that was never killed."""

    def model() -> Transformer:
        model = make_model(dtype=torch.float32)
        add_lora(model, rank=4, dropout=0.5)
        return model.cuda().train()

    def ours(out: Path, stop: int = 0) -> list:
        torch.manual_seed(5)
        return losses_of_adapter(model(), out, stop)

    whole = ours(tmp_path / "whole")
    assert ours(tmp_path / "killed", stop=10) == []
    resumed = ours(tmp_path / "killed")
    assert resumed == pytest.approx(whole, abs=1e-5)


def losses_of_adapter(model: Transformer, out: Path, stop: int) -> list:
    def batches(step: int) -> Batch:
        if step == stop:
            raise InterruptedError
        return batch_at(step)

    try:
        train(model, batches, SETTINGS, out, write_model=lambda _model, _path: None)
    except InterruptedError:
        return []
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_bfloat16_autocast_learns_as_on_the_cpu(tmp_path):
    settings = {"autocast": "bfloat16"}
    expected = losses(make_model(dtype=torch.float32), tmp_path / "cpu")
    got = losses(make_model(dtype=torch.float32).cuda(), tmp_path / "gpu", settings)
    assert got == pytest.approx(expected, abs=0.05)
    assert got[-1] < got[0] - 0.01


def test_compiled_training_is_the_same(tmp_path, unchecked):
    expected = losses(make_model(dtype=torch.float32), tmp_path / "cpu")
    model = make_model(dtype=torch.float32).cuda()
    got = losses(model, tmp_path / "gpu", {"compile": True})
    assert got == pytest.approx(expected, abs=1e-3)


def test_compiled_generation_gives_the_same_ids(unchecked):
    model = make_model()
    prompts = [[5], [1, 2, 3, 4, 5, 6, 7], [9, 8, 7]]
    expected = generate(model, prompts, 20, temperature=0)
    on_gpu = copy.deepcopy(model).cuda()
    on_gpu.compile()
    assert generate(on_gpu, prompts, 20, temperature=0) == expected


def test_lora_trains_and_merges():
    results = []
    for device in ("cpu", "cuda"):
        model = make_model().to(device)
        add_lora(model, rank=4)
        optimizer = make_optimizer(model, lr=1e-2)
        batch = batch_at(1).to(torch.device(device))
        torch.manual_seed(1)  # the adapters' first values, drawn on the CPU for both
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora" in name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, dtype=torch.float64))
        losses = [train_step(model, optimizer, *batch[:2], lr=1e-2) for _ in range(4)]
        merge_lora(model, keep_base=False)
        with torch.no_grad():
            results.append((losses, model(batch.inputs).cpu()))
    assert results[1][0] == pytest.approx(results[0][0], abs=1e-9)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=0, atol=1e-8)


# Several processes

ONE_PROCESS = """
import os, sys
import torch, torch.distributed as dist
sys.path.insert(0, sys.argv[1])
import test_gpu_training as here
from llama_tutorial import generate, save_model
from llama_tutorial.training.sharding import gather, shard
from llama_tutorial.training.tensor_parallel import load_shard
from llama_tutorial.training import checkpoint_layers, make_optimizer, train_step

os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
torch.cuda.set_device(0)
dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
for name in here.CONFIGS:
    for autocast in (None, torch.bfloat16):
        dtype = torch.float64 if autocast is None else torch.float32
        ours, theirs = here.make_model(name, dtype), here.make_model(name, dtype).cuda()
        whole = shard(ours, autocast)  # from the CPU to the GPU
        losses = []
        for model in (ours, theirs):
            checkpoint_layers(model)
            optimizer = make_optimizer(model, lr=1e-2)
            batches = [here.batch_at(step).to(torch.device("cuda")) for step in range(6)]
            losses.append([
                train_step(model, optimizer, *batch, lr=1e-2, autocast=autocast, micro_batches=2)
                for batch in batches
            ])
        allowed = 1e-9 if autocast is None else 0.02
        assert max(abs(a - b) for a, b in zip(*losses)) < allowed, losses
        if autocast is None:
            prompts = [[1, 2, 3], [4]]
            expected = generate(theirs, prompts, 9, temperature=0)
            assert generate(ours, prompts, 9, temperature=0) == expected
            gathered = gather(ours, whole)
            assert gathered.device.type == "cpu"
            for a, b in zip(gathered.parameters(), theirs.parameters()):
                torch.testing.assert_close(a, b.cpu(), rtol=0, atol=1e-9)
            save_model(gathered, sys.argv[2] + name)
            share = load_shard(sys.argv[2] + name)
            assert share.device.type == "cuda"
            assert generate(share, prompts, 9, temperature=0) == expected
dist.destroy_process_group()
print("the same")
"""


def start(*command: object) -> subprocess.CompletedProcess:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_sharded_and_shared_by_a_group_of_one(tmp_path):
    if not torch.distributed.is_nccl_available():
        pytest.skip("this torch has no NCCL")
    done = start("-c", ONE_PROCESS, ROOT / "tests", f"{tmp_path}{os.sep}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("the same")


TWO_PROCESSES = """
import json, sys
from pathlib import Path
import torch
import test_gpu_training as here
from llama_tutorial import generate
from llama_tutorial.training.processes import is_rank0, loading_device, process_group
from llama_tutorial.training.tensor_parallel import load_shard

out = Path(sys.argv[1])
with process_group("cuda") as device:
    model = here.make_model().to(loading_device(device))
    losses = here.losses(model, out / "run")
    ids = generate(load_shard(out / "whole"), [[1, 2, 3], [4]], 9, temperature=0)
    if is_rank0():
        (out / "results.json").write_text(json.dumps([losses, ids]))
"""


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus(tmp_path):
    expected = losses(make_model(), tmp_path / "cpu")
    whole = make_model()
    save_model(whole, tmp_path / "whole")
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    done = start(*torchrun, tmp_path / "two.py", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    got, ids = json.loads((tmp_path / "results.json").read_text())
    assert got == pytest.approx(expected, abs=1e-9)
    assert ids == generate(whole, [[1, 2, 3], [4]], 9, temperature=0)
    assert losses(make_model().cuda(), tmp_path / "run") == pytest.approx(expected, abs=1e-9)


def preferred(device: str, out: Path, method: str) -> list[list[float]]:
    """What a training on pairs notes of each step."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for i in range(9):
        ids = torch.randint(3, 211, (12 + i % 3,), generator=generator).tolist()
        chosen = Example(ids, [IGNORE] * 6 + ids[6:])
        found.append((chosen, Example([*ids[:-2], 5, 2], [IGNORE] * 6 + ids[6:-2] + [5, 2]), i % 4))
    pairs, model = PairBatches(found, 4, 48), make_model().to(device)
    if method == "lora":
        add_lora(model, rank=2)
    if method == "reward":
        model = RewardModel.of(model)
    train(
        model,
        pairs.batch,
        SETTINGS,
        out,
        method=RewardTraining() if method == "reward" else DPO(pairs, beta=0.3),
        validation=list(pairs.every_pair()),
        write_model=lambda _whole, path: path.mkdir(),
    )
    names = ("loss", "margin", "grad_norm")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [[line[name] for name in names] for line in lines]


@pytest.mark.parametrize("method", ["dpo", "lora", "reward"])
def test_preferences_are_learned_as_on_the_cpu(tmp_path, method):
    torch.manual_seed(1)
    cpu = preferred("cpu", tmp_path / "cpu", method)
    torch.manual_seed(1)
    cuda = preferred("cuda", tmp_path / "cuda", method)
    for one, other in zip(cpu, cuda, strict=True):
        assert one == pytest.approx(other, abs=1e-9)
