"""The tasks of the chapter on generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from llama_tutorial.workbook.solutions.generation import encode_dialog, top_p
from llama_tutorial.workbook.task import Bug, Case, Task
from llama_tutorial.workbook.tasks._letters import Letters, readable

_Z = torch.tensor([0.5, 2.0, -1.0, 3.0, 1.0])  # shares: 0.05, 0.23, 0.01, 0.62, 0.08


def _many() -> Tensor:
    return 2 * torch.randn(40, generator=torch.Generator().manual_seed(0))


def _cut(answer: Callable[..., Tensor], logits: Tensor, p: float, in_order: bool = True) -> Any:
    """What a cut leaves; of equals it does not matter which, so their order is not asked for."""
    left = answer(logits, p)
    return left if in_order else left.sort(descending=True).values


def _top_k_cases() -> list[Case]:
    return [
        Case("five logits, k = 2", _Z, 2),
        Case("five logits, k = 1", _Z, 1),
        Case("forty logits, k = 10", _many(), 10),
        Case("five logits, k = 20", _Z, 20),
    ]


def _top_p_cases() -> list[Case]:
    return [
        Case("five logits, p = 0.5", _Z, 0.5),
        Case("five logits, p = 0.8", _Z, 0.8),
        Case("forty logits, p = 0.9", _many(), 0.9),
        Case(
            "four equal ones, p = 0.5, which the first two hold exactly", torch.zeros(4), 0.5, False
        ),
    ]


def _shares_cases() -> list[Case]:
    return [
        Case("five logits, temperature 1, p = 0.8", _Z, 1.0, 0.8),
        Case("five logits, temperature 0.5, p = 0.8", _Z, 0.5, 0.8),
        Case("forty logits, temperature 2, p = 0.9", _many(), 2.0, 0.9),
        Case("temperature 0", _Z, 0, 0.9),
    ]


def _not_divided(logits: Tensor, temperature: float | int, p: float) -> Tensor:
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    z = logits / temperature
    return z.softmax(-1).masked_fill(top_p(z, p).isinf(), 0)


def _draw_cases() -> list[Case]:
    four, zeros, short = (
        torch.tensor(numbers, dtype=torch.float64)
        for numbers in ([0.125, 0.5, 0.25, 0.125], [0, 0.5, 0, 0.5, 0], [0.499, 0.5])
    )
    cases = [Case(f"four tokens, u = {u}", four, u) for u in (0.1, 0.3, 0.7, 0.9)]
    cases += [Case(f"tokens of probability 0, u = {u}", zeros, u) for u in (0.0, 0.5)]
    return [*cases, Case("a sum of 0.999, u = 0.9995", short, 0.9995)]


def _joined(calls: list[list[int]]) -> list[int]:
    return [token for ids in calls for token in ids]


class _Feed:
    """A model with a cache: what comes next depends on all that was fed."""

    def __init__(self, vocab_size: int, seed: int) -> None:
        self.vocab_size, self.seed = vocab_size, seed
        self.calls: list[list[int]] = []

    def __call__(self, ids: Sequence[int]) -> Tensor:
        self.calls.append([int(token) for token in ids])
        seed = hash((self.seed, *_joined(self.calls))) % 2**31
        return torch.randn(self.vocab_size, generator=torch.Generator().manual_seed(seed))


def _written(
    answer: Callable[..., Any],
    prompt: list[int],
    n: int,
    stop_ids: Sequence[int] = (),
    seed: int = 0,
) -> dict[str, Any]:
    feed = _Feed(12, seed)
    new = answer(feed, list(prompt), n, stop_ids) if stop_ids else answer(feed, list(prompt), n)
    # Whether the last token is fed as well does not matter.
    calls = feed.calls
    if isinstance(new, list):
        ended = len(new) >= n or (len(new) > 0 and new[-1] in stop_ids)
        calls = calls[: len(new) + (not ended)]
    return {"new ids": new, "ids of the first call": calls[:1], "all ids fed": _joined(calls)}


def _greedy_cases() -> list[Case]:
    return [
        Case("one token after three", [1, 5, 9], 1),
        Case("six tokens after three", [1, 5, 9], 6, (), 3),
        Case("an end after some tokens", [1, 4], 30, (2, 3), 1),
        Case("an end at once", [1, 8], 4, tuple(range(12)), 2),
    ]


def _returns_stop(
    feed: Callable[..., Tensor], prompt: list[int], n: int, stop_ids: Sequence[int] = ()
) -> list[int]:
    new: list[int] = []
    logits = feed(prompt)
    while len(new) < n and not (new and new[-1] in stop_ids):
        new.append(int(logits.argmax()))
        logits = feed(new[-1:])
    return new


_SYSTEM = {"role": "system", "content": "Be brief."}
_SPACED = {"role": "system", "content": " Be brief. "}
_FIRST = {"role": "user", "content": "Hi there"}
_ANSWER = {"role": "assistant", "content": " Hello!\n"}
_LAST = {"role": "user", "content": " Why? "}


def _dialog_cases() -> list[Case]:
    return [
        Case("one question", [_FIRST]),
        Case("a question, an answer, a question", [_FIRST, _ANSWER, _LAST]),
        Case("a system message first", [_SYSTEM, _FIRST, _ANSWER, _LAST]),
        Case("white space beside the system message", [_SPACED, _LAST]),
    ]


def _laid_out(answer: Callable[..., Any], dialog: list[dict[str, str]]) -> Any:
    return readable(answer(dialog, Letters()))


def _in_one_text(dialog: list[dict[str, str]], tokenizer: Letters) -> list[int]:
    texts = [message["content"].strip() for message in dialog]
    if dialog[0]["role"] == "system":
        texts[:2] = [f"<<SYS>>\n{texts[0]}\n<</SYS>>\n\n{texts[1]}"]
    turns = [f"[INST] {text} [/INST]" if n % 2 == 0 else text for n, text in enumerate(texts)]
    return tokenizer.encode(" ".join(turns), bos=True)


def _answer_alone(dialog: list[dict[str, str]], tokenizer: Letters) -> list[int]:
    texts = [message["content"] for message in dialog]
    if dialog[0]["role"] == "system":
        texts[:2] = [f"<<SYS>>\n{texts[0]}\n<</SYS>>\n\n{texts[1]}"]
    ids: list[int] = []
    for n, text in enumerate(texts):
        if n % 2:
            ids += tokenizer.encode(f" {text.strip()} ", eos=True)
        else:
            ids += tokenizer.encode(f"[INST] {text.strip()} [/INST]", bos=True)
    return ids


# The exercises


def _min_p_cases() -> list[Case]:
    return [
        Case("five logits, m = 0.1", _Z, 0.1),
        Case("forty logits, m = 0.05", _many(), 0.05),
        Case("forty at a high temperature, m = 0.1", _many() / 3, 0.1),
        Case("two equal ones at the top, m = 1", torch.tensor([1.0, 2.0, 0.5, 2.0]), 1),
    ]


def _penalty_cases() -> list[Case]:
    return [
        Case("one token with a logit above 0", _Z, [3], 1.5),
        Case("one with a logit below 0", _Z, [2], 1.5),
        Case("a text of four tokens, one of them twice", _Z, [1, 4, 2, 1], 2.0),
        Case("forty logits", _many(), [7, 30, 7, 7, 2], 1.2),
    ]


def _each_time(logits: Tensor, used: Sequence[int], theta: float) -> Tensor:
    logits = logits.clone()
    for token in used:
        logits[token] = logits[token] / theta if logits[token] > 0 else logits[token] * theta
    return logits


class _Chain:
    """Logits that depend on the last two tokens, and are not of one size."""

    def __init__(self, vocab_size: int, seed: int) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.size = vocab_size
        table = torch.randn(vocab_size, vocab_size, vocab_size, generator=chance)
        self.table = table + 3 * torch.randn(vocab_size, vocab_size, 1, generator=chance)

    def __call__(self, tokens: Tensor) -> Tensor:
        before = torch.cat((tokens[:, :1], tokens[:, :-1]), 1)
        return self.table[before, tokens]  # (B, T, V)


def _searched(
    answer: Callable[..., Any], seed: int, ids: list[int], width: int, n: int
) -> dict[str, Any] | Any:
    found = answer(_Chain(7, seed), list(ids), width, n)
    if not isinstance(found, list | tuple) or len(found) != 2:
        return {"number of results": len(found) if isinstance(found, list | tuple) else found}
    return {"number of results": 2, "new ids": found[0], "sum of log-probabilities": found[1]}


def _beam_cases() -> list[Case]:
    return [
        Case("one token, a beam of one: greedy", 0, [1, 3], 1, 1),
        Case("five tokens, a beam of one", 1, [1, 3], 1, 5),
        *(
            Case(f"six tokens, a beam of three, model {n}", n, [1, 2, 5], 3, 6)
            for n in (1, 7, 11, 14)
        ),
        Case("four tokens, a beam of seven", 6, [1], 7, 4),
    ]


@torch.no_grad()
def _best_of_each(
    model: Callable[[Tensor], Tensor], ids: list[int], width: int, n: int
) -> tuple[list[int], float]:
    totals, first = model(torch.tensor([ids]))[0, -1].log_softmax(-1).topk(width)
    beams = torch.cat((torch.tensor([ids] * width), first[:, None]), dim=1)
    for _ in range(n - 1):
        best = model(beams)[:, -1].log_softmax(-1).max(-1)
        totals = totals + best.values
        beams = torch.cat((beams, best.indices[:, None]), dim=1)
    top = int(totals.argmax())
    return beams[top, len(ids) :].tolist(), totals[top].item()


_TOLD = [
    [1, 5, 6, 7, 5, 6, 8, 5, 6, 7, 2],
    [1, 5, 6, 7, 3, 4, 6, 7, 5, 9, 2],
    [1, 5, 9, 3, 4, 8, 5, 6, 8, 5, 9, 2],
    [1, 10, 11, 9, 10, 11, 4, 2],
]


def _drafted(answer: Callable[..., Any], texts: list[list[int]], ids: list[int], n: int) -> Any:
    draft = answer(texts)
    return draft(ids, n) if callable(draft) else draft


def _draft_cases() -> list[Case]:
    return [
        Case("one guess", _TOLD, [1, 5, 6], 1),
        Case("four guesses", _TOLD, [3, 1, 5], 4),
        Case("two that came equally often", _TOLD, [4, 3, 4], 1),
        Case("two that came equally often, the larger id first", _TOLD, [1, 10, 11], 1),
        Case("two tokens that were never there", _TOLD, [1, 9, 9], 3),
        Case("the end of a text", _TOLD, [9, 2], 2),
    ]


def _table_by(
    texts: Sequence[Sequence[int]], back: int = 2, default: tuple[int, ...] = (1,)
) -> Callable[[list[int], int], list[int]]:
    """A draft that looks at so many tokens, and guesses this where it knows nothing."""
    follows: dict[tuple[int, ...], dict[int, int]] = {}
    for text in texts:
        for i in range(back, len(text)):
            counts = follows.setdefault(tuple(text[i - back : i]), {})
            counts[text[i]] = counts.get(text[i], 0) + 1

    def draft(ids: list[int], n: int) -> list[int]:
        guessed = list(ids)
        for _ in range(n):
            counts = follows.get(tuple(guessed[-back:]), {})
            guessed += [max(counts, key=lambda one: counts[one])] if counts else default
        return guessed[len(ids) :]

    return draft


def _after_one_token(texts: Sequence[Sequence[int]]) -> Callable[..., list[int]]:
    return _table_by(texts, back=1)


def _across_texts(texts: Sequence[Sequence[int]]) -> Callable[..., list[int]]:
    return _table_by([[token for text in texts for token in text]])


def _stops_early(texts: Sequence[Sequence[int]]) -> Callable[..., list[int]]:
    return _table_by(texts, default=())


def _fits(answer: Callable[..., Any], dialog: list[dict[str, str]], room: int) -> Any:
    """What is left of a dialog, told by its contents, or the error."""
    try:
        left = answer(dialog, Letters(), room)
    except ValueError:
        return ["a ValueError"]
    if not isinstance(left, list) or not all(isinstance(one, dict) for one in left):
        return left
    return [f"{one.get('role')}: {one.get('content')}" for one in left]


def _trim_cases() -> list[Case]:
    talk = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "How are you, and how was your day?"},
        {"role": "assistant", "content": "Fine."},
        {"role": "user", "content": "Why?"},
    ]
    one, all_of_it = (len(encode_dialog(part, Letters())) for part in (talk[2:], talk))
    told = [_SYSTEM, *talk]
    two_left, one_left = (
        len(encode_dialog([_SYSTEM, *part], Letters())) for part in (talk[2:], talk[4:])
    )
    return [
        Case("all of it fits", talk, all_of_it + 10),
        Case("all of it fits exactly", talk, all_of_it),
        Case("one id too many", talk, all_of_it - 1),
        Case("only the last question fits", talk, one - 1),
        Case("a system message, and room for one turn less", told, two_left),
        Case("a system message, and room for one question", told, one_left),
        Case("not even the last question fits", talk[4:], 5),
        Case("a system message and a question that do not fit", told, one_left - 1),
    ]


def _nothing_left(
    dialog: list[dict[str, str]], tokenizer: Letters, room: int
) -> list[dict[str, str]]:
    system = dialog[0]["role"] == "system"
    while len(encode_dialog(dialog, tokenizer)) > room:
        dialog = dialog[:system] + dialog[system + 2 :]
    return dialog


TASKS = [
    Task(
        "generation.top_k",
        cases=_top_k_cases,
        bugs=[
            Bug(
                "the_least_likely",
                edit=("descending=True", "descending=False"),
                says="You keep the smallest logits.",
                effect="It draws what fits least.",
                look="In which order does argsort put them?",
            ),
            Bug(
                "one_too_many",
                edit=("order[k:]", "order[k + 1 :]"),
                says="You keep one token too many.",
                effect="With k = 1 it is no longer greedy: the second best is drawn, too.",
                look="Ranks are counted from 0. Which is the last one that stays?",
            ),
            Bug(
                "one_too_few",
                edit=("order[k:]", "order[k - 1 :]"),
                says="You keep one token too few; with k = 1 none is left.",
                effect="With k = 1 all logits are minus infinity, and their softmax is NaN.",
                look="Ranks are counted from 0. Which is the first one that goes?",
            ),
            Bug(
                "zero_for_minus_infinity",
                edit=("-torch.inf", "0.0"),
                says="You set what is dropped to 0. A logit of 0 is no probability of 0: it is a "
                "factor of 1 before the softmax.",
                effect="What was dropped is still drawn, and the unlikeliest get likelier.",
                look="Which logit does the softmax turn into 0?",
            ),
            Bug(
                "in_order_of_size",
                edit=(
                    "logits.scatter(0, order[k:], -torch.inf)",
                    "logits[order].scatter(0, torch.arange(len(logits))[k:], -torch.inf)",
                ),
                says="The right logits are left, but in order of size, no longer in their places.",
                effect="Token 0 is always the likeliest, whatever it means.",
                look="How do you get from a rank back to a token?",
            ),
        ],
        hints=[
            "Sort, but keep the places: argsort tells which token has which rank.",
            "All tokens from rank k on go. Which slice of the order is that, and is it in order "
            "for a k that is larger than V?",
            "`scatter` writes one number into the places that a tensor of indices names, and "
            "leaves the rest.",
        ],
        minutes=5,
        page="#temperature-first-then-the-cut",
        teaches="A dropped token has the logit minus infinity, and so the probability 0.",
    ),
    Task(
        "generation.top_p",
        cases=_top_p_cases,
        use=_cut,
        bugs=[
            Bug(
                "crossing_dropped",
                edit=("share.cumsum(-1) - share", "share.cumsum(-1)"),
                says="You drop the token with which the sum crosses p. It should be the last that "
                "stays.",
                effect="Where the likeliest token alone holds more than p, nothing is left at all, "
                "and the softmax of nothing is NaN.",
                look="Sum what the likelier tokens hold, without the token itself.",
            ),
            Bug(
                "mask_in_order_of_size",
                edit=(
                    "logits.scatter(0, order[above > p], -torch.inf)",
                    "logits.masked_fill(above > p, -torch.inf)",
                ),
                says="Your mask is in order of size and your logits are in order of ids: you drop "
                "as many as you should, but others.",
                effect="It drops tokens by their number: those with a high id, however likely.",
                look="How do you get from a rank back to a token?",
            ),
            Bug(
                "in_order_of_size",
                edit=(
                    "logits.scatter(0, order[above > p], -torch.inf)",
                    "logits[order].masked_fill(above > p, -torch.inf)",
                ),
                says="The right logits are left, but in order of size, no longer in their places.",
                effect="Token 0 is always the likeliest, whatever it means.",
                look="How do you get from a rank back to a token?",
            ),
            Bug(
                "from_the_least_likely",
                edit=("descending=True", "descending=False"),
                says="You begin with the least likely tokens, and drop the likeliest.",
                effect="What should always be drawn never is.",
                look="In which order does argsort put them?",
            ),
            Bug(
                "logits_for_shares",
                edit=(".softmax(-1)", ""),
                says="You add up logits. p is a share, so it is probabilities that must be summed.",
                effect="How many tokens stay depends on a constant that the softmax does not see.",
                look="Which function makes probabilities of logits?",
            ),
            Bug(
                "stops_at_p",
                edit=("above > p", "above >= p"),
                says="You stop as soon as the sum is p. By Meta's rule a token stays while those "
                "above it hold at most p, so where they hold just p, one more stays.",
                effect="It is Hugging Face's rule, the smallest set that reaches p. The two differ "
                "only where the sum is p exactly.",
                look="What of a token above which the sum is just p?",
            ),
        ],
        hints=[
            "Sort first, with the places; then turn the sorted logits into probabilities.",
            "A cumulative sum holds each token itself. What the likelier ones hold is that, less "
            "the token's own share.",
            "Compare with p, in order of size; then write minus infinity into the places in the "
            "*unsorted* logits that `order` names there.",
        ],
        minutes=10,
        page="#temperature-first-then-the-cut",
        teaches="Top-p leaves as many tokens as the model hesitates between: one or a hundred.",
    ),
    Task(
        "generation.next_shares",
        cases=_shares_cases,
        bugs=[
            Bug(
                "cut_first",
                edit=(
                    "top_p(logits / temperature, p).softmax(-1)",
                    "(top_p(logits, p) / temperature).softmax(-1)",
                ),
                says="You cut first and divide by the temperature after. At temperature 1 that is "
                "the same.",
                effect="With a low temperature too many tokens are left, with a high one too few.",
                look="Of which distribution is p a share?",
            ),
            Bug(
                "multiplied",
                edit=("logits / temperature", "logits * temperature"),
                says="You multiply by the temperature. Low should mean sharp.",
                effect="Who asks for cautious text gets wild text, and the other way round.",
                look="What should a temperature near 0 do to the difference of two logits?",
            ),
            Bug(
                "not_divided_by_the_sum",
                wrong=_not_divided,
                says="What is left does not sum to 1: you drop tokens, and the others keep the "
                "shares that they had before.",
                effect="A draw that relies on the sum falls beyond the last token now and then.",
                look="Does the softmax come before the cut, or after?",
            ),
            Bug(
                "zero_divides",
                edit=("if temperature == 0:", "if False:"),
                says="You divide by a temperature of 0, which gives infinities and NaN.",
                effect="Nothing can be drawn from NaN; some code then takes token 0.",
                look="The formula has no value at 0. What do people mean by temperature 0?",
            ),
            Bug(
                "not_cut",
                edit=("top_p(logits / temperature, p)", "(logits / temperature)"),
                says="You do not cut: every token can still be drawn.",
                effect="Of a thousand unlikely tokens, each hardly ever, one is drawn now and "
                "then, and the text goes astray from there.",
                look="What happens to p in your code?",
            ),
        ],
        hints=[
            "Deal with 0 first: which distribution always gives the likeliest token?",
            "The cut takes logits and gives logits back, so it goes between the division and the "
            "softmax.",
            "Minus infinity divided by its sum: the softmax does both, zeros and the new sum.",
        ],
        minutes=5,
        page="#temperature-first-then-the-cut",
        teaches="Temperature, then the cut, then the softmax, which makes the sum 1 again.",
    ),
    Task(
        "generation.draw",
        cases=_draw_cases,
        bugs=[
            Bug(
                "likeliest",
                edit=(
                    "int(torch.searchsorted(reached, u * reached[-1], right=True))",
                    "int(probabilities.argmax())",
                ),
                says="You always take the likeliest token; u does nothing.",
                effect="Every seed writes the same text.",
                look="Where does u fall, if the probabilities lie side by side?",
            ),
            Bug(
                "rank_for_token",
                edit=(
                    "probabilities.cumsum",
                    "probabilities.sort(descending=True).values.cumsum",
                ),
                says="You return a rank: you lay the probabilities side by side in order of size, "
                "so 0 means the likeliest token and not token 0.",
                effect="It writes the first few tokens of the vocabulary, over and over.",
                look="Which token is it that stands at that place?",
            ),
            Bug(
                "left_edge",
                edit=("right=True", "right=False"),
                says="Your edges are on the wrong side: a u on the border of two tokens falls to "
                "the first of them. So u = 0 draws token 0, even if its probability is 0.",
                effect="Once in a while a token is drawn that a cut has dropped.",
                look="Token i is drawn if the sum up to and with it is *above* u.",
            ),
            Bug(
                "not_of_the_sum",
                edit=("u * reached[-1]", "torch.tensor(u).double()"),
                says="You compare u with sums that do not reach 1, by rounding. A u above them all "
                "gives V, which is no token.",
                effect="Once in millions of draws the program stops with an index error.",
                look="u is a share of the sum. What is the sum?",
            ),
        ],
        hints=[
            "A cumulative sum gives the right edge of every token's part of the interval.",
            "You look for the first token whose right edge is above u, times the whole sum.",
            "`torch.searchsorted` finds the place in a sorted tensor. It has a word for which side "
            "of equals you want.",
        ],
        minutes=10,
        page="#one-random-number-one-token",
        teaches="One random number decides one token, so a seed names a text.",
    ),
    Task(
        "generation.greedy",
        cases=_greedy_cases,
        use=_written,
        bugs=[
            Bug(
                "everything_again",
                edit=("feed([token])", "feed(prompt + new)"),
                says="You feed the whole text again for every token. The cache has it already.",
                effect="The cache holds the prompt once more after each token: the model reads a "
                "text in which everything is repeated.",
                look="What does feed remember?",
            ),
            Bug(
                "last_token_twice",
                edit=("logits = feed(prompt)", "feed(prompt), (logits := feed(prompt[-1:]))"),
                says="You feed the prompt's last token twice: with the prompt, and by itself.",
                effect="All later tokens stand one position too far along, and after a word that "
                "was said twice.",
                look="Which logits does feeding the prompt return?",
            ),
            Bug(
                "logits_not_taken",
                edit=("logits = feed([token])", "feed([token])"),
                says="You go on with the logits of the prompt.",
                effect="It writes one token over and over.",
                look="What does feed return after a new token?",
            ),
            Bug(
                "stop_returned",
                wrong=_returns_stop,
                says="You return the stop id. It ends the text and is not part of it.",
                effect="Each answer ends with `</s>`, which a chat then feeds twice.",
                look="When do you look whether it is a stop: before it is appended, or after?",
            ),
            Bug(
                "never_stops",
                edit=(
                    "(token := int(logits.argmax())) not in stop_ids",
                    "(token := int(logits.argmax())) is not None",
                ),
                says="You do not look at the stop ids.",
                effect="It tells one tale after the other, or asks itself the next question.",
                look="How does the model say that it has finished?",
            ),
            Bug(
                "one_too_many",
                edit=("len(new) < n", "len(new) <= n"),
                says="You write one token more than was asked for.",
                effect="The last one may have no room in the cache.",
                look="How many are there when the loop begins its last round?",
            ),
            Bug(
                "with_the_prompt",
                edit=("return new", "return prompt + new"),
                says="You return the prompt as well. Only the new ids are asked for.",
                effect="The text begins twice.",
                look="What does your list begin with?",
            ),
        ],
        hints=[
            "Feed the prompt once, whole: the logits that come back are already those of the "
            "first new token.",
            "A loop of three steps: take the likeliest; is it a stop, then the end; append it and "
            "feed it alone.",
            "Look at the stop ids before you append, and count before you take.",
        ],
        minutes=10,
        page="#the-prompt-in-one-pass-the-answer-token-by-token",
        teaches="With a cache every token is fed once: the prompt in one pass, then one by one.",
    ),
    Task(
        "generation.encode_dialog",
        cases=_dialog_cases,
        use=_laid_out,
        bugs=[
            Bug(
                "double_bos",
                edit=(
                    'f"[INST] {contents[i].strip()} [/INST]"',
                    'f"<s>[INST] {contents[i].strip()} [/INST]"',
                ),
                says="You write `<s>` as text, before a BOS that the tokenizer puts there.",
                effect="The model reads three characters that never stood there in training.",
                look="Which of the marks are text, and which are ids?",
                museum=False,
            ),
            Bug(
                "bos_once",
                edit=("bos=True", "bos=i == 0"),
                says="Only your first turn has BOS.",
                effect="From the second turn on, the model reads a layout that it was not trained "
                "on.",
                look="Each question with its answer is a text of its own.",
            ),
            Bug(
                "no_eos",
                edit=("eos=answered", "eos=False"),
                says="Your answers have no EOS.",
                effect="The model reads answers without an end, as it never did in training, "
                "and may go on where it should stop.",
                look="How did an answer end in training?",
            ),
            Bug(
                "eos_after_the_question",
                edit=("eos=answered", "eos=True"),
                says="You put EOS after the last question, which has no answer yet.",
                effect="The text is over before the model has said a word.",
                look="Where should the model go on?",
            ),
            Bug(
                "no_space_before_eos",
                edit=("[i + 1].strip()} ", "[i + 1].strip()}"),
                says="There is no space between an answer and its EOS.",
                effect="One id is missing in every turn: the lone space, 29871.",
                look="What stands on each side of an answer?",
            ),
            Bug(
                "not_stripped",
                edit=("{contents[i].strip()}", "{contents[i]}"),
                says="Questions keep the white space at their ends.",
                effect="Two spaces are another token than one.",
                look="What does Meta do with a message before it puts it in?",
            ),
            Bug(
                "nothing_stripped",
                edit=("{contents[i].strip()}", "{contents[i]}"),
                more=(("{contents[i + 1].strip()}", "{contents[i + 1]}"),),
                says="Messages keep the white space at their ends.",
                effect="A line feed after an answer is an id that ended no answer in training.",
                look="What does a message look like that somebody has typed?",
            ),
            Bug(
                "one_text",
                wrong=_in_one_text,
                says="You encode the whole dialog as one text, with one BOS and no EOS.",
                effect="In training each question with its answer was a text of its own; the model "
                "reads a layout that it has never seen.",
                look="How often does tokenizer.encode run for a dialog of two questions?",
            ),
            Bug(
                "no_spaces_in_the_tags",
                edit=("[INST] {contents[i].strip()} [/INST]", "[INST]{contents[i].strip()}[/INST]"),
                says="There is no space between the tags and the question.",
                effect="The question's first word becomes another token, without its space.",
                look="How many spaces are there in “[INST] Why? [/INST]”?",
            ),
            Bug(
                "system_last",
                edit=(
                    'contents = [f"<<SYS>>\\n{system}\\n<</SYS>>\\n\\n{question}", *rest]',
                    "contents = [question, *rest]\n"
                    '        contents[-1] = f"<<SYS>>\\n{system}\\n<</SYS>>\\n\\n{contents[-1]}"',
                ),
                says="You put the system message before the last question, and it stands before "
                "the first.",
                effect="Each turn changes the text before it, so that nothing in the cache can "
                "be used again.",
                look="In which turn does it stand, and where in it?",
            ),
            Bug(
                "system_stripped",
                edit=(
                    "{system}\\n<</SYS>>\\n\\n{question}",
                    "{system.strip()}\\n<</SYS>>\\n\\n{question.strip()}",
                ),
                says="You strip the system message, and the first question before it comes after "
                "that. Only the question that the two become is stripped, so the spaces inside "
                "stay.",
                effect="Other ids than Meta's code makes, where a message was typed with spaces at "
                "its ends.",
                look="What is stripped first, and what is joined first?",
            ),
            Bug(
                "one_line_feed",
                edit=("\\n<</SYS>>\\n\\n", "\\n<</SYS>>\\n"),
                says="After `<</SYS>>` there are two line feeds, and you have one.",
                effect="One id is missing, 13, in every dialog with a system message.",
                look="Is there an empty line before the question?",
            ),
            Bug(
                "answer_encoded_alone",
                wrong=_answer_alone,
                says="You encode the answer by itself. The tokenizer then puts a space of its own "
                "before it, shown as ▁.",
                effect="Each answer begins with an id more than in training.",
                look="How many texts does a turn consist of, for the tokenizer?",
            ),
        ],
        hints=[
            "First fold the system message into the first question; after that there are only "
            "questions and answers in turn.",
            "Go through the messages two at a time: a question, and its answer if there is one. "
            "Build one text of the two, and encode that.",
            "`strip` each question and each answer and put the spaces back in yourself. BOS "
            "always, EOS only if there is an answer.",
        ],
        minutes=15,
        page="#a-chat-model-answers-to-one-layout",
        teaches="A chat model answers to one layout, down to the space before EOS.",
    ),
    Task(
        "generation.min_p",
        cases=_min_p_cases,
        fresh=True,
        extra=True,
        bugs=[
            Bug(
                "a_share_of_one",
                edit=("logits < logits.max() + math.log(m)", "logits.softmax(-1) < m"),
                says="You compare each probability with m itself. m is a share of the likeliest "
                "token's probability.",
                effect="Where the model hesitates between many tokens, none may be left at all.",
                look="How likely must a token be, if the likeliest has 0.2 and m is 0.1?",
            ),
            Bug(
                "ratio_of_logits",
                edit=("logits.max() + math.log(m)", "logits.max() * m"),
                says="You compare a logit with m times the largest logit. It is probabilities "
                "whose ratio counts.",
                effect="The same probabilities, with a constant added to all logits, are cut "
                "in another place.",
                look="By what do two logits differ, if one token is ten times as likely?",
            ),
            Bug(
                "m_for_its_logarithm",
                edit=("+ math.log(m)", "- m"),
                says="You take m off the largest logit. What a ratio of probabilities becomes "
                "among logits is its logarithm.",
                effect="Only tokens that are nearly as likely as the best are left: close to "
                "greedy.",
                look="Which difference of logits is a factor of 0.1?",
            ),
            Bug(
                "strict",
                edit=("logits < logits", "logits <= logits"),
                says="You drop a token that is exactly m times as likely. With m = 1 nothing is "
                "left.",
                effect="With m = 1 all logits are minus infinity, and their softmax is NaN.",
                look="What does “at least” say about equality?",
            ),
            Bug(
                "other_sign",
                edit=("+ math.log(m)", "- math.log(m)"),
                says="Your threshold lies above the largest logit, so nothing is left.",
                effect="The softmax of nothing is NaN.",
                look="Which sign has the logarithm of a number below 1?",
            ),
            Bug(
                "zero_for_minus_infinity",
                edit=("-torch.inf", "0.0"),
                says="You set what is dropped to 0. A logit of 0 is no probability of 0: it is a "
                "factor of 1 before the softmax.",
                effect="What was dropped is still drawn, and the unlikeliest get likelier.",
                look="Which logit does the softmax turn into 0?",
            ),
        ],
        hints=[
            "The likeliest token sets the measure: m times its probability is the least that "
            "stays.",
            "The softmax divides all by the same sum, so a ratio of two probabilities is e to the "
            "power of the difference of their logits.",
            "So the threshold is the largest logit plus the logarithm of m, and no probability is "
            "computed.",
        ],
        minutes=4,
        page="#ex-generation-min-p",
        teaches="A ratio of probabilities is a difference of logits.",
    ),
    Task(
        "generation.penalised",
        cases=_penalty_cases,
        fresh=True,
        extra=True,
        bugs=[
            Bug(
                "always_divided",
                edit=("torch.where(now > 0, now / theta, now * theta)", "now / theta"),
                says="You divide every used logit. One below 0 then comes closer to 0: the token "
                "gets likelier.",
                effect="Unlikely words are repeated more often than without a penalty.",
                look="What is -2 divided by 2, and is it more or less than -2?",
            ),
            Bug(
                "other_way_round",
                edit=("now / theta, now * theta", "now * theta, now / theta"),
                says="You multiply where you should divide: used tokens get likelier.",
                effect="It says the same word over and over, and ever more surely.",
                look="Should a positive logit grow or shrink?",
            ),
            Bug(
                "once_for_each_time",
                wrong=_each_time,
                says="A token that stands in the text twice is penalised twice. Once is asked for.",
                effect="In a long text “the” and the full stop are soon forbidden.",
                look="How often does a token get its penalty?",
            ),
            Bug(
                "subtracted",
                edit=("torch.where(now > 0, now / theta, now * theta)", "now - theta"),
                says="You subtract theta. That is a penalty too, and a cleaner one, but here "
                "logits are divided or multiplied.",
                effect="Another strength: the theta of somebody's settings means something else.",
                look="What does the specification do with a logit above 0?",
            ),
            Bug(
                "all_of_them",
                wrong=lambda logits, _, theta: torch.where(
                    logits > 0, logits / theta, logits * theta
                ),
                says="You change all logits, also those of tokens that were not used.",
                effect="It is no penalty for repeating: all it does is to bend the distribution.",
                look="What does used do in your code?",
            ),
            Bug(
                "where_it_stands_in_the_text",
                wrong=lambda logits, used, theta: torch.cat(
                    (
                        torch.where(
                            logits[: len(used)] > 0,
                            logits[: len(used)] / theta,
                            logits[: len(used)] * theta,
                        ),
                        logits[len(used) :],
                    )
                ),
                says="You change the first logits, as many as the text has tokens. An id says "
                "which logit is its own.",
                effect="The tokens at the beginning of the vocabulary get unlikely, whatever the "
                "text says.",
                look="Which logit belongs to the token with the id 4?",
            ),
        ],
        hints=[
            "Look up the logits of the used tokens, and make their lower values.",
            "`torch.where` chooses between two tensors, number by number: which is lower, for a "
            "logit above 0 and for one below?",
            "Write them back into a copy, at the places that the ids name. Written twice, the same "
            "value does no harm; divided twice, it does.",
        ],
        minutes=5,
        page="#ex-generation-penalty",
        teaches="A penalty that divides a logit depends on where 0 is, and the softmax does not.",
    ),
    Task(
        "generation.beam_search",
        cases=_beam_cases,
        use=_searched,
        extra=True,
        bugs=[
            Bug(
                "not_normalised",
                edit=(".log_softmax(-1)", ""),
                says="You add up logits. They are comparable within one text, but not between two.",
                effect="A text whose logits are all large wins, however unlikely it is.",
                look="Which function makes logarithms of probabilities of logits?",
            ),
            Bug(
                "probabilities_added",
                edit=(".log_softmax(-1)", ".softmax(-1)"),
                says="You add up probabilities. That of a text is the product, so it is logarithms "
                "that are added.",
                effect="One token that is nearly sure makes up for one that is nearly impossible.",
                look="How likely is a text of two tokens of 0.5 each?",
            ),
            Bug(
                "last_token_alone",
                edit=("totals[:, None] + logs", "logs"),
                says="You rank texts by their last token alone: the sums are not carried along.",
                effect="A good beginning is thrown away for one likely word.",
                look="What becomes of totals from one step to the next?",
            ),
            Bug(
                "wrong_parents",
                edit=("beams[parents]", "beams[torch.arange(width) % len(beams)]"),
                says="You put the new tokens after the wrong texts: the k-th best new one after "
                "the k-th text, whichever it belongs to.",
                effect="The sums belong to other texts than those that you return.",
                look="Which text was extended to the k-th best?",
            ),
            Bug(
                "all_the_same",
                edit=(
                    "beams, totals = torch.tensor([ids]), torch.zeros(1)",
                    "beams, totals = torch.tensor([ids] * width), torch.zeros(width)",
                ),
                says="Your beams are all one, and you get greedy's text: you begin with width "
                "copies of the prompt, or you extend only the best text.",
                effect="It costs as much as beam search and writes what greedy writes.",
                look="How many different texts are there before the first step, and after it?",
            ),
            Bug(
                "best_of_each",
                wrong=_best_of_each,
                says="You extend each text by its own best token only. The best extensions of all "
                "texts together are asked for, and several may come from one.",
                effect="Only the first step searches: from there on it is greedy, width times.",
                look="How many candidates does one step have, with width texts and V tokens?",
            ),
            Bug(
                "with_the_prompt",
                edit=("beams[0, len(ids) :]", "beams[0]"),
                says="You return the prompt as well. Only the new ids are asked for.",
                effect="The text begins twice.",
                look="What does your list begin with?",
            ),
            Bug(
                "a_mean",
                edit=("totals[0].item()", "totals[0].item() / n"),
                says="Your second number is the mean over tokens. The sum is asked for.",
                effect="None, but with the sum of another method it cannot be compared.",
                look="Of what is a sum of logarithms the logarithm?",
            ),
        ],
        hints=[
            "Keep two things: the texts, int[B, T], and a sum for each. At first B is 1, and the "
            "sum is 0.",
            "The sums of all extensions are a matrix, a row for each text and a column for each "
            "token. Flattened, `topk` finds the best of them all.",
            "A place in the flattened matrix is row times V plus column: `//` and `%` take it "
            "apart, into the text that was extended and its new token.",
        ],
        minutes=15,
        page="#ex-generation-beam",
        teaches="Beam search ranks all extensions of all its texts together, by their sums.",
    ),
    Task(
        "generation.draft_from",
        cases=_draft_cases,
        use=_drafted,
        extra=True,
        bugs=[
            Bug(
                "the_latest",
                edit=("counts = follows.setdefault((a, b), {})", "counts = follows[a, b] = {}"),
                says="You remember what followed two tokens last, not what did most often.",
                effect="The text stays the model's own; more guesses are wrong, so it takes more "
                "passes.",
                look="What becomes of the counts when the same two tokens come again?",
            ),
            Bug(
                "one_token_back",
                wrong=_after_one_token,
                says="Your table looks at one token. It should look at the last two.",
                effect="More guesses are wrong, so the same text takes more passes.",
                look="What is a key of your table?",
            ),
            Bug(
                "own_guesses_not_read",
                edit=("guessed[-2:]", "ids[-2:]"),
                says="Each guess is made after the ids that you were given, so all are the same. "
                "A guess counts as text for the next.",
                effect="Only the first of four guesses has a chance.",
                look="Which two tokens does the second guess follow?",
            ),
            Bug(
                "across_texts",
                wrong=_across_texts,
                says="You join the texts to one: the end of each is then followed by the beginning "
                "of the next.",
                effect="After the last words of a tale it guesses how the next one begins.",
                look="Does a text's last token have a follower?",
            ),
            Bug(
                "rarest",
                edit=("max(counts", "min(counts"),
                says="You guess the token that followed most rarely.",
                effect="Hardly any guess is right, and every pass yields one token.",
                look="Which of the counts do you choose?",
            ),
            Bug(
                "smallest_of_equals",
                edit=("max(counts, key", "max(sorted(counts), key"),
                says="Of equally frequent tokens you guess the one with the smallest id. It is "
                "the one that came first in the texts.",
                effect="The text stays the model's own; now and then another guess.",
                look="In which order does your table keep what followed?",
            ),
            Bug(
                "with_the_ids",
                edit=("guessed[len(ids) :]", "guessed"),
                says="You return the ids as well. Only the guesses are asked for.",
                effect="The text so far is taken for guesses, and all of them are refused.",
                look="How many tokens should the list have?",
            ),
            Bug(
                "stops_early",
                wrong=_stops_early,
                says="Where the table knows nothing your list ends. It should have n tokens: "
                "there the guess is 1.",
                effect="A loop that counts on n guesses reads past the end of the list.",
                look="How many tokens should the list have?",
            ),
        ],
        hints=[
            "First the table: a dict from each pair of neighbours to a dict that counts what came "
            "after it.",
            "`zip(text, text[1:], text[2:])` goes through a text in threes. A Counter or a dict "
            "with `get(c, 0) + 1` counts.",
            "The draft is a function inside of yours. It keeps a list, ids and guesses, and looks "
            "up its last two tokens in each round.",
        ],
        minutes=10,
        page="#ex-generation-speculative",
        teaches="Any draft gives the same text; a better one gives it in fewer passes.",
    ),
    Task(
        "generation.trimmed",
        cases=_trim_cases,
        use=_fits,
        extra=True,
        bugs=[
            Bug(
                "system_dropped",
                edit=(
                    "dialog = dialog[:system] + dialog[system + 2 :]",
                    'dialog = dialog[2 + (dialog[0]["role"] == "system") :]',
                ),
                says="The system message goes with the first turn. It should stay.",
                effect="In a long talk the assistant forgets what it was told to be.",
                look="Which message is first, and does it belong to a turn?",
            ),
            Bug(
                "question_alone",
                edit=("dialog[system + 2 :]", "dialog[system + 1 :]"),
                says="You drop one message at a time, so that at some point the dialog begins with "
                "an answer. A question goes with its answer.",
                effect="Every role is then off by one: the model reads its own answers as "
                "questions.",
                look="How many messages is a turn?",
            ),
            Bug(
                "message_by_message",
                edit=("dialog[system + 2 :]", "dialog[system + 1 :]"),
                more=(("len(dialog) < system + 3", "len(dialog) < system + 2"),),
                says="You drop one message at a time, down to the last one. A question goes with "
                "its answer.",
                effect="Every role is then off by one: the model reads its own answers as "
                "questions.",
                look="Which role does the first message that is left have?",
            ),
            Bug(
                "system_not_returned",
                edit=("return dialog\n", "return dialog[system:]\n"),
                says="You count the system message and do not return it. It should stay.",
                effect="The assistant forgets what it was told to be, in any talk.",
                look="What do you put together for your result?",
            ),
            Bug(
                "system_not_counted",
                edit=(
                    "encode_dialog(dialog, tokenizer)",
                    "encode_dialog(dialog[system:], tokenizer)",
                ),
                says="You count the dialog without its system message, which takes room as well.",
                effect="The ids run over the end of the cache, by the length of the message.",
                look="What of the dialog that you return do you encode?",
            ),
            Bug(
                "newest_first",
                edit=("dialog[:system] + dialog[system + 2 :]", "dialog[:-3] + dialog[-1:]"),
                says="You drop the newest turns and keep the oldest.",
                effect="“And then?” is asked about what was said an hour ago.",
                look="Which turns matter most to the last question?",
            ),
            Bug(
                "no_exact_fit",
                edit=(") > room:", ") >= room:"),
                says="A dialog that fills the room exactly loses a turn.",
                effect="A turn less than there could be, now and then.",
                look="How many ids may there be?",
            ),
            Bug(
                "too_long_all_the_same",
                edit=(
                    'raise ValueError(f"the last question takes {needed} of {room}")',
                    "break",
                ),
                says="If the last question alone does not fit, you return it all the same. The "
                "caller should be told, with a ValueError.",
                effect="The question runs over the end of the cache, or loses its beginning.",
                look="What does the specification say under Raises?",
            ),
            Bug(
                "characters_counted",
                edit=(
                    "len(encode_dialog(dialog, tokenizer))",
                    'sum(len(message["content"]) for message in dialog)',
                ),
                says="You count what the messages say, and nothing around it. Tags, BOS and EOS "
                "take room as well, and room is counted in ids.",
                effect="It is far off in both directions: words are shorter in ids, and each turn "
                "has seven more.",
                look="Which function makes the ids that have to fit?",
            ),
            Bug(
                "last_question_dropped",
                wrong=_nothing_left,  # no edit: beside “newest_first” the loop would never end
                says="You go on dropping when only the last question is left, and then there is "
                "nothing to encode.",
                effect="The program stops with an index error, in the middle of a talk.",
                look="How many messages must there be to drop two of them?",
            ),
        ],
        hints=[
            "A loop: while the ids are too many, drop one turn. What is counted is the length of "
            "encode_dialog's list.",
            "Work out first where the turns begin: at 0, or at 1 after a system message.",
            "Two messages go at a time, by slices, which make a new list. Before that, look "
            "whether there is a turn besides the last question.",
        ],
        minutes=8,
        page="#ex-generation-trim",
        teaches="A system message lives in the first question, whichever that is by now.",
    ),
]
