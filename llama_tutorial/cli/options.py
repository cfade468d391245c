"""What a message of the package says in a shell: options and commands in place of Python's names.

The package speaks to people who write Python: ``top_p=2: must be ...``, ``give one with
tokenizer=``. `for_shell` says the same to whoever typed a command: ``--top-p 2``, ``--tokenizer``.
Everything that a command prints of an error goes through it, once, where it is printed, so that a
new message needs nothing but the package's own form, ``name=value``.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from llama_tutorial.config import ModelConfig

_OPTIONS = {  # where it is not the name of the field
    "total_steps": "steps",
    "peak_lr": "lr",
    "warmup_steps": "warmup",
    "max_seq_len": "context",
    "n_layers": "layers",
    "n_heads": "heads",
    "n_kv_heads": "kv-heads",
    "stop_strings": "stop",
    "form": "as",
    "data_option": "data",
}
_ALSO = {"context": "max_seq_len"}  # other names for what an option sets
_WORDS = {"total_steps": "{} steps"}  # where the command has computed it itself
_IN_FILES = {field.name for field in fields(ModelConfig)}  # what a checkpoint says of itself, too
# Python that a message advises, and what does the same in a shell.
_PHRASES = [
    (r"[\w.]+= \(on the command line, (--[\w-]+)\)", r"\1"),
    (r": convert the model first, model\.float\(\)", ": give --dtype float32"),
    (r"\bor None for all\b", "or left out for all"),
    (r"\bthe nearest n_heads that does\b", "the nearest --heads that does"),
    (r"\bthe nearest n_kv_heads that does\b", "the nearest --kv-heads that does"),
    (r"\bload_model knows\b", "llama-tutorial knows"),
    (
        r'write one with save_model\(model, path, "llama2c"\)',
        "llama-tutorial convert MODEL FILE --format llama2c writes one",
    ),
    (r"\bread by load\(\.\.\., engine='numpy'\)", "read by generate --engine numpy"),
    (
        r": load the base, then load_adapter\(model, path\); or write it anew with "
        r"save_adapter\(\.\.\., base=\)",
        ": write the base's name into its JSON file",
    ),
    (r": make it with tokenize\(\)", ": pretrain writes both"),
    (r": encode with (bos|eos)=False", ", which this command needs"),
    (
        r": clean it with text\.encode\('utf-8', 'replace'\)\.decode\(\)",
        ": clean it, for instance with iconv -c -t utf-8",
    ),
    (r"\bBPETokenizer cannot encode as this model does\b", "this package cannot encode as it does"),
    (
        r"; use Tokenizer, which runs SentencePiece itself",
        "; SentencePiece can: pip install 'llama-tutorial[torch]'",
    ),
    (r"\bas model\.float\(\) does\b", "as --dtype float32 does"),
    (
        r"\bNumpyLlama computes Llamas only\b(.*); use Transformer\b",
        r"the NumPy engine computes Llamas only\1; take --engine torch",
    ),
]
_NAMED = re.compile(
    r"(?<![\w/\\.'\"-])([a-z]\w*)="
    r"('[^']*'|\([^()]*\)|\[[^\[\]]*\]|[^\s,;:)('\[]*[^\s,;:)('\[.])?"
)


def for_shell(message: str, arguments: argparse.Namespace | None = None) -> str:
    """A message with the names of options and commands in place of Python's.

    A field of a model's configuration is an option only with the value that was given: a checkpoint
    may have one of its own that is wrong, and that is no option's fault. What the user has typed,
    a path such as ``lr=0.1/model``, stays as it is.

    Args:
        message: The package's.
        arguments: The command's, or None where they could not be read.
    """
    given = {} if arguments is None else vars(arguments)
    typed = [text for value in given.values() for text in _texts(value)]
    kept = sorted({text for text in typed if _translated(text, given) != text}, key=len)
    if not kept:
        return _translated(message, given)
    parts = re.split(f"({'|'.join(map(re.escape, reversed(kept)))})", message)
    return "".join(part if i % 2 else _translated(part, given) for i, part in enumerate(parts))


@contextmanager
def options_named(arguments: argparse.Namespace) -> Iterator[None]:
    """Let a ValueError speak of options at once, before its message is made part of another."""
    try:
        yield
    except ValueError as error:
        raise ValueError(for_shell(str(error), arguments)) from None


def option(name: str) -> str:
    """The option that sets a field: ``total_steps`` is ``--steps``."""
    return "--" + _OPTIONS.get(name, name).replace("_", "-")


def _texts(value: object) -> list[str]:
    if isinstance(value, list):
        return [text for element in value for text in _texts(element)]
    return [value] if isinstance(value, str) else []


def _translated(message: str, given: dict[str, object]) -> str:
    for pattern, words in _PHRASES:
        message = re.sub(pattern, words, message)

    def named(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name not in given:
            name = _ALSO.get(name, name)
        if name not in given:
            return _WORDS[name].format(value) if name in _WORDS and value else match[0]
        if value is None:
            return option(name)
        if name in _IN_FILES and value not in (str(given[name]), repr(given[name])):
            return match[0]
        return option(name) if value == "True" else f"{option(name)} {_plain(value)}"

    begin = re.match(r"([a-z]\w*)(?=: )", message)
    if begin and begin[1] in given:
        message = option(begin[1]) + message[begin.end() :]
    return _NAMED.sub(named, message)


def _plain(value: str) -> str:
    """A value as it is typed: quotes where a shell needs them, elements of a list side by side."""
    if value[0] in "([":
        return " ".join(_plain(element) for element in re.split(r",\s*", value[1:-1]) if element)
    return shlex.quote(value.strip("'"))
