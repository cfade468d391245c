"""The tables of the SwiGLU chapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.kit.table import Table, table

LAYERS = {"RoPE": "GELU, two matrices", "SwiGLU": "SwiGLU, three"}  # by the recorded step

#: Multiple and multiplier of the width rule, from the checkpoints' ``params.json``.
RULE: dict[str, tuple[int, float | None]] = {
    "llama-2-7b": (256, None),
    "llama-2-13b": (256, None),
    "llama-2-34b": (256, None),
    "llama-2-70b": (4096, 1.3),
}

#: Shazeer (2020), table 1: log-perplexity after 524,288 steps.
PUBLISHED = {
    "ReLU": 1.677,
    "GELU": 1.679,
    "Swish (SiLU)": 1.683,
    "GLU": 1.663,
    "bilinear": 1.648,
    "ReGLU": 1.645,
    "SwiGLU": 1.636,
    "GEGLU": 1.633,
}


def ablation() -> Table:
    """The recorded pre-training runs that differ in the feed-forward layer alone, seed by seed."""
    rows: list[list[Any]] = []
    for entry in recorded("swaps")["chain"]:
        if entry["name"] in LAYERS:
            losses = [*entry["validation_loss"], entry["mean"]]
            rows.append([LAYERS[entry["name"]], *(f"{loss:.3f}" for loss in losses)])
    return table(
        rows,
        ["layer", "1", "2", "3", "mean"],
        "Recorded: validation loss, in nats a token, of a model of just under a million "
        "parameters, trained with each layer from three seeds.",
    )


def tasks(errors: Mapping[str, Mapping[str, float]]) -> Table:
    """What layers leave of the variance of each task.

    Args:
        errors: The shares, by layer and task.
    """
    names = list(next(iter(errors.values())))
    rows = [[layer, *(f"{by[name]:.2%}" for name in names)] for layer, by in errors.items()]
    return table(
        rows, ["layer", *names], "What is left of the variance after 300 steps, mean of three runs."
    )


def published() -> Table:
    """Shazeer's losses with each kind of layer."""
    rows = [[name, f"{value:.3f}"] for name, value in PUBLISHED.items()]
    return table(rows, ["layer", "log-perplexity"], "As published; lower is better.")


def widths(steps: Mapping[str, list[int]]) -> Table:
    """The width rule step by step, a column for each size of Llama 2.

    Args:
        steps: 4D, two thirds, multiplied and rounded up, by the name of the preset.
    """
    names = ["D", "4D", "two thirds, cut", "multiplied, cut", "multiple of", "F"]
    columns = [
        [PRESETS[name].dim, *steps[name][:3], RULE[name][0], steps[name][3]] for name in steps
    ]
    rows = [list(row) for row in zip(names, *columns, strict=True)]
    header = ["", *(name.removeprefix("llama-2-").upper() for name in steps)]
    return table(rows, header, "The width rule, step by step.")


def costs(configs: Mapping[str, ModelConfig]) -> Table:
    """One SwiGLU layer of each model, against two matrices of width 4D, and the share of all."""
    rows: list[list[Any]] = []
    for name, config in configs.items():
        layer = 3 * config.dim * config.hidden_dim
        share = config.n_layers * layer / config.n_params
        rows.append([name, layer, f"{layer / (8 * config.dim**2):.4f}", f"{share:.1%}"])
    return table(
        rows,
        ["model", "parameters", "times GPT's", "of the model"],
        "One SwiGLU layer, and the share of all of them in the whole model.",
    )
