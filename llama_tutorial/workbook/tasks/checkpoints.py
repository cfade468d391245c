"""The tasks of the chapter on checkpoints."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

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


# The exercises


def _gpt2_cases() -> list[Case]:
    def stored(name: str, third: int | None = None, transposed: bool = False) -> SimpleNamespace:
        return SimpleNamespace(name=name, third=third, transposed=transposed)

    def layer(n: int) -> tuple[dict[str, Tensor], dict[str, SimpleNamespace]]:
        tensors = {
            "attn.c_attn.weight": _table(6, 18) + 100 * n,
            "attn.c_attn.bias": torch.arange(18.0),
            "attn.c_proj.weight": _table(6, 6) + 30,
            "attn.c_proj.bias": torch.arange(6.0) + 40,
            "mlp.c_fc.weight": _table(6, 24) + 50,
            "ln_1.weight": torch.ones(6),
        }
        ours = {"attention.wo": "attn.c_proj", "feed_forward.w1": "mlp.c_fc"}
        parts = ("wq", "wk", "wv")
        table = {
            **{f"attention.{w}.weight": ("attn.c_attn.weight", i) for i, w in enumerate(parts)},
            **{f"attention.{w}.bias": ("attn.c_attn.bias", i) for i, w in enumerate(parts)},
            **{f"{our}.weight": (f"{their}.weight", None) for our, their in ours.items()},
            "attention.wo.bias": ("attn.c_proj.bias", None),
            "attention_norm.weight": ("ln_1.weight", None),
        }
        return {f"transformer.h.{n}.{name}": tensor for name, tensor in tensors.items()}, {
            f"layers.{n}.{our}": stored(
                f"h.{n}.{their}", third, third is not None or tensors[their].ndim == 2
            )
            for our, (their, third) in table.items()
        }

    (first, table), (second, more) = layer(0), layer(10)
    some = {name: there for name, there in table.items() if there.third is None}
    bias = {name: there for name, there in table.items() if name.endswith("bias")}
    end = {"transformer.wte.weight": _table(5, 6)}
    return [
        Case("biases", first, bias),
        Case("what is not cut", first, some),
        Case("one layer", first, table),
        Case(
            "two layers and the embedding, in bfloat16",
            {name: tensor.bfloat16() for name, tensor in (first | second | end).items()},
            {**table, **more, "tok_embeddings.weight": stored("wte.weight")},
        ),
    ]


def _transposed_first(stored: dict[str, Tensor], table: dict[str, Any]) -> dict[str, Tensor]:
    state = {}
    for name, there in table.items():
        weight = stored[f"transformer.{there.name}"]
        weight = weight.T if there.transposed and weight.ndim == 2 else weight
        state[name] = weight if there.third is None else weight.chunk(3, -1)[there.third]
    return state


class _Tower(nn.Module):
    """So many layers of that width, whose factor is in no tensor."""

    def __init__(self, config: tuple[int, int, float]) -> None:
        super().__init__()
        width, n_layers, self.factor = config
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(n_layers))
        for parameter in self.parameters():
            parameter.data.fill_(0.5)

    def loss(self) -> float:
        """A number that all weights and the factor go into."""
        return self.factor * sum(
            (n + 1) * layer.weight.sum().item()
            for n, layer in enumerate(self.layers)
            if isinstance(layer, nn.Linear)
        )


def _tried(answer: Callable[..., Any], configs: dict[str, tuple[int, int, float]]) -> Any:
    weights = _Tower((2, 2, 1.0)).state_dict()
    tensors = {name: _table(2, 2) + n for n, name in enumerate(weights)}
    return answer(_Tower, configs, tensors, lambda model: model.loss())


def _config_cases() -> list[Case]:
    right = {"as it was": (2, 2, 1.0)}
    return [
        Case("the right config", right),
        Case("another factor, which no tensor tells", {**right, "factor 3": (2, 2, 3.0)}),
        Case(
            "five configs",
            {
                "wider": (3, 2, 1.0),
                **right,
                "a layer more": (2, 3, 1.0),
                "factor 5": (2, 2, 5.0),
                "a layer less": (2, 1, 1.0),
            },
        ),
    ]


def _layouts(answer: Callable[..., Any], n_layers: int, n_heads: int, n_kv_heads: int) -> Any:
    """The losses by a sum in which every number has a place of its own."""
    draw = torch.Generator().manual_seed(n_layers)
    h, D = 8, 8 * n_heads
    rows = {"wq": D, "wk": n_kv_heads * h, "wv": n_kv_heads * h, "wo": D}
    tensors = {
        f"layers.{n}.attention.{name}.weight": torch.randn(size, D, generator=draw)
        for n in range(n_layers)
        for name, size in rows.items()
    }
    tensors["norm.weight"] = torch.randn(D, generator=draw)
    before = {name: tensor.clone() for name, tensor in tensors.items()}

    def loss(given: dict[str, Tensor]) -> float:
        place = torch.Generator().manual_seed(1)
        return sum(
            float((given[name] * torch.rand(given[name].shape, generator=place)).sum())
            for name in sorted(before)
        )

    found = answer(tensors, n_heads, n_kv_heads, loss)
    same = all(torch.equal(tensors[name], before[name]) for name in before)
    return {"losses": found, "the tensors are as they were": same}


def _layout_cases() -> list[Case]:
    return [
        Case("one layer, as many key heads as query heads", 1, 2, 2),
        Case("three layers, four query heads, two key heads", 3, 4, 2),
    ]


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
    Task(
        "checkpoints.from_gpt2",
        cases=_gpt2_cases,
        extra=True,
        bugs=[
            Bug(
                "not_transposed",
                edit=("weight.T if there.transposed and weight.ndim == 2 else weight", "weight"),
                says="Your matrices are as they are stored: (in, out). Torch's Linear has them as "
                "(out, in).",
                effect="Three of GPT-2's four kinds do not fit. The fourth, which closes "
                "attention, is square: it loads, and the text is nonsense.",
                look="What does transposed say of a tensor?",
            ),
            Bug(
                "transposed_first",
                wrong=_transposed_first,
                says="Your thirds are of the inputs: you cut along the first axis of what is "
                "stored, or you transpose before you cut.",
                effect="The shapes do not fit, unless somebody reshapes.",
                look="Along which axis do queries, keys and values lie in the file?",
            ),
            Bug(
                "every_third",
                edit=(
                    "weight.chunk(3, dim=-1)[there.third]",
                    "weight[..., there.third :: 3]",
                ),
                says="You take every third column. Queries, keys and values lie one block after "
                "the other.",
                effect="Every shape is right. A head mixes features of all three, and the text is "
                "nonsense.",
                look="Where does the first value stand, if there are D queries and D keys?",
            ),
            Bug(
                "queries_whole",
                edit=("if there.third is not None:", "if there.third:"),
                says="You take the third 0 for none at all: 0 counts as False, and the queries "
                "get all three.",
                effect="wq has three times as many rows as it should, and does not load.",
                look="How do 0 and None differ, to `if`?",
            ),
            Bug(
                "all_transposed",
                edit=("if there.transposed and weight.ndim == 2", "if weight.ndim == 2"),
                says="You transpose every matrix. The table says which ones: the embedding, for "
                "instance, is as it should be.",
                effect="The embedding has a row for each feature, and does not load.",
                look="What does transposed say of an embedding?",
            ),
            Bug(
                "values_first",
                edit=("[there.third]", "[2 - there.third]"),
                says="Your thirds are in the wrong order: queries and values are exchanged.",
                effect="Every shape is right, and attention looks for what it should fetch.",
                look="Which third is 0?",
            ),
            Bug(
                "biases_whole",
                edit=(
                    "if there.third is not None:",
                    "if there.third is not None and weight.ndim == 2:",
                ),
                says="You cut the matrices and not the biases. A bias of c_attn has three parts "
                "as well.",
                effect="A strict loader refuses a bias that is three times too long.",
                look="How long is a bias of c_attn?",
            ),
        ],
        hints=[
            "For each of our names: fetch theirs, cut a third out of it if need be, turn it round "
            "if need be.",
            "`chunk(3, dim=...)` cuts a tensor into three. Along which axis, in the file?",
            "Cut first and transpose then: what lies side by side in the file is columns.",
        ],
        minutes=8,
        page="#ex-checkpoints-gpt2",
        teaches="Three matrices in one are cut in the file's layout, and turned round after that.",
        same_dtype=True,
    ),
    Task(
        "checkpoints.loss_by_config",
        cases=_config_cases,
        use=_tried,
        extra=True,
        bugs=[
            Bug(
                "not_strict",
                edit=("strict=True", "strict=False"),
                says="You do not load strictly. A model with a layer too many or too few then "
                "loads.",
                effect="A layer that no tensor was found for keeps its random numbers.",
                look="What does strict mean in load_state_dict?",
            ),
            Bug(
                "refused_and_measured",
                edit=("found[label] = None", "found[label] = loss(model)"),
                says="Where loading is refused you measure all the same. That model still has the "
                "numbers it was made with.",
                effect="A number stands in the table that says nothing about these weights.",
                look="What should stand for a config that does not load?",
            ),
            Bug(
                "refused_left_out",
                edit=("found[label] = None", "continue"),
                says="Configs that are refused are not in your result. They should be there, with "
                "None.",
                effect="Nobody sees that they have been tried.",
                look="How many entries should the result have?",
            ),
            Bug(
                "one_model_for_all",
                edit=(
                    "for label, config in configs.items():\n        model = make(config)",
                    "model = make(next(iter(configs.values())))\n    for label in configs:",
                ),
                says="You make one model, from the first config, and measure it under every label.",
                effect="All configs seem to be equally good.",
                look="Which config does your model have in the second round?",
            ),
            Bug(
                "no_weights",
                edit=(
                    "model.load_state_dict(tensors, strict=True)",
                    "make(config).load_state_dict(tensors, strict=True)",
                ),
                says="You load the weights into one model and measure another, which is new.",
                effect="Every loss is that of guessing.",
                look="Which model do you give to loss?",
            ),
        ],
        hints=[
            "For each config a new model, then the weights, then the loss.",
            "`load_state_dict` with strict=True raises a RuntimeError for a name or a shape that "
            "does not fit.",
            "`try`, `except RuntimeError`, `else`: what stands in the last runs only if nothing "
            "was raised.",
        ],
        minutes=6,
        page="#ex-checkpoints-params",
        teaches="Shapes say nothing about heads, angles or eps: load strictly, then measure.",
    ),
    Task(
        "checkpoints.loss_by_layout",
        cases=_layout_cases,
        use=_layouts,
        extra=True,
        bugs=[
            Bug(
                "keys_as_queries",
                edit=("neighbours_again(weight, n_kv_heads)", "neighbours_again(weight, n_heads)"),
                says="You move the rows of wk as if it had as many heads as wq.",
                effect="For 7B it is right. For 70B both losses are bad, and you can choose.",
                look="How many heads do the rows of wk hold?",
            ),
            Bug(
                "only_queries",
                edit=('name.endswith("wk.weight")', "False"),
                says="You move the rows of wq, but not those of wk.",
                effect="A score is then a product of features that do not belong together: both "
                "losses are bad.",
                look="Which two vectors does RoPE rotate?",
            ),
            Bug(
                "rows_moved_in_place",
                edit=("moved = dict(tensors)", "moved, tensors = tensors, dict(tensors)"),
                says="You change the dict that you were given: whoever goes on with it has rows in "
                "another order.",
                effect="If they were right, they no longer are, and nothing says so.",
                look="What does `moved = tensors` make?",
            ),
            Bug(
                "moved_before_measured",
                edit=("moved = dict(tensors)", "moved = tensors"),
                says="You change the dict that you were given, before its loss is taken: both "
                "losses are of the moved rows.",
                effect="The two never differ, and no layout is the better one.",
                look="What does `moved = tensors` make?",
            ),
            Bug(
                "values_too",
                edit=('name.endswith("wk.weight")', 'name.endswith(("wk.weight", "wv.weight"))'),
                says="You move the rows of wv as well. Values are not rotated.",
                effect="wo reads the values' features in another order: the right layout has a bad "
                "loss, too.",
                look="To which of q, k and v is RoPE applied?",
            ),
            Bug(
                "labels_exchanged",
                edit=(
                    '"interleaved": loss(tensors), "half-split": loss(moved)',
                    '"interleaved": loss(moved), "half-split": loss(tensors)',
                ),
                says="Your labels are exchanged. A low loss of the tensors as they are says that "
                "their rows were interleaved.",
                effect="Every answer is the wrong one.",
                look="What did you do to the tensors whose loss you call half-split?",
            ),
            Bug(
                "the_other_way",
                edit=(
                    "neighbours_again(weight, n_heads)",
                    "weight.unflatten(0, (n_heads, -1, 2)).transpose(1, 2).flatten(0, 2)",
                ),
                more=(
                    (
                        "neighbours_again(weight, n_kv_heads)",
                        "weight.unflatten(0, (n_kv_heads, -1, 2)).transpose(1, 2).flatten(0, 2)",
                    ),
                ),
                says="You move the rows from Meta's order to Hugging Face's. The trial is the "
                "other way: what if they are in Hugging Face's, and have to be moved?",
                effect="Rows in Hugging Face's order end up two permutations away: both losses are "
                "bad.",
                look="In which order must the rows be when loss gets them?",
            ),
            Bug(
                "first_layer_alone",
                edit=('name.endswith("wq.weight")', 'name == "layers.0.attention.wq.weight"'),
                more=(('name.endswith("wk.weight")', 'name == "layers.0.attention.wk.weight"'),),
                says="You move the rows in the first layer only.",
                effect="The other layers are still wrong, so both losses are bad.",
                look="Which names end in wq.weight?",
            ),
        ],
        hints=[
            "Two losses: of the tensors as they are, and of a copy in which some rows have moved.",
            "Which tensors move, and by how many heads each? `neighbours_again`, which you wrote, "
            "does it for one.",
            "A new dict, in which wq and wk of every layer are replaced, by n_heads and by "
            "n_kv_heads. The one that was given stays.",
        ],
        minutes=6,
        page="#ex-checkpoints-layout",
        teaches="A layout is written in no file, but the loss on a sentence tells it.",
    ),
]
