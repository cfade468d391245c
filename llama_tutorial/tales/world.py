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
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from llama_tutorial.tales.words import SPOT_PLACES

# Role letter -> a being's name, a thing's noun, a place, a spot; a group is a tuple of names.
Roles = Mapping[str, Any]
_RULE = re.compile(
    r"(?P<left>\w+)\.(?P<attribute>\w+)(?P<relation>=|~|!=)(?P<right>[\w.-]+)"
    r"|(?P<no>!?)(?P<flag>\w+)\((?P<of>[\w,]*)\)"
    r"|(?P<spot>\w)@(?P<who>\w)"
)
_UNCLEAR = "it is not clear who or what is meant"


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
    """Read a comma-separated list of rules.

    Raises:
        ValueError: What stands between two commas is no rule.
    """
    rules = []
    for part in filter(None, text.strip().split(", ")):
        match = _RULE.fullmatch(part)
        if not match:
            raise ValueError(f"{text!r}: {part!r} is no rule of the story world")
        if match["attribute"]:
            rules.append(Rule(match["relation"], match["attribute"], match["left"], match["right"]))
        elif match["flag"]:
            rules.append(Rule("noflag" if match["no"] else "flag", match["flag"], match["of"], ""))
        else:
            rules.append(Rule("@", "where", match["who"], match["spot"]))
    return tuple(rules)


class World:
    """Everything that is so at one moment of a tale."""

    def __init__(self) -> None:
        self.beings: dict[str, Being] = {}
        self.things: dict[str, dict[str, str]] = {}  # noun -> group of look -> look
        self.facts: dict[
            tuple, Any
        ] = {}  # ("holder", "kite") -> "Mia", ("helped", "A", "B") -> True

    def fault(self, rule: Rule, roles: Roles) -> str | None:
        """Why the rule does not hold, in words; None where it holds or says nothing here."""
        if rule.relation in ("flag", "noflag"):
            key = _flag(rule, roles)
            if key is None:
                return _UNCLEAR
            if (key in self.facts) == (rule.relation == "flag"):
                return None
            return f"{rule.attribute}{key[1:]} is {'not ' if rule.relation == 'flag' else ''}so"
        if not _complete(rule, roles):
            return _UNCLEAR if rule.relation == "=" else None
        wanted = self._value(rule.right, roles)
        for subject in members(roles[rule.left]):
            actual = self.facts.get((rule.attribute, subject))
            if rule.relation == "=":
                bad = actual != wanted
            elif actual is None:
                bad = False
            elif rule.relation == "@":
                bad = actual not in SPOT_PLACES.get(wanted, ())
            elif rule.relation == "!=":
                bad = actual == wanted
            else:
                bad = wanted is not None and actual not in members(wanted)
            if bad:
                return f"{rule.attribute} of {subject} is {actual}, not {rule.relation} {wanted}"
        return None

    def make(self, rule: Rule, roles: Roles) -> None:
        """Make the rule so."""
        if rule.relation in ("flag", "noflag"):
            key = _flag(rule, roles)
            if key is not None:
                self._set(key, rule.relation == "flag" or None)
        elif _complete(rule, roles):
            value = self._value(rule.right, roles)
            for subject in members(roles[rule.left]):
                self._set((rule.attribute, subject), value)

    def happen(
        self,
        makes: Iterable[Rule],
        roles: Roles,
        beings: Iterable[Being],
        things: Mapping[str, dict[str, str]],
        owns: Iterable[tuple[str, str]],
    ) -> None:
        """Let an event happen: who is new, what is new and whose it is, and the event's effects."""
        self.beings.update((being.name, being) for being in beings)
        self.things.update(things)
        for noun, owner in owns:
            self.facts["owner", noun] = owner
        for rule in makes:
            self.make(rule, roles)

    def _value(self, word: str, roles: Roles) -> Any:
        """What the right side of a rule stands for; None where it is not known."""
        if "." in word:
            role, attribute = word.split(".")
            return self.facts.get((attribute, roles[role])) if role in roles else None
        return roles.get(word) if len(word) == 1 else word

    def _set(self, key: tuple, value: Any) -> None:
        if value is None:
            self.facts.pop(key, None)
        else:
            self.facts[key] = value


def in_order(roles: Roles) -> tuple[tuple[str, Any], ...]:
    """Roles as an event keeps them: by letter, groups by name."""
    return tuple(
        (role, tuple(sorted(value)) if isinstance(value, tuple) else value)
        for role, value in sorted(roles.items())
    )


def _complete(rule: Rule, roles: Roles) -> bool:
    """Whether both sides of a rule are known; "A.where" on the right may stay open."""
    return rule.left in roles and (len(rule.right) > 1 or rule.right in (*roles, "-"))


def members(value: Any) -> tuple:
    """Those of a group, or the only one."""
    return value if isinstance(value, tuple) else (value,)


def _flag(rule: Rule, roles: Roles) -> tuple | None:
    """The fact that a flag speaks of; None where a role is not known."""
    letters = rule.left.split(",") if rule.left else []
    if any(letter not in roles for letter in letters):
        return None
    return (rule.attribute, *(roles[letter] for letter in letters))
