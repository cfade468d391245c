"""The museum with the reader's own model: one mistake, one beginning, right beside broken.

What a page cannot do needs a running kernel (Jupyter, Colab): the reader's checkpoint, text and
device. Python runs the model, and the pair looks as it does in the pages of the book.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from llama_tutorial.bugs import BUGS
from llama_tutorial.figures.kit.assets import FOLDER, stylesheet
from llama_tutorial.figures.museum.live import COUNT, exhibit, pair
from llama_tutorial.model import Transformer

if TYPE_CHECKING:
    from ipywidgets import VBox


def explore(
    model: Transformer,
    tokenizer: Any,
    prompt: str = "Once upon a time",
    count: int = COUNT,
) -> VBox:
    """Your own model, right and with a mistake of your choice, on your own beginning.

    For a running kernel; the model may be any Llama that :func:`llama_tutorial.hub.load` gives, on
    whatever device it is. Its weights stay as they are, and it is right again after each pair.
    Mistakes in quantization round every matrix anew, which takes a second copy of the weights.

    Args:
        model: The model. In 16 bits its logits are rounded so coarsely that even a harmless mistake
            moves them.
        tokenizer: Its tokenizer.
        prompt: The beginning shown first.
        count: How many tokens each of the two writes at most.

    Returns:
        A list of all mistakes, fields for the beginning, the temperature and the seed, and both
        texts side by side: the first token that differs is marked, and under them stands how far
        the logits are that it was taken from.
    """
    import ipywidgets

    wide = {"style": {"description_width": "7em"}, "layout": {"width": "36em"}}
    late = {"continuous_update": False, **wide}
    options = [(f"{bug.chapter}: {bug.title}", name) for name, bug in BUGS.items()]
    bug = ipywidgets.Dropdown(options=options, description="mistake", **wide)
    text = ipywidgets.Text(value=prompt, description="a beginning", **late)
    temperature = ipywidgets.FloatSlider(0, min=0, max=2, description="temperature", **late)
    seed = ipywidgets.IntText(value=0, description="seed", **late)
    shown = ipywidgets.HTML()
    look = f"<style>{(FOLDER / 'museum' / 'show.css').read_text(encoding='utf-8')}</style>"

    def show(_: Any = None) -> None:
        settings = {"temperature": temperature.value, "seed": seed.value, "count": count}
        try:
            found = exhibit(model, tokenizer, bug.value, text.value, **settings)
        except ValueError as error:
            shown.value = escape(str(error))
            return
        inside = pair(BUGS[bug.value], text.value, found)
        shown.value = f'{stylesheet("live")}{look}<figure class="lt-figure">{inside}</figure>'

    for knob in (bug, text, temperature, seed):
        knob.observe(show, "value")
    show()
    return ipywidgets.VBox([bug, text, temperature, seed, shown])
