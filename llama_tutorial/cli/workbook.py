"""``llama-tutorial workbook``: a folder of stubs to fill in."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from llama_tutorial._util.terminal import printable
from llama_tutorial.workbook.folder import write_workbook


def run(arguments: argparse.Namespace) -> None:
    """Write the files that are not there yet, and say which were."""
    if not arguments.folder:
        raise ValueError("FOLDER is empty: name the folder to write")
    folder = Path(arguments.folder)
    written, kept = write_workbook(folder, solutions=arguments.solutions)
    for path in written:
        print(printable(str(path)))
    if kept:
        names = ", ".join(str(path.relative_to(folder)) for path in kept)
        print(printable(f"Kept as they are, because they were there: {names}"))
    if written:
        quoted = shlex.quote(printable(str(folder)))
        print(f"Begin with {quoted}/README.md; llama-tutorial check {quoted} shows how far you are")
