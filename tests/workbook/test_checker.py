"""What the checker says: of everything that can be wrong with an answer but a known mistake."""

# ruff: noqa: ARG005

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time

import pytest

torch = pytest.importorskip("torch")
import numpy as np  # noqa: E402

import llama_tutorial  # noqa: E402
from llama_tutorial import check  # noqa: E402
from llama_tutorial.workbook.registry import BOOK  # noqa: E402
from llama_tutorial.workbook.solutions import (  # noqa: E402
    gqa,
    model,
    pretraining,
    rmsnorm,
    rope,
    tokenizer,
)

right = rope.rotate


def told(answer, task="rope.rotate", **more):
    result = check(task, answer, **more)
    assert not result.ok
    assert not result
    assert result.state == "wrong", result
    return result.message


def test_an_exception_is_told_with_its_line():
    def answer(x, cos, sin):
        width = x.shape[-1]
        return x @ cos[:width]

    message = told(answer)
    assert "In the case “one vector at position 0, which stays as it is” it raises " in message
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x8 and 1x4)" in message
    assert f"line {answer.__code__.co_firstlineno + 2} of " in message
    assert "`return x @ cos[:width]`. The shapes in it: x (1, 8) and cos (1, 4). " in message
    assert message.endswith("It was called with x (1, 8), cos (1, 4) and sin (1, 4).")


def test_the_shapes_at_a_slip_are_those_of_the_line():
    def answer(x, w1, w2, w3):
        gate = x @ w1.T
        return gate @ w2

    message = told(answer, "swiglu.swiglu")
    assert "The shapes in it: gate (1, 6) and w2 (4, 6). It was called with x (1, 4), w1" in message

    def in_numpy(x, w1, w2, w3):
        return x.numpy().reshape(5) + 1

    assert "cannot reshape array of size 4 into shape (5,)" in told(in_numpy, "swiglu.swiglu")
    assert "The shapes in it: x (1, 4). " in told(in_numpy, "swiglu.swiglu")


def test_a_parameter_that_is_written_into_needs_no_gradient():
    def folded(model):
        model.norm.weight.fill_(1)
        return model

    message = told(folded, "rmsnorm.folded")
    assert "a leaf Variable that requires grad" in message
    assert message.endswith(" Write into parameters under `with torch.no_grad():`.")


def test_no_shapes_are_told_where_something_else_is_wrong():
    def answer(x, cos, sin):
        return x.no_such_thing()

    assert "has no attribute 'no_such_thing'" in told(answer)
    assert "It was called with" not in told(answer)


def test_the_shapes_of_a_class_are_those_of_its_cases():
    class RMSNorm(rmsnorm.RMSNorm):
        def forward(self, x):
            return x @ self.weight[:3, None]

    message = told(RMSNorm, "rmsnorm.RMSNorm")
    assert (
        "The shapes in it: x (2, 5, 8). It was called with weight (8,) and x (2, 5, 8)." in message
    )


def test_an_exception_in_what_it_calls_is_told_with_the_line_that_calls():
    def answer(x, cos, sin):
        return torch.stack((x, cos), dim=-1)

    assert "`return torch.stack((x, cos), dim=-1)`" in told(answer)


def test_endless_recursion_and_the_end_of_the_program():
    def again(x, cos, sin):
        return again(x, cos, sin)

    def leave(x, cos, sin):
        sys.exit(3)

    assert "RecursionError: it calls itself without end" in told(again)
    assert "your code ends the program, in line" in told(leave)


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_loop_that_never_ends_is_stopped(where):
    def answer(x, cos, sin):
        while True:
            x = x + 0

    found = []
    work = lambda: found.append(told(answer, seconds=0.2))  # noqa: E731
    before = threading.active_count()
    if where == "main":
        work()
    else:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
    assert "it is not done after 0.2 seconds" in found[0]
    assert "is there a loop that never ends? When it was stopped, it was in line " in found[0]
    assert threading.active_count() == before  # and does not go on behind one's back


def test_a_loop_that_catches_everything_is_stopped_too():
    def answer(x, cos, sin):
        while True:
            try:
                x = x + 0
            except:  # noqa: E722
                continue

    before = time.monotonic()
    message = told(answer, seconds=0.2)
    assert "it is not done after 0.2 seconds" in message
    assert time.monotonic() - before < 30


def test_two_known_mistakes_that_never_end_together_are_given_up(monkeypatch):
    from llama_tutorial.workbook import checker

    tried = []

    def mistaken(task, *bugs):
        if len(bugs) == 1:
            return checker.solution(task)
        tried.append(bugs)

        def endless(*args, **kwargs):
            while True:
                args = (*args,)

        return endless

    monkeypatch.setattr(checker, "mistaken", mistaken)
    monkeypatch.setattr(checker, "_TOGETHER", 0.01)
    threads = threading.active_count()
    assert "1.541 is right" in told(lambda x, cos, sin: right(x, cos, sin) + 1)
    assert tried
    assert threading.active_count() == threads


def test_one_that_sleeps_is_not_waited_for_for_ever():
    event = threading.Event()

    def answer(x, cos, sin):
        for _ in range(1000):
            event.wait(0.02)

    assert "it is not done after 0.05 seconds" in told(answer, seconds=0.05)


def test_time_is_the_processors():
    def slow(x, cos, sin):
        time.sleep(0.15)  # four cases: longer than it may compute
        return right(x, cos, sin)

    assert check("rope.rotate", slow, seconds=0.5).ok


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda y: None, "the result is None, where a tensor of shape (1, 8) is wanted: is a `re"),
        (
            lambda y: y.float().numpy(),
            "the result is a NumPy array, where a tensor of shape (1, 8)",
        ),
        (lambda y: y.tolist(), "the result is a list of 1, where a tensor of shape (1, 8) is want"),
        (lambda y: (y, y), "the result is a tuple of 2, where a tensor of shape (1, 8) is wanted"),
        (lambda y: y[..., :4], "the result has the shape (1, 4), and (1, 8) is right"),
        (lambda y: y.unsqueeze(0), "the result has the shape (1, 1, 8), and (1, 8) is right"),
        (lambda y: y.double(), "the result has the dtype float64, and float32 is right"),
        (lambda y: y.long(), "the result has the dtype int64, and float32 is right"),
        (
            lambda y: y * float("nan"),
            "the result[0, 0] is NaN, and 1.541 is right (8 of 8 are NaN)",
        ),
        (
            lambda y: 3 * y,
            "the result[0, 0] is 4.623, and 1.541 is right. All of it is 3 times the",
        ),
        (lambda y: -y, "All of it is -1 times the right one."),
        (lambda y: y + 1, "the result[0, 0] is 2.541, and 1.541 is right (8 of 8 numbers differ)."),
        (lambda y: y + 0.01 * (torch.arange(8) == 5), "Only index 5 of axis 1 of 2 is wrong."),
        (lambda y: y * (torch.arange(8) < 2), "Index 0 and 1 of axis 1 of 2 is right throughout."),
    ],
)
def test_a_wrong_result_is_described(change, sentence):
    message = told(lambda x, cos, sin: change(right(x, cos, sin)))
    assert "In the case “one vector at position 0, which stays as it is”, the result" in message
    assert sentence in message
    assert message.endswith((".", "?"))


def test_exchanged_axes_are_seen():
    message = told(lambda q, k: (q @ k.mT).softmax(-1).mT.tril(), "gpt.attention_weights")
    assert "axes" not in message  # it is something else
    message = told(lambda n, start=0: gqa.causal_mask(n, start).mT.contiguous(), "gqa.causal_mask")
    assert "[0, 1] is True, and False is right. It is the right one with its last two" in message


def test_numbers_strings_lists_and_dicts_are_described():
    assert "the result is a float (11008), where an integer is wanted" in told(
        lambda dim, multiple_of=256, multiplier=None: 11008.0, "swiglu.hidden_dim"
    )
    assert "the result is 1, and 11008 is right" in told(
        lambda dim, multiple_of=256, multiplier=None: 1, "swiglu.hidden_dim"
    )
    assert "where a number is wanted; .item() makes one" in told(
        lambda dim, multiple_of=256, multiplier=None: torch.tensor(11008), "swiglu.hidden_dim"
    )
    assert "the result[0] is 'x', and 'lo' is right; yours is ['x', 'w']" in told(
        lambda symbols, piece: ["x", *symbols[2:]], "tokenizer.merge"
    )
    assert "the result has 3 elements, where 2 are wanted: ['lo', 'w', '!']" in told(
        lambda symbols, piece: [*tokenizer.merge(symbols, piece), "!"], "tokenizer.merge"
    )
    assert "the result has no 'ab'." in told(lambda spelled, counts: {}, "tokenizer.count_pairs")
    assert "the result has no 'ab', but ('a', 'b')." in told(
        lambda spelled, counts: {("a", "b"): 1}, "tokenizer.count_pairs"
    )
    assert "the result['ab'] is 7, and 1 is right" in told(
        lambda spelled, counts: dict.fromkeys(tokenizer.count_pairs(spelled, counts), 7),
        "tokenizer.count_pairs",
    )
    assert "has 'no', which does not belong there" in told(
        lambda spelled, counts: {**tokenizer.count_pairs(spelled, counts), "no": 0},
        "tokenizer.count_pairs",
    )


def test_a_loss_without_a_gradient_is_told():
    def answer(logits, tokens):
        return targets_shifted(logits, tokens).item()

    def targets_shifted(logits, tokens):
        guesses = logits[:, :-1].flatten(0, 1)
        return torch.nn.functional.cross_entropy(guesses, tokens[:, 1:].flatten())

    assert check("gpt.next_token_loss", targets_shifted).ok
    message = told(answer, "gpt.next_token_loss")
    assert "is a float, where a tensor of shape () is wanted: a float has no gradient." in message


def test_an_argument_that_is_changed_is_named():
    def scaled(x, cos, sin):
        y = right(x, cos, sin)
        x.mul_(2)
        return y

    def joined(symbols, piece):
        merged = tokenizer.merge(symbols, piece)
        symbols.append("!")
        return merged

    assert told(scaled).startswith("Your code changes its argument x in place")
    assert told(joined, "tokenizer.merge").startswith("Your code changes its argument symbols in")


@pytest.mark.parametrize("task", ["generation.top_k", "model.Block"])
def test_a_change_in_place_does_not_make_other_cases_wrong(task):
    def top_k(logits, k):
        logits[logits.argsort(descending=True)[k:]] = -torch.inf
        return logits

    class Block(model.Block):
        def forward(self, x, cos, sin, cache=None, start=0):
            x += self.attention(self.attention_norm(x), cos, sin, cache, start)
            x += self.feed_forward(self.ffn_norm(x))
            return x

    answer = top_k if task == "generation.top_k" else Block
    assert told(answer, task).startswith("Your code changes its argument")


def test_numbers_that_are_close_are_shown_with_more_digits():
    def almost(step, peak, warmup, total):
        return pretraining.rate(step, peak, warmup, total) - (1e-6 if step == 101 else 0)

    message = told(almost, "pretraining.rate")
    assert "the result is 0.999996258, and 0.999997258 is right" in message


def test_a_float64_is_not_cut_to_a_float32():
    def narrow(x, eps=1e-5):
        return rmsnorm.rms_norm(x.float(), eps).to(x.dtype)

    assert "A float64 comes back with the seven digits" in told(narrow, "rmsnorm.rms_norm")


def test_a_view_of_an_argument_is_named():
    def shared(weight):
        return weight.sub_(weight.mean(0, keepdim=True)).view(weight.shape)

    assert "argument weight" in told(shared, "rmsnorm.centre_writer")

    def lazy(x, cos, sin):  # nothing to do where all angles are 0
        return x if (cos == 1).all() else right(x, cos, sin)

    assert "The result shares its memory with the argument x" in told(lazy)


def test_parameters_that_do_not_fit_are_told():
    message = told(lambda x, cos: x)
    assert message.startswith(
        "Its parameters should be rotate(x, cos, sin), and yours are rotate(x"
    )
    message = told(type("RMSNorm", (), {"__init__": lambda self: None}), "rmsnorm.RMSNorm")
    assert message.startswith("Its parameters should be RMSNorm(dim, eps=1e-05), and yours are ")


def test_a_result_in_place_of_the_function_is_told():
    message = told(torch.ones(2, 3))
    assert message.startswith("You gave a tensor of shape (2, 3). Give the function itself")
    assert "check('rope.rotate', rotate)" in message


def test_other_names_for_parameters_are_right():
    assert check("rope.rotate", lambda vectors, c, s: right(vectors, c, s)).ok


def test_arrays_of_numpy_are_right_where_tensors_fail():
    def answer(z):
        z = z.astype(np.float64)
        return z / (1 + np.exp(-np.clip(z, -500, None)))

    assert check("swiglu.silu", answer).ok


def test_two_mistakes_at_once_are_both_named():
    def answer(x, cos, sin):  # half of it turned back, and in float32
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos + b * sin, b * cos - a * sin), dim=-1).flatten(-2)

    result = check("rope.rotate", answer)
    assert result.bug == "turned_back+not_cast_back"
    assert result.message.startswith("There are two mistakes in it at once.\n")


def test_a_stub_that_it_calls_is_to_be_done_first():
    names = {}
    source = textwrap.dedent(
        """
        from llama_tutorial.workbook.solutions.gqa import *
        import math
        def repeat_kv(x, group_size):
            raise NotImplementedError
        def attention(q, k, v, start=0):
            n = q.shape[1] // k.shape[1]
            scores = q @ repeat_kv(k, n).mT / math.sqrt(q.shape[-1])
            sees = causal_mask(q.shape[2], start)
            return scores.masked_fill(~sees, -math.inf).softmax(-1) @ repeat_kv(v, n)
        """
    )
    exec(source, names)
    result = check("gqa.attention", names["attention"])
    assert result.state == "waits"
    assert result.message == "It is right by itself, but it needs gqa.repeat_kv: do that first."
    assert names["repeat_kv"].__name__ == "repeat_kv"
    assert names["repeat_kv"] is not gqa.repeat_kv  # put back

    wrong = source.replace("/ math.sqrt(q.shape[-1])", "")
    exec(wrong, names)
    result = check("gqa.attention", names["attention"])
    assert (result.state, result.bug) == ("wrong", "no_scale")


def test_a_stub_that_a_helper_calls_is_to_be_done_first():
    names = {}
    source = """
import math
from llama_tutorial.workbook.solutions.gqa import causal_mask
def repeat_kv(x, group_size):
    return x.repeat(1, group_size, 1, 1)
def spread(x, q):
    return repeat_kv(x, q.shape[1] // x.shape[1])
def attention(q, k, v, start=0):
    scores = q @ spread(k, q).mT / math.sqrt(q.shape[-1])
    hidden = ~causal_mask(q.shape[2], start)
    return scores.masked_fill(hidden, -math.inf).softmax(-1) @ spread(v, q)
"""
    exec(source, names)
    result = check("gqa.attention", names["attention"])
    assert result.message == "It is right by itself, but it needs gqa.repeat_kv: do that first."


def interval(differences, again=True):  # evaluation has a task of this name, too
    return interval(differences, False) if again else (0.0, 0.0)


def test_an_answer_that_calls_itself_calls_no_other_task_of_its_name():
    assert "the result[0] is 0, and 2 is right" in told(interval, "swaps.interval")


def test_hints_come_one_by_one():
    from llama_tutorial.workbook.registry import find

    hints = find("rope.rotate").hints
    for n in range(4):
        message = told(lambda x, cos, sin: x + 1, hint=n)
        assert [hint in message for hint in hints] == [i < n for i in range(3)]
    assert "Hint" not in check("rope.rotate", right, hint=3).message
    alone = check("rope.rotate", hint=1)
    assert alone.message == (f"Give your own: check('rope.rotate', rotate).\nHint 1: {hints[0]}")
    with pytest.raises(ValueError, match=r"hint=4: must be 1, 2 or 3, or 0 for none"):
        check("rope.rotate", right, hint=4)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "rotate",
            "no task 'rotate' in the workbook; do you mean rope.rotate or numpy_llama.rotate?",
        ),
        (
            "rope.rotat",
            "no task 'rope.rotat' in the workbook; the chapter has rope.rope_table, rope",
        ),
        (
            "interval",
            "no task 'interval' in the workbook; do you mean swaps.interval or evaluation.int",
        ),
        ("rope", "'rope' is a chapter; its tasks are rope.rope_table, rope.rotate"),
        ("rop.rotate_att", "no task 'rop.rotate_att' in the workbook; close to it are rope.rotate"),
        ("§§§", "no task '§§§' in the workbook; there are gpt.layer_norm, "),
    ],
)
def test_an_unknown_task_lists_those_that_are_close(name, sentence):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        check(name, right)
    assert str(raised.value).startswith(sentence)


def test_what_a_result_looks_like():
    good, bad = check("rope.rotate", right), check("rope.rotate", lambda x, cos, sin: None)
    assert repr(good).startswith("✓ rope.rotate: Right. ")
    assert repr(bad).startswith("✗ rope.rotate: In the case ")
    assert "<code>return</code>" in bad._repr_html_()
    assert "<b>✓ rope.rotate</b>" in good._repr_html_()
    hostile = check("rope.rotate", lambda x, cos, sin: "<script>alert(1)</script>")
    assert "<script>" not in hostile._repr_html_()


def test_the_museums_page_is_named():
    result = check("gqa.repeat_kv", lambda x, group_size: x.repeat(1, group_size, 1, 1))
    assert result.bug == "repeat_in_rounds"
    assert "Query heads read the keys 0, 1, 2, 3, 0, 1, 2, 3" in result.message  # what it does
    address = f"{BOOK}book/gqa.html#fig-museum-gqa"
    assert result.message.endswith(f"See it: {address}")
    assert f"<a href='{address}'>" in result._repr_html_()


def test_random_numbers_of_the_caller_stay():
    torch.manual_seed(0)
    first = torch.rand(1)
    torch.manual_seed(0)
    check("gqa.attention", gqa.attention)
    check("rmsnorm.rms_norm", rmsnorm.rms_norm)
    assert torch.equal(torch.rand(1), first)


def test_check_is_one_of_the_packages_names():
    assert "check" in llama_tutorial.__all__
    assert "check" in dir(llama_tutorial)


def test_tasks_without_torch_need_none():
    code = textwrap.dedent(
        """
        import sys
        sys.modules["torch"] = None  # an import of it fails
        from llama_tutorial import check
        from llama_tutorial.workbook.solutions import tokenizer
        def encode(text, ids, scores, bos=False, eos=False):
            return [1, *tokenizer.encode(text, ids, scores, bos, eos)] if bos else []
        def learn(counts, n_merges):
            return []
        assert check("tokenizer.encode", tokenizer.encode).ok
        print(check("tokenizer.encode", encode).message)
        print(check("tokenizer.learn", learn).message)
        try:
            check("lern", learn)
        except ValueError as error:
            print(error)
        try:
            check("rope.rotate", learn)
        except ModuleNotFoundError as error:
            print(error)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert "In the case “lower”, the result has 0 elements" in done.stdout
    assert "no task 'lern' in the workbook; close to it are tokenizer.learn" in done.stdout
    hint = "the tasks of rope need torch: pip install 'llama-tutorial[torch]'"
    assert hint in done.stdout


# The same mistakes as people write them, in formulas that are not the solution's.


def squares_in_16_bit(x, eps=1e-5):
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + eps)


def length_and_eps(x, eps=1e-5):
    return x / (x.norm(dim=-1, keepdim=True) + eps)


def as_hugging_face_does(x, cos, sin):
    cos, sin = torch.cat((cos, cos), -1), torch.cat((sin, sin), -1)
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


def scaled_by_the_wrong_size(q, k):
    T = q.shape[-2]
    later = torch.triu(torch.ones(T, T), 1) == 1
    return (q @ k.mT / T**0.5).masked_fill(later, -1e9).softmax(-1)


def targets_not_shifted(logits, tokens):
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())


def the_list_that_grows(model, ids, n_new, choose, stop=None):
    ids = list(ids)
    for _ in range(n_new):
        token = choose(model(torch.tensor([ids]))[0, -1])
        if token == stop:
            return ids
        ids += [token]
    return ids


def the_whole_text_again(feed, prompt, n, stop_ids=()):
    new = []
    for _ in range(n):
        token = int(feed(prompt + new).argmax())
        if token in stop_ids:
            break
        new.append(token)
    return new


def queries_first(q, k, v, start=0):
    k, v = (x.repeat(1, q.shape[1] // x.shape[1], 1, 1) for x in (k, v))
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(diagonal=start)
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


@pytest.mark.parametrize(
    ("task", "answer", "bug"),
    [
        ("rmsnorm.rms_norm", squares_in_16_bit, "no_wide"),
        ("rmsnorm.rms_norm", length_and_eps, "eps_outside+sum_of_squares"),
        ("rope.rotate", as_hugging_face_does, "half_split+not_cast_back"),
        ("gpt.attention_weights", scaled_by_the_wrong_size, "scaled_by_positions"),
        ("gpt.next_token_loss", targets_not_shifted, "not_shifted"),
        ("gpt.generate", the_list_that_grows, "prompt_returned"),
        ("generation.greedy", the_whole_text_again, "everything_again"),
        ("gqa.attention", queries_first, "repeat_in_rounds"),
        ("swiglu.silu", torch.relu, "relu"),
        ("tokenizer.spell", lambda text, scores: list(text), None),
    ],
)
def test_a_mistake_is_known_in_another_formula(task, answer, bug):
    assert check(task, answer).bug == bug
