"""The files that figures carry along: their CSS and their JavaScript."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def _read(path: str) -> str:
    return (FOLDER / path).read_text(encoding="utf-8")


def stylesheet(name: str) -> str:
    """A style element with the page's colours and the rules of ``css/<name>.css``."""
    return f"<style>{_read('css/_page.css')}{_read(f'css/{name}.css')}</style>"


def read_script(script: str | Path) -> tuple[str, str]:
    """The name and the text of a figure's script: one of ``figures/js`` by name, or any by path.

    Raises:
        FileNotFoundError: There is no such script; the message lists those of the package.
    """
    path = script if isinstance(script, Path) else FOLDER / "js" / f"{script}.js"
    if not path.is_file():
        known = sorted(p.stem for p in (FOLDER / "js").glob("[a-z]*.js"))
        raise FileNotFoundError(
            f"no figure script {str(script)!r} ({path.name} not found); there are: {known}"
        )
    return path.stem.lstrip("_"), path.read_text(encoding="utf-8")


def function_of(name: str, script: str) -> str:
    """The shared library, a script and its start in one function that leaves no name behind."""
    body = "\n".join([_read("js/_live.js"), script, f'start("{name}", setup);'])
    return f'(() => {{\n"use strict";\n{_without_comments(body)}\n}})();'


def _without_comments(script: str) -> str:
    """Drops the lines that are comments, and the indentation: this text is in every output."""
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))
