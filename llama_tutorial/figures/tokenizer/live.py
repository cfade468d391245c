"""The live figures of the tokenizer chapter: merges step by step, growth, and coverage.

Each takes tokenizers that the chapter has trained. What the page's script computes, the package
computes too (``numbers``), and the browser tests compare the two on many texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from llama_tutorial.figures.kit.controls import Select, Slider, Stops, Text, Toggle
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import number_text
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.bpe import BPETokenizer
from llama_tutorial.tokenizer.merging import merge_symbols
from llama_tutorial.tokenizer.vocabulary import PieceType

MAX_LENGTH = 60
GROWTH_STOPS = (0, 5, 20, 50, 100, 200, 500, 1000)


def pieces_of(count: int) -> str:
    """The count in words: ``1 piece``, ``2 pieces``."""
    return f"{number_text(count)} piece{'' if count == 1 else 's'}"


def well_formed(text: str) -> str:
    """The text with U+FFFD for half of a character, which a text field may cut off."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Steps:
    """A text at any step of its merges, as the merges figure tells it."""

    def __init__(self, tokenizer: BPETokenizer) -> None:
        self.tokenizer = tokenizer
        vocabulary = tokenizer.vocabulary
        types = list(vocabulary.types)
        self.first = types.index(PieceType.NORMAL)
        rows = zip(vocabulary.pieces[self.first :], vocabulary.scores[self.first :], strict=True)
        # Whole numbers: floats would be rounded to three digits on their way into the page.
        self.scores = {piece: int(score) for piece, score in rows}
        self.ids = {piece: self.first + i for i, piece in enumerate(self.scores)}

    def at(self, text: str, step: int) -> dict[str, Any]:
        """The numbers of the figure. The last step, if needed, is the bytes."""
        states = self.tokenizer.merge_steps(well_formed(text))
        final = self.tokenizer.encode(well_formed(text))
        merges = len(states) - 1
        steps = merges + any(symbol not in self.ids for symbol in states[-1])
        step = min(step, steps)
        in_bytes = step > merges
        symbols = [self.tokenizer.id_to_piece(i) for i in final] if in_bytes else states[step]
        after = states[step + 1] if step < merges else []
        pairs = enumerate(zip(symbols, after))  # noqa: B905 (after is one shorter, or empty)
        place = next((i for i, (old, new) in pairs if old != new), None)
        return {
            "step": step,
            "steps": steps,
            "count": len(symbols),
            "pieces": pieces_of(len(symbols)),
            "next": self._next(symbols, place, step < steps),
            "waiting": [] if in_bytes else self._waiting(symbols),
            "ids": final,
        }

    def _next(self, symbols: list[str], place: int | None, more: bool) -> str:
        if place is not None:
            left, right = symbols[place : place + 2]
            score = number_text(self.scores[left + right])
            return f"next, {left} and {right} make {left + right}, score {score}"
        if more:
            return "next, the characters without a piece become bytes"
        return "finished: no two neighbours make a piece" if symbols else "nothing to spell"

    def _waiting(self, symbols: list[str]) -> list[str]:
        """The joins that are pieces, with their scores, best first."""
        joins = dict.fromkeys(left + right for left, right in pairwise(symbols))
        found = [piece for piece in joins if piece in self.scores]
        best = sorted(found, key=self.scores.__getitem__, reverse=True)[:4]
        return [f"{piece}\N{NO-BREAK SPACE}{number_text(self.scores[piece])}" for piece in best]


def merges(
    tokenizer: BPETokenizer, text: str, checked: Sequence[str] = (), step: int = 0
) -> LiveFigure:
    """Steps through the merges of a text that the reader types.

    Args:
        tokenizer: A vocabulary with byte pieces whose text pieces follow them, as Llama 2's do.
        text: The first text.
        step: How many merges are done at first.
        checked: More texts at which the page's numbers are compared with the package's.
    """
    steps = _Steps(tokenizer)

    return LiveFigure(
        "tokenizer/merges",
        pieces=True,
        data={
            "pieces": list(steps.scores),
            "scores": list(steps.scores.values()),
            "first": steps.first,
        },
        controls=[
            Text("text", text, label="text", max_length=MAX_LENGTH, checked=checked),
            Slider("step", 0, MAX_LENGTH + 1, step, label="merges done"),
        ],
        numbers=steps.at,
        alt="“{text}” in {pieces} at step {step}, each with its id; {next}.",
        caption="Type a text, then press + (or touch the two boxes with the heavy orange frame) to "
        "carry out one merge after the other. Those two merge next: of all neighbours that make a "
        "piece, theirs has the highest score. Under each piece stands its id. A character without "
        "a piece has none, and turns into its bytes (dashed) in the last step.",
        readout="Step {step} of {steps}: {pieces}; {next}.",
    )


def growth(tokenizer: BPETokenizer, text: str, checked: Sequence[str] = ()) -> LiveFigure:
    """The same text with more and more of the vocabulary's merges: from characters to words."""
    vocabulary = tokenizer.vocabulary
    rows = zip(vocabulary.pieces, vocabulary.scores, vocabulary.types, strict=True)
    merged = [(s, p) for p, s, kind in rows if kind == PieceType.NORMAL and len(p) > 1]
    merged.sort(key=lambda row: -row[0])
    pieces = [piece for _, piece in merged]
    stops = [stop for stop in GROWTH_STOPS if stop < len(pieces)]

    def spell(text: str, merges: int) -> list[str]:
        ranks = {piece: rank for rank, piece in enumerate(pieces[:merges])}
        return merge_symbols(tokenizer.merge_steps(well_formed(text))[0], ranks)

    def numbers(text: str, merges: int) -> dict[str, Any]:
        lengths = [len(spell(text, stop)) for stop in stops]
        count = len(spell(text, merges))
        return {"count": count, "pieces": pieces_of(count), "lengths": lengths}

    return LiveFigure(
        "tokenizer/growth",
        pieces=True,
        data={"pieces": pieces[: stops[-1]], "stops": stops},
        controls=[
            Text("text", text, label="text", max_length=MAX_LENGTH, checked=checked),
            Stops("merges", 0, stops, label="merges learned"),
        ],
        numbers=numbers,
        alt="Bars: how many pieces the text takes with more and more merges; now {count}.",
        caption="Move the slider from characters (0 merges) to nearly whole words. The bars count "
        "the pieces of your text at every stop.",
        readout="{merges} merges: {pieces}",
    )


def coverage(
    tokenizers: Mapping[str, Sequence[BaseTokenizer]], samples: Mapping[str, str]
) -> LiveFigure:
    """What becomes of a sample under several coverages, with byte fallback and without.

    Args:
        tokenizers: For each coverage, by the words that the reader sees, a tokenizer without byte
            fallback and one with it.
        samples: Texts by name.
    """
    names: dict[str, int] = {}

    def result(tokenizer: BaseTokenizer, text: str) -> dict[str, Any]:
        ids, types = tokenizer.encode(text), tokenizer.vocabulary.types
        pieces = [tokenizer.vocabulary.pieces[i] for i in ids]
        decoded = tokenizer.decode(ids)
        return {
            "pieces": [names.setdefault(piece, len(names)) for piece in pieces],
            "decoded": decoded,
            "bytes": sum(types[i] == PieceType.BYTE for i in ids),
            "unknown": sum(types[i] == PieceType.UNKNOWN for i in ids),
            "survives": decoded == text,
            "rows": _character_rows(tokenizer),
        }

    results = {
        coverage: [{name: result(one, text) for name, text in samples.items()} for one in pair]
        for coverage, pair in tokenizers.items()
    }

    def numbers(coverage: str, fallback: bool, sample: str) -> dict[str, Any]:
        found = result(tokenizers[coverage][fallback], samples[sample])
        verdict = "comes back whole" if found["survives"] else "does not come back"
        kept = {key: found[key] for key in ("bytes", "unknown", "rows")}
        count = len(found["pieces"])
        of_count = {"count": count, "pieces": pieces_of(count)}
        return of_count | {"verdict": f"the text {verdict}"} | kept

    return LiveFigure(
        "tokenizer/coverage",
        pieces=True,
        data={"names": list(names), "results": results},
        controls=[
            Select("sample", options=list(samples), label="sample"),
            Stops("coverage", list(tokenizers)[1], list(tokenizers), label="character coverage"),
            Toggle("fallback", label="byte fallback"),
        ],
        numbers=numbers,
        alt="The sample {sample} in {pieces} under a character coverage of {coverage}: "
        "{bytes} bytes, {unknown} unknown.",
        caption="Choose a sample, move the coverage, switch the bytes on and off. Boxes with a "
        "dashed frame are bytes, boxes with a double frame are unknown characters: whatever stood "
        "there is gone, as the line below shows.",
        readout="{rows} characters have a piece; the sample takes {pieces} (bytes: "
        "{bytes}, unknown: {unknown}): {verdict}.",
    )


def _character_rows(tokenizer: BaseTokenizer) -> int:
    """How many pieces are single characters."""
    rows = zip(tokenizer.vocabulary.pieces, tokenizer.vocabulary.types, strict=True)
    return sum(len(piece) == 1 and kind == PieceType.NORMAL for piece, kind in rows)
