"""Measuring a model: perplexity, bits per byte, multiple choice, and how sure a score is."""

import math

import torch
from torch.nn import functional as F


def perplexity(model, texts):
    """How many equally likely tokens would be as hard to guess: e to the mean of -ln p.

    The mean is over all tokens of all texts that are predicted. Nothing predicts a text's first
    token, and a text's last token predicts nothing.

    Args:
        model: ``model(ids)`` takes int[1, T] and gives logits, float[1, T, V].
        texts: A list of lists of ids, at least two in each.

    Returns:
        A float.
    """
    total, n = 0.0, 0
    for ids in texts:
        logits = model(torch.tensor([ids[:-1]]))[0]  # (T - 1, V)
        targets = torch.tensor(ids[1:])  # (T - 1,)
        total += F.cross_entropy(logits.double(), targets, reduction="sum").item()
        n += len(targets)
    return math.exp(total / n)


def bits_per_byte(costs, text):
    """What a text costs in bits, for each of its bytes in UTF-8.

    Args:
        costs: -ln p of each token of the text, in nats, a list of float.
        text: The text, a str.

    Returns:
        A float.
    """
    return sum(costs) / math.log(2) / len(text.encode())


def option_costs(model, stem, options):
    """What each option costs after the stem: -ln p of the option's tokens, added up.

    Every token of an option is predicted from the stem and the option's tokens before it. The
    stem's own tokens cost nothing.

    Args:
        model: ``model(ids)`` takes int[B, T] and gives logits, float[B, T, V]; no position sees a
            later one.
        stem: The ids of the beginning, a list of at least one.
        options: A list of lists of ids, of different lengths.

    Returns:
        A list of float, in nats.
    """
    costs = []
    for option in options:
        ids = stem + option
        logits = model(torch.tensor([ids[:-1]]))[0].double()  # (T - 1, V)
        targets = torch.tensor(ids[1:])  # (T - 1,)
        each = F.cross_entropy(logits, targets, reduction="none")
        costs.append(each[len(stem) - 1 :].sum().item())
    return costs


def cheapest(costs, lengths):
    """The option that an exam takes for the model's answer: the cheapest for its length.

    A longer option costs more, all else being equal, so each cost is divided by a length. With
    lengths of 1 that is lm-evaluation-harness's ``acc``, with numbers of characters ``acc_norm``.

    Args:
        costs: What each option costs as a whole, a list of float.
        lengths: How long each is, a list of int.

    Returns:
        The number of the option, counted from 0; of equally cheap ones the first.
    """
    each = [cost / length for cost, length in zip(costs, lengths, strict=True)]
    return each.index(min(each))


def interval(n_right, n):
    """Between which two shares the true score lies in 95 of 100 such exams.

    The share p of right answers, and on each side of it 1.96 standard deviations of that share,
    which are the root of p (1 - p) / n. An end may lie below 0 or above 1, and is left there: it
    says that there are too few questions for this formula.

    Args:
        n_right: Questions that were answered right.
        n: Questions.

    Returns:
        The lower and the upper end, two floats.
    """
    p = n_right / n
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def sign_test(before, after):
    """Compare two ways of answering on the same questions: only those on which they differ count.

    If the two were equally good, each of these would be a coin toss. The chance asked for is that
    so many coins fall as unevenly as this, or more so, to whichever side.

    Args:
        before: For each question whether the first way was right, a list of bool.
        after: The same of the second way, in the same order.

    Returns:
        Three numbers: how many questions only the second way got right, how many only the first,
        and the chance, a float, at most 1.
    """
    pairs = list(zip(before, after, strict=True))
    mended, spoilt = pairs.count((False, True)), pairs.count((True, False))
    n, few = mended + spoilt, min(mended, spoilt)
    tail = sum(math.comb(n, k) for k in range(few + 1)) / 2**n
    return mended, spoilt, min(1.0, 2 * tail)


def n_found(training, exam, n):
    """How many texts of an exam have a run of n words that occurs in the training text.

    Words are what stands between white space. A run lies within one text.

    Args:
        training: A list of texts, str.
        exam: A list of texts, str.
        n: Words of a run, an int.

    Returns:
        How many texts of the exam are found, an int.
    """

    def runs(text):
        words = text.split()
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    seen = {run for text in training for run in runs(text)}
    return sum(bool(runs(text) & seen) for text in exam)
