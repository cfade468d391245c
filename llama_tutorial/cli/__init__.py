"""The command ``llama-tutorial``: what the package does, from a shell.

Each command is one module here, with ``add(commands)`` for its options and ``run(arguments)`` for
its work. A user's mistake is one line on standard error and exit code 2, never a traceback.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from llama_tutorial.cli import chat, convert, finetune, generate, info, pretrain

COMMANDS = (generate, chat, convert, info, pretrain, finetune)
USER_ERRORS = (ValueError, OSError, ImportError)


class _Parser(argparse.ArgumentParser):
    """argparse's parser, with its errors on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help shows the options)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = _Parser(prog="llama-tutorial", description="Llama 2 from scratch, from a shell.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for command in COMMANDS:
        command.add(commands)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except USER_ERRORS as error:
        print(f"llama-tutorial: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return 0
