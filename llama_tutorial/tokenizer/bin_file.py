r"""llama2.c's ``tokenizer.bin``: the vocabulary in the plainest form there is.

An int32, the length in bytes of the longest piece; then, to the end of the file, for each piece a
float32 score, an int32 length and that many bytes, all little-endian::

    1b 00 00 00 | 00 00 00 00  05 00 00 00  "<unk>" | 00 00 00 00  05 00 00 00  "\n<s>\n" | …
    longest       score        length       text

It holds neither types nor settings; they are agreed upon. Ids 0, 1, 2 are unknown, BOS and EOS (the
last two between newlines), ``▁`` is written as a plain space, a space is put before every text, and
a byte piece is known by its name ``<0xNN>``. Nor does it say how many pieces follow, so that a file
cut between two of them cannot be told from a smaller vocabulary.

Because spaces are plain, the character ``▁`` has no piece of its own: it is encoded as its three
bytes, as llama2.c does. With every other character the ids are those of the ``.model``. Follows
llama2.c's ``tokenizer.py`` and ``run.c``.
"""

from __future__ import annotations

import struct

from llama_tutorial.tokenizer.vocabulary import (
    BYTE_PIECE,
    MOST_PIECES,
    UNK_SURFACE,
    PieceType,
    Vocabulary,
)

UNK_ID, BOS_ID, EOS_ID = 0, 1, 2
_ROW = struct.Struct("<fi")
_LONGEST = 65_535


def parse_tokenizer_bin(data: bytes) -> Vocabulary:
    """Read the bytes of a ``tokenizer.bin``.

    Raises:
        ValueError: The bytes are truncated or something else: what, and at which byte.
    """
    if len(data) < 4:
        raise ValueError(f"only {len(data)} bytes: a tokenizer.bin begins with a 4-byte number")
    (longest,) = struct.unpack_from("<i", data)
    if not 1 <= longest <= _LONGEST:
        raise ValueError(
            f"it begins with {data[:8]!r}: neither a SentencePiece .model nor a tokenizer.bin, "
            f"which begins with the length of its longest piece, 1 to {_LONGEST}"
        )
    pieces: list[str] = []
    scores: list[float] = []
    at = 4
    while at < len(data):
        if at + _ROW.size > len(data):
            raise ValueError(
                f"byte {at}: {len(data) - at} bytes left where piece {len(pieces)} needs "
                f"{_ROW.size} for its score and length: the file is truncated"
            )
        if len(pieces) == MOST_PIECES:
            raise ValueError(f"more than {MOST_PIECES} pieces: no vocabulary has so many")
        score, size = _ROW.unpack_from(data, at)
        at += _ROW.size
        pieces.append(_text(data, at, size, longest, len(pieces)))
        scores.append(score)
        at += size
    if len(pieces) <= EOS_ID:
        raise ValueError(f"{len(pieces)} pieces: a vocabulary begins with <unk>, <s> and </s>")
    for special in (BOS_ID, EOS_ID):
        pieces[special] = pieces[special].strip("\n") or pieces[special]
    types = [_type(i, piece) for i, piece in enumerate(pieces)]
    return Vocabulary(pieces, scores, types, bos_id=BOS_ID, eos_id=EOS_ID, space=" ")


def _text(data: bytes, at: int, size: int, longest: int, index: int) -> str:
    if not 1 <= size <= longest:
        raise ValueError(
            f"byte {at - 4}: piece {index} is {size} bytes long, but the file says 1 to {longest}: "
            "this is no tokenizer.bin (a model's .bin, perhaps?)"
        )
    if at + size > len(data):
        raise ValueError(
            f"byte {at}: piece {index} is {size} bytes long and {len(data) - at} are left: "
            "the file is truncated"
        )
    try:
        return data[at : at + size].decode()
    except UnicodeDecodeError:
        raise ValueError(f"byte {at}: piece {index} is not UTF-8: no tokenizer.bin") from None


def _type(token_id: int, piece: str) -> PieceType:
    if token_id == UNK_ID:
        return PieceType.UNKNOWN
    if token_id in (BOS_ID, EOS_ID):
        return PieceType.CONTROL
    return PieceType.BYTE if BYTE_PIECE.fullmatch(piece) else PieceType.NORMAL


def format_tokenizer_bin(vocabulary: Vocabulary) -> bytes:
    """The bytes of the ``tokenizer.bin`` that llama2.c's ``tokenizer.py`` writes.

    Raises:
        ValueError: The vocabulary would give other ids when it is read back: other special ids, no
            dummy prefix, user-defined pieces, a plain space inside a piece.
    """
    _check_fits(vocabulary)
    texts = [piece.replace(vocabulary.space, " ") for piece in vocabulary.pieces]
    for special in (BOS_ID, EOS_ID):
        texts[special] = f"\n{texts[special]}\n"
    raw = [text.encode() for text in texts]
    rows = zip(vocabulary.scores, raw, strict=True)
    body = b"".join(_ROW.pack(score, len(text)) + text for score, text in rows)
    return struct.pack("<i", max(map(len, raw))) + body


def _check_fits(vocabulary: Vocabulary) -> None:
    special = (vocabulary.unk_id, vocabulary.bos_id, vocabulary.eos_id)
    types = list(vocabulary.types)
    shown_as = [_type(i, piece) for i, piece in enumerate(vocabulary.pieces)]
    other = next((i for i, kind in enumerate(types) if kind != shown_as[i]), None)
    reason = vocabulary.inexact_because
    if special != (UNK_ID, BOS_ID, EOS_ID):
        reason = f"its unknown, BOS and EOS ids are {special}, and the file has them at 0, 1, 2"
    elif other is not None:
        name = f"{types[other].name}, which would be read back as {shown_as[other].name}"
        reason = f"piece {other} {vocabulary.pieces[other]!r} is {name}"
    elif not vocabulary.add_dummy_prefix or vocabulary.unk_surface != UNK_SURFACE:
        reason = "the file always means a dummy prefix and the unknown token shown as ' ⁇ '"
    elif vocabulary.space != " " and any(" " in piece for piece in vocabulary.pieces):
        reason = "a piece holds a plain space, which the file uses for '▁'"
    if reason:
        raise ValueError(f"a tokenizer.bin cannot hold this vocabulary: {reason}")
