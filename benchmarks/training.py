"""How fast a training step is, side by side: ours against transformers', on the same weights.

    python benchmarks/training.py                     # the shape of the shipped model
    python benchmarks/training.py --threads 1 2 --batch-size 16 --autocast bfloat16

Both do a whole step on the same batch: forward, loss, backward, clipping to norm 1, the same fused
AdamW. transformers runs as it comes, with its default attention. The losses of the first steps are
compared before anything is timed. The contenders take turns, so that what else the machine does
hits them alike; it prints the median tokens a second of each and the ratios to transformers (above
1: ours is faster), the median of the rounds' ratios. ``packed`` is our step with document masks, as
pre-training uses it. On a busy machine, ``--clock cpu`` counts only the time that the process had
itself; with one thread only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch
from transformers import LlamaForCausalLM

from llama_tutorial import ModelConfig, Transformer, save_model
from llama_tutorial.training import autocast_to, make_optimizer, train_step

LR = 1e-3
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = time.perf_counter
Step = Callable[[torch.Tensor, torch.Tensor], float]


def main() -> None:
    """Compare, then time."""
    global clock
    arguments = parse()
    clock = CLOCKS[arguments.clock]
    torch.manual_seed(0)
    config = ModelConfig(
        dim=arguments.dim,
        n_layers=arguments.layers,
        n_heads=arguments.heads,
        n_kv_heads=arguments.kv_heads,
        hidden_dim=arguments.hidden_dim,
        vocab_size=arguments.vocab_size,
        max_seq_len=arguments.context,
        tie_embeddings=True,
    )
    ids = torch.randint(config.vocab_size, (arguments.batch_size, arguments.context + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    autocast = None if arguments.autocast is None else getattr(torch, arguments.autocast)
    contenders = make_contenders(config, autocast)
    check_equal(contenders, inputs, targets, tolerance=1e-4 if autocast is None else 2e-2)
    print(f"{config.n_params:,} parameters, {arguments.batch_size} x {arguments.context} tokens")
    results = {n: race(contenders, inputs, targets, arguments.rounds, n) for n in arguments.threads}
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"arguments": vars(arguments), "tokens_per_s": results}, file, indent=2)


def parse() -> argparse.Namespace:
    """The command line; the defaults are the shipped model's shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = {"dim": 128, "layers": 6, "heads": 8, "kv-heads": 4, "hidden-dim": 384}
    sizes |= {"vocab-size": 1024, "context": 256, "batch-size": 32, "rounds": 15}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--autocast", choices=["bfloat16"])
    parser.add_argument("--clock", choices=[*CLOCKS], default="wall")
    parser.add_argument("--json", help="write the results to this file too")
    arguments = parser.parse_args()
    if arguments.clock == "cpu" and arguments.threads != [1]:
        parser.error("--clock cpu adds the times of all threads: take --threads 1")
    return arguments


def make_contenders(config: ModelConfig, autocast: torch.dtype | None) -> dict[str, Step]:
    """Name to step; each has a model of its own, and all begin with the same weights."""
    model = Transformer(config)
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, f"{folder}/hf", format="huggingface")
        theirs = LlamaForCausalLM.from_pretrained(f"{folder}/hf", dtype=torch.float32)
    packed = Transformer(config)
    packed.load_state_dict(model.state_dict())
    return {
        "transformers": partial(their_step, theirs.train(), optimizer_of(theirs), autocast),
        "ours": partial(our_step, model, optimizer_of(model), autocast, 0),
        "ours, packed": partial(our_step, packed, optimizer_of(packed), autocast, 150),
    }


def optimizer_of(model: torch.nn.Module) -> torch.optim.Optimizer:
    """The same for everybody."""
    return make_optimizer(model, lr=LR)


def our_step(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    autocast: torch.dtype | None,
    document_length: int,
    inputs: torch.Tensor,
    targets: torch.Tensor,
) -> float:
    """Documents of ``document_length`` tokens are kept apart; 0 for one document a row."""
    documents = None
    if document_length:
        documents = (torch.arange(inputs.shape[1]) // document_length).expand_as(inputs)
    return train_step(
        model, optimizer, inputs, targets, lr=LR, documents=documents, autocast=autocast
    )


def their_step(
    model: LlamaForCausalLM,
    optimizer: torch.optim.Optimizer,
    autocast: torch.dtype | None,
    inputs: torch.Tensor,
    targets: torch.Tensor,
) -> float:
    """A plain step, with the loss that the model itself computes."""
    optimizer.zero_grad(set_to_none=True)
    with autocast_to(inputs.device, autocast):
        loss = model(input_ids=inputs, labels=targets, shift_labels=targets, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def check_equal(
    contenders: dict[str, Step], inputs: torch.Tensor, targets: torch.Tensor, tolerance: float
) -> None:
    """A speed for another computation would mean nothing."""
    for step in range(3):
        ours, theirs = (contenders[name](inputs, targets) for name in ("ours", "transformers"))
        if abs(ours - theirs) > tolerance:
            raise SystemExit(f"step {step}: the losses differ, {ours:.6f} and {theirs:.6f}")


def race(
    contenders: dict[str, Step],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    rounds: int,
    threads: int,
) -> dict[str, float]:
    """Median tokens a second of each; printed with the ratio to transformers."""
    torch.set_num_threads(threads)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, step in contenders.items():
            start = clock()
            step(inputs, targets)
            if turn:  # the first warms up
                seconds[name].append(clock() - start)
    speeds = {name: inputs.numel() / statistics.median(times) for name, times in seconds.items()}
    for name, speed in speeds.items():
        pairs = zip(seconds["transformers"], seconds[name], strict=True)
        ratio = statistics.median(theirs / own for theirs, own in pairs)
        print(f"{threads} threads  {name:<14} {speed:>9,.0f} tokens/s  {ratio:.2f}", flush=True)
    return speeds


if __name__ == "__main__":
    main()
