"""The tasks of the chapter on what each change was worth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from llama_tutorial.config import ModelConfig
from llama_tutorial.workbook.solutions.swaps import interval
from llama_tutorial.workbook.task import Bug, Case, Task

_BEFORE, _AFTER = [0.971, 0.973, 0.963], [0.951, 0.957, 0.945]


def _interval_cases() -> list[Case]:
    return [
        Case("three values", [1.0, 2.0, 3.0]),
        Case("three differences of losses", [-0.020, -0.016, -0.018]),
        Case("three equal ones", [0.25, 0.25, 0.25]),
    ]


def _worth_cases() -> list[Case]:
    return [
        Case("two chains of three seeds", _BEFORE, _AFTER),
        Case("seeds that matter more than the change", [1.0, 2.0, 3.0], [0.9, 2.3, 2.8]),
        Case("seeds in another order", [2.0, 1.0, 3.0], [1.2, 1.7, 3.3]),
    ]


def _unpaired(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    spread = math.hypot(statistics.stdev(before), statistics.stdev(after))
    mean = statistics.mean(after) - statistics.mean(before)
    return mean, 4.303 * spread / math.sqrt(3)


def _both_ends(differences: Sequence[float]) -> tuple[float, float]:
    mean, half = interval(differences)
    return mean - half, mean + half


# The exercise

_CHANGES: dict[str, dict[str, Any]] = {
    "RMSNorm": {"norm": "rmsnorm"},
    "SwiGLU": {"feed_forward": "swiglu"},
    "no biases, untied": {"bias": False, "tie_embeddings": False},
    "GQA": {"n_kv_heads": 2},
}


def _fitted(config: ModelConfig, n_params: int) -> ModelConfig:
    wide = [config.replace(hidden_dim=width) for width in range(8, 256, 8)]
    return min(wide, key=lambda one: abs(one.n_params - n_params))


def _configs(answer: Callable[..., Any], changes: dict[str, dict[str, Any]]) -> Any:
    """What each config has, of all that can differ."""
    gpt = ModelConfig(
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=64,
        vocab_size=100,
        max_seq_len=32,
        norm="layernorm",
        feed_forward="gelu",
        bias=True,
        tie_embeddings=True,
    )
    together = {field: value for change in _CHANGES.values() for field, value in change.items()}
    llama = gpt.replace(**together, hidden_dim=72)
    found = answer(gpt, llama, changes, _fitted)
    if not isinstance(found, dict):
        return found
    fields = [*together, "hidden_dim"]
    return {
        name: {field: getattr(config, field) for field in fields}
        if isinstance(config, ModelConfig)
        else config
        for name, config in found.items()
    }


def _back_cases() -> list[Case]:
    one = {"SwiGLU": _CHANGES["SwiGLU"]}
    return [Case("one change", one), Case("four changes", _CHANGES)]


TASKS = [
    Task(
        "swaps.interval",
        cases=_interval_cases,
        bugs=[
            Bug(
                "both_ends",
                wrong=_both_ends,
                says="You return the two ends. The mean and half the width are asked for.",
                effect="No model is harmed, but a table of such numbers says nothing.",
                look="What does the docstring say under Returns?",
            ),
            Bug(
                "as_if_of_many",
                edit=("4.303", "1.96"),
                says="You take 1.96, which is right for many values. For three it is 4.303.",
                effect="No model is harmed, but half of what you find sure is not.",
                look="How well is a standard deviation known, if it comes from three values?",
            ),
            Bug(
                "no_root",
                edit=("4.303 * spread / math.sqrt(3)", "4.303 * spread / 3"),
                says="You divide by the number of values. The standard error divides by its root.",
                effect="The interval is too narrow, and chance looks like a result.",
                look="How fast does the error of a mean fall with the number of values?",
            ),
            Bug(
                "spread_of_one",
                edit=(" / math.sqrt(3)", ""),
                says="You do not divide by the root of their number: that is how much one value "
                "spreads, not how much their mean does.",
                effect="No model is harmed, but a result that could be believed is not.",
                look="Is the mean of three values surer than one of them?",
            ),
            Bug(
                "of_a_population",
                edit=("statistics.stdev", "statistics.pstdev"),
                says="Your standard deviation divides by the number of values, as if these three "
                "were all there are.",
                effect="The interval is too narrow by a fifth.",
                look="`statistics` has two of them: which is for a sample?",
            ),
        ],
        hints=[
            "The mean, the standard deviation of the sample, the root of 3: in this order.",
            "`statistics.stdev` divides by one less than there are values.",
            "Standard error = standard deviation / root of the number; times 4.303.",
        ],
        minutes=5,
        page="#three-seeds-can-agree-by-chance",
        teaches="With three runs an effect must be more than twice the spread to be believed.",
        tolerance=1e-4,  # t with more digits than 4.303 is right, too
    ),
    Task(
        "swaps.worth",
        cases=_worth_cases,
        bugs=[
            Bug(
                "unpaired",
                wrong=_unpaired,
                says="You take the difference of the two means, and the spread of both. Runs of "
                "one seed belong together.",
                effect="What the seed does to both is counted as doubt about the change.",
                look="What do run 1 before and run 1 after have in common?",
            ),
            Bug(
                "other_sign",
                edit=("b - a for a, b", "a - b for a, b"),
                says="Your sign is the other way round: it is after minus before, and a loss that "
                "falls is a negative number.",
                effect="The change that helped most looks like the worst.",
                look="What should come out if the change helped?",
            ),
            Bug(
                "sorted_first",
                edit=("zip(before, after, strict=True)", "zip(sorted(before), sorted(after))"),
                says="You pair the best run with the best. Pairs are made by the seed.",
                effect="The spread looks smaller than it is.",
                look="Which run after belongs to run 1 before?",
            ),
            Bug(
                "relative",
                edit=("b - a for", "(b - a) / a for"),
                says="You divide by the loss before. A difference in nats is asked for.",
                effect="None; but the same change is then worth less in a model that is worse.",
                look="What is the unit of your result?",
            ),
        ],
        hints=[
            "Three differences, one for each seed.",
            "`zip` goes through two lists side by side.",
            "The interval of the differences is what your other function computes.",
        ],
        minutes=5,
        page="#three-seeds-can-agree-by-chance",
        teaches="Equal seeds cancel what they have in common: compare runs in pairs.",
        tolerance=1e-4,  # see there
    ),
    Task(
        "swaps.taken_back",
        cases=_back_cases,
        use=_configs,
        extra=True,
        bugs=[
            Bug(
                "put_in_alone",
                edit=(
                    "fit(llama.replace(**old), llama.n_params)",
                    "fit(gpt.replace(**change), llama.n_params)",
                ),
                says="You put each change into the GPT, alone. Asked for is the Llama without it.",
                effect="That is an experiment, too, but another: what a change is worth to a model "
                "that has none of the others.",
                look="Which of the two configs does each model begin with?",
            ),
            Bug(
                "nothing_taken_back",
                edit=("getattr(gpt, field)", "getattr(llama, field)"),
                says="Your models are all the finished one: you set the fields to the values that "
                "they have.",
                effect="Five runs of one model differ by luck, and luck is what you measure.",
                look="Which value did the field have before the change?",
            ),
            Bug(
                "one_after_the_other",
                edit=(
                    "found[name] = fit(llama.replace(**old), llama.n_params)",
                    "found[name] = llama = fit(llama.replace(**old), llama.n_params)",
                ),
                says="You take one change back after the other, so the last model has lost all of "
                "them.",
                effect="It is the chain again, backwards.",
                look="How many changes does your last model lack?",
            ),
            Bug(
                "not_one_size",
                edit=("fit(llama.replace(**old), llama.n_params)", "llama.replace(**old)"),
                says="Your models are of different sizes: you do not fit them.",
                effect="A change seems to be worth something because the model with it is larger.",
                look="What is fit for?",
            ),
            Bug(
                "as_large_as_the_gpt",
                edit=("llama.n_params)", "gpt.n_params)"),
                says="Your models have the size of the GPT. They are compared with the Llama, so "
                "they should have its size.",
                effect="A little, where the two sizes differ a little; and nobody sees it.",
                look="What is each of your models compared with?",
            ),
            Bug(
                "other_fields_too",
                edit=(
                    "old = {field: getattr(gpt, field) for field in change}",
                    "old = {field: getattr(gpt, field) for one in changes.values() for field in "
                    "one}",
                ),
                says="You take all changes back in each model.",
                effect="Five times the GPT.",
                look="Of which change are the fields that you look up?",
            ),
        ],
        hints=[
            "One change at a time: which fields has it set, and what were they in the GPT?",
            "`getattr(gpt, field)` is the value of a field whose name is in a variable.",
            "`replace` takes a dict of fields with two stars before it. Then fit, to the size of "
            "the model that all of them are compared with.",
        ],
        minutes=6,
        page="#ex-swaps-back",
        teaches="Put in and taken back are two experiments, and a change can be worth two things.",
    ),
]
