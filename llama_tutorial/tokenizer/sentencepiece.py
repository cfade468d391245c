"""Llama 2's tokenizer: SentencePiece, used as Meta uses it.

A model reads numbers. Characters would make long sequences, words an endless vocabulary; Llama 2
takes *pieces* in between, learned by byte-pair encoding: 32,000 of them, frequent words whole and
rare ones in parts. SentencePiece treats the space as a character, ``▁``, so that text comes back
exactly, and what has no piece becomes bytes, so that nothing is unknown::

    "Hello World!"  →  ▁Hello  ▁World  !  →  15043  2787  29991

Meta's wrapper is thin, and three of its choices matter. BOS is not part of the text: SentencePiece
does not add it, ``encode(text, bos=True)`` does. There is no padding token: ``pad_id`` is -1. And a
space is put before every text, one that begins with a space included: "Hello" is [15043], and
" Hello" is [29871, 15043].

Follows ``llama/tokenizer.py`` of meta-llama/llama; the training settings are those stored in the
``tokenizer.model`` of Llama 2. The same from scratch is :mod:`llama_tutorial.tokenizer.bpe`.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from functools import cached_property
from types import ModuleType
from typing import Any, SupportsIndex

from llama_tutorial._util.gguf_file import is_gguf
from llama_tutorial.tokenizer.base import (
    BaseTokenizer,
    check_texts,
    errors_name,
    read_bytes,
)
from llama_tutorial.tokenizer.bpe import BPETokenizer
from llama_tutorial.tokenizer.model_file import (
    check_whole,
    format_model,
    is_model,
    parse_model,
)
from llama_tutorial.tokenizer.vocabulary import Vocabulary, check_id

# What Llama 2's tokenizer.model says that it was trained with.
LLAMA2_TRAINING = {
    "model_type": "bpe",
    "normalization_rule_name": "identity",
    "split_digits": True,
    "add_dummy_prefix": True,
    "remove_extra_whitespaces": False,
    "allow_whitespace_only_pieces": True,
    "unk_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": -1,
    "unk_surface": " ⁇ ",
    # Not stored there: the same result every time, and no log.
    "num_threads": 1,
    "minloglevel": 2,
}
_SKIPPED_LINE_MARK = "▅"  # SentencePiece's trainer leaves out every line that holds it


class Tokenizer(BaseTokenizer):
    """A tokenizer over SentencePiece.

    Args:
        model: the path of a ``.model`` file, or its bytes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated or no SentencePiece model.
        ImportError: sentencepiece is not installed.
    """

    def __init__(self, model: str | os.PathLike[str] | bytes) -> None:
        new_processor = _import_sentencepiece().SentencePieceProcessor
        self._model = model if isinstance(model, bytes) else read_bytes(model)
        with nullcontext() if isinstance(model, bytes) else errors_name(model):
            check_whole(self._model)
            try:
                self._processor: Any = new_processor(model_proto=self._model)
            except RuntimeError as error:
                parse_model(self._model)  # says at which byte the damage is, if it can
                raise ValueError(f"SentencePiece refuses it: {error}") from None
        self.vocab_size = self._processor.vocab_size()
        self.bos_id, self.eos_id = self._processor.bos_id(), self._processor.eos_id()
        self.pad_id = self._processor.pad_id()

    @cached_property
    def vocabulary(self) -> Vocabulary:  # type: ignore[override]
        """The table of pieces with what SentencePiece's API does not tell, read when it is used."""
        return parse_model(self._model)

    @classmethod
    def train(
        cls,
        text: str | Iterable[str],
        vocab_size: int,
        *,
        character_coverage: float = 0.99995,
        byte_fallback: bool = True,
        **settings: object,
    ) -> Tokenizer:
        """Train SentencePiece with the settings of Llama 2's tokenizer.

        The same text gives the same vocabulary: one thread, no sampling.

        Args:
            text: one text, or several; each line counts as a text. ``▅`` counts as a space, for
                SentencePiece's trainer keeps that character to itself.
            vocab_size: number of pieces, the special ones, bytes and characters included.
            character_coverage: share of the text's characters that must have a piece, 0.98 to 1.
            byte_fallback: whether other characters become bytes, or are unknown.
            **settings: any other option of SentencePiece's trainer.

        Raises:
            ValueError: SentencePiece refuses, for instance because the size is too small for the
                characters or too large for the text.
        """
        lines = _training_lines(text)
        out = io.BytesIO()
        try:
            _import_sentencepiece().SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=out,
                vocab_size=vocab_size,
                character_coverage=character_coverage,
                byte_fallback=byte_fallback,
                # Longer lines would be left out, without a word.
                max_sentence_length=max(10, *(len(line.encode()) + 1 for line in lines)),
                **{**LLAMA2_TRAINING, **settings},
            )
        except (RuntimeError, OSError) as error:
            # "INTERNAL: file(line) [condition] What is wrong."
            reason = str(error).rpartition("] ")[2] or str(error)
            raise ValueError(
                f"SentencePiece cannot train {vocab_size} pieces: {_plainly(reason, vocab_size)}"
            ) from None
        return cls(out.getvalue())

    def _encode(self, text: str) -> list[int]:
        return self._processor.encode(text)

    def _decode(self, ids: list[int]) -> str:
        return self._processor.decode(ids)

    def id_to_piece(self, token_id: SupportsIndex) -> str:
        """The piece with this id, as it is stored: ``▁Hello``, ``<0x0A>``, ``<s>``."""
        return self._processor.id_to_piece(check_id(token_id, self.vocab_size))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ``.model`` file, the same bytes that it was loaded from."""
        self._write(path, self._model)


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer | BPETokenizer:
    """Load a tokenizer file, whatever its name.

    A SentencePiece ``.model`` gives a :class:`Tokenizer` (or, where sentencepiece is not installed,
    a :class:`~llama_tutorial.tokenizer.bpe.BPETokenizer`, whose ids are the same), and so does a
    model's GGUF file; llama2.c's ``tokenizer.bin`` gives a
    :class:`~llama_tutorial.tokenizer.bpe.BPETokenizer`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated or something else.
    """
    if is_gguf(path):
        pieces = BPETokenizer.from_file(path)
        with suppress(ImportError):
            return Tokenizer(format_model(pieces.vocabulary))
        return pieces
    data = read_bytes(path)
    with errors_name(path):
        if is_model(data):
            with suppress(ImportError):
                return Tokenizer(data)
        return BPETokenizer.from_bytes(data)


def _training_lines(texts: str | Iterable[str]) -> list[str]:
    lines = [
        line.replace(_SKIPPED_LINE_MARK, " ")
        for text in check_texts(texts)
        for line in text.split("\n")
        if line
    ]
    if not lines:
        raise ValueError("there is no text to learn from: pass at least one line that is not empty")
    return lines


def _import_sentencepiece() -> ModuleType:
    try:
        import sentencepiece
    except ImportError:
        raise ImportError(
            "Tokenizer needs SentencePiece: pip install sentencepiece (BPETokenizer does not)"
        ) from None
    return sentencepiece


def _plainly(reason: str, vocab_size: int) -> str:
    """What SentencePiece's trainer says of a size that the text does not allow, in plain words."""
    if most := re.search(r"Vocabulary size too high .* <= (\d+)", reason):
        return f"vocab_size={vocab_size}: this text gives at most {most[1]}"
    if least := re.search(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)", reason):
        return f"vocab_size={vocab_size}: the characters of this text alone take {least[1]}"
    return reason
