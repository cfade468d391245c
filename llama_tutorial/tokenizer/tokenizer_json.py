"""Hugging Face's ``tokenizer.json``: the same vocabulary for the library ``tokenizers``.

SentencePiece merges the pair whose *piece* has the highest score; ``tokenizers`` has a list of
*pairs*, and the earliest in it comes first. So each piece of the vocabulary becomes all the pairs
that it can be made of, in the order of the scores: 32,000 pieces of Llama 2 become 61,249 pairs.
What SentencePiece does around the merges becomes one step each:

    a space before the text, "▁" for a space      normalizer: Prepend, Replace
    bytes for a character without a piece         model: byte_fallback
    the first space taken off again, decoding     decoder: Replace, ByteFallback, Fuse, Strip
    BOS before the text                           post_processor

One thing differs on purpose, because everything that uses these files counts on it: the *text*
``<s>`` becomes the control token. And what leaves special tokens out of a text leaves out the
unknown one as well, which SentencePiece shows as ' ⁇ '.
"""

from __future__ import annotations

from typing import Any

from llama_tutorial.tokenizer.vocabulary import PieceType, Vocabulary


def format_tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """The contents of a ``tokenizer.json`` with the ids of ``vocabulary``.

    Raises:
        ValueError: Only SentencePiece itself encodes exactly as this vocabulary says.
    """
    why = vocabulary.inexact_because
    if PieceType.USER_DEFINED in vocabulary.types:  # Prepend would put a space behind each of them
        why = "it has user-defined pieces"
    if why := why or _tied(vocabulary):
        raise ValueError(f"cannot write a tokenizer.json: {why}")
    space, prefix = vocabulary.space, vocabulary.add_dummy_prefix
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": space}
    texts = {"type": "Replace", "pattern": {"String": space}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    prepend = {"type": "Prepend", "prepend": space}
    decoders = [texts, {"type": "ByteFallback"}, {"type": "Fuse"}]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(vocabulary),
        "normalizer": {
            "type": "Sequence",
            "normalizers": [prepend, spaces] if prefix else [spaces],
        },
        "pre_tokenizer": None,
        "post_processor": _post_processor(vocabulary),
        "decoder": {"type": "Sequence", "decoders": [*decoders, strip] if prefix else decoders},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": vocabulary.pieces[vocabulary.unk_id],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": bool(vocabulary.byte_ids),
            "ignore_merges": False,
            "vocab": vocabulary.ids,
            "merges": _merges(vocabulary),
        },
    }


def _tied(vocabulary: Vocabulary) -> str:
    """Name two pieces with the same score, or ''.

    SentencePiece merges the leftmost of them first, wherever it stands; in a list of pairs one of
    them always comes first. Where all runs of one character have the same score, as Llama 2's
    spaces do, the order of `_merges` says the same.
    """
    rows = zip(vocabulary.pieces, vocabulary.scores, vocabulary.types, strict=True)
    scores = {p: s for p, s, kind in rows if kind == PieceType.NORMAL and len(p) > 1}
    runs: dict[str, set[float]] = {}
    for piece, score in scores.items():
        if len(set(piece)) == 1:
            runs.setdefault(piece[0], set()).add(score)
    first: dict[float, str] = {}
    for piece, score in scores.items():
        other = first.setdefault(score, piece)
        if other != piece and (len({*other, *piece}) > 1 or len(runs[piece[0]]) > 1):
            return f"its pieces {other!r} and {piece!r} have the same score"
    return ""


def _merges(vocabulary: Vocabulary) -> list[list[str]]:
    """Every pair of pieces whose join is a piece, by the score of the join.

    SentencePiece takes the leftmost of equals. With equal scores, such as those of runs of spaces,
    that means: what has been merged at the left grows before something new begins.
    """
    rows = list(zip(vocabulary.pieces, vocabulary.scores, vocabulary.types, strict=True))
    symbols = {piece for piece, _, kind in rows if kind == PieceType.NORMAL}
    pairs = [
        (-score, -cut, i, piece[:cut], piece[cut:])
        for i, (piece, score, kind) in enumerate(rows)
        if kind == PieceType.NORMAL
        for cut in range(1, len(piece))
        if piece[:cut] in symbols and piece[cut:] in symbols
    ]
    return [[left, right] for *_, left, right in sorted(pairs)]


def _added_tokens(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The special ones, which are found in a text before any merge."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return [
        {"id": i, "content": piece, **flags, "special": True}
        for i, (piece, kind) in enumerate(zip(vocabulary.pieces, vocabulary.types, strict=True))
        if kind in (PieceType.CONTROL, PieceType.UNKNOWN)
    ]


def _post_processor(vocabulary: Vocabulary) -> dict[str, Any] | None:
    if vocabulary.bos_id < 0:
        return None
    bos = vocabulary.pieces[vocabulary.bos_id]
    first, second = (
        [{"SpecialToken": {"id": bos, "type_id": i}}, {"Sequence": {"id": name, "type_id": i}}]
        for i, name in enumerate("AB")
    )
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": first + second,
        "special_tokens": {bos: {"id": bos, "ids": [vocabulary.bos_id], "tokens": [bos]}},
    }
