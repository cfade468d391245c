"""Byte-pair encoding from scratch: text to ids with a vocabulary.

Take the text's characters. Among all neighbours whose join is a piece, merge the pair whose piece
has the highest score, the leftmost of equals; repeat until no join is a piece::

    ▁ l o w e r      scores: er -2, lo -5, ▁lo -9, wer -20
    ▁ l o w er       er first: its score is the highest
    ▁ lo w er
    ▁lo w er
    ▁lo wer          two ids

A character that ends up without a piece becomes its UTF-8 bytes, so that nothing is unknown;
a vocabulary without byte pieces gives one unknown id for a run of such characters.

Where no piece holds a ``▁`` after another character, no merge can cross the start of a word: words
are encoded one by one, and those seen before are remembered. That is what makes plain Python fast
enough. It is checked when a vocabulary is loaded; where it does not hold, the text is encoded
whole.

Follows ``bpe_model.cc`` of SentencePiece, whose ids these are on every text (Sennrich, Haddow and
Birch 2016 for the idea). The merge loop is :mod:`llama_tutorial.tokenizer.merging`; the pieces come
from :mod:`llama_tutorial.tokenizer.bpe_trainer`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import groupby

from llama_tutorial._util.gguf_file import is_gguf, read_header
from llama_tutorial.tokenizer.base import (
    BaseTokenizer,
    check_text,
    check_texts,
    errors_name,
    read_bytes,
)
from llama_tutorial.tokenizer.bin_file import format_tokenizer_bin, parse_tokenizer_bin
from llama_tutorial.tokenizer.bpe_trainer import train_vocabulary
from llama_tutorial.tokenizer.gguf_vocabulary import read_vocabulary
from llama_tutorial.tokenizer.merging import merge_symbols
from llama_tutorial.tokenizer.model_file import format_model, is_model, parse_model
from llama_tutorial.tokenizer.vocabulary import SPACE, PieceType, Vocabulary, ids_of_type

# In two halves: where the newer is full, the older is forgotten. Some 70 MB when both are full.
_CACHED_WORDS = 1 << 18
_CACHED_WORD_LENGTH = 48


class BPETokenizer(BaseTokenizer):
    """A byte-pair tokenizer in plain Python: needs neither SentencePiece nor torch.

    Args:
        vocabulary: its pieces; :meth:`from_file` reads one and :meth:`train` learns one.

    Raises:
        ValueError: Its settings ask for more than byte-pair merges, such as a normaliser.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        if vocabulary.inexact_because:
            raise ValueError(
                f"BPETokenizer cannot encode as this model does: {vocabulary.inexact_because}; "
                "use Tokenizer, which runs SentencePiece itself"
            )
        self.vocabulary, self.vocab_size = vocabulary, len(vocabulary)
        self.bos_id, self.eos_id = vocabulary.bos_id, vocabulary.eos_id
        self.pad_id = vocabulary.pad_id
        # Only what may be found in text: <s> and <0x0A>, typed by someone, are text like any other.
        kinds = (PieceType.NORMAL, PieceType.USER_DEFINED)
        rows = enumerate(zip(vocabulary.pieces, vocabulary.types, strict=True))
        self._ids = {piece: i for i, (piece, kind) in rows if kind in kinds}
        self._ranks = _merge_ranks(vocabulary)
        self._words = _word_pattern(self._ranks, vocabulary.space)
        self._whole = _whole_pattern(vocabulary)
        self._cache: dict[str, list[int]] = {}
        self._older: dict[str, list[int]] = {}

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> BPETokenizer:
        """Read SentencePiece's ``.model``, llama2.c's ``tokenizer.bin`` or a model's GGUF file.

        They are told apart by content.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is empty, truncated or something else (what, and at which byte), or a
                model that needs SentencePiece itself (why).
        """
        if is_gguf(path):
            metadata = read_header(path).metadata
            with errors_name(path):
                return cls(read_vocabulary(metadata))
        data = read_bytes(path)
        with errors_name(path):
            return cls.from_bytes(data)

    @classmethod
    def from_bytes(cls, data: bytes) -> BPETokenizer:
        """The same for the content of one of the first two."""
        return cls(parse_model(data) if is_model(data) else parse_tokenizer_bin(data))

    @classmethod
    def train(
        cls,
        text: str | Iterable[str],
        vocab_size: int,
        *,
        character_coverage: float = 0.99995,
        byte_fallback: bool = True,
    ) -> BPETokenizer:
        """Learn a vocabulary by counting and merging; see
        :mod:`llama_tutorial.tokenizer.bpe_trainer`.

        Args:
            text: one text, or several; each line counts as a text.
            vocab_size: number of pieces, the special ones, bytes and characters included.
            character_coverage: share of the text's characters that must have a piece, in (0, 1].
            byte_fallback: whether other characters become bytes, or are unknown.

        Raises:
            ValueError: The size is too small for the characters or too large for the text.
        """
        vocabulary = train_vocabulary(
            check_texts(text),
            vocab_size,
            character_coverage=character_coverage,
            byte_fallback=byte_fallback,
        )
        return cls(vocabulary)

    @classmethod
    def of_characters(cls, text: str | Iterable[str]) -> BPETokenizer:
        """A vocabulary without merges: one piece for each different character of the text.

        The simplest tokenizer there is, line breaks included; other characters are unknown.

        Raises:
            ValueError: There is no text.
        """
        characters = sorted(set().union(*check_texts(text)))
        if not characters:
            raise ValueError("there is no text to take characters from: pass at least one")
        pieces = ["<unk>", "<s>", "</s>", *(SPACE if c == " " else c for c in characters)]
        special = [PieceType.UNKNOWN, PieceType.CONTROL, PieceType.CONTROL]
        types = [*special, *[PieceType.NORMAL] * len(characters)]
        scores = [0.0] * len(pieces)
        return cls(Vocabulary(pieces, scores, types, add_dummy_prefix=False))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary: ``.model`` if the name ends so, else llama2.c's ``.bin``.

        The ``.model`` holds everything. Read back from a ``tokenizer.bin`` the ids are the same,
        save for text that holds the character ``▁``.

        Raises:
            ValueError: The vocabulary does not fit in a ``tokenizer.bin``.
        """
        as_model = os.fspath(path).endswith(".model")
        self._write(path, (format_model if as_model else format_tokenizer_bin)(self.vocabulary))

    def merge_steps(self, text: str) -> list[list[str]]:
        """The symbols of ``text`` before the first merge and after each: how its ids are found.

        The first entry is the characters, with the spaces that the tokenizer puts in; each entry
        has one symbol fewer than the one before. Characters without a piece stay as they are; in
        ``encode`` they become bytes.
        """
        symbols = list(self._prepare(check_text(text)))
        states = [symbols]
        merge_symbols(symbols, self._ranks, states)
        return states

    def _prepare(self, text: str) -> str:
        """Write spaces as the vocabulary does, one before the text included."""
        space = self.vocabulary.space
        prefix = space if text and self.vocabulary.add_dummy_prefix else ""
        return prefix + text.replace(" ", space)

    def _encode(self, text: str) -> list[int]:
        text = self._prepare(text)
        if self._whole is None:
            ids = self._encode_part(text)
        else:
            # split() puts what is between user-defined pieces at the even places, them at the odd.
            parts = self._whole.split(text)
            ids = [
                token_id
                for i, part in enumerate(parts)
                for token_id in ([self._ids[part]] if i % 2 else self._encode_part(part))
            ]
        if not self.vocabulary.byte_ids and self.vocabulary.unk_id in ids:
            return _one_unknown_each_run(ids, self.vocabulary.unk_id)
        return ids

    def _encode_part(self, text: str) -> list[int]:
        """The ids of a text without user-defined pieces, word by word where that is allowed."""
        if self._words is None:
            return self._merge(text)
        ids: list[int] = []
        cache = self._cache
        for word in self._words.findall(text):
            known = cache.get(word)
            if known is None:
                known = self._older.get(word) or self._merge(word)
                if len(word) <= _CACHED_WORD_LENGTH:
                    if len(cache) >= _CACHED_WORDS // 2:
                        self._older, cache = cache, {}
                        self._cache = cache
                    cache[word] = known
            ids += known
        return ids

    def _merge(self, text: str) -> list[int]:
        known, byte_ids = self._ids, self.vocabulary.byte_ids
        unk_id = self.vocabulary.unk_id
        ids: list[int] = []
        for symbol in merge_symbols(text, self._ranks):
            token_id = known.get(symbol, unk_id)
            if token_id == unk_id and byte_ids:
                ids += [byte_ids[byte] for byte in symbol.encode()]
            else:
                ids.append(token_id)
        return ids


def _merge_ranks(vocabulary: Vocabulary) -> dict[str, int]:
    """When each piece may be merged: 0 for the highest score, the same number for equal scores."""
    rows = zip(vocabulary.pieces, vocabulary.scores, vocabulary.types, strict=True)
    normal = PieceType.NORMAL  # looked up once: an enum's members are slow to reach
    scores = {p: s for p, s, kind in rows if kind == normal and len(p) > 1}
    order = {score: rank for rank, score in enumerate(sorted(set(scores.values()), reverse=True))}
    return {piece: order[score] for piece, score in scores.items()}


def _word_pattern(merges: Iterable[str], space: str) -> re.Pattern[str] | None:
    """What to encode by itself: a run of spaces and what follows it; None if merges go beyond.

    A newline is set apart as well where no merge holds one: more words are then seen before.
    """
    if any(space in piece.lstrip(space) for piece in merges):
        return None
    if any("\n" in piece for piece in merges):
        return re.compile(f"{space}*[^{space}]+|{space}+")
    return re.compile(f"{space}*[^{space}\n]+|{space}+|\n")


def _whole_pattern(vocabulary: Vocabulary) -> re.Pattern[str] | None:
    """Finds user-defined pieces, which are never split, the longest that fits."""
    ids = ids_of_type(vocabulary.types, PieceType.USER_DEFINED)
    pieces = [vocabulary.pieces[i] for i in ids]
    if not pieces:
        return None
    return re.compile("(" + "|".join(map(re.escape, sorted(pieces, key=len, reverse=True))) + ")")


def _one_unknown_each_run(ids: list[int], unk_id: int) -> list[int]:
    collapsed: list[int] = []
    for token_id, run in groupby(ids):
        collapsed += [token_id] if token_id == unk_id else run
    return collapsed
