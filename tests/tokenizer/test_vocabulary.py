"""The vocabulary: lookups, and what is refused."""

from __future__ import annotations

import math

import pytest

from llama_tutorial.tokenizer.vocabulary import PieceType, Vocabulary, byte_piece, check_id

SPECIAL = [
    ("<unk>", 0.0, PieceType.UNKNOWN),
    ("<s>", 0.0, PieceType.CONTROL),
    ("</s>", 0.0, PieceType.CONTROL),
]
BYTES = [(byte_piece(byte), 0.0, PieceType.BYTE) for byte in range(256)]


def vocabulary(*rows, **settings) -> Vocabulary:
    pieces, scores, types = zip(*SPECIAL, *rows, strict=True)
    return Vocabulary(pieces, scores, types, **settings)


def test_lookups():
    v = vocabulary(*BYTES, ("▁the", -1.0, PieceType.NORMAL), ("▁", -2.0, PieceType.NORMAL))
    assert len(v) == 261
    assert (v.unk_id, v.bos_id, v.eos_id, v.pad_id) == (0, 1, 2, -1)
    assert v.byte_ids == list(range(3, 259))
    assert v.ids["▁the"] == 259
    assert v.ids["<0x0A>"] == 13
    assert v.surfaces[:4] == [" ⁇ ", "", "", 0]
    assert v.surfaces[258:] == [255, " the", " "]


def test_byte_ids_go_by_name_not_by_place():
    v = vocabulary(*reversed(BYTES))
    assert v.byte_ids == list(range(258, 2, -1))
    assert v.surfaces[3] == 255


def test_a_vocabulary_without_bytes():
    v = vocabulary(("a", 0.0, PieceType.NORMAL))
    assert v.byte_ids == []


def test_a_reserved_piece_wins_over_a_text_piece_of_the_same_name():
    v = vocabulary(("<s>", -1.0, PieceType.NORMAL))
    assert v.ids["<s>"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("", 0.0, PieceType.NORMAL)], "piece 3 is empty"),
        ([("a", math.nan, PieceType.NORMAL)], "piece 3 'a' has score nan: it must be finite"),
        ([("a", 0.0, PieceType.NORMAL)] * 2, "pieces 3 and 4 are both 'a'"),
        ([("?", 0.0, PieceType.UNKNOWN)], r"exactly one unknown piece, this one has \[0, 3\]"),
        (BYTES[:3], "3 of the 256 byte pieces <0x00> to <0xFF> are there"),
        ([("<0xff>", 0.0, PieceType.BYTE)], "piece 3 '<0xff>' is of type BYTE but not"),
    ],
)
def test_what_is_no_vocabulary(rows, message):
    with pytest.raises(ValueError, match=message):
        vocabulary(*rows)


def test_each_piece_needs_a_score_and_a_type():
    with pytest.raises(ValueError, match="1 pieces, 2 scores and 0 types: each piece needs one"):
        Vocabulary(["a"], [0.0, 1.0], [])


def test_ids_out_of_range():
    v = vocabulary(("a", 0.0, PieceType.NORMAL))
    assert check_id(3, len(v)) == 3
    with pytest.raises(
        ValueError, match="token id 4 is out of range: this vocabulary has ids 0 to 3"
    ):
        check_id(4, len(v))
    with pytest.raises(
        ValueError, match=r"token id -1 is out of range.*-1 is padding: leave it out"
    ):
        check_id(-1, len(v))
