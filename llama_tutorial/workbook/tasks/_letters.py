"""A tokenizer whose ids can be read: a letter is a token, and every text begins with a ▁.

It puts that mark, its space, before each text that it encodes, as SentencePiece does for Llama. So
it shows, too, if two texts were encoded one by one that should have been one.
"""

from __future__ import annotations

from typing import Any

BOS, EOS = 1, 2
_SHOWN = {BOS: "⟨BOS⟩", EOS: "⟨EOS⟩"}


class Letters:
    """A tokenizer with a token for each character; ``encode`` is Llama's."""

    bos_id, eos_id = BOS, EOS

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        """The code point of each character."""
        return [BOS] * bos + [ord(letter) for letter in "▁" + text] + [EOS] * eos


def readable(ids: Any) -> Any:
    """The ids as texts, of which each begins with BOS; what is no list of ids stays as it is."""
    if not isinstance(ids, list) or not all(isinstance(token, int) for token in ids):
        return ids
    text = "".join(shown(token) for token in ids)
    head, *rest = text.split(_SHOWN[BOS])
    return [*([head] if head else []), *(_SHOWN[BOS] + part for part in rest)]


def shown(token: int) -> str:
    """A token's letter; BOS and EOS by name."""
    return _SHOWN.get(token) or (chr(token) if 0 < token < 0x110000 else "�")
