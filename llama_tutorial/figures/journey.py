"""The one table that grows through the book: GPT-2 becomes Llama 2, one ``replace()`` at a time.

Each step is a configuration made from the one before it, so the numbers beside it are the
package's own arithmetic and the path cannot drift from the model that it describes. A chapter shows
the table with its own rows marked: ``journey_table("rope")``. The name of a mark is the file name
of the chapter.

The 32,000 pieces of Llama 2's vocabulary have a step of their own, the tokenizer chapter's, between
the last switch and Llama 2's sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.kit.table import Table, table
from llama_tutorial.swiglu import hidden_dim


@dataclass(frozen=True)
class Step:
    """One row: what changed, in which chapter, and the model after the change.

    Args:
        chapter: File name of the chapter that explains the change, without its ending.
        name: The change in a few words.
        config: The model after it.
    """

    chapter: str
    name: str
    config: ModelConfig


def _path() -> list[Step]:
    gpt2 = PRESETS["gpt2"]
    rmsnorm = gpt2.replace(norm="rmsnorm")
    rope = rmsnorm.replace(positions="rope")
    swiglu = rope.replace(feed_forward="swiglu", hidden_dim=hidden_dim(rope.dim))
    bare = swiglu.replace(bias=False, tie_embeddings=False)
    pieces = bare.replace(vocab_size=32000)
    seven = pieces.replace(dim=4096, n_layers=32, n_heads=32, hidden_dim=11008, max_seq_len=4096)
    grouped = seven.replace(dim=8192, n_layers=48, n_heads=64, n_kv_heads=8, hidden_dim=22016)
    seventy = grouped.replace(n_layers=80, hidden_dim=28672)
    return [
        Step("gpt", "GPT-2", gpt2),
        Step("rmsnorm", "RMSNorm for LayerNorm", rmsnorm),
        Step("rope", "RoPE for learned positions", rope),
        Step("swiglu", "SwiGLU for GELU", swiglu),
        Step("model", "no biases, untied output head", bare),
        Step("tokenizer", "a vocabulary of 32,000 pieces", pieces),
        Step("model", "the sizes of Llama 2 7B", seven),
        Step("gqa", "grouped heads: Llama 2 34B", grouped),
        Step("gqa", "more layers: Llama 2 70B", seventy),
    ]


STEPS = _path()
"""The path from GPT-2 to Llama 2 70B, each step one ``replace()`` away from the last."""


_SWAPS = {
    "GPT": "GPT-2",
    "RMSNorm": "RMSNorm for LayerNorm",
    "RoPE": "RoPE for learned positions",
    "SwiGLU": "SwiGLU for GELU",
    "no biases, untied": "no biases, untied output head",
    "GQA": "grouped heads: Llama 2 34B",
}


def recorded_losses() -> dict[str, float]:
    """What ``benchmarks/swaps.py`` recorded: the mean validation loss after a step, by its name.

    The two steps that change sizes and vocabulary alone have no run of their own: the small model
    keeps its own sizes. That of the grouped heads stands in the row where they come in.
    """
    return {_SWAPS[entry["name"]]: entry["mean"] for entry in recorded("swaps")["chain"]}


def journey_table(mark: str | None = None, losses: Mapping[str, float] | None = None) -> Table:
    """The table of all steps, with the rows of one chapter marked.

    Args:
        mark: The chapter's file name without its ending, such as ``"rope"``; None marks no row.
        losses: Validation loss, in nats a token, of the same small run after a step, by the
            step's name; by default :func:`recorded_losses`. Steps without a run of their own show
            a dash.

    Raises:
        ValueError: No step belongs to ``mark``, or a loss is given for a step that is not there.
    """
    losses = recorded_losses() if losses is None else losses
    chapters = list(dict.fromkeys(step.chapter for step in STEPS))
    names = [step.name for step in STEPS]
    if mark is not None and mark not in chapters:
        raise ValueError(f"mark={mark!r}: no step of that chapter; there are {chapters}")
    if unknown := sorted(set(losses) - set(names)):
        raise ValueError(f"losses for {unknown}: no such step; there are {names}")
    rows = [[*_row(step), losses.get(step.name, "–")] for step in STEPS]
    header = ["model after this step", "parameters", "GFLOPs a token", "cache, KiB a token"]
    header.append("loss of a small run")
    marked = [number for number, step in enumerate(STEPS) if step.chapter == mark]
    caption = _CAPTION if mark is None else f"{_CAPTION} The arrow marks this chapter."
    return table(rows, header, caption, marked=marked)


_CAPTION = (
    "From GPT-2 to Llama 2, one change at a time. Floating-point operations are those of one "
    "token's forward pass at the end of the context (1,024 positions in the first six rows, 4,096 "
    "in the others); the cache holds keys and values in 16 bits. The last column is a small model "
    "of a million parameters that took the same steps at a constant size (validation loss in nats "
    "a token, mean of three seeds; the chapter on what each change was worth has the details); a "
    "dash stands where only vocabulary or sizes change."
)


def _row(step: Step) -> list[str | int | float]:
    config = step.config
    flops = config.flops_per_token(config.max_seq_len)
    cache = config.kv_bytes_per_token("float16")
    return [step.name, config.n_params, flops / 1e9, cache // 1024]
