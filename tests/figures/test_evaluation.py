"""The evaluation chapter's figures: numbers against plain Python and erf, tables and pictures."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

from live_figures import check_page, texts

from llama_tutorial import figures
from llama_tutorial.figures.evaluation import live, plots, tables

pytestmark = pytest.mark.usefixtures("figure_look")

# By the whole cost the first choice is the short wrong ending, by tokens and bytes the true one.
ENDINGS = [
    " Short.",
    " A much longer ending, and true.",
    " Another one of some length.",
    " Last é.",
]
FIRST = live.Scored("A beginning.", ENDINGS, [9.004, 12.5, 30.0, 17.25], [2, 8, 7, 4], 1)
SECOND = live.Scored("Another.", ENDINGS[::-1], [4.0, 9.0, 16.0, 21.0], [4, 7, 8, 2], 0)
MODELS = {
    "large": [FIRST, SECOND],
    "small": [FIRST._replace(costs=[1.0, 2.0, 3.0, 4.0]), SECOND._replace(costs=[9.0, 1, 9, 9])],
}


def figure():
    return live.endings(MODELS, shown=2)


# Four endings


@pytest.mark.parametrize("by", live.UNITS)
@pytest.mark.parametrize("model", MODELS)
def test_costs_are_divided_by_what_is_asked_for(model, by):
    numbers = figure().numbers(question=1, model=model, by=by)
    lengths = {
        "none": [1] * 4,
        "tokens": [2, 8, 7, 4],
        "bytes": [7, 32, 28, 9],  # é takes two
    }[by]
    costs = [round(cost, 2) for cost in MODELS[model][0].costs]
    expected = [cost / length for cost, length in zip(costs, lengths, strict=True)]
    assert numbers["costs"] == pytest.approx(expected, abs=1e-12)
    assert numbers["chosen"] == 1 + min(range(4), key=expected.__getitem__)
    assert (numbers["right"], numbers["n"]) == (2, 2)


def test_all_choices_are_counted():
    by_cost = figure().numbers(question=1, model="large", by="none")
    assert (by_cost["n_right"], by_cost["n_shortest"]) == (1, 1)  # short and wrong; long and right
    by_token = figure().numbers(question=2, model="large", by="tokens")
    assert (by_token["n_right"], by_token["n_shortest"]) == (2, 0)
    assert by_token["right"] == 1


def test_the_models_are_asked_the_same():
    with pytest.raises(ValueError, match="must be asked the same"):
        live.endings({"one": [FIRST], "other": [SECOND]}, shown=2)


# The interval of a score


def below(z):
    return (1 + math.erf(z / math.sqrt(2))) / 2


@pytest.mark.parametrize("n", [10, 164, 20_000])
@pytest.mark.parametrize(("right", "gap"), [(10, 1), (50, 5), (88, 3), (90, 10)])
def test_interval_is_what_the_formula_says(n, right, gap):
    numbers = live.interval_numbers(n, right, gap)
    p, q = right / 100, (right + gap) / 100
    error = math.sqrt((p * (1 - p) + q * (1 - q)) / n)
    assert numbers["half"] == pytest.approx(196 * math.sqrt(p * (1 - p) / n), abs=1e-9)
    assert numbers["half_better"] == pytest.approx(196 * math.sqrt(q * (1 - q) / n), abs=1e-9)
    assert numbers["wrong"] == pytest.approx(100 * (1 - below((q - p) / error)), abs=1e-7)
    needed = 1.96**2 * (p * (1 - p) + q * (1 - q)) / (q - p) ** 2
    assert needed - 1e-6 <= numbers["needed"] < needed + 1


@pytest.mark.parametrize("z", [0.0, 0.3, 1.0, 1.96, 4.0, 7.9, 30.0])
def test_normal_distribution_is_that_of_erf(z):
    assert live._below(z) == pytest.approx(below(z), abs=1e-10)


def test_wrong_exams_are_as_frequent_as_in_a_simulation():
    numpy = pytest.importorskip("numpy")
    random = numpy.random.default_rng(0)
    first, better = (random.binomial(100, p, 200_000) for p in (0.88, 0.91))
    ties = (first == better).mean()
    wrong = (first > better).mean()
    assert wrong < live.interval_numbers(100, 88, 3)["wrong"] / 100 < wrong + ties


FIGURES = {"endings": figure, "interval": live.interval}


@pytest.mark.parametrize("name", FIGURES)
def test_page_has_the_numbers_to_compare_and_says_them(name):
    check_page(FIGURES[name]())


# The pictures that stand still


def test_surprise_has_a_bar_for_each_token_and_model():
    bits = {"one": [0.1234, 2.0, 0.5], "other": [1.0, 3.0, 0.25]}
    drawn = plots.surprise(["▁Once", "up", "▁a"], bits)
    axes = drawn.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.12, 2.0, 0.5, 1.0, 3.0, 0.25]
    assert [label.get_text() for label in axes.get_yticklabels()] == [" Once", "up", " a"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first token on top
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["one", "other"]


def test_contamination_pairs_the_exam_with_new_tales():
    drawn = plots.contamination({"honest": (1.51, 1.62), "crammer": (1.234, 1.97)})
    widths = [bar.get_width() for bar in drawn.axes[0].patches]
    assert widths == [1.51, 1.23, 1.62, 1.97]
    words = texts(figures.svg_text(drawn))
    assert {"1.51", "1.23", "1.62", "1.97"} <= set(words)
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["the exam", "new tales"]


# The tables


def test_units_and_kinds_show_what_they_are_given():
    shown = tables.units({"large": (1.512, 0.1788)})
    assert shown.rows == [["large", "1.51", "0.179"]]
    shown = tables.kinds({"all": (84, 94), "has": (8, 8)}, {"has": "who has it", "all": "all"})
    rows = [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in shown.rows]
    assert rows == [["who has it", "8 of 8", "100 %"], ["all", "84 of 94", "89 %"]]


def test_templates_has_a_column_for_each_way_of_scoring():
    shown = tables.templates(
        {"tags": {"exact": 4, "choice": 5}, "none": {"exact": 0, "choice": 3}}, 6
    )
    assert shown.header == ["asked in", "exact", "choice"]
    assert shown.rows == [["tags", 4, 5], ["none", 0, 3]]
    assert "6 questions" in shown.caption


def test_published_scores_have_the_interval_of_their_exam():
    rows = {row[0]: row[1:] for row in tables.llama_2().rows}
    assert rows.keys() == tables.LLAMA_2.keys()
    for name, scores in tables.LLAMA_2.items():
        p = scores["MMLU"] / 100
        half = 196 * math.sqrt(p * (1 - p) / 14_079)
        assert rows[name] == [
            f"{scores['MMLU']:.1f} ± {half:.1f}".replace(" ", tables.SPACE),
            f"{scores['commonsense']:.1f}",
            f"{scores['code']:.1f}",
        ]
    assert len(tables.leaderboard().rows) == len(tables.MMLU_BY_PROGRAM)
