"""The live figures of the fine-tuning chapter: a dialog, which tokens are learned, packing.

Python computes with :mod:`llama_tutorial.finetuning.packing`; ``labels.js`` and ``packing.js``
compute the same in the page, and the browser tests hold them equal. ``chat.js`` talks with
``tales-chat``, as :class:`llama_tutorial.chat.session.ChatSession` does in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from llama_tutorial._util.labels import IGNORE
from llama_tutorial.chat.dialog import B_INST, E_INST, TAGS, Dialog
from llama_tutorial.figures.kit.controls import Select, Slider, Stops, Toggle
from llama_tutorial.figures.kit.live import WITHOUT_SCRIPT, LiveFigure
from llama_tutorial.finetuning.examples import Example
from llama_tutorial.finetuning.packing import PackedExamples

Ids = Sequence[int]
RULES = {
    "the answers, as Llama 2 does": "answers",
    "the answers without EOS": "no EOS",
    "every token": "everything",
}
PACKINGS = {"whole examples, kept apart": "documents", "end to end": "concatenate"}
NO_EXAMPLE = -1
SPEAKERS = {"user": "You", "assistant": "tales-chat"}
# What stands around a message in the dialog format: before it and after it.
AROUND = {"user": (f"<s> {B_INST} ", f" {E_INST}"), "assistant": (" ", " </s>")}
SUGGESTIONS = [
    "Who was sick?",
    "What is the name of Sam's brother?",
    "Tell me a tale about a rabbit.",
]
"""Messages that a click sends."""


def chat(dialog: Dialog) -> LiveFigure:
    """A dialog with ``tales-chat`` that the reader goes on with, in the page itself.

    Args:
        dialog: The first turns, as :class:`~llama_tutorial.chat.session.ChatSession` had them with
            ``tales-chat`` at temperature 0.6 with seed 0: what stands in the page before anybody
            writes, and where nothing can.
    """
    return LiveFigure(
        "finetuning/chat",
        data={
            "dialog": [dict(message) for message in dialog],
            "suggestions": SUGGESTIONS,
            "tags": {**AROUND, "refused": TAGS},
        },
        controls=[
            Slider("temperature", 0.0, 1.5, 0.6, 0.1, label="temperature"),
            Toggle("tags", False, label="show the tags"),
        ],
        numbers=lambda **_: {},
        alt="A dialog.",
        caption="<b>Ask on</b>, about this tale or for another; Escape stops. <b>Again</b> draws "
        "another answer to the last message, and <b>New dialog</b> makes the model forget. "
        "<b>Show the tags</b> to see the dialog as the model reads it, all of it anew for each "
        "answer.",
        llama="tales-chat",
        still=_dialog_html(dialog),
    )


def _dialog_html(dialog: Dialog) -> str:
    """The dialog as the script would show it."""
    lines = [
        f'<li class="lt-{message["role"]}"><b>{SPEAKERS[message["role"]]}</b>'
        f"<p>{escape(message['content'])}</p></li>"
        for message in dialog
    ]
    return (
        f'<div class="lt-chat"><ol class="lt-dialog">{"".join(lines)}</ol>'
        f'<p class="lt-status"><i>{WITHOUT_SCRIPT}</i></p></div>'
    )


def labels(pieces: Sequence[str], ids: Ids, given: Ids, eos_id: int, place: int) -> LiveFigure:
    """A dialog's tokens with their labels, under three rules.

    Args:
        pieces: The dialog's pieces.
        ids: Their ids.
        given: The labels of :func:`llama_tutorial.finetuning.examples.encode_example`.
        eos_id: The id that ends an answer.
        place: The place that is looked at first.
    """
    by_rule = {rule: labels_by(rule, ids, given, eos_id) for rule in RULES.values()}

    def numbers(rule: str, place: int) -> dict[str, Any]:
        return label_numbers(pieces, by_rule[rule], place)

    return LiveFigure(
        "finetuning/labels",
        pieces=True,
        data={"pieces": list(pieces), "labels": by_rule, "ignore": IGNORE},
        controls=[
            Select("rule", options=RULES, label="learned"),
            Slider("place", 0, len(ids) - 2, place, label="read up to"),
        ],
        numbers=numbers,
        readout="After “{input}” comes “{target}”. Is it learned? {counts}. In all, {learned} of "
        "{total} tokens are.",
        alt="A dialog's tokens; the filled ones are learned.",
        caption="A dialog in the real Llama 2’s tokens. Under each stands its label: its own id "
        "where it is learned (filled), −100 where no loss falls. The orange box is the last "
        "token that has been read. <b>Change what is learned</b>, and look at the end of each "
        "answer.",
        checks=[{"rule": rule, "place": at} for rule in RULES.values() for at in (0, len(ids) - 2)],
    )


def labels_by(rule: str, ids: Ids, given: Ids, eos_id: int) -> list[int]:
    """The labels of a dialog under one of ``RULES``."""
    if rule == "everything":
        return [IGNORE, *ids[1:]]  # nothing foretells the first
    if rule == "no EOS":
        return [IGNORE if label == eos_id else label for label in given]
    return list(given)


def label_numbers(pieces: Sequence[str], labels: Ids, place: int) -> dict[str, Any]:
    """What comes after a place, whether it is learned, and how much is in all."""
    return {
        "input": pieces[place],
        "target": pieces[place + 1],
        "counts": labels[place + 1] != IGNORE,
        "learned": sum(label != IGNORE for label in labels),
        "total": len(labels),
    }


def packing(lengths: Sequence[int], contexts: Sequence[int], first: int) -> LiveFigure:
    """Examples in rows, and the mask of one row.

    Args:
        lengths: The examples' lengths in tokens; none is longer than the shortest context.
        contexts: The row lengths to choose from.
        first: The one shown first.

    Raises:
        ValueError: An example is longer than a row.
    """
    if max(lengths) > min(contexts):
        raise ValueError(
            f"an example of {max(lengths)} tokens does not fit into rows of {min(contexts)}: give "
            "shorter examples or longer rows"
        )
    rows = {
        how: {str(context): packed_rows(lengths, context, how) for context in contexts}
        for how in PACKINGS.values()
    }
    most = max(len(one) for by_context in rows.values() for one in by_context.values())

    def numbers(how: str, context: int, row: int, query: int) -> dict[str, Any]:
        return packing_numbers(rows[how][str(context)], how, row, query)

    return LiveFigure(
        "finetuning/packing",
        data={"rows": rows, "none": NO_EXAMPLE},
        controls=[
            Select("how", options=PACKINGS, label="packing"),
            Stops("context", first, contexts, label="tokens of a row"),
            Slider("row", 1, most, 1, label="row"),
            Slider("query", 0, max(contexts) - 1, first // 2, label="position that looks"),
        ],
        numbers=numbers,
        readout="{rows} rows, {padding} % padding; {split} examples are cut in two. Position "
        "{position} of row {number} belongs to {owner} and sees {sees} tokens, {foreign} of "
        "them of other examples.",
        alt="{rows} rows of coloured examples with {padding} % padding; below them the mask of "
        "row {number}, in which position {position} sees {sees} tokens, {foreign} of other "
        "examples.",
        caption="Above, the rows: a colour and a number for each example, padding left empty. "
        "Below, the mask of the framed row: queries downward, keys to the right, and a filled "
        "cell where the query may look, in the colour of the example that it looks at. "
        "<b>Change the packing</b> and watch what fills the squares under the diagonal; then "
        "<b>change the length of a row</b> and watch the padding.",
        checks=[
            {"how": how, "context": context, "row": row, "query": query}
            for how in PACKINGS.values()
            for context in contexts
            for row, query in ((2, context - 1), (3, 7))
        ],
    )


def packed_rows(lengths: Sequence[int], context: int, how: str) -> list[list[int]]:
    """Which example each token of each row belongs to; padding belongs to none.

    Args:
        lengths: Of the examples.
        context: Of a row.
        how: As for :class:`~llama_tutorial.finetuning.packing.PackedExamples`.
    """
    marked = [[number + 1] * length for number, length in enumerate(lengths)]
    examples = [Example(ids, ids) for ids in marked]
    packed = PackedExamples(examples, len(lengths), context, seed=1, packing=how)
    return [[i - 1 for i in row] for batch in packed.every_row() for row in batch.inputs.tolist()]


def packing_numbers(
    rows: Sequence[Sequence[int]], how: str, row: int, query: int
) -> dict[str, Any]:
    """How much of the rows is padding, and what one position sees."""
    row, query = min(row, len(rows)), min(query, len(rows[0]) - 1)
    owners = rows[row - 1]
    seen = owners[first_seen(owners, how, query) : query + 1]
    homes = [{example for example in one if example != NO_EXAMPLE} for one in rows]
    everywhere = [example for home in homes for example in home]
    padding = sum(one.count(NO_EXAMPLE) for one in map(list, rows))
    owner = owners[query]
    return {
        "rows": len(rows),
        "padding": 100 * padding / (len(rows) * len(rows[0])),
        "split": len(everywhere) - len(set(everywhere)),
        "number": row,
        "position": query,
        "owner": "the padding" if owner == NO_EXAMPLE else f"example {owner + 1}",
        "sees": len(seen),
        "foreign": sum(example != owner for example in seen),
    }


def first_seen(owners: Sequence[int], how: str, query: int) -> int:
    """The first key that a query may look at."""
    if how == "concatenate":
        return 0
    return next(i for i in range(query + 1) if owners[i] == owners[query])
