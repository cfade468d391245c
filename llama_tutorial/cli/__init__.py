"""The command ``llama-tutorial``: what the package does, from a shell.

:mod:`.parser` has all options; each command's work is one module here with ``run(arguments)``,
imported when that command runs, so that ``--help`` needs no torch. A user's mistake is one line on
standard error and exit code 2, never a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from llama_tutorial.cli.parser import make_parser

USER_ERRORS = (ValueError, OSError, ImportError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = make_parser().parse_args(argv)
    try:
        import_module(f"llama_tutorial.cli.{arguments.command}").run(arguments)
    except USER_ERRORS as error:
        print(f"llama-tutorial: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return 0
