"""Whom and what a clause means: from its mentions to roles, with all that is wrong about them."""

from __future__ import annotations

from collections.abc import Sequence

from llama_tutorial.tales.binding_things import ThingBinding
from llama_tutorial.tales.chunking import Mention
from llama_tutorial.tales.index import Expected
from llama_tutorial.tales.patterns import EventKind, Pattern, Slot, guard_holds
from llama_tutorial.tales.settling import infer
from llama_tutorial.tales.words import GENDER, KIN, KINDS
from llama_tutorial.tales.world import Being


class Binding(ThingBinding):
    """One pattern tried on one clause; see :class:`.ThingBinding`."""

    def hear(self, event: EventKind, frame: Binding) -> None:
        """Take over from a frame who speaks to whom."""
        self.speaker, self.hearer = frame.roles.get("A", ""), frame.roles.get("B", "")
        for role, name in ((event.speaker, self.speaker), (event.hearer, self.hearer)):
            if name:
                self.roles[role] = name
        self.bound, self.faults, self.refers = frame.bound[:], frame.faults[:], frame.refers

    def bind(self, expected: Sequence[Expected], mentions: Sequence[Mention]) -> bool:
        """Give every mention its role; False where the clause cannot be this pattern at all."""
        self.kind_told = any(wanted.slot and wanted.slot.form == "kind" for wanted in expected)
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
            if verb:
                self.check_verb(self.roles.get(wanted.slot.role), verb)
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
            value = infer(role, event, self.roles, self.before, self.world)
            if value:
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
            self.thing(role, form, mention)
        else:
            self.same(role, mention.value)

    # -- beings ---------------------------------------------------------------------------------

    def _being(self, role: str, form: str, mention: Mention) -> None:
        if form == "kind":
            self._kind_told(self.roles.get(role), mention)
        elif mention.how == "pronoun" and role in self.roles:
            being = self.known(self.roles[role])
            if being is not None and being.gender != mention.value:
                self.faults.append(f"{being.name} is not {mention.value}")
        else:
            name = self.resolve(mention)
            if name is not None:
                self.same(role, name)

    def resolve(self, mention: Mention) -> str | None:
        """Who is meant; None where that cannot be said."""
        name = self._find(mention)
        if name is None:
            return None
        self.refers |= name not in self.new_beings
        if name not in self.bound:
            self.bound.append(name)
        self.discourse.mention(name)
        return name

    def _find(self, mention: Mention) -> str | None:
        if mention.how == "same":
            return mention.value if isinstance(mention.value, str) else self.unclear("who is meant")
        if mention.how == "pronoun":
            name = self.discourse.person(mention.value, self.world.beings, self.bound)
            return name or self.unclear(f"who is called {mention.value}")
        if mention.how == "kind":
            return self._by_kind(mention)
        return self._by_name(mention)

    def _by_name(self, mention: Mention) -> str:
        name = mention.value
        known = self.known(name)
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
        names = self.world.of_kind(mention.value)
        if not names:
            return self.unclear(f"who the {mention.value} is")
        recent = [name for name in (*self.discourse.now, *self.discourse.before) if name in names]
        name = (recent or names)[0]
        told = self.world.beings[name].look
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

    def _kind_told(self, name: str | None, mention: Mention) -> None:
        """Tom was "a little boy"."""
        known = self.known(name or "")
        if name in self.new_beings:
            self._introduce(name, mention.looks)
        elif known is not None and known.kind != mention.value:
            self.faults.append(f"{name} is no {mention.value}")

    def _group(self, role: str, mention: Mention) -> None:
        if mention.how == "group":
            names = tuple(filter(None, (self.resolve(member) for member in mention.value)))
        elif role in self.roles:
            return
        else:
            names = mention.value if mention.how == "same" else self.discourse.they()
            names = names if isinstance(names, tuple) else ()
            wanted = {"two": 2, "three": 3}.get(mention.value, len(names))
            if len(names) < 2 or len(names) != wanted:
                self.unclear("who they are")
                return
            self.refers = True
        self.bound += [name for name in names if name not in self.bound]
        self.discourse.mention_group(names)
        if set(self.roles.setdefault(role, names)) != set(names):
            self.same(role, names)
