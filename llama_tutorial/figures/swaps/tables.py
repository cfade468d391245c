"""The tables of the chapter on the swaps, from the recorded runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from llama_tutorial.config import ModelConfig
from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.kit.table import Table, table

#: Student's factor of a 95 % interval, by the number of values.
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
CONTEXT = 256  # of the small runs


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of two to five values, and half the width of its 95 % confidence interval."""
    n = len(values)
    return statistics.mean(values), STUDENT[n] * statistics.stdev(values) / math.sqrt(n)


def chain() -> Table:
    """The recorded runs: the size of each model, and its loss from each seed."""
    rows: list[list[Any]] = []
    for entry in recorded("swaps")["chain"]:
        losses = [*entry["validation_loss"], entry["mean"]]
        name = entry["name"] if not rows else f"+ {entry['name']}"
        config = ModelConfig.from_dict(entry["model"])
        million = f"{config.n_params / 1e6:.3f}"
        rows.append([name, config.hidden_dim, million, *(f"{loss:.3f}" for loss in losses)])
    return table(
        rows,
        ["model", "F", "million", "seed 0", "seed 1", "seed 2", "mean"],
        "Recorded: validation loss in nats a token. F is the width of the feed-forward layer, "
        "which makes up for what a swap adds to the millions of parameters, or saves.",
    )


def worth(gains: Mapping[str, Sequence[float]]) -> Table:
    """Beside what each swap did to the loss, what it costs to run.

    Args:
        gains: Differences of the losses, seed by seed, by the swap's name.
    """
    rows: list[list[Any]] = []
    for entry in recorded("swaps")["chain"]:
        config = ModelConfig.from_dict(entry["model"])
        flops = f"{config.flops_per_token(CONTEXT) / 1e6:.2f}"
        cache = config.kv_bytes_per_token("float16")
        changed = "–"
        if entry["name"] in gains:
            mean, half = interval(gains[entry["name"]])
            changed = f"{mean:+.3f} ± {half:.3f}".replace("-", "−").replace(
                " ", "\N{NO-BREAK SPACE}"
            )
        rows.append([entry["name"], changed, flops, cache])
    return table(
        rows,
        ["model after this swap", "change of the loss", "MFLOP a token", "cache, bytes a token"],
        "What a swap bought, with its 95 % interval, and what the model costs after it, at the end "
        "of 256 tokens.",
    )


def shakespeare() -> Table:
    """GPT and Llama in nanoGPT's setting, beside nanoGPT's published loss."""
    record = recorded("shakespeare")
    rows: list[list[Any]] = [
        [one["name"], one["parameters"], len(one["seeds"]), f"{one['mean']:.3f} ± {one['spread']}"]
        for one in record["models"]
    ]
    rows.append(["nanoGPT, as published", "0.80 million", 1, f"{record['published']}"])
    return table(
        rows,
        ["model", "parameters", "seeds", "validation loss"],
        "Recorded: characters of Shakespeare, nats a character, mean and standard deviation.",
    )
