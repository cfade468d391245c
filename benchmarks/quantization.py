"""How fast both engines decode with weights of 32, 16, 8 and 4 bits, and in how much memory.

    python benchmarks/quantization.py                         # the shape of stories110M, one thread
    python benchmarks/quantization.py --shape 15M 110M 1.1B --threads 1 2
    python benchmarks/quantization.py --shape 7B --kinds int4 --engines torch

Weights are random and made tensor by tensor, so that of a 7B model in int4 nothing larger is ever
there. Each contender is a process of its own, which continues a prompt of 16 tokens greedily when
its turn comes: in each round all take turns, and what else the machine does hits them alike. Of
each, the best round counts. With one thread time is the processor time that the process had; with
several it is the clock's, and means something on a quiet machine only.

``of the limit``: the bytes of weights that a token needs over what the fastest reading found here
would take for them, one pass through 256 MB; a decoder that reads them once cannot be faster.
``memory`` is the most that the process held, Python and libraries included (torch alone: 0.2 GB).
``first token`` is that of a prompt of 128.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

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
            race(shape, threads, limit, arguments)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs="+", choices=[*SHAPES], default=["110M"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=[*ENGINES])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--clock", choices=["cpu", "wall"], help="by default cpu with one thread")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def race(shape: str, threads: int, limit: float, arguments: argparse.Namespace) -> None:
    """All contenders of one shape."""
    contenders = [
        (engine, kind)
        for engine in arguments.engines
        for kind in arguments.kinds
        if (engine, kind) != ("numpy", "bfloat16")
    ]
    clock = arguments.clock or ("cpu" if threads == 1 else "wall")
    workers = {pair: start(shape, pair, threads, clock, arguments) for pair in contenders}
    ready = {pair: answer(worker) for pair, worker in workers.items()}
    rounds: dict[Any, list[dict[str, float]]] = {pair: [] for pair in contenders}
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
    head = f"{'':16} {'tokens/s':>9} {'of the limit':>13} {'first token':>12}"
    print(f"{head} {'weights':>9} {'memory':>8} {'made in':>8}")
    for pair in contenders:
        token = min(result["token"] for result in rounds[pair])
        first = min(result["first"] for result in rounds[pair])
        memory = rounds[pair][-1]["memory"]
        weights = ready[pair]["bytes"]
        print(
            f"{' '.join(pair):16} {1 / token:9.2f} {weights / limit / token:12.0%}  "
            f"{first:10.2f} s {weights / 1e9:6.2f} GB {memory / 1e9:5.2f} GB "
            f"{ready[pair]['made']:6.1f} s",
            flush=True,
        )
        workers[pair].communicate()  # closes its input, by which it ends


def start(
    shape: str, pair: tuple[str, str], threads: int, clock: str, arguments: argparse.Namespace
) -> subprocess.Popen[str]:
    """A contender's process."""
    words = [sys.executable, __file__, "--worker", *pair, "--shape", shape, "--clock", clock]
    words += ["--new-tokens", str(arguments.new_tokens)]
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(words, env=environment, text=True, **pipes)  # type: ignore[call-overload]


def answer(worker: subprocess.Popen[str]) -> dict[str, float]:
    """The next line that a contender writes."""
    assert worker.stdout is not None
    if not (line := worker.stdout.readline()):
        raise SystemExit(f"a contender has failed: {worker.args!r}")
    return json.loads(line)


def work(arguments: argparse.Namespace) -> None:
    """A contender: make the model, then measure whenever a line comes in."""
    engine, kind = arguments.worker
    config = PRESETS[SHAPES[arguments.shape[0]]].replace(max_seq_len=256)
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    begin = time.perf_counter()
    model, stream = MAKERS[engine](config, kind)
    answer = {"made": time.perf_counter() - begin, "bytes": bytes_of_a_token(model, engine)}
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
        return iter(self.shapes)

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
        for name, shape in weights.shapes.items():
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


MAKERS = {"torch": make_torch, "numpy": make_numpy}


def bytes_of_a_token(model: Any, engine: str) -> int:
    """Bytes of all weights that a token needs: all but the embedding, of which it needs a row."""
    if engine == "numpy":
        layers = [weight for layer in model.layers for weight in layer]
        arrays = [getattr(weight, "array", weight) for weight in [*layers, model.output]]
        return sum(array.nbytes for array in arrays)
    state = {name: tensor.nbytes for name, tensor in model.state_dict().items()}
    has_head = any(name.startswith("output.") for name in state)
    return sum(state.values()) - (state["tok_embeddings.weight"] if has_head else 0)


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
