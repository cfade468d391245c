"""Reading dialogs from a file: one JSON object a line, in either of the two common forms.

The chat form is a whole conversation::

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}

Alpaca's form is one instruction with its answer, and optionally an input for the instruction::

    {"instruction": "Name the color.", "input": "A red kite.", "output": "Red."}

Both become dialogs for :mod:`llama_tutorial.chat`. The error for a line that is neither, or whose
dialog cannot be learned, names the line's number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_tutorial._util.given_file import check_file, foreign, kind_of
from llama_tutorial._util.json_file import parse_json
from llama_tutorial.finetuning.examples import answered_turns

Message = dict[str, str]
_FORMS = '{"messages": [...]} or {"instruction": ..., "output": ...}'


def read_dialogs(path: str | Path) -> list[list[Message]]:
    """The dialogs of a ``.jsonl`` file, one for each line; empty lines are skipped.

    Args:
        path: The file, in UTF-8.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is not UTF-8 or holds no dialog; or a line is not JSON, has neither
            form, or is no dialog that ends with an answer. The error names the line and the rule.
    """
    path = Path(path)
    if not kind_of(path):
        raise FileNotFoundError(f"{path}: no such file; give a .jsonl file with one dialog a line")
    check_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors write a BOM first
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    what = foreign(text[:256].encode()) if text.strip() else None
    if what and not what.startswith("text"):
        raise ValueError(f"{path} is {what}; a line must be {_FORMS}")
    dialogs = []
    for number, line in enumerate(text.split("\n"), 1):  # JSON may hold other line separators
        if not line.strip():
            continue
        try:
            dialogs.append(parse_dialog(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not dialogs:
        raise ValueError(f"{path} holds no dialog: every line is empty")
    return dialogs


def parse_dialog(line: str) -> list[Message]:
    """The dialog of one line, in either form, checked.

    Raises:
        ValueError: As :func:`read_dialogs`, without the line's number.
    """
    value = parse_json(line, "the text")
    if not isinstance(value, dict):
        raise ValueError(f"{_short(value)} is not a JSON object: a line must be {_FORMS}")
    if "messages" in value:
        dialog = _messages(value["messages"])
    elif "instruction" in value:
        dialog = _alpaca(value)
    else:
        found = ", ".join(map(repr, value)) or "nothing"
        raise ValueError(f"the object has {found}: a line must be {_FORMS}")
    answered_turns(dialog)  # checks roles, tags, and that the last message is an answer
    for number, message in enumerate(dialog):
        if message["role"] != "system" and not message["content"].strip():
            raise ValueError(
                f"message {number}, by {message['role']!r}, is empty: questions and answers need "
                "text"
            )
    return dialog


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list):
        raise ValueError(f"'messages' is {_short(value)}: it must be a list of messages")
    for number, message in enumerate(value):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise ValueError(
                f"message {number} is {_short(message)}: it must be an object with 'role' and "
                "'content'"
            )
    return [{"role": message["role"], "content": message["content"]} for message in value]


def _alpaca(value: dict[str, Any]) -> list[Message]:
    parts = {name: value.get(name, "") for name in ("instruction", "input", "output")}
    if "output" not in value:
        raise ValueError("'output' is missing: it is the answer to learn")
    for name, part in parts.items():
        if not isinstance(part, str):
            raise ValueError(f"{name!r} is {_short(part)}: it must be a string")
    question = "\n\n".join(part for part in (parts["instruction"], parts["input"]) if part.strip())
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": parts["output"]},
    ]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
