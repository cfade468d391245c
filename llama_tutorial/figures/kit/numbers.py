"""Numbers as the figures print them: three significant digits, the same on every machine.

SVG paths and JSON are printed numbers, and the book's tests compare them character by character.
The last bits of a sum differ between processors, so whatever is plotted is rounded first, and what
is noise around zero becomes zero.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

NOISE = 1e-9


def rounded(values: Any, digits: int = 3) -> Any:
    """Rounds every float to ``digits`` significant digits.

    Args:
        values: A number, a NumPy array, a tensor, or lists, tuples and dicts of these.
        digits: How many significant digits stay.

    Returns:
        The same structure as plain Python: arrays and tensors become lists, tuples become lists.
        Integers, strings, booleans and None pass unchanged; magnitudes below 1e-9 become 0.0.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, dict):
        return {key: rounded(value, digits) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [rounded(value, digits) for value in values]
    if isinstance(values, float):
        return _round(values, digits)
    return values


def _round(value: float, digits: int) -> float:
    """Half away from zero, as JavaScript's ``toPrecision`` does, so that both print alike."""
    if value != value or value in (float("inf"), float("-inf")):
        return value
    if abs(value) < NOISE:
        return 0.0
    exact = Decimal(value)
    unit = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return float(exact.quantize(unit, rounding=ROUND_HALF_UP))


def number_text(value: Any) -> str:
    """The text of a value in a readout: floats with three significant digits and a real minus sign.

    The figures' JavaScript has the same function, and the browser tests hold the two equal.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(number_text(item) for item in value)
    if isinstance(value, (int, float)):
        return _float_text(value).replace("-", "−")
    return str(value)


def _float_text(value: float | int) -> str:
    if value != value:
        return "undefined"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "-∞"
    if value == int(value):
        return str(int(value))
    short = _round(value, 3)
    if short == int(short):
        return str(int(short))
    if abs(short) < 1e-6:  # JavaScript writes 3.33e-8, Python 3.33e-08
        return repr(short).replace("e-0", "e-")
    return f"{Decimal(repr(short)):f}"
