"""llama2.c's tokenizer.bin: byte for byte, and what is refused."""

from __future__ import annotations

import struct

import pytest

from llama_tutorial.tokenizer.bin_file import format_tokenizer_bin, parse_tokenizer_bin
from llama_tutorial.tokenizer.model_file import parse_model
from llama_tutorial.tokenizer.vocabulary import PieceType, Vocabulary, byte_piece


def row(piece: bytes, score: float = 0.0) -> bytes:
    return struct.pack("<fi", score, len(piece)) + piece


SPECIAL = row(b"<unk>") + row(b"\n<s>\n") + row(b"\n</s>\n")


def file(*rows: bytes, longest: int = 6) -> bytes:
    return struct.pack("<i", longest) + SPECIAL + b"".join(rows)


def test_reading():
    every_byte = [row(byte_piece(byte).encode()) for byte in range(256)]
    v = parse_tokenizer_bin(file(*every_byte, row(b" a", -1.0), row("é".encode(), -2.5)))
    assert list(v.pieces[:4]) == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert list(v.pieces[259:]) == [" a", "é"]
    assert list(v.scores[259:]) == [-1.0, -2.5]
    assert list(v.types[:4]) == [2, 3, 3, 6]
    assert (v.unk_id, v.bos_id, v.eos_id, v.pad_id, v.space) == (0, 1, 2, -1, " ")
    assert v.byte_ids == list(range(3, 259))


def test_bytes_are_known_by_name_wherever_they_stand():
    every_byte = [row(byte_piece(byte).encode()) for byte in range(256)]
    v = parse_tokenizer_bin(file(row(b"a"), *reversed(every_byte)))
    assert v.byte_ids == list(range(259, 3, -1))


@pytest.mark.parametrize("name", ["tokenizer.bin", "tok512.bin"])
def test_a_real_file_comes_back_byte_for_byte(assets, name):
    data = (assets / name).read_bytes()
    assert format_tokenizer_bin(parse_tokenizer_bin(data)) == data


def test_the_real_model_converts_to_the_real_file(assets):
    v = parse_model((assets / "tokenizer.model").read_bytes())
    assert format_tokenizer_bin(v) == (assets / "tokenizer.bin").read_bytes()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\6\0", "only 2 bytes: a tokenizer.bin begins with a 4-byte number"),
        (
            b'{"version":',
            r"begins with b'.*versio': neither a SentencePiece .model nor a tokenizer.bin",
        ),
        (b"PK\3\4" + bytes(20), "neither a SentencePiece .model nor a tokenizer.bin"),
        (file()[:-1], "byte 38: piece 2 is 6 bytes long and 5 are left: the file is truncated"),
        (
            file() + b"\0\0\0",
            "byte 44: 3 bytes left where piece 3 needs 8 for its score and length",
        ),
        (file(row(b"abcdefg")), "byte 48: piece 3 is 7 bytes long, but the file says 1 to 6"),
        (file(row(b"")), "byte 48: piece 3 is 0 bytes long, but the file says 1 to 6"),
        (file(struct.pack("<fi", 0.0, -4)), "piece 3 is -4 bytes long.*no tokenizer.bin"),
        (file(row(b"\xff")), "byte 52: piece 3 is not UTF-8: no tokenizer.bin"),
        (file(row(b"a", float("nan"))), "piece 3 'a' has score nan"),
        (file(row(b"a"), row(b"a")), "pieces 3 and 4 are both 'a'"),
        (file(row(b"<0x41>")), "1 of the 256 byte pieces"),
        (struct.pack("<i", 5) + row(b"<unk>"), "1 pieces: a vocabulary begins with <unk>, <s> and"),
    ],
)
def test_what_is_no_tokenizer_bin_is_refused_with_the_place(data, error):
    with pytest.raises(ValueError, match=error):
        parse_tokenizer_bin(data)


def test_a_file_cut_inside_a_piece_is_refused():
    rows = [row(b" a"), row(b"b")]
    boundaries = {len(file(*rows[:count])) for count in range(3)}
    for end in set(range(len(file(*rows)))) - boundaries:
        with pytest.raises(ValueError, match=r"byte|[012] pieces"):
            parse_tokenizer_bin(file(*rows)[:end])


def test_a_models_weights_are_no_tokenizer(assets):
    with pytest.raises(ValueError, match=r"no tokenizer\.bin"):
        parse_tokenizer_bin((assets / "stories260K.bin").read_bytes())


def vocabulary(pieces=("<unk>", "<s>", "</s>", "▁a"), types=(2, 3, 3, 1), **settings) -> Vocabulary:
    return Vocabulary(pieces, [0.0] * len(pieces), [PieceType(t) for t in types], **settings)


def test_writing():
    assert format_tokenizer_bin(vocabulary()) == file(row(b" a"))


@pytest.mark.parametrize(
    ("v", "reason"),
    [
        (vocabulary(bos_id=2, eos_id=1), r"BOS and EOS ids are \(0, 2, 1\), and the file has them"),
        (vocabulary(bos_id=-1), r"ids are \(0, -1, 2\)"),
        (
            vocabulary(types=(2, 3, 3, 4)),
            "piece 3 '▁a' is USER_DEFINED, which would be read back as",
        ),
        (vocabulary(("<unk>", "<s>", "</s>", "<0x41>")), "'<0x41>' is NORMAL.* read back as BYTE"),
        (vocabulary(add_dummy_prefix=False), "the file always means a dummy prefix"),
        (vocabulary(unk_surface="?"), "the unknown token shown as ' ⁇ '"),
        (vocabulary(("<unk>", "<s>", "</s>", "a b")), "a piece holds a plain space"),
        (vocabulary(inexact_because="it is unigram"), "cannot hold this vocabulary: it is unigram"),
    ],
)
def test_what_the_file_cannot_hold_is_refused(v, reason):
    with pytest.raises(ValueError, match=reason):
        format_tokenizer_bin(v)


def test_more_pieces_than_any_vocabulary_has():
    with pytest.raises(ValueError, match="more than 524288 pieces: no vocabulary has so many"):
        parse_tokenizer_bin(file(row(b"a") * 2**19))
