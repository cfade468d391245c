"""Reading preference pairs from a file: one JSON object a line, as trl and others have them.

::

    {"prompt": "Name a color.", "chosen": "Red.", "rejected": "A kite."}
    {
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "chosen": "Hello!",
        "rejected": "Hello, hello, hello!",
        "grade": 2,
    }

A prompt is a question or a dialog that ends with one. The grade says how much better the chosen
answer is: 3 significantly, 2 better, 1 slightly, 0 negligibly (or unsure); without it, 0. The error
for a line names its number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from llama_tutorial._util.files import replace_file
from llama_tutorial._util.given_file import parse_lines, read_lined
from llama_tutorial._util.json_file import parse_json
from llama_tutorial.chat.dialog import dialog_turns

Message = dict[str, str]
FORM = '{"prompt": ..., "chosen": ..., "rejected": ...} and optionally "grade"'
GRADES = ("negligibly better", "slightly better", "better", "significantly better")


class Pair(NamedTuple):
    """Two answers to one prompt, and which is preferred.

    Attributes:
        prompt: A dialog that ends with a question.
        chosen: The answer that is preferred.
        rejected: The other one.
        grade: How much better it is, from 0 to 3; see `GRADES`.
    """

    prompt: list[Message]
    chosen: str
    rejected: str
    grade: int = 0

    def dialogs(self) -> tuple[list[Message], list[Message]]:
        """The prompt with the chosen answer, and with the rejected one."""
        first, second = (
            [*self.prompt, {"role": "assistant", "content": answer}]
            for answer in (self.chosen, self.rejected)
        )
        return first, second


def read_pairs(path: str | Path) -> list[Pair]:
    """The pairs of a file, one for each line; empty lines are skipped.

    Args:
        path: The file, in UTF-8.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is not UTF-8 or holds no pair, or a line is none. The error names the
            line and the rule.
    """
    path = Path(path)
    text = read_lined(path, "pair", FORM)
    return parse_lines(text, path, "pair", parse_pair)


def parse_pair(line: str) -> Pair:
    """The pair of one line, checked.

    Raises:
        ValueError: As :func:`read_pairs`, without the line's number.
    """
    value = parse_json(line, "the text")
    if not isinstance(value, dict):
        raise ValueError(f"{_short(value)} is not a JSON object: a line must be {FORM}")
    if missing := [name for name in ("prompt", "chosen", "rejected") if name not in value]:
        raise ValueError(f"{' and '.join(map(repr, missing))} missing: a line must be {FORM}")
    grade = value.get("grade", 0)
    if type(grade) is not int or not 0 <= grade < len(GRADES):
        meant = ", ".join(f"{number} {words}" for number, words in enumerate(GRADES))
        raise ValueError(f"'grade' is {_short(grade)}: must be a whole number: {meant}")
    pair = Pair(
        _prompt(value["prompt"]), _answer(value, "chosen"), _answer(value, "rejected"), grade
    )
    if pair.chosen.strip() == pair.rejected.strip():
        raise ValueError(
            f"'chosen' and 'rejected' are both {_short(pair.chosen)}: nothing can be learned from "
            "two equal answers"
        )
    for dialog in pair.dialogs():
        dialog_turns(dialog)  # checks roles and tags
    return pair


def write_pairs(pairs: Iterable[Pair], path: str | Path) -> None:
    """Write a file that `read_pairs` reads."""
    lines = [json.dumps(pair._asdict(), ensure_ascii=False) + "\n" for pair in pairs]
    with replace_file(Path(path)) as file:
        file.write("".join(lines).encode())


def _prompt(value: Any) -> list[Message]:
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise ValueError(f"'prompt' is {_short(value)}: must be a string, or a list of messages")
    for number, message in enumerate(value):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise ValueError(
                f"message {number} of 'prompt' is {_short(message)}: it must be an object with "
                "'role' and 'content'"
            )
    prompt = [{"role": message["role"], "content": message["content"]} for message in value]
    turns = dialog_turns(prompt)
    if turns[-1][1] is not None:
        raise ValueError("the last message of 'prompt' is by 'assistant', but must be by 'user'")
    for number, message in enumerate(prompt):
        if message["role"] != "system" and not message["content"].strip():
            raise ValueError(f"message {number} of 'prompt' is empty: it needs text")
    return prompt


def _answer(value: dict[str, Any], name: str) -> str:
    if not isinstance(value[name], str):
        raise ValueError(f"{name!r} is {_short(value[name])}: must be a string")
    if not value[name].strip():
        raise ValueError(f"{name!r} is empty: an answer needs text")
    return value[name]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
