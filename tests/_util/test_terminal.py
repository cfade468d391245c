"""Foreign text on a terminal: what gives orders is written out, all else stays."""

from __future__ import annotations

import io
import sys
import unicodedata

import pytest

from llama_tutorial._util.terminal import one_line, printable, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Once upon a time,\n\tthere was é 日本 🦙 e\u0301", None),
        ("\x1b]0;PWNED\a", r"\x1b]0;PWNED\x07"),
        ("\x1b[2J\r\x08\x00\x7f", r"\x1b[2J\r\x08\x00\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),  # the same orders in one character
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("x\udcff", r"x\udcff"),  # a byte of a file's name that is no UTF-8
        (r"\x1b", None),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, expected):
    assert printable(text) == (text if expected is None else expected)


def test_every_control_character_of_unicode():
    turns = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    characters = [chr(code) for code in range(sys.maxunicode + 1) if chr(code) != "\n"]
    orders = {
        character
        for character in characters
        if unicodedata.bidirectional(character) in turns
        or (unicodedata.category(character) in ("Cc", "Cs") and character != "\t")
    }
    written = printable("\n".join(characters)).split("\n")
    found = {c for c, there in zip(characters, written, strict=True) if c != there}
    assert found == orders
    assert all(printable(character).isprintable() for character in orders)


def test_a_sequence_in_pieces_is_harmless_too():
    text = "a\x1b[31mb\x9bc"
    assert "".join(map(printable, text)) == printable(text)


def test_a_message_is_one_line():
    assert one_line(ValueError("a\n  b\x1b[0m\t\rc")) == r"a b\x1b[0m c"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_models_text_stays_as_it_is_in_a_file(monkeypatch, terminal):
    out = io.StringIO()
    out.isatty = lambda: terminal
    monkeypatch.setattr("sys.stdout", out)
    assert shown("\x1b[2J") == (r"\x1b[2J" if terminal else "\x1b[2J")
