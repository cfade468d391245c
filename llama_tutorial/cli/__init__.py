"""The command ``llama-tutorial``: what the package does, from a shell.

:mod:`.parser` has all options; each command's work is one module here with ``run(arguments)``,
imported when that command runs, so that ``--help`` needs no torch.

A shell gets one line on standard error, and an exit code:

====  ==============================================================================
0     done
1     a fault of this package; the line asks to report it. Of ``check``: not all is done
2     a mistake, or something that a file, a server, a disk or too little memory did
130   Ctrl-C; or SIGTERM, as job schedulers send it, while a model is trained
141   whoever read the output has gone (``... | head -1``); this alone is silent
====  ==============================================================================

Where it happened is shown too if LLAMA_TUTORIAL_TRACEBACK is set.
"""
# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import argparse

USER_ERRORS = (ValueError, OSError, ImportError, MemoryError)
INTERRUPTED, PIPE_CLOSED = 130, 141  # as shells report SIGINT and SIGPIPE: 128 + the signal


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = None
    try:
        try:
            if "_ARGCOMPLETE" in os.environ:  # a shell wants to know how a word may go on
                import_module("llama_tutorial.cli.completion").complete()
            parser = import_module("llama_tutorial.cli.parser").make_parser()
            arguments = parser.parse_args(argv)
            if arguments.command is None:
                parser.print_help()
                return 0
            code = import_module(f"llama_tutorial.cli.{arguments.command}").run(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _complain("")
        return INTERRUPTED
    except BrokenPipeError:
        return PIPE_CLOSED
    except BaseException as error:
        # The panics of libraries in Rust are no Exception, and neither is argparse's way out.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return _report(error, arguments)
    return code or 0


def program() -> int:
    """The whole process: `main` between streams that can be written to; returns the exit code."""
    if sys.stdin is None:  # closed (`<&-`); Python has no object for it then
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:  # and the next file that is opened would take its place
        _complain("llama-tutorial: standard output is closed: send it to a file, or to /dev/null")
        return 2
    sys.stdout = _Output(sys.stdout)
    if isinstance(sys.stdin, io.TextIOWrapper):  # what is no text becomes lone surrogates
        sys.stdin.reconfigure(errors="surrogateescape")
    try:
        return main()
    except KeyboardInterrupt:  # a second one, while the first was reported
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # what follows is only Python's own end
        sys.stdout.give_up()


class _Output(io.TextIOWrapper):
    """Standard output whose errors have a name.

    An error is raised again at each flush, since argparse passes over those of writing. What the
    encoding does not hold is written as an escape.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self._error: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._fail(error)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._error = self._error or error
        if self._error is not None:
            self._fail(self._error)

    def _fail(self, error: OSError) -> NoReturn:
        self._error = error
        if isinstance(error, BrokenPipeError):
            raise error
        raise OSError(error.errno, error.strerror, "standard output") from None

    def give_up(self) -> None:
        """Let the interpreter's last flush find nothing that fails."""
        try:
            super().flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        self._error = None


def _report(error: BaseException, arguments: argparse.Namespace | None) -> int:
    """Say in one line what went wrong; returns the exit code."""
    from llama_tutorial._util.extras import install_hint
    from llama_tutorial._util.terminal import one_line, printable
    from llama_tutorial.cli.options import for_shell

    if os.environ.get("LLAMA_TUTORIAL_TRACEBACK"):
        import traceback

        _complain(printable("".join(traceback.format_exception(error))))
    message, code = one_line(error), 2
    if isinstance(error, ModuleNotFoundError) and (hint := install_hint(error.name)):
        message = f"this needs {error.name}, which is not installed: {hint}"
    elif _is_out_of_memory(error):
        message = f"not enough memory{': ' * bool(message)}{message}"
    elif not isinstance(error, USER_ERRORS):
        code = 1
        message = (
            f"unexpected {type(error).__name__}: {message}; this is a fault of llama-tutorial, "
            "please report it (with LLAMA_TUTORIAL_TRACEBACK=1 it shows where it happened)"
        )
    if code == 2:
        message = for_shell(message, arguments)
    _complain(f"llama-tutorial: {message}")
    return code


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, a GPU's, or torch's on the CPU, which has no type."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or ("allocate" in text and "memory" in text))
    )


def _complain(line: str) -> None:
    with suppress(OSError):  # where nobody can read it
        print(line, file=sys.stderr, flush=True)
