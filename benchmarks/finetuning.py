"""What fine-tuning buys, and what its details are for: the small model, taught in several ways.

    python benchmarks/finetuning.py --out runs/finetuning
    python benchmarks/finetuning.py --out runs/finetuning --json llama_tutorial/data/finetuning.json

Every way begins with the shipped ``tales`` and sees the same dialogs in the same order once. Then
it is asked about tales of the test split, whose combinations of a name, a thing and a place are in
no training tale, and the answers that are right to the letter are counted, by kind of question.
The shipped ``tales-chat``, which saw more dialogs, is asked as well, also in wrong templates. Each
way's result is a file of its own: what is there is not done again, and a training that was killed
goes on. About forty minutes on one core; everything but the last bits of the scores is
reproducible.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from recorded_runs import record

from llama_tutorial import Transformer, load
from llama_tutorial._util.files import replace_file
from llama_tutorial.chat.dialog import Dialog, encode_dialog
from llama_tutorial.checkpoints import save_adapter
from llama_tutorial.finetuning import Example, encode_example, with_context
from llama_tutorial.finetuning.evaluation import answer_dialogs, exact_match, questions_about_tales
from llama_tutorial.finetuning.packing import PackedExamples
from llama_tutorial.lora import add_lora
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tales import mean_consistency, questions, tales
from llama_tutorial.tales.dialogs import Message, dialogs
from llama_tutorial.tales.words import GENDER, PLACES, THINGS
from llama_tutorial.training import IGNORE
from llama_tutorial.training.loop import TrainConfig, evaluate, train

CONTEXT, BATCH_SIZE = 512, 4
FIRST_DIALOG = 1_000_000
TELLINGS = 60
TALE_TOKENS = 220
WORDS = {*GENDER, *THINGS, *PLACES}  # whom and what and where a tale can be asked to be about


@dataclass(frozen=True)
class Way:
    """One way to fine-tune.

    Args:
        what: In words.
        labels: What becomes of an example's labels; None leaves them.
        packing: As for :class:`~llama_tutorial.finetuning.packing.PackedExamples`.
        rank: Of LoRA; 0 trains all weights.
        lr: The peak.
    """

    what: str
    labels: Callable[[Example], Example] | None = None
    packing: str = "documents"
    rank: int = 0
    lr: float = 2e-3


def every_token(example: Example) -> Example:
    """No prompt masking: the questions, and the tales in them, are learned too."""
    return Example(example.ids, [IGNORE, *example.ids[1:]])


def without_eos(example: Example, eos_id: int = 2) -> Example:
    """The loss leaves out what ends an answer."""
    labels = [IGNORE if i == eos_id else label for i, label in zip(*example, strict=True)]
    return Example(example.ids, labels)


WAYS = {
    "full": Way("all weights, loss on answers, documents apart"),
    "lora": Way("LoRA of rank 8 on all matrices", rank=8, lr=5e-3),
    "every-token": Way("loss on the questions too", labels=every_token),
    "no-eos": Way("no loss on EOS", labels=without_eos),
    "concatenate": Way("packed end to end, attention across", packing="concatenate"),
}


def bare(dialog: Dialog, tokenizer: Any) -> list[int]:
    """No template: the texts, line by line."""
    return tokenizer.encode("\n".join(message["content"] for message in dialog), bos=True)


def other_tags(dialog: Dialog, tokenizer: Any) -> list[int]:
    """Somebody else's template."""
    names = {"user": "User", "assistant": "Assistant"}
    lines = [f"{names[message['role']]}: {message['content']}" for message in dialog]
    return tokenizer.encode("\n".join([*lines, "Assistant:"]), bos=True)


def without_bos(dialog: Dialog, tokenizer: Any) -> list[int]:
    """Llama 2's, but for the first id."""
    return encode_dialog(dialog, tokenizer)[1:]


def two_bos(dialog: Dialog, tokenizer: Any) -> list[int]:
    """Llama 2's, with BOS twice: what comes of adding it to text that begins with it."""
    return [tokenizer.bos_id, *encode_dialog(dialog, tokenizer)]


TEMPLATES = {
    "right": encode_dialog,
    "bare": bare,
    "other tags": other_tags,
    "without BOS": without_bos,
    "BOS twice": two_bos,
}


def main() -> None:
    """Do what is not done, then put all into one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="the folder of the runs")
    parser.add_argument("--dialogs", type=int, default=3000, help="to learn from")
    parser.add_argument("--tales", type=int, default=80, help="to ask about")
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--json", type=Path, help="write all results to this file too")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    measures = {"base": lambda: measure(*load_small("tales"), arguments.tales)}
    if "tales-chat" in SHIPPED:
        measures["tales-chat"] = lambda: measure(*load_small("tales-chat"), arguments.tales)
        measures["templates"] = lambda: templates(*load_small("tales-chat"), arguments.tales)
    for name in arguments.only:
        measures[name] = partial(fine_tuned, name, arguments)
    results = {name: once(arguments.out / f"{name}.json", run) for name, run in measures.items()}
    if arguments.json is not None:
        command = f"python benchmarks/finetuning.py --dialogs {arguments.dialogs}"
        command += f" --tales {arguments.tales}"
        record(arguments.json, command, {"results": results})


def once(file: Path, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``run`` gives, from ``file`` where it was noted before."""
    if not file.exists():
        result = json.dumps(run()) + "\n"
        with replace_file(file) as opened:
            opened.write(result.encode())
        print(f"{file.stem}: done", flush=True)
    return json.loads(file.read_text(encoding="utf-8"))


def some_of(
    experiments: Mapping[str, Callable[[], dict[str, Any]]], folder: Path, only: Sequence[str]
) -> dict[str, Any]:
    """Run those whose names begin so, in this order; the results of all that are done, by name."""
    for beginning in only:
        for name, run in experiments.items():
            if name.startswith(beginning):
                once(folder / f"{name}.json", run)
    files = {name: folder / f"{name}.json" for name in experiments}
    done = {name: file for name, file in files.items() if file.exists()}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in done.items()}


def load_small(name: str) -> tuple[Transformer, Any]:
    """A shipped model in float32, with the context of the dialogs."""
    model, tokenizer = load(name, dtype=torch.float32)
    return with_context(model, CONTEXT), tokenizer


def fine_tuned(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one way and measure the result."""
    way, (model, tokenizer) = WAYS[name], load_small("tales")
    torch.manual_seed(0)
    if way.rank:
        add_lora(model, rank=way.rank)
    trained = sum(part.numel() for part in model.parameters() if part.requires_grad)
    packed = examples(tokenizer, arguments.dialogs, "train", way)
    settings = TrainConfig(
        total_steps=packed.steps(1),
        peak_lr=way.lr,
        warmup_steps=round(0.05 * packed.steps(1)),
        autocast="bfloat16",
        checkpoint_every=100,
    )
    began = time.perf_counter()
    data = {"dialogs": arguments.dialogs, "way": name}
    write_model = partial(save_adapter, base="tales") if way.rank else None
    out = arguments.out / name
    if not train(model, packed.batch, settings, out, data=data, write_model=write_model):
        raise SystemExit("stopped; the same command goes on from here")
    seconds = time.perf_counter() - began
    validation = examples(tokenizer, 200, "validation", WAYS["full"])
    return {
        "what": way.what,
        "trained_parameters": trained,
        "lr": way.lr,
        "dialogs": packed.n_examples,
        "tokens": packed.n_tokens,
        "learned_tokens": packed.n_targets,
        "steps": settings.total_steps,
        "seconds": round(seconds),
        "validation_loss": round(evaluate(model, list(validation.every_row())), 4),
        **measure(model, tokenizer, arguments.tales),
    }


def examples(tokenizer: Any, n: int, split: str, way: Way) -> PackedExamples:
    """``n`` dialogs as ``way`` learns them."""

    def length(dialog: list[Message]) -> int:
        return len(encode_example(dialog, tokenizer).ids)

    told = dialogs(n, split, FIRST_DIALOG, room=CONTEXT, length=length)
    found = [encode_example(dialog, tokenizer) for dialog in told]
    if way.labels is not None:
        found = [way.labels(example) for example in found]
    return PackedExamples(found, BATCH_SIZE, CONTEXT, packing=way.packing)


@torch.no_grad()
def measure(model: Transformer, tokenizer: Any, n_tales: int) -> dict[str, Any]:
    """Exact match for tales that are given and that were told, and how it tells on request."""
    model.eval()
    found: dict[str, Any] = {
        how: score(model, tokenizer, n_tales, how=how) for how in ("given", "told")
    }
    return found | {"telling": telling(model, tokenizer)}


def score(
    model: Transformer,
    tokenizer: Any,
    n_tales: int,
    encode: Callable[..., list[int]] = encode_dialog,
    how: str = "given",
) -> dict[str, Any]:
    """Shares of right answers by kind, of those that end, and of those that begin right."""
    asked = questions_about_tales(n_tales, how=how)
    answers = answer_dialogs(model, tokenizer, [one.dialog for one in asked], encode=encode)
    scores = exact_match(asked, answers)
    begins = [a.text.startswith(q.answer) for q, a in zip(asked, answers, strict=True)]
    return {
        "exact_match": {kind: [score.right, score.total] for kind, score in scores.items()},
        "ended": round(sum(one.ended for one in answers) / len(answers), 4),
        "begins_right": round(sum(begins) / len(begins), 4),
        "examples": [
            {"question": q.dialog[-1]["content"].split("\n")[-1], "right": q.answer, "said": a.text}
            for q, a in list(zip(asked, answers, strict=True))[:6]
        ],
    }


def telling(model: Transformer, tokenizer: Any) -> dict[str, Any]:
    """How consistent its tales are, and whether they speak of whom and what was asked for."""
    asked = [q for tale in tales(3 * TELLINGS, "test") for q in questions(tale) if q.kind == "tell"]
    asked = asked[:TELLINGS]
    prompts = [[{"role": "user", "content": one.text}] for one in asked]
    told = answer_dialogs(
        model, tokenizer, prompts, TALE_TOKENS, temperature=0.7, top_p=1.0, seed=0
    )
    consistent, parsed = mean_consistency([one.text for one in told])
    wanted = [WORDS & set(re.findall(r"\w+", one.text)) for one in asked]
    there = [name in one.text for names, one in zip(wanted, told, strict=True) for name in names]
    return {
        "consistency": consistent and round(consistent, 4),
        "parsed": round(parsed, 4),
        "named": round(sum(there) / len(there), 4),
        "example": {"request": asked[0].text, "tale": told[0].text},
    }


def templates(model: Transformer, tokenizer: Any, n_tales: int) -> dict[str, Any]:
    """The same questions in the template that was learned, and in others."""
    return {name: score(model, tokenizer, n_tales, encode) for name, encode in TEMPLATES.items()}


if __name__ == "__main__":
    main()
