"""llama2.c's files: read and written byte by byte as `export.py` and `run.c` have them.

The files of these tests are put together here with `struct`, from the format's description and not
by the package's writer, and what the writer makes is taken apart in the same way.
"""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.numpy_llama import llama2c
from llama_tutorial.numpy_llama.llama2c import ForeignFileError, Header, parse_header
from llama_tutorial.quantization import QuantizedTensor

# A grouped model in which no two sizes are equal; its rows have 12 and 18 weights.
CONFIG = ModelConfig(
    dim=12, n_layers=3, n_heads=6, n_kv_heads=2, hidden_dim=18, vocab_size=7, max_seq_len=5
)
TIED = CONFIG.replace(tie_embeddings=True)
LAYER = {
    "attention_norm": (12,), "attention.wq": (12, 12), "attention.wk": (4, 12),
    "attention.wv": (4, 12), "attention.wo": (12, 12), "ffn_norm": (12,),
    "feed_forward.w1": (18, 12), "feed_forward.w2": (12, 18), "feed_forward.w3": (18, 12),
}  # fmt: skip
V0_LAYER = list(LAYER)
V1_LAYER = [name for name in LAYER if "norm" not in name]


def tensors_of(config, seed=0):
    """A value for every parameter, none like another."""
    rng = np.random.default_rng(seed)
    shapes = {"tok_embeddings.weight": (7, 12), "norm.weight": (12,)}
    for layer in range(3):
        shapes |= {f"layers.{layer}.{name}.weight": shape for name, shape in LAYER.items()}
    if not config.tie_embeddings:
        shapes["output.weight"] = (7, 12)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def floats(array):
    numbers = np.asarray(array).ravel().tolist()
    return struct.pack(f"<{len(numbers)}f", *numbers)


def stacked(tensors, kinds):
    return [tensors[f"layers.{layer}.{kind}.weight"] for kind in kinds for layer in range(3)]


def rope_tables():
    """Cosines, then sines, for 5 positions of heads of width 2: one pair, of frequency 1."""
    return [[math.cos(m) for m in range(5)], [math.sin(m) for m in range(5)]]


def v0(tensors, tied):
    parts = [tensors["tok_embeddings.weight"], *stacked(tensors, V0_LAYER)]
    parts += [tensors["norm.weight"], *rope_tables()]
    parts += [] if tied else [tensors["output.weight"]]
    header = struct.pack("<7i", 12, 18, 3, 6, 2, 7 if tied else -7, 5)
    return header + b"".join(map(floats, parts))


def v1_header(version, tied, group_size=None, heads=(6, 2), vocab=7):
    header = b"24ka" + struct.pack("<8iB", version, 12, 18, 3, *heads, vocab, 5, tied)
    header += b"" if group_size is None else struct.pack("<i", group_size)
    return header + bytes(256 - len(header))


def v1_order(tensors, tied):
    norms = [*stacked(tensors, ["attention_norm"]), *stacked(tensors, ["ffn_norm"])]
    matrices = [tensors["tok_embeddings.weight"], *stacked(tensors, V1_LAYER)]
    return [*norms, tensors["norm.weight"]], matrices + ([] if tied else [tensors["output.weight"]])


def v1(tensors, tied):
    norms, matrices = v1_order(tensors, tied)
    return v1_header(1, tied) + b"".join(map(floats, norms + matrices))


def v2(tensors, tied, group_size):
    """Every matrix is rounded in plain Python; returns the bytes and the rounded matrices."""
    norms, matrices = v1_order(tensors, tied)
    data = v1_header(2, tied, group_size) + b"".join(map(floats, norms))
    rounded = []
    for matrix in matrices:
        values, scales = [], []
        numbers = matrix.ravel().tolist()
        for start in range(0, len(numbers), group_size):
            group = numbers[start : start + group_size]
            scale = np.float32(max(map(abs, group))) / np.float32(127)
            values += [round(float(np.float32(number) / scale)) for number in group]
            scales.append(float(scale))
        data += struct.pack(f"<{len(values)}b", *values) + struct.pack(f"<{len(scales)}f", *scales)
        each = [value * scales[i // group_size] for i, value in enumerate(values)]
        rounded.append(np.array(each).reshape(matrix.shape))
    return data, rounded


def write_file(folder, data, name="model.bin"):
    path = folder / name
    path.write_bytes(data)
    return path


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32, name
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


# Reading


@pytest.mark.parametrize("config", [CONFIG, TIED], ids=["untied", "tied"])
@pytest.mark.parametrize(("version", "make"), [(0, v0), (1, v1)])
def test_a_float_file_is_read(tmp_path, config, version, make):
    tensors = tensors_of(config)
    file = llama2c.read(write_file(tmp_path, make(tensors, config.tie_embeddings)))
    assert (file.version, file.config, file.group_size) == (version, config, None)
    assert_same(file.tensors, tensors)


@pytest.mark.parametrize("group_size", [1, 2, 3, 6])
@pytest.mark.parametrize("config", [CONFIG, TIED], ids=["untied", "tied"])
def test_an_int8_file_is_read(tmp_path, config, group_size):
    tensors = tensors_of(config)
    data, _ = v2(tensors, config.tie_embeddings, group_size)
    _, matrices = v1_order({name: name for name in tensors}, config.tie_embeddings)
    _, rounded = v2(tensors, config.tie_embeddings, group_size)
    file = llama2c.read(write_file(tmp_path, data))
    assert (file.version, file.config, file.group_size) == (2, config, group_size)
    for name, array in tensors.items():
        if array.ndim == 1:
            np.testing.assert_array_equal(file.tensors[name], array, strict=True)
    for name, expected in zip(matrices, rounded, strict=True):
        tensor = file.tensors[name]
        assert isinstance(tensor, QuantizedTensor)
        assert (tensor.shape, tensor.group_size) == (tensors[name].shape, group_size)
        assert tensor.dequantize().dtype == np.float32
        np.testing.assert_array_equal(tensor.dequantize(), expected.astype(np.float32))


def test_a_real_file_is_read(assets):
    file = llama2c.read(assets / "stories260K.bin")
    assert (file.version, file.config) == (0, PRESETS["stories260K"])
    raw = (assets / "stories260K.bin").read_bytes()
    assert struct.unpack_from("<f", raw, 28)[0] == file.tensors["tok_embeddings.weight"][0, 0]
    before_tables = len(raw) - 2 * 512 * 4 * 4
    assert struct.unpack_from("<f", raw, before_tables - 4)[0] == file.tensors["norm.weight"][63]
    numbers = sum(array.size for array in file.tensors.values())
    assert numbers == file.config.n_params


@pytest.mark.parametrize("make", [v0, v1, lambda tensors, tied: v2(tensors, tied, 6)[0]])
def test_tensors_are_views_of_the_file_and_writing_to_them_leaves_it_alone(tmp_path, make):
    path = write_file(tmp_path, make(tensors_of(TIED), True))
    before = path.read_bytes()
    file = llama2c.read(path)
    for tensor in file.tensors.values():
        quantized = isinstance(tensor, QuantizedTensor)
        for array in (tensor.values, tensor.scales) if quantized else (tensor,):
            assert type(array) is np.ndarray
            owner = array
            while isinstance(owner, np.ndarray):
                assert not owner.flags.owndata
                owner = owner.base
            array[...] = 1
    assert path.read_bytes() == before


def test_reading_needs_no_torch(tmp_path):
    """In a fresh interpreter where importing torch fails, as if it were not installed."""
    path = write_file(tmp_path, v0(tensors_of(CONFIG), False))
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "import llama_tutorial\n"
        "from llama_tutorial.numpy_llama import llama2c\n"
        "file = llama2c.read(sys.argv[1])\n"
        "llama2c.write(sys.argv[2], file.config, file.tensors)\n"
        "print(file.config.dim, len(file.tensors))\n"
        "try:\n"
        "    llama_tutorial.load_model(sys.argv[1])\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    source = Path(llama2c.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "again.bin"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd=tmp_path,
    )
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == "12 30"
    assert "checkpoints needs torch: pip install" in second
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()


# Writing


@pytest.mark.parametrize("config", [CONFIG, TIED], ids=["untied", "tied"])
@pytest.mark.parametrize(("version", "make"), [(0, v0), (1, v1)])
def test_a_float_file_is_written_byte_for_byte(tmp_path, config, version, make):
    tensors = tensors_of(config)
    llama2c.write(tmp_path / "a.bin", config, tensors, version)
    written = (tmp_path / "a.bin").read_bytes()
    assert written == make(tensors, config.tie_embeddings)


@pytest.mark.parametrize("group_size", [1, 2, 3, 6])
@pytest.mark.parametrize("config", [CONFIG, TIED], ids=["untied", "tied"])
def test_an_int8_file_is_written_byte_for_byte(tmp_path, config, group_size):
    tensors = tensors_of(config)
    tensors["layers.1.feed_forward.w2.weight"][2, 6:12] = [254, 3, 1, -5, 2, 127]
    llama2c.write(tmp_path / "a.bin", config, tensors, 2, group_size)
    expected, _ = v2(tensors, config.tie_embeddings, group_size)
    assert (tmp_path / "a.bin").read_bytes() == expected


def test_an_int8_file_is_laid_out_as_runq_walks_through_it(tmp_path):
    """runq.c's pointer goes over the norms, then, matrix by matrix, values and scales."""
    tensors = tensors_of(CONFIG)
    tensors["layers.0.attention.wk.weight"][:] = 0  # groups of zeros
    llama2c.write(tmp_path / "a.bin", CONFIG, tensors, 2, 6)
    data = (tmp_path / "a.bin").read_bytes()
    assert data[:4] == b"24ka"
    assert struct.unpack_from("<8iBi", data, 4) == (2, 12, 18, 3, 6, 2, 7, 5, 0, 6)
    assert not any(data[41:256])
    norms, matrices = v1_order({name: name for name in tensors}, tied=False)
    at = 256
    for name in norms:
        assert struct.unpack_from("<12f", data, at) == tuple(tensors[name].tolist())
        at += 4 * 12
    for name in matrices:
        flat = tensors[name].ravel().tolist()
        values = struct.unpack_from(f"<{len(flat)}b", data, at)
        at += len(flat)
        scales = struct.unpack_from(f"<{len(flat) // 6}f", data, at)
        at += 4 * (len(flat) // 6)
        for i, weight in enumerate(flat):
            assert abs(values[i] * scales[i // 6] - weight) <= scales[i // 6] * (0.5 + 1e-5), name
    assert at == len(data)


def test_a_real_file_is_written_back_but_for_its_rope_tables(assets, tmp_path):
    """The tables of the original are products in float32, ours in float64, rounded at the end."""
    original = assets / "stories260K.bin"
    file = llama2c.read(original)
    llama2c.write(tmp_path / "a.bin", file.config, file.tensors)
    old, new = original.read_bytes(), (tmp_path / "a.bin").read_bytes()
    tables = 2 * 512 * 4 * 4  # the file ends with them, since the head is tied
    assert len(new) == len(old)
    assert new[:-tables] == old[:-tables]
    angles = np.frombuffer(new[-tables:], "<f4"), np.frombuffer(old[-tables:], "<f4")
    np.testing.assert_allclose(*angles, atol=5e-5)  # 511 * 2**-24 radians, and a few roundings


def test_versions_0_and_1_hold_the_same(assets, tmp_path):
    file = llama2c.read(assets / "stories260K.bin")
    names = [tmp_path / name for name in ("a.v0", "b.v1", "c.v0")]
    for path, version in zip(names, (0, 1, 0), strict=True):
        llama2c.write(path, file.config, file.tensors, version)
        file = llama2c.read(path)
        assert file.version == version
    assert names[0].read_bytes() == names[2].read_bytes()


def test_an_int8_file_written_from_an_int8_file_is_the_same(assets, tmp_path):
    file = llama2c.read(assets / "stories260K.bin")
    for name in ("a.bin", "b.bin"):
        llama2c.write(tmp_path / name, file.config, file.tensors, 2, 4)
        file = llama2c.read(tmp_path / name)
        for key, tensor in file.tensors.items():
            if isinstance(tensor, QuantizedTensor):
                file.tensors[key] = tensor.dequantize()
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_tensors_may_be_narrower_or_not_contiguous(tmp_path):
    tensors = tensors_of(TIED)
    expected = v0({name: array.astype(np.float16) for name, array in tensors.items()}, True)
    halves = {name: array.astype(np.float16).T.copy().T for name, array in tensors.items()}
    llama2c.write(tmp_path / "a.bin", TIED, halves)
    assert (tmp_path / "a.bin").read_bytes() == expected


def test_a_file_may_be_replaced_while_it_is_read(tmp_path):
    path = write_file(tmp_path, v0(tensors_of(TIED), True))
    file = llama2c.read(path)
    llama2c.write(path, file.config, file.tensors, version=1)
    assert_same(file.tensors, tensors_of(TIED))
    assert_same(llama2c.read(path).tensors, tensors_of(TIED))


def test_a_writer_that_fails_halfway_leaves_the_old_file_and_no_other(tmp_path):
    path = write_file(tmp_path, b"old")
    tensors = tensors_of(TIED)
    tensors["norm.weight"] = np.zeros(13, np.float32)  # the last but two
    with pytest.raises(ValueError, match=r"norm.weight is \(13,\), must be \(12,\)"):
        llama2c.write(path, TIED, tensors)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.bin"]


# What cannot be read


def refused(path, kind=ValueError):
    with pytest.raises(kind) as error:
        llama2c.read(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_missing_file(tmp_path):
    assert refused(tmp_path / "none.bin", FileNotFoundError).endswith("none.bin: no such file")


def test_a_folder(tmp_path):
    assert "is a folder; a llama2.c checkpoint is one file" in refused(tmp_path, ForeignFileError)


def test_an_empty_file(tmp_path):
    assert refused(write_file(tmp_path, b"")).endswith("is empty (0 bytes)")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"import os\n\nprint(os.name)\n" * 40, "text that begins 'import os print(os.name)"),
        (b"x = 1\n", "but text that begins 'x = 1'"),
        ("Übermut tut selten gut".encode(), "but text that begins 'Übermut tut selten gut'"),
        (b"GGUF\3\0\0\0" + bytes(100), "but a GGUF file"),
        (b"PK\3\4" + bytes(100), "but a zip archive, as torch.save makes them"),
        (struct.pack("<Q", 70) + b'{"a":' + bytes(70), "but a safetensors file"),
        (bytes(400), "all zeros at its beginning: the disk was full"),
        (b"\x7fELF" + bytes(range(1, 100)), "read as one, dim=1179403647: must be between"),
        (struct.pack("<7i", 64, 172, -5, 8, 4, 512, 512), "read as one, n_layers=-5: must be"),
        (struct.pack("<7i", 64, 172, 5, 7, 4, 512, 512), "n_heads=7 does not divide dim=64"),
        (struct.pack("<7i", 64, 172, 5, 8, 3, 512, 512), "n_kv_heads=3 does not divide n_heads=8"),
        (struct.pack("<7i", 64, 172, 5, 8, 4, 0, 512), "vocab_size=0: must be"),
        (struct.pack("<7i", 64, 172, 5, 8, 4, -(2**31), 512), "vocab_size=2147483648: must be"),
        (struct.pack("<7i", 64, 172, 5, 8, 4, 512, 2**24 + 1), "max_seq_len=16777217: must be"),
        (struct.pack("<7i", 64, 172, 5, 64, 4, 512, 512), "it must be even"),
    ],
)  # fmt: skip
def test_a_foreign_file_is_recognised(tmp_path, data, message):
    text = refused(write_file(tmp_path, data), ForeignFileError)
    assert "is no llama2.c checkpoint" in text
    assert message in text


def test_llama2cs_own_tokenizer_is_no_checkpoint(assets):
    assert "is no llama2.c checkpoint" in refused(assets / "tok512.bin", ForeignFileError)


@pytest.mark.parametrize("version", [0, 3, 2**31 - 1, -1])
def test_an_unknown_version(tmp_path, version):
    path = write_file(tmp_path, v1_header(version, True))
    expected = f"is a llama2.c file of version {version}; this package reads versions 0, 1 and 2"
    assert refused(path).endswith(expected)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("<2i", 64, 172), "has 8 bytes where the header alone takes 28"),
        (v1_header(1, True)[:200], "has 200 bytes where the header alone takes 256"),
        (v1_header(1, 2), "is damaged: the flag for a tied head is 2, must be 0 or 1"),
        (v1_header(1, True, heads=(5, 5)), "a damaged header: n_heads=5 does not divide dim=12"),
        (v1_header(1, True, vocab=-7), "has a damaged header: vocab_size=-7: must be between"),
        (v1_header(2, True, 0), "damaged header: group_size=0: must divide rows of 12 and 18"),
        (v1_header(2, True, 4), "the last columns of a row would fall into no group and be lost"),
    ],
)  # fmt: skip
def test_a_damaged_header(tmp_path, data, message):
    assert message in refused(write_file(tmp_path, data))


@pytest.mark.parametrize("make", [v0, v1, lambda tensors, tied: v2(tensors, tied, 6)[0]])
@pytest.mark.parametrize("tied", [True, False])
def test_a_truncated_or_a_longer_file(tmp_path, make, tied):
    data = make(tensors_of(TIED if tied else CONFIG), tied)
    for cut in (1, len(data) // 2, len(data) - 256):
        text = refused(write_file(tmp_path, data[:-cut]))
        assert "is truncated: a version" in text
        expected = f"has {len(data)} bytes; this has {len(data) - cut}, {cut} are missing"
        assert text.endswith(expected)
        assert f"vocab_size=7 and {'a tied' if tied else 'an untied'} head" in text
    text = refused(write_file(tmp_path, data + b"12345"))
    assert "is too long: a version" in text
    assert text.endswith(f"this has {len(data) + 5}, 5 are too many")


def test_half_of_a_real_file(assets, tmp_path):
    half = (assets / "stories260K.bin").read_bytes()[: 1056540 // 2]
    assert "has 1056540 bytes; this has 528270" in refused(write_file(tmp_path, half))


# What cannot be written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "layernorm"}, "norm='layernorm' (must be 'rmsnorm')"),
        ({"feed_forward": "gelu"}, "feed_forward='gelu' (must be 'swiglu')"),
        ({"positions": "learned"}, "positions='learned' (must be 'rope')"),
        ({"bias": True}, "bias=True (must be False)"),
        ({"norm_eps": 1e-6}, "norm_eps=1e-06 (must be 1e-05)"),
        ({"rope_theta": 1e6}, "rope_theta=1000000.0 (must be 10000.0)"),
        (
            {"norm_eps": 1e-6, "bias": True},
            "bias=True (must be False), norm_eps=1e-06 (must be 1e-05): the header has sizes only",
        ),
    ],
)
def test_a_model_that_the_format_cannot_hold(tmp_path, changes, message):
    with pytest.raises(ValueError, match=r"^llama2\.c's files cannot hold") as error:
        llama2c.write(tmp_path / "a.bin", CONFIG.replace(**changes), {})
    assert message in str(error.value)
    assert "save with format='native'" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_size_that_would_not_be_read_back_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"max_seq_len=16777217: must be .* at most 16777216"):
        llama2c.write(tmp_path / "a.bin", CONFIG.replace(max_seq_len=2**24 + 1), tensors_of(CONFIG))


def test_an_unknown_version_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"version=3: llama2\.c's files are of version 0, 1 or 2"):
        llama2c.write(tmp_path / "a.bin", CONFIG, tensors_of(CONFIG), version=3)


@pytest.mark.parametrize("group_size", [64, 0, 4, 12])
def test_a_group_size_that_does_not_divide_every_row(tmp_path, group_size):
    """12 divides the rows of all matrices but w2's; export.py would accept it, runq cut w2."""
    with pytest.raises(ValueError, match=f"group_size={group_size}: must divide rows of 12 and 18"):
        llama2c.write(tmp_path / "a.bin", CONFIG, tensors_of(CONFIG), 2, group_size)
    assert not list(tmp_path.iterdir())


def test_missing_and_unexpected_tensors_are_named(tmp_path):
    tensors = tensors_of(CONFIG)
    del tensors["layers.2.ffn_norm.weight"]
    with pytest.raises(ValueError, match=r"fit the configuration; missing: layers.2.ffn_norm.weig"):
        llama2c.write(tmp_path / "a.bin", CONFIG, tensors)
    with pytest.raises(ValueError, match=r"fit the configuration; unexpected: output.weight$"):
        llama2c.write(tmp_path / "a.bin", TIED, tensors_of(CONFIG))
    assert not list(tmp_path.iterdir())


def test_weights_that_float32_would_not_keep_are_refused(tmp_path):
    tensors = tensors_of(CONFIG)
    tensors["layers.0.attention.wq.weight"] = np.full((12, 12), 0.1)
    with pytest.raises(ValueError, match=r"layers.0.attention.wq.weight is float64.*model.float"):
        llama2c.write(tmp_path / "a.bin", CONFIG, tensors)


def test_a_matrix_that_cannot_be_rounded_is_named(tmp_path):
    tensors = tensors_of(CONFIG)
    tensors["layers.1.attention.wo.weight"][3, 4] = np.nan
    message = "layers.1.attention.wo.weight holds an infinite weight or NaN"
    with pytest.raises(ValueError, match=message):
        llama2c.write(tmp_path / "a.bin", CONFIG, tensors, 2, 6)
    assert not list(tmp_path.iterdir())


# The header by itself


@pytest.mark.parametrize(
    ("header", "packed"),
    [
        (Header(0, TIED), struct.pack("<7i", 12, 18, 3, 6, 2, 7, 5)),
        (Header(0, CONFIG), struct.pack("<7i", 12, 18, 3, 6, 2, -7, 5)),
        (Header(1, TIED), b"24ka" + struct.pack("<8iB", 1, 12, 18, 3, 6, 2, 7, 5, 1)),
        (Header(1, CONFIG), b"24ka" + struct.pack("<8iB", 1, 12, 18, 3, 6, 2, 7, 5, 0)),
        (Header(2, CONFIG, 3), b"24ka" + struct.pack("<8iBi", 2, 12, 18, 3, 6, 2, 7, 5, 0, 3)),
    ],
)
def test_a_header_is_packed_and_read_back(header, packed):
    n_bytes = 28 if header.version == 0 else 256
    assert header.pack() == packed.ljust(n_bytes, b"\0")
    assert parse_header(header.pack() + bytes(300)) == header


def test_the_real_headers_numbers(assets):
    said = json.loads((assets / "stories260k_greedy.json").read_text(encoding="utf-8"))["config"]
    header = parse_header((assets / "stories260K.bin").read_bytes()[:256])
    assert said == {name: getattr(header.config, name) for name in said}
    assert header.config.tie_embeddings


@pytest.mark.parametrize("name", ["llama-2-7b", "llama-2-70b", "stories15M"])
def test_the_length_of_a_large_file_is_known_without_it(name):
    config = PRESETS[name]
    tables = config.max_seq_len * config.head_dim
    assert Header(0, config).file_bytes() == 28 + 4 * (config.n_params + tables)
    assert Header(1, config).file_bytes() == 256 + 4 * config.n_params
    if name == "stories15M":
        assert Header(0, config).file_bytes() == 60_816_028  # as published


def test_int8_takes_8_bits_and_a_share_of_a_scale():
    config = PRESETS["llama-2-7b"]
    norms = 65 * 4096
    assert (
        Header(2, config, 64).file_bytes() == 256 + 4 * norms + (config.n_params - norms) * 17 / 16
    )


def test_123_layers_are_not_taken_for_a_safetensors_file():
    """Its layers are byte 8, and a safetensors file has a brace there: 123 in ASCII."""
    head = struct.pack("<7i", 12, 18, ord("{"), 6, 2, 7, 5)
    assert parse_header(head + bytes(300)).config.n_layers == 123
