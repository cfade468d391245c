"""What every live figure of a chapter must do, in its page and in a running kernel."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from llama_tutorial.figures import LiveFigure


def texts(svg: str) -> list[str]:
    """What can be read in a picture."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def check_page(figure: LiveFigure, n_checks: int = 7, size: int = 120_000) -> None:
    """The page carries numbers to compare, its texts are filled in, and it is not heavy."""
    page = figure.to_html()
    payload = json.loads(re.search(r'application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert len(payload["checks"]) >= n_checks
    assert "{" not in re.search(r'<img alt="([^"]*)"', page)[1]
    assert "{" not in re.search(r"<output[^>]*>(.*?)</output>", page)[1]
    assert len(page) < size


def check_widgets(figure: LiveFigure, moves: dict[str, Any]) -> None:
    """With a kernel, the knobs of ``moves`` draw another picture, and the readout follows."""
    box = figure.live()
    names = [control.name for control in figure.controls]
    knobs = dict(zip(names, box.children, strict=False))
    picture, readout = box.children[len(names) : len(names) + 2]
    before = picture.value
    for knob, value in moves.items():
        knobs[knob].value = value
    values = {control.name: control.value for control in figure.controls} | moves
    assert picture.value != before
    assert readout.value == html.escape(figure.readout_text(values))
