"""The models that come with the package: what they are, what they hold, and how they tell."""

from __future__ import annotations

import csv
import random
import re
import subprocess
import sys

import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from llama_tutorial import generate, load, load_model, load_tokenizer, stream
from llama_tutorial.figures import recorded
from llama_tutorial.finetuning import with_context
from llama_tutorial.finetuning.evaluation import answer_dialogs, exact_match, questions_about_tales
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tales import consistency, mean_consistency, tales
from llama_tutorial.tales.reading import split_units

FOLDER = SHIPPED["tales"].model.parent
BASES = ("tales", "tales-small")
TALES = 50


@pytest.fixture(scope="module")
def told():
    """Tales of each base at temperature 0.7, by the model's name."""
    texts = {}
    for name in BASES:
        model, tokenizer = load(name, dtype=torch.float32)
        rows = generate(
            model,
            [[tokenizer.bos_id]] * TALES,
            model.config.max_seq_len - 1,
            temperature=0.7,
            top_p=1.0,
            seed=1,
            stop_ids={tokenizer.eos_id},
        )
        texts[name] = [tokenizer.decode(row) for row in rows]
    return texts


# -- what they are ------------------------------------------------------------------------------


def test_everything_together_is_small():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 7_000_000


def test_tales_is_a_llama_of_a_million_with_grouped_heads():
    config = load("tales")[0].config
    assert 1_000_000 <= config.n_params <= 1_500_000
    assert config.n_kv_heads < config.n_heads
    assert (config.norm, config.feed_forward, config.positions) == ("rmsnorm", "swiglu", "rope")


@pytest.mark.parametrize("name", SHIPPED)
def test_they_compute_in_float32_however_they_are_stored(name):
    stored, model = load_model(SHIPPED[name].model), load(name)[0]
    assert stored.dtype == (torch.bfloat16 if name == "tales" else torch.float32)
    assert model.dtype == torch.float32
    for (other, weight), kept in zip(
        model.state_dict().items(), stored.state_dict().values(), strict=True
    ):
        assert torch.equal(weight, kept.float()), other
    assert load(name, dtype="bfloat16")[0].dtype == torch.bfloat16


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"temperature": 0.8, "seed": 3},
        {"temperature": 1.0, "top_k": 20, "seed": 4, "stop_ids": {2, 300, 310}},
    ],
)
def test_a_row_has_no_neighbours(name, settings):
    """Alone, among others, and in batches of any size: the same ids."""
    (model, _), rng = load(name), random.Random(name)
    prompts = [[1, *(rng.randrange(3, 1024) for _ in range(rng.randrange(50)))] for _ in range(16)]
    alone = [generate(model, [prompt], 6, **settings)[0] for prompt in prompts]
    for size in (16, 5):
        batches = [prompts[at : at + size] for at in range(0, 16, size)]
        assert [row for b in batches for row in generate(model, b, 6, **settings)] == alone
    assert [list(stream(model, prompt, 6, **settings)) for prompt in prompts[:3]] == alone[:3]


def test_the_small_one_fits_where_size_counts():
    small = SHIPPED["tales-small"]
    assert small.llama2c.stat().st_size + small.tokenizer.stat().st_size < 300_000


# -- the two forms of one model -----------------------------------------------------------------


def test_the_int8_file_holds_the_same_model():
    """Rounding to int8 moves a weight by half a step of its group at most."""
    whole = load_model(SHIPPED["tales"].model, dtype=torch.float32)
    rounded = load_model(SHIPPED["tales"].llama2c)
    assert rounded.config == whole.config
    for name, weight in whole.state_dict().items():
        other = rounded.state_dict()[name]
        groups = weight.reshape(-1, 64) if weight.ndim == 2 else weight.reshape(-1, 1)
        half_step = groups.abs().amax(1, keepdim=True) / 127 / 2
        bfloat16 = groups.abs() / 256
        wrong = (other.reshape(groups.shape) - groups).abs()
        assert (wrong <= 1.01 * half_step + bfloat16).all(), name


def test_one_tokenizer_serves_all():
    whole, small = (load_tokenizer(SHIPPED[name].tokenizer) for name in ("tales", "tales-small"))
    assert whole.vocab_size == small.vocab_size
    for tale in tales(20, "test"):
        ids = whole.encode(tale.text)
        assert small.encode(tale.text) == ids
        assert whole.decode(ids) == tale.text


# -- how they tell ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "score", "parsed"), [("tales", 0.9, 0.9), ("tales-small", 0.6, 0.6)]
)
def test_tales_keep_their_facts_straight(told, name, score, parsed):
    found = mean_consistency(told[name])
    assert found[0] > score
    assert found[1] > parsed


def test_their_order_matters(told):
    """The same sentences shuffled contradict each other: the score above is no accident."""
    rng = random.Random(0)
    shuffled = []
    for text in told["tales"]:
        parts = [unit.text for unit in split_units(text)]
        rng.shuffle(parts)
        shuffled.append(" ".join(parts))
    assert mean_consistency(shuffled)[0] < 0.5


def test_tales_end(told):
    """They learned EOS: hardly one runs to the end of the context."""
    assert sum(text.rstrip()[-1:] in '.!?"' for text in told["tales"]) >= 0.9 * TALES


def test_tales_are_new(told):
    known = {tale.text for tale in tales(2000)}
    assert not known & set(told["tales"])
    assert len(set(told["tales"])) == TALES


def test_the_command_tells_one_without_any_option():
    command = [sys.executable, "-m", "llama_tutorial", "generate", "--temperature", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    score, parsed = mean_consistency([done.stdout])
    assert score > 0.7
    assert parsed > 0.9


# -- how one answers ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chat():
    return load("tales-chat")


def test_the_chat_model_is_the_base_with_more_room(chat):
    config = chat[0].config
    assert config == load("tales")[0].config.replace(max_seq_len=512)


@pytest.mark.parametrize("how", ["given", "told"])
def test_questions_are_answered_to_the_letter(chat, how):
    """On tales whose combinations of names, things and places it has never met."""
    asked = questions_about_tales(25, "test", how)
    scores = exact_match(asked, answer_dialogs(*chat, [one.dialog for one in asked]))
    assert scores["said"].accuracy > 0.8
    assert scores["not said"].accuracy > 0.8


def test_its_base_answers_nothing(chat):
    asked = questions_about_tales(4, "test")
    base = with_context(load("tales", dtype=torch.float32)[0], 512)
    scores = exact_match(asked, answer_dialogs(base, chat[1], [one.dialog for one in asked]))
    assert scores["all"].right == 0


def test_it_tells_what_it_is_asked_for(chat):
    requests = [f"Tell a story about {name}, a kite and the park." for name in ("Tom", "Mia")]
    dialogs = [[{"role": "user", "content": request}] for request in requests]
    for told, name in zip(answer_dialogs(*chat, dialogs, 220), ("Tom", "Mia"), strict=True):
        assert told.ended
        assert {name, "kite", "park"} <= set(re.findall(r"\w+", told.text))
        assert consistency(told.text).score > 0.6


# -- what is said of them -----------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_the_log_and_the_losses_lie_beside(name):
    with (FOLDER / "training" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["loss"]) for row in rows]
    assert losses[0] > (4 if name in BASES else 1)  # it began with what its base knew
    assert losses[-1] < 1
    assert f"step {rows[-1]['step']}:" in (FOLDER / "training" / f"{name}.log").read_text("utf-8")
    assert (FOLDER / "training" / f"{name}.svg").is_file()
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"{float(rows[-1]['validation_loss']):.3f}" in readme
    assert f"{load(name)[0].config.n_params:,}" in readme


def test_why_the_chat_model_is_the_one_before_preferences():
    record = recorded("told_preferences")
    right = {
        way: [
            record["results"][f"{way}-seed{seed}"]["answering"]["exact_match"]["all"][0]
            for seed in range(3)
        ]
        for way in ("rejection-v1", "rejection-v4", "dpo-truth")
    }
    assert record["results"]["base"]["answering"]["exact_match"]["all"] == [698, 749]
    assert sorted(698 - n for n in right["rejection-v1"]) == [2, 4, 4]
    assert sorted(698 - n for n in right["rejection-v4"]) == [20, 31, 36]
    assert max(abs(698 - n) for n in right["dpo-truth"]) <= 2
    truer = {
        (way, heat): record["compared"][way][heat]["consistency"]
        for way in right
        for heat in ("T=0", "T=0.7")
    }
    best, greedy = truer["rejection-v1", "T=0.7"], truer["dpo-truth", "T=0"]
    assert min(best["interval"][0], greedy["interval"][0]) > 0
    low, high = truer["dpo-truth", "T=0.7"]["interval"]
    assert low < 0 < high
    readme = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    assert f"{100 * best['mean']:.1f} points more of the claims hold at temperature 0.7" in readme
    rounds = truer["rejection-v4", "T=0.7"]
    assert f"After four rounds {100 * rounds['mean']:.1f} points more hold" in readme
    assert f"{100 * greedy['mean']:.1f} points more hold in greedy tales" in readme
