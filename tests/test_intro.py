"""The first page has no cells, so what it says is checked here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llama_tutorial import PRESETS

BOOK = Path(__file__).parent.parent / "book"
INTRO = (BOOK / "intro.md").read_text(encoding="utf-8")
SIZES = "dim n_layers n_heads n_kv_heads hidden_dim vocab_size max_seq_len norm_eps".split()


def test_its_code_leads_from_gpt2_to_llama_2():
    (code,) = re.findall(r"```python\n(.*?)```", INTRO, re.DOTALL)
    names = {}
    exec(code, names)
    llama = PRESETS["llama-2-7b"]
    assert names["step"].replace(**{size: getattr(llama, size) for size in SIZES}) == llama


def test_its_vocabularies_are_those_of_the_models():
    assert f"{PRESETS['gpt2'].vocab_size:,} of them" in INTRO
    assert f"{PRESETS['llama-2-7b'].vocab_size:,} pieces" in INTRO
    assert PRESETS["llama-2-7b"].vocab_size < PRESETS["gpt2"].vocab_size  # "fewer rows"


def test_groups_are_for_the_large_models_only():
    grouped = [n for n, c in PRESETS.items() if n.startswith("llama-2") and c.group_size > 1]
    assert grouped == ["llama-2-34b", "llama-2-70b"]


# The map


def the_map():
    """The stations in order: the file that a name leads to, if any, and the numbers beside it."""
    part = re.search(r":::::\{div\} lt-journey\n(.*?)\n:::::\n", INTRO, re.DOTALL)[1]
    for station in re.findall(r"^\d\. (.*?)(?=^\d\.|^$|\Z)", part, re.DOTALL | re.MULTILINE):
        chapter = re.match(r"\*\*\[[^]]+\]\((\w+)\.ipynb\)\*\*: ", station)
        numbers = [int(n.replace(",", "")) for n in re.findall(r"(?<!\*)\*([\d,]+)\*", station)]
        yield (chapter and chapter[1], numbers)


def test_map_leads_to_every_chapter_that_there_is_in_the_books_order():
    linked = [chapter for chapter, _ in the_map() if chapter]
    assert sorted(linked) == sorted(path.stem for path in BOOK.glob("*.ipynb"))
    contents = (BOOK.parent / "_toc.yml").read_text(encoding="utf-8")
    listed = re.findall(r"- file: book/(\w+)$", contents, re.MULTILINE)
    assert [name for name in listed if name in linked] == linked
    assert len(list(the_map())) == 12


def test_map_has_the_parameters_after_each_step():
    pytest.importorskip("matplotlib")
    from llama_tutorial.figures.journey import STEPS

    after = {step.chapter: step.config.n_params for step in STEPS}  # the last step of a chapter
    shown = {chapter: numbers for chapter, numbers in the_map() if numbers}
    assert shown == {name: [n] for name, n in after.items() if name != "tokenizer"}
