"""The tasks of the chapter on grouped-query attention."""

from __future__ import annotations

from typing import Any

import torch

from llama_tutorial.workbook.solutions.gqa import Cache
from llama_tutorial.workbook.solutions.rope import rope_table
from llama_tutorial.workbook.task import Bug, Case, Task
from llama_tutorial.workbook.tasks._models import SMALL, draw, filled, in_steps


def _repeat_cases() -> list[Case]:
    numbered = torch.arange(2.0)[None, :, None, None].expand(1, 2, 1, 2).clone()
    return [
        Case("heads 0 and 1, twice each", numbered, 2),
        Case("two rows, 2 heads, three times each", draw(2, 2, 4, 3), 3),
        Case("a group of one", draw(2, 3, 4, 2, seed=1), 1),
    ]


def _mask_cases() -> list[Case]:
    return [
        Case("four queries from position 0 on", 4),
        Case("one query at position 0", 1, 0),
        Case("one query at position 5", 1, 5),
        Case("three queries at positions 2 to 4", 3, 2),
    ]


def _attention_cases() -> list[Case]:
    q, k, v = draw(2, 4, 5, 6), draw(2, 4, 5, 6, seed=1), draw(2, 4, 5, 6, seed=2)
    k2, v2 = k[:, :2].clone(), v[:, :2].clone()
    return [
        Case("four heads each, no cache", q, k, v),
        Case("two key heads for four query heads", q, k2, v2),
        Case("one query at position 4", q[:, :, 4:], k2, v2, 4),
        Case("two queries at positions 3 and 4", q[:, :, 3:], k2, v2, 3),
    ]


def _use_cache(
    cache: Any, k: torch.Tensor, v: torch.Tensor, steps: tuple[int, ...]
) -> dict[str, Any]:
    """What a cache returns at the last of several updates, and what it holds then."""
    one, start, last = cache(SMALL, len(k)), 0, None
    for n in steps:
        end = start + n
        last = one.update(k[:, :, start:end], v[:, :, start:end], start)
        start = end
    if last is None:
        return {"update's result": None}
    if not isinstance(last, tuple | list) or len(last) != 2:
        return {"update's result": last}
    return {"the keys": last[0], "the values": last[1], "the slots of keys": one.k}


def _cache_cases() -> list[Case]:
    k, v = draw(2, 2, 6, 4), draw(2, 2, 6, 4, seed=1)  # (B, K, T, h)
    return [
        Case("three positions at once", k, v, (3,)),
        Case("three positions, then one", k, v, (3, 1)),
        Case("three, one, and two more", k, v, (3, 1, 2)),
        Case("the same for one row", k[:1], v[:1], (1, 1, 1)),
    ]


def _use_attention(
    attention: Any, x: torch.Tensor, steps: tuple[int, ...] | None = None
) -> torch.Tensor:
    layer = filled(attention(SMALL))
    cos, sin = rope_table(4, SMALL.max_seq_len)
    with torch.no_grad():
        if steps is None:
            return layer(x, cos, sin)
        cache = Cache(SMALL, len(x))
        return in_steps(lambda part, start: layer(part, cos, sin, cache, start), x, steps)


def _layer_cases() -> list[Case]:
    x = draw(2, 5, 16, seed=3)
    return [
        Case("one position", x[:1, :1]),
        Case("five positions at once", x),
        Case("with a cache: five positions at once", x, (5,)),
        Case("with a cache: three positions, then one, then one", x, (3, 1, 1)),
    ]


class _Counted(Cache):
    """A cache that knows its length, filled up to it."""

    def __init__(self, length: int, seed: int) -> None:
        super().__init__(SMALL)
        shape = (1, SMALL.n_kv_heads, length, 4)
        self.update(draw(*shape, seed=seed), draw(*shape, seed=seed + 1), 0)
        self.length = length


def _use_take_back(take_back: Any, length: int, n: int) -> dict[str, Any]:
    """What the caches of three layers hold afterwards, and whether the call was refused."""
    caches = [_Counted(length, 10 * layer) for layer in range(3)]
    error = "none"
    try:
        take_back(caches, n)
    except ValueError:
        error = "ValueError"
    return {
        "error that is raised": error,
        "length in each layer": [cache.length for cache in caches],
        "keys in the slots": torch.stack([cache.k for cache in caches]),
        "values in the slots": torch.stack([cache.v for cache in caches]),
    }


def _take_back_cases() -> list[Case]:
    return [
        Case("2 of 5 tokens", 5, 2),
        Case("all 5 tokens", 5, 5),
        Case("no token", 5, 0),
        Case("6 of 5 tokens", 5, 6),
    ]


def _use_eight_bits(to_eight_bits: Any, x: torch.Tensor) -> Any:
    """The integers, and the scales of those vectors that have one."""
    found = to_eight_bits(x)
    if not isinstance(found, tuple | list) or len(found) != 2:
        return found
    integers, scales = found
    if isinstance(integers, torch.Tensor) and integers.dtype != torch.int8:
        integers = integers.float()  # any other dtype is one and the same mistake
    if isinstance(scales, torch.Tensor) and tuple(scales.shape) == (*x.shape[:-1], 1):
        scales = torch.where(x.abs().amax(-1, keepdim=True) > 0, scales, torch.zeros_like(scales))
    return integers, scales


def _eight_bit_cases() -> list[Case]:
    x = draw(2, 2, 3, 8) * torch.tensor([1.0, 10.0, 0.1])[:, None]
    return [
        Case("one vector, (1, -2, 0.29, 4)", torch.tensor([[1.0, -2.0, 0.29, 4.0]])),
        Case("a vector whose largest feature is negative", torch.tensor([[1.0, -9.0, 0.3, 4.0]])),
        Case("keys of two texts, two heads, three positions", x),
        Case("a vector of zeros beside another", torch.tensor([[0.0, 0.0], [3.0, -1.0]])),
    ]


TASKS = [
    Task(
        "gqa.repeat_kv",
        cases=_repeat_cases,
        bugs=[
            Bug(
                "repeat_in_rounds",
                edit=("x.repeat_interleave(group_size, dim=1)", "x.repeat(1, group_size, 1, 1)"),
                says="You repeat the heads in rounds: 0, 1, 0, 1. Query heads that are neighbours "
                "share a head: 0, 0, 1, 1.",
                look="Which key head belongs to query head 1?",
            ),
            Bug(
                "wrong_axis",
                edit=("dim=1", "dim=2"),
                says="You repeat the positions, not the heads.",
                effect="The shapes no longer fit.",
                look="Which axis has the heads in (B, K, S, h)?",
            ),
            Bug(
                "features_repeated",
                edit=("dim=1", "dim=3"),
                says="You repeat the features, not the heads.",
                effect="The shapes no longer fit.",
                look="Which axis has the heads in (B, K, S, h)?",
            ),
            Bug(
                "batch_repeated",
                edit=("dim=1", "dim=0"),
                says="You repeat the rows of the batch, not the heads.",
                effect="The shapes no longer fit.",
                look="Which axis has the heads in (B, K, S, h)?",
            ),
        ],
        hints=[
            "Each head several times, before the next one comes.",
            "Or: a new axis of the length group_size, after the axis of the heads, then both in "
            "one.",
            "torch has two functions that repeat; one of them interleaves.",
        ],
        minutes=3,
        page="#repeat-in-place-not-in-rounds",
        teaches="Query head i reads key head i // group_size.",
    ),
    Task(
        "gqa.causal_mask",
        cases=_mask_cases,
        bugs=[
            Bug(
                "start_ignored",
                wrong=lambda n_queries, start=0: torch.ones(
                    n_queries, start + n_queries, dtype=torch.bool
                ).tril(),
                says="Your triangle begins at the top left corner: the queries see the first keys "
                "only, as if they stood at position 0.",
                effect="A token that is written with a cache sees the first token of the text and "
                "nothing else.",
                look="What does one query at position 5 see?",
            ),
            Bug(
                "one_too_far",
                edit=("keys <= queries[:, None]", "keys <= queries[:, None] + 1"),
                says="Your mask is one too far: each query sees the key after its own position.",
                effect="In training, the model reads the answer instead of learning it.",
                look="May position 0 see position 1?",
            ),
            Bug(
                "not_itself",
                edit=("keys <= queries[:, None]", "keys < queries[:, None]"),
                says="A query does not see its own position: the first sees nothing at all.",
                effect="The softmax of nothing is NaN.",
                look="At its own position *and* before.",
            ),
            Bug(
                "mirrored",
                edit=("keys <= queries[:, None]", "keys >= queries[:, None]"),
                says="Your mask is mirrored: the queries see the future and not the past.",
                effect="The model reads ahead and forgets.",
                look="Which is smaller, the key's position or the query's?",
            ),
            Bug(
                "hidden",
                edit=("keys <= queries[:, None]", "keys > queries[:, None]"),
                says="Your True says which keys are hidden; it should say which are seen.",
                effect="torch has both meanings: True hides in masked_fill, and shows in its "
                "fused attention.",
                look="What is True where a query may look?",
            ),
            Bug(
                "keys_from_start",
                edit=("torch.arange(start + n_queries)", "torch.arange(start, start + n_queries)"),
                says="Your keys begin at start. Those of the cache, at 0 to start - 1, are "
                "missing.",
                effect="The text before is not seen.",
                look="How many keys are there?",
            ),
        ],
        hints=[
            "Write down the positions of the queries, and those of the keys.",
            "Two aranges; the first begins at start, the second at 0, and they end at the same.",
            "One comparison of a column with a row: positions[:, None] makes the column.",
        ],
        minutes=6,
        page="#old-keys-and-values-never-change",
        teaches="One rule for training and writing: a query sees the keys up to its own position.",
    ),
    Task(
        "gqa.attention",
        cases=_attention_cases,
        bugs=[
            Bug(
                "no_scale",
                edit=(" / math.sqrt(q.shape[-1])", ""),
                says="Your scores are not divided by the root of the head's width.",
                look="How large is a sum of h products?",
            ),
            Bug(
                "no_mask",
                edit=("scores.masked_fill(~sees, -math.inf)", "scores"),
                says="There is no mask: early queries see later keys.",
                effect="In training, the model reads the answer instead of learning it. One token "
                "at a time, nothing shows.",
                look="What may the first query see?",
            ),
            Bug(
                "mask_upside_down",
                edit=("~sees", "sees"),
                says="You mask what should be seen. Some queries then see nothing: NaN.",
                effect="Everything is NaN at once.",
                look="masked_fill fills where the mask is True.",
            ),
            Bug(
                "start_ignored",
                edit=(
                    "causal_mask(q.shape[2], start)",
                    "torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()",
                ),
                says="Your mask does not know about start: the queries are taken for the first "
                "positions.",
                effect="With a cache, a new token sees the first token of the text and nothing "
                "else.",
                look="At which position is the first query?",
            ),
            Bug(
                "softmax_over_queries",
                edit=(".softmax(-1)", ".softmax(-2)"),
                says="Your softmax runs over the queries. The weights of one query sum to 1: it "
                "runs over the keys.",
                effect="With one query all weights are 1.",
                look="Which axis of the scores has the keys?",
            ),
            Bug(
                "repeat_in_rounds",
                edit=(
                    "repeat_kv(k, group_size), repeat_kv(v, group_size)",
                    "k.repeat(1, group_size, 1, 1), v.repeat(1, group_size, 1, 1)",
                ),
                says="The heads are repeated in rounds: 0, 1, 0, 1. With as many key heads as "
                "query heads it does not show.",
                look="Use your repeat_kv.",
            ),
            Bug(
                "values_in_rounds",
                edit=("repeat_kv(v, group_size)", "v.repeat(1, group_size, 1, 1)"),
                says="The values are repeated in rounds, the keys are not: a query head finds in "
                "one head and takes from another.",
                effect="The model writes words that have nothing to do with each other.",
                look="What happens to k must happen to v.",
            ),
        ],
        hints=[
            "Repeat keys and values first; then it is a GPT's attention.",
            "The mask is True where a query sees a key. masked_fill fills where it is given True.",
            "scores, masked, softmax(-1), @ v.",
        ],
        minutes=10,
        page="#let-several-heads-share-their-keys",
        teaches="GQA is attention whose keys and values stand in a smaller cache.",
    ),
    Task(
        "gqa.Cache",
        cases=_cache_cases,
        use=_use_cache,
        cut=("update",),
        bugs=[
            Bug(
                "skips_slot_zero",
                edit=(
                    "end = start + k.shape[2]",
                    "start = start + 1\n        end = start + k.shape[2]",
                ),
                says="You are one slot late: position 0 is in slot 1, and slot 0 stays zero.",
                look="Which slot holds position m?",
            ),
            Bug(
                "reads_before_writing",
                edit=(
                    "self.k[:, :, start:end] = k\n"
                    "        self.v[:, :, start:end] = v\n"
                    "        return self.k[:, :, :end], self.v[:, :, :end]",
                    "old = self.k[:, :, :end].clone(), self.v[:, :, :end].clone()\n"
                    "        self.k[:, :, start:end] = k\n"
                    "        self.v[:, :, start:end] = v\n"
                    "        return old",
                ),
                says="You read the slots before the new entries are in them.",
                look="In which order do you write and read?",
            ),
            Bug(
                "new_only",
                edit=(
                    "self.k[:, :, :end], self.v[:, :, :end]",
                    "self.k[:, :, start:end], self.v[:, :, start:end]",
                ),
                says="You return the new entries only. Those before are what a cache is for.",
                effect="Each token sees only itself: the text before is forgotten.",
                look="Which positions should come back?",
            ),
            Bug(
                "whole_cache",
                edit=("self.k[:, :, :end], self.v[:, :, :end]", "self.k, self.v"),
                says="You return all slots, also those that nothing has been written to.",
                effect="An empty key has the score 0, not minus infinity: it draws attention.",
                look="How many positions are there?",
            ),
            Bug(
                "values_are_keys",
                edit=("self.v[:, :, start:end] = v", "self.v[:, :, start:end] = k"),
                says="You write the keys into the values as well.",
                effect="What a word hands over is what it is found by.",
                look="Two tensors come in.",
            ),
            Bug(
                "from_zero",
                edit=("self.k[:, :, start:end] = k", "self.k[:, :, : end - start] = k"),
                says="You write the new keys to the first slots, over the old ones.",
                effect="The beginning of the text is lost.",
                look="Which slot holds position start?",
            ),
            Bug(
                "nothing_kept",
                edit=(
                    "self.k[:, :, start:end] = k",
                    "self.k = torch.zeros_like(self.k)\n        self.k[:, :, start:end] = k",
                ),
                says="Your old keys are gone: the slots are made anew at each call.",
                effect="Each token sees zeros before it.",
                look="When are the slots made?",
            ),
        ],
        hints=[
            "Slot m holds position m. Which slots are the new ones?",
            "Write to a slice along axis 2, of self.k and of self.v.",
            "Then return the slices from 0 on, up to the last new slot.",
        ],
        minutes=5,
        page="#old-keys-and-values-never-change",
        teaches="Slot is position. What was computed once need not be computed again.",
    ),
    Task(
        "gqa.Attention",
        cases=_layer_cases,
        use=_use_attention,
        bugs=[
            Bug(
                "not_rotated",
                edit=("rotate_at(q, cos, sin, start), rotate_at(k, cos, sin, start)", "q, k"),
                says="Nothing is rotated: attention sees which words there are, but not where.",
                look="Where do you use cos and sin?",
            ),
            Bug(
                "keys_not_rotated",
                edit=("rotate_at(k, cos, sin, start)", "k"),
                says="Only your queries are rotated. The keys are, too.",
                effect="The angle between the two is the place and not the distance.",
                look="Which two make a score?",
            ),
            Bug(
                "values_rotated",
                edit=(
                    "if cache is not",
                    "v = rotate_at(v, cos, sin, start)\n        if cache is not",
                ),
                says="You rotate the values as well; only queries and keys are rotated.",
                effect="What a word hands over depends on where it stands.",
                look="Which two make a score?",
            ),
            Bug(
                "start_ignored",
                edit=(
                    "rotate_at(q, cos, sin, start), rotate_at(k, cos, sin, start)",
                    "rotate_at(q, cos, sin), rotate_at(k, cos, sin)",
                ),
                says="Without a cache all is right. With one, every call rotates as if its first "
                "token stood at position 0.",
                effect="The prompt is read well, and then the text falls apart.",
                look="At which position is the token of the second call?",
            ),
            Bug(
                "late_queries",
                edit=("rotate_at(q, cos, sin, start)", "rotate_at(q, cos, sin, start + 1)"),
                says="Your queries are rotated one position too far.",
                look="A query and its own key stand at the same position.",
            ),
            Bug(
                "cache_ignored",
                edit=("k, v = cache.update(k, v, start)", "cache.update(k, v, start)"),
                says="You write to the cache and go on with the new keys alone.",
                effect="The text before is not seen.",
                look="What does update return?",
            ),
            Bug(
                "heads_by_reshape",
                edit=("y.transpose(1, 2).flatten(2)", "y.reshape(x.shape)"),
                says="At the end you reshape before the axes are back in their order: the features "
                "of different positions get mixed.",
                effect="Later words leak into earlier ones.",
                look="Which axes does y have, and which should stand side by side?",
            ),
            Bug(
                "no_wo",
                edit=("self.wo(y.transpose(1, 2).flatten(2))", "y.transpose(1, 2).flatten(2)"),
                says="The matrix wo is missing: the heads stand side by side, and nothing mixes "
                "them.",
                effect="What the heads have found stays where nobody reads it.",
                look="How many matrices do you use?",
            ),
            Bug(
                "keys_and_values",
                edit=(
                    "self.heads(self.wk(x)), self.heads(self.wv(x))",
                    "*(self.heads(w(x)) for w in (self.wv, self.wk))",
                ),
                says="You have swapped wk and wv. They have the same shape, so nothing complains.",
                effect="A word is found by what it hands over.",
                look="Which matrix makes the keys?",
            ),
        ],
        hints=[
            "The docstring's sentences are the lines of the code, in their order.",
            "Keys go into the cache after they are rotated. What it returns is longer than what "
            "you gave it.",
            "At the end (B, H, T, h) becomes (B, T, H, h), then (B, T, H · h): transpose, flatten.",
        ],
        minutes=12,
        page="#your-gpt-with-fewer-keys-two-matrices-one-line",
        teaches="One module trains and writes; the cache is an argument.",
    ),
    Task(
        "gqa.take_back",
        cases=_take_back_cases,
        use=_use_take_back,
        bugs=[
            Bug(
                "first_layer_only",
                edit=(
                    "for cache in caches:\n        cache.length -= n",
                    "caches[0].length -= n",
                ),
                says="Only the first layer forgets. Every layer has a cache of its own.",
                effect="The layers disagree about the position of the next token.",
                look="How many caches are there?",
            ),
            Bug(
                "length_set",
                edit=("cache.length -= n", "cache.length = n"),
                says="You keep n tokens; n are to be taken back.",
                effect="Nearly the whole text is forgotten.",
                look="What should the length be, if it was 5 and n is 2?",
            ),
            Bug(
                "added",
                edit=("cache.length -= n", "cache.length += n"),
                says="Your length grows: the model then reads slots that nothing was written to.",
                effect="Empty keys draw attention, and the next token stands in the wrong place.",
                look="What should the length be, if it was 5 and n is 2?",
            ),
            Bug(
                "one_more",
                edit=("cache.length -= n", "cache.length -= n + 1"),
                says="You take back one token too many.",
                effect="The model forgets a token that it was to keep, and all after it move.",
                look="What should taking back 0 tokens do?",
            ),
            Bug(
                "erased",
                edit=(
                    "cache.length -= n",
                    "cache.k[:, :, cache.length - n : cache.length] = 0\n"
                    "        cache.v[:, :, cache.length - n : cache.length] = 0\n"
                    "        cache.length -= n",
                ),
                says="You erase old keys and values, which nobody would have looked at: it is work "
                "for nothing.",
                effect="The text is the same, and taking back 1,000 tokens costs as much as "
                "reading the cache.",
                look="Where does a query look, and when is a slot written again?",
            ),
            Bug(
                "below_zero",
                edit=("if n > caches[0].length:", "if False:"),
                says="More tokens can be taken back than there are, and the length is below 0.",
                effect="The next token is written to the end of the cache.",
                look="Which error does the docstring name?",
            ),
            Bug(
                "not_all",
                edit=("n > caches[0].length", "n >= caches[0].length"),
                says="All tokens can be taken back, too; you refuse that.",
                effect="A cache cannot be used again for another text.",
                look="How many tokens does a cache of length 5 hold?",
            ),
            Bug(
                "stops_at_zero",
                edit=(
                    'raise ValueError(f"n={n}: the caches hold {caches[0].length} tokens")',
                    "n = caches[0].length",
                ),
                says="If there are fewer than n tokens, you take back all of them and say nothing.",
                effect="Whoever counts the tokens counts others than the cache holds.",
                look="Which error does the docstring name?",
            ),
        ],
        hints=[
            "Which slots would have to be erased? Who looks at them?",
            "A query sees the slots before the length; a new token is written at the length.",
            "Compare n with a length first; then one line for each cache.",
        ],
        minutes=3,
        page="#ex-gqa-take-back",
        teaches="What lies after the length does not exist: forgetting is free.",
        extra=True,
    ),
    Task(
        "gqa.to_eight_bits",
        cases=_eight_bit_cases,
        use=_use_eight_bits,
        bugs=[
            Bug(
                "one_scale",
                edit=("x.abs().amax(-1, keepdim=True)", "x.abs().amax().expand(*x.shape[:-1], 1)"),
                says="You have one scale for everything. Each vector has its own.",
                effect="One large vector, and all others are rounded to a few steps.",
                look="Over which axis is the largest taken?",
            ),
            Bug(
                "sign_ignored",
                edit=("x.abs().amax(-1, keepdim=True)", "x.amax(-1, keepdim=True)"),
                says="You take the largest feature, and forget that a negative one can be larger "
                "in size.",
                effect="Integers beyond -128 come out as positive ones.",
                look="What is the scale of (1, -9)?",
            ),
            Bug(
                "by_128",
                edit=("/ 127", "/ 128"),
                says="You divide by 128: the largest feature becomes 128, for which int8 has no "
                "room.",
                effect="On most machines it turns over to -128: the strongest feature of every "
                "vector changes its sign.",
                look="From where to where do 8 bits with a sign reach?",
            ),
            Bug(
                "cut_off",
                edit=("(x / scale).round()", "(x / scale)"),
                says="You cut the fractions off. The nearest integer is asked for.",
                effect="Every feature moves towards 0, by half a step on average, and they all "
                "add up.",
                look="What does .to(torch.int8) do with 2.9?",
            ),
            Bug(
                "scale_wide",
                edit=("scale.half()", "scale"),
                says="Your scales stay in 32 bits; they are to be in float16.",
                effect="Two bytes more for each vector.",
                look="Which dtypes does the docstring name?",
            ),
            Bug(
                "integers_wide",
                edit=(".round().to(torch.int8)", ".round()"),
                says="Your integers are whole numbers, but of another dtype. Only in int8 do they "
                "take one byte each.",
                effect="In 32 bits the cache is larger than before: as large, and the scales with "
                "it.",
                look="Which dtypes does the docstring name?",
            ),
            Bug(
                "scale_turned_over",
                edit=(", scale.half()", ", (1 / scale).half()"),
                says="You return 1 / scale. Whoever needs the vector multiplies by the scale.",
                effect="Keys of a size that has nothing to do with the right one.",
                look="integers · scale should give x, nearly.",
            ),
        ],
        hints=[
            "One number for each vector, and keepdim=True, so that x can be divided by it.",
            "Size, largest, never 0, divided by 127. Then divide, round, convert.",
            "round() gives a float; .to(torch.int8) and .half() make the small dtypes.",
        ],
        minutes=8,
        page="#ex-gqa-int8",
        teaches="Eight bits and a scale keep a vector to one part in 254 of its largest feature.",
        extra=True,
    ),
]
