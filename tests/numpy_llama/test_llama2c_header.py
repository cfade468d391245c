"""llama2.c's header: 28 or 256 bytes that say all about the file behind them.

How each fault in a header is told to the user stands in test_llama2c_file.py.
"""

from __future__ import annotations

import json
import struct

import pytest

from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.numpy_llama.llama2c_header import Header, parse_header

CONFIG = ModelConfig(
    dim=12, n_layers=3, n_heads=6, n_kv_heads=2, hidden_dim=18, vocab_size=7, max_seq_len=5
)
TIED = CONFIG.replace(tie_embeddings=True)


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
