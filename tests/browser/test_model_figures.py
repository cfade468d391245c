"""The model chapter's live figures in a browser, at many more settings than they carry along."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from browser.live import SET, said

from llama_tutorial import PRESETS, Transformer, figures
from llama_tutorial.figures.model import live

IDS = [1, 7, 3, 30, 12, 7]


class Pieces:
    """A tokenizer of forty words."""

    def encode(self, text, bos=False, eos=False):
        return IDS

    def id_to_piece(self, i):
        return f"▁w{i}"


@pytest.fixture(scope="module")
def walk():
    torch.manual_seed(3)
    sizes = {"dim": 48, "n_layers": 3, "n_heads": 4, "hidden_dim": 40, "vocab_size": 40}
    model = Transformer(PRESETS["llama-2-7b"].replace(**sizes, max_seq_len=32)).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return live.walk(model, Pieces(), "")


def test_every_station_at_every_token(show, walk):
    figure = show(walk)
    stops = itertools.product(live.stations(3), range(len(IDS)))
    settings = [{"station": station, "token": token} for station, token in stops]
    for values, shown in zip(settings, said(figure, settings), strict=True):
        assert shown == figures.rounded(walk.numbers(**values, head=1)), values


def test_every_head_looks_where_the_model_looks(show, walk):
    figure = show(walk)
    figure.evaluate(SET, {"token": 5})
    for station in ("layer 1: attention", "layer 3: attention"):
        figure.evaluate(SET, {"station": station})
        for head in (1, 2, 3, 4):
            shown = figure.evaluate(SET, {"head": head})
            assert shown == figures.rounded(walk.numbers(station, 5, head))


def test_picture_shows_the_panels_of_its_station(show, walk):
    figure = show(walk)
    titles = {
        "embedding": ["token ids", "rows of the table"],
        "layer 2: norm": ["stream", "normed"],
        "layer 2: attention": ["weights of head 1", "to be added"],
        "layer 2: attention added": ["to be added", "stream after"],
        "layer 2: SwiGLU": ["gated activations", "to be added"],
        "output head": ["normed", "best guess"],
    }
    for station, wanted in titles.items():
        figure.evaluate(SET, {"station": station})
        shown = figure.locator(".lt-stage text").all_text_contents()
        assert [text for text in wanted if text in shown] == wanted, station
        active = figure.locator(".lt-stage rect[stroke-width='2.6']")
        assert active.count() == 1


def test_part_of_the_route_behind_is_as_long_as_the_way(show, walk):
    figure = show(walk)
    ends = []
    for station in live.stations(3):
        figure.evaluate(SET, {"station": station})
        ends.append(float(figure.locator(".lt-stage circle[r='7']").get_attribute("cx")))
    steps = [after - before for before, after in itertools.pairwise(ends)]
    assert min(steps) == pytest.approx(max(steps))
    assert ends == sorted(ends)


def _station(figure):
    stops = live.stations(3)
    shown = figure.locator("input[data-name='station']").input_value()
    return stops[int(shown)]


def test_jumps_go_from_addition_to_addition(show, walk):
    figure = show(walk)
    seen = []
    for _ in range(8):
        figure.get_by_role("button", name="addition ▶").click()
        seen.append(_station(figure))
    additions = [name for name in live.stations(3) if name.endswith("added")]
    assert seen == [*additions, "output head", "output head"]
    figure.get_by_role("button", name="◀ addition").click()
    assert _station(figure) == additions[-1]
    figure.get_by_role("button", name="start", exact=True).click()
    assert _station(figure) == "embedding"
    figure.get_by_role("button", name="end", exact=True).click()
    assert _station(figure) == "output head"


def test_play_walks_to_the_end_and_stops_when_it_is_told_to(show, walk):
    figure = show(walk)
    page = figure.page
    figure.get_by_role("button", name="▶ play").click()
    page.wait_for_function(
        "figure => figure.querySelector(`input[data-name='station']`).value >= 2",
        arg=figure.element_handle(),
    )
    assert figure.locator(".lt-readout").get_attribute("aria-live") == "off"
    figure.get_by_role("button", name="pause").click()
    here = _station(figure)
    page.wait_for_timeout(1200)
    assert _station(figure) == here
    assert figure.locator(".lt-readout").get_attribute("aria-live") is None
    figure.evaluate(SET, {"station": live.stations(3)[-2]})
    figure.get_by_role("button", name="▶ play").click()
    figure.get_by_role("button", name="▶ play").wait_for()  # at the end it stops by itself
    assert _station(figure) == "output head"
    figure.get_by_role("button", name="▶ play").click()  # and begins again
    assert _station(figure) == "embedding"
    figure.evaluate(SET, {"station": "layer 2: norm"})  # the reader takes over
    assert figure.get_by_role("button", name="▶ play").count() == 1


def test_a_tap_on_a_row_chooses_its_token(show, walk):
    figure = show(walk)
    for token in (4, 0):
        figure.locator(".lt-row").nth(token).click()
        expected = figures.rounded(walk.numbers("embedding", token, 1))
        assert figure.evaluate("figure => figure.numbers") == expected


def test_dot_of_the_route_can_be_dragged(show, walk):
    figure = show(walk)
    figure.scroll_into_view_if_needed()
    figure.evaluate(SET, {"station": "layer 1: attention"})
    here = figure.locator(".lt-handle").bounding_box()
    x, y = here["x"] + here["width"] / 2, here["y"] + here["height"] / 2
    mouse = figure.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 1000, y, steps=4)
    mouse.up()
    assert _station(figure) == "output head"


def test_picture_has_the_width_of_its_page(show, walk):
    figure = show(walk)
    widths = []
    for width in (390, 1280):
        figure.page.set_viewport_size({"width": width, "height": 900})
        figure.page.wait_for_timeout(100)
        widths.append(figure.locator(".lt-stage svg").get_attribute("viewBox").split()[2])
        box = figure.locator(".lt-stage svg").bounding_box()
        assert box["width"] == pytest.approx(int(widths[-1]), abs=2)  # writing keeps its size
    assert int(widths[0]) < 390 < int(widths[1]) <= 640


@pytest.mark.parametrize("model", live.MODELS)
def test_memory_of_every_model(show, model):
    figure = show(live.memory())
    figure.evaluate(SET, {"model": model})
    for use in live.USES.values():
        figure.evaluate(SET, {"use": use})
        for width in (4, 2, 1, 0.5):
            figure.evaluate(SET, {"width": width})
            for texts in (1, 8, 32):
                shown = figure.evaluate(SET, {"texts": texts})
                expected = live.memory_numbers(model, use, width, texts)
                assert shown.pop("fits") == expected.pop("fits")
                assert shown == pytest.approx(expected, rel=1e-12)
