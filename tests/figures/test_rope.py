"""The RoPE chapter's figures: numbers against plain Python and the package, and pictures."""

from __future__ import annotations

import math
import re

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import oracles
import torch
from live_figures import check_page, texts

from llama_tutorial import figures, gqa
from llama_tutorial.figures.rope import inside, live, plots
from llama_tutorial.rope import to_half_split

pytestmark = pytest.mark.usefixtures("figure_look")

QUERY = [1.5, -0.5, 2.0, 0.25, -1.0, 0.75, 0.5, 1.25]
KEY = [0.5, 1.0, -1.5, 0.75, 1.25, -0.25, -0.5, 2.0]


def oracle_score(m, n):
    q, k = (oracles.rope_interleaved(np.array(x), p) for x, p in ((QUERY, m), (KEY, n)))
    return float(q @ k) / math.sqrt(8)


@pytest.mark.parametrize("base", [10000, 1000000])
@pytest.mark.parametrize("position", [0, 1, 7, 10, 99, 1000, 4000])
def test_hands_stand_where_the_formula_says(position, base):
    numbers = live.clock_numbers(position, base)
    angles = [position * base ** (-2 * j / 16) for j in range(8)]
    for shown, angle in zip(numbers["degrees"], angles, strict=True):
        apart = (shown - math.degrees(angle)) % 360
        assert min(apart, 360 - apart) < 1e-6
    assert numbers["turns"] == pytest.approx([angle / math.tau for angle in angles])
    assert numbers["completed"] == sum(angle >= math.tau for angle in angles)
    assert numbers["moved"] == sum(math.degrees(angle) >= 5 for angle in angles)


def test_clocks_offer_every_early_position_and_both_bases():
    position, base = live.clocks().controls
    assert position.values[:101] == list(range(101))
    assert {3, 10, 100, 1000, 4000} <= set(position.values)
    assert base.settings() == [10000, 1000000]


@pytest.mark.parametrize(("m", "n", "both"), [(0, 0, 0), (9, 0, 0), (20, 5, 30), (100, 37, 2000)])
def test_score_is_the_sum_of_what_its_pairs_give(m, n, both):
    numbers = live.score_numbers(QUERY, KEY, m, n, both)
    assert numbers["score"] == pytest.approx(oracle_score(m + both, n + both), abs=1e-9)
    assert sum(numbers["parts"]) == pytest.approx(numbers["score"], abs=1e-12)
    assert (numbers["query"], numbers["key"]) == (m + both, n + both)
    assert numbers["distance"] == m - n


def test_weight_is_the_softmax_of_the_scores_of_all_keys_up_to_the_query():
    powers = [math.exp(oracle_score(40, n)) for n in range(41)]
    shown = [live.score_numbers(QUERY, KEY, 40, n, 700)["percent"] for n in range(41)]
    assert shown == pytest.approx([100 * power / sum(powers) for power in powers], abs=1e-6)


def test_score_and_every_part_of_it_depend_on_the_distance_only():
    here = live.score_numbers(QUERY, KEY, 33, 24)
    there = live.score_numbers(QUERY, KEY, 33, 24, 1700)
    assert here["parts"] == pytest.approx(there["parts"], abs=1e-9)
    assert abs(here["score"] - live.score_numbers(QUERY, KEY, 33, 23)["score"]) > 0.01


def test_curve_holds_the_score_at_every_distance():
    curve = live.score_curve(QUERY, KEY)
    assert len(curve) == live.WIDEST + 1
    assert curve == pytest.approx([oracle_score(d, 0) for d in range(101)], abs=1e-9)


def test_no_key_stands_after_its_query():
    figure = live.score(QUERY, KEY, trained=64)
    assert figure.numbers(m=5, n=30, both=100)["key"] == 105
    assert figure.numbers(m=5, n=3, both=100)["distance"] == 2
    assert live.sentence_numbers(0, "turn", query=2, key=5)["n"] == 2


def test_score_is_computed_from_the_numbers_that_the_page_has():
    query = [x + 0.00049 for x in QUERY]
    figure = live.score(torch.tensor(query, dtype=torch.float64).tolist(), KEY, trained=64)
    assert figure.data["query"] == figures.rounded(query) != query
    expected = live.score_numbers(figure.data["query"], KEY, 9, 4)["score"]
    assert figure.numbers(m=9, n=4, both=0)["score"] == expected


@pytest.mark.parametrize(("query", "key"), [(5, 1), (3, 0), (4, 4)])
def test_sentence_that_turns_keeps_its_scores_and_one_that_adds_does_not(query, key):
    def scores(way):
        fronts = range(live.FRONT + 1)
        return [live.sentence_numbers(front, way, query, key)["score"] for front in fronts]

    turned = scores("turn")
    assert max(turned) - min(turned) < 1e-9
    apart = live.sentence_numbers(7, "turn", query, key)["angle"]
    lengths = live.QUERIES[query][0] * live.KEYS[key][0]
    # The arrows' features are rounded to three digits, as in the page.
    assert lengths * math.cos(math.radians(apart)) == pytest.approx(turned[0], abs=2e-3)
    directions = live.QUERIES[query][1] - live.KEYS[key][1] + live.SPEED * (query - key)
    assert math.cos(math.radians(apart)) == pytest.approx(
        math.cos(math.radians(directions)), abs=2e-3
    )
    added = scores("add")
    assert max(added) - min(added) > 0.5


def test_adding_is_the_sum_of_four_products():
    q, k, rows = (
        np.array(x) for x in (live.sentence().data["queries"][5], live.sentence().data["keys"][1],
                              live.position_rows())
    )  # fmt: skip
    expected = q @ k + q @ rows[11] + rows[15] @ k + rows[15] @ rows[11]
    assert live.sentence_numbers(10, "add", 5, 1)["score"] == pytest.approx(expected, abs=1e-12)


def test_sentence_does_not_leave_its_axis():
    for way in ("turn", "add"):
        for query in range(len(live.WORDS)):
            for key in range(query + 1):
                for front in range(live.FRONT + 1):
                    assert abs(live.sentence_numbers(front, way, query, key)["score"]) < 3


FIGURES = {
    "sentence": live.sentence,
    "clocks": live.clocks,
    "score": lambda: live.score(QUERY, KEY, trained=64),
}


@pytest.mark.parametrize("name", FIGURES)
def test_page_has_the_numbers_to_compare_and_says_them(name):
    check_page(FIGURES[name]())


def test_layouts_show_the_packages_permutation():
    order = to_half_split(torch.arange(8.0), 1).long()
    shown = texts(figures.svg_text(plots.layouts(8, order)))
    boxes = [text for text in shown if re.fullmatch(r"\d[a-d]", text)]
    above, below = set(boxes[::2]), boxes[1::2]
    assert above == {"0a", "1a", "2b", "3b", "4c", "5c", "6d", "7d"}
    assert below == ["0a", "2b", "4c", "6d", "1a", "3b", "5c", "7d"]


def test_echo_draws_a_line_from_each_answer_to_what_was_heard():
    figure = plots.echo("abcde", "..abc", back=2)
    axes = figure.axes[0]
    lines = [tuple(line.get_xdata()) for line in axes.lines]
    assert lines == [(0, 2), (1, 3), (2, 4)]
    shown = {text.get_position(): text.get_text() for text in axes.texts}
    assert [shown[i, 1] for i in range(5)] == [*"abcde"]
    assert [shown[i, 0] for i in range(5)] == ["", "", *"abc"]


def test_attention_draws_the_weights_that_count():
    weight = torch.zeros(20, 20)
    weight[3, 1], weight[7, 5], weight[9, 2], weight[11, 4] = 0.9, 0.3, 0.1, 0.04
    figure = plots.attention({"model": weight, "other": weight}, trained=10, gap=slice(2, 4))
    axes = figure.axes[0]
    drawn = {point for line in axes.lines for point in zip(*line.get_data(), strict=True)}
    assert drawn == {(1, 3), (5, 7), (2, 9)}
    assert axes.get_ylim() == (20, 0)  # queries run downward


def test_a_hand_takes_for_ten_what_lies_whole_turns_away():
    speeds = {"fast": 1.0, "slow": 0.1}
    figure = plots.look_alikes(speeds, distance=10, tolerance=20, widest=100)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "all together",
        "slow",
        "fast",
    ]
    spans = [[], [], []]
    for bars in axes.collections:
        (path,) = bars.get_paths()
        (left, low), (right, high) = path.get_extents().get_points()
        spans[round((low + high) / 2)].append((left, right))
    fast, slow = spans[2], spans[1]
    for i, (left, right) in enumerate(fast):
        turns = i - 1  # the first is a turn before 10
        assert left == pytest.approx(10 + turns * math.tau - math.radians(20), abs=0.12)
        assert right == pytest.approx(10 + turns * math.tau + math.radians(20), abs=0.12)
    middles = [(left + right) / 2 for left, right in slow]
    assert middles == pytest.approx([10, 10 + 10 * math.tau], abs=0.15)
    assert [left < 10 < right or left < 72.83 < right for left, right in spans[0]] == [True, True]


@pytest.mark.parametrize(
    ("row", "expected"),
    [([], []), ([True], [(0, 0)]), ([True, False, True, True], [(0, 0), (2, 3)]), ([False], [])],
)
def test_runs_of_true_values(row, expected):
    assert plots.runs(row) == expected


def test_stretched_draws_means_at_the_middle_of_their_positions():
    loss = torch.tensor([1.0, 2.0, 3.0, 5.0, 9.0], dtype=torch.float64)
    figure = plots.stretched({"a": loss, "b": loss}, trained=3, width=2)
    line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [1, 3]
    assert line.get_ydata().tolist() == [1.5, 4.0]


def test_losses_are_plotted_as_given_with_gaps_where_nothing_is_asked():
    loss = torch.tensor([math.nan, math.nan, 0.123456, 4.0, 2.0], dtype=torch.float64)
    given = {"a": loss, "b": loss}
    figure = plots.loss_by_position(given, trained=3, gap=slice(1, 2), chance=2.77)
    a, b = (line for line in figure.axes[0].lines if line.get_label() in "ab")
    np.testing.assert_array_equal(a.get_ydata(), [math.nan, math.nan, 0.123, 4.0, 2.0])
    assert a.get_color() != b.get_color()
    assert a.get_linestyle() != b.get_linestyle()


def test_wavelengths_positions_and_decay_keep_their_data():
    lengths = torch.tensor([6.28319, 62.8319], dtype=torch.float64)
    figure = plots.wavelengths({"x": lengths}, marks={"context": 40})
    assert figure.axes[0].lines[0].get_ydata().tolist() == [6.28, 62.8]
    assert figure.axes[0].get_yscale() == "log"
    positions = torch.arange(2000, 2100)
    stored = {"float32": positions.float(), "bfloat16": positions.bfloat16()}
    figure = plots.stored_positions(positions, stored)
    plain, stairs = figure.axes[0].lines
    assert plain.get_ydata().tolist() == positions.tolist()
    assert len(set(stairs.get_ydata().tolist())) == len(positions.bfloat16().unique())
    figure = plots.decay([1, 10], {"one": lengths, "two": -lengths})
    assert [line.get_label() for line in figure.axes[0].lines[:2]] == ["one", "two"]


class OneLayer:
    """The reader's GPT, as far as the functions look into it."""

    def __init__(self, **tables):
        torch.manual_seed(3)
        self.tok_embeddings = torch.nn.Embedding(5, 8).double()
        attention = torch.nn.Module()
        attention.wq, attention.wk = (torch.nn.Linear(8, 8).double() for _ in range(2))
        attention.heads = lambda x: x.unflatten(-1, (2, 4)).transpose(1, 2)
        layer = torch.nn.Module()
        layer.attention, layer.attention_norm = attention, torch.nn.Identity()
        self.layers = [layer]
        vars(self).update(tables)


def test_attention_of_a_model_with_rope_is_that_of_turned_heads():
    cos, sin = (table.double() for table in oracle_tables(6, 4))
    model, tokens = OneLayer(cos=cos, sin=sin), torch.tensor([[0, 3, 1, 4, 2, 2], [1] * 6])
    x, attention = model.tok_embeddings(tokens), model.layers[0].attention
    turned = []
    for w in (attention.wq, attention.wk):
        heads = attention.heads(w(x)).detach().numpy()
        places = [[oracles.rope_interleaved(head[m], m) for m in range(6)] for head in heads[:, 0]]
        others = [[oracles.rope_interleaved(head[m], m) for m in range(6)] for head in heads[:, 1]]
        turned.append(torch.tensor(np.stack((places, others), 1)))
    expected = gqa.attention_weights(*turned).mean((0, 1))
    torch.testing.assert_close(inside.mean_attention(model, tokens), expected, atol=1e-9, rtol=0)


def oracle_tables(positions, head_dim):
    angles = np.outer(np.arange(positions), 10000 ** (-np.arange(0, head_dim, 2) / head_dim))
    return torch.tensor(np.cos(angles)), torch.tensor(np.sin(angles))


def test_learned_positions_are_added_before_heads_are_made():
    rows = torch.nn.Embedding(6, 8).double()
    model, tokens = OneLayer(pos_embeddings=rows), torch.tensor([[0, 3, 1]])
    x = model.tok_embeddings(tokens) + rows.weight[:3]
    expected = model.layers[0].attention.wq(x)[0, :, 4:].mean(0).tolist()
    query, key = inside.mean_head(model, tokens, head=1)
    assert query == pytest.approx(expected, abs=1e-12)
    assert len(key) == 4
    with_rows = inside.mean_attention(model, tokens)
    assert (with_rows - inside.mean_attention(OneLayer(), tokens)).abs().max() > 1e-3


def test_mistakes_tell_one_token_from_two_and_give_the_loss():
    def right(tokens):
        return torch.zeros(*tokens.shape, 3, dtype=torch.float64)

    def late(tokens):  # position t says token 0 with t more
        return right(tokens) + torch.arange(tokens.shape[1])[:, None] * torch.eye(3)[0]

    tokens = torch.tensor([[0, 1, 2], [2, 1, 0]])
    rows = inside.mistakes({"none": right, "late": late}, right, tokens)
    assert [row[:3] for row in rows] == [["none", "passes", "passes"], ["late", "passes", "fails"]]
    assert rows[0][3] == pytest.approx(math.log(3))
    # Position 0 has equal logits, position 1 has (1, 0, 0) and should say 2, then 0.
    second = math.log(math.e + 2) - 0.5
    assert rows[1][3] == pytest.approx((math.log(3) + second) / 2)
