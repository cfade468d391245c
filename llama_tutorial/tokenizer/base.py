"""What both tokenizers share: the interface, and the checks at its door.

``encode`` turns text into ids, ``decode`` turns ids into text. BOS and EOS are not part of the
text: they are added where they are asked for, as ids, and the *text* ``<s>`` gets the ids of its
characters, never id 1. So nobody can type a control token into a prompt.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import SupportsIndex

from llama_tutorial._util.files import replace_file
from llama_tutorial._util.given_file import foreign, kind_of
from llama_tutorial.tokenizer.bin_file import format_tokenizer_bin
from llama_tutorial.tokenizer.stream_decoder import StreamDecoder
from llama_tutorial.tokenizer.vocabulary import Vocabulary, check_id

_LARGEST = 2**26  # bytes; the largest vocabularies take a twelfth of that


class BaseTokenizer(ABC):
    """Text to ids and back; see :class:`~llama_tutorial.tokenizer.sentencepiece.Tokenizer` for an
    instance.

    Attributes:
        vocabulary: the :class:`~llama_tutorial.tokenizer.vocabulary.Vocabulary`: pieces, scores,
            types.
        vocab_size: the number of pieces, 32,000 for Llama 2.
        bos_id, eos_id: begin and end of a text, 1 and 2 for Llama 2.
        pad_id: -1: Llama 2 has no padding token, so a mask must say which places are padding.
    """

    vocabulary: Vocabulary
    vocab_size: int
    bos_id: int
    eos_id: int
    pad_id: int

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocab_size} pieces)"

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        """The ids of ``text``.

        Llama 2 completes text after ``encode(text, bos=True)`` and was trained on texts with both.
        ``<s>`` typed in the text is text like any other, never the id 1.

        Args:
            text: any text; '' gives no ids but those asked for.
            bos: whether to put the BOS id first.
            eos: whether to put the EOS id last.

        Raises:
            ValueError: ``text`` is not a str or holds half of a surrogate pair, which no UTF-8 can
                hold; or the vocabulary has no such special id.
        """
        ids = self._encode(check_text(text))
        if bos:
            ids.insert(0, _special(self.bos_id, "BOS"))
        if eos:
            ids.append(_special(self.eos_id, "EOS"))
        return ids

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of ``ids``: special ids vanish, and so does the space before the first word.

        Bytes that make no character give one U+FFFD each; the unknown id gives ' ⁇ '.

        Raises:
            ValueError: ``ids`` is not a sequence of integers, or one is not in the vocabulary.
        """
        return self._decode(check_ids(ids, self.vocab_size))

    @abstractmethod
    def _encode(self, text: str) -> list[int]:
        """A fresh list of the ids of a text that has been checked."""

    def _decode(self, ids: list[int]) -> str:
        decoder = self.stream_decoder()
        return "".join(map(decoder.feed, ids)) + decoder.flush()

    def stream_decoder(self) -> StreamDecoder:
        """An object whose ``feed(id)`` gives the text that each id completes; ``flush()`` ends it.

        The texts joined are exactly ``decode(ids)``, and none holds a broken character.
        """
        return StreamDecoder(self.vocabulary)

    def id_to_piece(self, token_id: SupportsIndex) -> str:
        """The piece with this id, as it is stored: ``▁Hello``, ``<0x0A>``, ``<s>``."""
        return self.vocabulary.pieces[check_id(token_id, self.vocab_size)]

    def piece_to_id(self, piece: str) -> int:
        """The id of a piece.

        Raises:
            ValueError: There is no such piece.
        """
        if not isinstance(piece, str) or piece not in self.vocabulary.ids:
            raise ValueError(
                f"{piece!r} is not one of the {self.vocab_size} pieces (a piece that begins a word "
                f"begins with {self.vocabulary.space!r})"
            )
        return self.vocabulary.ids[piece]

    def pieces(self, text: str) -> list[str]:
        """The pieces of ``text``, one for each id of ``encode(text)``."""
        return [self.id_to_piece(token_id) for token_id in self.encode(text)]

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that ``load_tokenizer`` reads back; never half there."""

    def save_tokenizer_bin(self, path: str | os.PathLike[str]) -> None:
        """Write llama2.c's ``tokenizer.bin``, byte for byte as its ``tokenizer.py`` does.

        Raises:
            ValueError: The format cannot hold the vocabulary.
        """
        self._write(path, format_tokenizer_bin(self.vocabulary))

    def _write(self, path: str | os.PathLike[str], data: bytes) -> None:
        with replace_file(path) as file:
            file.write(data)


def check_ids(ids: Iterable[SupportsIndex], vocab_size: int) -> list[int]:
    """The ids as ints, or a ValueError as ``decode`` raises it."""
    if isinstance(ids, str | bytes) or not hasattr(ids, "__iter__"):
        raise ValueError(
            f"decode takes a list of ids, not {type(ids).__name__}; put a single id in a list"
        )
    return [check_id(token_id, vocab_size) for token_id in ids]


def check_texts(text: str | Iterable[str]) -> Iterator[str]:
    """One text or several, each checked; a ValueError where they are something else."""
    if isinstance(text, bytes) or not hasattr(text, "__iter__"):
        raise ValueError(f"text is a {type(text).__name__}: pass a str, or several in a list")
    return map(check_text, [text] if isinstance(text, str) else text)


def check_text(text: object) -> str:
    """Return ``text`` if it is a str that UTF-8 can hold, else raise as ``encode`` does."""
    if not isinstance(text, str):
        kind = type(text).__name__
        raise ValueError(f"encode takes one str, not {kind}: encode texts one by one")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text has the lone surrogate U+{ord(text[error.start]):04X} at position "
            f"{error.start}, which is no character: clean it with "
            "text.encode('utf-8', 'replace').decode()"
        ) from None
    return text


def _special(token_id: int, name: str) -> int:
    if token_id < 0:
        raise ValueError(f"this vocabulary has no {name}: encode with {name.lower()}=False")
    return token_id


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a tokenizer file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, no file at all, empty, or larger than any tokenizer.
    """
    file = Path(path)
    kind = kind_of(file)
    if kind == "folder":
        raise ValueError(f"{file} is a folder: pass the file in it, such as tokenizer.model")
    if not kind:
        raise FileNotFoundError(f"{file} does not exist: pass a tokenizer.model or tokenizer.bin")
    if not (size := file.stat().st_size):
        raise ValueError(f"{file} is empty: expected a tokenizer.model or tokenizer.bin")
    if size > _LARGEST:
        raise ValueError(f"{file} has {size} bytes: no tokenizer has so many; is it the model?")
    data = file.read_bytes()
    if what := foreign(data[:256]):
        raise ValueError(f"{file} is {what}: neither a SentencePiece .model nor a tokenizer.bin")
    return data


@contextmanager
def errors_name(path: str | os.PathLike[str]) -> Iterator[None]:
    """Begin the message of every ValueError with the name of the file that it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
