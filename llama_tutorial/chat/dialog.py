"""Llama 2's dialog format: how a conversation becomes ids.

The -chat weights were fine-tuned on exactly this layout::

    <s>[INST] <<SYS>>
    how to behave
    <</SYS>>

    first question [/INST] its answer </s><s>[INST] second question [/INST]

The details make it work, and are what is most often done wrong:

* ``<s>`` and ``</s>`` are the ids 1 and 2, not text; ``[INST]`` and ``<<SYS>>`` are text, not ids.
* Each question is tokenized together with its answer, between BOS and EOS. A single space stays
  before EOS. No newline separates the turns, though Meta's web page shows one.
* The system text is inside the first question. The two are joined before they are stripped, so
  that only the outer spaces are removed.
* The last question has BOS and no EOS: the model continues it, and ends its answer with EOS itself.

The tags are ordinary text, so anyone who can type them could fake a turn: they are refused inside
messages. Follows ``chat_completion`` in ``llama/generation.py`` of meta-llama/llama, which runs
such a dialog and replaces the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

B_INST, E_INST = "[INST]", "[/INST]"
B_SYS, E_SYS = "<<SYS>>\n", "\n<</SYS>>\n\n"
TAGS = (B_INST, E_INST, B_SYS.strip(), E_SYS.strip())

CHAT_TEMPLATE = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system = "<<SYS>>\\n" + messages[0]["content"] + "\\n<</SYS>>\\n\\n" %}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages %}
    {%- if message["role"] != ["user", "assistant"][loop.index0 % 2] %}
        {{- raise_exception("after an optional system message, user and assistant alternate") }}
    {%- endif %}
    {%- set content = (system or "") + message["content"] if loop.first else message["content"] %}
    {%- if message["role"] == "user" %}
        {{- bos_token + "[INST] " + content.strip() + " [/INST]" }}
    {%- else %}
        {{- " " + content.strip() + " " + eos_token }}
    {%- endif %}
{%- endfor %}"""
"""The same layout for transformers' ``apply_chat_template``, which gives `encode_dialog`'s ids."""

Dialog = Sequence[Mapping[str, Any]]


@runtime_checkable
class Encoder(Protocol):
    """The part of a tokenizer that is needed here."""

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]: ...


def encode_dialog(dialog: Dialog, tokenizer: Encoder) -> list[int]:
    """The ids of a dialog that the model will answer, exactly Meta's.

    Args:
        dialog: Messages ``{"role": ..., "content": ...}``: optionally one by "system", then
            alternately "user" and "assistant", "user" last.
        tokenizer: Llama 2's, of either class.

    Raises:
        ValueError: A role or its place is wrong, or a message holds one of Llama's tags; the error
            names the message and the rule.
    """
    turns = dialog_turns(dialog)
    if turns[-1][1] is not None:
        raise ValueError(
            f"message {len(dialog) - 1} is by 'assistant', but the last must be by 'user': "
            "it is what the model answers"
        )
    ids: list[int] = []
    for question, answer in turns:
        ids += tokenizer.encode(question + (answer or ""), bos=True, eos=answer is not None)
    return ids


def dialog_turns(dialog: Dialog) -> list[tuple[str, str | None]]:
    """The text of each turn: the question in its tags, and the answer that follows it.

    Joined, the two are the text between one BOS and its EOS. The answer begins and ends with a
    space; it is None for a last question without an answer.

    Raises:
        ValueError: As :func:`encode_dialog`, but the last message may be by the assistant.
    """
    contents = _folded_contents(dialog)
    turns: list[tuple[str, str | None]] = []
    for i in range(0, len(contents), 2):
        answer = f" {contents[i + 1].strip()} " if i + 1 < len(contents) else None
        turns.append((f"{B_INST} {contents[i].strip()} {E_INST}", answer))
    return turns


def _folded_contents(dialog: Dialog) -> list[str]:
    """Check every message; return the contents, with a system text inside the first question."""
    if not dialog:
        raise ValueError("the dialog is empty: it needs at least one message by 'user'")
    system = _role(dialog, 0) == "system"
    if system and len(dialog) == 1:
        raise ValueError("message 0 is by 'system' and nothing follows: a 'user' message must")
    for i in range(system, len(dialog)):
        expected = ("user", "assistant")[(i - system) % 2]
        if _role(dialog, i) != expected:
            raise ValueError(
                f"message {i} is by {_role(dialog, i)!r}, but must be by {expected!r}: an optional "
                "'system' first, then alternately 'user' and 'assistant'"
            )
    contents = [_content(message, i) for i, message in enumerate(dialog)]
    if system:
        contents[:2] = [B_SYS + contents[0] + E_SYS + contents[1]]
    return contents


def _role(dialog: Dialog, i: int) -> str:
    message = dialog[i] if isinstance(dialog, Sequence) else None
    if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
        raise ValueError(
            f"message {i} is {message!r}: a dialog is a list of messages, each a dict with 'role' "
            "and 'content'"
        )
    return message["role"]


def _content(message: Mapping[str, Any], i: int) -> str:
    content = message["content"]
    if not isinstance(content, str):
        raise ValueError(f"message {i} has content {content!r}: it must be a str")
    for tag in TAGS:
        if tag in content:
            raise ValueError(
                f"message {i} holds {tag!r}, one of Llama 2's tags ({', '.join(TAGS)}): it could "
                "fake a turn; take it out"
            )
    return content
