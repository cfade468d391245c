"""Decoding id by id: whole characters only, and the same text as all at once."""

from __future__ import annotations

import pytest

from llama_tutorial.tokenizer.stream_decoder import StreamDecoder
from llama_tutorial.tokenizer.vocabulary import PieceType, Vocabulary, byte_piece

PIECES = ["<unk>", "<s>", "</s>", *map(byte_piece, range(256)), "▁Once", "▁upon", "▁", "a"]
TYPES = [PieceType.UNKNOWN, PieceType.CONTROL, PieceType.CONTROL, *[PieceType.BYTE] * 256]
TYPES += [PieceType.NORMAL] * 4
ONCE, UPON, SPACE, A = range(259, 263)


def vocabulary(**settings) -> Vocabulary:
    return Vocabulary(PIECES, [0.0] * len(PIECES), TYPES, **settings)


def feed(ids, **settings) -> list[str]:
    """What each id shows, and last what the end shows."""
    decoder = StreamDecoder(vocabulary(**settings))
    return [*map(decoder.feed, ids), decoder.flush()]


def raw(text: str | bytes) -> list[int]:
    return [3 + byte for byte in (text.encode() if isinstance(text, str) else text)]


def test_only_the_first_piece_loses_its_space():
    assert feed([ONCE, UPON]) == ["Once", " upon", ""]
    assert feed([1, ONCE, 2, UPON]) == ["", "Once", "", " upon", ""]
    assert feed([SPACE, ONCE]) == ["", " Once", ""]
    assert feed([A, ONCE]) == ["a", " Once", ""]
    assert feed([*raw("\n"), ONCE]) == ["\n", " Once", ""]


def test_no_dummy_prefix_no_space_lost():
    assert feed([ONCE, UPON], add_dummy_prefix=False) == [" Once", " upon", ""]


def test_all_leading_spaces_go_where_extra_spaces_are_removed():
    assert feed([SPACE, SPACE, ONCE, UPON], remove_extra_whitespaces=True) == [
        "", "", "Once", " upon", "",
    ]  # fmt: skip


def test_a_character_is_held_back_until_it_is_whole():
    assert feed(raw("🦙é")) == ["", "", "", "🦙", "", "é", ""]


def test_bytes_that_make_no_character():
    bad = "\N{REPLACEMENT CHARACTER}"
    assert feed(raw(b"\x80")) == [bad, ""]
    assert feed(raw(b"\xf0\x9f\xa6")) == ["", "", "", bad * 3]
    assert feed([*raw(b"\xf0\x9f"), ONCE]) == ["", "", bad * 2 + " Once", ""]
    assert feed([*raw(b"\xf0\x9f"), 1, *raw(b"\xa6\x99")]) == ["", "", bad * 2, bad, bad, ""]
    assert feed(raw(b"\xe2\xc3\xa9")) == ["", bad, "é", ""]
    assert feed(raw(b"\xed\xa0\x80")) == ["", "", bad * 3, ""]  # a surrogate in UTF-8
    assert feed(raw(b"\xc0\x8a")) == [bad, bad, ""]  # an overlong newline


def test_the_unknown_token_is_shown():
    assert feed([0, A]) == [" ⁇ ", "a", ""]
    assert feed([0, A], unk_surface="?") == ["?", "a", ""]


def test_flush_ends_the_text():
    decoder = StreamDecoder(vocabulary())
    assert decoder.feed(ONCE) + decoder.feed(raw("é")[0]) == "Once"
    assert decoder.flush() == "\N{REPLACEMENT CHARACTER}"
    assert decoder.feed(UPON) == "upon"


def test_an_id_out_of_range():
    decoder = StreamDecoder(vocabulary())
    with pytest.raises(ValueError, match=r"token id 263 is out of range: .* ids 0 to 262"):
        decoder.feed(263)
    with pytest.raises(ValueError, match="token id -1 is out of range"):
        decoder.feed(-1)
