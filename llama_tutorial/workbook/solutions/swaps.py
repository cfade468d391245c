"""How sure one can be of a difference between runs."""

import math
import statistics


def interval(differences):
    """The 95 percent interval of a mean of three values.

    Half its width is Student's t for three values, 4.303, times the standard error: the standard
    deviation of the sample (which divides by one less than there are values) over the root of their
    number.

    Args:
        differences: A list of three numbers.

    Returns:
        The mean and half the width, two floats.
    """
    spread = statistics.stdev(differences)
    return statistics.mean(differences), 4.303 * spread / math.sqrt(3)


def worth(before, after):
    """What a change was worth: how the losses of runs that have their seeds in common differ.

    Run i before the change and run i after it began from the same seed and read the same batches,
    so what the seed does to both cancels in their difference.

    Args:
        before: Losses of three runs without the change.
        after: Losses with it, in the same order of seeds.

    Returns:
        The interval of after minus before, as interval gives it: negative if the change helped.
    """
    return interval([b - a for a, b in zip(before, after, strict=True)])
