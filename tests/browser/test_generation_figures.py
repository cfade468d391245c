"""The generation chapter's live figures in a browser, at many more settings than they carry."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from axe_playwright_python.sync_playwright import Axe
from browser.live import SET, said
from browser.visits import RULES, Visit
from playwright.sync_api import expect

from llama_tutorial import generate, load
from llama_tutorial.figures import generation
from llama_tutorial.figures.generation import live
from llama_tutorial.figures.kit.living import page_scripts
from llama_tutorial.gqa import attention_weights
from llama_tutorial.sampling import next_probabilities

PIECES = [f"▁t{i}" for i in range(300)]
PHONE = {"width": 390, "height": 844}
TALE = "Mia and Tom played hide and seek."
DESK = "document.querySelector('.lt-inside')"
DONE = f"{DESK}.dataset.state === 'done'"


def _places():
    generator = torch.Generator().manual_seed(3)
    wild = 3 * torch.randn(300, generator=generator, dtype=torch.float64)
    level = torch.randint(-2, 3, (300,), generator=generator).double()  # full of ties
    level[40:45] = 2.37  # so that no sum of equal shares hits a round p
    sure = torch.full((300,), -6.0, dtype=torch.float64)
    sure[7] = 6
    return {"wild": wild, "level": level, "sure": sure}


def _same(shown, expected):
    assert set(shown) == set(expected)
    for name, value in expected.items():
        if isinstance(value, str) or (isinstance(value, list) and isinstance(value[0], str)):
            assert shown[name] == value, name
        else:
            assert shown[name] == pytest.approx(value, abs=1e-9, rel=1e-9), name


def test_every_cut_is_the_packages(show):
    places = _places()
    computed = live.cuts(places, PIECES)
    figure = show(computed)
    knobs = {
        "place": list(places),
        "temperature": [0.1, 0.6, 1, 2],
        "k": [1, 3, 20, "all"],
        "p": [0.3, 0.9, 0.99, 1],
    }
    settings = [
        dict(zip(knobs, values, strict=True)) | {"u": round(0.005 + n % 100 / 100, 3)}
        for n, values in enumerate(itertools.product(*knobs.values()))
    ]
    for setting, shown in zip(settings, said(figure, settings), strict=True):
        _same(shown, computed.numbers(**setting))


def test_bars_and_names_show_what_was_cut(show):
    figure = show(live.cuts(_places(), PIECES))
    figure.evaluate(SET, {"place": "wild", "temperature": 1, "k": 3, "p": 1})
    texts = figure.locator(".lt-stage text").all_text_contents()
    assert texts.count("cut") == live.N_BARS - 3
    assert figure.locator(".lt-stage text[text-decoration]").count() == live.N_BARS - 3
    assert figure.locator(".lt-stage .lt-share").count() == 3


def test_the_drawn_token_is_named_beside_the_pointer(show):
    figure = show(live.cuts(_places(), PIECES))
    for u in (0.005, 0.505, 0.995):
        shown = figure.evaluate(SET, {"place": "wild", "temperature": 1, "u": u})
        said = figure.locator(".lt-stage").text_content()
        assert f"draws {shown['drawn']}" in said


# The blocks of a cache


def test_blocks_are_handed_out_as_in_python(show):
    computed = generation.pages([37, 12, 30, 5, 44, 18, 7], 3, 128, step=20)
    figure = show(computed)
    settings = [
        {"block": block, "step": step} for block in (8, 16, 32, 64, 128) for step in range(0, 60, 3)
    ]
    for setting, shown in zip(settings, said(figure, settings), strict=True):
        _same(shown, computed.numbers(**setting))


def test_what_is_drawn_of_the_blocks_is_what_is_said(show):
    figure = show(generation.pages([37, 12, 30, 5, 44, 18, 7], 3, 128, step=20))
    for block in (8, 128):
        shown = figure.evaluate(SET, {"block": block})
        for kind, name in (("written", "used"), ("reserved", "reserved")):
            slots = figure.evaluate(
                "(figure, kind) => [...figure.querySelectorAll('.lt-' + kind)]"
                ".reduce((sum, box) => sum + Number(box.getAttribute('width')), 0) / 5.25",
                kind,
            )
            assert slots == pytest.approx(shown[name])


# How each token of a tale was chosen


@pytest.fixture(scope="module")
def tales():
    return load("tales", dtype=torch.float64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tales) -> Path:
    """A page with the figure, and the engine beside it as in the book."""
    folder = tmp_path_factory.mktemp("inside")
    static = folder / "_static" / "llama"
    static.mkdir(parents=True)
    for name in ("engine", "tales"):
        (static / f"{name}.js").write_text(page_scripts()[name], encoding="utf-8")
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en" data-content_root="./"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Inside</title><body><main>'
        f"{_inside(tales).to_html()}</main></body></html>",
        encoding="utf-8",
    )
    return folder


def _inside(tales):
    words = [("▁He", 0), ("▁she", 0), ("▁Mia", 1)]
    return generation.inside(*tales, TALE, words, head=(6, 7), seed=3)


@pytest.fixture
def page(offline_page, folder: Path):
    """The figure in a page without any network."""
    offline_page.goto((folder / "page.html").as_uri())
    return offline_page


def _write(page, beginning: str, **settings) -> dict:
    page.evaluate("() => void (document.querySelector('.lt-figure').written = null)")
    page.locator("figure").evaluate(SET, settings)
    page.locator("[data-name=beginning]").fill(beginning)
    page.keyboard.press("Enter")
    return _written(page)


def _written(page) -> dict:
    page.wait_for_function(f"{DONE} && document.querySelector('.lt-figure').written")
    return page.evaluate("document.querySelector('.lt-figure').written")


def _shown(page, at: int) -> dict:
    """What the figure shows once a token is chosen."""
    page.locator(f".lt-token[data-at='{at}']").click()
    page.wait_for_function(f"document.querySelector('.lt-figure').shown?.at === {at}")
    shown = page.evaluate("document.querySelector('.lt-figure').shown")
    return {**shown, "told": page.locator(".lt-told").text_content()}


def _ids(tales, beginning: str, **settings) -> list[int]:
    model, tokenizer = tales
    prompt = tokenizer.encode(beginning, bos=True)
    stops = {tokenizer.bos_id, tokenizer.eos_id}
    room = model.config.max_seq_len - len(prompt)
    [new] = generate(model, [prompt], room, stop_ids=stops, **settings)
    return prompt + new


def _same_choice(page, tales, ids: list[int], at: int, temperature: float, p: float) -> dict:
    """Compares what the figure shows of one choice with PyTorch."""
    model, _ = tales
    here = _shown(page, at)["here"]
    assert here["position"] == at - 1
    with torch.inference_mode():
        logits = model(torch.tensor([ids[:at]]))[0, -1]
        x, weights = model.tok_embeddings(torch.tensor([ids[:at]])), []
        rotation = model.rope.cos[:at], model.rope.sin[:at]
        lens = []
        for layer in model.layers:
            q, k, _ = layer.attention.project_qkv(layer.attention_norm(x), rotation)
            weights.append(attention_weights(q, k)[0, :, -1])
            x = layer(x, rotation)
            lens.append(model.output(model.norm(x))[0, -1])
    before = logits.softmax(-1)
    after = next_probabilities(logits, temperature, top_p=p)
    best = logits.argsort(descending=True)[:10].tolist()
    assert [one["id"] for one in here["candidates"]] == best
    for one in here["candidates"]:
        assert one["before"] == pytest.approx(before[one["id"]].item(), abs=1e-5)
        assert one["after"] == pytest.approx(after[one["id"]].item(), abs=1e-5)
    for found, expected in zip(here["attention"], weights, strict=True):
        for row, right in zip(found, expected.tolist(), strict=True):
            # A typed array comes as an object, position by position.
            row = list(row.values()) if isinstance(row, dict) else row
            assert row == pytest.approx(right, abs=1e-5)
    assert [one["id"] for one in here["lens"]] == [int(one.argmax()) for one in lens]
    for one, said_there in zip(here["lens"], lens, strict=True):
        assert one["probability"] == pytest.approx(said_there.softmax(-1).max().item(), abs=1e-5)
    return {"before": before[ids[at]].item(), "after": after[ids[at]].item(), "weights": weights}


@pytest.mark.parametrize(
    ("beginning", "temperature", "p"),
    [("Lily and Ben", 0.6, 0.9), ("The dragon", 1.2, 1), ("One day, Tom", 0, 0.9)],
)
def test_choices_over_a_typed_beginning_are_pytorchs(
    page, tales, beginning, temperature, p
) -> None:
    written = _write(page, beginning, temperature=temperature, p=p)
    ids = _ids(tales, beginning, temperature=temperature, top_p=p, seed=3)
    assert written["promptIds"] + written["ids"] == ids
    assert page.locator(".lt-token").count() == len(ids)
    n_prompt = len(written["promptIds"])
    assert page.locator(".lt-given").count() == n_prompt
    for at in (1, n_prompt - 1, n_prompt, (n_prompt + len(ids)) // 2, len(ids) - 1):
        right = _same_choice(page, tales, ids, at, temperature, p)
        told = page.locator(".lt-told").text_content()
        said = _percent(right["before"])
        if at < n_prompt:
            assert f"is your own; the model would have given it {said}." in told
        else:
            assert f"{said}; after temperature and top-p it had {_percent(right['after'])}." in told


def _percent(share: float) -> str:
    if share < 0.001:
        return "< 0.1 %"
    return f"{round(100 * share, 1):g} %"


def test_a_drawn_token_beyond_the_list_has_its_own_row(page, tales) -> None:
    """Where nothing is cut, a token may be drawn that is none of the ten likeliest."""
    model, _ = tales
    written = _write(page, "Once", temperature=1.5, p=1)
    ids = written["promptIds"] + written["ids"]
    with torch.inference_mode():
        logits = model(torch.tensor([ids]))[0]
    rank = [int((logits[i - 1] > logits[i - 1, ids[i]]).sum()) for i in range(1, len(ids))]
    at = 1 + next(i for i, one in enumerate(rank) if one >= 10 and i + 1 >= 2)
    told = _shown(page, at)["told"]
    before, after = (next_probabilities(logits[at - 1], tau)[ids[at]].item() for tau in (1, 1.5))
    assert f"{_percent(before)}; after temperature and top-p it had {_percent(after)}." in told
    assert page.locator(".lt-rivals .lt-row").count() == 11


def test_the_tint_is_the_weight_of_the_chosen_head(page, tales) -> None:
    ids = _ids(tales, TALE, seed=3)
    _write(page, TALE)
    at = 24
    right = _same_choice(page, tales, ids, at, 0.6, 0.9)
    for layer, number in ((6, 7), (1, 2), (4, 7)):
        page.locator(".lt-head").nth(8 * (layer - 1) + number - 1).click()
        tints = page.locator(".lt-tokens").evaluate(
            "page => [...page.children].map((one) => Number(one.style.getPropertyValue('--w')))"
        )
        weights = right["weights"][layer - 1][number - 1].tolist()
        assert tints[:at] == pytest.approx(weights, abs=1e-5)
        assert set(tints[at:]) == {0}
        assert (
            page.locator("[aria-pressed=true]")
            .get_attribute("aria-label")
            .startswith(f"layer {layer}, head {number}: {_percent(max(weights))} on ")
        )


def test_what_stands_there_first_is_what_the_page_finds(page) -> None:
    first = page.locator(".lt-told").text_content()
    assert "“Tom” (99.5 %)" in first
    rows = page.locator(".lt-rivals .lt-row").all_text_contents()
    page.locator(".lt-main").click()
    assert len(_written(page)["ids"]) > 20
    page.locator(".lt-token.lt-chosen").wait_for()
    assert _shown(page, 24)["told"] == first
    assert page.locator(".lt-rivals .lt-row").all_text_contents() == rows


def test_a_token_that_is_not_recorded_is_read_again(page, tales) -> None:
    _same_choice_after_loading = _ids(tales, TALE, seed=3)
    page.locator(".lt-token[data-at='40']").click()
    page.wait_for_function(f"{DONE} && document.querySelector('.lt-figure').shown.at === 40")
    _same_choice(page, tales, _same_choice_after_loading, 41, 0.6, 0.9)


def test_again_draws_another_tale_and_write_the_first(page, tales) -> None:
    first = _write(page, "Once")["ids"]
    page.evaluate("() => void (document.querySelector('.lt-figure').written = null)")
    page.get_by_role("button", name="Again").click()
    again = _written(page)
    assert again["promptIds"] + again["ids"] == _ids(tales, "Once", seed=4)
    assert _write(page, "Once")["ids"] == first != again["ids"]
    page.locator("figure").evaluate(SET, {"temperature": 0})
    page.get_by_role("button", name="Again").click()
    expect(page.locator(".lt-status")).to_contain_text("one tale only")


def test_keys_walk_through_tokens_and_heads(page) -> None:
    _write(page, "Once")
    page.locator(".lt-tokens").focus()
    at = page.evaluate("document.querySelector('.lt-figure').shown.at")
    for key, step in (("ArrowRight", 1), ("ArrowRight", 1), ("ArrowLeft", -1)):
        page.keyboard.press(key)
        at += step
        assert page.evaluate("document.querySelector('.lt-figure').shown.at") == at
        active = page.locator(".lt-tokens").get_attribute("aria-activedescendant")
        assert page.locator(f"[id='{active}']").get_attribute("aria-selected") == "true"
    page.locator(".lt-head[tabindex='0']").focus()
    for key, head in (("ArrowUp", [5, 7]), ("ArrowRight", [5, 8]), ("ArrowDown", [6, 8])):
        page.keyboard.press(key)
        found = page.evaluate(
            "(({ layer, number }) => [layer, number])(document.querySelector('.lt-figure').shown)"
        )
        assert found == head
        assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


def test_escape_stops_and_what_is_written_can_be_looked_at(page) -> None:
    _write(page, "Once")
    page.evaluate(
        """() => {
          const desk = document.querySelector(".lt-inside");
          new MutationObserver((_, observer) => {
            if (desk.querySelectorAll(".lt-given").length !== 4) return;  // the old tale still
            if (desk.querySelectorAll(".lt-token:not(.lt-given)").length < 5) return;
            observer.disconnect();
            desk.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
          }).observe(desk, { subtree: true, childList: true });
        }"""
    )
    written = _write(page, "Lily and Ben")
    assert written["ended"] == "stopped"
    expect(page.locator(".lt-status")).to_contain_text("Stopped.")
    assert page.locator(".lt-token").count() == len(written["promptIds"]) + len(written["ids"])
    assert "Layer 6, head 7 looked at" in page.locator(".lt-told").text_content()


def test_a_beginning_that_is_too_long_is_said_so(page) -> None:
    before = page.locator(".lt-tokens").text_content()
    page.locator("[data-name=beginning]").fill("🦙" * 100)
    page.keyboard.press("Enter")
    expect(page.locator(".lt-status")).to_contain_text("this beginning is 402 tokens long")
    assert page.locator(".lt-tokens").text_content() == before
    assert len(_write(page, "Once")["ids"]) > 20


def test_text_is_shown_as_text(page) -> None:
    _write(page, "<b>Lily</b>")
    assert page.locator(".lt-tokens b").count() == 0
    assert "<0x" not in page.locator(".lt-tokens").text_content()
    assert page.locator(".lt-tokens").text_content().startswith("<s><b>Lily</b>")


def test_it_speaks_when_asked_and_not_at_each_token(page) -> None:
    _write(page, "Once")
    page.evaluate(
        """() => {
          globalThis.said = [];
          for (const one of document.querySelectorAll("[role=status], [aria-live]"))
            new MutationObserver(() => globalThis.said.push(one.textContent))
              .observe(one, { subtree: true, childList: true, characterData: true });
        }"""
    )
    _write(page, "Lily and Ben")
    spoken = [text for text in page.evaluate("globalThis.said") if text]
    assert len(spoken) <= 4
    assert spoken[0].startswith("Loading")
    assert spoken[1] == "Writing …"


def test_in_a_notebook_what_is_recorded_can_be_looked_at(show, tales) -> None:
    figure = show(_inside(tales))
    expect(figure.locator(".lt-status")).to_contain_text("figures.generation.explore")
    assert figure.locator("input:visible, .lt-bar button:visible").count() == 0
    assert figure.locator(".lt-open").count() == 3
    she = figure.locator(".lt-open").nth(2)
    assert she.text_content() == "she"
    she.click()
    expect(figure.locator(".lt-told")).to_contain_text("“she”")
    expect(figure.locator(".lt-told")).to_contain_text("looked at “Mia”")
    figure.locator(".lt-token[data-at='40']").click()  # not recorded
    expect(figure.locator(".lt-told")).to_contain_text("“she”")
    figure.locator(".lt-tokens").press("ArrowLeft")
    expect(figure.locator(".lt-told")).to_contain_text("“He”")


FIGURE = "figure[data-live='generation/inside']"
PATH = "book/generation.html"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_a_phone(browser, site: str, theme: str) -> None:
    visit = Visit(browser, site, PATH)
    visit.show(theme)
    page = visit.page
    page.set_viewport_size(PHONE)
    figure, states = page.locator(FIGURE), {}

    def look(state: str) -> None:
        found = Axe().run(page, context={"include": [[FIGURE]]}, options=RULES).response
        assert len(found["passes"]) > 10
        states[state] = [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

    def done() -> None:
        page.wait_for_function(DONE)

    figure.scroll_into_view_if_needed()
    look("before")
    page.evaluate("() => void (globalThis.post = Worker.prototype.postMessage)")
    figure.locator(".lt-main").click()
    done()
    figure.locator(".lt-token").nth(30).click()
    look("after")
    page.evaluate("() => void (Worker.prototype.postMessage = () => {})")
    figure.locator(".lt-main").click()
    expect(figure.locator(".lt-main")).to_have_text("Stop")
    look("busy")
    page.evaluate("() => void (Worker.prototype.postMessage = globalThis.post)")
    figure.locator("[data-name=beginning]").fill("🦙" * 100)
    figure.locator("[data-name=beginning]").press("Enter")
    done()
    look("error")
    assert states == {"before": [], "after": [], "busy": [], "error": []}
    visit.context.close()


def test_nothing_is_loaded_before_it_is_wanted(browser, site: str) -> None:
    visit = Visit(browser, site, PATH)
    visit.page.wait_for_load_state("networkidle")
    assert not [url for url in visit.loaded if url.endswith(("engine.js", "tales.js"))]
    # A token whose choice is not recorded in the page: "nobody".
    visit.page.locator(f"{FIGURE} .lt-token").nth(50).click()
    visit.page.wait_for_function(DONE)
    scripts = sorted(url.split("/")[-1] for url in visit.loaded if "/llama/" in url)
    assert scripts == ["engine.js", "tales.js"]
    visit.context.close()
    assert visit.trouble == []


def test_without_javascript_the_tale_stands_there(browser, site: str, tales) -> None:
    _, tokenizer = tales
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/{PATH}")
    text = tokenizer.decode(_ids(tales, TALE, seed=12))
    expect(page.locator(f"{FIGURE} .lt-tokens")).to_have_text(f"<s>{text}")
    expect(page.locator(f"{FIGURE} .lt-told")).to_contain_text("looked at “Tom” (99.5 %)")
    context.close()
