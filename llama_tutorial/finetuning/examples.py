"""Supervised fine-tuning: from a dialog to tokens, of which the answers alone are learned.

An example is a whole dialog in Llama 2's format: its ids, and for each id a label. The label is the
id itself where the assistant speaks, with the lone space and the EOS behind an answer, and -100
everywhere else. Labels are not shifted: a batch's targets are, once, when it is made.

Source: Touvron et al. (2023), "Llama 2", section 3.1; ids as llama-recipes makes them.

Read next: :mod:`llama_tutorial.finetuning.packing`, where examples become rows, and
:mod:`llama_tutorial.lora.linear`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from llama_tutorial.chat.dialog import Dialog, Encoder, dialog_turns
from llama_tutorial.model import Transformer
from llama_tutorial.training.step import IGNORE


class Example(NamedTuple):
    """A dialog as a model sees it.

    Attributes:
        ids: All tokens.
        labels: The id where it is to be learned, -100 elsewhere. Not shifted.
    """

    ids: list[int]
    labels: list[int]


def encode_example(dialog: Dialog, tokenizer: Encoder) -> Example:
    """The ids of a finished dialog, and the labels of its answers.

    The ids are those of :func:`llama_tutorial.chat.dialog.encode_dialog`, with the last answer and
    its EOS behind them. Every answer has labels, the lone space piece and EOS after it too: the EOS
    is what teaches the model to stop.

    Args:
        dialog: Messages ``{"role": ..., "content": ...}``, the assistant's last.
        tokenizer: The model's own.

    Raises:
        ValueError: A role or its place is wrong, a message holds one of Llama's tags, the last
            message is not the assistant's, or the tokenizer merges a prompt with its answer, so
            that the prompt would not be what the model sees when it is asked.
    """
    turns = dialog_turns(dialog)
    if turns[-1][1] is None:
        raise ValueError(
            f"message {len(dialog) - 1} is by 'user', but the last must be by 'assistant': it is "
            "what the model learns to say"
        )
    ids: list[int] = []
    labels: list[int] = []
    for question, answer in turns:
        prompt = tokenizer.encode(question, bos=True)
        whole = tokenizer.encode(question + answer, bos=True, eos=True)
        n = len(prompt)
        if whole[:n] != prompt:
            raise ValueError(
                f"the tokenizer merges the end of {question[-20:]!r} with the answer after it, so "
                "the prompt's ids are no prefix of the whole; fine-tune with Llama's own tokenizer"
            )
        ids += whole
        labels += [IGNORE] * n + whole[n:]
    return Example(ids, labels)


def with_context(model: Transformer, context: int) -> Transformer:
    """The same weights in a model for another context.

    RoPE has no table of learned positions to outgrow, so that a model can be fine-tuned on more
    tokens than it was pre-trained with. (What it makes of the new distances, it has to learn.)

    Args:
        model: Without adapters. Its tensors are shared, not copied.
        context: The new ``max_seq_len``.

    Raises:
        ValueError: ``context`` is longer than the positions that the model has learned.
    """
    config = model.config
    if context == config.max_seq_len:
        return model
    if config.positions == "learned":
        raise ValueError(
            f"context={context}: the model has learned {config.max_seq_len} positions one by one, "
            "and can have no others"
        )
    with torch.device("meta"):
        other = Transformer(config.replace(max_seq_len=context))
    other.load_state_dict(model.state_dict(), assign=True)
    return other
