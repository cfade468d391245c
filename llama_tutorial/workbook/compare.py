"""Compare what somebody's function returned with what is right, and say where they differ.

Values are numbers, strings, None, tensors of torch, arrays of NumPy, and lists, tuples, dicts and
sets of them. Torch is touched only where a value is one of its tensors.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np

_ROUNDED = 2.0**-6  # four of bfloat16's smallest steps


@dataclass(frozen=True)
class Rules:
    """How equal is equal.

    Args:
        tolerance: Largest difference of floats, relative to the largest of the right ones or to 1.
        same_dtype: Whether floats must have the right value's dtype, not only be floats.
        any_array: Whether an array of NumPy may stand for a tensor, and the other way round.
        rounded: Whether floats of 16 bits may differ by some roundings: another formula with the
            same mistake rounds at other places.
    """

    tolerance: float = 1e-5
    same_dtype: bool = False
    any_array: bool = False
    rounded: bool = False


def difference(yours: Any, right: Any, rules: Rules, what: str = "the result") -> str | None:
    """What is wrong with ``yours``, in a sentence without a capital; None if nothing is.

    Args:
        yours: The value to judge.
        right: What it should be.
        rules: How equal is equal.
        what: What ``yours`` is called in the sentence.
    """
    if is_tensor(right) or isinstance(right, np.ndarray):
        return _array_difference(yours, right, rules, what)
    if isinstance(right, list | tuple):
        return _list_difference(yours, right, rules, what)
    if isinstance(right, Mapping):
        return _dict_difference(yours, right, rules, what)
    if isinstance(right, bool | np.bool_):
        if not isinstance(yours, bool | np.bool_):
            more = "; bool() makes one of it" if getattr(yours, "ndim", None) == 0 else ""
            return (
                f"{what} is {kind(yours)}, where True or False is wanted{more or _none_hint(yours)}"
            )
        return None if yours == right else f"{what} is {yours}, and {right} is right"
    if isinstance(right, Number):
        return _number_difference(yours, right, rules, what)
    if type(yours) is not type(right):
        return f"{what} is {kind(yours)}, where {kind(right)} is wanted{_none_hint(yours)}"
    if yours != right:
        return f"{what} is {shown(yours)}, and {shown(right)} is right"
    return None


def _number_difference(yours: Any, right: Any, rules: Rules, what: str) -> str | None:
    if is_tensor(yours) or isinstance(yours, np.ndarray) or not isinstance(yours, Number):
        more = "; .item() makes one" if getattr(yours, "ndim", None) == 0 else ""
        return f"{what} is {kind(yours)}, where a number is wanted{more or _none_hint(yours)}"
    is_whole = isinstance(right, int | np.integer)
    if is_whole and not isinstance(yours, int | np.integer):
        return f"{what} is {kind(yours)} ({shown(yours)}), where an integer is wanted"
    a, b = complex(yours), complex(right)  # type: ignore[call-overload]
    if a == b or (math.isnan(a.real) and math.isnan(b.real)):
        return None
    if is_whole or not abs(a - b) <= rules.tolerance * max(abs(b), 1):
        return f"{what} is {_side_by_side(yours, right)}"
    return None


def _list_difference(yours: Any, right: Any, rules: Rules, what: str) -> str | None:
    if not isinstance(yours, list | tuple):
        wanted = f"{'a list' if isinstance(right, list) else 'a tuple'} of {len(right)}"
        return f"{what} is {kind(yours)}, where {wanted} is wanted{_none_hint(yours)}"
    for index, (mine, theirs) in enumerate(zip(yours, right, strict=False)):
        if found := difference(mine, theirs, rules, f"{what}[{index}]"):
            return f"{found}; yours is {shown(yours)}" if _is_plain(right) else found
    if len(yours) != len(right):
        both = f": {shown(yours)}, and {shown(right)} is right" if _is_plain(right) else ""
        return f"{what} has {len(yours)} elements, where {len(right)} are wanted{both}"
    return None


def _dict_difference(yours: Any, right: Any, rules: Rules, what: str) -> str | None:
    if not isinstance(yours, Mapping):
        return f"{what} is {kind(yours)}, where a dict is wanted{_none_hint(yours)}"
    for name, value in right.items():
        if name not in yours:
            other = next((shown(mine) for mine in yours if mine not in right), "")
            return f"{what} has no {name!r}{f', but {other}' if other else ''}"
        if found := difference(yours[name], value, rules, f"{what}[{name!r}]"):
            return found
    if extra := [name for name in yours if name not in right]:
        return f"{what} has {extra[0]!r}, which does not belong there"
    return None


def _array_difference(yours: Any, right: Any, rules: Rules, what: str) -> str | None:
    wanted = f"{_noun(right)} of shape {tuple(right.shape)}"
    if not (is_tensor(yours) or isinstance(yours, np.ndarray | np.generic)):
        hint = _none_hint(yours)
        if isinstance(yours, float):
            hint = ": a float has no gradient"
        return f"{what} is {kind(yours)}, where {wanted} is wanted{hint}"
    if is_tensor(yours) != is_tensor(right) and not rules.any_array:
        return f"{what} is {_noun(yours)}, where {wanted} is wanted"
    if tuple(yours.shape) != tuple(right.shape):
        return f"{what} has the shape {tuple(yours.shape)}, and {tuple(right.shape)} is right"
    mine, theirs = dtype_name(yours), dtype_name(right)
    if _family(mine) != _family(theirs) or (rules.same_dtype and mine != theirs):
        return f"{what} has the dtype {mine}, and {theirs} is right"
    return values_difference(yours, right, rules, what)


def values_difference(yours: Any, right: Any, rules: Rules, what: str) -> str | None:
    """Where two arrays of one shape differ first, and how."""
    a, b = to_numpy(yours), to_numpy(right)
    if b.dtype.kind not in "fc":
        wrong = np.asarray(a != b)
    else:
        scale = max(np.max(np.abs(b[np.isfinite(b)]), initial=0), 1)
        with np.errstate(invalid="ignore"):
            near = np.abs(a - b) <= _tolerance(right, rules) * scale
        wrong = np.asarray(~(near | (a == b) | (np.isnan(a) & np.isnan(b))))
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"{what}{list(index)}" if index else what
    if np.isnan(a[index]) and not np.isnan(b[index]):
        many = int(np.isnan(a).sum())
        return f"{place} is NaN, and {shown(b[index])} is right ({many} of {a.size} are NaN)"
    both = (a[index], b[index]) if dtype_name(right) != "bool" else (bool(a[index]), bool(b[index]))
    first = f"{place} is {_side_by_side(*both)}"
    return first + _pattern(a, b, wrong, rules)


def _tolerance(right: Any, rules: Rules) -> float:
    is_short = dtype_name(right) in ("float16", "bfloat16")
    return max(rules.tolerance, _ROUNDED) if rules.rounded and is_short else rules.tolerance


def _pattern(a: np.ndarray, b: np.ndarray, wrong: np.ndarray, rules: Rules) -> str:
    """What all the wrong numbers have in common, if that is plain to see."""
    if a.size < 2:
        return ""
    plain = Rules(rules.tolerance)
    if a.ndim > 1 and a.shape[-1] == a.shape[-2] > 1 and _equal(a.swapaxes(-1, -2), b, plain):
        return ". It is the right one with its last two axes exchanged"
    if a.dtype.kind == "f" and np.isfinite(a).all() and np.isfinite(b).all():
        clear = np.abs(b) > 1e-3 * np.abs(b).max()
        if clear.sum() > 1 and wrong[clear].all():
            factors = a[clear] / b[clear]
            factor = float(np.median(factors))
            if abs(factor) > 1e-3 and _equal(a, factor * b, plain):
                return f". All of it is {factor:.4g} times the right one"
    for axis in range(a.ndim):
        others = tuple(i for i in range(a.ndim) if i != axis)
        bad = np.flatnonzero(wrong.any(axis=others))
        good = np.setdiff1d(np.arange(a.shape[axis]), bad)
        name = f"axis {axis} of {a.ndim}"
        if 1 == len(bad) < a.shape[axis]:
            return f". Only index {bad[0]} of {name} is wrong"
        if 1 <= len(good) <= 2:
            return f". Index {' and '.join(map(str, good))} of {name} is right throughout"
    return f" ({int(wrong.sum())} of {a.size} numbers differ)"


def _equal(a: np.ndarray, b: np.ndarray, rules: Rules) -> bool:
    scale = max(float(np.max(np.abs(b), initial=0)), 1)
    with np.errstate(invalid="ignore"):
        return bool((np.abs(a - b) <= rules.tolerance * scale).all())


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of torch, without importing torch for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_numpy(value: Any) -> np.ndarray:
    """An array of the same numbers; floats in float64, True and False as 1 and 0."""
    if is_tensor(value):
        value = value.detach().cpu()
        value = value.double() if value.is_floating_point() else value
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype.kind == "b":  # so that they can be subtracted
        return array.astype(np.int8)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def dtype_name(value: Any) -> str:
    """``float32`` for torch's and NumPy's alike."""
    return str(value.dtype).removeprefix("torch.")


def _family(name: str) -> str:
    return "float" if "float" in name else "bool" if name == "bool" else "integer"


def _noun(value: Any) -> str:
    return "a tensor" if is_tensor(value) else "a NumPy array"


def _is_plain(value: Any) -> bool:
    """Whether a list or tuple can be shown in a message."""
    return len(value) <= 24 and all(isinstance(element, int | str | bytes) for element in value)


def _none_hint(value: Any) -> str:
    return ": is a `return` missing?" if value is None else ""


def kind(value: Any) -> str:
    """What a value is, in words: ``a tensor of shape (2, 3)``."""
    if value is None:
        return "None"
    if is_tensor(value) or isinstance(value, np.ndarray):
        return f"{_noun(value)} of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    names = {"int": "an integer", "str": "a string", "float": "a float", "bool": "a bool"}
    names |= {"bytes": "a bytes object", "dict": "a dict"}
    return names.get(name := type(value).__name__, f"a {name}")


def _side_by_side(yours: Any, right: Any) -> str:
    """Two values that are not equal, with so many digits that it can be seen."""
    if shown(yours) != shown(right) or not isinstance(right, float | np.floating):
        return f"{shown(yours)}, and {shown(right)} is right"
    return f"{float(yours):.9g}, and {float(right):.9g} is right"


def shown(value: Any) -> str:
    """A value in a message: five digits of a float, and the beginning of what is long."""
    if isinstance(value, float | np.floating):
        return f"{float(value):.5g}"
    if isinstance(value, np.generic):
        value = value.item()
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:110]}…{text[-6:]}"
