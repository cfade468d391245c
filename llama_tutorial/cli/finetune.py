"""``llama-tutorial finetune``: teach a model to answer, by dialogs about tales or by your own.

The same command takes the small model on a CPU and Llama 2 7B on a GPU, the whole model or LoRA
adapters beside it. A run that was stopped, by Ctrl-C or by anything else, goes on when the same
command is given again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from llama_tutorial import hub
from llama_tutorial._util.progress import lines_without_terminal, progress
from llama_tutorial.chat.dialog import Dialog, encode_dialog
from llama_tutorial.checkpoints import adapter, native, save_adapter
from llama_tutorial.checkpoints.folders import TOKENIZER_FILES, AnyTokenizer, tokenizer_names
from llama_tutorial.cli.engines import parse_device
from llama_tutorial.cli.parser import PAPER, SMALL, SMALL_MODEL, FinetuneDefaults
from llama_tutorial.cli.training import (
    MANY,
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
from llama_tutorial.finetuning.dialog_file import read_dialogs
from llama_tutorial.finetuning.examples import encode_example, with_context
from llama_tutorial.finetuning.packing import PackedExamples
from llama_tutorial.generation import generate
from llama_tutorial.lora.adapters import TARGETS, LoRAConfig, add_lora
from llama_tutorial.model import Transformer
from llama_tutorial.quantization.linear import kind_of_model
from llama_tutorial.tales.dialogs import dialogs as tale_dialogs
from llama_tutorial.training.loop import TrainConfig, check_own_model, train
from llama_tutorial.training.processes import loading_device, process_group

SAMPLES, SAMPLE_TOKENS = 3, 80
VALIDATION_BATCHES = 20
VALIDATION_DIALOGS = 300
FIRST_TALE = 1_000_000  # far from those that the small model was pre-trained on


def run(arguments: argparse.Namespace) -> None:
    """Read, pack, train, and print what the run is and what the model answers."""
    _check(arguments)
    given = None if arguments.data == "tales" else _read(arguments)
    n_dialogs = arguments.dialogs if given is None else len(given[0])
    if arguments.packing == "documents" and (arguments.batch_size or 0) > n_dialogs:
        raise ValueError(  # each row holds one dialog or more
            f"--batch-size {arguments.batch_size}: {n_dialogs:,} dialogs fill at most as many "
            f"rows; give {n_dialogs} or less"
        )
    out = Path(arguments.out)
    with (
        process_group(parse_device(arguments.device)) as device,
        folder_of_run(out),
        lines_without_terminal(),
    ):
        say(f"loading the model {arguments.model}")
        torch.manual_seed(arguments.seed)
        model, tokenizer = hub.load(
            arguments.model,
            arguments.filename,
            tokenizer=arguments.tokenizer,
            dtype=None if arguments.lora else torch.float32,  # frozen weights keep their dtype
            device=loading_device(device),
            quantize=arguments.quantize,
        )
        if not arguments.lora and (kind := kind_of_model(model)):
            raise ValueError(
                f"{arguments.model} is quantized to {kind}, and packed weights do not learn: train "
                "adapters beside them, with --lora"
            )
        base = weights_name(model)
        defaults = SMALL if model.config.n_params < SMALL_MODEL else PAPER
        batch_size = arguments.batch_size or defaults.batch_size
        check_batch_size(batch_size, arguments.micro_batches)
        model = _prepare(model, arguments, defaults)
        dialogs, held_out = given or _about_tales(arguments, model.config.max_seq_len, tokenizer)
        say(f"tokenizing {len(dialogs):,} dialogs for training, {len(held_out):,} for validation")
        training, validation = (
            PackedExamples(
                [encode_example(dialog, tokenizer) for dialog in progress(part, "tokenizing")],
                batch_size,
                model.config.max_seq_len,
                seed=arguments.seed,
                packing=arguments.packing,
            )
            for part in (dialogs, held_out)
        )
        if (arguments.batch_size or 0) > training.n_rows:
            raise ValueError(
                f"--batch-size {arguments.batch_size}: the dialogs fill {training.n_rows:,} rows "
                f"of {training.context} tokens; give {training.n_rows} or less"
            )
        config = _train_config(arguments, defaults, training)
        _print_summary(model, training, config)
        if arguments.lora:
            adapter.check_target(out / "model", tokenizer_names(tokenizer))
        write_adapter = partial(save_adapter, base=arguments.model, tokenizer=tokenizer)
        finished = train(
            model,
            training.batch,
            config,
            out,
            validation=list(validation.every_row())[:VALIDATION_BATCHES],
            tokenizer=tokenizer,
            data=_data(arguments, training, base),
            on_evaluation=partial(_samples, tokenizer=tokenizer, dialogs=held_out[:SAMPLES]),
            write_model=write_adapter if arguments.lora else None,
            log=say,
            tensorboard=arguments.tensorboard,
        )
        report_end(finished, out)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be trained or written, before there is any work to lose."""
    check_common(arguments)
    check_whole(arguments, "max_seq_len", 1)
    check_whole(arguments, "dialogs", 1)
    if arguments.epochs is not None and not 0 < arguments.epochs < MANY:
        raise ValueError(f"--epochs {arguments.epochs}: must be above 0 and below {MANY}")
    warmup = arguments.warmup_steps or 0
    train_config(arguments, total_steps=MANY - 1, warmup_steps=warmup)  # as many as may be
    LoRAConfig(arguments.rank, arguments.alpha, arguments.dropout, _targets(arguments))
    if not arguments.lora:
        check_unused(
            arguments, "only with --lora", "rank", "alpha", "dropout", "targets", "quantize"
        )
    if arguments.data == "tales":
        check_unused(arguments, "tales bring their own", "validation")
    elif Path(arguments.data).is_file():
        check_unused(arguments, f"--data {arguments.data} is read whole", "dialogs")
    check_same_run(arguments, "seed", "batch_size", "packing", "lora", "quantize")
    check_target = adapter.check_target if arguments.lora else native.check_target
    check_target(Path(arguments.out) / "model", TOKENIZER_FILES)
    check_own_model(arguments.out)
    check_apart(arguments)


def _targets(arguments: argparse.Namespace) -> tuple[str, ...]:
    return tuple(arguments.targets or TARGETS)


def _prepare(
    model: Transformer, arguments: argparse.Namespace, defaults: FinetuneDefaults
) -> Transformer:
    """The model with the context and the adapters that the options ask for."""
    own = model.config.max_seq_len
    if not arguments.lora:
        return with_context(model, arguments.max_seq_len or defaults.context)
    if (arguments.max_seq_len or 0) > own:
        raise ValueError(
            f"--context {arguments.max_seq_len}: the model has {own}, and with --lora it stays as "
            "it is; leave out one of the two"
        )
    model = with_context(model, arguments.max_seq_len or min(defaults.context, own))
    add_lora(
        model,
        rank=arguments.rank,
        alpha=arguments.alpha,
        dropout=arguments.dropout,
        targets=_targets(arguments),
    )
    return model


def _about_tales(
    arguments: argparse.Namespace, context: int, tokenizer: AnyTokenizer
) -> tuple[Sequence[Dialog], Sequence[Dialog]]:
    """Dialogs about tales to learn from, and others for validation."""
    fitting = partial(
        tale_dialogs,
        room=context,
        length=lambda dialog: len(encode_example(dialog, tokenizer).ids),
    )
    first = FIRST_TALE + arguments.seed * 10_000_000
    say(f"telling tales for {arguments.dialogs:,} dialogs")
    training = fitting(arguments.dialogs, "train", first)
    training = progress(training, "telling", total=arguments.dialogs)
    return list(training), list(fitting(VALIDATION_DIALOGS, "validation"))


def _read(arguments: argparse.Namespace) -> tuple[Sequence[Dialog], Sequence[Dialog]]:
    """The dialogs of a file to learn from, and others for validation."""
    dialogs = read_dialogs(arguments.data)
    if arguments.validation is not None:
        return dialogs, read_dialogs(arguments.validation)
    if len(dialogs) < 2:
        raise ValueError(
            f"{arguments.data} holds one dialog, and some must be kept for validation: give more, "
            "or another file with --validation"
        )
    cut = min(round(len(dialogs) * 0.9), len(dialogs) - 1)
    return dialogs[:cut], dialogs[cut:]


def _train_config(
    arguments: argparse.Namespace, defaults: FinetuneDefaults, training: PackedExamples
) -> TrainConfig:
    steps = training.steps(arguments.epochs or defaults.epochs)
    lr, warmup = arguments.peak_lr, arguments.warmup_steps
    if warmup is None:  # a run that gets more steps keeps its own
        warmup = setting_of_run(arguments.out, "training", "warmup_steps")
    return train_config(
        arguments,
        total_steps=steps,
        peak_lr=lr or (defaults.lora_lr if arguments.lora else defaults.lr),
        warmup_steps=round(steps * defaults.warmup_ratio) if warmup is None else warmup,
    )


def _data(arguments: argparse.Namespace, training: PackedExamples, base: str) -> dict[str, Any]:
    """What a run can only go on with: the base, the rows, and the adapters' settings."""
    names = ["seed", "packing", "lora"]
    names += ["rank", "alpha", "dropout", "targets"] if arguments.lora else []
    names += ["quantize"] if arguments.quantize else []
    names += ["dialogs"] if arguments.data == "tales" else []
    return {
        "rows": training.n_rows,
        "tokens": training.n_tokens,
        "learned": training.n_targets,
        **{name: getattr(arguments, name) for name in names},
        "batch_size": training.batch_size,
        "base": base,
        "content": training.content,
    }


def _print_summary(model: Transformer, training: PackedExamples, config: TrainConfig) -> None:
    n_trained = sum(part.numel() for part in model.parameters() if part.requires_grad)
    full = training.n_tokens / (training.n_rows * training.context)
    say(
        f"{model.config.n_params:,} parameters, {n_trained:,} of them trained; "
        f"{training.n_examples:,} dialogs in {training.n_rows:,} rows of {training.context} tokens "
        f"({full:.0%} full); {training.n_targets:,} of {training.n_tokens:,} tokens are learned; "
        f"{config.total_steps:,} steps of {training.batch_size} rows"
    )
    if training.n_cut or training.n_dropped:
        say(
            f"longer than {training.context} tokens: {training.n_cut:,} dialogs lost their end, "
            f"{training.n_dropped:,} were left out, since the first question alone fills a row"
        )


def _samples(
    step: int, model: Transformer, tokenizer: AnyTokenizer, dialogs: Sequence[Dialog]
) -> str:
    """Print the model's answers to the last questions of dialogs that it does not learn from."""
    lines = []
    for dialog in dialogs:
        prompt = encode_dialog(dialog[:-1], tokenizer)
        room = min(SAMPLE_TOKENS, model.config.max_seq_len - len(prompt))
        if room > 0:
            (ids,) = generate(model, [prompt], room, temperature=0, stop_ids={tokenizer.eos_id})
            question, answer = dialog[-2]["content"].split("\n")[-1], tokenizer.decode(ids)
            lines.append(say(f"step {step}: {question.strip()} -> {answer.strip()}"))
    return "\n\n".join(lines)
