"""JSON from others: what Python's reader takes, hangs on or breaks on is one ValueError."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from llama_tutorial._util.json_file import LARGEST, SMALL, parse_json, read_json

DEEP = {
    "lists": "[" * 100_000,
    "closed lists": "[" * 100_000 + "]" * 100_000,
    "objects": '{"a":' * 100_000,
    "just too deep": "[" * 66 + "]" * 66,
    "in a value": '{"a": {"b": ' + "[" * 70 + "]" * 70 + "}}",
}
REFUSED = {
    "nothing": ("", "not JSON"),
    "half": ('{"dim": ', "not JSON"),
    "more": ("{} {}", "not JSON"),
    "NaN": ('{"a": NaN}', "NaN"),
    "Infinity": ("[Infinity]", "Infinity"),
    "-Infinity": ("[-Infinity]", "-Infinity"),
    "float overflow": ("[1e999]", "1e999"),
    "long float": (f"[0.{'1' * 5000}]", "too long"),
    "long int": (f'{{"a": {"9" * 101}}}', "101 digits"),
    "beyond Python's limit": (f"[{'9' * 5000}]", "5000 digits"),
    "negative": (f"[-{'9' * 5000}]", "digits"),
    "same key": ('{"a": 1, "b": 2, "a": 3}', "'a' twice"),
    "same key, deeper": ('{"x": [{"a": 1, "a": 1}]}', "'a' twice"),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_nesting_is_refused_at_once(name: str) -> None:
    begin = time.monotonic()
    with pytest.raises(ValueError, match=r"^x is nested more than 64 deep$"):
        parse_json(DEEP[name], "x")
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_json_or_too_much_is_refused_in_a_line(name: str) -> None:
    text, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as error:
        parse_json(text, "config.json")
    assert str(error.value).startswith("config.json ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_ordinary_json_is_read_as_python_reads_it(tmp_path: Path) -> None:
    text = '{"a": [1, -2.5e-3, true, null, "\\u00e9"], "b": {}, "n": 1' + "0" * 30 + "}"
    expected = {"a": [1, -2.5e-3, True, None, "é"], "b": {}, "n": 10**30}
    assert parse_json(text, "x") == expected
    for prefix in ("", "\ufeff", "\n \t"):  # Windows' editors write a byte order mark
        (tmp_path / "x.json").write_bytes((prefix + text).encode())
        assert read_json(tmp_path / "x.json") == expected
    assert parse_json("[" * 64 + "]" * 64, "x")


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_json(path)
    path.mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        read_json(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="named pipe"):
        read_json(path)
    with pytest.raises(ValueError, match="5000 characters"):
        read_json("a" * 5000)
    with pytest.raises(ValueError, match="null"):
        read_json("a\0b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html></html>", "web page"),
        (b"\0" * 300, "zeros"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b"PK\3\4" + bytes(30), "zip archive"),
        (b"not found", "text that begins 'not found'"),
        (b" " * (SMALL + 1), "larger than"),
    ],
)
def test_content_that_is_something_else_is_named(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_json(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" + "{}," * 10_000_000 + "{}]", "more than 1048576 values"),
        ("{" + ",".join(f'"k{i}": 1' for i in range(600_000)) + "}", "more than 524288 names"),
        ("{" + ",".join(f'"k{i}": 1' for i in [*range(100_000), 99_999]) + "}", "'k99999' twice"),
    ],
    ids=["objects", "names", "a name twice"],
)
def test_a_large_file_is_refused_before_it_takes_time(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    begin = time.monotonic()
    with pytest.raises(ValueError, match=message):
        read_json(path, LARGEST)
    assert time.monotonic() - begin < 3
    with pytest.raises(ValueError, match="larger than 1048576 bytes"):
        read_json(path)
