"""``llama-tutorial evaluate``: the loss of a model on a text, a token file, or dialogs.

With ``--engine numpy`` nothing here imports torch.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llama_tutorial._util.given_file import check_file, kind_of
from llama_tutorial._util.terminal import notice, printable
from llama_tutorial.checkpoints.folders import AnyTokenizer
from llama_tutorial.cli.engines import engine_processes, load_engine
from llama_tutorial.evaluation import Loss, check_windows, example_loss, text_loss
from llama_tutorial.finetuning.dialog_file import read_dialogs
from llama_tutorial.finetuning.examples import Example, encode_example
from llama_tutorial.pretraining import (
    VALIDATION_TALES,
    is_token_file,
    open_tokens,
    read_documents,
)
from llama_tutorial.tales import tales
from llama_tutorial.tales.dialogs import dialogs as tale_dialogs

TALES = "tales"
VALIDATION_DIALOGS = 300  # as many as finetune validates with
TEXT, TOKENS, DIALOGS = FORMS = ("text", "tokens", "dialogs")
_ONLY_TEXT = {"stride": (TEXT, TOKENS), "no_eos": (TEXT,)}


class _Measured(NamedTuple):
    """A loss, and what it was measured on."""

    loss: Loss
    n_documents: int  # or dialogs
    n_bytes: int | None  # of a text; None where tokens or dialogs were given
    context: int
    stride: int | None


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print what was found."""
    data = _data(arguments)
    form = _form(data, arguments.form)
    for name, forms in _ONLY_TEXT.items():
        if getattr(arguments, name) and form not in forms:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option}: {data} is measured as {form}; leave it out")
    if arguments.batch_size < 1:
        raise ValueError(f"--batch-size {arguments.batch_size}: must be at least 1")
    # A file is read before the model, which may be large, and tales are told after it.
    texts = read_documents(data) if form == TEXT and data != TALES else []
    given = read_dialogs(data) if form == DIALOGS and data != TALES else None
    with engine_processes(arguments):
        model, tokenizer = load_engine(arguments.model, arguments)
        check_windows(model.config, arguments.context, arguments.stride)
        if form == TEXT and data == TALES:
            texts = [tale.text for tale in tales(VALIDATION_TALES, "validation")]
        began = time.perf_counter()
        if form == DIALOGS:
            measured = _measure_dialogs(model, tokenizer, given, arguments)
        else:
            measured = _measure_text(model, tokenizer, texts, data, arguments)
        seconds = time.perf_counter() - began
    _print(measured, seconds, form, data, arguments)


def _data(arguments: argparse.Namespace) -> str:
    given = [data for data in (arguments.data, arguments.data_option) if data is not None]
    if len(given) > 1:
        raise ValueError(f"--data {given[1]}: {given[0]} is given already; leave one of them out")
    return given[0] if given else TALES


def _form(data: str, form: str | None) -> str:
    """What the data is: what ``--as`` says, or what it looks like."""
    if data == TALES:
        if form == TOKENS:
            raise ValueError("--as tokens: tales are text, or dialogs")
        return form or TEXT
    if not kind_of(data):
        raise FileNotFoundError(f"{data}: no such file; without one, held-out tales are measured")
    check_file(data)
    if form is not None:
        return form
    if is_token_file(data):
        return TOKENS
    return DIALOGS if Path(data).suffix in (".jsonl", ".json") else TEXT


def _measure_text(
    model: Any,
    tokenizer: AnyTokenizer,
    texts: list[str],
    data: str,
    arguments: argparse.Namespace,
) -> _Measured:
    """The loss on documents, each between BOS and EOS, as pretrain tokenizes them."""
    n_bytes = sum(len(text.encode()) for text in texts) if texts else None
    if texts:
        eos = not arguments.no_eos
        parts = [np.array(tokenizer.encode(text, bos=True, eos=eos)) for text in texts]
        ids, n_documents, bos_id = np.concatenate(parts), len(texts), tokenizer.bos_id
    else:
        ids, info = open_tokens(data)
        n_documents, bos_id = info.n_documents, info.bos_id
        if info.vocab_size != model.config.vocab_size:
            raise ValueError(
                f"{data} was made by a tokenizer of {info.vocab_size} pieces, the model has "
                f"{model.config.vocab_size}: they do not belong together; give the text itself"
            )
    context, stride = check_windows(model.config, arguments.context, arguments.stride)
    loss = text_loss(
        model,
        ids,
        context=context,
        stride=stride,
        batch_size=arguments.batch_size,
        bos_id=bos_id,
        progress=True,
    )
    return _Measured(loss, n_documents, n_bytes, context, stride)


def _measure_dialogs(
    model: Any, tokenizer: AnyTokenizer, given: list | None, arguments: argparse.Namespace
) -> _Measured:
    """The loss on the answers of dialogs, each by itself; too long ones are cut, as in finetune."""
    context, _ = check_windows(model.config, arguments.context)
    if given is None:
        given = list(
            tale_dialogs(
                VALIDATION_DIALOGS,
                "validation",
                room=context,
                length=lambda dialog: len(encode_example(dialog, tokenizer).ids),
            )
        )
    whole = [encode_example(dialog, tokenizer) for dialog in given]
    cut = [Example(ids[:context], labels[:context]) for ids, labels in whole]
    kept = [example for example in cut if any(label >= 0 for label in example.labels[1:])]
    if n_cut := sum(len(example.ids) > context for example in whole):
        notice(
            f"longer than {context} tokens: {n_cut:,} dialogs lost their end; "
            f"{len(cut) - len(kept):,} of them have no answer left and are not measured"
        )
    loss = example_loss(model, kept, batch_size=arguments.batch_size, progress=True)
    return _Measured(loss, len(kept), None, context, None)


def _print(
    measured: _Measured, seconds: float, form: str, data: str, arguments: argparse.Namespace
) -> None:
    loss = measured.loss
    found = {
        "model": arguments.model,
        "data": data,
        "form": form,
        "loss": loss.mean,
        "perplexity": loss.perplexity,
        "bits_per_byte": measured.n_bytes and loss.bits_per_byte(measured.n_bytes),
        "tokens": loss.n_tokens,
        "bytes": measured.n_bytes,
        "documents": measured.n_documents,
        "context": measured.context,
        "stride": measured.stride,
        "seconds": seconds,
        "tokens_per_second": loss.n_tokens / seconds,
    }
    if arguments.json:
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in found.items()
        }
        print(json.dumps(finite))
        return
    what = "dialog" if form == DIALOGS else "document"
    what += "s" * (measured.n_documents != 1) + ", answers only" * (form == DIALOGS)
    tokens = f"{measured.context:,} token{'s' * (measured.context != 1)}"
    windows = f", windows of {tokens}" if measured.stride else ""
    if measured.stride and measured.stride != measured.context:
        windows += f", one every {measured.stride:,}"
    print(printable(f"{arguments.model} on {data}"))
    print(f"  {'loss':<14} {loss.mean:.4f} nats per token")
    print(f"  {'perplexity':<14} {loss.perplexity:.4g}")
    if measured.n_bytes:
        print(f"  {'bits per byte':<14} {found['bits_per_byte']:.4f}")
    print(f"  {'tokens':<14} {loss.n_tokens:,} of {measured.n_documents:,} {what}{windows}")
    print(f"  {'time':<14} {seconds:.1f} s, {found['tokens_per_second']:,.0f} tokens/s")
