"""The tables of the checkpoints chapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llama_tutorial.checkpoints.names import TABLE
from llama_tutorial.config import PRESETS
from llama_tutorial.figures.kit.table import Table, table

MIXED = "half-split"


def names() -> Table:
    """Every kind of matrix and norm of a Llama: Meta's name, Hugging Face's, and its rows there."""
    rows = []
    for ours, (llama, _, _) in TABLE.items():
        if llama is not None and "bias" not in ours:
            rows_there = MIXED if llama.half_split else "as here"
            rows.append([_short(ours), rows_there, _short(llama.name)])
    header = ["Meta, and you", "rows there", "Hugging Face"]
    caption = "Names without their ending, .weight, and without what stands before them."
    return table(rows, header, caption)


def gpt2_names() -> Table:
    """The same for GPT-2: its names, and how its matrices lie."""
    rows = []
    for ours, (_, gpt, _) in TABLE.items():
        if gpt is not None and "bias" not in ours:
            lies = "turned" if gpt.transposed else "as here"
            rows.append([*map(_short, (ours, gpt.name)), lies if gpt.third is None else "in one"])
    header = ["here", "GPT-2", "how it lies"]
    caption = "Turned: (in, out) where a linear layer has (out, in). In one: a third of it, turned."
    return table(rows, header, caption)


def _short(name: str) -> str:
    return name.removesuffix(".weight").split("{}.")[-1].removeprefix("model.")


def mistakes(found: Mapping[str, tuple[bool, float, str]], guess: float) -> Table:
    """Models that were loaded wrongly.

    Args:
        found: For each mistake, by its name: whether a test of one token passes, the loss, and the
            words with which the model goes on.
        guess: The loss of a model that knows nothing.
    """
    rows = [
        [name, "passes" if passes else "fails", loss, said]
        for name, (passes, loss, said) in found.items()
    ]
    header = ["what is wrong", "one token", "loss", "Once upon a …"]
    return table(rows, header, f"tales, loaded wrongly. A blind guess costs {guess:.2f} nats.")


def on_disk() -> Table:
    """What Llama 2 takes on the disk in each of three widths."""
    widths = {
        "16 bit: Meta, Hugging Face": 2.0,
        "float32: llama2.c": 4.0,
        "int8 in groups of 64: llama2.c": 1 + 4 / 64,
    }
    sizes = [PRESETS[f"llama-2-{size}"] for size in ("7b", "13b", "70b")]
    rows = [
        [name, *(f"{width * config.n_params / 1e9:.1f}" for config in sizes)]
        for name, width in widths.items()
    ]
    return table(rows, ["GB", "7B", "13B", "70B"], "Parameters times their width, and no more.")


def round_trip(
    rows: Sequence[tuple[str, Sequence[float], float, str]], words: Sequence[str]
) -> Table:
    """Logits of one set of weights after it went through each form.

    Args:
        rows: For each form its name, the logits of ``words``, the largest difference of all logits
            from the original's, and whether the tensors are equal.
        words: The tokens whose logits are shown.
    """
    shown = [
        [
            name,
            *(f"{logit:.2f}" for logit in logits),
            f"{gap:.4f}" if gap < 1e-4 else f"{gap:.1f}",
            equal,
        ]
        for name, logits, gap, equal in rows
    ]
    return table(shown, ["form", *words, "largest gap", "equal"], "The last row is read by NumPy.")
