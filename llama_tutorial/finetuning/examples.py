"""Supervised fine-tuning: from a dialog to tokens, of which only the answers are learned.

An example is a whole dialog in Llama 2's format: its ids, and a label for each id. The label is the
id itself where the assistant speaks, including the lone space and the EOS after an answer, and -100
everywhere else. Labels are not shifted here: they are shifted once, when a batch is made.

Source: Touvron et al. (2023), "Llama 2", section 3.1; the ids are those of llama-recipes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from llama_tutorial._util.labels import IGNORE
from llama_tutorial.chat.dialog import Dialog, Encoder, dialog_turns

if TYPE_CHECKING:
    from llama_tutorial.model import Transformer


class Example(NamedTuple):
    """A dialog as tokens with labels.

    Attributes:
        ids: All tokens.
        labels: The id where it is learned, -100 elsewhere. Not shifted.
    """

    ids: list[int]
    labels: list[int]


def encode_example(dialog: Dialog, tokenizer: Encoder) -> Example:
    """The ids of a dialog that ends with an answer, and the labels of its answers.

    The ids are those of :func:`llama_tutorial.chat.dialog.encode_dialog`, followed by the last
    answer and its EOS. Every answer has labels, including the lone space piece and the EOS after
    it: the EOS teaches the model to stop.

    Args:
        dialog: Messages ``{"role": ..., "content": ...}``, the last by the assistant.
        tokenizer: The model's own.

    Raises:
        ValueError: A role or its place is wrong, a message holds one of Llama's tags, the last
            message is not the assistant's, or the tokenizer merges a prompt with its answer, so
            that the prompt is not what the model sees when it is asked.
    """
    ids: list[int] = []
    labels: list[int] = []
    for question, answer in answered_turns(dialog):
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


def answered_turns(dialog: Dialog) -> list[tuple[str, str]]:
    """:func:`llama_tutorial.chat.dialog.dialog_turns` of a dialog that ends with an answer.

    Raises:
        ValueError: As :func:`encode_example`.
    """
    turns = dialog_turns(dialog)
    if turns[-1][1] is None:
        raise ValueError(
            f"message {len(dialog) - 1} is by 'user', but the last must be by 'assistant': it is "
            "what the model learns to say"
        )
    return [(question, answer) for question, answer in turns if answer is not None]


def with_context(model: Transformer, context: int) -> Transformer:
    """The same weights in a model with another context.

    RoPE has no learned table of positions, so a model can be fine-tuned on more tokens than it was
    pre-trained with. (It must learn what to make of the new distances.)

    Args:
        model: A model without adapters. Its tensors are shared, not copied.
        context: The new ``max_seq_len``.

    Raises:
        ValueError: The model has learned positions, and ``context`` is not their number.
    """
    config = model.config
    if context == config.max_seq_len:
        return model
    if config.positions == "learned":
        raise ValueError(
            f"context={context}: the model has learned {config.max_seq_len} positions one by one, "
            "and can have no others"
        )
    from llama_tutorial.checkpoints.weights import empty_model
    from llama_tutorial.quantization.linear import pack_layers

    other, state = empty_model(config.replace(max_seq_len=context)), model.state_dict()
    pack_layers(other, state, "the model")
    other.load_state_dict(state, assign=True)
    return other.train(model.training)
