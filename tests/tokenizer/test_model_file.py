"""The reader and writer of .model files, against SentencePiece and against damaged files."""

from __future__ import annotations

import random
import struct

import pytest

pytest.importorskip("sentencepiece")

import sentencepiece as spm

from llama_tutorial.tokenizer.model_file import (
    check_whole,
    format_model,
    is_model,
    parse_model,
)
from llama_tutorial.tokenizer.vocabulary import PieceType, Vocabulary, byte_piece

PIECES = ["<unk>", "<s>", "</s>", *map(byte_piece, range(256)), "▁a", "ab", "▁", "a", "b", "é"]
TYPES = [PieceType.UNKNOWN, PieceType.CONTROL, PieceType.CONTROL, *[PieceType.BYTE] * 256]
TYPES += [PieceType.NORMAL] * (len(PIECES) - len(TYPES))


def small(**settings) -> Vocabulary:
    scores = [0.0] * 259 + [-float(i) for i in range(len(PIECES) - 259)]
    return Vocabulary(PIECES, scores, TYPES, **settings)


def without_bytes() -> Vocabulary:
    pieces, types = (rows[:3] + rows[259:] for rows in (PIECES, TYPES))
    return Vocabulary(pieces, [0.0] * len(pieces), types)


def varint(value: int) -> bytes:
    out = []
    while value > 127:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def message(number: int, *parts: bytes) -> bytes:
    """A protobuf field that holds a message or a text, written by hand."""
    body = b"".join(parts)
    return varint(number * 8 + 2) + varint(len(body)) + body


def flag(number: int, value: int) -> bytes:
    return varint(number * 8) + varint(value)


TRAINER, NORMALIZER, DENORMALIZER = 2, 3, 5


def test_what_is_written_is_read_back():
    v = small(add_dummy_prefix=False, unk_surface="??", bos_id=2, eos_id=1)
    back = parse_model(format_model(v))
    assert list(back.pieces) == PIECES
    assert list(back.scores) == list(v.scores)
    assert list(back.types) == TYPES
    assert (back.bos_id, back.eos_id, back.pad_id, back.unk_id) == (2, 1, -1, 0)
    assert (back.add_dummy_prefix, back.unk_surface, back.inexact_because) == (False, "??", "")


def test_sentencepiece_reads_what_is_written():
    processor = spm.SentencePieceProcessor(model_proto=format_model(small()))
    assert [processor.id_to_piece(i) for i in range(len(PIECES))] == PIECES
    assert [processor.get_score(i) for i in range(len(PIECES))] == list(small().scores)
    assert (processor.bos_id(), processor.eos_id(), processor.pad_id()) == (1, 2, -1)
    assert processor.encode("ab a") == [PIECES.index(piece) for piece in ("▁a", "b", "▁a")]


def test_spaces_are_written_as_sentencepiece_has_them():
    plain = Vocabulary(
        ["<unk>", " a"], [0.0, 0.0], list(map(PieceType, (2, 1))), bos_id=-1, eos_id=-1, space=" "
    )
    assert list(parse_model(format_model(plain)).pieces) == ["<unk>", "▁a"]


def test_the_real_model_equals_sentencepieces_reading(assets):
    data = (assets / "tokenizer.model").read_bytes()
    assert is_model(data)
    v = parse_model(data)
    processor = spm.SentencePieceProcessor(model_proto=data)
    everything = range(processor.vocab_size())
    assert list(v.pieces) == [processor.id_to_piece(i) for i in everything]
    assert list(v.scores) == [processor.get_score(i) for i in everything]
    for kind, test in (
        (PieceType.UNKNOWN, processor.is_unknown),
        (PieceType.CONTROL, processor.is_control),
        (PieceType.BYTE, processor.is_byte),
        (PieceType.UNUSED, processor.is_unused),
    ):
        assert [t == kind for t in v.types] == [test(i) for i in everything]
    assert (v.unk_id, v.bos_id, v.eos_id, v.pad_id) == (0, 1, 2, -1)
    assert v.add_dummy_prefix
    assert not v.remove_extra_whitespaces
    assert not v.inexact_because


def test_pieces_written_in_other_ways_are_read_in_their_place():
    """Long ones, with fields in another order or left out, between those of the usual form."""
    long = "é" * 100
    score = varint(2 * 8 + 5) + struct.pack("<f", -2.5)
    rows = [
        message(1, message(1, b"<unk>"), flag(3, 2)),
        message(1, message(1, b"<s>"), score, flag(3, 3)),
        message(1, message(1, long.encode()), score),
        message(1, score, message(1, b"ab")),
        message(1, message(1, b"c"), score, flag(3, 4)),
        message(1, message(1, b"d")),
        message(1, message(1, "▁e".encode()), score),
    ]
    v = parse_model(b"".join(rows) + message(TRAINER, flag(3, 2)) + message(NORMALIZER))
    assert list(v.pieces) == ["<unk>", "<s>", long, "ab", "c", "d", "▁e"]
    assert list(v.scores) == [0.0, -2.5, -2.5, -2.5, -2.5, 0.0, -2.5]
    assert list(v.types) == [2, 3, 1, 1, 4, 1, 1]


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (message(TRAINER, flag(3, 1)), "its model_type is unigram, not BPE"),
        (message(TRAINER, flag(3, 9)), "its model_type is unknown, not BPE"),
        (message(NORMALIZER, message(2, b"rules")), "its normaliser rewrites the text"),
        (message(NORMALIZER, flag(4, 1)), "remove_extra_whitespaces is on"),
        (message(NORMALIZER, flag(5, 0)), "escape_whitespaces is off"),
        (message(TRAINER, flag(24, 1)), "treat_whitespace_as_suffix is on"),
        (message(TRAINER, flag(35, 0)), "byte_fallback and its byte pieces disagree"),
        (message(1, message(1, b"zz"), flag(3, 5)), "it holds pieces of type UNUSED"),
    ],
)
def test_settings_that_only_sentencepiece_carries_out_are_named(extra, reason):
    assert reason in parse_model(format_model(small()) + extra).inexact_because


def test_an_inexact_vocabulary_is_not_written():
    v = parse_model(format_model(small()) + message(TRAINER, flag(3, 1)))
    with pytest.raises(ValueError, match="cannot write this vocabulary: its model_type is unigram"):
        format_model(v)


def test_defaults_of_the_proto():
    """A setting that is not written has the proto's default, which is not Llama 2's."""
    v = parse_model(message(1, message(1, b"?"), flag(3, 2)) + b"\x12\x00" + b"\x1a\x00")
    assert v.add_dummy_prefix
    assert v.remove_extra_whitespaces
    assert v.unk_surface == " ⁇ "
    assert v.inexact_because == "its model_type is unigram, not BPE"
    assert (v.bos_id, v.eos_id, v.scores[0]) == (-1, -1, 0.0)


UNK = message(1, message(1, b"<unk>"), flag(3, 2))
END = message(2) + message(3)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (message(3, b""), "no pieces in it: this is not a SentencePiece model"),
        (UNK, "ends after 1 pieces, before its trainer's and normaliser's settings: it is trunc"),
        (UNK + message(2, b""), "it is truncated"),
        (b"\x0a\x85", "byte 1: the file is truncated, or no SentencePiece model"),
        (b"\x0a\x05abc", "byte 2: a value of 5 bytes where 3 are left: the file is truncated"),
        (b"\x0b", "byte 0: 0xb is no tag: not a SentencePiece model"),
        (b"\x00\x01", "byte 0: 0x0 is no tag: not a SentencePiece model"),
        (flag(1, 7), "byte 1: a number, not a message: this is no SentencePiece model"),
        (
            message(1, message(1, b"a"), flag(3, 7)) + END,
            "byte 2: piece 0 has type 7, but types are 1 to 6",
        ),
        (
            message(1, message(1, b"a"), flag(2, 7)) + END,
            "byte 2: the score of piece 0 is not a float32",
        ),
        (
            message(1, message(1, b"\xff")) + END,
            "field 1 holds b'.xff', not UTF-8 text: damaged file",
        ),
        (
            UNK + message(2, message(3, b"x")) + message(3),
            "field 3 holds b'x' where a number belongs",
        ),
        (UNK + message(2) + message(3) + message(5, message(2, b"x")), "it rewrites decoded text"),
    ],
)
def test_what_is_no_model_is_refused_with_the_place(data, error):
    with pytest.raises(ValueError, match=error):
        parse_model(data)


def test_a_file_cut_anywhere_is_refused():
    data = format_model(without_bytes())
    for end in range(len(data)):
        for read in (parse_model, check_whole):
            with pytest.raises(ValueError, match=r"truncated|no SentencePiece|no pieces"):
                read(data[:end])


def test_a_damaged_file_gives_a_value_error_or_a_vocabulary():
    generator = random.Random(5)
    data = format_model(without_bytes())
    outcomes = {True: 0, False: 0}
    for _ in range(1000):
        damaged = bytearray(data)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(data))] = generator.randrange(256)
        try:
            outcomes[isinstance(parse_model(bytes(damaged)), Vocabulary)] += 1
        except ValueError:
            outcomes[False] += 1
    assert min(outcomes.values()) > 100


def test_a_model_and_a_tokenizer_bin_are_told_apart():
    assert is_model(format_model(small()))
    for longest in (1, 10, 0x010A, 0x0A0A, 65535):
        assert not is_model(struct.pack("<i", longest) + bytes(8))


@pytest.mark.parametrize("field", [b"\x0a\x00", b"\x30\x01"])
def test_more_fields_than_any_model_has(field: bytes) -> None:
    with pytest.raises(ValueError, match="more than 524288 fields: no SentencePiece model has so"):
        check_whole(field * (2**19 + 1))
