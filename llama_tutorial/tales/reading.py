"""The reader: from the text alone to what happened, clause by clause.

It splits a tale into sentences, looks every clause up among the patterns, finds out whom the
pronouns mean, and checks what is said against everything that was said before.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from llama_tutorial.tales.binding import Binding, verb_fits
from llama_tutorial.tales.chunking import Item, Mention, chunk, words_of
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
from llama_tutorial.tales.telling import in_order, settle
from llama_tutorial.tales.world import Event, World

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


def split_units(text: str) -> list[Unit]:
    """Cut a text into sentences; speech stays with the words that say who speaks."""
    units: list[Unit] = []
    at = 0
    text = text.strip()
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] == '"':
            at = _spoken_unit(text, at, units)
        else:
            match = _NARRATED.match(text, at)
            end = match.end() if match and match.end() > at else at + 1
            told = text[at:end]
            if told.endswith(", ") and text[end : end + 1] == '"':
                close = text.find('"', end + 1)
                close = len(text) - 1 if close < 0 else close
                units.append(Unit(text[at : close + 1], told, text[end + 1 : close]))
                end = close + 1
            else:
                units.append(Unit(told, told))
            at = end
    return units


def _spoken_unit(text: str, at: int, units: list[Unit]) -> int:
    """A sentence that begins with a quotation mark; words without a frame belong to the last speaker."""
    close = text.find('"', at + 1)
    close = len(text) - 1 if close < 0 else close
    spoken = text[at + 1 : close]
    rest = _NARRATED.match(text, close + 1)
    frame = rest[0] if rest else ""
    if spoken[-1:] in (",", "!", "?") and frame.endswith(".") and ">" + key_of(chunk(words_of(frame))) in frame_index():
        units.append(Unit(text[at : close + 1 + len(frame)], frame, spoken, True))
        return close + 1 + len(frame)
    if units and units[-1].spoken and units[-1].after:
        last = units[-1]
        units[-1] = last._replace(text=f"{last.text} {text[at : close + 1]}", spoken=f"{_full(last.spoken)} {spoken}")
    else:
        units.append(Unit(text[at : close + 1], "", spoken))
    return close + 1


def _full(spoken: str) -> str:
    return spoken[:-1] + "." if spoken.endswith(",") else spoken


class Reader:
    """Reads one text."""

    def __init__(self) -> None:
        self.world = World()
        self.discourse = Discourse()
        self.events: list[Event] = []
        self.claims: list[Claim] = []
        self.sentences = 0
        self.parsed = 0
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
        items = chunk(_strip(words_of(unit.told)))
        key = key_of(items)
        if key in sounds():
            self.parsed += 1
            return 1
        heads = multi_heads()
        most = max(heads.get(key, 1), heads.get(key_of(chunk(words_of(unit.told))), 1))
        for size in range(most, 1, -1):
            group = units[i : i + size]
            if len(group) == size and not any(other.spoken for other in group):
                joined = chunk(words_of(" ".join(other.told for other in group)))
                for start in (joined, chunk(_strip(words_of(" ".join(other.told for other in group))))):
                    if self._sentence(start, i, unit.text):
                        self.parsed += size
                        return size
        whole = chunk(words_of(unit.told))
        if self._sentence(whole, i, unit.text) or (len(whole) != len(items) and self._sentence(items, i, unit.text)):
            self.parsed += 1
        else:
            self._unread(whole)
        return 1

    def _unread(self, items: list[Item]) -> None:
        """A sentence that no pattern made still says who is around."""
        self.discourse.next_sentence()

    # -- clauses --------------------------------------------------------------------------------

    def _sentence(self, items: list[Item], number: int, text: str) -> bool:
        clauses = self._clauses(items, None)
        if clauses is None:
            return False
        before = self.discourse.copy()
        self.discourse.next_sentence()
        for clause, same_subject in clauses:
            self._clause(clause, number, text, before, same_subject)
            before = self.discourse.copy()
        return True

    def _clauses(self, items: list[Item], subject: Item | None) -> list[tuple[list[Item], bool]] | None:
        """Cut a sentence at "and", "but", "so" into clauses that patterns know; None if there is no way."""
        if key_of(items) in clause_index():
            return [(items, False)]
        first = items[0] if items and items[0].token in "CG" else None
        for i, item in enumerate(items):
            if item.token not in _CONJUNCTIONS or i == 0:
                continue
            left, right = items[:i], items[i + 1 :]
            if key_of(left) not in clause_index() or not right:
                continue
            if item.token == "and" and first is not None and items[i - 1].token != ",":
                rest = self._clauses([Item(first.token, None), *right], first)
                if rest is not None:
                    return [(left, False), (rest[0][0], True), *rest[1:]]
            rest = self._clauses(right, None)
            if rest is not None:
                return [(left, False), *rest]
        return None

    def _clause(
        self, items: list[Item], number: int, text: str, before: Discourse, same_subject: bool
    ) -> None:
        if same_subject:
            items = [Item(items[0].token, Mention("same", self._subject)), *items[1:]]
        candidates = clause_index()[key_of(items)]
        mentions = [item.mention for item in items if item.mention is not None]
        best = self._best(candidates, mentions, before, None)
        if best is not None:
            self._accept(*best, number, text)

    def _best(
        self, candidates: list[Candidate], mentions: list[Mention], before: Discourse, frame: Binding | None
    ) -> tuple[Candidate, Binding] | None:
        """The candidate with the fewest faults."""
        best: tuple[Candidate, Binding] | None = None
        for candidate in candidates:
            binding = Binding(self.world, self.discourse.copy(), before, not self.world.beings)
            if frame is not None:
                binding.hear(candidate, frame)
            if not binding.bind(candidate, mentions):
                continue
            self._check_verbs(binding, candidate, mentions)
            binding.complete(candidate)
            if best is None or len(binding.faults) < len(best[1].faults):
                best = candidate, binding
                if not binding.faults:
                    break
        return best

    def _check_verbs(self, binding: Binding, candidate: Candidate, mentions: list[Mention]) -> None:
        for expected, mention in zip(candidate.expected, mentions, strict=True):
            if expected.slot is not None and expected.slot.form == "verb":
                noun = binding.roles.get(expected.slot.role)
                if noun and not verb_fits(noun, mention.value):
                    binding.faults.append(f"nobody {mention.value} a {noun}")

    def _accept(self, candidate: Candidate, binding: Binding, number: int, text: str) -> None:
        event = candidate.pattern.event
        self.discourse = binding.discourse
        first = next((e.slot for e in candidate.expected if e.slot), None)
        self._subject = binding.roles.get(first.role) if first else None
        if binding.refers:
            fault = "; ".join(binding.faults)
            self.claims.append(Claim(text, event.name, not fault, fault))
        settle(self.world, event, binding.roles, list(binding.new_beings.values()), binding.new_things, binding.owns)
        told = candidate.pattern.roles | event.roles
        roles = {role: value for role, value in binding.roles.items() if role in told}
        self.events.append(Event(event.name, in_order(roles), number))

    # -- speech ---------------------------------------------------------------------------------

    def _speech(self, unit: Unit, number: int) -> bool:
        candidates = clause_index().get('"' + key_of(chunk(words_of(unit.spoken))))
        if candidates is None:
            self.discourse.next_sentence()
            return False
        before = self.discourse.copy()
        self.discourse.next_sentence()
        frame = self._frame(unit)
        if frame is None:
            return False
        items = chunk(words_of(unit.spoken))
        mentions = [item.mention for item in items if item.mention is not None]
        best = self._best(candidates, mentions, before, frame)
        if best is None:
            return False
        self._accept(*best, number, unit.text)
        return True

    def _frame(self, unit: Unit) -> Binding | None:
        """Who speaks, and to whom; None where the frame is not known."""
        words = words_of(unit.told)
        for items in (chunk(words), chunk(_strip(words))):
            for candidate in frame_index().get((">" if unit.after else "<") + key_of(items), ()):
                binding = Binding(self.world, self.discourse, self.discourse, False)
                binding.bind(candidate, [item.mention for item in items if item.mention is not None])
                return binding
        return None


def _strip(words: list[str]) -> list[str]:
    """The words without an opener."""
    for opener in openers().get(words[0].lower() if words else "", ()):
        if tuple(word.lower() for word in words[: len(opener)]) == opener:
            rest = words[len(opener) :]
            return rest[1:] if rest[:1] == [","] else rest
    return words
