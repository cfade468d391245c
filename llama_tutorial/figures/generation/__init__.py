"""The figures of the generation chapter."""

from llama_tutorial.figures.generation.inside import inside, look, seen
from llama_tutorial.figures.generation.live import cuts
from llama_tutorial.figures.generation.plots import (
    candidates,
    drafts,
    habits,
    layout,
    sureness,
    turns,
)
from llama_tutorial.figures.generation.serving import Turn, pages, schedule
from llama_tutorial.figures.generation.tables import costs, step_costs
from llama_tutorial.figures.generation.widgets import explore

__all__ = [
    "Turn",
    "candidates",
    "costs",
    "cuts",
    "drafts",
    "explore",
    "habits",
    "inside",
    "layout",
    "look",
    "pages",
    "schedule",
    "seen",
    "step_costs",
    "sureness",
    "turns",
]
