"""The Llama that writes on the first page, in a browser, against the one in Python."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import SET
from browser.visits import OnAPhone, Visit
from playwright.sync_api import Page, expect

from llama_tutorial import generate, load
from llama_tutorial.figures import intro

FIGURE = "figure[data-live='intro/writer']"
PATH = "book/intro.html"


@pytest.fixture(scope="module")
def tales():
    return load("tales")


def continued(tales, beginning: str, **settings) -> tuple[list[int], str]:
    """How Python goes on with a beginning, as far as the context goes: ids, and all of the text."""
    model, tokenizer = tales
    prompt = tokenizer.encode(beginning, bos=True)
    room = model.config.max_seq_len - len(prompt)
    stops = {tokenizer.bos_id, tokenizer.eos_id}
    [ids] = generate(model, [prompt], room, stop_ids=stops, **settings)
    return ids, tokenizer.decode(prompt + ids)


@pytest.fixture
def page(request: pytest.FixtureRequest, browser, site: str, book: Path):
    """The first page, from a server or from a folder; it may ask nobody else."""
    folder = book.as_uri() if getattr(request, "param", "server") == "folder" else ""
    visit = Visit(browser, folder or site, PATH)
    visit.page.asked = visit.asked = []
    visit.page.on("request", lambda one: visit.asked.append(one.url.split("/")[-1]))
    yield visit.page
    visit.context.close()
    assert visit.trouble == []


from_everywhere = pytest.mark.parametrize("page", ["server", "folder"], indirect=True)


class Writer:
    """The figure as its reader uses it."""

    def __init__(self, page: Page) -> None:
        self.page, self.figure = page, page.locator(FIGURE)
        self.field = self.figure.get_by_label("a beginning")
        self.tale, self.status = self.figure.locator(".lt-tale"), self.figure.locator(".lt-status")
        self.write = self.figure.locator(".lt-main")
        self.again = self.figure.get_by_role("button", name="Again")

    def temperature(self, value: float) -> None:
        self.figure.evaluate(SET, {"temperature": value})

    def done(self) -> dict:
        """Waits for the end of a tale: what the engine gave."""
        self.page.wait_for_function(
            f"""document.querySelector("{FIGURE} .lt-writer").dataset.state === "done" """
        )
        return self.figure.evaluate("figure => figure.written ?? null")

    def tell(self, beginning: str) -> dict:
        self.field.fill(beginning)
        self.field.press("Enter")
        return self.done()


@pytest.fixture
def writer(page: Page) -> Writer:
    return Writer(page)


@from_everywhere
def test_first_tale_is_pythons_and_the_page_writes_it_again(writer: Writer, tales) -> None:
    ids, text = continued(tales, "Once upon a time", temperature=0.6, seed=0)
    expect(writer.tale).to_have_text(text)
    writer.write.click()
    assert writer.done()["ids"] == ids
    assert writer.tale.text_content() == text


def test_greedy_tales_are_pythons(writer: Writer, tales) -> None:
    writer.temperature(0)
    for beginning in (
        "The dragon",
        "",
        "Lily and Tom",
        "你好, 🦙",
        "  two  spaces",
        "naïve café\u0301",
    ):
        ids, text = continued(tales, beginning, temperature=0)
        found = writer.tell(beginning)
        assert found["ids"] == ids, beginning
        assert writer.tale.text_content() == text
        assert found["text"] == text.removeprefix(beginning)


@from_everywhere
def test_drawn_tales_are_pythons(writer: Writer, tales) -> None:
    """Write draws with seed 0, Again with the next, and Write then repeats the first."""
    for temperature in (0.6, 1.2):
        writer.temperature(temperature)
        expected = [
            continued(tales, "One winter morning", temperature=temperature, seed=seed)
            for seed in (0, 1, 2)
        ]
        assert writer.tell("One winter morning")["ids"] == expected[0][0]
        for seed in (1, 2):
            writer.again.click()
            assert writer.done()["ids"] == expected[seed][0]
            assert writer.tale.text_content() == expected[seed][1]
            expect(writer.status).to_contain_text(f"seed {seed}")
        writer.write.click()
        assert writer.done()["ids"] == expected[0][0]
        assert len({text for _, text in expected}) == 3


def test_again_has_nothing_to_draw_at_temperature_0(writer: Writer) -> None:
    writer.temperature(0)
    before = writer.tale.text_content()
    writer.again.click()
    expect(writer.status).to_contain_text("At temperature 0 each token is the likeliest")
    assert writer.tale.text_content() == before


def test_openings_write(writer: Writer, tales) -> None:
    opening = writer.figure.locator(".lt-opening").nth(1)
    words = opening.text_content()
    opening.click()
    ids, text = continued(tales, words, temperature=0.6, seed=0)
    assert writer.done()["ids"] == ids
    assert writer.tale.text_content() == text
    expect(writer.field).to_have_value(words)


@from_everywhere
def test_nothing_is_loaded_before_it_is_wanted_and_then_once(writer: Writer, page: Page) -> None:
    page.wait_for_load_state("networkidle")
    assert not [name for name in page.asked if name in ("engine.js", "tales.js")]
    writer.write.click()
    writer.done()
    page.context.set_offline(True)
    writer.again.click()
    assert len(writer.done()["ids"]) > 20
    loaded = [name for name in page.asked if name.endswith(".js")]
    assert sorted(loaded) == ["engine.js", "tales.js"]


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stop_stops_and_keeps_what_is_written(writer: Writer, tales, how: str) -> None:
    ids, text = continued(tales, "Once", temperature=0.6, seed=0)
    writer.tell("Once")  # everything is loaded
    # Stops as soon as the first words stand there.
    writer.page.evaluate(
        """([figure, how]) => {
          const root = document.querySelector(figure);
          const tale = root.querySelector(".lt-tale");
          new MutationObserver((_, observer) => {
            if (root.querySelector(".lt-writer").dataset.state !== "writing") return;
            if (tale.textContent.length < 12) return;
            observer.disconnect();
            if (how === "button") root.querySelector(".lt-main").click();
            else root.querySelector("input").dispatchEvent(
              new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
          }).observe(tale, { subtree: true, characterData: true });
        }""",
        [FIGURE, how],
    )
    writer.field.press("Enter")
    expect(writer.status).to_contain_text("Stopped.")
    found = writer.done()
    assert found["ended"] == "stopped"
    assert 0 < len(found["ids"]) < len(ids)
    assert found["ids"] == ids[: len(found["ids"])]
    kept = writer.tale.text_content()
    assert text.startswith(kept)
    writer.page.wait_for_timeout(200)
    assert writer.tale.text_content() == kept
    assert writer.tell("Once")["ids"] == ids  # and all is as before


def test_a_new_beginning_ends_the_tale_before(writer: Writer, tales) -> None:
    writer.field.fill("The cat")
    writer.field.press("Enter")
    ids, text = continued(tales, "The dog", temperature=0.6, seed=0)
    assert writer.tell("The dog")["ids"] == ids
    assert writer.tale.text_content() == text


def test_a_beginning_that_is_too_long_is_said_so(writer: Writer) -> None:
    shown = writer.tale.text_content()
    writer.tell("🦙" * 100)
    expect(writer.status).to_contain_text("this beginning is 402 tokens long; the model holds 256")
    assert writer.tale.text_content() in (shown, "🦙" * 100)
    assert len(writer.tell("Once")["ids"]) > 20


def test_page_stays_awake_while_the_llama_writes(writer: Writer) -> None:
    """No task of the page takes so long that its reader would notice."""
    writer.tell("Once")  # what the loading of the weights takes is another matter
    longest = writer.page.evaluate(
        """async (figure) => {
          const tasks = [];
          const keep = (list) => tasks.push(...list.getEntries().map((one) => one.duration));
          new PerformanceObserver(keep).observe({ type: "longtask" });
          const desk = document.querySelector(`${figure} .lt-writer`);
          for (let round = 0; round < 2; round++) {
            document.querySelector(`${figure} .lt-main + button`).click();
            do await new Promise((resolve) => setTimeout(resolve, 20));
            while (desk.dataset.state === "writing");
          }
          return Math.max(0, ...tasks);
        }""",
        FIGURE,
    )
    assert longest < 100  # ms; a task counts as long from 50 on, and other tests run beside this


def test_weights_that_cannot_be_loaded_are_said_so(browser, site: str) -> None:
    visit = Visit(browser, site, PATH)
    visit.page.route("**/_static/llama/tales.js", lambda route: route.abort())
    writer = Writer(visit.page)
    writer.write.click()
    expect(writer.status).to_contain_text("tales.js could not be loaded")
    visit.page.unroute("**/_static/llama/tales.js")
    writer.write.click()  # the next click tries again
    assert len(writer.done()["ids"]) > 20
    visit.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_a_phone(browser, site: str, theme: str) -> None:
    visit = OnAPhone(browser, site, PATH, FIGURE, theme)
    writer = Writer(visit.page)
    visit.look("before")
    writer.write.click()
    writer.done()
    visit.look("after")
    visit.silence()
    writer.write.click()
    expect(writer.status).to_have_text("Writing …")
    visit.look("writing")
    visit.silence(False)
    writer.tell("🦙" * 100)
    visit.look("error")
    visit.end("before", "after", "writing", "error")


def test_status_speaks_when_a_tale_begins_and_ends_and_not_between(writer: Writer) -> None:
    writer.tell("Once")
    said = writer.page.evaluate(
        """async (figure) => {
          const said = [];
          const live = document.querySelectorAll(`${figure} [role=status], ${figure} [aria-live]`);
          for (const one of live) new MutationObserver(() => said.push(one.textContent))
            .observe(one, { subtree: true, childList: true, characterData: true });
          const desk = document.querySelector(`${figure} .lt-writer`);
          document.querySelector(`${figure} .lt-main`).click();
          do await new Promise((resolve) => setTimeout(resolve, 20));
          while (desk.dataset.state === "writing");
          return said;
        }""",
        FIGURE,
    )
    assert 2 <= len(said) <= 3
    assert said[-2] == "Writing …"
    assert "tokens" in said[-1]


def test_without_a_book_the_tale_stands_there(show) -> None:
    """In a notebook nothing is loaded, and nothing seems to work which does not."""
    figure = show(intro.writer("Once", " there was a fox."))
    expect(figure.locator(".lt-tale")).to_have_text("Once there was a fox.")
    expect(figure.locator(".lt-status")).to_contain_text("figures.generation.explore")
    assert figure.locator("button:visible, input:visible").count() == 0


def test_without_javascript_the_tale_stands_there(browser, site: str, tales) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/{PATH}")
    _, text = continued(tales, "Once upon a time", temperature=0.6, seed=0)
    expect(page.locator(f"{FIGURE} .lt-tale")).to_have_text(text)
    context.close()
