"""Static and live figures for the chapters: one look, at home on a light page and on a dark one.

A chapter calls :func:`use` once (its set-up cell does) and draws with matplotlib as usual. What
moves is a :class:`FrameSlider` (one knob, frames drawn beforehand) or a :class:`LiveFigure`
(several knobs, a small script). CONTRIBUTING.md says how to make one. Nothing else in the package
imports this.
"""

from __future__ import annotations

from llama_tutorial.figures.controls import Select, Slider, Stops, Text, Toggle
from llama_tutorial.figures.frames import FrameSlider
from llama_tutorial.figures.live import LiveFigure
from llama_tutorial.figures.numbers import number_text, rounded
from llama_tutorial.figures.source import show_source
from llama_tutorial.figures.style import (
    BLUE,
    DIVERGING,
    GREEN,
    INK,
    ORANGE,
    PALETTE,
    ROSE,
    SEQUENTIAL,
    VIOLET,
    use,
)
from llama_tutorial.figures.svg import svg_text
from llama_tutorial.figures.table import table

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
    "Select",
    "Slider",
    "Stops",
    "Text",
    "Toggle",
    "number_text",
    "rounded",
    "show_source",
    "svg_text",
    "table",
    "use",
]
