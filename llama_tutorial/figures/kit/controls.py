"""The knobs of a live figure: native HTML controls.

A control has a name (the argument that it sets, of the script and of ``numbers``), a label that the
reader sees, and a value. Each one knows its HTML and the settings at which the figure's numbers are
checked. Every control is disabled until the script has started, so that nothing seems to work which
does not.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from llama_tutorial.figures.kit.numbers import number_text

MOST_STOPS = 600


def _attributes(**values: Any) -> str:
    return " ".join(f'{key.replace("_", "-")}="{escape(str(v))}"' for key, v in values.items())


@dataclass
class Control(ABC):
    """What all controls have; chapters use the subclasses.

    Args:
        name: The argument of the drawing function that the control sets.
        value: The first value.
        label: The words for the reader; the name when empty.
    """

    name: str
    value: Any = None
    label: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(
                f"control name {self.name!r} is not an identifier: it is the name of an argument "
                "of the drawing function; the words for the reader go into label"
            )
        self.label = self.label or self.name

    def text(self, value: Any) -> str:
        """What the reader sees for a value."""
        return number_text(value)

    def settings(self) -> list[Any]:
        """The values at which the figure's numbers are checked, besides the first one."""
        return []

    @abstractmethod
    def to_html(self) -> str:
        """The control as HTML, disabled."""

    def _field(self, inside: str) -> str:
        words = f"<span>{escape(self.label)}</span>"
        return f'<div class="lt-control"><label>{words}{inside}</label></div>'


@dataclass
class Stops(Control):
    """A slider over a list of values, such as ``[1, 2, 4, 8]`` or a list of names.

    Args:
        name: The argument that it sets.
        value: The first value shown; the first of ``values`` when None.
        values: The values in order, two or more: numbers or strings.
        label: The words beside the slider; the name when empty.
        unit: Written after the value, such as ``" tokens"``.
    """

    values: Sequence[Any] = ()
    unit: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.values = list(self.values)
        if self.value is None and self.values:
            self.value = self.values[0]
        if not 2 <= len(self.values) <= MOST_STOPS or self.value not in self.values:
            raise ValueError(
                f"control {self.name!r}: value {self.value!r} must be one of 2 to {MOST_STOPS} "
                f"values, got {len(self.values)}: {str(self.values)[:60]}"
            )

    def text(self, value: Any) -> str:
        return number_text(value) + self.unit

    def settings(self) -> list[Any]:
        return [self.values[0], self.values[len(self.values) // 2], self.values[-1]]

    def to_html(self) -> str:
        """A range input over the positions in the list, with a button for one step either way."""
        label, shown = escape(self.label), self.text(self.value)
        slider = _attributes(
            type="range", min=0, max=len(self.values) - 1, value=self.values.index(self.value),
            data_name=self.name, data_stops=json.dumps(self.values), data_unit=self.unit,
            aria_valuetext=shown,
        )  # fmt: skip
        return (
            f'<div class="lt-control"><label><span>{label}</span><input {slider} disabled></label>'
            f'<span class="lt-value" aria-hidden="true">{escape(shown)}</span>'
            f'<button type="button" data-move="-1" aria-label="{label}: back" disabled>−</button>'
            f'<button type="button" data-move="1" aria-label="{label}: on" disabled>+</button>'
            "</div>"
        )


class Slider(Stops):
    """A slider from ``low`` to ``high``, both included.

    Args:
        name: The argument that it sets.
        low: The smallest value.
        high: The largest value.
        value: The first value shown, one of the stops.
        step: The distance between two stops; ints all over give ints.
        label: The words beside the slider; the name when empty.
        unit: Written after the value, such as ``"°"``.
    """

    def __init__(
        self,
        name: str,
        low: float | int,
        high: float | int,
        value: float | int,
        step: float | int = 1,
        *,
        label: str = "",
        unit: str = "",
    ) -> None:
        if step <= 0:
            raise ValueError(f"control {name!r}: step must be more than 0, got {step}")
        count = int((high - low) / step + 1e-9) + 1
        whole = all(isinstance(number, int) for number in (low, high, step))
        stops = [low + i * step if whole else round(float(low + i * step), 9) for i in range(count)]
        super().__init__(name, value, stops, label=label, unit=unit)


@dataclass
class Select(Control):
    """A drop-down list.

    Args:
        name: The argument that it sets.
        value: The first value shown; the first option when None.
        options: The values, or a dict from the words shown to the values.
        label: The words beside the list; the name when empty.
    """

    options: Sequence[Any] | dict[str, Any] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.options, dict):
            self.options = {number_text(option): option for option in self.options}
        self._values: dict[str, Any] = self.options
        if self.value is None and self._values:
            self.value = next(iter(self._values.values()))
        if len(self._values) < 2 or self.value not in self.settings():
            raise ValueError(
                f"control {self.name!r}: value {self.value!r} must be one of two or more options, "
                f"got {self.settings()!r}"
            )

    def text(self, value: Any) -> str:
        return next(words for words, option in self._values.items() if option == value)

    def settings(self) -> list[Any]:
        return list(self._values.values())

    def to_html(self) -> str:
        """A select element whose option values are JSON."""
        options = "".join(
            f"<option {_attributes(value=json.dumps(value))}"
            f"{' selected' if value == self.value else ''}>{escape(words)}</option>"
            for words, value in self._values.items()
        )
        return self._field(f'<select data-name="{self.name}" disabled>{options}</select>')


@dataclass
class Text(Control):
    """A line of text that the reader types.

    Args:
        name: The argument that it sets.
        value: The first text.
        label: The words beside the field; the name when empty.
        max_length: The longest text that may be typed, in UTF-16 units.
        checked: More texts at which the figure's numbers are checked.
    """

    value: str = ""
    max_length: int = field(default=80, kw_only=True)
    checked: Sequence[str] = field(default=(), kw_only=True)

    def settings(self) -> list[Any]:
        return list(self.checked)

    def to_html(self) -> str:
        """A text input; spelling is not corrected, as a token is not always a word."""
        attributes = _attributes(
            type="text", data_name=self.name, value=self.value, maxlength=self.max_length,
            autocomplete="off", autocapitalize="off", spellcheck="false",
        )  # fmt: skip
        return self._field(f"<input {attributes} disabled>")


@dataclass
class Toggle(Control):
    """A check box.

    Args:
        name: The argument that it sets.
        value: Whether it is ticked at first.
        label: The words beside the box; the name when empty.
    """

    value: bool = False

    def settings(self) -> list[Any]:
        return [False, True]

    def to_html(self) -> str:
        """A check box after its words."""
        attributes = _attributes(type="checkbox", data_name=self.name)
        return self._field(f"<input {attributes}{' checked' if self.value else ''} disabled>")
