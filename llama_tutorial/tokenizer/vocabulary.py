"""A vocabulary: the numbered list of pieces that a tokenizer encodes text with.

Each piece is a string with a *score* and a *type*; its id is its place in the list. That table is
all there is to a byte-pair tokenizer: SentencePiece and
:class:`~llama_tutorial.tokenizer.bpe.BPETokenizer`
are two programs over the same one. Llama 2's has 32,000 rows::

    id       piece          type      score
    0        <unk>          UNKNOWN   0        what has no piece (Llama 2 never needs it: bytes)
    1, 2     <s>  </s>      CONTROL   0        begin and end of a text; never found *in* a text
    3-258    <0x00> <0xFF>  BYTE      0        the 256 bytes, for characters without a piece
    259-     ▁▁ ▁t er in …  NORMAL    -(id-259)  merges, the earliest learned first
    29871-   ▁ e t a o …    NORMAL    …        single characters

``▁`` (U+2581) stands for a space, so that a piece shows where words begin. Of two possible merges
the one with the higher score comes first. Pieces made of spaces alone have score -1e9 in Llama 2:
they merge after everything else, so that a word keeps the space before it.

Follows ``sentencepiece_model.proto`` and ``model_interface.cc`` of SentencePiece (Kudo and
Richardson 2018).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from operator import index
from typing import SupportsIndex

SPACE = "▁"
UNK_SURFACE = " ⁇ "
WHITESPACE_SCORE = -1e9
MOST_PIECES = 2**19  # twice as many as the largest vocabularies have
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


class PieceType(IntEnum):
    """What a piece is, by SentencePiece's numbers."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


RESERVED = frozenset({PieceType.UNKNOWN, PieceType.CONTROL, PieceType.BYTE})


def byte_piece(byte: int) -> str:
    """The piece that stands for one byte: 10 gives ``<0x0A>``."""
    return f"<0x{byte:02X}>"


@dataclass(frozen=True, eq=False, repr=False)
class Vocabulary:
    """Pieces, scores and types, and the few settings that change how text is encoded.

    Attributes:
        pieces: the text of each piece; the index is the token id.
        scores: merge priority of each, higher is earlier.
        types: the :class:`PieceType` of each.
        bos_id, eos_id, pad_id: special ids, -1 where there is none (Llama 2 has no padding id).
        space: the character that stands for a space in ``pieces``: ``▁`` in a ``.model``, a plain
            space in llama2.c's ``tokenizer.bin``.
        add_dummy_prefix: whether a space is put before the text, so that a word has the same ids at
            the start as elsewhere.
        remove_extra_whitespaces: whether runs of spaces are collapsed (Llama 2: no).
        unk_surface: what the unknown token is shown as.
        inexact_because: a setting that only SentencePiece itself carries out, because of which
            :class:`~llama_tutorial.tokenizer.bpe.BPETokenizer` would not give SentencePiece's ids;
            empty where it gives exactly those.

    Raises:
        ValueError: The table is no vocabulary: empty or repeated pieces, none or two unknown
            pieces, some of the 256 byte pieces but not all, a score that is not a number.
    """

    pieces: Sequence[str]
    scores: Sequence[float]
    types: Sequence[PieceType]
    bos_id: int = 1
    eos_id: int = 2
    pad_id: int = -1
    space: str = SPACE
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = False
    unk_surface: str = UNK_SURFACE
    inexact_because: str = ""

    def __post_init__(self) -> None:
        if not len(self.pieces) == len(self.scores) == len(self.types):
            raise ValueError(
                f"{len(self.pieces)} pieces, {len(self.scores)} scores and {len(self.types)} "
                "types: each piece needs one of each"
            )
        self._check_pieces()
        unknown = ids_of_type(self.types, PieceType.UNKNOWN)
        if len(unknown) != 1:
            raise ValueError(f"a vocabulary has exactly one unknown piece, this one has {unknown}")
        if len(self.byte_ids) not in (0, 256):
            raise ValueError(
                f"{len(self.byte_ids)} of the 256 byte pieces <0x00> to <0xFF> are there: byte "
                "fallback needs all of them, or none (the file may be truncated)"
            )

    def _check_pieces(self) -> None:
        different = len(set(self.pieces)) == len(self.pieces)
        if different and all(self.pieces) and all(map(math.isfinite, self.scores)):
            return
        seen: dict[tuple[str, bool], int] = {}
        for i, (piece, score) in enumerate(zip(self.pieces, self.scores, strict=True)):
            if not piece:
                raise ValueError(f"piece {i} is empty: every piece needs at least one character")
            if not math.isfinite(score):
                raise ValueError(f"piece {i} {piece!r} has score {score}: it must be finite")
            first = seen.setdefault((piece, self.types[i] in RESERVED), i)
            if first != i:
                raise ValueError(f"pieces {first} and {i} are both {piece!r}: ids must be unique")

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def unk_id(self) -> int:
        """The id of the unknown piece."""
        return list(self.types).index(PieceType.UNKNOWN)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each piece. Reserved pieces win where a text piece has the same name."""
        by_text = {piece: i for i, piece in enumerate(self.pieces)}
        reserved = (i for kind in RESERVED for i in ids_of_type(self.types, kind))
        by_text.update({self.pieces[i]: i for i in reserved})
        return by_text

    @cached_property
    def byte_ids(self) -> list[int]:
        """The id of each byte 0 to 255, or an empty list: characters without a piece are unknown.

        Fewer than 256 entries only while a vocabulary is being refused.
        """
        of_bytes = ids_of_type(self.types, PieceType.BYTE)
        ids = {_byte_value(self.pieces[i], i): i for i in of_bytes}
        return [ids[byte] for byte in sorted(ids)]

    @cached_property
    def surfaces(self) -> list[str | int]:
        """What each id decodes to: text, or a byte's value for a byte piece; controls are ''."""
        surfaces: list[str | int] = [piece.replace(self.space, " ") for piece in self.pieces]
        surfaces[self.unk_id] = self.unk_surface
        for i in ids_of_type(self.types, PieceType.CONTROL):
            surfaces[i] = ""
        for byte, i in enumerate(self.byte_ids):
            surfaces[i] = byte
        return surfaces


def ids_of_type(types: Sequence[PieceType], kind: PieceType) -> list[int]:
    """The ids of the pieces of one type, in order."""
    return [i for i, other in enumerate(types) if other == kind]


def check_id(token_id: SupportsIndex, vocab_size: int) -> int:
    """``token_id`` as an int, or a ValueError where it is none, or no piece has that id."""
    try:
        token_id = index(token_id)
    except TypeError:
        raise ValueError(
            f"token id {token_id!r} is no whole number: ids are integers, Python's, NumPy's or "
            "torch's"
        ) from None
    if not 0 <= token_id < vocab_size:
        hint = "; -1 is padding: leave it out" if token_id == -1 else ""
        raise ValueError(
            f"token id {token_id} is out of range: this vocabulary has ids 0 to "
            f"{vocab_size - 1}{hint}"
        )
    return token_id


def _byte_value(piece: str, token_id: int) -> int:
    match = BYTE_PIECE.fullmatch(piece)
    if match is None:
        raise ValueError(f"piece {token_id} {piece!r} is of type BYTE but not written <0xNN>")
    return int(match[1], 16)
