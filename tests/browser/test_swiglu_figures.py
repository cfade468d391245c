"""The SwiGLU chapter's live figures in a browser, at many more settings than they carry along."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from browser.live import SET, said

from llama_tutorial import figures
from llama_tutorial.figures.swiglu import live

WORDS = ["Once", "upon", "a", "time", "a", "fox", "<s>", "“quoted”"]


def words_figure() -> figures.LiveFigure:
    generator = torch.Generator().manual_seed(0)
    gates, ups = (
        {f"layer {k}": torch.randn(len(WORDS), 4, generator=generator) for k in (1, 2)}
        for _ in range(2)
    )
    return live.words_gates(WORDS, gates, ups)


def same(shown, expected):
    assert shown.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):
            assert shown[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        else:
            assert shown[name] == value, name


@pytest.mark.parametrize("kind", live.GATES.values())
def test_every_gate_at_every_stop(show, kind):
    figure = show(live.gate())
    figure.evaluate(SET, {"kind": kind})
    figure.evaluate(SET, {"up": -1.7})
    stops = live.gate().controls[1].values
    for stop, shown in zip(stops, said(figure, [{"gate": stop} for stop in stops]), strict=True):
        same(shown, live.gate_numbers(kind, stop, -1.7))


def test_line_lies_down_where_the_gate_closes_and_stands_up_where_it_opens(show):
    figure = show(live.gate())

    def slope():
        path = figure.locator(".lt-stage path").last.get_attribute("d")
        (x1, y1), (x2, y2) = (map(float, point.split()) for point in path[1:].split("L"))
        return (y1 - y2) / (x2 - x1)

    slopes = []
    for stop in (-1.3, 0.0, 1.0, 3.0):
        figure.evaluate(SET, {"gate": stop})
        slopes.append(slope())
    assert slopes == sorted(slopes)
    assert slopes[0] < 0 == slopes[1]
    per_factor = slopes[2] / live.factor("silu", 1.0)
    assert slopes[3] == pytest.approx(per_factor * live.factor("silu", 3.0), rel=0.02)


@pytest.mark.parametrize("kind", ["plain", "gated"])
@pytest.mark.parametrize("angle", [0, 60, 90, 180])
def test_unit_at_points_of_the_plane(show, kind, angle):
    figure = show(live.plane())
    figure.evaluate(SET, {"kind": kind})
    figure.evaluate(SET, {"angle": angle})
    for first in (-3.0, -1.5, 0.0, 2.5):
        figure.evaluate(SET, {"first": first})
        for second in (-2.0, 0.5, 3.0):
            shown = figure.evaluate(SET, {"second": second})
            same(shown, live.plane_numbers(kind, angle, first, second))


def field(figure):
    """Colour and opacity of the plane's cells, column by column."""
    looks = figure.evaluate(
        """figure => [...figure.querySelectorAll(".lt-stage .lt-cell")].map((box) =>
             ["x", "fill", "opacity"].map((name) => box.getAttribute(name)))"""
    )
    columns = {}
    for x, fill, opacity in looks:
        columns.setdefault(x, set()).add((fill, round(float(opacity), 6)))
    return columns


def test_stripes_of_the_plain_unit_break_when_the_gate_comes_in(show):
    figure = show(live.plane())
    right = field(figure)[max(field(figure), key=float)]
    assert len({fill for fill, _ in right}) == 2
    assert len(right) > 10
    figure.evaluate(SET, {"kind": "plain"})
    assert all(len(looks) == 1 for looks in field(figure).values())


def test_no_colour_of_the_plane_is_at_its_end_but_in_a_corner(show):
    figure = show(live.plane())
    for angle in (0, 45, 90, 180):
        figure.evaluate(SET, {"angle": angle})
        opacities = [opacity for looks in field(figure).values() for _, opacity in looks]
        assert sum(opacity == 1 for opacity in opacities) <= 2
    written = figure.locator(".lt-stage text").all_text_contents()
    assert {"−12", "−6", "6", "12", "output"} <= set(written)


def drag(page, handle, right, down):
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=4)
    page.mouse.up()


def test_second_direction_and_cross_are_dragged(show):
    figure = show(live.plane())
    tip, cross = figure.locator(".lt-handle").nth(0), figure.locator(".lt-handle").nth(1)
    drag(figure.page, tip, -150, 60)
    assert figure.evaluate("figure => figure.numbers.up") < 0  # beyond 90 degrees, x1 = 2
    drag(figure.page, cross, -300, 0)
    assert figure.evaluate("figure => figure.numbers.gate") < 0


def test_gate_is_dragged_along_its_curve(show):
    figure = show(live.gate())
    drag(figure.page, figure.locator(".lt-handle").first, -60, 0)
    shown = figure.evaluate("figure => figure.numbers")
    assert shown["factor"] < 0.1


def test_words_at_every_place_unit_and_layer(show):
    made = words_figure()
    figure = show(made)
    for layer in ("layer 1", "layer 2"):
        figure.evaluate(SET, {"layer": layer})
        for unit in (1, 2, 3, 4):
            figure.evaluate(SET, {"unit": unit})
            for place in range(len(WORDS)):
                shown = figure.evaluate(SET, {"place": place})
                same(shown, made.numbers(layer=layer, unit=unit, place=place))


def test_words_are_written_beside_their_bars(show):
    figure = show(words_figure())
    written = figure.locator(".lt-stage text").all_text_contents()
    assert written[-len(WORDS) :] == WORDS
    assert len(figure.locator(".lt-stage rect").all()) == 3 * len(WORDS) + 1


def test_a_touch_on_a_word_chooses_it(show):
    figure = show(words_figure())
    figure.locator(".lt-stage text").filter(has_text="time").click()
    assert figure.evaluate("figure => figure.numbers.word") == "time"
