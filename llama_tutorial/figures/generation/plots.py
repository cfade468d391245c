"""The pictures of the generation chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch, Rectangle
from matplotlib.textpath import text_to_path
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.generation.serving import Turn
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, PALETTE, VIOLET

_STYLES = ("-", "--", "-.", ":")

_WIDTH, _PAD = 280, 6  # of a line of the dialog, and of a box around a text, in points
KINDS = {
    "id": ("an id, no text", INK),
    "tag": ("tags, plain text", ORANGE),
    "system": ("system", VIOLET),
    "user": ("user", BLUE),
    "assistant": ("assistant", GREEN),
}
"""What the parts of a dialog are called, and their colours."""


def sureness(places: Mapping[str, Float[Tensor, " V"]], k: int, p: float) -> Figure:
    """How many of the likeliest tokens it takes to hold a share of the probability.

    Args:
        places: By name, the logits of the next token.
        k: Where a top-k cut would be drawn.
        p: Where a top-p cut would be drawn.
    """
    figure, axes = plt.subplots(figsize=(4, 3.4))
    for i, (name, logits) in enumerate(places.items()):
        share = logits.softmax(-1).sort(descending=True).values.cumsum(-1)
        last = min(len(share), 300)
        counts = sorted({round(last ** (step / 80)) for step in range(81)})  # even on the axis
        color, style = PALETTE[i % len(PALETTE)], _STYLES[i % len(_STYLES)]
        axes.plot(
            counts,
            rounded(share[[n - 1 for n in counts]]),
            color=color,
            linestyle=style,
            label=name,
        )
    axes.axvline(k, color=INK, linewidth=0.8, linestyle=":")
    axes.axhline(p, color=INK, linewidth=0.8, linestyle=":")
    axes.text(k * 1.08, 0.03, f"the best {k}", ha="left")
    axes.text(290, p - 0.02, f"{p:.0%}", ha="right", va="top")
    axes.set(xscale="log", xlim=(1, 300), ylim=(0, 1.02))
    axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    axes.set(xlabel="likeliest tokens", ylabel="probability that they hold")
    figure.legend(loc="outside upper center", ncols=2, title="after")
    return figure


def habits(measured: Mapping[str, Sequence[Sequence[float]] | Tensor]) -> Figure:
    """The mean weight that each head spends on one kind of token.

    Args:
        measured: By habit, a number for each layer and head, (L, H).
    """
    figure, panels = plt.subplots(len(measured), 1, figsize=(3.6, 2.1 * len(measured)))
    for axes, (name, mean) in zip(panels, measured.items(), strict=True):
        grid = rounded(mean)
        shade = axes.pcolormesh(grid, cmap="lt-sequential", vmin=0, vmax=0.6)
        axes.set(title=name, aspect="equal", ylabel="layer")
        axes.set_xticks([i + 0.5 for i in range(len(grid[0]))], range(1, len(grid[0]) + 1))
        axes.set_yticks([i + 0.5 for i in range(len(grid))], range(1, len(grid) + 1))
        axes.tick_params(length=0)
        axes.invert_yaxis()
    panels[-1].set_xlabel("head")
    figure.colorbar(shade, ax=panels, label="mean weight", shrink=0.4)
    return figure


def candidates(logits: Float[Tensor, " V"], pieces: Sequence[str], n: int = 8) -> Figure:
    """The likeliest next tokens as bars, and all the others together in one.

    Args:
        logits: Of the next token.
        pieces: The text of each token.
        n: How many get a bar of their own.
    """
    best = logits.softmax(-1).sort(descending=True)
    shares = [*best.values[:n].tolist(), best.values[n:].sum().item()]
    names = [pieces[i].replace("▁", "") for i in best.indices[:n].tolist()]
    names.append(f"{len(logits) - n:,} others")
    figure, axes = plt.subplots(figsize=(4, 2.9))
    colors = [BLUE] * n + [INK]
    rows = range(len(shares))
    axes.barh(rows, rounded([100 * share for share in shares]), 0.72, color=colors)
    for row, share in zip(rows, shares, strict=True):
        axes.text(100 * share + 0.7, row, f"{100 * share:.1f}", va="center")
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set(xlabel="probability of coming next, %", xlim=(0, 100 * max(shares) + 6))
    return figure


def layout(turns: Sequence[Sequence[tuple[str, str]]]) -> Figure:
    """A dialog as a chat model reads it: what is an id, what a tag, and who has said what.

    Args:
        turns: For each question with its answer, the parts of the text: what it says, and which of
            ``KINDS`` it is.
    """
    lines = [line for turn in turns for line in [*_wrapped(turn), []]][:-1]
    figure, axes = plt.subplots(figsize=(4, 0.27 * len(lines) + 0.9))
    for row, line in enumerate(lines):
        at = 0
        for text, kind in line:
            color, width = KINDS[kind][1], _width(text)
            axes.add_patch(Rectangle((at, row - 0.42), width, 0.84, facecolor=color, alpha=0.22))
            axes.text(at + _PAD / 2, row, text.strip(" "), va="center")
            at += width + 2
    axes.set(xlim=(0, _WIDTH), ylim=(len(lines) - 0.4, -0.6))
    axes.set_axis_off()
    used = {kind for line in lines for _, kind in line}
    shown = [KINDS[kind] for kind in KINDS if kind in used]
    patches = [Patch(facecolor=color, alpha=0.22, label=name) for name, color in shown]
    figure.legend(handles=patches, loc="outside lower center", ncols=2)
    return figure


def drafts(passes: Sequence[tuple[Sequence[str], int, str]]) -> Figure:
    """What a small model guessed in each pass, how much of it was right, and what was put after it.

    Args:
        passes: For each pass the guesses, how many of them the large model would have chosen, and
            its own choice at the next position.
    """
    own_at = 16 + max(sum(_width(guess) + 2 for guess in guesses) for guesses, _, _ in passes)
    end = own_at + max(_width(own) for _, _, own in passes)
    figure, axes = plt.subplots(figsize=(4, 0.25 * len(passes) + 0.9))

    def box(at: int, row: int, text: str, color: str, alpha: float) -> None:
        patch = Rectangle((at, row - 0.4), _width(text), 0.8, facecolor=color, alpha=alpha)
        axes.add_patch(patch)
        axes.text(at + _PAD / 2, row, text, va="center")

    for row, (guesses, right, own) in enumerate(passes):
        at = 0
        for i, guess in enumerate(guesses):
            box(at, row, guess, BLUE if i < right else ORANGE, 0.26 if i <= right else 0.0)
            if i >= right:
                ends = [at + 1, at + _width(guess) - 1]
                axes.plot(ends, [row, row], color=ORANGE, linewidth=1.2, linestyle="-")
            at += _width(guess) + 2
        box(own_at, row, own, GREEN, 0.26)
    axes.text(0, -1, "small model's guesses", va="center")
    axes.text(end, -1, "large model's own", va="center", ha="right")
    axes.set(xlim=(0, end), ylim=(len(passes) - 0.5, -1.5))
    axes.set_axis_off()
    kinds = (("kept", BLUE), ("refused", ORANGE), ("put after them", GREEN))
    patches = [Patch(facecolor=color, alpha=0.26, label=name) for name, color in kinds]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, columnspacing=1)
    return figure


def turns(timelines: Mapping[str, Sequence[Turn]]) -> Figure:
    """Which text each row of a batch is writing at each step; where it writes none, it is hatched.

    Args:
        timelines: By what a server does, its schedule.
    """
    last = max(turn.end for timeline in timelines.values() for turn in timeline)
    figure, panels = plt.subplots(
        len(timelines), 1, sharex=True, squeeze=False, figsize=(4, 1.75 * len(timelines) + 0.2)
    )
    for axes, (name, timeline) in zip(panels[:, 0], timelines.items(), strict=True):
        n_rows = 1 + max(turn.row for turn in timeline)
        steps = max(turn.end for turn in timeline)
        for row in range(n_rows):
            own = [turn for turn in timeline if turn.row == row]
            ends = [0, *(turn.end for turn in own)]
            for end, begin in zip(ends, [*(turn.begin for turn in own), steps], strict=True):
                axes.barh(row, begin - end, 0.8, end, color="none", edgecolor=INK, hatch="////")
        for text, (row, begin, size) in enumerate(timeline, 1):
            axes.barh(row, size - 2, 0.8, begin + 1, color=PALETTE[row % len(PALETTE)], alpha=0.4)
            axes.text(begin + size / 2, row, str(text), ha="center", va="center")
        axes.set(title=name, ylabel="row", xlim=(0, last))
        axes.set_yticks(range(n_rows), range(1, n_rows + 1))
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
    panels[-1, 0].set_xlabel("steps of the batch")
    return figure


def _width(text: str) -> int:
    """Of a box around a text, in points."""
    wide, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=9.5), False)
    return round(wide) + _PAD


def _wrapped(parts: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The parts in lines of at most ``_WIDTH`` points, broken after spaces and line feeds."""
    lines: list[list[tuple[str, str]]] = [[]]
    for text, kind in parts:
        for word in re.findall("⏎|[^ ⏎]* ?", text.replace("\n", "⏎")):
            line = lines[-1]
            before = line[-1][0] if line and line[-1][1] == kind else ""
            others = sum(_width(one) + 2 for one, _ in (line[:-1] if before else line))
            if line and others + _width(before + word) > _WIDTH:
                lines.append([(word, kind)])
            elif before:
                line[-1] = (before + word, kind)
            elif word:
                line.append((word, kind))
            if word == "⏎":
                lines.append([])
    return [line for line in lines if line]
