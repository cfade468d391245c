"""What every live figure of a chapter must do in its page."""

from __future__ import annotations

import html
import json
import re

from llama_tutorial.figures import LiveFigure


def texts(svg: str) -> list[str]:
    """What can be read in a picture."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def check_page(figure: LiveFigure, n_checks: int = 7, size: int = 120_000) -> None:
    """The page carries numbers to compare, its texts are filled in, and it is not heavy."""
    page = figure.to_html()
    payload = json.loads(re.search(r'application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert len(payload["checks"]) >= n_checks
    first = figure.first()
    still = html.unescape(re.search(r'<p class="lt-still">(.*?)</p>', page, re.DOTALL)[1])
    readout = html.unescape(re.search(r"<output[^>]*>(.*?)</output>", page, re.DOTALL)[1])
    assert (still, readout) == (figure.alt_text(first), figure.readout_text(first))
    assert not re.search(r"\{\w+\}", still + readout)
    assert len(page) < size
