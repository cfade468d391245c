"""The tasks of the chapter on SwiGLU."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from llama_tutorial.workbook.task import Bug, Case, Task


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _silu_cases() -> list[Case]:
    return [
        Case("0, 1 and -1", torch.tensor([0.0, 1.0, -1.0])),
        Case("a matrix", 2 * _draw(3, 4)),
        Case("numbers far from 0", torch.tensor([-1000.0, -100.0, 100.0, 1000.0])),
    ]


def _swiglu_cases() -> list[Case]:
    w1, w2, w3 = _draw(6, 4, seed=1), _draw(4, 6, seed=2), _draw(6, 4, seed=3)
    return [
        Case("one vector of 4 features, 6 inside", _draw(1, 4), w1, w2, w3),
        Case("two rows of five vectors", _draw(2, 5, 4, seed=4), w1, w2, w3),
    ]


def _width_cases() -> list[Case]:
    return [
        Case("Llama 2 7B", 4096),
        Case("a multiple already: 96, by 32", 96, 32),
        Case("a small one: 100, by 32", 100, 32),
        Case("a multiplier of 1.3", 100, 1, 1.3),
        Case("Llama 2 70B", 8192, 4096, 1.3),
    ]


TASKS = [
    Task(
        "swiglu.silu",
        cases=_silu_cases,
        bugs=[
            Bug(
                "sigmoid",
                edit=("z * torch.sigmoid(z)", "torch.sigmoid(z)"),
                says="That is the logistic function itself, which never goes above 1: the gate of "
                "the first GLU.",
                effect="A gate can no longer open wide.",
                look="What is silu(1000)?",
            ),
            Bug(
                "relu",
                edit=("z * torch.sigmoid(z)", "z.clamp(min=0)"),
                says="That is ReLU: nothing comes through below 0.",
                look="What is silu(-1)?",
            ),
            Bug(
                "gelu",
                wrong=lambda z: F.gelu(z, approximate="tanh"),
                says="That is GELU in its tanh form, GPT's curve.",
                look="What is silu(1)?",
            ),
            Bug(
                "gelu_exact",
                wrong=lambda z: F.gelu(z),
                says="That is GELU in its exact form.",
                effect="It never differs from SiLU by more than 0.2, and a model hardly notices.",
                look="What is silu(1)?",
            ),
            Bug(
                "overflow",
                edit=("z * torch.sigmoid(z)", "z * z.exp() / (1 + z.exp())"),
                says="Far above 0 your e^z is infinite, and infinity by infinity is NaN.",
                effect="One large activation makes everything NaN.",
                look="Can you write it with e^-z?",
            ),
            Bug(
                "sign",
                edit=("torch.sigmoid(z)", "torch.sigmoid(-z)"),
                says="Your gate opens the wrong way: for large z it is shut.",
                effect="What should pass is held, and the other way round.",
                look="What is silu(1000)?",
            ),
        ],
        hints=[
            "Two factors: z itself, and a number between 0 and 1.",
            "torch.sigmoid is the logistic function, and does not overflow.",
            "Far below 0 the second factor is 0; far above it is 1.",
        ],
        minutes=3,
        page="#what-a-gate-does-to-a-number",
        teaches="SiLU is almost a ReLU, and lets a little through below 0.",
    ),
    Task(
        "swiglu.swiglu",
        cases=_swiglu_cases,
        bugs=[
            Bug(
                "swapped_gate",
                edit=("x @ w1.T, x @ w3.T", "x @ w3.T, x @ w1.T"),
                says="You have swapped w1 and w3: SiLU belongs to what w1 makes.",
                look="Which matrix is the gate?",
            ),
            Bug(
                "silu_last",
                edit=("silu(gate) * up", "silu(gate * up)"),
                says="You multiply first and let SiLU follow. It belongs to the gate alone.",
                look="What goes into SiLU?",
            ),
            Bug(
                "no_silu",
                edit=("silu(gate) * up", "gate * up"),
                says="SiLU is missing: a product is left.",
                look="What makes a gate of a number?",
            ),
            Bug(
                "no_w3",
                edit=("silu(gate) * up", "silu(gate)"),
                says="The way up, w3, is missing: the gates open, and there is nothing to let "
                "through.",
                look="How many matrices do you use?",
            ),
            Bug(
                "added",
                edit=("silu(gate) * up", "silu(gate) + up"),
                says="You add the two; a gate multiplies.",
                effect="A shut gate no longer keeps anything out.",
                look="What should come through a gate of 0?",
            ),
            Bug(
                "silu_twice",
                edit=("silu(gate) * up", "silu(gate) * silu(up)"),
                says="SiLU is on both: the way up stays as it is.",
                effect="What passes the gate can no longer be negative enough.",
                look="Which of the two is the gate?",
            ),
            Bug(
                "relu",
                edit=("silu(gate) * up", "gate.clamp(min=0) * up"),
                says="Your gate is a ReLU.",
                look="Use your silu.",
            ),
        ],
        hints=[
            "Two ways up from x, one way down.",
            "A matrix has a row for each feature that comes out: x @ w.T, as nn.Linear does.",
            "silu of the first, times the second, feature by feature; then w2.",
        ],
        minutes=5,
        page="#two-units-multiply-exactly",
        teaches="A gate multiplies: the layer can choose, and that is what GPT's could not.",
    ),
    Task(
        "swiglu.hidden_dim",
        cases=_width_cases,
        bugs=[
            Bug(
                "rounded_down",
                edit=("math.ceil(hidden / multiple_of)", "(hidden // multiple_of)"),
                says="You round down to a multiple; it is up.",
                effect="The matrices of a checkpoint do not fit.",
                look="What is 10922 rounded up to a multiple of 256?",
            ),
            Bug(
                "rounded_nearest",
                edit=("math.ceil(", "round("),
                says="You round to the nearest multiple; it is always up.",
                effect="For some widths, the matrices of a checkpoint do not fit.",
                look="What should become of 266, by 32?",
            ),
            Bug(
                "one_more",
                edit=("math.ceil(hidden / multiple_of)", "(hidden // multiple_of + 1)"),
                says="You add a multiple even where it is a multiple already.",
                effect="For some widths, the matrices of a checkpoint do not fit.",
                look="What should become of 256, by 32?",
            ),
            Bug(
                "not_cut",
                edit=("int(2 * (4 * dim) / 3)", "2 * (4 * dim) / 3"),
                says="You do not cut the two thirds to an integer before you go on.",
                effect="For some widths it is one multiple too many.",
                look="When is int taken?",
            ),
            Bug(
                "four_dim",
                edit=("int(2 * (4 * dim) / 3)", "4 * dim"),
                says="You begin with 4 · D. Two thirds of that is the beginning: there are three "
                "matrices.",
                effect="The layer costs half as much again as GPT's.",
                look="Where do the two thirds come from?",
            ),
            Bug(
                "multiplier_ignored",
                edit=("multiplier is not None", "False"),
                says="Your multiplier is not used.",
                effect="The 70B model gets matrices that are too narrow.",
                look="What does 70B have that 7B does not?",
            ),
            Bug(
                "multiplier_last",
                wrong=lambda dim, multiple_of=256, multiplier=None: int(
                    (multiplier or 1) * (-(-int(8 * dim / 3) // multiple_of) * multiple_of)
                ),
                says="You round up to a multiple first and multiply afterwards, so the result is "
                "no longer a multiple.",
                effect="The matrices of 70B do not fit.",
                look="Which step is the last?",
            ),
        ],
        hints=[
            "Four steps: 4 · D, two thirds, the multiplier, rounded up.",
            "int() cuts. Rounding up to a multiple: how many multiples are needed?",
            "multiple_of * math.ceil(... / multiple_of)",
        ],
        minutes=4,
        page="#two-thirds-as-wide-and-rounded-up",
        teaches="11008 is two thirds of 16384, rounded up to a multiple of 256.",
    ),
]
