"""``llama-tutorial chat``: talk with a chat model.

In a terminal it asks line by line. From a pipe it answers each line and prints only the answers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress

from llama_tutorial._util.terminal import printable, shown
from llama_tutorial.chat.session import ChatSession
from llama_tutorial.cli.engines import load_engine, sampling
from llama_tutorial.cli.options import for_shell
from llama_tutorial.cli.parser import CHAT_HELP, CHAT_MODEL
from llama_tutorial.shipped import SHIPPED

LONGEST = 1_000_000  # characters of a line: no context is so long, and a pipe may never end one
ENDS = {
    "length": "the answer was cut: --max-new-tokens, or the end of the context",
    "tag": "the answer was cut where the model began to write one of Llama's tags",
}


def run(arguments: argparse.Namespace) -> None:
    """Answer until there are no more questions."""
    settings = sampling(arguments)
    model, tokenizer = load_engine(arguments.model, arguments)
    session = ChatSession(
        model,
        tokenizer,
        system=arguments.system,
        max_new_tokens=arguments.max_new_tokens,
        stop_strings=arguments.stop_strings,
        **settings,
    )
    if arguments.model in SHIPPED and arguments.model != CHAT_MODEL:
        _note(f"{arguments.model} is a base model: it continues text, and was not taught to answer")
    interactive = sys.stdin.isatty()
    if interactive:
        n_params = f"{model.config.n_params:,} parameters"
        _note(f"{arguments.model}: {n_params}. {CHAT_HELP}; Ctrl-C ends an answer")
    for line in _lines(interactive):
        if not _is_text(line):
            _note(f"not asked: the line is not {sys.stdin.encoding}")
        elif line.startswith("/"):
            if not _do_command(session, line):
                break
        elif line.strip():
            try:
                _answer(session, line)
            except KeyboardInterrupt:
                session.stop()
                print()
                _note("stopped")


def _lines(interactive: bool) -> Iterator[str]:
    """The lines that are typed, or those of the pipe."""
    if not interactive:
        while line := sys.stdin.readline(LONGEST):
            if len(line) < LONGEST or line.endswith("\n"):
                yield line.rstrip("\n")
                continue
            _note(f"not asked: the line has more than {LONGEST:,} characters")
            while (rest := sys.stdin.readline(LONGEST)) and not rest.endswith("\n"):
                pass
        return
    with suppress(ImportError):
        import readline  # noqa: F401  # with it, what input() reads can be edited
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            print()
            _note("/exit or Ctrl-D ends")
        except EOFError:
            print()
            return


def _is_text(line: str) -> bool:
    """Whether all bytes of a line were text; `program` lets the others through as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in line)


def _do_command(session: ChatSession, line: str) -> bool:
    """Carry out a command; returns whether the chat goes on."""
    command, _, rest = line.partition(" ")
    if command == "/exit":
        return False
    if command == "/reset":
        session.reset(session.system)
        _note("the dialog is forgotten")
    elif command == "/system":
        try:
            session.reset(rest.strip() or None)
            now = f"the system text is {session.system!r}"
            now = now if session.system else "there is no system text"
            _note(f"the dialog is forgotten, and {now}")
        except ValueError as error:
            _note(f"not taken: {for_shell(str(error))}")
    else:
        _note(f"{command} is no command: {CHAT_HELP}; a question may begin with / after a space")
    return True


def _answer(session: ChatSession, question: str) -> None:
    """Print the answer while it is generated, and what there is to say about it."""
    try:
        reply = session.say(question)
    except ValueError as error:
        _note(f"not asked: {for_shell(str(error))}")
        return
    if reply.dropped:
        many = f"{reply.dropped} questions and their answers"
        oldest = "question and its answer" if reply.dropped == 1 else many
        _note(f"the context is full: the oldest {oldest} are forgotten")
    for piece in reply:
        print(shown(piece), end="", flush=True)
    print()
    if reply.ended in ENDS:
        _note(ENDS[reply.ended])
    elif reply.stop_string is not None:
        _note(f"the answer was cut at --stop {reply.stop_string!r}")


def _note(text: str) -> None:
    """Print something that is not an answer."""
    sys.stdout.flush()
    print(f"[{printable(text)}]", file=sys.stderr)
