"""The tasks of the chapter on what each change was worth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

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
]
