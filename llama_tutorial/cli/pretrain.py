"""``llama-tutorial pretrain``: train a model on the story world or any text, from nothing or not.

The defaults are the first 16,000 steps of the small Llama that this package ships. A run that was
stopped, by Ctrl-C or by anything else, goes on when the same command is given again. Killed before
the first step, it leaves a tokenizer that the next start trains anew, and half of a token file
(``.training.tokens.*.tmp``), which the next start removes; a start that fails removes the folder,
if it has made it.

On several GPUs, `torchrun --nproc-per-node N -m llama_tutorial pretrain --device cuda ...` is the
same run, and may go on with another N.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from itertools import islice
from pathlib import Path

import torch

from llama_tutorial import hub
from llama_tutorial._util.progress import lines_without_terminal
from llama_tutorial.checkpoints.folders import TOKENIZER_FILES, AnyTokenizer
from llama_tutorial.checkpoints.native import check_target
from llama_tutorial.cli.engines import parse_device
from llama_tutorial.cli.options import options_named
from llama_tutorial.cli.parser import SMALL_MODEL
from llama_tutorial.cli.training import (
    check_apart,
    check_batch_size,
    check_common,
    check_same_run,
    check_unused,
    check_whole,
    folder_of_run,
    report_end,
    say,
    setting_of_run,
    train_config,
    weights_name,
)
from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.finetuning.examples import with_context
from llama_tutorial.generation import generate
from llama_tutorial.model import Transformer
from llama_tutorial.pretraining import (
    DATA_SETS,
    Corpus,
    SizedTexts,
    TokenStream,
    fetch_tokens,
    is_tokenized,
    keep_tokens,
    load_corpus,
    tokenize,
)
from llama_tutorial.tales import telling
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.bpe import BPETokenizer
from llama_tutorial.tokenizer.gpt2 import GPT2Tokenizer
from llama_tutorial.tokenizer.sentencepiece import Tokenizer, load_tokenizer
from llama_tutorial.tokenizer.vocabulary import PieceType, Vocabulary
from llama_tutorial.training.loop import check_own_model, train
from llama_tutorial.training.processes import (
    is_rank0,
    loading_device,
    process_group,
    rank0_first,
)
from llama_tutorial.training.run_folder import check_settings

SAMPLE_TOKENS = 80
# If the options do not say: steps of the warm-up at most, tokens of a row, the learning rate, and
# that of a large model that is given, which was Llama 2's and Code Llama's.
WARMUP, CONTEXT, LR, LARGE_LR = 100, 256, 3e-3, 3e-4
SIZES = ("dim", "n_layers", "n_heads", "n_kv_heads", "hidden_dim", "untied")
VALIDATION_BATCHES = 20
TOKENIZER_TALES = 5000
TALES = 200_000  # at most, if the options do not say
MANY_TALES = 20_000  # more than half a minute to tell and to encode
TOKENS_OF_TALE = 100  # few vocabularies make fewer of one
SMALLEST_VOCABULARY = 3 + 256 + 1  # special pieces, bytes, and one to learn


def run(arguments: argparse.Namespace) -> None:
    """Prepare tokens, train, and print what the run is and what the model writes."""
    _check(arguments)
    corpus, out = _corpus(arguments), Path(arguments.out)
    with (
        process_group(parse_device(arguments.device)) as device,
        folder_of_run(out),
        lines_without_terminal(),
    ):
        check_batch_size(arguments.batch_size, arguments.micro_batches)
        given = None if arguments.model is None else _load(arguments, loading_device(device))
        with rank0_first():  # rank 0 tokenizes; the others find its files
            corpus = corpus or load_corpus(arguments.data)
            tokenizer = _tokenizer(arguments, corpus, out) if given is None else given[1]
            training, validation = _streams(arguments, corpus, tokenizer, out)
        torch.manual_seed(arguments.seed)
        base = {}
        if given is None:
            model_config = _model_config(arguments, tokenizer.vocab_size)
            say(f"building a model of {model_config.n_params:,} parameters")
            model = Transformer(model_config).to(loading_device(device))
        else:
            model, base = given[0], {"base": weights_name(given[0])}
        config = train_config(arguments)
        n_tokens = config.total_steps * arguments.batch_size * arguments.max_seq_len
        say(
            f"training: {config.total_steps:,} steps of {arguments.batch_size} rows of "
            f"{arguments.max_seq_len} tokens; {training.info.n_tokens:,} tokens of text, "
            f"{n_tokens:,} to train on ({n_tokens / training.info.n_tokens:.1f} epochs)"
        )
        finished = train(
            model,
            training.batch,
            config,
            out,
            validation=list(islice(validation.every_window(), VALIDATION_BATCHES)),
            tokenizer=tokenizer,
            data={
                "source": training.info.source,
                "batch_size": arguments.batch_size,
                "seed": arguments.seed,
                "cross_documents": arguments.cross_documents,
                **base,
            },
            on_evaluation=lambda step, model: say(f"step {step}: {_sample(model, tokenizer)}"),
            log=say,
            tensorboard=arguments.tensorboard,
        )
        report_end(finished, out)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be trained or written, before there is any work to lose.

    Options without a value get the run's own, or their default.
    """
    with options_named(arguments):
        check_common(arguments)
        _fill_in(arguments)
        check_whole(arguments, "tales", 1)
        check_whole(arguments, "vocab_size", SMALLEST_VOCABULARY)
        train_config(arguments)
        if arguments.model is None:
            _model_config(arguments, arguments.vocab_size)
        check_whole(arguments, "max_seq_len", 1)
    _check_same_beginning(arguments)
    if arguments.model is not None:
        own = ("preset", *SIZES, "vocab_size", "characters")
        check_unused(arguments, f"--model {arguments.model} has its own", *own)
        check_apart(arguments)
    elif arguments.filename is not None:
        raise ValueError(f"--filename {arguments.filename}: only with --model; leave it out")
    if arguments.preset is not None:
        check_unused(arguments, f"--preset {arguments.preset} has its own", *SIZES)
    if arguments.data != "tales" and (
        arguments.data in DATA_SETS or Path(arguments.data).is_file()
    ):
        check_unused(arguments, f"--data {arguments.data} holds no tales", "tales")
    if arguments.characters:
        check_unused(arguments, "--characters takes as many as there are", "vocab_size")
    left = Path(arguments.out) / "tokenizer.model"
    if arguments.tokenizer is not None:
        load_tokenizer(arguments.tokenizer)
        why = f"--tokenizer {arguments.tokenizer} is taken as it is"
        check_unused(arguments, why, "characters", "vocab_size")
    elif arguments.model is None and left.exists() and _has_begun(Path(arguments.out)):
        _check_same_tokenizer(arguments, load_tokenizer(left).vocabulary, left)
    check_same_run(arguments, "seed", "batch_size", "cross_documents")
    check_target(Path(arguments.out) / "model", TOKENIZER_FILES)
    check_own_model(arguments.out)


def _fill_in(arguments: argparse.Namespace) -> None:
    """What the run in ``--out`` began with where the options do not say, or what --steps needs."""
    if arguments.warmup_steps is None:
        own = setting_of_run(arguments.out, "training", "warmup_steps")
        tenth = max(arguments.total_steps, 0) // 10
        arguments.warmup_steps = min(WARMUP, tenth) if own is None else own
    if arguments.model is None:
        arguments.peak_lr = LR if arguments.peak_lr is None else arguments.peak_lr
        arguments.max_seq_len = CONTEXT if arguments.max_seq_len is None else arguments.max_seq_len
    if arguments.tales is None and arguments.data == "tales":
        arguments.tales = _tales_of_run(arguments.out) or _tales_needed(arguments)


def _tales_of_run(out: str) -> int | None:
    """How many tales the run in ``--out`` learns from; None where there is none."""
    told = re.match(r"tales (\d+) ", str(setting_of_run(out, "data", "source")))
    return int(told[1]) if told else None


def _tales_needed(arguments: argparse.Namespace) -> int:
    """As many as the steps read about once, within limits."""
    if arguments.max_seq_len is None:  # the model's own, and it is not open yet
        return TALES
    n_tokens = arguments.total_steps * arguments.batch_size * arguments.max_seq_len
    return min(max(n_tokens // TOKENS_OF_TALE, TOKENIZER_TALES), TALES)


def _check_same_beginning(arguments: argparse.Namespace) -> None:
    """Refuse to go on from a model with a run that began from nothing, and the reverse."""
    out, given = arguments.out, arguments.model is not None
    if setting_of_run(out, "data", "source") is None:
        return
    if given != (setting_of_run(out, "data", "base") is not None):
        raise ValueError(
            f"--model {arguments.model}: {out} holds a run that began from nothing: leave it out, "
            "or choose another folder"
            if given
            else f"{out} holds a run that began from a model: give it again with --model, or "
            "choose another folder"
        )


def _load(arguments: argparse.Namespace, device: torch.device) -> tuple[Transformer, AnyTokenizer]:
    """The model to go on from, with the context that the options ask for, and its tokenizer."""
    say(f"loading the model {arguments.model}")
    path, own = hub.find(arguments.model, arguments.filename, needs_tokenizer=False)
    if own is not None and arguments.tokenizer is not None:
        asked = hub.find(arguments.model, arguments.filename, arguments.tokenizer)[1]
        tokenizers = hub.read_tokenizer(own, path), hub.read_tokenizer(asked, path)
        if _pieces(tokenizers[0]) != _pieces(tokenizers[1]):
            raise ValueError(
                f"--tokenizer {arguments.tokenizer}: {arguments.model} was trained with the pieces "
                f"of {own}, and knows no others; leave it out"
            )
    model, tokenizer = hub.load(
        arguments.model,
        arguments.filename,
        tokenizer=arguments.tokenizer,
        dtype=torch.float32,
        device=device,
    )
    arguments.max_seq_len = arguments.max_seq_len or model.config.max_seq_len
    large = model.config.n_params >= SMALL_MODEL
    arguments.peak_lr = arguments.peak_lr or (LARGE_LR if large else LR)
    with options_named(arguments):
        return with_context(model, arguments.max_seq_len), tokenizer


def _pieces(tokenizer: AnyTokenizer) -> list[str]:
    if isinstance(tokenizer, GPT2Tokenizer):
        return sorted(tokenizer.vocabulary, key=tokenizer.vocabulary.__getitem__)
    return list(tokenizer.vocabulary.pieces)


def _check_same_tokenizer(arguments: argparse.Namespace, found: Vocabulary, path: Path) -> None:
    """Refuse to go on with a tokenizer that this command would not have trained."""
    of_characters, n = PieceType.BYTE not in found.types, len(found.pieces)
    if arguments.characters and of_characters:
        return
    if arguments.characters != of_characters or n != arguments.vocab_size:
        asked = "--characters" if arguments.characters else f"--vocab-size {arguments.vocab_size}"
        was = "--characters" if of_characters else f"--vocab-size {n}"
        raise ValueError(
            f"{asked}: {path} was made with {was}: go on with that, or choose another folder"
        )


def _corpus(arguments: argparse.Namespace) -> Corpus | None:
    """The texts, which are looked at here; None where they must be downloaded first."""
    if arguments.data in DATA_SETS:
        return None
    return load_corpus(arguments.data, arguments.tales or TALES, arguments.seed)


def _streams(
    arguments: argparse.Namespace, corpus: Corpus, tokenizer: AnyTokenizer, out: Path
) -> list[TokenStream]:
    """The tokens to learn from, and those to measure with."""
    source = _source(corpus, tokenizer, out)
    streams = []
    for name, texts in [("training", corpus.training), ("validation", corpus.validation)]:
        path = out / f"{name}.tokens"
        key = _cache_key(arguments, source, texts)
        if not is_tokenized(path, tokenizer, source) and (
            not key or not fetch_tokens(path, tokenizer, source, key)
        ):
            told = "telling and tokenizing" if arguments.data == "tales" else "tokenizing"
            say(f"{told} {len(texts):,} document{'s' * (len(texts) != 1)} for {name}")
            tokenize(texts, tokenizer, path, source)
            if key:
                keep_tokens(path, key)
        streams.append(
            TokenStream(
                tokenize(texts, tokenizer, path, source),
                arguments.batch_size,
                arguments.max_seq_len,
                seed=arguments.seed,
                separate_documents=not arguments.cross_documents,
            )
        )
    return streams


def _cache_key(arguments: argparse.Namespace, source: str, texts: SizedTexts) -> str:
    """The name of the tokens in the user's cache; empty where they are made fast enough.

    Many tales take a minute to tell, and the same tales are the same every time.
    """
    if arguments.data != "tales" or len(texts) < MANY_TALES:
        return ""
    return "tokens-" + hashlib.sha256(f"{source} {telling.story_world()}".encode()).hexdigest()[:16]


def _tokenizer(arguments: argparse.Namespace, corpus: Corpus, out: Path) -> BaseTokenizer:
    """The tokenizer that is given, that an earlier run has left in ``out``, or a new one."""
    path = out / "tokenizer.model"
    if arguments.tokenizer is not None:
        return load_tokenizer(arguments.tokenizer)
    # What a start without a first step has left may be of other data.
    if is_rank0() and not (path.exists() and _has_begun(out)):
        pieces = "characters" if arguments.characters else f"{arguments.vocab_size:,} pieces"
        say(f"training a tokenizer of {pieces}")
        if arguments.data == "tales":  # the corpus tells its tales only once, so tell some more
            n = min(TOKENIZER_TALES, arguments.tales)
            texts = list(telling.texts(n, "train", arguments.seed))
        else:
            texts = [*corpus.training, *corpus.validation]
        if arguments.characters:
            BPETokenizer.of_characters(texts).save(path)
        else:
            Tokenizer.train(texts, arguments.vocab_size).save(path)
    return load_tokenizer(path)


def _has_begun(out: Path) -> bool:
    """Whether a run has begun in a folder, with settings that are known."""
    return (out / "settings.json").exists()


def _source(corpus: Corpus, tokenizer: AnyTokenizer, out: Path) -> str:
    """The name of text and tokenizer; checked before their tokens replace those of another run."""
    pieces = hashlib.sha256("\n".join(_pieces(tokenizer)).encode()).hexdigest()
    former, source = (f"{name} {pieces}" for name in (corpus.former_source, corpus.source))
    if check_settings(out, {}).get("data", {}).get("source") == former:
        return former
    check_settings(out, {"data": {"source": source}})
    return source


def _model_config(arguments: argparse.Namespace, vocab_size: int) -> ModelConfig:
    context = arguments.max_seq_len
    if arguments.preset is not None:
        if arguments.preset not in PRESETS:
            raise ValueError(f"--preset {arguments.preset}: must be one of {', '.join(PRESETS)}")
        return PRESETS[arguments.preset].replace(vocab_size=vocab_size, max_seq_len=context)
    return ModelConfig(
        dim=arguments.dim,
        n_layers=arguments.n_layers,
        n_heads=arguments.n_heads,
        n_kv_heads=arguments.n_kv_heads,
        hidden_dim=arguments.hidden_dim,
        vocab_size=vocab_size,
        max_seq_len=context,
        tie_embeddings=not arguments.untied,
    )


def _sample(model: Transformer, tokenizer: AnyTokenizer) -> str:
    room = min(SAMPLE_TOKENS, model.config.max_seq_len - 1)
    (ids,) = generate(
        model, [[tokenizer.bos_id]], room, temperature=0.7, seed=0, stop_ids={tokenizer.eos_id}
    )
    return tokenizer.decode(ids)
