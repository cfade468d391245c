"""Files of preference pairs: the forms, and every error by its words."""

from __future__ import annotations

import json

import pytest

from llama_tutorial.preferences import Pair, read_pairs
from llama_tutorial.preferences.pair_file import write_pairs

GOOD = {"prompt": "Name a color.", "chosen": "Red.", "rejected": "A kite."}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Name a color."},
]


def file_of(tmp_path, *lines, name="pairs.jsonl"):
    path = tmp_path / name
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8"
    )
    return path


def test_a_prompt_is_a_string_or_messages_and_a_grade_may_be_left_out(tmp_path):
    path = file_of(tmp_path, GOOD, "", {**GOOD, "prompt": MESSAGES, "grade": 2})
    first, second = read_pairs(path)
    prompt = [{"role": "user", "content": "Name a color."}]
    assert first == Pair(prompt, "Red.", "A kite.", 0)
    assert second == Pair(MESSAGES, "Red.", "A kite.", 2)
    chosen, rejected = second.dialogs()
    assert chosen == [*MESSAGES, {"role": "assistant", "content": "Red."}]
    assert rejected[-1] == {"role": "assistant", "content": "A kite."}


def test_what_is_written_is_read_again(tmp_path):
    pairs = [
        Pair(MESSAGES, "Red. \u2028 Größe", "A kite.", 3),
        Pair(MESSAGES[:2], "Yes.", "No.", 0),
    ]
    write_pairs(pairs, tmp_path / "pairs.jsonl")
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\ufeff" + json.dumps(GOOD), "utf-8")
    assert len(read_pairs(path)) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: the text is not JSON"),
        ("[1, 2]", r"line 2: \[1, 2\] is not a JSON object: a line must be"),
        ({"prompt": "Hi"}, "line 2: 'chosen' and 'rejected' missing: a line must be"),
        ({"chosen": "a", "rejected": "b"}, "line 2: 'prompt' missing"),
        ({**GOOD, "chosen": 3}, "line 2: 'chosen' is 3: must be a string"),
        ({**GOOD, "rejected": "  "}, "line 2: 'rejected' is empty: an answer needs text"),
        ({**GOOD, "rejected": " Red. "}, "line 2: 'chosen' and 'rejected' are both 'Red.'"),
        ({**GOOD, "grade": 4}, "line 2: 'grade' is 4: must be a whole number: 0 negligibly better"),
        ({**GOOD, "grade": True}, "line 2: 'grade' is True: must be a whole number"),
        ({**GOOD, "grade": 1.0}, "line 2: 'grade' is 1.0: must be a whole number"),
        ({**GOOD, "prompt": 7}, "line 2: 'prompt' is 7: must be a string, or a list of messages"),
        ({**GOOD, "prompt": []}, r"line 2: 'prompt' is \[\]: must be a string, or a list"),
        ({**GOOD, "prompt": ["Hi"]}, "line 2: message 0 of 'prompt' is 'Hi': it must be an object"),
        ({**GOOD, "prompt": " "}, "line 2: message 0 of 'prompt' is empty: it needs text"),
        (
            {**GOOD, "prompt": MESSAGES[:3]},
            "line 2: the last message of 'prompt' is by 'assistant'",
        ),
        ({**GOOD, "prompt": MESSAGES[2:]}, "line 2: message 0 is by 'assistant', but must be by"),
        ({**GOOD, "chosen": "[INST] no"}, r"line 2: message 1 holds '\[INST\]', one of Llama 2's"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path, line, message):
    with pytest.raises(ValueError, match=f"pairs.jsonl, {message}"):
        read_pairs(file_of(tmp_path, GOOD, line))


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no such file; give a \.jsonl file with one pair a"
    ):
        read_pairs(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="holds no pair: every line is empty"):
        read_pairs(file_of(tmp_path, "", " "))
    (tmp_path / "bytes.jsonl").write_bytes(b'{"prompt": "\xff"}')
    with pytest.raises(
        ValueError, match=r"bytes\.jsonl is not UTF-8: invalid start byte at byte 12"
    ):
        read_pairs(tmp_path / "bytes.jsonl")
    (tmp_path / "zip.jsonl").write_bytes(b"PK\x03\x04" + b"x" * 40)
    with pytest.raises(ValueError, match=r"zip\.jsonl is .*; a line must be"):
        read_pairs(tmp_path / "zip.jsonl")
