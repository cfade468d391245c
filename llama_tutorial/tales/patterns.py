"""The sentence patterns, written once in ``data/patterns.txt``, used to tell and to read.

That file explains how they are written; ``data/frames.txt`` holds what stands around a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import product
from typing import NamedTuple

from llama_tutorial.tales.tables import keyed, lines, sections
from llama_tutorial.tales.words import PLACES, THINGS
from llama_tutorial.tales.world import Rule, parse_rules

_HEADER = re.compile(
    r"= (?P<kind>\w+)(?: (?P<speaker>\w)>(?P<hearer>\w))?:(?P<needs>.*?)->(?P<makes>.*)"
)
_SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_CHOICE = re.compile(r"\[([^\]]*)\]")


class Slot(NamedTuple):
    """A place in a pattern for somebody or something; ``form`` says how it is to look."""

    role: str
    form: str


Parts = tuple[str | Slot, ...]


class EventKind(NamedTuple):
    """What can happen: the rules of it, and every way to tell it."""

    name: str
    needs: tuple[Rule, ...]
    makes: tuple[Rule, ...]
    speaker: str  # role; empty for what is told and not said
    hearer: str
    roles: frozenset[str]  # those that its rules speak of, but for spots, which may stay unknown
    patterns: list[Pattern]


class Pattern(NamedTuple):
    """One way to tell an event, with its free choices spelled out in ``variants``."""

    event: EventKind
    text: str
    roles: frozenset[str]  # those that its words name
    inferred: frozenset[str]  # those of the event that its words leave out
    guards: tuple[tuple[str, str, str], ...]  # role, ":" or "=", trait or noun
    tone: str
    variants: tuple[Parts, ...]


class Frames(NamedTuple):
    """What stands around a sentence, each by its name in ``data/frames.txt``."""

    openers: dict[str, tuple[str, ...]]
    after: dict[str, list[Parts]]
    before: dict[str, list[Parts]]
    sounds: tuple[str, ...]


def parts(text: str) -> Parts:
    """Cut a pattern without choices into literal text and slots."""
    pieces = _SLOT.split(text)  # literal, role, form, literal, role, form, ..., literal
    found: list[str | Slot] = [pieces[0]]
    for i in range(1, len(pieces), 3):
        found += [Slot(pieces[i], pieces[i + 1] or ""), pieces[i + 2]]
    return tuple(part for part in found if part)


def spell_out(text: str) -> tuple[Parts, ...]:
    """Every variant of a pattern, one for each combination of its choices."""
    pieces = _CHOICE.split(text)  # literal, choice, literal, choice, ...
    options = [piece.split("|") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return tuple(parts("".join(combination)) for combination in product(*options))


def parse_events(rows: Iterable[str]) -> dict[str, EventKind]:
    """Read a table of events.

    Raises:
        ValueError: A row before the first header, a malformed header, or an event given twice.
    """
    events: dict[str, EventKind] = {}
    event: EventKind | None = None
    for row in rows:
        if row.startswith("="):
            match = _HEADER.fullmatch(row)
            if not match or match["kind"] in events:
                raise ValueError(
                    f"{row!r}: must be '= kind: needs -> makes' with a kind of its own"
                )
            needs, makes = parse_rules(match["needs"]), parse_rules(match["makes"])
            people = match["speaker"] or "", match["hearer"] or ""
            event = EventKind(match["kind"], needs, makes, *people, _roles(needs + makes), [])
            events[event.name] = event
        elif event is None:
            raise ValueError(f"{row!r}: comes before the first kind")
        else:
            event.patterns.append(_pattern(event, row))
    return events


def _roles(rules: tuple[Rule, ...]) -> frozenset[str]:
    """Every role letter in some rules, but for spots."""
    words = {word for rule in rules for word in (*rule.left.split(","), rule.right.split(".")[0])}
    return frozenset(words & set("ABCDEGxyzpqrw"))


def _pattern(event: EventKind, row: str) -> Pattern:
    guards: list[tuple[str, str, str]] = []
    tone, rest = "", row
    if rest.startswith("<"):
        guard, rest = rest[1:].split("> ", 1)
        guards = [(word[0], word[1], word[2:]) for word in guard.split(", ")]
    if event.speaker and (match := re.match(r"([\w?!.]+): ", rest)):
        tone, rest = match[1], rest[match.end() :]
    if event.speaker:  # "My kite is gone|What shall I do?": a full stop where none is written
        rest = re.sub(r"(?<![.?!])\|(?![^\[]*\])", ".|", rest)
    variants = spell_out(rest)
    roles = {slot.role for variant in variants for slot in variant if isinstance(slot, Slot)}
    roles |= {role for role, relation, _ in guards if relation == "="} | {*event.speaker}
    inferred = event.roles - roles
    return Pattern(event, row, frozenset(roles), inferred, tuple(guards), tone, variants)


@cache
def event_kinds() -> dict[str, EventKind]:
    """All that can happen in a tale, by name."""
    return parse_events(lines("patterns"))


@cache
def frames() -> Frames:
    """Openers, frames of speech, and sounds."""
    tables = {heading: keyed(rows, " | ") for heading, rows in sections("frames").items()}
    after, before = (
        {tone: [parts(text) for text in texts] for tone, texts in tables[heading].items()}
        for heading in ("after the words", "before the words")
    )
    return Frames({"": ("",)} | tables["openers"], after, before, tables["sounds"]["all"])


def guard_holds(guard: tuple[str, str, str], value: str) -> bool:
    """Whether a thing or a place is what a pattern asks for."""
    _, relation, wanted = guard
    if relation == "=":
        return value == wanted
    table = THINGS if value in THINGS else PLACES
    return value in table and wanted in table[value].traits
