"""Strict loading: what a file holds against what the model needs, by name and by shape.

A loader that skips what it does not find leaves random weights behind, and a model that talks
nonsense. So each difference is an error that names the tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from llama_tutorial._util.terminal import one_line

Shapes = Mapping[str, tuple[int, ...]]


def check_names(found: Collection[str], expected: Collection[str], what: str) -> None:
    """Raise a ValueError that begins with ``what`` unless both hold the same names."""
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    problems = [f"missing: {listed(missing)}"] if missing else []
    problems += [f"unexpected: {listed(unexpected)}"] if unexpected else []
    if problems:
        raise ValueError(f"{what}; {'; '.join(problems)}")


def check_shapes(found: Shapes, expected: Shapes, what: str) -> None:
    """Raise a ValueError that begins with ``what`` unless every tensor has its shape."""
    wrong = [
        f"{name} is {found[name]}, must be {shape}"
        for name, shape in expected.items()
        if found[name] != shape
    ]
    if wrong:
        raise ValueError(f"{what}; wrong shape: {listed(wrong)}")


def listed(names: Collection[str], limit: int = 6) -> str:
    """The first names, safe to print, and how many more there are."""
    shown = ", ".join(one_line(name[:100]) for name in list(names)[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
