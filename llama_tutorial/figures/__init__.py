"""Static and live figures for the chapters: one look, at home on a light page and on a dark one.

A chapter calls :func:`use` once (its set-up cell does) and draws with matplotlib as usual. What
moves is a :class:`FrameSlider` (one knob, frames drawn beforehand) or a :class:`LiveFigure`
(several knobs, a small script). Each chapter's own figures are a module of its name, loaded when it
is first asked for: ``figures.rope.clocks()``. CONTRIBUTING.md says how to make one. Nothing else in
the package imports this.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llama_tutorial.figures.kit.controls import Select, Slider, Stops, Text, Toggle
from llama_tutorial.figures.kit.diff import diff
from llama_tutorial.figures.kit.frames import FrameSlider
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import number_text, rounded
from llama_tutorial.figures.kit.predict import Predict
from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.kit.source import show_source
from llama_tutorial.figures.kit.style import (
    BLUE,
    DIVERGING,
    GREEN,
    INK,
    ORANGE,
    PALETTE,
    ROSE,
    SEQUENTIAL,
    VIOLET,
)
from llama_tutorial.figures.kit.svg import svg_text, use
from llama_tutorial.figures.kit.table import table

if TYPE_CHECKING:
    from llama_tutorial.figures import (
        checkpoints,
        evaluation,
        finetuning,
        generation,
        gpt,
        gqa,
        intro,
        journey,
        model,
        museum,
        numpy_llama,
        preferences,
        pretraining,
        quantization,
        rmsnorm,
        rope,
        swaps,
        swiglu,
        tokenizer,
    )

_ON_DEMAND = (
    "checkpoints evaluation finetuning generation gpt gqa intro journey model museum numpy_llama "
    "preferences pretraining quantization rmsnorm rope swaps swiglu tokenizer"
).split()

__all__ = [
    "BLUE",
    "DIVERGING",
    "GREEN",
    "INK",
    "ORANGE",
    "PALETTE",
    "ROSE",
    "SEQUENTIAL",
    "VIOLET",
    "FrameSlider",
    "LiveFigure",
    "Predict",
    "Select",
    "Slider",
    "Stops",
    "Text",
    "Toggle",
    "diff",
    "number_text",
    "recorded",
    "rounded",
    "show_source",
    "svg_text",
    "table",
    "use",
]


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ON_DEMAND])
