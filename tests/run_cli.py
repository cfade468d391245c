"""The command line as a function, for tests."""

from __future__ import annotations

from llama_tutorial.cli import main


def run(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse's way out
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err
