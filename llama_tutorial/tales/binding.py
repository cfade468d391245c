"""Whom and what a clause means: from its mentions to roles, with all that is wrong about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_tutorial.tales.chunking import Mention
from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.index import Expected
from llama_tutorial.tales.patterns import EventKind, Pattern, Slot, guard_holds
from llama_tutorial.tales.words import GENDER, KIN, KINDS, LOOK_GROUP, THINGS
from llama_tutorial.tales.world import Being, World


class Binding:
    """One pattern tried on one clause: its roles, its faults, whom and what it introduces."""

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

    def hear(self, event: EventKind, frame: Binding) -> None:
        """Take over from a frame who speaks to whom."""
        self.speaker, self.hearer = frame.roles.get("A", ""), frame.roles.get("B", "")
        for role, name in ((event.speaker, self.speaker), (event.hearer, self.hearer)):
            if name:
                self.roles[role] = name
        self.bound, self.faults, self.refers = frame.bound[:], frame.faults[:], frame.refers

    def bind(self, expected: Sequence[Expected], mentions: Sequence[Mention]) -> bool:
        """Give every mention its role; False where the clause cannot be this pattern at all."""
        verb = ""
        for wanted, mention in zip(expected, mentions, strict=True):
            if wanted.literal and wanted.literal != mention.value:
                return False
            if wanted.slot is None:
                continue
            if wanted.slot.form == "verb":  # its thing comes next
                verb = mention.value
                continue
            self._fill(wanted.slot, mention)
            noun = self.roles.get(wanted.slot.role)
            if verb and noun in THINGS and verb not in (THINGS[noun].used, THINGS[noun].use):
                self.faults.append(f"nobody {verb} a {noun}")
            verb = ""
        return True

    def complete(self, pattern: Pattern) -> None:
        """Infer the roles that are left out, then see whether the event can be."""
        event = pattern.event
        for guard in pattern.guards:
            role, relation, wanted = guard
            if relation == "=" and role not in self.roles:
                self.roles[role] = wanted
            elif isinstance(self.roles.get(role), str) and not guard_holds(guard, self.roles[role]):
                self.faults.append(f"a {self.roles[role]} does not do that")
        for role in sorted(event.roles - self.roles.keys()):
            if value := self.before.infer(role, event, self.roles, self.world):
                self.roles[role] = value
        for rule in event.needs:
            self.refers = True
            if fault := self.world.fault(rule, self.roles):
                self.faults.append(fault)

    def _fill(self, slot: Slot, mention: Mention) -> None:
        role, form = slot
        if role in "ABCDE":
            self._being(role, form, mention)
        elif role == "G":
            self._group(role, mention)
        elif role in "xyz":
            self._thing(role, form, mention)
        else:
            self._same(role, mention.value)

    def _same(self, role: str, value: Any) -> None:
        """A role stands for one and the same throughout a clause."""
        if self.roles.setdefault(role, value) != value:
            self.faults.append(f"{value} where {self.roles[role]} was meant")

    def _unclear(self, what: str) -> None:
        """Note that nobody can tell what is meant."""
        self.faults.append(f"it is not clear {what}")
        self.refers = True

    # -- beings ---------------------------------------------------------------------------------

    def _known(self, name: str) -> Being | None:
        """Somebody who was introduced before or is in this clause."""
        return self.world.beings.get(name) or self.new_beings.get(name)

    def _being(self, role: str, form: str, mention: Mention) -> None:
        if form == "kind":  # Tom was "a little boy"
            name = self.roles.get(role, "")
            known = self._known(name)
            if name in self.new_beings:
                self._introduce(name, mention.looks)
            elif known is not None and known.kind != mention.value:
                self.faults.append(f"{name} is no {mention.value}")
        elif mention.how == "pronoun" and role in self.roles:
            known = self._known(self.roles[role])
            if known is not None and known.gender != mention.value:
                self.faults.append(f"{known.name} is not {mention.value}")
        elif (name := self._resolve(mention)) is not None:
            self._same(role, name)

    def _resolve(self, mention: Mention) -> str | None:
        """Who is meant; None where that cannot be said."""
        if mention.how == "same":
            name = mention.value if isinstance(mention.value, str) else None
            what = "who is meant"
        elif mention.how == "pronoun":
            name = self.discourse.person(mention.value, self.world.beings, self.bound)
            what = f"who is called {mention.value}"
        elif mention.how == "kind":
            name = self._by_kind(mention)
            what = f"who the {mention.value} is"
        else:
            name, what = self._by_name(mention), ""
        if name is None:
            self._unclear(what)
            return None
        self.refers |= name not in self.new_beings
        if name not in self.bound:
            self.bound.append(name)
        self.discourse.mention(name)
        return name

    def _by_name(self, mention: Mention) -> str:
        name = mention.value
        known = self._known(name)
        if mention.how in ("new", "rel"):
            if known is None:
                self._introduce(name, mention.looks)
            else:
                self.faults.append(f"{name} is known already")
        elif known is not None:
            if mention.looks and mention.looks[-1] != known.kind:
                self.faults.append(f"{name} is no {mention.looks[-1]}")
        elif mention.how == "kin" and mention.owner is not None:
            self.new_beings[name] = Being(name, name, KIN[name])
        elif mention.how == "name" and not self.world.beings:  # the first sentence may just name
            self._introduce(name, mention.looks)
        else:
            self.faults.append(f"nobody has introduced {name}")
            self.refers = True
        return name

    def _by_kind(self, mention: Mention) -> str | None:
        """Who "the fox" is: the one mentioned last, where there are several."""
        beings = self.world.beings
        names = [name for name, being in beings.items() if being.kind == mention.value]
        if not names:
            return None
        recent = [name for name in (*self.discourse.now, *self.discourse.before) if name in names]
        name = (recent or names)[0]
        told = beings[name].look
        if mention.looks and told and told not in mention.looks:
            self.faults.append(f"{name} is {told}, not {mention.looks[0]}")
        return name

    def _introduce(self, name: str, looks: tuple[str, ...]) -> None:
        """Somebody new; the last of the looks is the kind."""
        kind = looks[-1] if looks else {"he": "boy", "she": "girl"}[GENDER[name]]
        gender = GENDER.get(name) or KINDS.get(kind, "")
        self.new_beings[name] = Being(name, kind, gender, looks[-2] if len(looks) > 1 else "")
        if kind in ("boy", "girl") and KINDS[kind] != gender:
            self.faults.append(f"{name} is no {kind}")

    def _group(self, role: str, mention: Mention) -> None:
        if mention.how == "group":
            names = tuple(filter(None, map(self._resolve, mention.value)))
        elif role in self.roles:
            return
        else:
            names = mention.value if mention.how == "same" else self.discourse.they()
            names = names if isinstance(names, tuple) else ()
            wanted = {"two": 2, "three": 3}.get(mention.value, len(names))
            if len(names) < 2 or len(names) != wanted:
                self._unclear("who they are")
                return
            self.refers = True
        self.bound += [name for name in names if name not in self.bound]
        self.discourse.mention_group(names)
        if set(self.roles.setdefault(role, names)) != set(names):
            self._same(role, names)

    # -- things ---------------------------------------------------------------------------------

    def _thing(self, role: str, form: str, mention: Mention) -> None:
        """Give a role the thing that is meant."""
        noun = mention.value
        if mention.how == "it":
            noun = self.roles.get(role) or self.discourse.thing
            if noun is None:
                self._unclear("what it is")
                return
        looks = self.world.things.get(noun, self.new_things.get(noun))
        if mention.how in ("a", "no"):
            if form != "new":
                self._same(role, noun)
                return
            if looks is None:
                self._new_thing(noun, mention)
            else:
                self.faults.append(f"the {noun} is known already")
        elif looks is not None:
            self.refers = True
            for look in mention.looks:
                if (told := looks.get(LOOK_GROUP[look], look)) != look:
                    self.faults.append(f"the {noun} is {told}, not {look}")
        elif form == "own" and mention.owner is not None:
            self._new_thing(noun, mention)
        else:
            self.faults.append(f"nothing was said of a {noun}")
            self.refers = True
        self._check_owner(noun, mention)
        self.discourse.mention_thing(noun)
        self._same(role, noun)

    def _new_thing(self, noun: str, mention: Mention) -> None:
        self.new_things[noun] = {LOOK_GROUP[look]: look for look in mention.looks}

    def _check_owner(self, noun: str, mention: Mention) -> None:
        owner: str | None
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
        """Whose "his kite" is: somebody's in this clause, or whom "he" means."""
        if mention.how != "pronoun":
            return mention.value
        for name in self.bound:
            being = self._known(name)
            if being is not None and being.gender == mention.value:
                return name
        return self.discourse.person(mention.value, self.world.beings)
