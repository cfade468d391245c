"""The tasks of the chapter on RoPE."""

from __future__ import annotations

import torch

from llama_tutorial.workbook.solutions.rope import rope_table
from llama_tutorial.workbook.task import Bug, Case, Task


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _table_cases() -> list[Case]:
    return [
        Case("a head of 2 features, 4 positions", 2, 4),
        Case("a head of 8 features, 16 positions", 8, 16),
        Case("a base of 500", 6, 5, 500.0),
        Case("far positions: 4096 of them", 4, 4096),
    ]


def _rotate_cases() -> list[Case]:
    cos, sin = rope_table(8, 16)
    vector, heads = _draw(1, 8), _draw(2, 3, 6, 8, seed=1)  # heads: (B, H, T, h)
    return [
        Case("one vector at position 0, which stays as it is", vector, cos[:1], sin[:1]),
        Case("one vector at position 1", vector, cos[1:2], sin[1:2]),
        Case("three heads at positions 0 to 5", heads, cos[:6], sin[:6]),
        Case("bfloat16 with tables in float32", heads.bfloat16(), cos[:6], sin[:6]),
    ]


def _start_cases() -> list[Case]:
    (cos, sin), x = rope_table(8, 16), _draw(2, 3, 5, 8)
    return [
        Case("five positions from 0 on", x, cos, sin),
        Case("one token at position 7", x[:, :, :1], cos, sin, 7),
        Case("five positions from 3 on", x, cos, sin, 3),
        Case("the last position of the table", x[:, :, :1], cos, sin, 15),
    ]


def _layout_cases() -> list[Case]:
    return [
        Case("one head of 6 features, its rows numbered", torch.arange(6.0)[:, None], 1),
        Case("two heads of 4", torch.arange(8.0)[:, None].expand(8, 2).clone(), 2),
        Case("three heads of 8, a matrix", _draw(24, 5), 3),
    ]


TASKS = [
    Task(
        "rope.rope_table",
        cases=_table_cases,
        bugs=[
            Bug(
                "degrees",
                wrong=lambda head_dim, max_seq_len, theta=10000.0: _tables(
                    torch.outer(
                        torch.arange(max_seq_len).double(),
                        theta ** (-torch.arange(0, head_dim, 2).double() / head_dim),
                    ).deg2rad()
                ),
                says="Your angles are in degrees. They should be in radians: pair 0 turns by a "
                "full radian at each position.",
                effect="All hands turn 57 times too slowly: neighbours look alike.",
                look="What is the cosine at position 1, pair 0?",
            ),
            Bug(
                "one_late",
                edit=("torch.arange(max_seq_len,", "torch.arange(1, max_seq_len + 1,"),
                says="Your positions begin at 1. The first is 0, and its angles are 0.",
                effect="Only differences count, so nothing changes, unless some other code counts "
                "from 0.",
                look="What are the cosines in the first row?",
            ),
            Bug(
                "exponent_half",
                edit=("theta ** (-pairs / head_dim)", "theta ** (-pairs / 2 / head_dim)"),
                says="Your exponent is -j / h: half of what it should be. The slow hands are too "
                "fast.",
                effect="Distances that a trained model tells by its slow pairs look like others.",
                look="What is 2j for the last pair, and what is h?",
            ),
            Bug(
                "exponent_pairs",
                edit=("-pairs / head_dim", "-pairs / (head_dim // 2)"),
                says="You divide by the number of pairs, h / 2, and not by h: frequencies fall "
                "twice as fast.",
                effect="Half of the hands hardly move, and far positions look alike.",
                look="How far does the exponent of the last pair come down?",
            ),
            Bug(
                "sign_of_exponent",
                edit=("(-pairs / head_dim)", "(pairs / head_dim)"),
                says="The sign of your exponent is wrong: later pairs turn faster, not more "
                "slowly.",
                effect="All pairs but the first spin like dice.",
                look="Which pair is the fastest hand?",
            ),
            Bug(
                "theta_ignored",
                edit=("theta ** (", "10000.0 ** ("),
                says="Your base is always 10000, whatever theta is.",
                effect="Code Llama, whose base is 1,000,000, reads nonsense.",
                look="Where do you use theta?",
            ),
            Bug(
                "swapped",
                edit=(
                    "angles.cos().float(), angles.sin().float()",
                    "angles.sin().float(), angles.cos().float()",
                ),
                says="You return the sines first; the cosines come first.",
                effect="Every rotation is a different one, and position 0 is rotated by 90 "
                "degrees.",
                look="What is the cosine of 0?",
            ),
            Bug(
                "every_feature",
                edit=("torch.arange(0, head_dim, 2,", "torch.arange(0, head_dim,"),
                says="You have a column for each feature. One for each pair is enough: h / 2.",
                effect="The tables do not fit the pairs.",
                look="How many pairs does a head have?",
            ),
        ],
        hints=[
            "A table of angles is an outer product: positions times frequencies.",
            "The frequencies: theta to the power of -2j / h, for 2j = 0, 2, 4, ...",
            "torch.arange(0, head_dim, 2) gives the 2j; multiply in float64, so that far positions "
            "stay exact.",
        ],
        minutes=8,
        page="#one-hand-is-not-enough-for-a-clock",
        teaches="Fast pairs tell neighbours apart, slow pairs tell far from near.",
        tolerance=1e-3,
    ),
    Task(
        "rope.rotate",
        cases=_rotate_cases,
        bugs=[
            Bug(
                "half_split",
                edit=("x[..., 0::2], x[..., 1::2]", "x.chunk(2, -1)"),
                more=(("dim=-1)", "dim=-2)"),),
                says="Your pairs are half-split: feature j is turned with feature j + h/2. "
                "Position 0 is right, because nothing is rotated there; position 1 is not.",
                look="Which two features make pair j?",
            ),
            Bug(
                "half_split_in",
                edit=("x[..., 0::2], x[..., 1::2]", "x.chunk(2, dim=-1)"),
                says="You pair feature j with feature j + h/2, and put the results back in turn, "
                "as neighbours. Position 0 is wrong already, though nothing is rotated there.",
                effect="A checkpoint runs, and writes nonsense.",
                look="Which two features make pair j?",
            ),
            Bug(
                "not_woven",
                edit=(
                    "torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1)",
                    "torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-2)",
                ),
                says="Your results are right, and stand in the wrong places: first those of all a, "
                "then those of all b. They have to alternate, as they came.",
                effect="Scores stay right as long as queries and keys do the same, but no other "
                "code reads such vectors.",
                look="Position 0 rotates nothing. Does it come back in the order in which it went "
                "in?",
            ),
            Bug(
                "turned_back",
                edit=(
                    "(a * cos - b * sin, a * sin + b * cos)",
                    "(a * cos + b * sin, b * cos - a * sin)",
                ),
                says="You rotate the other way: by -φ.",
                effect="A trained model takes nine back for nine ahead. One that is trained with "
                "it learns just as well, so a loss does not show it.",
                look="Which of the two products has the minus?",
            ),
            Bug(
                "mirrored",
                edit=("a * sin + b * cos", "a * sin - b * cos"),
                says="One sign is wrong, in the second line of the pair: that is no rotation any "
                "more, and vectors change their length.",
                effect="Scores depend on places, not on distances alone.",
                look="At position 0, what becomes of b?",
            ),
            Bug(
                "used_after_change",
                edit=(
                    "(a * cos - b * sin, a * sin + b * cos)",
                    "(a := a * cos - b * sin, a * sin + b * cos)",
                ),
                says="You compute the new b from the new a. Both need the old ones.",
                effect="Vectors change their length, at each position differently.",
                look="What does a hold when b is computed?",
            ),
            Bug(
                "not_rotated",
                edit=(
                    "(a * cos - b * sin, a * sin + b * cos)",
                    "(a + 0 * cos, b + 0 * sin)",
                ),
                says="Nothing is rotated: x comes back as it was.",
                look="Where do you use cos and sin?",
            ),
            Bug(
                "not_cast_back",
                edit=(".type_as(x)", ""),
                says="A bfloat16 comes back as float32. The result has the dtype of x.",
                effect="Queries and values have different dtypes, and attention refuses them.",
                look="The tables are float32: what does a product with them become?",
            ),
        ],
        hints=[
            "Begin with one pair: what becomes of (a, b)?",
            "Slices with a step take all a's, and all b's, at once: two tensors (..., T, h / 2).",
            "The results have to alternate again: stack them on a new last axis, then flatten.",
        ],
        minutes=10,
        page="#rope-in-eleven-lines",
        teaches="A position is an angle: the score of two rotated vectors sees only a distance.",
        same_dtype=True,
        fresh=True,
    ),
    Task(
        "rope.rotate_at",
        cases=_start_cases,
        bugs=[
            Bug(
                "start_ignored",
                edit=("cos[start:end], sin[start:end]", "cos[: x.shape[-2]], sin[: x.shape[-2]]"),
                says="Your start is not used: every call begins at position 0 again.",
                effect="With a cache, each new token believes that it is the first: the prompt is "
                "read well, and then the text falls apart.",
                look="Which rows of the tables belong to a token at position 7?",
            ),
            Bug(
                "ends_at_the_length",
                edit=("end = start + x.shape[-2]", "end = x.shape[-2]"),
                says="Your slice ends at the number of positions. That is right where it begins "
                "at 0.",
                effect="With a cache there are too few rows, or none.",
                look="Which row is the last one for a token at position 7?",
            ),
            Bug(
                "one_late",
                wrong=lambda x, cos, sin, start=0: _rotated_from(x, cos, sin, start + 1),
                says="You are one position late: at start you take the row start + 1.",
                effect="If only the queries do so, every distance is one too large.",
                look="How many tokens come before the first?",
            ),
            Bug(
                "one_early",
                wrong=lambda x, cos, sin, start=0: _rotated_from(x, cos, sin, max(start - 1, 0)),
                says="You are one position early: at start you take the row start - 1.",
                effect="If only the queries do so, every distance is one too small.",
                look="Row 0 belongs to position 0.",
            ),
            Bug(
                "one_row",
                edit=("cos[start:end], sin[start:end]", "cos[start], sin[start]"),
                says="You rotate all positions of x by the angles of the first.",
                effect="Within a prompt, order is lost.",
                look="How many rows do T positions need?",
            ),
            Bug(
                "end_only",
                edit=("cos[start:end], sin[start:end]", "cos[end - 1], sin[end - 1]"),
                says="You rotate all positions of x by the angles of the last.",
                effect="Within a prompt, order is lost.",
                look="How many rows do T positions need?",
            ),
        ],
        hints=[
            "rotate wants as many rows as x has positions.",
            "Which rows? Those at start, start + 1, ...; how many says x.shape[-2].",
            "A slice of each table, and a call of your rotate.",
        ],
        minutes=4,
        page="#rope-in-eleven-lines",
        teaches="A cached key was rotated once, at its own position, and stays so.",
    ),
    Task(
        "rope.to_half_split",
        cases=_layout_cases,
        bugs=[
            Bug(
                "other_way",
                edit=(
                    "weight.unflatten(0, (n_heads, -1, 2))",
                    "weight.unflatten(0, (n_heads, 2, -1))",
                ),
                says="This is the way back: from Hugging Face's layout into Meta's.",
                effect="A checkpoint that is converted twice in the same direction is wrong in "
                "both camps.",
                look="Which two rows are a pair before, and which after?",
            ),
            Bug(
                "heads_mixed",
                edit=("weight.unflatten(0, (n_heads, -1, 2))", "weight.unflatten(0, (1, -1, 2))"),
                says="You split all rows at once: the heads get mixed. Each head is split by "
                "itself.",
                effect="With one head it is right, and with more every head reads another's pairs.",
                look="Where does the second head begin?",
            ),
            Bug(
                "unchanged",
                edit=("pairs.transpose(1, 2).flatten(0, 2)", "pairs.flatten(0, 2)"),
                says="The rows come back in the order in which they came.",
                effect="A checkpoint of one camp in the code of the other.",
                look="Which axes have to change places?",
            ),
            Bug(
                "flipped",
                edit=("pairs.transpose(1, 2)", "pairs.transpose(1, 2).flip(1)"),
                says="Your two halves stand in the wrong order: first the odd features, then the "
                "even ones.",
                effect="Every pair turns the other way.",
                look="Where does feature 0 go?",
            ),
        ],
        hints=[
            "Give the rows a shape that says what they are: heads, pairs, and the two of a pair.",
            "Then one exchange of two axes, and the old shape again.",
            "unflatten(0, (..., ..., 2)) splits the first axis; transpose; flatten(0, 2).",
        ],
        minutes=8,
        page="#neighbours-or-halves-the-two-layouts",
        teaches="The two layouts are one function and a permutation of rows, made once, at load.",
    ),
]


def _tables(angles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return angles.cos().float(), angles.sin().float()


def _rotated_from(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, start: int
) -> torch.Tensor:
    from llama_tutorial.workbook.solutions.rope import rotate

    end = start + x.shape[-2]
    return rotate(x, cos[start:end], sin[start:end])
