"""SentencePiece's ``.model`` file, read and written without SentencePiece and without protobuf.

The file is one protobuf message. The wire format is small: a message is a row of fields, each a
*tag* ``field_number * 8 + wire_type`` and a value, and the wire type says how long the value is::

    0  varint: 7 bits a byte, low bits first, the top bit set on every byte but the last
    1  8 bytes    2  a varint length, then that many bytes (text or a message)    5  4 bytes

    0a 0e | 0a 05 "<unk>" | 15 00 00 00 00 | 18 02
    piece   1: its text     2: its score     3: its type

After the pieces come the trainer's settings (is it BPE, does it fall back to bytes) and the
normaliser's (does it rewrite the text first). A field that is not written has its default, and
several defaults are not Llama 2's: the model type is unigram, extra spaces are removed.

Follows ``sentencepiece_model.proto``. Read next: :mod:`llama_tutorial.tokenizer.bpe`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from llama_tutorial.tokenizer.vocabulary import SPACE, UNK_SURFACE, PieceType, Vocabulary

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Field numbers of sentencepiece_model.proto: of the model, of a piece, of the two settings.
_PIECES, _TRAINER, _NORMALIZER, _DENORMALIZER = 1, 2, 3, 5
_PIECE, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE, _VOCAB_SIZE, _SUFFIX_SPACE, _BYTE_FALLBACK = 3, 4, 24, 35
_UNK_ID, _BOS_ID, _EOS_ID, _PAD_ID, _UNK_SURFACE = 40, 41, 42, 43, 44
_UNK_PIECE, _BOS_PIECE, _EOS_PIECE, _PAD_PIECE = 45, 46, 47, 48
_NAME, _CHARSMAP, _DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE_SPACES = 1, 2, 3, 4, 5
_MODEL_TYPES = {1: "unigram", 2: "BPE", 3: "word", 4: "char"}
_BPE = 2
_TYPES = {int(kind): kind for kind in PieceType}

Message = dict[int, int | bytes]


def is_model(data: bytes) -> bool:
    """Whether these bytes begin a ``.model`` rather than a ``tokenizer.bin``.

    A ``.model`` begins with the tag of field 1, a length, and another tag, which is never zero. The
    int32 that begins a ``tokenizer.bin`` is small: its third and fourth byte are zero.
    """
    return data[:1] == b"\x0a" and data[2:4] != b"\0\0"


def parse_model(data: bytes) -> Vocabulary:
    """Read the bytes of a ``.model``.

    Raises:
        ValueError: if they are truncated or something else: what, and at which byte.
    """
    rows: list[tuple[str, float, PieceType]] = []
    settings: dict[int, Message] = {}
    for field, value, start in _fields(data, 0, len(data)):
        if field == _PIECES:
            rows.append(_parse_piece(_message(data, value, start), len(rows), start))
        elif field in (_TRAINER, _NORMALIZER, _DENORMALIZER):
            settings.setdefault(field, {}).update(_message(data, value, start))
    if not rows:
        raise ValueError("no pieces in it: this is not a SentencePiece model")
    if _TRAINER not in settings or _NORMALIZER not in settings:
        raise ValueError(
            f"the file ends after {len(rows)} pieces, before its trainer's and normaliser's "
            "settings: it is truncated"
        )
    if _DENORMALIZER in settings and _text(settings[_DENORMALIZER], _CHARSMAP, ""):
        raise ValueError("it rewrites decoded text (denormalizer_spec), which is not supported")
    return _vocabulary(rows, settings[_TRAINER], settings[_NORMALIZER])


def _vocabulary(
    rows: list[tuple[str, float, PieceType]], trainer: Message, normalizer: Message
) -> Vocabulary:
    pieces, scores, types = zip(*rows, strict=True)
    controls = {piece: i for i, piece in enumerate(pieces) if types[i] == PieceType.CONTROL}
    return Vocabulary(
        pieces,
        scores,
        types,
        bos_id=controls.get(_text(trainer, _BOS_PIECE, "<s>"), -1),
        eos_id=controls.get(_text(trainer, _EOS_PIECE, "</s>"), -1),
        pad_id=controls.get(_text(trainer, _PAD_PIECE, "<pad>"), -1),
        add_dummy_prefix=bool(_number(normalizer, _DUMMY_PREFIX, 1)),
        remove_extra_whitespaces=bool(_number(normalizer, _REMOVE_SPACES, 1)),
        unk_surface=_text(trainer, _UNK_SURFACE, UNK_SURFACE),
        inexact_because=_inexact_because(types, trainer, normalizer),
    )


def _inexact_because(types: Sequence[PieceType], trainer: Message, normalizer: Message) -> str:
    """Name the first setting that only SentencePiece itself carries out, or ''."""
    kind = _MODEL_TYPES.get(_number(trainer, _MODEL_TYPE, 1), "unknown")
    byte_fallback = bool(_number(trainer, _BYTE_FALLBACK, 0))
    reasons = {
        f"its model_type is {kind}, not BPE": kind != "BPE",
        "its normaliser rewrites the text (only 'identity' does not)": bool(
            normalizer.get(_CHARSMAP)
        ),
        "remove_extra_whitespaces is on": bool(_number(normalizer, _REMOVE_SPACES, 1)),
        "escape_whitespaces is off": not _number(normalizer, _ESCAPE_SPACES, 1),
        "treat_whitespace_as_suffix is on": bool(_number(trainer, _SUFFIX_SPACE, 0)),
        "it holds pieces of type UNUSED": PieceType.UNUSED in types,
        "byte_fallback and its byte pieces disagree": byte_fallback != (PieceType.BYTE in types),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _parse_piece(row: Message, index: int, start: int) -> tuple[str, float, PieceType]:
    score, kind = row.get(_SCORE, bytes(4)), row.get(_TYPE, PieceType.NORMAL)
    if not isinstance(score, bytes) or len(score) != 4:
        raise ValueError(f"byte {start}: the score of piece {index} is not a float32: damaged file")
    if kind not in _TYPES:
        raise ValueError(f"byte {start}: piece {index} has type {kind}, but types are 1 to 6")
    return _text(row, _PIECE, ""), struct.unpack("<f", score)[0], _TYPES[kind]


def _number(message: Message, field: int, default: int) -> int:
    value = message.get(field, default)
    if not isinstance(value, int):
        raise ValueError(f"field {field} holds {value[:20]!r} where a number belongs: damaged file")
    return value


def _text(message: Message, field: int, default: str) -> str:
    value = message.get(field, default.encode())
    try:
        return value.decode()
    except (AttributeError, UnicodeDecodeError):
        raise ValueError(f"field {field} holds {value!r}, not UTF-8 text: damaged file") from None


def _message(data: bytes, value: int | bytes, start: int) -> Message:
    if not isinstance(value, bytes):
        raise ValueError(f"byte {start}: a number, not a message: this is no SentencePiece model")
    return {field: inner for field, inner, _ in _fields(data, start, start + len(value))}


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int | bytes, int]]:
    """Yield (field number, value, where the value starts) for the message ``data[start:end]``.

    A varint's value is an int; every other value is its bytes.
    """
    while start < end:
        tag_start = start
        tag, start = _varint(data, start, end)
        field, wire = tag >> 3, tag & 7
        if field == 0 or wire not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
            raise ValueError(f"byte {tag_start}: {tag:#x} is no tag: not a SentencePiece model")
        if wire == _VARINT:
            number, after = _varint(data, start, end)
            yield field, number, start
        else:
            size = 4 if wire == _FIXED32 else 8
            if wire == _BYTES:
                size, start = _varint(data, start, end)
            after = start + size
            if after > end:
                raise ValueError(
                    f"byte {start}: a value of {size} bytes where {end - start} are left: "
                    "the file is truncated, or no SentencePiece model"
                )
            yield field, data[start:after], start
        start = after


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The number that starts at ``start``, and where it ends."""
    if start < end and data[start] < 0x80:
        return data[start], start + 1  # nearly all of them
    value = 0
    for i in range(start, min(end, start + 10)):
        value |= (data[i] & 0x7F) << 7 * (i - start)
        if data[i] < 0x80:
            return value, i + 1
    raise ValueError(f"byte {start}: the file is truncated, or no SentencePiece model")


def format_model(vocabulary: Vocabulary) -> bytes:
    """The bytes of a ``.model`` that SentencePiece and :func:`parse_model` read.

    Raises:
        ValueError: if the vocabulary is not exactly what
            :class:`~llama_tutorial.tokenizer.bpe.BPETokenizer` spells with; keep the file that it
            came from instead.
    """
    if vocabulary.inexact_because:
        raise ValueError(f"cannot write this vocabulary: {vocabulary.inexact_because}")
    out = bytearray()
    rows = zip(vocabulary.pieces, vocabulary.scores, vocabulary.types, strict=True)
    for piece, score, kind in rows:
        text = piece.replace(vocabulary.space, SPACE)
        out += _field(_PIECES, _format({_PIECE: text, _SCORE: float(score), _TYPE: int(kind)}))
    trainer: dict[int, int | str] = {
        _MODEL_TYPE: _BPE,
        _VOCAB_SIZE: len(vocabulary),
        _BYTE_FALLBACK: int(bool(vocabulary.byte_ids)),
        _UNK_SURFACE: vocabulary.unk_surface,
    }
    for id_field, piece_field, token_id in (
        (_UNK_ID, _UNK_PIECE, vocabulary.unk_id),
        (_BOS_ID, _BOS_PIECE, vocabulary.bos_id),
        (_EOS_ID, _EOS_PIECE, vocabulary.eos_id),
        (_PAD_ID, _PAD_PIECE, vocabulary.pad_id),
    ):
        trainer[id_field] = token_id
        if token_id >= 0:
            trainer[piece_field] = vocabulary.pieces[token_id]
    prefix = int(vocabulary.add_dummy_prefix)
    normalizer = {_NAME: "identity", _CHARSMAP: b"", _DUMMY_PREFIX: prefix, _REMOVE_SPACES: 0}
    out += _field(_TRAINER, _format(trainer)) + _field(_NORMALIZER, _format(normalizer))
    return bytes(out)


def _format(message: dict) -> bytes:
    return b"".join(_field(number, value) for number, value in message.items())


def _field(number: int, value: int | float | str | bytes) -> bytes:
    if isinstance(value, float):
        return _format_varint(number << 3 | _FIXED32) + struct.pack("<f", value)
    if isinstance(value, int):
        # A negative number is written as its 64-bit two's complement.
        return _format_varint(number << 3 | _VARINT) + _format_varint(value & (1 << 64) - 1)
    raw = value.encode() if isinstance(value, str) else value
    return _format_varint(number << 3 | _BYTES) + _format_varint(len(raw)) + raw


def _format_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
