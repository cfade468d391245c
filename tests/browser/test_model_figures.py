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
        "output head": ["normed", "best guess for the next"],
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


@pytest.mark.parametrize("model", live.MODELS)
def test_memory_of_every_model(show, model):
    figure = show(live.memory())
    figure.evaluate(SET, {"model": model})
    for use in live.USES.values():
        figure.evaluate(SET, {"use": use})
        for width in (4, 2, 1):
            figure.evaluate(SET, {"width": width})
            for texts in (1, 8, 32):
                shown = figure.evaluate(SET, {"texts": texts})
                expected = live.memory_numbers(model, use, width, texts)
                assert shown.pop("fits") == expected.pop("fits")
                assert shown == pytest.approx(expected, rel=1e-12)
