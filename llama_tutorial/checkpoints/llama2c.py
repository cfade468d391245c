"""llama2.c's ``.bin`` files as models, and models as such files.

A float32 file becomes a model without being read: its parameters are the file's pages, and what
training changes goes to memory alone. Do not write into a file that a model was loaded from; to
replace it, as `save` does, is safe. The work is done without torch, in
:mod:`llama_tutorial.numpy_llama.llama2c`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from llama_tutorial.checkpoints.weights import Checkpoint, empty_model
from llama_tutorial.model import Transformer
from llama_tutorial.numpy_llama.llama2c import Llama2cFile, read, write
from llama_tutorial.quantization import QuantizedTensor


@contextmanager
def opened(path: Path) -> Iterator[Checkpoint]:
    """The checkpoint in a llama2.c file, version 0, 1 or 2; int8 weights become float32.

    Raises:
        FileNotFoundError, ValueError: See :func:`llama_tutorial.numpy_llama.llama2c.read`.
    """
    file = read(path)
    dtype = "float32" if file.group_size is None else f"int8 in groups of {file.group_size}"
    name = f"llama2.c, version {file.version}"
    yield Checkpoint(path, name, dtype, empty_model(file.config), lambda: _tensors(file))


def save(
    model: Transformer, path: str | os.PathLike[str], version: int = 0, group_size: int = 64
) -> None:
    """Write ``model`` as a llama2.c file.

    Weights of 16 bits are widened to float32, which keeps them exactly. Version 2 rounds the
    matrices to int8 in groups of ``group_size``.

    Raises:
        FileNotFoundError, ValueError: See :func:`llama_tutorial.numpy_llama.llama2c.write`.
    """
    write(path, model.config, _AsArrays(model.state_dict()), version, group_size)


def _tensors(file: Llama2cFile) -> Iterator[tuple[str, Tensor]]:
    for name, array in file.tensors.items():
        if isinstance(array, QuantizedTensor):
            array = array.dequantize()
        yield name, torch.from_numpy(array)


class _AsArrays(Mapping[str, np.ndarray]):
    """A state dictionary whose tensors become arrays when they are asked for, one at a time."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self.state[name].detach().cpu()
        # NumPy has no bfloat16.
        return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()

    def __iter__(self) -> Iterator[str]:
        return iter(self.state)

    def __len__(self) -> int:
        return len(self.state)
