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

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor

from llama_tutorial._util.generation_settings import (
    check_prompts,
    check_sampling,
    check_start,
    row_seeds,
)
from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.kv_cache import KVCache
from llama_tutorial.model import Transformer
from llama_tutorial.sampling import draw, next_probabilities


@overload
def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    temperature: float | int = 0.6,
    top_k: int | None = None,
    top_p: float | int = 0.9,
    seed: int | None = None,
    stop_ids: Collection[int] = (),
    logprobs: Literal[False] = False,
) -> list[list[int]]: ...


@overload
def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    temperature: float | int = 0.6,
    top_k: int | None = None,
    top_p: float | int = 0.9,
    seed: int | None = None,
    stop_ids: Collection[int] = (),
    logprobs: Literal[True],
) -> tuple[list[list[int]], list[list[float]]]: ...


def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    temperature: float | int = 0.6,
    top_k: int | None = None,
    top_p: float | int = 0.9,
    seed: int | None = None,
    stop_ids: Collection[int] = (),
    logprobs: bool = False,
) -> list[list[int]] | tuple[list[list[int]], list[list[float]]]:
    """Continue every prompt.

    Args:
        model: The model; its dtype and device are used.
        prompts: Token ids, BOS included where the model wants one. Lengths may differ; a row's
            ids do not depend on its neighbours.
        max_new_tokens: The most that a row gets.
        temperature: 0 takes the likeliest token.
        top_k: Draw from the ``k`` likeliest only; None for all.
        top_p: Draw from the likeliest that together hold this share; 1 for all.
        seed: Fixes the draws. A row's depend on the seed, its prompt, and how many equal prompts
            stand before it, so copies of one prompt give different samples.
        stop_ids: Ids that end a row; they are not returned.
        logprobs: Also return the natural logarithm of each new token's probability under the
            model as it is, before temperature and cuts.

    Returns:
        The new ids of each prompt, and with ``logprobs`` their logarithms, in a second list.

    Raises:
        ValueError: No such setting, an empty prompt, an id outside the vocabulary, or a prompt
            that together with ``max_new_tokens`` is longer than the context.
    """
    check_sampling(temperature, top_k, top_p)
    check_prompts(model.config, prompts, max_new_tokens)
    steps = _decode(model, prompts, max_new_tokens, temperature, top_k, top_p, seed)
    ids: list[list[int]] = [[] for _ in prompts]
    logs: list[list[float]] = [[] for _ in prompts]
    running = set(range(len(prompts)))
    for new_ids, logits in steps:
        row_ids = new_ids.tolist()
        running -= {row for row in running if row_ids[row] in stop_ids}
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
    prompt: Sequence[int],
    max_new_tokens: int,
    *,
    temperature: float | int = 0.6,
    top_k: int | None = None,
    top_p: float | int = 0.9,
    seed: int | None = None,
    stop_ids: Collection[int] = (),
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
        ValueError: As `generate`; or ``start`` is not in the cache, or leaves no id to compute.
    """
    check_sampling(temperature, top_k, top_p)
    check_prompts(model.config, [prompt], max_new_tokens)
    check_start(prompt, start, 0 if cache is None else int(cache.length[0]))
    steps = _decode(model, [prompt], max_new_tokens, temperature, top_k, top_p, seed, cache, start)

    def ids() -> Iterator[int]:
        for new_ids, _ in steps:
            if (token := int(new_ids)) in stop_ids:
                return
            yield token

    return ids()


def _decode(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float | int,
    top_k: int | None,
    top_p: float | int,
    seed: int | None,
    cache: KVCache | None = None,
    start: int = 0,
) -> Iterator[tuple[Int[Tensor, " B"], Float[Tensor, "B V"]]]:
    """Step by step the new id of every row, and the logits that it was chosen by."""
    if not prompts or not max_new_tokens:
        return
    weight, B = model.tok_embeddings.weight, len(prompts)
    lengths = torch.tensor([len(prompt) - start for prompt in prompts], device="cpu")
    longest = int(lengths.max())
    padded = [[*prompt[start:], *[0] * (longest - len(prompt) + start)] for prompt in prompts]
    if cache is None:
        layer: Any = model.layers[0]  # whose heads are fewer where processes share the model
        cache = KVCache(
            model.config,
            B,
            longest + max_new_tokens,
            dtype=weight.dtype,
            device=weight.device,
            n_kv_heads=layer.attention.n_kv_heads,
        )
    generators = [torch.Generator().manual_seed(number) for number in row_seeds(prompts, seed)]

    # Prefill: all prompts in one pass, and of each the last token's logits alone.
    tokens = torch.tensor(padded, device=weight.device)  # (B, T)
    with torch.inference_mode():
        logits = model(tokens, cache, start, logits_at=lengths - 1)[:, 0]  # (B, V)
    cache.length = start + lengths  # the padding after it does not count
    for n_new in range(1, max_new_tokens + 1):
        if temperature == 0:
            new_ids = logits.argmax(-1)  # (B,)
        else:  # each row draws from a source of its own, which no other row disturbs
            uniform = [
                torch.rand(1, generator=g, dtype=torch.float64, device="cpu") for g in generators
            ]
            probabilities = next_probabilities(logits, temperature, top_k, top_p)
            new_ids = draw(probabilities, torch.cat(uniform))  # (B,)
        yield new_ids, logits
        if n_new < max_new_tokens:  # the last token is not fed
            with torch.inference_mode():
                logits = model(new_ids[:, None], cache)[:, 0]  # (B, V)
