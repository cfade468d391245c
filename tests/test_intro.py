"""What the first page says of the models, and that its map leads through all chapters."""

from __future__ import annotations

import html
import re

import pytest

pytest.importorskip("nbformat")

import notebooks

from llama_tutorial import PRESETS

CELLS = notebooks.read(notebooks.BOOK / "intro.ipynb").cells
PROSE = "\n\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")
SIZES = "dim n_layers n_heads n_kv_heads hidden_dim vocab_size max_seq_len norm_eps".split()


def the_code(word: str) -> str:
    """The one cell in sight that says a word."""
    cells = [cell for cell in CELLS if cell.cell_type == "code" and not cell.metadata.get("tags")]
    [code] = [cell.source for cell in cells if word in cell.source]
    return code


# The five changes


@pytest.fixture(scope="module")
def steps() -> list:
    """The configuration after each line of the page's code, GPT-2's first."""
    lines, names, steps = the_code("step = ").splitlines(), {}, []
    for line in lines:
        exec(line, names)
        steps += [names["step"]] if line.startswith("step = ") else []
    return steps


def test_its_code_leads_from_gpt2_to_llama_2_in_five_lines(steps):
    assert steps[0] == PRESETS["gpt2"]
    assert len(steps) == 6
    for size in ("llama-2-34b", "llama-2-70b"):
        llama = PRESETS[size]
        assert steps[-1].replace(**{name: getattr(llama, name) for name in SIZES}) == llama


def test_without_the_last_line_it_leads_to_7b(steps):
    llama = PRESETS["llama-2-7b"]
    others = {size: getattr(llama, size) for size in SIZES if size != "n_kv_heads"}
    assert steps[-2].replace(**others) == llama


def test_the_figure_makes_the_same_five_changes(steps):
    pytest.importorskip("matplotlib")
    from llama_tutorial.figures.intro.live import CHANGES, chosen_config

    for made, step in enumerate(steps):
        switches = {name: n < made for n, name in enumerate(CHANGES)}
        assert chosen_config("gpt2", **switches) == step


def test_the_table_has_a_row_for_each_change_with_a_link_to_its_chapter():
    [table] = re.findall(r"^\| GPT-2 \|.*\n\|[-|]+\n((?:\|.*\n)+)", PROSE + "\n", re.MULTILINE)
    links = [re.findall(r"\((\w+)\.ipynb\)", row) for row in table.splitlines()]
    assert links == [["rmsnorm"], ["rope"], ["swiglu"], ["model"], ["gqa"]]


def test_its_vocabularies_are_those_of_the_models():
    assert f"GPT-2's {PRESETS['gpt2'].vocab_size:,}\nbyte-level tokens" in PROSE
    assert f"{PRESETS['llama-2-7b'].vocab_size:,} SentencePiece pieces" in PROSE
    assert PRESETS["llama-2-7b"].vocab_size < PRESETS["gpt2"].vocab_size  # "fewer rows"


def test_groups_are_for_the_large_models_only():
    grouped = [n for n, c in PRESETS.items() if n.startswith("llama-2") and c.group_size > 1]
    assert grouped == ["llama-2-34b", "llama-2-70b"]
    assert "Llama 2 makes it at 34B and 70B, not at 7B and 13B" in PROSE


# The tale


def test_the_tale_is_a_whole_one_in_words_of_the_story_world():
    pytest.importorskip("sentencepiece")
    from llama_tutorial import load
    from llama_tutorial.tales import consistency

    shown = [
        str(output["data"].get("text/html", ""))
        for cell in CELLS
        for output in cell.get("outputs", [])
    ]
    [tale] = re.findall(r'<p class="lt-tale">(.*?)</p>', "".join(shown), re.DOTALL)
    tale = html.unescape(re.sub(r"</?b>", "", tale))
    _, tokenizer = load("tales")
    assert tale.startswith("Once upon a time, ")
    assert tale.endswith(".")
    assert 1 < len(tokenizer.encode(tale)) <= 200
    assert consistency(tale).score == 1


def test_its_world_is_as_small_as_the_page_says():
    from llama_tutorial.tales import tell
    from llama_tutorial.tales.plots import plots

    assert len(plots()) == 31
    assert "thirty-one plots" in PROSE
    told = (tell(seed).text for seed in range(2000))
    words = {word.lower() for text in told for word in re.findall(r"[A-Za-z]+", text)}
    assert 1050 <= len(words) < 1150
    assert "eleven hundred words" in PROSE


# The map


def the_map():
    """The stations in order: the file that a name leads to, and the models named beside it."""
    part = re.search(r":::::\{div\} lt-journey\n(.*?)\n:::::", PROSE, re.DOTALL)[1]
    for station in re.findall(r"^\d+\. (.*?)(?=^\d+\.|^$|\Z)", part, re.DOTALL | re.MULTILINE):
        chapter = re.match(r"\*\*\[[^]]+\]\((\w+)\.ipynb\)\*\*: ", station)
        sizes = re.findall(r"(?<!\*)\*([\w -]+): ([\d.]+) (million|billion)\b[^*]*\*", station)
        yield chapter[1], sizes


def test_map_leads_to_every_chapter_in_the_books_order():
    linked = [chapter for chapter, _ in the_map()]
    assert sorted(linked) == [path.stem for path in notebooks.chapters()]
    contents = (notebooks.ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = re.findall(r"- file: book/(\w+)$", contents, re.MULTILINE)
    assert [name for name in listed if name in linked] == linked


def test_map_says_how_large_the_models_are_that_it_names():
    presets = {"GPT-2": "gpt2", "Llama 2 7B": "llama-2-7b", "Llama 2 70B": "llama-2-70b"}
    said = [size for _, sizes in the_map() for size in sizes]
    assert [model for model, _, _ in said] == ["GPT-2", "Llama 2 70B", "Llama 2 7B"]
    for model, number, unit in said:
        params = PRESETS[presets[model]].n_params / {"million": 1e6, "billion": 1e9}[unit]
        digits = len(number.partition(".")[2])
        assert f"{params:.{digits}f}" == number
