"""Every pattern by its key, for the reader: the same table that the teller tells from."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from llama_tutorial.tales.chunking import Item, Mention, chunk, mentions_of, merge_verb, words_of
from llama_tutorial.tales.patterns import Parts, Pattern, Slot, event_kinds, frames

_ROLES = dict.fromkeys("ABCDE", "C") | dict.fromkeys("xyz", "X") | dict.fromkeys("pqr", "P")
_ROLES |= {"G": "G", "s": "S", "t": "S", "w": "W"}
_FORMS = {"new": "Cn", "rel": "Cn", "kind": "K", "a": "Xa", "no": "Xn", "at": "AT", "to": "TO"}
_PRONOUNS = frozenset("he she him her his they them their himself herself".split())


class Expected(NamedTuple):
    """What a token of the text has to be: a slot's filler, or the very verb of the pattern."""

    slot: Slot | None  # None: nothing to look at, as "it" in "it was late"
    literal: str = ""  # the very verb or place that the pattern names


class Candidate(NamedTuple):
    """A pattern that may have made a clause, and what its chunks stand for, in order."""

    pattern: Pattern
    expected: tuple[Expected, ...]


def pattern_items(variant: Parts) -> list[Item]:
    """A variant's tokens.

    Raises:
        ValueError: A literal names somebody or something that the reader would take for a mention.
    """
    items: list[Item] = []
    for part in variant:
        if isinstance(part, Slot):
            for item in _slot_items(part):
                items.append(item)
                merge_verb(items)  # a literal verb before a thing is the verb of a USED token
                if len(items) >= 2 and isinstance(items[-2].mention, Mention):
                    items[-2] = Item(items[-2].token, Expected(None, items[-2].mention.value))
            continue
        literal = part.replace("|", " ")
        for item in chunk(words_of(literal)):
            how = item.mention.how if item.mention else ""
            if item.token in _PRONOUNS or how not in ("", "it", "verb", "place"):
                raise ValueError(f"{variant}: {literal!r} holds {item.token}, which must be a slot")
            expected = Expected(None, item.mention.value if how == "place" else "") if how else None
            items.append(Item(item.token, expected))
    return items


def _slot_items(slot: Slot) -> list[Item]:
    """The tokens that fill a slot."""
    role, form = slot
    if form == "hands":
        return [Item("HANDS")]
    if form == "used":
        return [Item("USED", Expected(Slot(role, "verb"))), Item("X", Expected(Slot(role, "")))]
    token = "Xa" if form == "new" and role in "xyz" else _FORMS.get(form, _ROLES[role])
    return [Item(token, Expected(slot))]


def key_of(items: list[Item]) -> str:
    """Tokens joined; commas and the last full stop say nothing."""
    tokens = ["." if item.token in "!?" else item.token for item in items if item.token != ","]
    while tokens and tokens[-1] == ".":
        tokens.pop()
    return " ".join(tokens)


@cache
def clause_index() -> dict[str, list[Candidate]]:
    """Told clauses and spoken words by key; spoken ones stand behind a quotation mark."""
    index: dict[str, list[Candidate]] = {}
    for event in event_kinds().values():
        mark = '"' if event.speaker else ""
        for pattern in event.patterns:
            for variant in pattern.variants:
                items = pattern_items(_without_sound(variant))
                candidate = Candidate(pattern, tuple(mentions_of(items)))
                index.setdefault(mark + key_of(items), []).append(candidate)
                for i, item in enumerate(items):
                    if item.token == "Cn" and item.mention.slot.form == "new":
                        # A stranger has no name.
                        other = [*items[:i], Item("K", item.mention), *items[i + 1 :]]
                        index.setdefault(mark + key_of(other), []).append(candidate)
    return index


def _without_sound(variant: Parts) -> Parts:
    """The pattern after its sound: "Whoosh! The wind..." is read as two sentences."""
    if isinstance(variant[0], str) and "! " in variant[0]:
        sound, rest = variant[0].split("! ", 1)
        if sound in frames().sounds:
            return (rest, *variant[1:]) if rest else variant[1:]
    return variant


@cache
def frame_index() -> dict[str, tuple[Expected, ...]]:
    """Who says it, by key: ">" and "said Tom" after the words, "<" and "Mia said" before."""
    index: dict[str, tuple[Expected, ...]] = {}
    for side, table in ((">", frames().after), ("<", frames().before)):
        for frame in (frame for of_tone in table.values() for frame in of_tone):
            items = pattern_items(frame)
            index.setdefault(side + key_of(items), tuple(mentions_of(items)))
    return index


@cache
def sounds() -> frozenset[str]:
    """The keys of sounds that stand alone."""
    return frozenset(key_of(chunk(words_of(sound))) for sound in frames().sounds)


@cache
def openers() -> dict[str, list[tuple[str, ...]]]:
    """The openers, as words without commas, by the first; the longest first."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for opener in {opener for of_name in frames().openers.values() for opener in of_name if opener}:
        words = tuple(word.lower() for word in words_of(opener) if word != ",")
        found.setdefault(words[0], []).append(words)
    for options in found.values():
        options.sort(key=len, reverse=True)
    return found


@cache
def multi_heads() -> dict[str, int]:
    """The first sentence of patterns of several, with how many they have at most."""
    heads: dict[str, int] = {}
    for key in clause_index():
        if " . " in key and not key.startswith('"'):
            first, *rest = key.split(" . ")
            heads[first] = max(heads.get(first, 0), 1 + len(rest))
    return heads
