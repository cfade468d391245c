"""Cutting a text into sentences; speech stays with the words that say who speaks."""

from __future__ import annotations

import re
from typing import NamedTuple

from llama_tutorial.tales.chunking import Item, chunk, words_of
from llama_tutorial.tales.index import frame_index, key_of, openers

_NARRATED = re.compile(r'[^".!?]*[.!?]*')


class Unit(NamedTuple):
    """A sentence: told, or spoken with a frame around."""

    text: str
    told: str  # the sentence, or "said Tom" / "Tom asked"
    spoken: str = ""
    after: bool = False  # whether the frame follows the words


def split_units(text: str) -> list[Unit]:
    """Cut a text into sentences; a last one that breaks off is left out."""
    text = text.strip()
    units: list[Unit] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] == '"':
            at = _spoken_unit(text, at, units)
        else:
            at = _told_unit(text, at, units)
    broken = text[-1:] not in (".", "!", "?", '"') or text.count('"') % 2 == 1
    return units[:-1] if broken else units


def _closing(text: str, at: int) -> int:
    """Where the quotation ends that begins before ``at``."""
    close = text.find('"', at)
    return len(text) - 1 if close < 0 else close


def _told_unit(text: str, at: int, units: list[Unit]) -> int:
    """A sentence that does not begin with a quotation mark; returns where it ends."""
    end = max(_NARRATED.match(text, at).end(), at + 1)
    told = text[at:end]
    if told.endswith(", ") and text[end : end + 1] == '"':
        close = _closing(text, end + 1)
        units.append(Unit(text[at : close + 1], told, text[end + 1 : close]))
        return close + 1
    units.append(Unit(told, told))
    return end


def _spoken_unit(text: str, at: int, units: list[Unit]) -> int:
    """A sentence that begins with one; words without a frame belong to the last speaker."""
    close = _closing(text, at + 1)
    spoken = text[at + 1 : close]
    frame = _NARRATED.match(text, close + 1)[0]
    framed = spoken[-1:] in (",", "!", "?") and frame.endswith(".")
    if framed and ">" + key_of(chunk(words_of(frame))) in frame_index():
        units.append(Unit(text[at : close + 1 + len(frame)], frame, spoken, True))
        return close + 1 + len(frame)
    if units and units[-1].spoken and units[-1].after:
        last = units[-1]
        said = last.spoken[:-1] + "." if last.spoken.endswith(",") else last.spoken
        whole = f"{last.text} {text[at : close + 1]}"
        units[-1] = last._replace(text=whole, spoken=f"{said} {spoken}")
    else:
        units.append(Unit(text[at : close + 1], "", spoken))
    return close + 1


def starts(items: list[Item]) -> list[list[Item]]:
    """The items as they are, and without the opener where there is one."""
    tokens = tuple(item.token for item in items[:6])
    for opener in openers().get(tokens[0] if tokens else "", ()):
        if tokens[: len(opener)] == opener:
            rest = items[len(opener) :]
            return [items, rest[1:] if rest[:1] and rest[0].token == "," else rest]
    return [items]
