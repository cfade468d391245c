"""Generation: feed the prompt once, then one token at a time.

**Prefill** runs all prompts through the model in one pass and fills the cache; **decoding** then
feeds each new token alone and reads the rest from the cache. Prompts of unequal length share a
batch: they are padded on the right, and each row goes on from its own length. The padding's
entries in the cache lie behind that length, where no query looks, and are overwritten in turn.

Source: ``Llama.generate`` in Meta's ``generation.py``, whose defaults these are (temperature 0.6,
top-p 0.9). Meta starts all rows at the shortest prompt instead and feeds the longer ones' tokens
one by one.

Read next: :mod:`llama_tutorial.sampling`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from llama_tutorial._util.generation_settings import (
    check_prompts,
    check_sampling,
    check_start,
    row_seeds,
)
from llama_tutorial._util.progress import progress as progress_bar
from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.kv_cache import KVCache
from llama_tutorial.model import Transformer
from llama_tutorial.sampling import draw, next_probabilities


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
    progress: bool = False,
) -> list[list[int]] | tuple[list[list[int]], list[list[float]]]:
    """Continue every prompt.

    Args:
        model: The model; its dtype and device are used.
        prompts: Token ids, BOS included where the model wants one. Lengths may differ; a row's
            ids do not depend on its neighbours.
        max_new_tokens: Where a row ends at the latest.
        temperature: 0 takes the likeliest token.
        top_k: Draw from the ``k`` likeliest only; None for all.
        top_p: Draw from the likeliest that together hold this share; 1 for all.
        seed: Fixes the draws. A row's depend on the seed, its prompt, and how many equal prompts
            stand before it, so copies of one prompt give different samples.
        stop_ids: Ids that end a row; they are not returned.
        logprobs: Also return the natural logarithm of each new token's probability under the
            model as it is, before temperature and cuts.
        progress: Show a bar.

    Returns:
        The new ids of each prompt, and with ``logprobs`` their logarithms, in a second list.

    Raises:
        ValueError: No such setting, an empty prompt, an id outside the vocabulary, or a prompt
            that together with ``max_new_tokens`` is longer than the context.
    """
    steps = _steps(model, prompts, max_new_tokens, temperature, top_k, top_p, seed)
    if progress:
        steps = progress_bar(steps, "generating", total=max_new_tokens, unit="token")
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

    With a ``cache`` of one row, the keys and values are kept there, for a prompt that begins like
    this one: ``start`` ids at its beginning are in the cache and need not be computed again. Ids
    are in it up to its ``length``, so one that has been yielded last may be missing.

    Raises:
        ValueError: As `generate`; or ``start`` is not in the cache, or leaves no id to compute.
    """
    check_start(prompt, start, 0 if cache is None else int(cache.length[0]))
    steps = _steps(model, [prompt], max_new_tokens, temperature, top_k, top_p, seed, cache, start)
    return _until(steps, stop_ids)


def _until(steps: Iterator[tuple[Tensor, Tensor]], stop_ids: Collection[int]) -> Iterator[int]:
    for new_ids, _ in steps:
        if (token := int(new_ids)) in stop_ids:
            return
        yield token


def _steps(
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
    """Check everything at once, then hand out the steps: new ids and the logits behind them."""
    check_sampling(temperature, top_k, top_p)
    check_prompts(model.config, prompts, max_new_tokens)
    if not prompts or not max_new_tokens:
        return iter(())
    if temperature == 0:
        choose = partial(torch.argmax, dim=-1)
    else:
        generators = _row_generators(prompts, seed)

        def choose(logits: Tensor) -> Tensor:
            on_cpu = {"dtype": torch.float64, "device": "cpu"}
            uniform = torch.cat([torch.rand(1, generator=row, **on_cpu) for row in generators])
            return draw(next_probabilities(logits, temperature, top_k, top_p), uniform)

    return _decode(model, prompts, max_new_tokens, choose, cache, start)


def _decode(model, prompts, max_new_tokens, choose, cache, start):
    if cache is None:
        logits, cache = _prefill(model, prompts, max_new_tokens)
    else:
        logits = _go_on(model, prompts[0], cache, start)
    for step in range(max_new_tokens):
        new_ids = choose(logits)  # (B,)
        yield new_ids, logits
        if step + 1 < max_new_tokens:
            logits = _next_logits(model, new_ids, cache)


@torch.inference_mode()
def _prefill(
    model: Transformer, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> tuple[Float[Tensor, "B V"], KVCache]:
    lengths = torch.tensor([len(prompt) for prompt in prompts], device="cpu")
    longest = int(lengths.max())
    padded = [[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts]
    tokens = torch.tensor(padded, device=model.device)  # (B, T)
    cache = model.make_cache(len(prompts), longest + max_new_tokens)

    hidden = model.hidden_states(tokens, cache)  # (B, T, D)
    cache.length = lengths  # the padding behind it does not count
    rows = torch.arange(len(prompts), device="cpu")
    return model.logits(hidden[rows, lengths - 1]), cache  # (B, V): the last position's alone


@torch.inference_mode()
def _go_on(
    model: Transformer, prompt: Sequence[int], cache: KVCache, start: int
) -> Float[Tensor, "1 V"]:
    tokens = torch.tensor([prompt[start:]], device=model.device)  # (1, T)
    return model.logits(model.hidden_states(tokens, cache, start)[:, -1])  # (1, V)


@torch.inference_mode()
def _next_logits(
    model: Transformer, new_ids: Int[Tensor, " B"], cache: KVCache
) -> Float[Tensor, "B V"]:
    return model(new_ids[:, None], cache)[:, 0]


def _row_generators(prompts: Sequence[Sequence[int]], seed: int | None) -> list[torch.Generator]:
    """One source of random numbers a row, that no other row disturbs."""
    return [torch.Generator().manual_seed(number) for number in row_seeds(prompts, seed)]
