"""Every plot."""

from __future__ import annotations

from llama_tutorial.tales import plots_adventure, plots_friends, plots_giving, plots_lost

PLOTS = (*plots_lost.PLOTS, *plots_giving.PLOTS, *plots_friends.PLOTS, *plots_adventure.PLOTS)
