"""The figures of the SwiGLU chapter."""

from llama_tutorial.figures.swiglu.live import (
    factor,
    gate,
    gate_numbers,
    plane,
    plane_numbers,
    words_gates,
)
from llama_tutorial.figures.swiglu.plots import (
    activations,
    along_a_line,
    circuits,
    matrices,
    wirings,
)
from llama_tutorial.figures.swiglu.tables import (
    PUBLISHED,
    RULE,
    ablation,
    costs,
    published,
    tasks,
    widths,
)

__all__ = [
    "PUBLISHED",
    "RULE",
    "ablation",
    "activations",
    "along_a_line",
    "circuits",
    "costs",
    "factor",
    "gate",
    "gate_numbers",
    "matrices",
    "plane",
    "plane_numbers",
    "published",
    "tasks",
    "widths",
    "wirings",
    "words_gates",
]
