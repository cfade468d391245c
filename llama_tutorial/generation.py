"""Generation: feed the prompt once, then one token at a time.

**Prefill** runs all prompts through the model in one pass and fills the cache; **decoding** then
feeds each new token alone and reads the rest from the cache. Prompts of unequal length share a
batch: they are padded on the right, and each row goes on from its own length. The padding's
entries in the cache lie after that length, where no query looks, and are overwritten in turn.

Source: ``Llama.generate`` in Meta's ``generation.py``, whose defaults these are (temperature 0.6,
top-p 0.9). Meta starts all rows at the shortest prompt instead and feeds the longer ones' tokens
one by one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import Tensor

from llama_tutorial._util.eval_mode import eval_mode
from llama_tutorial._util.generation_settings import (
    Rows,
    Sampling,
    check_sampling,
    check_start,
    read_rows,
)
from llama_tutorial._util.not_finite import not_finite
from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.kv_cache import KVCache
from llama_tutorial.model import Transformer
from llama_tutorial.sampling import draw, next_probabilities, repetition_penalty

Ids = Sequence[int] | np.ndarray | Tensor


@overload
def generate(
    model: Transformer,
    prompts: Sequence[Ids] | np.ndarray | Tensor,
    max_new_tokens: int,
    *,
    temperature: float | int = 0.6,
    top_k: int | None = None,
    top_p: float | int = 0.9,
    min_p: float | int = 0.0,
    repetition_penalty: float | int = 1.0,
    seed: int | None = None,
    stop_ids: Collection[int] | None = (),
    logprobs: Literal[False] = False,
) -> list[list[int]]: ...


@overload
def generate(
    model: Transformer,
    prompts: Sequence[Ids] | np.ndarray | Tensor,
    max_new_tokens: int,
    *,
    temperature: float | int = 0.6,
    top_k: int | None = None,
    top_p: float | int = 0.9,
    min_p: float | int = 0.0,
    repetition_penalty: float | int = 1.0,
    seed: int | None = None,
    stop_ids: Collection[int] | None = (),
    logprobs: Literal[True],
) -> tuple[list[list[int]], list[list[float]]]: ...


def generate(
    model: Transformer,
    prompts: Sequence[Ids] | np.ndarray | Tensor,
    max_new_tokens: int,
    *,
    temperature: float | int = 0.6,
    top_k: int | None = None,
    top_p: float | int = 0.9,
    min_p: float | int = 0.0,
    repetition_penalty: float | int = 1.0,
    seed: int | None = None,
    stop_ids: Collection[int] | None = (),
    logprobs: bool = False,
) -> list[list[int]] | tuple[list[list[int]], list[list[float]]]:
    """Continue every prompt.

    The model runs in evaluation mode, and each of its modules has its own mode back after every
    pass. Torch's random state is left alone.

    Args:
        model: The model; its dtype and device are used.
        prompts: Token ids, BOS included where the model wants one: lists, arrays or tensors.
            Lengths may differ. A row's ids do not depend on its neighbours, as far as rounding
            lets them: how many rows are multiplied at once decides in which order sums are taken.
            In float64 that never shows; in float32 it moves one draw in a million, or one in ten
            thousand where ``top_p=1`` keeps a thousand tokens; in bfloat16 one in a hundred.
        max_new_tokens: The most that a row gets.
        temperature: 0 takes the likeliest token.
        top_k: Draw from the ``k`` likeliest only; None for all.
        top_p: Draw from the likeliest that together hold this share; 1 for all.
        min_p: Draw from those at least this many times as likely as the likeliest; 0 for all.
        repetition_penalty: Above 1 it makes every token that the row holds, its prompt included,
            less likely (EOS and BOS too, where the prompt holds them); below 1 likelier. It changes
            the logits before all else, also with temperature 0: see :mod:`llama_tutorial.sampling`.
        seed: Fixes the draws. A row's depend on the seed, its prompt, and how many equal prompts
            stand before it, so copies of one prompt give different samples.
        stop_ids: A set of ids that end a row; they are not returned.
        logprobs: Also return the natural logarithm of each new token's probability under the
            model as it is, before penalty, temperature and cuts.

    Returns:
        The new ids of each prompt, and with ``logprobs`` their logarithms, in a second list.

    Raises:
        ValueError: No such setting, text in place of ids, an empty prompt, an id outside the
            vocabulary, or a prompt that together with ``max_new_tokens`` is longer than the
            context. Or the model's logits are not finite: its weights are damaged, or numbers
            overflow.
    """
    sampling = check_sampling(
        temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, stop_ids
    )
    rows = read_rows(model.config, prompts, sampling.max_new_tokens, seed)
    ids: list[list[int]] = [[] for _ in rows]
    logs: list[list[float]] = [[] for _ in rows]
    running = set(range(len(rows)))
    with eval_mode(model) if model.training else nullcontext():  # once, and not at every step
        for new_ids, logits in _decode(model, rows, sampling):
            row_ids = new_ids.tolist()
            running -= {row for row in running if row_ids[row] in sampling.stop_ids}
            if logprobs:
                row_logs = logits.log_softmax(-1).gather(-1, new_ids[:, None])[:, 0].tolist()
            for row in running:
                ids[row].append(row_ids[row])
                if logprobs:
                    logs[row].append(row_logs[row])
            if not running:
                break
    return (ids, logs) if logprobs else ids


def stream(
    model: Transformer,
    prompt: Ids,
    max_new_tokens: int,
    *,
    temperature: float | int = 0.6,
    top_k: int | None = None,
    top_p: float | int = 0.9,
    min_p: float | int = 0.0,
    repetition_penalty: float | int = 1.0,
    seed: int | None = None,
    stop_ids: Collection[int] | None = (),
    cache: KVCache | None = None,
    start: int = 0,
) -> Iterator[int]:
    """Continue one prompt, and yield each id as soon as it is there.

    Arguments, errors and ids are :func:`generate`'s; errors come at the call, not at the first
    id. To show text, put the ids through ``tokenizer.stream_decoder()``.

    With a ``cache`` of one row, keys and values are kept there for a later prompt that begins like
    this one: its first ``start`` ids are then in the cache and are not computed again. The cache
    holds ids up to its ``length``, so the one that was yielded last may be missing.

    Raises:
        ValueError: As `generate`; or ``start`` is not in the cache, or leaves no id to compute, or
            the cache has no room for what is to come.
    """
    sampling = check_sampling(
        temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, stop_ids
    )
    rows = read_rows(model.config, [prompt], sampling.max_new_tokens, seed)
    room = (0, model.config.max_seq_len) if cache is None else (cache.length, cache.max_seq_len)
    start = check_start(rows[0][0], start, sampling.max_new_tokens, *room)

    def ids() -> Iterator[int]:
        for new_ids, _ in _decode(model, rows, sampling, cache, start):
            if (token := int(new_ids)) in sampling.stop_ids:
                return
            yield token

    return ids()


def _decode(
    model: Transformer, rows: Rows, sampling: Sampling, cache: KVCache | None = None, start: int = 0
) -> Iterator[tuple[Int[Tensor, " B"], Float[Tensor, "B V"]]]:
    """Step by step the new id of every row, and the logits that the model gave for it."""
    if not rows or not sampling.max_new_tokens:
        return
    modules = list(model.modules())
    first: Any = model.layers[0]
    # CPUs' fused attention takes scores of NaN for masked ones: no logits would tell of them.
    scoring = [p for name, p in model.named_parameters() if ".wq." in name or ".wk." in name]
    if not all(math.isfinite(bound.item()) for p in scoring for bound in torch.aminmax(p.detach())):
        raise not_finite([math.nan], model.state_dict().items(), str(model.dtype))
    lengths = torch.tensor([len(ids) for ids, _ in rows], device="cpu")
    longest = int(lengths.max())
    # Padded with its own last id, a row holds no token that it did not hold before.
    padded = [[*ids, *ids[-1:] * (longest - len(ids))] for ids, _ in rows]
    if cache is None:
        cache = KVCache(
            model.config,
            len(rows),
            longest + sampling.max_new_tokens,
            dtype=model.dtype,
            device=model.device,
            n_kv_heads=first.attention.n_kv_heads,  # fewer where processes share the model
        )
    cache.length = torch.full_like(lengths, start)
    sources = [torch.Generator().manual_seed(seed) for _, seed in rows]

    # Prefill: all prompts in one pass, and of each the last token's logits alone.
    history, tokens = torch.tensor(padded, device=model.device).tensor_split([start], 1)  # (B, T)
    last: Tensor | None = lengths - start - 1
    for _ in range(sampling.max_new_tokens):
        training = any(module.training for module in modules)
        with torch.inference_mode(), eval_mode(model) if training else nullcontext():
            logits = model(tokens, cache, logits_at=last)[:, 0]  # (B, V)
        cache.length = lengths  # the padding after it does not count
        best = logits.amax(-1).tolist()  # NaN where one is
        if not all(map(math.isfinite, best)):
            raise not_finite(best, model.state_dict().items(), str(model.dtype))
        scores = logits
        if sampling.repetition_penalty != 1:
            history = torch.cat((history, tokens), 1)  # (B, T)
            scores = repetition_penalty(logits, history, sampling.repetition_penalty)
        if sampling.temperature == 0:
            new_ids = scores.argmax(-1)  # (B,)
        else:  # each row draws from a source of its own, which no other row disturbs
            u = [torch.rand(1, generator=g, dtype=torch.float64, device="cpu") for g in sources]
            probabilities = next_probabilities(scores, *sampling[:4])
            new_ids = draw(probabilities, torch.cat(u))  # (B,)
        yield new_ids, logits
        # From now on one token a row; the last one is not fed.
        tokens, last, lengths = new_ids[:, None], None, lengths + 1
