"""The bug museum in a browser: each switch against PyTorch, the marks, phones and keyboards."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from axe_playwright_python.sync_playwright import Axe
from browser.visits import RULES

from llama_tutorial import Tokenizer, Transformer, load
from llama_tutorial.bugs import BUGS
from llama_tutorial.figures import museum
from llama_tutorial.figures.kit.living import page_scripts
from llama_tutorial.figures.museum.live import says

CHAPTERS = list(dict.fromkeys(bug.chapter for bug in BUGS.values()))
DONE = "document.querySelector('.lt-figure').shown?.ms && !document.querySelector('[aria-busy]')"


@pytest.fixture(scope="module")
def models() -> tuple[Transformer, Tokenizer]:
    return load("tales", dtype=torch.float64)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page for each chapter's museum, and the engine beside them as in the book."""
    folder = tmp_path_factory.mktemp("museum")
    static = folder / "_static" / "llama"
    static.mkdir(parents=True)
    for name in ("engine", "tales"):
        (static / f"{name}.js").write_text(page_scripts()[name], encoding="utf-8")
    for chapter in CHAPTERS:
        page = (
            '<!doctype html><html lang="en" data-content_root="./"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width"><title>Museum</title><body><main>'
            f"{museum.show(chapter).to_html()}</main></body></html>"
        )
        (folder / f"{chapter}.html").write_text(page, encoding="utf-8")
    return folder


@pytest.fixture
def visit(offline_page, pages):
    """Opens a chapter's museum from its folder, without any network."""

    def go(chapter: str, width: int = 1000):
        offline_page.set_viewport_size({"width": width, "height": 900})
        offline_page.goto((pages / f"{chapter}.html").as_uri())
        return offline_page

    return go


def switch(page, bug: str) -> dict:
    """Chooses a mistake and gives what the figure then has."""
    page.evaluate("document.querySelector('.lt-figure').shown = null")
    page.locator(f"[data-bug={bug}]").click()
    page.wait_for_function(DONE)
    return page.evaluate("document.querySelector('.lt-figure').shown")


def columns(page) -> list[str]:
    return page.locator(".lt-sides p").all_text_contents()


def same(shown: dict, expected: dict) -> None:
    for name, value in expected.items():
        if isinstance(value, float):
            assert shown[name] == pytest.approx(value, abs=5e-6), name
        else:
            assert shown[name] == value, name


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_switch_is_pytorchs(visit, models, chapter: str) -> None:
    page = visit(chapter)
    names = [name for name, bug in BUGS.items() if bug.chapter == chapter]
    assert page.locator(".lt-bugs button").count() == len(names)
    for name in names:
        shown, expected = switch(page, name), museum.exhibit(*models, name, "Once upon a time")
        same(shown, expected)
        status = page.locator(".lt-status").text_content()
        if not BUGS[name].harmless:
            assert status == says(expected)
        assert ("no mistake at all" in status) == BUGS[name].harmless
        right, broken = columns(page)
        assert right.startswith("Once upon a time" + expected["rightTexts"][0])
        marks = page.locator("mark").all_text_contents()
        if expected["parts"] is None:
            assert marks == []
            assert right == broken
        else:
            at = expected["parts"]
            tokens = [expected[f"{side}Texts"][at] for side in ("right", "broken")]
            assert marks == [token.lstrip(" ") or token for token in tokens]
            assert marks[0] != marks[1]
            before = "Once upon a time" + "".join(expected["rightTexts"][:at])
            assert right.startswith(before + tokens[0])
            assert broken.startswith(before + tokens[1])
        assert page.locator(".lt-lines del").text_content() == BUGS[name].right
        assert page.locator(".lt-lines ins").text_content() == BUGS[name].wrong
        assert page.locator("[aria-pressed=true]").all_text_contents() == [BUGS[name].title]


def test_what_stands_there_first_is_what_a_click_gives(visit) -> None:
    page = visit("rope")
    first, status = columns(page), page.locator(".lt-status").text_content()
    assert "MB, once" in page.locator(".lt-hint").text_content()
    switch(page, "half_split")
    assert columns(page) == first
    assert page.locator(".lt-status").text_content() == status
    assert page.locator(".lt-hint").text_content() == ""


@pytest.mark.parametrize("text", ["Lily had a red kite.", "", "🦙 <b>x</b>"])
def test_a_typed_beginning_is_continued(visit, models, text: str) -> None:
    page = visit("gqa")
    page.evaluate("document.querySelector('.lt-figure').shown = null")
    page.locator("[data-name=beginning]").fill(text)
    page.keyboard.press("Enter")
    page.wait_for_function(DONE)
    expected = museum.exhibit(*models, "repeat_in_rounds", text)
    same(page.evaluate("document.querySelector('.lt-figure').shown"), expected)
    for found, side in zip(columns(page), ("right", "broken"), strict=True):
        texts = expected[f"{side}Texts"]
        end = " (the end)" if expected["parts"] == len(texts) else ""
        assert found == text + "".join(texts) + end
    assert page.locator(".lt-sides span").all_text_contents() == [text, text]


def test_both_draw_by_one_seed(visit) -> None:
    page = visit("swiglu")
    switch(page, "no_silu")
    texts = []
    for words in ("drawn, seed 1", "drawn, seed 2", "drawn, seed 1"):
        page.evaluate("document.querySelector('.lt-figure').shown = null")
        page.locator("select").select_option(words)
        page.wait_for_function(DONE)
        texts.append(columns(page))
    assert texts[0] == texts[2] != texts[1]
    page.locator("[data-bug=gelu]").click()
    page.wait_for_function(f"{DONE} && document.querySelector('.lt-figure').shown.bug === 'gelu'")
    assert columns(page)[0] == texts[0][0]


def test_a_beginning_that_does_not_fit_is_refused_in_words(visit) -> None:
    page = visit("rope")
    page.locator("[data-name=beginning]").fill("🦙" * 100)
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.lt-figure').shown.error")
    assert "shorten it" in page.locator(".lt-status").text_content()
    page.locator("[data-name=beginning]").fill("Once")
    page.keyboard.press("Enter")
    page.wait_for_function(DONE)
    assert "nats" in page.locator(".lt-status").text_content()


def test_only_the_newest_wish_is_shown(visit, models) -> None:
    page = visit("rmsnorm")
    switch(page, "small_eps")
    page.evaluate(
        """() => { for (const bug of ["large_eps", "mean_of_sizes", "no_norm_weight"])
             document.querySelector(`[data-bug=${bug}]`).click(); }"""
    )
    page.wait_for_function(f"{DONE} && document.querySelector('.lt-figure').shown.bug[0] === 'n'")
    expected = museum.exhibit(*models, "no_norm_weight", "Once upon a time")
    assert columns(page)[1] == "Once upon a time" + "".join(expected["brokenTexts"])


def test_keys_are_enough(visit) -> None:
    page = visit("gpt")
    page.locator("[data-name=draws]").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.bug") == "scaled_twice"
    page.keyboard.press("Enter")
    page.wait_for_function(DONE)
    assert page.evaluate("document.querySelector('.lt-figure').shown.bug") == "scaled_twice"
    assert page.evaluate("document.activeElement.dataset.bug") == "scaled_twice"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_kept_from_anybody(visit, scheme: str) -> None:
    page = visit("swiglu")
    page.emulate_media(color_scheme=scheme)
    assert Axe().run(page, options=RULES).response["violations"] == []
    switch(page, "no_w3")
    assert Axe().run(page, options=RULES).response["violations"] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_it_fits_a_phone(visit, chapter: str) -> None:
    page = visit(chapter, 390)
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        right, broken = (one.bounding_box() for one in page.locator(".lt-sides p").all())
        assert broken["y"] > right["y"] + right["height"]
        assert right["width"] > 300
        switch(page, [name for name, bug in BUGS.items() if bug.chapter == chapter][-1])


def test_without_scripts_the_recorded_pair_stands_there(browser, pages, models) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((pages / "rope.html").as_uri())
    expected = museum.exhibit(*models, "half_split", "Once upon a time")
    texts = ["Once upon a time" + "".join(expected[f"{one}Texts"]) for one in ("right", "broken")]
    assert columns(page) == texts
    assert page.locator("mark").count() == 2
    assert page.locator(".lt-bugs button").count() == 0
    context.close()


def test_a_notebook_says_where_the_switches_work(show) -> None:
    figure = show(museum.show("rope"))
    assert "figures.museum.explore" in figure.locator(".lt-hint").text_content()
    assert figure.locator("mark").count() == 2
    assert not figure.locator("input").is_visible()
