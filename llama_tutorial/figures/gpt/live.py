"""The live figures of the GPT chapter: one attention head at work, and where a model's cost goes.

What Python computes here comes from :mod:`llama_tutorial.gqa` and :mod:`llama_tutorial.config`; the
scripts ``head.js`` and ``budget.js`` compute the same in the page, and the browser
tests hold them equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.config import ModelConfig
from llama_tutorial.figures.kit.controls import Stops, Toggle
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.gqa import attention_weights

STRENGTHS = [0, 0.5, 1, 1.5, 2, 3, 5]
PARTS = (
    "token embedding",
    "positions",
    "attention matrices",
    "feed-forward",
    "biases and norms",
    "scores and sums",
    "output head",
)


def head(
    words: Sequence[str],
    q: Float[Tensor, "T h"],
    k: Float[Tensor, "T h"],
    v: Float[Tensor, "T n"],
    names: Sequence[str],
    *,
    word: str,
) -> LiveFigure:
    """One head on one sentence: scores, mask, weights and the weighted sum, for a chosen query.

    Args:
        words: The sentence; every word once.
        q: A query for each word.
        k: A key for each word.
        v: A value for each word.
        names: What the features of a value mean.
        word: The query that is shown first.
    """
    words, names = list(words), list(names)

    def numbers(word: str, strength: float | int, causal: bool) -> dict[str, Any]:
        return head_numbers(q, k, v, words.index(word), strength, causal)

    return LiveFigure(
        "gpt/head",
        data={"words": words, "names": names, "q": q, "k": k, "v": v},
        controls=[
            Stops("word", word, words, label="the word that asks"),
            Stops("strength", 2, STRENGTHS, label="strength of the query"),
            Toggle("causal", True, label="causal mask"),
        ],
        numbers=numbers,
        readout="“{word}” sees {visible} of the words and carries home "
        f"({', '.join(names)}) = ({{output}}).",
        alt="The word {word} asks. Scores of all words in order: {scores}. It sees {visible} of "
        f"them; their weights are {{weights}}. The weighted sum of the values, for "
        f"{', '.join(names)}: {{output}}.",
        caption="One head, one query, from top to bottom: every word's score, the mask, the "
        "weights, and what the query takes home. <b>Touch the word that asks</b>, then <b>take the "
        "mask away</b> and ask again. The strength multiplies the query; at 0 it asks for nothing.",
        checks=[
            {"word": words[2], "causal": False},
            {"word": words[-1], "strength": 5},
            {"word": words[-2], "strength": 0.5, "causal": False},
        ],
    )


def head_numbers(
    q: Float[Tensor, "T h"],
    k: Float[Tensor, "T h"],
    v: Float[Tensor, "T n"],
    at: int,
    strength: float | int,
    causal: bool,
) -> dict[str, Any]:
    """Scores, weights and weighted sum of one query; the mask hides what comes after it."""
    T = len(q)
    q = strength * q
    mask = torch.ones(1, 1, T, T, dtype=torch.bool)
    mask = mask.tril() if causal else mask
    weights = attention_weights(q[None, None], k[None, None], mask)[0, 0, at]  # (T,)
    return {
        "scores": (k @ q[at] / math.sqrt(q.shape[1])).tolist(),
        "weights": weights.tolist(),
        "output": (weights @ v).tolist(),
        "visible": at + 1 if causal else T,
    }


def budget() -> LiveFigure:
    """Where parameters and floating-point operations of a GPT go, for sizes that are chosen."""
    return LiveFigure(
        "gpt/budget",
        data={"parts": PARTS},
        controls=[
            Stops("dim", 768, [128, 256, 512, 768, 1024, 1280, 1600, 2048, 4096], label="width D"),
            Stops("layers", 12, [1, 2, 4, 6, 12, 24, 36, 48, 80], label="layers L"),
            Stops(
                "vocab",
                50257,
                [256, 1024, 4096, 16384, 32000, 50257, 128256, 256000],
                label="vocabulary V",
            ),
            Stops(
                "context", 1024, [128, 256, 512, 1024, 2048, 4096, 8192, 16384], label="context T"
            ),
            Toggle("tied", True, label="tied output head"),
        ],
        numbers=budget_numbers,
        readout="{total} parameters; {gflops} GFLOPs for a token that sees the whole context, "
        "{ratio} times two for each parameter. Scores and sums overtake the blocks' matrices at a "
        "context of 6D = {crossing}.",
        alt="Bars for the parts of a GPT of width {dim}, {layers} layers, a vocabulary of {vocab} "
        f"and a context of {{context}}. In the order {', '.join(PARTS)}: shares of the parameters "
        "in percent {parameters}; shares of the operations in percent {operations}.",
        caption="A GPT of any size with heads of 64 features. Blue, above: the share of the "
        "parameters. Orange, below: the share of the operations for one token at the end of the "
        "context. <b>Untie the head</b>, then <b>make the model wider and deeper</b> and watch the "
        "embedding's share; then <b>drag the context</b> past the orange mark at T = 6D.",
        checks=[
            {"tied": False, "dim": 4096, "layers": 80},
            {"context": 16384, "vocab": 256},
        ],
    )


def gpt_config(dim: int, layers: int, vocab: int, context: int, tied: bool) -> ModelConfig:
    """A GPT of these sizes, with heads of 64 features and a feed-forward of 4 · D."""
    return ModelConfig(
        dim=dim,
        n_layers=layers,
        n_heads=dim // 64,
        hidden_dim=4 * dim,
        vocab_size=vocab,
        max_seq_len=context,
        norm="layernorm",
        feed_forward="gelu",
        positions="learned",
        bias=True,
        tie_embeddings=tied,
    )


def budget_parts(config: ModelConfig) -> tuple[list[int], list[int]]:
    """Parameters, and operations for a token at the end of the context, by the names in ``PARTS``.

    Their sums are ``config.n_params`` and ``config.flops_per_token(config.max_seq_len)``.
    """
    D, L, F = config.dim, config.n_layers, config.hidden_dim
    attention, feed_forward = L * 4 * D * D, L * 2 * D * F
    table, places = config.vocab_size * D, config.max_seq_len * D
    small = L * (5 * D + F + 4 * D) + 2 * D  # biases; scale and shift of two norms; the last norm
    head = 0 if config.tie_embeddings else table
    scores = 4 * L * places
    parameters = [table, places, attention, feed_forward, small, 0, head]
    operations = [0, 0, 2 * attention, 2 * feed_forward, 0, scores, 2 * table]
    return parameters, operations


def budget_numbers(dim: int, layers: int, vocab: int, context: int, tied: bool) -> dict[str, Any]:
    """Totals and shares in percent of :func:`budget_parts`."""
    config = gpt_config(dim, layers, vocab, context, tied)
    total, flops = config.n_params, config.flops_per_token(context)
    parameters, operations = budget_parts(config)
    return {
        "crossing": 6 * dim,  # 4 T D L operations against 24 D² L
        "total": f"{total:,}",
        "gflops": flops / 1e9,
        "ratio": flops / (2 * total),
        "parameters": [100 * part / total for part in parameters],
        "operations": [100 * part / flops for part in operations],
    }
