"""The live figures of the attention chapter: a decode through its cache, and what heads share.

What Python computes here comes from :mod:`llama_tutorial.gqa`, :mod:`llama_tutorial.kv_cache` and
:mod:`llama_tutorial.config`; ``decode.js`` and ``memory.js`` compute the same in the
page, and the browser tests hold them equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.figures.kit.controls import Select, Slider, Stops, Toggle
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.gqa import GroupedQueryAttention, attention_weights
from llama_tutorial.kv_cache import KVCache
from llama_tutorial.model import Transformer

GIB = 2**30
BANDWIDTH = 2.0e12  # bytes a second, about what the memory of an A100 with 80 GB gives
SIZES = {"Llama 2 7B": "llama-2-7b", "Llama 2 34B": "llama-2-34b", "Llama 2 70B": "llama-2-70b"}


# A decode through its cache


def decode(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    n_new: int,
    word: Callable[[int], str],
    start: Mapping[str, int] | None = None,
) -> LiveFigure:
    """Two prompts of unequal length, decoded together, slot by slot.

    Args:
        model: The model that writes.
        prompts: The ids of two prompts.
        n_new: How many steps follow the prefill.
        word: The text of an id.
        start: Where ``step``, ``layer`` and ``head`` begin, if not at 0.
    """
    data = decode_trace(model, prompts, n_new)
    data["words"] = [[word(token) for token in row] for row in data.pop("tokens")]

    at, last = {"step": 0, "layer": 0, "head": 0, **(start or {})}, model.config.n_layers - 1
    n_heads = model.config.n_heads
    return LiveFigure(
        "gqa/decode",
        data=data,
        controls=[
            Slider("step", 0, n_new, at["step"], label="step"),
            Slider("layer", 0, last, at["layer"], label="layer"),
            Slider("head", 0, n_heads - 1, at["head"], label="query head"),
            Toggle("keep", True, label="keep keys and values"),
        ],
        numbers=partial(decode_numbers, data),
        readout="Step {step}: {written} slots written, {computed} since the start. This head of "
        "the newest token looks most at slots {best} (weights {weights}).",
        alt="Two texts of {slots} slots each: {texts}. Step {step} writes {written} slots, up to "
        "{last} in the two texts. Query head {head} of layer {layer} reads most from slots {best}, "
        "with weights {weights}.",
        caption="Two texts in one batch, and the slots of their keys and values. A thick orange "
        "frame is a slot that this step writes, blue is the weight with which the chosen head "
        "reads it, × is a slot that the prefill filled with padding. The dashed word is what "
        "the model says next. <b>Step</b> from the prefill (0) through the decode; then untick "
        "<b>keep</b> and step again.",
        checks=[{"step": 1, "head": head, "layer": last} for head in range(n_heads)]
        + [{"step": n_new, "keep": False}],
    )


@torch.no_grad()
def decode_trace(
    model: Transformer, prompts: Sequence[Sequence[int]], n_new: int
) -> dict[str, Any]:
    """What every step of a greedy decode feeds, says and reads.

    Returns:
        Prompt ``lengths``, ``longest`` of them, ``slots``, ``tokens`` of each row with the one said
        last, and ``weights`` by step, row, layer, query head and slot.
    """
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    longest = int(lengths.max())
    slots = longest + n_new
    cache = KVCache(model.config, len(prompts), slots, dtype=model.dtype)
    fed = torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts])  # (B, T)
    rows, last = torch.arange(len(prompts)), lengths - 1
    tokens, weights = [list(prompt) for prompt in prompts], []
    for _ in range(n_new + 1):
        logits, read = _watched(model, fed, cache, last)
        weights.append(torch.nn.functional.pad(read, (0, slots - read.shape[-1])))
        if len(weights) == 1:
            cache.length = lengths.clone()
        said = logits[rows, last].argmax(-1)  # (B,)
        for row, token in zip(tokens, said.tolist(), strict=True):
            row.append(token)
        fed, last = said[:, None], torch.zeros_like(last)  # (B, 1)
    return {
        "lengths": lengths.tolist(),
        "longest": longest,
        "slots": slots,
        "tokens": tokens,
        "weights": rounded(torch.stack(weights)),
    }


def _watched(
    model: Transformer, tokens: Int[Tensor, "B T"], cache: KVCache, last: Int[Tensor, " B"]
) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B layers H S"]]:
    """Logits, and the weights of each row's query ``last``: (B, layers, H, S)."""
    asked = []

    def watch(attention: GroupedQueryAttention, arguments: tuple, _: Any) -> None:
        x, rotation, mask, _store = arguments
        asked.append((attention.project_qkv(x, rotation)[0], mask))

    layers: Any = model.layers
    hooks = [layer.attention.register_forward_hook(watch) for layer in layers]
    logits = model(tokens, cache)
    for hook in hooks:
        hook.remove()
    filled, rows, read = int(cache.length.max()), torch.arange(len(tokens)), []
    for (q, mask), k in zip(asked, cache.k, strict=True):
        every = attention_weights(q, k[:, :, :filled], mask)  # (B, H, T, S)
        read.append(every[rows, :, last])  # (B, H, S)
    return logits, torch.stack(read, 1)


def decode_numbers(
    data: dict[str, Any], step: int, layer: int, head: int, keep: bool
) -> dict[str, Any]:
    """Slots written and read at one step, and the texts by then.

    Args:
        data: What :func:`decode_trace` returned, with ``words`` in place of the ids.
        step: 0 for the prefill.
        layer: The layer that is looked at.
        head: The query head.
        keep: Whether keys and values are kept; if not, every step computes all of them.
    """
    rows, longest = len(data["lengths"]), data["longest"]
    wide = [longest + s if s == 0 or not keep else 1 for s in range(step + 1)]
    read = [row[layer][head] for row in data["weights"][step]]
    best = [max(range(data["slots"]), key=row.__getitem__) for row in read]
    return {
        "written": rows * wide[-1],
        "computed": rows * sum(wide),
        "last": [length + step - 1 if step else longest - 1 for length in data["lengths"]],
        "best": best,
        "weights": [row[slot] for row, slot in zip(read, best, strict=True)],
        "texts": [_text(data, row, step) for row in range(rows)],
        "slots": data["slots"],
    }


def _text(data: dict[str, Any], row: int, step: int) -> str:
    return "".join(data["words"][row][: data["lengths"][row] + step])


# What heads share


def memory() -> LiveFigure:
    """How many heads share, how large the cache is, and how long it takes to read."""
    return LiveFigure(
        "gqa/memory",
        data={
            "models": {name: _sizes(PRESETS[name]) for name in SIZES.values()},
            "bandwidth": BANDWIDTH,
        },
        controls=[
            Select("model", "llama-2-70b", label="model", options=SIZES),
            Stops("kv_heads", 64, [1, 2, 4, 8, 16, 32, 64], label="key and value heads"),
            Stops("context", 4096, [512, 1024, 2048, 4096], label="context", unit=" tokens"),
            Stops("batch", 16, [1, 2, 4, 8, 16, 32, 64], label="texts at once"),
        ],
        numbers=memory_numbers,
        readout="Query heads for each key head: {group}. A token takes {per_token} KiB; {cache} "
        "GiB of cache, {weights} GiB of weights. To read it all once takes {milliseconds} ms.",
        alt="{heads} query heads in a row, joined to the key heads below, of which there are {kv}, "
        "{group} to each. Below them bars: weights {weights} GiB, cache {cache} GiB of the {most} "
        "GiB that it would be with a key head for each query head.",
        caption="Above, every query head (dots) and the key and value head that it reads (bars). "
        "Below, what lies in memory in 16 bits, nearly all of which is read for every step of a "
        "decode; the dashed frame is the cache of multi-head attention. <b>Lower the number of "
        "key and value heads</b> and watch the cache shrink; then add texts until the cache is "
        "larger than the weights. The time is for a memory of 2 TB/s. (13B is not here because "
        "its 40 heads do not halve down to one.)",
        checks=[
            {"kv_heads": 8},
            {"kv_heads": 1, "batch": 64},
            {"model": "llama-2-7b", "kv_heads": 64, "context": 512, "batch": 1},
            {"model": "llama-2-34b", "kv_heads": 8, "context": 2048},
        ],
    )


def _sizes(config: ModelConfig) -> dict[str, int]:
    """What the script needs to count bytes: sizes, and the parameters outside wk and wv."""
    others = config.n_params - config.n_layers * 2 * config.dim * config.kv_dim
    sizes = {"heads": config.n_heads, "layers": config.n_layers, "dim": config.dim}
    return {**sizes, "width": config.head_dim, "others": others}


def memory_numbers(model: str, kv_heads: int, context: int, batch: int) -> dict[str, Any]:
    """Bytes of a model with another number of key and value heads, in 16 bits.

    Args:
        model: A preset.
        kv_heads: Key and value heads; as many as query heads if there are fewer of those.
        context: Tokens of each text.
        batch: Texts at once.
    """
    full = PRESETS[model].replace(n_kv_heads=PRESETS[model].n_heads)
    config = full.replace(n_kv_heads=min(kv_heads, full.n_heads))
    cache = batch * context * config.kv_bytes_per_token("float16")
    weights = 2 * config.n_params
    return {
        "heads": config.n_heads,
        "kv": config.n_kv_heads,
        "group": config.group_size,
        "per_token": config.kv_bytes_per_token("float16") / 1024,
        "cache": cache / GIB,
        "weights": weights / GIB,
        "most": batch * context * full.kv_bytes_per_token("float16") / GIB,
        "milliseconds": 1000 * (weights + cache) / BANDWIDTH,
    }
