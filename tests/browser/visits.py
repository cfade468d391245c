"""A page of the book in a browser, and what it asks for, complains of and keeps from readers."""

from __future__ import annotations

from pathlib import Path

import yaml
from axe_playwright_python.sync_playwright import Axe
from measure_page import UNFOLD

ROOT = Path(__file__).resolve().parents[2]

# What the theme itself does, and no page can mend: the search button's name differs from its words,
# and the bibliography's list is marked up by roles that have been dropped.
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "rules": {"label-content-name-mismatch": {"enabled": False}},
}
NOT_OURS = [".citation-list"]
# What takes most of the time: every word of code is an element. In the chapters only the contrast
# there is looked at. Of the entries of a module on the API page, which are all alike, the
# first is looked at.
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
UNIFORM = ["article svg", "article pre", "article dl.py ~ dl.py"]


def pages() -> list[str]:
    """The pages of the contents, and those that Sphinx adds."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    sections = [section for chapter in chapters for section in chapter.get("sections", [])]
    files = [page["file"] for page in [*chapters, *sections]]
    return [f"{name}.html" for name in [toc["root"], *files, "genindex", "py-modindex", "search"]]


PHONE = {"width": 390, "height": 844}


class Visit:
    """An open page, and what it has asked for and complained of so far."""

    def __init__(self, browser, site: str, path: str) -> None:
        self.site, self.path = site, path
        self.trouble: list[str] = []
        self.loaded: list[str] = []
        self.context = browser.new_context(reduced_motion="reduce")
        self.page = self.context.new_page()
        self.page.on("request", self._request)
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error.message}"))
        self.page.on("console", self._console)
        self.page.on("response", self._response)
        self.page.goto(f"{site}/{path}", wait_until="load")

    def _request(self, request) -> None:
        if not request.url.startswith((self.site, "data:", "blob:")):
            self.trouble.append(f"off-site request: {request.url}")

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(f"console {message.type}: {message.text}")

    def _response(self, response) -> None:
        if response.url.startswith(self.site):
            self.loaded.append(response.url)
        if response.status >= 400:
            self.trouble.append(f"status {response.status}: {response.url}")

    def show(self, theme: str) -> None:
        """Turns the page light or dark by its own switch."""
        for _ in range(3):  # the switch goes round: as the system has it, light, dark
            if self.page.locator("html").get_attribute("data-mode") == theme:
                self.page.wait_for_timeout(400)  # until the colours have faded over
                return
            self.page.locator(".theme-switch-button").first.click()
        raise AssertionError(f"the switch of {self.path} does not reach {theme}")

    def silence(self, silent: bool = True) -> None:
        """No worker is asked any more: the state between two tokens, for as long as it takes."""
        ask = "() => {}" if silent else "globalThis.asking"
        self.page.evaluate(f"""() => {{
          globalThis.asking ??= Worker.prototype.postMessage;
          Worker.prototype.postMessage = {ask};
        }}""")

    def unfold(self) -> None:
        """Opens what is folded: sections, solutions, hidden sources, what questions guard."""
        self.page.evaluate(UNFOLD)

    def complaints(self, theme: str) -> list[str]:
        """What a theme keeps from readers; in a chapter, with the contrast of code and figures."""
        self.show(theme)
        found = self.accessibility(UNIFORM)
        if (ROOT / self.path).with_suffix(".ipynb").is_file():
            found += self.accessibility([], CONTRAST)
        return found

    def accessibility(self, left_out: list[str], options: dict = RULES) -> list[str]:
        """The rules of WCAG 2.1 A and AA that the page breaks, and where."""
        context = {"exclude": [[selector] for selector in [*NOT_OURS, *left_out]]}
        options = options | {"resultTypes": ["violations"]}
        found = Axe().run(self.page, context=context, options=options).response["violations"]
        return [f"{rule['id']}: {node['target']}" for rule in found for node in rule["nodes"]]


class OnAPhone(Visit):
    """A figure of a page on a phone, in a theme: what its states keep from readers, by name."""

    def __init__(self, browser, site: str, path: str, figure: str, theme: str) -> None:
        super().__init__(browser, site, path)
        self.figure = figure
        self.states: dict[str, list] = {}
        self.show(theme)
        self.page.set_viewport_size(PHONE)
        self.page.locator(figure).scroll_into_view_if_needed()

    def look(self, state: str) -> None:
        """Keeps what breaks a rule of WCAG 2.1 A and AA in the state that the figure is in."""
        found = Axe().run(self.page, context={"include": [[self.figure]]}, options=RULES).response
        assert len(found["passes"]) > 10
        self.states[state] = [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
        assert self.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

    def end(self, *names: str) -> None:
        """These states were looked at, and none keeps anything from anybody."""
        assert self.states == {name: [] for name in names}
        self.context.close()
