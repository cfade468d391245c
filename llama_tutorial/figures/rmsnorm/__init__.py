"""The figures of the RMSNorm chapter."""

from llama_tutorial.figures.rmsnorm.live import axis, axis_numbers, shift, shift_numbers
from llama_tutorial.figures.rmsnorm.plots import eps_curves, geometry, mistakes, stream_sizes
from llama_tutorial.figures.rmsnorm.tables import ablation, costs

__all__ = [
    "ablation",
    "axis",
    "axis_numbers",
    "costs",
    "eps_curves",
    "geometry",
    "mistakes",
    "shift",
    "shift_numbers",
    "stream_sizes",
]
