"""The tasks of the chapter on RoPE."""

from __future__ import annotations

import torch

from llama_tutorial.workbook.solutions.rope import rope_table
from llama_tutorial.workbook.task import Bug, Case, Task


def _rotate_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(0)
    cos, sin = rope_table(8, 16)
    vector = torch.randn(1, 8, generator=draw)
    heads = torch.randn(2, 3, 6, 8, generator=draw)  # (B, H, T, h)
    return [
        Case("one vector at position 0, which stays as it is", vector, cos[:1], sin[:1]),
        Case("one vector at position 1", vector, cos[1:2], sin[1:2]),
        Case("three heads at positions 0 to 5", heads, cos[:6], sin[:6]),
        Case("bfloat16 with tables in float32", heads.bfloat16(), cos[:6], sin[:6]),
    ]


TASKS = [
    Task(
        "rope.rotate",
        cases=_rotate_cases,
        bugs=[
            Bug(
                "half_split",
                edit=("x[..., 0::2], x[..., 1::2]", "x.chunk(2, dim=-1)"),
                says="You pair feature j with feature j + h/2, and put the results back in turn. "
                "Position 0 is right, because it is not rotated; position 1 is not.",
                look="Which two features make pair j?",
            ),
        ],
        hints=[
            "Begin with one pair: what becomes of (a, b)?",
            "Slices with a step take all a's, and all b's, at once: two tensors (..., T, h / 2).",
            "The results have to alternate again: stack them on a new last axis, then flatten.",
        ],
        minutes=10,
        page="#ch-rope",
        teaches="A position is an angle: the score of two rotated vectors sees only a distance.",
        same_dtype=True,
    ),
]
