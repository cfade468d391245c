"""The checkpoints chapter's figures: shards against cuts by hand, and differences as they are."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

import torch
from live_figures import check_page
from matplotlib.colors import to_rgba
from torch.nn import functional as F

from llama_tutorial import PRESETS, Transformer
from llama_tutorial.figures.checkpoints import live, plots, tables
from llama_tutorial.figures.kit.style import BLUE, ORANGE, ROSE

pytestmark = pytest.mark.usefixtures("figure_look")

IDS = [1, 7, 3, 30, 12, 7]
CONFIG = PRESETS["llama-2-7b"].replace(
    dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=40, vocab_size=40, max_seq_len=32
)
TOKENS = torch.tensor([IDS, IDS[::-1]])
MISTAKES = ["wo doubled", "late"]


class Pieces:
    """A tokenizer of forty words."""

    def id_to_piece(self, i):
        return f"▁w{i}"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    model = Transformer(CONFIG).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def data(model):
    return live.shard_data(model, TOKENS)


@pytest.fixture(scope="module")
def logits():
    """Right ones, and wrong ones: everywhere, and from position 2 on."""
    torch.manual_seed(1)
    right = torch.randn(6, 40, dtype=torch.float64)
    late = right.clone()
    late[2:] += torch.randn(4, 40, dtype=torch.float64)
    return right, dict(zip(MISTAKES, (2 * right, late), strict=True))


@pytest.fixture
def tokens_figure(logits):
    return live.how_many_tokens(*logits, IDS, Pieces())


# Shards


@pytest.mark.parametrize("count", live.COUNTS)
@pytest.mark.parametrize("cut", [0, 1])
def test_parts_joined_as_they_were_cut_are_the_matrix(count, cut):
    matrix = torch.arange(16.0 * 24).view(16, 24)
    assert torch.equal(live.joined(matrix, count, cut, cut, backwards=False), matrix)
    for axis, backwards in ((1 - cut, False), (cut, True), (1 - cut, True)):
        other = live.joined(matrix, count, cut, axis, backwards)
        assert other.shape == matrix.shape
        assert not torch.equal(other, matrix)
        assert sorted(other.flatten().tolist()) == matrix.flatten().tolist()


def test_what_the_wrong_axis_makes_by_hand():
    matrix = torch.tensor([[0.0, 1, 2, 3], [4, 5, 6, 7]])
    wrong = live.joined(matrix, 2, cut=1, axis=0, backwards=False)
    assert wrong.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]
    wrong = live.joined(matrix, 2, cut=0, axis=1, backwards=False)
    assert wrong.tolist() == matrix.tolist()  # one row each: side by side is one after the other
    wrong = live.joined(matrix, 2, cut=1, axis=1, backwards=True)
    assert wrong.tolist() == [[2, 3, 0, 1], [6, 7, 4, 5]]


def test_a_loss_is_that_of_a_model_with_these_weights(model, data):
    """All layers treated alike, by loading them; the embedding and the head as well."""
    for kind, names in {
        "wo": ["layers.0.attention.wo.weight", "layers.1.attention.wo.weight"],
        "output": ["output.weight"],
    }.items():
        state = model.state_dict()
        for name in names:
            parts = state[name].chunk(4, 1 if kind == "wo" else 0)
            poured = torch.cat(parts[::-1], 0 if kind == "wo" else 1)
            state[name] = poured.reshape(state[name].shape)
        broken = Transformer(CONFIG).double()
        broken.load_state_dict(state)
        wrong = broken(TOKENS)[:, :-1].flatten(0, 1)
        loss = F.cross_entropy(wrong, TOKENS[:, 1:].flatten()).item()
        axis = 0 if kind == "wo" else 1
        assert data["losses"][f"{kind} 4 {axis} 1"] == pytest.approx(loss, rel=6e-3)


def test_only_the_way_it_was_cut_gives_the_models_own_loss(model, data):
    own = F.cross_entropy(model(TOKENS)[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten()).item()
    assert len(data["losses"]) == 9 * 3 * 2 * 2
    for kind in live.KINDS:
        for count in live.COUNTS:
            loss = data["losses"][f"{kind} {count} {data['cut'][kind]} 0"]
            assert loss == pytest.approx(own, rel=6e-3)
    columns = {kind for kind, axis in data["cut"].items() if axis == 1}
    assert columns == {"wo", "w2", "tok_embeddings"}


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        (("wo", 2, 1, False), ("32 × 16", "32 × 32", "32 × 32", 64)),
        (("wo", 2, 0, False), ("32 × 16", "64 × 16", "32 × 32", 8)),
        (("wk", 8, 0, False), ("2 × 32", "16 × 32", "16 × 32", 64)),
        (("wk", 8, 1, True), ("2 × 32", "2 × 256", "16 × 32", 0)),
        (("w1", 4, 0, True), ("10 × 32", "40 × 32", "40 × 32", 0)),
        (("tok_embeddings", 4, 0, False), ("40 × 8", "160 × 8", "40 × 32", 4)),
    ],
)
def test_shapes_and_cells_in_their_place(data, given, numbers):
    found = live.shard_numbers(data, *given)
    assert tuple(found[name] for name in ("part", "joined", "wanted", "in_place")) == numbers


def test_a_tied_model_is_refused():
    tied = Transformer(CONFIG.replace(tie_embeddings=True))
    message = r"head is its embedding \(tie_embeddings=True\).*with tie_embeddings=False"
    with pytest.raises(ValueError, match=message):
        live.shards(tied, TOKENS)


# Tests of some length


def test_differences_are_the_largest_of_each_position(logits):
    right, wrong = logits
    data = live.token_data(right, wrong, IDS, Pieces())
    late = data["differences"]["late"]
    assert late[:2] == [0.0, 0.0]
    for position in (2, 5):
        gaps = [
            abs(a - b)
            for a, b in zip(right[position].tolist(), wrong["late"][position].tolist(), strict=True)
        ]
        assert late[position] == pytest.approx(max(gaps), rel=6e-3)
    assert data["right"] == [f"▁w{i}" for i in right.argmax(-1).tolist()]
    assert data["said"]["wo doubled"] == data["right"]


def test_a_test_fails_from_the_first_token_that_differs(logits):
    data = live.token_data(*logits, IDS, Pieces())
    for tokens in range(1, 7):
        found = live.token_numbers(data, "late", tokens)
        assert found["verdict"] == ("it passes" if tokens <= 2 else "it fails")
        assert found["worst"] == max(data["differences"]["late"][:tokens])
        assert found["token"] == f"▁w{IDS[tokens - 1]}"
    assert live.token_numbers(data, "wo doubled", 1)["verdict"] == "it fails"


# As the page and a kernel have them


def test_page_has_the_numbers_to_compare_and_says_them(model, tokens_figure):
    check_page(live.shards(model, TOKENS), n_checks=15, size=150_000)
    check_page(tokens_figure, n_checks=7, size=60_000)


# The static pictures


def test_memory_is_plotted_as_recorded():
    def record(*forms):
        course = [[0, 500, 0], [1, 1234.56, 250], [2, 2000, 750]]
        return {"forms": {form: {"bytes": 1000, "course": course} for form in forms}}

    small = record("meta-1", "meta-1, naive")
    left, right = plots.memory(small, record("meta-1", "meta-2", "huggingface")).axes
    for axes, line in ((left, 1), (left, 2), (right, 1)):
        assert list(axes.lines[line].get_xdata()) == [0, 0.5, 1]
        assert list(axes.lines[line].get_ydata()) == [0.5, 1.23, 2.0]  # with the file's pages
    for line in (2, 3):
        assert list(right.lines[line].get_ydata()) == [0, 0.25, 0.75]  # alone
    assert left.get_ylim()[1] == right.get_ylim()[1] > 2
    assert left.get_title() == "two layers, 0.0 GB"


def test_parts_of_files_are_named_in_their_order():
    kinds = {"a": [("program", "run me", 1234), ("numbers", "values", 56)]}
    (axes,) = plots.files(kinds).axes
    assert [text.get_text() for text in axes.texts] == [
        "run me",
        "1,234 bytes",
        "values",
        "56 bytes",
    ]
    program, frame, numbers, _ = axes.patches
    assert program.get_x() + program.get_width() == numbers.get_x()
    assert to_rgba(ROSE, 0.2) == program.get_facecolor() != numbers.get_facecolor()
    assert frame.get_width() == program.get_width()


def test_two_ways_cut_along_the_axis_or_not_at_all():
    cut, whole = plots.two_ways(
        {"wq": 0, "wo": 1, "norm": None}, {"wq": 0, "wo": 1, "norm": 1}
    ).axes
    first = [patch for patch in cut.patches if not patch.get_fill()]
    assert len(first) == 6
    upper, lower, left, right, *norms = first
    assert upper.get_width() == lower.get_width() > 2 * upper.get_height()
    assert upper.get_y() < lower.get_y()
    assert left.get_y() == right.get_y()
    assert left.get_x() < right.get_x()
    assert norms[0].get_height() < left.get_height()
    files = [patch.get_edgecolor() for patch in whole.patches if not patch.get_fill()]
    assert files == [to_rgba(BLUE), to_rgba(ORANGE), to_rgba(ORANGE)]


def test_misread_numbers_are_plotted_as_given():
    meant, read = torch.tensor([0.01, 1.0]).double(), torch.tensor([1.5, 1.875]).double()
    axes = plots.misread(meant, read).axes[0]
    assert list(axes.lines[0].get_ydata()) == [0.01, 1.0]
    assert list(axes.lines[1].get_ydata()) == [1.5, 1.88]


# The tables


def test_names_are_those_of_the_package():
    rows = tables.names().rows
    assert ["attention.wk", "half-split", "self_attn.k_proj"] in rows
    assert ["output", "as here", "lm_head"] in rows
    assert len(rows) == 12
    rows = tables.gpt2_names().rows
    assert ["attention.wk", "attn.c_attn", "in one"] in rows
    assert ["feed_forward.w2", "mlp.c_proj", "turned"] in rows
    assert ["ffn_norm", "ln_2", "as here"] in rows


def test_mistakes_and_round_trips_are_shown_as_given():
    found = {"nothing": (True, 0.5, "time"), "noise": (False, 3.25, "c c")}
    shown = tables.mistakes(found, 6.931)
    assert shown.rows == [["nothing", "passes", 0.5, "time"], ["noise", "fails", 3.25, "c c"]]
    assert "6.93" in shown.caption
    rows = [("native", [1.234, -5.0], 0.0, "yes"), ("int8", [1.0, 2.0], 0.234, "no")]
    assert tables.round_trip(rows, ["a", "b"]).rows == [
        ["native", "1.23", "-5.00", "0.0000", "yes"],
        ["int8", "1.00", "2.00", "0.2", "no"],
    ]


def test_sizes_on_the_disk_by_hand():
    rows = {row[0]: row[1:] for row in tables.on_disk().rows}
    assert rows["16 bit: Meta, Hugging Face"] == ["13.5", "26.0", "138.0"]
    assert rows["float32: llama2.c"][0] == f"{4 * 6.738415616:.1f}"
    assert rows["int8 in groups of 64: llama2.c"][0] == f"{68 / 64 * 6.738415616:.1f}"
