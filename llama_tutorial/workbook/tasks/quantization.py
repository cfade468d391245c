"""The tasks of the chapter on quantization; they need no torch."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from llama_tutorial.workbook.solutions.quantization import quantize
from llama_tutorial.workbook.task import Bug, Case, Task

_WIDE = "It is a floating matrix that takes twice the memory of float32, and about twice the time."
_NOT_A_NUMBER = (
    "A row of zeros, such as padding of the vocabulary, is right on one machine and spoilt on "
    "another."
)


def _weights(seed: int, rows: int, columns: int) -> np.ndarray:
    """Weights such as a model's: small, and each row of another size."""
    random = np.random.default_rng(seed)
    sizes = 0.02 * np.exp(random.standard_normal((rows, 1)))
    return (sizes * random.standard_normal((rows, columns))).astype(np.float32)


def _with_outlier() -> np.ndarray:
    weights = _weights(3, 2, 64)
    weights[1, 40] = 3
    return weights


def _with_zeros() -> np.ndarray:
    weights = _weights(4, 2, 64)
    weights[0, 32:] = 0
    return weights


def _rounded(answer: Callable[..., Any], w: np.ndarray, group_size: int) -> Any:
    """What an answer rounds to; and whether it made an integer of NaN, which NumPy lets pass."""
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn"):
        warnings.simplefilter("always")
        found = answer(w, group_size)
    grid = (len(w), w.shape[1] // group_size)
    if isinstance(found, tuple) and len(found) > 1:
        found = (found[0], *(_on_the_grid(numbers, grid) for numbers in found[1:]))
    if any("in cast" in str(one.message) for one in caught):
        return {"the result": found, "NaN was made an integer": True}
    return found


def _on_the_grid(numbers: Any, grid: tuple[int, int]) -> Any:
    """One scale, or one for each row, as a scale for each group."""
    if not isinstance(numbers, np.ndarray | np.generic) or numbers.shape == grid:
        return numbers
    if numbers.size == 1 or numbers.shape in (grid[:1], (grid[0], 1)):
        return np.broadcast_to(numbers.reshape(-1, 1), grid)
    return numbers


def _weights_cases() -> list[Case]:
    return [
        Case("one row of two groups", _weights(0, 1, 64), 32),
        Case("three rows, whose groups are two", _weights(1, 3, 64), 32),
        Case("four rows, groups of 8", _weights(2, 4, 24), 8),
        Case("a weight of 3 among small ones", _with_outlier(), 32),
        Case("a group of zeros", _with_zeros(), 32),
    ]


def _down_the_columns(w: np.ndarray, group_size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """A scale for each group of neighbours in a column."""
    q, scales = quantize(np.ascontiguousarray(w.T), min(group_size, len(w)))
    return q.T, scales.T


def _integers_cases() -> list[Case]:
    return [
        Case("one row of one group", *quantize(_weights(10, 1, 32), 32)),
        Case("one row of two groups", *quantize(_weights(11, 1, 64), 32)),
        Case("three rows of four groups", *quantize(_weights(12, 3, 64), 16)),
    ]


def _random_integers(seed: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 8, (rows, columns), dtype=np.int8)


def _pack_cases() -> list[Case]:
    return [
        Case("one group of four", np.array([[-8, -1, 0, 7]], np.int8), 4),
        Case("one row of two groups", _random_integers(20, 1, 64), 32),
        Case("three rows, groups of 8", _random_integers(21, 3, 24), 8),
    ]


def _bytes(seed: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)


def _unpack_cases() -> list[Case]:
    return [
        Case("two bytes, one group of four", np.array([[0x80, 0xF7]], np.uint8), 4),
        Case("one row of two groups", _bytes(22, 1, 32), 32),
        Case("three rows, groups of 8", _bytes(23, 3, 12), 8),
    ]


def _lopsided() -> np.ndarray:
    return np.abs(_weights(30, 2, 64)) + np.float32(0.01)


def _zero_point_cases() -> list[Case]:
    level = _weights(31, 2, 64)
    level[1, :32] = np.float32(0.25)
    return [
        Case("one row of two groups", _weights(32, 1, 64), 32),
        Case("weights that are all positive", _lopsided(), 32),
        Case("four rows, groups of 8", _weights(33, 4, 24), 8),
        Case("a group of equal weights", level, 32),
    ]


def _product_cases() -> list[Case]:
    def case(label: str, T: int, rows: int, columns: int, size: int) -> Case:
        x = np.random.default_rng(40 + T).standard_normal((T, columns)).astype(np.float32)
        return Case(label, x, *quantize(_weights(41, rows, columns), size))

    return [
        case("one vector, one group a row", 1, 3, 32, 32),
        case("one vector, two groups a row", 1, 3, 64, 32),
        case("three vectors, four groups a row", 3, 5, 64, 16),
    ]


def _stays_small(answer: Callable[..., Any]) -> str | None:
    """Whether an answer makes the whole matrix wider than it is."""
    rows, columns = 256, 4096
    q, scales = quantize(_weights(42, rows, columns), 32)
    x = np.ones((1, columns), np.float32)
    was_on = tracemalloc.is_tracing()
    if not was_on:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        answer(x, q, scales)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_on:
            tracemalloc.stop()
    if peak < 2 * q.nbytes:  # half of a float32 matrix
        return None
    return (
        f"The numbers are right, but on the way you make an array of the whole matrix: {rows} by "
        f"{columns} integers take {q.nbytes / 2**20:.1f} MB, and your code needs "
        f"{peak / 2**20:.1f} MB beside them. Take a group of columns at a time, or a row."
    )


def _block(scale: float, integers: bytes) -> bytes:
    return np.array(scale, "<f2").tobytes() + integers


def _block_cases() -> list[Case]:
    random = np.random.default_rng(50)
    counting = bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
    return [
        Case("the block of the exercise", _block(1 / 32, counting)),
        Case("a block whose scale is negative", _block(-0.0123, random.bytes(16))),
        Case("another block", _block(0.0456, random.bytes(16))),
    ]


def _read_quietly(answer: Callable[..., Any], block: bytes) -> Any:
    """The weights; a scale that was misread may run over, and that is no news."""
    with np.errstate(all="ignore"):
        return answer(block)


def _scale_in_four_bytes(block: bytes) -> np.ndarray:
    """A block as if its scale were a float32."""
    data = np.frombuffer(block, np.uint8)
    q = np.concatenate((data[4:] & 15, data[4:] >> 4)).astype(np.int8) - np.int8(8)
    return q * data[:4].view("<f4")


_INTEGERS = "unpack_nibbles(data[None, 2:])[0]"


TASKS = [
    Task(
        "quantization.quantize",
        cases=_weights_cases,
        use=_rounded,
        bugs=[
            Bug(
                "one_scale",
                edit=(
                    "np.abs(grouped).max(-1) / 127",
                    "np.full(grouped.shape[:2], np.abs(w).max() / 127)",
                ),
                says="You have one scale for the whole matrix. Each group has its own, so that one "
                "large weight coarsens its neighbours and nobody else.",
                look="Over which of the numbers do you take the largest?",
            ),
            Bug(
                "row_scale",
                edit=(
                    "np.abs(grouped).max(-1) / 127",
                    "np.abs(grouped).max((1, 2))[:, None].repeat(grouped.shape[1], 1) / 127",
                ),
                says="You have one scale for each row. A row has as many as it has groups.",
                effect="One large weight coarsens its whole row instead of 31 neighbours.",
                look="What is the shape of what you take the maximum of?",
            ),
            Bug(
                "times_128",
                edit=("/ 127", "/ 128"),
                says="You divide by 128, so that the largest integer is 128.",
                look="What is `np.float32(128).astype(np.int8)`?",
            ),
            Bug(
                "truncated",
                edit=("np.rint(grouped / steps)", "np.trunc(grouped / steps)"),
                says="You cut off what stands after the point: 2.9 becomes 2, and -2.9 becomes -2.",
                look="What does `astype` do with a fraction?",
            ),
            Bug(
                "no_guard",
                edit=(
                    "np.where(scales == 0, np.float32(1), scales)[..., None]",
                    "scales[..., None]",
                ),
                says="A group of zeros has the scale 0, and you divide by it. 0 / 0 is NaN, and "
                "which integer NaN becomes depends on the processor.",
                effect=_NOT_A_NUMBER,
                look="What do you divide a group of zeros by?",
            ),
            Bug(
                "sign_forgotten",
                edit=("np.abs(grouped).max(-1)", "grouped.max(-1)"),
                says="You take the largest weight, and not the one that is farthest from zero.",
                effect="A negative weight that is larger than all positive ones runs over the end "
                "of int8, and comes back as another number.",
                look="What is the scale of a group whose weights are -3 and 1?",
            ),
            Bug(
                "upside_down",
                edit=("return q.reshape(w.shape), scales", "return q.reshape(w.shape), 1 / scales"),
                says="The integers are right, but your scales are upside down: you return what a "
                "weight is multiplied by, and not what an integer is.",
                effect="Small weights come back as large ones: integers times a thousand.",
                look="An integer times its scale should be a weight. Try it.",
            ),
            Bug(
                "down_the_columns",
                wrong=_down_the_columns,
                says="Your groups are neighbours in a column. They should lie along a row, since a "
                "row is what meets the input.",
                effect="Each product of a row and a vector would need another scale for every "
                "weight, and could not multiply a sum of integers once.",
                look="Which axis of w do you cut into groups?",
            ),
        ],
        hints=[
            "Cut each row into groups first: with a third axis, a group is what lies along it.",
            "`max(-1)` of the sizes is one number a group. To divide by it, it needs that third "
            "axis again; where it is 0, divide by 1.",
            "Three lines: the scales, the quotients rounded by `np.rint`, and both in their shapes "
            "and types.",
        ],
        minutes=10,
        page="#one-scale-and-a-whole-number-for-each-weight",
        teaches="A scale for each group: an outlier coarsens its neighbours and nobody else.",
        same_dtype=True,
    ),
    Task(
        "quantization.dequantize",
        cases=_integers_cases,
        bugs=[
            Bug(
                "next_scale",
                edit=("scales[..., None]", "np.roll(scales, -1)[..., None]"),
                says="Each group gets the scale of the next one.",
                look="Which scale belongs to the first weight of the second group?",
            ),
            Bug(
                "scales_in_rounds",
                edit=(
                    "(grouped * scales[..., None]).reshape(q.shape)",
                    "q * np.tile(scales, (1, grouped.shape[-1]))",
                ),
                says="Your scales go round: the first weight has the first scale, the second "
                "weight the second. All weights of a group share one.",
                effect="Each weight has the sign that it should have and a wrong size; a few are "
                "right by chance.",
                look="What is the difference between `np.tile` and `np.repeat`?",
            ),
            Bug(
                "divided",
                edit=("grouped * scales", "grouped / scales"),
                says="You divide by the scale. A scale is the size of one step, so an integer is "
                "multiplied by it.",
                effect="The weights are millions of times too large.",
                look="If a step is 0.01, which weight is the integer 3?",
            ),
            Bug(
                "integers",
                edit=(
                    "(grouped * scales[..., None]).reshape(q.shape)",
                    "(grouped * scales[..., None]).reshape(q.shape).astype(q.dtype)",
                ),
                says="You make integers of the weights again, and nearly all of them are 0.",
                effect="A matrix of zeros: nothing is left of the layer.",
                look="Where does the array that you return get its type from?",
            ),
            Bug(
                "float64",
                edit=(
                    "(grouped * scales[..., None]).reshape(q.shape)",
                    "(grouped * scales[..., None].astype(np.float64)).reshape(q.shape)",
                ),
                says="The numbers are right, but they are float64.",
                effect=_WIDE,
                look="int8 times float32 is float32 in NumPy. Which of your arrays is wider?",
            ),
        ],
        hints=[
            "The same cut as in quantize: a third axis for the weights of a group.",
            "`scales[..., None]` has one number where the group has many; NumPy repeats it.",
            "A product of (rows, groups, n) and (rows, groups, 1), and the first shape again.",
        ],
        minutes=5,
        page="#one-scale-and-a-whole-number-for-each-weight",
        teaches="Reading back is one product, and no weight is off by more than half a step.",
        same_dtype=True,
    ),
    Task(
        "quantization.pack_nibbles",
        cases=_pack_cases,
        bugs=[
            Bug(
                "nibble_order",
                edit=(
                    "stored[..., :half] | stored[..., half:] << 4",
                    "stored[..., ::2] | stored[..., 1::2] << 4",
                ),
                says="You put two neighbours into a byte. In this layout the second of a byte is "
                "half a group away from the first.",
                look="Which two of 32 integers share the first byte?",
            ),
            Bug(
                "halves_swapped",
                edit=(
                    "stored[..., :half] | stored[..., half:] << 4",
                    "stored[..., half:] | stored[..., :half] << 4",
                ),
                says="Your first half lies in the high bits. It belongs into the low ones.",
                effect="All weights are there, half a group away from their inputs: it writes "
                "nonsense.",
                look="Which half of a byte is `byte & 15`?",
            ),
            Bug(
                "signed_nibbles",
                edit=("(q + 8)", "(q & 15)"),
                says="You store -1 as 15, as two's complement has it. Here it is stored as 7: 8 is "
                "added.",
                look="What are -8, 0 and 7 stored as?",
            ),
            Bug(
                "offset_forgotten",
                edit=("(q + 8)", "q"),
                says="You store the integers as they are. A negative one sets all upper bits, and "
                "spoils its neighbour in the byte.",
                effect="Wherever the first integer of a byte is negative, the second is lost.",
                look="What are the bits of -1 in int8?",
            ),
            Bug(
                "whole_row",
                edit=("reshape(len(q), -1, group_size)", "reshape(len(q), 1, -1)"),
                more=(("half = group_size // 2", "half = q.shape[1] // 2"),),
                says="You halve the row. Each group is halved for itself, so that its bytes lie "
                "together.",
                effect="The file's size is right, and most weights are in another's place.",
                look="How far is it from the first integer of a byte to the second?",
            ),
            Bug(
                "not_shifted",
                edit=("stored[..., half:] << 4", "stored[..., half:]"),
                says="Both integers of a byte are in its low bits, one over the other.",
                effect="Two weights become one, and neither of them is right.",
                look="By how many bits does the second have to move?",
            ),
        ],
        hints=[
            "First make all integers 0 to 15, in uint8. Then cut the rows into groups, and each "
            "group into halves.",
            "Two numbers below 16 share a byte if one of them is shifted by four bits: `<<`, and "
            "`|` to join them.",
            "`stored[..., :half]` are the first halves of all groups, in one go.",
        ],
        minutes=10,
        page="#with-four-bits-no-level-may-be-wasted",
        teaches="Two weights share a byte: half a group apart, with 8 added to each.",
        same_dtype=True,
    ),
    Task(
        "quantization.unpack_nibbles",
        cases=_unpack_cases,
        bugs=[
            Bug(
                "signed_nibbles",
                edit=(
                    "stored.reshape(len(packed), -1).astype(np.int8) - np.int8(8)",
                    "(stored.reshape(len(packed), -1).astype(np.int8) ^ 8) - np.int8(8)",
                ),
                says="You read four bits as two's complement, so that 15 is -1. Here 15 is 7: 8 "
                "was added.",
                look="Which integer was stored as 0?",
            ),
            Bug(
                "wraps_around",
                edit=(
                    "stored.reshape(len(packed), -1).astype(np.int8) - np.int8(8)",
                    "stored.reshape(len(packed), -1) - np.uint8(8)",
                ),
                says="You subtract 8 in uint8, which has nothing below zero: 7 - 8 is 255.",
                effect="About half of the weights become some thirty times as large as the largest "
                "should be.",
                look="Which type does the array have when you subtract?",
            ),
            Bug(
                "unsigned",
                edit=("astype(np.int8) - np.int8(8)", "astype(np.int8)"),
                says="You leave the integers at 0 to 15. The 8 that was added is still in them.",
                effect="All weights of a group have the same sign: eight steps are added to each.",
                look="Which stored integer stands for a weight of 0?",
            ),
            Bug(
                "nibble_order",
                edit=("np.concatenate((grouped", "np.stack((grouped"),
                says="You take the two of a byte for neighbours. They are half a group apart.",
                look="Where does the high half of the first byte belong?",
            ),
            Bug(
                "halves_swapped",
                edit=("(grouped & 15, grouped >> 4)", "(grouped >> 4, grouped & 15)"),
                says="Your high halves come first. They are the second half of the group.",
                effect="All weights are there, half a group away from their inputs: it writes "
                "nonsense.",
                look="Which half of a byte is `byte & 15`?",
            ),
            Bug(
                "whole_row",
                edit=("reshape(len(packed), -1, group_size // 2)", "reshape(len(packed), 1, -1)"),
                says="You put all low halves of a row before all high ones. That is so within each "
                "group.",
                effect="The size is right, and most weights are in another's place.",
                look="How many bytes are a group?",
            ),
        ],
        hints=[
            "The way back: bytes in groups, two integers of each byte, the offset away.",
            "`& 15` keeps the low four bits, `>> 4` brings down the high ones; both are uint8.",
            "Put both halves of a group one after the other, make them int8, and only then "
            "subtract.",
        ],
        minutes=10,
        page="#with-four-bits-no-level-may-be-wasted",
        teaches="Four bits have no sign of their own: whoever reads them must know what was added.",
        same_dtype=True,
    ),
    Task(
        "quantization.quantize_zero_point",
        cases=_zero_point_cases,
        use=_rounded,
        bugs=[
            Bug(
                "symmetric",
                edit=("zeros = grouped.min(-1)", "zeros = -np.abs(grouped).max(-1)"),
                more=(("(grouped.max(-1) - zeros) / 15", "-2 * zeros / 15"),),
                says="Your levels lie around zero. With a zero point they span from the smallest "
                "weight to the largest.",
                effect="Where all weights of a group have one sign, half of the levels are never "
                "used, and the zero point is paid for and brings nothing.",
                look="Which weight should the integer 0 stand for?",
            ),
            Bug(
                "sixteen_steps",
                edit=("/ 15", "/ 16"),
                says="You cut the span into 16 steps. 16 levels have 15 steps between them, and so "
                "your largest weight becomes 16, which four bits do not hold.",
                effect="Packed, 16 is a 0 and a bit too many in the neighbour: of each group the "
                "largest weight becomes the smallest.",
                look="How many gaps are there between 16 fence posts?",
            ),
            Bug(
                "floored",
                edit=("np.rint((grouped", "np.floor((grouped"),
                says="You round down. The nearest level may be the one above.",
                effect="All weights move in one direction, by half a step on average.",
                look="Which level is nearest to 2.9?",
            ),
            Bug(
                "zero_point_in_steps",
                edit=(
                    "return q.reshape(w.shape), scales, zeros",
                    "return q.reshape(w.shape), scales, np.rint(-zeros / steps[..., 0])",
                ),
                says="Your zero point is counted in steps: the integer that stands for a weight of "
                "0, as in GPTQ and AWQ. In this form it is a weight, the one that 0 stands for.",
                effect="A file in one form read in the other: each group moves by many times its "
                "own width.",
                look="Try `q * scale + zero` with what you return.",
            ),
            Bug(
                "other_sign",
                edit=(
                    "return q.reshape(w.shape), scales, zeros",
                    "return q.reshape(w.shape), scales, -zeros",
                ),
                says="Your zero points have the other sign: they are added when a weight is read.",
                effect="Each group is moved by twice its smallest weight.",
                look="Which weight is read where the integer is 0?",
            ),
            Bug(
                "one_zero_point",
                edit=("zeros = grouped.min(-1)", "zeros = np.full(grouped.shape[:2], w.min())"),
                says="You have one zero point for the whole matrix. Each group has its own.",
                effect="The steps are wider than they need to be.",
                look="Over which of the numbers do you take the smallest?",
            ),
            Bug(
                "no_guard",
                edit=(
                    "np.where(scales == 0, np.float32(1), scales)[..., None]",
                    "scales[..., None]",
                ),
                says="A group of equal weights has the scale 0, and you divide by it. 0 / 0 is "
                "NaN, and which integer NaN becomes depends on the processor.",
                effect=_NOT_A_NUMBER,
                look="What do you divide such a group by?",
            ),
        ],
        hints=[
            "As in quantize, a third axis first. Then two numbers of each group: the smallest and "
            "the largest.",
            "16 levels from the one to the other: how wide is a step? And how many steps is a "
            "weight above the smallest?",
            "The integers are the distance from the zero point over the step, rounded; where the "
            "step is 0, divide by 1.",
        ],
        minutes=10,
        page="#ex-quantization-zero",
        teaches="A zero point lets all 16 levels lie where the group's weights are.",
        same_dtype=True,
    ),
    Task(
        "quantization.product",
        cases=_product_cases,
        properties=[_stays_small],
        bugs=[
            Bug(
                "next_scale",
                edit=("* scales[:, g]", "* scales[:, (g + 1) % scales.shape[1]]"),
                says="Each group's sum is multiplied by the scale of the next group.",
                look="Which columns does scales[:, 0] belong to?",
            ),
            Bug(
                "last_group",
                edit=("y += x", "y = x"),
                says="Only the last group is left: each one overwrites the sum of those before.",
                effect="A layer that reads 32 of its inputs and forgets the rest.",
                look="What happens to y in each round?",
            ),
            Bug(
                "first_scale",
                edit=("* scales[:, g]", "* scales[:, 0]"),
                says="All groups of a row get the first one's scale.",
                effect="Neighbouring scales are alike: in int8 a story goes on, and stumbles.",
                look="How many scales has a row, and how many do you use?",
            ),
            Bug(
                "no_scale",
                edit=(" * scales[:, g]", ""),
                says="The scales are missing: your sums are those of the integers.",
                effect="Each layer's output is thousands of times too large.",
                look="What is scales for in your code?",
            ),
            Bug(
                "int8_sums",
                edit=(
                    "x[:, group] @ q[:, group].T.astype(np.float32)",
                    "x[:, group].astype(np.int8) @ q[:, group].T",
                ),
                says="You make int8 of the inputs and add up in int8. An input of 0.7 becomes 0, "
                "and a sum above 127 comes back from the other end.",
                effect="Nothing that a layer sends on has to do with what it got.",
                look="Which type do two int8 arrays multiplied by `@` have?",
            ),
            Bug(
                "float64",
                edit=("np.zeros((len(x), len(q)), np.float32)", "np.zeros((len(x), len(q)))"),
                says="The numbers are right, but they are float64.",
                effect="All that follows is computed in float64, at half the speed.",
                look="Which type does `np.zeros` make?",
            ),
        ],
        hints=[
            "One group first: 32 inputs, 32 columns of integers, one scale for each row.",
            "The scale is the same for all 32, so it can wait until their sum is there. Add the "
            "groups up in an array of zeros.",
            "A loop over the groups: a slice of x times a slice of q, transposed, and then a "
            "column of scales.",
        ],
        minutes=15,
        page="#with-four-bits-no-level-may-be-wasted",
        teaches="One multiplication by a scale for each sum of 32: the weights stay bytes.",
        same_dtype=True,
    ),
    Task(
        "quantization.read_q4_0",
        cases=_block_cases,
        use=_read_quietly,
        extra=True,
        bugs=[
            Bug(
                "nibble_order",
                edit=(_INTEGERS, f"{_INTEGERS}.reshape(2, 16).T.reshape(-1)"),
                says="You take the two integers of a byte for neighbours. They are 16 apart.",
                look="Which weight does the high half of the first byte belong to?",
            ),
            Bug(
                "halves_swapped",
                edit=(_INTEGERS, f"np.roll({_INTEGERS}, 16)"),
                says="Your high halves come first. They are the weights 16 to 31.",
                effect="All weights are there, 16 away from their inputs: it writes nonsense.",
                look="Which half of a byte is `byte & 15`?",
            ),
            Bug(
                "signed_nibbles",
                edit=(_INTEGERS, f"(({_INTEGERS} & 15) - np.int8(8))"),
                says="You read four bits as two's complement, so that 15 is -1. Here 15 is 7: 8 "
                "was added.",
                look="Which integer was stored as 0?",
            ),
            Bug(
                "offset_forgotten",
                edit=(_INTEGERS, f"({_INTEGERS} + np.int8(8))"),
                says="You leave the integers at 0 to 15. The 8 that was added is still in them.",
                effect="All weights of a block have the same sign: eight steps are added to each.",
                look="Which stored integer stands for a weight of 0?",
            ),
            Bug(
                "wraps_around",
                edit=(_INTEGERS, f"{_INTEGERS}.astype(np.uint8)"),
                says="You subtract 8 in uint8, which has nothing below zero: 7 - 8 is 255.",
                effect="About half of the weights become some thirty times as large as the largest "
                "should be.",
                look="Which type does the array have when you subtract?",
            ),
            Bug(
                "scale_big_endian",
                edit=('"<f2"', '">f2"'),
                says="You read the scale with its higher byte first. The lower one comes first.",
                effect="A scale of 1/32 becomes 0.0000024, and others become far too large.",
                look="The first two bytes are 00 and 28. Is that 0x0028 or 0x2800?",
            ),
            Bug(
                "scale_as_integer",
                edit=('"<f2"', '"<u2"'),
                says="You take the scale for an integer of 16 bits. It is a float16.",
                effect="A scale of 1/32 becomes 10240.",
                look="Which number do the bits 0x2800 stand for in float16?",
            ),
            Bug(
                "scale_as_bfloat16",
                edit=(
                    'data[:2].view("<f2").astype(np.float32)',
                    '(data[:2].view("<u2").astype(np.uint32) << 16).view(np.float32)',
                ),
                says="You read the scale as bfloat16. Its 16 bits are those of a float16, with "
                "five bits of exponent.",
                effect="All weights are next to 0, and each layer is silent.",
                look="How many of the 16 bits are the exponent?",
            ),
            Bug(
                "scale_in_four_bytes",
                wrong=_scale_in_four_bytes,
                says="Your scale takes four bytes, as a float32 does. It has two, a float16, and "
                "so only 28 weights are left of 32.",
                effect="Block by block, the weights no longer stand where the matrix expects them.",
                look="How many bytes do 32 integers of four bits need, and how many are left?",
            ),
            Bug(
                "scale_last",
                edit=("data[:2]", "data[-2:]"),
                more=(("data[None, 2:]", "data[None, :-2]"),),
                says="You look for the scale at the end of the block. It is at the beginning.",
                effect="Two integers of each block become its scale: a different one every time.",
                look="Which of the 18 bytes come first?",
            ),
            Bug(
                "divided",
                edit=("* scale", "/ scale"),
                says="You divide by the scale. A scale is the size of one step, so an integer is "
                "multiplied by it.",
                effect="At a scale of 1/32, the weights are a thousand times too large.",
                look="If a step is 1/32, which weight is the integer 3?",
            ),
            Bug(
                "in_halves",
                edit=(".astype(np.float32)", ""),
                says="Your weights are float16, as the scale is. Make it float32 before it is "
                "multiplied.",
                effect="The products are rounded to the 11 bits that float16 has.",
                look="Which type has int8 times float16?",
            ),
            Bug(
                "rounded_in_halves",
                edit=(f"{_INTEGERS} * scale", f"({_INTEGERS} * scale).astype(np.float32)"),
                more=((".astype(np.float32)  #", "  #"),),
                says="You multiply in float16 and make it float32 afterwards, when the products "
                "have been rounded.",
                effect="Many weights are a little off, where they could have been exact.",
                look="Which type has int8 times float16?",
            ),
            Bug(
                "float64",
                edit=("np.float32", "np.float64"),
                says="The numbers are right, but they are float64.",
                effect=_WIDE,
                look="int8 times float32 is float32 in NumPy. Which of your numbers is wider?",
            ),
        ],
        hints=[
            "Cut the block in two: two bytes, and 16. `np.frombuffer` makes an array of bytes.",
            "`view` reads the same bytes as another type; `<f2` is a float16, lower byte first.",
            "unpack_nibbles wants rows: `data[None, 2:]` is one. What it gives, times the scale "
            "in float32.",
        ],
        minutes=5,
        page="#ex-quantization-block",
        teaches="18 bytes for 32 weights: 4 bits each, and half a bit for the scale they share.",
        same_dtype=True,
    ),
]
