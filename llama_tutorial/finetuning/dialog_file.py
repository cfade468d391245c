"""Reading dialogs from a file: one JSON object a line, or one array of them, in the common forms.

The chat form is a whole conversation::

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}

Alpaca's form is one instruction with its answer, and optionally an input for the instruction::

    {"instruction": "Name the color.", "input": "A red kite.", "output": "Red."}

The same without the input, as OpenAI and trl have it, and ShareGPT's form of a conversation::

    {"prompt": "Name the color.", "completion": "Red."}
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}

All become dialogs for :mod:`llama_tutorial.chat`. The error for a line that has none of the forms,
or whose dialog cannot be learned, names the line's number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_tutorial._util.given_file import parse_lines, read_lined
from llama_tutorial._util.json_file import parse_json
from llama_tutorial.finetuning.examples import answered_turns

Message = dict[str, str]
_FORMS = (
    '{"messages": [...]}, {"instruction": ..., "output": ...}, {"prompt": ..., "completion": ...} '
    'or {"conversations": [...]}'
)
_SHAREGPT = {"human": "user", "gpt": "assistant"}  # the others are called as here


def read_dialogs(path: str | Path) -> list[list[Message]]:
    """The dialogs of a file: one for each line, or for each element of a JSON array.

    Empty lines are skipped.

    Args:
        path: The file, in UTF-8.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is not UTF-8 or holds no dialog; or a line is not JSON, has none of the
            forms, or is no dialog that ends with an answer. The error names the line and the rule.
    """
    path = Path(path)
    text = read_lined(path, "dialog", _FORMS)
    if text.lstrip()[:1] == "[":
        return _array(text, path)
    return parse_lines(text, path, "dialog", parse_dialog)


def _array(text: str, path: Path) -> list[list[Message]]:
    dialogs = []
    for number, value in enumerate(parse_json(text, str(path)), 1):
        try:
            dialogs.append(_dialog(value))
        except ValueError as error:
            raise ValueError(f"{path}, dialog {number}: {error}") from None
    if not dialogs:
        raise ValueError(f"{path} holds no dialog: its array is empty")
    return dialogs


def parse_dialog(line: str) -> list[Message]:
    """The dialog of one line, in any of the forms, checked.

    Raises:
        ValueError: As :func:`read_dialogs`, without the line's number.
    """
    return _dialog(parse_json(line, "the text"))


def _dialog(value: Any) -> list[Message]:
    if not isinstance(value, dict):
        raise ValueError(f"{_short(value)} is not a JSON object: a line must be {_FORMS}")
    if "messages" in value:
        dialog = _messages(value["messages"])
    elif "conversations" in value:
        dialog = _sharegpt(value["conversations"])
    elif "prompt" in value:
        dialog = [
            {"role": "user", "content": _text(value, "prompt")},
            {"role": "assistant", "content": _text(value, "completion")},
        ]
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


def _sharegpt(value: Any) -> list[Message]:
    if not isinstance(value, list):
        raise ValueError(f"'conversations' is {_short(value)}: it must be a list of messages")
    dialog: list[Message] = []
    for number, message in enumerate(value):
        speaker = message.get("from") if isinstance(message, dict) else None
        if not isinstance(speaker, str):
            raise ValueError(
                f"message {number} is {_short(message)}: it must be an object with 'from' and "
                "'value'"
            )
        role = _SHAREGPT.get(speaker, speaker)
        dialog.append({"role": role, "content": _text(message, "value")})
    return dialog


def _alpaca(value: dict[str, Any]) -> list[Message]:
    question = [_text({"input": "", **value}, name) for name in ("instruction", "input")]
    return [
        {"role": "user", "content": "\n\n".join(part for part in question if part.strip())},
        {"role": "assistant", "content": _text(value, "output")},
    ]


def _text(value: dict[str, Any], name: str) -> str:
    if name not in value:
        raise ValueError(f"{name!r} is missing: it is a text to learn from")
    if not isinstance(value[name], str):
        raise ValueError(f"{name!r} is {_short(value[name])}: it must be a string")
    return value[name]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
