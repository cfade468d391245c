"""The tasks of the chapter on SwiGLU."""

from __future__ import annotations

from typing import Any

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


def _backward_cases() -> list[Case]:
    x, grad = _draw(5, 4), _draw(5, 4, seed=4)
    w1, w2, w3 = _draw(6, 4, seed=1), _draw(4, 6, seed=2), _draw(6, 4, seed=3)
    return [
        Case("one vector", x[:1], grad[:1], w1, w2, w3),
        Case("five vectors", x, grad, w1, w2, w3),
        Case("gates that are wide open or shut", x, grad, 10 * w1, w2, w3),
        Case("float64", *(tensor.double() for tensor in (x, grad, w1, w2, w3))),
    ]


def _use_as_swiglu(
    as_swiglu: Any, w1: torch.Tensor, bias: torch.Tensor, w2: torch.Tensor, x: torch.Tensor
) -> Any:
    """What the layer makes of (x, 1): the matrices may be any that do it."""
    found = as_swiglu(w1, bias, w2)
    if not isinstance(found, tuple | list) or len(found) != 3:
        return {"number of matrices": len(found) if isinstance(found, tuple | list) else found}
    gate, down, up = found
    shapes = {
        f"shape of {name}": str(tuple(getattr(matrix, "shape", ("no tensor",))))
        for name, matrix in zip(("w1", "w2", "w3"), found, strict=True)
    }
    width, n_features = w1.shape
    wide = str((width, n_features + 1))
    if [*shapes.values()] != [wide, str((n_features, width)), wide]:
        return {"number of matrices": 3, **shapes}
    with_one = torch.cat((x, torch.ones(len(x), 1)), dim=1)
    hidden = F.silu(with_one @ gate.T) * (with_one @ up.T)
    return {"number of matrices": 3, **shapes, "output for (x, 1)": hidden @ down.T}


def _bias_cases() -> list[Case]:
    w1, bias, w2, x = _draw(6, 4, seed=1), _draw(6, seed=2), _draw(4, 6, seed=3), _draw(5, 4)
    return [
        Case("one unit, no bias", w1[:1], torch.zeros(1), w2[:, :1], x[:1]),
        Case("six units, no bias", w1, torch.zeros(6), w2, x),
        Case("six units with a bias", w1, bias, w2, x),
    ]


def _use_gate_is_first(gate_is_first: Any, *tensors: torch.Tensor) -> Any:
    """The answer, or that it was refused."""
    try:
        return {"error that is raised": "none", "answer": gate_is_first(*tensors)}
    except ValueError:
        return {"error that is raised": "ValueError"}


def _half_cases() -> list[Case]:
    x, w1, w2, w3 = _draw(5, 4), _draw(6, 4, seed=1), _draw(4, 6, seed=2), _draw(6, 4, seed=3)
    y = ((F.silu(x @ w1.T) * (x @ w3.T)) @ w2.T) * (1 + 1e-4 * _draw(5, 4, seed=4))
    twice = (F.silu(x @ w1.T) * (x @ w1.T)) @ w2.T
    both, *exact = (tensor.double() for tensor in (torch.cat((w1, w3)), w2, x, w1, w3))
    down, wide_x, gate, up = exact
    exact_y = (F.silu(wide_x @ gate.T) * (wide_x @ up.T)) @ down.T
    return [
        Case("the gate is the upper half, in float64", both, down, wide_x, exact_y),
        Case("the same with some rounding", torch.cat((w1, w3)), w2, x, y),
        Case("the gate is the lower half", torch.cat((w3, w1)), w2, x, y),
        Case("numbers a thousand times as large", torch.cat((w3, w1)), 1000 * w2, x, 1000 * y),
        Case("an output of another layer", torch.cat((w1, w3)), w2, x, -y),
        Case("two equal halves", torch.cat((w1, w1)), w2, x, twice),
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
    Task(
        "swiglu.swiglu_backward",
        cases=_backward_cases,
        bugs=[
            Bug(
                "slope_of_logistic",
                edit=("(s + a * s * (1 - s))", "(s * (1 - s))"),
                says="You take the slope of the logistic function for that of SiLU.",
                effect="A gate that is wide open learns nothing any more.",
                look="SiLU is a product of two: how many terms has its slope?",
            ),
            Bug(
                "slope_is_the_gate",
                edit=("(s + a * s * (1 - s))", "s"),
                says="Your slope of SiLU is the logistic function alone: half of the product rule.",
                effect="Gates near zero are pushed the right way, and the others by too little or "
                "too much.",
                look="z · s(z): what changes with z?",
            ),
            Bug(
                "up_left_out",
                edit=("hidden * b * (", "hidden * ("),
                says="The gradient for the gate does not know what the gate lets through.",
                effect="Gates open, whether what is behind them helps or harms.",
                look="What is SiLU(a) multiplied by?",
            ),
            Bug(
                "gate_left_out",
                edit=("grad_b = hidden * silu(a)", "grad_b = hidden"),
                says="The gradient for the way up does not go through the gate.",
                effect="Units that are shut learn as if they were open.",
                look="What is b multiplied by?",
            ),
            Bug(
                "slope_for_up",
                edit=("grad_b = hidden * silu(a)", "grad_b = hidden * silu(b)"),
                says="The gradient for the way up is multiplied by SiLU(b); b goes through no "
                "curve.",
                effect="The way up learns from the wrong units.",
                look="Which of the two has the curve?",
            ),
            Bug(
                "one_way_back",
                edit=("grad_a @ w1 + grad_b @ w3", "grad_a @ w1"),
                says="The gradient for x comes through the gate only. x goes in twice.",
                effect="The layers before learn half of what they should.",
                look="How many matrices read x?",
            ),
            Bug(
                "hidden_forgotten",
                edit=("grad.T @ (silu(a) * b)", "grad.T @ b"),
                says="The gradient for w2 has what w2 reads in it: the product, not one factor.",
                effect="The way down learns from units that are shut.",
                look="What is w2 multiplied by?",
            ),
            Bug(
                "up_forgotten_in_w2",
                edit=("grad.T @ (silu(a) * b)", "grad.T @ silu(a)"),
                says="The gradient for w2 has the gate in it, and not what comes through it.",
                effect="w2 learns to read a layer without a gate.",
                look="What does w2 read on the way out?",
            ),
            Bug(
                "gate_and_up_exchanged",
                edit=(
                    "grad_x, grad_a.T @ x, grad.T @ (silu(a) * b), grad_b.T @ x",
                    "grad_x, grad_b.T @ x, grad.T @ (silu(a) * b), grad_a.T @ x",
                ),
                says="The gradients for w1 and w3 are exchanged. They have the same shape, so "
                "nothing complains.",
                effect="The gate learns what the way up should, and the other way round.",
                look="Which matrix is the gate, w1 or w3?",
            ),
        ],
        hints=[
            "Give the parts names: a = W1 x, b = W3 x, and the product SiLU(a) · b goes into W2.",
            "grad @ w2 is what arrives at the product. For a factor, multiply by the other one; "
            "for a, by the slope as well.",
            "A matrix's gradient is (what arrives at its output).T @ (what went in).",
        ],
        minutes=15,
        page="#ex-swiglu-backward",
        teaches="A shut gate stops the way up, and still learns to open itself.",
        extra=True,
    ),
    Task(
        "swiglu.as_swiglu",
        cases=_bias_cases,
        use=_use_as_swiglu,
        bugs=[
            Bug(
                "all_ones",
                edit=("torch.zeros_like(gate)", "torch.ones_like(gate)"),
                says="Your w3 reads all features and adds them up. It should read the last one.",
                effect="Each unit is multiplied by the sum of the features.",
                look="Which number should W3 (x, 1) have in every unit?",
            ),
            Bug(
                "constant_first",
                edit=(
                    "torch.cat((w1, bias[:, None]), dim=1)",
                    "torch.cat((bias[:, None], w1), dim=1)",
                ),
                more=(("up[:, -1] = 1", "up[:, 0] = 1"),),
                says="You take the constant to be the first feature. It is the last: (x, 1).",
                effect="The bias meets a feature, and each weight its neighbour's.",
                look="In which column does a matrix meet the last feature?",
            ),
            Bug(
                "bias_in_front",
                edit=(
                    "torch.cat((w1, bias[:, None]), dim=1)",
                    "torch.cat((bias[:, None], w1), dim=1)",
                ),
                says="In your w1 the bias stands before the columns of W1. The 1 comes after the "
                "features: (x, 1).",
                effect="Each weight meets its neighbour's feature.",
                look="Which column of w1 meets the 1?",
            ),
            Bug(
                "down_last",
                edit=("return gate, w2, up", "return gate, up, w2"),
                says="You return gate, up, down. The order is that of the names: w1 is the gate, "
                "w2 the way down, w3 the way up.",
                effect="The shapes do not fit; where F is D + 1, another layer.",
                look="Which of the three has D rows?",
            ),
            Bug(
                "bias_on_the_way_up",
                edit=("up[:, -1] = 1", "up[:, -1] = 1 + bias"),
                more=(
                    (
                        "torch.cat((w1, bias[:, None]), dim=1)",
                        "torch.cat((w1, 0 * bias[:, None]), dim=1)",
                    ),
                ),
                says="Your bias is in w3: there it multiplies. It is added to W1 x, before the "
                "curve.",
                effect="Units are stronger or weaker, but their curves are not moved.",
                look="What does a bias move?",
            ),
            Bug(
                "no_bias",
                edit=("(w1, bias[:, None])", "(w1, 0 * bias[:, None])"),
                says="The bias is missing. The constant can bring it: w1 has a column for it.",
                effect="Every unit opens at 0.",
                look="What does the last column of w1 add?",
            ),
            Bug(
                "nothing_up",
                edit=("    up[:, -1] = 1  # every unit's b is the constant\n", ""),
                says="Your w3 is zero, and so is the product.",
                effect="The layer writes nothing.",
                look="By what must SiLU be multiplied to stay what it is?",
            ),
            Bug(
                "one_unit",
                edit=("up[:, -1] = 1", "up[-1] = 1"),
                says="You fill a row of w3: one unit, which reads all features. It is the last "
                "column.",
                effect="All other units are multiplied by 0.",
                look="Which axis of (F, D + 1) is that of the features?",
            ),
        ],
        hints=[
            "Multiplied by 1, the gate's curve is all that is left. Where can a 1 come from?",
            "w3: zeros, but for the last column. w1: one column more, for the same feature.",
            "torch.cat((w1, bias[:, None]), dim=1) puts a column behind a matrix.",
        ],
        minutes=6,
        page="#ex-swiglu-constant",
        teaches="With one constant feature, a gated layer does what a plain one with biases does.",
        extra=True,
    ),
    Task(
        "swiglu.gate_is_first",
        cases=_half_cases,
        use=_use_gate_is_first,
        bugs=[
            Bug(
                "the_other_half",
                edit=("return bool(upper_fits)", "return bool(lower_fits)"),
                says="You say True where the lower half is the gate.",
                effect="Gate and up are exchanged: a model that loads and writes nonsense.",
                look="Which half is first?",
            ),
            Bug(
                "never_refuses",
                edit=("if upper_fits == lower_fits:", "if False:"),
                says="If neither fits, or both do, you answer all the same. Raise a ValueError.",
                effect="A matrix from another layer is loaded as if it were right.",
                look="How many halves should fit?",
            ),
            Bug(
                "none_fits_unseen",
                edit=("if upper_fits == lower_fits:", "if upper_fits and lower_fits:"),
                says="If neither fits, you say that the lower half is the gate.",
                effect="A matrix from another layer is loaded as if it were right.",
                look="Which two cases need a ValueError?",
            ),
            Bug(
                "both_fit_unseen",
                edit=("if upper_fits == lower_fits:", "if not upper_fits and not lower_fits:"),
                says="If both fit, you say that the upper half is the gate.",
                effect="None with this matrix; but the test has told nothing about the library.",
                look="Which two cases need a ValueError?",
            ),
            Bug(
                "exactly_equal",
                edit=("limit = y.abs().max() / 1000", "limit = y.abs().max() * 1e-5"),
                says="You ask for equal numbers. The right output has some rounding.",
                effect="No checkpoint in 16 bits ever fits.",
                look="How close is close?",
            ),
            Bug(
                "every_other_row",
                edit=("both.chunk(2)", "both[0::2], both[1::2]"),
                says="To you nothing fits, not even an output without rounding. Either you take "
                "every other row, and the two matrices lie one below the other; or you ask for "
                "equal numbers, and sums in another order differ in their last digits.",
                effect="No checkpoint is ever recognised.",
                look="What does torch.cat((w1, w3)) look like, and how close is close?",
            ),
        ],
        hints=[
            "There are two ways to cut it. Compute both outputs.",
            "both.chunk(2) gives the halves; your swiglu takes the gate as w1, the other as w3.",
            "Two booleans. If they are equal, the test has failed.",
        ],
        minutes=6,
        page="#ex-swiglu-fused",
        teaches="Shapes cannot tell gate from up; one input and its output can.",
        extra=True,
    ),
]
