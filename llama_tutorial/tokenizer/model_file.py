"""SentencePiece's ``.model`` file as a table, read and written without SentencePiece.

:class:`~llama_tutorial.tokenizer.sentencepiece.Tokenizer` leaves the file to SentencePiece. This
reader is for what SentencePiece does not do. It lets
:class:`~llama_tutorial.tokenizer.bpe.BPETokenizer` open a ``.model`` where SentencePiece is not
installed. It says at which byte a damaged file is damaged. And it finds what SentencePiece's API
does not tell: which pieces are user-defined, and the settings that change how text is encoded and
decoded.

The file is one protobuf message. The wire format is small: a message is a row of fields, each a
*tag* ``field_number * 8 + wire_type`` and a value, and the wire type says how long the value is::

    0  varint: 7 bits a byte, low bits first, the top bit set on every byte but the last
    1  8 bytes    2  a varint length, then that many bytes (text or a message)    5  4 bytes

    0a 0e | 0a 05 "<unk>" | 15 00 00 00 00 | 18 02
    piece   1: its text     2: its score     3: its type

After the pieces come the trainer's settings (is it BPE, does it fall back to bytes) and the
normaliser's (does it rewrite the text first). A field that is not written has its default, and
several defaults are not Llama 2's: the model type is unigram, extra spaces are removed.

Follows ``sentencepiece_model.proto``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llama_tutorial.tokenizer.vocabulary import (
    MOST_PIECES,
    SPACE,
    UNK_SURFACE,
    PieceType,
    Vocabulary,
    ids_of_type,
)

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
_NORMAL = PieceType.NORMAL

# The tags that stand in nearly every piece: that of a piece, and of its text, score and type.
_PIECE_TAG, _TEXT_TAG = _PIECES << 3 | _BYTES, _PIECE << 3 | _BYTES
_SCORE_TAG, _TYPE_TAG = _SCORE << 3 | _FIXED32, _TYPE << 3 | _VARINT
_SCORE_FORM = struct.Struct("<f")

Message = dict[int, int | bytes]


class _Places(NamedTuple):
    """Where each piece begins and ends, in the file."""

    starts: list[int]
    ends: list[int]


class _Field(NamedTuple):
    number: int
    value: int | bytes  # a varint is an int; every other value is its bytes
    start: int  # of the value, in the file


def is_model(data: bytes) -> bool:
    """Whether these bytes begin a ``.model`` rather than a ``tokenizer.bin``.

    A ``.model`` begins with the tag of field 1, a length, and another tag, which is never zero. The
    int32 that begins a ``tokenizer.bin`` is small: its third and fourth byte are zero.
    """
    return data[:1] == b"\x0a" and data[2:4] != b"\0\0"


def check_whole(data: bytes) -> None:
    """Raise a ValueError where a ``.model`` ends too early; what is in its pieces is not read.

    SentencePiece takes a file that was cut between two pieces for a smaller vocabulary, with other
    settings.
    """
    _split(data)


def parse_model(data: bytes) -> Vocabulary:
    """Read the bytes of a ``.model``.

    Raises:
        ValueError: The bytes are truncated or something else: what, and at which byte.
    """
    places, trainer, normalizer = _split(data)
    # Three lists and no list of rows: Python's collector of garbage looks through every tuple that
    # is kept, again and again, and with it through all that torch has loaded.
    texts: list[str] = []
    scores: list[float] = []
    types: list[PieceType] = []
    for start, end in zip(places.starts, places.ends, strict=True):
        plain = _plain_piece(data, start, end)
        text, score, kind = plain or _parse_piece(data, len(texts), start, end)
        texts.append(text)
        scores.append(score)
        types.append(kind)
    controls = {texts[i]: i for i in ids_of_type(types, PieceType.CONTROL)}
    return Vocabulary(
        texts,
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


def _split(data: bytes) -> tuple[_Places, Message, Message]:
    """Where the pieces are, and the trainer's and the normaliser's settings."""
    places = _short_pieces(data)
    at, n_short = places.ends[-1] if places.ends else 0, len(places.ends)
    settings: dict[int, Message] = {}
    for field in _fields(data, at, len(data), MOST_PIECES - n_short):
        if field.number == _PIECES and isinstance(field.value, bytes):
            places.starts.append(field.start)
            places.ends.append(field.start + len(field.value))
        elif field.number in (_PIECES, _TRAINER, _NORMALIZER, _DENORMALIZER):
            settings.setdefault(field.number, {}).update(_message(data, field))
    if not places.starts:
        raise ValueError("no pieces in it: this is not a SentencePiece model")
    if _TRAINER not in settings or _NORMALIZER not in settings:
        raise ValueError(
            f"the file ends after {len(places.starts)} pieces, before its trainer's and "
            "normaliser's settings: it is truncated"
        )
    if settings.get(_DENORMALIZER, {}).get(_CHARSMAP):
        raise ValueError("it rewrites decoded text (denormalizer_spec), which is not supported")
    return places, settings[_TRAINER], settings[_NORMALIZER]


def _short_pieces(data: bytes) -> _Places:
    """Where the pieces lie that begin the file: `_fields` for the usual case.

    Nearly all of a file is pieces of less than 128 bytes, one after another.
    """
    starts: list[int] = []
    ends: list[int] = []
    at, most = 0, len(data) - 1
    while at < most and data[at] == _PIECE_TAG and len(ends) < MOST_PIECES:
        start, length = at + 2, data[at + 1]
        at = start + length
        if length >= 0x80 or at > most + 1:
            break
        starts.append(start)
        ends.append(at)
    return _Places(starts, ends)


def _plain_piece(data: bytes, start: int, end: int) -> tuple[str, float, PieceType] | None:
    """A piece that is written as SentencePiece does: text, score, and a type if it is not NORMAL.

    None where it is written otherwise; then `_parse_piece` reads it, or says what is wrong.
    """
    if end < start + 7 or data[start] != _TEXT_TAG or (length := data[start + 1]) >= 0x80:
        return None
    score_tag, kind = start + 2 + length, _NORMAL
    if end == score_tag + 7 and data[end - 2] == _TYPE_TAG and data[end - 1] in _TYPES:
        kind = _TYPES[data[end - 1]]
    elif end != score_tag + 5:
        return None
    if data[score_tag] != _SCORE_TAG:
        return None
    try:
        text = data[start + 2 : score_tag].decode()
    except UnicodeDecodeError:
        return None
    return text, _SCORE_FORM.unpack_from(data, score_tag + 1)[0], kind


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


def _parse_piece(data: bytes, index: int, start: int, end: int) -> tuple[str, float, PieceType]:
    row: Message = {number: value for number, value, _ in _fields(data, start, end)}
    score, kind = row.get(_SCORE, bytes(4)), row.get(_TYPE, PieceType.NORMAL)
    if not isinstance(score, bytes) or len(score) != 4:
        raise ValueError(f"byte {start}: the score of piece {index} is not a float32: damaged file")
    if not isinstance(kind, int) or kind not in _TYPES:
        raise ValueError(f"byte {start}: piece {index} has type {kind!r}, but types are 1 to 6")
    return _text(row, _PIECE, ""), struct.unpack("<f", score)[0], _TYPES[kind]


def _number(message: Message, field: int, default: int) -> int:
    value = message.get(field, default)
    if not isinstance(value, int):
        raise ValueError(f"field {field} holds {value[:20]!r} where a number belongs: damaged file")
    return value


def _text(message: Message, field: int, default: str) -> str:
    value = message.get(field, default.encode())
    try:
        return value.decode()  # type: ignore[union-attr]  # a number has no decode
    except (AttributeError, UnicodeDecodeError):
        raise ValueError(f"field {field} holds {value!r}, not UTF-8 text: damaged file") from None


def _message(data: bytes, field: _Field) -> Message:
    """The fields of a field that is a message itself, by their numbers."""
    if not isinstance(field.value, bytes):
        raise ValueError(
            f"byte {field.start}: a number, not a message: this is no SentencePiece model"
        )
    inner = _fields(data, field.start, field.start + len(field.value))
    return {number: value for number, value, _ in inner}


def _fields(data: bytes, start: int, end: int, most: int = MOST_PIECES) -> list[_Field]:
    """The fields of the message ``data[start:end]``, ``most`` at most."""
    fields: list[_Field] = []
    while start < end:
        tag_start, tag = start, data[start]
        if tag < 0x80:  # nearly all tags and lengths are one byte
            start += 1
        else:
            tag, start = _varint(data, start, end)
        number, wire = tag >> 3, tag & 7
        if number == 0 or wire not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
            raise ValueError(f"byte {tag_start}: {tag:#x} is no tag: not a SentencePiece model")
        value: int | bytes
        if wire == _VARINT:
            value, after = _varint(data, start, end)
        else:
            size = 4 if wire == _FIXED32 else 8
            if wire == _BYTES and start < end and data[start] < 0x80:
                size, start = data[start], start + 1
            elif wire == _BYTES:
                size, start = _varint(data, start, end)
            after = start + size
            if after > end:
                raise ValueError(
                    f"byte {start}: a value of {size} bytes where {end - start} are left: "
                    "the file is truncated, or no SentencePiece model"
                )
            value = data[start:after]
        if len(fields) == most:
            raise ValueError(
                f"byte {start}: more than {MOST_PIECES} fields: no SentencePiece model has so many"
            )
        fields.append(_Field(number, value, start))
        start = after
    return fields


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The number that starts at ``start``, and where it ends."""
    value = 0
    for i in range(start, min(end, start + 10)):
        value |= (data[i] & 0x7F) << 7 * (i - start)
        if data[i] < 0x80:
            return value, i + 1
    raise ValueError(f"byte {start}: the file is truncated, or no SentencePiece model")


def format_model(vocabulary: Vocabulary) -> bytes:
    """The bytes of a ``.model`` that SentencePiece and :func:`parse_model` read.

    With it a vocabulary that :class:`~llama_tutorial.tokenizer.bpe.BPETokenizer` has learned can be
    stored beside a model as Llama's is.

    Raises:
        ValueError: Only SentencePiece itself encodes exactly as this vocabulary says
            (``inexact_because``); keep the file that it came from instead.
    """
    if vocabulary.inexact_because:
        raise ValueError(f"cannot write this vocabulary: {vocabulary.inexact_because}")
    rows = zip(vocabulary.pieces, vocabulary.scores, vocabulary.types, strict=True)
    out = bytearray()
    for piece, score, kind in rows:
        text = piece.replace(vocabulary.space, SPACE)
        row = _format({_PIECE: text, _SCORE: float(score), _TYPE: int(kind)})
        out += _field(_PIECES, row)
    trainer: dict[int, int | str | bytes] = {
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
    normalizer: dict[int, int | str | bytes] = {
        _NAME: "identity",
        _CHARSMAP: b"",
        _DUMMY_PREFIX: prefix,
        _REMOVE_SPACES: 0,
    }
    out += _field(_TRAINER, _format(trainer)) + _field(_NORMALIZER, _format(normalizer))
    return bytes(out)


def _format(message: Mapping[int, Any]) -> bytes:
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
