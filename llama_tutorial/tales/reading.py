"""The reader: from the text alone to what happened, clause by clause.

It splits a tale into sentences, looks every clause up among the patterns, finds out whom the
pronouns mean, and checks what is said against everything that was said before.

:func:`consistency` measures by that. Every clause that one of the story world's patterns could have
made, and that speaks of anything known or needs anything to be so, is a *claim*: it holds if
everybody it names was introduced, things are where and whose they were, colours stay, nobody gives
what they do not have or is where they did not go, the one who is thanked has helped, and so on.
A clause with any fault does not hold, however much of it is right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from llama_tutorial.tales.binding import Binding
from llama_tutorial.tales.chunking import Item, Mention, chunk, mentions_of, words_of
from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.index import (
    Candidate,
    clause_index,
    frame_index,
    key_of,
    multi_heads,
    openers,
    sounds,
)
from llama_tutorial.tales.world import Event, World, in_order

_NARRATED = re.compile(r'[^".!?]*[.!?]*')
_CONJUNCTIONS = frozenset(("and", "but", "so"))


class Unit(NamedTuple):
    """A sentence: told, or spoken with a frame around."""

    text: str
    told: str  # the sentence, or "said Tom" / "Tom asked"
    spoken: str = ""
    after: bool = False  # whether the frame follows the words


class Claim(NamedTuple):
    """What a clause says about the story so far, and whether it holds."""

    text: str
    kind: str
    holds: bool
    fault: str  # in words; empty where it holds


class Reader:
    """Reads one text."""

    def __init__(self) -> None:
        self.world = World()
        self.discourse = Discourse()
        self.events: list[Event] = []
        self.claims: list[Claim] = []
        self.sentences = 0
        self.parsed = 0
        self._told: set[tuple] = set()
        self._subject: Any = None  # whom a clause without a subject is about

    def read(self, text: str) -> Reader:
        """Read it all; returns itself."""
        units = split_units(text)
        self.sentences = len(units)
        i = 0
        while i < len(units):
            i += self._unit(units, i)
        return self

    def _unit(self, units: list[Unit], i: int) -> int:
        """Read a sentence, or several that belong together; returns how many."""
        unit = units[i]
        if unit.spoken:
            self.parsed += self._speech(unit, i)
            return 1
        items = chunk(words_of(unit.told))
        if key_of(items) in sounds():
            self.parsed += 1
            return 1
        heads = multi_heads()
        most = max(heads.get(key_of(start), 1) for start in starts(items))
        for size in range(min(most, len(units) - i), 0, -1):
            group = units[i : i + size]
            if any(other.spoken for other in group):
                continue
            if size > 1:
                items = chunk(words_of(" ".join(other.told for other in group)))
            if any(self._sentence(start, i, unit.text) for start in starts(items)):
                self.parsed += size
                return size
        self._unread(chunk(words_of(unit.told)))
        return 1

    def _unread(self, items: list[Item]) -> None:
        """A sentence that no pattern made still speaks of somebody."""
        self.discourse.next_sentence()
        for token, mention in items:
            if mention is None:
                continue
            for member in mention.value if mention.how == "group" else (mention,):
                if member.value in self.world.beings:
                    self.discourse.mention(member.value)
            if token == "X" and mention.value in self.world.things:
                self.discourse.mention_thing(mention.value)

    # -- clauses --------------------------------------------------------------------------------

    def _sentence(self, items: list[Item], number: int, text: str) -> bool:
        clauses = self._clauses(items)
        if clauses is None:
            return False
        before = self.discourse.copy()
        self.discourse.next_sentence()
        for clause in clauses:
            mentions = mentions_of(clause)
            if mentions and mentions[0].how == "same":
                mentions[0] = Mention("same", self._subject)
            best = self._best(clause_index()[key_of(clause)], mentions, before)
            if best is not None:
                self._accept(*best, number, text)
            before = self.discourse.copy()
        return True

    def _clauses(self, items: list[Item]) -> list[list[Item]] | None:
        """Cut a sentence at "and", "but", "so" into clauses that patterns know, if there is a way.

        A clause behind "and" may lack its subject; a mention of "the same" stands in for it.
        """
        if key_of(items) in clause_index():
            return [items]
        for i, item in enumerate(items[1:-1], 1):
            if item.token not in _CONJUNCTIONS or key_of(items[:i]) not in clause_index():
                continue
            ways = [items[i + 1 :]]
            if item.token == "and" and items[0].token in "CG" and items[i - 1].token != ",":
                ways.insert(0, [Item(items[0].token, Mention("same", None)), *ways[0]])
            for right in ways:
                if (rest := self._clauses(right)) is not None:
                    return [items[:i], *rest]
        return None

    def _best(
        self,
        candidates: list[Candidate],
        mentions: list[Mention],
        before: Discourse,
        frame: Binding | None = None,
    ) -> tuple[Candidate, Binding] | None:
        """The pattern with the fewest faults."""
        best: tuple[Candidate, Binding] | None = None
        for candidate in candidates:
            binding = Binding(self.world, self.discourse.copy(), before)
            if frame is not None:
                binding.hear(candidate.pattern.event, frame)
            if not binding.bind(candidate.expected, mentions):
                continue
            binding.complete(candidate.pattern)
            if best is None or len(binding.faults) < len(best[1].faults):
                best = candidate, binding
            if not binding.faults:
                break
        return best

    def _accept(self, candidate: Candidate, binding: Binding, number: int, text: str) -> None:
        """Take a clause for said: claim, effects, event."""
        event = candidate.pattern.event
        told = (candidate.pattern.text, in_order(binding.roles))
        if told in self._told:
            binding.faults.append("this has been said before")
            binding.refers = True
        self._told.add(told)
        self.discourse = binding.discourse
        first = next((wanted.slot for wanted in candidate.expected if wanted.slot), None)
        self._subject = binding.roles.get(first.role) if first else None
        if binding.refers:
            fault = "; ".join(binding.faults)
            self.claims.append(Claim(text, event.name, not fault, fault))
        beings = binding.new_beings.values()
        self.world.happen(event.makes, binding.roles, beings, binding.new_things, binding.owns)
        meant = candidate.pattern.roles | candidate.pattern.inferred
        roles = {role: value for role, value in binding.roles.items() if role in meant}
        self.events.append(Event(event.name, in_order(roles), number))

    # -- speech ---------------------------------------------------------------------------------

    def _speech(self, unit: Unit, number: int) -> bool:
        items = chunk(words_of(unit.spoken))
        candidates = clause_index().get('"' + key_of(items))
        if candidates is None:
            self._unread(chunk(words_of(unit.told)))
            return False
        before = self.discourse.copy()
        self.discourse.next_sentence()
        frame = self._frame(unit)
        if frame is None:
            return False
        best = self._best(candidates, mentions_of(items), before, frame)
        if best is not None:
            self._accept(*best, number, unit.text)
        return best is not None

    def _frame(self, unit: Unit) -> Binding | None:
        """Who speaks, and to whom; None where the frame is not known."""
        for items in starts(chunk(words_of(unit.told))):
            expected = frame_index().get((">" if unit.after else "<") + key_of(items))
            if expected is not None:
                binding = Binding(self.world, self.discourse, self.discourse)
                binding.bind(expected, mentions_of(items))
                return binding
        return None


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


def _narrated(text: str, at: int) -> str:
    """What is told from ``at`` on: up to the end of the sentence, or to a quotation mark."""
    told = _NARRATED.match(text, at)
    return told[0] if told else ""


def _told_unit(text: str, at: int, units: list[Unit]) -> int:
    """A sentence that does not begin with a quotation mark; returns where it ends."""
    end = at + max(len(_narrated(text, at)), 1)
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
    frame = _narrated(text, close + 1)
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


@dataclass(frozen=True)
class Consistency:
    """How consistent a text is, and how much of it was understood."""

    score: float | None  # share of claims that hold; None without a claim
    parsed: float  # share of sentences that could be read, 0 to 1
    claims: tuple[Claim, ...]
    sentences: int

    @property
    def faults(self) -> tuple[Claim, ...]:
        """The claims that do not hold."""
        return tuple(claim for claim in self.claims if not claim.holds)


def consistency(text: str) -> Consistency:
    """Measure a tale, told by the story world or written by a model.

    A last sentence that breaks off (a model ran out of tokens) is left out.

    Args:
        text: One tale.

    Returns:
        The score, 1.0 for every tale of the story world and None where nothing was claimed; read it
        together with ``parsed``, the share of sentences that were understood.
    """
    reader = Reader().read(text)
    claims = tuple(reader.claims)
    score = sum(claim.holds for claim in claims) / len(claims) if claims else None
    parsed = reader.parsed / reader.sentences if reader.sentences else 0.0
    return Consistency(score, parsed, claims, reader.sentences)


def mean_consistency(texts: list[str]) -> tuple[float | None, float]:
    """Score over all claims of many texts, and the share of all their sentences that were read.

    Longer tales count for more. A text without a claim adds nothing to the score, but its sentences
    count among those to be read.
    """
    results = [consistency(text) for text in texts]
    claims = [claim for result in results for claim in result.claims]
    sentences = sum(result.sentences for result in results)
    parsed = sum(result.parsed * result.sentences for result in results)
    score = sum(claim.holds for claim in claims) / len(claims) if claims else None
    return score, parsed / sentences if sentences else 0.0
