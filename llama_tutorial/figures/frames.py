"""The live figure with one knob: every picture is drawn beforehand, no script to write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llama_tutorial.figures.assets import FOLDER
from llama_tutorial.figures.controls import Stops
from llama_tutorial.figures.live import LiveFigure
from llama_tutorial.figures.svg import svg_text


class FrameSlider(LiveFigure):
    """A picture with one slider, every frame drawn beforehand: no script to write.

    Args:
        draw: Takes one value, returns a matplotlib figure; give all frames the same axis limits.
        values: The slider's values, at most a dozen or so: a frame is 5 to 20 kB of page.
        name: The name of the value, for the places in ``alt`` and ``readout``.
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
        numbers: Callable[[Any], dict[str, Any]] | None = None,
    ) -> None:
        slider = Stops(name, value, values, label=label, unit=unit)
        compute = numbers or (lambda _: {})
        super().__init__(
            FOLDER / "js" / "_frames.js",
            data={
                "frames": [svg_text(draw(one)) for one in slider.values],
                "numbers": [compute(one) for one in slider.values],
            },
            controls=[slider],
            render=lambda **given: draw(given[name]),
            numbers=lambda **given: compute(given[name]),
            alt=alt,
            caption=caption,
            readout=readout,
        )
