"""The tables of the NumPy chapter."""

from __future__ import annotations

from collections.abc import Mapping

from llama_tutorial.config import PRESETS
from llama_tutorial.figures.kit.numbers import number_text
from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.kit.table import Table, table
from llama_tutorial.figures.numpy_llama.plots import speed_rows

MODELS = ("stories15M", "stories110M", "llama-2-7b", "llama-2-70b")
WIDTHS = {"float32": 32, "int8": 8.5}  # bits a weight
BANDWIDTH = 20e9  # bytes a second
RATIOS = (  # in the order of plots.COLUMNS
    "NumPy: share of the speed at which one big product reads",
    "NumPy: times as fast as without a cache, at 256 tokens",
    "NumPy: a token there takes so many times the one at 16",
    "PyTorch: times as fast as transformers",
    "PyTorch: the same, both compiled",
)
"""What each recorded ratio says, for readers."""


def bounds() -> Table:
    """What has to be read for a token, and how many tokens a second a memory can bring at most."""
    rows = []
    for name in MODELS:
        config = PRESETS[name]
        unread = 0 if config.tie_embeddings else config.vocab_size * config.dim
        sizes = [(config.n_params - unread) * bits / 8 for bits in WIDTHS.values()]
        gigabytes = [f"{size / 1e9:.3g}" for size in sizes]
        rows.append([name, *gigabytes, *(number_text(BANDWIDTH / size) for size in sizes)])
    header = ["model", *(f"GB, {width}" for width in WIDTHS), "tokens a second", "in int8"]
    return table(rows, header, "Bytes of weights for a token, and a memory of 20 GB/s.")


def faults(nats: Mapping[str, float], off: Mapping[str, float], *, guess: float) -> Table:
    """Faults of an engine: what they cost, and what the logits show of them.

    Args:
        nats: The mean surprise with each, by its name.
        off: The largest change of a logit with each.
        guess: The surprise of a model that knows nothing.
    """
    rows = [[name, f"{cost:.2f}", f"{off[name]:.0f}"] for name, cost in nats.items()]
    header = ["what is wrong", "nats a token", "logits off by"]
    return table(rows, header, f"Mean surprise; a blind guess costs {guess:.2f} nats.")


def speeds() -> Table:
    """The recorded ratios, a row for each, for every shape and number of threads."""
    names, *ratios = zip(*speed_rows(recorded("decoding")), strict=True)
    rows = [[what, *found] for what, found in zip(RATIOS, ratios, strict=True)]
    return table(rows, ["recorded", *names], "Five ratios of speeds. Columns: model and threads.")
