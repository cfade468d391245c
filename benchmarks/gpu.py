"""How much of a GPU is used: decoding against its memory, training against its arithmetic.

    python benchmarks/gpu.py                        # 7B decoding and 1.1B training; 80 GB of memory
    python benchmarks/gpu.py --parts decode --json results.json
    python benchmarks/gpu.py --device cpu --tiny    # tries the script itself

Both ceilings are measured first: the speed of a large copy (bytes read and written), and of a
product of two large bfloat16 matrices. Then

- ``decode``: a model of Llama 2 7B's shape with random bfloat16 weights, one row, greedy. Each
  token needs every matrix and all keys and values once, so the limit is the speed of the copy over
  those bytes.
- ``train``: whole steps (forward, loss, backward, clipping, fused AdamW) of TinyLlama's 1.1B shape
  in bfloat16 autocast over float32 weights. Counted are the operations of the matrix products,
  three passes, attention's causal half (``ModelConfig.flops_per_token``); utilisation is their
  speed over the ceiling's, and over the data sheet's where the GPU is a known one.

Each runs eager and compiled; the first rounds warm up and are not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from llama_tutorial import PRESETS, ModelConfig, Transformer, stream
from llama_tutorial.training import make_optimizer, train_step

# Dense bfloat16, TFLOP/s, from NVIDIA's data sheets.
DATA_SHEET = {"H200": 989.4, "H100": 989.4, "A100": 312.0, "L40S": 362.0, "L4": 121.0}
TINY = ModelConfig(64, 2, 4, 2, 96, 256, 128)
WARM_UP = 2


def main() -> None:
    """Measure and print; with ``--json`` also write."""
    arguments = parse()
    device = torch.device(arguments.device)
    results: dict[str, Any] = {"device": name_of(device), "torch": torch.__version__}
    results |= ceilings(device, arguments.tiny)
    show(results)
    parts = {"decode": decode, "train": train}
    for part in arguments.parts:
        for compiled in (False, True):
            label = f"{part} {'compiled' if compiled else 'eager'}"
            results[label] = parts[part](arguments, device, results, compiled)
            show({label: ""} | results[label])
            gc.collect()
            torch.compiler.reset()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"arguments": vars(arguments), "results": results}, file, indent=2)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, to try the script")
    parser.add_argument(
        "--parts", nargs="+", choices=["decode", "train"], default=["decode", "train"]
    )
    parser.add_argument("--new-tokens", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=8, help="rows of a training step")
    parser.add_argument("--rounds", type=int, default=10, help="training steps that are timed")
    parser.add_argument("--json", help="write the results to this file too")
    return parser.parse_args()


def ceilings(device: torch.device, tiny: bool) -> dict[str, float]:
    """What the device does at best: GB/s of a copy, TFLOP/s of a bfloat16 product."""
    size = 2**22 if tiny else 2**31
    source = torch.ones(size // 2, dtype=torch.bfloat16, device=device)
    target = torch.empty_like(source)
    n = 256 if tiny else 8192
    a, b = (torch.randn(n, n, device=device).bfloat16() for _ in range(2))
    return {
        "copy_gb_s": 2 * size / median_seconds(lambda: target.copy_(source), device) / 1e9,
        "matmul_tflop_s": 2 * n**3 / median_seconds(lambda: a @ b, device) / 1e12,
    }


def decode(
    arguments: argparse.Namespace, device: torch.device, ceiling: dict[str, Any], compiled: bool
) -> dict[str, float]:
    """Tokens a second after the first, and their share of what the memory allows."""
    config = TINY if arguments.tiny else PRESETS["llama-2-7b"]
    n = min(arguments.new_tokens, config.max_seq_len - 17)
    model = bfloat16_model(config, device)
    if compiled:
        model.compile()
    prompt = list(range(1, 17))

    def seconds_of_a_run() -> float:
        ids = stream(model, prompt, n + 1, temperature=0)
        next(ids)  # the prompt's pass
        began = now(device)
        assert len(list(ids)) == n
        return now(device) - began

    seconds = [seconds_of_a_run() for _ in range(WARM_UP + 3)][WARM_UP:]
    speed = n / statistics.median(seconds)
    # Of the embedding one row is read; of the cache, on average, the half that is filled.
    weights = 2 * (config.n_params - config.vocab_size * config.dim)
    cache = config.kv_bytes_per_token("bfloat16") * (len(prompt) + n // 2)
    limit = ceiling["copy_gb_s"] * 1e9 / (weights + cache)
    return {
        "tokens_s": speed,
        "limit_tokens_s": limit,
        "share_of_limit": speed / limit,
        "gb_a_token": (weights + cache) / 1e9,
        **peak_memory(device),
    }


def train(
    arguments: argparse.Namespace, device: torch.device, ceiling: dict[str, Any], compiled: bool
) -> dict[str, float]:
    """Tokens a second, and the share of the arithmetic that they use."""
    config = TINY if arguments.tiny else PRESETS["tinyllama-1.1b"]
    T = config.max_seq_len
    with device:
        model = Transformer(config)
    if compiled:
        model.compile()
    optimizer = make_optimizer(model, lr=1e-4)
    ids = torch.randint(config.vocab_size, (arguments.batch_size, T + 1), device=device)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def step() -> float:
        return train_step(model, optimizer, inputs, targets, lr=1e-4, autocast=torch.bfloat16)

    first = step()
    seconds = median_seconds(step, device, arguments.rounds)
    speed = inputs.numel() / seconds
    # A token sees (T + 1) / 2 keys on average.
    tflop_s = 3 * config.flops_per_token((T + 1) // 2) * speed / 1e12
    if not step() < first:
        raise SystemExit("the loss did not fall: a speed for another computation means nothing")
    result = {
        "tokens_s": speed,
        "tflop_s": tflop_s,
        "share_of_matmul": tflop_s / ceiling["matmul_tflop_s"],
        **peak_memory(device),
    }
    for name, peak in DATA_SHEET.items():
        if name in ceiling["device"]:
            return result | {"share_of_data_sheet": tflop_s / peak}
    return result


def bfloat16_model(config: ModelConfig, device: torch.device) -> Transformer:
    """Random weights, drawn where and as they are used: twice the memory would be too much."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            return Transformer(config).eval()
    finally:
        torch.set_default_dtype(before)


def median_seconds(work: Callable[[], Any], device: torch.device, rounds: int = 10) -> float:
    """Of one call, after some that warm up."""
    seconds = []
    for _ in range(WARM_UP + rounds):
        began = now(device)
        work()
        seconds.append(now(device) - began)
    return statistics.median(seconds[WARM_UP:])


def now(device: torch.device) -> float:
    """The time when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(device: torch.device) -> dict[str, float]:
    """The most memory that was in use since this was last asked."""
    if device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated(device) / 1e9
    torch.cuda.reset_peak_memory_stats(device)
    return {"peak_gb": peak}


def name_of(device: torch.device) -> str:
    """The product's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def show(figures: dict[str, Any]) -> None:
    """One line."""
    words = (f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items())
    print("  ".join(words).strip(), flush=True)


if __name__ == "__main__":
    main()
