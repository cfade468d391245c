"""Run by test_model.py in a process of its own: a compiled model is the same model."""

from __future__ import annotations

import small_models
import torch

from llama_tutorial import KVCache

config = small_models.LLAMA.replace(n_layers=1, n_kv_heads=2)
model = small_models.random_model(config)
compiled = torch.compile(model)
tokens = small_models.random_tokens(config, 2, 12)
with torch.no_grad():
    expected = model(tokens)
    torch.testing.assert_close(compiled(tokens), expected, rtol=0, atol=1e-4)
    cache = KVCache(config, 2)
    pieces, graphs = [], []
    for piece in tokens.split([8, 1, 1, 1, 1], dim=1):
        pieces.append(compiled(piece, cache))
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    torch.testing.assert_close(torch.cat(pieces, 1), expected, rtol=0, atol=1e-4)
    assert graphs[-1] == graphs[-3], graphs  # the same code for every position, not one for each
print("the same")
