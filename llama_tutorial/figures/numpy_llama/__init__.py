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
from llama_tutorial.figures.numpy_llama.tables import bounds, faults, speeds

__all__ = [
    "COLUMNS",
    "bounds",
    "cost",
    "cost_numbers",
    "costs",
    "course",
    "faults",
    "file_data",
    "file_numbers",
    "file_walk",
    "leads",
    "operations",
    "speed",
    "speed_rows",
    "speeds",
]
