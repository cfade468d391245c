"""``llama-tutorial chat``: talk with a chat model.

In a terminal it asks line by line. From a pipe it answers each line, and prints the answers alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llama_tutorial.cli.options import add_engine, add_sampling, load_engine, sampling
from llama_tutorial.shipped import SHIPPED

if TYPE_CHECKING:
    from llama_tutorial.chat.session import ChatSession

DEFAULT = "tales-chat"
HELP = "/reset forgets what was said, /system TEXT also says how to behave, /exit or Ctrl-D ends"
ENDS = {
    "length": "the answer was cut: --max-new-tokens, or the context's end",
    "tag": "the answer was cut, where the model went on with one of Llama's tags",
}
DESCRIPTION = f"""Talk with a model that was trained on Llama 2's dialog format, by default the one
that comes with the package. Each line is a question. {HELP}; Ctrl-C ends an answer. Where standard
input is a file or a pipe, each line is answered, and nothing else goes to standard output."""


def add(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser("chat", help="talk with a chat model", description=DESCRIPTION)
    command.set_defaults(run=run)
    command.add_argument(
        "--model",
        "--checkpoint",
        default=DEFAULT,
        help="a model that comes with the package, or one's file or folder, or a repository",
    )
    command.add_argument("--system", help="how the model shall behave")
    add_sampling(command)
    add_engine(command)


def run(arguments: argparse.Namespace) -> None:
    """Answer until there are no more questions."""
    from llama_tutorial.chat.session import ChatSession

    settings = sampling(arguments)
    model, tokenizer = load_engine(arguments.model, arguments)
    session = ChatSession(
        model,
        tokenizer,
        system=arguments.system,
        max_new_tokens=arguments.max_new_tokens,
        **settings,
    )
    if arguments.model in SHIPPED and arguments.model != DEFAULT:
        _note(f"{arguments.model} is a base model: it continues text, and was not taught to answer")
    interactive = sys.stdin.isatty()
    if interactive:
        _note(f"{arguments.model}: {model.config.n_params:,} parameters. {HELP}; Ctrl-C an answer")
    for line in _lines(interactive):
        if line.startswith("/"):
            if not _obey(session, line):
                break
        elif line.strip():
            try:
                _answer(session, line)
            except KeyboardInterrupt:
                session.stop()
                print()
                _note("stopped")


def _lines(interactive: bool) -> Iterator[str]:
    """What is typed, or what the pipe holds."""
    if not interactive:
        yield from (line.rstrip("\n") for line in sys.stdin)
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


def _obey(session: ChatSession, line: str) -> bool:
    """Do what a command says; returns whether the talk goes on."""
    command, _, rest = line.partition(" ")
    if command == "/exit":
        return False
    if command == "/reset":
        session.reset(session.system)
        _note("what was said is forgotten")
    elif command == "/system":
        try:
            session.reset(rest.strip() or None)
            _note(f"what was said is forgotten, and the system text is {session.system!r}")
        except ValueError as error:
            _note(f"not taken: {error}")
    else:
        _note(f"{command} is no command: {HELP}; a question may begin with / behind a space")
    return True


def _answer(session: ChatSession, question: str) -> None:
    """Print the answer as it comes, and what there is to say about it."""
    try:
        reply = session.say(question)
    except ValueError as error:
        _note(f"not asked: {error}")
        return
    if reply.dropped:
        many = f"{reply.dropped} questions and their answers"
        oldest = "question and its answer" if reply.dropped == 1 else many
        _note(f"the context is full: the oldest {oldest} are forgotten")
    for piece in reply:
        print(piece, end="", flush=True)
    print()
    if reply.ended in ENDS:
        _note(ENDS[reply.ended])


def _note(text: str) -> None:
    """Say something that is no answer."""
    sys.stdout.flush()
    print(f"[{text}]", file=sys.stderr)
