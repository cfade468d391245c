"""What the commands that train have in common."""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.progress import write_line
from llama_tutorial._util.terminal import printable
from llama_tutorial.chat.dialog import Dialog, encode_dialog
from llama_tutorial.checkpoints import adapter, native
from llama_tutorial.checkpoints.folders import TOKENIZER_FILES, AnyTokenizer
from llama_tutorial.cli.options import option, options_named
from llama_tutorial.cli.parser import make_parser
from llama_tutorial.generation import generate
from llama_tutorial.lora.adapters import TARGETS, LoRAConfig, add_lora
from llama_tutorial.model import Transformer
from llama_tutorial.quantization.linear import kind_of_model
from llama_tutorial.training.loop import TrainConfig, check_own_model
from llama_tutorial.training.processes import is_rank0, world_size
from llama_tutorial.training.run_folder import check_settings
from llama_tutorial.training.run_lock import run_lock
from llama_tutorial.training.tensorboard import check_installed

_OWN_SETTING = {  # by which its runs are known
    "pretrain": "source",
    "finetune": "content",
    "prefer": "preferences",
}
MANY = 10**8  # nothing that is counted here comes in larger numbers
SAMPLES, SAMPLE_TOKENS = 3, 80


def check_whole(arguments: argparse.Namespace, name: str, least: int, most: int = MANY) -> None:
    """Raise a ValueError unless an option, where it is given, is between the two."""
    value = getattr(arguments, name)
    if value is not None and not least <= value <= most:
        bound = f"at least {least}" if value < least else f"at most {most}"
        raise ValueError(f"{option(name)} {value}: must be {bound}")


def check_common(arguments: argparse.Namespace) -> None:
    """Raise a ValueError where an option that both commands have is out of range."""
    if not arguments.out:
        raise ValueError("--out is empty: name the folder for everything that is written")
    check_whole(arguments, "seed", 0, 2**63 - 1)
    check_whole(arguments, "batch_size", 1)
    check_whole(arguments, "micro_batches", 1)
    if arguments.tensorboard:
        check_installed()


def check_same_run(arguments: argparse.Namespace, *data: str) -> None:
    """Raise a ValueError where ``--out`` holds a run with other settings.

    `train` compares all of them; those that the options give are compared before there is work.
    """
    names = [field.name for field in fields(TrainConfig)]
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    parts = {"training": names, "data": data}
    settings = {part: {n: given[n] for n in parts[part] if n in given} for part in parts}
    for command, name in _OWN_SETTING.items():
        if command != arguments.command and setting_of_run(arguments.out, "data", name) is not None:
            raise ValueError(
                f"{arguments.out} holds a run of {command}, and {arguments.command} cannot go on "
                "with it: choose another folder"
            )
    with options_named(arguments):
        check_settings(Path(arguments.out), settings)


def setting_of_run(out: str, part: str, name: str) -> Any:
    """What the run in ``--out`` began with; None where there is none."""
    return check_settings(Path(out), {}).get(part, {}).get(name)


def check_apart(arguments: argparse.Namespace) -> None:
    """Raise a ValueError where the model that is read would be written over."""
    out, base = Path(arguments.out).resolve(), Path(arguments.model).resolve()
    if kind_of(arguments.model) and (base in (out, out / "model") or out.is_relative_to(base)):
        raise ValueError(
            f"--out {arguments.out}: the model that is read, {arguments.model}, lies there; choose "
            "another folder"
        )


def check_unused(arguments: argparse.Namespace, why: str, *names: str) -> None:
    """Raise a ValueError where an option has a value that nothing would look at."""
    defaults = make_parser().parse_args([arguments.command, "--out", ""])
    for name in names:
        if (value := getattr(arguments, name)) != getattr(defaults, name):
            given = option(name) if value is True else f"{option(name)} {_shown(value)}"
            raise ValueError(f"{given}: {why}; leave it out")


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def check_lora(arguments: argparse.Namespace) -> None:
    """Raise a ValueError where an adapter's setting is out of range, or there is no adapter."""
    LoRAConfig(arguments.rank, arguments.alpha, arguments.dropout, _targets(arguments))
    if not arguments.lora:
        names = ("rank", "alpha", "dropout", "targets", "quantize")
        check_unused(arguments, "only with --lora", *names)


def check_learns(model: Transformer, name: str) -> None:
    """Raise a ValueError where a model's weights are packed: only adapters learn beside them."""
    if kind := kind_of_model(model):
        raise ValueError(
            f"{name} is quantized to {kind}, and packed weights do not learn: train adapters "
            "beside them, with --lora"
        )


def check_model_target(arguments: argparse.Namespace) -> None:
    """Raise a ValueError where the finished model could not be written, or over what is read."""
    check_target = adapter.check_target if arguments.lora else native.check_target
    check_target(Path(arguments.out) / "model", TOKENIZER_FILES)
    check_own_model(arguments.out)
    check_apart(arguments)


def adapt(model: Transformer, arguments: argparse.Namespace) -> None:
    """Give the model the adapters that the options ask for; in place."""
    add_lora(
        model,
        rank=arguments.rank,
        alpha=arguments.alpha,
        dropout=arguments.dropout,
        targets=_targets(arguments),
    )


def _targets(arguments: argparse.Namespace) -> tuple[str, ...]:
    return tuple(arguments.targets or TARGETS)


def train_config(arguments: argparse.Namespace, **changes: Any) -> TrainConfig:
    """The settings that the options and ``changes`` give, by the fields' names; None is none."""
    given = {**vars(arguments), **changes}
    names = [field.name for field in fields(TrainConfig)]
    return TrainConfig(**{name: given[name] for name in names if given.get(name) is not None})


def check_batch_size(batch_size: int, micro_batches: int) -> None:
    """Raise a ValueError unless every process, and every part, can have a row of each batch."""
    if micro_batches > batch_size:
        raise ValueError(
            f"--micro-batches {micro_batches}: a batch has {batch_size} rows, so it must be at "
            f"most {batch_size}"
        )
    if batch_size < world_size():
        raise ValueError(
            f"--batch-size {batch_size}: {world_size()} processes divide the rows of a batch, so "
            "there must be at least one for each"
        )


def weights_name(model: Transformer) -> str:
    """A name for a model's weights, wherever they lie: a hash of some of each tensor's numbers."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        numbers = tensor.flatten()[:1024].cpu().double().numpy()
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + numbers.tobytes())
    return f"sha256 {digest.hexdigest()}"


@contextmanager
def folder_of_run(out: Path) -> Iterator[None]:
    """`run_lock`; and where the start fails, the folder is removed again if it was not there."""
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    with run_lock(out):
        try:
            yield
        except BaseException:
            if new and is_rank0() and not any(out.rglob("settings.json")):  # its own, or a part's
                shutil.rmtree(out, ignore_errors=True)
                with suppress(OSError):  # somebody else's by now
                    for parent in new[1:]:
                        parent.rmdir()
            raise


def say(text: str) -> str:
    """Print a line at once, above the progress bar; returns it."""
    write_line(printable(text))
    return text


def samples(
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


def report_end(finished: bool, out: Path) -> None:
    """Print where the model is, or how to go on.

    Raises:
        KeyboardInterrupt: The run was stopped by a signal, and there is no model yet. So a shell
            does not go on to what needs one.
    """
    if not finished:
        say("stopped; the same command goes on from here")
        raise KeyboardInterrupt
    say(f"finished: the model is {out / 'model'}")
