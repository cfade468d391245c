"""What goes on inside the chapter's models: where a head looks, and what a wrong turn does.

The first two functions read the one-layer GPT that the reader has built, with a table of positions
(``pos_embeddings``) or with RoPE (``cos`` and ``sin``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.gqa import attention_weights
from llama_tutorial.rope import apply_rope


@torch.no_grad()
def mean_attention(model: Any, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "T S"]:
    """Attention weights of the first layer, averaged over texts and heads."""
    q, k = _queries_and_keys(model, tokens)
    if hasattr(model, "cos"):
        cos, sin = (table[: tokens.shape[1]] for table in (model.cos, model.sin))
        q, k = apply_rope(q, cos, sin), apply_rope(k, cos, sin)
    return attention_weights(q, k).mean((0, 1))


@torch.no_grad()
def mean_head(model: Any, tokens: Int[Tensor, "B T"], head: int) -> tuple[list[float], list[float]]:
    """Query and key of one head of the first layer, not yet turned, averaged over all tokens."""
    q, k = _queries_and_keys(model, tokens)
    return q[:, head].mean((0, 1)).tolist(), k[:, head].mean((0, 1)).tolist()


def _queries_and_keys(
    model: Any, tokens: Int[Tensor, "B T"]
) -> tuple[Float[Tensor, "B H T h"], Float[Tensor, "B H T h"]]:
    x = model.tok_embeddings(tokens)  # (B, T, D)
    if hasattr(model, "pos_embeddings"):
        x = x + model.pos_embeddings(torch.arange(tokens.shape[1]))
    layer = model.layers[0]
    x, attention = layer.attention_norm(x), layer.attention
    return attention.heads(attention.wq(x)), attention.heads(attention.wk(x))


@torch.no_grad()
def mistakes(models: Mapping[str, Any], right: Any, tokens: Int[Tensor, "B T"]) -> list[list[Any]]:
    """A row for each model: its name, whether it passes two quick tests, and its loss.

    Args:
        models: The models by name.
        right: The one that is known to be right.
        tokens: Texts; the tests compare logits on the first token and on the first two.

    Returns:
        Name, "passes" or "fails" with one token, the same with two, and the loss in nats a token.
    """
    rows: list[list[Any]] = []
    for name, model in models.items():
        tests = []
        for n in (1, 2):
            off = (model(tokens[:1, :n]) - right(tokens[:1, :n])).abs().max()
            tests.append("passes" if off < 1e-9 else "fails")
        logits = model(tokens[:, :-1])  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        rows.append([name, *tests, loss.item()])
    return rows
