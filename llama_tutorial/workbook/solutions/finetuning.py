"""Dialogs to learn from, rows that hold several of them, and a change of low rank."""

import math

import torch
from torch import nn


def dialog_turns(dialog):
    """Each question in its tags, and the answer to it, with a space at either end.

    Other white space at the ends of a question or an answer is taken away.

    Args:
        dialog: A list of messages, dicts with "content": questions and answers in turn, with no
            system message.

    Returns:
        A list of pairs of str. Joined, the two are one text.
    """
    said = [message["content"].strip() for message in dialog]
    return [(f"[INST] {said[i]} [/INST]", f" {said[i + 1]} ") for i in range(0, len(said), 2)]


def labelled(dialog, tokenizer):
    """The ids of a dialog, and a label for each: the id itself where it is learned, or -100.

    Learned are the answers, with the EOS that ends each. A question is encoded with BOS before it;
    a question with its answer, as one text, with BOS before and EOS after it.

    Args:
        dialog: For dialog_turns, which makes the texts.
        tokenizer: ``tokenizer.encode(text, bos=False, eos=False)`` is a list of ids. The ids of a
            question are the beginning of those of the question with its answer.

    Returns:
        Ids and labels of all turns, one after the other: two lists of int, equally long. Labels
        stand where their ids stand; the loss will shift them.
    """
    ids, labels = [], []
    for question, answer in dialog_turns(dialog):
        prompt = tokenizer.encode(question, bos=True)
        turn = tokenizer.encode(question + answer, bos=True, eos=True)
        ids += turn
        labels += [-100] * len(prompt) + turn[len(prompt) :]
    return ids, labels


def first_fit(lengths, context):
    """Put examples into rows: each, in turn, into the first row that has room for it.

    Args:
        lengths: Tokens of each example, a list of int, none above context.
        context: Tokens of a row.

    Returns:
        A list of rows; a row is a list of numbers of examples, counted from 0.
    """
    rows, free = [], []
    for number, length in enumerate(lengths):
        fits = [row for row, room in enumerate(free) if length <= room]
        if not fits:
            fits = [len(rows)]
            rows.append([])
            free.append(context)
        rows[fits[0]].append(number)
        free[fits[0]] -= length
    return rows


def packed_row(examples, context):
    """Lay examples one after the other in a row, and padding after them.

    Args:
        examples: A list of pairs of ids and labels (from labelled), which fit into the row.
        context: Tokens of the row, T.

    Returns:
        Three tensors, int64[T]. The ids; of the padding, 0. The targets: the label of the next
        token of the same example; -100 at an example's last token, and in the padding. The
        documents, between which nothing is seen: the number of the example, counted from 0; of the
        padding, -1.
    """
    ids = torch.zeros(context, dtype=torch.long)
    targets = torch.full((context,), -100)
    documents = torch.full((context,), -1)
    at = 0
    for number, (tokens, labels) in enumerate(examples):
        end = at + len(tokens)
        ids[at:end] = torch.tensor(tokens)
        targets[at : end - 1] = torch.tensor(labels[1:])
        documents[at:end] = number
        at = end
    return ids, targets, documents


class LoRA(nn.Module):
    """A linear layer that is frozen, and a change of low rank that learns.

    The layer's output is W x + (alpha / rank) B A x. A, float[rank, D], begins random, with a
    standard deviation of about 1 / sqrt(D); B, float[F, rank], begins at 0: so training starts from
    the layer as it was. A and B have W's dtype.

    Args:
        linear: The layer, an nn.Linear from D to F features. Its parameters do not learn.
        rank: An int.
        alpha: A number.

    Attributes:
        linear: The layer.
        a: The parameter A.
        b: The parameter B.
    """

    def __init__(self, linear, rank, alpha):
        """Keep the layer, frozen, and make A and B; as in every module, super's __init__ first."""
        super().__init__()
        F, D = linear.weight.shape
        self.linear = linear.requires_grad_(False)
        self.scale = alpha / rank
        start = torch.randn(rank, D, dtype=linear.weight.dtype)
        self.a = nn.Parameter(start / math.sqrt(D))
        self.b = nn.Parameter(torch.zeros(F, rank, dtype=linear.weight.dtype))

    def forward(self, x):
        """float[..., D] to float[..., F]."""
        low = x @ self.a.T  # (..., rank)
        return self.linear(x) + self.scale * (low @ self.b.T)  # (..., F)

    def merged(self):
        """One matrix that does what the layer and the change do together, float[F, D]."""
        return self.linear.weight + self.scale * (self.b @ self.a)


def gradient_in_parts(weight, parts):
    """The gradient of a batch's mean loss, from parts of the batch that were computed one by one.

    The mean is over all learned tokens of the batch. Parts may hold unequally many of them, even
    none.

    Args:
        weight: The parameter.
        parts: A list of pairs: the sum of the losses of a part's learned tokens, a tensor of one
            number, computed from weight, and how many tokens they are, an int. No part is
            computed from another's tensors. There is a learned token in one of them at least.

    Returns:
        A tensor of weight's shape. A gradient that weight has already does not count.
    """
    total = torch.zeros_like(weight)
    for loss, _ in parts:
        (gradient,) = torch.autograd.grad(loss, weight)
        total += gradient
    return total / sum(n for _, n in parts)


def longest_first(lengths, context):
    """Put examples into rows, the longest first: each into the first row that has room for it.

    Args:
        lengths: Tokens of each example, a list of int, none above context. Of equally long ones
            any may come first.
        context: Tokens of a row.

    Returns:
        A list of rows; a row is a list of numbers of examples, as they stand in lengths, counted
        from 0.
    """
    rows, free = [], []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        fits = [row for row, room in enumerate(free) if lengths[number] <= room]
        if not fits:
            fits = [len(rows)]
            rows.append([])
            free.append(context)
        rows[fits[0]].append(number)
        free[fits[0]] -= lengths[number]
    return rows
