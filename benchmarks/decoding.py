"""How fast both engines decode, side by side, from one file of random weights.

    python benchmarks/decoding.py             # the shape of stories15M, one thread, not compiled
    python benchmarks/decoding.py --shape 15M 110M --threads 1 2 --parts numpy eager compiled

A prompt of 16 tokens is continued greedily to the end of the context (110M: 200 tokens). In each
round the contenders take turns, so that what else the machine does hits them alike, and a ratio is
the median of the rounds' ratios. Every part runs in a process of its own, with its number of
threads, because two libraries' waiting threads would take the processor from each other. On a busy
machine, ``--clock cpu`` counts only the time that a process had itself; with one thread only.

``numpy``: the NumPy engine against three bounds. ``bandwidth`` is one product ``W @ x`` of as many
bytes as the weights that a token needs; no decoder that reads its weights once can be faster.
``no cache`` computes the whole text anew for the last position. ``growth`` is the time of a token
at the context's end over that at position 16. The course of both ways with the length of the text,
the output head on the last position alone, goes into the file.
``eager``: the PyTorch engine against transformers' ``generate``, on the same weights.
``batches``: the same for 2, 4 and 8 prompts of one length at once; a step gives each row a token.
``compiled``: the same under ``torch.compile``; transformers gets its static cache. Takes minutes.

``--json FILE`` writes what the book shows, in ratios: times mean little on another machine. What
the file has already of other shapes, threads and parts, from the same machine, stays there. The
book's is ``llama_tutorial/data/decoding.json``; ``python scripts/speed_table.py`` then brings the
README's table up to date.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llama_tutorial import PRESETS, ModelConfig
from llama_tutorial.numpy_llama import Cache, NumpyLlama, llama2c
from llama_tutorial.numpy_llama.llama2c import ROPE_TABLES, Header

PROMPT = list(range(1, 17))
MOST_NEW_TOKENS = 240
BATCHES = (2, 4, 8)
WINDOW = 8  # positions over which a token's time is averaged
LENGTHS = [1, 2, 4, 8, 16, 32, 64, 128, 256]  # of a text, for the course of a token's time
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
BARS = {
    "share of the bandwidth's limit": "at least 0.6",
    "times as fast as without a cache": "at least 20",
    "growth from position 16 to the end": "below 1.3",
    "eager: times transformers' speed": "at least 1.2",
    **{f"{n} rows: times transformers' speed": "at least 1" for n in BATCHES},
    "compiled: times transformers' speed": "at least 1",
}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = time.perf_counter
Rounds = dict[str, list[float]]
Engine = Callable[[], list[list[int]]]


def main() -> None:
    """Make the weights, run every part in its process, print the table."""
    arguments = parse()
    if arguments.worker:
        global clock
        clock = CLOCKS[arguments.clock]
        print(json.dumps(PARTS[arguments.worker](arguments.file, arguments)))
        return
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for shape in arguments.shape:
            file = Path(folder) / f"{shape}.bin"
            write_weights(file, PRESETS[f"stories{shape}"])
            for threads in arguments.threads:
                for part in arguments.parts:
                    result = run_part(part, file, threads, arguments)
                    results.append({"shape": shape, "threads": threads, "part": part, **result})
                    show(results[-1])
    if arguments.json:
        write_json(arguments, results)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--shape", nargs="+", choices=["260K", "15M", "42M", "110M"], default=["15M"]
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=["numpy", "eager"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--new-tokens", type=int, default=MOST_NEW_TOKENS, help="at most")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", type=Path, help="write the ratios to this file")
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    parser.add_argument("--machine", default=machine, help="what the file says it ran on")
    parser.add_argument("--worker", choices=[*PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clock == "cpu" and arguments.threads != [1]:
        parser.error("--clock cpu adds the times of all threads: take --threads 1")
    return arguments


def write_weights(path: Path, config: ModelConfig) -> None:
    """A llama2.c file of random weights, as large as a fresh model's."""
    generator = np.random.default_rng(0)
    tensors = {
        name: 0.02 * generator.standard_normal(shape, np.float32)
        if len(shape) == 2
        else np.ones(shape, np.float32)
        for name, shape in Header(0, config).entries()
        if name not in ROPE_TABLES
    }
    llama2c.write(path, config, tensors)


def run_part(part: str, file: Path, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One part in a process of its own; its medians and ratios."""
    options = ["--worker", part, "--file", str(file), "--rounds", str(arguments.rounds)]
    options += ["--new-tokens", str(arguments.new_tokens), "--clock", arguments.clock]
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    done = subprocess.run(
        [sys.executable, __file__, *options], env=environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def show(result: dict[str, Any]) -> None:
    """Print times and ratios of one part."""
    print(f"\n{result['shape']}, {result['threads']} thread(s), {result['part']}")
    for name, milliseconds in result["milliseconds"].items():
        median, best = statistics.median(milliseconds), min(milliseconds)
        print(f"  {name:38} {median:9.3f} ms  (best {best:.3f})  {1000 / median:8.1f} a second")
    for name, ratios in result["ratios"].items():
        print(f"  {name:38} {statistics.median(ratios):9.2f}     bar: {BARS[name]}", flush=True)


def write_json(arguments: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    """Medians, as ratios, with what it takes to get them again."""
    from importlib.metadata import version

    about = {
        "machine": arguments.machine,
        "versions": {name: version(name) for name in ("numpy", "torch", "transformers")},
    }
    kept = {place(result): result for result in earlier_results(arguments.json, about)}
    for result in results:
        times = result.pop("milliseconds")
        first = next(iter(times.values()))
        medians = {name: median(ratios(values, first)) for name, values in times.items()}
        result["ratios"] = {name: median(values) for name, values in result["ratios"].items()}
        kept[place(result)] = {**result, "relative": medians}
    shapes, threads, parts = (list(dict.fromkeys(column)) for column in zip(*kept, strict=True))
    words = ["--shape", *shapes, "--threads", *map(str, threads), "--parts", *parts]
    words += ["--clock", "cpu"] if arguments.clock == "cpu" else []
    command = {"command": " ".join(["python benchmarks/decoding.py", *words])}
    record = {**command, **about, "date": time.strftime("%Y-%m-%d"), "results": [*kept.values()]}
    arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def place(result: dict[str, Any]) -> tuple[str, int, str]:
    """What was measured."""
    return result["shape"], result["threads"], result["part"]


def earlier_results(path: Path, about: dict[str, Any]) -> list[dict[str, Any]]:
    """What the file has from the same machine and libraries."""
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["results"] if {key: found[key] for key in about} == about else []


def median(values: list[float]) -> float:
    """To three significant digits."""
    return float(f"{statistics.median(values):.3g}")


def rounds_of(contenders: dict[str, Callable[[], float]], n_rounds: int) -> Rounds:
    """Milliseconds of each contender in each round; the first round only warms up."""
    times: Rounds = {name: [] for name in contenders}
    for _ in range(n_rounds + 1):
        for name, contender in contenders.items():
            times[name].append(1000 * contender())
    return {name: values[1:] for name, values in times.items()}


def ratios(a: list[float], b: list[float]) -> list[float]:
    """How many times longer ``a`` takes than ``b``, round by round."""
    return [x / y for x, y in zip(a, b, strict=True)]


def seconds(call: Callable[[], object], repeat: int = 1) -> float:
    """The median of a few calls."""
    times = []
    for _ in range(repeat):
        start = clock()
        call()
        times.append(clock() - start)
    return statistics.median(times)


# The NumPy engine

MORE = 3  # times as many rounds: they are short, and two threads on small matrices vary


def numpy_part(file: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The engine against the bandwidth, against itself without a cache, early against late."""
    model = NumpyLlama.load(file)
    config, last = model.config, min(model.config.max_seq_len, 256) - 1
    # As many bytes as the weights of one token: a tied matrix is read once, as the head.
    rows = (config.n_params - config.vocab_size * config.dim * (not config.tie_embeddings)) // (
        config.dim
    )
    W, x = np.ones((rows, config.dim), np.float32), np.ones(config.dim, np.float32)
    cache, tokens = Cache(config, last + 1), [1] * (last + 1)
    model.hidden_states(tokens, cache)

    def token_at(position: int) -> Callable[[], float]:
        def step() -> None:
            cache.length = position
            model.logits(model.hidden_states([1], cache)[-1]).argmax()

        return lambda: seconds(step, WINDOW)

    new_tokens = min(arguments.new_tokens, config.max_seq_len - len(PROMPT))

    def generate() -> float:
        start = clock()
        assert len(list(model.stream(PROMPT, new_tokens, temperature=0))) == new_tokens
        return (clock() - start) / new_tokens

    times = rounds_of(
        {
            "bandwidth": lambda: seconds(lambda: W @ x, WINDOW),
            "a token, generating": generate,
            "a token at position 16": token_at(16),
            f"a token at position {last}": token_at(last),
            f"no cache, position {last}": lambda: seconds(lambda: model.forward(tokens)),
        },
        MORE * arguments.rounds,
    )
    limit, token, early, late, without = times.values()
    return {
        "positions": course(model, arguments.rounds),
        "milliseconds": times,
        "ratios": {
            "share of the bandwidth's limit": ratios(limit, token),
            "times as fast as without a cache": ratios(without, late),
            "growth from position 16 to the end": ratios(late, early),
        },
    }


def course(model: NumpyLlama, n_rounds: int) -> dict[str, Any]:
    """The time of a token by the length of the text, with and without a cache.

    In units of a token with the cache in the shortest text.
    """
    lengths = [n for n in LENGTHS if n <= model.config.max_seq_len]
    cache, ids = Cache(model.config, lengths[-1]), [1] * lengths[-1]
    model.hidden_states(ids, cache)

    def cached(n: int) -> float:
        def step() -> None:
            cache.length = n - 1
            model.logits(model.hidden_states([1], cache)[-1])

        return seconds(step, WINDOW)

    def anew(n: int) -> float:
        return seconds(lambda: model.logits(model.hidden_states(ids[:n])[-1]))

    ways = {"anew": anew, "cached": cached}
    times = rounds_of(
        {f"{way} {n}": partial(ways[way], n) for n in lengths for way in ways}, n_rounds
    )
    unit = times[f"cached {lengths[0]}"]
    return {"tokens": lengths} | {
        way: [median(ratios(times[f"{way} {n}"], unit)) for n in lengths] for way in ways
    }


# The PyTorch engine


def eager_part(file: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """``generate`` against transformers' as both come."""
    ours, theirs = torch_engines(file, arguments.new_tokens)
    return race("eager", "a token", ours, theirs, arguments.rounds)


def batches_part(file: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The same for several prompts at once."""
    result: dict[str, Any] = {"milliseconds": {}, "ratios": {}}
    for n in BATCHES:
        ours, theirs = torch_engines(file, arguments.new_tokens, rows=n)
        found = race(f"{n} rows", "a step", ours, theirs, arguments.rounds)
        for kind in result:
            result[kind] |= found[kind]
    return result


def compiled_part(file: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """``generate`` against transformers' with the forward pass compiled in both."""
    ours, theirs = torch_engines(file, arguments.new_tokens, compiled=True)
    return race("compiled", "a token", ours, theirs, arguments.rounds)


def race(kind: str, unit: str, ours: Engine, theirs: Engine, n_rounds: int) -> dict[str, Any]:
    """Compare the ids, then time both in turn."""
    new_tokens = len(ours()[0])
    if ours() != theirs():
        raise SystemExit(f"{kind}: the ids differ, and a speed for other ids would mean nothing")
    times = rounds_of(
        {
            f"{unit}, ours {kind}": lambda: seconds(ours) / new_tokens,
            f"{unit}, transformers {kind}": lambda: seconds(theirs) / new_tokens,
        },
        n_rounds,
    )
    mine, other = times.values()
    name = f"{kind}: times transformers' speed"
    return {"milliseconds": times, "ratios": {name: ratios(other, mine)}}


def torch_engines(
    file: Path, new_tokens: int, compiled: bool = False, rows: int = 1
) -> tuple[Engine, Engine]:
    """Two functions that continue ``rows`` prompts: ours and transformers', with equal weights."""
    import torch
    from transformers import LlamaForCausalLM

    from llama_tutorial import generate, load_model, save_model
    from llama_tutorial._util.fast_linear import fast_linear

    torch.set_num_threads(int(os.environ[THREADS[0]]))
    model: Any = load_model(file).eval()
    if not compiled:
        fast_linear(model)
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder) / "model", "huggingface")
        other = LlamaForCausalLM.from_pretrained(Path(folder) / "model", dtype=torch.float32).eval()
    n = min(new_tokens, model.config.max_seq_len - len(PROMPT))
    # The first row is the prompt; the others end in another token.
    prompts = [[*PROMPT[:-1], PROMPT[-1] + row] for row in range(rows)]
    prompt = torch.tensor(prompts)
    settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": n, "pad_token_id": 0}
    settings["attention_mask"] = torch.ones_like(prompt)
    other.generation_config.eos_token_id = None  # neither stops early
    if compiled:
        model = torch.compile(model)
        other.forward = torch.compile(other.forward)
        settings["cache_implementation"] = "static"

    def theirs() -> list[list[int]]:
        with torch.inference_mode():
            return other.generate(prompt, **settings)[:, len(PROMPT) :].tolist()

    return lambda: generate(model, prompts, n, temperature=0), theirs


PARTS = {
    "numpy": numpy_part,
    "eager": eager_part,
    "batches": batches_part,
    "compiled": compiled_part,
}

if __name__ == "__main__":
    main()
