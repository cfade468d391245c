"""The teller: from events to sentences.

A plot says what happens (``t("give", A="Tom", x="kite", B="Mia")``). The teller picks one of the
event's patterns, calls everybody by a fitting name, ties the sentence to the last one, and keeps
the state of the world. No pattern is used twice in a tale, and hardly a sentence begins like the
one before it.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

from llama_tutorial.tales.describing import Unfit
from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.grammar.links import AFTER, BEFORE, LINKS
from llama_tutorial.tales.patterns import Pattern, event_kinds, guard_holds, parts
from llama_tutorial.tales.referring import Draft
from llama_tutorial.tales.settling import in_order, infer, settle
from llama_tutorial.tales.world import Being, Event, World

_FRAMES = {
    side: {tone: [parts(text) for text in texts] for tone, texts in table.items()}
    for side, table in (("after", AFTER), ("before", BEFORE))
}
_STOP = re.compile("[.!?]| and ")
_LOWER = re.compile(r"(?<=[.!?] )[a-z]")
_JOINS = {"and": " and ", "but": ", but ", "so": ", so "}
_AUTOMATIC = {"": ("and", 0.25), "then": ("and", 0.3), "soon": ("and", 0.2), "so": ("so", 0.45),
              "but": ("but", 0.45), "then_but": ("but", 0.3)}  # fmt: skip
_UNTOLD = frozenset("st")  # what a sentence need not say, and then nobody knows
_NEEDED = frozenset(("oneday", "sunny", "windy", "winter", "night", "nextday", "evening"))
_OFTEN = frozenset(("So", "But", "Then", ""))  # openers that a tale may use again
_TRIES = 3  # how often a pattern is tried anew for another first word


class Teller:
    """Tells one tale, sentence by sentence."""

    def __init__(
        self, random: Random, cast: dict[str, Being], looks: dict[str, dict[str, str]]
    ) -> None:
        self.random = random
        self.cast = cast
        self.looks = looks
        self.kin_of: dict[str, str] = {}
        self.world = World()
        self.discourse = Discourse()
        self.sentences: list[str] = []
        self.events: list[Event] = []
        self.patterns: list[str] = []
        self._used: set[int] = set()
        self._openers: set[str] = set()  # those that the tale has used
        self._opener = ""  # of the sentence being tried
        self._open: tuple[str, ...] | None = None  # the last subject, if a clause may be added

    # -- choosing -------------------------------------------------------------------------------

    def __call__(self, kind: str, link: str = "", join: str = "", **roles: Any) -> None:
        """Tell an event; ``link`` names an opener, ``join`` a way to add it to the last sentence.

        Raises:
            LookupError: No pattern of the kind suits these roles at this moment.
            ValueError: A role that the kind's rules speak of is missing: a fault in the plot.
        """
        event = event_kinds()[kind]
        if "A" in roles and "B" in roles:
            roles.setdefault("G", (roles["A"], roles["B"]))
        if missing := event.roles - roles.keys() - _UNTOLD:
            raise ValueError(f"{kind} needs {sorted(missing)} too, beside {sorted(roles)}")
        join = join or self._join_for(link)
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
                if self._fresh(made[0], made[2]):
                    return self._accept(pattern, roles, *made)
                fallback = fallback or (pattern, made)
        if fallback is None:
            raise LookupError(f"no way to tell {kind} of {roles} after {self.sentences[-1:]}")
        return self._accept(fallback[0], roles, *fallback[1])

    def _join_for(self, link: str) -> str:
        """Now and then a short sentence is added to the last one instead of standing alone."""
        join, share = _AUTOMATIC.get(link, ("", 0.0))
        return join if self.random.random() < share else ""

    def _suits(self, pattern: Pattern, roles: dict[str, Any]) -> bool:
        if id(pattern) in self._used or not pattern.roles <= roles.keys():
            return False
        if not all(guard_holds(guard, roles[guard[0]]) for guard in pattern.guards):
            return False
        missing = pattern.event.roles - pattern.roles - _UNTOLD
        if not missing:
            return True
        known = {role: value for role, value in roles.items() if role in pattern.roles}
        return all(
            roles[role] == infer(role, pattern.event, known, self.discourse, self.world)
            for role in missing
        )

    def _fresh(self, text: str, joined: bool) -> bool:
        """Whether the sentence begins with another word than the last."""
        return joined or not self.sentences or _first_word(text) != _first_word(self.sentences[-1])

    # -- writing --------------------------------------------------------------------------------

    def _draft(
        self, pattern: Pattern, roles: dict[str, Any], link: str, join: str
    ) -> tuple[str, Draft, bool]:
        event = pattern.event
        variant = self.random.choice(pattern.variants)
        joined = bool(join) and not event.speaker and self._joinable(variant, roles, join)
        discourse = self.discourse.copy()
        if not joined:
            discourse.next_sentence()
        draft = Draft(self.random, self.world, discourse, self.cast, self.looks, self.kin_of)
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

    def _joinable(self, variant: tuple, roles: dict[str, Any], join: str) -> bool:
        if (
            self._open is None
            or len(self.sentences[-1].split()) > 9
            or " and " in self.sentences[-1]
        ):
            return False
        first = variant[0]
        literals = [part for part in variant if isinstance(part, str)]
        if isinstance(first, str) or first.form or any(_STOP.search(part) for part in literals):
            return False
        if join != "and":
            return True
        value = roles[first.role]
        return (value if isinstance(value, tuple) else (value,)) == self._open

    def _opened(self, variant: tuple, text: str, link: str) -> str:
        self._opener = ""
        opener = self.random.choice(LINKS[link])
        if opener in self._openers and opener not in _OFTEN:
            opener = next((other for other in LINKS[link] if other not in self._openers), opener)
        if isinstance(variant[0], str) and variant[0][0].isupper():
            if link in _NEEDED:  # when it happens has to be said
                raise Unfit
            return text
        if not opener:
            return text
        self._opener = opener
        return f"{opener} {text}"

    def _speech(
        self, draft: Draft, pattern: Pattern, variant: tuple, roles: dict[str, Any], link: str
    ) -> str:
        """A sentence in quotation marks, with who says it before, after or between."""
        event = pattern.event
        end = "".join(part for part in variant if isinstance(part, str)).split("|")[0][-1:]
        tone = pattern.tone or (end if end in "?!" else ".")
        people = {"A": roles[event.speaker]}
        if event.hearer in roles:
            people["B"] = roles[event.hearer]
        after = self.random.random() < 0.6
        frame = self.random.choice(_FRAMES["after" if after else "before"][tone])
        if any(not isinstance(part, str) and part.role not in people for part in frame):
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

    def _accept(
        self, pattern: Pattern, roles: dict[str, Any], text: str, draft: Draft, joined: bool
    ) -> None:
        """Write the sentence down and let the event happen."""
        event = pattern.event
        roles = {
            role: value
            for role, value in roles.items()
            if role in pattern.roles or (role in event.roles and role not in _UNTOLD)
        }
        self._used.add(id(pattern))
        self.patterns.append(pattern.text)
        if text[-1] not in '.?!"':
            text += "."
        if joined:
            self.sentences[-1] = self.sentences[-1][:-1] + text
        else:
            self.sentences.append(_capital(text))
            self._openers.add(self._opener)
        self.sentences[-1] = _LOWER.sub(lambda match: match[0].upper(), self.sentences[-1])
        self.discourse = draft.discourse
        plain = (
            not event.speaker
            and not joined
            and self.sentences[-1].endswith(".")
            and "," not in text
        )
        self._open = self._subject(pattern, roles) if plain else None
        settle(self.world, event, roles, draft.new_beings, draft.new_things, draft.owns)
        self.events.append(Event(event.name, in_order(roles), len(self.sentences) - 1))

    def _subject(self, pattern: Pattern, roles: dict[str, Any]) -> tuple[str, ...] | None:
        first = pattern.variants[0][0]
        if isinstance(first, str) or first.role not in "ABCDG" or first.form:
            return None
        value = roles[first.role]
        return value if isinstance(value, tuple) else (value,)


def _first_word(text: str) -> str:
    match = re.search(r"[A-Za-z]+", text)
    return match[0].lower() if match else ""


def _capital(text: str) -> str:
    at = 1 if text[:1] == '"' else 0
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :]
