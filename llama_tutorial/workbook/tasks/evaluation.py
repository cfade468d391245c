"""The tasks of the chapter on evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_tutorial.workbook.task import Bug, Case, Task


class _Model:
    """Logits that depend on all tokens so far, and on no later one; B rows, or one."""

    def __init__(self, vocab_size: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.table = torch.randn(vocab_size, vocab_size, generator=draw)

    def __call__(self, ids: Tensor) -> Tensor:
        seen = self.table[ids].cumsum(1)  # (B, T, V)
        return self.table[ids] + 0.3 * seen.flip(-1)


class _Uniform:
    """A model that finds all tokens equally likely."""

    def __call__(self, ids: Tensor) -> Tensor:
        return torch.zeros(*ids.shape, 8)


_TEXTS = [[1, 5, 3, 3, 0, 6, 2], [1, 4, 2], [1, 7, 7, 0, 2]]


def _perplexity_cases() -> list[Case]:
    return [
        Case("eight equally likely tokens", _Uniform(), _TEXTS[:1]),
        Case("one text of seven tokens", _Model(8, 0), _TEXTS[:1]),
        Case("three texts of seven, three and five tokens", _Model(8, 1), _TEXTS),
    ]


def _loss(model: Callable[[Tensor], Tensor], ids: Sequence[int]) -> float:
    row = torch.tensor([list(ids)])
    return F.cross_entropy(model(row[:, :-1])[0].double(), row[0, 1:]).item()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _bits_cases() -> list[Case]:
    return [
        Case("one token of ln 2 nats for one letter", [math.log(2)], "a"),
        Case("four tokens for eleven letters", [2.0, 0.5, 1.25, 3.0], "Hello there"),
        Case("letters of two and three bytes", [2.5, 1.0, 4.0, 0.25], "Käse für 3 €"),
    ]


def _options_cases() -> list[Case]:
    return [
        Case("two options of one token", _Model(8, 2), [1, 5, 3], [[4], [6]]),
        Case(
            "options of one, three and two tokens", _Model(8, 3), [1, 5], [[4], [6, 0, 2], [7, 7]]
        ),
        Case("a stem of BOS alone", _Model(8, 4), [1], [[3, 3], [2]]),
    ]


def _without_stem(
    model: Callable[[Tensor], Tensor], _: list[int], options: Sequence[list[int]]
) -> list[float]:
    return [_loss(model, [1, *option]) * len(option) for option in options]


def _padding_counts(
    model: Callable[[Tensor], Tensor], stem: list[int], options: Sequence[list[int]]
) -> list[float]:
    longest = max(map(len, options))
    rows = [stem + option + [0] * (longest - len(option)) for option in options]
    ids = torch.tensor(rows)
    logits = model(ids[:, :-1])[:, len(stem) - 1 :].double()
    costs = F.cross_entropy(logits.mT, ids[:, len(stem) :], reduction="none")
    return costs.sum(1).tolist()


def _cheapest_cases() -> list[Case]:
    return [
        Case("three options of one length", [3.0, 1.0, 2.0], [1, 1, 1]),
        Case("a long one, cheap for its length", [6.0, 4.0, 5.0], [6, 2, 1]),
        Case("two that are equally cheap", [4.0, 2.0, 4.0], [2, 1, 1]),
    ]


def _interval_cases() -> list[Case]:
    return [
        Case("81 of 100", 81, 100),
        Case("50 of 100", 50, 100),
        Case("30 of 164", 30, 164),
        Case("1 of 20", 1, 20),
    ]


def _share_and_half_width(n_right: int, n: int) -> tuple[float, float]:
    share = n_right / n
    return share, 1.96 * math.sqrt(share * (1 - share) / n)


# The exercises


def _answers(both: int, mended: int, spoilt: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Which questions two ways get right, in an order in which the kinds are mixed."""
    kinds = [(True, True)] * both + [(False, True)] * mended + [(True, False)] * spoilt
    kinds += [(False, False)] * neither
    mixed = [kinds[7 * i % len(kinds)] for i in range(len(kinds))]  # no length is a multiple of 7
    return [first for first, _ in mixed], [second for _, second in mixed]


def _sign_cases() -> list[Case]:
    return [
        Case("one mended, none spoilt", *_answers(0, 1, 0, 0)),
        Case("9 mended, 1 spoilt, of 20", *_answers(6, 9, 1, 4)),
        Case("2 mended, 5 spoilt, of 16", *_answers(4, 2, 5, 5)),
        Case("2 mended and 2 spoilt, of 10", *_answers(3, 2, 2, 3)),
        Case("13 mended, 5 spoilt, of 100", *_answers(50, 13, 5, 32)),
    ]


_BOOKS = [
    "Tom had a red ball . He lost it in the garden .",
    "Mia saw the ball in the tall grass .",
    "The dog bit Tom .",
    "Anna then ate a cake .",
    "a red ball",
]
_EXAM = [
    "He lost it in the garden .",
    "Tom bit the dog .",
    "a red ball",
    "garden . Mia saw it .",
    "Anna had a red kite .",
    "Who saw the ball in the tall tree ?",
    "A hen ate a cake too .",
    "Mia\nsaw  the\nball .",
    "Nobody knew !",
]


def _in_the_string(training: list[str], exam: list[str], n: int) -> int:
    texts = [" ".join(text.split()) for text in training]

    def is_found(text: str) -> bool:
        words = text.split()
        runs = (" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        return any(run in known for run in runs for known in texts)

    return sum(map(is_found, exam))


def _found_cases() -> list[Case]:
    return [Case(f"runs of {n}, {len(_EXAM)} texts", _BOOKS, _EXAM, n) for n in (3, 4, 6, 2)]


TASKS = [
    Task(
        "evaluation.perplexity",
        cases=_perplexity_cases,
        tolerance=1e-6,
        bugs=[
            Bug(
                "all_not_shifted",
                edit=("ids[:-1]", "ids"),
                more=(("torch.tensor(ids[1:])", "torch.tensor(ids)"),),
                says="You compare the logits at each position with the token at that same "
                "position, which the model has just read.",
                effect="A model that repeats what it reads would be perfect.",
                look="Of which token do the logits at position 0 speak?",
            ),
            Bug(
                "not_shifted",
                edit=("targets = torch.tensor(ids[1:])", "targets = torch.tensor(ids[:-1])"),
                says="You ask of each position its own token, which the model has just read.",
                effect="A model that copies would be perfect.",
                look="What are the logits at position i a guess at?",
            ),
            Bug(
                "mean_of_means",
                wrong=lambda model, texts: math.exp(_mean([_loss(model, ids) for ids in texts])),
                says="You take the mean of the texts' means. A token in a short text then counts "
                "more than one in a long text.",
                effect="Two people with the same model and the same texts get two numbers, as soon "
                "as one of them joins texts.",
                look="Over what is the mean?",
            ),
            Bug(
                "mean_of_perplexities",
                wrong=lambda model, texts: _mean([math.exp(_loss(model, ids)) for ids in texts]),
                says="You take the mean of the texts' perplexities. The mean is of the logarithms, "
                "and e to its power comes last.",
                effect="One text that is hard to predict outweighs all others.",
                look="When do you take the exponential?",
            ),
            Bug(
                "two_to_the_nats",
                edit=("math.exp(total / n)", "2 ** (total / n)"),
                says="You take 2 to the power of a loss in nats. Either nats and e, or bits and 2.",
                effect="The model looks better than it is: 2 to the power of ln 8 is 4.2, not 8.",
                look="To which base is torch's logarithm?",
            ),
            Bug(
                "e_to_the_bits",
                edit=("math.exp(total / n)", "math.exp(total / n / math.log(2))"),
                says="You take e to the power of a loss in bits. Either nats and e, or bits and 2.",
                effect="The model looks worse than it is: e to the power of 3 bits is 20, not 8.",
                look="Is your loss in nats or in bits?",
            ),
            Bug(
                "first_token_counts",
                edit=("n += len(targets)", "n += len(ids)"),
                says="You divide by all tokens, also by the first of each text, which nothing "
                "predicts.",
                effect="Many short texts look easier than one long one.",
                look="How many predictions does a text of seven tokens have?",
            ),
            Bug(
                "the_loss",
                edit=("math.exp(total / n)", "total / n"),
                says="That is the loss, in nats. The perplexity is e to its power.",
                effect="None, if you compare it with losses alone.",
                look="Eight equally likely tokens have a perplexity of 8.",
            ),
        ],
        hints=[
            "For each text: feed all but the last token, and compare with all but the first.",
            "Collect two numbers over all texts: the sum of -ln p, and how many tokens it has.",
            "Divide once, at the end, and take e to the power of that.",
        ],
        minutes=10,
        page="#perplexity-how-many-words-it-hesitates-between",
        teaches="Perplexity is the number of equally likely tokens that would be as hard to guess.",
    ),
    Task(
        "evaluation.bits_per_byte",
        cases=_bits_cases,
        tolerance=1e-9,
        bugs=[
            Bug(
                "nats",
                edit=(" / math.log(2)", ""),
                says="Yours are nats per byte.",
                effect="The number is 30 percent too small: a better model than it is.",
                look="How many nats is a bit?",
            ),
            Bug(
                "times_ln_2",
                edit=("/ math.log(2)", "* math.log(2)"),
                says="You multiply by ln 2 to get bits. A nat is more than a bit, so there must be "
                "more bits than nats.",
                effect="The number is half of what it should be: a far better model than it is.",
                look="How many bits are ln 2 nats?",
            ),
            Bug(
                "per_character",
                edit=("len(text.encode())", "len(text)"),
                says="You divide by the number of characters. Some take more than a byte.",
                effect="In English it hardly shows. In Chinese it is three times too much.",
                look="How many bytes is an ä in UTF-8?",
            ),
            Bug(
                "per_token",
                edit=("len(text.encode())", "len(costs)"),
                says="You divide by the number of tokens: these are bits per token.",
                effect="Models with other tokenizers cannot be compared, which was the point.",
                look="What do two models with different tokenizers have in common?",
            ),
            Bug(
                "mean_first",
                edit=("sum(costs)", "sum(costs) / len(costs)"),
                says="You take the mean over tokens before you divide by the bytes. It is the "
                "whole cost that is divided.",
                effect="The longer the text, the better the model looks.",
                look="How often do you divide?",
            ),
        ],
        hints=[
            "The whole cost in bits, over the length of the text in bytes.",
            "A bit is ln 2 nats.",
            "`text.encode()` are the bytes in UTF-8.",
        ],
        minutes=5,
        page="#the-same-knowledge-in-smaller-bites",
        teaches="Bits per byte belong to the text, so they compare models of any tokenizer.",
    ),
    Task(
        "evaluation.option_costs",
        cases=_options_cases,
        tolerance=1e-6,
        bugs=[
            Bug(
                "stem_costs_too",
                edit=("each[len(stem) - 1 :]", "each"),
                says="You count what the stem costs as well.",
                effect="It is the same for all options, so the choice stays. Divided by lengths, "
                "it does not.",
                look="At which position is an option's first token predicted?",
            ),
            Bug(
                "first_token_free",
                edit=("each[len(stem) - 1 :]", "each[len(stem) :]"),
                says="An option's first token costs nothing in your sum: you begin one place late.",
                effect="Options of one token all cost 0, and the choice is always the first.",
                look="At which position is an option's first token predicted?",
            ),
            Bug(
                "mean_over_tokens",
                edit=(".sum().item()", ".mean().item()"),
                says="You take the mean over an option's tokens. That is a cost too, but not the "
                "one that is asked for.",
                effect="Long options win more often. Which is fairer depends on the exam, so say "
                "which it is.",
                look="The probability of several tokens is their product. And its logarithm?",
            ),
            Bug(
                "other_sign",
                edit=("costs.append(each", "costs.append(-each"),
                says="Yours are negative: log-probabilities. A cost is minus that.",
                effect="Whoever takes the smallest gets the least likely.",
                look="Which is dearer, a likely option or an unlikely one?",
            ),
            Bug(
                "without_the_stem",
                wrong=_without_stem,
                says="You show the model each option alone.",
                effect="It says which option is the commonest phrase, whatever the question.",
                look="What does the model see before it predicts an option?",
            ),
            Bug(
                "padding_costs_too",
                wrong=_padding_counts,
                says="You count the padding that makes all options equally long.",
                effect="Short options get dearer for every zero after them.",
                look="How many tokens of each row belong to the option?",
            ),
        ],
        hints=[
            "One option at a time is good enough: stem + option, all but the last token fed.",
            "-ln p of every token but the first is one call of cross_entropy, without reduction.",
            "The token at place n of the text is predicted at position n - 1, so an option begins "
            "at position len(stem) - 1 of the costs.",
        ],
        minutes=10,
        page="#multiple-choice-the-twenty-lines-behind-mmlu-and-hellaswag",
        teaches="A multiple-choice benchmark is a sum of logarithms for each option.",
    ),
    Task(
        "evaluation.cheapest",
        cases=_cheapest_cases,
        bugs=[
            Bug(
                "as_a_whole",
                edit=("[cost / length for", "[cost for"),
                says="You do not divide: yours is the cheapest as a whole.",
                effect="Short options win, whatever they say. On HellaSwag, OPT-175B has 59 "
                "percent that way, and 78 the other.",
                look="What do lengths do in your code?",
            ),
            Bug(
                "the_dearest",
                edit=("min(each)", "max(each)"),
                says="You take the largest cost: the least likely option.",
                effect="A good model scores below chance.",
                look="Is a cost of 1 nat more likely than one of 3, or less?",
            ),
            Bug(
                "multiplied",
                edit=("cost / length", "cost * length"),
                says="You multiply by the length: long options are punished twice.",
                effect="Short options win, whatever they say.",
                look="Which unit has a cost for each character?",
            ),
            Bug(
                "last_of_equals",
                edit=("each.index(min(each))", "len(each) - 1 - each[::-1].index(min(each))"),
                says="Of two equally cheap options you take the last.",
                effect="Two people with the same model get two scores, if ties are common.",
                look="Which comes first?",
            ),
            Bug(
                "the_cost",
                edit=("each.index(min(each))", "min(each)"),
                says="You return the cost, not the number of the option.",
                effect="Compared with the right letter, it is never right.",
                look="How do you get from the smallest number to its place?",
            ),
        ],
        hints=[
            "A cost for each unit of length first, then the smallest of them.",
            "Of a list, `index` gives the first place of a value.",
            "`zip` goes through costs and lengths side by side.",
        ],
        minutes=3,
        page="#multiple-choice-the-twenty-lines-behind-mmlu-and-hellaswag",
        teaches="The same sums give two scores: say what you have divided by.",
    ),
    Task(
        "evaluation.interval",
        cases=_interval_cases,
        tolerance=1e-9,
        bugs=[
            Bug(
                "one_deviation",
                edit=("1.96 * ", ""),
                says="You go one standard deviation to each side: 68 of 100 exams, not 95.",
                effect="No model is harmed, but a third of your differences are luck.",
                look="How many standard deviations hold 95 of 100?",
            ),
            Bug(
                "no_root",
                edit=("math.sqrt(p * (1 - p) / n)", "p * (1 - p) / n"),
                says="That is the variance of the share. Its root is the standard deviation.",
                effect="An exam of a hundred questions looks as sure as one of 65,000.",
                look="Which unit has a variance?",
            ),
            Bug(
                "of_one_answer",
                edit=("p * (1 - p) / n", "p * (1 - p)"),
                says="That is how much one answer spreads, not how much the share of n does.",
                effect="More questions make your interval no narrower.",
                look="What does n do in your code?",
            ),
            Bug(
                "n_outside_the_root",
                edit=("math.sqrt(p * (1 - p) / n)", "math.sqrt(p * (1 - p)) / n"),
                says="You divide by n outside of the root.",
                effect="The interval falls with n instead of its root: far too sure.",
                look="How many questions halve the width?",
            ),
            Bug(
                "cut_off",
                edit=("return p - half, p + half", "return max(p - half, 0.0), min(p + half, 1.0)"),
                says="You cut the ends off at 0 and 1. Here they stay.",
                effect="None, but an end of exactly 0 hides that the formula does not hold there.",
                look="What should tell a reader that there are too few questions?",
            ),
            Bug(
                "half_the_width",
                wrong=_share_and_half_width,
                says="You return the share and half the width. Here the two ends are asked for; "
                "it is the other chapter's interval that is a mean and half a width.",
                effect="None, but whoever reads your second number takes the model for useless.",
                look="Between which two numbers does the true score lie?",
            ),
            Bug(
                "in_percent",
                edit=("return p - half, p + half", "return 100 * (p - half), 100 * (p + half)"),
                says="Yours are percent. Shares from 0 to 1 are asked for.",
                effect="None, but whoever multiplies again gets 8,000 percent.",
                look="How large is a share at most?",
            ),
        ],
        hints=[
            "The share first: p = right answers over questions.",
            "The standard deviation of one answer is the root of p (1 - p); that of a mean of n is "
            "smaller by the root of n.",
            "1.96 of them to each side.",
        ],
        minutes=5,
        page="#of-100-how-sure-is-that",
        teaches="An exam of 100 questions knows a score to within 8 points, and no better.",
    ),
    Task(
        "evaluation.sign_test",
        cases=_sign_cases,
        tolerance=1e-9,
        extra=True,
        bugs=[
            Bug(
                "one_sided",
                edit=("2 * tail", "tail"),
                says="You count one side only. A result as uneven as this to the other side would "
                "have surprised you as much.",
                effect="No model is harmed, but twice as many differences look certain.",
                look="How many ways are there for ten coins to fall nine to one?",
            ),
            Bug(
                "exactly_this",
                edit=(
                    "sum(math.comb(n, k) for k in range(few + 1)) / 2**n",
                    "math.comb(n, few) / 2**n",
                ),
                says="You take the chance of exactly this result. It is this *or a more uneven "
                "one* that is asked for.",
                effect="With many questions every result has a tiny chance, so everything looks "
                "certain.",
                look="Which further results would have been even more surprising?",
            ),
            Bug(
                "more_uneven_alone",
                edit=("range(few + 1)", "range(few)"),
                says="You count only results that are more uneven than this one, and not this one.",
                effect="The chance comes out too small, and where one side has none it is 0.",
                look="What is the last number of your range?",
            ),
            Bug(
                "all_questions",
                edit=("n, few = mended + spoilt,", "n, few = len(pairs),"),
                says="You toss a coin for every question, also for those on which both ways agree.",
                effect="The more questions both get right, the more certain a difference looks.",
                look="Of how many questions can luck decide which way won?",
            ),
            Bug(
                "mended_for_the_more",
                edit=("min(mended, spoilt)", "spoilt"),
                says="You take it that more questions are mended than spoilt. If it is the other "
                "way round, your chance is 1.",
                effect="A change that does harm seems to do nothing.",
                look="What does your sum run over, if 2 are mended and 5 spoilt?",
            ),
            Bug(
                "above_one",
                edit=("min(1.0, 2 * tail)", "2 * tail"),
                says="Your chance can be above 1: an even result lies on both sides, and is "
                "counted twice.",
                effect="None, but whoever reads 1.4 stops believing the rest.",
                look="What comes out if two questions are mended and two spoilt?",
            ),
            Bug(
                "exchanged",
                edit=("return mended, spoilt,", "return spoilt, mended,"),
                says="Your two counts are exchanged: first come the questions that only the second "
                "way got right.",
                effect="The worse way is taken for the better.",
                look="What should the first number be, if after is right everywhere?",
            ),
            Bug(
                "all_that_were_right",
                edit=("pairs.count((False, True))", "sum(after)"),
                more=(("pairs.count((True, False))", "sum(before)"),),
                says="You count all that each way got right. Where both are right, nothing is "
                "learned about the difference.",
                effect="Two ways that differ on every tenth question look alike.",
                look="What does a question say on which both are right?",
            ),
        ],
        hints=[
            "Count two kinds of questions: wrong before and right after, and the other way round.",
            "n coins fall with exactly k on one side in `math.comb(n, k)` of 2 to the power of n "
            "ways.",
            "Add these for k from 0 up to and with the smaller count. Then both sides, and never "
            "more than 1.",
        ],
        minutes=8,
        page="#ex-evaluation-pairs",
        teaches="Pairs tell more than two scores: only questions on which they differ count.",
    ),
    Task(
        "evaluation.n_found",
        cases=_found_cases,
        extra=True,
        bugs=[
            Bug(
                "letters",
                edit=("text.split()", "text"),
                says="Your runs are of letters. They should be of words.",
                effect="Every exam is found: four letters stand in any text.",
                look="What makes words of a text?",
            ),
            Bug(
                "words_in_any_order",
                edit=("tuple(words[i : i + n])", "frozenset(words[i : i + n])"),
                says="You forget the order of the words in a run.",
                effect="Honest text is found guilty now and then: the same words in another order "
                "are another sentence.",
                look="Is “the dog bit Tom” the same run as “Tom bit the dog”?",
            ),
            Bug(
                "last_run_missed",
                edit=("len(words) - n + 1", "len(words) - n"),
                says="You miss the last run of each text; one of exactly n words has none.",
                effect="A text that was copied in full may pass for unseen.",
                look="How many runs of four words does a text of four words have?",
            ),
            Bug(
                "short_ones_too",
                edit=("len(words) - n + 1", "len(words)"),
                says="At the end of a text you take runs that are shorter than n words.",
                effect="Every text is found, by its last word.",
                look="How long is the last slice that you take?",
            ),
            Bug(
                "spaces_alone",
                edit=("text.split()", 'text.split(" ")'),
                says="You cut at each single space. Words are what stands between white space of "
                "any kind and length: line feeds, too.",
                effect="A copied text with other line breaks passes for unseen.",
                look="What does split do without an argument?",
            ),
            Bug(
                "short_text_as_a_run",
                edit=("range(len(words) - n + 1)", "range(max(1, len(words) - n + 1))"),
                says="A text of fewer than n words has no run of n; you take all of it as one.",
                effect="Short texts are found in a search that asks for long runs.",
                look="How many runs of four words does a text of three have?",
            ),
            Bug(
                "in_the_string",
                wrong=_in_the_string,
                says="You search in a string, where a run can begin or end in the middle of a "
                "word: *hen ate a* stands in *then ate a*.",
                effect="Honest texts are found now and then.",
                look="How does your search know where a word begins?",
            ),
            Bug(
                "runs_counted",
                edit=("sum(bool(runs(text) & seen)", "sum(len(runs(text) & seen)"),
                says="You count runs. How many *texts* are found is asked for.",
                effect="One copied text counts as much as thirty, and the number has no meaning "
                "without the length of the texts.",
                look="How often does one text count?",
            ),
            Bug(
                "every_run",
                edit=("bool(runs(text) & seen)", "runs(text) <= seen"),
                says="You ask that all runs of a text occur. One is enough.",
                effect="A text with one changed word in every line passes for unseen.",
                look="When does the specification call a text found?",
            ),
            Bug(
                "across_texts",
                edit=(
                    "{run for text in training for run in runs(text)}",
                    'runs(" ".join(training))',
                ),
                says="You join the training texts, so that there are runs from the end of one to "
                "the beginning of the next.",
                effect="Hardly any; but a run is found that stands in no text.",
                look="Does a run lie within one text?",
            ),
        ],
        hints=[
            "First the runs of one text: its words, and every slice of n of them, as a tuple.",
            "A text of w words has w - n + 1 runs; if it is shorter than n, none.",
            "A set of all runs in training. A text is found if its own set has something in common "
            "with it.",
        ],
        minutes=8,
        page="#ex-evaluation-ngrams",
        teaches="The shorter the run, the more honest text is found: stock phrases are no leak.",
    ),
]
