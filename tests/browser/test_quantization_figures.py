"""The quantization chapter's live figure in a browser: levels, drags, and what the page writes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from axe_playwright_python.sync_playwright import Axe
from browser.live import SET, said
from browser.visits import RULES

from llama_tutorial import generate, load
from llama_tutorial.figures import quantization as figures
from llama_tutorial.figures.kit.living import page_scripts

SETTINGS = [
    {"bits": bits, "group": group}
    for bits, group in itertools.product(figures.BITS, figures.GROUPS)
]
WRITTEN = "() => document.querySelector('.lt-figure').written"


@pytest.fixture(scope="module")
def tales():
    return load("tales", dtype=torch.float64)


def write(tales, beginning: str, bits: int = 0, group: str | int = "matrix") -> str:
    """How Python goes on, with rounded matrices or, with no bits, with the trained ones."""
    model, tokenizer = tales
    prompt = tokenizer.encode(beginning, bos=True)
    rounded = figures.rounded_model(model, bits, group) if bits else model
    stops = {tokenizer.bos_id, tokenizer.eos_id}
    [ids] = generate(rounded, [prompt], figures.COUNT, temperature=0, stop_ids=stops)
    return tokenizer.decode(prompt + ids).removeprefix(beginning)


@pytest.fixture(scope="module")
def figure(tales):
    model, _ = tales
    study = {
        figures.key(**one): {**one, "width": one["bits"] + 0.5, "perplexity": 1.5}
        | {"divergence": 0.01, "agreement": 0.9, "text": f", a tale of {one['bits']}"}
        for one in SETTINGS
    }
    matrix = model.layers[5].feed_forward.w2.weight.detach().float().numpy()
    return figures.levels(matrix, 114, 64, study, "Once", ", a tale of old")


@pytest.fixture(scope="module")
def folder(figure, tmp_path_factory) -> Path:
    """The figure's page with the engine beside it, as in the book."""
    folder = tmp_path_factory.mktemp("levels")
    static = folder / "_static" / "llama"
    static.mkdir(parents=True)
    for name in ("engine", "tales"):
        (static / f"{name}.js").write_text(page_scripts()[name], encoding="utf-8")
    page = (
        '<!doctype html><html lang="en" data-content_root="./"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Levels</title>'
        "<style>:root { --pst-color-primary: #0a5bc4 }</style><body><main>"  # as in the book
        f"{figure.to_html()}</main></body></html>"
    )
    (folder / "page.html").write_text(page, encoding="utf-8")
    return folder


@pytest.fixture
def page(offline_page, folder):
    offline_page.goto((folder / "page.html").as_uri())
    return offline_page


def test_every_setting_is_pythons(show, figure):
    for values, shown in zip(SETTINGS, said(show(figure), SETTINGS), strict=True):
        expected = figure.numbers(beginning="Once", **values)
        assert shown.keys() == expected.keys()
        assert shown == pytest.approx(expected), values


def test_levels_and_weights_are_drawn(show, figure):
    drawn = show(figure)
    for values, shown in zip(SETTINGS, said(drawn, SETTINGS), strict=True):
        drawn.evaluate(SET, values)
        assert drawn.locator(".lt-stage circle").count() == 64
        squares = drawn.locator(".lt-stage rect[fill*='c1']").all()
        heights = {square.get_attribute("y") for square in squares}
        size = values["group"] if isinstance(values["group"], int) else 64
        if size == 64:  # with more groups some of their levels may lie at one height
            assert len(heights) == shown["used"]


def test_text_is_that_of_the_setting_and_marked_where_it_parts(show, figure):
    drawn = show(figure)
    drawn.evaluate(SET, {"bits": 3})
    assert drawn.locator(".lt-tale b").text_content() == "Once"
    assert drawn.locator(".lt-tale mark").text_content() == "3"
    assert drawn.locator(".lt-tale").text_content() == "Once, a tale of 3"
    assert not drawn.get_by_role("button", name="Write").is_visible()  # no book around it


@pytest.mark.parametrize(("share", "group"), [(0.28, 16), (0.5, 32), (0.93, 64)])
def test_the_edge_of_a_group_can_be_dragged(page, share: float, group: int):
    figure = page.locator(".lt-figure")
    figure.evaluate(SET, {"group": 16 if group != 16 else 32})
    handle, picture = (figure.locator(of).bounding_box() for of in (".lt-handle", "svg"))
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + 80)
    page.mouse.down()
    page.mouse.move(picture["x"] + picture["width"] * (40 + 356 * share) / 406, handle["y"] + 80)
    page.mouse.up()
    assert figure.evaluate("one => one.querySelector('[data-name=group]').value") == str(
        figures.GROUPS.index(group)
    )


def test_page_rounds_and_writes_what_python_writes(page, tales):
    figure = page.locator(".lt-figure")
    field = figure.get_by_label("a beginning")
    for beginning, bits, group in (
        ("The dragon", 4, "matrix"),
        ("Once", 2, 16),
        ("", 3, "row"),
    ):
        page.evaluate("() => delete document.querySelector('.lt-figure').written")
        figure.evaluate(SET, {"bits": bits, "group": group})
        field.fill(beginning)
        field.press("Enter")
        page.wait_for_function(f"{WRITTEN[6:]}?.bits === {bits}")
        expected = write(tales, beginning, bits, group)
        assert figure.evaluate("one => one.shown.text") == expected
        assert figure.locator(".lt-tale").text_content() == beginning + expected
        mark = figure.locator(".lt-tale mark").text_content()
        assert write(tales, beginning).startswith(expected.removesuffix(mark))


def test_a_slider_rounds_anew_once_the_model_is_there(page, tales):
    figure = page.locator(".lt-figure")
    figure.get_by_label("a beginning").fill("Lily")
    figure.get_by_role("button", name="Write").click()
    page.wait_for_function(f"{WRITTEN[6:]}?.bits === 4")
    figure.evaluate(SET, {"bits": 2, "group": 32})
    page.wait_for_function(f"{WRITTEN[6:]}?.group === 32")
    assert figure.evaluate("one => one.shown.text") == write(tales, "Lily", 2, 32)


@pytest.mark.parametrize("width", [390, 1000])
def test_phones_and_rules_of_access(page, width: int):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    result = Axe().run(page, options=RULES)
    violations = result.response["violations"]
    assert [node["html"] for one in violations for node in one["nodes"]] == []
