"""How fast both engines decode with weights of 32, 16, 8 and 4 bits, and in how much memory.

    python benchmarks/quantization.py                         # the shape of stories110M, one thread
    python benchmarks/quantization.py --shape 15M 110M 1.1B --threads 1 2
    python benchmarks/quantization.py --shape 7B --kinds int4 --engines torch
    python benchmarks/quantization.py --shape 110M 1.1B --peer llama.cpp      # beside llama.cpp

Weights are random and made tensor by tensor, so that of a 7B model in int4 nothing larger is ever
there. Each contender is a process of its own, which continues a prompt of 16 tokens greedily when
its turn comes: in each round all take turns, and what else the machine does hits them alike. Of
each, the best round counts. With one thread time is the processor time that the process had; with
several it is the clock's, and means something on a quiet machine only.

``of the limit``: the bytes of weights that a token needs over what the fastest reading found here
would take for them, one pass through 256 MB; a decoder that reads them once cannot be faster.
``memory`` is the most that the process held, Python and libraries included (torch alone: 0.2 GB).
``first token`` is that of a prompt of 128.

``--peer llama.cpp`` lets llama.cpp take turns (``pip install llama-cpp-python``) on files that
`save_model` has written: F32, BF16, Q8_0 for int8 and Q4_0 for int4. ``to the peer`` is how many
times as fast as it with the same kind of weights, the median of the rounds' ratios.

``--json FILE`` writes what the book shows; what the file has of other shapes, threads and
contenders from the same processor stays. The book's is ``llama_tutorial/data/quantization.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from recorded_runs import record

from llama_tutorial import PRESETS, ModelConfig
from llama_tutorial.numpy_llama.llama2c import Header

SHAPES = {
    "15M": "stories15M",
    "110M": "stories110M",
    "1.1B": "tinyllama-1.1b",
    "7B": "llama-2-7b",
}
KINDS = ("float32", "bfloat16", "int8", "int4")
ENGINES = ("torch", "numpy")
PEER = "llama.cpp"
# What the files are called that hold each kind, and what `save_model` has to be asked for.
ASKED = {"float32": None, "bfloat16": None, "int8": "q8_0", "int4": "q4_0"}
BITS = {"float32": 32, "bfloat16": 16, "int8": 8.5, "int4": 4.5}  # of a weight in these files
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PROMPT = [1 + i % 200 for i in range(128)]
SHORT = 16


def main() -> None:
    """Start the contenders, let them take turns, print the table."""
    arguments = parse()
    if arguments.worker:
        work(arguments)
        return
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for threads in arguments.threads:
        limit = bandwidth(threads)
        print(f"\n{threads} thread(s); weights are read at {limit / 1e9:.1f} GB/s at most")
        for shape in arguments.shape:
            results = race(shape, threads, limit, arguments)
            if arguments.json:
                write_json(arguments.json, results)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs="+", choices=[*SHAPES], default=["110M"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=[*ENGINES])
    parser.add_argument("--peer", choices=[PEER], help="let it take turns")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--clock", choices=["cpu", "wall"], help="by default cpu with one thread")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def race(
    shape: str, threads: int, limit: float, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """All contenders of one shape; what was measured of each."""
    engines = [*arguments.engines, *([arguments.peer] if arguments.peer else [])]
    contenders = [
        (engine, kind)
        for kind in arguments.kinds
        for engine in engines
        if (engine, kind) != ("numpy", "bfloat16")
    ]
    clock = arguments.clock or ("cpu" if threads == 1 else "wall")
    workers = {pair: start(shape, pair, threads, clock, arguments) for pair in contenders}
    ready = {pair: answer(worker) for pair, worker in workers.items()}
    rounds: dict[Any, list[dict[str, Any]]] = {pair: [] for pair in contenders}
    for _ in range(arguments.rounds):
        for pair, worker in workers.items():
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
            rounds[pair].append(answer(worker))
    n_params = PRESETS[SHAPES[shape]].n_params
    print(
        f"\n{shape}: {n_params:,} parameters; {clock} time, the best of {arguments.rounds} rounds"
    )
    head = f"{'':18} {'tokens/s':>9} {'of the limit':>13} {'first token':>12}"
    print(f"{head} {'weights':>9} {'memory':>8} {'made in':>8} {'to the peer':>12}")
    results = []
    for pair in contenders:
        token = min(result["token"] for result in rounds[pair])
        result = {
            "shape": shape,
            "threads": threads,
            "engine": pair[0],
            "kind": pair[1],
            "version": ready[pair]["version"],
            "clock": clock,
            "tokens_a_second": digits(1 / token),
            "of_the_limit": digits(ready[pair]["bytes"] / limit / token),
            "limit_gb_a_second": digits(limit / 1e9),
            "first_token_s": digits(min(result["first"] for result in rounds[pair])),
            "weights_gb": digits(ready[pair]["bytes"] / 1e9),
            "memory_gb": digits(rounds[pair][-1]["memory"] / 1e9),
            "made_in_s": digits(ready[pair]["made"]),
            "load": digits(os.getloadavg()[0]),
            "command": command(),
        }
        if arguments.peer and pair[0] != arguments.peer:
            theirs = rounds[arguments.peer, pair[1]]
            ratios = [a["token"] / b["token"] for a, b in zip(theirs, rounds[pair], strict=True)]
            result["to_the_peer"] = digits(statistics.median(ratios))
        results.append(result)
        print(
            f"{' '.join(pair):18} {1 / token:9.2f} {result['of_the_limit']:12.0%}  "
            f"{result['first_token_s']:10.2f} s {result['weights_gb']:6.2f} GB "
            f"{result['memory_gb']:5.2f} GB {result['made_in_s']:6.1f} s "
            f"{result.get('to_the_peer', ''):>11}",
            flush=True,
        )
        workers[pair].communicate()  # closes its input, by which it ends
    return results


def command() -> str:
    """What was typed, without where to write the results."""
    words = sys.argv[1:]
    if "--json" in words:
        at = words.index("--json")
        del words[at : at + 2]
    return " ".join(["python benchmarks/quantization.py", *words])


def digits(number: float) -> float:
    """To three significant digits."""
    return float(f"{number:.3g}")


def write_json(path: Path, results: list[dict[str, Any]]) -> None:
    """Put results into a file beside what it has of others from the same processor."""
    machine = f"{processor()}, {os.cpu_count()} cores"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    earlier = found["results"] if found.get("machine") == machine else []
    names = ("shape", "threads", "engine", "kind")
    kept = {tuple(result[name] for name in names): result for result in [*earlier, *results]}
    content = {"machine": machine, "results": [*kept.values()]}
    record(path, "python benchmarks/quantization.py --json FILE, as each result says", content)


def start(
    shape: str, pair: tuple[str, str], threads: int, clock: str, arguments: argparse.Namespace
) -> subprocess.Popen[str]:
    """A contender's process."""
    words = [sys.executable, __file__, "--worker", *pair, "--shape", shape, "--clock", clock]
    words += ["--new-tokens", str(arguments.new_tokens)]
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(words, env=environment, text=True, **pipes)  # type: ignore[call-overload]


def answer(worker: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that a contender writes."""
    assert worker.stdout is not None
    if not (line := worker.stdout.readline()):
        raise SystemExit(f"a contender has failed: {worker.args!r}")
    return json.loads(line)


def work(arguments: argparse.Namespace) -> None:
    """A contender: make the model, then measure whenever a line comes in."""
    engine, kind = arguments.worker
    if arguments.write:
        write_file(arguments.write, kind, arguments)
        return
    config = PRESETS[SHAPES[arguments.shape[0]]].replace(max_seq_len=256)
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    begin = time.perf_counter()
    model, stream = MAKERS[engine](config, kind)
    answer = {
        "made": time.perf_counter() - begin,
        "bytes": bytes_of_a_token(model, engine, config, kind),
        "version": version(engine),
    }
    stream(PROMPT[:SHORT], 2)
    print(json.dumps(answer), flush=True)
    for _ in sys.stdin:
        begin = clock()
        stream(PROMPT, 1)
        first = clock() - begin
        begin = clock()
        stream(PROMPT[:SHORT], 1)
        short = clock() - begin
        begin = clock()
        stream(PROMPT[:SHORT], 1 + arguments.new_tokens)
        token = (clock() - begin - short) / arguments.new_tokens
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"first": first, "token": token, "memory": memory}), flush=True)


def version(engine: str) -> str:
    """Of the library that computes."""
    library = sys.modules[{"torch": "torch", "numpy": "numpy", PEER: "llama_cpp"}[engine]]
    return str(library.__version__)


class Weights(Mapping[str, np.ndarray]):
    """Random weights by Meta's names, each made when it is asked for."""

    def __init__(self, config: ModelConfig) -> None:
        self.shapes = dict(Header(1, config).entries())

    def __getitem__(self, name: str) -> np.ndarray:
        shape = self.shapes[name]
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        generator = np.random.default_rng([*name.encode()])
        weight = generator.random(shape, np.float32)
        weight -= np.float32(0.5)
        weight *= np.float32(3 / shape[1] ** 0.5)
        return weight

    def __iter__(self) -> Iterator[str]:
        ends = ["tok_embeddings.weight", "norm.weight", "output.weight"]  # first in Meta's files
        return iter(sorted(self.shapes, key=lambda name: name not in ends))

    def __len__(self) -> int:
        return len(self.shapes)


def make_torch(config: ModelConfig, kind: str) -> tuple[Any, Any]:
    """The PyTorch engine, as `load` gives it."""
    import torch

    from llama_tutorial import stream
    from llama_tutorial._util.fast_linear import fast_linear
    from llama_tutorial.checkpoints.weights import Checkpoint, empty_model, fill

    torch.set_num_threads(int(os.environ[THREADS[0]]))
    weights = Weights(config)

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        for name in weights:
            shape = weights.shapes[name]
            if is_wide or len(shape) == 1:
                yield name, torch.from_numpy(weights[name])
            else:  # as from a file of 16 bits: the head of a 7B model would be half a GB in float32
                bound = 1.5 / shape[1] ** 0.5
                yield name, torch.empty(shape, dtype=torch.bfloat16).uniform_(-bound, bound)

    quantize = kind if kind.startswith("int") else None
    # What is not packed is 16 bits wide in a file of that size.
    is_wide = kind == "float32" or (quantize is not None and config.n_params < 1e9)
    dtype = torch.float32 if is_wide else torch.bfloat16
    checkpoint = Checkpoint(Path("random"), "random", "float32", empty_model(config), tensors)
    model = fast_linear(fill(checkpoint, dtype, "cpu", quantize))
    return model, lambda prompt, n: list(stream(model, prompt, n, temperature=0))  # type: ignore[arg-type]


def make_numpy(config: ModelConfig, kind: str) -> tuple[Any, Any]:
    """The NumPy engine."""
    from llama_tutorial.numpy_llama import NumpyLlama

    quantize: Any = kind if kind.startswith("int") else None
    model = NumpyLlama(config, Weights(config), quantize)
    return model, lambda prompt, n: list(model.stream(prompt, n, temperature=0))


def make_peer(config: ModelConfig, kind: str) -> tuple[Any, Any]:
    """llama.cpp, on a file of ours: its bare calls, and the likeliest id by NumPy."""
    import llama_cpp

    threads = int(os.environ[THREADS[0]])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        shape = next(key for key, name in SHAPES.items() if PRESETS[name].dim == config.dim)
        words = ["--worker", "torch", kind, "--shape", shape, "--write", str(path)]
        subprocess.run([sys.executable, __file__, *words], check=True)
        settings = {"n_threads": threads, "n_threads_batch": threads, "n_ctx": 256}
        settings |= {"use_mmap": False, "verbose": False}
        model = llama_cpp.Llama(str(path), **settings)
    context, vocab = model._ctx.ctx, config.vocab_size

    def stream(prompt: list[int], n: int) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        ids = prompt
        for _ in range(n):
            batch = llama_cpp.llama_batch_get_one(
                (llama_cpp.llama_token * len(ids))(*ids), len(ids)
            )
            assert llama_cpp.llama_decode(context, batch) == 0
            logits = llama_cpp.llama_get_logits_ith(context, -1)
            ids = [int(np.ctypeslib.as_array(logits, (vocab,)).argmax())]

    return model, stream


def write_file(path: Path, kind: str, arguments: argparse.Namespace) -> None:
    """The same weights as llama.cpp reads them."""
    from llama_tutorial import save_model

    config = PRESETS[SHAPES[arguments.shape[0]]].replace(max_seq_len=256)
    is_wide = kind == "float32" or (kind != "bfloat16" and config.n_params < 1e9)
    model, _ = make_torch(config, "float32" if is_wide else "bfloat16")
    save_model(model, path, "gguf", quantize=ASKED[kind])


MAKERS = {"torch": make_torch, "numpy": make_numpy, PEER: make_peer}


def bytes_of_a_token(model: Any, engine: str, config: ModelConfig, kind: str) -> int:
    """Bytes of all weights that a token needs: all but the embedding, of which it needs a row."""
    if engine == PEER:
        import llama_cpp

        untied = 0 if config.tie_embeddings else config.vocab_size * config.dim
        return llama_cpp.llama_model_size(model.model) - int(untied * BITS[kind] / 8)
    if engine == "numpy":
        layers = [weight for layer in model.layers for weight in layer]
        arrays = [getattr(weight, "array", weight) for weight in [*layers, model.output]]
        return sum(array.nbytes for array in arrays)
    state = {name: tensor.nbytes for name, tensor in model.state_dict().items()}
    if any(name.startswith("output.") for name in state):
        state = {name: n for name, n in state.items() if not name.startswith("tok_embeddings.")}
    return sum(state.values())


def bandwidth(threads: int) -> float:
    """Bytes a second of the fastest of three ways to read 256 MB once, in a process of its own."""
    code = (
        "import time, numpy as np\n"
        "from llama_tutorial.quantization.packed import FloatMatrix, kernels\n"
        "W, x = np.ones((2**14, 2**12), np.float32), np.ones((1, 2**12), np.float32)\n"
        "ways = [lambda: W @ x[0], lambda: FloatMatrix(W).times(x), lambda: W.max()]\n"
        f"clock = time.process_time if {threads} == 1 else time.perf_counter\n"
        "def seconds(way):\n"
        "    begin = clock(); way(); return clock() - begin\n"
        "[way() for way in ways]\n"
        "print(W.nbytes / min(seconds(way) for _ in range(9) for way in ways))\n"
    )
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    words = [sys.executable, "-c", code]
    return float(subprocess.run(words, env=environment, stdout=-1, check=True).stdout)


def processor() -> str:
    """The processor's name, where the system tells it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    widest = next((flag for flag in ("amx_tile", "avx512f", "avx2") if flag in " ".join(lines)), "")
    return f"{names[0]} ({widest})" if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
