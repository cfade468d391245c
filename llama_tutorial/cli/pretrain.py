"""``llama-tutorial pretrain``: train a model from nothing, on the story world or any text.

The defaults train the small Llama that this package ships. A run that was stopped, by Ctrl-C or by
anything else, goes on when the same command is given again. On several GPUs, `torchrun
--nproc-per-node N -m llama_tutorial pretrain --device cuda ...` is the same run, and may go on with
another N.
"""

from __future__ import annotations

import argparse
import hashlib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_tutorial.cli.options import add_device, parse_device

if TYPE_CHECKING:
    from llama_tutorial.config import ModelConfig
    from llama_tutorial.pretraining import Corpus, TokenStream
    from llama_tutorial.tokenizer.base import BaseTokenizer
    from llama_tutorial.training.loop import TrainConfig

DESCRIPTION = """Train a model from nothing. The defaults train the model that this package ships
(1.3 million parameters on 33 million tokens of tales): about an hour and a quarter on two CPU cores
that compute in bfloat16 (--autocast bfloat16), and a validation loss of 0.42 at the end,
from 6.9 at the start. --steps 2000 takes ten minutes and tells tales that lose their thread."""
SAMPLE_TOKENS = 80
VALIDATION_BATCHES = 20
TOKENIZER_TALES = 5000


def add(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "pretrain", help="train a model from nothing", description=DESCRIPTION
    )
    command.set_defaults(run=run)
    command.add_argument("--out", required=True, help="the folder for everything that is written")
    command.add_argument("--data", default="tales", help="tales, tinystories, or a text file")
    command.add_argument("--tales", type=int, default=200_000, help="how many tales to tell")
    _add_tokenizer(command.add_argument_group("tokenizer"))
    _add_model(command.add_argument_group("model"))
    _add_training(command.add_argument_group("training"))


def _add_tokenizer(group: Any) -> None:
    group.add_argument("--tokenizer", help="a tokenizer's file; by default one is trained")
    group.add_argument("--vocab-size", type=int, default=1024, help="of the one that is trained")
    group.add_argument("--characters", action="store_true", help="one token a character instead")


def _add_model(group: Any) -> None:
    group.add_argument("--preset", help="a preset's name, in place of the sizes below")
    group.add_argument("--dim", type=int, default=128)
    group.add_argument("--layers", type=int, default=6)
    group.add_argument("--heads", type=int, default=8)
    group.add_argument("--kv-heads", type=int, default=4)
    group.add_argument("--hidden-dim", type=int, default=384)
    group.add_argument("--context", type=int, default=256)
    group.add_argument("--untied", action="store_true", help="an output head of its own")


def _add_training(group: Any) -> None:
    group.add_argument("--steps", type=int, default=16_000)
    group.add_argument("--batch-size", type=int, default=8, help="rows of --context tokens")
    group.add_argument("--micro-batches", type=int, default=1, help="parts of a batch, for memory")
    group.add_argument("--lr", type=float, default=3e-3, help="the peak")
    group.add_argument("--warmup", type=int, default=100, help="steps")
    group.add_argument("--evaluate-every", type=int, default=1000, help="steps")
    group.add_argument("--checkpoint-every", type=int, default=500, help="steps")
    group.add_argument("--cross-documents", action="store_true", help="attend across documents")
    group.add_argument("--seed", type=int, default=0)
    group.add_argument("--autocast", choices=["bfloat16"], help="compute in it")
    group.add_argument("--compile", action="store_true")
    group.add_argument("--gradient-checkpointing", action="store_true")
    add_device(group)


def run(arguments: argparse.Namespace) -> None:
    """Prepare tokens, train, and print what the run is and what the model writes."""
    from llama_tutorial.training.processes import loading_device, process_group

    with process_group(parse_device(arguments.device)) as device:
        _run(arguments, loading_device(device))


def _run(arguments: argparse.Namespace, device: Any) -> None:
    import torch

    from llama_tutorial.model import Transformer
    from llama_tutorial.pretraining import load_corpus
    from llama_tutorial.training.loop import train
    from llama_tutorial.training.processes import rank0_first, world_size

    settings, out = _settings(arguments), Path(arguments.out)
    if arguments.batch_size < world_size():
        raise ValueError(
            f"--batch-size {arguments.batch_size}: {world_size()} processes share the rows of a "
            "batch, so that there must be one for each"
        )
    with rank0_first():  # which tokenises; the others find it done
        out.mkdir(parents=True, exist_ok=True)
        corpus = load_corpus(arguments.data, arguments.tales, arguments.seed)
        tokenizer = _tokenizer(arguments, corpus, out)
        training, validation = _streams(arguments, corpus, tokenizer, out)
    torch.manual_seed(arguments.seed)
    model = Transformer(_config(arguments, tokenizer.vocab_size)).to(device)
    tokens = arguments.steps * arguments.batch_size * arguments.context
    print(
        f"{model.config.n_params:,} parameters, {training.info.n_tokens:,} tokens of text, "
        f"{tokens:,} to train on ({tokens / training.info.n_tokens:.1f} epochs)"
    )
    finished = train(
        model,
        training.batch,
        settings,
        out,
        validation=list(islice(validation.every_window(), VALIDATION_BATCHES)),
        tokenizer=tokenizer,
        data={"source": training.info.source, "batch_size": arguments.batch_size}
        | {"seed": arguments.seed, "cross_documents": arguments.cross_documents},
        on_evaluation=lambda step, model: print(f"step {step}: {_sample(model, tokenizer)}"),
    )
    done = f"finished: the model is {out / 'model'}"
    print(done if finished else "stopped; the same command goes on from here")


def _settings(arguments: argparse.Namespace) -> TrainConfig:
    from llama_tutorial.training.loop import TrainConfig

    return TrainConfig(
        total_steps=arguments.steps,
        peak_lr=arguments.lr,
        warmup_steps=arguments.warmup,
        micro_batches=arguments.micro_batches,
        autocast=arguments.autocast,
        compile=arguments.compile,
        gradient_checkpointing=arguments.gradient_checkpointing,
        evaluate_every=arguments.evaluate_every,
        checkpoint_every=arguments.checkpoint_every,
    )


def _streams(
    arguments: argparse.Namespace, corpus: Corpus, tokenizer: BaseTokenizer, out: Path
) -> tuple[TokenStream, TokenStream]:
    """Training and validation tokens, made once and kept in ``out``."""
    from llama_tutorial.pretraining import TokenStream, tokenize

    sizes = {
        "batch_size": arguments.batch_size,
        "context": arguments.context,
        "seed": arguments.seed,
        "separate_documents": not arguments.cross_documents,
    }
    pieces = "\n".join(tokenizer.vocabulary.pieces).encode()
    source = f"{corpus.source} {hashlib.sha256(pieces).hexdigest()}"
    texts = {"training": corpus.training, "validation": corpus.validation}
    return tuple(
        TokenStream(tokenize(documents, tokenizer, out / f"{name}.tokens", source), **sizes)
        for name, documents in texts.items()
    )


def _config(arguments: argparse.Namespace, vocab_size: int) -> ModelConfig:
    from llama_tutorial.config import PRESETS, ModelConfig

    if arguments.preset is not None:
        if arguments.preset not in PRESETS:
            raise ValueError(f"--preset {arguments.preset}: must be one of {', '.join(PRESETS)}")
        return PRESETS[arguments.preset].replace(
            vocab_size=vocab_size, max_seq_len=arguments.context
        )
    return ModelConfig(
        dim=arguments.dim,
        n_layers=arguments.layers,
        n_heads=arguments.heads,
        n_kv_heads=arguments.kv_heads,
        hidden_dim=arguments.hidden_dim,
        vocab_size=vocab_size,
        max_seq_len=arguments.context,
        tie_embeddings=not arguments.untied,
    )


def _tokenizer(arguments: argparse.Namespace, corpus: Corpus, out: Path) -> BaseTokenizer:
    """The tokenizer that is given, that lies in ``out`` from before, or a new one."""
    from llama_tutorial.tales import tales
    from llama_tutorial.tokenizer.bpe import BPETokenizer
    from llama_tutorial.tokenizer.sentencepiece import Tokenizer, load_tokenizer

    path = out / "tokenizer.model"
    if arguments.tokenizer is not None:
        return load_tokenizer(arguments.tokenizer)
    if not path.exists():
        if arguments.data == "tales":  # told while they are read, so others are told to learn from
            n = min(TOKENIZER_TALES, arguments.tales)
            texts = [tale.text for tale in tales(n, seed=arguments.seed)]
        else:
            texts = [*corpus.training, *corpus.validation]
        if arguments.characters:
            BPETokenizer.of_characters(texts).save(path)
        else:
            Tokenizer.train(texts, arguments.vocab_size).save(path)
    return load_tokenizer(path)


def _sample(model: Any, tokenizer: BaseTokenizer) -> str:
    from llama_tutorial.generation import generate

    room = min(SAMPLE_TOKENS, model.config.max_seq_len - 1)
    (ids,) = generate(
        model, [[tokenizer.bos_id]], room, temperature=0.7, seed=0, stop_ids={tokenizer.eos_id}
    )
    return tokenizer.decode(ids)
