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
from operator import index
from pathlib import Path
from typing import SupportsIndex

from llama_tutorial._util.files import replace_file
from llama_tutorial._util.json_file import read_json

VOCABULARY, MERGES, BOTH = "vocab.json", "merges.txt", "tokenizer.json"
END_OF_TEXT = "<|endoftext|>"
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
        ValueError: The ids are not 0, 1, 2, ..., or ``<|endoftext|>`` is missing.
        ImportError: Neither tiktoken nor tokenizers is installed.
    """

    pad_id = -1

    def __init__(self, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
        if sorted(vocabulary.values()) != list(range(len(vocabulary))):
            raise ValueError("the vocabulary is damaged: its ids must be 0, 1, 2, ... in any order")
        if END_OF_TEXT not in vocabulary:
            raise ValueError(f"the vocabulary is no GPT-2's: it has no {END_OF_TEXT}")
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
            ValueError: They are damaged, or of another tokenizer.
        """
        folder = Path(folder)
        names = (VOCABULARY, MERGES) if (folder / VOCABULARY).is_file() else (BOTH,)
        for name in names:
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder / name}: no such file; GPT-2's tokenizer is {VOCABULARY} and "
                    f"{MERGES}, or {BOTH}"
                )
        try:
            read = _read_two if len(names) == 2 else _read_one
            return cls(*read(folder))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / names[0]} is no tokenizer of GPT-2's: {error}") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocab_size} tokens)"

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        """The ids of ``text``. ``<|endoftext|>`` typed in it is text like any other.

        Args:
            text: Any text.
            bos: Whether to put ``<|endoftext|>`` first.
            eos: Whether to put it last.
        """
        end = [self.eos_id]
        return end * bos + list(self._encode(text)) + end * eos

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of ``ids``; ``<|endoftext|>`` vanishes, broken characters are U+FFFD.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        decoder = self.stream_decoder()
        return "".join(map(decoder.feed, ids)) + decoder.flush()

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
        """The text that ``token_id`` completes; '' while a character lacks bytes."""
        token_id = index(token_id)
        if not 0 <= token_id < len(self._bytes):
            raise ValueError(
                f"token id {token_id} is out of range: there are ids 0 to {len(self._bytes) - 1}"
            )
        return self._utf8.decode(self._bytes[token_id])

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


def _read_two(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    vocabulary = read_json(folder / VOCABULARY)
    lines = (folder / MERGES).read_text(encoding="utf-8").split("\n")
    lines = [line for line in lines if line and not line.startswith("#version")]
    return vocabulary, [_pair(line) for line in lines]


def _read_one(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    contents = read_json(folder / BOTH)
    kind = (contents["pre_tokenizer"] or {}).get("type")
    if kind != "ByteLevel":
        raise ValueError(f"it cuts words by {kind!r}, GPT-2's by 'ByteLevel'")
    added = {token["content"]: token["id"] for token in contents.get("added_tokens", [])}
    model = contents["model"]
    return {**model["vocab"], **added}, [_pair(pair) for pair in model["merges"]]


def _pair(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _encoder(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], tokens: list[bytes], eos_id: int
) -> Callable[[str], list[int]]:
    """What turns text into ids: of tiktoken, else of tokenizers."""
    if unknown := {part for pair in merges for part in pair} - vocabulary.keys():
        raise ValueError(f"a merge is of {min(unknown)!r:.50}, which is no token")
    # tiktoken takes the ids for the order of merges, which in GPT-2's own vocabulary they are.
    ids = [vocabulary[left + right] for left, right in merges]
    try:
        import tiktoken
    except ImportError:
        return _other_encoder(vocabulary, merges)
    if ids != sorted(ids):
        return _other_encoder(vocabulary, merges)
    ranks = {token: i for i, token in enumerate(tokens) if i != eos_id}
    special = {END_OF_TEXT: eos_id}
    encoding = tiktoken.Encoding(
        "gpt2", pat_str=_WORDS, mergeable_ranks=ranks, special_tokens=special
    )
    return encoding.encode_ordinary


def _other_encoder(
    vocabulary: dict[str, int], merges: list[tuple[str, str]]
) -> Callable[[str], list[int]]:
    try:
        from tokenizers import ByteLevelBPETokenizer
    except ImportError:
        raise ImportError("GPT-2's tokenizer needs a library: pip install tiktoken") from None
    tokenizer = ByteLevelBPETokenizer(vocabulary, merges)
    return lambda text: tokenizer.encode(text).ids
