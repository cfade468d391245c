"""The figures of the generation chapter."""

from llama_tutorial.figures.generation.inside import inside, look, seen
from llama_tutorial.figures.generation.live import cuts
from llama_tutorial.figures.generation.plots import habits, sureness
from llama_tutorial.figures.generation.widgets import explore

__all__ = ["cuts", "explore", "habits", "inside", "look", "seen", "sureness"]
