"""Figures that move: in the rendered page with no kernel and no network, in Jupyter, and in Colab.

A :class:`LiveFigure` is one self-contained piece of HTML: native controls, its data as JSON and one
small script that draws, the same everywhere. Where the script does not run (no JavaScript, a
notebook that is not trusted), the picture's place holds its description in words.

The numbers that the script shows must be the package's. So the figure also carries what Python
computes for them at a handful of settings; the notebook's test recomputes those, and the browser's
test puts the page's controls at the same settings and compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from llama_tutorial.figures.kit.assets import FOLDER, function_of, read, script_path, stylesheet
from llama_tutorial.figures.kit.controls import Control
from llama_tutorial.figures.kit.numbers import number_text, rounded
from llama_tutorial.shipped import SHIPPED

WITHOUT_SCRIPT = (
    "The figure moves where its script may run: in a page with JavaScript, and in a notebook that "
    "is trusted or whose cell has been run."
)


def fill(template: str, values: dict[str, Any]) -> str:
    """Puts values into ``{name}`` places; the twin of the scripts' own ``fill``."""

    def place(match: re.Match[str]) -> str:
        return number_text(values[match[1]]) if match[1] in values else match[0]

    return re.sub(r"\{(\w+)\}", place, template)


class LiveFigure:
    """A picture with controls.

    In the book it is a numbered figure; its label is ``fig-`` and the script's name with dashes:
    ``fig-rope-clocks`` for ``rope/clocks``.

    Args:
        script: ``"rope/clocks"`` for ``figures/rope/clocks.js``, or the path of a script. It
            defines ``setup(figure)``; see ``figures/kit/_live.js`` for what it may use. A style
            sheet of the same name beside it comes along.
        data: What the script needs, as plain Python, arrays or tensors; floats are rounded to
            three significant digits.
        controls: The knobs, in reading order.
        numbers: Computes, for the values of all controls given by name, what the script returns: a
            dict of numbers, strings or lists. The two are compared in the browser.
        alt: What the picture shows, for those who do not see it; ``{name}`` places are filled with
            the values of the controls and with the numbers.
        caption: HTML under the picture: what to move and what to see.
        readout: A line under the picture with ``{name}`` places.
        checks: More settings at which the numbers are compared, each a dict of some controls.
        pieces: Whether the script shows text cut into pieces, by ``figures/kit/_pieces.js``.
        llama: A model of the package that writes in the page, such as ``"tales"``: the script may
            use ``figures/kit/_llama.js``, and finds in ``figure.llama`` the model's ``name``, its
            ``params`` and its ``download``, the last two in words. It loads when the script opens
            it.
        still: HTML that stands in the picture's place until the script draws there; ``alt`` and how
            to get the figure to move when empty.

    Raises:
        ValueError: There is no such model, two controls have one name, or a check names no control.
        FileNotFoundError: There is no such script.
    """

    def __init__(
        self,
        script: str | Path,
        *,
        data: Any = None,
        controls: Sequence[Control],
        numbers: Callable[..., dict[str, Any]],
        alt: str,
        caption: str,
        readout: str = "",
        checks: Sequence[dict[str, Any]] = (),
        pieces: bool = False,
        llama: str = "",
        still: str = "",
    ) -> None:
        if llama and llama not in SHIPPED:
            raise ValueError(f"no model {llama!r} comes with the package: there are {[*SHIPPED]}")
        self.path, self.pieces, self.llama = script_path(script), pieces, llama
        self.still = still
        inside = self.path.is_relative_to(FOLDER)
        self.name = f"{self.path.parent.name}/{self.path.stem}" if inside else self.path.stem
        self.label = "fig-" + re.sub(r"[/_]", "-", self.name)
        self.data, self.controls, self.numbers = rounded(data), list(controls), numbers
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

    def first(self) -> dict[str, Any]:
        """The values of all controls before anybody moves them."""
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
        first = self.first()
        settings = [first]
        for control in self.controls:
            settings += [first | {control.name: value} for value in control.settings()]
        settings += [first | check for check in self.checks]
        return [one for i, one in enumerate(settings) if one not in settings[:i]]

    def _still(self) -> str:
        """What stands in the picture's place until the script draws there."""
        if self.still:
            return self.still
        alt = escape(self.alt_text(self.first()))
        return f'<p class="lt-still">{alt}</p><p class="lt-still"><i>{WITHOUT_SCRIPT}</i></p>'

    def _payload(self) -> str:
        checks = [{"values": v, "numbers": self._computed(v)} for v in self._settings()]
        payload = {"data": self.data, "alt": self.alt, "template": self.readout, "checks": checks}
        if self.llama:
            from llama_tutorial.figures.kit.living import megabytes, n_params  # which need torch

            name = self.llama
            model = {"name": name, "params": n_params(name), "download": megabytes(name)}
            payload["llama"] = model
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c")  # no text in the data may end the script element

    def _styles(self) -> str:
        own = self.path.with_suffix(".css")
        extra = f"<style>{own.read_text(encoding='utf-8')}</style>" if own.is_file() else ""
        return stylesheet("live", *(["pieces"] if self.pieces else [])) + extra

    def _script(self) -> str:
        parts = [read("_pieces.js")] if self.pieces else []
        parts += [read("_llama.js")] if self.llama else []
        return function_of(self.name, "\n".join([*parts, self.path.read_text(encoding="utf-8")]))

    def to_html(self) -> str:
        """The figure as one piece of HTML that needs no kernel and no network."""
        readout = escape(self.readout_text(self.first()))
        return "\n".join(
            [
                f'<figure class="lt-figure" data-live="{self.name}" data-label="{self.label}"'
                ' data-lm-suppress-shortcuts="true">',
                self._styles(),
                f'<div class="lt-controls">{"".join(c.to_html() for c in self.controls)}</div>',
                f'<div class="lt-stage">{self._still()}</div>',
                f'<output class="lt-readout" aria-live="polite">{readout}</output>'
                if readout
                else "",
                f"<figcaption>{self.caption}</figcaption>",
                f'<script type="application/json">{self._payload()}</script>',
                f"<script>{self._script()}</script>",
                "</figure>",
            ]
        )

    def _repr_html_(self) -> str:
        return self.to_html()
