"""How consistent the tales of a model are: names, objects and places kept straight.

    python benchmarks/tales.py                        # the shipped base models
    python benchmarks/tales.py path/to/a/model --tales 200

Every row is the share of claims that hold and the share of sentences that could be read, by
:func:`llama_tutorial.tales.mean_consistency`, so that one stands beside the other. Free tales begin
at nothing. *Held out* begins with the first two sentences of test tales, whose combinations of a
name, an object and a place are in no training tale. *New* is the share of tales that are not, word
for word, among the first hundred thousand that the models were trained on. *Alike* is the share in
which somebody comes in who has the name of somebody there: a boy meets a friend of his own name.
Below stand the story world's own tales and those tales with their sentences shuffled, as the ends
of the scale.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Sequence
from typing import Any

import torch

from llama_tutorial import Transformer, generate, load
from llama_tutorial.tales import mean_consistency, tales
from llama_tutorial.tales.reading import split_units

SEED = 0
BATCH = 50
# How the story world brings somebody in: "a small girl called Maya", "his best friend Ben".
NEWCOMER = re.compile(r"\b(?:an? (?:[a-z-]+ ){1,4}(?:named|called)|friend) ([A-Z][a-z]+)")


def main() -> None:
    """Print a table for every model, and the two ends of the scale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["tales", "tales-small"])
    parser.add_argument("--tales", type=int, default=200, help="for every row")
    arguments = parser.parse_args()
    known = {tale.text for tale in tales(100_000)}
    print(f"{'':<34} {'score':>6} {'parsed':>7} {'new':>6} {'alike':>6}")
    for name in arguments.models:
        model, tokenizer = load(name, dtype=torch.float32)
        for temperature in (0.0, 0.5, 0.7, 1.0):
            n = 1 if temperature == 0 else arguments.tales
            texts = tell(model, tokenizer, [""] * n, temperature)
            report(f"{name}, temperature {temperature}", texts, known)
        # With the top-p that `generate` and the pages of the book have by default.
        texts = tell(model, tokenizer, [""] * arguments.tales, 0.7, top_p=0.9)
        report(f"{name}, 0.7, top-p 0.9", texts, known)
        starts = [beginning(tale.text) for tale in tales(arguments.tales, "test")]
        report(f"{name}, held out, 0.7", tell(model, tokenizer, starts, 0.7), known)
    own = [tale.text for tale in tales(arguments.tales, "test")]
    report("the story world", own, known)
    report("the same, shuffled", [shuffled(text) for text in own], known)


def tell(
    model: Transformer,
    tokenizer: Any,
    starts: Sequence[str],
    temperature: float,
    top_p: float = 1.0,
) -> list[str]:
    """Each start with what the model makes of it."""
    texts = []
    for first in range(0, len(starts), BATCH):
        prompts = [tokenizer.encode(start, bos=True) for start in starts[first : first + BATCH]]
        room = model.config.max_seq_len - max(map(len, prompts))
        rows = generate(
            model,
            prompts,
            room,
            temperature=temperature,
            top_p=top_p,
            seed=SEED + first,
            stop_ids={tokenizer.eos_id},
        )
        texts += [
            tokenizer.decode([*prompt, *row]) for prompt, row in zip(prompts, rows, strict=True)
        ]
    return texts


def beginning(text: str) -> str:
    """The first two sentences."""
    return " ".join(sentences(text)[:2])


def shuffled(text: str) -> str:
    """The tale with its sentences in another order."""
    parts = sentences(text)
    random.Random(SEED).shuffle(parts)
    return " ".join(parts)


def sentences(text: str) -> list[str]:
    """Cut as the measure itself cuts."""
    return [unit.text for unit in split_units(text)]


def report(name: str, texts: list[str], known: set[str]) -> None:
    """One row."""
    score, parsed = mean_consistency(texts)
    new = sum(text not in known for text in texts) / len(texts)
    two = sum(map(alike, texts)) / len(texts)
    print(f"{name:<34} {score:>6.3f} {parsed:>7.3f} {new:>6.2f} {two:>6.3f}", flush=True)


def alike(text: str) -> bool:
    """Whether somebody comes in under a name that somebody has."""
    return any(
        re.search(rf"\b{newcomer[1]}\b", text[: newcomer.start()])
        for newcomer in NEWCOMER.finditer(text)
    )


if __name__ == "__main__":
    main()
