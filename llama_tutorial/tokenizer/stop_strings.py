r"""Stop strings: end a text just before one of them, and never show the beginning of one.

A model ends a text by an id, EOS. To end it at words, ``"\n\n"`` or ``"User:"``, ids will not do:
the same characters may be cut into tokens in many ways, and a token may hold the end of the stop
string and more behind it. So this works on text, behind the stream decoder. What could be the
beginning of a stop string is held back until the next piece decides.

    >>> decoder, stops = tokenizer.stream_decoder(), StopStrings(["\n\n", "User:"])
    >>> for piece in stops.until(map(decoder.feed, stream(model, prompt, 200))):
    ...     print(piece, end="", flush=True)
    >>> stops.found
    'User:'

For a text that is there already, ``"".join(stops.until([text]))`` is enough.

The first string that is complete ends the text; where two are complete with the same character, the
longer one. So it does not matter in which pieces the text comes. Only what is fed counts: a stop
string in the prompt, or begun there, is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class StopStrings:
    """Lets a text through, piece by piece, up to the first of some strings.

    Args:
        stop_strings: Strings of at least one character; none lets everything through.

    Attributes:
        stop_strings: They, as a list.
        found: The stop string that ended the text; None as long as none has.

    Raises:
        ValueError: One is empty or no text, or a single text stands in place of a list.
    """

    def __init__(self, stop_strings: Iterable[str] = ()) -> None:
        if isinstance(stop_strings, str | bytes) or not isinstance(stop_strings, Iterable):
            raise ValueError(
                f"stop_strings={stop_strings!r}: must be a list of texts; put a single one in a "
                "list"
            )
        self.stop_strings = list(stop_strings)
        for stop in self.stop_strings:
            if not isinstance(stop, str) or not stop:
                raise ValueError(
                    f"stop_strings={stop!r}: each must be a text of at least one character"
                )
            if any("\ud800" <= character <= "\udfff" for character in stop):  # not UTF-8
                raise ValueError(
                    f"stop_strings={stop!r}: holds half of a surrogate pair, which no text has"
                )
        self.found: str | None = None
        self._held = ""

    def feed(self, text: str) -> str:
        """What is now certain to stand before any stop string; '' once one was found."""
        if self.found is not None:
            return ""
        text = self._held + text
        ends = [
            (text.index(stop) + len(stop), -len(stop), stop)
            for stop in self.stop_strings
            if stop in text
        ]
        if ends:
            end, _, self.found = min(ends)
            self._held = ""
            return text[: end - len(self.found)]
        certain = len(text) - max((_overlap(text, stop) for stop in self.stop_strings), default=0)
        self._held = text[certain:]
        return text[:certain]

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held

    def until(self, texts: Iterable[str]) -> Iterator[str]:
        """The pieces of a new text up to the first stop string; no further one is asked for."""
        self.found, self._held = None, ""
        for text in texts:
            if piece := self.feed(text):
                yield piece
            if self.found is not None:
                return
        if rest := self.flush():
            yield rest


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` could be the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if stop.startswith(text[-n:])), 0)
