"""Matplotlib figures as SVG text: the same characters on every run, at home inside a page.

The text has no date and no program name, its ids are hashes of its content, its coordinates have
two decimals, and its ink is a CSS variable with the style's colour as the fall-back: inside a page
the writing takes the page's text colour, in an ``<img>`` it stays the mid-grey that is legible on
light and on dark.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import warnings
from typing import Any

import matplotlib as mpl

from llama_tutorial.figures.kit.style import INK, STYLE

# CSS pixels for a point of the figure: 9.5 points of writing are as large as the text around it on
# a wide page, and still legible where the picture shrinks to a phone's width.
PIXELS = 1.6

# A style element inside one picture would restyle every other picture of the page.
_LEFT_OUT = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
_ROOT_STYLE = '<svg style="stroke-linejoin: round; stroke-linecap: butt"'
_SIZE = re.compile(r'width="([\d.]+)pt" height="([\d.]+)pt"')
_GROUP_ID = re.compile(r'<g id="[^"]*"')
_ID = re.compile(r'(?<=\bid=")[^"]+|(?<=url\(#)[^)]+|(?<=href="#)[^"]+')
_INK = re.compile(rf"(fill|stroke): {INK}")
_TAG = re.compile(r"<[^>]+>")
_LONG_DECIMAL = re.compile(r"-?\d+\.\d{3,}")


def svg_text(figure: Any) -> str:
    """The SVG element of a matplotlib figure, which is closed afterwards.

    Args:
        figure: A ``matplotlib.figure.Figure``.

    Returns:
        One ``<svg>`` element, without an XML prologue, that may stand in HTML beside others.
    """
    import matplotlib.pyplot as plt

    buffer = io.StringIO()
    settings = {key: value for key, value in STYLE.items() if key.startswith("svg.")}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The writing stays text: the reader's browser has the glyphs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return _for_page(buffer.getvalue())


def _for_page(text: str) -> str:
    text = _GROUP_ID.sub("<g", _LEFT_OUT.sub("", text)).replace("<svg", _ROOT_STYLE, 1)
    text = _SIZE.sub(_in_pixels, text, count=1)
    text = re.sub(r"> <", "><", re.sub(r"\s+", " ", text)).strip()
    text = _TAG.sub(lambda tag: _LONG_DECIMAL.sub(_two_decimals, tag[0]), text)
    prefix = "s" + hashlib.sha256(text.encode()).hexdigest()[:8] + "-"
    text = _ID.sub(lambda match: prefix + match[0], text)
    return _INK.sub(rf"\1: var(--lt-ink, {INK})", text)


def _in_pixels(match: re.Match[str]) -> str:
    width, height = (round(float(size) * PIXELS) for size in match.groups())
    return f'width="{width}" height="{height}"'


def _two_decimals(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def data_uri(svg: str) -> str:
    """The SVG as the source of an ``<img>``."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def use() -> None:
    """Gives every figure drawn from now on the book's look; the set-up cell of a chapter calls it.

    In a notebook it also makes the inline pictures SVG without a date, so that a second run prints
    the same characters.
    """
    mpl.rcParams.update(STYLE)
    _use_inline_svg()


def _use_inline_svg() -> None:
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return
    from matplotlib.figure import Figure

    shell.run_line_magic("matplotlib", "inline")
    shell.run_line_magic("config", "InlineBackend.figure_formats = ['svg']")
    shell.display_formatter.formatters["image/svg+xml"].for_type(Figure, svg_text)
    mpl.rcParams.update(STYLE)
