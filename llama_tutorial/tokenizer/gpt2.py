"""GPT-2's tokenizer: byte-pair encoding over bytes, by tiktoken or tokenizers.

GPT-2 merges bytes and not characters: 256 byte tokens, 50,000 merges, and ``<|endoftext|>``, which
stands between texts. Nothing is unknown and no space is put in front. Its two files write every
byte as a printable character (a space is ``Ġ``), so that they can be JSON and lines of text:
``vocab.json`` has each token's id, ``merges.txt`` the merges in their order.

Text is first cut into words by an expression of GPT-2's, which Python's own ``re`` cannot run; so
one of two libraries does the encoding, whichever is installed. Decoding needs neither.

Source: ``encoder.py`` of openai/gpt-2.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import SupportsIndex

from llama_tutorial._util.files import replace_file
from llama_tutorial.tokenizer.base import check_ids, check_text
from llama_tutorial.tokenizer.gpt2_files import END_OF_TEXT, MERGES, VOCABULARY, read_folder
from llama_tutorial.tokenizer.merging import merge_symbols
from llama_tutorial.tokenizer.vocabulary import check_id

_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class GPT2Tokenizer:
    """Text to ids and back, with the interface of
    :class:`~llama_tutorial.tokenizer.sentencepiece.Tokenizer`.

    Args:
        vocabulary: Token to id, the tokens in GPT-2's printable characters.
        merges: Pairs of tokens, the earliest first.

    Attributes:
        vocab_size: Number of tokens, 50,257 for GPT-2.
        bos_id, eos_id: Both ``<|endoftext|>``, 50256: it ends a text and so begins the next.
        pad_id: -1: there is none.

    Raises:
        ValueError: The ids are not 0, 1, 2, ...; ``<|endoftext|>`` or a byte is missing; or a token
            is none of these and no merge makes it.
        ImportError: Neither tiktoken nor tokenizers is installed.
    """

    pad_id = -1

    def __init__(self, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
        if sorted(vocabulary.values()) != list(range(len(vocabulary))):
            raise ValueError("the vocabulary is damaged: its ids must be 0, 1, 2, ... in any order")
        if END_OF_TEXT not in vocabulary:
            raise ValueError(f"the vocabulary is no GPT-2's: it has no {END_OF_TEXT}")
        _check_tokens(vocabulary, merges)
        self.vocab_size = len(vocabulary)
        self.bos_id = self.eos_id = vocabulary[END_OF_TEXT]
        self.vocabulary, self.merges = vocabulary, merges
        to_byte = {character: byte for byte, character in enumerate(_printable())}
        self._bytes = [b""] * len(vocabulary)
        for token, token_id in vocabulary.items():
            if token_id != self.eos_id:
                self._bytes[token_id] = bytes(to_byte[character] for character in token)
        self._encode = _encoder(vocabulary, merges, self._bytes, self.eos_id)

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> GPT2Tokenizer:
        """Read ``vocab.json`` and ``merges.txt``, or ``tokenizer.json``, which holds both.

        Raises:
            FileNotFoundError: They are not there.
            ValueError: They are damaged, of another tokenizer, or ask for what is not followed
                here; the error names the file and the setting.
        """
        vocabulary, merges = read_folder(Path(folder))
        try:
            return cls(vocabulary, merges)
        except ValueError as error:
            raise ValueError(f"{folder} holds no tokenizer of GPT-2's: {error}") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocab_size} tokens)"

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        """The ids of ``text``. ``<|endoftext|>`` typed in it is text like any other.

        Args:
            text: Any text.
            bos: Whether to put ``<|endoftext|>`` first.
            eos: Whether to put it last.

        Raises:
            ValueError: ``text`` is not a str, or holds half of a surrogate pair.
        """
        end = [self.eos_id]
        return end * bool(bos) + list(self._encode(check_text(text))) + end * bool(eos)

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of ``ids``; ``<|endoftext|>`` vanishes, broken characters are U+FFFD.

        Raises:
            ValueError: ``ids`` is not a sequence of integers, or one is not in the vocabulary.
        """
        decoder = self.stream_decoder()
        return "".join(map(decoder.feed, check_ids(ids, self.vocab_size))) + decoder.flush()

    def stream_decoder(self) -> GPT2StreamDecoder:
        """An object whose ``feed(id)`` gives the text that each id completes; ``flush()`` ends."""
        return GPT2StreamDecoder(self._bytes)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``vocab.json`` and ``merges.txt`` into a folder that is there."""
        lines = ["#version: 0.2", *(" ".join(pair) for pair in self.merges), ""]
        texts = {
            VOCABULARY: json.dumps(self.vocabulary, ensure_ascii=False),
            MERGES: "\n".join(lines),
        }
        for name, text in texts.items():
            with replace_file(Path(folder) / name) as file:
                file.write(text.encode())


class GPT2StreamDecoder:
    """Bytes to text as they come: a character is shown when its last byte is there."""

    def __init__(self, token_bytes: list[bytes]) -> None:
        self._bytes = token_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: SupportsIndex) -> str:
        """The text that ``token_id`` completes; '' while a character lacks bytes.

        Raises:
            ValueError: The id is not in the vocabulary.
        """
        return self._utf8.decode(self._bytes[check_id(token_id, len(self._bytes))])

    def flush(self) -> str:
        """What was held back, as U+FFFD."""
        text = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return text


def _printable() -> list[str]:
    """The character that stands for each byte: itself if it shows, else one beyond U+00FF."""
    shows = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)}
    shows |= set(range(ord("®"), ord("ÿ") + 1))
    hidden = [byte for byte in range(256) if byte not in shows]
    return [chr(byte if byte in shows else 256 + hidden.index(byte)) for byte in range(256)]


def _check_tokens(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    """Refuse a vocabulary unless it is bytes, what the merges make of them, and the end of text."""
    known = {END_OF_TEXT}
    for byte, character in enumerate(_printable()):
        if character not in vocabulary:
            raise ValueError(f"the vocabulary has no token for the byte {byte:#04x}, {character!r}")
        known.add(character)
    if len(set(merges)) < len(merges):
        raise ValueError("a merge is there twice")
    for left, right in merges:
        for token in (left, right, left + right):
            if token not in vocabulary:
                raise ValueError(
                    f"the merge of {left!r:.50} and {right!r:.50} names {token!r:.50}, "
                    "which is no token"
                )
        known.add(left + right)
    if unknown := next((token for token in vocabulary if token not in known), None):
        raise ValueError(
            f"the token {unknown!r:.50} is no byte, made by no merge, and not {END_OF_TEXT}"
        )


def _encoder(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], tokens: list[bytes], eos_id: int
) -> Callable[[str], list[int]]:
    """What turns text into ids: of tiktoken, else of tokenizers."""
    try:
        import tiktoken
    except ImportError:
        return _other_encoder(vocabulary, merges)
    if not _ids_tell_the_merges(vocabulary, merges):
        return _other_encoder(vocabulary, merges)
    ranks = {token: i for i, token in enumerate(tokens) if i != eos_id}
    special = {END_OF_TEXT: eos_id}
    encoding = tiktoken.Encoding(
        "gpt2", pat_str=_WORDS, mergeable_ranks=ranks, special_tokens=special
    )
    return encoding.encode_ordinary


def _ids_tell_the_merges(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> bool:
    """Whether the ids say all about the merges, as in GPT-2's own vocabulary.

    tiktoken goes by them: two neighbours whose join is a token merge, whichever they are, the
    lowest id first. That is the same if the ids are in the order of the merges and each token,
    spelled with those before it, comes to the two that its merge joins.
    """
    ids: dict[str, int] = {}
    last = -1
    for left, right in merges:
        token = left + right
        if vocabulary[token] <= last or merge_symbols(token, ids) != [left, right]:
            return False
        ids[token] = last = vocabulary[token]
    return True


def _other_encoder(
    vocabulary: dict[str, int], merges: list[tuple[str, str]]
) -> Callable[[str], list[int]]:
    try:
        from tokenizers import ByteLevelBPETokenizer
    except ImportError:
        raise ImportError("GPT-2's tokenizer needs a library: pip install tiktoken") from None
    tokenizer = ByteLevelBPETokenizer(vocabulary, merges)
    return lambda text: tokenizer.encode(text).ids
