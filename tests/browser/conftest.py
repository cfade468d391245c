"""The built book, served on this machine, and a browser to read it with."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import notebooks
import pytest
from filelock import FileLock
from measure_page import BROWSERS, CHROMIUM
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
LITTLE_CONTENTS = """\
format: jb-book
root: book/intro
parts:
  - caption: Part
    numbered: true
    chapters:
      - file: book/page
"""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict) -> dict:
    """The installed Chromium, which says nothing to the world on its own account."""
    if CHROMIUM is None:
        reason = f"no browser: none of {', '.join(BROWSERS)} is installed"
        if os.environ.get("CI"):
            pytest.fail(reason + "; in CI these tests must run")
        pytest.skip(reason)
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", *quiet]
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": arguments}


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Path, str]:
    """The folder of the book's pages, built from nothing once a run, and what the build said."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent  # which all workers of a run share
    target, log = folder / "book", folder / "book.log"
    with FileLock(folder / "book.lock"):
        if not log.exists():
            log.write_text(_build(target), encoding="utf-8")
    return target / "_build" / "html", log.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def book(build: tuple[Path, str]) -> Path:
    """The folder of the book's pages."""
    pages, _ = build
    if not (pages / "index.html").is_file():
        pytest.fail(
            "the book did not build: see test_book_builds_from_nothing_without_a_warning",
            pytrace=False,
        )
    return pages


def _build(target: Path, source: Path = ROOT) -> str:
    """Builds with warnings as errors; a build with warnings still leaves its pages."""
    tool = str(Path(sys.executable).with_name("jupyter-book"))
    options = ["-W", "-n", "--keep-going", "--path-output", str(target)]
    target.mkdir()
    done = subprocess.run(
        [tool, "build", str(source), *options], capture_output=True, text=True, check=False
    )
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)  # without its colours
    return f"{said}\nexit code {done.returncode}"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path):
    """The address of a folder, served here for a while."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def site(book: Path):
    """The address of the book, served here."""
    with serving(book) as address:
        yield address


@pytest.fixture(scope="session")
def build_little(tmp_path_factory: pytest.TempPathFactory):
    """Builds a book of one page in the look of ours: its cells in, its pages and the log out."""

    def build(*cells: NotebookNode) -> tuple[Path, str]:
        source = tmp_path_factory.mktemp("little")
        (source / "book").mkdir()
        for name in ("_config.yml", "_ext", "book/_static", "book/references.bib"):
            (source / name).symlink_to(ROOT / name)
        (source / "_toc.yml").write_text(LITTLE_CONTENTS, encoding="utf-8")
        (source / "book" / "intro.md").write_text("# A little book\n", encoding="utf-8")
        page = nbformat.v4.new_notebook(cells=[*cells], metadata=notebooks.METADATA)
        nbformat.write(page, source / "book" / "page.ipynb")
        return source / "out" / "_build" / "html", _build(source / "out", source)

    return build


@pytest.fixture
def offline_page(browser):
    """A page without any network; an error in its scripts fails the test."""
    context = browser.new_context(offline=True)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(error.message))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def show(offline_page):
    """Puts a figure into a page without network."""

    def put(figure):
        offline_page.set_content(
            f'<!doctype html><html lang="en"><body>{figure.to_html()}</body></html>'
        )
        return offline_page.locator("figure.lt-figure")

    return put
