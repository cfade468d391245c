"""The first page has no cells, so what it says is checked here."""

from __future__ import annotations

import re
from pathlib import Path

from llama_tutorial import PRESETS

INTRO = (Path(__file__).parent.parent / "book" / "intro.md").read_text(encoding="utf-8")
SIZES = "dim n_layers n_heads n_kv_heads hidden_dim vocab_size max_seq_len norm_eps".split()


def test_its_code_leads_from_gpt2_to_llama_2():
    (code,) = re.findall(r"```python\n(.*?)```", INTRO, re.DOTALL)
    names = {}
    exec(code, names)
    llama = PRESETS["llama-2-7b"]
    assert names["step"].replace(**{size: getattr(llama, size) for size in SIZES}) == llama


def test_its_vocabularies_are_those_of_the_models():
    assert f"{PRESETS['gpt2'].vocab_size:,} of them" in INTRO
    assert f"{PRESETS['llama-2-7b'].vocab_size:,} pieces" in INTRO
    assert PRESETS["llama-2-7b"].vocab_size < PRESETS["gpt2"].vocab_size  # "fewer rows"


def test_groups_are_for_the_large_models_only():
    grouped = [n for n, c in PRESETS.items() if n.startswith("llama-2") and c.group_size > 1]
    assert grouped == ["llama-2-34b", "llama-2-70b"]
