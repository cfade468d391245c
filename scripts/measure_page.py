"""Measures a chapter: its story, and the page as a reader's browser lays it out.

    python scripts/measure_page.py _build/html rope        from a built book

Everything is measured with the folds shut. A block's height goes to the top of the next one, so
that the shares add up to the whole page.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import notebooks
from story import stated_minutes, story

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)

# The blocks of the page in reading order, each with its kind and its top.
BLOCKS = """() => {
  const kinds = {
    code: ".cell_input, details.hide, .lt-source, .lt-diff, div.highlight",
    prose: `p, h1, h2, h3, h4, ul, ol, dl, blockquote, div.math, .admonition, .lt-predict,
      details.lt-deeper, .pst-scrollable-table-container, table`,
    pictures: "figure, .lt-static, .lt-table",
    prints: ".cell_output .output",
  };
  const kindOf = (element) => Object.keys(kinds).find((kind) => element.matches(kinds[kind]));
  const blocks = [];
  const visit = (element) => {
    const box = element.getBoundingClientRect();
    if (!box.height || !element.checkVisibility()) return;
    // An output is what it holds: a figure, a table, a question, or something printed.
    const held = element.matches(".output") && element.querySelector(
      ".lt-figure, .lt-table, .lt-predict, .lt-source, .lt-diff");
    const kind = held ? undefined : kindOf(element);
    if (!kind) return [...element.children].forEach(visit);
    const isFigure = kind === "pictures" && !element.matches(".lt-table");
    blocks.push({ kind, top: box.top + scrollY, isFigure });
  };
  const article = document.querySelector("article.bd-article");
  visit(article);
  return { blocks, top: article.getBoundingClientRect().top + scrollY,
           bottom: article.getBoundingClientRect().bottom + scrollY };
}"""

# The sizes of the writing in pictures, as they come out on the screen.
WRITING = """(selector) => [...document.querySelectorAll(selector)].map((text) => {
    const { a, b, c, d } = text.getScreenCTM();
    const size = parseFloat(getComputedStyle(text).fontSize) * Math.sqrt(Math.abs(a * d - b * c));
    return [Math.round(size * 10) / 10, text.textContent.trim()];
  }).filter(([size, words]) => words).sort(([one], [other]) => one - other)"""

UNFOLD = """() => {
  for (const one of document.querySelectorAll(".toggle-hidden"))
    one.classList.remove("toggle-hidden");
  for (const one of document.querySelectorAll("details")) one.open = true;
  for (const one of document.querySelectorAll(".lt-predict:not([data-answered]) .lt-show"))
    one.click();
}"""


def measure_page(browser: Browser, address: str) -> dict[str, Any]:
    """What a chapter's page measures in a browser.

    Returns:
        ``height`` and ``phone_height`` of the article in pixels, ``code``, ``prose``, ``pictures``
        and ``prints`` as shares of the height, ``first_figure`` in pixels from the page's top
        (None without one), and ``writing`` and ``live_writing``: size and words of the smallest
        writing in static and in live figures on a phone.
    """
    page = browser.new_page(viewport=DESKTOP, reduced_motion="reduce")  # type: ignore[arg-type]
    page.goto(address, wait_until="load")
    page.evaluate("window.MathJax?.startup?.promise")
    shown = page.evaluate(BLOCKS)
    blocks, height = shown["blocks"], shown["bottom"] - shown["top"]
    ends = [*(block["top"] for block in blocks[1:]), shown["bottom"]]
    measured: dict[str, Any] = {"height": round(height)}
    for kind in ("code", "prose", "pictures", "prints"):
        pairs = zip(blocks, ends, strict=True)
        own = sum(end - block["top"] for block, end in pairs if block["kind"] == kind)
        measured[kind] = own / height
    tops = [block["top"] for block in blocks if block["isFigure"]]
    measured["first_figure"] = round(min(tops)) if tops else None
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    measured["phone_height"] = round(
        page.evaluate("document.querySelector('article.bd-article').offsetHeight")
    )
    page.evaluate(UNFOLD)
    for name, selector in (("writing", ".lt-static"), ("live_writing", ".lt-stage")):
        found = page.evaluate(WRITING, f"{selector} svg text")
        measured[name] = found[0] if found else None
    page.close()
    return measured


def report(name: str, measured: dict[str, Any]) -> str:
    """The numbers of a chapter for those who write it."""
    notebook = notebooks.read(notebooks.BOOK / f"{name}.ipynb")
    told, stated = story(notebook), stated_minutes(notebook)
    shares = ", ".join(
        f"{kind} {measured[kind]:.0%}" for kind in ("code", "prose", "pictures", "prints")
    )
    lines = [
        f"{name}",
        f"  story          {told.words} words, {told.lines} code lines in sight "
        f"(longest cell {told.longest_cell}), {told.asserts} asserts in sight",
        f"  predictions    {told.predictions}",
        f"  minutes        {told.minutes:.0f} to read, stated: {stated}",
        f"  page           {measured['height']} px at 1280, {measured['phone_height']} px at 390",
        f"  shares         {shares}",
        f"  first figure   at {measured['first_figure']} px",
        f"  writing at 390 smallest static {measured['writing']}, live {measured['live_writing']}",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line and prints a report for each chapter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", type=Path, help="folder of the built book: _build/html")
    parser.add_argument("names", nargs="+", help="chapters")
    options = parser.parse_args(arguments)
    for name in options.names:
        page = options.pages / "book" / f"{name}.html"
        if not page.is_file() or not (notebooks.BOOK / f"{name}.ipynb").is_file():
            parser.error(f"no page {page} of a chapter: build the book, and name a chapter")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in options.names:
            page = (options.pages / "book" / f"{name}.html").resolve()
            print(report(name, measure_page(browser, page.as_uri())))
        browser.close()


if __name__ == "__main__":
    main()
