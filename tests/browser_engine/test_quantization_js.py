"""Weights rounded in JavaScript: those of Python, bit for bit, and the text written with them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from llama_tutorial import ModelConfig
from llama_tutorial.figures.quantization import round_weights
from llama_tutorial.numpy_llama import llama2c

SETTINGS = [(8, "matrix"), (6, "row"), (4, "matrix"), (4, 16), (3, 8), (2, 16), (5, 4)]


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """A model with weights of every size: halves, zeros, steps that float16 rounds coarsely."""
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 48}
    config = ModelConfig(**sizes, vocab_size=37, max_seq_len=24)
    draw = np.random.default_rng(0)
    tensors = {}
    for name, shape in llama2c.Header(1, config).entries():
        size = 10.0 ** draw.uniform(-9, 2, shape)
        tensors[name] = (draw.normal(0, 1, shape) * size).astype(np.float32)
        tensors[name][..., :8] = 0  # whole groups of zeros
        tensors[name][..., 8:12] = [-0.75, 0.5, 0.25, -0.5]
    path = tmp_path_factory.mktemp("wild") / "wild.bin"
    llama2c.write(path, config, tensors, 1)
    return path, tensors


@pytest.mark.parametrize(("bits", "group"), SETTINGS)
def test_weights_are_pythons_to_the_bit(engine, wild, bits: int, group: str | int) -> None:
    path, tensors = wild
    found = engine("rounded", model=path, quantize={"bits": bits, "group": group})
    for kind, layers in found.items():
        for layer, weights in enumerate(layers):
            names = [name for name in tensors if re.search(rf"\b{kind}\.weight$", name)]
            own = [name for name in names if f"layers.{layer}." in name] or names
            weight = tensors[own[0]]
            is_kept = weight.ndim == 1 or kind == "tok_embeddings"
            expected = weight if is_kept else round_weights(weight, bits, group)
            np.testing.assert_array_equal(np.float32(weights), expected.ravel(), err_msg=own[0])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"bits": 1, "group": 8}, "bits=1: must be 2 to 8"),
        ({"bits": 9, "group": 8}, "bits=9: must be 2 to 8"),
        ({"bits": 4, "group": 5}, "group=5: must divide rows of 32 weights"),
        ({"bits": 4, "group": "line"}, "group=line: must divide"),
        ({"bits": 4}, "group=undefined: must divide"),
    ],
)
def test_what_cannot_be_is_refused(engine, wild, how: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        engine("rounded", model=wild[0], quantize=how)
