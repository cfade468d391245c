"""The tokenizer chapter's figures in a browser: every id is the package's, whatever is typed."""

from __future__ import annotations

import random
from importlib.resources import files

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import said

from llama_tutorial import BPETokenizer
from llama_tutorial.figures.tokenizer import live

DATA = files("llama_tutorial") / "data"
PRINTER = (DATA / "printer.txt").read_text(encoding="utf-8")
LETTERS = (DATA / "letters.txt").read_text(encoding="utf-8")


def _texts() -> list[str]:
    """Slices of the texts, unkind ones, and any code points that a text field can hold."""
    rng = random.Random(7)
    texts = ["", " ", "  ", "▁", "▁▁ ▁", "aaaaaaa", "<s></s><unk><0x0A>", "18900", "e\u0301é"]
    for source in (PRINTER, LETTERS):
        for _ in range(150):
            start = rng.randrange(len(source))
            texts.append(source[start : start + rng.randrange(1, 40)].replace("\n", " "))
    for _ in range(150):
        codes = (rng.randrange(0x20, 0x110000) for _ in range(8))
        texts.append("".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000))
    return [text for text in texts if len(text.encode("utf-16-le")) // 2 <= live.MAX_LENGTH]


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train([PRINTER] * 20 + [LETTERS], 2000)


def test_ids_of_many_texts_are_the_packages(show, tokenizer):
    figure = show(live.merges(tokenizer, "x"))
    texts = _texts()
    assert len(texts) > 400
    numbers_of = said(figure, [{"text": text} for text in texts])
    for text, numbers in zip(texts, numbers_of, strict=True):
        assert numbers["ids"] == tokenizer.encode(text), text


def test_every_step_is_pythons(show, tokenizer):
    computed = live.merges(tokenizer, "x")
    figure = show(computed)
    settings = [{"text": text, "step": step} for text in _texts()[::9] for step in (0, 1, 3, 8, 61)]
    for values, numbers in zip(settings, said(figure, settings), strict=True):
        assert numbers == computed.numbers(**values), values


def test_boxes_are_the_pieces_and_their_ids(show, tokenizer):
    figure = show(live.merges(tokenizer, "x"))
    said(figure, [{"text": "the lamplight 🦙", "step": 61}])
    boxes = figure.locator(".lt-piece")
    assert boxes.locator("bdi").all_text_contents() == tokenizer.pieces("the lamplight 🦙")
    ids = [int(text) for text in boxes.locator("small").all_text_contents()]
    assert ids == tokenizer.encode("the lamplight 🦙")
    assert figure.locator(".lt-piece.lt-byte").count() == 4


def test_the_marked_pair_is_the_one_that_merges(show, tokenizer):
    figure = show(live.merges(tokenizer, "lantern"))
    on = figure.get_by_role("button", name="merges done: on")
    merges = len(tokenizer.merge_steps("lantern")) - 1
    for _ in range(merges):
        marked = figure.locator(".lt-next bdi").all_text_contents()
        before = figure.locator(".lt-piece bdi").all_text_contents()
        on.click()
        after = figure.locator(".lt-piece bdi").all_text_contents()
        at = next(i for i, piece in enumerate(after) if piece != before[i])
        assert before[at : at + 2] == marked
        assert after[at] == "".join(marked)
    assert figure.locator(".lt-next").count() == 0


def test_touching_the_marked_pair_merges_it(show, tokenizer):
    figure = show(live.merges(tokenizer, "the", step=1))
    assert said(figure, [{}])[0]["step"] == 1
    for _ in range(len(tokenizer.merge_steps("the")) - 2):
        figure.locator(".lt-next").first.click()
    assert figure.locator(".lt-piece bdi").all_text_contents() == tokenizer.pieces("the")
    assert ": 1 piece;" in figure.locator(".lt-readout").inner_text()


def test_half_a_character_does_no_harm(show, tokenizer):
    computed = live.merges(tokenizer, "x")
    figure = show(computed)
    numbers = figure.evaluate(
        "figure => { const i = figure.querySelector('[data-name=text]'); i.value = 'a\\ud83e';"
        " i.dispatchEvent(new Event('input')); return figure.numbers; }"
    )
    assert numbers["ids"] == tokenizer.encode(live.well_formed("a\ud83e"))


def test_growth_is_pythons(show, tokenizer):
    computed = live.growth(tokenizer, "x")
    figure = show(computed)
    stops = computed.data["stops"]
    settings = [{"text": text, "merges": stops[i % len(stops)]} for i, text in enumerate(_texts())]
    for values, numbers in zip(settings, said(figure, settings), strict=True):
        assert numbers == computed.numbers(**values), values
