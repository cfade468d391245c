"""What a clause means by "the red kite", "his kite", "it": the half of the reader that knows things.

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

    def __init__(
        self, world: World, discourse: Discourse, before: Discourse, opening: bool
    ) -> None:
        self.world = world
        self.discourse = discourse
        self.before = before  # as it was when the sentence began: for what is left out
        self.opening = opening
        self.roles: dict[str, Any] = {}
        self.bound: list[str] = []
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

    def _known(self, name: str) -> Being | None:
        return self.world.beings.get(name) or self.new_beings.get(name)

    def _thing(self, role: str, form: str, mention: Mention) -> None:
        if mention.how == "it":
            noun = self.roles.get(role) or self.discourse.thing
            if noun is None:
                self.faults.append("there is nothing to be called it")
                self.refers = True
                return
        else:
            noun = mention.value
        looks = self.world.things.get(noun, self.new_things.get(noun))
        if mention.how in ("a", "no"):
            if form == "new":
                if looks is not None:
                    self.faults.append(f"the {noun} is known already")
                else:
                    self._new_thing(noun, mention)
                self.discourse.mention_thing(noun)
            self.same(role, noun)
            return
        if looks is None and form == "own" and mention.owner is not None:
            self._new_thing(noun, mention)
        elif looks is None:
            self.faults.append(f"nothing was said of a {noun}")
            self.refers = True
        else:
            self.refers = True
            self._check_looks(noun, looks, mention)
        self._check_owner(noun, mention)
        self.discourse.mention_thing(noun)
        self.same(role, noun)

    def _new_thing(self, noun: str, mention: Mention) -> None:
        self.new_things[noun] = {LOOK_GROUP[look]: look for look in mention.looks}

    def _check_looks(self, noun: str, looks: dict[str, str], mention: Mention) -> None:
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
            being = self._known(name)
            if being is not None and being.gender == mention.value:
                return name
        return self.discourse.person(mention.value, self.world.beings)


def verb_fits(noun: str, verb: str) -> bool:
    """Whether one does that with such a thing."""
    return noun not in THINGS or verb in (THINGS[noun].used, THINGS[noun].use)
