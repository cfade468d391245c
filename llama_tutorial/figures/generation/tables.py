"""The tables of the generation chapter."""

from __future__ import annotations

from llama_tutorial.config import PRESETS
from llama_tutorial.figures.kit.table import Table, table

SIZES = ("llama-2-7b", "llama-2-13b", "llama-2-70b")
BYTES_A_SECOND = 10**12


def costs(n_tokens: int) -> Table:
    """What a prefill costs, and one more token after it, for three sizes of Llama 2.

    Args:
        n_tokens: Of the prompt.
    """
    rows = []
    for name in SIZES:
        prefill, step, read = step_costs(name, n_tokens)
        rate = f"{BYTES_A_SECOND / read:.0f}"
        rows.append([name, prefill / 1e12, step / 1e9, read / 1e9, rate])
    header = ["model", "prefill, TFLOP", "a token, GFLOP", "read, GB", "per s"]
    caption = f"A prefill of {n_tokens:,} tokens; one token more, what is read for it, and how "
    caption += "many a second, if memory gives one terabyte. 16 bit."
    return table(rows, header, caption)


def step_costs(name: str, n_tokens: int) -> tuple[int, int, int]:
    """Operations of a prefill, operations of the next token, and the bytes read for that.

    Args:
        name: A preset.
        n_tokens: Of the prompt.
    """
    config = PRESETS[name]
    prefill = sum(config.flops_per_token(t) for t in range(1, n_tokens + 1))
    cache = (n_tokens + 1) * config.kv_bytes_per_token("float16")
    return prefill, config.flops_per_token(n_tokens + 1), 2 * config.n_params + cache
