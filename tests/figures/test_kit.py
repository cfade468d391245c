"""The figures' look by numbers, and what their Python side promises."""

from __future__ import annotations

import itertools
import json
import math
import re

import pytest

pytest.importorskip("matplotlib")

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from browser.fixtures import turning
from matplotlib.colors import to_rgb

from llama_tutorial import figures
from llama_tutorial.figures.kit import style
from llama_tutorial.figures.kit.assets import KIT, function_of, read
from llama_tutorial.figures.kit.source import without_docstrings
from llama_tutorial.figures.kit.svg import data_uri
from llama_tutorial.rope import apply_rope

pytestmark = pytest.mark.usefixtures("figure_look")

# Machado, Oliveira and Fernandes (2009): what is left of linear RGB without one kind of cone.
CONES = {
    "all": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip

# Ottosson (2020), OKLab: distances in it follow the eye.
LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
LAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip


def _linear(color) -> np.ndarray:
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _luminance(color) -> float:
    return float(_linear(color) @ [0.2126, 0.7152, 0.0722])


def _contrast(one, other) -> float:
    """The contrast ratio of WCAG 2.1."""
    dark, light = sorted([_luminance(one), _luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def _seen(color, cones) -> np.ndarray:
    return LAB @ np.cbrt(LMS @ np.clip(np.array(cones) @ _linear(color), 0, 1))


def _over(rgba, ground) -> tuple:
    *rgb, alpha = rgba
    return tuple(alpha * c + (1 - alpha) * g for c, g in zip(rgb, to_rgb(ground), strict=True))


@pytest.mark.parametrize("ground", style.GROUNDS)
@pytest.mark.parametrize("color", [figures.INK, *figures.PALETTE])
def test_every_colour_stands_out_from_every_ground(color: str, ground: str) -> None:
    assert _contrast(color, ground) >= 3


@pytest.mark.parametrize("cones", CONES)
def test_series_stay_apart_for_every_eye(cones: str) -> None:
    for one, other in itertools.combinations(figures.PALETTE, 2):
        distance = np.linalg.norm(_seen(one, CONES[cones]) - _seen(other, CONES[cones]))
        assert distance >= 0.08, (one, other)


@pytest.mark.parametrize("ground", style.GROUNDS)
def test_colormaps_grow_from_the_page_itself(ground: str) -> None:
    steps = np.linspace(0, 1, 9)
    sequential = [_contrast(_over(figures.SEQUENTIAL(s), ground), ground) for s in steps]
    assert sequential[0] == pytest.approx(1)
    assert sequential == sorted(sequential)
    assert sequential[-1] >= 3
    diverging = [_contrast(_over(figures.DIVERGING(0.5 + s / 2), ground), ground) for s in steps]
    mirrored = [_contrast(_over(figures.DIVERGING(0.5 - s / 2), ground), ground) for s in steps]
    for arm in (diverging, mirrored):
        assert arm[0] == pytest.approx(1, abs=0.05)
        assert arm == sorted(arm)
        assert arm[-1] >= 3


def test_script_and_style_have_the_same_colours() -> None:
    assert re.findall(r"--lt-c\d: (#\w+)", read("page.css")) == list(figures.PALETTE)


def _waves():
    figure, axes = plt.subplots()
    steps = np.linspace(0, 6, 20)
    for k in range(3):
        axes.plot(steps, figures.rounded(np.sin(steps + k)), label=f"sin(x + {k}) = 0.12345")
    axes.grid(True)
    axes.legend()
    return figure


def test_svg_is_the_same_each_time_and_names_nobody() -> None:
    text = figures.svg_text(_waves())
    assert text == figures.svg_text(_waves())
    assert text.startswith("<svg ")
    assert not re.search(r"<\?xml|<!DOCTYPE|<metadata|<style|matplotlib", text)
    assert plt.get_fignums() == []


def test_svg_takes_the_pages_ink_and_lays_no_ground() -> None:
    text = figures.svg_text(_waves())
    assert f"var(--lt-ink, {figures.INK})" in text
    colors = set(re.findall(r"#[0-9a-f]{6}", text))
    assert colors == {figures.INK, *figures.PALETTE[:3]}


def test_svg_rounds_coordinates_but_not_words() -> None:
    text = figures.svg_text(_waves())
    assert "sin(x + 1) = 0.12345" in text
    assert not re.search(r"[ML] -?\d+\.\d{3}", text)


def test_svg_ids_do_not_meet_in_one_page() -> None:
    other, axes = plt.subplots()
    axes.plot([0, 1], [1, 0])
    ids = [set(re.findall(r'id="([^"]+)"', figures.svg_text(f))) for f in (_waves(), other)]
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]


def test_svg_as_an_image_is_xml() -> None:
    import base64
    from xml.etree import ElementTree

    text = base64.b64decode(data_uri(figures.svg_text(_waves())).split(",")[1])
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1 / 3, 0.333),
        (1234.5, 1230.0),
        (-0.00012345, -0.000123),
        (1e-12, 0.0),
        (-1e-12, 0.0),
        (1.125, 1.13),
        (7, 7),
        (True, True),
        ("a", "a"),
        (None, None),
        (np.float32(0.1), 0.1),
        (np.array([1 / 3, 2 / 3]), [0.333, 0.667]),
        (torch.tensor([[1, 2]]), [[1, 2]]),
        ({"a": (0.12345, [9.999])}, {"a": [0.123, [10.0]]}),
    ],
)
def test_rounded(value, expected) -> None:
    assert figures.rounded(value) == expected
    assert math.copysign(1, figures.rounded(-1e-12)) == 1


def test_rounded_keeps_as_many_digits_as_asked() -> None:
    assert figures.rounded(math.pi, digits=5) == 3.1416


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1 + 0.2, "0.3"), (-2 / 3, "−0.667"), (6738415616, "6738415616"), (2.0, "2"), (False, "no"),
     (math.inf, "∞"), (-math.inf, "−∞"), (math.nan, "undefined"), ("a-b", "a-b"),
     ([1, 0.25], "1, 0.25")],
)  # fmt: skip
def test_number_text(value, text: str) -> None:
    assert figures.number_text(value) == text


def test_a_figure_is_the_same_text_each_time() -> None:
    assert turning.turning().to_html() == turning.turning().to_html()
    assert turning.framed().to_html() == turning.framed().to_html()


def test_a_notebook_gets_the_page_s_html_and_no_widget() -> None:
    live = turning.turning()
    assert live._repr_html_() == live.to_html()
    assert not hasattr(live, "_repr_mimebundle_")
    assert repr(live) == "<live figure 'turning' with controls: m, frequency, name, ghost>"


def test_data_cannot_end_the_script_element() -> None:
    html = turning.turning().to_html()
    payload = html.split('<script type="application/json">')[1].split("</script>")[0]
    checks = json.loads(payload)["checks"]
    assert checks[0]["values"] == {"m": 3, "frequency": 0.1, "name": "q", "ghost": False}
    assert any("</script>" in check["values"]["name"] for check in checks)


def test_scripts_leave_no_name_behind() -> None:
    text = function_of("turning", "const setup = () => () => ({});")
    assert text.startswith("(() => {")
    assert text.endswith("})();")
    assert "\n//" not in text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: figures.Slider("my m", 0, 3, 0), "'my m' is not an identifier"),
        (lambda: figures.Slider("m", 0, 3, 7), "value 7 must be one of 2 to 600 values, got 4"),
        (lambda: figures.Slider("m", 0, 3, 0, 0), "step must be more than 0, got 0"),
        (lambda: figures.Slider("m", 0, 4095, 0), "one of 2 to 600 values, got 4096"),
        (lambda: figures.Stops("m", values=[1]), "must be one of 2 to 600 values, got 1"),
        (lambda: figures.Select("s", "c", options=["a", "b"]), "'c' must be one of two or more"),
        (lambda: figures.table([[1, 2]], ["one"], "x"), "has 2 cells, the header .* has 1"),
        (lambda: figures.show_source(), "needs at least one function or class"),
        (lambda: turning.turning(checks=[{"n": 1}]), r"unknown: \['n'\]"),
    ],
)
def test_mistakes_are_explained(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_missing_script_lists_those_that_there_are() -> None:
    missing = {"controls": [], "numbers": dict, "alt": "", "caption": ""}
    message = r"no figure script 'rope/nothing' .* there are: \['checkpoints/shards', "
    with pytest.raises(FileNotFoundError, match=message):
        figures.LiveFigure("rope/nothing", **missing)


def test_chapters_figures_are_there_by_name_and_nothing_else_is() -> None:
    assert figures.rope.clocks().name == "rope/clocks"
    folders = {path.parent.name for path in KIT.parent.glob("*/live.py")} - {"kit"}
    assert folders | {"journey"} <= set(dir(figures))
    with pytest.raises(AttributeError, match="has no attribute 'ropes'"):
        figures.ropes  # noqa: B018


def test_numbers_that_are_none_are_refused() -> None:
    live = figures.LiveFigure(
        KIT / "_frames.js",
        data=[math.nan], controls=[], numbers=dict, alt="", caption="",
    )  # fmt: skip
    with pytest.raises(ValueError, match="not JSON compliant"):
        live.to_html()


def test_source_is_the_packages_own() -> None:
    shown = figures.show_source(apply_rope)
    assert shown.text.startswith("def apply_rope(")
    assert '"""' in shown.text
    assert repr(shown) == "<source of llama_tutorial.rope.apply_rope>"
    html = shown._repr_html_()
    assert "<code>llama_tutorial/rope.py</code>" in html
    words = re.sub(r"<style>.*?</style>|<[^>]+>", "", html)
    assert "def apply_rope(" in words


def test_source_without_docstrings_is_the_same_code() -> None:
    import ast

    text = '''class A:
    """What.

    More."""

    x = 1

    @property
    def one(self):
        """Only this."""

    def two(self):
        """Gone."""
        # kept
        return "kept"
'''
    bare = without_docstrings(text)
    assert "What" not in bare
    assert "Gone" not in bare
    assert "Only this" in bare
    assert "# kept" in bare
    names = [node.name for node in ast.walk(ast.parse(bare)) if isinstance(node, ast.FunctionDef)]
    assert names == ["one", "two"]
    assert figures.show_source(apply_rope, docstring=False).text.count('"""') == 0


def test_table_is_one_for_eyes_and_screen_readers() -> None:
    shown = figures.table([["7B", 6738415616, 1 / 3], ["<x>", -5, 2.0]], ["model", "n", "f"], "A&B")
    html = shown._repr_html_()
    assert html.count('<th scope="row">') == 2
    assert html.count('<th scope="col"') == 3
    assert '<td class="lt-number">6,738,415,616</td>' in html
    assert '<td class="lt-number">0.333</td>' in html
    assert "&lt;x&gt;" in html
    assert "<caption>A&amp;B</caption>" in html
    assert repr(shown).splitlines()[1].split() == ["7B", "6,738,415,616", "0.333"]


def test_use_makes_inline_pictures_deterministic_svg() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    assert matplotlib.rcParams["svg.fonttype"] == "none"
    assert matplotlib.rcParams["image.cmap"] == "lt-sequential"
    assert InteractiveShell.initialized() is False  # outside a notebook it touches no shell
