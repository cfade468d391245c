"""Tales as a reward model reads them: a tint for each word, a number after each sentence."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from llama_tutorial.figures.kit.assets import stylesheet

FULL = 0.6  # the change of the score from which on the tint is full
FAILS = "✗"


class TintedTales:
    """Tales whose words are tinted by how a score changes with them; a notebook shows it as HTML.

    Without colours, and in the plain text, the numbers after the sentences say the same.

    Args:
        tales: By title, what was read: ``words``, each with the space before it; ``scores``, before
            the first word and after each; and ``sentences``: for each, how many words there are up
            to its end, and ``"fails"`` where a claim in it is false.
        caption: What the tints show, in a sentence or two.

    Raises:
        ValueError: There is not one score more than there are words.
    """

    def __init__(self, tales: Mapping[str, Mapping[str, Any]], caption: str) -> None:
        self.tales, self.caption = dict(tales), caption
        for title, tale in self.tales.items():
            words, scores = len(tale["words"]), len(tale["scores"])
            if scores != words + 1:
                raise ValueError(
                    f"{title!r} has {words} words and {scores} scores: give one score before the "
                    "first word and one after each"
                )

    def __repr__(self) -> str:
        found = []
        for title, tale in self.tales.items():
            told = [
                "".join(tale["words"][first:end]) + f" [{_after(tale['scores'][end], kind)}]"
                for first, end, kind in _sentences(tale)
            ]
            found.append(f"{title}: {''.join(told)}")
        return "\n".join(found)

    def _repr_html_(self) -> str:
        body = "".join(
            f'<p class="lt-title">{escape(title)}</p><p class="lt-tale">{_tale_html(tale)}</p>'
            for title, tale in self.tales.items()
        )
        style = stylesheet("../preferences/words")
        return f'<div class="lt-table lt-words">{style}<p>{escape(self.caption)}</p>{body}</div>'


def words(tales: Mapping[str, Mapping[str, Any]], caption: str) -> TintedTales:
    """Tales word by word, as the last expression of a cell; see `TintedTales`."""
    return TintedTales(tales, caption)


def _tale_html(tale: Mapping[str, Any]) -> str:
    said, scores = tale["words"], tale["scores"]
    return "".join(
        "".join(_word_html(said[i], scores[i + 1] - scores[i]) for i in range(first, end))
        + f"&nbsp;<small>{_after(scores[end], kind)}</small>"
        for first, end, kind in _sentences(tale)
    )


def _sentences(tale: Mapping[str, Any]) -> list[tuple[int, int, str]]:
    """The first word of each, the one after its last, and what is known of its claims."""
    firsts = [0, *(end for end, _ in tale["sentences"])]
    return [(first, *one) for first, one in zip(firsts, tale["sentences"], strict=False)]


def _word_html(word: str, change: float) -> str:
    space = word[: len(word) - len(word.lstrip())]
    tint = round(min(1.0, abs(change) / FULL), 2)
    kind = "lt-up" if change > 0 else "lt-down"
    return f'{space}<i class="{kind}" style="--w: {tint}">{escape(word.lstrip())}</i>'


def _after(score: float, kind: str) -> str:
    """What stands after a sentence: the score so far, and whether a claim of it fails."""
    return f"{score:+.2f}".replace("-", "−") + f" {FAILS}" * (kind == "fails")
