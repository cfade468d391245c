"""Dialogs from a file: both forms, and every bad line by its number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llama_tutorial.finetuning.dialog_file import parse_dialog, read_dialogs


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def assistant(content: object) -> dict[str, object]:
    return {"role": "assistant", "content": content}


def write(path: Path, *lines: object, end: str = "\n") -> Path:
    text = end.join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_bytes((text + end).encode())
    return path


def test_the_chat_form(tmp_path):
    first = [user("Hi"), assistant("Hello!"), user("Bye"), assistant("See you.")]
    second = [{"role": "system", "content": "Be brief."}, user("Hi"), assistant("Hi.")]
    path = write(tmp_path / "a.jsonl", {"messages": first}, {"messages": second, "id": 7})
    assert read_dialogs(path) == [first, second]


def test_what_else_a_message_holds_is_left_out():
    line = json.dumps({"messages": [user("Hi") | {"name": "Tom"}, assistant("Ho") | {"weight": 1}]})
    assert parse_dialog(line) == [user("Hi"), assistant("Ho")]


def test_alpacas_form(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        {"instruction": "Name the color.", "input": "A red kite.", "output": "Red."},
        {"instruction": "Say hello.", "input": "", "output": "Hello."},
        {"instruction": "Say goodbye.", "output": "Goodbye."},
    )
    assert read_dialogs(path) == [
        [user("Name the color.\n\nA red kite."), assistant("Red.")],
        [user("Say hello."), assistant("Hello.")],
        [user("Say goodbye."), assistant("Goodbye.")],
    ]


def test_the_other_forms(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        {"prompt": "Name the color.", "completion": "Red."},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "user", "value": "Hi", "weight": 1},
                {"from": "assistant", "value": "Ho"},
            ]
        },
    )
    hi = [user("Hi"), assistant("Ho")]
    brief = [{"role": "system", "content": "Be brief."}, *hi]
    assert read_dialogs(path) == [[user("Name the color."), assistant("Red.")], hi, brief]


def test_one_array(tmp_path):
    good, hi = {"instruction": "Hi", "output": "Ho"}, [user("Hi"), assistant("Ho")]
    path = write(tmp_path / "a.json", json.dumps([good, good], indent=2))
    assert read_dialogs(path) == [hi, hi]
    with pytest.raises(ValueError, match=r"a\.json, dialog 2: 'output' is missing"):
        read_dialogs(write(path, [good, {"instruction": "Hi"}]))
    with pytest.raises(ValueError, match=r"a\.json, dialog 1: 1 is not a JSON object: a line must"):
        read_dialogs(write(path, "[1, 2]"))
    with pytest.raises(ValueError, match=r"a\.json is not JSON: "):
        read_dialogs(write(path, [good], [good]))
    with pytest.raises(ValueError, match=r"a\.json holds no dialog: its array is empty"):
        read_dialogs(write(path, "[]"))


def test_empty_lines_other_line_ends_and_a_mark_at_the_beginning(tmp_path):
    one = {"instruction": "Hi", "output": "Ho"}
    expected = [[user("Hi"), assistant("Ho")]] * 2
    assert read_dialogs(write(tmp_path / "a.jsonl", "\ufeff", one, "", "  ", one)) == expected
    assert read_dialogs(write(tmp_path / "b.jsonl", one, "", one, end="\r\n")) == expected


def test_other_separators_stand_inside_a_string(tmp_path):
    """U+2028 and U+0085 end a line in Python's eyes, and not in JSON's."""
    line = '{"instruction": "a\u2028b\u0085c", "output": "\u00e9"}'
    assert read_dialogs(write(tmp_path / "a.jsonl", line)) == [
        [user("a\u2028b\u0085c"), assistant("\u00e9")]
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "the text is not JSON: .* at character 2"),
        ("[1, 2]", r"\[1, 2\] is not a JSON object: a line must be {\"messages\": "),
        ('"' + "a" * 90 + '"', r"'a{56}\.\.\. is not a JSON object"),
        ({}, "the object has nothing: a line must be"),
        ({"text": "a"}, r"the object has 'text': a line must be {\"messages\": \[...\]}, {"),
        ({"messages": "Hi"}, "'messages' is 'Hi': it must be a list of messages"),
        ({"messages": []}, "the dialog is empty: it needs at least one message by 'user'"),
        ({"messages": ["Hi"]}, "message 0 is 'Hi': it must be an object with 'role' and 'content'"),
        ({"messages": [assistant("Hi")]}, "message 0 is by 'assistant', but must be by 'user'"),
        (
            {"messages": [user("Hi"), user("Hi")]},
            "message 1 is by 'user', but must be by 'assistant'",
        ),
        ({"messages": [user("Hi")]}, "message 0 is by 'user', but the last must be by 'assistant'"),
        ({"messages": [user(3), assistant("Hi")]}, "message 0 has content 3: it must be a str"),
        ({"messages": [user("Hi"), assistant(" ")]}, "message 1, by 'assistant', is empty: quest"),
        ({"messages": [user("[INST]"), assistant("a")]}, r"message 0 holds '\[INST\]', one of"),
        ({"instruction": "Hi"}, "'output' is missing: it is a text to learn from"),
        ({"instruction": "Hi", "output": None}, "'output' is None: it must be a string"),
        ({"instruction": "Hi", "output": ""}, "message 1, by 'assistant', is empty"),
        ({"instruction": " ", "output": "Ho"}, "message 0, by 'user', is empty"),
        ({"prompt": "Hi"}, "'completion' is missing: it is a text to learn from"),
        ({"prompt": ["Hi"], "completion": "Ho"}, r"'prompt' is \['Hi'\]: it must be a string"),
        ({"conversations": "Hi"}, "'conversations' is 'Hi': it must be a list of messages"),
        ({"conversations": [{"from": "human"}]}, "'value' is missing: it is a text to learn from"),
        ({"conversations": [{"from": "cat", "value": "a"}]}, "message 0 is by 'cat', but must be"),
        ({"conversations": [{"from": [], "value": "a"}]}, "message 0 is .*: it must be an obj"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    good = {"instruction": "Hi", "output": "Ho"}
    path = write(tmp_path / "a.jsonl", good, "", line, good)
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 3: {message}"):
        read_dialogs(path)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl: no such file; give a \.jsonl file"):
        read_dialogs(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="holds no dialog: every line is empty"):
        read_dialogs(write(tmp_path / "a.jsonl", ""))
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ValueError, match="is not UTF-8: invalid start byte at byte 7"):
        read_dialogs(tmp_path / "a.jsonl")
