"""What a clause means by "the red kite", "his kite", "it": the half of binding about things.

The other half, about beings, is :class:`~llama_tutorial.tales.binding.Binding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_tutorial.tales.chunking import Mention
from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.words import LOOK_GROUP, THINGS
from llama_tutorial.tales.world import Being, World


class ThingBinding:
    """One candidate tried on one clause: its roles, its faults, whom and what it introduces."""

    kind_told = False  # "Pip was a little fox" says what Pip is

    def __init__(self, world: World, discourse: Discourse, before: Discourse) -> None:
        self.world = world
        self.discourse = discourse
        self.before = before  # as it was when the sentence began: for what is left out
        self.roles: dict[str, Any] = {}
        self.bound: list[str] = []  # beings of this clause, the subject first
        self.faults: list[str] = []
        self.refers = False  # whether anything known is spoken of
        self.new_beings: dict[str, Being] = {}
        self.new_things: dict[str, dict[str, str]] = {}
        self.owns: list[tuple[str, str]] = []
        self.speaker = self.hearer = ""

    def same(self, role: str, value: Any) -> None:
        """A role stands for one and the same throughout a clause."""
        if self.roles.setdefault(role, value) != value:
            self.faults.append(f"{value} where {self.roles[role]} was meant")

    def unclear(self, what: str) -> None:
        """Note that nobody can tell what is meant."""
        self.faults.append(f"it is not clear {what}")
        self.refers = True

    def known(self, name: str) -> Being | None:
        """Somebody who was introduced before or is in this clause."""
        return self.world.beings.get(name) or self.new_beings.get(name)

    def thing(self, role: str, form: str, mention: Mention) -> None:
        """Give a role the thing that is meant."""
        noun = mention.value
        if mention.how == "it":
            noun = self.roles.get(role) or self.discourse.thing
            if noun is None:
                return self.unclear("what it is")
        looks = self.world.things.get(noun, self.new_things.get(noun))
        if mention.how in ("a", "no"):
            if form == "new":
                self._appear(noun, looks, mention)
            return self.same(role, noun)
        if looks is not None:
            self.refers = True
            self._check_looks(noun, looks, mention)
        elif form == "own" and mention.owner is not None:
            self._new_thing(noun, mention)
        else:
            self.faults.append(f"nothing was said of a {noun}")
            self.refers = True
        self._check_owner(noun, mention)
        self.discourse.mention_thing(noun)
        return self.same(role, noun)

    def _appear(self, noun: str, looks: Mapping[str, str] | None, mention: Mention) -> None:
        """A thing comes in: "a red kite"."""
        if looks is None:
            self._new_thing(noun, mention)
        else:
            self.faults.append(f"the {noun} is known already")
        self.discourse.mention_thing(noun)

    def _new_thing(self, noun: str, mention: Mention) -> None:
        self.new_things[noun] = {LOOK_GROUP[look]: look for look in mention.looks}

    def _check_looks(self, noun: str, looks: Mapping[str, str], mention: Mention) -> None:
        for look in mention.looks:
            told = looks.get(LOOK_GROUP[look])
            if told is not None and told != look:
                self.faults.append(f"the {noun} is {told}, not {look}")

    def _check_owner(self, noun: str, mention: Mention) -> None:
        if mention.how == "my":
            owner = self.speaker
        elif mention.how == "your":
            owner = self.hearer
        elif mention.owner is not None:
            owner = self._owner(mention.owner)
        else:
            return
        told = self.world.facts.get(("owner", noun))
        if told is None:
            if owner and noun in self.new_things:
                self.owns.append((noun, owner))
        elif owner and told != owner:
            self.faults.append(f"the {noun} is {told}'s, not {owner}'s")

    def _owner(self, mention: Mention) -> str | None:
        if mention.how != "pronoun":
            return mention.value
        for name in self.bound:
            being = self.known(name)
            if being is not None and being.gender == mention.value:
                return name
        return self.discourse.person(mention.value, self.world.beings)

    def check_verb(self, noun: str | None, verb: str) -> None:
        """Nobody flies a drum."""
        if noun in THINGS and verb not in (THINGS[noun].used, THINGS[noun].use):
            self.faults.append(f"nobody {verb} a {noun}")
