"""``llama-tutorial generate``: continue a text."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from llama_tutorial._util.given_file import check_file, kind_of
from llama_tutorial._util.terminal import shown
from llama_tutorial.cli.engines import engine_processes, load_engine, sampling
from llama_tutorial.tokenizer.stop_strings import StopStrings


def run(arguments: argparse.Namespace) -> None:
    """Print each text and its continuations, piece by piece; several are a blank line apart."""
    if arguments.num_samples < 1:
        raise ValueError(f"--num-samples {arguments.num_samples}: must be at least 1")
    texts = _texts(arguments)
    with engine_processes(arguments):
        settings = sampling(arguments)
        model, tokenizer = load_engine(arguments.model, arguments)
        # llama2.c's models were trained on stories that begin with BOS and have no EOS.
        settings["stop_ids"] = {tokenizer.eos_id, tokenizer.bos_id}
        first = True
        for text in texts:
            for sample in range(arguments.num_samples):
                if not first:
                    print()
                first = False
                seed = None if arguments.seed is None else arguments.seed + sample
                _continue(text, model, tokenizer, arguments, {**settings, "seed": seed})


def _texts(arguments: argparse.Namespace) -> list[str]:
    texts = [_whole(sys.stdin.read()) if text == "-" else text for text in arguments.text]
    if arguments.prompt is not None:
        texts.append(arguments.prompt)
    if arguments.prompt_file is not None:
        path = Path(arguments.prompt_file)
        if not kind_of(path):
            raise FileNotFoundError(f"--prompt-file {path}: no such file")
        check_file(path)
        try:
            texts.append(_whole(path.read_text(encoding="utf-8-sig")))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8: {error.reason} at {error.start}") from None
    return texts or [""]


def _whole(text: str) -> str:
    """A text without the line break that ends a file, from which nobody wants to go on."""
    return text.removesuffix("\n")


def _continue(
    text: str, model: Any, tokenizer: Any, arguments: argparse.Namespace, settings: dict[str, Any]
) -> None:
    prompt = tokenizer.encode(text, bos=True)
    if len(prompt) > model.config.max_seq_len:
        raise ValueError(
            f"the text has {len(prompt)} tokens, more than the context of "
            f"{model.config.max_seq_len}: shorten it"
        )
    room = model.config.max_seq_len - len(prompt)
    most = room if arguments.max_new_tokens is None else arguments.max_new_tokens
    if arguments.engine == "numpy":
        ids = model.stream(prompt, most, **settings)
    else:
        from llama_tutorial.generation import stream

        ids = stream(model, prompt, most, **settings)
    decoder, stops = tokenizer.stream_decoder(), StopStrings(arguments.stop_strings)
    began, waited, n = time.perf_counter(), 0.0, 0
    for token in prompt:
        print(shown(decoder.feed(token)), end="")
    for token in ids:
        n += 1
        waited = waited or time.perf_counter() - began
        print(shown(stops.feed(decoder.feed(token))), end="", flush=True)
        if stops.found is not None:
            break
    print(shown(stops.feed(decoder.flush()) + stops.flush()))
    if n and (arguments.stats or sys.stderr.isatty()):
        rest = max(time.perf_counter() - began - waited, 1e-9)
        speed = f", then {(n - 1) / rest:.0f} tokens/s" if n > 1 else ""
        why = "the context is full" if most == room else "--max-new-tokens is reached"
        why = "the text has ended" if n < most else why
        why = why if stops.found is None else f"--stop {stops.found!r} is reached"
        tokens = f"{len(prompt)} tokens read, {n} written"
        print(f"[{tokens}; the first after {waited:.2f} s{speed}; {why}]", file=sys.stderr)
