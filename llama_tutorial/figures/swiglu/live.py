"""The live figures of the SwiGLU chapter: one gate, one unit over a plane, a trained model's gates.

What Python computes here is PyTorch's in float64; the scripts ``gate.js``,
``plane.js`` and ``words.js`` compute the same in the page, and the browser
tests hold them equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.controls import Select, Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded

LOWEST, REACH = -6.0, 4.0  # smallest and largest gate; the axis of factors goes to 4 both ways
CLOSED = 0.05  # a smaller factor lets nothing through that could be seen
CELLS = 24  # cells of the plane in each direction
WIDE = 3.0  # largest feature on the plane
DEEPEST = 4.0  # the output of the strongest colour

GATES = {
    "SiLU (SwiGLU)": "silu",
    "sigmoid (GLU)": "sigmoid",
    "ReLU (ReGLU)": "relu",
    "GELU, tanh form (GEGLU)": "gelu",
    "none (bilinear)": "none",
}
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "gelu": lambda z: F.gelu(z, approximate="tanh"),
    "none": lambda z: z,
}


def factor(kind: str, gate: float | int) -> float:
    """What the up value is multiplied by when the gate reads ``gate``."""
    return _FUNCTIONS[kind](torch.tensor(float(gate), dtype=torch.float64)).item()


def gate() -> LiveFigure:
    """One hidden unit: how far the gate is open, and what becomes of the up value."""
    return LiveFigure(
        "swiglu/gate",
        data={"lowest": LOWEST, "reach": REACH, "closed": CLOSED},
        controls=[
            Select("kind", "silu", label="gate function", options=GATES),
            Slider("gate", LOWEST, REACH, 2.0, 0.1, label="gate a"),
            Slider("up", -2.0, 2.0, 1.0, 0.1, label="up b"),
        ],
        numbers=gate_numbers,
        readout="Factor {factor}: an up value of {up} leaves as {passes}. The gate is {state}.",
        alt="Left, the factor over the gate: at {gate} it is {factor}. Right, what leaves over "
        "what arrives, a line of slope {factor}: {up} becomes {passes}. The gate is {state}.",
        caption="One hidden unit. Left: the gate function turns the gate's value into a factor. "
        "Right: the up value is multiplied by it, so the factor is the slope of the line, and the "
        "dotted line is a factor of 1. <b>Move the gate</b> and watch the line lie down, dip below "
        "the horizontal, and stand up beyond the dotted line. Then try the other gate functions.",
        checks=[
            {"gate": -1.3, "up": 2.0},
            {"gate": 0.0, "up": -1.5},
            *({"kind": kind, "gate": -1.0} for kind in _FUNCTIONS),
        ],
    )


def gate_numbers(kind: str, gate: float | int, up: float | int) -> dict[str, Any]:
    """The factor, what leaves, and a word for the gate's state."""
    by = factor(kind, gate)
    state = "closed" if abs(by) < CLOSED else "open" if by > 0 else "reversed"
    return {"factor": by, "passes": by * up, "state": state}


def plane() -> LiveFigure:
    """The output of one unit for every pair of features, plain or with a gate."""
    return LiveFigure(
        "swiglu/plane",
        data={"cells": CELLS, "wide": WIDE, "deepest": DEEPEST},
        controls=[
            Select(
                "kind",
                "plain",
                label="unit",
                options={"plain: SiLU(w1·x)": "plain", "gated: SiLU(w1·x) · (w3·x)": "gated"},
            ),
            Slider("angle", 0, 180, 90, 15, label="from w1 to w3", unit="°"),
            Slider("first", -WIDE, WIDE, 2.0, 0.5, label="feature x1"),
            Slider("second", -WIDE, WIDE, 1.0, 0.5, label="feature x2"),
        ],
        numbers=plane_numbers,
        readout="w1·x = {gate}, w3·x = {up}, output {output}.",
        alt="The output of one unit over two features, blue where positive, orange where negative; "
        "w3 is {angle} from w1. At x = ({first}, {second}) the output is {output}.",
        caption="Two features, one unit; blue is a positive output, orange a negative one, and the "
        "page itself is zero. The solid arrow is <code>w1</code>, the dashed one <code>w3</code> "
        "(which only the gated unit has). <b>Choose the gated unit, then drag the tip of "
        "<code>w3</code></b>, and watch the stripes of the plain unit break. The cross can be "
        "dragged too: it is the point whose output stands below the picture.",
        checks=[
            {"kind": "gated"},
            {"kind": "gated", "angle": 0},
            {"kind": "gated", "angle": 180, "first": -3.0},
            {"kind": "gated", "angle": 45, "second": -2.5},
        ],
    )


def plane_numbers(
    kind: str, angle: float | int, first: float | int, second: float | int
) -> dict[str, Any]:
    """Gate, up and output of the unit at one point; ``w1`` points to the right."""
    turn = math.radians(angle)
    up = first * math.cos(turn) + second * math.sin(turn)
    output = factor("silu", first) * (1.0 if kind == "plain" else up)
    return {"gate": first, "up": up, "output": output}


def words_gates(
    pieces: Sequence[str],
    gates: Mapping[str, Float[Tensor, "T n"]],
    ups: Mapping[str, Float[Tensor, "T n"]],
) -> LiveFigure:
    """Gate and up of chosen hidden units of a trained model, piece by piece of a text.

    Args:
        pieces: The pieces of the text, one a position.
        gates: By layer, ``w1``'s output for ``n`` units at every position, before SiLU.
        ups: By layer, ``w3``'s output for the same units.
    """
    a, b = ({layer: rounded(x.T) for layer, x in given.items()} for given in (gates, ups))
    layers = list(a)
    n_units = len(a[layers[0]])

    def numbers(layer: str, unit: int, place: int) -> dict[str, Any]:
        return words_numbers(pieces, a[layer][unit - 1], b[layer][unit - 1], place)

    return LiveFigure(
        "swiglu/words",
        data={"pieces": list(pieces), "gates": a, "ups": b, "closed": CLOSED},
        controls=[
            Select("layer", layers[-1], label="layer", options=layers),
            Slider("unit", 1, n_units, 1, label="unit"),
            Stops("place", len(pieces) // 2, list(range(len(pieces))), label="position"),
        ],
        numbers=numbers,
        readout="At “{word}”: factor {factor}, up {up}, out {passes}. The gate is {state} here; "
        "it opens widest at “{widest}” ({most}).",
        alt="Three rows of bars over the pieces of a text: the factor, the up value, and their "
        "product. At “{word}” they are {factor}, {up} and {passes}. The factor is largest at "
        "“{widest}”, {most}.",
        caption="A hidden unit of a trained model, reading a text. Upper bars: the factor "
        "SiLU(w1·x), how far the gate is open. Middle: the up value w3·x. Lower: their product, "
        "which is what the unit hands to <code>w2</code>. <b>Move along the text</b> and look for "
        "places where the up value is large and nothing comes out. <b>Change the unit</b> and see "
        "other pieces open other gates.",
        checks=[{"place": len(pieces) - 1, "unit": n_units, "layer": layer} for layer in layers],
    )


def words_numbers(
    words: Sequence[str], gates: Sequence[float], ups: Sequence[float], place: int
) -> dict[str, Any]:
    """One unit at one position, and where in the text its gate is widest open."""
    factors = [factor("silu", gate) for gate in gates]
    widest = max(range(len(words)), key=factors.__getitem__)
    return {
        "word": words[place],
        "gate": gates[place],
        "factor": factors[place],
        "up": ups[place],
        "passes": factors[place] * ups[place],
        "state": gate_numbers("silu", gates[place], 1)["state"],
        "widest": words[widest],
        "most": factors[widest],
    }
