"""What each swap buys: the chain from GPT to Llama, trained step by step.

    python benchmarks/swaps.py --runs runs/swaps --json llama_tutorial/data/swaps.json

Every step of the chain learns from the same tales in the same order, for as many tokens, with as
many parameters: the width of the feed-forward layer makes up for what a swap adds or takes away,
to the nearest multiple of 8. All have one learning rate, the best of four for the two ends of the
chain together. The seeds draw other weights and another order of the data. All steps with seed 0
come first, so that whatever is finished is a whole chain.

Afterwards two models with learned and with rotary positions learn in windows of 64 tokens, for half
as many steps, and are measured on whole tales, which are longer: once with all that came before,
once with the last 64 tokens only.

About an hour and a half on one thread. Started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from recorded_runs import Run, record, run_once, summary
from torch.nn import functional as F

from llama_tutorial import ModelConfig, Transformer
from llama_tutorial.pretraining import TokenStream, tokenize
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tales import tales
from llama_tutorial.tokenizer import load_tokenizer
from llama_tutorial.training.loop import TrainConfig

LRS = (1.5e-3, 3e-3, 6e-3, 1.2e-2)
SHORT, WHOLE, BUCKET, WINDOWED_TALES = 64, 208, 16, 40
GPT = ModelConfig(
    dim=128,
    n_layers=4,
    n_heads=8,
    hidden_dim=512,
    vocab_size=1024,
    max_seq_len=256,
    norm="layernorm",
    feed_forward="gelu",
    positions="learned",
    bias=True,
    tie_embeddings=True,
)
SWAPS: dict[str, dict[str, Any]] = {
    "RMSNorm": {"norm": "rmsnorm"},
    "RoPE": {"positions": "rope"},
    "SwiGLU": {"feed_forward": "swiglu"},
    "no biases, untied": {"bias": False, "tie_embeddings": False},
    "GQA": {"n_kv_heads": 2},
}


def main() -> None:
    """Choose the learning rate, run the chain, then the longer tales; write what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="the folder for the runs")
    parser.add_argument("--json", type=Path, required=True, help="the file for their results")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch-size", type=int, default=8, help="rows of 256 tokens")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    steps = chain()
    make = partial(make_run, arguments)
    ends = {name: steps[name] for name in (*list(steps)[:1], *list(steps)[-1:])}
    sweep = [
        run_once(make(name, config, lr, 0), arguments.runs)
        for lr in LRS
        for name, config in ends.items()
    ]
    lr = best_lr(sweep)
    content = {"lr": lr, "sweep": [brief(result) for result in sweep]}
    results: list[dict[str, Any]] = []
    longer: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        for name, config in steps.items():
            results.append(run_once(make(name, config, lr, seed), arguments.runs))
            write(arguments, content, results, longer)
    for seed in range(arguments.seeds):
        for name, config in short_contexts(steps).items():
            run = make(name, config, lr, seed, context=SHORT, steps=arguments.steps // 2)
            longer.append(run_once(run, arguments.runs, measure=loss_by_position))
            write(arguments, content, results, longer)


def chain() -> dict[str, ModelConfig]:
    """The configurations by name, each made from the one before, all of about one size."""
    steps = {"GPT": GPT}
    for name, changes in SWAPS.items():
        before = list(steps.values())[-1]
        steps[name] = fitted(before.replace(**changes), GPT.n_params)
    return steps


def fitted(config: ModelConfig, n_params: int) -> ModelConfig:
    """``config`` with the feed-forward width that comes nearest to ``n_params``."""
    widths = (config.replace(hidden_dim=width) for width in range(8, 1024, 8))
    return min(widths, key=lambda config: abs(config.n_params - n_params))


def short_contexts(steps: dict[str, ModelConfig]) -> dict[str, ModelConfig]:
    """Learned against rotary positions; the table of angles is no weight and may be longer."""
    return {
        "learned positions, context 64": steps["RMSNorm"].replace(max_seq_len=SHORT),
        "RoPE, context 64": steps["RoPE"],
    }


def make_run(
    arguments: argparse.Namespace,
    name: str,
    config: ModelConfig,
    lr: float,
    seed: int,
    context: int = GPT.max_seq_len,
    steps: int | None = None,
) -> Run:
    """A run on the tales, with as many tokens a step whatever the context."""
    steps = arguments.steps if steps is None else steps
    rows = arguments.batch_size * GPT.max_seq_len // context
    settings = TrainConfig(
        total_steps=steps,
        peak_lr=lr,
        warmup_steps=steps // 8,
        autocast="bfloat16",
    )
    n_tales = arguments.steps * arguments.batch_size * 256 // 100  # none is seen twice
    told = (tale.text for tale in tales(n_tales, "train"))
    held_out = (tale.text for tale in tales(500, "validation"))
    training = tokens(told, arguments.runs / "training.tokens", f"tales {n_tales}")
    validation = tokens(held_out, arguments.runs / "validation.tokens", "held out")
    return Run(
        name,
        config,
        settings,
        TokenStream(training, rows, context, seed=seed),
        TokenStream(validation, 1, context),
        seed,
    )


def tokens(texts: Iterable[str], path: Path, source: str) -> Path:
    """The texts as tokens of the shipped tokenizer; made once."""
    return tokenize(texts, load_tokenizer(SHIPPED["tales"].tokenizer), path, source)


def best_lr(sweep: list[dict[str, Any]]) -> float:
    """The rate with the lowest loss over both ends of the chain."""
    total = {lr: sum(r["validation_loss"] for r in sweep if r["lr"] == lr) for lr in LRS}
    return min(total, key=lambda lr: total[lr])


def brief(result: dict[str, Any]) -> dict[str, Any]:
    """What the file keeps of a run of the sweep."""
    return {key: result[key] for key in ("name", "lr", "validation_loss")}


@torch.no_grad()
def loss_by_position(model: Transformer) -> dict[str, Any]:
    """Mean loss in whole tales, in buckets of 16 positions, or the error that there is."""
    tokenizer = load_tokenizer(SHIPPED["tales"].tokenizer)
    texts = [tale.text for tale in tales(500, "validation")]
    ids = [torch.tensor(tokenizer.encode(text, bos=True, eos=True)) for text in texts]
    within = [i[: SHORT + 1] for i in ids]
    result = {"bucket": BUCKET, "within": buckets(token_losses(model, tale) for tale in within)}
    try:
        result["whole"] = buckets(token_losses(model, tale) for tale in ids)
    except ValueError as error:
        result["error"] = str(error)
    result["window"] = buckets(windowed_losses(model, tale) for tale in ids[:WINDOWED_TALES])
    return result


def token_losses(model: Transformer, ids: torch.Tensor) -> torch.Tensor:
    """The loss of each token but the first."""
    return F.cross_entropy(model(ids[None, :-1])[0], ids[1:], reduction="none")  # (T,)


def windowed_losses(model: Transformer, ids: torch.Tensor) -> torch.Tensor:
    """The same from no more than the last 64 tokens, which any model can read."""
    start = token_losses(model, ids[: SHORT + 1])
    if len(ids) <= SHORT + 1:
        return start
    windows = ids.unfold(0, SHORT + 1, 1)[1:]  # (N, 65)
    last = F.cross_entropy(model(windows[:, :-1])[:, -1], windows[:, -1], reduction="none")
    return torch.cat([start, last])


def buckets(rows: Iterable[torch.Tensor]) -> list[float]:
    """Mean over all rows that reach a bucket of 16 positions."""
    parts: list[list[torch.Tensor]] = [[] for _ in range(WHOLE // BUCKET)]
    for losses in rows:
        for part, values in zip(parts, losses.split(BUCKET), strict=False):
            part.append(values)
    return [round(torch.cat(part).mean().item(), 4) for part in parts if part]


def write(
    arguments: argparse.Namespace,
    content: dict[str, Any],
    results: list[dict[str, Any]],
    longer: list[dict[str, Any]],
) -> None:
    """The file with everything that is known so far."""
    command = f"python benchmarks/swaps.py --runs RUNS --json {arguments.json.name}"
    sizes = {"steps": arguments.steps, "tokens": arguments.steps * arguments.batch_size * 256}
    entries = summary(results)
    for entry in entries:
        entry["kv_bytes_per_token"] = ModelConfig(**entry["model"]).kv_bytes_per_token("float16")
    keys = ("name", "seed", "validation_loss", "bucket", "within", "whole", "window", "error")
    positions = [{key: result[key] for key in keys if key in result} for result in longer]
    record(arguments.json, command, sizes | content | {"chain": entries, "longer": positions})


if __name__ == "__main__":
    main()
