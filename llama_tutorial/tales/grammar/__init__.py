"""The tables of sentence patterns, by theme; :mod:`llama_tutorial.tales.patterns` explains them."""
