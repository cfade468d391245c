"""The figures of the generation chapter."""

from llama_tutorial.figures.generation.inside import inside, look, seen
from llama_tutorial.figures.generation.live import cuts
from llama_tutorial.figures.generation.plots import candidates, habits, layout, sureness
from llama_tutorial.figures.generation.tables import costs, step_costs
from llama_tutorial.figures.generation.widgets import explore

__all__ = [
    "candidates",
    "costs",
    "cuts",
    "explore",
    "habits",
    "inside",
    "layout",
    "look",
    "seen",
    "step_costs",
    "sureness",
]
