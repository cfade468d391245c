"""The story world: unlimited tales with known facts, to train on and to measure by.

:func:`tell` makes the tale of a seed, :func:`consistency` measures any text by what it says itself,
and :func:`questions` asks what a tale answers (or does not). One table of sentence patterns
(``data/patterns.txt``) is used for telling and for reading, so the two cannot drift apart. Nothing
here needs more than the standard library.

    >>> from llama_tutorial.tales import consistency, tell
    >>> tale = tell(7)
    >>> consistency(tale.text).score
    1.0

How it works, from the words up: :mod:`.words` (who and what there is), :mod:`.world` (what is
so), :mod:`.patterns` (how things are said), :mod:`.discourse` (what a pronoun means),
:mod:`.wording`, :mod:`.story` and :mod:`.plots` (what happens, and its words), :mod:`.tale` (seeds
and splits), :mod:`.telling` (many at once); and the way back: :mod:`.chunking`, :mod:`.index`,
:mod:`.binding`, :mod:`.reading`.
"""

from __future__ import annotations

from llama_tutorial.tales.questions import NOT_SAID, Question, questions
from llama_tutorial.tales.reading import Claim, Consistency, consistency, mean_consistency
from llama_tutorial.tales.tale import SPLITS, Facts, Tale, combinations, held_out, tales, tell
from llama_tutorial.tales.world import Being, Event

__all__ = [
    "NOT_SAID",
    "SPLITS",
    "Being",
    "Claim",
    "Consistency",
    "Event",
    "Facts",
    "Question",
    "Tale",
    "combinations",
    "consistency",
    "held_out",
    "mean_consistency",
    "questions",
    "tales",
    "tell",
]
