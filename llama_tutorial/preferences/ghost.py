"""Ghost attention: an instruction that is said once and kept for the whole dialog.

A chat model forgets what the system text told it after a few turns. To teach it otherwise, dialogs
are sampled with the instruction on *every* turn of the user, so that each answer keeps it. Then the
instruction stays on the first turn alone, and the loss falls on the last answer only: those before
were written by a model that saw more than the learner does.

Source: Touvron et al. (2023), "Llama 2", section 3.3, and figure 9. (There the synthetic system
text joins the user's turn; it is our system message here, which Llama's format puts there.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llama_tutorial.chat.dialog import Dialog
from llama_tutorial.checkpoints.folders import AnyTokenizer
from llama_tutorial.finetuning.evaluation import answer_dialogs
from llama_tutorial.finetuning.examples import Example, encode_example
from llama_tutorial.model import Transformer
from llama_tutorial.preferences.batches import last_answer

Message = dict[str, str]


def on_every_turn(instruction: str, dialog: Dialog) -> list[Message]:
    """The dialog with the instruction before each of the user's messages: what is sampled from.

    Args:
        instruction: The system text.
        dialog: Messages by "user" and "assistant", beginning with "user".

    Raises:
        ValueError: The instruction is empty, or the dialog has a system text already.
    """
    _check(instruction, dialog)
    return [
        {
            "role": message["role"],
            "content": f"{instruction}\n{message['content']}"
            if message["role"] == "user"
            else message["content"],
        }
        for message in dialog
    ]


def on_first_turn(instruction: str, dialog: Dialog) -> list[Message]:
    """The dialog with the instruction as its system text: what is learned from.

    Raises:
        ValueError: As `on_every_turn`.
    """
    _check(instruction, dialog)
    return [{"role": "system", "content": instruction}, *(dict(message) for message in dialog)]


def ghost_example(instruction: str, dialog: Dialog, tokenizer: AnyTokenizer) -> Example:
    """The instruction on the first turn, and labels on the last answer alone.

    Raises:
        ValueError: As `on_every_turn`, or the dialog does not end with an answer.
    """
    return last_answer(encode_example(on_first_turn(instruction, dialog), tokenizer))


def sample_dialog(
    model: Transformer,
    tokenizer: AnyTokenizer,
    questions: Sequence[str],
    instruction: str,
    *,
    everywhere: bool = True,
    max_new_tokens: int = 24,
    **sampling: Any,
) -> list[Message]:
    """A dialog in which the model has answered one question after the other.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        questions: The user's messages.
        instruction: The system text.
        everywhere: Put it on every turn, to make data; or on the first alone, to see how long the
            model keeps it.
        max_new_tokens: Maximal length of an answer.
        sampling: As for :func:`llama_tutorial.generation.generate`; greedy without.

    Returns:
        The dialog without the instruction.

    Raises:
        ValueError: There is no question, or the dialog grows longer than the context.
    """
    if not questions:
        raise ValueError("no question to ask: the list is empty")
    place = on_every_turn if everywhere else on_first_turn
    dialog: list[Message] = []
    for question in questions:
        dialog.append({"role": "user", "content": question})
        (answer,) = answer_dialogs(
            model, tokenizer, [place(instruction, dialog)], max_new_tokens, **sampling
        )
        dialog.append({"role": "assistant", "content": answer.text or "..."})
    return dialog


def turns_kept(dialog: Dialog, keeps: Callable[[str], bool]) -> int:
    """How many of the first answers keep an instruction, up to the first that does not.

    Args:
        dialog: With or without its system text.
        keeps: Whether one answer does.
    """
    answers = [message["content"] for message in dialog if message["role"] == "assistant"]
    return next((n for n, answer in enumerate(answers) if not keeps(answer)), len(answers))


def share_kept(dialogs: Sequence[Dialog], keeps: Callable[[str], bool]) -> list[float]:
    """By turn, the share of dialogs whose answer there keeps the instruction.

    As in table 30 of the paper, which asks after each number of turns. A dialog that has fewer
    turns does not count for the later ones.

    Raises:
        ValueError: There is no answer at all.
    """
    kept: list[list[bool]] = []
    for dialog in dialogs:
        answers = [message["content"] for message in dialog if message["role"] == "assistant"]
        for turn, answer in enumerate(answers):
            if turn == len(kept):
                kept.append([])
            kept[turn].append(keeps(answer))
    if not kept:
        raise ValueError("no answer in any of the dialogs: there is nothing to measure")
    return [sum(turn) / len(turn) for turn in kept]


def _check(instruction: str, dialog: Dialog) -> None:
    if not instruction.strip():
        raise ValueError("instruction='': must say something")
    if dialog and dialog[0]["role"] == "system":
        raise ValueError("message 0 is by 'system': the instruction takes its place; leave it out")
