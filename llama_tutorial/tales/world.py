"""The state of a story: who is there, what is true of them, and the rules that events follow.

An event *needs* some things to be so and *makes* others so. Both are written in one small language,
beside the sentences that tell the event::

    give: x.holder=A, A.where~B.where -> x.holder=B, helped(A,B), B.mood=glad

``x.holder=A`` must be so (or becomes so), ``A.where~p`` must not contradict what is known,
``A.where!=p`` must not be so, ``helped(A,B)`` is a plain fact and ``!helped(A,B)`` its contrary,
and ``s@A`` says that the spot ``s`` exists where ``A`` is. Capitals are beings (``G`` a group),
``x y z`` things, ``p q`` places, ``s t`` spots, ``w`` a skill; ``-`` is nothing.

The teller makes what an event makes; the reader also checks what it needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llama_tutorial.tales.words import KINDS, SPOT_PLACES

# Role letter -> a being's name, a thing's noun, a place, a spot; a group is a tuple of names.
Roles = Mapping[str, Any]
_RULE = re.compile(
    r"(?P<left>\w+)\.(?P<attribute>\w+)(?P<relation>=|~|!=)(?P<right>[\w.-]+)"
    r"|(?P<no>!?)(?P<flag>\w+)\((?P<of>[\w,]*)\)"
    r"|(?P<spot>\w)@(?P<who>\w)"
)


class Being(NamedTuple):
    """Someone in a tale. Strangers and family go by what they are: ``owl``, ``Grandma``."""

    name: str
    kind: str
    gender: str  # "he" or "she"
    look: str = ""

    @property
    def named(self) -> bool:
        """Whether they have a name of their own."""
        return self.name != self.kind


class Event(NamedTuple):
    """What one clause told."""

    kind: str
    roles: tuple[tuple[str, Any], ...]
    sentence: int


class Rule(NamedTuple):
    """One need or effect of an event; see the module's text."""

    relation: str  # = ~ != flag noflag @
    attribute: str
    left: str
    right: str


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Read a comma-separated list of rules."""
    rules, at = [], 0
    for match in _RULE.finditer(text):
        if text[at : match.start()].strip(" ,"):
            break
        at = match.end()
        if match["attribute"]:
            rules.append(Rule(match["relation"], match["attribute"], match["left"], match["right"]))
        elif match["flag"]:
            rules.append(Rule("noflag" if match["no"] else "flag", match["flag"], match["of"], ""))
        else:
            rules.append(Rule("@", "where", match["who"], match["spot"]))
    if text[at:].strip(" ,"):
        raise ValueError(f"{text!r}: {text[at:]!r} is no rule of the story world")
    return tuple(rules)


@dataclass
class World:
    """Everything that is so at one moment of a tale."""

    beings: dict[str, Being] = field(default_factory=dict)
    things: dict[str, dict[str, str]] = field(default_factory=dict)  # noun -> group of look -> look
    facts: dict[tuple, Any] = field(default_factory=dict)

    def value(self, word: str, roles: Roles) -> Any:
        """What the right side of a rule stands for; None where it is not known."""
        if "." in word:
            role, attribute = word.split(".")
            return self.facts.get((attribute, roles[role])) if role in roles else None
        if word == "-":
            return None
        return roles.get(word) if len(word) == 1 else word

    def fault(self, rule: Rule, roles: Roles) -> str | None:
        """Why the rule does not hold, in words; None where it holds or says nothing here."""
        if rule.relation in ("flag", "noflag"):
            return self._flag_fault(rule, roles)
        if rule.left not in roles or (len(rule.right) == 1 and rule.right not in (*roles, "-")):
            return "it is not clear who or what is meant" if rule.relation == "=" else None
        for subject in _members(roles[rule.left]):
            actual = self.facts.get((rule.attribute, subject))
            expected = self.value(rule.right, roles)
            if rule.relation == "@":
                bad = actual is not None and actual not in SPOT_PLACES.get(roles[rule.right], ())
            elif rule.relation == "!=":
                bad = actual == expected and actual is not None
            elif rule.relation == "~":
                bad = (
                    actual is not None and expected is not None and actual not in _members(expected)
                )
            else:
                bad = actual != expected
            if bad:
                return f"{rule.attribute} of {subject} is {actual}, not {rule.relation} {expected}"
        return None

    def _flag_fault(self, rule: Rule, roles: Roles) -> str | None:
        key = _flag_key(rule, roles)
        if key is None:
            return "it is not clear who or what is meant"
        if (key in self.facts) == (rule.relation == "flag"):
            return None
        return f"{rule.attribute}{key[1:]} is {'not ' if rule.relation == 'flag' else ''}so"

    def make(self, rule: Rule, roles: Roles) -> None:
        """Make the rule so."""
        if rule.relation == "flag" or rule.relation == "noflag":
            key = _flag_key(rule, roles)
            if key is not None:
                self._set(key, rule.relation == "flag" or None)
        elif rule.left in roles and not (len(rule.right) == 1 and rule.right not in (*roles, "-")):
            value = self.value(rule.right, roles)
            for subject in _members(roles[rule.left]):
                self._set((rule.attribute, subject), value)

    def _set(self, key: tuple, value: Any) -> None:
        if value is None:
            self.facts.pop(key, None)
        else:
            self.facts[key] = value

    def where_is(self, being: str) -> str | None:
        """The place where a being is, if the tale has said it."""
        return self.facts.get(("where", being))

    def of_kind(self, kind: str) -> list[str]:
        """Everyone who may be called "the fox", "the girl"..."""
        return [being.name for being in self.beings.values() if being.kind == kind]


def stranger(kind: str) -> Being:
    """Someone without a name."""
    return Being(kind, kind, KINDS[kind])


def _members(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _flag_key(rule: Rule, roles: Roles) -> tuple | None:
    letters = [letter for letter in rule.left.split(",") if letter]
    if any(letter not in roles for letter in letters):
        return None
    return (rule.attribute, *(roles[letter] for letter in letters))
