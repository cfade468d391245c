"""Live figures in a browser: they move, by mouse and by keyboard, and they say what Python says.

The figures of ``fixtures/turning.py`` hold every kind of control and are looked at closely; the
figures of the book are all moved and compared by the same means.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")
from browser.fixtures import turning
from browser.live import SET
from measure_page import UNFOLD
from notebooks import every, read

from llama_tutorial import figures
from llama_tutorial.figures.kit import assets

PHONE = {"width": 390, "height": 844}

# Controls that may change nothing until the Llama of their figure writes; and figures that show
# what it wrote, and no numbers. Test files of their own hold them to PyTorch.
WAITING = {"museum/show": {"beginning"}, "finetuning/chat": {"temperature"}}
WITHOUT_NUMBERS = {"museum/show", "finetuning/chat", "generation/inside"}

PAYLOAD = "figure => figure.querySelector(\"script[type='application/json']\").textContent"
SEEN = """figure => JSON.stringify([
  figure.querySelector(".lt-stage").innerHTML, figure.querySelector(".lt-readout")?.textContent
])"""


def _page_of(*shown: figures.LiveFigure) -> str:
    outputs = "".join(one.to_html() for one in shown)
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>t</title>'
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{outputs}</body></html>'


def _close(shown: object, computed: object) -> bool:
    """Whether a script's number is Python's, whose floats have three significant digits."""
    if isinstance(computed, list):
        return len(shown) == len(computed) and all(map(_close, shown, computed))
    if isinstance(computed, float) and isinstance(shown, (int, float)):
        return abs(shown - computed) <= 0.0051 * abs(computed) + 1e-9
    return shown == computed


def _compare_numbers(figure) -> int:
    checks = json.loads(figure.evaluate(PAYLOAD))["checks"]
    for check in checks:
        assert check["numbers"], "a figure whose numbers nobody checks"
        shown = figure.evaluate(SET, check["values"])
        assert set(shown) == set(check["numbers"]), check["values"]
        for name, computed in check["numbers"].items():
            assert _close(shown[name], computed), (name, shown[name], computed, check["values"])
    return len(checks)


def _move_every_control(figure, waiting: Collection[str] = frozenset()) -> int:
    """Moves each control, by the keyboard or by choosing, and sees a consequence.

    Alone, from where a reader finds the figure, or after the controls before it have moved: how
    many texts there are matters only once the cache is counted. Those of ``waiting`` may
    have none yet.
    """
    controls = figure.locator("[data-name]").all()
    alone = {_move(figure, control, back=True) for control in controls}
    together = {_move(figure, control, back=False) for control in controls}
    idle = {control.get_attribute("data-name") for control in controls} - alone - together
    idle -= set(waiting)
    assert not idle, f"{idle}: no visible consequence"
    return len(controls)


def _move(figure, control, back: bool) -> str | None:
    """Moves one control, and back again; its name if that could be seen."""
    assert control.is_enabled()
    before, value = figure.evaluate(SEEN), control.input_value()
    kind = control.get_attribute("type")
    if kind == "range":
        keys = ["ArrowRight", "ArrowLeft"]
        there, home = keys if value != control.get_attribute("max") else keys[::-1]
    elif kind == "checkbox":
        there = home = "Space"
    elif kind == "text":
        control.press("End")
        there, home = "z", "Backspace"
    else:
        options = [option.get_attribute("value") for option in control.locator("option").all()]
        there, home = next(option for option in options if option != value), value
    act = control.press if kind else control.select_option
    act(there)
    seen = figure.evaluate(SEEN) != before
    if back:
        act(home)
    return control.get_attribute("data-name") if seen else None


@pytest.fixture(scope="module")
def demo() -> str:
    """A page with both kinds of figure, and one of them twice."""
    figures.use()
    return _page_of(turning.turning(), turning.framed(), turning.turning())


def test_script_says_what_python_says(offline_page, demo: str) -> None:
    offline_page.set_content(demo)
    shown = offline_page.locator("figure.lt-figure").all()
    assert [_compare_numbers(figure) for figure in shown] == [10, 3, 10]


def test_a_wrong_script_is_found_out(offline_page, demo: str) -> None:
    offline_page.set_content(demo.replace("Math.cos(angle)", "Math.cos(angle + 0.01)"))
    with pytest.raises(AssertionError, match="'x'"):
        _compare_numbers(offline_page.locator("figure.lt-figure").first)


def test_every_control_moves_the_picture(offline_page, demo: str) -> None:
    offline_page.set_content(demo)
    shown = offline_page.locator("figure.lt-figure").all()
    assert [_move_every_control(figure) for figure in shown] == [4, 1, 4]


def test_readout_and_alt_text_are_pythons(offline_page, demo: str) -> None:
    offline_page.set_content(demo)
    figure = offline_page.locator("figure.lt-figure").first
    live = turning.turning()
    values = {"m": 20, "frequency": 1.0, "name": "naïve <b> 🦙", "ghost": True}
    figure.evaluate(SET, values)
    assert figure.locator(".lt-readout").text_content() == live.readout_text(values)
    label = figure.locator("svg[role=img]").get_attribute("aria-label")
    assert label == live.alt_text(values)


def test_buttons_step_and_stop_at_the_ends(offline_page, demo: str) -> None:
    offline_page.set_content(demo)
    figure = offline_page.locator("figure.lt-figure").nth(1)
    back, on = figure.get_by_role("button").all()
    assert back.get_attribute("aria-disabled") == "true"
    for cycles in ("2", "4"):
        on.click()
        assert figure.locator(".lt-value").text_content() == cycles
    assert on.get_attribute("aria-disabled") == "true"


def _drag(page, handle, right: float, down: float) -> None:
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=5)
    page.mouse.up()


def test_a_thing_of_the_picture_can_be_dragged(offline_page, demo: str) -> None:
    offline_page.set_content(demo)
    figure = offline_page.locator("figure.lt-figure").first
    slider = figure.locator("[data-name=m]")
    box = figure.locator(".lt-handle").bounding_box()
    _drag(offline_page, figure.locator(".lt-handle"), -60, -60)
    assert int(slider.input_value()) > 8  # turned against the clock
    after = figure.locator(".lt-handle").bounding_box()
    assert after["x"] < box["x"] - 30
    assert f"position {slider.input_value()}" in figure.locator(".lt-readout").text_content()
    assert figure.evaluate("figure => figure.numbers.angle") > 0.8
    said = figure.evaluate(SEEN)
    offline_page.mouse.move(box["x"], box["y"])  # the button is up
    assert figure.evaluate(SEEN) == said
    assert figure.locator(".lt-dragging").count() == 0


def test_what_is_dragged_too_far_stops_at_the_end(offline_page, demo: str) -> None:
    offline_page.set_content(demo)
    figure = offline_page.locator("figure.lt-figure").first
    _drag(offline_page, figure.locator(".lt-handle"), 20, 400)
    assert figure.locator("[data-name=m]").input_value() == "0"


def test_a_finger_drags_the_handle_and_scrolls_the_page_elsewhere(browser, demo: str) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_content(demo + "<div style='height: 2000px'></div>")
    figure = page.locator("figure.lt-figure").first
    session = context.new_cdp_session(page)

    def swipe(x: float, y: float, right: float, down: float) -> None:
        for i in range(9):
            point = {"x": x + right * i / 8, "y": y + down * i / 8}
            kind = "touchMove" if i else "touchStart"
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    handle, stage = (figure.locator(name).bounding_box() for name in (".lt-handle", ".lt-stage"))
    swipe(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2, -60, -80)
    assert int(figure.locator("[data-name=m]").input_value()) > 8
    assert page.evaluate("scrollY") == 0
    moved = figure.locator("[data-name=m]").input_value()
    swipe(stage["x"] + 20, stage["y"] + stage["height"] - 20, 0, -150)
    page.wait_for_function("scrollY > 50")
    assert figure.locator("[data-name=m]").input_value() == moved
    context.close()


@pytest.mark.parametrize(
    "kind", ["label", ".lt-value", "input[type=range]", "button[data-move='1']"]
)
def test_controls_stand_in_columns(offline_page, demo: str, kind: str) -> None:
    offline_page.set_viewport_size({"width": 1000, "height": 800})
    offline_page.set_content(demo)
    figure = offline_page.locator("figure.lt-figure").first
    boxes = [
        one.bounding_box() for one in figure.locator(f".lt-control:has([data-unit]) {kind}").all()
    ]
    assert len(boxes) == 2
    assert len({(round(box["x"]), round(box["width"])) for box in boxes}) == 1


def test_a_figure_that_was_folded_is_drawn_when_it_is_seen(offline_page, demo: str) -> None:
    offline_page.set_content(f"<div hidden>{demo}</div>")
    figure = offline_page.locator("figure.lt-figure").first
    drawn = "figure => figure.querySelector('.lt-readout').style.minHeight"
    assert figure.evaluate(drawn) == "0px"
    offline_page.evaluate("document.querySelector('div[hidden]').hidden = false")
    offline_page.wait_for_function(f"parseFloat(({drawn})(document.querySelector('figure'))) > 0")


def test_limit_keeps_a_slider_in_range(offline_page, demo: str) -> None:
    offline_page.set_content(demo)
    figure = offline_page.locator("figure.lt-figure").first
    figure.evaluate(SET, {"m": 15, "frequency": 0.1, "name": "q", "ghost": False})
    figure.locator("[data-name=name]").fill("short")
    assert figure.locator("[data-name=m]").input_value() == "5"
    assert "position 5" in figure.locator(".lt-readout").text_content()


def test_without_script_words_or_the_first_frame_stand(browser, demo: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(demo)
    words, why = page.locator(".lt-stage").first.locator("p").all_text_contents()
    assert words == turning.turning().alt_text(turning.turning().first())
    assert "notebook that is trusted" in why
    assert page.locator(".lt-stage img").count() == 1  # the frames are pictures as they are
    assert page.get_by_role("slider", disabled=True).count() == 5
    assert "(0.808, 0.773)" in page.locator(".lt-readout").first.text_content()
    context.close()


def test_with_script_the_words_make_room_for_the_picture(offline_page, demo: str) -> None:
    offline_page.set_content(demo)
    assert offline_page.locator(".lt-still").count() == 0
    assert offline_page.locator(".lt-stage svg").count() == 3


def test_number_texts_are_pythons(offline_page) -> None:
    offline_page.set_content(_page_of(turning.framed()))
    library = assets.read("_live.js")
    values = [0, 1, -2, 1e-12, 0.1, 1 / 3, -2 / 3, 1.125, -1.125, 0.0625, 99.96, 1234.5, 6738415616]
    values += [123456.7, 1e-7 / 3, 2.5e-6, 1e15 / 7, True, False, "a-b", [1, 0.25, "x"], 1e-9]
    shown = offline_page.evaluate(f"(values) => {{{library}; return values.map(textOf)}}", values)
    assert shown == [figures.number_text(value) for value in values]


def test_figure_fits_a_phone(browser, demo: str) -> None:
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    page.set_content(demo)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    context.close()


def _pages_with_figures() -> list[str]:
    return [
        f"book/{path.stem}.html"
        for path in every()
        if any("lt-figure" in str(cell.get("outputs")) for cell in read(path).cells)
    ]


@pytest.mark.parametrize("path", _pages_with_figures())
def test_every_live_figure_of_the_book(offline_page, book: Path, path: str) -> None:
    offline_page.goto((book / path).as_uri())
    offline_page.evaluate(UNFOLD)
    shown = offline_page.locator("figure.lt-figure").all()
    assert shown
    for figure in shown:  # moved from where a reader finds it
        name = figure.get_attribute("data-live")
        assert _move_every_control(figure, WAITING.get(name, set())) > 0
        if name not in WITHOUT_NUMBERS:
            assert _compare_numbers(figure) > 1
