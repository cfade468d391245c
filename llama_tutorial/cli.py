"""The command ``llama-tutorial``: what the package does, from a shell.

A user's mistake is one line on standard error and exit code 2, never a traceback.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from llama_tutorial.bpe import BPETokenizer
    from llama_tutorial.config import ModelConfig
    from llama_tutorial.model import Transformer
    from llama_tutorial.tokenizer import Tokenizer

USER_ERRORS = (ValueError, OSError, ImportError)


class _Parser(argparse.ArgumentParser):
    """argparse's parser, with its errors on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help shows the options)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except USER_ERRORS as error:
        print(f"llama-tutorial: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="llama-tutorial", description="Llama 2 from scratch, from a shell.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    _add_generate(commands)
    _add_info(commands)
    return parser


def _add_generate(commands: Any) -> None:
    command = commands.add_parser("generate", help="continue a text")
    command.set_defaults(run=_generate)
    command.add_argument("--checkpoint", required=True, help="a model's file or folder")
    command.add_argument("--tokenizer", help="its tokenizer; by default the one in the folder")
    command.add_argument("--prompt", default="", help="the text to continue; empty: begin anew")
    command.add_argument("--max-new-tokens", type=int, help="default: up to the context's end")
    command.add_argument("--temperature", type=float, default=0.6, help="0: the likeliest token")
    command.add_argument("--top-k", type=int, help="draw from the K likeliest only")
    command.add_argument("--top-p", type=float, default=0.9, help="draw from this share; 1: all")
    command.add_argument("--seed", type=int, help="the same seed gives the same text")
    command.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    command.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="of the model")


def _add_info(commands: Any) -> None:
    command = commands.add_parser("info", help="what a checkpoint holds, and what it costs")
    command.set_defaults(run=_info)
    command.add_argument("checkpoint", help="a model's file or folder, or a preset's name")


def _generate(arguments: argparse.Namespace) -> None:
    from llama_tutorial.generation import stream
    from llama_tutorial.sampling import check_sampling

    check_sampling(arguments.temperature, arguments.top_k, arguments.top_p)
    model, tokenizer = _load(arguments)
    prompt = tokenizer.encode(arguments.prompt, bos=True)
    room = model.config.max_seq_len - len(prompt)
    new_tokens = max(room, 0) if arguments.max_new_tokens is None else arguments.max_new_tokens
    ids = stream(
        model,
        prompt,
        new_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        # llama2.c's models were trained on stories that begin with BOS and have no EOS.
        stop_ids={tokenizer.eos_id, tokenizer.bos_id},
    )
    decoder = tokenizer.stream_decoder()
    for token in prompt:
        print(decoder.feed(token), end="")
    for token in ids:
        print(decoder.feed(token), end="", flush=True)
    print(decoder.flush())


def _load(arguments: argparse.Namespace) -> tuple[Transformer, Tokenizer | BPETokenizer]:
    import torch

    from llama_tutorial.checkpoints import load_model
    from llama_tutorial.tokenizer import load_tokenizer

    dtype = None if arguments.dtype is None else getattr(torch, arguments.dtype)
    device = _device(arguments.device)
    tokenizer = load_tokenizer(arguments.tokenizer or _folder_tokenizer(arguments.checkpoint))
    model = load_model(arguments.checkpoint, dtype=dtype, device=device)
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, the model has "
            f"{model.config.vocab_size}: they do not belong together; give the model's own "
            "with --tokenizer"
        )
    return model, tokenizer


def _device(name: str) -> Any:
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name}: cannot be used here: {reason}") from None
    return device


def _folder_tokenizer(checkpoint: str) -> str:
    for name in ("tokenizer.model", "tokenizer.bin"):
        if (path := Path(checkpoint) / name).is_file():
            return str(path)
    raise ValueError(
        f"{checkpoint} comes without a tokenizer: give one with --tokenizer "
        "(a SentencePiece .model or a llama2.c tokenizer.bin)"
    )


def _info(arguments: argparse.Namespace) -> None:
    from llama_tutorial.config import PRESETS

    name = arguments.checkpoint
    if name in PRESETS:
        _print_info(f"preset {name}", PRESETS[name])
        return
    if not Path(name).exists():
        presets = ", ".join(PRESETS)
        raise ValueError(f"{name}: no such file or folder, and no preset; those are {presets}")
    from llama_tutorial.checkpoints import load_model

    model = load_model(name)
    _print_info(f"{name}, {str(model.dtype).removeprefix('torch.')}", model.config)


def _print_info(title: str, config: ModelConfig) -> None:
    context = config.max_seq_len
    print(title)
    for field, value in config.to_dict().items():
        print(f"  {field:<16} {value}")
    print(f"  {'parameters':<16} {config.n_params:,}")
    print(f"  {'FLOPs/token':<16} {config.flops_per_token(context):,} at position {context:,}")
    cache = config.kv_bytes_per_token("float16")
    print(f"  {'cache/token':<16} {cache:,} bytes in 16 bit, {cache * context:,} at full context")
