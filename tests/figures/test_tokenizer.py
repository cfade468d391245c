"""The tokenizer chapter's figures and texts: what they show is what the package computes."""

from __future__ import annotations

import itertools
import re
import unicodedata
from importlib.resources import files

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sentencepiece")

from live_figures import check_page

from llama_tutorial import PRESETS, BPETokenizer, Tokenizer
from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.tokenizer import live, plots, tables
from llama_tutorial.tokenizer.base import check_text

DATA = files("llama_tutorial") / "data"
PRINTER = (DATA / "printer.txt").read_text(encoding="utf-8")
LETTERS = (DATA / "letters.txt").read_text(encoding="utf-8")
TEXTS = ["", " ", "a", "the lamplight 🦙", "stop.  The", "aaaaaa", "18900", "<s> <0x0A>", "▁ ▁▁"]
TEXTS += ["Дмитрий", "𠮷野", "a\nb", "\0", "e\u0301", "👩‍🚀", *LETTERS.split("\n")[:20]]


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train([PRINTER] * 20 + [LETTERS], 2000)


# The texts


def test_story_is_plain_and_its_last_section_can_be_set_apart():
    assert PRINTER.isascii()
    assert PRINTER.count("\nThe visitors' book\n\n") == 1
    assert "\t" not in PRINTER


def test_letters_are_a_name_and_a_text_each_in_many_scripts():
    lines = LETTERS.strip().split("\n")
    names = [line.split(": ", 1)[0] for line in lines]
    assert len(set(names)) == len(lines) > 60
    scripts = {unicodedata.name(c).split()[0] for c in LETTERS if c.isalpha()}
    assert len(scripts) > 30
    assert all(
        unicodedata.category(c) not in ("Cc", "Cs", "Co", "Cn") for c in LETTERS if c != "\n"
    )
    assert any(ord(c) > 0xFFFF for c in LETTERS)


@pytest.mark.parametrize("text", [PRINTER, LETTERS])
def test_no_line_is_left_out_by_sentencepiece(text):
    # Its trainer drops lines over 4,192 bytes, and those with its own marks, without a word.
    assert max(len(line.encode()) for line in text.split("\n")) < 4192
    assert not set("▁▅") & set(text)


# What was recorded of the real two


def test_recorded_counts_are_of_the_texts_that_stand_beside_them():
    results = recorded("token_counts")
    rows = [*results["sentences"], *results["others"]]
    assert len(rows) == 11
    for row in rows:
        assert row["characters"] == len(row["text"])
        assert row["bytes"] == len(row["text"].encode())
        # A token of GPT-2's is at least a byte, and Llama 2's add one space at most.
        assert 0 < row["gpt2"] <= row["bytes"]
        assert 0 < row["llama2"] <= row["bytes"] + 1
    page = PRINTER.strip().split("\nThe visitors' book\n\n")[1]
    assert results["page"]["characters"] == len(page)


def test_recorded_pieces_spell_their_words():
    for row in recorded("token_counts")["words"]:
        for model, text in (("gpt2", row["text"]), ("llama2", " " + row["text"])):
            raw = b""
            for piece in row[model]:
                found = re.findall(r"<0x(..)>", piece)
                raw += bytes.fromhex("".join(found)) if found else piece.encode()
            assert raw.decode().replace("▁", " ") == text


def test_recorded_counts_are_llama_2s(assets):
    llama2, results = Tokenizer(assets / "tokenizer.model"), recorded("token_counts")
    for row in [*results["sentences"], *results["others"]]:
        assert len(llama2.encode(row["text"])) == row["llama2"]
    for row in results["words"]:
        assert llama2.pieces(row["text"]) == row["llama2"]
    single = {piece for piece in llama2.vocabulary.pieces[259:] if len(piece) == 1}
    assert len(single) == results["single"] == plots._ROWS["Llama 2"][-1][1]
    amharic = [chr(code) for code in range(0x1200, 0x1380) if chr(code).isalpha()]
    assert results["blocks"]["Ethiopic"]["pieces"] == 0 == len(single & set(amharic))


def test_rows_of_the_picture_are_those_of_the_models():
    for name, preset in (("GPT-2", "gpt2"), ("Llama 2", "llama-2-7b")):
        assert sum(size for _, size, _ in plots._ROWS[name]) == PRESETS[preset].vocab_size


def test_bars_are_the_recorded_counts():
    results = recorded("token_counts")
    axes = plots.real_counts().axes[0]
    for bars, model in zip(axes.containers, ("gpt2", "llama2"), strict=True):
        counts = [row[model] for row in [*results["sentences"], *results["others"]]]
        assert [bar.get_width() for bar in bars] == counts


# Tables


def test_code_points_are_in_bits():
    rows = tables.code_points("e𠮷").rows
    assert rows[0] == ["e", "U+0065", "01100101"]
    bits = rows[1][2].split()
    assert bytes(int(byte, 2) for byte in bits) == "𠮷".encode()
    assert len(bits) == 4


def test_each_merge_by_hand_saves_its_count():
    counts = {"low": 3, " low": 2, " slow": 1}
    table = tables.merges_by_hand(counts, ["lo", "low", " low"], [" low"])
    assert "22 symbols at first" in table.caption
    assert table.rows == [
        ["lo", 6, 16, "▁\u202flo\u202fw"],
        ["low", 6, 10, "▁\u202flow"],
        ["▁low", 2, 8, "▁low"],
    ]
    with pytest.raises(ValueError, match="join of no two neighbours at step 0"):
        tables.merges_by_hand(counts, ["low"], [])


def test_every_bug_is_switched_on(tokenizer, coverage):
    rows = tables.bugs(tokenizer, coverage["most"][0]).rows
    assert len(rows) == 7
    assert all(right != wrong for _, right, wrong in rows)
    by_bug = {row[0]: row for row in rows}
    assert by_bug['piece.strip("<s>")'][2] == "She sell shell"
    whole = BPETokenizer.of_characters("She sells shells.  Maud 🦙 ship T")
    with pytest.raises(KeyError):
        tables.bugs(whole, whole)


def test_a_real_word_that_was_not_recorded_is_refused():
    assert tables.real_pieces(["ship"]).rows == [["ship", "ship", "▁ship"]]
    with pytest.raises(KeyError):
        tables.real_pieces(["never recorded"])


def test_rows_of_models_are_the_packages_arithmetic():
    names = ("stories260K", "llama-2-7b")
    table = tables.rows_of_models({name: PRESETS[name] for name in names}, 50_257)
    for name, row in zip(names, table.rows, strict=True):
        config = PRESETS[name]
        assert row[4] == config.replace(vocab_size=50_257).n_params - config.n_params
        assert row[2] * (50_257 - row[1]) == row[4] * row[1]


# What is typed


def test_one_piece_is_not_one_pieces():
    assert [live.pieces_of(n) for n in (0, 1, 2)] == ["0 pieces", "1 piece", "2 pieces"]


def test_half_a_character_becomes_a_mark():
    assert live.well_formed("a\ud83e") == "a\N{REPLACEMENT CHARACTER}"
    assert live.well_formed("🦙 é") == "🦙 é"
    for text in TEXTS:
        assert live.well_formed(text) == text


# Merges step by step


def test_merges_end_in_the_tokenizers_ids(tokenizer):
    figure = live.merges(tokenizer, "x")
    for text in TEXTS:
        numbers = figure.numbers(text, 99)
        assert numbers["ids"] == tokenizer.encode(text), text
        assert numbers["count"] == len(numbers["ids"])
        assert numbers["step"] == numbers["steps"]
        assert "next," not in numbers["next"]


def test_each_step_merges_the_best_pair(tokenizer):
    vocabulary = tokenizer.vocabulary
    scores = dict(zip(vocabulary.pieces[259:], vocabulary.scores[259:], strict=True))
    figure = live.merges(tokenizer, "x")
    for text in TEXTS:
        states = tokenizer.merge_steps(text)
        for step, (before, after) in enumerate(itertools.pairwise(states)):
            numbers = figure.numbers(text, step)
            joins = [a + b for a, b in itertools.pairwise(before) if a + b in scores]
            best = max(joins, key=scores.__getitem__)
            assert numbers["count"] == len(before) == len(after) + 1
            assert f"make {best}, score" in numbers["next"]
            assert numbers["waiting"][0].startswith(best)
            assert len(numbers["waiting"]) == min(4, len(set(joins)))


def test_the_last_step_turns_what_has_no_piece_into_bytes(tokenizer):
    figure = live.merges(tokenizer, "x")
    assert figure.numbers("🦙", 0)["steps"] == 1
    assert figure.numbers("🦙", 0)["next"] == "next, the characters without a piece become bytes"
    assert figure.numbers("🦙", 1)["count"] == 1 + 4  # the space and four bytes
    assert figure.numbers("e", 0)["steps"] == len(tokenizer.merge_steps("e")) - 1


def test_scores_reach_the_page_unrounded(tokenizer):
    data = live.merges(tokenizer, "x").data
    assert data["pieces"] == list(tokenizer.vocabulary.pieces[259:])
    assert data["scores"] == list(tokenizer.vocabulary.scores[259:])
    assert data["first"] == 259


# From characters to words


def test_growth_goes_from_characters_to_the_tokenizers_pieces(tokenizer):
    figure = live.growth(tokenizer, "x")
    stops = figure.data["stops"]
    for text in TEXTS:
        lengths = figure.numbers(text, 0)["lengths"]
        assert lengths[0] == figure.numbers(text, 0)["count"] == len(text) + bool(text)
        assert lengths == sorted(lengths, reverse=True)
        assert figure.numbers(text, stops[-1])["count"] == lengths[-1]
    whole = len(tokenizer.merge_steps("the harbour of the story")[-1])
    assert whole == figure.numbers("the harbour of the story", stops[-1])["count"]


def test_a_beginning_of_the_merges_is_a_smaller_vocabulary():
    story = re.sub(" +", " ", PRINTER)  # pieces of spaces are learned early and merged last
    large = BPETokenizer.train(story, 1500, character_coverage=1.0)
    characters = sum(len(piece) == 1 for piece in large.vocabulary.pieces)
    small = BPETokenizer.train(story, 259 + characters + 200, character_coverage=1.0)
    figure = live.growth(large, "x")
    for line in story.split("\n")[:30]:
        if line:
            count = figure.numbers(line, 200)["count"]
            assert count == len(small.merge_steps(line)[-1])


# Coverage


@pytest.fixture(scope="module")
def coverage() -> dict[str, tuple[Tokenizer, Tokenizer]]:
    def two(share: float) -> tuple[Tokenizer, Tokenizer]:
        settings = {"vocab_size": 1100, "character_coverage": share}
        without = Tokenizer.train([PRINTER, LETTERS], byte_fallback=False, **settings)
        return without, Tokenizer.train([PRINTER, LETTERS], **settings)

    return {"all": two(1.0), "most": two(0.99)}


def test_coverage_shows_what_sentencepiece_did(coverage):
    samples = {"goose": "a goose 🪿", "llama": "🦙", "plain": "the harbour"}
    figure = live.coverage(coverage, samples)
    for name, pair in coverage.items():
        for fallback, (sample, text) in itertools.product((False, True), samples.items()):
            ids = pair[fallback].encode(text)
            numbers = figure.numbers(name, fallback, sample)
            assert numbers["count"] == len(ids)
            assert numbers["unknown"] == ids.count(0)
            assert numbers["bytes"] == (sum(3 <= i < 259 for i in ids) if fallback else 0)
            whole = pair[fallback].decode(ids) == check_text(text)
            assert numbers["verdict"].endswith("comes back whole" if whole else "not come back")
    verdicts = [figure.numbers("all", on, "goose")["verdict"] for on in (False, True)]
    assert verdicts == ["the text does not come back", "the text comes back whole"]


def test_more_coverage_means_more_rows_for_characters(coverage):
    figure = live.coverage(coverage, {"a": "a", "b": "b"})
    rows = [figure.numbers(name, True, "a")["rows"] for name in ("all", "most")]
    assert rows[0] == len(set(PRINTER + LETTERS) - {"\n"}) > rows[1]  # "▁" for the space


# As the page has them


def test_page_has_the_numbers_to_compare_and_says_them(tokenizer, coverage):
    check_page(live.merges(tokenizer, "lantern", checked=["", "🦙"]), n_checks=5)
    check_page(live.growth(tokenizer, "the"), n_checks=3)
    check_page(live.coverage(coverage, {"goose": "a 🪿", "a": "a"}), n_checks=4)


# What the chapter says of others


def test_hugging_faces_tokenizer_takes_typed_control_tokens(tokenizer):
    transformers = pytest.importorskip("transformers")
    pieces = ["<unk>", "<s>", "</s>", "▁", "<", "s", ">", *"abc"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    theirs = transformers.LlamaTokenizer(vocab=vocabulary, merges=[])
    assert 1 in theirs.encode("a<s>b", add_special_tokens=False)
    assert 1 not in tokenizer.encode("a<s>b")
