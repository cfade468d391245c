r"""The bug museum: mistakes that raise nothing, each of them one line of a Llama.

Every shape stays right, so nothing complains; some of them do not even show in what the model
writes. :data:`BUGS` has them by name, with the line as it should be and as somebody wrote it, and
:func:`break_model` makes one of them in a model that is there already::

    model, tokenizer = load("tales")
    with break_model(model, "half_split"):
        logits = model(tokens)  # what the wrong code would give
    logits = model(tokens)  # right again

Two are mistakes of what is fed, not of the model (:func:`broken_prompt`), and two are the cache's,
which show with a :class:`~llama_tutorial.kv_cache.KVCache` only. Those of quantization round the
model's matrices and take them back wrongly; what they are compared with is the model that was
rounded rightly (:func:`right_model`). ``browser/bugs.js`` switches the same mistakes on in the
page, where tokens come one at a time. So mistakes with the causal mask are not among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float
from llama_tutorial.gqa import GroupedQueryAttention
from llama_tutorial.kv_cache import KVCache
from llama_tutorial.model import Transformer, TransformerBlock
from llama_tutorial.quantization.formats import Int4Tensor, quantize, quantize_int4
from llama_tutorial.quantization.linear import plan, quantized_layers
from llama_tutorial.rmsnorm import RMSNorm
from llama_tutorial.rope import Rotation, for_features, rotate
from llama_tutorial.swiglu import SwiGLU

BOS = 1
_NOTHING = object()

Change = tuple[object, str, Any]
"""An object of the model, the name of an attribute, and its wrong value."""
Changes = Callable[[Transformer], Iterator[Change]]
Heads = Float[Tensor, "B _ T h"]


@dataclass(frozen=True)
class Bug:
    """One mistake.

    Args:
        title: What it is called.
        chapter: The chapter that treats it.
        right: The line, or lines, as they should be.
        wrong: As somebody wrote them.
        what: What happens then, in a sentence.
        changes: What :func:`break_model` puts into a model.
        prompt: What is fed in place of a prompt's ids.
        harmless: Whether all logits stay what they are.
        base: What :func:`right_model` puts into a model; None where the model is right as it is.
    """

    title: str
    chapter: str
    right: str
    wrong: str
    what: str
    changes: Changes | None = None
    prompt: Callable[[list[int]], list[int]] | None = None
    harmless: bool = False
    base: Changes | None = None


@contextmanager
def break_model(model: Transformer, bug: str) -> Iterator[Transformer]:
    """Makes one mistake in a model, and takes it back at the end.

    The weights stay untouched, and so do all other models. A mistake of the prompt changes nothing
    here, see :func:`broken_prompt`.

    Args:
        model: A Llama: RMSNorm, SwiGLU and RoPE.
        bug: A name in :data:`BUGS`.

    Yields:
        The model itself.

    Raises:
        ValueError: There is no such bug; the model is no Llama; or its matrices are packed, and the
            mistake is one of packing them.
    """
    changes = _find(bug).changes
    config = model.config
    kinds = (config.norm, config.feed_forward, config.positions)
    if kinds != (llama := ("rmsnorm", "swiglu", "rope")):
        raise ValueError(f"a model of {kinds}: only a Llama can be broken, which is {llama}")
    with _replaced(list(changes(model)) if changes else []):
        yield model


@contextmanager
def right_model(model: Transformer, bug: str) -> Iterator[Transformer]:
    """The right model that a broken one is compared with, and the model as it was at the end.

    For a mistake in quantization it is the model as
    :func:`~llama_tutorial.quantization.linear.quantize_model` rounds it: what the mistake adds is
    then not mixed up with what the rounding costs. For all others it is the model itself.

    Args:
        model: A Llama.
        bug: A name in :data:`BUGS`.

    Yields:
        The model itself.

    Raises:
        ValueError: There is no such bug, or the model's matrices are packed already.
    """
    base = _find(bug).base
    with _replaced(list(base(model)) if base else []):
        yield model


def broken_prompt(ids: Sequence[int], bug: str) -> list[int]:
    """The ids that code with this bug feeds in place of ``ids``; most bugs leave them as they are.

    Raises:
        ValueError: There is no such bug.
    """
    change = _find(bug).prompt
    return list(ids) if change is None else change(list(ids))


def _find(bug: str) -> Bug:
    if bug not in BUGS:
        raise ValueError(f"no bug {bug!r}; there are {', '.join(BUGS)}")
    return BUGS[bug]


@contextmanager
def _replaced(changes: Sequence[Change]) -> Iterator[None]:
    """Sets attributes of objects, and puts back what was there: the class's own where none was."""
    before = [(thing, name, vars(thing).get(name, _NOTHING)) for thing, name, _ in changes]
    for thing, name, value in changes:
        setattr(thing, name, value)
    try:
        yield
    finally:
        for thing, name, value in before:
            delattr(thing, name)
            if value is not _NOTHING:
                setattr(thing, name, value)


# Where a mistake is made: in every attention, norm, feed-forward layer or block of a model.


def _projected(change: Callable[[Transformer, Heads, Heads, Rotation], tuple[Heads, Heads]]) -> Any:
    """Each attention's queries and keys come from ``change``, which gets them before any turn."""

    def changes(model: Transformer) -> Iterator[Change]:
        def project(attention: GroupedQueryAttention, x: Tensor, rotation: Rotation) -> Any:
            q, k, v = GroupedQueryAttention.project_qkv(attention, x)
            return *change(model, q, k, rotation), v

        for attention in _all(model, GroupedQueryAttention):
            yield attention, "project_qkv", partial(project, attention)

    return changes


def _forward(kind: type[nn.Module], forward: Callable[..., Tensor]) -> Changes:
    """Each module of a kind runs ``forward(module, ...)`` in place of its own."""

    def changes(model: Transformer) -> Iterator[Change]:
        for module in _all(model, kind):
            yield module, "forward", partial(forward, module)

    return changes


def _all(model: nn.Module, kind: type[Any]) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, kind)]


# RoPE


def _rotate_halves(x: Heads, rotation: Rotation) -> Heads:
    cos, sin = rotation.cos[..., ::2], rotation.sin[..., 1::2]  # (..., T, h / 2)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).type_as(x)


def _one_later(model: Transformer, x: Heads) -> Heads:
    """One position more: turns add up, and the table ends at the last position."""
    return rotate(x, for_features(model.rope.cos[1:2], model.rope.sin[1:2]))


def _half_split(_: Transformer, q: Heads, k: Heads, rotation: Rotation) -> tuple[Heads, Heads]:
    return _rotate_halves(q, rotation), _rotate_halves(k, rotation)


def _half_split_keys(_: Transformer, q: Heads, k: Heads, turn: Rotation) -> tuple[Heads, Heads]:
    return rotate(q, turn), _rotate_halves(k, turn)


def _not_rotated(_: Transformer, q: Heads, k: Heads, _turn: Rotation) -> tuple[Heads, Heads]:
    return q, k


def _late_queries(model: Transformer, q: Heads, k: Heads, turn: Rotation) -> tuple[Heads, Heads]:
    return _one_later(model, rotate(q, turn)), rotate(k, turn)


def _both_late(model: Transformer, q: Heads, k: Heads, turn: Rotation) -> tuple[Heads, Heads]:
    return _one_later(model, rotate(q, turn)), _one_later(model, rotate(k, turn))


# The norm


def _divided(norm: RMSNorm, x: Tensor, axis: int = -1) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(axis, keepdim=True) + norm.eps)


def _mean_of_sizes(norm: RMSNorm, x: Tensor) -> Tensor:
    return x / x.abs().mean(-1, keepdim=True) * norm.weight


def _eps_outside(norm: RMSNorm, x: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True).sqrt() + norm.eps) * norm.weight


def _with_eps(eps: float) -> Changes:
    def changes(model: Transformer) -> Iterator[Change]:
        for norm in _all(model, RMSNorm):
            yield norm, "eps", eps

    return changes


# The feed-forward layer


def _gated(unit: Callable[[Tensor, Tensor], Tensor]) -> Changes:
    """``unit(a, b)`` in place of SiLU(a) b."""
    return _forward(SwiGLU, lambda layer, x: layer.w2(unit(layer.w1(x), layer.w3(x))))


# Attention and its cache


Stored = tuple[Float[Tensor, "B _ S h"], Float[Tensor, "B _ S h"]]
Store = Callable[[Heads, Heads], Stored]


def _stored(
    change: Callable[[GroupedQueryAttention, Store | None, Heads, Heads], Stored],
) -> Changes:
    """Attention sees the keys and values that ``change`` returns, and ``change`` stores them."""

    def forward(
        attention: GroupedQueryAttention,
        x: Tensor,
        rotation: Any = None,
        mask: Any = None,
        store: Store | None = None,
    ) -> Tensor:
        changed = partial(change, attention, store)
        return GroupedQueryAttention.forward(attention, x, rotation, mask, changed)

    return _forward(GroupedQueryAttention, forward)


def _repeat_in_rounds(
    attention: GroupedQueryAttention, store: Store | None, k: Heads, v: Heads
) -> Stored:
    k, v = store(k, v) if store else (k, v)
    rounds = attention.wq.out_features // attention.wk.out_features
    return k.repeat(1, rounds, 1, 1), v.repeat(1, rounds, 1, 1)  # (B, H, S, h)


def _skips_slot_zero(model: Transformer) -> Iterator[Change]:
    def forward(tokens: Tensor, cache: KVCache | None = None, *rest: Any, **more: Any) -> Tensor:
        if cache is not None:
            cache.length = cache.length.clamp(min=1)
        return Transformer.forward(model, tokens, cache, *rest, **more)

    yield model, "forward", forward


def _reads_before_writing(
    _attention: GroupedQueryAttention, store: Any, k: Heads, v: Heads
) -> Stored:
    if store is None:
        return k, v
    cache, (layer, _, n_keys) = store.func.__self__, store.args
    before = [slots[layer][:, :, :n_keys].clone() for slots in (cache.k, cache.v)]
    store(k, v)
    return before[0], before[1]


def _scaled(factor: Callable[[Transformer], float]) -> Changes:
    """Queries, and with them all scores, times a factor too many."""

    def project(model: Transformer, q: Heads, k: Heads, turn: Rotation) -> tuple[Heads, Heads]:
        return factor(model) * rotate(q, turn), rotate(k, turn)

    return _projected(project)


# The residual stream


def _no_residual(block: TransformerBlock, x: Tensor, *shared: Any) -> Tensor:
    h = block.attention(block.attention_norm(x), *shared)
    return block.feed_forward(block.ffn_norm(h))


def _scaled_embedding(model: Transformer) -> Iterator[Change]:
    rows, scale = model.tok_embeddings.forward, math.sqrt(model.config.dim)
    yield model.tok_embeddings, "forward", lambda ids: rows(ids) * scale


def _no_last_norm(model: Transformer) -> Iterator[Change]:
    yield model.norm, "forward", lambda x: x


# Quantization


Matrix = Float[np.ndarray, "rows columns"]
Rounded = Callable[[Matrix, int], Matrix]
"""A matrix and the size of a group to the matrix that is read again, float32 both."""


def _packed(kind: str, rounded: Rounded | None = None) -> Changes:
    """Matrices that were packed and read again; those of ``kind``'s bits by ``rounded``."""

    def changes(model: Transformer) -> Iterator[Change]:
        if quantized_layers(model):
            raise ValueError(
                "the model is quantized already: load it without quantize= to see mistakes in it"
            )
        right = {8: _int8, 4: _int4}
        used = right | ({int(kind[3:]): rounded} if rounded else {})
        for name, (bits, group) in plan(model, kind).items():
            layer: Any = model.get_submodule(name)
            weight = layer.weight.detach()
            matrix = used[bits](weight.float().cpu().numpy(), group)
            wrong = torch.from_numpy(matrix).to(weight.device, weight.dtype)
            times = partial(_times, wrong, getattr(layer, "bias", None))
            if layer is not model.tok_embeddings:
                yield layer, "forward", times
                continue
            yield layer, "forward", partial(F.embedding, weight=wrong)
            if model.config.tie_embeddings:
                yield model.output, "forward", times

    return changes


def _times(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    return F.linear(x, weight, bias)


def _int8(w: Matrix, group: int) -> Matrix:
    return quantize(w, group, np.float16).dequantize()


def _int4(w: Matrix, group: int) -> Matrix:
    return quantize_int4(w, group).dequantize()


def _read(integers: np.ndarray, scales: np.ndarray, shape: tuple[int, ...]) -> Matrix:
    """Integers ``(rows, groups, group_size)`` times their scales ``(rows, groups)``."""
    wide = scales.astype(np.float32)[..., None]
    return (integers.astype(np.float32) * wide).reshape(shape)


def _of_integers(change: Callable[[np.ndarray], np.ndarray]) -> Rounded:
    """What is read of the right int4 where ``change`` makes numbers of the integers 0 … 15."""

    def rounded(w: Matrix, group: int) -> Matrix:
        right: Int4Tensor = quantize_int4(w, group)
        return _read(change(right.integers()), right.scales, w.shape)

    return rounded


def _one_scale(w: Matrix, _group: int) -> Matrix:
    return quantize_int4(w.reshape(1, -1), w.size).dequantize().reshape(w.shape)


def _truncated(w: Matrix, group: int) -> Matrix:
    grouped = w.reshape(len(w), -1, group)
    low, high = grouped.min(-1), grouped.max(-1)
    step = np.where(-low >= high, low, high) / np.float32(-8)  # (rows, groups)
    quotients = grouped / np.where(step == 0, np.float32(1), step)[..., None]
    integers = np.clip(np.trunc(quotients), -8, 7)
    return _read(integers, quantize_int4(w, group).scales, w.shape)


def _next_scale(w: Matrix, group: int) -> Matrix:
    right = quantize(w, group, np.float16)
    others = np.roll(right.scales.reshape(-1), -1).reshape(right.scales.shape)
    return _read(right.values.reshape(*others.shape, -1), others, w.shape)


def _times_128(w: Matrix, group: int) -> Matrix:
    grouped = w.reshape(len(w), -1, group)
    step = np.abs(grouped).max(-1) / np.float32(128)  # (rows, groups)
    quotients = grouped / np.where(step == 0, np.float32(1), step)[..., None]
    integers = np.rint(quotients).astype(np.int32).astype(np.int8)  # 128 becomes -128
    return _read(integers, step.astype(np.float16), w.shape)


def _sign_extended(integers: np.ndarray) -> np.ndarray:
    """Nibbles as two's complement: 8 … 15 are -8 … -1."""
    return integers.astype(np.int8) - 16 * (integers > 7)


def _as_neighbours(integers: np.ndarray) -> np.ndarray:
    """Byte j holds weights j and j + G / 2; read as weights 2j and 2j + 1."""
    low, high = np.split(integers.astype(np.int8) - 8, 2, axis=-1)
    return np.stack((low, high), -1).reshape(integers.shape)


BUGS: dict[str, Bug] = {
    "half_split": Bug(
        "Half-split for interleaved",
        "rope",
        "a, b = x[..., ::2], x[..., 1::2]",
        "a, b = x.chunk(2, dim=-1)",
        "The features of a pair are half a head apart, as in Hugging Face's code, but the rows of "
        "wq and wk are in Meta's order: a checkpoint of one camp in the code of the other.",
        _projected(_half_split),
    ),
    "half_split_keys": Bug(
        "Only the keys half-split",
        "rope",
        "q, k = rotate(q), rotate(k)",
        "q, k = rotate(q), rotate_halves(k)",
        "Queries are rotated in interleaved pairs, keys in half-split ones, so the angles in a "
        "score belong to different features.",
        _projected(_half_split_keys),
    ),
    "not_rotated": Bug(
        "No rotation",
        "rope",
        "q, k = rotate(q, m), rotate(k, m)",
        "q, k = rotate(q, 0), rotate(k, 0)",
        "Every token is rotated as if it stood at position 0, which is no rotation: attention sees "
        "which words there are, but not where.",
        _projected(_not_rotated),
    ),
    "late_queries": Bug(
        "Queries one position late",
        "rope",
        "q, k = rotate(q, m), rotate(k, m)",
        "q, k = rotate(q, m + 1), rotate(k, m)",
        "A query is placed at the length of the text instead of one less, so every distance is "
        "one too large.",
        _projected(_late_queries),
    ),
    "both_late": Bug(
        "Queries and keys one late",
        "rope",
        "q, k = rotate(q, m), rotate(k, m)",
        "q, k = rotate(q, m + 1), rotate(k, m + 1)",
        "Positions are counted from 1. Only differences of positions count, so nothing changes.",
        _projected(_both_late),
        harmless=True,
    ),
    "no_norm_weight": Bug(
        "Weight forgotten",
        "rmsnorm",
        "return x * rsqrt(ms + eps) * self.weight",
        "return x * rsqrt(ms + eps)",
        "All features leave a norm equally strong, as when a checkpoint is loaded with "
        "strict=False and the names of the norms do not match.",
        _forward(RMSNorm, _divided),
    ),
    "mean_over_positions": Bug(
        "Mean over positions",
        "rmsnorm",
        "ms = x.pow(2).mean(-1, keepdim=True)",
        "ms = x.pow(2).mean(1, keepdim=True)",
        "One token at a time, the mean over positions is the square itself: of every feature only "
        "the sign is left. In training, and for a whole prompt, it lets the future leak in.",
        _forward(RMSNorm, lambda norm, x: _divided(norm, x, 1) * norm.weight),
    ),
    "mean_subtracted": Bug(
        "Mean subtracted",
        "rmsnorm",
        "ms = x.pow(2).mean(-1, keepdim=True)",
        "x = x - x.mean(-1, keepdim=True)",
        "A LayerNorm instead of an RMSNorm: one direction of many is taken out of what each layer "
        "reads.",
        _forward(
            RMSNorm, lambda norm, x: _divided(norm, x - x.mean(-1, keepdim=True)) * norm.weight
        ),
    ),
    "mean_of_sizes": Bug(
        "Mean of |x|",
        "rmsnorm",
        "rms = x.pow(2).mean(-1, keepdim=True).sqrt()",
        "rms = x.abs().mean(-1, keepdim=True)",
        "The mean of the sizes is nearly in proportion to the root mean square, but only nearly, "
        "and the errors of all the norms add up.",
        _forward(RMSNorm, _mean_of_sizes),
    ),
    "eps_outside": Bug(
        "ε outside the root",
        "rmsnorm",
        "x / (ms + eps).sqrt()",
        "x / (ms.sqrt() + eps)",
        "It matters only where activations are about as small as ε.",
        _forward(RMSNorm, _eps_outside),
    ),
    "small_eps": Bug(
        "ε of 1e-6",
        "rmsnorm",
        "eps=1e-5",
        "eps=1e-6",
        "The default of Hugging Face's LlamaConfig, in a model that was trained with 1e-5. It "
        "moves logits in the second decimal.",
        _with_eps(1e-6),
    ),
    "large_eps": Bug(
        "ε of 0.1",
        "rmsnorm",
        "eps=1e-5",
        "eps=1e-1",
        "What the first layer reads has a mean square of about 0.005, so an ε of 0.1 shrinks it to "
        "less than a quarter.",
        _with_eps(1e-1),
    ),
    "gelu": Bug(
        "GELU for SiLU",
        "swiglu",
        "w2(F.silu(w1(x)) * w3(x))",
        'w2(F.gelu(w1(x), approximate="tanh") * w3(x))',
        "GPT's curve instead of Llama's. The two never differ by more than 0.2.",
        _gated(lambda a, b: F.gelu(a, approximate="tanh") * b),
    ),
    "relu": Bug(
        "ReLU for SiLU",
        "swiglu",
        "w2(F.silu(w1(x)) * w3(x))",
        "w2(F.relu(w1(x)) * w3(x))",
        "Below zero a gate is shut, where SiLU still lets a little through, with the other sign.",
        _gated(lambda a, b: F.relu(a) * b),
    ),
    "no_silu": Bug(
        "SiLU forgotten",
        "swiglu",
        "w2(F.silu(w1(x)) * w3(x))",
        "w2(w1(x) * w3(x))",
        "Only the product is left: a gate that should be shut now flips the sign.",
        _gated(lambda a, b: a * b),
    ),
    "swapped_gate": Bug(
        "w1 and w3 swapped",
        "swiglu",
        "w2(F.silu(w1(x)) * w3(x))",
        "w2(F.silu(w3(x)) * w1(x))",
        "Both matrices have the same shape. Every unit is gated by the wrong one.",
        _gated(lambda a, b: F.silu(b) * a),
    ),
    "silu_last": Bug(
        "SiLU at the end",
        "swiglu",
        "w2(F.silu(w1(x)) * w3(x))",
        "w2(F.silu(w1(x) * w3(x)))",
        "SiLU is applied to the product instead of the gate.",
        _gated(lambda a, b: F.silu(a * b)),
    ),
    "no_w3": Bug(
        "w3 forgotten",
        "swiglu",
        "w2(F.silu(w1(x)) * w3(x))",
        "w2(F.silu(w1(x)))",
        "GPT's layer with Llama's weights: the gates open, but there is nothing to let through.",
        _gated(lambda a, _: F.silu(a)),
    ),
    "repeat_in_rounds": Bug(
        "Heads repeated in rounds",
        "gqa",
        "k = k.repeat_interleave(H // K, dim=1)",
        "k = k.repeat(1, H // K, 1, 1)",
        "Query heads read the keys 0, 1, 2, 3, 0, 1, 2, 3 instead of 0, 0, 1, 1, 2, 2, 3, 3. "
        "With as many key heads as query heads both are the same.",
        _stored(_repeat_in_rounds),
    ),
    "skips_slot_zero": Bug(
        "Slots shifted by one",
        "gqa",
        "self.length = 0",
        "self.length = 1",
        "The first token gets slot 1. Slot 0 stays zero, and an empty key has the score 0, not "
        "minus infinity: it draws a share of the attention at every step.",
        _skips_slot_zero,
    ),
    "reads_before_writing": Bug(
        "A stale slot",
        "gqa",
        "slots[start:end] = k; k = slots[:end]",
        "k = slots[:end].clone(); slots[start:end] = k",
        "The cache is read before the new token is in it: its own slot still holds what was there "
        "before, and a token never sees itself.",
        _stored(_reads_before_writing),
    ),
    "no_scale": Bug(
        "Scores not scaled",
        "gpt",
        "scores = q @ k.mT / math.sqrt(h)",
        "scores = q @ k.mT",
        "All scores are √h times too large, so the softmax is too sure of the best one.",
        _scaled(lambda model: math.sqrt(model.config.head_dim)),
    ),
    "scaled_twice": Bug(
        "Scores scaled twice",
        "gpt",
        "F.scaled_dot_product_attention(q, k, v)",
        "F.scaled_dot_product_attention(q / math.sqrt(h), k, v)",
        "PyTorch's function divides by √h already. The scores get too small, and attention is "
        "spread too evenly.",
        _scaled(lambda model: 1 / math.sqrt(model.config.head_dim)),
    ),
    "scaled_by_width": Bug(
        "Scaled by the model's width",
        "gpt",
        "scores = q @ k.mT / math.sqrt(head_dim)",
        "scores = q @ k.mT / math.sqrt(dim)",
        "A head's scores are sums over its own features, not over all of the model's.",
        _scaled(lambda model: 1 / math.sqrt(model.config.n_heads)),
    ),
    "no_residual": Bug(
        "Residual forgotten",
        "gpt",
        "x = x + self.attention(norm(x))",
        "x = self.attention(norm(x))",
        "In attention and in the feed-forward layer: each part replaces the stream instead of "
        "adding to it, and what the parts before had written is gone.",
        _forward(TransformerBlock, _no_residual),
    ),
    "scaled_embedding": Bug(
        "Embedding scaled",
        "gpt",
        "x = self.tok_embeddings(ids)",
        "x = self.tok_embeddings(ids) * math.sqrt(dim)",
        "The first Transformer does this, and so does Gemma; Llama does not. The token drowns what "
        "the layers add to it.",
        _scaled_embedding,
    ),
    "no_last_norm": Bug(
        "Last norm forgotten",
        "gpt",
        "logits = self.output(self.norm(x))",
        "logits = self.output(x)",
        "The stream goes into the output head as large as it has become, and without the weights "
        "of its last norm.",
        _no_last_norm,
    ),
    "one_scale": Bug(
        "One scale for a matrix",
        "quantization",
        "scale = w.reshape(-1, 32).abs().amax(1) / 8",
        "scale = w.abs().max() / 8",
        "The largest weight of a whole matrix sets the step for all of it, and most weights round "
        "to 0 or to the one step beside it. In int8 that costs little; in int4 it shows.",
        _packed("int4", _one_scale),
        base=_packed("int4"),
    ),
    "truncated": Bug(
        "Cut off, not rounded",
        "quantization",
        "q = torch.round(w / scale).to(torch.int8)",
        "q = (w / scale).to(torch.int8)",
        "A conversion to integers drops what stands after the point. Every weight moves towards "
        "zero, by nearly half a step on average: almost twice as far as rounding moves it.",
        _packed("int4", _truncated),
        base=_packed("int4"),
    ),
    "signed_nibbles": Bug(
        "Nibbles read as signed",
        "quantization",
        "q = (packed & 15) - 8",
        "q = packed & 15; q = torch.where(q > 7, q - 16, q)",
        "The file's 0 to 15 stand for -8 to 7, eight subtracted. Read as two's complement, a "
        "weight near zero becomes one of the largest, of either sign.",
        _packed("int4", _of_integers(_sign_extended)),
        base=_packed("int4"),
    ),
    "nibble_order": Bug(
        "Nibbles in the wrong order",
        "quantization",
        "q = torch.cat((packed & 15, packed >> 4), -1)",
        "q = torch.stack((packed & 15, packed >> 4), -1)",
        "Byte j of a block holds the weights j and j + 16, not two neighbours. All weights are the "
        "right ones, and most stand at another input.",
        _packed("int4", _of_integers(_as_neighbours)),
        base=_packed("int4"),
    ),
    "next_scale": Bug(
        "The next group's scale",
        "quantization",
        "w[i] = q[i] * scale[i // 32]",
        "w[i] = q[i] * scale[i // 32 + 1]",
        "Scales of neighbouring groups are alike, so each weight is a little too large or too "
        "small, and keeps its sign: int8 writes a tale all the same. The scales of Q4_0 have signs "
        "of their own, and there the same mistake writes nonsense.",
        _packed("int8", _next_scale),
        base=_packed("int8"),
    ),
    "times_128": Bug(
        "128 for 127",
        "quantization",
        "q = torch.round(w / largest * 127).to(torch.int8)",
        "q = torch.round(w / largest * 128).to(torch.int8)",
        "int8 ends at 127, and 128 wraps around to -128: where a group's largest weight is "
        "positive, it changes its sign. The others do not notice.",
        _packed("int8", _times_128),
        base=_packed("int8"),
    ),
    "no_bos": Bug(
        "No BOS",
        "tokenizer",
        "ids = tokenizer.encode(text, bos=True)",
        "ids = tokenizer.encode(text)",
        "In training each text began with BOS. Now a word stands where none ever stood.",
        prompt=lambda ids: [token for token in ids if token != BOS],
    ),
    "double_bos": Bug(
        "BOS twice",
        "tokenizer",
        "ids = tokenizer.encode(text, bos=True)",
        'ids = tokenizer.encode("<s>" + text, bos=True)',
        "A template has put a BOS in front, and the tokenizer adds its own.",
        prompt=lambda ids: [BOS, *ids],
    ),
}
"""All of them by name."""
