"""Keeps of the theme's two thousand icons those that the book shows: 20 kB in place of 1.9 MB.

The theme draws each icon twice: by the web fonts of Font Awesome, and then again by a script that
holds all of them as SVG. Here the fonts are cut to the glyphs in use, and the script goes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

SCRIPT = re.compile(r"\s*<script src=\"[^\"]*/fontawesome\.js[^\"]*\"></script>")
NAME = re.compile(r"\bfa-[a-z0-9-]+")
RULE = re.compile(r"((?:\.fa-[a-z0-9-]+:{1,2}before,?)+)\{content:\"(\\?)([^\"]+)\"\}")
ICON = re.compile(r"--pst-icon-[a-z-]+:\s*\"(\\?)([^\"]+)\"")  # of admonitions and their like
WOFF2 = re.compile(r"url\([^)]*/(fa-[a-z0-9-]+)\.woff2\) format\(\"woff2\"\),\s*")


def character(escaped: str, text: str) -> str:
    """The glyph that a ``content`` of CSS names, as itself or by its number."""
    return chr(int(text, 16)) if escaped else text


def cut_font(path: Path, text: str) -> None:
    """Leaves the glyphs of ``text`` in a font."""
    font = TTFont(path)
    subsetter = Subsetter(Options(layout_features=[], notdef_outline=True, hinting=False))
    subsetter.populate(text=text)
    subsetter.subset(font)
    font.save(path)


def cut(app: Any, exception: Exception | None) -> None:
    """Cuts the fonts and the style sheet of a finished HTML build, and takes the script away."""
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    style = static / "styles" / "pydata-sphinx-theme.css"
    script = static / "scripts" / "fontawesome.js"
    if not script.is_file():  # of an earlier build, which is cut already
        return
    script.unlink()
    used = set()
    for path in sorted(Path(app.outdir).rglob("*.html")):
        page = path.read_text(encoding="utf-8")
        path.write_text(SCRIPT.sub("", page), encoding="utf-8")
        used |= set(NAME.findall(page))
    for path in static.rglob("*.js"):
        used |= set(NAME.findall(path.read_text(encoding="utf-8")))

    css = style.read_text(encoding="utf-8")
    glyphs = {character(*found) for found in ICON.findall(css)}

    def kept(rule: re.Match[str]) -> str:
        if not used & set(NAME.findall(rule[1])):
            return ""
        glyphs.add(character(rule[2], rule[3]))
        return rule[0]

    css = RULE.sub(kept, css)
    style.write_text(WOFF2.sub("", css), encoding="utf-8")
    fonts = static / "vendor" / "fontawesome" / "webfonts"
    for path in fonts.glob("*.woff2"):
        path.unlink()
    for path in sorted(fonts.glob("*.ttf")):
        cut_font(path, "".join(sorted(glyphs)))


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("build-finished", cut)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
