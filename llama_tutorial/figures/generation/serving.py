"""The live figure of the generation chapter that hands out a cache in blocks, and the schedule.

Python and ``pages.js`` hand out the blocks by the same rule; the browser tests hold them equal.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

from llama_tutorial.figures.kit.controls import Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure


class Turn(NamedTuple):
    """When a text is written: in which row, from which step on, and for how many."""

    row: int
    begin: int
    size: int

    @property
    def end(self) -> int:
        """The first step that is no longer the text's."""
        return self.begin + self.size


def schedule(sizes: Sequence[int], n_rows: int, *, refill: bool) -> list[Turn]:
    """The turn of each text in a batch of ``n_rows``, first come, first served.

    Args:
        sizes: How many steps each text takes.
        n_rows: How many texts are written side by side.
        refill: Whether a row that is done takes the next text at once, or waits until all are done.
    """
    free = [(0, row) for row in range(n_rows)]  # since when each row is free
    turns = []
    for text, size in enumerate(sizes):
        if not refill and text % n_rows == 0:
            begin = max(since for since, _ in free)
            free = [(begin, row) for row in range(n_rows)]
        begin, row = heapq.heappop(free)
        turns.append(Turn(row, begin, size))
        heapq.heappush(free, (begin + size, row))
    return turns


def pages(sizes: Sequence[int], n_rows: int, context: int, step: int) -> LiveFigure:
    """The slots of a cache while a server writes: blocks of any size, handed out and given back.

    Args:
        sizes: How many slots each text fills in the end.
        n_rows: How many texts are written side by side.
        context: Slots for the longest text; the cache has as many for each row.
        step: The step at which the figure begins.
    """
    turns = schedule(sizes, n_rows, refill=True)
    last = max(turn.end for turn in turns) - 1

    def numbers(block: int, step: int) -> dict[str, Any]:
        return page_numbers(turns, block, step)

    return LiveFigure(
        "generation/pages",
        data={"turns": [list(turn) for turn in turns], "slots": n_rows * context},
        controls=[
            Stops("block", context, [8, 16, 32, 64, 128, context], label="slots in a block"),
            Slider("step", 0, last, step, 1, label="step"),
        ],
        numbers=numbers,
        readout="Written: {used} slots. Reserved: {reserved}, of which {empty} % hold nothing yet. "
        "At no step are more than {most} reserved.",
        alt=f"A cache of {n_rows * context:,} slots in lines of 64, in blocks of {{block}} slots, "
        "at step {step}. Text {text} lies in blocks {table}. In all, {used} slots are written and "
        "{reserved} reserved.",
        caption=f"The cache of a server that writes {len(sizes)} tales in {n_rows} rows. Dark: "
        "written. Pale: reserved and empty. Hollow: free. The numbers are the tales'. <b>Make the "
        "blocks smaller</b>: the pale goes, and a good half of the memory is free for more texts. "
        "<b>Then move the step</b>: a tale takes a block whenever it has filled one, wherever "
        "there is one, and gives all of them back at its end.",
        checks=[
            {"block": size, "step": at}
            for size in (8, 16, 64)
            for at in (0, last // 3, last // 2, last)
        ],
    )


def page_numbers(turns: Sequence[Turn], block: int, step: int) -> dict[str, Any]:
    """What is written and reserved at a step, and the table of blocks of the text in the first row.

    Returns:
        Slots written and reserved, the per cent of the latter that are empty, the most that are
        reserved at any step, and the text in the lowest row that has one, from 1 on, with its
        blocks in the order of its positions.
    """
    last = max(turn.end for turn in turns)
    tables, most = _tables(turns, block, step), 0
    for at in range(last):
        blocks = sum(-(-(at - t.begin + 1) // block) for t in turns if t.begin <= at < t.end)
        most = max(most, block * blocks)
    used = sum(step - turn.begin + 1 for turn in turns if turn.begin <= step < turn.end)
    reserved = block * sum(map(len, tables.values()))
    text = min(tables, key=lambda one: turns[one].row)
    return {
        "used": used,
        "reserved": reserved,
        "empty": 100 * (1 - used / reserved),
        "most": most,
        "text": text + 1,
        "table": tables[text],
    }


def _tables(turns: Sequence[Turn], block: int, step: int) -> dict[int, list[int]]:
    """The blocks of each text that is being written at a step, by the text."""
    tables: dict[int, list[int]] = {}
    for at in range(step + 1):
        for text, turn in enumerate(turns):
            if turn.end == at:
                del tables[text]  # which gives its blocks back
        for text in sorted(range(len(turns)), key=lambda one: turns[one].row):
            begin, end = turns[text].begin, turns[text].end
            if begin <= at < end and (at - begin) % block == 0:  # the last one is full
                taken = {number for table in tables.values() for number in table}
                lowest = next(n for n in range(len(taken) + 1) if n not in taken)
                tables.setdefault(text, []).append(lowest)
    return tables
