"""The figures and tables of the tokenizer chapter."""

from llama_tutorial.figures.tokenizer.live import coverage, growth, merges
from llama_tutorial.figures.tokenizer.plots import (
    lookups,
    real_counts,
    sizes,
    two_alphabets,
    vocabularies,
)
from llama_tutorial.figures.tokenizer.tables import (
    bugs,
    code_points,
    merges_by_hand,
    real_pieces,
    rows_of_models,
)

__all__ = [
    "bugs",
    "code_points",
    "coverage",
    "growth",
    "lookups",
    "merges",
    "merges_by_hand",
    "real_counts",
    "real_pieces",
    "rows_of_models",
    "sizes",
    "two_alphabets",
    "vocabularies",
]
