"""The walk of the model chapter through the reader's own model and text.

What a page cannot do needs a running kernel (Jupyter, Colab): the reader's checkpoint, text and
device. Python runs the model; the figure is the chapter's own and drawn by its script.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from llama_tutorial.figures.model.live import walk
from llama_tutorial.model import Transformer

if TYPE_CHECKING:
    from ipywidgets import VBox


def explore(model: Transformer, tokenizer: Any, text: str = "Once upon a time") -> VBox:
    """One forward pass of your own model over your own text, to be walked through.

    For a running kernel; the model may be any of Llama's kind, on whatever device it is.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        text: The text shown first.

    Returns:
        A field for the text above the figure of :func:`~llama_tutorial.figures.model.live.walk`.
    """
    import ipywidgets

    wide = {"style": {"description_width": "4em"}, "layout": {"width": "36em"}}
    field = ipywidgets.Text(value=text, description="text", continuous_update=False, **wide)
    message, shown = ipywidgets.HTML(), ipywidgets.Output()

    def show(_: Any = None) -> None:
        try:
            figure = walk(model, tokenizer, field.value)
        except ValueError as error:
            message.value, shown.outputs = escape(str(error)), ()
            return
        # An Output runs the figure's script, which an HTML widget would not.
        data = {"text/plain": repr(figure), "text/html": figure.to_html()}
        output = {"output_type": "display_data", "data": data, "metadata": {}}
        message.value, shown.outputs = "", (output,)

    field.observe(show, "value")
    show()
    return ipywidgets.VBox([field, message, shown])
