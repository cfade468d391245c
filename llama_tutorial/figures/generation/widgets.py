"""The generation chapter's figure on the reader's own model: type a prompt, see what it says next.

What a page cannot do needs a running kernel (Jupyter, Colab): the reader's checkpoint, text and
device. So this is a view of ipywidgets, and Python answers every move.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.table import table
from llama_tutorial.generation import stream
from llama_tutorial.model import Transformer
from llama_tutorial.sampling import next_probabilities

if TYPE_CHECKING:
    from ipywidgets import VBox

N_LIKELIEST = 10
LONGEST_BAR = 30  # characters


@torch.no_grad()
def next_logits(model: Transformer, tokenizer: Any, prompt: str) -> Float[Tensor, " V"]:
    """The logits of the token behind a prompt, on the CPU.

    Raises:
        ValueError: With its BOS the prompt is longer than the model's context.
    """
    ids = tokenizer.encode(prompt, bos=True)
    return model(torch.tensor([ids], device=model.device))[0, -1].cpu()


def likeliest(
    logits: Float[Tensor, " V"], tokenizer: Any, temperature: float | int, top_p: float | int
) -> list[list[Any]]:
    """The likeliest next tokens: piece, probability, what it is drawn with, and that as a bar."""
    model_says = logits.softmax(-1)
    drawn_with = next_probabilities(logits, temperature, top_p=top_p)
    best = model_says.topk(min(N_LIKELIEST, len(logits))).indices.tolist()
    shares = [(model_says[i].item(), drawn_with[i].item()) for i in best]
    return [
        [tokenizer.id_to_piece(i), round(own, 4), round(now, 4), "█" * round(LONGEST_BAR * now)]
        for i, (own, now) in zip(best, shares, strict=True)
    ]


def explore(
    model: Transformer,
    tokenizer: Any,
    prompt: str = "Once upon a time",
    max_new_tokens: int = 64,
) -> VBox:
    """Your own model on your own prompt: what it would say next, and what it goes on to write.

    For a running kernel; the model may be any that :func:`llama_tutorial.hub.load` gives, on
    whatever device it is.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        prompt: The text shown first.
        max_new_tokens: How much is written at most.

    Returns:
        Fields for prompt, temperature and top-p, a button, the text, and the likeliest next tokens.
    """
    import ipywidgets

    wide = {"style": {"description_width": "7em"}, "layout": {"width": "36em"}}
    late = {"continuous_update": False, **wide}
    text = ipywidgets.Text(value=prompt, description="prompt", **late)
    temperature = ipywidgets.FloatSlider(0.6, min=0, max=2, description="temperature", **late)
    top_p = ipywidgets.FloatSlider(0.9, min=0.05, max=1, step=0.05, description="top-p", **late)
    button = ipywidgets.Button(description="Write", button_style="primary")
    written, rows = ipywidgets.HTML(), ipywidgets.HTML()
    known: dict[str, Tensor] = {}  # the last prompt's logits: a slider needs no pass of the model

    def show(_: Any = None) -> None:
        try:
            if text.value not in known:
                logits = next_logits(model, tokenizer, text.value)
                known.clear()
                known[text.value] = logits
            found = likeliest(known[text.value], tokenizer, temperature.value, top_p.value)
        except ValueError as error:
            rows.value = escape(str(error))
            return
        header = ["next token", "the model says", "drawn with", ""]
        rows.value = table(found, header, f"Behind “{text.value}”.")._repr_html_()

    def write(_: Any = None) -> None:
        button.disabled = True
        said, decoder = "", tokenizer.stream_decoder()
        try:
            for i in stream(
                model,
                tokenizer.encode(text.value, bos=True),
                max_new_tokens,
                temperature=temperature.value,
                top_p=top_p.value,
                stop_ids={tokenizer.eos_id, tokenizer.bos_id},
            ):
                said += decoder.feed(i)
                written.value = _story(text.value, said)
            written.value = _story(text.value, said + decoder.flush())
        except ValueError as error:
            written.value = escape(str(error))
        finally:
            button.disabled = False

    for knob in (text, temperature, top_p):
        knob.observe(show, "value")
    button.on_click(write)
    show()
    return ipywidgets.VBox([text, temperature, top_p, button, written, rows])


def _story(prompt: str, said: str) -> str:
    look = "white-space: pre-wrap; max-width: 40rem"
    return f'<p style="{look}"><b>{escape(prompt)}</b>{escape(said)}</p>'
