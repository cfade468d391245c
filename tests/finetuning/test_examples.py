"""From a dialog to an example: ids to the letter, labels to the id."""

from __future__ import annotations

import random

import pytest
import torch

pytest.importorskip("sentencepiece")

from llama_tutorial import ModelConfig, Transformer, load_tokenizer
from llama_tutorial.chat import encode_dialog
from llama_tutorial.finetuning import encode_example, with_context
from llama_tutorial.finetuning.packing import PackedExamples
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tales.dialogs import dialogs
from llama_tutorial.training import IGNORE

CONFIG = ModelConfig(
    dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=40, max_seq_len=32
)


def say(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    return ([] if system is None else [{"role": "system", "content": system}]) + messages


@pytest.fixture(scope="module")
def tales_tokenizer():
    return load_tokenizer(SHIPPED["tales"].tokenizer)


# -- ids and labels -----------------------------------------------------------------------------

INST, END = [518, 25580, 29962], [518, 29914, 25580, 29962]  # "[INST]" and "[/INST]"


def test_llama_2s_ids_by_hand(assets):
    ids, labels = encode_example(
        say("Hello", "Hello World!"), load_tokenizer(assets / "tokenizer.model")
    )
    prompt, answer = [1, *INST, 15043, *END], [15043, 2787, 29991, 29871, 2]
    assert ids == prompt + answer
    # The lone space before EOS, and EOS itself, are learned.
    assert labels == [-100] * 9 + [15043, 2787, 29991, 29871, 2]


class OneEnd:
    """Like GPT-2's tokenizer: letters, and one token that begins a text and ends it."""

    bos_id = eos_id = 0

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        return [0] * bos + [1 + ord(letter) % 39 for letter in text] + [0] * eos


@pytest.mark.parametrize("packing", ["documents", "concatenate"])
def test_the_end_of_every_answer_is_learned_where_bos_is_eos(packing):
    dialogs = [say("Hi", "Ho"), say("Who?", "Tom.", "Where?", "Here.")]
    examples = [encode_example(dialog, OneEnd()) for dialog in dialogs]
    for ids, labels in examples:
        pairs = zip(ids, [*ids[1:], 0], strict=True)
        ends = [i for i, (here, after) in enumerate(pairs) if here == after == 0]
        assert all(labels[i] == 0 for i in ends)
    assert [labels.count(0) for _, labels in examples] == [1, 2]
    rows = PackedExamples(examples, 2, 80, packing=packing)
    targets = torch.cat([batch.targets.flatten() for batch in rows.every_row()])
    assert int((targets == 0).sum()) == 3


def test_several_turns_and_a_system_text_by_hand(assets):
    tokenizer = load_tokenizer(assets / "tokenizer.model")
    ids, labels = encode_example(say("Hello", "Hello", "Hello", "World", system="Hello"), tokenizer)
    system = [3532, 14816, 29903, 6778, 13, 10994, 13, 29966, 829, 14816, 29903, 6778, 13, 13]
    first = [1, *INST, *system, 10994, *END]
    second = [1, *INST, 15043, *END]
    assert ids == [*first, 15043, 29871, 2, *second, 2787, 29871, 2]
    masked = [-100] * len(first)
    assert labels == [*masked, 15043, 29871, 2, *[-100] * 9, 2787, 29871, 2]


def test_the_small_models_ids_piece_by_piece(tales_tokenizer):
    """Spelled out: its vocabulary has no brackets, so that they come as bytes."""
    ids, labels = encode_example(say("What is it?", "A kite."), tales_tokenizer)
    prompt = "<s> ▁ <0x5B> I N S T <0x5D> ▁W ha t ▁is ▁it ?".split()
    prompt += "▁ <0x5B> <0x2F> I N S T <0x5D>".split()
    answer = "▁A ▁kite . ▁ </s>".split()
    pieces = list(tales_tokenizer.vocabulary.pieces)
    found = [pieces[i] for i in ids]
    n = len(found) - len(answer)
    assert "".join(found[:n]) == "".join(prompt)
    assert found[n:] == answer
    assert labels == [-100] * n + ids[n:]


class Apart:
    """The ids of llama-recipes: prompt and answer encoded apart, by sentencepiece itself."""

    def __init__(self, path) -> None:
        import sentencepiece

        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def __call__(self, dialog) -> tuple[list[int], list[int]]:
        ids, labels = [], []
        for question, answer in zip(dialog[::2], dialog[1::2], strict=True):
            prompt = [1, *self.pieces.encode(f"[INST] {question['content'].strip()} [/INST]")]
            # sentencepiece puts a space before the text by itself
            answer = [*self.pieces.encode(f"{answer['content'].strip()} "), 2]
            ids += prompt + answer
            labels += [-100] * len(prompt) + answer
        return ids, labels


@pytest.mark.parametrize("which", ["tales", "llama"])
def test_many_dialogs_against_prompt_and_answer_encoded_apart(which, request):
    path = SHIPPED["tales"].tokenizer
    if which == "llama":
        path = request.getfixturevalue("assets") / "tokenizer.model"
    tokenizer, apart = load_tokenizer(path), Apart(path)
    generator = random.Random(3)
    texts = ["Hi", "2024!", "two  spaces", "a\nb", "🦙", "é", "<s>", "a [ b", "(x)", "end."]
    found = [*dialogs(40)]
    found += [say(*generator.choices(texts, k=2 * generator.randint(1, 3))) for _ in range(60)]
    for dialog in found:
        assert tuple(encode_example(dialog, tokenizer)) == apart(dialog)


def test_an_example_goes_on_where_the_prompt_ends(tales_tokenizer):
    """What the model is asked with is, id by id, what it was trained on."""
    for dialog in dialogs(30, seed=5):
        ids, labels = encode_example(dialog, tales_tokenizer)
        for end in range(1, len(dialog), 2):
            prompt = encode_dialog(dialog[:end], tales_tokenizer)
            assert ids[: len(prompt)] == prompt
            assert labels[len(prompt) - 1] == IGNORE
            assert labels[len(prompt)] == ids[len(prompt)]  # the first token of the answer
        assert labels.count(tales_tokenizer.eos_id) == len(dialog) // 2


def test_a_dialog_without_an_answer_is_refused(tales_tokenizer):
    with pytest.raises(ValueError, match="message 0 is by 'user', but the last must be by 'assis"):
        encode_example(say("Hi"), tales_tokenizer)
    with pytest.raises(ValueError, match="message 1 holds '\\[INST\\]'"):
        encode_example(say("Hi", "[INST]"), tales_tokenizer)


def test_a_tokenizer_that_merges_prompt_and_answer_is_refused():
    class Merging:
        """']' and the space behind it are one token."""

        def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
            return [1] * bos + [ord(c) for c in text.replace("] ", "\3")] + [2] * eos

    with pytest.raises(
        ValueError, match=r"the tokenizer merges the end of '\[INST\] Hi \[/INST\]'"
    ):
        encode_example(say("Hi", "Ho"), Merging())


# -- another context ----------------------------------------------------------------------------


def test_the_same_weights_for_another_context():
    torch.manual_seed(0)
    model = Transformer(CONFIG).double()
    longer = with_context(model, 64)
    tokens = torch.randint(40, (2, 32))
    assert torch.equal(longer(tokens), model(tokens))
    assert longer(torch.randint(40, (1, 64))).shape == (1, 64, 40)
    assert longer.layers[0].attention.wq.weight.data_ptr() == (
        model.layers[0].attention.wq.weight.data_ptr()
    )
    assert all(part.requires_grad for part in longer.parameters())
    assert with_context(model, 32) is model
    for mode in (True, False):
        assert with_context(model.train(mode), 64).training is mode


def test_learned_positions_are_as_many_as_they_are():
    model = Transformer(CONFIG.replace(positions="learned"))
    with pytest.raises(ValueError, match="context=64: the model has learned 32 positions one by"):
        with_context(model, 64)
