"""The figures of the RMSNorm chapter."""

from llama_tutorial.figures.rmsnorm.live import axis, axis_numbers, shift, shift_numbers
from llama_tutorial.figures.rmsnorm.plots import eps_curves, geometry, stream_sizes

__all__ = [
    "axis",
    "axis_numbers",
    "eps_curves",
    "geometry",
    "shift",
    "shift_numbers",
    "stream_sizes",
]
