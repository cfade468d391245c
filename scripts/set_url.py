"""Carries the repository's address from ``_config.yml`` into the set-up cell of every notebook.

    python scripts/set_url.py

Outputs stay: the cell prints nothing, whatever the address.
"""

from __future__ import annotations

import notebooks


def main() -> None:
    """Rewrites the notebooks whose set-up cell differs."""
    for path in notebooks.chapters():
        before = path.read_text(encoding="utf-8")
        notebooks.write(notebooks.read(path), path)
        if path.read_text(encoding="utf-8") != before:
            print(f"{path.name}: set-up cell renewed")
    print(f"The notebooks install from {notebooks.repository_url()}")


if __name__ == "__main__":
    main()
