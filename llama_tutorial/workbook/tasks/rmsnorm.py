"""The tasks of the chapter on RMSNorm."""

from __future__ import annotations

from typing import Any

import torch

from llama_tutorial.workbook.task import Bug, Case, Task


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _norm_cases() -> list[Case]:
    x = _draw(2, 5, 8) + 0.5
    return [
        Case("one vector", x[0, :1]),
        Case("two rows of five vectors", x),
        Case("vectors of which eps is a large part", 1e-3 * x),
        Case("an eps of 0.5", x, 0.5),
        Case("a vector of zeros", torch.zeros(1, 8)),
        Case("float64", x.double()),
        Case("bfloat16", x.bfloat16()),
        Case("float16, with features of some hundreds", (300 * x).half()),
    ]


def _float64_stays_exact(answer: Any) -> str | None:
    x = _draw(5, 8).double()
    right = x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    if (answer(x) - right).abs().max() > 1e-12:
        return "A float64 comes back with the seven digits of a float32: leave it as wide as it is."
    return None


def _use_norm(norm: Any, weight: torch.Tensor, x: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    layer = norm(len(weight), eps)
    layer.weight = torch.nn.Parameter(weight)
    return layer(x).detach()


def _module_cases() -> list[Case]:
    x, weight = _draw(2, 5, 8), 1 + _draw(8, seed=1)
    narrow = weight.bfloat16()
    return [
        Case("two rows of five vectors, weights of 1", torch.ones(8), x),
        Case("the same with other weights", weight, x),
        Case("an eps of 0.5", weight, x, 0.5),
        Case("a model in bfloat16", narrow, _draw(64, 8, seed=2).bfloat16()),
    ]


def _writer_cases() -> list[Case]:
    weight = _draw(6, 4) + 0.5
    return [
        Case("a matrix (6, 4)", weight),
        Case("a square matrix", _draw(5, 5, seed=1)),
    ]


def _writes_no_mean(answer: Any) -> str | None:
    weight, x = _draw(6, 4).double(), _draw(4, seed=1).double()
    mean = (answer(weight) @ x).mean().item()
    if abs(mean) > 1e-9:
        return f"What the new matrix writes has the mean {mean:.3g}, and should have 0."
    return None


TASKS = [
    Task(
        "rmsnorm.rms_norm",
        cases=_norm_cases,
        properties=[_float64_stays_exact],
        bugs=[
            Bug(
                "eps_outside",
                edit=("torch.rsqrt(mean_square + eps)", "(1 / (torch.sqrt(mean_square) + eps))"),
                says="You add eps to the root; it belongs under it.",
                look="What is eps added to?",
            ),
            Bug(
                "mean_over_positions",
                edit=("wide.pow(2).mean(-1, keepdim=True)", "wide.pow(2).mean(-2, keepdim=True)"),
                says="Your mean is taken over the positions. Each vector has a size of its own, "
                "over its features.",
                look="Which axis is which in (..., T, D)?",
            ),
            Bug(
                "mean_subtracted",
                edit=(
                    "x.to(torch.promote_types(x.dtype, torch.float32))",
                    "(lambda w: w - w.mean(-1, keepdim=True))"
                    "(x.to(torch.promote_types(x.dtype, torch.float32)))",
                ),
                says="You subtract the mean: that is LayerNorm. RMSNorm leaves it alone.",
                look="What is the mean of your result?",
            ),
            Bug(
                "mean_of_sizes",
                edit=(
                    "wide.pow(2).mean(-1, keepdim=True)",
                    "wide.abs().mean(-1, keepdim=True).pow(2)",
                ),
                says="You divide by the mean of the sizes |x|, not by the root of the mean of the "
                "squares.",
                look="Root, mean, square: in which order?",
            ),
            Bug(
                "sum_of_squares",
                edit=("wide.pow(2).mean(-1, keepdim=True)", "wide.pow(2).sum(-1, keepdim=True)"),
                says="You divide by the length of the vector: the root of the sum of its squares. "
                "It should be their mean.",
                effect="All vectors come out shorter, by a factor of the root of D.",
                look="What is the mean square of your result?",
            ),
            Bug(
                "not_rooted",
                edit=("torch.rsqrt(mean_square + eps)", "(1 / (mean_square + eps))"),
                says="The root is missing: you divide by the mean of the squares.",
                effect="Long vectors become short, and short ones long.",
                look="What is the mean square of your result?",
            ),
            Bug(
                "no_eps",
                edit=("mean_square + eps", "mean_square"),
                says="Your eps is not used: a vector of zeros becomes NaN.",
                effect="Padding, or an embedding of zeros, makes everything NaN.",
                look="What keeps the root away from 0?",
            ),
            Bug(
                "no_wide",
                edit=("x.to(torch.promote_types(x.dtype, torch.float32))", "x"),
                says="You square in the dtype of x: in float16, the square of 300 is infinite.",
                effect="In bfloat16 a model is a little off; in float16 a vector with one large "
                "feature comes out as zeros.",
                look="Which dtype has room for the squares?",
            ),
            Bug(
                "not_cast_back",
                edit=(".to(x.dtype)", ""),
                says="The result stays in float32. It goes back to the dtype of x.",
                effect="The next matrix, in bfloat16, refuses it.",
                look="Which dtype goes out?",
            ),
        ],
        hints=[
            "One number for each vector: the mean of its squares.",
            "mean(-1, keepdim=True) keeps the axis, so that x can be divided by it.",
            "First to float32, then square, mean, eps, root; at the end back to x.dtype.",
        ],
        minutes=8,
        page="#the-norm-in-three-lines",
        teaches="LayerNorm without the mean: every vector lands on one sphere.",
        tolerance=2e-5,
        same_dtype=True,
    ),
    Task(
        "rmsnorm.RMSNorm",
        cases=_module_cases,
        use=_use_norm,
        bugs=[
            Bug(
                "no_norm_weight",
                edit=(" * self.weight", ""),
                says="Your weight is not used.",
                look="What is learned in this layer?",
            ),
            Bug(
                "weight_before_cast",
                edit=(
                    "rms_norm(x, self.eps) * self.weight",
                    "(rms_norm(x.float(), self.eps) * self.weight.float()).to(x.dtype)",
                ),
                says="You multiply by the weight in float32 and cast afterwards. Llama casts "
                "first.",
                effect="The last bit of a bfloat16 differs, in every norm of the model.",
                look="In which dtype does the weight multiply?",
            ),
            Bug(
                "eps_forgotten",
                edit=("rms_norm(x, self.eps)", "rms_norm(x)"),
                says="You do not pass self.eps on, so the eps is always 1e-5.",
                effect="Every model whose eps is another one is a little off, and nothing says so.",
                look="Where does the layer keep its eps?",
            ),
            Bug(
                "weight_added",
                edit=("* self.weight", "+ self.weight"),
                says="You add the weight; it multiplies.",
                effect="Each layer reads its input plus a constant.",
                look="With which weight does the layer change nothing, 0 or 1?",
            ),
            Bug(
                "weight_first",
                edit=(
                    "rms_norm(x, self.eps) * self.weight",
                    "rms_norm(x * self.weight, self.eps)",
                ),
                says="Your weight multiplies the input, and the norm then takes the size away "
                "again.",
                effect="The strength of each feature depends on all the others'.",
                look="Which comes first?",
            ),
        ],
        hints=[
            "Your rms_norm does nearly all of it.",
            "Two things that the layer keeps are to be used: self.eps and self.weight.",
            "rms_norm gives the dtype of x already; multiply that.",
        ],
        minutes=4,
        page="#deeper-float32-inside-and-the-weight-after-the-cast",
        teaches="The norm takes the size away, and the weight gives each feature its own.",
        tolerance=1e-6,
        same_dtype=True,
    ),
    Task(
        "rmsnorm.centre_writer",
        cases=_writer_cases,
        properties=[_writes_no_mean],
        fresh=True,
        bugs=[
            Bug(
                "rows_centred",
                edit=("weight.mean(0, keepdim=True)", "weight.mean(1, keepdim=True)"),
                says="You have centred the rows. A row makes one feature of the output; the mean "
                "runs over the features, so down a column.",
                effect="What is written still has a mean, and says something else.",
                look="Which axis is D, over which the norm takes its mean?",
            ),
            Bug(
                "all_centred",
                edit=("weight.mean(0, keepdim=True)", "weight.mean()"),
                says="You subtract one mean of the whole matrix. Each column needs its own.",
                effect="Only the sum over all inputs is centred.",
                look="What does column j write?",
            ),
            Bug(
                "scaled_too",
                edit=(
                    "weight - weight.mean(0, keepdim=True)",
                    "(weight - weight.mean(0, keepdim=True)) / weight.std(0, keepdim=True)",
                ),
                says="You divide as well. Only the mean goes.",
                effect="Every column is as strong as every other, and what was learned is gone.",
                look="What else does your matrix change?",
            ),
        ],
        hints=[
            "Write W @ x as a sum: each column of W, times one number of x.",
            "So it is enough that each column has the mean 0.",
            "The columns run along axis 0.",
        ],
        minutes=5,
        page="#rmsnorm-centre-once",
        teaches="A LayerNorm model is an RMSNorm model whose matrices were centred once.",
    ),
]
