"""The vocabulary in a GGUF file: its pieces, scores and types under keys of the header, and back.

::

    tokenizer.ggml.model        "llama": SentencePiece's BPE; "gpt2" would be merges of bytes
    tokenizer.ggml.tokens, scores, token_type    a row of the vocabulary each, types as there
    tokenizer.ggml.bos_token_id, eos_token_id, unknown_token_id, padding_token_id
    tokenizer.ggml.add_space_prefix              the dummy prefix; true if it is not said
    tokenizer.ggml.add_bos_token, add_eos_token  what a prompt begins and ends with: BOS alone, as
                                                 Llama 2's, if it is not said

Where the model has more rows than the tokenizer has pieces, llama.cpp's converter fills the list up
with pieces ``[PAD32000]`` of type UNUSED. They are left out here, for they stand for nothing. And
in the pieces that users have added it writes spaces as such, not as ``▁``.

Source: ``_create_vocab_sentencepiece`` of llama.cpp's ``convert_hf_to_gguf.py``, and
``llama-vocab.cpp``.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from llama_tutorial.tokenizer.vocabulary import MOST_PIECES, SPACE, PieceType, Vocabulary

MODEL = "tokenizer.ggml.model"
_TOKENS, _SCORES = "tokenizer.ggml.tokens", "tokenizer.ggml.scores"
_TYPES = "tokenizer.ggml.token_type"
_PREFIX = "tokenizer.ggml.add_space_prefix"
_ADD_BOS, _ADD_EOS = "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"
_EXTRA_SPACES = "tokenizer.ggml.remove_extra_whitespaces"
_CHARSMAP = "tokenizer.ggml.precompiled_charsmap"
_NONE = (None, "none", "no_vocab")
_PADDING_SCORE = -10000.0


def has_vocabulary(metadata: Mapping[str, Any]) -> bool:
    """Whether a file's header holds a tokenizer at all."""
    return metadata.get(MODEL) not in _NONE


def read_vocabulary(metadata: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary that a header holds.

    Raises:
        ValueError: There is none, it is not of SentencePiece's kind, or it is damaged. The message
            names the key.
    """
    if not has_vocabulary(metadata):
        raise ValueError(f"holds no tokenizer ({MODEL} is {metadata.get(MODEL)!r})")
    if (model := metadata[MODEL]) != "llama":
        raise ValueError(
            f"{MODEL} is {model!r:.50}: this package reads 'llama', SentencePiece's BPE, as Llama 2"
            " has it"
        )
    pieces = _list(metadata)
    scores = _column(metadata, _SCORES, "fd", len(pieces), [0.0] * len(pieces))
    numbers = _column(metadata, _TYPES, "bBhHiIqQ", len(pieces), [PieceType.NORMAL] * len(pieces))
    if others := [number for number in numbers if number not in PieceType._value2member_map_]:
        raise ValueError(f"{_TYPES} holds {others[0]}; types are 1 to 6")
    kinds = [PieceType(number) for number in numbers]
    ids = {key: _id(metadata, key, default, len(pieces)) for key, default in _IDS.items()}
    if not _adds_bos(metadata) and _key("bos") not in metadata:
        ids["bos"] = -1  # there is none
    unknown = ids["unknown"]
    if PieceType.UNKNOWN not in kinds and kinds[unknown] != PieceType.BYTE:
        kinds[unknown] = PieceType.UNKNOWN  # from a tokenizer.json it comes as one more control
    while kinds[-1] == PieceType.UNUSED and len(kinds) > 1:
        kinds.pop()
    _check_plain(metadata, kinds)
    pieces = [
        piece.replace(" ", SPACE) if kind == PieceType.USER_DEFINED else piece
        for piece, kind in zip(pieces, kinds, strict=False)
    ]
    for key in ("bos", "eos", "padding"):
        if ids[key] >= len(kinds):
            raise ValueError(f"{_key(key)} is {ids[key]}, which is one of the unused pieces")
    return Vocabulary(
        pieces,
        scores[: len(kinds)],
        kinds,
        bos_id=ids["bos"],
        eos_id=ids["eos"],
        pad_id=ids["padding"],
        add_dummy_prefix=_switch(metadata, _PREFIX, True),
    )


def format_vocabulary(vocabulary: Vocabulary, rows: int) -> dict[str, Any]:
    """The keys of a header that hold a vocabulary.

    Args:
        vocabulary: Of BPE.
        rows: Of the model's embedding: the list is filled up to so many.

    Returns:
        By key: a str, bool, int, or a list of strings, floats (the scores) or ints (the types).

    Raises:
        ValueError: llama.cpp would encode with it in another way; the message says why.
    """
    if vocabulary.inexact_because:
        raise ValueError(
            f"GGUF cannot hold this tokenizer: {vocabulary.inexact_because}; leave tokenizer= out"
        )
    padding = range(len(vocabulary), rows)
    ids = {
        "bos": vocabulary.bos_id,
        "eos": vocabulary.eos_id,
        "unknown": vocabulary.unk_id,
        "padding": vocabulary.pad_id,
    }
    texts = (
        (piece.replace(vocabulary.space, SPACE), kind)
        for piece, kind in zip(vocabulary.pieces, vocabulary.types, strict=True)
    )
    return {
        MODEL: "llama",
        "tokenizer.ggml.pre": "default",
        _TOKENS: [
            *(t.replace(SPACE, " ") if kind == PieceType.USER_DEFINED else t for t, kind in texts),
            *(f"[PAD{i}]" for i in padding),
        ],
        _SCORES: [*map(float, vocabulary.scores), *(_PADDING_SCORE for _ in padding)],
        _TYPES: [*map(int, vocabulary.types), *(int(PieceType.UNUSED) for _ in padding)],
        **{_key(name): token_id for name, token_id in ids.items() if token_id >= 0},
        _ADD_BOS: vocabulary.bos_id >= 0,
        _ADD_EOS: False,
        _PREFIX: vocabulary.add_dummy_prefix,
    }


# What llama.cpp takes where nothing is said.
_IDS = {"bos": 1, "eos": 2, "unknown": 0, "padding": -1}


def _key(name: str) -> str:
    return f"tokenizer.ggml.{name}_token_id"


def _list(metadata: Mapping[str, Any]) -> list[str]:
    pieces = metadata.get(_TOKENS)
    if not isinstance(pieces, list) or not 3 <= len(pieces) <= MOST_PIECES:
        many = f"{len(pieces)} strings" if isinstance(pieces, list) else type(pieces).__name__
        raise ValueError(f"{_TOKENS} is {many}, must be a list of 3 to {MOST_PIECES} strings")
    try:
        "".join(pieces).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{_TOKENS} holds bytes that are no UTF-8 text") from None
    return pieces


def _column(
    metadata: Mapping[str, Any], key: str, codes: str, length: int, default: list[Any]
) -> list[Any]:
    values = metadata.get(key)
    if values is None:
        return default
    if not isinstance(values, array) or values.typecode not in codes:
        raise ValueError(f"{key} is no list of numbers of its kind")
    if len(values) != length:
        raise ValueError(f"{key} has {len(values)} entries, and there are {length} pieces")
    return values.tolist()


def _id(metadata: Mapping[str, Any], name: str, default: int, n_pieces: int) -> int:
    value = metadata.get(_key(name), default)
    if name == "padding" and value in (-1, 2**32 - 1):
        return -1
    if type(value) is not int or not 0 <= value < n_pieces:
        raise ValueError(f"{_key(name)} is {value!r:.40}, must be 0 to {n_pieces - 1}")
    return value


def _switch(metadata: Mapping[str, Any], key: str, default: bool) -> bool:
    value = metadata.get(key, default)
    if type(value) is not bool:
        raise ValueError(f"{key} is {value!r:.40}, must be true or false")
    return value


def _adds_bos(metadata: Mapping[str, Any]) -> bool:
    return _switch(metadata, _ADD_BOS, True)


def _check_plain(metadata: Mapping[str, Any], kinds: list[PieceType]) -> None:
    """Raise a ValueError for a setting that only llama.cpp itself carries out."""
    reasons = {
        f"its normaliser rewrites the text ({_CHARSMAP})": _CHARSMAP in metadata,
        f"{_EXTRA_SPACES} is on": _switch(metadata, _EXTRA_SPACES, False),
        f"{_ADD_BOS} is off, and here every prompt begins with BOS": (
            not _adds_bos(metadata) and _key("bos") in metadata
        ),
        f"{_ADD_EOS} is on, and here no prompt ends with EOS": _switch(metadata, _ADD_EOS, False),
        "it holds pieces of type UNUSED among the others": PieceType.UNUSED in kinds,
    }
    if reason := next((reason for reason, holds in reasons.items() if holds), ""):
        raise ValueError(
            f"this package cannot encode as its tokenizer does: {reason}; give a tokenizer.model "
            "with tokenizer= (on the command line, --tokenizer)"
        )
