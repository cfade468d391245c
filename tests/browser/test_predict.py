"""Questions in a browser: answered by mouse, by keyboard, wrongly, and not at all."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")
from axe_playwright_python.sync_playwright import Axe
from browser.fixtures import turning
from browser.live import SET
from browser.visits import RULES
from playwright.sync_api import expect

from llama_tutorial import figures
from llama_tutorial.figures.kit import assets

# Where a page says that it is dark, as the book and JupyterLab do.
LIGHT = "<style>body { background: #ffffff; color: #14181e; }</style>"
DARK = (
    "<style>body { background: #121212; color: #ced6dd; "
    "--pst-color-text-base: #ced6dd; --pst-color-surface: #222832; }</style>"
)


@pytest.fixture(scope="module")
def demo() -> str:
    """A choice that guards a figure, and a number."""
    figures.use()
    choice = figures.Predict(
        "Where does it <i>end</i>?",
        choices=["left", "right", "above"],
        answer=1,
        why="It turns <b>slowly</b>.",
        guards=turning.turning(),
    )
    number = figures.Predict(
        "How many?", answer=4096, tolerance=96, unit="tokens", why="A power of 2."
    )
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>t</title>{LIGHT}</head><body><main>'
        f"{choice.to_html()}{number.to_html()}<p>Below.</p></main></body></html>"
    )


@pytest.fixture
def asked(offline_page, demo: str):
    offline_page.set_content(demo)
    return offline_page.locator(".lt-predict").all()


def test_nothing_is_told_before_the_guess(asked) -> None:
    for one in asked:
        assert one.locator(".lt-verdict").inner_text() == ""
        assert not one.locator(".lt-answer").is_visible()
        assert not one.locator(".lt-why").is_visible()
    assert not asked[0].locator("figure.lt-figure").is_visible()


def test_a_wrong_choice_stays_beside_the_right_one(asked) -> None:
    asked[0].get_by_role("button", name="left").click()
    said = asked[0].locator(".lt-verdict").inner_text().split("\n")
    assert [line for line in said if line] == [
        "Not quite: you said “left”. It is “right”.",
        "It turns slowly.",
    ]
    buttons = asked[0].locator(".lt-choices button").all_inner_texts()
    assert [" ".join(text.split()) for text in buttons] == [
        "left ✗ your guess",
        "right ✓ answer",
        "above",
    ]
    asked[0].locator("button[data-choice='2']").click(force=True)  # the first guess counts
    assert asked[0].locator(".lt-verdict").inner_text().startswith("Not quite: you said “left”")


def test_a_right_choice_is_said_to_be_right(asked) -> None:
    asked[0].get_by_role("button", name="right").click()
    assert asked[0].locator(".lt-verdict p").first.inner_text() == "Right: “right”."


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("4096", "Right: 4,096 tokens."),
        ("4,000", "Right: 4,096 tokens."),
        ("4.100 Tokens", "Right: 4,096 tokens."),
        ("3 999", "Not quite: you said 3 999. It is 4,096 tokens."),
        ("-4096", "Not quite: you said -4096. It is 4,096 tokens."),
    ],
)
def test_a_number_is_judged(asked, typed: str, said: str) -> None:
    asked[1].get_by_label("Your guess").fill(typed)
    asked[1].get_by_role("button", name="Check").click()
    assert asked[1].locator(".lt-verdict p").first.inner_text() == said
    assert asked[1].get_by_label("Your guess").input_value() == typed
    assert asked[1].locator(".lt-why").is_visible()


@pytest.mark.parametrize("typed", ["", "many", "4096 tables", "1,2,3", "4..0", "--4", "e5"])
def test_what_is_no_number_may_be_typed_again(asked, typed: str) -> None:
    field = asked[1].get_by_label("Your guess")
    field.fill(typed)
    field.press("Enter")
    said = asked[1].locator(".lt-verdict").inner_text()
    assert said.endswith("A number, please, such as 250 or 0.5; “tokens” need not be typed.")
    assert (f"“{typed}” cannot be read" in said) == bool(typed)
    assert not asked[1].locator(".lt-why").is_visible()
    expect(field).to_be_focused()
    field.fill("4096")
    field.press("Enter")
    assert asked[1].locator(".lt-verdict p").first.inner_text() == "Right: 4,096 tokens."


@pytest.mark.parametrize(
    ("text", "unit", "numbers"),
    [
        ("12", "", [12]),
        (" −3 ", "", [-3]),
        ("1,234,567", "", [1234567]),
        ("1.234.567,5", "", [1234567.5]),
        ("1,234.5", "", [1234.5]),
        ("1 234 567", "", [1234567]),
        ("0,5", "", [0.5]),
        ("0.125", "", [0.125]),
        (".5", "", [0.5]),
        ("5.", "", [5]),
        ("1,234", "", [1234, 1.234]),
        ("1.234", "", [1.234, 1234]),
        ("1e-3", "", [0.001]),
        ("2.5E6", "", [2500000]),
        ("2×10^-3", "", [0.002]),
        ("12%", "%", [12]),
        ("12 mib", "MiB", [12]),
        ("12 GB", "MiB", []),
        ("12,34,5", "", []),
        ("1,2345,678", "", []),
    ],
)
def test_numbers_are_read_as_people_write_them(
    offline_page, text: str, unit: str, numbers: list
) -> None:
    script = assets.read("_predict.js")
    call = f"([text, unit]) => {{{script}; return readings(text, unit); }}"
    assert offline_page.evaluate(call, [text, unit]) == pytest.approx(numbers)


def test_the_guess_opens_what_it_guards_and_moves_nothing_above(asked, offline_page) -> None:
    show = asked[0].get_by_role("button", name="Just show me")
    before = show.bounding_box()
    show.click()
    assert show.bounding_box() == before
    assert offline_page.evaluate("scrollY") == 0
    assert asked[0].locator(".lt-verdict p").first.inner_text() == "It is “right”."
    figure = asked[0].locator("figure.lt-figure")
    assert figure.locator(".lt-stage svg").bounding_box()["width"] > 200
    assert figure.evaluate(SET, {"m": 7})["angle"] == pytest.approx(0.7)
    assert asked[1].locator(".lt-verdict").inner_text() == ""  # a question of its own


def test_keyboard_alone_answers(asked, offline_page) -> None:
    keys = offline_page.keyboard
    keys.press("Tab")
    expect(asked[0].get_by_role("button", name="left")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    chosen = asked[0].locator("button[data-choice='1']")
    expect(chosen).to_be_focused()
    assert chosen.get_attribute("aria-disabled") == "true"
    asked[1].get_by_label("Your guess").focus()
    keys.type("4096 tokens")
    keys.press("Enter")
    expect(asked[1].get_by_label("Your guess")).to_be_focused()
    assert asked[1].locator(".lt-verdict p").first.inner_text() == "Right: 4,096 tokens."


def test_verdict_is_announced(asked) -> None:
    for one in asked:
        assert one.get_by_role("status").count() >= 1
        assert one.get_by_role("group").first.get_by_text("Predict").count() == 1


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("answered", [False, True])
def test_question_is_accessible(offline_page, demo: str, ground: str, answered: bool) -> None:
    offline_page.set_content(demo.replace(LIGHT, DARK) if ground == "dark" else demo)
    if answered:
        offline_page.locator("button[data-choice='0']").click()
        offline_page.get_by_label("Your guess").fill("1")
        offline_page.get_by_role("button", name="Check").click()
    options = RULES | {"resultTypes": ["violations"]}
    found = Axe().run(offline_page, options=options).response["violations"]
    assert [f"{rule['id']}: {node['target']}" for rule in found for node in rule["nodes"]] == []


def test_question_fits_a_phone(browser, demo: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_content(demo)
    page.get_by_role("button", name="above").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_without_script_the_answer_is_folded_and_the_figure_stands(browser, demo: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(demo)
    asked = page.locator(".lt-predict").first
    assert asked.locator("button:enabled").count() == 0
    assert asked.locator("figure.lt-figure").is_visible()
    assert not asked.locator(".lt-is").is_visible()
    asked.get_by_text("Answer", exact=True).click()
    assert asked.locator(".lt-is").inner_text() == "right"
    assert asked.locator(".lt-why").inner_text() == "It turns slowly."
    context.close()
