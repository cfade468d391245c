"""The tasks of the chapter on fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llama_tutorial.workbook.solutions.finetuning import dialog_turns, first_fit
from llama_tutorial.workbook.task import Bug, Case, Task
from llama_tutorial.workbook.tasks._letters import Letters, readable, shown

Dialog = list[dict[str, str]]


def _dialog_cases() -> list[Case]:
    said = ("Why?", "So.", "And you?", "Fine.")
    roles = ("user", "assistant", "user", "assistant")
    dialog = [{"role": r, "content": text} for r, text in zip(roles, said, strict=True)]
    return [Case("one turn", dialog[:2]), Case("two turns", dialog)]


def _read(answer: Callable[..., Any], dialog: Dialog) -> Any:
    """Ids as text, and of the labels the letters that are learned; a dot where nothing is."""
    found = answer(dialog, Letters())
    if not isinstance(found, list | tuple) or len(found) != 2 or not all(map(_is_ids, found)):
        return {"two lists of int": False}
    ids, labels = found
    learned = "".join("·" if label == -100 else shown(label) for label in labels)
    return {"two lists of int": True, "ids": readable(ids), "labels": learned}


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) for one in value)


def _answer_alone(dialog: Dialog, tokenizer: Letters) -> tuple[list[int], list[int]]:
    ids: list[int] = []
    labels: list[int] = []
    for question, answer in dialog_turns(dialog):
        prompt = tokenizer.encode(question, bos=True)
        rest = tokenizer.encode(answer, eos=True)
        ids += prompt + rest
        labels += [-100] * len(prompt) + rest
    return ids, labels


def _last_answer(dialog: Dialog, tokenizer: Letters) -> tuple[list[int], list[int]]:
    ids: list[int] = []
    labels: list[int] = []
    for question, answer in dialog_turns(dialog):
        prompt = tokenizer.encode(question, bos=True)
        turn = tokenizer.encode(question + answer, bos=True, eos=True)
        ids += turn
        labels = [-100] * (len(ids) - len(turn) + len(prompt)) + turn[len(prompt) :]
    return ids, labels


def _fit_cases() -> list[Case]:
    return [
        Case("three examples in rows of 10", [6, 5, 4], 10),
        Case("one that fits exactly", [7, 3, 10], 10),
        Case("ten examples in rows of 16", [9, 12, 3, 4, 6, 7, 2, 10, 1, 5], 16),
    ]


_A = ([1, 5, 6, 7, 2], [-100, -100, 6, 7, 2])
_B = ([1, 8, 9, 2], [-100, 8, 9, 2])
_ALL = ([1, 4, 4, 2], [1, 4, 4, 2])


def _row_cases() -> list[Case]:
    return [
        Case("one example", [_A], 8),
        Case("two examples", [_A, _B], 12),
        Case("two examples of which everything is learned", [_ALL, _ALL], 9),
    ]


def _across(examples: Sequence[tuple[list[int], list[int]]], context: int) -> tuple[Tensor, ...]:
    """Targets shifted when all labels stand in the row already."""
    ids, labels = torch.zeros(context, dtype=torch.long), torch.full((context,), -100)
    documents, at = torch.full((context,), -1), 0
    for number, (tokens, of_tokens) in enumerate(examples):
        end = at + len(tokens)
        ids[at:end], labels[at:end] = torch.tensor(tokens), torch.tensor(of_tokens)
        documents[at:end] = number
        at = end
    return ids, torch.cat((labels[1:], torch.tensor([-100]))), documents


def _adapted(
    answer: Callable[..., Any],
    D: int,
    F: int,
    rank: int,
    alpha: float | int,
    bias: bool = False,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Any]:
    """An adapter as it begins, and with A and B given."""
    draw = torch.Generator().manual_seed(D)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(dtype)

    linear = nn.Linear(D, F, bias=bias, dtype=dtype)
    linear.weight.data = random(F, D)
    if bias:
        linear.bias.data = random(F)
    x = random(2, 3, D)
    layer = answer(linear, rank, alpha)
    a, b = layer.a, layer.b
    found = {
        "shapes of what learns": sorted(
            tuple(p.shape) for p in layer.parameters() if p.requires_grad
        ),
        "shapes of a and b": [tuple(a.shape), tuple(b.shape)],
        "whether a begins random": bool(a.std() > 0),
        "whether a is about as large as it should be": D < 64 or bool(a.std() < 3 / D**0.5),
        "whether b begins at 0": not b.any(),
        "whether it begins as the layer was": torch.equal(layer(x), linear(x)),
    }
    a.data, b.data = random(rank, D), random(F, rank)
    found["output with a and b"] = layer(x).detach()
    found["merged matrix"] = layer.merged().detach()
    return found


def _lora_cases() -> list[Case]:
    return [
        Case("a layer of 8 to 6 features, rank 2, alpha 4", 8, 6, 2, 4),
        Case("a square layer, rank 4, alpha 2", 6, 6, 4, 2),
        Case("a layer with a bias, rank 3, alpha 3", 5, 7, 3, 3, True),
        Case("a layer of 256 to 4 features, rank 8, alpha 8", 256, 4, 8, 8),
        Case("a layer in float64", 8, 6, 2, 4, False, torch.float64),
    ]


# The exercises


def _in_parts(
    answer: Callable[..., Any], counts: Sequence[int], before: float | int = 0
) -> Tensor | Any:
    """The answer on losses of a linear layer, so many learned tokens in each part."""
    draw = torch.Generator().manual_seed(sum(counts))
    weight = nn.Parameter(torch.randn(3, 4, generator=draw))
    if before:
        weight.grad = torch.full_like(weight, before)
    parts = []
    for n in counts:
        x, y = torch.randn(n, 4, generator=draw), torch.randint(3, (n,), generator=draw)
        parts.append((nn.functional.cross_entropy(x @ weight.T, y, reduction="sum"), n))
    found = answer(weight, parts)
    return found.detach() if isinstance(found, Tensor) else found


def _parts_cases() -> list[Case]:
    return [
        Case("one part of four tokens", [4]),
        Case("two parts, of two and of ten tokens", [2, 10]),
        Case("three parts, one of them without a learned token", [3, 0, 6]),
        Case("a weight that has a gradient already", [2, 5], 1),
    ]


def _by_backward(weight: nn.Parameter, parts: Sequence[tuple[Tensor, int]]) -> Tensor:
    n = sum(count for _, count in parts)
    for loss, _ in parts:
        (loss / n).backward()
    assert weight.grad is not None
    return weight.grad.clone()


def _by_backward_of_sums(weight: nn.Parameter, parts: Sequence[tuple[Tensor, int]]) -> Tensor:
    for loss, _ in parts:
        loss.backward()
    assert weight.grad is not None
    return weight.grad / sum(count for _, count in parts)


def _longest_cases() -> list[Case]:
    return [
        Case("three examples in rows of 10", [4, 5, 6], 10),
        Case("one that fits exactly", [3, 10, 7], 10),
        Case("ten examples in rows of 16", [9, 12, 3, 4, 6, 7, 2, 10, 1, 5], 16),
    ]


TASKS = [
    Task(
        "finetuning.labelled",
        cases=_dialog_cases,
        use=_read,
        bugs=[
            Bug(
                "questions_too",
                edit=(
                    "labels += [-100] * len(prompt) + turn[len(prompt) :]",
                    "labels += turn",
                ),
                says="The questions are learned as well.",
                effect="Most of each step goes into learning to write what users write.",
                look="Which of the tokens should the model say, and which does it only read?",
            ),
            Bug(
                "eos_not_learned",
                edit=("turn[len(prompt) :]", "turn[len(prompt) : -1] + [-100]"),
                says="EOS has no label.",
                effect="It knows as much as before, and none of its answers ends.",
                look="How does the model learn to stop?",
            ),
            Bug(
                "shifted",
                edit=("return ids, labels", "return ids, labels[1:] + [-100]"),
                says="Your labels are shifted. The loss will shift them, so then they are shifted "
                "twice.",
                effect="The model learns to say the token after the next.",
                look="Which label stands where its token stands?",
            ),
            Bug(
                "tag_learned",
                edit=(
                    "[-100] * len(prompt) + turn[len(prompt) :]",
                    "[-100] * (len(prompt) - 1) + turn[len(prompt) - 1 :]",
                ),
                says="You begin one token early: the `]` that closes the tag is learned.",
                effect="It learns to close its own tag, a little. Hardly anybody would notice.",
                look="How many ids does the question alone have?",
            ),
            Bug(
                "first_token_lost",
                edit=(
                    "[-100] * len(prompt) + turn[len(prompt) :]",
                    "[-100] * (len(prompt) + 1) + turn[len(prompt) + 1 :]",
                ),
                says="You begin one token late: the first of each answer is not learned.",
                effect="It learns to go on with an answer, but not how to begin one.",
                look="How many ids does the question alone have?",
            ),
            Bug(
                "answer_encoded_alone",
                wrong=_answer_alone,
                says="You encode the answer by itself. The tokenizer then puts a space of its own "
                "before it, shown as ▁.",
                effect="It learns answers that begin with an id too many.",
                look="How many texts is a turn for the tokenizer?",
            ),
            Bug(
                "last_answer_alone",
                wrong=_last_answer,
                says="Only the last answer is learned.",
                effect="Of a dialog of ten turns, nine are computed for nothing.",
                look="What becomes of the labels of earlier turns?",
            ),
        ],
        hints=[
            "Encode the question alone, and the question with its answer. What is new is the "
            "answer's.",
            "A label for every id: -100 as often as the question has ids, then the ids themselves.",
            "Two lists that grow turn by turn. Nothing is shifted here.",
        ],
        minutes=10,
        page="#read-the-question-learn-the-answer",
        teaches="The same loss as in pre-training: only the labels say what is learned.",
    ),
    Task(
        "finetuning.first_fit",
        cases=_fit_cases,
        bugs=[
            Bug(
                "last_row_alone",
                edit=("if length <= room]", "if length <= room and row == len(free) - 1]"),
                says="You try only the row that was begun last.",
                effect="More rows, and more of them is padding.",
                look="Into which row goes the third example of the first case?",
            ),
            Bug(
                "no_exact_fit",
                edit=("if length <= room", "if length < room"),
                says="An example that would just fill a row begins a new one.",
                effect="A row more now and then, and examples of full length fit nowhere.",
                look="How much room does an example of 3 need?",
            ),
            Bug(
                "best_fit",
                edit=("if not fits:", "fits.sort(key=lambda row: free[row])\n        if not fits:"),
                says="You take the row with the least room that is enough: best fit. First fit "
                "takes the first.",
                effect="It packs about as well; but rows are then others than the text says.",
                look="Which of the rows that have room was begun first?",
            ),
            Bug(
                "longest_first",
                edit=(
                    "enumerate(lengths)",
                    "sorted(enumerate(lengths), key=lambda pair: -pair[1])",
                ),
                says="You take the longest first. It packs better, but here they come in turn.",
                effect="Each row then holds dialogs of one length, and the order is no "
                "longer random.",
                look="Which example is placed first?",
            ),
            Bug(
                "one_each",
                edit=("if length <= room", "if False"),
                says="Every example gets a row of its own.",
                effect="Most of a batch is padding, which costs as much as text.",
                look="What becomes of the room that is left in a row?",
            ),
        ],
        hints=[
            "Two lists side by side: the rows, and how much room is left in each.",
            "For each example, go through the rows from the first, and stop at one that has room.",
            "If none has, begin a row; after either, take the length off its room.",
        ],
        minutes=10,
        page="#deeper-first-fit-and-what-a-step-costs",
        teaches="A greedy rule of a few lines takes away more than half of the padding.",
    ),
    Task(
        "finetuning.packed_row",
        cases=_row_cases,
        same_dtype=True,  # cross_entropy refuses targets in int32
        bugs=[
            Bug(
                "one_document",
                edit=("documents[at:end] = number", "documents[at:end] = 0"),
                says="All examples have the same number.",
                effect="Each dialog sees those before it in the row, which have nothing to do "
                "with it.",
                look="Where does example 1 begin?",
            ),
            Bug(
                "across_the_wall",
                wrong=_across,
                says="The last token of an example is to predict the first of the next: you shift "
                "when all of them stand in the row.",
                effect="With labels that begin with -100 it does not show. With texts of which "
                "everything is learned, EOS learns to predict BOS.",
                look="What follows an example's last token?",
            ),
            Bug(
                "not_shifted",
                edit=(
                    "targets[at : end - 1] = torch.tensor(labels[1:])",
                    "targets[at:end] = torch.tensor(labels)",
                ),
                says="Your targets are not shifted: they are the labels in their own places.",
                effect="The loss falls to 0: the model learns to copy what it sees.",
                look="Of which token is the target at position i the label?",
            ),
            Bug(
                "padding_sees_the_first",
                edit=("torch.full((context,), -1)", "torch.zeros(context, dtype=torch.long)"),
                says="Your padding has the number of the first example, 0.",
                effect="It changes no loss here, for padding comes last and has no target; but a "
                "row then says that it is full.",
                look="Which number does padding have?",
            ),
            Bug(
                "padding_learned",
                edit=("torch.full((context,), -100)", "torch.zeros(context, dtype=torch.long)"),
                says="Where there is no target, yours is 0: padding is learned.",
                effect="The model learns to say token 0 after every end.",
                look="Which label does the loss leave out?",
            ),
            Bug(
                "shifted_twice",
                edit=(
                    "targets[at : end - 1] = torch.tensor(labels[1:])",
                    "targets[at : end - 2] = torch.tensor(labels[2:])",
                ),
                says="Your targets are shifted twice.",
                effect="The model learns to say the token after the next.",
                look="Of which token is the target at position i the label?",
            ),
        ],
        hints=[
            "Begin with three rows of nothing: zeros, -100 and -1. Then write the examples into "
            "them.",
            "A place `at` where the next example begins; its end is at + its length.",
            "An example of n tokens has n - 1 targets: its labels but the first, from `at` on.",
        ],
        minutes=10,
        page="#several-dialogs-in-a-row-with-walls-between",
        teaches="A packed row has walls: no attention and no target crosses them.",
    ),
    Task(
        "finetuning.LoRA",
        cases=_lora_cases,
        use=_adapted,
        cut=("__init__", "forward", "merged"),
        bugs=[
            Bug(
                "alpha_alone",
                edit=("alpha / rank", "alpha"),
                says="You scale by alpha. It is alpha over rank.",
                effect="With another rank the learning rate has to be found anew.",
                look="What should happen to the scale if the rank is doubled?",
            ),
            Bug(
                "root_of_the_rank",
                edit=("alpha / rank", "alpha / math.sqrt(rank)"),
                says="You divide alpha by the root of the rank, as a later paper does (rsLoRA).",
                effect="The change is larger than it should be, at rank 16 four times as large.",
                look="What does the specification divide by?",
            ),
            Bug(
                "not_frozen",
                edit=("linear.requires_grad_(False)", "linear"),
                says="The layer itself still learns.",
                effect="All weights get gradients and AdamW's two means: nothing is saved.",
                look="Which parameters should have a gradient?",
            ),
            Bug(
                "the_other_is_zero",
                edit=(
                    "self.a = nn.Parameter(start / math.sqrt(D))\n        "
                    "self.b = nn.Parameter(torch.zeros(F, rank, dtype=linear.weight.dtype))",
                    "self.a = nn.Parameter(torch.zeros(rank, D, dtype=linear.weight.dtype))\n"
                    "        self.b = nn.Parameter(start.new_ones(F, rank).normal_())",
                ),
                says="A begins at 0 and B random. It is the other way round.",
                effect="It starts from the base all the same, and then B's random directions are "
                "the first in which the layer's output can move.",
                look="Which of the two reads x, and which writes the output?",
            ),
            Bug(
                "change_not_scaled",
                edit=("self.scale = alpha / rank", "self.scale = 1.0"),
                says="Your change is not scaled. It is multiplied by alpha over rank.",
                effect="alpha does nothing: an adapter that somebody else trained comes out too "
                "weak or too strong.",
                look="What do you use alpha for?",
            ),
            Bug(
                "a_too_large",
                edit=("start / math.sqrt(D)", "start"),
                says="A begins with a standard deviation of 1. It is about 1 / sqrt(D).",
                effect="The gradient of B is larger by the root of D, 64 times in 7B: the first "
                "steps are far too long.",
                look="How large is a sum of D products?",
            ),
            Bug(
                "bias_learns",
                edit=(
                    "self.linear = linear.requires_grad_(False)",
                    "self.linear = linear\n        linear.weight.requires_grad_(False)",
                ),
                says="The layer's matrix is frozen, and its bias still learns.",
                effect="What was trained is more than A and B: whoever stores only these loses it.",
                look="Which parameters does a layer with a bias have?",
            ),
            Bug(
                "always_float32",
                edit=("torch.randn(rank, D, dtype=linear.weight.dtype)", "torch.randn(rank, D)"),
                more=(("torch.zeros(F, rank, dtype=linear.weight.dtype)", "torch.zeros(F, rank)"),),
                says="A and B are float32, whatever W is.",
                effect="On a layer in bfloat16 the first product fails.",
                look="Which dtype do randn and zeros take, if they are told none?",
            ),
            Bug(
                "both_zero",
                edit=("start / math.sqrt(D)", "start * 0"),
                says="A and B both begin at 0.",
                effect="Each one's gradient is a product with the other, so nothing ever learns.",
                look="What is the gradient of B, if A is 0?",
            ),
            Bug(
                "b_random",
                edit=("torch.zeros(F, rank, dtype=", "torch.ones(F, rank, dtype="),
                says="B does not begin at 0, so training starts from a layer that is not the base.",
                effect="The model is damaged before its first step.",
                look="What should the output be at first?",
            ),
            Bug(
                "merged_without_scale",
                edit=("self.scale * (self.b @ self.a)", "(self.b @ self.a)"),
                says="Your merged matrix leaves out the scale.",
                effect="Merged, the model is another one than was trained.",
                look="Compare merged with forward: what is each product multiplied by?",
            ),
            Bug(
                "change_alone",
                edit=("self.linear(x) + self.scale", "self.scale"),
                says="Your output is the change alone, without the layer.",
                effect="At first all outputs are 0.",
                look="What should the output be at first?",
            ),
            Bug(
                "merged_change_alone",
                edit=("self.linear.weight + self.scale", "self.scale"),
                says="Your merged matrix is the change alone, without W.",
                effect="Merged, it has forgotten all that the base knew.",
                look="What does one matrix have to do that does what both did?",
            ),
        ],
        hints=[
            "Freeze the layer first: `requires_grad_` of a module is for all its parameters.",
            "x goes through A first, to `rank` features, and through B after that.",
            "Two parameters: A (rank, D), random over the root of D, and B (F, rank), zeros. "
            "In code x stands on the left, so both are transposed.",
        ],
        minutes=15,
        page="#a-change-of-low-rank",
        teaches="B begins at 0, so training starts from the base; merged, it costs nothing.",
    ),
    Task(
        "finetuning.gradient_in_parts",
        cases=_parts_cases,
        use=_in_parts,
        fresh=True,
        extra=True,
        bugs=[
            Bug(
                "mean_of_means",
                edit=("total += gradient", "total += gradient / _"),
                more=(("sum(n for _, n in parts)", "len(parts)"),),
                says="You take the mean of the parts' means. A token in a part with few of them "
                "then counts more.",
                effect="Another gradient than that of the whole batch, and NaN where a part has no "
                "learned token.",
                look="How much does a token count in a part of two, and in one of ten?",
            ),
            Bug(
                "mean_of_means_without_nan",
                edit=("total += gradient", "total += gradient / max(_, 1)"),
                more=(("sum(n for _, n in parts)", "len(parts)"),),
                says="You take the mean of the parts' means. A token in a part with few of them "
                "then counts more. That a part may have none, you have seen.",
                effect="Another gradient than that of the whole batch.",
                look="How much does a token count in a part of two, and in one of ten?",
            ),
            Bug(
                "sum_of_means",
                edit=("total += gradient", "total += gradient / _"),
                more=(("total / sum(n for _, n in parts)", "total"),),
                says="You add up the parts' means. Their sums are to be added, and divided once.",
                effect="The more parts, the longer the step; clipping hides it, and the parts are "
                "weighted wrongly.",
                look="What is the mean over all learned tokens, written with two sums?",
            ),
            Bug(
                "not_divided",
                edit=("total / sum(n for _, n in parts)", "total"),
                says="You do not divide: that is the gradient of the sum.",
                effect="Steps grow with the length of the answers.",
                look="The mean over how many tokens is asked for?",
            ),
            Bug(
                "divided_by_parts",
                edit=("sum(n for _, n in parts)", "len(parts)"),
                says="You divide the sums by the number of parts. It is tokens that the mean is "
                "over.",
                effect="Another batch size is another learning rate.",
                look="What does the second number of each pair stand for?",
            ),
            Bug(
                "last_part_alone",
                edit=("total += gradient", "total = gradient"),
                says="You keep the gradient of the last part alone.",
                effect="All the other parts were computed for nothing.",
                look="What becomes of the first part's gradient?",
            ),
            Bug(
                "earlier_gradient_divided",
                wrong=_by_backward_of_sums,
                says="You add to a gradient that the weight had already, and divide both.",
                effect="Each step still moves, a little, where the one before it did.",
                look="What does `backward` do with what is in `grad`?",
            ),
            Bug(
                "earlier_gradient_counts",
                wrong=_by_backward,
                says="You add to a gradient that the weight had already.",
                effect="Each step still moves where the one before it did.",
                look="What does `backward` do with what is in `grad`?",
            ),
        ],
        hints=[
            "A gradient of a sum is the sum of the gradients. Is that true of a mean of means, "
            "with parts of different lengths?",
            "`torch.autograd.grad(loss, weight)` is a tuple with one gradient, and touches "
            "nothing else.",
            "Add up the gradients of the sums; divide once, by the number of all learned tokens.",
        ],
        minutes=5,
        page="#ex-finetuning-halves",
        teaches="Sums can be added up from parts, means cannot: divide once, at the end.",
    ),
    Task(
        "finetuning.longest_first",
        cases=_longest_cases,
        extra=True,
        bugs=[
            Bug(
                "numbers_of_the_sorted",
                wrong=lambda lengths, context: first_fit(sorted(lengths, reverse=True), context),
                says="Your numbers are places in the sorted list. They should say where an example "
                "stands in lengths.",
                effect="Rows are filled with other examples than those that were measured, and "
                "some run over the end of the row.",
                look="Which example is number 0, for the caller?",
            ),
            Bug(
                "shortest_first",
                edit=("-lengths[number])", "lengths[number])"),
                says="You take the shortest first.",
                effect="The long ones come last and each opens a row: it packs worse than no "
                "sorting at all.",
                look="Which of two examples is harder to find room for?",
            ),
            Bug(
                "as_they_come",
                edit=(
                    "sorted(range(len(lengths)), key=lambda number: -lengths[number])",
                    "range(len(lengths))",
                ),
                says="You do not sort: that is first fit.",
                effect="A row more, now and then; and that is what our default does, for good "
                "reasons.",
                look="Which example goes into the first row first?",
            ),
            Bug(
                "last_row_alone",
                edit=(
                    "if lengths[number] <= room]",
                    "if lengths[number] <= room and row == len(free) - 1]",
                ),
                says="You try only the row that was begun last.",
                effect="The short examples, which come last, could fill the ends of all rows, and "
                "do not.",
                look="Where is there room when the shortest comes?",
            ),
            Bug(
                "no_exact_fit",
                edit=("<= room", "< room"),
                says="An example that would just fill a row begins a new one.",
                effect="A row more now and then, and examples of full length fit nowhere.",
                look="How much room does an example of 3 need?",
            ),
            Bug(
                "lengths_in_the_rows",
                edit=("rows[fits[0]].append(number)", "rows[fits[0]].append(lengths[number])"),
                says="Your rows hold lengths. They should hold the numbers of the examples.",
                effect="Nobody knows any more which dialog it is.",
                look="What does the docstring say a row is a list of?",
            ),
        ],
        hints=[
            "It is first fit, with the examples in another order.",
            "Sort the numbers of the examples, not their lengths: a key says by what.",
            "`sorted(range(len(lengths)), key=...)` gives numbers; with a minus in the key, or "
            "`reverse=True`, the longest come first.",
        ],
        minutes=5,
        page="#ex-finetuning-longest",
        teaches="Sorted, it packs a little better, and batches are no longer fair samples.",
    ),
]
