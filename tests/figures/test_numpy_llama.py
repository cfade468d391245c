"""The NumPy chapter's figures: offsets against the reader, costs against plain sums, speeds."""

from __future__ import annotations

import struct

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import speed_table
from live_figures import check_page

from llama_tutorial import PRESETS, ModelConfig, figures
from llama_tutorial.figures.numpy_llama import live, plots, tables
from llama_tutorial.numpy_llama import llama2c
from llama_tutorial.numpy_llama.llama2c import ROPE_TABLES, Header

pytestmark = pytest.mark.usefixtures("figure_look")

SIZES = {"dim": 16, "n_layers": 3, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 24}
TIED = ModelConfig(**SIZES, vocab_size=11, max_seq_len=8, tie_embeddings=True)
UNTIED = TIED.replace(tie_embeddings=False)
FORMS = {
    "version 0": (TIED, 0),
    "untied": (UNTIED, 0),
    "version 1": (UNTIED, 1),
    "int8": (TIED, 2),
}


def tensors_of(config: ModelConfig) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        name: generator.standard_normal(shape, np.float32)
        for name, shape in Header(0, config).entries()
        if name not in ROPE_TABLES
    }


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, (config, version) in FORMS.items():
        llama2c.write(folder / name, config, tensors_of(config), version, group_size=8)
    return {name: folder / name for name in FORMS}


# The file


@pytest.mark.parametrize("name", FORMS)
def test_parts_follow_one_another_to_the_end(paths, name):
    data, config = live.file_data(paths[name]), FORMS[name][0]
    tensors = llama2c.read(paths[name]).tensors
    at, seen = live.file_numbers(data, 0, 0)["size"], []
    part = 0
    while at < data["length"]:
        part += 1
        for layer in range(config.n_layers):
            numbers = live.file_numbers(data, part, layer)
            if layer and not numbers["name"].endswith(f"layer {layer}"):
                break  # one tensor for the whole model
            assert numbers["first"] == f"{at:,}"
            at += numbers["size"]
            assert numbers["last"] == f"{at - 1:,}"
            seen.append(numbers)
    assert at == data["length"] == paths[name].stat().st_size
    assert len(seen) == len(tensors) + 2 * (FORMS[name][1] == 0)
    assert sum(numbers["share"] for numbers in seen) < 100


@pytest.mark.parametrize("name", FORMS)
def test_shown_numbers_are_those_that_the_reader_gives(paths, name):
    data = live.file_data(paths[name])
    file = llama2c.read(paths[name])
    shown = [live.file_numbers(data, part, layer) for part in range(1, 13) for layer in range(3)]
    for numbers in shown:
        kind, _, layer = numbers["name"].partition(" of layer ")
        names = [key for key in file.tensors if f".{kind}." in f".{key}"]
        names = [key for key in names if not layer or key.startswith(f"layers.{layer}.")]
        names = [key for key in names if layer or not key.startswith("layers.")]
        if not names:
            assert kind in ROPE_TABLES
            continue
        tensor = file.tensors[names[0]]
        if isinstance(tensor, np.ndarray):
            assert numbers["values"] == tensor.ravel()[:4].tolist()
        else:
            assert numbers["values"] == [*tensor.values[0, :3].tolist(), tensor.scales[0, 0]]
            assert numbers["labels"] == ["int8"] * 3 + ["scale"]
        assert numbers["shape"] == " × ".join(map(str, tensor.shape))


@pytest.mark.parametrize("name", FORMS)
def test_the_header_is_laid_out_field_by_field(paths, name):
    config, version = FORMS[name]
    fields = live.file_numbers(live.file_data(paths[name]), 0, 0)
    values = dict(zip(fields["labels"], fields["values"], strict=True))
    sign = -1 if version == 0 and not config.tie_embeddings else 1
    assert values["vocab_size"] == sign * config.vocab_size
    assert values["hidden_dim"] == config.hidden_dim
    assert ("magic" in values) == (version > 0)
    assert values.get("group size") == (8 if version == 2 else None)
    raw = bytes.fromhex("".join(fields["hexes"]).replace(" ", ""))
    assert paths[name].read_bytes().startswith(raw)
    assert fields["size"] == (256 if version else struct.calcsize("<7i"))


def test_beyond_the_last_part_is_the_last(paths):
    data = live.file_data(paths["int8"])
    assert live.file_numbers(data, 99, 99) == live.file_numbers(data, 11, 2)


# The cost


@pytest.mark.parametrize("name", ["stories15M", "llama-2-7b", "llama-2-70b"])
@pytest.mark.parametrize("tokens", [1, 16, 200])
def test_cached_operations_are_the_configurations(name, tokens):
    config = PRESETS[name]
    naive, cached = live.operations(config, tokens)
    assert cached == config.flops_per_token(tokens)
    head = 2 * config.vocab_size * config.dim
    one_by_one = sum(config.flops_per_token(t) for t in range(1, tokens + 1))
    masked = 2 * 2 * config.n_layers * config.dim * (tokens * (tokens - 1) // 2)
    assert naive == one_by_one + masked - (tokens - 1) * head


def test_bytes_of_an_untied_model_leave_the_embedding_out():
    config = PRESETS["llama-2-7b"]
    naive, cached = live.times(config, 1, 10**9)
    weights = 4 * (config.n_params - config.vocab_size * config.dim)
    assert naive == 1
    assert cached == 1 + config.kv_bytes_per_token("float32") / weights


@pytest.mark.parametrize("ridge", [2, 8, 64])
def test_the_cache_pays_from_where_arithmetic_is_the_bound(ridge):
    config = PRESETS["llama-2-7b"]
    numbers = live.cost_numbers(config, 1, ridge)
    assert numbers["bound"] == "memory"
    pays = numbers["pays"]
    before, at = (live.times(config, n, ridge) for n in (pays - 1, pays))
    assert before[0] <= before[1]
    assert at[0] > at[1]
    assert live.cost_numbers(config, pays, ridge)["bound"] == "arithmetic"


def test_a_length_beyond_the_context_is_the_context():
    config = PRESETS["stories15M"]
    assert live.cost_numbers(config, 4096, 8) == live.cost_numbers(config, 256, 8)


def test_where_no_length_pays_the_words_say_so():
    numbers = live.cost_numbers(PRESETS["stories15M"], 256, 10**6)
    assert numbers["pays"] == "no number of"


# Both live figures


def walk(paths):
    return live.file_walk(paths)


def cost(_):
    return live.cost(TIED.replace(max_seq_len=256))


@pytest.mark.parametrize("make", [walk, cost])
def test_page_has_the_numbers_to_compare_and_says_them(paths, make):
    check_page(make(paths))


# What stands still


def test_static_pictures_are_drawn():
    times = {"tokens": [1, 4, 16], "anew": [1, 1.5, 3], "cached": [1, 1, 1]}
    work = {"anew": [1e7, 4e7, 2e8], "cached": [1e7, 1e7, 1e7]}
    for picture in (plots.costs(work, times), plots.leads(*np.array([[3, 0.2], [0.1, 0.3]]))):
        assert figures.svg_text(picture).startswith("<svg")


def test_bounds_by_hand():
    rows = {row[0]: row[1:] for row in tables.bounds().rows}
    read = 6_738_415_616 - 32_000 * 4_096  # the untied embedding is looked up, not read
    float32, int8 = 4 * read / 1e9, 8.5 / 8 * read / 1e9
    expected = [f"{float32:.3g}", f"{int8:.3g}", f"{20 / float32:.3g}", f"{20 / int8:.3g}"]
    assert rows["llama-2-7b"] == expected
    assert rows["stories15M"][0] == "0.0608"


def test_faults_are_shown_as_given():
    shown = tables.faults(
        {"nothing": 0.604, "late": 0.6}, {"nothing": 0.0, "late": 3.7}, guess=6.93
    )
    assert shown.rows == [["nothing", "0.60", "0"], ["late", "0.60", "4"]]
    assert "6.93" in shown.caption


# The recorded speeds


def test_recorded_speeds_say_how_they_were_measured():
    recorded = figures.recorded("decoding")
    assert recorded["command"].startswith("python benchmarks/decoding.py --shape")
    assert {"numpy", "torch", "transformers"} <= recorded["versions"].keys()
    assert recorded["machine"]
    assert recorded["date"] > "2026"


def test_every_recorded_ratio_has_its_place_in_the_table():
    recorded = figures.recorded("decoding")
    rows = plots.speed_rows(recorded)
    assert all(len(row) == 1 + len(plots.COLUMNS) for row in rows)
    shown = sum(cell != "–" for row in rows for cell in row[1:])
    assert shown == sum(len(result["ratios"]) for result in recorded["results"])
    for result in recorded["results"]:
        for column, (part, name) in plots.COLUMNS.items():
            if part == result["part"]:
                at = result["shape"], result["threads"]
                assert plots.speed(recorded, *at, column) == result["ratios"][name]


def test_a_part_that_was_not_run_is_a_dash():
    result = {"shape": "15M", "threads": 2, "part": "eager"}
    ratios = {"eager: times transformers' speed": 1.5}
    rows = plots.speed_rows({"results": [{**result, "ratios": ratios}]})
    assert rows == [["15M, 2 threads", "–", "–", "–", "1.50", "–"]]


def test_table_of_speeds_has_a_row_for_each_ratio():
    shown, rows = figures.numpy_llama.speeds(), plots.speed_rows(figures.recorded("decoding"))
    assert len(shown.rows) == len(plots.COLUMNS)
    assert shown.header[1:] == [row[0] for row in rows]
    assert [row[1:] for row in shown.rows] == [list(c) for c in list(zip(*rows, strict=True))[1:]]


def test_readme_has_the_recorded_speeds():
    text = speed_table.README.read_text(encoding="utf-8")
    shown = text.split(speed_table.BEGIN)[1].split(speed_table.END)[0]
    assert shown == speed_table.table(), "run: python scripts/speed_table.py"
