"""The tasks of the chapter on generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from llama_tutorial.workbook.solutions.generation import top_p
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
_FIRST = {"role": "user", "content": "Hi there"}
_ANSWER = {"role": "assistant", "content": " Hello!\n"}
_LAST = {"role": "user", "content": " Why? "}


def _dialog_cases() -> list[Case]:
    return [
        Case("one question", [_FIRST]),
        Case("a question, an answer, a question", [_FIRST, _ANSWER, _LAST]),
        Case("a system message first", [_SYSTEM, _FIRST, _ANSWER, _LAST]),
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
            "`strip` each message and put the spaces back in yourself. BOS always, EOS only if "
            "there is an answer.",
        ],
        minutes=15,
        page="#a-chat-model-answers-to-one-layout",
        teaches="A chat model answers to one layout, down to the space before EOS.",
    ),
]
