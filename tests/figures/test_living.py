"""What a figure with a Llama carries, and the scripts that its page loads."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("matplotlib")

from llama_tutorial import browser, figures, load
from llama_tutorial.figures import intro
from llama_tutorial.figures.kit.living import megabytes, n_params, page_scripts
from llama_tutorial.shipped import SHIPPED

pytestmark = pytest.mark.usefixtures("figure_look")


def test_each_script_gives_one_value_of_its_name() -> None:
    scripts = page_scripts()
    assert set(scripts) == {"engine", *SHIPPED}
    for name, script in scripts.items():
        start = f"(globalThis.llamaAssets ??= {{}})[{json.dumps(name)}] = "
        assert script.startswith(start)
        assert script.isascii()  # whatever a server says of its encoding
        value = json.loads(script.removeprefix(start).removesuffix(";\n"))
        if name == "engine":
            assert value == browser.source()
        else:
            assert value.keys() == {"model", "tokenizer"}


def test_sizes_are_said_in_words() -> None:
    for name in SHIPPED:
        loaded = len(page_scripts()[name]) + len(page_scripts()["engine"])
        assert megabytes(name) == f"{loaded / 1e6:.1f}\N{NO-BREAK SPACE}MB"
        count = load(name)[0].config.n_params
        assert n_params(name) == f"{count / 1e6:.1f}\N{NO-BREAK SPACE}million"


def test_figure_names_its_model_and_leaves_the_weights_where_they_are() -> None:
    html = intro.writer("Once", " upon <a> time.").to_html()
    assert html == intro.writer("Once", " upon <a> time.").to_html()
    assert len(html) < 40_000
    [payload] = re.findall(r'<script type="application/json">(.*?)</script>', html)
    size, params = megabytes("tales"), n_params("tales")
    assert json.loads(payload)["llama"] == {"name": "tales", "params": params, "download": size}
    assert "<b>Once</b> upon &lt;a&gt; time.</p>" in html  # without JavaScript


def test_other_figures_carry_no_client() -> None:
    assert "llamaInPage" in intro.writer("Once", "").to_html()
    assert "llamaInPage" not in intro.block().to_html()


def test_a_model_that_does_not_come_with_the_package_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no model 'gpt2' comes with the package: .*'tales'"):
        figures.LiveFigure(
            "intro/block", controls=[], numbers=lambda: {}, alt="", caption="", llama="gpt2"
        )
