"""The live figure of the NumPy chapter that says what bounds the time of a token.

Python counts with :class:`llama_tutorial.config.ModelConfig`, ``js/numpy_cost.js`` counts again in
the page, and the browser tests hold the two equal.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.figures.controls import Select, Stops
from llama_tutorial.figures.live import LiveFigure
from llama_tutorial.figures.numbers import rounded
from llama_tutorial.figures.style import BLUE, ORANGE

LENGTHS = [2**i for i in range(13)]
RIDGES = [1, 2, 4, 8, 16, 32, 64, 128, 256]


def cost(tales: ModelConfig) -> LiveFigure:
    """The time of a token with a cache and without one, as memory and arithmetic bound it.

    Args:
        tales: The configuration of the chapter's own model.
    """
    models = {
        "tales": tales,
        "stories15M": PRESETS["stories15M"],
        "stories110M": PRESETS["stories110M"],
        "Llama 2 7B": PRESETS["llama-2-7b"],
    }

    def numbers(model: str, tokens: int, ridge: int) -> dict[str, Any]:
        return cost_numbers(models[model], tokens, ridge)

    def render(model: str, tokens: int, ridge: int) -> Figure:
        return _draw_cost(models[model], tokens, ridge)

    return LiveFigure(
        "numpy_cost",
        data={"models": {name: _counts(config) for name, config in models.items()}},
        controls=[
            Select("model", options=list(models), label="model"),
            Stops("tokens", 256, LENGTHS, label="the text so far", unit=" tokens"),
            Stops("ridge", 8, RIDGES, label="operations for a byte read"),
        ],
        render=render,
        numbers=numbers,
        readout="With {tokens}: {naive_ops} billion operations without a cache, {cached_ops} with "
        "one, {fewer} times fewer. The time is {faster} times shorter; without a cache it is bound "
        "by {bound}, and the cache begins to pay at {pays} tokens.",
        alt="Time of one token, in readings of all weights, against the length of the text, both "
        "axes logarithmic. With a cache it is {cached_time} at {tokens}, nearly level. Without, it "
        "is level up to about {pays} tokens and then climbs, to {naive_time} at {tokens}.",
        caption="The least time that a token can take, on a processor which does so many "
        "operations while its memory brings one byte. One unit is the time to read all weights "
        "once. <b>Move the text's length</b> along both lines; then <b>change the processor</b>, "
        "and watch where the orange line leaves the floor.",
        checks=[
            {"model": name, "tokens": tokens, "ridge": ridge}
            for name in models
            for tokens, ridge in ((16, 2), (256, 32))
        ],
    )


def _counts(config: ModelConfig) -> dict[str, int]:
    """What the script needs to count: numbers of weights, sizes, bytes of cache."""
    head = config.vocab_size * config.dim
    read = config.n_params - (0 if config.tie_embeddings else head)
    norms = (2 * config.n_layers + 1) * config.dim
    return {
        "read": read,
        "matrices": read - head - norms,
        "head": head,
        "mixing": 2 * config.n_layers * config.dim,
        "cache": config.kv_bytes_per_token("float32"),
        "context": config.max_seq_len,
    }


def operations(config: ModelConfig, tokens: int) -> tuple[int, int]:
    """Floating-point operations of the newest token's logits: the whole text anew, and cached.

    The head is applied to the last position alone, and attention scores every pair of positions,
    those to come among them, as the chapter's page of code does.
    """
    counts = _counts(config)
    naive = tokens * counts["matrices"] + counts["head"] + counts["mixing"] * tokens**2
    cached = counts["matrices"] + counts["head"] + counts["mixing"] * tokens
    return 2 * naive, 2 * cached


def times(config: ModelConfig, tokens: int, ridge: int) -> tuple[float, float]:
    """The least time of both ways, in readings of all float32 weights, by the roofline."""
    counts = _counts(config)
    naive, cached = operations(config, tokens)
    unit = 4 * counts["read"]
    return (
        max(naive / ridge, unit) / unit,
        max(cached / ridge, unit + tokens * counts["cache"]) / unit,
    )


def cost_numbers(config: ModelConfig, tokens: int, ridge: int) -> dict[str, Any]:
    """Operations and least times of both ways for one more token of a text.

    Args:
        config: The model.
        tokens: Length of the text, the newest token included; the context, where that is shorter.
        ridge: Operations that the processor does while memory brings a byte.
    """
    tokens = min(tokens, config.max_seq_len)
    naive, cached = operations(config, tokens)
    naive_time, cached_time = times(config, tokens, ridge)
    pays = (n for n in range(1, config.max_seq_len + 1) if _pays(config, n, ridge))
    bounds = naive_time > 1
    return {
        "naive_ops": naive / 1e9,
        "cached_ops": cached / 1e9,
        "fewer": naive / cached,
        "naive_time": naive_time,
        "cached_time": cached_time,
        "faster": naive_time / cached_time,
        "bound": "arithmetic" if bounds else "memory",
        "pays": next(pays, "no number of"),
    }


def _pays(config: ModelConfig, tokens: int, ridge: int) -> bool:
    naive, cached = times(config, tokens, ridge)
    return naive > cached


def _draw_cost(config: ModelConfig, tokens: int, ridge: int) -> Figure:
    tokens = min(tokens, config.max_seq_len)
    lengths = [n for n in LENGTHS if n <= config.max_seq_len]
    both = [times(config, n, ridge) for n in lengths]
    figure, axes = plt.subplots()
    here = times(config, tokens, ridge)
    names = ("the whole text anew", "with a cache")
    for i, (name, color, line) in enumerate(zip(names, (ORANGE, BLUE), ("--", "-"), strict=True)):
        axes.plot(lengths, rounded([pair[i] for pair in both]), line, color=color, label=name)
        axes.plot([tokens], [rounded(here[i])], "o", color=color)
    axes.set(xscale="log", yscale="log", xlabel="length of the text (tokens)", ylim=(0.6, 6e3))
    axes.set_ylabel("least time (readings of the weights)")
    axes.legend(loc="upper left")
    return figure
