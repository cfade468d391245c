"""Other right answers pass: other formulas, another order, another precision, other arrays."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import numpy as np  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from llama_tutorial import check  # noqa: E402
from llama_tutorial import gqa as package_gqa  # noqa: E402
from llama_tutorial import rmsnorm as package_rmsnorm  # noqa: E402
from llama_tutorial import rope as package_rope  # noqa: E402
from llama_tutorial import swiglu as package_swiglu  # noqa: E402
from llama_tutorial.sampling import next_probabilities  # noqa: E402
from llama_tutorial.workbook.solutions import gqa, model, rope  # noqa: E402

ALTERNATIVES: dict[str, list[Any]] = {}


def passes(task: str) -> Callable[[Any], Any]:
    """Says that what follows is a right answer to a task."""

    def note(answer: Any) -> Any:
        ALTERNATIVES.setdefault(task, []).append(answer)
        return answer

    return note


# GPT


@passes("gpt.layer_norm")
def torchs_own(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


@passes("gpt.layer_norm")
def by_moments(x, weight, bias, eps=1e-5):
    x = x.double()
    mean = x.mean(-1, keepdim=True)
    variance = x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / (variance + eps) ** 0.5 * weight + bias


@passes("gpt.layer_norm")
def in_numpy(x, weight, bias, eps=1e-5):
    x = x.astype(np.float64)  # a tensor has none
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


@passes("gpt.attention_weights")
def row_by_row(q, k):
    flat_q, flat_k = (x.reshape(-1, *x.shape[-2:]) for x in (q, k))
    rows = torch.zeros(len(flat_q), q.shape[-2], q.shape[-2])
    for n, (some_q, some_k) in enumerate(zip(flat_q, flat_k, strict=True)):
        for t, query in enumerate(some_q):
            scores = some_k[: t + 1] @ query / q.shape[-1] ** 0.5
            e = (scores - scores.max()).exp()
            rows[n, t, : t + 1] = e / e.sum()
    return rows.view(*q.shape[:-1], q.shape[-2])


@passes("gpt.attention_weights")
def with_an_added_mask(q, k):
    T = q.shape[-2]
    mask = torch.full((T, T), -math.inf).triu(1)
    return (torch.einsum("...th,...sh->...ts", q, k) * q.shape[-1] ** -0.5 + mask).softmax(dim=-1)


@passes("gpt.next_token_loss")
def cross_entropy(logits, tokens):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@passes("gpt.next_token_loss")
def one_by_one(logits, tokens):
    losses = []
    for row, ids in zip(logits.double(), tokens, strict=True):
        for t in range(len(ids) - 1):
            losses.append(row[t].logsumexp(0) - row[t, ids[t + 1]])
    return torch.stack(losses).mean()


@passes("gpt.probabilities")
def stable_by_hand(logits, temperature=1.0):
    if temperature == 0:
        p = torch.zeros_like(logits)
        p[logits.argmax()] = 1
        return p
    e = torch.exp((logits - logits.max()) / temperature)
    return e / e.sum()


@passes("gpt.probabilities")
def the_packages(logits, temperature=1.0):
    if temperature == 0:  # where the package asks nobody, and takes the argmax
        return stable_by_hand(logits, 0)
    return next_probabilities(logits, temperature)


@passes("gpt.generate")
def tensor_that_grows(model, ids, n_new, choose, stop=None):
    tokens = torch.tensor([ids])
    for _ in range(n_new):
        token = choose(model(tokens)[0][-1])
        if stop is not None and token == stop:
            break
        tokens = torch.cat((tokens, torch.tensor([[token]])), dim=1)
    return tokens[0, len(ids) :].tolist()


# The tokenizer


@passes("tokenizer.count_pairs")
def with_a_counter(spelled, counts):
    pairs = Counter()
    for word in spelled:
        for left, right in pairwise(spelled[word]):
            pairs[left + right] += counts[word]
    return pairs


@passes("tokenizer.merge")
def looking_back(symbols, piece):
    merged = []
    fresh = False  # whether the last one was joined just now
    for symbol in symbols:
        if merged and not fresh and merged[-1] + symbol == piece:
            merged[-1], fresh = piece, True
        else:
            merged.append(symbol)
            fresh = False
    return merged


@passes("tokenizer.learn")
def by_sorting(counts, n_merges):
    words, learned = {word: tuple(word) for word in counts}, []
    for _ in range(n_merges):
        found = Counter()
        for word, symbols in words.items():
            for a, b in pairwise(symbols):
                found[a + b] += counts[word]
        if not found:
            return learned
        piece = sorted(found, key=lambda p: (-found[p], len(p), p))[0]
        words = {word: tuple(looking_back(symbols, piece)) for word, symbols in words.items()}
        learned.append(piece)
    return learned


@passes("tokenizer.spell")
def with_max(text, scores):
    symbols = list(text)
    while joins := [
        (scores[a + b], -i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores
    ]:
        i = -max(joins)[1]
        symbols[i : i + 2] = ["".join(symbols[i : i + 2])]
    return symbols


@passes("tokenizer.encode")
def character_by_character(text, ids, scores, bos=False, eos=False):
    symbols = with_max(("▁" * bool(text) + text).replace(" ", "▁"), scores)
    found = []
    for symbol in symbols:
        found += [ids[symbol]] if symbol in ids else [3 + b for b in bytes(symbol, "utf-8")]
    return [1] * bos + found + [2] * eos


# RMSNorm


@passes("rmsnorm.rms_norm")
def by_the_length(x, eps=1e-5):
    wide = x.double()
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    return (wide / (length**2 / x.shape[-1] + eps).sqrt()).to(x.dtype)


@passes("rmsnorm.RMSNorm")
class TorchsOwn(nn.Module):
    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x):
        return self.weight * F.rms_norm(x.float(), x.shape[-1:], eps=self.eps).type_as(x)


passes("rmsnorm.RMSNorm")(package_rmsnorm.RMSNorm)


@passes("rmsnorm.centre_writer")
def by_a_projection(weight):
    D = weight.shape[0]
    return (
        torch.eye(D, dtype=weight.dtype) - torch.full((D, D), 1 / D, dtype=weight.dtype)
    ) @ weight


# RoPE


@passes("rope.rope_table")
def in_float32(head_dim, max_seq_len, theta=10000.0):
    frequencies = 1.0 / theta ** (torch.arange(0, head_dim, 2).float() / head_dim)
    angles = torch.arange(max_seq_len).float()[:, None] * frequencies[None]
    return torch.cos(angles), torch.sin(angles)


passes("rope.rope_table")(package_rope.rope_table)
passes("rope.rotate")(package_rope.apply_rope)


@passes("rope.rotate")
def as_complex_numbers(x, cos, sin):
    z = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(z * torch.complex(cos, sin)).flatten(-2).type_as(x)


@passes("rope.rotate")
def written_into_place(x, cos, sin):
    y = torch.empty_like(x)
    y[..., ::2] = x[..., ::2] * cos - x[..., 1::2] * sin
    y[..., 1::2] = x[..., ::2] * sin + x[..., 1::2] * cos
    return y


@passes("rope.rotate_at")
def by_index(x, cos, sin, start=0):
    at = start + torch.arange(x.shape[-2])
    return as_complex_numbers(x, cos[at], sin[at])


@passes("rope.to_half_split")
def by_a_list(weight, n_heads):
    h = len(weight) // n_heads
    order = [n * h + i for n in range(n_heads) for i in (*range(0, h, 2), *range(1, h, 2))]
    return weight[order]


passes("rope.to_half_split")(package_rope.to_half_split)


# SwiGLU


@passes("swiglu.silu")
def torchs_silu(z):
    return F.silu(z)


@passes("swiglu.silu")
def the_textbooks(z):
    return z / (1 + (-z).exp())


@passes("swiglu.swiglu")
def with_linear(x, w1, w2, w3):
    return F.linear(F.linear(x, w3) * F.silu(F.linear(x, w1)), w2)


@passes("swiglu.swiglu")
def the_packages_layer(x, w1, w2, w3):
    layer = package_swiglu.SwiGLU(*w1.T.shape)
    layer.load_state_dict({"w1.weight": w1, "w2.weight": w2, "w3.weight": w3})
    return layer(x)


@passes("swiglu.hidden_dim")
def in_integers(dim, multiple_of=256, multiplier=None):
    hidden = 8 * dim // 3
    hidden = hidden if multiplier is None else int(multiplier * hidden)
    return (hidden + multiple_of - 1) // multiple_of * multiple_of


passes("swiglu.hidden_dim")(
    lambda dim, multiple_of=256, multiplier=None: package_swiglu.hidden_dim(
        dim, multiple_of, multiplier
    )
)


# Grouped-query attention


@passes("gqa.repeat_kv")
def metas(x, group_size):
    B, K, S, h = x.shape
    return x[:, :, None].expand(B, K, group_size, S, h).reshape(B, K * group_size, S, h)


passes("gqa.repeat_kv")(package_gqa.repeat_kv)


@passes("gqa.causal_mask")
def a_triangle(n_queries, start=0):
    return torch.ones(n_queries, start + n_queries, dtype=torch.bool).tril(diagonal=start)


@passes("gqa.causal_mask")
def the_packages_mask(n_queries, start=0):
    keys = torch.arange(start + n_queries)[None]
    return package_gqa.causal_mask(keys[:, start:], keys)[0, 0]


@passes("gqa.attention")
def fused(q, k, v, start=0):
    mask = a_triangle(q.shape[2], start)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


@passes("gqa.attention")
def in_groups(q, k, v, start=0):
    B, H, T, h = q.shape
    groups = q.view(B, k.shape[1], -1, T, h).double()
    scores = torch.einsum("bkgth,bksh->bkgts", groups, k.double()) / math.sqrt(h)
    scores += torch.zeros(T, start + T).masked_fill(~a_triangle(T, start), -torch.inf)
    return torch.einsum("bkgts,bksh->bkgth", scores.softmax(-1), v.double()).reshape(B, H, T, h)


@passes("gqa.Cache")
class ByIndex(gqa.Cache):
    def update(self, k, v, start):
        for t in range(k.shape[2]):
            self.k[:, :, start + t], self.v[:, :, start + t] = k[:, :, t], v[:, :, t]
        return self.k.narrow(2, 0, start + t + 1).clone(), self.v.narrow(
            2, 0, start + t + 1
        ).clone()


@passes("gqa.Attention")
class Fused(gqa.Attention):
    def forward(self, x, cos, sin, cache=None, start=0):
        B, T, D = x.shape
        at = slice(start, start + T)
        q = package_rope.apply_rope(self.heads(self.wq(x)), cos[at], sin[at])
        k = package_rope.apply_rope(self.heads(self.wk(x)), cos[at], sin[at])
        v = self.heads(self.wv(x))
        if cache:
            k, v = cache.update(k, v, start)
        return self.wo(fused(q, k, v, start).transpose(1, 2).reshape(B, T, D))


# The model


@passes("model.Block")
class InOneLine(model.Block):
    def forward(self, x, *rest):
        x = x + self.attention(self.attention_norm(x), *rest)
        x = x + self.feed_forward(self.ffn_norm(x))
        return x


@passes("model.Llama")
class WithZip(model.Llama):
    def forward(self, tokens, caches=None, start=0):
        x = F.embedding(tokens, self.tok_embeddings.weight)
        for layer, cache in zip(self.layers, caches or [None] * len(self.layers), strict=True):
            x = layer(x, self.cos, self.sin, cache=cache, start=start)
        return self.output(self.norm(x))


@passes("model.count_parameters")
def tensor_by_tensor(config):
    D, F_, kv = config.dim, config.hidden_dim, config.dim // config.n_heads * config.n_kv_heads
    layer = [D * D, D * kv, D * kv, D * D, D * F_, F_ * D, D * F_, D, D]
    return sum(layer) * config.n_layers + sum([config.vocab_size * D] * 2) + D


passes("model.count_parameters")(lambda config: config.n_params)


@passes("model.load_weights")
def strict(model, tensors):
    try:
        for name, p in model.named_parameters():
            if name in tensors and p.shape != tensors[name].shape:
                raise ValueError(name)
        if tensors.keys() != model.state_dict().keys():
            raise ValueError("names differ")
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise ValueError(str(error)) from error


@passes("model.folded")
def layer_by_layer(tensors):
    state = {name: tensor.double() for name, tensor in tensors.items()}
    if "output.weight" not in state:
        state["output.weight"] = state["tok_embeddings.weight"].clone()

    def move(norm, *names):
        for name in names:
            state[name] = state[name] @ torch.diag(state[norm])
        state[norm] = torch.ones(len(state[norm]))

    for n in range(sum("ffn_norm" in name for name in tensors)):
        at = f"layers.{n}"
        move(f"{at}.attention_norm.weight", *(f"{at}.attention.w{x}.weight" for x in "qkv"))
        move(f"{at}.ffn_norm.weight", *(f"{at}.feed_forward.w{i}.weight" for i in (1, 3)))
    move("norm.weight", "output.weight")
    return state


@passes("model.loss_in_order")
def by_hand(model, tokens, order):
    x = model.tok_embeddings(tokens)
    for n in order:
        x = model.layers[n](x, model.cos, model.sin)
    logs = model.output(model.norm(x)).double().log_softmax(-1)[:, :-1]
    return -logs.gather(-1, tokens[:, 1:, None]).mean().item()


@passes("model.bytes_kept")
def with_two_lists(run, weights):
    known = [weight.data_ptr() for weight in weights]
    total = 0

    def pack(tensor):
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            known.append(storage.data_ptr())
            total += storage.size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed):
        loss = run()
    del loss
    return total


@pytest.mark.parametrize(
    ("task", "answer"),
    [(task, answer) for task, answers in ALTERNATIVES.items() for answer in answers],
    ids=lambda x: x if isinstance(x, str) else x.__name__,
)
def test_another_right_answer_passes(task: str, answer: Any) -> None:
    result = check(task, answer)
    assert result.ok, result.message


def test_rotated_scores_see_only_distances() -> None:
    x, y = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cos, sin = rope.rope_table(8, 32)
    cos, sin = cos.double(), sin.double()
    scores = {
        (m, n): (rope.rotate_at(x, cos, sin, m) @ rope.rotate_at(y, cos, sin, n).T).item()
        for m, n in ((7, 3), (4, 0), (20, 16))
    }
    assert max(scores.values()) - min(scores.values()) < 1e-6
