"""The tables of the model chapter."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.figures.journey import STEPS
from llama_tutorial.figures.kit.table import Table, table
from llama_tutorial.model import Transformer

SIZES = {"7B": "llama-2-7b", "13B": "llama-2-13b", "70B": "llama-2-70b"}


def first_llamas() -> dict[str, ModelConfig]:
    """The four models of the first Llama, by the names that the paper gives their sizes.

    Source: Touvron et al. (2023), "LLaMA: Open and Efficient Foundation Language Models", table 2;
    epsilon from the params.json beside each.
    """
    sizes = {
        "7B": (4096, 32, 32, 11_008, 1e-6),
        "13B": (5120, 40, 40, 13_824, 1e-6),
        "33B": (6656, 60, 52, 17_920, 1e-6),
        "65B": (8192, 80, 64, 22_016, 1e-5),
    }
    return {
        name: ModelConfig(dim, n_layers, n_heads, hidden_dim=hidden, norm_eps=eps, max_seq_len=2048)
        for name, (dim, n_layers, n_heads, hidden, eps) in sizes.items()
    }


def generations() -> Table:
    """Llama beside Llama 2, line by line."""
    first, second = first_llamas(), {name: PRESETS[preset] for name, preset in SIZES.items()}
    contexts = [{config.max_seq_len for config in one.values()} for one in (first, second)]
    (old_context,), (new_context,) = contexts
    groups = [config.group_size for config in second.values()]
    rows = [
        ["published", "February 2023", "July 2023"],
        ["sizes", ", ".join(first), ", ".join(second)],
        ["tokens read", "1.0 or 1.4 trillion", "2.0 trillion"],
        ["context", f"{old_context:,} tokens", f"{new_context:,} tokens"],
        ["queries to a key head", "1", f"{groups[0]}; in 70B {groups[-1]}"],
        ["ε of the norms", "10⁻⁶ (65B: 10⁻⁵)", "10⁻⁵"],
        ["chat models", "no", "yes"],
        ["licence", "research", "business too"],
    ]
    return table(rows, ["", "Llama", "Llama 2"], "Two generations, one architecture.")


def released() -> Table:
    """The six models that were released, in three sizes, and the sizes."""
    rows = []
    for name, preset in SIZES.items():
        config = PRESETS[preset]
        names = f"Llama 2 {name}, Llama 2-Chat {name}"
        heads = str(config.n_heads)
        if config.group_size > 1:
            heads += f" ({config.n_kv_heads})"
        sizes = [config.dim, config.hidden_dim, config.n_layers, heads]
        rows.append([names, f"{config.n_params / 1e9:.2f}", *sizes])
    caption = (
        "The six models that Meta released, two of each size, and the sizes: billions of "
        "parameters, features, inner features, layers and heads (key heads, where they are fewer)."
    )
    return table(rows, ["models", "billion", "D", "F", "layers", "heads"], caption)


def tensors(config: ModelConfig) -> Table:
    """Every tensor of a model: one row for all that differ in the number of the layer alone."""
    with torch.device("meta"):
        shapes = {name: tuple(t.shape) for name, t in Transformer(config).state_dict().items()}
    rows: list[list[str | int]] = []
    for name, shape in shapes.items():
        by = " × ".join(map(str, shape))
        if name.startswith("layers.0."):
            every = name.replace("layers.0.", f"layers.0–{config.n_layers - 1}.")
            rows.append([every, by, config.n_layers * math.prod(shape)])
        elif not name.startswith("layers."):
            rows.append([name, by, math.prod(shape)])
    rows.append(["rope.freqs", str(config.head_dim // 2), "no weight"])
    caption = "The entries of Meta's consolidated.00.pth for 7B, rows × columns."
    return table(rows, ["name", "shape", "numbers in all"], caption)


def mistakes(losses: Mapping[str, float], guess: float) -> Table:
    """The loss of a trained model with one thing wrong.

    Args:
        losses: In nats a token, by what is wrong.
        guess: The loss of a blind guess.
    """
    caption = (
        f"tales, rearranged, on sixteen tales that it has not seen. A blind guess: {guess:.2f}."
    )
    return table([*map(list, losses.items())], ["what is wrong", "loss, nats a token"], caption)


def shares() -> dict[str, dict[str, float]]:
    """Where the parameters of GPT-2 and of Llama 2 are, in percent; a tied matrix counts once."""
    return {name: _shares(PRESETS[preset]) for name, preset in {"GPT-2": "gpt2", **SIZES}.items()}


def _shares(config: ModelConfig) -> dict[str, float]:
    D, n_ends = config.dim, 2 - config.tie_embeddings
    matrices = 3 if config.feed_forward == "swiglu" else 2
    parts = {
        "feed-forward": config.n_layers * matrices * D * config.hidden_dim,
        "attention": config.n_layers * 2 * D * (D + config.kv_dim),
        "the ends": n_ends * config.vocab_size * D,
    }
    parts["the rest"] = config.n_params - sum(parts.values())
    return {name: 100 * count / config.n_params for name, count in parts.items()}


def costs() -> Table:
    """What GPT-2 and Llama 2 take: gigabytes, and operations for a token."""
    rows = []
    for name, preset in {"GPT-2": "gpt2", **SIZES}.items():
        config = PRESETS[preset]
        gb, flops = config.n_params / 1e9, config.flops_per_token(config.max_seq_len) / 1e9
        rows.append([name, 2 * gb, 4 * gb, 16 * gb, flops])
    header = ["model", "16 bit", "32 bit", "training", "GFLOPs a token"]
    return table(rows, header, "Gigabytes, and the work at the end of the context.")


def steps(losses: Mapping[str, float], n_steps: int) -> Table:
    """GPT-2 becomes 7B, switch by switch, and the loss of an untrained miniature of each.

    Args:
        losses: In nats a token, by the name of the step; a dash stands where there is none.
        n_steps: How many rows.
    """
    rows = [
        [step.name, step.config.n_params, losses.get(step.name, "–")] for step in STEPS[:n_steps]
    ]
    caption = "Each row is one replace() away from the one above; the last is Llama 2 7B."
    return table(rows, ["after this step", "parameters", "loss, untrained"], caption)
