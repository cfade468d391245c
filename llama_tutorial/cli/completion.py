"""Completion of the command in a shell, by argcomplete where it is installed.

A shell that has been told (``eval "$(register-python-argcomplete llama-tutorial)"``) runs the
command with ``_ARGCOMPLETE`` set at each press of the Tab key; only then is this module imported.
Choices and options come from the parser. What a word may be beyond these is said here: files, the
names of models and presets, and nothing where a number or a text is meant.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from llama_tutorial.cli.parser import make_parser
from llama_tutorial.config import PRESETS
from llama_tutorial.pretraining import DATA_SETS
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.workbook.registry import chapters

# By the command and where it stores the word: the names that it may be, beside the path of a file.
_NAMES: dict[str, Iterable[str]] = {
    "model": SHIPPED,
    "checkpoint": [*SHIPPED, *PRESETS],
    "input": SHIPPED,
    "tokenizer": SHIPPED,
    "data": ["tales"],
    "data_option": ["tales"],
    "pretrain data": ["tales", *DATA_SETS],
    "output": [],
    "out": [],
    "prompt_file": [],
    "validation": [],
    "folder": [],
}
_NAMES_ALONE = {
    "preset": [*PRESETS],
    "device": ["cpu", "cuda", "mps"],
    "tasks": chapters(),
}


def complete() -> None:
    """Print what a shell asks for, and end the process; return where argcomplete is absent."""
    try:
        import argcomplete
    except ImportError:
        return
    parser, nothing = make_parser(), argcomplete.SuppressCompleter()
    [commands] = (
        action.choices
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    for command, subparser in commands.items():
        for action in subparser._actions:
            key = f"{command} {action.dest}"
            if (names := _NAMES.get(key, _NAMES.get(action.dest))) is not None:
                _set(action, _names_and_files(names))
            elif action.dest in _NAMES_ALONE:
                _set(action, _among(_NAMES_ALONE[action.dest]))
    argcomplete.autocomplete(parser, default_completer=nothing)


def _set(action: Any, completer: Callable[..., Iterable[str]]) -> None:
    action.completer = completer  # where argcomplete looks for it


def _among(names: Iterable[str]) -> Callable[..., list[str]]:
    return lambda prefix, **_given: [name for name in names if name.startswith(prefix)]


def _names_and_files(names: Iterable[str]) -> Callable[..., list[str]]:
    from argcomplete import FilesCompleter

    def completions(prefix: str, **given: Any) -> list[str]:
        return [*_among(names)(prefix), *FilesCompleter()(prefix, **given)]

    return completions
