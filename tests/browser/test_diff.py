"""Old code beside new in a browser: one column where room is short, two where it is not."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")
from axe_playwright_python.sync_playwright import Axe
from browser.test_predict import DARK, LIGHT
from browser.visits import RULES

from llama_tutorial import figures

OLD = "def up(x):\n    # wider\n    y = w1(x)\n    return w2(gelu(y))\n"
NEW = "def up(x):\n    # wider\n    return w2(silu(w1(x)) * w3(x))\n"


@pytest.fixture
def shown(offline_page):
    """Puts the difference into a page of a width; the visible sides' boxes come out."""

    def put(width: int, sheet: str = LIGHT):
        offline_page.set_viewport_size({"width": width, "height": 800})
        head = f'<meta name="viewport" content="width=device-width"><title>t</title>{sheet}'
        offline_page.set_content(
            f'<!doctype html><html lang="en"><head>{head}</head><body><main>'
            f"{figures.diff(OLD, NEW, 'The gate.')._repr_html_()}</main></body></html>"
        )
        return offline_page.locator("figure.lt-diff")

    return put


def test_a_narrow_page_has_one_column_and_each_line_once(shown) -> None:
    figure = shown(390)
    seen = [line.rstrip() for line in figure.locator(".lt-blocks").inner_text().splitlines()]
    assert [line for line in seen if line] == [
        " def up(x):",
        "     # wider",
        "−    y = w1(x)",
        "−    return w2(gelu(y))",
        "+    return w2(silu(w1(x)) * w3(x))",
    ]
    assert figure.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_wide_page_has_two_columns_side_by_side(shown) -> None:
    figure = shown(1000)
    removed, added = figure.locator("del").bounding_box(), figure.locator("ins").bounding_box()
    assert removed["y"] == added["y"]
    assert removed["x"] + removed["width"] <= added["x"] + 1
    twice = [one.bounding_box() for one in figure.locator(".lt-same").first.locator("pre").all()]
    assert twice[0]["y"] == twice[1]["y"]
    assert all(box["width"] > 300 for box in twice)


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1000])
def test_difference_is_accessible(shown, ground: str, width: int) -> None:
    figure = shown(width, DARK if ground == "dark" else LIGHT)
    options = RULES | {"resultTypes": ["violations"]}
    # The colours of code are the page's own: test_deeper.py looks at them in the book's page.
    options["rules"] = options["rules"] | {"color-contrast": {"enabled": False}}
    found = Axe().run(figure.page, options=options).response["violations"]
    assert [f"{rule['id']}: {node['target']}" for rule in found for node in rule["nodes"]] == []
