"""``llama-tutorial finetune``: teach a model to answer, by dialogs about tales or by your own.

The same command takes the small model on a CPU and Llama 2 7B on a GPU, the whole of it or LoRA
adapters beside it. A run that was stopped, by Ctrl-C or by anything else, goes on when the same
command is given again.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_tutorial.cli.finetune_options import (
    PAPER,
    SMALL,
    SMALL_MODEL,
    Defaults,
    add_data,
    add_lora_options,
    add_training,
)
from llama_tutorial.cli.options import add_filename, parse_device

if TYPE_CHECKING:
    from llama_tutorial.finetuning.packing import PackedExamples
    from llama_tutorial.model import Transformer
    from llama_tutorial.tokenizer.base import BaseTokenizer
    from llama_tutorial.training.loop import TrainConfig

DESCRIPTION = """Teach a model to answer. Without options, the small model of this package learns to
tell tales on request and to answer questions about them: about an hour on one CPU core with
--autocast bfloat16. Models of more than a hundred million parameters get the settings of Llama 2's
paper (two epochs, batches of 64 rows of 4,096 tokens, a learning rate of 2e-5), so:
finetune --model path/to/Llama-2-7b --data dialogs.jsonl --lora --device cuda --autocast bfloat16"""
SAMPLES, SAMPLE_TOKENS = 3, 80
VALIDATION_BATCHES = 20
VALIDATION_DIALOGS = 300
FIRST_TALE = 1_000_000  # far from those that the small model was pre-trained on


def add(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "finetune", help="teach a model to answer", description=DESCRIPTION
    )
    command.set_defaults(run=run)
    command.add_argument("--out", required=True, help="the folder for everything that is written")
    command.add_argument("--model", default="tales", help="a model's name, path or hub id")
    add_filename(command)
    command.add_argument("--tokenizer", help="its tokenizer; by default the one that comes with it")
    add_data(command.add_argument_group("data"))
    add_lora_options(command.add_argument_group("LoRA"))
    add_training(command.add_argument_group("training"))


def run(arguments: argparse.Namespace) -> None:
    """Read, pack, train, and print what the run is and what the model answers."""
    from llama_tutorial.training.processes import loading_device, process_group

    with process_group(parse_device(arguments.device)) as device:
        _run(arguments, loading_device(device))


def _run(arguments: argparse.Namespace, device: Any) -> None:
    import torch

    from llama_tutorial.training.loop import train

    torch.manual_seed(arguments.seed)
    model, tokenizer = _model(arguments, device)
    defaults = SMALL if model.config.n_params < SMALL_MODEL else PAPER
    _check_batch(arguments.batch_size or defaults.batch_size)
    model = _with_context(model, arguments, defaults)
    dialogs, held_out = _dialogs(arguments, model.config.max_seq_len, tokenizer)
    training = _packed(arguments, defaults, model, tokenizer, dialogs)
    validation = _packed(arguments, defaults, model, tokenizer, held_out)
    settings = _settings(arguments, defaults, training)
    _report(model, training, settings)
    finished = train(
        model,
        training.batch,
        settings,
        Path(arguments.out),
        validation=list(validation.every_row())[:VALIDATION_BATCHES],
        tokenizer=tokenizer,
        data=_data(arguments, training),
        on_evaluation=partial(_samples, tokenizer=tokenizer, dialogs=held_out[:SAMPLES]),
        write_model=_write_adapter(arguments, tokenizer) if arguments.lora else None,
    )
    done = f"finished: the model is {Path(arguments.out) / 'model'}"
    print(done if finished else "stopped; the same command goes on from here")


def _check_batch(batch_size: int) -> None:
    from llama_tutorial.training.processes import world_size

    if batch_size < world_size():
        raise ValueError(
            f"--batch-size {batch_size}: {world_size()} processes share the rows of a batch, so "
            "that there must be one for each"
        )


def _model(arguments: argparse.Namespace, device: Any) -> tuple[Transformer, BaseTokenizer]:
    """The base: as it is stored under adapters, in float32 where all of it is to learn."""
    import torch

    from llama_tutorial import hub

    return hub.load(
        arguments.model,
        arguments.filename,
        tokenizer=arguments.tokenizer,
        dtype=None if arguments.lora else torch.float32,
        device=device,
    )


def _with_context(
    model: Transformer, arguments: argparse.Namespace, defaults: Defaults
) -> Transformer:
    """The model for rows of the context that is asked for, with adapters if they are."""
    from llama_tutorial.finetuning.examples import with_context
    from llama_tutorial.lora.adapters import TARGETS, add_lora

    own = model.config.max_seq_len
    if arguments.lora and (arguments.context or 0) > own:
        raise ValueError(
            f"--context {arguments.context}: the model has {own}, and with --lora it stays as it "
            "is; leave out one of the two"
        )
    default = min(defaults.context, own) if arguments.lora else defaults.context
    model = with_context(model, arguments.context or default)
    if arguments.lora:
        add_lora(
            model,
            rank=arguments.rank,
            alpha=arguments.alpha,
            dropout=arguments.dropout,
            targets=tuple(arguments.targets or TARGETS),
        )
    return model.train()


def _dialogs(
    arguments: argparse.Namespace, context: int, tokenizer: BaseTokenizer
) -> tuple[list, list]:
    """Dialogs to learn from, and others to measure with."""
    from llama_tutorial.finetuning.dialog_file import read_dialogs
    from llama_tutorial.finetuning.examples import encode_example
    from llama_tutorial.tales.dialogs import dialogs

    if arguments.data == "tales":
        if arguments.validation is not None:
            raise ValueError(
                f"--validation {arguments.validation}: tales bring their own; leave it out"
            )
        if arguments.dialogs < 1:
            raise ValueError(f"--dialogs {arguments.dialogs}: must be at least 1")
        size = {"room": context, "length": lambda turn: len(encode_example(turn, tokenizer).ids)}
        first = FIRST_TALE + arguments.seed * 10_000_000
        told = dialogs(arguments.dialogs, "train", first, **size)
        return list(told), list(dialogs(VALIDATION_DIALOGS, "validation", **size))
    found = read_dialogs(arguments.data)
    if arguments.validation is not None:
        return found, read_dialogs(arguments.validation)
    if len(found) < 2:
        raise ValueError(
            f"{arguments.data} holds one dialog, and some must be kept for validation: give more, "
            "or another file with --validation"
        )
    cut = min(round(len(found) * 0.9), len(found) - 1)
    return found[:cut], found[cut:]


def _packed(
    arguments: argparse.Namespace,
    defaults: Defaults,
    model: Transformer,
    tokenizer: BaseTokenizer,
    dialogs: list,
) -> PackedExamples:
    from llama_tutorial.finetuning.examples import encode_example
    from llama_tutorial.finetuning.packing import PackedExamples

    return PackedExamples(
        [encode_example(dialog, tokenizer) for dialog in dialogs],
        arguments.batch_size or defaults.batch_size,
        model.config.max_seq_len,
        seed=arguments.seed,
        packing=arguments.packing,
    )


def _settings(
    arguments: argparse.Namespace, defaults: Defaults, training: PackedExamples
) -> TrainConfig:
    from llama_tutorial.training.loop import TrainConfig

    epochs = defaults.epochs if arguments.epochs is None else arguments.epochs
    if not epochs > 0:
        raise ValueError(f"--epochs {epochs}: must be above 0")
    steps = training.steps(epochs)
    default_lr = defaults.lora_lr if arguments.lora else defaults.lr
    warmup = round(steps * defaults.warmup_share) if arguments.warmup is None else arguments.warmup
    return TrainConfig(
        total_steps=steps,
        peak_lr=arguments.lr or default_lr,
        warmup_steps=warmup,
        weight_decay=arguments.weight_decay,
        micro_batches=arguments.micro_batches,
        autocast=arguments.autocast,
        compile=arguments.compile,
        gradient_checkpointing=arguments.gradient_checkpointing,
        evaluate_every=arguments.evaluate_every,
        checkpoint_every=arguments.checkpoint_every,
    )


def _data(arguments: argparse.Namespace, training: PackedExamples) -> dict[str, Any]:
    """What a run must go on with: the base, the rows, and the adapters' settings."""
    names = ["model", "data", "seed", "packing", "lora"]
    names += ["rank", "alpha", "dropout", "targets"] if arguments.lora else []
    names += ["dialogs"] if arguments.data == "tales" else []
    counts = {"rows": training.n_rows, "tokens": training.n_tokens, "learned": training.n_targets}
    return (
        counts
        | {name: getattr(arguments, name) for name in names}
        | {"batch_size": training.batch_size}
    )


def _report(model: Transformer, training: PackedExamples, settings: TrainConfig) -> None:
    trained = sum(part.numel() for part in model.parameters() if part.requires_grad)
    share = training.n_tokens / (training.n_rows * training.context)
    print(
        f"{model.config.n_params:,} parameters, {trained:,} of them trained; "
        f"{training.n_examples:,} dialogs in {training.n_rows:,} rows of {training.context} tokens "
        f"({share:.0%} full); {training.n_targets:,} of {training.n_tokens:,} tokens are learned; "
        f"{settings.total_steps:,} steps of {training.batch_size} rows"
    )
    if training.n_cut or training.n_dropped:
        print(
            f"longer than {training.context} tokens: {training.n_cut:,} dialogs lost their end, "
            f"{training.n_dropped:,} were left out, since the first question alone fills a row"
        )


def _samples(step: int, model: Transformer, tokenizer: BaseTokenizer, dialogs: list) -> None:
    """Print how the model answers the last questions of dialogs that it does not learn from."""
    from llama_tutorial.chat.dialog import encode_dialog
    from llama_tutorial.generation import generate

    for dialog in dialogs:
        prompt = encode_dialog(dialog[:-1], tokenizer)
        room = min(SAMPLE_TOKENS, model.config.max_seq_len - len(prompt))
        if room > 0:
            (ids,) = generate(model, [prompt], room, temperature=0, stop_ids={tokenizer.eos_id})
            question, answer = dialog[-2]["content"].split("\n")[-1], tokenizer.decode(ids)
            print(f"step {step}: {question.strip()} -> {answer.strip()}")


def _write_adapter(arguments: argparse.Namespace, tokenizer: BaseTokenizer) -> Any:
    from llama_tutorial.checkpoints import save_adapter

    return partial(save_adapter, base=arguments.model, tokenizer=tokenizer)
