"""The text files in ``data/``: each explains itself in its first lines."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).with_name("data")


def lines(name: str) -> list[str]:
    """The rows of ``data/<name>.txt``, without blank lines and without comments (``#``)."""
    text = (DATA / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def sections(name: str) -> dict[str, list[str]]:
    """The rows of ``data/<name>.txt`` under each ``[heading]``."""
    found: dict[str, list[str]] = {}
    for line in lines(name):
        if line.startswith("["):
            rows = found[line[1:-1]] = []
        else:
            rows.append(line)
    return found


def keyed(rows: list[str], separator: str | None = None) -> dict[str, tuple[str, ...]]:
    """Rows of the form ``key: value value``; ``-`` is an empty value."""
    pairs = (row.split(": ", 1) for row in rows)
    return {
        key: tuple("" if value == "-" else value for value in values.split(separator))
        for key, values in pairs
    }
