"""Tales by seed: what is told, what is true in it, and which split it belongs to.

The splits differ in their seeds, and in more: one in eight combinations of a name, a thing and
a place is *held out*. No tale of ``train`` or ``validation`` has the words of such a combination;
every tale of ``test`` has at least one. So the test asks whether a model can tell of Tom, a kite
and the beach when it has never met the three together.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, product
from random import Random
from typing import Any

from llama_tutorial.tales.plots import plots, tell_plot
from llama_tutorial.tales.story import Story
from llama_tutorial.tales.wording import Unfit
from llama_tutorial.tales.words import GENDER, PLACES, THINGS
from llama_tutorial.tales.world import Being, Event

SPLITS = ("train", "validation", "test")
HELD_OUT = 8  # one combination in so many is only in the test
MIN_WORDS, MAX_WORDS, MAX_SENTENCES = 50, 135, 11
_WORD = re.compile(r"[A-Za-z]+")
_PLACE_WORDS = frozenset(PLACES) - {"home"}


@dataclass(frozen=True)
class Facts:
    """What is so in a tale, as the teller knows it and a careful reader finds out."""

    beings: Mapping[str, Being]
    things: Mapping[str, Mapping[str, str]]  # noun -> what it looks like ("colour": "red")
    events: tuple[Event, ...]
    final: Mapping[tuple, Any] = field(repr=False)  # ("holder", "kite") -> "Mia" at the end

    def get(self, attribute: str, of: str) -> Any:
        """How it ends: ``get("holder", "kite")``, ``get("where", "Tom")``; None if nobody said."""
        return self.final.get((attribute, of))

    def told(self, *kinds: str) -> list[dict[str, Any]]:
        """The roles of every event of these kinds, in order."""
        return [dict(event.roles) for event in self.events if event.kind in kinds]


@dataclass(frozen=True)
class Tale:
    """One tale."""

    text: str
    facts: Facts = field(repr=False)
    seed: int
    split: str
    plot: str
    patterns: tuple[str, ...] = field(repr=False)  # the sentence patterns it is made of


def combinations(text: str) -> set[tuple[str, str, str]]:
    """Every (name, thing, place) whose words are all in the text."""
    words = set(_WORD.findall(text))
    return set(product(words & GENDER.keys(), words & THINGS.keys(), words & _PLACE_WORDS))


def held_out(combination: tuple[str, str, str]) -> bool:
    """Whether a (name, thing, place) belongs to the test alone."""
    return zlib.crc32(" ".join(combination).encode()) % HELD_OUT == 0


def tell(seed: int, split: str = "train") -> Tale:
    """The tale of a seed; the same on every machine and in every process.

    Args:
        seed: Any whole number.
        split: ``"train"``, ``"validation"`` or ``"test"``; each has its own tale for a seed.

    Raises:
        ValueError: An unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: must be one of {', '.join(SPLITS)}")
    # A plot is tried until it fits, so that all are told as often; but those without a thing or a
    # place cannot be in the test.
    names = tuple(plots())
    plot = Random(f"{split}/{seed}").choice(names)
    for attempt in count():
        story = Story(Random(f"{split}/{seed}/{attempt}"))
        if split == "test":
            plot = story.pick(names)
        try:
            tell_plot(plot, story)
        except Unfit:  # rare, and another attempt is cheap
            continue
        text = " ".join(story.sentences)
        if _fits(text, len(story.sentences), split):
            break
    world = story.world
    facts = Facts(world.beings, world.things, tuple(story.events), world.facts)
    return Tale(text, facts, seed, split, plot, tuple(story.patterns))


def _fits(text: str, sentences: int, split: str) -> bool:
    """Whether a text has the right length, and the combinations that its split allows."""
    words = text.count(" ") + 1
    if not MIN_WORDS <= words <= MAX_WORDS or sentences > MAX_SENTENCES:
        return False
    return any(map(held_out, combinations(text))) == (split == "test")


def tales(n: int, split: str = "train", seed: int = 0) -> Iterator[Tale]:
    """``n`` tales, those of the seeds from ``seed`` on.

    Raises:
        ValueError: ``n`` is negative, or an unknown split.
    """
    if n < 0:
        raise ValueError(f"n={n}: must be at least 0")
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: must be one of {', '.join(SPLITS)}")
    return (tell(number, split) for number in range(seed, seed + n))
