"""The figure of the first page."""

from llama_tutorial.figures.intro.live import block, block_numbers, chosen_config

__all__ = ["block", "block_numbers", "chosen_config"]
