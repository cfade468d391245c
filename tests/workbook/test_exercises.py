"""The further tasks, from the chapters' exercises: other right answers, and what they are not."""

from __future__ import annotations

import copy
import re
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import numpy as np  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from llama_tutorial import check, cli  # noqa: E402
from llama_tutorial.workbook import folder as workbook  # noqa: E402
from llama_tutorial.workbook.parts import _names_used  # noqa: E402
from llama_tutorial.workbook.registry import (  # noqa: E402
    chapters,
    every_task,
    further_of,
    solution,
    tasks_of,
    way_of,
)
from llama_tutorial.workbook.solutions.numpy_llama import read_version_1  # noqa: E402
from llama_tutorial.workbook.solutions.swiglu import swiglu  # noqa: E402

ALTERNATIVES: dict[str, list[Any]] = {}


def passes(task: str) -> Callable[[Any], Any]:
    """Says that what follows is a right answer to a task."""

    def note(answer: Any) -> Any:
        ALTERNATIVES.setdefault(task, []).append(answer)
        return answer

    return note


@passes("gpt.losses_without")
def silence_and_give_back(model, loss):
    found = {}
    for number, block in enumerate(model.layers):
        writers = {"feed_forward": block.feed_forward.w2, "attention": block.attention.wo}
        for part, writer in writers.items():
            kept = copy.deepcopy(writer.state_dict())
            with torch.no_grad():
                writer.weight.zero_()
                writer.bias.zero_()
            found[number, part] = loss(model)
            writer.load_state_dict(kept)
    return found


@passes("gpt.losses_without")
def with_a_hook(model, loss):
    found = {}
    for number, block in enumerate(model.layers):
        for name, part in (("attention", block.attention), ("feed_forward", block.feed_forward)):
            hook = part.register_forward_hook(lambda *parts: 0 * parts[-1])
            found[number, name] = loss(model)
            hook.remove()
    return found


@passes("tokenizer.utf8")
def with_divmod(code_point):
    if code_point <= 0x7F:
        return code_point.to_bytes()
    tail, lead = [], 0x80
    limit = 0x40
    while code_point >= limit:
        code_point, low = divmod(code_point, 64)
        tail.insert(0, 128 + low)
        lead = lead >> 1 | 0x80
        limit = limit >> 1
    return bytes([lead | code_point, *tail])


@passes("tokenizer.utf8")
def case_by_case(c):
    if c < 0x80:
        return bytes((c,))
    if c < 0x800:
        return bytes((0xC0 + (c >> 6), 0x80 + (c & 63)))
    if c < 0x10000:
        return bytes((0xE0 + (c >> 12), 0x80 + (c >> 6 & 63), 0x80 + (c & 63)))
    return bytes((0xF0 + (c >> 18), 0x80 + (c >> 12 & 63), 0x80 + (c >> 6 & 63), 0x80 + (c & 63)))


@passes("tokenizer.dead_pieces")
def with_loops(ids, lines, encode):
    dead = dict(ids)
    for line in lines:
        for token in encode(line):
            for piece in [piece for piece in dead if dead[piece] == token]:
                del dead[piece]
    found = {}
    for piece in dead:
        found[piece] = []
        for other in ids:
            if len(other) > len(piece) and other.find(piece) >= 0:
                found[piece].append(other)
    return found


@passes("tokenizer.told_apart")
def taken_apart(first, second, encode):
    forms = {unicodedata.normalize("NFD", text) for text in (first, second)}
    return len(forms) == 1 and tuple(encode(first)) != tuple(encode(second))


@passes("tokenizer.tokenizer_bin")
def with_a_bytearray(pieces, scores):
    content, longest = bytearray(), 0
    for piece, score in zip(pieces, scores, strict=True):
        raw = bytes(" ".join(piece.split("▁")), "utf-8")
        longest = max(longest, len(raw))
        content += np.float32(score).astype("<f4").tobytes() + len(raw).to_bytes(4, "little") + raw
    return struct.pack("<I", longest) + bytes(content)


@passes("rmsnorm.rms_norm_backward")
def by_autograd(x, weight, grad, eps=1e-5):
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    return torch.autograd.grad(F.rms_norm(x, x.shape[-1:], weight, eps), (x, weight), grad)


@passes("rmsnorm.rms_norm_backward")
def with_the_cube(x, weight, grad, eps=1e-5):
    D = x.shape[-1]
    wide, u = x.double(), (grad * weight).double()
    r = torch.sqrt(torch.sum(wide**2, -1, keepdim=True) / D + eps)
    along = torch.einsum("...d,...d->...", u, wide)[..., None]
    return (u / r - wide * along / (D * r**3)), torch.einsum(
        "...d,...d->d", grad.double(), wide / r
    )


@passes("rmsnorm.folded")
@torch.no_grad()
def by_names(model):
    new = copy.deepcopy(model)
    tensors = dict(new.named_parameters())
    for name, norm in tensors.items():
        if "norm" not in name:
            continue
        head = name.rpartition(".")[0].rpartition(".")[0]
        readers = {"attention_norm": ("attention.wq", "attention.wk", "attention.wv")}
        readers["ffn_norm"] = ("feed_forward.w1", "feed_forward.w3")
        kind = name.split(".")[-2]
        ends = [f"{head}.{end}" for end in readers.get(kind, ())] or ["output"]
        for end in ends:
            tensors[f"{end}.weight"].copy_(tensors[f"{end}.weight"] @ torch.diag(norm))
        norm.copy_(torch.ones_like(norm))
    return new


@passes("rmsnorm.variances")
def with_sums(x):
    D = len(x)
    one = (x * x).sum() / D - (x.sum() / D) ** 2
    return float(one), float(torch.var(x, correction=0))


@passes("rmsnorm.partial_rms_norm")
def by_the_length(x, weight, share, eps=1e-5):
    n = int(x.shape[-1] * share)
    size = (x[..., :n].double().norm(dim=-1, keepdim=True) ** 2 / n + eps) ** 0.5
    return weight * (x / size)


@passes("swiglu.swiglu_backward")
def by_autograd_too(x, grad, w1, w2, w3):
    leaves = [tensor.clone().requires_grad_() for tensor in (x, w1, w2, w3)]
    return torch.autograd.grad(swiglu(*leaves), leaves, grad)


@passes("swiglu.swiglu_backward")
def position_by_position(x, grad, w1, w2, w3):
    sums = [torch.zeros_like(tensor) for tensor in (x, w1, w2, w3)]
    for n, (vector, push) in enumerate(zip(x, grad, strict=True)):
        a, b = w1 @ vector, w3 @ vector
        s = 1 / (1 + (-a).exp())
        hidden = w2.T @ push
        at_a = hidden * b * s * (1 + a * (1 - s))
        at_b = hidden * a * s
        sums[0][n] = w1.T @ at_a + w3.T @ at_b
        sums[1] += torch.outer(at_a, vector)
        sums[2] += torch.outer(push, a * s * b)
        sums[3] += torch.outer(at_b, vector)
    return sums


@passes("swiglu.as_swiglu")
def with_a_constant_of_two(w1, bias, w2):
    gate = F.pad(w1, (0, 1))
    gate[:, -1] = bias
    up = torch.cat((0 * w1, torch.full((len(w1), 1), 2.0)), dim=1)
    return [gate, w2 / 2, up]


@passes("swiglu.gate_is_first")
def one_half_after_the_other(both, w2, x, y):
    def fits(gate, up):
        hidden = F.silu(F.linear(x, gate)) * F.linear(x, up)
        return torch.allclose(hidden @ w2.T, y, rtol=0, atol=float(y.abs().max()) / 1000)

    n = both.shape[0] // 2
    found = [fits(both[:n], both[n:]), fits(both[n:], both[:n])]
    if found.count(True) != 1:
        raise ValueError(found)
    return found[0]


@passes("gqa.take_back")
def all_are_asked(caches, n):
    if any(cache.length - n < 0 for cache in caches):
        raise ValueError(n)
    for cache in caches:
        cache.length = cache.length - n


@passes("gqa.to_eight_bits")
def with_the_rounded_scale(x):
    scale = (x.abs().max(dim=-1, keepdim=True).values / 127).half()
    divisor = torch.where(scale == 0, torch.ones_like(scale), scale).float()
    return torch.clamp(torch.round(x.double() / divisor), -127, 127).char(), scale


@pytest.mark.parametrize(
    ("task", "answer"),
    [(task, answer) for task, answers in ALTERNATIVES.items() for answer in answers],
    ids=lambda x: x if isinstance(x, str) else x.__name__,
)
def test_another_right_answer_passes(task: str, answer: Any) -> None:
    result = check(task, answer)
    assert result.ok, result.message


# Mistakes in formulas that are not the solution's.


def only_the_weights_are_silenced(model, loss):
    found = {}
    for number in range(len(model.layers)):
        for part in ("attention", "feed_forward"):
            other = copy.deepcopy(model)
            block = other.layers[number]
            layer = block.attention.wo if part == "attention" else block.feed_forward.w2
            layer.weight.data *= 0
            found[number, part] = loss(other)
    return found


def by_utf_16(code_point):
    return chr(code_point).encode("utf-16-be")


def gradient_without_the_root(x, weight, grad, eps=1e-5):
    y = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps)
    return grad * weight * y / x, (grad * y).flatten(0, -2).sum(0)


def rounded_down(x):
    scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-6) / 127
    return torch.trunc(x / scale).to(torch.int8), scale.to(torch.float16)


def one_scale_for_a_position(x):
    scale = x.abs().max() / 127
    return (x / scale).round().to(torch.int8), scale.half().expand(*x.shape[:-1], 1)


def slope_of_sigmoid(x, grad, w1, w2, w3):
    a, b = x @ w1.T, x @ w3.T
    s = torch.sigmoid(a)
    h = grad @ w2
    at_a, at_b = b * h * (s - s**2), h * s * a
    return at_a @ w1 + at_b @ w3, at_a.mT @ x, grad.mT @ (a * s * b), at_b.mT @ x


def half_up(x, weight, share, eps=1e-5):
    n = int(share * x.shape[-1] + 0.5)
    return x / (x[..., :n].square().mean(-1, keepdim=True) + eps).sqrt() * weight


def in_32_bits(x):
    scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-6) / 127
    return torch.round(x / scale).int(), scale.half()


def the_equal_half_is_the_gate(both, w2, x, y):
    upper, lower = both.chunk(2)
    fits = torch.equal(swiglu(x, upper, w2, lower), y)
    if fits == torch.equal(swiglu(x, lower, w2, upper), y):
        raise ValueError("both or none")
    return fits


def found_by_in(training, exam, n):
    found = 0
    for words in map(str.split, exam):
        runs = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
        found += any(run in " ".join(text.split()) for run in runs for text in training)
    return found


def smallest_id_first(texts):
    follows: dict[tuple[int, int], list[int]] = {}
    for text in texts:
        for i in range(len(text) - 2):
            follows.setdefault((text[i], text[i + 1]), []).append(text[i + 2])

    def draft(ids, n):
        text = list(ids)
        for _ in range(n):
            after = follows.get((text[-2], text[-1]), [1])
            text.append(min(after, key=lambda one: (-after.count(one), one)))
        return text[len(ids) :]

    return draft


def greedy_in_disguise(model, ids, width, n):
    text, total = list(ids), 0.0
    for _ in range(n):
        best, new = model(torch.tensor([text]))[0, -1].log_softmax(-1).topk(width)
        text, total = [*text, int(new[0])], total + best[0].item()
    return text[len(ids) :], total


def doubt_by_logaddexp(margin, epsilon):
    shares = torch.tensor([1 - epsilon, epsilon]).log()
    right, wrong = F.logsigmoid(margin), F.logsigmoid(-margin)
    return -torch.logaddexp(shares[0] + right, shares[1] + wrong)


def robust_dpo(margin, epsilon):
    right, wrong = F.softplus(-margin), F.softplus(margin)
    return (right - epsilon * (right + wrong)) / (1 - 2 * epsilon)


def in_pairs_of_neighbours(block):
    scale = np.frombuffer(block[:2], np.float16).astype(np.float32)
    nibbles = [half - 8 for byte in block[2:] for half in (byte & 0xF, byte >> 4)]
    return np.array(nibbles, np.int8) * scale


def scale_from_big_endian_bytes(block):
    (scale,) = struct.unpack(">e", block[:2])
    data = np.frombuffer(block[2:], np.uint8).astype(np.float32)
    return np.concatenate((data % 16 - 8, data // 16 - 8)) * np.float32(scale)


def mean_of_the_parts_that_learn(weight, parts):
    total = torch.zeros_like(weight)
    for loss, n in parts:
        if n > 0:
            total += torch.autograd.grad(loss / n, weight)[0]
    return total / len(parts)


@pytest.mark.parametrize(
    ("task", "answer", "bug"),
    [
        ("rmsnorm.partial_rms_norm", half_up, "rounded_up"),
        ("gqa.to_eight_bits", in_32_bits, "integers_wide"),
        ("swiglu.gate_is_first", the_equal_half_is_the_gate, "every_other_row"),
        ("evaluation.n_found", found_by_in, "in_the_string"),
        ("generation.draft_from", smallest_id_first, "smallest_of_equals"),
        ("generation.beam_search", greedy_in_disguise, "all_the_same"),
        ("finetuning.gradient_in_parts", mean_of_the_parts_that_learn, "mean_of_means_without_nan"),
        ("preferences.doubting_loss", doubt_by_logaddexp, "inside_the_logarithm"),
        ("preferences.doubting_loss", robust_dpo, "noise_taken_out"),
        ("quantization.read_q4_0", in_pairs_of_neighbours, "nibble_order"),
        ("quantization.read_q4_0", scale_from_big_endian_bytes, "scale_big_endian"),
        ("gpt.losses_without", only_the_weights_are_silenced, "bias_left"),
        ("tokenizer.utf8", by_utf_16, None),
        ("rmsnorm.rms_norm_backward", gradient_without_the_root, "root_held_fixed"),
        ("gqa.to_eight_bits", rounded_down, "cut_off"),
        ("gqa.to_eight_bits", one_scale_for_a_position, "one_scale"),
        ("swiglu.swiglu_backward", slope_of_sigmoid, "slope_of_logistic"),
    ],
)
def test_a_mistake_is_known_in_another_formula(task, answer, bug):
    result = check(task, answer)
    assert result.state == "wrong"
    assert result.bug == bug, result.message


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        (
            "swiglu.gate_is_first",
            lambda *_: torch.tensor(True),
            "where True or False is wanted; bool() makes one of it",
        ),
        (
            "swiglu.gate_is_first",
            lambda *_: None,
            "where True or False is wanted: is a `return` missing?",
        ),
        ("rmsnorm.folded", lambda *_: None, "You return nothing."),
        ("rmsnorm.folded", lambda *_: {}, "is 'dict', and 'Llama' is right"),
        (
            "swiglu.as_swiglu",
            lambda w1, _, w2: (w1, w2, w1),
            "the result['shape of w1'] is '(1, 4)', and '(1, 5)' is right",
        ),
        ("swiglu.as_swiglu", lambda *_: torch.ones(2), "where a number is wanted"),
        ("generation.draft_from", lambda _: None, "is a `return` missing?"),
        ("generation.beam_search", lambda *_: [1, 2, 3], "['number of results'] is 3, and 2 is"),
        (
            "numpy_llama.read_version_1",
            lambda path: vars(read_version_1(path)),
            "is 'dict', and 'an object with attributes' is right",
        ),
    ],
)
def test_a_message_speaks_of_what_the_task_asks_for(task, answer, said):
    result = check(task, answer)
    assert result.state == "wrong"
    assert said in result.message


# What further tasks are


def test_further_tasks_stand_behind_the_way():
    for chapter in chapters():
        assert tasks_of(chapter) == way_of(chapter) + further_of(chapter)
        text = workbook.source_of(chapter)
        names = re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE)
        last = max(names.index(task.function) for task in way_of(chapter))
        assert all(names.index(task.function) > last for task in further_of(chapter))
    assert any(task.extra for task in every_task())


def test_nothing_on_the_way_calls_a_further_task():
    further = {task.name: solution(task) for task in every_task() if task.extra}
    for task in every_task():
        if not task.extra:
            answer = solution(task)
            names = vars(__import__(answer.__module__, fromlist=["x"]))
            used = {id(names.get(name)) for name in _names_used(answer, set())}
            assert not [name for name, one in further.items() if id(one) in used]


@pytest.fixture(scope="module")
def on_the_way(tmp_path_factory) -> Path:
    """A folder in which the way is done, and no further task has been begun."""
    path = tmp_path_factory.mktemp("way") / "mine"
    workbook.write_workbook(path, solutions=True)
    for chapter in ("gqa", "rmsnorm"):
        names = [task.function for task in further_of(chapter)]
        stubs = workbook.with_stubs(chapter)
        whole = workbook.source_of(chapter)
        begin = whole.index(f"\ndef {names[0]}(")
        text = whole[:begin] + stubs[stubs.index(f"\ndef {names[0]}(") :]
        (path / "my_llama" / f"{chapter}.py").write_text(text, encoding="utf-8")
    return path


def test_a_folder_is_done_without_them(on_the_way, capsys):
    assert cli.main(["check", str(on_the_way), "gqa"]) == 0
    out = capsys.readouterr().out
    assert "\ngqa.take_back      not begun    3 minutes, further\n" in out
    n = len(further_of("gqa"))
    assert out.endswith(f"5 of 5 done\nFurther: 0 of {n} done\n")


def test_one_that_is_asked_for_by_name_counts(on_the_way, capsys):
    assert cli.main(["check", str(on_the_way), "gqa.take_back"]) == 1
    assert capsys.readouterr().out == (
        "gqa.take_back  not begun    3 minutes\n0 of 1 done, about 3 minutes to go\n"
    )
    assert cli.main(["check", str(on_the_way), "gqa.take_back", "gqa"]) == 1
    assert "\nFurther: 0 of 1 done\n" in capsys.readouterr().out


def test_they_are_listed_last_and_apart(on_the_way):
    text = (on_the_way / "gqa.ipynb").read_text(encoding="utf-8")
    assert text.index("gqa.Attention") < text.index("# Further") < text.index("gqa.take_back")
    assert "2 tasks from the chapter's exercises, about 11 minutes." in text
    assert "/gqa.html#ex-gqa-take-back), whose solution is folded there." in text
    rows = (on_the_way / "README.md").read_text(encoding="utf-8").splitlines()
    [row] = [row for row in rows if "(gqa.ipynb)" in row]
    assert row.endswith("`Attention` | 36 | `take_back`, `to_eight_bits` |")
