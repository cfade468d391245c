"""The first page's live figure in a browser: every setting, what it draws, and where it leads."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import SET

from llama_tutorial.figures.intro import live

CHAPTERS = {"gpt", "rmsnorm", "rope", "swiglu", "gqa", "model"}
# The least size of writing, in pixels of the screen.
LEAST = """svg => Math.min(...[...svg.querySelectorAll("text")].map(text =>
    parseFloat(getComputedStyle(text).fontSize)
    * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width))"""
# Writing that is cut off or stands over other writing.
CLASHES = """svg => {
  const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent);
  const boxes = texts.map(text => text.getBoundingClientRect());
  const all = svg.getBoundingClientRect();
  const out = [];
  boxes.forEach((a, i) => {
    if (a.left < all.left - 1 || a.right > all.right + 1 || a.bottom > all.bottom + 1)
      out.push(`cut off: ${texts[i].textContent}`);
    boxes.slice(i + 1).forEach((b, k) => {
      const [wide, high] = [Math.min(a.right, b.right) - Math.max(a.left, b.left),
                            Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      const other = texts[i + 1 + k].textContent;
      if (wide > 1 && high > 4) out.push(`${texts[i].textContent} | ${other}`);
    });
  });
  return out;
}"""


def settings():
    for size, *made in itertools.product(live.SIZES.values(), *[[True, False]] * 5):
        yield {"size": size, **dict(zip(live.CHANGES, made, strict=True))}


def test_every_setting(show):
    figure = show(live.block())
    for values in settings():
        assert figure.evaluate(SET, values) == live.block_numbers(**values), values


def test_each_column_draws_its_own_model(show):
    figure = show(live.block())
    for values in settings():
        figure.evaluate(SET, values)
        config = live.chosen_config(**values)
        before = live.chosen_config(**dict.fromkeys(live.CHANGES, False) | {"size": values["size"]})
        columns, shown = (before, config), min(config.n_heads, 16)
        words = figure.locator(".lt-stage text").all_text_contents()
        norms = sum({"layernorm": 3, "rmsnorm": 0}[one.norm] for one in columns)
        assert words.count("LayerNorm") == norms
        assert words.count("RMSNorm") == 6 - norms
        assert words.count("position embedding") == sum(
            one.positions == "learned" for one in columns
        )
        assert words.count("RoPE rotates queries and keys") == values["positions"]
        matrices = sum({"gelu": 2, "swiglu": 3}[one.feed_forward] for one in columns)
        assert figure.locator(".lt-stage .lt-matrix").count() == matrices
        # A bias on attention, on the feed-forward layer, and on the two norms of a layer.
        biases = sum((2 if one.norm == "rmsnorm" else 4) if one.bias else 0 for one in columns)
        assert figure.locator(".lt-stage .lt-bias").count() == biases
        assert words.count("the same matrix") == sum(one.tie_embeddings for one in columns)
        keys = sum(shown // one.group_size for one in columns)
        assert figure.locator(".lt-stage .lt-key").count() == keys
        assert figure.locator(".lt-stage .lt-query").count() == 2 * shown
        assert words.count(f"× {config.n_layers} layers") == 2


def test_only_what_differs_is_in_color(show):
    figure = show(live.block())
    tinted = ".lt-stage rect[fill-opacity]"
    parts = {"norm": 3, "positions": 1, "feed_forward": 1, "ends": 2, "groups": 1}
    for name, count in parts.items():
        figure.evaluate(SET, dict.fromkeys(live.CHANGES, False) | {name: True})
        number = list(live.CHANGES).index(name)
        assert figure.locator(f"{tinted}[fill='var(--lt-c{number})']").count() == count
        assert figure.locator(tinted).count() == count
    figure.evaluate(SET, dict.fromkeys(live.CHANGES, False))
    assert figure.locator(tinted).count() == 0
    assert figure.locator(".lt-stage [stroke^='var(--lt-c']").count() == 0


@pytest.mark.parametrize("width", [345, 390, 1280])
def test_writing_is_legible_and_keeps_apart(show, offline_page, width):
    offline_page.set_viewport_size({"width": width, "height": 900})
    figure = show(live.block())
    for values in settings():
        figure.evaluate(SET, values)
        picture = figure.locator(".lt-stage svg")
        assert picture.evaluate(LEAST) >= 10
        assert picture.evaluate(CLASHES) == [], values


def test_picture_is_drawn_anew_when_the_page_gets_narrow(show, offline_page):
    offline_page.set_viewport_size({"width": 1280, "height": 900})
    picture = show(live.block()).locator(".lt-stage svg")
    assert picture.get_attribute("viewBox").split()[2] == "700"
    offline_page.set_viewport_size({"width": 390, "height": 900})
    offline_page.wait_for_function(
        "document.querySelector('.lt-stage svg').viewBox.baseVal.width < 390"
    )
    assert picture.evaluate(LEAST) >= 10


def test_parts_lead_nowhere_where_there_is_no_book(show):
    assert show(live.block()).locator(".lt-stage a").count() == 0


def test_parts_lead_to_their_chapters_by_mouse_and_keyboard(offline_page, book):
    page = offline_page
    page.goto((book / "book" / "intro.html").as_uri())
    figure = page.locator("figure[data-live='intro/block']")
    links = figure.locator(".lt-stage a").all()
    targets = [link.evaluate("link => link.href.split('/').at(-1)") for link in links]
    assert set(targets) == {f"{chapter}.html" for chapter in CHAPTERS}
    assert all((book / "book" / target).is_file() for target in targets)
    # By Tab from the last control: the parts of the right column, in the order of the picture.
    figure.locator("select").focus()
    reached = []
    while True:
        page.keyboard.press("Tab")
        label = page.evaluate("document.activeElement.closest('.lt-stage a')?.ariaLabel")
        if label is None:
            break
        reached.append(label.removesuffix(": its chapter"))
    assert reached[:4] == ["token embedding", "positions", "RMSNorm", "grouped-query attention"]
    assert len(reached) == len([link for link in links if link.get_attribute("tabindex") is None])
    figure.locator("a[aria-label='SwiGLU: its chapter']").click()
    page.wait_for_url("**/swiglu.html")


def test_first_screen_has_the_picture_and_the_way_in(offline_page, book):
    for width, height in ((1280, 900), (390, 844)):
        offline_page.set_viewport_size({"width": width, "height": height})
        offline_page.goto((book / "book" / "intro.html").as_uri())
        start = offline_page.locator("article a.lt-button")
        assert start.get_attribute("href") == "gpt.html"
        below = start.bounding_box()
        assert below["y"] + below["height"] < height
        picture = offline_page.locator(".lt-stage svg").bounding_box()
        seen = min(height, picture["y"] + picture["height"]) - picture["y"]
        assert seen > picture["height"] * (0.95 if width > 390 else 0.6)
