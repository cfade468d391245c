"""The live figure with one knob: every picture is drawn beforehand, no script to write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from llama_tutorial.figures.kit.assets import KIT
from llama_tutorial.figures.kit.controls import Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.svg import data_uri, svg_text


class FrameSlider(LiveFigure):
    """A picture with one slider, every frame drawn beforehand: no script to write.

    Args:
        draw: Takes one value, returns a matplotlib figure; give all frames the same axis limits.
        values: The slider's values, at most a dozen or so: a frame is 5 to 20 kB of page.
        name: The name of the value, for the places in ``alt`` and ``readout``; the book's label of
            the figure is ``fig-`` and this name.
        value: The first value shown; the first of ``values`` when None.
        label: The words beside the slider; the name when empty.
        unit: Written after the value.
        alt: What the picture shows, with a ``{name}`` place.
        caption: HTML under the picture: what to move and what to see.
        readout: A line under the picture with ``{name}`` places.
        numbers: Takes the value, returns a dict for the readout's other places.
    """

    def __init__(
        self,
        draw: Callable[[Any], Any],
        values: Sequence[Any],
        *,
        name: str = "value",
        value: Any = None,
        label: str = "",
        unit: str = "",
        alt: str,
        caption: str,
        readout: str = "",
        numbers: Callable[[Any], dict[str, Any]] = lambda _: {},
    ) -> None:
        slider = Stops(name, value, values, label=label, unit=unit)
        self.frames = [svg_text(draw(one)) for one in slider.values]
        self.start = list(slider.values).index(slider.value)
        super().__init__(
            KIT / "_frames.js",
            data={"frames": self.frames, "numbers": [numbers(one) for one in slider.values]},
            controls=[slider],
            numbers=lambda **given: numbers(given[name]),
            alt=alt,
            caption=caption,
            readout=readout,
        )
        self.label = "fig-" + name.replace("_", "-")

    def _still(self) -> str:
        alt = escape(self.alt_text(self.first()))
        return f'<img alt="{alt}" src="{data_uri(self.frames[self.start])}">'
