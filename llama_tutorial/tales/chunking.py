"""From words to a pattern's key: every mention of somebody or something becomes one token.

"Tom gave her the red kite" becomes ``C gave C X``, and the same is made of every pattern of the
grammar, so that reading a sentence is one look into a dictionary. The tokens:

- ``C`` a being, ``Cn`` one introduced by name, ``K`` "a little fox", ``G`` several together;
- ``X`` a thing, ``Xa`` "a kite", ``Xn`` "no kite"; ``USED`` and ``USE`` what one does with it;
- ``AT``, ``TO`` and ``P`` a place (in it, to it, the place itself), ``S`` a spot;
- ``W`` a skill, ``HANDS`` hands or paws.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from llama_tutorial.tales.words import (
    GENDER,
    HANDS,
    KIN,
    KINDS,
    LOOK_GROUP,
    PLACES,
    PLAIN_LOOKS,
    SKILLS,
    SPOT_PLACES,
    THINGS,
)

_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|[.,!?]")
_PRONOUNS = {"he": "he", "him": "he", "himself": "he", "she": "she", "herself": "she"}
_GROUP_WORDS = frozenset(("they", "them", "their"))
_POSSESSIVES = {"his": "he", "her": "she"}
_HANDS = frozenset(HANDS.values()) | {"paws"}
_KIN = {name.lower(): name for name in KIN}


class Mention(NamedTuple):
    """How somebody or something is called."""

    # name kind kin new rel pronoun group | the a no my your own it | place spot skill verb
    how: str
    value: Any  # name, kind, gender, noun, place, spot; for a group its mentions
    looks: tuple[str, ...] = ()
    owner: Mention | None = None


class Item(NamedTuple):
    """A token of the key, and what is behind it."""

    token: str
    mention: Any = None


def mentions_of(items: list[Item]) -> list[Any]:
    """What is behind those items that mention somebody or something."""
    return [item.mention for item in items if item.mention is not None]


def words_of(text: str) -> list[str]:
    """The words and punctuation marks of a text."""
    return _WORD.findall(text)


@cache
def _phrases() -> dict[tuple[str, ...], list[tuple[tuple[str, ...], Item]]]:
    """Fixed phrases by their first two words (or their only one), the longest first."""
    found: dict[tuple[str, ...], list[tuple[tuple[str, ...], Item]]] = {}

    def add(phrase: str, token: str, how: str, value: str) -> None:
        words = tuple(phrase.split())
        found.setdefault(words[:2], []).append((words, Item(token, Mention(how, value))))

    for place in PLACES.values():
        add(place.at, "AT", "place", place.noun)
        add(place.to, "TO", "place", place.noun)
        if place.noun not in ("home", "school"):
            add("the " + place.noun, "P", "place", place.noun)
    for spot in SPOT_PLACES:
        add(spot, "S", "spot", spot)
    for skill in SKILLS:
        add("to " + skill, "W", "skill", skill)
    for number in ("two", "three"):
        add(f"the {number} friends", "G", "groupword", number)
    for entries in found.values():
        entries.sort(key=lambda entry: -len(entry[0]))
    return found


@cache
def _verbs() -> dict[tuple[str, ...], str]:
    """What one does with things: the words, and whether past or not."""
    table = {tuple(thing.used.split()): "USED" for thing in THINGS.values()}
    return {tuple(thing.use.split()): "USE" for thing in THINGS.values()} | table


Chunk = tuple[int, Item]  # where it ends, and the item


class _Words:
    """The words of a clause; each method finds what begins at a word, if it does."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.lower = [word.lower() for word in words]

    def at(self, i: int) -> str:
        return self.lower[i] if i < len(self.lower) else ""

    def phrase(self, i: int) -> Chunk | None:
        """A fixed phrase: "in the park", "under the bench", "to swim"."""
        start = tuple(self.lower[i : i + 2])
        for words, item in _phrases().get(start) or _phrases().get(start[:1], []):
            if tuple(self.lower[i : i + len(words)]) == words:
                return i + len(words), item
        return None

    def thing(self, i: int) -> Chunk | None:
        """A thing behind its article or owner: "the red kite", "no kite", "his kite", "my kite"."""
        lower = self.lower[i]
        owner = None
        if lower in ("the", "this", "my", "your", "no", "a", "an"):
            how = "a" if lower == "an" else lower
        elif (owner := self._owner(i)) is not None:
            how = "own"
        else:
            return None
        k = self._looks(i + 1)
        if self.at(k) not in THINGS:
            return None
        looks = tuple(word for word in self.lower[i + 1 : k] if word in LOOK_GROUP)
        token = {"a": "Xa", "no": "Xn"}.get(how, "X")
        return k + 1, Item(token, Mention(how, self.lower[k], looks, owner))

    def beings(self, i: int) -> Chunk | None:
        """One being, or several: "Tom and Mia", "Tom, Mia and Ben"."""
        found = self.being(i)
        if found is None or found[1].token != "C" or found[1].mention.owner:
            return found
        end, item = found
        members = [item.mention]
        while (link := self.at(end)) in (",", "and"):
            following = self.being(end + 1)
            if following is None or following[1].token != "C":
                break
            end, item = following
            members.append(item.mention)
            if link == "and":
                return end, Item("G", Mention("group", tuple(members)))
        return found

    def being(self, i: int) -> Chunk | None:
        """Pip the fox, the old owl, a fox named Pip, his friend Ben, her grandma."""
        if i >= len(self.words):
            return None
        word, lower = self.words[i], self.lower[i]
        if word in GENDER:
            kind = self.at(i + 2) if self.at(i + 1) == "the" and self.at(i + 2) in KINDS else ""
            return i + (3 if kind else 1), Item("C", Mention("name", word, (kind,) if kind else ()))
        if word in KIN:
            return i + 1, Item("C", Mention("kin", word))
        if lower in ("the", "a", "an"):
            return self._described(i, lower)
        owner = self._owner(i)
        return self._related(i, owner) if owner else None

    def _described(self, i: int, article: str) -> Chunk | None:
        """The old owl, a fox named Pip, a little fox."""
        k = self._looks(i + 1)
        looks, kind = tuple(self.lower[i + 1 : k]), self.at(k)
        if kind not in KINDS:
            return None
        if article == "the":
            return k + 1, Item("C", Mention("kind", kind, looks))
        name = self._name(k + 2)
        if name and self.at(k + 1) in ("named", "called"):
            return k + 3, Item("Cn", Mention("new", name, (*looks, kind)))
        return k + 1, Item("K", Mention("new", kind, (*looks, kind)))

    def _related(self, i: int, owner: Mention) -> Chunk | None:
        """His friend Ben, her grandma."""
        k = self._looks(i + 1)
        kin = self.at(k).removesuffix("'s")
        if kin in _KIN:
            return k + 1, Item("C", Mention("kin", _KIN[kin], (), owner))
        if self.at(k) == "friend" and self._name(k + 1) and (found := self.being(k + 1)):
            end, (_, friend) = found
            return end, Item("Cn", Mention("rel", friend.value, friend.looks, owner))
        return None

    def _owner(self, i: int) -> Mention | None:
        """Whose: "his", "her" or "Tom's"."""
        word, lower = self.words[i], self.lower[i]
        if lower in _POSSESSIVES:
            return Mention("pronoun", _POSSESSIVES[lower])
        return Mention("name", word[:-2]) if lower[-2:] == "'s" and word[:-2] in GENDER else None

    def _name(self, i: int) -> str:
        return self.words[i] if i < len(self.words) and self.words[i] in GENDER else ""

    def _looks(self, k: int) -> int:
        """Past the adjectives."""
        while self.at(k) in LOOK_GROUP or self.at(k) in PLAIN_LOOKS:
            k += 1
        return k


def chunk(words: list[str]) -> list[Item]:
    """Turn the words of one clause into items."""
    cursor = _Words(words)
    items: list[Item] = []
    i = 0
    while i < len(words):
        found = cursor.phrase(i) or cursor.thing(i) or cursor.beings(i)
        i, item = found or (i + 1, _single(words[i], cursor.lower[i]))
        items.append(item)
        merge_verb(items)
    return items


def _single(word: str, lower: str) -> Item:
    """A word by itself."""
    if gender := _PRONOUNS.get(lower) or _POSSESSIVES.get(lower):
        return Item("C", Mention("pronoun", gender))
    if lower.endswith("'s"):
        if word[:-2] in GENDER or word[:-2] in KIN:
            return Item("C", Mention("name" if word[:-2] in GENDER else "kin", word[:-2]))
        if lower[:-2] in KINDS:
            return Item("KIND'S", Mention("kind", lower[:-2]))
    if lower in _GROUP_WORDS:
        return Item("G", Mention("groupword", lower))
    if lower == "it":
        return Item("X", Mention("it", "it"))
    return Item("HANDS" if lower in _HANDS else lower)


def merge_verb(items: list[Item]) -> None:
    """Turn "flew X" at the end of the items into ``USED X``; "the fox's" into ``C``."""
    last = items[-1]
    if last.token == "KIND'S":
        k = len(items) - 2
        while k > 0 and (items[k].token in LOOK_GROUP or items[k].token in PLAIN_LOOKS):
            k -= 1
        if k >= 0 and items[k].token == "the":
            looks = tuple(item.token for item in items[k + 1 : -1])
            items[k:] = [Item("C", last.mention._replace(looks=looks))]
    elif last.token == "X":
        for size in (2, 1):
            verb = tuple(item.token for item in items[-1 - size : -1])
            if len(verb) == size and verb in _verbs():
                items[-1 - size : -1] = [Item(_verbs()[verb], Mention("verb", " ".join(verb)))]
                return
