"""The plots: what happens, in which order; the teller finds the words."""

from __future__ import annotations

from llama_tutorial.tales.plots import adventure, friends, giving, lost, wonders

PLOTS = (*lost.PLOTS, *giving.PLOTS, *friends.PLOTS, *adventure.PLOTS, *wonders.PLOTS)
