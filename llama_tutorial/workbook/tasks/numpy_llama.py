"""The tasks of the chapter on the NumPy engine; they need no torch."""

from __future__ import annotations

import math
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from llama_tutorial.workbook.solutions.numpy_llama import rotate, shapes_of, softmax
from llama_tutorial.workbook.task import Bug, Case, Task

# dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, max_seq_len
_TIED, _UNTIED = (48, 128, 3, 6, 2, 100, 64), (32, 96, 2, 4, 4, -50, 16)


def _bytes(*sizes: int) -> np.ndarray:
    """A header and what may follow it."""
    return np.frombuffer(struct.pack("<7i", *sizes) + bytes(range(20)), np.uint8).copy()


def _fields(answer: Callable[..., Any], data: np.ndarray) -> Any:
    found = answer(data)
    return getattr(found, "__dict__", found)


def _has_attributes(answer: Callable[..., Any]) -> str | None:
    if isinstance(answer(_bytes(*_TIED)), dict):
        return (
            "The numbers are right, in a dict. The rest of the module says m.dim: return a "
            "SimpleNamespace."
        )
    return None


def _header_cases() -> list[Case]:
    return [
        Case("a tied head, six query heads and two key heads", _bytes(*_TIED)),
        Case("a head of its own", _bytes(*_UNTIED)),
    ]


def _sizes(*sizes: int) -> SimpleNamespace:
    names = "dim hidden_dim n_layers n_heads n_kv_heads vocab_size max_seq_len".split()
    m = SimpleNamespace(**dict(zip(names, sizes, strict=True)))
    m.tied, m.vocab_size, m.head_dim = m.vocab_size > 0, abs(m.vocab_size), m.dim // m.n_heads
    return m


def _in_order(answer: Callable[..., Any], m: SimpleNamespace) -> Any:
    """A dict, and its names in their order, which counts here."""
    found = answer(m)
    if not isinstance(found, dict):
        return found
    shapes = {name: tuple(int(size) for size in shape) for name, shape in found.items()}
    return {"names, in order": list(found), "shapes": shapes}


def _shapes_cases() -> list[Case]:
    return [
        Case("a head of its own, a key head for each query head", _sizes(*_UNTIED)),
        Case("a tied head, two key heads for six query heads", _sizes(*_TIED)),
    ]


def _norms_first(m: SimpleNamespace) -> dict[str, tuple[int, ...]]:
    shapes = shapes_of(m)
    return {name: shapes[name] for name in sorted(shapes, key=lambda name: "norm" not in name)}


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _quietly(answer: Callable[..., Any], *args: Any) -> Any:
    """A call without NumPy's warnings: a NaN is told by the checker, and told better."""
    with np.errstate(all="ignore"):
        return answer(*args)


def _softmax_cases() -> list[Case]:
    masked = _random(2, 3, 3)
    masked[~np.tri(3, dtype=bool)] = -np.inf
    return [
        Case("one row of three", np.array([1, 2, 4], np.float32)),
        Case("four rows of three", _random(0, 4, 3)),
        Case("two heads of two by five", _random(1, 2, 2, 5)),
        Case("masked scores", masked),
        Case("large numbers", np.array([[100, 99], [-200, -201]], np.float32)),
    ]


def _norm_cases() -> list[Case]:
    weight = np.array([0.5, 1, 2, 3], np.float32)
    ones = np.ones(4, np.float32)
    return [
        Case("one vector, weights of 1", np.array([[1, 2, 3, 4]], np.float32), ones),
        Case("three vectors", _random(0, 3, 4), weight),
        Case("very small numbers", _random(1, 2, 4) * np.float32(1e-3), weight),
        Case("eps=0.1", _random(2, 2, 4), weight, 0.1),
    ]


def _turns(positions: Any, head_dim: int) -> np.ndarray:
    pairs = np.arange(0, head_dim, 2) / head_dim
    return np.exp(1j * np.outer(positions, 10000.0**-pairs)).astype(np.complex64)[:, None]


def _rotate_cases() -> list[Case]:
    return [
        Case("one head at position 0, which stays as it is", _random(0, 1, 1, 8), _turns([0], 8)),
        Case("one head at position 1", _random(0, 1, 1, 8), _turns([1], 8)),
        Case("three heads at positions 4 to 6", _random(1, 3, 3, 8), _turns([4, 5, 6], 8)),
    ]


def _half_split(x: np.ndarray, turns: np.ndarray) -> np.ndarray:
    a, b = np.split(x, 2, axis=-1)
    turned = (a + 1j * b) * turns
    return np.concatenate((turned.real, turned.imag), -1)


def _attention_cases() -> list[Case]:
    def case(label: str, T: int, start: int, K: int, slots: int) -> Case:
        h, H = 8, 4
        D, seed = H * h, 10 * T + start
        m = _sizes(D, 96, 2, H, K, 50, 16)
        m.wq, m.wo = _random(1, 2, D, D) / 6, _random(4, 2, D, D) / 6
        m.wk, m.wv = _random(2, 2, K * h, D) / 6, _random(3, 2, K * h, D) / 6
        kv = _random(5, 2, K, slots, h)
        kv[:, :, start:] = 0
        turns = _turns(np.arange(start, start + T), h)
        return Case(label, 2 * _random(seed, T, D), m, 1, turns, kv[0], kv[1], start)

    return [
        case("a prompt of four tokens, a key head for each query head", 4, 0, 4, 6),
        case("a prompt of four tokens, two key heads for four query heads", 4, 0, 2, 6),
        case("one token at position 3", 1, 3, 2, 6),
        case("two tokens at positions 3 and 4", 2, 3, 2, 8),
    ]


def _step(
    answer: Callable[..., Any],
    x: np.ndarray,
    m: SimpleNamespace,
    i: int,
    turns: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    start: int,
) -> dict[str, Any]:
    keys, values = keys.copy(), values.copy()
    y = answer(x, m, i, turns, keys, values, start)
    return {"the output": y, "keys": keys, "values": values}


def _in_rounds(
    x: np.ndarray,
    m: SimpleNamespace,
    i: int,
    turns: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    start: int,
) -> np.ndarray:
    """Query head j reads key head j % K."""
    T, (K, _, h), stop = len(x), keys.shape, start + len(x)
    q = rotate((x @ m.wq[i].T).reshape(T, -1, h), turns).swapaxes(0, 1)  # (H, T, h)
    keys[:, start:stop] = rotate((x @ m.wk[i].T).reshape(T, K, h), turns).swapaxes(0, 1)
    values[:, start:stop] = (x @ m.wv[i].T).reshape(T, K, h).swapaxes(0, 1)
    k, v = (np.tile(part[:, :stop], (len(q) // K, 1, 1)) for part in (keys, values))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(h)  # (H, T, S)
    scores[..., ~np.tri(T, stop, start, dtype=bool)] = -math.inf
    y = softmax(scores) @ v  # (H, T, h)
    return y.swapaxes(0, 1).reshape(T, -1) @ m.wo[i].T


_WIDE = (
    "Every matrix that meets it is converted to float64, at every product: the engine waits for "
    "memory twice as long, and writes the same text."
)
_WRITES = """keys[:, start:stop] = k.swapaxes(0, 1)
    values[:, start:stop] = v.swapaxes(0, 1)"""

# The exercises


def _file_1(
    tied: bool = True, *, version: int = 1, magic: bytes = b"24ka", extra: int = 0
) -> bytes:
    """A llama2.c file of version 1, its numbers counted from 0."""
    sizes = (8, 12, 2, 2, 1, 5, 4)
    m = _sizes(*sizes)
    m.tied = tied
    n = sum(math.prod(shape) for name, shape in shapes_of(m).items() if "rope" not in name)
    header = magic + struct.pack("<i7iB", version, *sizes, tied)
    return header.ljust(256, b"\0") + np.arange(n + extra, dtype="<f4").tobytes()


def _whole_model(answer: Callable[..., Any], data: bytes) -> Any:
    """All that stands in the model, or the error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        path.write_bytes(data)
        try:
            m = answer(path)
        except ValueError:
            return {"error that is raised": "ValueError"}
        if not hasattr(m, "__dict__"):
            return {"error that is raised": "none", "kind of what is returned": type(m).__name__}
        return {
            "error that is raised": "none",
            "kind of what is returned": "an object with attributes",
        } | {
            name: np.array(value) if isinstance(value, np.ndarray) else value
            for name, value in vars(m).items()
        }


def _version_1_cases() -> list[Case]:
    return [
        Case("a tied head", _file_1()),
        Case("a head of its own", _file_1(tied=False)),
        Case("other letters", _file_1(magic=b"GGUF")),
        Case("version 2", _file_1(version=2)),
        Case("two numbers too many", _file_1(extra=2)),
        Case("two numbers too few", _file_1(tied=False, extra=-2)),
    ]


def _eight_bits(F: int, D: int, groups: int, seed: int = 0) -> SimpleNamespace:
    draw = np.random.default_rng(seed)
    values = draw.integers(-127, 128, (F, D)).astype(np.int8)
    scales = (10.0 ** draw.uniform(-3, -1, (F, groups))).astype(np.float32)
    return SimpleNamespace(values=values, scales=scales)


def _product_cases() -> list[Case]:
    return [
        Case("one group of four", _random(0, 1, 4), _eight_bits(2, 4, 1)),
        Case("three groups of four", _random(1, 1, 12), _eight_bits(3, 12, 3)),
        Case("five rows of x, two groups of eight", _random(2, 5, 16), _eight_bits(6, 16, 2)),
    ]


def _stays_small(answer: Callable[..., Any]) -> str | None:
    tensor, x = _eight_bits(512, 1024, 16), _random(3, 1, 1024)
    whole = 4 * tensor.values.size
    tracemalloc.start()
    try:
        answer(x, tensor)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak > whole / 4:
        return (
            f"The numbers are right, but on the way it takes {peak / whole:.1f} times as much "
            "memory as the matrix in float32, and should take less than a quarter of that. Which "
            "array of yours is as large as the matrix?"
        )
    return None


TASKS = [
    Task(
        "numpy_llama.read_header",
        cases=_header_cases,
        use=_fields,
        properties=[_has_attributes],
        bugs=[
            Bug(
                "sign_kept",
                edit=("abs(m.vocab_size)", "m.vocab_size"),
                says="A negative vocabulary size stays negative. The sign is a flag, and the size "
                "is the number without it.",
                effect="The embedding gets a negative number of rows.",
                look="What is the sign for?",
            ),
            Bug(
                "other_way_round",
                edit=("m.vocab_size > 0", "m.vocab_size < 0"),
                says="Your flag is the wrong way round: a *negative* size means a head of its own.",
                effect="You look for a head that is not there, or take the embedding for a head "
                "that is.",
                look="Which of the two was there first, so that it needs no flag?",
            ),
            Bug(
                "always_tied",
                edit=("m.vocab_size > 0, abs(m.vocab_size)", "True, abs(m.vocab_size)"),
                says="You take every head for tied.",
                effect="Of stories15M that is true. Of a converted Llama 2 it is not: its logits "
                "are products with the embedding, and it writes nonsense.",
                look="What does a negative size say?",
            ),
            Bug(
                "unsigned",
                edit=('"<7i"', '"<7I"'),
                says="You read unsigned numbers, so -50 becomes 4,294,967,246.",
                effect="The embedding gets four billion rows, which are not in the file.",
                look="Which of the seven numbers may be negative?",
            ),
            Bug(
                "big_endian",
                edit=('"<7i"', '">7i"'),
                says="You read big-endian numbers: 48 becomes 805,306,368.",
                effect="On the machine where it was written it may work; the file is the same "
                "everywhere.",
                look="Which byte of a number comes first in the file?",
            ),
            Bug(
                "key_heads",
                edit=("m.dim // m.n_heads", "m.dim // m.n_kv_heads"),
                says="You divide the width by the number of key heads.",
                effect="Where every query head has its own key head that is right; in 70B a head "
                "would be eight times too wide.",
                look="The heads of q lie side by side in D features: how many are there?",
            ),
            Bug(
                "order_of_the_code",
                edit=(
                    "dim hidden_dim n_layers n_heads n_kv_heads vocab_size max_seq_len",
                    "dim n_layers n_heads n_kv_heads vocab_size hidden_dim max_seq_len",
                ),
                says="The numbers are right, but their names are in another order: the second is "
                "hidden_dim.",
                effect="A model of a hundred layers with three hidden features, say: the "
                "file is too short for it.",
                look="Compare the order with the specification.",
            ),
        ],
        hints=[
            "`struct.unpack` reads seven numbers at once from 28 bytes; its format says how long a "
            "number is, which byte comes first, and whether there is a sign.",
            "Give the seven their names, then look at the sign of vocab_size before you drop it.",
            "`data[:28].tobytes()` are the bytes; `SimpleNamespace(**dict(zip(names, sizes)))` "
            "takes names and numbers.",
        ],
        minutes=10,
        page="#a-file-without-a-single-name",
        teaches="A header of seven numbers is enough, since all else is agreed upon.",
    ),
    Task(
        "numpy_llama.shapes_of",
        cases=_shapes_cases,
        use=_in_order,
        bugs=[
            Bug(
                "keys_as_wide_as_queries",
                edit=("kv_dim, table = m.n_kv_heads * m.head_dim,", "kv_dim, table = D,"),
                says="You make wk and wv as wide as wq. With fewer key heads they are narrower.",
                effect="All that follows in the file is read from the wrong place.",
                look="How many heads are there in wk, and how wide is each?",
            ),
            Bug(
                "gate_up_down",
                edit=('"w2": (L, D, F), "w3": (L, F, D)', '"w3": (L, F, D), "w2": (L, D, F)'),
                says="You have w3 before w2. In the file they are in the order of their numbers: "
                "gate, down, up.",
                effect="The sizes are the same, so the file comes out even. It writes nonsense.",
                look="Which of the three leads down?",
            ),
            Bug(
                "tables_forgotten",
                edit=('"norm": (D,), "rope_cos": table, "rope_sin": table', '"norm": (D,)'),
                says="You leave out the tables of RoPE. They are in the file, though nobody reads "
                "them.",
                effect="With a tied head nothing follows them, and all is well. A head of its own "
                "is read from the wrong place.",
                look="What stands between the last norm and the head?",
            ),
            Bug(
                "head_always",
                edit=("return shapes if m.tied else shapes |", "return shapes |"),
                says="You always have an output head. Where it is tied there is none in the file.",
                effect="You read beyond the end of the file.",
                look="What does m.tied say?",
            ),
            Bug(
                "whole_heads",
                edit=("m.head_dim // 2", "m.head_dim"),
                says="Your tables have a column for each feature of a head. One for each pair is "
                "enough.",
                effect="A head of its own is read from the wrong place; with a tied one it "
                "does not show.",
                look="How many angles does a head have at a position?",
            ),
            Bug(
                "in_out",
                edit=(
                    '"w1": (L, F, D), "w2": (L, D, F), "w3": (L, F, D)',
                    '"w1": (L, D, F), "w2": (L, F, D), "w3": (L, D, F)',
                ),
                says="Your feed-forward matrices are (in, out). In the file they are as torch has "
                "them: (out, in).",
                effect="The sizes are the same, so the file comes out even. It writes nonsense.",
                look="w1 takes D features and makes F of them. Which comes first in (out, in)?",
            ),
            Bug(
                "norms_first",
                wrong=_norms_first,
                says="You have all norms first. That is the order of version 1; in version 0 they "
                "stand among the matrices.",
                effect="The file comes out even, and every weight is another one.",
                look="What comes second in the file?",
            ),
        ],
        hints=[
            "Write the letters first: L, D, F, V, and how wide the keys of a token are.",
            "Every tensor of the layers has L in front. A norm is then (L, D), a matrix (L, out, "
            "in).",
            "Fourteen entries with a head of its own, thirteen without. wk and wv are the only "
            "ones with the number of key heads in them.",
        ],
        minutes=10,
        page="#a-file-without-a-single-name",
        teaches="A file without names is read by its order alone, and one mistake moves the rest.",
    ),
    Task(
        "numpy_llama.softmax",
        cases=_softmax_cases,
        use=_quietly,
        bugs=[
            Bug(
                "no_max",
                edit=("x - x.max(-1, keepdims=True)", "x"),
                says="You take exponentials of the numbers as they are. In float32 exp(89) is "
                "infinite, and infinity over infinity is NaN.",
                effect="It works until a score is above 88, which may be on the thousandth token.",
                look="A softmax stays what it is if all numbers of a row get less by the same. By "
                "how much, so that the largest exponential is 1?",
            ),
            Bug(
                "largest_of_all",
                edit=("x.max(-1, keepdims=True)", "x.max()"),
                says="You subtract the largest number of the whole array. In a row that lies far "
                "below it, all exponentials are 0.",
                effect="Zero over zero: that row becomes NaN.",
                look="Which row does each largest number belong to?",
            ),
            Bug(
                "sum_of_all",
                edit=("e.sum(-1, keepdims=True)", "e.sum()"),
                says="You divide by the sum of the whole array. Each row has to sum to 1.",
                effect="With T tokens each gets a T-th of the attention that it should.",
                look="Over which axis is the sum?",
            ),
            Bug(
                "first_axis",
                wrong=lambda x: np.exp(x - x.max(0)) / np.exp(x - x.max(0)).sum(0),
                says="Yours sums over the first axis; it should be the last.",
                effect="The attention that a key *gets* sums to 1, not that which a query gives.",
                look="Which axis are the keys on?",
            ),
            Bug(
                "float64",
                edit=("np.exp(x - x", "np.exp(x.astype(np.float64) - x"),
                says="The numbers are right, but they are float64.",
                effect=_WIDE,
                look="Which number or array of NumPy's in your code is float64?",
                museum=False,
            ),
        ],
        hints=[
            "e to the power of each number, over the sum of these: over the last axis.",
            "`keepdims=True` keeps the axis that was summed over, so that the division fits.",
            "Subtract each row's largest number before you take exponentials.",
        ],
        minutes=5,
        page="#llama-2-on-one-page",
        teaches="The largest number subtracted, no exponential is above 1.",
        same_dtype=True,
    ),
    Task(
        "numpy_llama.rms_norm",
        cases=_norm_cases,
        use=_quietly,
        bugs=[
            Bug(
                "sum_for_mean",
                edit=(" / x.shape[-1]", ""),
                says="You take the sum of the squares, not their mean.",
                effect="All features are too small, by the root of D.",
                look="What does the M in RMS stand for?",
            ),
            Bug(
                "no_norm_weight",
                edit=(" * weight", ""),
                says="You do not multiply by the weight. With weights of 1 that is the same.",
                look="What does the last argument but one do in your code?",
            ),
            Bug(
                "eps_outside",
                edit=("np.sqrt(mean_square + eps)", "(np.sqrt(mean_square) + eps)"),
                says="Your eps is added to the root. It belongs under it.",
                look="Where numbers are as small as eps, the two differ.",
            ),
            Bug(
                "no_eps",
                edit=(" + eps", ""),
                says="You leave out eps.",
                effect="A vector of zeros, as a padding's, becomes NaN.",
                look="What happens to a vector of very small numbers?",
            ),
            Bug(
                "mean_subtracted",
                wrong=lambda x, weight, eps=1e-5: (
                    (x - x.mean(-1, keepdims=True))
                    / np.sqrt(x.var(-1, keepdims=True) + eps)
                    * weight
                ),
                says="You subtract the mean: that is LayerNorm.",
                look="Which of LayerNorm's two steps does RMSNorm leave out?",
            ),
            Bug(
                "float64",
                edit=("(x * x)", "(x * x).astype(np.float64)"),
                says="The numbers are right, but they are float64.",
                effect=_WIDE,
                look="Which number or array of NumPy's in your code is float64? "
                "`np.sqrt(64)` is one, `math.sqrt(64)` is none.",
                museum=False,
            ),
        ],
        hints=[
            "Three steps: the mean of the squares of each vector, the root, the division.",
            "`keepdims=True` keeps the axis that was summed over, so that the division fits.",
            "eps is added to the mean square; the weight comes last, a feature at a time.",
        ],
        minutes=5,
        page="#llama-2-on-one-page",
        teaches="The dtype is part of the result: one float64 widens all that follows.",
        same_dtype=True,
    ),
    Task(
        "numpy_llama.rotate",
        cases=_rotate_cases,
        bugs=[
            Bug(
                "half_split",
                wrong=_half_split,
                says="You pair feature j with feature j + h/2. Position 0 is right, because it is "
                "not rotated; position 1 is not.",
                look="Which two features are the real and the imaginary part?",
            ),
            Bug(
                "backwards",
                edit=("* turns", "* turns.conj()"),
                says="You turn the other way round.",
                effect="Queries and keys both turned back, scores still depend on distances alone, "
                "but a key five before looks like one five ahead.",
                look="Which sign has the sine?",
            ),
            Bug(
                "heads_for_positions",
                edit=("* turns", "* turns.swapaxes(0, 1)"),
                says="You turn head j by position j, and every token alike.",
                effect="The model no longer knows where a word stands, and its heads disagree.",
                look="Which axis of x are the positions on, and which of turns?",
            ),
            Bug(
                "not_rotated",
                edit=("x.view(np.complex64) * turns", "x.view(np.complex64)"),
                says="Nothing is turned.",
                look="What does turns do in your code?",
            ),
            Bug(
                "float64",
                edit=(
                    "(x.view(np.complex64) * turns).view(np.float32)",
                    "(x.view(np.complex64) * turns).view(np.float32).astype(np.float64)",
                ),
                says="The numbers are right, but they are float64.",
                effect=_WIDE,
                look="A Python complex number is as wide as a float64. Is there one?",
                museum=False,
            ),
        ],
        hints=[
            "A pair (a, b) is the complex number a + ib. Multiplied by a number of length 1 it is "
            "turned.",
            "`view` reads the same bytes as another type: two neighbouring float32 are one "
            "complex64.",
            "There and back: a view, a product, a view.",
        ],
        minutes=5,
        page="#llama-2-on-one-page",
        teaches="Two neighbouring features are a complex number, and RoPE is one product.",
        same_dtype=True,
    ),
    Task(
        "numpy_llama.attention_cached",
        cases=_attention_cases,
        use=_step,
        bugs=[
            Bug(
                "no_wo",
                edit=("reshape(T, -1) @ m.wo[i].T", "reshape(T, -1)"),
                says="The matrix wo is missing: the heads stand side by side, and nothing mixes "
                "them.",
                effect="What the heads have found goes into the stream where nobody reads it.",
                look="How many matrices do you use?",
            ),
            Bug(
                "first_slots",
                edit=(
                    _WRITES,
                    "keys[:, :T] = k.swapaxes(0, 1)\n    values[:, :T] = v.swapaxes(0, 1)",
                ),
                says="You write into the first slots. The new positions begin at start.",
                effect="Each new token overwrites the first of the text.",
                look="In which slot does position 3 belong?",
            ),
            Bug(
                "no_mask",
                edit=("scores[..., ~np.tri(T, stop, start, dtype=bool)] = -math.inf", "pass"),
                says="There is no mask: the tokens of a prompt see those after them. One token at "
                "a time it does not show.",
                effect="The prompt is read in a way that the model was never trained for.",
                look="Which keys may the prompt's first token see?",
                museum=False,
            ),
            Bug(
                "mask_forgets_the_cache",
                edit=("np.tri(T, stop, start, dtype=bool)", "np.tri(T, stop, 0, dtype=bool)"),
                says="Your mask begins at position 0. The first of the new tokens stands at start, "
                "and sees all before it.",
                effect="The first prompt is right. From the next token on the model sees the first "
                "words of the text alone.",
                look="Row 0 of the mask belongs to position start: how many keys may it see?",
                museum=False,
            ),
            Bug(
                "repeat_in_rounds",
                wrong=_in_rounds,
                says="Your query heads read the key heads in rounds: 0, 1, 0, 1. Neighbours share "
                "one: 0, 0, 1, 1.",
                look="Which key head does query head 1 read?",
            ),
            Bug(
                "always_from_slot_zero",
                edit=(
                    "keys[:, start:stop] = k.swapaxes(0, 1)",
                    "keys[:, :T] = k.swapaxes(0, 1)",
                ),
                says="You write the new keys into the first slots, over those of the prompt.",
                effect="It forgets its beginning, one token after the other.",
                look="Which slot does position start have?",
            ),
            Bug(
                "slots_late",
                edit=(
                    _WRITES,
                    "keys[:, start + 1 : stop + 1] = k.swapaxes(0, 1)\n"
                    "    values[:, start + 1 : stop + 1] = v.swapaxes(0, 1)",
                ),
                says="You write one slot too late. Slot = position.",
                effect="A token does not see itself, and an empty slot draws attention.",
                look="Which slot does the prompt's first token have?",
            ),
            Bug(
                "keys_not_rotated",
                edit=(
                    "k = rotate((x @ m.wk[i].T).reshape(T, K, h), turns)",
                    "k = (x @ m.wk[i].T).reshape(T, K, h)",
                ),
                says="Your keys are not rotated, only the queries.",
                effect="A score depends on where the query stands, and not on how far it is.",
                look="Which two of q, k and v does RoPE turn?",
            ),
            Bug(
                "no_scale",
                edit=(" / math.sqrt(h)", ""),
                says="You do not divide the scores.",
                look="By the root of what?",
            ),
            Bug(
                "reads_before_writing",
                edit=(
                    _WRITES,
                    "keys, values, ks, vs = keys.copy(), values.copy(), keys, values\n"
                    "    ks[:, start:stop], vs[:, start:stop] = k.swapaxes(0, 1), v.swapaxes(0, 1)",
                ),
                says="You read the cache before the new keys and values are in it, so no new token "
                "sees itself.",
                look="In which order do you write and read?",
            ),
            Bug(
                "float64",
                edit=("math.sqrt(h)", "np.full((), math.sqrt(h)).reshape(1)"),
                says="The numbers are right, but they are float64.",
                effect=_WIDE,
                look="What is `np.sqrt(h)`, and what is `math.sqrt(h)`?",
                museum=False,
            ),
        ],
        hints=[
            "Without the cache first: project, split into heads, rotate q and k. Then write into "
            "the slots from start to stop, and read all slots up to stop.",
            "A query's position is start + its row; it sees key j if j is not larger. `np.tri` "
            "takes an offset for just that.",
            "For the groups, shape q as (K, G, T, h) and the keys as (K, 1, S, h): the product "
            "then repeats nothing.",
        ],
        minutes=25,
        page="#the-same-text-each-token-once",
        teaches="Slot = position, and one rule for the mask: a key is seen from itself on.",
        same_dtype=True,
    ),
    Task(
        "numpy_llama.read_version_1",
        cases=_version_1_cases,
        use=_whole_model,
        extra=True,
        bugs=[
            Bug(
                "norms_in_their_places",
                edit=('sorted(shapes, key=lambda name: "norm" not in name)', "shapes"),
                says="You read the tensors in the order of version 0. In version 1 the norms come "
                "first.",
                effect="Nothing complains, for the sizes add up; and it writes nonsense.",
                look="What are the first numbers after the header?",
            ),
            Bug(
                "right_after_the_sizes",
                edit=("read_header(data[8:36]), 256", "read_header(data[8:36]), 37"),
                says="You refuse a file that is right, because you do not end where it ends. "
                "Either you do not begin at byte 256, or you expect tensors that are not there: "
                "version 1 has no tables of RoPE.",
                effect="Without the test at the end, all weights would be shifted.",
                look="Where does the first tensor stand in the file, and which are the tensors?",
            ),
            Bug(
                "tied_by_the_sign",
                edit=("    m.tied = bool(data[36])\n", ""),
                says="You look at the sign of the vocabulary's size. In version 1 it is always "
                "positive, and a byte of its own says whether the head is tied.",
                effect="Every model with a head of its own is refused, or read with the wrong one.",
                look="What is byte 36?",
            ),
            Bug(
                "letters_not_checked",
                edit=('data[:8].tobytes() != b"24ka" + struct.pack("<i", 1)', "data[4] != 1"),
                says="You do not look at the letters. A file of another kind may have a 1 there, "
                "too.",
                effect="A file of something else is read as sizes and weights.",
                look="How do you know that it is a file of llama2.c's?",
            ),
            Bug(
                "version_not_checked",
                edit=(
                    'data[:8].tobytes() != b"24ka" + struct.pack("<i", 1)',
                    'data[:4].tobytes() != b"24ka"',
                ),
                says="You do not look at the version. Version 2 has the same letters, and int8 "
                "after them.",
                effect="Integers and scales are read as floats.",
                look="What stands in bytes 4 to 7?",
            ),
            Bug(
                "end_not_checked",
                edit=("if at != len(data):", "if False:"),
                says="You read what you need and do not look whether anything is left. A file that "
                "is longer than its sizes say is not what you think.",
                effect="Sizes that do not belong to the file pass, and the weights are cut at the "
                "wrong places.",
                look="Where are you after the last tensor, and how long is the file?",
            ),
            Bug(
                "no_output",
                edit=("        m.output = m.tok_embeddings\n", "        pass\n"),
                says="With a tied head there is no output in your model. It is the embedding.",
                effect="The first logits fail, after all the work.",
                look="What does the rest of the module multiply the last state with?",
            ),
        ],
        hints=[
            "The seven sizes stand eight bytes further on than in version 0, so read_header can "
            "read them: of which slice?",
            "shapes_of knows the tensors. Leave out two of them, and take those with norm in their "
            "name first; `sorted` keeps the order of the rest.",
            "Go through the bytes with a place `at`, from 256 on: cut, `view` as little-endian "
            "float32, reshape. At the end `at` must be the length of the file.",
        ],
        minutes=12,
        page="#ex-numpy-version-1",
        teaches="A format is a header and an agreement on order, and a reader checks both ends.",
    ),
    Task(
        "numpy_llama.product",
        cases=_product_cases,
        same_dtype=True,
        properties=[_stays_small],
        extra=True,
        bugs=[
            Bug(
                "no_scales",
                edit=("(sums * tensor.scales).sum(-1)", "sums.sum(-1)"),
                says="You leave out the scales.",
                effect="Every group counts as if its weights were as large as its integers.",
                look="What is a weight, if its integer is 5 and its scale 0.01?",
            ),
            Bug(
                "one_scale_a_row",
                edit=(
                    "(sums * tensor.scales).sum(-1)",
                    "sums.sum(-1) * tensor.scales[:, 0]",
                ),
                says="You use the first scale of each row for all of it. Every group has its own.",
                effect="A group of small weights comes out as large as one of large ones.",
                look="How many scales does a row have?",
            ),
            Bug(
                "mean_scale",
                edit=(
                    "(sums * tensor.scales).sum(-1)",
                    "sums.sum(-1) * tensor.scales.mean(-1)",
                ),
                says="You add the groups up and scale by the mean of their scales. A mean of "
                "products is not the product of means.",
                effect="Groups of small weights come out too large, and those of large ones too "
                "small.",
                look="In which order: first the scales, or first the sum over groups?",
            ),
            Bug(
                "groups_dealt_out",
                edit=(
                    "tensor.values.reshape(F, groups, -1)",
                    "tensor.values.reshape(F, -1, groups).swapaxes(1, 2)",
                ),
                more=(
                    (
                        "x.reshape(len(x), groups, -1)",
                        "x.reshape(len(x), -1, groups).swapaxes(1, 2)",
                    ),
                ),
                says="Your groups take every n-th weight. A group's weights are neighbours.",
                effect="Each weight gets the scale of another group.",
                look="Which weights does the first scale belong to?",
            ),
            Bug(
                "inputs_scaled_to_integers",
                edit=(
                    "x = x.reshape(len(x), groups, -1)",
                    "x = np.rint(x).reshape(len(x), groups, -1)",
                ),
                says="You round x to integers. Only the matrix is in int8.",
                effect="Activations are small: most of them become 0.",
                look="What dtype do the docstring's arguments have?",
            ),
            Bug(
                "float64",
                edit=(
                    "(sums * tensor.scales).sum(-1)",
                    "(sums * tensor.scales).sum(-1, dtype=float)",
                ),
                says="The numbers are right, but they are float64.",
                effect=_WIDE,
                look="Which number or array of NumPy's in your code is float64?",
                museum=False,
            ),
        ],
        hints=[
            "Within a group the scale is a common factor. So when can it come in?",
            "Cut x into the same groups as the rows: products of two groups, summed over their "
            "members, are (T, F, groups).",
            "`np.einsum` multiplies and sums over the axis that the result does not have, and "
            "converts the integers piece by piece.",
        ],
        minutes=10,
        page="#ex-numpy-stay",
        teaches="A scale is a common factor of its group, so it can wait until the sum is there.",
    ),
]
