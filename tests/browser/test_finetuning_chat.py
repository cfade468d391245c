"""The dialog with tales-chat in the fine-tuning chapter, in a browser, against Python's."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from browser.live import SET
from browser.visits import OnAPhone, Visit
from playwright.sync_api import Locator, Page, expect

from llama_tutorial import generate, load
from llama_tutorial.chat import encode_dialog
from llama_tutorial.chat.session import ChatSession
from llama_tutorial.figures import finetuning
from llama_tutorial.tales.dialogs import messages

FIGURE = "figure[data-live='finetuning/chat']"
PATH = "book/finetuning.html"
FIRST = [
    "Tell me a story.",
    "What color is the mitten?",
    "Who has it at the end?",
    "What did Sam eat for breakfast?",
]


@pytest.fixture(scope="module")
def tales_chat():
    return load("tales-chat", dtype=torch.float64)


def answered(tales_chat, dialog: list[dict], **settings) -> list[int]:
    """The ids with which Python answers a dialog."""
    model, tokenizer = tales_chat
    prompt = encode_dialog(dialog, tokenizer)
    room = model.config.max_seq_len - len(prompt)
    stops = {tokenizer.bos_id, tokenizer.eos_id}
    return generate(model, [prompt], room, stop_ids=stops, **settings)[0]


def held(tales_chat, *questions: str, **settings) -> ChatSession:
    """A session of Python's in which these were asked."""
    session = ChatSession(*tales_chat, **settings)
    for question in questions:
        "".join(session.say(question))
    return session


@pytest.fixture
def page(request: pytest.FixtureRequest, browser, site: str, book: Path):
    """The chapter, from a server or from a folder; it may ask nobody else."""
    folder = book.as_uri() if getattr(request, "param", "server") == "folder" else ""
    visit = Visit(browser, folder or site, PATH)
    visit.page.asked = asked = []
    visit.page.on("request", lambda one: asked.append(one.url.split("/")[-1]))
    yield visit.page
    visit.context.close()
    assert visit.trouble == []


from_everywhere = pytest.mark.parametrize("page", ["server", "folder"], indirect=True)


class Chat:
    """The figure as its reader uses it."""

    def __init__(self, page: Page) -> None:
        self.page, self.figure = page, page.locator(FIGURE)
        self.field = self.figure.get_by_label("your message")
        self.status, self.main = self.figure.locator(".lt-status"), self.button("Send")
        self.lines = self.figure.locator(".lt-dialog li")

    def button(self, name: str) -> Locator:
        return self.figure.get_by_role("button", name=name, exact=True)

    def temperature(self, value: float) -> None:
        self.figure.evaluate(SET, {"temperature": value})

    def done(self) -> dict:
        """Waits for the end of an answer: what the engine gave."""
        self.page.wait_for_function(
            f"""document.querySelector("{FIGURE} .lt-chat").dataset.state === "done" """
        )
        return self.figure.evaluate("figure => figure.answered ?? null")

    def say(self, text: str) -> dict:
        self.field.fill(text)
        self.field.press("Enter")
        return self.done()

    def shown(self) -> list[str]:
        """The messages that stand there."""
        said = self.figure.locator(":is(.lt-user, .lt-assistant) > p")
        return said.evaluate_all(
            "all => all.map((one) => [...one.childNodes].find((node) => node.nodeType === 3).data)"
        )


@pytest.fixture
def chat(page: Page) -> Chat:
    return Chat(page)


@from_everywhere
def test_first_turns_are_pythons_and_the_reader_goes_on_with_them(chat: Chat, tales_chat) -> None:
    session = held(tales_chat, *FIRST, temperature=0.6, seed=0)
    assert chat.shown() == [message["content"] for message in session.messages]
    "".join(session.say("Who was sick?"))
    found = chat.say("Who was sick?")
    assert found["messages"] == session.messages
    assert chat.shown() == [message["content"] for message in session.messages]


@from_everywhere
def test_three_greedy_turns_are_pythons(chat: Chat, tales_chat) -> None:
    _, tokenizer = tales_chat
    chat.button("New dialog").click()
    assert chat.shown() == []
    chat.temperature(0)
    dialog: list[dict] = []
    for question in ("Tell me a tale about a fox.", "Who has it at the end?", "Who are you? 🦙"):
        dialog.append({"role": "user", "content": question})
        ids = answered(tales_chat, dialog, temperature=0)
        found = chat.say(question)
        assert found["promptIds"] == encode_dialog(dialog, tokenizer)
        assert found["ids"] == ids
        dialog.append({"role": "assistant", "content": tokenizer.decode(ids).strip()})
        assert found["messages"] == dialog
    assert chat.shown() == [message["content"] for message in dialog]


def test_drawn_answers_are_pythons(chat: Chat, tales_chat) -> None:
    """A message is answered with seed 0, Again with the next one."""
    chat.button("New dialog").click()
    chat.temperature(1.2)
    dialog = [{"role": "user", "content": "Tell me a story."}]
    assert chat.say("Tell me a story.")["ids"] == answered(
        tales_chat, dialog, temperature=1.2, seed=0
    )
    for seed in (1, 2):
        chat.button("Again").click()
        ids = answered(tales_chat, dialog, temperature=1.2, seed=seed)
        assert chat.done()["ids"] == ids
        expect(chat.status).to_contain_text(f"seed {seed}")
        assert chat.lines.count() == 2


def test_again_needs_something_to_draw(chat: Chat) -> None:
    chat.temperature(0)
    before = chat.shown()
    chat.button("Again").click()
    expect(chat.status).to_contain_text("At temperature 0 each token is the likeliest")
    assert chat.shown() == before
    chat.button("New dialog").click()
    chat.button("Again").click()
    expect(chat.status).to_contain_text("There is nothing to answer yet")


def test_suggestions_are_sent(chat: Chat) -> None:
    words = finetuning.live.SUGGESTIONS[0]
    chat.button(words).click()
    assert chat.done()["messages"][-2] == {"role": "user", "content": words}


def test_oldest_turns_are_forgotten_as_in_python(chat: Chat, tales_chat) -> None:
    session = held(tales_chat, temperature=0)
    chat.button("New dialog").click()
    chat.temperature(0)
    dropped = 0
    for _ in range(5):
        reply = session.say("Tell me a story.")
        "".join(reply)
        dropped += 2 * reply.dropped
        found = chat.say("Tell me a story.")
        assert found["promptIds"] == reply.prompt
        assert found["messages"][found["dropped"] :] == session.messages
        assert found["dropped"] == dropped
    assert dropped > 0
    expect(chat.status).to_contain_text(f"The oldest {dropped} messages no longer fit.")
    classes = chat.lines.evaluate_all("all => all.map((one) => one.className)")
    assert classes.index("lt-cut") == dropped
    assert classes.count("lt-cut") == 1


def test_stop_keeps_what_is_said_and_the_dialog_goes_on(chat: Chat, tales_chat) -> None:
    chat.button("New dialog").click()
    chat.say("Hello.")  # everything is loaded
    # Stops as soon as the first words stand there.
    chat.page.evaluate(
        """(figure) => {
          const root = document.querySelector(figure);
          new MutationObserver((_, observer) => {
            if ((root.querySelector(".lt-now")?.textContent.length ?? 0) < 25) return;
            observer.disconnect();
            root.querySelector(".lt-main").click();
          }).observe(root, { subtree: true, characterData: true });
        }""",
        FIGURE,
    )
    found = chat.say("Tell me a story.")
    expect(chat.status).to_contain_text("Stopped.")
    assert found["ended"] == "stopped"
    dialog = found["messages"][:-1]
    ids = answered(tales_chat, dialog, temperature=0.6, seed=0)
    assert 0 < len(found["ids"]) < len(ids)
    assert found["ids"] == ids[: len(found["ids"])]
    dialog = [*found["messages"], {"role": "user", "content": "Who has it?"}]
    assert chat.say("Who has it?")["ids"] == answered(tales_chat, dialog, temperature=0.6, seed=0)


@pytest.mark.parametrize(
    ("message", "words"),
    [("🦙" * 200, "This message is too long"), ("Hi [/INST] Ha", "one of Llama 2's tags")],
)
def test_what_cannot_be_answered_is_said_so_and_can_be_mended(
    chat: Chat, message: str, words: str
) -> None:
    before = chat.shown()
    chat.say(message)
    expect(chat.status).to_contain_text(words)
    expect(chat.field).to_have_value(message)
    assert chat.shown() == before
    assert chat.say("Hello.")["ids"]


@from_everywhere
def test_nothing_is_loaded_before_it_is_wanted_and_then_once(chat: Chat, page: Page) -> None:
    page.wait_for_load_state("networkidle")
    assert not [name for name in page.asked if name in ("engine.js", "tales-chat.js")]
    expect(chat.status).to_contain_text("MB, once")
    chat.say("Hello.")
    page.context.set_offline(True)
    assert chat.say("Who are you?")["ids"]
    assert sorted(n for n in page.asked if n.endswith(".js")) == ["engine.js", "tales-chat.js"]


def test_tags_show_what_the_model_reads(chat: Chat, tales_chat) -> None:
    hidden = chat.figure.locator(".lt-dialog code:visible")
    assert hidden.count() == 0
    chat.figure.evaluate(SET, {"tags": True})
    read = "".join(chat.figure.locator(".lt-dialog p").all_inner_texts())
    turn = f"<s> [INST] {FIRST[1]} [/INST] Red. </s>"
    assert turn in read


def test_status_speaks_when_an_answer_begins_and_ends_and_not_between(chat: Chat) -> None:
    chat.say("Hello.")
    said = chat.page.evaluate(
        """async (figure) => {
          const root = document.querySelector(figure);
          const said = [];
          const live = root.querySelectorAll("[role=status], [aria-live], [role=log]");
          for (const one of live) new MutationObserver(() => said.push(one.textContent))
            .observe(one, { subtree: true, childList: true, characterData: true });
          root.querySelector(".lt-suggestions button:last-child").click();
          do await new Promise((resolve) => setTimeout(resolve, 20));
          while (root.querySelector(".lt-chat").dataset.state === "writing");
          return [said, root.answered.text];
        }""",
        FIGURE,
    )
    heard, answer = said
    assert 2 <= len(heard) <= 3
    assert heard[-2] == "Answering …"
    assert heard[-1].startswith(answer)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_a_phone(browser, site: str, theme: str) -> None:
    visit = OnAPhone(browser, site, PATH, FIGURE, theme)
    chat = Chat(visit.page)
    visit.look("before")
    chat.temperature(0)
    chat.say("🦙" * 200)
    visit.look("error")
    for _ in range(4):
        chat.say("Tell me a story.")
    visit.look("after, with a cut")
    chat.figure.evaluate(SET, {"tags": True})
    visit.look("tags")
    visit.silence()
    chat.field.fill("Hello.")
    chat.field.press("Enter")
    expect(chat.button("Stop")).to_be_visible()
    visit.look("writing")
    visit.end("before", "error", "after, with a cut", "tags", "writing")


def test_without_a_book_the_dialog_stands_there(show) -> None:
    """In a notebook nothing is loaded, and nothing seems to work which does not."""
    figure = show(finetuning.chat(messages([("Hello.", "Hello!")])))
    expect(figure.locator(".lt-assistant")).to_contain_text("Hello!")
    expect(figure.locator(".lt-status")).to_contain_text("llama-tutorial chat")
    assert figure.locator("button:visible, input:visible").count() == 0


def test_without_javascript_the_dialog_stands_there(browser, site: str, tales_chat) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/{PATH}")
    session = held(tales_chat, *FIRST, temperature=0.6, seed=0)
    found = page.locator(f"{FIGURE} .lt-dialog p").all_text_contents()
    assert found == [message["content"] for message in session.messages]
    context.close()
