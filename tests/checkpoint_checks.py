"""What the tests of every checkpoint format ask."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llama_tutorial import Transformer, load_model


def same_weights(model: Transformer, other: Transformer) -> None:
    """The same tensors under the same names, to the bit."""
    state, expected = model.state_dict(), other.state_dict()
    assert list(state) == list(expected)
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor), name


def listing(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def refused(path: Path, kind: type[Exception] = ValueError) -> str:
    """The message with which ``load_model`` refuses ``path``; it names it."""
    with pytest.raises(kind) as error:
        load_model(path)
    assert str(path) in str(error.value)
    return str(error.value)
