"""The figures of the NumPy chapter."""

from llama_tutorial.figures.numpy_llama.live import (
    cost,
    cost_numbers,
    file_data,
    file_numbers,
    file_walk,
    operations,
)
from llama_tutorial.figures.numpy_llama.plots import (
    COLUMNS,
    costs,
    course,
    leads,
    speed,
    speed_rows,
)

__all__ = [
    "COLUMNS",
    "cost",
    "cost_numbers",
    "costs",
    "course",
    "file_data",
    "file_numbers",
    "file_walk",
    "leads",
    "operations",
    "speed",
    "speed_rows",
]
