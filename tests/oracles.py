"""What the package must compute, written down a second time, in plain float64 NumPy.

Nothing here comes from the package, and nothing is clever: one row at a time, one head at a time,
one query at a time, no cache. Weights are a dictionary from Meta's names to arrays.

The decoder is both Llama and GPT-2. Llama's names have no biases, a ``w3`` and no
``pos_embeddings``; GPT-2's have no ``output``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray
Weights = Mapping[str, Array]


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Each vector over its root mean square."""
    rows = [row / math.sqrt(sum(v * v for v in row) / len(row) + eps) for row in x.astype(float)]
    return np.stack(rows) * weight


def layer_norm(x: Array, weight: Array, bias: Array | None, eps: float) -> Array:
    """Each vector to mean 0 and variance 1."""
    rows = [(row - np.mean(row)) / math.sqrt(np.var(row) + eps) for row in x.astype(float)]
    return np.stack(rows) * weight + (0.0 if bias is None else bias)


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max())
    return e / e.sum()


def log_softmax(x: Array) -> Array:
    return x - x.max() - math.log(np.exp(x - x.max()).sum())


def rope_interleaved(x: Array, position: int, theta: float = 10000.0) -> Array:
    """One head vector at one position, pairs (2j, 2j+1) as complex numbers: Meta's layout."""
    h = len(x)
    z = [complex(x[2 * j], x[2 * j + 1]) for j in range(h // 2)]
    z = [z[j] * np.exp(1j * position * theta ** (-2 * j / h)) for j in range(h // 2)]
    return np.array([part for pair in z for part in (pair.real, pair.imag)])


def rope_half_split(x: Array, position: int, theta: float = 10000.0) -> Array:
    """The same with pairs (j, j + h/2) and 2 x 2 rotations: Hugging Face's layout."""
    h = len(x)
    y = np.empty(h)
    for j in range(h // 2):
        angle = position * theta ** (-2 * j / h)
        c, s = math.cos(angle), math.sin(angle)
        y[j] = c * x[j] - s * x[j + h // 2]
        y[j + h // 2] = s * x[j] + c * x[j + h // 2]
    return y


def attend(q: Array, k: Array, v: Array, sees: Array) -> tuple[Array, Array]:
    """Grouped-query attention: q (H, T, h), k and v (K, S, h), sees (T, S).

    Returns:
        The output (H, T, h) and the weights (H, T, S).
    """
    (H, T, h), (K, S, _) = q.shape, k.shape
    y, weights = np.zeros((H, T, h)), np.zeros((H, T, S))
    for head in range(H):
        shared = head // (H // K)
        for t in range(T):
            seen = [s for s in range(S) if sees[t, s]]
            scores = np.array([q[head, t] @ k[shared, s] / math.sqrt(h) for s in seen])
            weights[head, t, seen] = softmax(scores)
            y[head, t] = weights[head, t] @ v[shared]
    return y, weights


def decoder(
    weights: Weights,
    tokens: Sequence[int],
    *,
    n_layers: int,
    n_heads: int,
    n_kv_heads: int,
    norm: str,
    norm_eps: float,
    rope_theta: float,
    documents: Sequence[int] | None = None,
    **_: Any,
) -> Array:
    """Logits (T, V) of one row of tokens: Llama, GPT-2, and every mixture of the two.

    Further keywords (the rest of a configuration) are read off the weights.
    """
    w = {name: np.asarray(array, dtype=np.float64) for name, array in weights.items()}
    T = len(tokens)
    documents = [0] * T if documents is None else documents
    positions = _restarting(documents)
    sees = np.zeros((T, T), dtype=bool)
    for t in range(T):
        sees[t, t - positions[t] : t + 1] = True  # from its document's first token to itself

    def linear(x: Array, name: str) -> Array:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    def normed(x: Array, name: str) -> Array:
        if norm == "rmsnorm":
            return rms_norm(x, w[f"{name}.weight"], norm_eps)
        return layer_norm(x, w[f"{name}.weight"], w.get(f"{name}.bias"), norm_eps)

    def heads(x: Array, name: str, n: int) -> Array:
        return linear(x, name).reshape(T, n, -1).transpose(1, 0, 2)

    def turned(x: Array) -> Array:
        if "pos_embeddings.weight" in w:
            return x
        return np.array(
            [[rope_interleaved(x[i, t], positions[t], rope_theta) for t in range(T)]
             for i in range(len(x))]
        )  # fmt: skip

    x = w["tok_embeddings.weight"][list(tokens)]
    if "pos_embeddings.weight" in w:
        x = x + w["pos_embeddings.weight"][positions]
    for layer in (f"layers.{i}" for i in range(n_layers)):
        a = normed(x, f"{layer}.attention_norm")
        q = turned(heads(a, f"{layer}.attention.wq", n_heads))
        k = turned(heads(a, f"{layer}.attention.wk", n_kv_heads))
        v = heads(a, f"{layer}.attention.wv", n_kv_heads)
        y, _weights = attend(q, k, v, sees)
        x = x + linear(y.transpose(1, 0, 2).reshape(T, -1), f"{layer}.attention.wo")
        f = normed(x, f"{layer}.ffn_norm")
        up = linear(f, f"{layer}.feed_forward.w1")
        if f"{layer}.feed_forward.w3.weight" in w:
            up = silu(up) * linear(f, f"{layer}.feed_forward.w3")
        else:
            up = gelu_tanh(up)
        x = x + linear(up, f"{layer}.feed_forward.w2")
    x = normed(x, "norm")
    return x @ w.get("output.weight", w["tok_embeddings.weight"]).T


def _restarting(documents: Sequence[int]) -> list[int]:
    """Positions that start again at 0 with every change of document."""
    positions: list[int] = []
    for t, document in enumerate(documents):
        same = t > 0 and documents[t - 1] == document
        positions.append(positions[-1] + 1 if same else 0)
    return positions


def top_p_kept(probabilities: Sequence[float], p: float) -> set[int]:
    """Meta's ``sample_top_p``: sorted, a token goes when the sum before it exceeds ``p``."""
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])  # stable
    kept, before = set(), 0.0
    for i in order:
        if before > p:
            break
        kept.add(i)
        before += probabilities[i]
    return kept


def top_k_kept(logits: Sequence[float], k: int) -> set[int]:
    """The k largest; among equals the first."""
    return set(sorted(range(len(logits)), key=lambda i: -logits[i])[:k])


def penalised(logits: Array, ids: Sequence[int], penalty: float) -> Array:
    """Keskar et al.'s repetition penalty, on the sign as everybody has it."""
    changed = np.array(logits, dtype=np.float64)
    for i in set(ids):
        changed[i] = changed[i] / penalty if changed[i] > 0 else changed[i] * penalty
    return changed


def next_distribution(
    logits: Array,
    temperature: float,
    top_k: int | None = None,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> Array:
    """What a token is drawn from: temperature, then k, then p, then min-p, each renormalised."""
    p = softmax(np.asarray(logits, dtype=np.float64) / temperature)
    if top_k is not None:
        kept = top_k_kept(list(p), top_k)
        p = np.array([v if i in kept else 0.0 for i, v in enumerate(p)])
        p /= p.sum()
    if top_p < 1:
        kept = top_p_kept(list(p), top_p)
        p = np.array([v if i in kept else 0.0 for i, v in enumerate(p)])
        p /= p.sum()
    p = np.array([v if v >= min_p * p.max() else 0.0 for v in p])
    return p / p.sum()
