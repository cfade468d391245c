"""The live figures of the RMSNorm chapter: a vector moved and stretched, and which outputs change.

What Python computes here comes from :mod:`llama_tutorial.rmsnorm` and :mod:`llama_tutorial.gpt`;
the scripts ``shift.js`` and ``axis.js`` compute the same in the page, and the
browser tests hold them equal.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.controls import Select, Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.gpt import LayerNorm
from llama_tutorial.rmsnorm import RMSNorm

ACTIVATION = [1.2, -0.4, 0.3, -1.5, 0.9, 0.1, -0.8, 0.2]  # its mean is 0
SCALES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100, 1000]
AXES = {
    "features": "features",
    "positions and features": "both",
    "positions": "positions",
}
N_POSITIONS, N_FEATURES = 8, 6


def shift() -> LiveFigure:
    """One activation of eight features, shifted and scaled by the reader, under both norms."""
    return LiveFigure(
        "rmsnorm/shift",
        data={"activation": ACTIVATION},
        controls=[
            Slider("shift", -4.0, 4.0, 1.0, 0.25, label="add to every feature"),
            Stops("scale", 1, SCALES, label="then multiply by"),
            Select(
                "eps",
                1e-5,
                label="ε",
                options={"0.00001 (Llama 2)": 1e-5, "0.000001": 1e-6, "0": 0},
            ),
        ],
        numbers=shift_numbers,
        readout="In: mean {mean}, RMS {size}. LayerNorm: mean {layer_mean}, RMS {layer_size}. "
        "RMSNorm: mean {rms_mean}, RMS {rms_size}. Apart by up to {apart}.",
        alt="Three rows of eight bars: the activation with mean {mean} and RMS {size}; what "
        "LayerNorm makes of it, {layer}; what RMSNorm makes of it, {rms}.",
        caption="One activation of eight features, and what each norm makes of it. The hollow "
        "bars are the answer to the activation as it was, before anything was added or multiplied. "
        "<b>Drag</b> a bar of the activation, then <b>multiply</b> it, and watch which answers "
        "leave their hollow bars.",
        checks=[
            {"shift": 0.0},
            {"shift": 0.0, "scale": 0.01},
            {"shift": 0.0, "scale": 0.01, "eps": 1e-6},
            {"shift": 4.0, "scale": 100},
            {"shift": -2.5, "scale": 0.002, "eps": 0},
        ],
    )


def shift_numbers(shift: float, scale: float | int, eps: float | int) -> dict[str, Any]:
    """Mean and root mean square before and after both norms, and what they return."""
    x = (_activation() + shift) * scale
    layer, rms = _both_norms(x, eps)
    return {
        "mean": x.mean().item(),
        "size": _size(x),
        "layer": layer.tolist(),
        "layer_mean": layer.mean().item(),
        "layer_size": _size(layer),
        "rms": rms.tolist(),
        "rms_mean": rms.mean().item(),
        "rms_size": _size(rms),
        "apart": (layer - rms).abs().max().item(),
    }


def _activation() -> Float[Tensor, " D"]:
    return torch.tensor(ACTIVATION, dtype=torch.float64)


@torch.no_grad()
def _both_norms(x: Float[Tensor, " D"], eps: float | int) -> list[Float[Tensor, " D"]]:
    return [norm(len(x), eps).double()(x) for norm in (LayerNorm, RMSNorm)]


def _size(x: Float[Tensor, " D"]) -> float:
    return x.pow(2).mean().sqrt().item()


def axis() -> LiveFigure:
    """Which outputs change with one token, for each choice of what to average over."""
    x, other = _tokens()
    return LiveFigure(
        "rmsnorm/axis",
        data={"x": x, "other": other},
        controls=[
            Select("over", "features", label="mean square over", options=AXES),
            Slider("token", 0, N_POSITIONS - 1, 5, label="change the token at position"),
        ],
        numbers=axis_numbers,
        readout="Positions before the changed one: {told} of {earlier} have a different output. "
        "Positions after it: {told_later} of {later}. Largest change before it: {leak}.",
        alt="A grid of positions and features, filled where the output has changed. The token at "
        "position {token} was changed; {told} of the {earlier} positions before it and "
        "{told_later} of the {later} after it have a different output.",
        caption="RMSNorm on eight positions of six features. The token in the frame has been "
        "replaced by another; the stronger a square's colour, the more its output has changed. "
        "<b>Choose what the mean square is taken over</b>, then <b>drag the frame</b>.",
        checks=[
            {"over": over, "token": token}
            for over in ("both", "positions")
            for token in (0, 5, N_POSITIONS - 1)
        ],
    )


def _tokens() -> tuple[list[list[float]], list[float]]:
    """The vectors at all positions, and the one that replaces one of them."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(N_POSITIONS + 1, N_FEATURES, generator=generator, dtype=torch.float64)
    *vectors, other = rounded(x)
    return vectors, rounded(2 * torch.tensor(other, dtype=torch.float64))


def axis_changes(over: str, token: int) -> Float[Tensor, "T D"]:
    """How much each output changes when another vector stands at ``token``."""
    vectors, other = _tokens()
    x = torch.tensor(vectors, dtype=torch.float64)  # (T, D)
    changed = x.clone()
    changed[token] = torch.tensor(other, dtype=torch.float64)
    return (_normalised(changed, over) - _normalised(x, over)).abs()


@torch.no_grad()
def _normalised(x: Float[Tensor, "T D"], over: str) -> Float[Tensor, "T D"]:
    """The package's norm on the axis that it is for, or on another one by turning the table."""
    if over == "features":
        return RMSNorm(x.shape[1]).double()(x)
    if over == "positions":
        return RMSNorm(x.shape[0]).double()(x.T).T
    return RMSNorm(x.numel()).double()(x.flatten()).view_as(x)


def axis_numbers(over: str, token: int) -> dict[str, Any]:
    """How many outputs before and after the changed token change with it, and by how much."""
    changes = axis_changes(over, token).amax(1)  # (T,)
    before, after = changes[:token], changes[token + 1 :]
    return {
        "earlier": len(before),
        "told": int((before > 1e-9).sum()),
        "later": len(after),
        "told_later": int((after > 1e-9).sum()),
        "leak": before.max().item() if len(before) else 0.0,
        "changes": changes.tolist(),
    }
