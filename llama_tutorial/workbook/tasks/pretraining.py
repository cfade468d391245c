"""The tasks of the chapter on pre-training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial.workbook.task import Bug, Case, Task


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _rows_cases() -> list[Case]:
    stream = 10 + torch.arange(300)
    return [
        Case("one window at the beginning", stream, [0], 6),
        Case("three windows", stream, [3, 17, 25], 8),
    ]


def _shifted_twice(stream: Tensor, starts: Sequence[int], T: int) -> tuple[Tensor, Tensor]:
    rows = torch.stack([stream[start : start + T + 2] for start in starts])
    return rows[:, :-2], rows[:, 2:]


def _rolled(stream: Tensor, starts: Sequence[int], T: int) -> tuple[Tensor, Tensor]:
    rows = torch.stack([stream[start : start + T] for start in starts])
    return rows, rows.roll(-1, dims=1)


_TARGETS = torch.tensor([[3, 1, 0, 2, 4], [-100, -100, 2, -100, 1], [0, -100, 4, 4, -100]])


_INPUTS = torch.tensor([[1, 4, 0, 2, 3], [5, 0, 1, 1, 2], [3, 3, 0, 5, 4]])
_DOCUMENTS = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 1, 1, 1, 2]])


class _Model(nn.Module):
    """Logits of each token and its document."""

    def __init__(self, size: float | int = 1) -> None:
        super().__init__()
        self.table, self.output = nn.Embedding(6, 4), nn.Linear(4, 6)
        for seed, parameter in enumerate(self.parameters()):
            parameter.data = size * _random(*parameter.shape, seed=seed)

    def forward(self, x: Tensor, documents: Tensor | None = None) -> Tensor:
        h = self.table(x)  # (B, T, D)
        return self.output(h if documents is None else h + documents[..., None])


def _loss(
    answer: Callable[..., Any], x: Tensor, y: Tensor, documents: Any = None, size: float | int = 2
) -> Any:
    loss = answer(_Model(size), x, y, documents)
    return loss.detach() if isinstance(loss, Tensor) else loss


def _loss_cases() -> list[Case]:
    return [
        Case("six equally likely tokens: ln 6", _INPUTS[:1], _TARGETS[:1], size=0),
        Case("one row, all with a target", _INPUTS[:1], _TARGETS[:1]),
        Case("three rows, of which two have few targets", _INPUTS, _TARGETS),
        Case("rows that hold several documents", _INPUTS, _TARGETS, _DOCUMENTS),
    ]


def _mean_of_rows(model: nn.Module, x: Tensor, y: Tensor, documents: Any = None) -> Tensor:
    rows = zip(model(x, documents=documents), y, strict=True)
    return torch.stack([F.cross_entropy(*row) for row in rows]).mean()


def _gradient(
    answer: Callable[..., Any], batch: tuple[Tensor, ...], parts: int, before: float = 0.0
) -> Any:
    """The answer on a model of two layers, which may have gradients already."""
    model = _Model()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, before) if before else None
    return answer(model, batch, parts)


def _one_part_at_a_time(answer: Callable[..., Any]) -> str | None:
    model, rows = _Model(), [0]
    model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0]) if args else 0))
    answer(model, (_INPUTS, _TARGETS, _DOCUMENTS), 3)
    if max(rows) > 1:
        return (
            f"The gradient is right, but of three rows in three parts the model sees {max(rows)} "
            "at once. The parts are there because the whole batch has no room in memory."
        )
    return None


def _gradient_cases() -> list[Case]:
    batch, none = (_INPUTS, _TARGETS, _DOCUMENTS), _TARGETS.clone()
    none[2] = -100
    return [
        Case("three rows in one part", batch, 1),
        Case("three parts, of five, two and three targets", batch, 3),
        Case("a part without any target", (_INPUTS, none, _DOCUMENTS), 3),
        Case("a model that has gradients already", batch, 2, 1.0),
    ]


_BACKWARD = """total = F.cross_entropy(logits, y.flatten(), ignore_index=-100, reduction="sum")
        (total / n_targets).backward()"""


def _clip_cases() -> list[Case]:
    short = [torch.tensor([[0.3, 0.0], [0.0, 0.4]]), torch.tensor([0.0, -0.5])]
    return [
        Case("one vector of length 5", [torch.tensor([3.0, 4.0])], 1.0),
        Case("two tensors, at most 2", [_random(3, 2), 3 * _random(4, seed=1)], 2.0),
        Case("shorter than allowed: they stay", short, 1.0),
        Case("shorter than 1, and at most 0.1", short, 0.1),
    ]


def _each(gradients: Sequence[Tensor], longest: float) -> list[Tensor]:
    return [gradient * (longest / gradient.norm()).clamp(max=1) for gradient in gradients]


def _trained(
    answer: Callable[..., Any], shapes: Sequence[tuple[int, ...]], rates: Sequence[float]
) -> dict[str, list[Tensor]]:
    """The weights after each step, with a gradient of their own in each."""
    weights = [_random(*shape, seed=n).requires_grad_() for n, shape in enumerate(shapes)]
    optimizer, found = answer(weights), {}
    for step, lr in enumerate(rates, 1):
        for n, weight in enumerate(weights):
            weight.grad = _random(*weight.shape, seed=10 * step + n) * (1.0, 1e-5)[step % 2]
        optimizer.step(lr)
        found[f"weights after step {step}"] = [weight.detach().clone() for weight in weights]
    return found


def _adam_cases() -> list[Case]:
    return [
        Case("one vector, one step", [(4,)], [0.1]),
        Case("a matrix and a vector, three steps", [(3, 2), (3,)], [0.1, 0.05, 0.2]),
    ]


def _rate_cases() -> list[Case]:
    steps = (0, 1, 50, 99, 100, 101, 550, 999, 1000, 1001, 1500)
    return [
        *(
            Case(f"step {step} of 1,000, 100 of warm-up, peak 1", step, 1.0, 100, 1000)
            for step in steps
        ),
        Case("step 2,000 of Llama 2 7B's 500,000", 2000, 3e-4, 2000, 500_000),
    ]


_SHORT = "Rows with few targets count as much as rows with many."

TASKS = [
    Task(
        "pretraining.rows_at",
        cases=_rows_cases,
        bugs=[
            Bug(
                "not_shifted",
                edit=("rows[:, 1:]", "rows[:, :-1]"),
                says="Your targets are the inputs themselves.",
                effect="The loss falls to 0 within minutes: the model learns to copy what it sees, "
                "and writes one token for ever.",
                look="What should the model know of position i when it is at position i?",
            ),
            Bug(
                "shifted_twice",
                wrong=_shifted_twice,
                says="Your targets are two tokens ahead: they are shifted twice.",
                effect="The loss falls, to a value that is too high, and it writes every second "
                "word.",
                look="How many tokens must a window have, for T inputs and T targets?",
            ),
            Bug(
                "one_token_short",
                edit=("start : start + T + 1", "start : start + T"),
                says="Your rows are one token short.",
                effect="One token in T is never predicted.",
                look="How many tokens must a window have, for T inputs and T targets?",
            ),
            Bug(
                "rolled",
                wrong=_rolled,
                says="The last target of each row is the row's first token: you have rolled the "
                "row round.",
                effect="One target in T is nonsense, and no curve complains.",
                look="What does `roll` do with what falls out at the front?",
            ),
            Bug(
                "other_way_round",
                edit=("rows[:, :-1], rows[:, 1:]", "rows[:, 1:], rows[:, :-1]"),
                says="Inputs and targets are exchanged: the model is to say what came *before*.",
                effect="It sees the answer one place to the left, so the loss falls to 0.",
                look="Which of the two begins one token later?",
            ),
            Bug(
                "numbers_for_places",
                edit=("stream[start : start + T + 1]", "stream[start * T : start * T + T + 1]"),
                says="You take the starts for numbers of windows. They are places in the stream.",
                effect="Most of the text is never read, and at its end windows run out of it.",
                look="Where does a window with start 3 begin?",
            ),
        ],
        hints=[
            "Cut one window of T + 1 tokens for each start.",
            "Inputs are all of it but the last token, targets all but the first.",
            "`torch.stack` makes a tensor (B, T + 1) of the windows; then two slices along axis 1.",
        ],
        minutes=5,
        page="#one-long-stream-cut-into-windows",
        teaches="The shift by one is made here, once, and nowhere else.",
    ),
    Task(
        "pretraining.loss_of",
        cases=_loss_cases,
        use=_loss,
        bugs=[
            Bug(
                "shifted_again",
                edit=(
                    "logits.flatten(0, 1), y.flatten()",
                    "logits[:, :-1].flatten(0, 1), y[:, 1:].flatten()",
                ),
                says="You shift again. The targets that you are given are shifted already.",
                effect="The model learns to say the word after the next.",
                look="What does the target at position i stand for?",
            ),
            Bug(
                "mean_of_rows",
                wrong=_mean_of_rows,
                says="You take the mean of the rows' means. " + _SHORT,
                effect="Tokens in short answers count for more, and the loss is not that of the "
                "same batch in another order.",
                look="How many tokens have a target in each row?",
            ),
            Bug(
                "divided_by_all",
                edit=(
                    "ignore_index=-100)",
                    'ignore_index=-100, reduction="sum") / y.numel()',
                ),
                says="You divide by the number of all tokens, also of those without a target.",
                effect="The loss depends on how much padding there is, and the learning rate with "
                "it.",
                look="How many tokens does your sum have?",
            ),
            Bug(
                "summed",
                edit=("ignore_index=-100)", 'ignore_index=-100, reduction="sum")'),
                says="You take the sum. A mean is asked for.",
                effect="Gradients grow with the batch, and clipping hides it.",
                look="By what do you divide?",
            ),
            Bug(
                "documents_not_given",
                edit=("documents=documents", "documents=None"),
                says="You do not tell the model where documents begin.",
                effect="Attention runs across documents that have nothing to do with each other.",
                look="What becomes of the last argument?",
            ),
            Bug(
                "minus_100_is_token_0",
                edit=("y.flatten(), ignore_index=-100", "y.flatten().clamp(min=0)"),
                says="Where there is no target, you let the model learn token 0.",
                effect="It learns to say `<unk>` wherever a text ends.",
                look="What becomes of -100 in your code?",
            ),
        ],
        hints=[
            "With V equally likely tokens it is ln V, as in the first case.",
            "Cross-entropy wants logits (N, V) and targets (N,): flatten batch and time into one.",
            "It takes a label to leave out, and its mean is then over the others.",
        ],
        minutes=5,
        page="#the-first-loss-is-known-before-you-train",
        teaches="The loss is a mean over tokens that have a target, and ln V before training.",
    ),
    Task(
        "pretraining.accumulated",
        cases=_gradient_cases,
        use=_gradient,
        properties=[_one_part_at_a_time],
        bugs=[
            Bug(
                "mean_of_means",
                edit=(
                    _BACKWARD,
                    "total = F.cross_entropy(logits, y.flatten(), ignore_index=-100)\n"
                    "        (total / parts).backward()",
                ),
                says="You take the mean of each part and divide by the number of parts: a mean of "
                "means. " + _SHORT,
                effect="The gradient points elsewhere, by tens of degrees where dialogs are "
                "masked. A part without a target makes NaN of all weights.",
                look="By which number would the whole batch divide?",
            ),
            Bug(
                "sum_of_means",
                edit=("(total / n_targets)", "(total / (y != -100).sum())"),
                says="You divide each part by its own number of targets, and add up.",
                effect="The gradient is longer the more parts there are, and clipping hides it.",
                look="By which number would the whole batch divide?",
            ),
            Bug(
                "not_divided",
                edit=("(total / n_targets)", "total"),
                says="You add up sums and never divide.",
                effect="The gradient grows with the batch, and clipping hides it.",
                look="By which number would the whole batch divide?",
            ),
            Bug(
                "divided_by_all",
                edit=("(batch[1] != -100).sum()", "batch[1].numel()"),
                says="You divide by the number of all tokens, also of those without a target.",
                effect="The gradient is too short, the more so the more is masked.",
                look="Which tokens does the sum have?",
            ),
            Bug(
                "last_part_alone",
                edit=(
                    "logits = model(x, documents=documents)",
                    "model.zero_grad()\n        logits = model(x, documents=documents)",
                ),
                says="Only the last part is left: you clear the gradients before each.",
                effect="Most of the batch is computed and thrown away.",
                look="When does the sum over parts begin?",
            ),
            Bug(
                "gradients_kept",
                edit=("model.zero_grad()", "pass"),
                says="You add to gradients that were there before.",
                effect="Each step goes on in the direction of all the steps before it.",
                look="What does `backward` do with a gradient that is there already?",
            ),
        ],
        hints=[
            "`backward` adds to the gradients. So clear them once, then call it for every part.",
            "What should be added up is each part's *sum*, over the number of targets in the "
            "whole batch.",
            "Count the targets first; in the loop: reduction='sum', divide by it, backward.",
        ],
        minutes=10,
        page="#deeper-several-gpus-and-why-a-mean-of-means-is-no-mean",
        teaches="Add up sums, count the targets of the whole batch, and divide once.",
    ),
    Task(
        "pretraining.clip",
        cases=_clip_cases,
        bugs=[
            Bug(
                "each_by_itself",
                wrong=_each,
                says="You clip each tensor by its own length.",
                effect="Large gradients shrink and small ones do not: the direction changes, which "
                "clipping should never do.",
                look="Whose length should be at most 1?",
            ),
            Bug(
                "made_longer",
                edit=(".clamp(max=1)", ""),
                says="You scale up gradients that are short.",
                effect="Every step is as long as the longest, also when there is nothing left to "
                "learn.",
                look="What should happen to a gradient of length 0.7?",
            ),
            Bug(
                "by_value",
                wrong=lambda gradients, longest: [g.clamp(-longest, longest) for g in gradients],
                says="You cut off each number by itself.",
                effect="The direction changes, which clipping should never do.",
                look="What is the norm of a vector?",
            ),
            Bug(
                "no_root",
                edit=(".norm()", ".square().sum()"),
                says="You take the sum of squares for the length: the root is missing.",
                effect="Long gradients become far too short; those between the limit and its root "
                "stay too long.",
                look="How long is (3, 4)?",
            ),
            Bug(
                "sum_of_norms",
                edit=(
                    "torch.cat([gradient.flatten() for gradient in gradients]).norm()",
                    "sum(gradient.norm() for gradient in gradients)",
                ),
                says="You add up the tensors' lengths. The length of all of them together is less.",
                effect="The more matrices a model has, the smaller its steps.",
                look="How long is the vector of all numbers, if one part is 3 long and one 4?",
            ),
        ],
        hints=[
            "One length for all: as if every number stood in one long vector.",
            "The factor is longest over that length, but never above 1.",
            "The squares of the parts' lengths add up to the square of the whole; or flatten and "
            "concatenate.",
        ],
        minutes=5,
        page="#adamw-keeps-the-direction-and-drops-the-scale",
        teaches="Clipping keeps the direction: one factor for all gradients.",
    ),
    Task(
        "pretraining.AdamW",
        cases=_adam_cases,
        use=_trained,
        cut=("step",),
        seconds=20.0,  # whoever takes torch's own optimizer imports half of torch
        bugs=[
            Bug(
                "no_correction",
                edit=(
                    "m_hat = m / (1 - 0.9**self.t)\n            v_hat = v / (1 - 0.95**self.t)",
                    "m_hat, v_hat = m, v",
                ),
                says="You do not correct the means for having begun at 0.",
                effect="The first steps are too short for one mean and too long for the other: "
                "0.1 over the root of 0.05 is less than half of what it should be.",
                look="What is m after the first step, beside the gradient?",
            ),
            Bug(
                "decay_in_the_gradient",
                edit=(
                    "m.lerp_(w.grad, 1 - 0.9)\n            v.lerp_(w.grad**2, 1 - 0.95)\n"
                    "            if w.ndim >= 2:\n                w *= 1 - lr * 0.1",
                    "g = w.grad + 0.1 * w if w.ndim >= 2 else w.grad\n"
                    "            m.lerp_(g, 1 - 0.9)\n            v.lerp_(g**2, 1 - 0.95)",
                ),
                says="Your decay goes into the gradient: that is Adam with L2, from which AdamW "
                "differs in just this.",
                effect="Weights with large gradients hardly decay, for the decay is divided by the "
                "root of v with the rest.",
                look="At which point of the step does the weight shrink?",
            ),
            Bug(
                "step_counted_for_each_weight",
                edit=(
                    "self.t += 1\n"
                    "        for w, m, v in zip(self.weights, self.m, self.v, strict=True):",
                    "for w, m, v in zip(self.weights, self.m, self.v, strict=True):\n"
                    "            self.t += 1",
                ),
                says="You count a step for each weight. A step is one for all of them.",
                effect="The corrections end too soon, and sooner for the last weights than for the "
                "first: the first steps differ from layer to layer.",
                look="What is t after the first call, if there are two weights?",
            ),
            Bug(
                "vectors_decay",
                edit=("if w.ndim >= 2:", "if True:"),
                says="Vectors decay, too.",
                effect="The norms' weights, which begin at 1, are pulled to 0.",
                look="Which tensors of a Llama have one axis?",
            ),
            Bug(
                "nothing_decays",
                edit=("if w.ndim >= 2:", "if False:"),
                says="Nothing decays.",
                effect="Weights can grow for as long as the training lasts.",
                look="By which factor does a matrix shrink in a step?",
            ),
            Bug(
                "decay_without_the_rate",
                edit=("1 - lr * 0.1", "1 - 0.1"),
                says="A matrix loses a tenth in each step: the decay is not multiplied by the "
                "learning rate.",
                effect="After a hundred steps nothing is left of it.",
                look="How much does a matrix shrink if lr is 3e-4?",
            ),
            Bug(
                "eps_in_the_root",
                edit=("(v_hat.sqrt() + 1e-5)", "(v_hat + 1e-5).sqrt()"),
                says="Your 1e-5 stands under the root.",
                effect="The root of 1e-5 is 0.003: gradients smaller than that hardly move a "
                "weight.",
                look="Is it added before the root, or after?",
            ),
            Bug(
                "no_root",
                edit=("v_hat.sqrt()", "v_hat"),
                says="You divide by the mean square, without the root.",
                effect="The smaller a gradient, the larger the step: it flies apart.",
                look="Which units has v, beside those of m?",
            ),
            Bug(
                "slow_second_mean",
                edit=(
                    "v.lerp_(w.grad**2, 1 - 0.95)\n            if w.ndim >= 2:\n"
                    "                w *= 1 - lr * 0.1\n            m_hat = m / (1 - 0.9**self.t)\n"
                    "            v_hat = v / (1 - 0.95**self.t)",
                    "v.lerp_(w.grad**2, 1 - 0.999)\n            if w.ndim >= 2:\n"
                    "                w *= 1 - lr * 0.1\n            m_hat = m / (1 - 0.9**self.t)\n"
                    "            v_hat = v / (1 - 0.999**self.t)",
                ),
                says="Your second mean has 0.999, torch's default. The paper has 0.95.",
                effect="After a spike of the gradient the steps stay small for a thousand steps.",
                look="Which two numbers does the paper give as betas?",
            ),
        ],
        hints=[
            "Count the step first: both corrections need it, and it begins at 1.",
            "Update the two means in place, so that they are there in the next step: `lerp_` does "
            "it in one call.",
            "Then shrink, if it is a matrix; correct both means into new variables; move.",
        ],
        minutes=15,
        page="#adamw-keeps-the-direction-and-drops-the-scale",
        teaches="Adam's step has no scale: about lr at most, whatever the gradient's size.",
    ),
    Task(
        "pretraining.rate",
        cases=_rate_cases,
        bugs=[
            Bug(
                "last_case_forgotten",
                edit=("if step >= total:", "if False:"),
                says="After the last step your rate rises again, along the cosine.",
                effect="A run that is continued is thrown out of the place where it had settled.",
                look="What is the cosine of more than π?",
            ),
            Bug(
                "down_to_zero",
                edit=("(0.55 + 0.45 * math", "(0.5 + 0.5 * math"),
                says="Your cosine goes down to 0, not to a tenth.",
                effect="The last steps teach nothing.",
                look="Where should half a cosine end, that begins at 1?",
            ),
            Bug(
                "zero_at_the_end",
                edit=("(0.55 + 0.45 * math", "(0.5 + 0.5 * math"),
                more=(("return 0.1 * peak", "return 0.0"),),
                says="Your rate goes down to 0 and stays there. It ends at a tenth of the peak.",
                effect="The last steps teach nothing, and a run that is continued stands still.",
                look="Where should half a cosine end, that begins at 1?",
            ),
            Bug(
                "cut_off_at_a_tenth",
                edit=(
                    "peak * (0.55 + 0.45 * math.cos(math.pi * done))",
                    "max(0.1 * peak, peak * (0.5 + 0.5 * math.cos(math.pi * done)))",
                ),
                says="Your cosine goes down to 0, and is cut off at a tenth. It should come down "
                "to a tenth just at total.",
                effect="The rate is too low on the whole way, and flat for the last fifth of it.",
                look="By how much is the cosine to be scaled, and how far moved?",
            ),
            Bug(
                "one_step_early",
                edit=("peak * step / warmup", "peak * (step + 1) / warmup"),
                says="Your warm-up is one step ahead: it reaches the peak at warmup - 1.",
                effect="Nothing that could be seen: one step of two thousand. But a run "
                "that is continued under the right schedule makes a jump.",
                look="What is the rate at step 0?",
            ),
            Bug(
                "cosine_from_step_0",
                edit=("(step - warmup) / (total - warmup)", "step / total"),
                says="Your cosine begins at step 0, not where the warm-up ends.",
                effect="The rate makes a jump there, and never reaches its peak but for one step.",
                look="What share of the cosine is done at step = warmup?",
            ),
            Bug(
                "cosine_too_long",
                edit=("/ (total - warmup)", "/ total"),
                says="Your cosine is too long: at total it has not come down yet.",
                effect="The rate makes a jump at the end.",
                look="How many steps does the cosine have?",
            ),
            Bug(
                "straight_down",
                edit=("0.55 + 0.45 * math.cos(math.pi * done)", "1 - 0.9 * done"),
                says="Yours falls along a straight line.",
                effect="It is another schedule, so a comparison with other runs is then "
                "one of schedules, too.",
                look="Is it flat where it begins?",
            ),
            Bug(
                "no_warm_up",
                edit=("if step < warmup:", "if False:"),
                says="There is no warm-up.",
                effect="The first steps, made with means that are wild guesses, are the longest.",
                look="What is the rate at step 0?",
            ),
        ],
        hints=[
            "Three cases: before warmup, from there to total, and after.",
            "In the middle one, first the share that is done: 0 at warmup, 1 at total.",
            "The cosine of π times that share goes from 1 to -1. Scale and move it, so that it "
            "goes from 1 to 0.1.",
        ],
        minutes=5,
        page="#a-rate-that-rises-falls-and-stays-down",
        teaches="A schedule is a function of the step, so a run can stop and go on.",
        tolerance=1e-9,
    ),
]
