"""The tables of the RMSNorm chapter."""

from __future__ import annotations

from llama_tutorial.config import PRESETS
from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.kit.table import Table, table

NORMS = {"GPT": "LayerNorm", "RMSNorm": "RMSNorm"}  # by the name of the recorded step
CONTEXT = 1024


def ablation() -> Table:
    """The recorded pre-training runs that differ in the norm alone, seed by seed."""
    losses = {}
    for entry in recorded("swaps")["chain"]:
        if entry["name"] in NORMS:
            losses[NORMS[entry["name"]]] = [*entry["validation_loss"], entry["mean"]]
    *seeds, mean = zip(*losses.values(), strict=True)
    rows = [[str(i), *(f"{loss:.3f}" for loss in pair)] for i, pair in enumerate(seeds, start=1)]
    return table(
        [*rows, ["mean", *(f"{loss:.3f}" for loss in mean)]],
        ["seed", *losses],
        "Recorded: validation loss, in nats a token, of a GPT of a million parameters, trained "
        "with each norm from three seeds.",
    )


def costs() -> Table:
    """What the norms of GPT-2 and of three sizes of Llama 2 take, in parameters and operations."""
    rows = []
    for name in ("gpt2", "llama-2-7b", "llama-2-13b", "llama-2-70b"):
        config = PRESETS[name]
        norms = 2 * config.n_layers + 1
        parameters = norms * config.dim * (2 if config.norm == "layernorm" else 1)
        flops = 4 * config.dim * norms  # square, add, times the root, times the weight
        of_all = parameters / config.n_params, flops / config.flops_per_token(CONTEXT)
        rows.append([name, norms, parameters, *(f"{100 * share:.4f} %" for share in of_all)])
    return table(
        rows,
        ["model", "norms", "parameters", "of all", "FLOPs, of all"],
        f"All norms of a model together. FLOPs at a context of {CONTEXT:,}, counted for RMSNorm.",
    )
