"""The teller: from events to sentences.

A plot says what happens (``story("give", A="Tom", x="kite", B="Mia")``). The story picks one of the
event's patterns, calls everybody by a fitting name, ties the sentence to the last one, and keeps
the state of the world. No pattern is used twice in a tale, and hardly a sentence begins like the
one before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any, TypeVar

from llama_tutorial.tales import words
from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.patterns import Parts, Pattern, Slot, event_kinds, frames, guard_holds
from llama_tutorial.tales.wording import Draft, Unfit
from llama_tutorial.tales.world import Being, Event, World, in_order, members

Choice = TypeVar("Choice")
Made = tuple[str, Draft, bool]  # a sentence, its draft, and whether it is joined to the last one

_STOP = re.compile("[.!?]| and ")
_LOWER = re.compile(r"(?<=[.!?] )[a-z]")
_LETTERS = re.compile("[A-Za-z]+")
_JOINS = {"and": " and ", "but": ", but ", "so": ", so "}
# By opener: a short sentence is added to the last one now and then, instead of standing alone.
_JOINED = {
    "": ("and", 0.25),
    "then": ("and", 0.3),
    "soon": ("and", 0.2),
    "so": ("so", 0.45),
    "but": ("but", 0.45),
    "then_but": ("but", 0.3),
}
_NEEDED = frozenset(("oneday", "sunny", "windy", "winter", "night", "nextday", "evening"))
_OFTEN = frozenset(("So", "But", "Then", ""))  # openers that a tale may use again
_TRIES = 3  # how often a pattern is tried anew for another first word


class Story:
    """One tale in the making: it draws its cast, and tells sentence by sentence."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.cast: dict[str, Being] = {}
        self.looks: dict[str, dict[str, str]] = {}  # of every thing that was cast
        self.kin_of: dict[str, str] = {}  # whose grandma Grandma is
        self.world = World()
        self.discourse = Discourse()
        self.sentences: list[str] = []
        self.events: list[Event] = []
        self.patterns: list[str] = []
        self._used: set[int] = set()
        self._openers: set[str] = set()  # those that the tale has used
        self._opener = ""  # of the sentence being tried
        self._open: tuple[str, ...] | None = None  # the last subject, if a clause may be added
        self._children = random.random() < 0.6  # whether most are children, or animals

    # -- casting --------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        """True in that share of tales."""
        return self.random.random() < share

    def pick(self, options: Sequence[Choice]) -> Choice:
        """One of them."""
        return options[int(self.random.random() * len(options))]

    def someone(self, *kinds: str) -> str:
        """A child or an animal with a name; like keeps to like unless kinds are given."""
        if kinds:
            child = kinds == ("child",)
        else:
            child = self._children if self.chance(0.8) else not self._children
        he = self.chance(0.5)
        if child:
            name = self._unused(words.BOYS if he else words.GIRLS)
            kind = "boy" if he else "girl"
        else:
            name = self._unused(words.HE_ANIMALS if he else words.SHE_ANIMALS)
            taken = {being.kind for being in self.cast.values()}
            kinds = kinds if kinds not in ((), ("animal",)) else tuple(words.ANIMALS)
            kind = self.pick([kind for kind in kinds if kind not in taken])
        self.cast[name] = Being(name, kind, words.GENDER[name], self.pick(words.KIND_LOOKS[kind]))
        return name

    def _unused(self, names: Sequence[str]) -> str:
        while (name := self.pick(names)) in self.cast:
            pass
        return name

    def stranger(self, *kinds: str) -> str:
        """Somebody without a name: an owl, a baker."""
        kind = self.pick([kind for kind in kinds or words.STRANGERS if kind not in self.cast])
        look = self.pick(words.KIND_LOOKS[kind])
        self.cast[kind] = Being(kind, kind, words.STRANGERS[kind], look)
        return kind

    def kin(self, *names: str) -> str:
        """A grown-up of the family of the one who was cast first."""
        name = self.pick([name for name in names or words.KIN if name not in self.cast])
        self.kin_of[name] = next(iter(self.cast))
        self.cast[name] = Being(name, name, words.KIN[name])
        return name

    def thing(self, *traits: str) -> str:
        """Something that has any of these traits, and none of those behind a minus: "-big"."""
        return self.this(
            self.pick([noun for noun in _having("thing", *traits) if noun not in self.looks])
        )

    def this(self, noun: str) -> str:
        """That very thing, with looks of its own."""
        thing = words.THINGS[noun]
        looks: dict[str, str] = {}
        if thing.colours and self.chance(0.75):
            looks["colour"] = self.pick(thing.colours)
        if thing.looks and self.chance(0.5 if looks else 0.8):
            look = self.pick(thing.looks)
            looks[words.LOOK_GROUP[look]] = look
        self.looks[noun] = looks
        return noun

    def place(self, *traits: str) -> str:
        """A place that has any of these traits, and none of those behind a minus; never home."""
        return self.pick([noun for noun in _having("place", *traits) if noun != "home"])

    def spots(self, place: str, count: int) -> list[str]:
        """Different spots of a place."""
        return self.random.sample(words.PLACES[place].spots, count)

    # -- choosing a pattern ---------------------------------------------------------------------

    def __call__(self, kind: str, link: str = "", **roles: Any) -> None:
        """Tell an event; ``link`` names the openers that it may have.

        Raises:
            Unfit: No pattern of the kind suits these roles at this moment.
            ValueError: A role that the kind's rules speak of is missing: a fault in the plot.
        """
        event = event_kinds()[kind]
        if "A" in roles and "B" in roles:
            roles.setdefault("G", (roles["A"], roles["B"]))
        if missing := event.roles - roles.keys():
            raise ValueError(f"{kind} needs {sorted(missing)} too, beside {sorted(roles)}")
        join, share = _JOINED.get(link, ("", 0.0))
        join = join if self.chance(share) else ""
        fallback = None
        candidates = event.patterns[:]
        self.random.shuffle(candidates)
        for pattern in candidates:
            if not self._suits(pattern, roles):
                continue
            for _ in range(_TRIES):
                try:
                    made = self._draft(pattern, roles, link, join)
                except Unfit:
                    continue
                if self._fresh(made):
                    return self._accept(pattern, roles, made)
                fallback = fallback or (pattern, made)
        if fallback is None:
            raise Unfit(f"no way to tell {kind} of {roles} after {self.sentences[-1:]}")
        return self._accept(fallback[0], roles, fallback[1])

    def _suits(self, pattern: Pattern, roles: dict[str, Any]) -> bool:
        """Whether a pattern is new, allowed, and says all that cannot be inferred."""
        if id(pattern) in self._used or not pattern.roles <= roles.keys():
            return False
        if not all(guard_holds(guard, roles[guard[0]]) for guard in pattern.guards):
            return False
        if not pattern.inferred:
            return True
        known = {role: value for role, value in roles.items() if role in pattern.roles}
        return all(
            roles[role] == self.discourse.infer(role, pattern.event, known, self.world)
            for role in pattern.inferred
        )

    def _fresh(self, made: Made) -> bool:
        """Whether the sentence begins with another word than the last."""
        text, _, joined = made
        return joined or not self.sentences or _first_word(text) != _first_word(self.sentences[-1])

    # -- writing a sentence ---------------------------------------------------------------------

    def _draft(self, pattern: Pattern, roles: dict[str, Any], link: str, join: str) -> Made:
        event = pattern.event
        variant = self.random.choice(pattern.variants)
        joined = bool(join) and not event.speaker and self._joinable(variant, roles, join)
        discourse = self.discourse.copy()
        if not joined:
            discourse.next_sentence()
        draft = Draft(self, discourse)
        if event.speaker:
            return self._speech(draft, pattern, variant, roles, link), draft, False
        if joined and join == "and":
            for name in self._open or ():
                draft.mention(name)
            return _JOINS[join] + draft.write(variant[1:], roles).lstrip(), draft, True
        if joined and self._open and len(self._open) == 1:
            draft.same_subject = self._open[0]
        text = draft.write(variant, roles)
        return (_JOINS[join] + text if joined else self._opened(variant, text, link)), draft, joined

    def _joinable(self, variant: Parts, roles: dict[str, Any], join: str) -> bool:
        """Whether a clause may be added to the last sentence."""
        if self._open is None:
            return False
        last, first = self.sentences[-1], variant[0]
        if len(last.split()) > 9 or " and " in last or isinstance(first, str) or first.form:
            return False
        if any(isinstance(part, str) and _STOP.search(part) for part in variant):
            return False
        return join != "and" or members(roles[first.role]) == self._open

    def _opened(self, variant: Parts, text: str, link: str) -> str:
        """The sentence behind an opener, where it may have one."""
        self._opener = ""
        openers = frames().openers[link]
        opener = self.random.choice(openers)
        if opener in self._openers and opener not in _OFTEN:
            opener = next((other for other in openers if other not in self._openers), opener)
        if isinstance(variant[0], str) and variant[0][0].isupper():
            if link in _NEEDED:  # when it happens has to be said
                raise Unfit
            return text
        if not opener:
            return text
        self._opener = opener
        return f"{opener} {text}"

    def _speech(
        self, draft: Draft, pattern: Pattern, variant: Parts, roles: dict[str, Any], link: str
    ) -> str:
        """A sentence in quotation marks, with who says it before, after or between."""
        event = pattern.event
        end = "".join(part for part in variant if isinstance(part, str)).split("|")[0][-1:]
        tone = pattern.tone or (end if end in "?!" else ".")
        people = {"A": roles[event.speaker]}
        if event.hearer in roles:
            people["B"] = roles[event.hearer]
        after = self.chance(0.6)
        frame = self.random.choice((frames().after if after else frames().before)[tone])
        if any(isinstance(part, Slot) and part.role not in people for part in frame):
            raise Unfit
        tag = draft.write(frame, people)
        draft.mention(people["A"])
        draft.speaker, draft.hearer = people["A"], people.get("B", "")
        said = draft.write(variant, roles)
        if said[-1] not in ".?!":
            said += "."
        if not after:
            return self._opened(frame, f'{tag}, "{_capital(said.replace("|", " "))}"', link)
        head, _, tail = said.partition("|")
        head = head if head[-1] in "?!" else head.rstrip(".") + ","
        return f'"{_capital(head)}" {tag}.' + (f' "{_capital(tail)}"' if tail else "")

    def _accept(self, pattern: Pattern, roles: dict[str, Any], made: Made) -> None:
        """Write the sentence down and let the event happen."""
        text, draft, joined = made
        event = pattern.event
        told = pattern.roles | pattern.inferred
        roles = {role: value for role, value in roles.items() if role in told}
        self._used.add(id(pattern))
        self.patterns.append(pattern.text)
        if text[-1] not in '.?!"':
            text += "."
        if joined:
            self.sentences[-1] = self.sentences[-1][:-1] + text
        else:
            self.sentences.append(_capital(text))
            self._openers.add(self._opener)
        last = _LOWER.sub(lambda match: match[0].upper(), self.sentences[-1])
        self.sentences[-1] = last
        self.discourse = draft.discourse
        first = pattern.variants[0][0]
        plain = not event.speaker and not joined and last.endswith(".") and "," not in text
        self._open = None
        if plain and isinstance(first, Slot) and first.role in "ABCDG" and not first.form:
            self._open = members(roles[first.role])
        self.world.happen(event.makes, roles, draft.new_beings, draft.new_things, draft.owns)
        self.events.append(Event(event.name, in_order(roles), len(self.sentences) - 1))


@cache
def _having(what: str, *traits: str) -> list[str]:
    """The things or places that have any of the traits, and none of those behind a minus."""
    wanted = {trait for trait in traits if trait[0] != "-"}
    unwanted = {trait[1:] for trait in traits if trait[0] == "-"}
    return [
        entry.noun
        for entry in (words.THINGS if what == "thing" else words.PLACES).values()
        if (not wanted or entry.traits & wanted) and not entry.traits & unwanted
    ]


def _first_word(text: str) -> str:
    match = _LETTERS.search(text)
    return match[0].lower() if match else ""


def _capital(text: str) -> str:
    at = 1 if text[:1] == '"' else 0
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :]
