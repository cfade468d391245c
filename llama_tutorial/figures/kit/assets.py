"""The files that figures carry along: their CSS and their JavaScript."""

from __future__ import annotations

from pathlib import Path

KIT = Path(__file__).parent
FOLDER = KIT.parent


def read(name: str) -> str:
    """The text of a file of the kit."""
    return (KIT / name).read_text(encoding="utf-8")


def stylesheet(*names: str) -> str:
    """A style element with the page's colours and the kit's style sheets of these names."""
    return f"<style>{''.join(read(f'{name}.css') for name in ('page', *names))}</style>"


def script_path(script: str | Path) -> Path:
    """Where a figure's script lies: ``"rope/clocks"`` in ``figures/rope``, or any by its path.

    Raises:
        FileNotFoundError: There is no such script; the message lists those of the package.
    """
    path = script if isinstance(script, Path) else FOLDER / f"{script}.js"
    if not path.is_file():
        known = sorted(f"{p.parent.name}/{p.stem}" for p in FOLDER.glob("*/[a-z]*.js"))
        raise FileNotFoundError(
            f"no figure script {str(script)!r} ({path.name} not found); there are: {known}"
        )
    return path


def function_of(name: str, script: str) -> str:
    """The shared library, a script and its start in one function."""
    return function("\n".join([read("_live.js"), script, f'start("{name}", setup);']))


def function(script: str) -> str:
    """A script as a function that is called at once and leaves no name behind."""
    return f'(() => {{\n"use strict";\n{_without_comments(script)}\n}})();'


def _without_comments(script: str) -> str:
    """Drops the lines that are comments, and the indentation: this text is in every output."""
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))
