"""Logits of which nothing can be made: which row, and whose fault it is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def not_finite(
    best: Iterable[float],
    weights: Iterable[tuple[str, Any]] = (),
    dtype: str = "",
    first_row: int = 0,
) -> ValueError:
    """The error for logits that have no finite largest one.

    A logit of -inf rules its token out, and is as good as any while another is finite. NaN, +inf,
    and -inf everywhere are not.

    Args:
        best: The largest logit of each row, NaN where there is one.
        weights: The model's tensors, torch's or NumPy's, by name. They are looked through one
            after another, up to the first that is damaged.
        dtype: What the model computes in; empty where there is no model.
        first_row: Number of the first row.
    """
    rows = enumerate(best, first_row)
    row, value = next((row, value) for row, value in rows if not math.isfinite(value))
    message = f"the logits of row {row} are not finite: the largest is {value}"
    if not dtype:
        return ValueError(f"{message}; a token needs one that is neither nan nor infinite")
    for name, weight in weights:
        if not math.isfinite(abs(weight).max().item()):
            return ValueError(f"{message}; the weights are damaged, {name} holds nan or inf")
    return ValueError(
        f"{message}, though the weights are finite: numbers on the way overflowed {dtype}; load "
        "the model in a wider dtype, or mend its weights"
    )
