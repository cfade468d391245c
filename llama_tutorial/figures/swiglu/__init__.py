"""The figures of the SwiGLU chapter."""

from llama_tutorial.figures.swiglu.live import factor, gate, plane, plane_numbers, words_gates
from llama_tutorial.figures.swiglu.plots import activations, along_a_line, matrices

__all__ = [
    "activations",
    "along_a_line",
    "factor",
    "gate",
    "matrices",
    "plane",
    "plane_numbers",
    "words_gates",
]
