"""``llama-tutorial prefer``: teach a chat model which answers are better, from pairs of answers.

Three methods. DPO learns from the pairs themselves. Rejection sampling and PPO first train a reward
model on them, in the folder ``reward``, and then learn from the model's own answers to the pairs'
prompts. A run that was stopped, by Ctrl-C or by anything else, goes on when the same command is
given again.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from llama_tutorial import hub
from llama_tutorial._util.files import replace_file
from llama_tutorial._util.progress import lines_without_terminal, progress
from llama_tutorial.chat.dialog import Dialog
from llama_tutorial.checkpoints import load_adapter, load_model, save_adapter, save_model
from llama_tutorial.checkpoints.folders import AnyTokenizer
from llama_tutorial.cli.engines import parse_device
from llama_tutorial.cli.parser import METHODS, PPO_STEPS, SMALL_MODEL, PreferDefaults
from llama_tutorial.cli.training import (
    MANY,
    SAMPLES,
    adapt,
    check_batch_size,
    check_common,
    check_learns,
    check_lora,
    check_model_target,
    check_same_run,
    check_unused,
    check_whole,
    folder_of_run,
    report_end,
    samples,
    say,
    setting_of_run,
    train_config,
    weights_name,
)
from llama_tutorial.finetuning.examples import encode_example
from llama_tutorial.finetuning.packing import PackedExamples
from llama_tutorial.lora.adapters import merge_lora
from llama_tutorial.model import Transformer
from llama_tutorial.preferences.batches import PairBatches, encode_pair, last_answer
from llama_tutorial.preferences.dpo import DPO
from llama_tutorial.preferences.pair_file import Pair, read_pairs, write_pairs
from llama_tutorial.preferences.ppo import PPO, PolicyWithValue, PPOConfig, Prompts
from llama_tutorial.preferences.rejection import Best, best_of, learned_reward
from llama_tutorial.preferences.reward_model import (
    RewardModel,
    RewardTraining,
    load_reward_model,
    save_reward_model,
)
from llama_tutorial.preferences.truth import make_pairs
from llama_tutorial.tales import tales
from llama_tutorial.training.loop import TrainConfig, train
from llama_tutorial.training.processes import (
    loading_device,
    of_rank0,
    process_group,
)

VALIDATION_PAIRS = 100
VALIDATION_BATCHES = 20
FIRST_TALE = 50_000_000  # far from those that the small models have seen
_OF_METHOD = {  # the options that one method has, or two
    "dpo": ("beta",),
    "rejection": ("samples", "rounds", "temperature", "max_new_tokens", "margins"),
    "ppo": ("kl", "clip_ratio", "mini_batches", "total_steps", "max_new_tokens", "margins"),
}


class _Run(NamedTuple):
    """What the methods have in common."""

    arguments: argparse.Namespace
    defaults: PreferDefaults
    out: Path
    device: torch.device
    model: Transformer
    tokenizer: AnyTokenizer
    base: str
    learned: list[Pair]
    held_out: list[Pair]

    @property
    def batch_size(self) -> int:
        """Pairs, rows or answers of a step."""
        return self.arguments.batch_size or self.defaults.batch_size

    def batches(self, pairs: Sequence[Pair]) -> PairBatches:
        """Pairs as batches, in the model's context."""
        encoded = [
            (*encode_pair(pair, self.tokenizer), pair.grade)
            for pair in progress(pairs, "tokenizing")
        ]
        context = self.model.config.max_seq_len
        return PairBatches(encoded, self.batch_size, context, seed=self.arguments.seed)

    def data(self, pairs: PairBatches, *names: str, **more: Any) -> dict[str, Any]:
        """What a run can only go on with."""
        names = ("seed", "method", "lora", *names)
        if self.arguments.lora:
            names += ("rank", "alpha", "dropout", "targets")
        if self.arguments.quantize:
            names += ("quantize",)
        given = {name: getattr(self.arguments, name) for name in names}
        fixed = {"batch_size": self.batch_size, "base": self.base, "preferences": pairs.content}
        return {**given, **fixed, **more}


def run(arguments: argparse.Namespace) -> None:
    """Read or make the pairs, train by the method, and print what the run is."""
    _check(arguments)
    given = None if arguments.data == "tales" else _read(arguments)
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
        if not arguments.lora:
            check_learns(model, arguments.model)
        defaults = METHODS[arguments.method][model.config.n_params >= SMALL_MODEL]
        check_batch_size(arguments.batch_size or defaults.batch_size, arguments.micro_batches)
        base = weights_name(model)
        learned, held_out = given or _about_tales(arguments, model, tokenizer, base)
        this = _Run(arguments, defaults, out, device, model, tokenizer, base, learned, held_out)
        method = {"dpo": _dpo, "rejection": _rejection, "ppo": _ppo}[arguments.method]
        report_end(method(this), out)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be trained or written, before there is any work to lose."""
    check_common(arguments)
    for name in ("pairs", "samples", "rounds", "mini_batches", "max_new_tokens", "total_steps"):
        check_whole(arguments, name, 1)
    if arguments.epochs is not None and not 0 < arguments.epochs < MANY:
        raise ValueError(f"--epochs {arguments.epochs}: must be above 0 and below {MANY}")
    for name in ("beta", "temperature"):
        if not 0 < getattr(arguments, name) < math.inf:
            value = getattr(arguments, name)
            raise ValueError(f"--{name} {value}: must be a finite number above 0")
    if not 0 < arguments.clip_ratio < 1:
        raise ValueError(f"--clip-ratio {arguments.clip_ratio}: must be between 0 and 1")
    PPOConfig(kl=arguments.kl, clip=arguments.clip_ratio)
    train_config(arguments, total_steps=MANY - 1, warmup_steps=arguments.warmup_steps or 0)
    check_lora(arguments)
    mine = _OF_METHOD[arguments.method]
    for name in sorted({name for names in _OF_METHOD.values() for name in names} - {*mine}):
        having = [method for method, names in _OF_METHOD.items() if name in names]
        check_unused(arguments, f"only with --method {' or '.join(having)}", name)
    if arguments.method == "ppo":
        check_unused(arguments, "not with --method ppo, which counts --steps", "epochs")
        why = "not with --method ppo, whose answers are drawn without it"
        check_unused(arguments, why, "dropout")
        if (arguments.batch_size or 2) < 2:
            raise ValueError("--batch-size 1: PPO whitens the rewards of a step; give at least 2")
    if arguments.data == "tales":
        check_unused(arguments, "tales bring their own", "validation")
    else:
        check_unused(arguments, f"--data {arguments.data} is read whole", "pairs")
    check_same_run(arguments, "seed", "method", "batch_size", "lora", "quantize", *mine)
    check_model_target(arguments)


# -- pairs --------------------------------------------------------------------------------------


def _read(arguments: argparse.Namespace) -> tuple[list[Pair], list[Pair]]:
    """The pairs of a file to learn from, and others for validation."""
    pairs = read_pairs(arguments.data)
    if arguments.validation is not None:
        return pairs, read_pairs(arguments.validation)
    if len(pairs) < 2:
        raise ValueError(
            f"{arguments.data} holds one pair, and some must be kept for validation: give more, "
            "or another file with --validation"
        )
    cut = min(round(len(pairs) * 0.9), len(pairs) - 1)
    return pairs[:cut], pairs[cut:]


def _about_tales(
    arguments: argparse.Namespace, model: Transformer, tokenizer: AnyTokenizer, base: str
) -> tuple[list[Pair], list[Pair]]:
    """The model's own answers about tales, as the story world prefers them; kept in ``--out``."""
    n = arguments.pairs + VALIDATION_PAIRS
    name = f"pairs-{arguments.pairs}-seed{arguments.seed}-{base.split()[-1][:8]}.jsonl"
    file = Path(arguments.out) / name

    def make() -> None:
        if file.exists():
            return
        say(f"drawing the model's answers about tales, for {n:,} pairs: {file}")
        told = tales(100 * n, "train", FIRST_TALE + arguments.seed * 10_000_000)
        found = make_pairs(model, tokenizer, told, n, seed=arguments.seed)
        write_pairs(progress(found, "pairs", total=n), file)

    of_rank0(make)
    pairs = read_pairs(file)
    if len(pairs) < n:
        raise ValueError(
            f"--pairs {arguments.pairs}: {100 * n:,} tales gave {len(pairs):,} pairs and {n:,} are "
            "needed: the model's answers are hardly ever one right and one wrong; give a file with "
            "--data"
        )
    return pairs[VALIDATION_PAIRS:], pairs[:VALIDATION_PAIRS]


# -- methods ------------------------------------------------------------------------------------


def _dpo(this: _Run) -> bool:
    arguments, model = this.arguments, this.model
    training, validation = this.batches(this.learned), this.batches(this.held_out)
    if arguments.lora:
        adapt(model, arguments)
    config = _config(this, this.out, training.steps(arguments.epochs or this.defaults.epochs))
    _summary(this, model, training, config)
    return train(
        model,
        training.batch,
        config,
        this.out,
        validation=list(validation.every_pair())[:VALIDATION_BATCHES],
        method=DPO(training, validation, arguments.beta),
        data=this.data(training, "beta"),
        write_model=_writer(this),
        **_watching(this),
    )


def _rejection(this: _Run) -> bool:
    arguments, defaults = this.arguments, this.defaults
    reward = _reward(this)
    if reward is None:
        return False
    judge = learned_reward(reward, this.tokenizer)
    training = this.batches(this.learned)
    prompts = [pair.prompt for pair in this.learned]
    validation = _packed(this, [pair.dialogs()[0] for pair in this.held_out])
    model, kept = this.model, list[Best]()
    for number in range(1, arguments.rounds + 1):
        last = number == arguments.rounds
        folder = this.out if last else this.out / f"round-{number}"
        kept += _best(this, model.to(this.device), prompts, number, judge)
        packed = _packed(this, [best.dialog() for best in kept])
        if arguments.lora and number == 1:
            adapt(model, arguments)
        config = _config(this, folder, packed.steps(arguments.epochs or defaults.epochs))
        say(
            f"round {number} of {arguments.rounds}: {len(kept):,} answers, the best of "
            f"{arguments.samples} each; {config.total_steps:,} steps of {this.batch_size} rows"
        )
        names = ("samples", "temperature", "max_new_tokens")
        more = {"round": number, "rounds": arguments.rounds, "answers": packed.content}
        model = model.to(loading_device(this.device))
        finished = train(
            model,
            packed.batch,
            config,
            folder,
            validation=list(validation.every_row())[:VALIDATION_BATCHES],
            data=this.data(training, *names, **more),
            write_model=_writer(this),
            **_watching(this),
        )
        if not finished:
            return False
        if not last:
            model = _again(this, folder / "model")
    return True


def _ppo(this: _Run) -> bool:
    arguments, model = this.arguments, this.model
    reward = _reward(this)
    if reward is None:
        return False
    training = this.batches(this.learned)
    reference = None
    if arguments.lora:
        adapt(model, arguments)
    else:
        reference = copy.deepcopy(model).to(this.device).eval().requires_grad_(False)
    settings = PPOConfig(
        kl=arguments.kl,
        clip=arguments.clip_ratio,
        mini_batches=arguments.mini_batches,
        max_new_tokens=arguments.max_new_tokens,
    )
    judge = learned_reward(reward, this.tokenizer)
    method = PPO(this.tokenizer, judge, settings, reference)
    prompts, others = (
        Prompts([pair.prompt for pair in part], this.tokenizer, this.batch_size, arguments.seed)
        for part in (this.learned, this.held_out)
    )
    changes = {
        "min_ratio": 1.0,
        "warmup_steps": arguments.warmup_steps or 0,
    }  # constant, as Llama 2
    config = _config(this, this.out, arguments.total_steps or PPO_STEPS, **changes)
    _summary(this, model, training, config)
    write = _writer(this)
    return train(
        PolicyWithValue.of(model),
        prompts.batch,
        config,
        this.out,
        validation=others.every_prompt()[:VALIDATION_BATCHES],
        method=method,
        data=this.data(training, *_OF_METHOD["ppo"][:3], "max_new_tokens", "margins"),
        write_model=lambda whole, path: write(_plain(whole), path),
        **_watching(this),
    )


def _reward(this: _Run) -> RewardModel | None:
    """The reward model, trained on the pairs in ``reward``; None if that was interrupted."""
    arguments, folder = this.arguments, this.out / "reward"
    say(f"training a reward model on {len(this.learned):,} pairs, in {folder}")
    training, validation = this.batches(this.learned), this.batches(this.held_out)
    model = RewardModel.of(this.model)
    if arguments.lora:
        adapt(model, arguments)
        model.output.requires_grad_(True)
    lr = this.defaults.reward_lora_lr if arguments.lora else this.defaults.reward_lr
    steps = training.steps(1)  # as in the paper: a second epoch overfits
    config = _config(this, folder, steps, peak_lr=lr, warmup_steps=_warmup(folder, steps))
    state = torch.random.get_rng_state()
    finished = train(
        model,
        training.batch,
        config,
        folder,
        validation=list(validation.every_pair())[:VALIDATION_BATCHES],
        method=RewardTraining(arguments.margins),
        data=this.data(training, "margins", part="reward"),
        write_model=_write_reward,
        log=say,
        tensorboard=arguments.tensorboard,
    )
    torch.random.set_rng_state(state)  # what follows does not depend on whether this was done
    return load_reward_model(folder / "model").to(this.device) if finished else None


def _write_reward(model: Transformer, path: Path) -> None:
    if any("lora_a" in name for name in model.state_dict()):
        merge_lora(model, keep_base=False)
    assert isinstance(model, RewardModel)
    save_reward_model(model, path)


def _best(this: _Run, model: Transformer, prompts: Any, number: int, judge: Any) -> list[Best]:
    """The best answers of a round; read where they were drawn before."""
    arguments = this.arguments
    file = this.out / f"answers-{number}.jsonl"
    names = ("samples", "temperature", "max_new_tokens", "seed", "margins")
    head: dict[str, Any] = {name: getattr(arguments, name) for name in names}
    head |= {"model": weights_name(model), "prompts": len(prompts)}

    def read() -> list[Best] | None:
        if not file.exists():
            return None
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return [Best(**line) for line in lines[1:]] if lines[0] == head else None

    if (found := of_rank0(read)) is not None:
        return found
    say(f"drawing {arguments.samples} answers to each of {len(prompts):,} prompts")
    found = best_of(
        model,
        this.tokenizer,
        prompts,
        judge,
        k=arguments.samples,
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed + number,
    )

    def write() -> None:
        lines = [head, *(best._asdict() for best in found)]
        with replace_file(file) as opened:
            opened.write("".join(json.dumps(line) + "\n" for line in lines).encode())

    of_rank0(write)
    of_one = sum(best.mean for best in found) / len(found)
    of_best = sum(best.reward for best in found) / len(found)
    say(f"their mean reward is {of_one:.3f}, and that of the best {of_best:.3f}")
    return found


def _packed(this: _Run, dialogs: Sequence[Dialog]) -> PackedExamples:
    """Dialogs as rows; the last answer of each is learned."""
    examples = [last_answer(encode_example(dialog, this.tokenizer)) for dialog in dialogs]
    context = this.model.config.max_seq_len
    return PackedExamples(examples, this.batch_size, context, seed=this.arguments.seed)


# -- what the methods share ---------------------------------------------------------------------


def _config(this: _Run, folder: Path, steps: int, **changes: Any) -> TrainConfig:
    arguments, defaults = this.arguments, this.defaults
    given = {
        "peak_lr": arguments.peak_lr or (defaults.lora_lr if arguments.lora else defaults.lr),
        "warmup_steps": arguments.warmup_steps,
        **changes,
    }
    if given["warmup_steps"] is None:
        given["warmup_steps"] = _warmup(folder, steps)
    return train_config(arguments, total_steps=steps, **given)


def _warmup(folder: Path, steps: int) -> int:
    """The paper's 3 % of the steps, and at least five; a run that gets more keeps its own."""
    own = setting_of_run(str(folder), "training", "warmup_steps")
    return min(max(5, round(0.03 * steps)), steps) if own is None else own


def _watching(this: _Run) -> dict[str, Any]:
    dialogs = [pair.dialogs()[0] for pair in this.held_out[:SAMPLES]]
    return {
        "tokenizer": this.tokenizer,
        "on_evaluation": partial(samples, tokenizer=this.tokenizer, dialogs=dialogs),
        "log": say,
        "tensorboard": this.arguments.tensorboard,
    }


def _writer(this: _Run) -> Callable[[Transformer, Path], None]:
    if this.arguments.lora:
        return partial(save_adapter, base=this.arguments.model, tokenizer=this.tokenizer)
    return partial(save_model, tokenizer=this.tokenizer)


def _plain(policy: Transformer) -> Transformer:
    assert isinstance(policy, PolicyWithValue)
    return policy.without_value()


def _again(this: _Run, folder: Path) -> Transformer:
    """The model of a round, to draw from and to go on with."""
    if not this.arguments.lora:
        return load_model(folder, dtype=torch.float32, device=loading_device(this.device))
    model, _ = hub.load(
        this.arguments.model,
        this.arguments.filename,
        tokenizer=this.arguments.tokenizer,
        device=loading_device(this.device),
        quantize=this.arguments.quantize,
    )
    load_adapter(model, folder)
    return model


def _summary(this: _Run, model: Transformer, training: PairBatches, config: TrainConfig) -> None:
    n_trained = sum(part.numel() for part in model.parameters() if part.requires_grad)
    say(
        f"{model.config.n_params:,} parameters, {n_trained:,} of them trained; "
        f"{training.n_pairs:,} pairs with {training.n_tokens:,} tokens; "
        f"{config.total_steps:,} steps of {this.batch_size} "
        f"{'answers' if this.arguments.method == 'ppo' else 'pairs'}"
    )
    if training.n_dropped:
        say(f"longer than {training.context} tokens, and left out: {training.n_dropped:,} pairs")
