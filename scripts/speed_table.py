"""Brings the README's table of speeds up to date with ``llama_tutorial/data/decoding.json``.

python scripts/speed_table.py
"""

from __future__ import annotations

from pathlib import Path

from llama_tutorial.figures import recorded
from llama_tutorial.figures.numpy_llama import COLUMNS, speed_rows

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- speeds: scripts/speed_table.py -->\n", "<!-- end of speeds -->\n"


def table() -> str:
    """The table in Markdown, and how it was measured."""
    results = recorded("decoding")
    lines = [["shape", *COLUMNS], ["---", *["---:"] * len(COLUMNS)], *speed_rows(results)]
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    versions = ", ".join(f"{name} {text}" for name, text in results["versions"].items())
    how = f"`{results['command']}`, {results['date']}, {results['machine']}; {versions}."
    return f"{rows}\n{how}\n"


def main() -> None:
    """Rewrites the part of the README between the marks."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}{table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
