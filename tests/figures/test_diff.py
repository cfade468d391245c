"""Old code beside new: which lines are shown, and how they are marked."""

from __future__ import annotations

import html
import re

import pytest

pytest.importorskip("matplotlib")

from llama_tutorial import figures
from llama_tutorial.figures.kit.diff import source_of
from llama_tutorial.rope import apply_rope

OLD = """
    class Block:
        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
"""
NEW = """
    class Block:
        def __init__(self):
            self.norm = "two\\nlines"

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            return x + self.swiglu(self.norm2(x))
"""


def _shown(page: str) -> str:
    return html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", "", page, flags=re.DOTALL))


def _sides(page: str, element: str) -> list[str]:
    found = re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL)
    return "".join(map(_shown, found)).splitlines()


def test_text_is_the_difference_in_lines() -> None:
    assert repr(figures.diff(OLD, NEW)) == (
        "  class Block:\n"
        "+     def __init__(self):\n"
        '+         self.norm = "two\\nlines"\n'
        "+\n"
        "      def forward(self, x):\n"
        "          x = x + self.attention(self.norm1(x))\n"
        "-         return x + self.mlp(self.norm2(x))\n"
        "+         return x + self.swiglu(self.norm2(x))"
    )


def test_page_marks_lines_by_sign_and_element() -> None:
    page = figures.diff(OLD, NEW, "What <b>changes</b>.")._repr_html_()
    assert _sides(page, "del") == ["−        return x + self.mlp(self.norm2(x))"]
    assert _sides(page, "ins") == [
        "+    def __init__(self):",
        '+        self.norm = "two\\nlines"',
        "+",
        "+        return x + self.swiglu(self.norm2(x))",
    ]
    assert "<figcaption>What <b>changes</b>.</figcaption>" in page
    assert page == figures.diff(OLD, NEW, "What <b>changes</b>.")._repr_html_()
    assert page.count('aria-hidden="true"') == 2  # the right side's copy of each block that stays


def test_every_line_of_a_long_string_keeps_its_own_markup() -> None:
    text = 'def f():\n    """One.\n\n    Two.\n    """\n    return {}\n'
    page = figures.diff(text.format(1), text.format(2))._repr_html_()
    for row in re.findall(r'<span class="lt-row".*?\n</span>', page, re.DOTALL):
        assert row.count("<span") == row.count("</span>")
    assert "Two." in _shown(page)


def test_of_long_code_only_what_changes_is_shown() -> None:
    lines = [f"x{i} = {i}" for i in range(60)]
    changed = [*lines[:20], "x20 = 0", *lines[21:40], *lines[41:]]
    text = repr(figures.diff("\n".join(lines), "\n".join(changed))).splitlines()
    assert text == [
        "...", "  x17 = 17", "  x18 = 18", "  x19 = 19", "- x20 = 20", "+ x20 = 0",
        "  x21 = 21", "  x22 = 22", "  x23 = 23", "...", "  x37 = 37", "  x38 = 38",
        "  x39 = 39", "- x40 = 40", "  x41 = 41", "  x42 = 42", "  x43 = 43", "...",
    ]  # fmt: skip
    page = figures.diff("\n".join(lines), "\n".join(changed))._repr_html_()
    assert re.findall(r'lt-left-out">([^<]*)<', page) == ["⋯ 17 lines", "⋯ 13 lines", "⋯ 16 lines"]


def test_functions_and_classes_are_read_from_their_source() -> None:
    assert source_of(apply_rope) == figures.show_source(apply_rope).text.rstrip()
    assert source_of(figures.Predict).startswith("class Predict:\n")


def test_classes_of_a_notebook_are_found(tmp_path) -> None:
    """As Jupyter does it: the cells' text is where Python looks for lines, the module has none."""
    import linecache
    import sys
    from types import ModuleType

    first = "class A:\n    x = 1\n\n    def f(self):\n        return 1\n\n\nclass B:\n    pass\n"
    second = "import functools\n\n\n@functools.total_ordering\n" + first.replace(
        "return 1", "return 2"
    ).replace("class B:\n    pass\n", "    def __lt__(self, other):\n        return True\n")
    module = sys.modules["cells"] = ModuleType("cells")
    found = []
    for number, text in enumerate((first, second)):
        name = f"<cell {number}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), module.__dict__)
        found.append(module.A)
    try:
        assert source_of(found[0]) == first.split("\n\n\nclass B")[0]
        assert source_of(found[1]).startswith("@functools.total_ordering\nclass A:\n    x = 1")
        assert source_of(found[1]).endswith("return True")
        with pytest.raises(ValueError, match=r"no source of .*B.* can be found: give a function"):
            source_of(module.B)
    finally:
        del sys.modules["cells"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x = 1", " x = 1\n", "old and new are the same code"),
        ("", "x = 1", "the source to be shown is empty"),
        (3, "x = 1", "no source of 3 can be found"),
        (len, "x = 1", "no source of <built-in function len> can be found"),
    ],
)
def test_what_cannot_be_compared_is_refused(old, new, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.diff(old, new)
