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


def taken_back(gpt, llama, changes, fit):
    """The finished model with one change taken back at a time, all of one size.

    A change is taken back if its fields are again what they were in the GPT, and the other changes
    are still there.

    Args:
        gpt: The config before all changes. Its fields are attributes, such as ``gpt.norm``.
        llama: The config after all of them. ``llama.replace(norm="layernorm")`` is a new config in
            which that field has another value.
        changes: A dict from each change's name to a dict of the fields that it has set and their
            values in llama.
        fit: ``fit(config, n_params)`` is the config with the feed-forward width that brings it
            nearest to so many parameters. A config knows its own number: ``llama.n_params``.

    Returns:
        A dict from each change's name to a config of llama's size.
    """
    found = {}
    for name, change in changes.items():
        old = {field: getattr(gpt, field) for field in change}
        found[name] = fit(llama.replace(**old), llama.n_params)
    return found
