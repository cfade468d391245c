"""From ids back to text, one id at a time, never showing half a character.

Decoding looks like joining the pieces, and is nearly that. Three things make it more:

* The space that was put before the text comes off again, from the first piece only. Decoding id by
  id would take it off every piece, and ``Once upon`` would read ``Onceupon``.
* A character without a piece arrives as up to four byte pieces. Until the last of them is there,
  nothing may be shown: the bytes are held back.
* Bytes that make no character (a model may choose any) become U+FFFD, one for each byte, as
  SentencePiece does. Python's ``errors="replace"`` gives one for a whole truncated character.

Feeding every id and then calling :meth:`StreamDecoder.flush` gives exactly ``decode(ids)``.
Follows ``SentencePieceProcessor::Decode``.
"""

from __future__ import annotations

import codecs
from typing import SupportsIndex

from llama_tutorial.tokenizer.vocabulary import Vocabulary, check_id

_EACH_BYTE = "llama_tutorial.each_byte"


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\N{REPLACEMENT CHARACTER}" * (error.end - error.start), error.end


codecs.register_error(_EACH_BYTE, _replace_each_byte)


class StreamDecoder:
    """Turns token ids into text as they come; made by ``tokenizer.stream_decoder()``."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._surfaces = vocabulary.surfaces
        self._utf8 = codecs.getincrementaldecoder("utf-8")(_EACH_BYTE)
        self._start()

    def _start(self) -> None:
        vocabulary = self._vocabulary
        self._at_start = vocabulary.add_dummy_prefix or vocabulary.remove_extra_whitespaces

    def feed(self, token_id: SupportsIndex) -> str:
        """The text that ``token_id`` completes; '' while a character lacks bytes.

        Raises:
            ValueError: The id is not in the vocabulary.
        """
        token_id = check_id(token_id, len(self._vocabulary))
        surface = self._surfaces[token_id]
        if isinstance(surface, int):
            text = self._utf8.decode(bytes((surface,)))
        else:
            text = self._utf8.decode(b"", final=True)
            if self._at_start and surface and not text:
                return self._first(token_id, surface)
            text += surface
        self._at_start = self._at_start and not text
        return text

    def _first(self, token_id: int, surface: str) -> str:
        """The first piece that shows, less the space that stands before every text."""
        vocabulary = self._vocabulary
        if vocabulary.pieces[token_id].startswith(vocabulary.space):
            surface = surface[1:]
        self._at_start = vocabulary.remove_extra_whitespaces and not surface
        return surface

    def flush(self) -> str:
        """What was held back: U+FFFD for each byte. Ends the text; the next id starts another."""
        text = self._utf8.decode(b"", final=True)
        self._start()
        return text
