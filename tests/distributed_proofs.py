"""Run by training/test_processes.py, by torchrun: what several processes compute, as JSON.

The same functions run in the test's own process, for one. Weights are drawn from a seed, so that
every process begins with the same; everything is float64.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch
from small_models import random_model

from llama_tutorial import KVCache, ModelConfig, Transformer, generate, save_model
from llama_tutorial.lora import add_lora
from llama_tutorial.training import IGNORE, Batch, DivergenceError
from llama_tutorial.training.loop import TrainConfig, train
from llama_tutorial.training.processes import (
    all_reduce_sum,
    any_rank,
    barrier,
    broadcast,
    is_rank0,
    process_group,
    rank,
    rank0_first,
    world_size,
)
from llama_tutorial.training.run_lock import run_lock
from llama_tutorial.training.tensor_parallel import load_shard

# Nothing divides evenly: neither the rows by the processes nor the matrices.
LLAMA = ModelConfig(
    dim=24, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=36, vocab_size=31, max_seq_len=16
)
MODELS = {
    "llama": LLAMA,
    "tied": LLAMA.replace(tie_embeddings=True, n_layers=1),
    "gpt2": LLAMA.replace(
        norm="layernorm", feed_forward="gelu", positions="learned", bias=True, tie_embeddings=True
    ),
}
SETTINGS = TrainConfig(
    total_steps=8, peak_lr=1e-2, warmup_steps=2, clip=0.5, micro_batches=2, checkpoint_every=5
)
STOP_AT = 3


def batch_at(step: int) -> Batch:
    """Packed rows with very unequal numbers of targets; once fewer rows than processes."""
    generator = torch.Generator().manual_seed(step)
    n_rows = 2 if step == 4 else 5
    tokens = torch.randint(0, 31, (n_rows, 13), generator=generator)
    inputs, targets = tokens[:, :-1].clone(), tokens[:, 1:].clone()
    for row in range(n_rows):
        targets[row, 2 + 3 * row % 11 :] = IGNORE
    documents = (torch.arange(12) // 5).expand(n_rows, 12)
    return Batch(inputs, targets, documents)


def make_model(name: str, dtype: torch.dtype = torch.float64) -> Transformer:
    torch.manual_seed(3)
    model = Transformer(MODELS[name]).to(dtype)
    model.reset_parameters()
    return model


def trained(out: Path, name: str, *, lora: bool = False, stop: bool = False, **changes) -> dict:
    """Train, or go on; what was written down, and what the model samples on its way."""
    model = make_model(name, torch.float32 if "autocast" in changes else torch.float64)
    if lora:
        add_lora(model, rank=2)
    samples = []

    def sample(step: int, model: Transformer) -> None:
        samples.append(generate(model, [[1, 2, 3], [4]], 6, temperature=0))

    def batches(step: int) -> Batch:
        if stop and step == STOP_AT and rank() == world_size() - 1:
            os.kill(os.getpid(), signal.SIGTERM)  # one alone is told to stop
        return batch_at(step)

    def write(whole: Transformer, path: Path) -> None:
        torch.save(whole.state_dict(), f"{path}.pt")

    settings = TrainConfig(**(vars(SETTINGS) | changes))
    validation = [batch_at(100), batch_at(4)]
    finished = train(
        model,
        batches,
        settings,
        out,
        validation=validation,
        on_evaluation=sample,
        write_model=write,
    )
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    keys = ("step", "loss", "lr", "tokens", "validation_loss")
    return {
        "finished": finished,
        "metrics": [[line.get(key) for key in keys] for line in lines],
        "samples": samples,
    }


def diverged(out: Path, how: str) -> list[str]:
    """What each process says of a run in which the last one alone meets a number like that."""
    model, last = make_model("llama"), rank() == world_size() - 1

    def spoil_loss(_module: torch.nn.Module, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        return logits * torch.nan

    def batches(step: int) -> Batch:
        if step == 3 and last and how == "loss":
            model.output.register_forward_hook(spoil_loss)
        if step == 4 and last and how == "weight":  # a row that no batch asks for
            model.tok_embeddings.weight.data.to_local()[-1] = torch.inf
        batch = batch_at(step)
        return batch._replace(inputs=batch.inputs.clamp(max=29))

    settings = TrainConfig(**(vars(SETTINGS) | {"checkpoint_every": 2}))
    said = "nothing"
    try:
        train(model, batches, settings, out)
    except DivergenceError as error:
        said = str(error)
    messages = [""] * world_size()
    torch.distributed.all_gather_object(messages, said)
    return messages


def shared(out: Path, name: str, dtype: torch.dtype) -> dict:
    """How far a model that the processes share is from the whole one."""
    n = world_size()
    config = MODELS[name].replace(n_kv_heads=4 if name == "gpt2" else max(n, 2))
    whole = random_model(config, dtype=dtype)
    if is_rank0():
        save_model(whole, out / f"{name}-{dtype}")
    barrier()
    share = load_shard(out / f"{name}-{dtype}")
    tokens = torch.randint(0, 31, (3, 16), generator=torch.Generator().manual_seed(0))
    heads = share.layers[0].attention.n_kv_heads
    cache = KVCache(config, 3, dtype=dtype, n_kv_heads=heads)
    prompts = [[1, 2, 3, 4, 5], [6], [7, 8]]
    with torch.inference_mode():
        exact = whole(tokens)
        cached = torch.cat([share(part, cache) for part in tokens.split([7, 1, 8], 1)], 1)
        errors = [float((logits - exact).abs().max()) for logits in (share(tokens), cached)]
    ways = {"temperature": 0}, {"seed": 5, "temperature": 1.0}
    return {
        "errors": errors,
        "bytes": sum(p.to_local().nbytes for p in share.parameters() if hasattr(p, "to_local")),
        "whole_bytes": sum(p.nbytes for p in whole.parameters()),
        "heads": cache.k[0].shape[1],
        "kv_heads": config.n_kv_heads,
        "ids": [generate(share, prompts, 8, **way) for way in ways],
        "whole_ids": [generate(whole, prompts, 8, **way) for way in ways],
    }


def error_of(function, *arguments) -> str:
    try:
        function(*arguments)
    except (ValueError, OSError) as error:
        return str(error)
    return "no error"


def order_of_arrival(file: Path) -> list[str]:
    """Who passed through ``rank0_first``, one after the other."""
    with rank0_first(), file.open("a") as lines:
        lines.write("first " if is_rank0() else "other ")
    barrier()
    return file.read_text().split()


def first_fails() -> None:
    with rank0_first():
        if is_rank0():
            raise ValueError("of the first process")


def locked(out: Path) -> None:
    """Ask for a folder that another process trains in."""
    with run_lock(out):
        pass


def main(out: Path, before: Path) -> None:
    with process_group("cpu"):
        last = rank() == world_size() - 1
        results = {
            "n": world_size(),
            "sum": all_reduce_sum(rank() + 0.5),
            "broadcast": broadcast(f"of process {rank()}"),
            "any": [any_rank(False), any_rank(last)],
            "order": order_of_arrival(out / "order"),
            "first fails": error_of(first_fails),
            "locked": error_of(locked, out / "locked"),
            "resumed": trained(before, "llama") if before.exists() else None,
            "stopped": trained(out / "stopped", "llama", stop=True),
            "lora": trained(out / "lora", "llama", lora=True),
            "bfloat16": trained(out / "bfloat16", "llama", autocast="bfloat16"),
        }
        results["diverged"] = {how: diverged(out / how, how) for how in ("loss", "weight")}
        again = {"gradient_checkpointing": True, "micro_batches": 1}
        results |= {name: trained(out / name, name) for name in MODELS}
        results["checkpointed"] = trained(out / "checkpointed", "llama", **again)
        results["shared"] = {
            f"{name} {dtype}": shared(out, name, dtype)
            for name, dtype in [(name, torch.float64) for name in MODELS]
            + [("llama", torch.float32)]
        }
        save_model(random_model(LLAMA.replace(n_heads=3, n_kv_heads=3)), out / f"odd-{rank()}")
        results["odd"] = error_of(load_shard, out / f"odd-{rank()}")
        others = [None] * world_size()
        torch.distributed.all_gather_object(others, [results["first fails"], results["locked"]])
        results["in all"] = others
        if is_rank0():
            (out / "results.json").write_text(json.dumps(results))
        print("the first process speaks")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
