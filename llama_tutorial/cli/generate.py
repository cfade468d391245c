"""``llama-tutorial generate``: continue a text."""

from __future__ import annotations

import argparse

from llama_tutorial._util.terminal import shown
from llama_tutorial.cli.engines import engine_processes, load_engine, sampling


def run(arguments: argparse.Namespace) -> None:
    """Print the prompt and the model's continuation, piece by piece."""
    with engine_processes(arguments):
        settings = sampling(arguments)
        model, tokenizer = load_engine(arguments.checkpoint, arguments)
        prompt = tokenizer.encode(arguments.prompt, bos=True)
        # llama2.c's models were trained on stories that begin with BOS and have no EOS.
        settings["stop_ids"] = {tokenizer.eos_id, tokenizer.bos_id}
        room = max(model.config.max_seq_len - len(prompt), 0)
        new_tokens = room if arguments.max_new_tokens is None else arguments.max_new_tokens
        if arguments.engine == "numpy":
            ids = model.stream(prompt, new_tokens, **settings)
        else:
            from llama_tutorial.generation import stream

            ids = stream(model, prompt, new_tokens, **settings)
        decoder = tokenizer.stream_decoder()
        for token in prompt:
            print(shown(decoder.feed(token)), end="")
        for token in ids:
            print(shown(decoder.feed(token)), end="", flush=True)
        print(shown(decoder.flush()))
