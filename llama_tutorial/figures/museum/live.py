"""The museum's live figure: one beginning, continued by the right model and by a broken one.

The page computes with ``browser/bugs.js``, the notebook with :mod:`llama_tutorial.bugs`; the tests
hold every switch of the one equal to the other's. What stands in the page before anybody chooses
was written here, in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_tutorial._util.generation_settings import check_sampling, read_rows
from llama_tutorial._util.shapes import Float
from llama_tutorial.bugs import BUGS, Bug, break_model, broken_prompt, right_model
from llama_tutorial.figures.kit.controls import Select, Text
from llama_tutorial.figures.kit.live import WITHOUT_SCRIPT, LiveFigure, fill
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.hub import load
from llama_tutorial.kv_cache import KVCache
from llama_tutorial.model import Transformer
from llama_tutorial.numpy_llama.sampling import uniforms
from llama_tutorial.sampling import draw, next_probabilities

COUNT = 40
"""New tokens of each text: enough for all but the quietest to part, and written in a moment."""

TOP_P = 0.9

EQUAL = 1e-4
"""Logits that differ by less are the same: a page rounds them to float32."""

DRAWS = {"the likeliest": 0, "drawn, seed 1": 1, "drawn, seed 2": 2, "drawn, seed 3": 3}

COSTS = (
    "The right text costs the broken model {brokenLoss} nats a token, the right model {rightLoss}."
)
# What the line under the texts says: where they part, where only numbers do, where nothing does.
SAYS = {
    "parts": "The texts part at new token {number}, up to which both have read the same. The "
    "largest error of a logit there is {largest} (KL divergence {divergence} nats). " + COSTS,
    "same": "The same {count} tokens. But some logit is off by {largest} on the way (KL divergence "
    "{divergence} nats). " + COSTS,
    "harmless": "The same {count} tokens, and every logit is the same as well: no mistake at all.",
}


def show(chapter: str, beginning: str = "Once upon a time") -> LiveFigure:
    """A switch for each silent mistake of a chapter, in the model that writes in the page.

    Args:
        chapter: Whose mistakes: that of a :class:`~llama_tutorial.bugs.Bug`, such as ``"rope"``.
        beginning: What stands in the field at first.

    Raises:
        ValueError: There are no mistakes of that chapter.
    """
    bugs = {name: bug for name, bug in BUGS.items() if bug.chapter == chapter}
    if not bugs:
        known = dict.fromkeys(bug.chapter for bug in BUGS.values())
        raise ValueError(f"no bugs of a chapter {chapter!r}; there are {', '.join(known)}")
    name, bug = next(iter(bugs.items()))
    model, tokenizer = load("tales", dtype=torch.float64)
    shown = exhibit(model, tokenizer, name, beginning)
    described = {
        key: {"title": one.title, "right": one.right, "wrong": one.wrong, "what": one.what}
        for key, one in bugs.items()
    }
    figure = LiveFigure(
        "museum/show",
        data={"bugs": described, "says": SAYS, "count": COUNT, "equal": EQUAL, "first": shown},
        controls=[
            Text("beginning", beginning, label="a beginning", max_length=400),
            Select("draws", options=DRAWS, label="each token is"),
        ],
        numbers=lambda **_: {},
        alt="Two texts side by side, and the first token that differs.",
        caption="<b>Choose a mistake</b>: the right <code>tales</code> and a broken one write side "
        "by side, and the first token that differs is marked in both. Then <b>type another "
        "beginning</b>, or let both <b>draw by the same seed</b>.",
        llama="tales",
        still=pair(
            bug,
            beginning,
            shown,
            before='<div class="lt-bugs" role="group" aria-label="mistakes"></div>',
            more=f'<p class="lt-hint"><i>{WITHOUT_SCRIPT}</i></p>',
        ),
    )
    figure.label = f"fig-museum-{chapter}"
    return figure


def exhibit(
    model: Transformer,
    tokenizer: Any,
    bug: str,
    text: str,
    *,
    temperature: float | int = 0,
    seed: int = 0,
    count: int = COUNT,
) -> dict[str, Any]:
    """What the page's ``exhibit`` gives for a beginning: right and broken, by the same draws.

    For a mistake in quantization the right one is the model that was rounded rightly.

    Args:
        model: A Llama; in float64 it computes as the page does.
        tokenizer: Its tokenizer.
        bug: A name in :data:`~llama_tutorial.bugs.BUGS`.
        text: The beginning.
        temperature: 0 takes the likeliest token each time; above, top-p is 0.9.
        seed: Fixes the draws.
        count: How many tokens each of the two writes at most.

    Returns:
        The new ids of both texts and what each adds to the text, the number of the first that
        differs (None: none does), how far the logits are that it was taken from (without a
        difference, where they are furthest): by the largest difference and by the KL divergence in
        nats, and what the right text costs either model, in nats a token.

    Raises:
        ValueError: There is no such bug, or it leaves nothing of the beginning; the model is no
            Llama, or quantized already where the mistake is one of quantization; the text does not
            fit its context; or a setting means nothing.
    """
    ids = tokenizer.encode(text, bos=True)
    stops = {tokenizer.bos_id, tokenizer.eos_id}
    fed = broken_prompt(ids, bug)
    if not fed:
        raise ValueError("this mistake leaves nothing to feed: type a beginning")
    if count < 1:
        raise ValueError(f"count={count}: must be at least 1")
    [(_, start)] = read_rows(model.config, [ids], count, seed)
    sampling = check_sampling(temperature, top_p=TOP_P)

    def choose(logits: Float[Tensor, " V"], numbers: Iterator[float]) -> int:
        if sampling.temperature == 0:
            return int(logits.argmax())
        uniform = torch.tensor(next(numbers), dtype=torch.float64)
        chances = next_probabilities(logits, sampling.temperature, top_p=sampling.top_p)
        return int(draw(chances, uniform))

    def continued(prompt: list[int]) -> tuple[list[int], Float[Tensor, "T V"]]:
        """Up to ``count`` tokens, and the logits that each (and a stop) was taken from."""
        cache, numbers = _cache(model, len(prompt) + count), uniforms(start)
        _read(model, prompt[:-1], cache)
        found: list[int] = []
        logits: list[Tensor] = []
        last = prompt[-1]
        while len(found) < count:
            logits += _read(model, [last], cache)
            last = choose(logits[-1], numbers)
            if last in stops:
                break
            found.append(last)
        return found, torch.stack(logits)

    with right_model(model, bug):
        right, logits = continued(ids)
    with break_model(model, bug):
        broken, _ = continued(fed)
        steps = _read(model, fed + right, _cache(model, len(fed) + count))
    others = torch.stack(steps[len(fed) - 1 :][: len(logits)])
    ends = [*broken, None]  # a text that ends early parts there
    pairs = enumerate(zip([*right, None], ends, strict=False))
    parts = next((i for i, (a, b) in pairs if a != b), None)
    off = (logits - others).abs().amax(-1)  # (T,)
    at = int(off.argmax()) if parts is None else parts
    p, q = logits[at].log_softmax(-1), others[at].log_softmax(-1)
    costs = [F.cross_entropy(x[: len(right)], torch.tensor(right)) for x in (logits, others)]
    return {
        "right": right,
        "broken": broken,
        "rightTexts": _texts(tokenizer, ids, right),
        "brokenTexts": _texts(tokenizer, ids, broken),
        "parts": parts,
        "largest": off[at].item(),
        "divergence": (p.exp() * (p - q)).sum().item(),
        "rightLoss": costs[0].item(),
        "brokenLoss": costs[1].item(),
    }


def _cache(model: Transformer, room: int) -> KVCache:
    """One more than there is room for, as a mistake may take a slot, where the context has it."""
    slots = min(room + 1, model.config.max_seq_len)
    return KVCache(model.config, max_seq_len=slots, dtype=model.dtype, device=model.device)


@torch.no_grad()
def _read(model: Transformer, ids: list[int], cache: KVCache) -> list[Float[Tensor, " V"]]:
    """One token after the other, as the page reads: the logits after each, on the CPU."""
    return [model(torch.tensor([[i]], device=model.device), cache)[0, 0].cpu() for i in ids]


def _texts(tokenizer: Any, prompt: list[int], ids: list[int]) -> list[str]:
    """What each token adds to the text after a prompt."""
    decoder = tokenizer.stream_decoder()
    for token in prompt:
        decoder.feed(token)
    texts = [decoder.feed(token) for token in ids]
    rest = decoder.flush()
    return [*texts[:-1], texts[-1] + rest] if texts else []


def says(shown: dict[str, Any]) -> str:
    """The line under the texts; the twin of the script's."""
    kind = "parts" if shown["parts"] is not None else "same"
    if kind == "same" and shown["largest"] < EQUAL:
        kind = "harmless"
    number = None if shown["parts"] is None else shown["parts"] + 1
    return fill(SAYS[kind], rounded({**shown, "number": number, "count": len(shown["right"])}))


def pair(bug: Bug, beginning: str, shown: dict[str, Any], before: str = "", more: str = "") -> str:
    """A mistake and both texts, as HTML; the page's script fills the same elements anew."""
    sides = [
        _side(beginning, shown[f"{side}Texts"], shown["parts"]) for side in ("right", "broken")
    ]
    return (
        f'<div class="lt-museum">{before}'
        f'<p class="lt-what"><b>{escape(bug.title)}.</b> <span>{escape(bug.what)}</span></p>'
        f'<div class="lt-lines"><pre><del>{escape(bug.right)}</del></pre>'
        f"<pre><ins>{escape(bug.wrong)}</ins></pre></div>"
        f'<div class="lt-sides"><div><b>right</b>{sides[0]}</div>'
        f"<div><b>broken</b>{sides[1]}</div></div>"
        f'<p class="lt-status" role="status">{escape(says(shown))}</p>{more}</div>'
    )


def _side(beginning: str, texts: list[str], parts: int | None) -> str:
    """One text: its beginning, and the token where the two part marked."""
    if parts is None:
        return f"<p><span>{escape(beginning)}</span>{escape(''.join(texts))}</p>"
    before, after = "".join(texts[:parts]), "".join(texts[parts + 1 :])
    token = texts[parts] if parts < len(texts) else " (the end)"
    marked = token.lstrip(" ") or token  # the space before a word is not marked
    before += token.removesuffix(marked)
    return (
        f"<p><span>{escape(beginning)}</span>{escape(before)}<mark>{escape(marked)}</mark>"
        f"{escape(after)}</p>"
    )
