"""The tables of the pre-training chapter, and what the papers report about their runs.

Sources: Touvron et al. (2023), "LLaMA", table 1 (the mixture) and section 2; Touvron et al. (2023),
"Llama 2", table 1 (settings) and table 2 (GPU hours, watts, carbon).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama_tutorial.config import PRESETS
from llama_tutorial.figures.kit.table import Table, table
from llama_tutorial.figures.pretraining.live import CARDS

TOKENS = 2e12  # of each Llama 2


@dataclass(frozen=True)
class Run:
    """What the Llama 2 paper reports about the training of one size.

    Args:
        gpu_hours: Of all GPUs together, A100s of 80 GB.
        watts: Peak power of one GPU of the cluster that was used.
        tons: CO2 equivalents.
        peak_lr: The highest learning rate.
    """

    gpu_hours: int
    watts: int
    tons: float
    peak_lr: float

    @property
    def mwh(self) -> float:
        """Energy of the GPUs alone, at their peak power."""
        return self.gpu_hours * self.watts / 1e6


RUNS = {
    "llama-2-7b": Run(184_320, 400, 31.22, 3e-4),
    "llama-2-13b": Run(368_640, 400, 62.44, 3e-4),
    "llama-2-34b": Run(1_038_336, 350, 153.90, 1.5e-4),
    "llama-2-70b": Run(1_720_320, 400, 291.42, 1.5e-4),
}

#: Share in percent and epochs of each source of the first LLaMA's 1.4 trillion tokens.
MIXTURE = {
    "CommonCrawl": (67.0, 1.10),
    "C4": (15.0, 1.06),
    "GitHub": (4.5, 0.64),
    "Wikipedia": (4.5, 2.45),
    "books": (4.5, 2.23),
    "ArXiv": (2.5, 1.06),
    "StackExchange": (2.0, 1.03),
}

#: The first table of the Llama 2 paper: context, GQA, trillions of tokens, learning rate.
_SETTINGS: dict[str, tuple[str, str, float, float]] = {
    "LLaMA 7B": ("2k", "no", 1.0, 3e-4),
    "LLaMA 13B": ("2k", "no", 1.0, 3e-4),
    "LLaMA 33B": ("2k", "no", 1.4, 1.5e-4),
    "LLaMA 65B": ("2k", "no", 1.4, 1.5e-4),
    "Llama 2 7B": ("4k", "no", 2.0, 3e-4),
    "Llama 2 13B": ("4k", "no", 2.0, 3e-4),
    "Llama 2 34B": ("4k", "yes", 2.0, 1.5e-4),
    "Llama 2 70B": ("4k", "yes", 2.0, 1.5e-4),
}


def paper() -> Table:
    """The settings of both generations, as in the first table of the Llama 2 paper."""
    rows: list[list[Any]] = [
        [name, context, grouped, f"{tokens:.1f} trillion", f"{rate:.1e}"]
        for name, (context, grouped, tokens, rate) in _SETTINGS.items()
    ]
    return table(
        rows,
        ["model", "context", "GQA", "tokens", "peak learning rate"],
        "As the Llama 2 paper gives them in its table 1.",
    )


def runs() -> Table:
    """What each Llama 2 took: hours and watts as reported, the rest computed from them."""
    rows: list[list[Any]] = []
    for name, run in RUNS.items():
        could = run.gpu_hours * 3600 * CARDS["A100, 80 GB"]["flops"]
        used = 6 * PRESETS[name].n_params * TOKENS / could
        size = name.removeprefix("llama-2-").upper()
        rows.append([size, run.gpu_hours, run.watts, round(run.mwh), f"{used:.0%}"])
    return table(
        rows,
        ["model", "GPU hours", "watts", "MWh", "utilisation"],
        "Llama 2's own runs on A100s. GPU hours and watts are the paper's; the other columns are "
        "computed from them.",
    )


def gradients(found: Mapping[str, tuple[float, float]]) -> Table:
    """What a number format leaves of a gradient.

    Args:
        found: The share of its numbers that are zero, and its relative error, by the format.
    """
    rows: list[list[Any]] = [
        [name, f"{zero:.1%}", f"{error:.1%}"] for name, (zero, error) in found.items()
    ]
    return table(
        rows,
        ["backward pass in", "zeros", "error"],
        "The gradient of the blocks of tales for a batch of four million tokens: the share of its "
        "numbers that came out as zero, and how far it is from float64's.",
    )
