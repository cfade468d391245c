"""Figures that move: in the rendered page with no kernel and no network, in Jupyter, and in Colab.

A :class:`LiveFigure` is one self-contained piece of HTML: native controls, a first picture, its
data as JSON and one small script that redraws. Beside it travels the view of ipywidgets whose
picture comes from Python, which a running Jupyter kernel shows instead.

The numbers that the script shows must be the package's. So the figure also carries what Python
computes for them at a handful of settings; the notebook's test recomputes those, and the browser's
test puts the page's controls at the same settings and compares.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from llama_tutorial.figures.assets import function_of, read_script, stylesheet
from llama_tutorial.figures.controls import Control
from llama_tutorial.figures.numbers import number_text, rounded
from llama_tutorial.figures.svg import data_uri, svg_text

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def fill(template: str, values: dict[str, Any]) -> str:
    """Puts values into ``{name}`` places; the twin of the scripts' own ``fill``."""

    def place(match: re.Match[str]) -> str:
        return number_text(values[match[1]]) if match[1] in values else match[0]

    return re.sub(r"\{(\w+)\}", place, template)


class LiveFigure:
    """A picture with controls.

    Args:
        script: Name of a script in ``figures/js`` (without ``.js``), or the path of one. It defines
            ``setup(figure)``; see ``figures/js/_live.js`` for what it may use.
        data: What the script needs, as plain Python, arrays or tensors; floats are rounded to
            three significant digits.
        controls: The knobs, in reading order.
        render: Draws the same picture in Python for the values of all controls, given by name;
            returns a matplotlib figure or HTML.
        numbers: Computes, for the same arguments, what the script returns: a dict of numbers,
            strings or lists. The two are compared in the browser.
        alt: What the picture shows, for those who do not see it; ``{name}`` places are filled with
            the values of the controls and with the numbers.
        caption: HTML under the picture: what to move and what to see.
        readout: A line under the picture with ``{name}`` places.
        checks: More settings at which the numbers are compared, each a dict of some controls.

    Raises:
        ValueError: Two controls have one name, or a check names no control.
        FileNotFoundError: There is no such script.
    """

    def __init__(
        self,
        script: str | Path,
        *,
        data: Any = None,
        controls: Sequence[Control],
        render: Callable[..., Any],
        numbers: Callable[..., dict[str, Any]] | None = None,
        alt: str,
        caption: str,
        readout: str = "",
        checks: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.name, self.script = read_script(script)
        self.data, self.controls = rounded(data), list(controls)
        self.render, self.numbers = render, numbers or (lambda **_: {})
        self.alt, self.caption, self.readout = alt, caption, readout
        names = [control.name for control in self.controls]
        unknown = {name for check in checks for name in check} - set(names)
        if len(set(names)) < len(names) or unknown:
            raise ValueError(
                f"live figure {self.name!r}: controls {names} must have different names, and "
                f"checks may name these only (unknown: {sorted(unknown)})"
            )
        self.checks = list(checks)

    def __repr__(self) -> str:
        names = ", ".join(control.name for control in self.controls)
        return f"<live figure {self.name!r} with controls: {names}>"

    def _first(self) -> dict[str, Any]:
        return {control.name: control.value for control in self.controls}

    def readout_text(self, values: dict[str, Any]) -> str:
        """The line under the picture, for the values of all controls."""
        return fill(self.readout, self._texts(values))

    def alt_text(self, values: dict[str, Any]) -> str:
        """What the picture shows, for the values of all controls."""
        return fill(self.alt, self._texts(values))

    def _texts(self, values: dict[str, Any]) -> dict[str, Any]:
        texts = {control.name: control.text(values[control.name]) for control in self.controls}
        return texts | self._computed(values)

    def _computed(self, values: dict[str, Any]) -> dict[str, Any]:
        return rounded(self.numbers(**values))

    def _settings(self) -> list[dict[str, Any]]:
        """The first values, each control's own settings around them, and the checks asked for."""
        first = self._first()
        settings = [first]
        for control in self.controls:
            settings += [first | {control.name: value} for value in control.settings()]
        settings += [first | check for check in self.checks]
        return [one for i, one in enumerate(settings) if one not in settings[:i]]

    def _picture(self, values: dict[str, Any], as_image: bool) -> str:
        drawn = self.render(**values)
        if isinstance(drawn, str):
            return drawn
        svg = svg_text(drawn)
        alt = escape(self.alt_text(values))
        if as_image:
            return f'<img alt="{alt}" src="{data_uri(svg)}">'
        return svg.replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)

    def _payload(self) -> str:
        checks = [{"values": v, "numbers": self._computed(v)} for v in self._settings()]
        payload = {"data": self.data, "alt": self.alt, "template": self.readout, "checks": checks}
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c")  # no text in the data may end the script element

    def to_html(self) -> str:
        """The figure as one piece of HTML that needs no kernel and no network."""
        first = self._first()
        readout = escape(self.readout_text(first))
        return "\n".join(
            [
                f'<figure class="lt-figure" data-live="{self.name}"'
                ' data-lm-suppress-shortcuts="true">',
                stylesheet("live"),
                f'<div class="lt-controls">{"".join(c.to_html() for c in self.controls)}</div>',
                f'<div class="lt-stage">{self._picture(first, as_image=True)}</div>',
                f'<output class="lt-readout" aria-live="polite">{readout}</output>'
                if readout
                else "",
                f"<figcaption>{self.caption}</figcaption>",
                f'<script type="application/json">{self._payload()}</script>',
                f"<script>{function_of(self.name, self.script)}</script>",
                "</figure>",
            ]
        )

    def live(self) -> Any:
        """The same figure as ipywidgets: each move calls ``render`` and ``numbers`` again."""
        import ipywidgets

        knobs = {control.name: control.widget() for control in self.controls}
        picture, readout = ipywidgets.HTML(), ipywidgets.HTML()

        def update(_change: Any = None) -> None:
            values = {name: knob.value for name, knob in knobs.items()}
            inside = self._picture(values, as_image=False)
            picture.value = f'{stylesheet("live")}<div class="lt-figure">{inside}</div>'
            readout.value = escape(self.readout_text(values))

        for knob in knobs.values():
            knob.observe(update, "value")
            knob.style = {"description_width": "initial"}
        update()
        caption = ipywidgets.HTML(self.caption)
        return ipywidgets.VBox([*knobs.values(), picture, readout, caption])

    def _repr_mimebundle_(self, **_: Any) -> Any:
        data, metadata = {"text/plain": repr(self), "text/html": self.to_html()}, {}
        if "google.colab" not in sys.modules:  # whose pages show no widget without more ado
            self._widget = self.live()  # kept, or the kernel's side of it would be collected
            view = self._widget._repr_mimebundle_()
            view, metadata = view if isinstance(view, tuple) else (view, {})
            data[WIDGET_VIEW] = view[WIDGET_VIEW]
        return data, metadata
