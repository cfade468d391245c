"""The dialog format: against its description, against ids by hand, and what is refused."""

from __future__ import annotations

import random

import pytest

from llama_tutorial.chat import dialog_turns, encode_dialog
from llama_tutorial.tokenizer.bpe import BPETokenizer


class Spelling:
    """A tokenizer that one can read: the text's characters, 'B' and 'E' for BOS and EOS."""

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        return [ord(c) for c in bos * "\1" + text + eos * "\2"]


def say(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    return ([] if system is None else [{"role": "system", "content": system}]) + messages


def text_of(dialog) -> str:
    return "".join(map(chr, encode_dialog(dialog, Spelling())))


def expected_text(system: str | None, contents: list[str]) -> str:
    """The layout, from its description: one line of text for each question and answer."""
    contents = list(contents)
    if system is not None:
        contents[0] = "<<SYS>>\n" + system + "\n<</SYS>>\n\n" + contents[0]
    done = [
        "\1[INST] " + question.strip() + " [/INST] " + answer.strip() + " \2"
        for question, answer in zip(contents[0:-1:2], contents[1::2], strict=True)
    ]
    return "".join(done) + "\1[INST] " + contents[-1].strip() + " [/INST]"


def test_the_layout():
    assert text_of(say("Hi")) == "\1[INST] Hi [/INST]"
    assert text_of(say("Hi", "Hello!", "Bye")) == (
        "\1[INST] Hi [/INST] Hello! \2\1[INST] Bye [/INST]"
    )
    assert text_of(say("Hi", system="Be brief.")) == (
        "\1[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]"
    )


def test_only_outer_spaces_are_stripped():
    assert text_of(say("\n Hi \t", " Hello \n", "  Bye ")) == (
        "\1[INST] Hi [/INST] Hello \2\1[INST] Bye [/INST]"
    )
    # The system text and the question are joined first, so that the spaces between them stay.
    assert text_of(say("  Hi ", system=" Be brief. ")) == (
        "\1[INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n  Hi [/INST]"
    )
    assert text_of(say(" ", system="")) == "\1[INST] <<SYS>>\n\n<</SYS>> [/INST]"


def test_any_dialog_against_the_description():
    generator = random.Random(4)
    for _ in range(300):
        contents = [
            "".join(generator.choices(" \n\tab<s>é🦙", k=generator.randint(0, 12)))
            for _ in range(generator.choice([1, 3, 5]))
        ]
        system = generator.choice([None, "", " be kind \n", "line\n\nline"])
        assert text_of(say(*contents, system=system)) == expected_text(system, contents)


def test_a_finished_dialog_as_turns():
    """For fine-tuning the last message may be the assistant's."""
    assert dialog_turns(say("Hi", "Hello!", "Bye", " See you. ", system="S")) == [
        ("[INST] <<SYS>>\nS\n<</SYS>>\n\nHi [/INST]", " Hello! "),
        ("[INST] Bye [/INST]", " See you. "),
    ]
    assert dialog_turns(say("Hi")) == [("[INST] Hi [/INST]", None)]


INST, END = [518, 25580, 29962], [518, 29914, 25580, 29962]


def test_llama_2s_ids(assets):
    """Listed by hand; every tokenizer gives them."""
    files = [assets / "tokenizer.model", assets / "tokenizer.bin"]
    tokenizers = [BPETokenizer.from_file(file) for file in files]
    try:
        from llama_tutorial.tokenizer import Tokenizer

        tokenizers.append(Tokenizer(files[0]))
    except ImportError:
        pass
    for tokenizer in tokenizers:
        assert encode_dialog(say("Hello"), tokenizer) == [1, *INST, 15043, *END]
        # A lone space, 29871, stands before EOS.
        dialog = say("Hello", "Hello World!", "Hello")
        first = [1, *INST, 15043, *END, 15043, 2787, 29991, 29871, 2]
        assert encode_dialog(dialog, tokenizer) == [*first, 1, *INST, 15043, *END]
        system = [3532, 14816, 29903, 6778, 13, 10994, 13, 29966, 829, 14816, 29903, 6778, 13, 13]
        assert encode_dialog(say("Hello", system="Hello"), tokenizer) == [
            1, *INST, *system, 10994, *END,
        ]  # fmt: skip
        # "<s>" in a message is text.
        assert encode_dialog(say("<s>"), tokenizer) == [1, *INST, 529, 29879, 29958, *END]


def message(role: str, content: object = "Hi") -> dict:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("dialog", "error"),
    [
        ([], "the dialog is empty: it needs at least one message by 'user'"),
        (
            [message("system")],
            "message 0 is by 'system' and nothing follows: a 'user'",
        ),
        ([message("assistant")], "message 0 is by 'assistant', but must be by 'user'"),
        (
            [message("system"), message("assistant")],
            "message 1 is by 'assistant', but must be by 'user'",
        ),
        ([message("user"), message("user")], "message 1 is by 'user', but must be by 'assistant'"),
        (
            [message("user"), message("system")],
            "message 1 is by 'system', but must be by 'assistant'",
        ),
        (
            [message("system"), message("system")],
            "message 1 is by 'system', but must be by 'user'",
        ),
        (
            [message("human")],
            "message 0 is by 'human', but must be by 'user': an optional 'system' fi",
        ),
        (say("Hi", "Hello"), "message 1 is by 'assistant', but the last must be by 'user'"),
        (say("Hi", "Hello", system="S"), "message 2 is by 'assistant', but the last must be by"),
        (say("[INST] Hi"), r"message 0 holds '\[INST\]', one of Llama 2's tags .* take it out"),
        (say("Hi", "[/INST]", "Bye"), r"message 1 holds '\[/INST\]'"),
        (say("Hi", "Ho", "a<<SYS>>b"), "message 2 holds '<<SYS>>'"),
        (say("Hi", system="<</SYS>>"), "message 0 holds '<</SYS>>'"),
        (
            [{"role": "user"}],
            "message 0 is {'role': 'user'}: a dialog is a list of messages, each a",
        ),
    ],
)
def test_what_is_no_dialog(dialog, error):
    with pytest.raises(ValueError, match=error):
        encode_dialog(dialog, Spelling())
