"""The live figures of the tokenizer chapter: merges step by step, growth, and coverage.

Each takes tokenizers that the chapter has trained. What the page's script computes, the package
computes too (``numbers``), and the browser tests compare the two on many texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from llama_tutorial.bpe import BPETokenizer
from llama_tutorial.figures.controls import Select, Slider, Stops, Text, Toggle
from llama_tutorial.figures.numbers import number_text
from llama_tutorial.figures.pieces import Box, PieceFigure, kind_of, pieces_html, well_formed
from llama_tutorial.figures.style import BLUE, ORANGE
from llama_tutorial.figures.svg import svg_text
from llama_tutorial.merging import merge_symbols
from llama_tutorial.tokenizer_base import BaseTokenizer
from llama_tutorial.vocabulary import PieceType, byte_piece

MAX_LENGTH = 60
GROWTH_STOPS = (0, 5, 20, 50, 100, 200, 500, 1000)


def merges_figure(tokenizer: BPETokenizer, text: str, checked: Sequence[str] = ()) -> PieceFigure:
    """Steps through the merges of a text that the reader types.

    Args:
        tokenizer: A vocabulary with byte pieces whose text pieces follow them, as Llama 2's do.
        text: The first text.
        checked: More texts at which the page's numbers are compared with the package's.
    """
    vocabulary = tokenizer.vocabulary
    rows = list(zip(vocabulary.pieces, vocabulary.scores, vocabulary.types, strict=True))
    first = next(i for i, row in enumerate(rows) if row[2] == PieceType.NORMAL)
    # Whole numbers: floats would be rounded to three digits on their way into the page.
    scores = {piece: int(score) for piece, score, _ in rows[first:]}
    ids = {piece: first + i for i, piece in enumerate(scores)}

    def view(text: str, step: int) -> tuple[dict[str, Any], list[Box]]:
        states = tokenizer.merge_steps(well_formed(text))
        final = tokenizer.encode(well_formed(text))
        merges = len(states) - 1
        steps = merges + any(symbol not in ids for symbol in states[-1])
        step = min(step, steps)
        in_bytes = step > merges
        symbols = [vocabulary.pieces[i] for i in final] if in_bytes else states[step]
        after = states[step + 1] if step < merges else []
        at = next((i for i, (a, b) in enumerate(zip(symbols, after)) if a != b), None)
        joins = [a + b for a, b in zip(symbols, symbols[1:]) if a + b in ids and not in_bytes]
        best = sorted(dict.fromkeys(joins), key=lambda piece: -scores[piece])[:4]
        waiting = [f"{piece}\N{NO-BREAK SPACE}{number_text(scores[piece])}" for piece in best]
        follows = "finished: no two neighbours make a piece" if symbols else "nothing to spell"
        if at is not None:
            made, score = after[at], number_text(scores[after[at]])
            follows = f"next, {symbols[at]} and {symbols[at + 1]} make {made}, score {score}"
        elif step < steps:
            follows = "next, the characters without a piece become bytes"
        boxes = []
        for i, symbol in enumerate(symbols):
            kind = "lt-next" if at is not None and i - at in (0, 1) else kind_of(symbol)
            boxes.append((symbol, final[i] if in_bytes else ids.get(symbol, "none"), kind))
        numbers = {"step": step, "steps": steps, "count": len(symbols), "next": follows}
        return numbers | {"waiting": waiting, "ids": final}, boxes

    def render(text: str, step: int) -> str:
        numbers, boxes = view(text, step)
        waiting = ", ".join(numbers["waiting"])
        notes = [f"could merge now, best first: {waiting}"] if waiting else []
        return pieces_html(boxes, f"The pieces at step {numbers['step']}", notes)

    return PieceFigure(
        "merges",
        data={"pieces": list(scores), "scores": list(scores.values()), "first": first},
        controls=[
            Text("text", text, label="text", max_length=MAX_LENGTH, checked=checked),
            Slider("step", 0, MAX_LENGTH + 1, 0, label="merges done"),
        ],
        render=render,
        numbers=lambda text, step: view(text, step)[0],
        alt="The text in pieces after some merges; the two that merge next are marked.",
        caption="Type a text, then press + to carry out one merge after the other. The two boxes "
        "with the heavy orange frame merge next: of all neighbours that make a piece, theirs has "
        "the highest score. Under each piece stands its id. A character without a piece has none, "
        "and turns into its bytes (dashed) in the last step.",
        readout="Step {step} of {steps}: {count} pieces; {next}.",
    )


def growth_figure(tokenizer: BPETokenizer, text: str, checked: Sequence[str] = ()) -> PieceFigure:
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
        return {"count": len(spell(text, merges)), "lengths": lengths}

    def render(text: str, merges: int) -> str:
        boxes = [(symbol, "", kind_of(symbol)) for symbol in spell(text, merges)]
        bars, axes = plt.subplots(figsize=(4.8, 2.0))
        colors = [ORANGE if stop == merges else BLUE for stop in stops]
        axes.bar([str(stop) for stop in stops], numbers(text, merges)["lengths"], color=colors)
        axes.set(xlabel="merges learned", ylabel="pieces in the text")
        return pieces_html(boxes, f"The text after {merges} merges") + svg_text(bars)

    return PieceFigure(
        "growth",
        data={"pieces": pieces[: stops[-1]], "stops": stops},
        controls=[
            Text("text", text, label="text", max_length=MAX_LENGTH, checked=checked),
            Stops("merges", 0, stops, label="merges learned"),
        ],
        render=render,
        numbers=numbers,
        alt="Bars: how many pieces the text takes with more and more merges; now {count}.",
        caption="Move the slider from characters (0 merges) to nearly whole words. The bars count "
        "the pieces of your text at every stop.",
        readout="{merges} merges: {count} pieces",
    )


def coverage_figure(
    tokenizers: Mapping[str, Sequence[BaseTokenizer]], samples: Mapping[str, str]
) -> PieceFigure:
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
        return {"count": len(found["pieces"]), "verdict": f"the text {verdict}"} | kept

    def render(coverage: str, fallback: bool, sample: str) -> str:
        tokenizer, text = tokenizers[coverage][fallback], samples[sample]
        boxes = [(piece, "", kind_of(piece)) for piece in tokenizer.pieces(text)]
        decoded = tokenizer.decode(tokenizer.encode(text))
        return pieces_html(boxes, f"The pieces of the sample {sample}", [f"read back: {decoded}"])

    return PieceFigure(
        "coverage",
        data={"names": list(names), "results": results},
        controls=[
            Select("sample", options=list(samples), label="sample"),
            Stops("coverage", list(tokenizers)[1], list(tokenizers), label="character coverage"),
            Toggle("fallback", label="byte fallback"),
        ],
        render=render,
        numbers=numbers,
        alt="The sample in pieces, bytes and unknowns.",
        caption="Choose a sample, move the coverage, switch the bytes on and off. Boxes with a "
        "dashed frame are bytes, boxes with a double frame are unknown characters: whatever stood "
        "there is gone, as the line below shows.",
        readout="{rows} characters have a piece; the sample takes {count} pieces, {bytes} of them "
        "bytes and {unknown} unknown: {verdict}.",
    )


def _character_rows(tokenizer: BaseTokenizer) -> int:
    """How many pieces are single characters."""
    rows = zip(tokenizer.vocabulary.pieces, tokenizer.vocabulary.types, strict=True)
    return sum(len(piece) == 1 and kind == PieceType.NORMAL for piece, kind in rows)
