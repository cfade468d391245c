"""The figures and tables of the chapter on what each change was worth."""

from llama_tutorial.figures.swaps.live import race, race_numbers
from llama_tutorial.figures.swaps.plots import changes, longer, rates
from llama_tutorial.figures.swaps.tables import chain, interval, shakespeare, worth

__all__ = [
    "chain",
    "changes",
    "interval",
    "longer",
    "race",
    "race_numbers",
    "rates",
    "shakespeare",
    "worth",
]
