"""The tables of the attention chapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llama_tutorial.config import PRESETS
from llama_tutorial.figures.kit.table import Table, table

LLAMAS = ("llama-2-7b", "llama-2-13b", "llama-2-34b", "llama-2-70b")
GIB, KIB = 2**30, 2**10
A100_BYTES = 2.039e12  # a second, from the memory of an A100 with 80 GB
A100_FLOPS = 312e12  # a second, in 16 bits


def caches() -> Table:
    """The cache of every Llama 2 in 16 bits, and with a key head for each query."""
    rows = []
    for name in LLAMAS:
        config = PRESETS[name]
        per_token = config.kv_bytes_per_token("float16")
        text = config.max_seq_len * per_token / GIB
        heads = f"{config.n_heads} / {config.n_kv_heads}"
        rows.append([name, heads, per_token // KIB, text, text * config.group_size])
    header = ["model", "H / K", "KiB a token", "GiB a text", "if K = H"]
    return table(rows, header, "The cache in 16 bits; a text has 4,096 tokens.")


def reading() -> Table:
    """What one step of a decode reads and computes, and how long the reading takes at best."""
    rows = []
    for name in LLAMAS:
        read, flops = step_costs(name)
        rows.append([name, read / 1e9, 1000 * read / A100_BYTES, flops / 1e9, flops / read])
    header = ["model", "GB read", "in ms", "GFLOP", "FLOP a byte"]
    caption = "One token of one text of 4,096; weights and cache in 16 bits; 2.04 TB/s."
    return table(rows, header, caption)


def step_costs(name: str) -> tuple[int, int]:
    """Bytes read and operations done for the last token of a full context, in 16 bits.

    Args:
        name: A preset.
    """
    config = PRESETS[name]
    weights = config.n_params - config.vocab_size * config.dim  # one row of the embedding is read
    cache = config.max_seq_len * config.kv_bytes_per_token("float16")
    return 2 * weights + cache, config.flops_per_token(config.max_seq_len)


def mistakes(judged: Mapping[str, Sequence[float]]) -> Table:
    """What each mistake does to the first token, to the loss and to the logits.

    Args:
        judged: By name: the share of first tokens that are right, the loss in nats, and the
            largest distance of a logit from that of one full pass.
    """
    rows = [
        [name, f"{100 * first:.0f} %", f"{loss:.2f}", "0" if off < 1e-9 else f"{off:.1f}"]
        for name, (first, loss, off) in judged.items()
    ]
    header = ["cache", "first token", "loss", "logits off by"]
    caption = (
        "Sixteen test tales, read from the cache token by token after a prompt of twelve: how many "
        "first tokens are right, the loss in nats a token, and the largest difference to one full "
        "pass."
    )
    return table(rows, header, caption)


def conversions(losses: Mapping[str, tuple[float, float]]) -> Table:
    """Losses of a model whose key heads were made into fewer, at once and after training.

    Args:
        losses: By way of making them: the loss before and after.
    """
    rows = [[how, *(f"{loss:.2f}" for loss in pair)] for how, pair in losses.items()]
    header = ["heads made by", "loss", "after 20 steps"]
    return table(rows, header, "Four key heads made into two; loss in nats on test tales.")
