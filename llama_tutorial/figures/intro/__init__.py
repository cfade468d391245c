"""The figures of the first page."""

from llama_tutorial.figures.intro.live import block, block_numbers, chosen_config, writer

__all__ = ["block", "block_numbers", "chosen_config", "writer"]
