"""Writes the API reference: one entry for every module of the package, filled from its docstrings.

    python scripts/api_page.py

It is ``book/api.md``, and a page in ``book/api/`` for each section. Run it when a module comes or
goes; a test holds the pages to what this writes. The order of the modules is the order in which a
reader meets them; a module that is not named below follows in its folder's section, or in the last.
"""

from __future__ import annotations

from pathlib import Path

from notebooks import BOOK, ROOT

SECTIONS = {
    "The model": ("model", "config gpt rmsnorm rope swiglu kv_cache gqa model bugs"),
    "Tokens": ("tokens", "tokenizer chat"),
    "Generation": ("generation", "sampling generation numpy_llama quantization"),
    "Weights": ("weights", "hub shipped checkpoints"),
    "Training": ("training", "training pretraining evaluation finetuning lora preferences"),
    "The workbook": ("workbook", "workbook"),
    "Tools": ("tools", "cli browser _util"),
    "The story world": ("tales", "tales"),
    "Figures": ("figures", "figures"),
}
"""Title to the page's name, and the modules in order."""

HEAD = Path(__file__).with_name("api_start.md").read_text(encoding="utf-8")

ENTRY = """
## `llama_tutorial.{name}`

```{{eval-rst}}
.. automodule:: llama_tutorial.{name}
{members}```
"""


def modules() -> dict[str, Path]:
    """The package's modules by their names after ``llama_tutorial.``, folders as their own.

    The learners' own modules (``workbook/solutions``) are none of its.
    """
    package = ROOT / "llama_tutorial"
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name and parts[-1] != "__main__" and parts[:2] != ("workbook", "solutions"):
            names[name] = path
    return names


def pages() -> dict[Path, str]:
    """The text of every page, by its place in the book."""
    home = {name: title for title, (_, names) in SECTIONS.items() for name in names.split()}
    order = list(home)
    sections: dict[str, list[str]] = {title: [] for title in SECTIONS}
    known = modules()
    for name in sorted(known, key=lambda name: _place(name, order)):
        sections[home.get(name.split(".")[0], "Tools")].append(name)
    texts, rows = {}, []
    for title, names in sections.items():
        file = f"{SECTIONS[title][0]}.md"
        entries = [_entry(name, known[name]) for name in names]
        texts[Path("api") / file] = "".join([f"# {title}\n", *entries])
        tops = ", ".join(f"`{name}`" for name in names if "." not in name)
        rows.append(f"| [{title}](api/{file}) | {tops} |\n")
    listed = "| page | modules |\n| --- | --- |\n" + "".join(rows)
    return {Path("api.md"): HEAD.replace("{LISTED}", listed), **texts}


def _place(name: str, order: list[str]) -> tuple[int, str]:
    first = name.split(".")[0]
    return (order.index(first) if first in order else len(order), name)


def _entry(name: str, path: Path) -> str:
    # What a folder's own file hands on is documented where it is written.
    members = "" if path.name == "__init__.py" and name != "checkpoints" else "   :members:\n"
    return ENTRY.format(name=name, members=members)


def main() -> None:
    """Writes the pages."""
    (BOOK / "api").mkdir(exist_ok=True)
    for path, text in pages().items():
        (BOOK / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
