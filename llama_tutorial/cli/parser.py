"""The options of all commands. Nothing here needs torch.

An option that sets a field of :class:`~llama_tutorial.config.ModelConfig` or of
:class:`~llama_tutorial.training.loop.TrainConfig` is stored under the field's name.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

from llama_tutorial._util.terminal import printable
from llama_tutorial.checkpoints import FORMATS
from llama_tutorial.shipped import SHIPPED

CHAT_MODEL = "tales-chat"
WORKBOOK = "my-llama"
LINEAR = ("wq", "wk", "wv", "wo", "w1", "w2", "w3", "output")  # the layers that LoRA can adapt
_WHERE = "a model that comes with the package, a file or folder, or a hub repository"
MODELS = f"Models that come with the package: {', '.join(SHIPPED)}."
DIALOGS = (
    "A file of dialogs is .jsonl, one JSON object a line, or one JSON array of them, in one of the "
    'forms {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": '
    '"Hello!"}]}, {"instruction": "Name a color.", "output": "Red."}, {"prompt": ..., '
    '"completion": ...}, or ShareGPT\'s {"conversations": [{"from": "human", "value": ...}, ...]}.'
)
PAIRS = (
    'A file of pairs is .jsonl, one JSON object a line: {"prompt": "Name a color.", "chosen": '
    '"Red.", "rejected": "A kite."}; the prompt may be a list of messages instead, and "grade" '
    "says how much better the chosen answer is: 3 significantly, 2 better, 1 slightly, 0 "
    "negligibly."
)
METRICS = (
    "The folder --out then holds model (load it with --model) and metrics.jsonl, a JSON object a "
    "step: step; loss, the training loss of its batch, and at evaluations validation_loss, both "
    "in nats a token; lr, the learning rate; grad_norm, the norm of the gradient before it was "
    "clipped; tokens, those of the batch; tokens_per_s, without evaluations. With --tensorboard "
    "the same is in tensorboard (tensorboard --logdir OUT)."
)
CHAT_HELP = (
    "/reset forgets the dialog, /system TEXT also sets how to behave, /exit or Ctrl-D ends the chat"
)


@dataclass(frozen=True)
class FinetuneDefaults:
    """The settings of finetune that depend on the size of the model."""

    lr: float
    lora_lr: float
    batch_size: int
    context: int
    epochs: float | int
    warmup_ratio: float = 0.03  # the paper does not give it


SMALL = FinetuneDefaults(lr=2e-3, lora_lr=5e-3, batch_size=4, context=512, epochs=1)
PAPER = FinetuneDefaults(lr=2e-5, lora_lr=2e-4, batch_size=64, context=4096, epochs=2)
SMALL_MODEL = 100_000_000  # parameters; larger models get the paper's settings


@dataclass(frozen=True)
class PreferDefaults:
    """The settings of prefer that depend on the method and on the size of the model."""

    lr: float
    lora_lr: float
    batch_size: int  # pairs; of rejection, rows; of ppo, answers
    epochs: float | int = 1
    reward_lr: float = 1e-5
    reward_lora_lr: float = 1e-4


_SMALL_REWARD = {"reward_lr": 3e-4, "reward_lora_lr": 1e-3}
METHODS = {  # for small models, and for large ones: the papers' where they give them
    "dpo": (PreferDefaults(1e-4, 5e-4, 16, epochs=2), PreferDefaults(5e-7, 5e-6, 64)),
    "rejection": (
        PreferDefaults(2e-4, 1e-3, 4, **_SMALL_REWARD),
        PreferDefaults(2e-5, 2e-4, 64),
    ),
    "ppo": (PreferDefaults(5e-5, 2e-4, 32, **_SMALL_REWARD), PreferDefaults(1e-6, 1e-5, 512)),
}


PPO_STEPS = 100


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Every help text ends with the option's default, if it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default not in (None, "", []) and action.default is not False
        return super()._get_help_string(action) if has_default else action.help


class _Parser(argparse.ArgumentParser):
    """argparse's parser, with its errors on one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=_Help, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)} (--help shows the options)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of ``llama-tutorial``; it stores the command's name as ``command``."""
    parser = _Parser(prog="llama-tutorial", description="Llama 2 from scratch, from a shell.")
    parser.add_argument(
        "--version",
        action="version",
        version=f"llama-tutorial {import_module('llama_tutorial').__version__}",
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    for add in (
        _add_generate,
        _add_chat,
        _add_convert,
        _add_info,
        _add_evaluate,
        _add_pretrain,
        _add_finetune,
        _add_prefer,
        _add_workbook,
        _add_check,
    ):
        add(commands)
    return parser


# The commands


def _add_generate(commands: Any) -> None:
    command = commands.add_parser(
        "generate",
        help="continue a text",
        description='Continue a text: generate "Once upon a time". Where standard error is a '
        "terminal, it says how fast the model was and why it stopped.",
        epilog=MODELS,
    )
    command.add_argument(
        "text", nargs="*", help="texts to continue, each by itself; - for standard input"
    )
    command.add_argument("--prompt", help="the same for one text; by default the model begins anew")
    command.add_argument("--prompt-file", help="a file whose text is continued")
    _add_model(command, "tales")
    command.add_argument(
        "--num-samples", type=int, default=1, help="continuations of each text, by --seed and on"
    )
    command.add_argument("--stats", action="store_true", help="say how fast it was in any case")
    _add_sampling(command)
    _add_engine(command)


def _add_chat(commands: Any) -> None:
    command = commands.add_parser(
        "chat",
        help="talk with a chat model",
        description="Talk with a model that was trained on Llama 2's dialog format. Each line is a "
        f"question. {CHAT_HELP}; Ctrl-C ends an answer. Where standard input is a file or a pipe, "
        "each line is answered, and nothing else is written to standard output.",
        epilog=MODELS,
    )
    _add_model(command, CHAT_MODEL)
    command.add_argument("--system", help="how the model should behave")
    _add_sampling(command)
    _add_engine(command)


def _add_convert(commands: Any) -> None:
    command = commands.add_parser(
        "convert",
        help="write a checkpoint in another format",
        description="Formats: native (holds every model), huggingface (a folder that transformers "
        "opens), meta (params.json and consolidated.*.pth), llama2c (float32, for llama2.c's run), "
        "llama2c-v1, llama2c-int8 (for its runq), gguf (for llama.cpp, tokenizer included).",
        epilog=MODELS,
    )
    command.add_argument("input", help=f"the model: {_WHERE}")
    command.add_argument(
        "output", help="the folder to write; for gguf and llama2.c's formats the file"
    )
    command.add_argument("--format", choices=FORMATS, default="native", help="of the output")
    _add_filename(command)
    command.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="of the model; by default the file's",
    )
    command.add_argument(
        "--quantize",
        choices=["int8", "int4", "q8_0", "q4_0"],
        help="round the matrices to 8 or 4 bits; in native and gguf, whose names for it are q8_0 "
        "and q4_0",
    )
    command.add_argument(
        "--tokenizer",
        help="to store in OUTPUT, or beside a file of llama2.c's; by default INPUT's own",
    )
    command.add_argument(
        "--chat-template",
        action="store_true",
        help="huggingface and gguf only: say how Llama 2 lays out a dialog, for "
        f"apply_chat_template and llama.cpp (the package's {CHAT_MODEL} says so anyway)",
    )
    command.add_argument(
        "--force", action="store_true", help="replace a checkpoint that OUTPUT holds already"
    )
    command.add_argument("--shards", type=int, default=1, help="files that meta is split into")
    command.add_argument(
        "--group-size", type=int, default=64, help="weights with a common scale in llama2c-int8"
    )


def _add_info(commands: Any) -> None:
    command = commands.add_parser(
        "info", help="what a checkpoint holds, and what it costs", epilog=MODELS
    )
    command.add_argument("checkpoint", nargs="?", help=f"{_WHERE}, or a preset's sizes")
    command.add_argument("--model", dest="model", help="the same")
    _add_filename(command)


def _add_evaluate(commands: Any) -> None:
    command = commands.add_parser(
        "evaluate",
        help="how well a model predicts a text",
        description="How well a model predicts a text: evaluate mine.txt. Loss (nats per token), "
        "perplexity, and bits per byte, which alone can be compared between models with different "
        "tokenizers. Documents in a text are separated by <|endoftext|>; each is read between BOS "
        "and EOS, and nothing is predicted from another one. Of dialogs, only the answers count. "
        "Without DATA: tales that no model of this package has learned from.",
        epilog=f"{DIALOGS} {MODELS}",
    )
    command.add_argument(
        "data", nargs="?", help="a text file, a token file of pretrain's, or a file of dialogs"
    )
    command.add_argument("--data", dest="data_option", metavar="DATA", help="the same")
    command.add_argument(
        "--as",
        dest="form",
        choices=["text", "tokens", "dialogs"],
        help="what DATA is; by default tokens if it is a token file, dialogs if its name ends in "
        ".jsonl or .json, else text; dialogs without DATA: dialogs about tales",
    )
    _add_model(command, "tales")
    command.add_argument(
        "--context", type=int, help="tokens of a window; by default the model's context"
    )
    command.add_argument(
        "--stride",
        type=int,
        help="tokens from one window to the next; each token counts in one window only; by "
        "default --context, as pretrain validates; less is slower and gives every token more to "
        "be predicted from; the last window is moved back until it is full",
    )
    command.add_argument("--batch-size", type=int, default=8, help="windows or dialogs at a time")
    command.add_argument(
        "--no-eos",
        action="store_true",
        help="do not count the end of a document, for models that saw none, such as llama2.c's",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    _add_engine(command)


def _add_pretrain(commands: Any) -> None:
    command = commands.add_parser(
        "pretrain",
        help="train a model from nothing, or further",
        description="Train a model from nothing, or with --model a given one further. The defaults "
        "are the first 16,000 steps of the model that this package ships (1.3 million parameters, "
        "33 million tokens of tales): about an hour and a quarter on two CPU cores that compute in "
        "bfloat16 (--autocast bfloat16), and a validation loss of 0.42 at the end, from 6.9 at the "
        "start. "
        "--steps 2000 takes ten minutes and tells tales that lose their thread.",
        epilog=f"{METRICS} {MODELS}",
    )
    command.add_argument("--out", required=True, help="the folder for everything that is written")
    command.add_argument("--data", default="tales", help="tales, tinystories, or a text file")
    command.add_argument(
        "--tales",
        type=int,
        help="number of tales (default: as many as --steps read once, from 5,000 to 200,000). The "
        "tokens of many are kept for the next run in ~/.cache/llama-tutorial, or where the "
        "environment variable LLAMA_TUTORIAL_CACHE says; where it is empty, nothing is kept",
    )

    group = command.add_argument_group("tokenizer")
    group.add_argument("--tokenizer", help="a tokenizer's file; by default one is trained")
    group.add_argument("--vocab-size", type=int, default=1024, help="of the one that is trained")
    group.add_argument("--characters", action="store_true", help="one token for each character")

    group = command.add_argument_group("model")
    group.add_argument(
        "--model",
        "--checkpoint",
        help=f"go on from its weights, with its sizes and its tokenizer: {_WHERE} (default: begin "
        "from nothing)",
    )
    _add_filename(group)
    group.add_argument("--preset", help="a preset's name (default: the sizes below)")
    group.add_argument("--dim", type=int, default=128, help="width of the residual stream")
    group.add_argument("--layers", type=int, default=6, dest="n_layers", help="number of layers")
    group.add_argument("--heads", type=int, default=8, dest="n_heads", help="query heads")
    group.add_argument(
        "--kv-heads", type=int, default=4, dest="n_kv_heads", help="key and value heads"
    )
    group.add_argument("--hidden-dim", type=int, default=384, help="width of the feed-forward")
    group.add_argument(
        "--context",
        type=int,
        dest="max_seq_len",
        help="tokens of a row (default: 256, with --model its own)",
    )
    group.add_argument("--untied", action="store_true", help="an output head of its own")

    group = command.add_argument_group("training")
    group.add_argument(
        "--steps",
        type=int,
        default=16_000,
        dest="total_steps",
        help="updates of the weights; a finished run may get more, with the learning rate that a "
        "run of so many has there, without another warm-up",
    )
    group.add_argument("--batch-size", type=int, default=8, help="rows of --context tokens")
    group.add_argument(
        "--lr",
        type=float,
        dest="peak_lr",
        help="peak of the learning rate (default: 0.003, with a large --model 0.0003)",
    )
    group.add_argument(
        "--warmup",
        type=int,
        dest="warmup_steps",
        help="steps of the warm-up (default: a tenth of --steps, at most 100)",
    )
    group.add_argument("--cross-documents", action="store_true", help="attend across documents")
    _add_training(group, evaluate_every=1000, checkpoint_every=500)


def _add_finetune(commands: Any) -> None:
    command = commands.add_parser(
        "finetune",
        help="teach a model to answer",
        description="Teach a model to answer. Without options, the small model of this package "
        "learns to tell tales on request and to answer questions about them: about an hour on one "
        "CPU core with --autocast bfloat16. Models of more than a hundred million parameters get "
        "the settings of Llama 2's paper (two epochs, batches of 64 rows of 4,096 tokens, a "
        "learning rate of 2e-5), so: finetune --model path/to/Llama-2-7b --data dialogs.jsonl "
        "--lora --device cuda --autocast bfloat16",
        epilog=f"{DIALOGS} {METRICS} {MODELS}",
    )
    command.add_argument("--out", required=True, help="the folder for everything that is written")
    _add_model(command, "tales")
    _add_filename(command)
    command.add_argument("--tokenizer", help="its tokenizer; by default the one that comes with it")

    group = command.add_argument_group("data")
    group.add_argument("--data", default="tales", help="tales, or a file of dialogs (see below)")
    group.add_argument("--validation", help="another file; by default the last tenth of --data")
    group.add_argument("--dialogs", type=int, default=15_000, help="number of dialogs about tales")
    group.add_argument(
        "--packing",
        choices=["documents", "concatenate"],
        default="documents",
        help="keep dialogs whole and apart, or concatenate them as in the paper",
    )
    group.add_argument(
        "--context", type=int, dest="max_seq_len", help="tokens of a row" + _by_size("context")
    )

    _add_lora(command)

    group = command.add_argument_group("training")
    group.add_argument(
        "--epochs",
        type=float,
        help="passes over the rows; a finished run may get more" + _by_size("epochs"),
    )
    group.add_argument("--batch-size", type=int, help="rows of a step" + _by_size("batch_size"))
    group.add_argument(
        "--lr",
        type=float,
        dest="peak_lr",
        help=f"peak of the learning rate{_by_size('lr')}{_by_size('lora_lr', ' with --lora')}",
    )
    group.add_argument(
        "--warmup",
        type=int,
        dest="warmup_steps",
        help=f"steps of the warm-up (default: {SMALL.warmup_ratio * 100:g} %% of all)",
    )
    _add_training(group, evaluate_every=250, checkpoint_every=250)


def _add_prefer(commands: Any) -> None:
    command = commands.add_parser(
        "prefer",
        help="teach a model which answers are better",
        description="Teach a chat model which answers are better. dpo learns from pairs of answers "
        "directly. rejection and ppo first train a reward model on the pairs, then learn from the "
        "model's own answers to their prompts: from the best of several, or from each by its "
        "reward. Without options, the small chat model of this package answers questions about "
        "tales, and the story world says which answers are true. A 7B model: prefer --model "
        "path/to/Llama-2-7b-chat --data pairs.jsonl --lora --device cuda --autocast bfloat16",
        epilog=f"{PAIRS} Metrics of its own: margin, by how much the chosen answer's reward is "
        "above the other's; accuracy, the share of pairs where it is above; logprob_chosen and "
        "logprob_rejected, nats an answer; kl, the distance from the model at the beginning; of "
        f"ppo, reward, ended and clipped. {METRICS} {MODELS}",
    )
    command.add_argument("--out", required=True, help="the folder for everything that is written")
    _add_model(command, CHAT_MODEL)
    _add_filename(command)
    command.add_argument("--tokenizer", help="its tokenizer; by default the one that comes with it")
    command.add_argument("--method", choices=list(METHODS), default="dpo", help="how to learn")

    group = command.add_argument_group("data")
    group.add_argument("--data", default="tales", help="tales, or a file of pairs (see below)")
    group.add_argument("--validation", help="another file; by default the last tenth of --data")
    group.add_argument("--pairs", type=int, default=400, help="number of pairs about tales")

    group = command.add_argument_group("dpo")
    group.add_argument(
        "--beta", type=float, default=0.1, help="how strongly the model is held to its beginning"
    )

    group = command.add_argument_group("rejection and ppo")
    group.add_argument(
        "--margins",
        choices=["none", "small", "large"],
        default="small",
        help="of the grades, for the reward model: none, the paper's small or its large ones",
    )
    group.add_argument(
        "--max-new-tokens", type=int, default=24, help="the most that an answer may have"
    )
    group.add_argument("--samples", type=int, default=8, help="rejection: answers to each prompt")
    group.add_argument("--rounds", type=int, default=3, help="rejection: of sampling and learning")
    group.add_argument("--temperature", type=float, default=1.0, help="rejection: of the samples")
    group.add_argument(
        "--steps", type=int, dest="total_steps", help=f"ppo: batches (default: {PPO_STEPS})"
    )
    group.add_argument("--kl", type=float, default=0.01, help="ppo: weight of the KL penalty")
    group.add_argument(
        "--clip-ratio",
        type=float,
        default=0.2,
        help="ppo: how far an answer's probability may go in a step and still be rewarded",
    )
    group.add_argument("--mini-batches", type=int, default=4, help="ppo: updates of a step")

    _add_lora(command)

    group = command.add_argument_group("training")
    group.add_argument(
        "--epochs",
        type=float,
        help="passes over the pairs, or the best answers" + _by_method("epochs"),
    )
    group.add_argument(
        "--batch-size",
        type=int,
        help="of a step: pairs; of rejection, rows; of ppo, answers" + _by_method("batch_size"),
    )
    group.add_argument(
        "--lr",
        type=float,
        dest="peak_lr",
        help="peak of the learning rate" + _by_method("lr") + _by_method("lora_lr", " with --lora"),
    )
    group.add_argument(
        "--warmup",
        type=int,
        dest="warmup_steps",
        help="steps of the warm-up (default: 3 %% of all, at least 5; of ppo none)",
    )
    _add_training(group, evaluate_every=20, checkpoint_every=20)


def _add_workbook(commands: Any) -> None:
    command = commands.add_parser(
        "workbook",
        help="a folder of stubs, to build it yourself",
        description="Write a folder in which you build a Llama 2 yourself: a notebook and a module "
        "for each chapter of the book, whose functions are yours to fill in. A file that is there "
        "already is kept.",
    )
    command.add_argument(
        "folder", nargs="?", default=WORKBOOK, metavar="FOLDER", help="the folder to write"
    )
    command.add_argument(
        "--solutions", action="store_true", help="with all functions filled in, for teachers"
    )


def _add_check(commands: Any) -> None:
    command = commands.add_parser(
        "check",
        help="how far your workbook is",
        description="Check what you have written in a workbook: check my-llama, check my-llama "
        "rope, check my-llama rope.rotate. A line says of each task whether it is done, wrong, not "
        "begun, or right but waits for one that is not; then comes what is wrong with the first. "
        "The exit code is 0 only if all are done. This runs the code in the folder.",
    )
    command.add_argument(
        "folder", nargs="?", default=WORKBOOK, metavar="FOLDER", help="the workbook"
    )
    command.add_argument(
        "tasks",
        nargs="*",
        metavar="TASK",
        help="chapters, or single tasks; by default all",
    )


# Options that several commands have


def _by_size(name: str, where: str = "") -> str:
    """The two defaults of an option of finetune."""
    return f" (default{where}: {getattr(SMALL, name)}, large models {getattr(PAPER, name)})"


def _by_method(name: str, where: str = "") -> str:
    """The defaults of an option of prefer."""
    small, large = (
        ", ".join(
            f"{method} {getattr(sizes[i], name)}"
            for method, sizes in METHODS.items()
            if (method, name) != ("ppo", "epochs")  # which counts steps
        )
        for i in (0, 1)
    )
    return f" (default{where}: {small}; large models: {large})"


def _add_lora(command: Any) -> None:
    group = command.add_argument_group("LoRA")
    group.add_argument("--lora", action="store_true", help="train adapters beside frozen weights")
    _add_quantize(group)
    group.add_argument("--rank", type=int, default=8, help="rank of their change")
    group.add_argument(
        "--alpha", type=float, default=16.0, help="their change is scaled by alpha / rank"
    )
    group.add_argument("--dropout", type=float, default=0.0, help="of the adapters' inputs")
    group.add_argument(
        "--targets",
        nargs="+",
        choices=LINEAR,
        metavar="LAYER",
        help=f"some of {', '.join(LINEAR)} (GPT-2 has no w3, tied models no output); by default "
        "all but output",
    )


def _add_training(group: Any, *, evaluate_every: int, checkpoint_every: int) -> None:
    group.add_argument(
        "--micro-batches", type=int, default=1, help="parts of a batch, to save memory"
    )
    group.add_argument("--weight-decay", type=float, default=0.1, help="of the matrices")
    group.add_argument(
        "--evaluate-every", type=int, default=evaluate_every, help="steps between validations"
    )
    group.add_argument(
        "--checkpoint-every", type=int, default=checkpoint_every, help="steps between checkpoints"
    )
    group.add_argument(
        "--tensorboard", action="store_true", help="write the metrics for TensorBoard, too"
    )
    group.add_argument("--seed", type=int, default=0, help="of weights, data and order")
    group.add_argument(
        "--autocast", choices=["bfloat16"], help="compute in it (default: the weights' own)"
    )
    group.add_argument("--compile", action="store_true", help="compile the model")
    group.add_argument(
        "--gradient-checkpointing",
        action="store_true",
        help="compute activations twice instead of keeping them",
    )
    _add_device(group)


def _add_sampling(command: Any) -> None:
    command.add_argument(
        "--max-new-tokens", type=int, help="by default up to the end of the context"
    )
    command.add_argument("--temperature", type=float, default=0.6, help="0: the likeliest token")
    command.add_argument("--top-k", type=int, help="draw from the K likeliest only")
    command.add_argument(
        "--top-p", type=float, default=0.9, help="draw from the likeliest with this probability"
    )
    command.add_argument(
        "--min-p",
        type=float,
        default=0.0,
        help="draw from those at least P times as likely as the likeliest; 0 for all",
    )
    command.add_argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        help="above 1: what the text holds already, the prompt included, becomes less likely",
    )
    command.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        dest="stop_strings",
        help="end before this text; may be given several times (a line break: $'\\n' in bash)",
    )
    command.add_argument("--seed", type=int, help="the same seed gives the same text")


def _add_engine(command: Any) -> None:
    _add_filename(command)
    command.add_argument("--tokenizer", help="its tokenizer; by default the one that comes with it")
    command.add_argument(
        "--engine",
        choices=["torch", "numpy"],
        default="torch",
        help="numpy needs no torch, and reads llama2.c's and GGUF files",
    )
    _add_device(command)
    command.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="of the model; by default the file's",
    )
    _add_quantize(command)


def _add_quantize(command: Any) -> None:
    command.add_argument(
        "--quantize",
        choices=["int8", "int4"],
        help="pack the matrices into integers of 8 or 4 bits as they are read (default: as the "
        "file has them; fast with numba: pip install 'llama-tutorial[fast]')",
    )


def _add_model(command: Any, default: str) -> None:
    command.add_argument("--model", "--checkpoint", default=default, help=_WHERE)


def _add_filename(command: Any) -> None:
    command.add_argument(
        "--filename",
        help="the checkpoint's name in a folder or repository of several (default: the only one)",
    )


def _add_device(command: Any) -> None:
    command.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ..., mps (Apple)")
