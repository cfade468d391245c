"""Measuring a text: does what it says fit what it said before?

The measure reads the text alone. Every clause that one of the story world's patterns could have
made, and that speaks of anything known or needs anything to be so, is a *claim*: it holds if
everybody it names was introduced, things are where and whose they were, colours stay, nobody gives
what they do not have or is where they did not go, the one who is thanked has helped, and so on.
A clause with any fault does not hold, however much of it is right.
"""

from __future__ import annotations

from dataclasses import dataclass

from llama_tutorial.tales.reading import Claim, Reader


@dataclass(frozen=True)
class Consistency:
    """How consistent a text is, and how much of it was understood."""

    score: float | None  # share of claims that hold; None without a claim
    parsed: float  # share of sentences that could be read, 0 to 1
    claims: tuple[Claim, ...]
    sentences: int

    @property
    def faults(self) -> tuple[Claim, ...]:
        """The claims that do not hold."""
        return tuple(claim for claim in self.claims if not claim.holds)


def consistency(text: str) -> Consistency:
    """Measure a tale, told by the story world or written by a model.

    A last sentence that breaks off (a model ran out of tokens) is left out.

    Args:
        text: One tale.

    Returns:
        The score, 1.0 for every tale of the story world and None where nothing was claimed; read it
        together with ``parsed``, the share of sentences that were understood.
    """
    reader = Reader().read(text)
    claims = tuple(reader.claims)
    score = sum(claim.holds for claim in claims) / len(claims) if claims else None
    parsed = reader.parsed / reader.sentences if reader.sentences else 0.0
    return Consistency(score, parsed, claims, reader.sentences)


def mean_consistency(texts: list[str]) -> tuple[float | None, float]:
    """Score over all claims of many texts, and the share of all their sentences that were read.

    Longer tales count for more. A text without a claim adds nothing to the score, but its sentences
    count among those to be read.
    """
    results = [consistency(text) for text in texts]
    claims = [claim for result in results for claim in result.claims]
    sentences = sum(result.sentences for result in results)
    parsed = sum(result.parsed * result.sentences for result in results)
    score = sum(claim.holds for claim in claims) / len(claims) if claims else None
    return score, parsed / sentences if sentences else 0.0
