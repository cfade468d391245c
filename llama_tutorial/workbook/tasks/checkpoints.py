"""The tasks of the chapter on checkpoints."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llama_tutorial.workbook.solutions.checkpoints import from_huggingface
from llama_tutorial.workbook.task import Bug, Case, Task

_CODES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def _file(tensors: dict[str, Tensor], metadata: bool = False) -> bytes:
    """A safetensors file; the list has the names in alphabetical order, the data as given."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}} if metadata else {}
    data, found = b"", {}
    for name, tensor in tensors.items():
        numbers = bytes(tensor.contiguous().view(torch.uint8).flatten().tolist())
        offsets = [len(data), len(data) + len(numbers)]
        code = _CODES[tensor.dtype]
        found[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": offsets}
        data += numbers
    listed = json.dumps(entries | {name: found[name] for name in sorted(found)}).encode()
    return struct.pack("<Q", len(listed)) + listed + data


def _read(answer: Callable[[Path], Any], data: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(data)
        return answer(path)


def _table(rows: int, columns: int) -> Tensor:
    """Numbers that tell where they stand: row 3, column 2 holds 3.02."""
    return torch.arange(rows)[:, None] + torch.arange(columns) / 100


def _read_cases() -> list[Case]:
    two = {"w2": _table(3, 2), "w1": _table(2, 3) + 5, "norm": torch.tensor([0.5, 1.5, -2.0])}
    return [
        Case("a vector in float32", _file({"norm": torch.tensor([1.0, -2.5, 3.25, 0.5])})),
        Case("three tensors", _file(two)),
        Case(
            "float16 and bfloat16", _file({"a": _table(2, 4).half(), "b": _table(4, 3).bfloat16()})
        ),
        Case("a list with metadata", _file(two, metadata=True)),
    ]


def _rows_cases() -> list[Case]:
    return [
        Case("one head of four features", _table(4, 12), 1),
        Case("one head of eight", _table(8, 12), 1),
        Case("three heads of eight, in bfloat16", _table(24, 12).bfloat16(), 3),
    ]


def _columns_moved(weight: Tensor, n_heads: int) -> Tensor:
    return weight.T.unflatten(0, (n_heads, 2, -1)).transpose(1, 2).flatten(0, 2).T


def _model(n_layers: int, n_heads: int, n_kv_heads: int, tied: bool) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(n_layers)
    h, vocab = 8, 7
    D, F, kv_dim = n_heads * h, 10, n_kv_heads * h
    shapes: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (D, D),
        "self_attn.k_proj": (kv_dim, D),
        "self_attn.v_proj": (kv_dim, D),
        "self_attn.o_proj": (D, D),
        "mlp.gate_proj": (F, D),
        "mlp.up_proj": (F, D),
        "mlp.down_proj": (D, F),
        "input_layernorm": (D,),
        "post_attention_layernorm": (D,),
    }
    ends: dict[str, tuple[int, ...]] = {"model.embed_tokens": (vocab, D), "model.norm": (D,)}
    every = ends if tied else ends | {"lm_head": (vocab, D)}
    for i in range(n_layers):
        every |= {f"model.layers.{i}.{name}": shape for name, shape in shapes.items()}
    return {f"{name}.weight": torch.randn(shape, generator=draw) for name, shape in every.items()}


def _model_cases() -> list[Case]:
    return [
        Case("one layer, two heads, a head of its own", _model(1, 2, 2, tied=False), 2, 2),
        Case("four query heads, two key heads", _model(2, 4, 2, tied=False), 4, 2),
        Case("a tied head, and eleven layers", _model(11, 2, 1, tied=True), 2, 1),
    ]


def _exchanged(one: str, other: str) -> Callable[..., dict[str, Tensor]]:
    """The solution with two names exchanged."""

    def wrong(stored: dict[str, Tensor], n_heads: int, n_kv_heads: int) -> dict[str, Tensor]:
        state = from_huggingface(stored, n_heads, n_kv_heads)
        names = {one: other, other: one}
        parts = {name: name.split(".")[-2] for name in state}
        return {
            name.replace(f"{part}.weight", f"{names.get(part, part)}.weight"): state[name]
            for name, part in parts.items()
        }

    return wrong


def _no_head(stored: dict[str, Tensor], n_heads: int, n_kv_heads: int) -> dict[str, Tensor]:
    state = from_huggingface(stored, n_heads, n_kv_heads)
    return {n: t for n, t in state.items() if n != "output.weight" or "lm_head.weight" in stored}


def _merge_cases() -> list[Case]:
    def pieces(rows: int, columns: int, n: int = 2) -> list[Tensor]:
        return [_table(rows, columns) + 10 * i for i in range(n)]

    norm = torch.tensor([0.25, 0.5, 1.0, 2.0])
    return [
        Case("wq, from two shards", "layers.0.attention.wq.weight", pieces(2, 4)),
        Case("wo", "layers.0.attention.wo.weight", pieces(4, 2)),
        Case("w1, from four shards", "layers.0.feed_forward.w1.weight", pieces(2, 4, 4)),
        Case("w2", "layers.10.feed_forward.w2.weight", pieces(4, 3)),
        Case("the embedding", "tok_embeddings.weight", pieces(6, 2)),
        Case("the output head", "output.weight", pieces(3, 4)),
        Case("a norm", "layers.0.attention_norm.weight", [norm, norm.clone()]),
        Case("the last norm", "norm.weight", [norm, norm.clone()]),
    ]


def _joined(dim: Callable[[str], int]) -> Callable[[str, Sequence[Tensor]], Tensor]:
    def wrong(name: str, pieces: Sequence[Tensor]) -> Tensor:
        part = name.split(".")[-2]
        return pieces[0] if part.endswith("norm") else torch.cat(list(pieces), dim=dim(part))

    return wrong


_NONSENSE = "Nothing complains, and it writes nonsense."

TASKS = [
    Task(
        "checkpoints.read_safetensors",
        cases=_read_cases,
        use=_read,
        bugs=[
            Bug(
                "offsets_from_the_start",
                edit=("(8 + length + offset for", "(offset for"),
                says="You count the offsets from the beginning of the file, so what you read as "
                "numbers is the list.",
                effect="Its weights are letters of JSON, read as floats.",
                look="Where does byte 0 of the data stand in the file?",
            ),
            Bug(
                "list_forgotten",
                edit=("(8 + length + offset for", "(8 + offset for"),
                says="You count the offsets from the end of the eight bytes, so what you read as "
                "numbers is the list.",
                effect="Its weights are letters of JSON, read as floats.",
                look="What stands between the eight bytes and the data, and how long is it?",
            ),
            Bug(
                "eight_too_early",
                edit=("(8 + length + offset for", "(length + offset for"),
                says="You begin eight bytes too early: all numbers of float32 are two places late.",
                effect="Every weight stands beside its place, and the first two are letters.",
                look="What comes before the list?",
            ),
            Bug(
                "bfloat16_as_float16",
                edit=('"BF16": torch.bfloat16', '"BF16": torch.float16'),
                says="You read BF16 as float16. Both are two bytes, but they are cut up into "
                "exponent and fraction in another way.",
                effect="Weights of about 1 become weights of about 2, and small ones come out far "
                "too large: it writes nonsense.",
                look="How many bits of each are exponent?",
            ),
            Bug(
                "flat",
                edit=('numbers.reshape(entry["shape"])', "numbers"),
                says="All numbers are right, but your tensors are flat.",
                effect="A strict loader refuses it, for its shapes do not fit.",
                look="What does an entry of the list say besides type and place?",
            ),
            Bug(
                "columns_first",
                edit=(
                    'numbers.reshape(entry["shape"])',
                    'numbers.reshape(entry["shape"][::-1]).permute('
                    '*reversed(range(len(entry["shape"]))))',
                ),
                says="You fill a matrix column by column. In the file it lies row by row: the "
                "first numbers are the first row.",
                effect=_NONSENSE,
                look="Which axis varies fastest?",
            ),
            Bug(
                "another_number_first",
                edit=("data[begin:end]", "data[begin:end][::-1]"),
                says="You read the bytes in reverse order, as on a big-endian machine.",
                effect="Weights of any size between the smallest float and the largest: it "
                "writes nonsense, or NaN.",
                look="Which byte of a number comes first in a little-endian file?",
            ),
        ],
        hints=[
            "Read the file as bytes, and first the number in its first eight: `struct.unpack` has "
            "a letter for an unsigned integer of eight bytes, and a sign for little-endian.",
            "The data begins after the eight bytes and the list. Take an entry's bytes from there; "
            "`torch.frombuffer` makes numbers of a bytearray.",
            "Three steps for each name but `__metadata__`: cut out data[8 + length + begin : ...], "
            "read with the entry's dtype, reshape.",
        ],
        minutes=15,
        page="#read-the-program-run-none-of-it",
        teaches="A safetensors file is a list and numbers. Nothing in it can be called.",
        same_dtype=True,
    ),
    Task(
        "checkpoints.neighbours_again",
        cases=_rows_cases,
        bugs=[
            Bug(
                "permutation_forgotten",
                edit=("halves.transpose(1, 2).flatten(0, 2)", "weight"),
                says="Your rows are as they were.",
                effect="Every name and every shape is right, and so is the first token, which is "
                "not rotated. From the second on, it writes nonsense.",
                look="Where does row h/2 of a head belong?",
            ),
            Bug(
                "the_other_way",
                edit=("(n_heads, 2, -1)", "(n_heads, -1, 2)"),
                says="You go the other way, from Meta's order to Hugging Face's. With four "
                "features in a head the two are the same, with eight they are not.",
                effect="The rows end up two permutations away from their places.",
                look="Which row of theirs has to become your row 1?",
            ),
            Bug(
                "over_all_heads",
                edit=("(n_heads, 2, -1)", "(1, 2, -1)"),
                says="You cut the whole matrix into halves, not each head. With one head that is "
                "the same.",
                effect="Rows of different heads are mixed, and no head is left in one piece.",
                look="What does n_heads do in your code?",
            ),
            Bug(
                "columns_moved",
                wrong=_columns_moved,
                says="You reorder the columns. They are inputs, the features of the stream.",
                effect="The matrix reads other features than it was trained to read.",
                look="A head's features come out of the matrix: are they rows or columns of "
                "(out, in)?",
            ),
        ],
        hints=[
            "Take one head of eight rows: theirs are 0 to 7. Write down which of them stands where "
            "in Meta's order: 0, 4, 1, 5, ...",
            "View the rows as (heads, 2, h/2): which half, and which row in it. In Meta's order "
            "these two axes are exchanged.",
            "Three calls: `unflatten` axis 0 into three, `transpose` two of them, and `flatten` "
            "the three again.",
        ],
        minutes=10,
        page="#the-same-rows-in-another-order",
        teaches="A layout is a permutation of rows. It is undone once, at load.",
        same_dtype=True,
    ),
    Task(
        "checkpoints.from_huggingface",
        cases=_model_cases,
        bugs=[
            Bug(
                "permutation_forgotten",
                edit=("if part in heads:", "if False:"),
                says="The names are right, but the rows of wq and wk are still in Hugging Face's "
                "order.",
                effect="The first token is right, for it is not rotated; every later one is wrong.",
                look="Which features does their code rotate together?",
            ),
            Bug(
                "keys_as_queries",
                edit=('"self_attn.k_proj": n_kv_heads', '"self_attn.k_proj": n_heads'),
                says="You reorder wk as if it had as many heads as wq. Where it has, that is "
                "right.",
                effect="7B and 13B load well, and 70B, which has eight times fewer key heads, "
                "writes nonsense.",
                look="How many heads do the rows of wk hold?",
            ),
            Bug(
                "values_too",
                edit=(
                    '"self_attn.k_proj": n_kv_heads',
                    '"self_attn.k_proj": n_kv_heads, "self_attn.v_proj": n_kv_heads',
                ),
                says="You reorder wv as well. Values are not rotated, so nobody has moved them.",
                effect="wo reads the values' features in another order. One token shows it.",
                look="To which of q, k and v is RoPE applied?",
            ),
            Bug(
                "only_queries",
                edit=(', "self_attn.k_proj": n_kv_heads', ""),
                says="You reorder wq, but not wk.",
                effect="A score is then a product of features that do not belong together.",
                look="Which two vectors does RoPE rotate?",
            ),
            Bug(
                "the_other_way",
                edit=(
                    "neighbours_again(weight, heads[part])",
                    "weight.unflatten(0, (heads[part], -1, 2)).transpose(1, 2).flatten(0, 2)",
                ),
                says="You reorder the rows the other way, from Meta's order to Hugging Face's.",
                effect="The rows end up two permutations away from their places.",
                look="Which row of theirs has to become your row 1?",
            ),
            Bug(
                "gate_and_up",
                wrong=_exchanged("w1", "w3"),
                says="You have exchanged w1 and w3. Both have the same shape.",
                effect="Every unit is gated by the wrong one, from the first token on.",
                look="Which of the two goes through SiLU, and what is it called there?",
            ),
            Bug(
                "in_their_order",
                wrong=_exchanged("w2", "w3"),
                says="You have exchanged w2 and w3: w2 is the way down.",
                effect="A strict loader refuses it, for the shapes do not fit.",
                look="Compare the shapes: which matrix of three has D rows?",
            ),
            Bug(
                "norms_exchanged",
                wrong=_exchanged("attention_norm", "ffn_norm"),
                says="The two norms of a layer are exchanged.",
                effect="Both have D weights, so it loads, and is a little wrong in every layer.",
                look="`post_attention_layernorm` comes after attention. And before what?",
            ),
            Bug(
                "no_head",
                wrong=_no_head,
                says="Where the head is tied, you have no `output.weight`.",
                effect="A strict loader refuses it. One that is not strict leaves the head random.",
                look="Which matrix is the head, if the file does not have it?",
            ),
        ],
        hints=[
            "A table of eleven rows translates what follows the layer's number, and what stands "
            "outside the layers. Take off `model.` and `.weight` before you look there.",
            "The layer's number stays: split 'layers.3.mlp.up_proj' at its first two dots.",
            "wq and wk go through neighbours_again, each with the number of its own heads. The "
            "head comes last: `stored.get` may be given what to take instead.",
        ],
        minutes=20,
        page="#your-own-class-takes-meta-s-names",
        teaches="A checkpoint of another family is a table of names and one permutation away.",
        same_dtype=True,
    ),
    Task(
        "checkpoints.merged",
        cases=_merge_cases,
        bugs=[
            Bug(
                "all_by_rows",
                wrong=_joined(lambda _: 0),
                says="You join every matrix by rows. Those that come second in a pair are cut by "
                "columns.",
                effect="The shape is wrong, and a strict loader says so. After a `reshape` nobody "
                "does, and it writes nonsense.",
                look="What does a GPU need of wo, if it has computed some of the heads?",
            ),
            Bug(
                "all_by_columns",
                wrong=_joined(lambda _: 1),
                says="You join every matrix by columns.",
                effect="The shape is wrong, and a strict loader says so.",
                look="A GPU computes some of the heads: is that some rows of wq, or some columns?",
            ),
            Bug(
                "other_way_round",
                edit=("dim=1 if by_columns else 0", "dim=0 if by_columns else 1"),
                says="Rows and columns are exchanged: you join by rows what was cut by columns, "
                "and the other way round.",
                effect="The shapes are wrong, and a strict loader says so.",
                look="In torch, a weight is (out, in). Which axis are its rows?",
            ),
            Bug(
                "embedding_by_rows",
                edit=('("tok_embeddings", "wo", "w2")', '("wo", "w2")'),
                says="You join the embedding by rows, as the output head is. Llama 2's is cut by "
                "columns: every shard has a part of each token's vector.",
                effect="The embedding hurts most of all: every token gets the vector of others.",
                look="How many rows does a shard's embedding have, beside V?",
            ),
            Bug(
                "w2_forgotten",
                edit=('("tok_embeddings", "wo", "w2")', '("tok_embeddings", "wo")'),
                says="You join w2 by rows.",
                effect="The shape is wrong. After a `reshape` it is right, and each unit "
                "writes what others should.",
                look="Which matrix of the feed-forward layer comes second?",
            ),
            Bug(
                "wo_forgotten",
                edit=('("tok_embeddings", "wo", "w2")', '("tok_embeddings", "w2")'),
                says="You join wo by rows.",
                effect="The shape is wrong. After a `reshape` it is right, and heads write "
                "what others should.",
                look="Which matrix of attention comes second?",
            ),
            Bug(
                "norms_joined",
                edit=('part.endswith("norm")', "False"),
                says="You join the norms as well. Every shard has all of a norm.",
                effect="A norm gets twice as many weights as there are features.",
                look="How long is a norm's weight in each shard?",
            ),
        ],
        hints=[
            "The last but one part of a name says which tensor it is: `name.split('.')[-2]`.",
            "There are three kinds: not cut, cut by rows (axis 0), cut by columns (axis 1). The "
            "shortest list is that of the columns.",
            "Norms first: give back one piece. For all others it is `torch.cat` along an axis.",
        ],
        minutes=10,
        page="#a-matrix-cut-through-for-two-machines",
        teaches="A pair of matrices is cut by rows, then by columns: one exchange for both.",
        same_dtype=True,
    ),
]
