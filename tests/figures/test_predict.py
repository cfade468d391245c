"""What a question that waits for the reader's guess promises in Python."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("matplotlib")

import torch
from browser.fixtures import turning

from llama_tutorial import figures

CHOICES = ["as it is", "half < a", "twice"]


def test_a_choice_is_one_piece_of_html() -> None:
    asked = figures.Predict("How <i>long</i>?", choices=CHOICES, answer=1, why="Since <b>half</b>.")
    html = asked.to_html()
    assert html == asked._repr_html_()
    assert "How <i>long</i>?" in html
    assert re.findall(r'data-choice="(\d)" disabled>([^<]*)<', html) == [
        ("0", "as it is"),
        ("1", "half &lt; a"),
        ("2", "twice"),
    ]
    assert asked.answer_text() == "half < a"
    assert '<details class="lt-answer" data-answer="1">' in html
    assert '<div class="lt-why">Since <b>half</b>.</div>' in html
    assert "<input" not in html


@pytest.mark.parametrize(
    ("answer", "unit", "text"),
    [
        (4096, "tokens", "4,096 tokens"),
        (torch.tensor(524288), "", "524,288"),
        (torch.tensor(1 / 3, dtype=torch.float64), "s", "0.333 s"),
        (-2.5, "", "−2.5"),
    ],
)
def test_a_number_is_shown_as_in_tables(answer, unit: str, text: str) -> None:
    asked = figures.Predict("How many?", answer=answer, tolerance=0.01, unit=unit)
    assert asked.answer_text() == text
    mode = "text" if text.startswith("−") else "decimal"  # a pad of digits has no minus
    assert f'inputmode="{mode}"' in asked.to_html()


@pytest.mark.parametrize("guards", [turning.turning, turning.framed])
def test_what_is_guarded_comes_along(figure_look, guards) -> None:
    asked = figures.Predict("Where?", choices=CHOICES, answer=0, guards=guards())
    assert guards().to_html() in asked.to_html()


def test_what_the_page_covers_is_said_only_where_it_covers_something() -> None:
    asked = figures.Predict("Where?", choices=CHOICES, answer=0, covers=2)
    assert ' data-covers="2">' in asked.to_html()
    assert "data-covers" not in figures.Predict("Where?", choices=CHOICES, answer=0).to_html()


def test_words_of_the_answer_do_not_stand_in_its_text() -> None:
    chosen = repr(figures.Predict("How long?", choices=CHOICES, answer=1, why="Because."))
    typed = repr(figures.Predict("How many?", answer=4096, tolerance=1))
    assert chosen == "<a question to answer before reading on: 'How long?', 3 choices>"
    assert typed == "<a question to answer before reading on: 'How many?', a number>"


def test_a_question_is_the_same_text_each_time() -> None:
    one, other = (figures.Predict("?", answer=1 / 3, tolerance=0.01).to_html() for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"question": " ", "choices": CHOICES, "answer": 0}, "the question .* is empty"),
        ({"choices": ["a"], "answer": 0}, "two or more and all different, got .'a'."),
        ({"choices": ["a", "a"], "answer": 0}, "two or more and all different"),
        ({"choices": CHOICES, "answer": 3}, "answer 3 must be the position .*, 0 to 2"),
        ({"choices": CHOICES, "answer": -1}, "answer -1 must be the position"),
        ({"choices": CHOICES, "answer": True}, "answer True must be the position"),
        ({"choices": CHOICES, "answer": "twice"}, "answer 'twice' must be the position"),
        ({"choices": CHOICES, "answer": 0, "tolerance": 1}, "belong to a number"),
        ({"choices": CHOICES, "answer": 0, "unit": "s"}, "belong to a number"),
        ({"answer": 3}, "give choices, or for a number a tolerance"),
        ({"answer": "3", "tolerance": 1}, "answer '3' must be a finite number"),
        ({"answer": float("nan"), "tolerance": 1}, "answer nan must be a finite number"),
        ({"answer": 3, "tolerance": -1}, "tolerance -1 must be 0 or a positive number"),
        ({"answer": 3, "tolerance": float("inf")}, "tolerance inf must be 0 or"),
        ({"answer": 1.2345, "tolerance": 0.001}, r"tolerance 0\.001 is too fine: .* 1\.23, "),
        ({"answer": 3, "tolerance": 1, "guards": "x"}, "guards a LiveFigure .*, got str"),
        ({"answer": 3, "tolerance": 1, "covers": -1}, "covers=-1 must be 0 or more"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_nonsense_is_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.Predict(**{"question": "How?", **given})
