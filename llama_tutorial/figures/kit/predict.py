"""A question that the reader answers before the page does: a choice or a number.

Like a live figure it is one self-contained piece of HTML, which needs no kernel and no network and
is the same in the book, in Jupyter and in Colab. Where its script does not run, the answer stands
in a fold of its own, and what the question guards is in sight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from llama_tutorial.figures.kit.assets import function, read, stylesheet
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.table import cell_text


class Predict:
    """A question with one right answer, as the last expression of a cell.

    Args:
        question: What is asked; HTML, as in captions.
        choices: Two or more answers to choose from, as plain text; without them a number is asked.
        answer: The right one: its position in ``choices``, from 0 on, or the number. The package
            computes it; floats are rounded to three significant digits.
        tolerance: How far a number may be from ``answer`` and still be right.
        unit: Written after the number, such as ``"tokens"``; readers may type it or not.
        why: Why it is so, and why the other choices are tempting; HTML, shown after the answer.
        guards: A live figure that is hidden until the reader has answered or has asked to be shown.
        covers: How many of the blocks that follow on the book's page, such as a picture and the
            paragraph that reads it, are hidden until then; a notebook shows them all.

    Raises:
        ValueError: The question is empty, the choices are fewer than two or not different, the
            answer is none of them or not a number, the tolerance does not fit, or a negative number
            of blocks is covered.
    """

    def __init__(
        self,
        question: str,
        *,
        choices: Sequence[str] | None = None,
        answer: Any,
        tolerance: float | int | None = None,
        unit: str = "",
        why: str = "",
        guards: LiveFigure | None = None,
        covers: int = 0,
    ) -> None:
        if not question.strip():
            raise ValueError("the question of a prediction is empty: say what is to be predicted")
        if guards is not None and not isinstance(guards, LiveFigure):
            raise ValueError(
                f"a prediction guards a LiveFigure or a FrameSlider, got {type(guards).__name__}"
            )
        if covers < 0:
            raise ValueError(f"covers={covers} must be 0 or more: the blocks below to hide")
        self.question, self.unit, self.why, self.guards = question, unit.strip(), why, guards
        self.covers = covers
        self.choices = None if choices is None else list(choices)
        self.tolerance = tolerance
        self.answer = answer.item() if hasattr(answer, "item") else answer
        if self.choices is not None:
            self._check_choices(self.choices)
        else:
            self._check_number(self.answer, tolerance)
            self.answer = rounded(self.answer)

    def _check_choices(self, choices: list[str]) -> None:
        if len(choices) < 2 or len(set(choices)) < len(choices):
            raise ValueError(f"choices must be two or more and all different, got {choices}")
        if self.tolerance is not None or self.unit:
            raise ValueError("tolerance and unit belong to a number: leave them out with choices")
        if type(self.answer) is not int or not 0 <= self.answer < len(choices):
            raise ValueError(
                f"answer {self.answer!r} must be the position of the right choice, "
                f"0 to {len(choices) - 1}"
            )

    def _check_number(self, answer: Any, tolerance: float | int | None) -> None:
        if tolerance is None:
            raise ValueError(
                "give choices, or for a number a tolerance: how far from the answer is still right"
            )
        is_number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
        if not is_number or not math.isfinite(answer):
            raise ValueError(f"answer {answer!r} must be a finite number, or choices must be given")
        if not 0 <= tolerance < math.inf:
            raise ValueError(f"tolerance {tolerance!r} must be 0 or a positive number")
        if abs(rounded(answer) - answer) > tolerance:
            raise ValueError(
                f"tolerance {tolerance!r} is too fine: the answer is shown with three significant "
                f"digits, {rounded(answer)!r}, which is further than that from {answer!r}"
            )

    def __repr__(self) -> str:
        kind = "a number" if self.choices is None else f"{len(self.choices)} choices"
        return f"<a question to answer before reading on: {self.question!r}, {kind}>"

    def answer_text(self) -> str:
        """The right answer as the reader sees it."""
        if self.choices is not None:
            return self.choices[self.answer]
        return f"{cell_text(self.answer)} {self.unit}".rstrip()

    def _field(self) -> str:
        if self.choices is not None:
            buttons = "".join(
                f'<button type="button" data-choice="{i}" disabled>{escape(choice)}</button>'
                for i, choice in enumerate(self.choices)
            )
            return f'<div class="lt-choices">{buttons}</div>'
        # A phone's pad of digits has no minus sign.
        mode = "decimal" if self.answer >= 0 else "text"
        return (
            '<div class="lt-guess"><label>Your guess <input type="text" autocomplete="off" '
            f'spellcheck="false" inputmode="{mode}" disabled></label>'
            f'<span class="lt-unit">{escape(self.unit)}</span>'
            '<button type="button" class="lt-check" disabled>Check</button></div>'
        )

    def _answer(self) -> str:
        data = f'data-answer="{self.answer}"'
        if self.choices is None:
            data += f' data-tolerance="{self.tolerance}" data-unit="{escape(self.unit)}"'
        return (
            f'<details class="lt-answer" {data}><summary>Answer</summary>'
            f'<p class="lt-is">{escape(self.answer_text())}</p>'
            f'<div class="lt-why">{self.why}</div></details>'
        )

    def to_html(self) -> str:
        """The question as one piece of HTML that needs no kernel and no network."""
        guarded = self.guards.to_html() if self.guards is not None else ""
        covers = f' data-covers="{self.covers}"' if self.covers else ""
        return "\n".join(
            [
                f'<div class="lt-predict" data-lm-suppress-shortcuts="true"{covers}>',
                stylesheet("predict"),
                '<fieldset class="lt-ask">',
                f'<legend><b class="lt-kicker">Predict</b> {self.question}</legend>',
                self._field(),
                '<button type="button" class="lt-show" disabled>Just show me</button>',
                "</fieldset>",
                '<div class="lt-verdict" role="status"></div>',
                self._answer(),
                f'<div class="lt-guarded">{guarded}</div>',
                f"<script>{function(read('_predict.js'))}</script>",
                "</div>",
            ]
        )

    def _repr_html_(self) -> str:
        return self.to_html()
