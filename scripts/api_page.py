"""Writes the API reference: one entry for every module of the package, filled from its docstrings.

    python scripts/api_page.py

It is ``book/api.md``, and a page in ``book/api/`` for each section. Run it when a module comes or
goes; a test holds the pages to what this writes. The order of the modules is the order in which a
reader meets them; a module that is not named below follows in its folder's section, or in the last.
"""

from __future__ import annotations

from pathlib import Path

from notebooks import BOOK, ROOT

SECTIONS = {
    "The model": ("model", "config gpt rmsnorm rope swiglu kv_cache gqa model"),
    "Tokens": ("tokens", "tokenizer chat"),
    "Generation": ("generation", "sampling generation numpy_llama quantization"),
    "Weights": ("weights", "hub shipped checkpoints"),
    "Training": ("training", "training pretraining evaluation finetuning lora"),
    "Tools": ("tools", "cli browser _util"),
    "The story world": ("tales", "tales"),
    "Figures": ("figures", "figures"),
}
"""Title to the page's name, and the modules in order."""

HEAD = """\
# API reference

Ten names are enough for most of what you will want to do. All of them come from `llama_tutorial` itself.

| name | what it does |
| --- | --- |
| {func}`~llama_tutorial.hub.load` | a model and its tokenizer: by name, path or hub id |
| {func}`~llama_tutorial.generation.generate` | continues one or many prompts |
| {func}`~llama_tutorial.generation.stream` | continues one prompt and yields each id at once |
| {class}`~llama_tutorial.config.ModelConfig` | a model's sizes and switches |
| {data}`~llama_tutorial.config.PRESETS` | the configurations of GPT-2, Llama and Llama 2 |
| {class}`~llama_tutorial.model.Transformer` | the decoder, freshly initialised |
| {class}`~llama_tutorial.kv_cache.KVCache` | keys and values of the tokens read so far |
| {func}`~llama_tutorial.checkpoints.load_model` | a model from a checkpoint in any of the known formats |
| {func}`~llama_tutorial.checkpoints.save_model` | a model into one of them |
| {func}`~llama_tutorial.tokenizer.load_tokenizer` | a tokenizer from its file |

## Five examples

They run as they stand, one after another, and need no download.

**Continue a text.** `generate` takes prompts as lists of ids and returns only the new ids.

```pycon
>>> from llama_tutorial import load, generate
>>> model, tokenizer = load("tales")
>>> prompt = tokenizer.encode("Once upon a time", bos=True)
>>> [new_ids] = generate(model, [prompt], max_new_tokens=24, temperature=0)
>>> tokenizer.decode(prompt + new_ids)
'Once upon a time, there was a little boy called Sam. He had a birthday, but nobody said a word about it. Sam'

```

**Show the text while it is written.** A character can be spread over several tokens, so let the stream decoder join
them. A seed fixes the draws.

```pycon
>>> from llama_tutorial import stream
>>> decoder = tokenizer.stream_decoder()
>>> for new_id in stream(model, prompt, max_new_tokens=12, seed=1):
...     print(decoder.feed(new_id), end="")
, there was a little girl named Clara. One morning,
>>> decoder.flush()  # bytes of a character that never ended
''

```

**Read the logits yourself,** at once or piece by piece with a cache. Both give the same.

```pycon
>>> import torch
>>> from llama_tutorial import KVCache
>>> tokens = torch.tensor([prompt])  # (B, T)
>>> cache = KVCache(model.config)
>>> with torch.inference_mode():
...     logits = model(tokens)  # (B, T, V)
...     first, rest = model(tokens[:, :3], cache), model(tokens[:, 3:], cache)
>>> logits.shape
torch.Size([1, 5, 1024])
>>> torch.testing.assert_close(torch.cat([first, rest], dim=1), logits, atol=1e-4, rtol=0)

```

**Build a model of your own size.** Count it before you build it.

```pycon
>>> from llama_tutorial import PRESETS, Transformer
>>> config = PRESETS["llama-2-7b"]
>>> print(f"{config.n_params:,}")
6,738,415,616
>>> config = config.replace(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=172, vocab_size=512)
>>> print(f"{config.n_params:,}")
156,480
>>> small = Transformer(config)

```

**Save it for somebody else.** The folder below opens in `transformers`, and `load_model` reads it back.

```pycon
>>> import tempfile
>>> from llama_tutorial import load_model, save_model
>>> with tempfile.TemporaryDirectory() as folder:
...     save_model(model, folder, "huggingface", tokenizer=tokenizer)
...     again = load_model(folder)
>>> with torch.inference_mode():
...     print(torch.equal(again(tokens), logits))
True

```

## All pages

Shapes stand in the signatures: `Float[Tensor, "B T D"]` is a tensor of floating-point numbers with these three sizes.
The tests check them at every call.

{LISTED}
## Notation

```{eval-rst}
.. automodule:: llama_tutorial
```
"""

ENTRY = """
## `llama_tutorial.{name}`

```{{eval-rst}}
.. automodule:: llama_tutorial.{name}
{members}```
"""


def modules() -> dict[str, Path]:
    """The package's modules by their names after ``llama_tutorial.``, folders as their own."""
    package = ROOT / "llama_tutorial"
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name and parts[-1] != "__main__":
            names[name] = path
    return names


def pages() -> dict[Path, str]:
    """The text of every page, by its place in the book."""
    home = {name: title for title, (_, names) in SECTIONS.items() for name in names.split()}
    order = list(home)
    sections: dict[str, list[str]] = {title: [] for title in SECTIONS}
    known = modules()
    for name in sorted(known, key=lambda name: _place(name, order)):
        sections[home.get(name.split(".")[0], "Tools")].append(name)
    texts, rows = {}, []
    for title, names in sections.items():
        file = f"{SECTIONS[title][0]}.md"
        entries = [_entry(name, known[name]) for name in names]
        texts[Path("api") / file] = "".join([f"# {title}\n", *entries])
        tops = ", ".join(f"`{name}`" for name in names if "." not in name)
        rows.append(f"| [{title}](api/{file}) | {tops} |\n")
    listed = "| page | modules |\n| --- | --- |\n" + "".join(rows)
    return {Path("api.md"): HEAD.replace("{LISTED}", listed), **texts}


def _place(name: str, order: list[str]) -> tuple[int, str]:
    first = name.split(".")[0]
    return (order.index(first) if first in order else len(order), name)


def _entry(name: str, path: Path) -> str:
    # What a folder's own file hands on is documented where it is written.
    members = "" if path.name == "__init__.py" and name != "checkpoints" else "   :members:\n"
    return ENTRY.format(name=name, members=members)


def main() -> None:
    """Writes the pages."""
    (BOOK / "api").mkdir(exist_ok=True)
    for path, text in pages().items():
        (BOOK / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
