"""Writes ``book/api.md``: one entry for every module of the package, filled from its docstrings.

    python scripts/api_page.py

Run it when a module comes or goes; a test holds the page to what this writes. The order of the
modules is the order in which a reader meets them; a module that is not named below follows in its
folder's section, or in the last.
"""

from __future__ import annotations

from pathlib import Path

from notebooks import BOOK, ROOT

SECTIONS = {
    "The model": "config gpt rmsnorm rope swiglu kv_cache gqa model",
    "Tokens": "tokenizer bpe bpe_training merging vocabulary stream_decoder chat",
    "Generation": "sampling generation",
    "Weights": "checkpoints llama2c_file llama2c_header quantization",
    "Training": "training trainer run_folder pretraining finetuning lora",
    "The story world": "tales corpus",
    "Figures": "figures",
    "Tools": "cli",
}

HEAD = """\
# API reference

Everything here comes from the docstrings of the package. Shapes stand in the signatures, in the
notation of the next paragraphs.

```{eval-rst}
.. automodule:: llama_tutorial
```
"""

ENTRY = """
### `llama_tutorial.{name}`

```{{eval-rst}}
.. automodule:: llama_tutorial.{name}
{members}```
"""


def modules() -> dict[str, Path]:
    """The package's modules by their names after ``llama_tutorial.``, folders as their own."""
    package = ROOT / "llama_tutorial"
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name and parts[-1] != "__main__":
            names[name] = path
    return names


def page() -> str:
    """The text of the page."""
    named = {name: title for title, names in SECTIONS.items() for name in names.split()}
    order = list(named)
    sections: dict[str, list[str]] = {title: [] for title in SECTIONS}
    known = modules()
    for name in sorted(known, key=lambda name: _place(name, order)):
        sections[named.get(name.split(".")[0], "Tools")].append(name)
    parts = [HEAD]
    for title, names in sections.items():
        if names:
            parts += [f"\n## {title}\n", *(_entry(name, known[name]) for name in names)]
    return "".join(parts)


def _place(name: str, order: list[str]) -> tuple[int, str]:
    first = name.split(".")[0]
    return (order.index(first) if first in order else len(order), name)


def _entry(name: str, path: Path) -> str:
    # What a folder's own file hands on is documented where it is written.
    members = "" if path.name == "__init__.py" and name != "checkpoints" else "   :members:\n"
    return ENTRY.format(name=name, members=members)


def main() -> None:
    """Writes the page."""
    (BOOK / "api.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
