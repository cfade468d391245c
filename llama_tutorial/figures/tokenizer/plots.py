"""The pictures of the tokenizer chapter that stand still: real counts, rows, sizes, look-ups.

Each function takes what the chapter has computed, or reads what was recorded, and returns a
matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, VIOLET

#: A vocabulary's parts in the order of the ids: what they are, how many, and their colour.
_ROWS = {
    "GPT-2": [("256 bytes", 256, VIOLET), ("50,000 merges", 50_000, BLUE), ("the end", 1, INK)],
    "Llama 2": [
        ("3 special, 256 bytes", 259, VIOLET),
        ("29,612 merges", 29_612, BLUE),
        ("2,129 characters", 2_129, GREEN),
    ],
}


def real_counts() -> Figure:
    """Tokens for the same texts by the real GPT-2 and the real Llama 2, as recorded."""
    results = recorded("token_counts")
    texts = [*results["sentences"], *results["others"]]
    figure, axes = plt.subplots(figsize=(4, 5))
    models = (("gpt2", "GPT-2", ORANGE, -0.2), ("llama2", "Llama 2", BLUE, 0.2))
    for key, label, color, shift in models:
        heights = [i + shift for i in range(len(texts))]
        counts = [text[key] for text in texts]
        bars = axes.barh(heights, counts, 0.38, color=color, label=label)
        axes.bar_label(bars, padding=3)
    axes.set_yticks(range(len(texts)), [text["name"] for text in texts])
    line = len(results["sentences"]) - 0.5
    axes.axhline(line, color=INK, linewidth=0.8, linestyle=":")
    axes.set(xlabel="tokens", xlim=(0, 115))
    axes.invert_yaxis()
    axes.legend(loc="upper right")
    return figure


def vocabularies() -> Figure:
    """The rows of GPT-2's vocabulary and of Llama 2's, to scale, in the order of their ids."""
    figure, axes = plt.subplots(figsize=(3.8, 2.6))
    for place, (name, parts) in enumerate(_ROWS.items()):
        start = 0
        for _, size, color in parts:
            axes.barh(place, size, 0.36, left=start, color=color)
            start += size
        (smallest, *_), (merges, *_), (last, *_) = parts
        axes.text(0, place - 0.27, f"{name}: {merges}", ha="left", va="bottom")
        axes.text(0, place + 0.23, smallest, ha="left", va="top")
        axes.text(start, place + 0.23, last, ha="right" if place == 0 else "left", va="top")
    axes.set(xlabel="rows of the embedding", xlim=(-300, 51_500), ylim=(1.55, -0.6))
    axes.set_xticks([0, 32_000, 50_257], ["0", "32,000", "50,257"])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure


def sizes(
    sizes: Sequence[int], lengths: Mapping[str, Sequence[float]], words: tuple[int, float]
) -> Figure:
    """Characters per token against the size of the vocabulary.

    Args:
        sizes: The sizes, in pieces.
        lengths: Characters per token at each size, by the name of the text.
        words: The same for a vocabulary of words: its size, and characters per word.
    """
    figure, axes = plt.subplots(figsize=(3.7, 2.8))
    for (label, values), marker in zip(lengths.items(), "osv", strict=False):
        axes.plot(sizes, rounded(list(values)), marker=marker, label=label)
    axes.plot([words[0]], [rounded(words[1])], "D", label="words, on that page")
    axes.set(xscale="log", xlabel="vocabulary (pieces)", ylabel="characters per token")
    axes.set_xticks(sizes[::2], [f"{size:,}" for size in sizes[::2]])
    axes.minorticks_off()
    axes.legend()
    return figure


def two_alphabets(names: Sequence[str], paid: Mapping[str, Sequence[float]]) -> Figure:
    """Tokens per character under several vocabularies, text by text.

    Args:
        names: The texts.
        paid: Tokens per character of each text, by the name of the vocabulary; two of them.
    """
    figure, axes = plt.subplots(figsize=(3.7, 3.8))
    for (label, values), color, shift in zip(
        paid.items(), (ORANGE, BLUE), (-0.2, 0.2), strict=True
    ):
        heights = [i + shift for i in range(len(names))]
        axes.barh(heights, rounded(list(values)), 0.38, color=color, label=label)
    axes.set_yticks(range(len(names)), list(names))
    axes.set(xlabel="tokens per character")
    axes.invert_yaxis()
    axes.legend(loc="upper right")
    return figure


def lookups(lengths: Sequence[int], counts: Mapping[str, Sequence[int]]) -> Figure:
    """Look-ups against the length of a word, both axes logarithmic.

    Args:
        lengths: Characters of the word.
        counts: Look-ups at each length, by the way of spelling.
    """
    figure, axes = plt.subplots(figsize=(3.7, 2.8))
    for (label, values), marker in zip(counts.items(), "os", strict=True):
        axes.plot(lengths, values, marker=marker, label=label)
    axes.set(xscale="log", yscale="log", ylabel="look-ups")
    axes.set(xlabel="length of the word (characters)")
    axes.set_xticks(lengths, [str(n) for n in lengths])
    axes.minorticks_off()
    axes.legend()
    return figure
