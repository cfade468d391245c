"""The sentence patterns: written once, used to tell and to read.

A table of :mod:`llama_tutorial.tales.grammar` holds event kinds, each with its rules
(:mod:`llama_tutorial.tales.world`) and the ways to say it::

    = give: x.holder=A, A.where~B.where -> x.holder=B, helped(A,B)
    {A} gave {x} to {B.o}
    <x:wind> {A} let {B.o} [hold|have] {x}
    = thanks A>B: helped(B,A) ->
    Thank you, {B.voc}!|You are [very|so] kind.

``{A}`` is a slot (role ``A``; after the dot its form), ``[a|b]`` a free choice, ``<...>`` a guard:
the thing has that trait (``x:wind``), or is that very thing (``x=kite``). A kind with ``A>B`` is
speech of ``A`` to ``B``: ``|`` marks where ``said Tom`` may come between, and ``glad:`` sets the
tone. A pattern that begins in lower case may follow an opener ("Then", "One day,").
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from itertools import product
from typing import NamedTuple

from llama_tutorial.tales.words import PLACES, THINGS
from llama_tutorial.tales.world import Rule, parse_rules

GRAMMAR = (
    "openings",
    "journeys",
    "speech",
    "losing",
    "giving",
    "taking",
    "weather",
    "rescue",
    "games",
    "growing",
    "nights",
    "wonders",
    "endings",
)
_HEADER = re.compile(
    r"= (?P<kind>\w+)(?: (?P<speaker>\w)>(?P<hearer>\w))?:(?P<needs>.*?)->(?P<makes>.*)"
)
_SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_CHOICE = re.compile(r"\[([^\]]*)\]")


class Slot(NamedTuple):
    """A place in a pattern for somebody or something; ``form`` says how it is to look."""

    role: str
    form: str


class EventKind(NamedTuple):
    """What can happen: the rules of it, and every way to tell it."""

    name: str
    needs: tuple[Rule, ...]
    makes: tuple[Rule, ...]
    speaker: str  # role; empty for what is told and not said
    hearer: str
    roles: frozenset[str]  # those that its rules speak of
    patterns: list[Pattern]


def rule_roles(rules: tuple[Rule, ...]) -> frozenset[str]:
    """Every role letter in some rules."""
    words = [word for rule in rules for word in (*rule.left.split(","), rule.right.split(".")[0])]
    return frozenset(word for word in words if len(word) == 1 and word.isalpha())


class Pattern(NamedTuple):
    """One way to tell an event, with its free choices spelled out in ``variants``."""

    event: EventKind
    text: str
    roles: frozenset[str]
    guards: tuple[tuple[str, str, str], ...]  # role, ":" or "=", trait or noun
    tone: str
    variants: tuple[tuple[str | Slot, ...], ...]


def parts(text: str) -> tuple[str | Slot, ...]:
    """Cut a pattern without choices into literal text and slots."""
    found: list[str | Slot] = []
    at = 0
    for match in _SLOT.finditer(text):
        if match.start() > at:
            found.append(text[at : match.start()])
        found.append(Slot(match[1], match[2] or ""))
        at = match.end()
    if at < len(text):
        found.append(text[at:])
    return tuple(found)


def spell_out(text: str) -> tuple[tuple[str | Slot, ...], ...]:
    """Every variant of a pattern, one for each combination of its choices."""
    pieces = _CHOICE.split(text)  # literal, choice, literal, choice, ...
    options = [piece.split("|") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return tuple(parts("".join(combination)) for combination in product(*options))


def parse_pattern(event: EventKind, line: str) -> Pattern:
    """Read one line of the grammar."""
    guards: list[tuple[str, str, str]] = []
    tone = ""
    rest = line
    if rest.startswith("<"):
        guard, rest = rest[1:].split(">", 1)
        guards = [(word[0], word[1], word[2:]) for word in guard.split(", ")]
        rest = rest.strip()
    if event.speaker and (match := re.match(r"([\w?!.]+): ", rest)):
        tone, rest = match[1], rest[match.end() :]
    if event.speaker:  # "My kite is gone|What shall I do?": a full stop where none is written
        rest = re.sub(r"(?<![.?!])\|(?![^\[]*\])", ".|", rest)
    variants = spell_out(rest)
    roles = {slot.role for variant in variants for slot in variant if isinstance(slot, Slot)}
    roles |= {role for role, relation, _ in guards if relation == "="}
    if event.speaker:
        roles.add(event.speaker)
    return Pattern(event, line, frozenset(roles), tuple(guards), tone, variants)


def parse_grammar(text: str) -> dict[str, EventKind]:
    """Read a table of event kinds.

    Raises:
        ValueError: A line before the first header, a malformed header, or a kind given twice.
    """
    events: dict[str, EventKind] = {}
    event: EventKind | None = None
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("="):
            match = _HEADER.fullmatch(line)
            if not match or match["kind"] in events:
                raise ValueError(
                    f"{line!r}: must be '= kind: needs -> makes' with a kind of its own"
                )
            rules = parse_rules(match["needs"]), parse_rules(match["makes"])
            people = match["speaker"] or "", match["hearer"] or ""
            event = EventKind(match["kind"], *rules, *people, rule_roles(rules[0] + rules[1]), [])
            events[event.name] = event
        elif event is None:
            raise ValueError(f"{line!r}: comes before the first kind")
        else:
            event.patterns.append(parse_pattern(event, line))
    return events


@cache
def event_kinds() -> dict[str, EventKind]:
    """All that can happen in a tale, by name."""
    texts = (import_module(f"llama_tutorial.tales.grammar.{name}").TEXT for name in GRAMMAR)
    return parse_grammar("\n".join(texts))


def guard_holds(guard: tuple[str, str, str], value: str) -> bool:
    """Whether a thing or a place is what a pattern asks for."""
    _, relation, wanted = guard
    if relation == "=":
        return value == wanted
    table = THINGS if value in THINGS else PLACES
    return value in table and wanted in table[value].traits
