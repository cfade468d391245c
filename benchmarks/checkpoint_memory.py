"""How much memory loading a checkpoint takes: the whole process, as it goes, at any size.

    python benchmarks/checkpoint_memory.py FOLDER --preset llama-2-7b --forms meta-1
    python benchmarks/checkpoint_memory.py FOLDER --preset llama-2-7b --layers 2 --naive

A checkpoint of that preset's shape (or of its first ``--layers`` layers) is written to FOLDER with
random bfloat16 weights, one tensor at a time, and converted to each of ``--forms``: ``meta-N``, N
shards, or ``huggingface``. Each is then loaded in a new process, which generates one token, while
this one reads from ``/proc`` what it holds:

- *resident*: everything, the pages of mapped files among it, which the system can take back;
- *anonymous*: what is in memory alone, the copies.

The table gives the peaks of both over the size of the checkpoint's files. ``--naive`` adds the
usual way for comparison: build the model, read the whole file, copy. ``--json FILE`` writes all of
it with the course of the memory. FOLDER needs room for the checkpoint twice. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from llama_tutorial import PRESETS, ModelConfig, generate, load_model, save_model
from llama_tutorial.checkpoints import open_checkpoint
from llama_tutorial.checkpoints.weights import empty_model
from llama_tutorial.model import Transformer

EVERY = 0.02  # seconds between two looks
POINTS = 150  # of the course of the memory in the JSON
CHILD = "--load-and-generate"


def random_tensors(like: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Weights of the size that a fresh model's have, one tensor at a time."""
    torch.manual_seed(0)
    for name, tensor in like.items():
        weight = torch.empty(tensor.shape, dtype=tensor.dtype)
        yield name, weight.fill_(1) if weight.ndim == 1 else weight.normal_(std=0.02)


def write_native(config: ModelConfig, folder: Path) -> None:
    """A native checkpoint with random weights, without the model in memory."""
    from llama_tutorial.checkpoints import native
    from llama_tutorial.checkpoints.folders import (
        CONFIG,
        NATIVE_FORMAT,
        SAFETENSORS,
        write_json,
    )
    from llama_tutorial.checkpoints.safetensors_file import save_safetensors

    folder.mkdir(parents=True)
    contents = {"format": NATIVE_FORMAT, "version": native.VERSION, "model": config.to_dict()}
    write_json(contents, folder / CONFIG)
    like = empty_model(config).to(torch.bfloat16).state_dict()
    save_safetensors(random_tensors(like), like, folder / SAFETENSORS)


def write_form(native: Path, folder: Path, form: str) -> int:
    """Convert to ``meta-N`` or ``huggingface``; returns the bytes of the files with weights."""
    format, _, shards = form.partition("-")
    save_model(load_model(native), folder, format, shards=int(shards or 1))
    return sum(path.stat().st_size for path in folder.iterdir() if path.stat().st_size > 1e5)


def naive_load(folder: Path) -> Transformer:
    """What most tutorials do: the model, then all of the file, then a copy of each tensor."""
    with open_checkpoint(folder) as checkpoint:
        config = checkpoint.config
    model = Transformer(config).to(torch.bfloat16)
    path = folder / "consolidated.00.pth"
    weights = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(weights, strict=not config.tie_embeddings)  # Meta's files have a head
    return model


def load_and_generate(folder: Path, naive: bool) -> None:
    """What the measured process does."""
    start = time.perf_counter()
    model = naive_load(folder) if naive else load_model(folder)
    loaded = time.perf_counter()
    [ids] = generate(model, [[1]], 1, temperature=0)
    done = time.perf_counter()
    peak = memory_of("self", "VmHWM")[0]  # also between two looks
    times = {"load_s": loaded - start, "token_s": done - loaded}
    print(json.dumps({"resident": peak, "ids": ids, **times}))


def memory_of(process: int | str, *fields: str) -> list[int]:
    """What a process's status says, in bytes."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return [1024 * int(lines.get(field, "0 kB").split()[0]) for field in fields]


def measure(folder: Path, naive: bool) -> dict:
    """Load in a new process and look at it until it ends."""
    command = [sys.executable, __file__, str(folder), CHILD, *(["--naive"] if naive else [])]
    start, course = time.perf_counter(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            held = memory_of(process.pid, "VmRSS", "RssAnon")
            if held[0]:  # it has not ended meanwhile
                course.append([round(time.perf_counter() - start, 2), *held])
            time.sleep(EVERY)
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"loading failed with exit code {process.returncode}")
    anonymous = max(entry[2] for entry in course)
    return {"anonymous": anonymous, "course": course, **json.loads(output.splitlines()[-1])}


def report(name: str, size: int, result: dict) -> None:
    """One row of the table."""
    gigabytes = [size / 1e9, result["resident"] / 1e9, result["anonymous"] / 1e9]
    ratios = [result["resident"] / size, result["anonymous"] / size]
    numbers = [*gigabytes, *ratios, result["load_s"], result["token_s"]]
    print(f"{name:22}" + "".join(f"{number:11.3f}" for number in numbers), flush=True)


def write_json(arguments: argparse.Namespace, results: dict) -> None:
    """The figures, with what it takes to get them again."""
    words = ["--preset", arguments.preset, "--forms", *arguments.forms]
    words += ["--layers", str(arguments.layers)] if arguments.layers else []
    words += ["--naive"] if arguments.naive else []
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    for result in results.values():
        result["course"] = result["course"][:: len(result["course"]) // POINTS + 1]
    about = {
        "command": " ".join(["python benchmarks/checkpoint_memory.py FOLDER", *words]),
        "machine": f"{machine}, {gibibytes:.0f} GiB",
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    arguments.json.write_text(json.dumps({**about, "forms": results}) + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the checkpoints are written")
    parser.add_argument("--preset", default="llama-2-7b", choices=PRESETS)
    parser.add_argument("--layers", type=int, help="only so many of the preset's layers")
    parser.add_argument("--forms", nargs="+", default=["meta-1", "meta-2", "huggingface"])
    parser.add_argument("--naive", action="store_true", help="the usual way too, for comparison")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument(CHILD, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Read the arguments, write the checkpoints, print the table."""
    arguments = parse_arguments()
    if arguments.load_and_generate:
        load_and_generate(arguments.folder, arguments.naive)
        return
    config = PRESETS[arguments.preset]
    if arguments.layers:
        config = config.replace(n_layers=arguments.layers)
    source = arguments.folder / "native"
    write_native(config, source)
    heads = ["file GB", "resident", "anonymous", "res/file", "anon/file", "load s", "token s"]
    print(f"{config.n_params:,} parameters in bfloat16, peaks in GB\n{'':22}", end="")
    print("".join(f"{head:>11}" for head in heads))
    results = {}
    for form in arguments.forms:
        folder = arguments.folder / form
        size = write_form(source, folder, form)
        for naive in [False, True] if arguments.naive and form == "meta-1" else [False]:
            name = f"{form}, naive" if naive else form
            results[name] = {"bytes": size, **measure(folder, naive)}
            report(name, size, results[name])
        shutil.rmtree(folder)
    shutil.rmtree(source)
    if arguments.json:
        write_json(arguments, results)


if __name__ == "__main__":
    main()
