"""The same decoder in NumPy alone: the engine, its layers, its sampling, and llama2.c's files."""

from llama_tutorial.numpy_llama.engine import Cache, NumpyLlama

__all__ = ["Cache", "NumpyLlama"]
