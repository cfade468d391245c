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


def _backward_cases() -> list[Case]:
    x, weight, grad = _draw(2, 5, 8), 1 + _draw(8, seed=1), _draw(2, 5, 8, seed=2)
    ones = torch.ones(8)
    return [
        Case("one vector, weights of 1", x[0, :1], ones, grad[0, :1]),
        Case("five vectors", x[0], weight, grad[0]),
        Case("two rows of five vectors", x, weight, grad),
        Case("vectors ten times as long", 10 * x, weight, grad),
        Case("an eps of 0.5", x, weight, grad, 0.5),
        Case("float64", x.double(), weight.double(), grad.double()),
    ]


def _norms(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if "norm" in name}


def _use_folded(folded: Any, config: Any) -> dict[str, Any]:
    """What the new model says, what its norms have, and whether the old one is what it was."""
    from llama_tutorial.workbook.solutions.model import Llama
    from llama_tutorial.workbook.tasks._models import filled

    model = filled(Llama(config))
    tokens = torch.randint(13, (2, 6), generator=torch.Generator().manual_seed(0))
    new = folded(model)
    if not isinstance(new, torch.nn.Module):
        return {"kind of what is returned": type(new).__name__}
    with torch.no_grad():
        logits = new(tokens)
    return {
        "kind of what is returned": type(new).__name__,
        "the logits": logits,
        "the norms of the new model": _norms(new),
        "the norms of the given model afterwards": _norms(model),
    }


def _fold_cases() -> list[Case]:
    from llama_tutorial.workbook.tasks._models import SMALL

    square = SMALL.replace(n_kv_heads=SMALL.n_heads, hidden_dim=SMALL.dim, vocab_size=SMALL.dim)
    return [
        Case("a model whose matrices are all square", square),
        Case("a model with grouped heads", SMALL),
    ]


def _variance_cases() -> list[Case]:
    # Sums of these are exact in float32, in whatever order they are made.
    far = 8192 + torch.tensor([0.0, 1.0]).repeat(32)
    return [
        Case("two numbers, 1 and 4", torch.tensor([1.0, 4.0])),
        Case("sixteen numbers around 2", 2 + _draw(16)),
        Case("64 numbers, half of them 8192 and half 8193", far),
    ]


def _partial_cases() -> list[Case]:
    x, weight = _draw(2, 5, 8) * torch.arange(1, 9), 1 + _draw(8, seed=1)
    ones = torch.ones(8)
    return [
        Case("one vector, half of its features, weights of 1", x[0, :1], ones, 0.5),
        Case("two rows of five vectors, a quarter", x, weight, 0.25),
        Case("a share of 0.45: three features of eight", x, weight, 0.45),
        Case("all features", x, weight, 1.0),
        Case("vectors of which eps is a large part", 1e-3 * x, weight, 0.5),
        Case("an eps of 0.5", x, weight, 0.25, 0.5),
    ]


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
    Task(
        "rmsnorm.rms_norm_backward",
        cases=_backward_cases,
        bugs=[
            Bug(
                "root_held_fixed",
                edit=("(u - y * (u * y).mean(-1, keepdim=True)) / r", "u / r"),
                says="Your r is a constant: it is not, all features of the vector are in it.",
                effect="Training pushes vectors outward, although a norm does not see their size.",
                look="What else changes if one feature of x grows?",
            ),
            Bug(
                "sum_for_mean",
                edit=("(u * y).mean(-1, keepdim=True)", "(u * y).sum(-1, keepdim=True)"),
                says="What comes through r is a mean over the features, and yours is a sum.",
                effect="The gradient is D times too strong along x.",
                look="Mean or sum: what stands under the root?",
            ),
            Bug(
                "x_for_y",
                edit=("u - y * (u * y)", "u - x * (u * x)"),
                says="Where the loss comes through r, you use x; it is x divided by r, twice.",
                effect="Long vectors get a wrong gradient, and vectors of size 1 a right one.",
                look="How often does r stand in the formula?",
            ),
            Bug(
                "weight_forgotten",
                edit=("grad * weight", "grad"),
                says="The gradient for x does not know the weight. On its way back it is "
                "multiplied by it first.",
                effect="Features that the norm makes small are pushed as if they were large.",
                look="What is the last thing that the norm does on the way out?",
            ),
            Bug(
                "not_divided",
                edit=(
                    "(u - y * (u * y).mean(-1, keepdim=True)) / r",
                    "u - y * (u * y).mean(-1, keepdim=True)",
                ),
                says="The gradient for x is not divided by r: a long vector feels a push less.",
                effect="Deep layers, whose vectors are long, are changed much too fast.",
                look="What does doubling x do to its gradient?",
            ),
            Bug(
                "weighted_twice",
                edit=("(grad * y).reshape", "(u * y).reshape"),
                says="The gradient for the weight has the weight in it. It is multiplied by the "
                "normed vector alone.",
                effect="Large weights change faster than small ones, for no reason.",
                look="y = weight · n: what is the slope in weight?",
            ),
            Bug(
                "input_for_normed",
                edit=("(grad * y).reshape", "(grad * x).reshape"),
                says="The weight multiplies the normed vector; its gradient has x in it, not that.",
                effect="Weights are changed too fast wherever vectors are long.",
                look="What is multiplied by the weight?",
            ),
            Bug(
                "no_eps",
                edit=(".mean(-1, keepdim=True) + eps).sqrt()", ".mean(-1, keepdim=True)).sqrt()"),
                says="Your eps is not used.",
                effect="For small vectors the gradient is that of another function.",
                look="What is under the root?",
            ),
            Bug(
                "half_divided",
                edit=(
                    "(u - y * (u * y).mean(-1, keepdim=True)) / r",
                    "u / r - y * (u * y).mean(-1, keepdim=True)",
                ),
                says="Only one of the two terms is divided by r.",
                effect="A long vector is pushed back along itself, much too strongly.",
                look="What does doubling x do to each of the two?",
            ),
            Bug(
                "not_summed",
                edit=(".reshape(-1, x.shape[-1]).sum(0)", ""),
                says="You have a gradient for the weight at every position. There is one weight "
                "for all of them: they are added up.",
                effect="The optimiser refuses a gradient of another shape.",
                look="Which shape does the weight have?",
            ),
            Bug(
                "texts_kept_apart",
                edit=(".reshape(-1, x.shape[-1]).sum(0)", ".sum(0)"),
                says="There is one weight for all positions of all texts: sum over all axes but "
                "the last.",
                effect="The optimiser refuses a gradient of another shape.",
                look="Which shape does the weight have?",
            ),
        ],
        hints=[
            "First y = x / r, and u = grad · weight: what arrives at y.",
            "One feature of x changes y in two ways: directly, by 1 / r, and all of y through r.",
            "The second one takes from u its part along y: y times the mean of u · y.",
        ],
        minutes=15,
        page="#ex-rmsnorm-backward",
        teaches="A norm's gradient has almost nothing along x: a longer x gives the same output.",
        extra=True,
    ),
    Task(
        "rmsnorm.folded",
        cases=_fold_cases,
        use=_use_folded,
        bugs=[
            Bug(
                "rows_scaled",
                edit=("linear.weight *= norm.weight", "linear.weight *= norm.weight[:, None]"),
                says="You multiply the rows. A row makes one feature that comes out; what comes in "
                "meets the columns.",
                effect="Another model, and most matrices do not even have that many rows.",
                look="Which axis of (out, in) meets y?",
            ),
            Bug(
                "up_forgotten",
                edit=("[feed_forward.w1, feed_forward.w3]", "[feed_forward.w1]"),
                says="One reader of ffn_norm does not get its weight: it has two.",
                effect="Each unit's gate opens as before, and lets something else through.",
                look="How many matrices of SwiGLU read the stream?",
            ),
            Bug(
                "down_folded",
                edit=(
                    "[feed_forward.w1, feed_forward.w3]",
                    "[feed_forward.w1, feed_forward.w3, attention.wo]",
                ),
                says="One matrix too many is changed: wo and w2 read no norm, they write.",
                effect="What a block adds to the stream is another vector.",
                look="Which matrices come right after a norm?",
            ),
            Bug(
                "values_forgotten",
                edit=("[attention.wq, attention.wk, attention.wv]", "[attention.wq, attention.wk]"),
                says="The values do not get the weight: attention_norm has three readers.",
                effect="A word is found as before, and hands over something else.",
                look="How many matrices of the attention read the stream?",
            ),
            Bug(
                "head_forgotten",
                edit=("[model.output]", "[]"),
                says="The last norm loses its weight, and the head does not get it.",
                effect="The logits are those of another vector.",
                look="Who reads the last norm?",
            ),
            Bug(
                "still_there",
                edit=("        norm.weight.fill_(1)\n", ""),
                says="The norms keep their weights: now they act twice, in the norm and in the "
                "matrix.",
                effect="Strong features become very strong.",
                look="What should a norm's weight be afterwards?",
            ),
            Bug(
                "norms_exchanged",
                edit=(
                    "(layer.attention_norm, [attention.wq",
                    "(layer.ffn_norm, [attention.wq",
                ),
                more=(
                    (
                        "(layer.ffn_norm, [feed_forward.w1",
                        "(layer.attention_norm, [feed_forward.w1",
                    ),
                ),
                says="The two norms of a block are exchanged: attention_norm comes before the "
                "attention, ffn_norm before the feed-forward layer.",
                effect="Every matrix gets the weights of a norm that it never reads.",
                look="Which norm does wq read?",
            ),
            Bug(
                "model_changed",
                edit=("model = copy.deepcopy(model)\n", "\n"),
                says="You change the model that you were given. It must stay as it is.",
                effect="Whoever compares the two compares a model with itself.",
                look="What does copy.deepcopy do?",
            ),
            Bug(
                "nothing_returned",
                edit=(
                    "        norm.weight.fill_(1)\n    return model",
                    "        norm.weight.fill_(1)",
                ),
                says="You return nothing. The new model is asked for.",
                effect="Whoever calls it has None in place of a model.",
                look="What does the last line of your function do?",
            ),
            Bug(
                "divided",
                edit=("linear.weight *= norm.weight", "linear.weight /= norm.weight"),
                says="You divide by the weights. What the norm no longer multiplies, the matrix "
                "must.",
                effect="Features that the norm made strong become weak.",
                look="W (g · y): what happens to column i?",
            ),
        ],
        hints=[
            "Begin with a copy, and write down who reads which norm.",
            "Column i of a matrix meets feature i: the (out, D) weight times a (D,) vector.",
            "It is five lists: for each block two norms with three and two readers, at the end "
            "one with one. (@torch.no_grad() lets you write into weights.)",
        ],
        minutes=10,
        page="#ex-rmsnorm-fold",
        teaches="A norm's weight adds no new function: the next matrix could do its work.",
        tolerance=1e-4,
        extra=True,
    ),
    Task(
        "rmsnorm.variances",
        cases=_variance_cases,
        bugs=[
            Bug(
                "made_wide",
                edit=("one_pass = x.pow", "x = x.double()\n    one_pass = x.pow"),
                says="Your one pass is as good as the two: it was made in float64, or it is two "
                "passes after all.",
                effect="A test that passes, of a function that fails in the dtype of the model.",
                look="Which dtype does x have, and which have your squares?",
            ),
            Bug(
                "unbiased",
                edit=(
                    "x.pow(2).mean() - x.mean().pow(2)",
                    "(x.pow(2).mean() - x.mean().pow(2)) * len(x) / (len(x) - 1)",
                ),
                more=(
                    ("(x - x.mean()).pow(2).mean()", "(x - x.mean()).pow(2).sum() / (len(x) - 1)"),
                ),
                says="You divide by D - 1, as torch.var does by default.",
                effect="A norm of a few features comes out smaller.",
                look="How many numbers are there?",
            ),
            Bug(
                "other_way_round",
                edit=("x.pow(2).mean() - x.mean().pow(2)", "x.mean().pow(2) - x.pow(2).mean()"),
                says="Your first one is negative: it is the mean of the squares, minus the square "
                "of the mean.",
                effect="The root of it is NaN.",
                look="Which of the two is larger?",
            ),
            Bug(
                "mean_not_squared",
                edit=("- x.mean().pow(2)", "- x.mean()"),
                says="In your first one the mean is not squared.",
                effect="It is right only where the mean is 0 or 1.",
                look="What becomes of 2 · x · mean when you multiply (x - mean)² out?",
            ),
            Bug(
                "exchanged",
                edit=("one_pass.item(), two_passes.item()", "two_passes.item(), one_pass.item()"),
                says="You give them in the other order: one pass first, then two.",
                effect="The good method is blamed for the bad one.",
                look="Which is which?",
            ),
        ],
        hints=[
            "Two lines, one for each way, and neither changes the dtype.",
            "x.pow(2).mean() and x.mean().pow(2) are the two numbers of the first way.",
            "The second: take the mean from x, square, mean. .item() makes a float of a tensor.",
        ],
        minutes=4,
        page="#ex-rmsnorm-cancel",
        teaches="The difference of two large numbers keeps few of their digits.",
        tolerance=1e-3,
        extra=True,
    ),
    Task(
        "rmsnorm.partial_rms_norm",
        cases=_partial_cases,
        bugs=[
            Bug(
                "mean_over_all",
                edit=(
                    "first.pow(2).mean(-1, keepdim=True)",
                    "first.pow(2).sum(-1, keepdim=True) / x.shape[-1]",
                ),
                says="You divide the sum of the first squares by D. It is the mean of the first.",
                effect="A quarter of the features makes every vector twice as long.",
                look="How many squares are in your sum?",
            ),
            Bug(
                "first_only",
                edit=("return x * torch", "return first * torch"),
                more=((" * weight", " * weight[: first.shape[-1]]"),),
                says="You give the first features only. The estimate is from them, and all "
                "features are divided by it.",
                effect="The next matrix misses most of its columns.",
                look="Which shape does the docstring name?",
            ),
            Bug(
                "rest_left",
                edit=(
                    "return x * torch.rsqrt(mean_square + eps) * weight",
                    "n = first.shape[-1]\n"
                    "    first = first * torch.rsqrt(mean_square + eps)\n"
                    "    return torch.cat((first, x[..., n:]), -1) * weight",
                ),
                says="You divide the first features alone, and leave the others as they are.",
                effect="Most of the vector is not normed at all, and grows from block to block.",
                look="Which features are divided?",
            ),
            Bug(
                "last_features",
                edit=("x[..., : int(share * x.shape[-1])]", "x[..., -int(share * x.shape[-1]) :]"),
                says="You look at the last features; the first are meant.",
                effect="None with random vectors; a trained model is used to certain features.",
                look="Which end does your slice begin at?",
            ),
            Bug(
                "every_nth",
                edit=("x[..., : int(share * x.shape[-1])]", "x[..., :: int(1 / share)]"),
                says="You look at every n-th feature; the first are meant.",
                effect="As good an estimate, but the features do not lie side by side, which is "
                "what makes it fast.",
                look="Which features does the docstring name?",
            ),
            Bug(
                "weight_left_out",
                edit=("torch.rsqrt(mean_square + eps) * weight", "torch.rsqrt(mean_square + eps)"),
                says="Your weight is not used.",
                effect="The features come out equally strong, whatever was learned.",
                look="What is done after the division?",
            ),
            Bug(
                "eps_left_out",
                edit=("torch.rsqrt(mean_square + eps)", "torch.rsqrt(mean_square)"),
                says="Your eps is not used.",
                effect="A vector whose first features are all 0 becomes NaN.",
                look="What keeps the root from being 0?",
            ),
            Bug(
                "rounded_up",
                edit=("int(share * x.shape[-1])", "round(share * x.shape[-1])"),
                says="You round the number of features to the nearest integer, or up. It is "
                "rounded down.",
                effect="None of any size: one feature more in the estimate.",
                look="How many features is 0.45 of eight?",
            ),
            Bug(
                "share_ignored",
                edit=("x[..., : int(share * x.shape[-1])]", "x"),
                says="You look at all features: that is RMSNorm.",
                effect="Nothing is saved.",
                look="What does share change in your code, and along which axis does it cut?",
            ),
            Bug(
                "eps_outside",
                edit=("torch.rsqrt(mean_square + eps)", "(1 / (torch.sqrt(mean_square) + eps))"),
                says="You add eps to the root; it belongs under it.",
                look="What is eps added to?",
                museum=False,
            ),
        ],
        hints=[
            "It is RMSNorm, and one line is different: what the mean is taken over.",
            "int(share * D) features: a slice of the last axis, from its beginning.",
            "Mean of the slice's squares, eps, root; then x, all of it, divided and weighted.",
        ],
        minutes=4,
        page="#ex-rmsnorm-partial",
        teaches="A size can be estimated from a few features: from n, to about 1 in √(2n).",
        tolerance=2e-5,
        extra=True,
    ),
]
