"""The live figures of the first page: GPT-2 beside Llama 2, and a Llama that writes.

Every setting of the first is a :class:`~llama_tutorial.config.ModelConfig`, and what it costs is
that configuration's own arithmetic, computed here for all settings; ``block.js`` draws them.
"""

from __future__ import annotations

import itertools
from html import escape
from typing import Any

from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.figures.kit.controls import Select, Slider, Text, Toggle
from llama_tutorial.figures.kit.live import WITHOUT_SCRIPT, LiveFigure
from llama_tutorial.swiglu import hidden_dim

SIZES = {"GPT-2": "gpt2", "Llama 2 7B": "llama-2-7b", "Llama 2 70B": "llama-2-70b"}
CHANGES = {
    "norm": "RMSNorm",
    "positions": "RoPE",
    "feed_forward": "SwiGLU",
    "ends": "no biases, separate ends",
    "groups": "grouped heads",
}
"""The five changes from GPT-2 to Llama 2: the name of the control and its label."""

OPENINGS = [
    "Once upon a time, there was a fox called",
    "Lily was a small",
    "Once there were two friends,",
]
"""Beginnings that a click gives to the writer."""

# Key and value heads when they are shared. Llama 2's at its own sizes (7B, which does not share
# them, as 70B does), and a third of the query heads at GPT-2's, as 8 does not divide its 12.
GROUPED = {"gpt2": 4, "llama-2-7b": 8, "llama-2-70b": 8}


def block() -> LiveFigure:
    """GPT-2 on the left, and beside it the same sizes with the changes that are ticked."""
    return LiveFigure(
        "intro/block",
        data={"sizes": {size: _drawn(size) for size in SIZES.values()}},
        controls=[
            *[Toggle(name, True, label=label) for name, label in CHANGES.items()],
            Select("size", "gpt2", label="sizes of", options=SIZES),
        ],
        numbers=block_numbers,
        readout="{name}: {params} parameters ({weights} in bfloat16), and {cache} of cache for "
        "each token. With no change: {params_before} ({weights_before}), and {cache_before}.",
        alt="Two stacks side by side, read from top to bottom. GPT-2: token embedding plus "
        "position embedding; {layers} layers, each of LayerNorm, attention with {heads} query and "
        "{heads} key heads, LayerNorm and a feed-forward layer with GELU, both added to the "
        "residual stream; a last LayerNorm, and an output head that uses the embedding's matrix. "
        "Beside it, "
        "{name}, with these parts changed: {changed}. Its attention has {kv_heads} key heads, its "
        "feed-forward layer is {hidden} wide.",
        caption="<b>Untick a change</b>: that part goes back to GPT-2's, and the numbers with it. "
        "Both columns have the same sizes, vocabulary and context, so that only the design "
        "differs. The tinted parts have changed; <b>click one</b> for its chapter. (Once the "
        "biases are gone, LayerNorm has as many parameters as RMSNorm.)",
        checks=[
            dict.fromkeys(CHANGES, False),
            {"size": "llama-2-7b", "groups": False},
            {"size": "llama-2-70b"},
            {"size": "llama-2-70b"} | dict.fromkeys(CHANGES, False),
        ],
    )


def writer(beginning: str, tale: str) -> LiveFigure:
    """A Llama that goes on with what the reader types, in the page itself.

    Args:
        beginning: What stands in the field at first.
        tale: How ``tales`` goes on with it at temperature 0.6 with seed 0, as Python has it: what
            stands in the page before anybody writes, and where nothing can.
    """
    return LiveFigure(
        "intro/writer",
        data={"beginning": beginning, "tale": tale, "openings": OPENINGS},
        controls=[
            Text("beginning", beginning, label="a beginning", max_length=4000),
            Slider("temperature", 0.0, 1.5, 0.6, 0.1, label="temperature"),
        ],
        numbers=writer_numbers,
        readout="Temperature {temperature}: a token half as likely as the best is drawn {often} "
        "times for every 100 times that the best is.",
        alt="A tale that begins with “{beginning}”, at temperature {temperature}.",
        caption="<b>Type a beginning</b> and press Enter; Escape stops. <b>Again</b> draws another "
        "tale. Turn the temperature down to 0 for the likeliest token each time, or up for more "
        "daring. The model has read nothing but the book’s own tales, so begin like one.",
        llama="tales",
        still=f'<p class="lt-tale"><b>{escape(beginning)}</b>{escape(tale)}</p>'
        f'<p class="lt-still"><i>{WITHOUT_SCRIPT}</i></p>',
    )


def writer_numbers(temperature: float, **_: str) -> dict[str, Any]:
    """How often a token is drawn that is half as likely as the best, for every 100 of that one.

    Args:
        temperature: 0 or above.
        _: The beginning, which changes nothing.
    """
    return {"often": round(100 * 0.5 ** (1 / temperature)) if temperature else 0}


def chosen_config(
    size: str, norm: bool, positions: bool, feed_forward: bool, ends: bool, groups: bool
) -> ModelConfig:
    """A model with some of the five changes, at the sizes of a preset.

    Args:
        size: The preset whose width, layers, heads, vocabulary and context it has.
        norm: RMSNorm in place of LayerNorm.
        positions: RoPE in place of learned position vectors.
        feed_forward: SwiGLU, as wide as Llama 2 has it at these sizes, in place of GELU.
        ends: No biases, and an output head that has a matrix of its own.
        groups: Groups of query heads that share a key and a value head.
    """
    preset = PRESETS[size]
    llama_width = hidden_dim(preset.dim) if size == "gpt2" else preset.hidden_dim
    return preset.replace(
        norm="rmsnorm" if norm else "layernorm",
        positions="rope" if positions else "learned",
        feed_forward="swiglu" if feed_forward else "gelu",
        hidden_dim=llama_width if feed_forward else 4 * preset.dim,
        bias=not ends,
        tie_embeddings=not ends,
        n_kv_heads=GROUPED[size] if groups else preset.n_heads,
    )


def block_numbers(size: str, **changes: bool) -> dict[str, Any]:
    """What the figure says and draws for one setting.

    Args:
        size: A preset, one of ``SIZES``.
        changes: Which of ``CHANGES`` are made, each by its name.
    """
    config = chosen_config(size, **changes)
    before = chosen_config(size, **dict.fromkeys(CHANGES, False))
    made = [label for name, label in CHANGES.items() if changes[name]]
    costs = dict(zip(("params", "weights", "cache"), _costs(config), strict=True))
    return {
        "name": _name(config, len(made)),
        "changed": made or "none",
        "layers": config.n_layers,
        "heads": config.n_heads,
        "kv_heads": config.n_kv_heads,
        "hidden": config.hidden_dim,
        **costs,
        **dict(zip((f"{cost}_before" for cost in costs), _costs(before), strict=True)),
    }


def _name(config: ModelConfig, n_changes: int) -> str:
    """The published model that this is, or how far the design is from GPT-2's."""
    for label, preset in SIZES.items():
        if PRESETS[preset] == config:
            return label
    if n_changes in (0, len(CHANGES)):
        return f"{'Llama 2' if n_changes else 'GPT-2'}’s design"
    return f"{n_changes} of {len(CHANGES)} changes"


def _costs(config: ModelConfig) -> list[str]:
    """Parameters, bytes of weights, bytes of cache a token (both in bfloat16), in words.

    A no-break space keeps a number and its unit on one line.
    """
    weights, cache = 2 * config.n_params, config.kv_bytes_per_token("bfloat16")
    size = f"{weights / 1e9:.1f}\N{NO-BREAK SPACE}GB"
    if weights < 1e9:
        size = f"{weights / 1e6:.0f}\N{NO-BREAK SPACE}MB"
    return [f"{config.n_params:,}", size, f"{cache // 1024:,}\N{NO-BREAK SPACE}KiB"]


def _drawn(size: str) -> dict[str, Any]:
    """What the script needs of one size: numbers to draw, and name and costs of all settings."""
    settings = [
        dict(zip(CHANGES, made, strict=True))
        for made in itertools.product([False, True], repeat=len(CHANGES))
    ]
    preset, ticked = PRESETS[size], dict.fromkeys(CHANGES, True)
    return {
        "dim": preset.dim,
        "layers": preset.n_layers,
        "heads": preset.n_heads,
        "kv_heads": GROUPED[size],
        "hidden": [chosen_config(size, **made).hidden_dim for made in (settings[0], ticked)],
        "settings": [
            [_name(config, sum(made.values())), *_costs(config)]
            for made in settings
            for config in [chosen_config(size, **made)]
        ],
    }
