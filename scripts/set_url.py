"""Carries the addresses and the release's tag from ``_config.yml`` to their places.

    python scripts/set_url.py && python scripts/run_edition.py

Those are the set-up cell of every notebook and, for the repository's address, the package's
metadata and the citation file; for the pages', the workbook, which links to them. Outputs of
notebooks stay: the cell prints nothing, whatever the address.
"""

from __future__ import annotations

import re
from pathlib import Path

import notebooks

# In each of them, the line that says what the address has been so far.
ADDRESS = re.compile(r'^(?:Repository = "|repository-code: |BOOK = ")([^"\n]+)', re.MULTILINE)
FILES = ("pyproject.toml", "CITATION.cff")
WORKBOOK = "llama_tutorial/workbook/registry.py"


def main() -> None:
    """Rewrites the files that have another address."""
    url, tag = notebooks.repository()
    for path in [*notebooks.every(), *(notebooks.ROOT / name for name in (*FILES, WORKBOOK))]:
        before = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            notebooks.write(notebooks.read(path), path)
        else:
            [address] = ADDRESS.findall(before)
            now = notebooks.published() if path.name == Path(WORKBOOK).name else url
            path.write_text(before.replace(address, now), encoding="utf-8")
        if path.read_text(encoding="utf-8") != before:
            print(f"{path.name}: renewed")
    print(f"The notebooks of the book install {tag} from {url}; now run scripts/run_edition.py")


if __name__ == "__main__":
    main()
