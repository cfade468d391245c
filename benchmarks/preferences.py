"""Does learning from preferences make the small chat model truer? Recorded, for the chapter.

    python benchmarks/preferences.py --out runs/prefs
    python benchmarks/preferences.py --out runs/prefs --json llama_tutorial/data/preferences.json

The pairs are the shipped ``tales-chat``'s own answers about tales of the training split, as the
story world prefers them. Everything is measured on tales of the test split that nothing else looks
at. Each experiment's result is a file of its own: what is there is not done again, and a training
that was killed goes on. ``--only`` takes the first letters of names: ``dpo``, ``rejection-true``.
About two hours on one core that does nothing else; everything but the last bits is reproducible.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from finetuning import some_of, telling
from recorded_runs import record

from llama_tutorial import Transformer, load
from llama_tutorial.finetuning import encode_example
from llama_tutorial.finetuning.evaluation import Answer, DialogQuestion, answer_dialogs, exact_match
from llama_tutorial.finetuning.packing import PackedExamples
from llama_tutorial.preferences.batches import PairBatches, encode_pair, last_answer
from llama_tutorial.preferences.dpo import DPO
from llama_tutorial.preferences.pair_file import Pair, read_pairs, write_pairs
from llama_tutorial.preferences.ppo import PPO, PolicyWithValue, PPOConfig, Prompts
from llama_tutorial.preferences.rejection import Best, Reward, best_of, learned_reward
from llama_tutorial.preferences.reward_model import (
    RewardModel,
    RewardTraining,
    accuracy_by_grade,
    calibration,
    load_reward_model,
    save_reward_model,
)
from llama_tutorial.preferences.truth import (
    make_pairs,
    questions_on,
    sample_answers,
    uncertain,
    worth,
)
from llama_tutorial.tales import tales
from llama_tutorial.training.loop import TrainConfig, train

CONTEXT, BATCH_SIZE, HELD_OUT = 512, 16, 100
FIRST_TALE, OTHER_TALES, TEST_TALES = 50_000_000, 60_000_000, 700_000
SEEDS = (0, 1, 2)
K, ROUNDS = 8, 3


def main() -> None:
    """Do what is not done, then put all into one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="the folder of the runs")
    parser.add_argument("--pairs", type=int, default=1000, help="to learn from")
    parser.add_argument("--tales", type=int, default=150, help="to measure with")
    parser.add_argument("--only", nargs="+", help="the beginnings of names; by default all")
    parser.add_argument("--json", type=Path, help="write the results that are there to this file")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    results = some_of(list_of(arguments), arguments.out, arguments.only or [""])
    if arguments.json is not None:
        command = f"python benchmarks/preferences.py --pairs {arguments.pairs}"
        command += f" --tales {arguments.tales}"
        record(arguments.json, command, {"results": results})


def list_of(arguments: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """What can be run, by name."""
    of = partial(partial, arguments=arguments)
    found: dict[str, Callable[[], dict[str, Any]]] = {"base": of(base), "reward": of(reward)}
    for lr in (1e-5, 3e-5, 1e-4, 3e-4):
        found[f"dpo-lr{lr:g}-seed0"] = of(dpo, lr=lr, seed=0)
    for seed in SEEDS[1:]:
        found[f"dpo-lr0.0001-seed{seed}"] = of(dpo, lr=1e-4, seed=seed)
    found["best-of-n"] = of(best_of_n)
    for kind in ("true", "learned"):
        for seed in SEEDS:
            found[f"rejection-{kind}-seed{seed}"] = of(rejection, kind=kind, seed=seed)
    found["ppo-learned"] = of(ppo, kl=0.01)
    found["ppo-without-kl"] = of(ppo, kl=0.0)
    for seed in SEEDS:
        found[f"rounds-seed{seed}"] = of(dpo_rounds, seed=seed)
    return found


# -- measures -----------------------------------------------------------------------------------


def small(source: str | Path = "tales-chat") -> tuple[Transformer, Any]:
    """A chat model in float32."""
    return load(str(source), dtype=torch.float32)


@torch.no_grad()
def measure(model: Transformer, tokenizer: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """The shares of right answers about tales of the test split that nothing else looks at."""
    asked = questions_on(tales(arguments.tales, "test", TEST_TALES))
    answers = answer_dialogs(model, tokenizer, [one.dialog for one in asked])
    scores = exact_match(asked, answers)
    right = [worth(q, a) == 3 for q, a in zip(asked, answers, strict=True)]
    return {
        "exact_match": {kind: [score.right, score.total] for kind, score in scores.items()},
        "right": "".join(str(int(one)) for one in right),  # question by question, for paired tests
        "declined_in_vain": sum(worth(q, a) == 1 for q, a in zip(asked, answers, strict=True)),
        "ended": round(sum(one.ended for one in answers) / len(answers), 4),
    }


def base(arguments: argparse.Namespace) -> dict[str, Any]:
    """The model that all begin with."""
    model, tokenizer = small()
    return {**measure(model, tokenizer, arguments), "telling": telling(model, tokenizer)}


# -- pairs --------------------------------------------------------------------------------------


def pairs(arguments: argparse.Namespace) -> tuple[list[Pair], list[Pair]]:
    """The pairs to learn from, and some to measure with; made once."""
    file, n = arguments.out / "pairs.jsonl", arguments.pairs + HELD_OUT
    if not file.exists():
        model, tokenizer = small()
        write_pairs(make_pairs(model, tokenizer, tales(10**6, "train", FIRST_TALE), n), file)
    found = read_pairs(file)
    return found[HELD_OUT:n], found[:HELD_OUT]


def batches(found: Sequence[Pair], tokenizer: Any, seed: int) -> PairBatches:
    """Pairs as batches."""
    encoded = [(*encode_pair(pair, tokenizer), pair.grade) for pair in found]
    return PairBatches(encoded, BATCH_SIZE, CONTEXT, seed=seed)


def settings(steps: int, lr: float, **changes: Any) -> TrainConfig:
    """Llama 2's for preferences: no weight decay is needed on so few steps."""
    given: dict[str, Any] = {"warmup_steps": max(5, round(0.03 * steps)), "weight_decay": 0.1}
    given = {"checkpoint_every": 20, **given, **changes}
    given["warmup_steps"] = min(given["warmup_steps"], steps)
    return TrainConfig(total_steps=steps, peak_lr=lr, **given)


def curve(out: Path, *names: str) -> dict[str, list[float]]:
    """Some metrics of a run, step by step."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    metrics = [json.loads(line) for line in lines]
    return {name: [round(line[name], 4) for line in metrics] for name in names}


# -- DPO ----------------------------------------------------------------------------------------


def dpo(arguments: argparse.Namespace, lr: float, seed: int) -> dict[str, Any]:
    """One or two epochs of DPO on the pairs."""
    model, tokenizer = small()
    learned, held_out = pairs(arguments)
    result = dpo_once(model, tokenizer, learned, held_out, lr, seed, arguments, "dpo")
    return {**result, **measure(model, tokenizer, arguments)}


def dpo_once(
    model: Transformer,
    tokenizer: Any,
    learned: Sequence[Pair],
    held_out: Sequence[Pair],
    lr: float,
    seed: int,
    arguments: argparse.Namespace,
    name: str,
) -> dict[str, Any]:
    """Two epochs of DPO, in place."""
    torch.manual_seed(seed)
    training, validation = (batches(part, tokenizer, seed) for part in (learned, held_out))
    method = DPO(training, validation, beta=0.1)
    out = arguments.out / "runs" / f"{name}-lr{lr:g}-seed{seed}"
    out.parent.mkdir(exist_ok=True)
    finished = train(
        model,
        training.batch,
        settings(training.steps(2), lr),
        out,
        method=method,
        validation=list(validation.every_pair()),
        data={"pairs": training.content},
    )
    if not finished:
        raise SystemExit("stopped; the same command goes on from here")
    names = ("loss", "margin", "accuracy", "logprob_chosen", "logprob_rejected", "kl")
    last = json.loads((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return {
        "lr": lr,
        "seed": seed,
        "pairs": training.n_pairs,
        "curve": curve(out, *names),
        "validation": {key: last[key] for key in last if key.startswith("validation")},
    }


def dpo_rounds(arguments: argparse.Namespace, seed: int, lr: float = 1e-4) -> dict[str, Any]:
    """Rounds of new pairs, drawn each time from the model as it is then."""
    model, tokenizer = small()
    learned, held_out = pairs(arguments)
    n, rounds = arguments.pairs // 2, []
    for number in range(ROUNDS):
        if number:
            first = OTHER_TALES + 1_000_000 * (10 * seed + number)
            file = arguments.out / "runs" / f"pairs-seed{seed}-round{number + 1}.jsonl"
            if not file.exists():
                told = tales(10**5, "train", first)
                write_pairs(make_pairs(model, tokenizer, told, n, seed=seed), file)
            learned = read_pairs(file)
        name = f"round{number + 1}"
        part = dpo_once(model, tokenizer, learned[:n], held_out, lr, seed, arguments, name)
        rounds.append({**part, **measure(model, tokenizer, arguments)})
    return {"rounds": rounds}


# -- rewards ------------------------------------------------------------------------------------


def trained_reward(arguments: argparse.Namespace) -> RewardModel:
    """The reward model that has learned from the pairs, as the paper's did: one epoch."""
    out = arguments.out / "runs" / "reward"
    out.parent.mkdir(exist_ok=True)
    model, tokenizer = small()
    learned, held_out = pairs(arguments)
    training, validation = (batches(part, tokenizer, 0) for part in (learned, held_out))
    finished = train(
        RewardModel.of(model),
        training.batch,
        settings(training.steps(1), 3e-4),
        out,
        method=RewardTraining("small"),
        validation=list(validation.every_pair()),
        data={"pairs": training.content},
        write_model=save_reward_model,  # type: ignore[arg-type]
    )
    if not finished:
        raise SystemExit("stopped; the same command goes on from here")
    return load_reward_model(out / "model")


def reward(arguments: argparse.Namespace) -> dict[str, Any]:
    """How often the reward model agrees with the world, and knows how often it does."""
    model = trained_reward(arguments).requires_grad_(False)
    tokenizer = small()[1]
    held_out = batches(pairs(arguments)[1], tokenizer, 0)
    rewards = [model.rewards(batch.inputs, batch.last).chunk(2) for batch in held_out.every_pair()]
    grades = torch.cat([batch.grades for batch in held_out.every_pair()])
    chosen, rejected = (torch.cat(part) for part in zip(*rewards, strict=True))
    return {
        "curve": curve(arguments.out / "runs" / "reward", "loss", "margin", "accuracy"),
        "by_grade": {g: list(s) for g, s in accuracy_by_grade(chosen, rejected, grades).items()},
        "calibration": [list(share) for share in calibration(chosen, rejected)],
    }


def true_reward(asked: Sequence[DialogQuestion]) -> Reward:
    """What the world makes of an answer, as a reward from 0 to 1."""
    known = {one.dialog[-1]["content"]: one for one in asked}
    return lambda answered: [
        worth(known[dialog[-1]["content"]], answer) / 3 for dialog, answer in answered
    ]


def prompts_on(model: Transformer, tokenizer: Any, first: int, n: int) -> list[DialogQuestion]:
    """Questions about training tales that the model is not certain of."""
    return uncertain(model, tokenizer, questions_on(tales(n, "train", first)))


def best_of_n(arguments: argparse.Namespace, most: int = 32, n_tales: int = 40) -> dict[str, Any]:
    """The learned reward and the true one of the best of n, by the distance that costs.

    The KL divergence of the best of n from the model itself is at most log n - (n - 1) / n
    (Stiennon et al., 2020; Beirami et al., 2024, prove the bound).
    """
    model, tokenizer = small()
    asked = prompts_on(model, tokenizer, OTHER_TALES + 900_000, n_tales)
    drawn = sample_answers(model, tokenizer, asked, most, seed=5)
    judge = learned_reward(trained_reward(arguments), tokenizer)
    learned = [judge([(q.dialog, a) for a in group]) for q, group in zip(asked, drawn, strict=True)]
    truth = [[worth(q, a) for a in group] for q, group in zip(asked, drawn, strict=True)]
    sizes, points = [2**i for i in range(int(math.log2(most)) + 1)], []
    for n in sizes:
        best, right = [], []
        for scores, worths in zip(learned, truth, strict=True):
            for begin in range(0, most, n):
                place = max(range(begin, begin + n), key=scores.__getitem__)
                best.append(scores[place])
                right.append(worths[place] == 3)
        points.append(
            {
                "n": n,
                "kl": round(math.log(n) - (n - 1) / n, 4),
                "learned": round(statistics.mean(best), 4),
                "right": round(statistics.mean(right), 4),
            }
        )
    possible = statistics.mean(any(w == 3 for w in worths) for worths in truth)
    return {"questions": len(asked), "points": points, "right_among_all": round(possible, 4)}


def rejection(arguments: argparse.Namespace, kind: str, seed: int) -> dict[str, Any]:
    """Rounds of sampling, keeping the best and learning from those of all rounds."""
    model, tokenizer = small()
    kept: list[Best] = []
    rounds = []
    for number in range(ROUNDS):
        first = OTHER_TALES + 2_000_000 + 1_000_000 * (10 * seed + number)
        asked = prompts_on(model, tokenizer, first, arguments.pairs // 5)
        judge = true_reward(asked)
        if kind == "learned":
            judge = learned_reward(trained_reward(arguments), tokenizer)
        best = best_of(
            model,
            tokenizer,
            [one.dialog for one in asked],
            judge,
            k=K,
            max_new_tokens=24,
            seed=seed,
        )
        if kind == "true":  # the world would not call the best of eight lies good
            best = [one for one in best if one.reward == 1]
        kept += best
        examples = [last_answer(encode_example(one.dialog(), tokenizer)) for one in kept]
        packed = PackedExamples(examples, 4, CONTEXT, seed=seed)
        out = arguments.out / "runs" / f"rejection-{kind}-seed{seed}-round{number + 1}"
        out.parent.mkdir(exist_ok=True)
        data = {"content": packed.content}
        if not train(model, packed.batch, settings(packed.steps(1), 2e-4), out, data=data):
            raise SystemExit("stopped; the same command goes on from here")
        rounds.append(
            {
                "prompts": len(asked),
                "learned_from": packed.n_examples,
                "reward_of_one": round(statistics.mean(one.mean for one in best), 4),
                "reward_of_best": round(statistics.mean(one.reward for one in best), 4),
                **measure(model, tokenizer, arguments),
            }
        )
    return {"seed": seed, "rounds": rounds}


def ppo(arguments: argparse.Namespace, kl: float, steps: int = 24) -> dict[str, Any]:
    """PPO on the learned reward; the true one of the same answers is written down beside it."""
    model, tokenizer = small()
    asked = prompts_on(model, tokenizer, OTHER_TALES + 900_000_000, 60)
    judge, truth = learned_reward(trained_reward(arguments), tokenizer), true_reward(asked)
    truths: list[float] = []

    def watched(answered: Sequence[tuple[Any, Answer]]) -> list[float]:
        truths.append(statistics.mean(value == 1 for value in truth(answered)))
        return judge(answered)

    prompts = Prompts([one.dialog for one in asked], tokenizer, 16)
    method = PPO(tokenizer, watched, PPOConfig(kl=kl, mini_batches=2), copy.deepcopy(model))
    policy = PolicyWithValue.of(model)
    out = arguments.out / "runs" / f"ppo-kl{kl:g}"
    out.parent.mkdir(exist_ok=True)
    config = settings(steps, 5e-5, min_ratio=1.0, checkpoint_every=0)
    finished = train(
        policy,
        prompts.batch,
        config,
        out,
        method=method,
        write_model=lambda _whole, path: path.mkdir(),
    )
    if not finished:
        raise SystemExit("stopped; the same command goes on from here")
    found = curve(out, "reward", "kl", "clipped", "ended")
    found["right"] = [round(value, 4) for value in truths[:steps]]
    return {"kl_weight": kl, "curve": found, **measure(policy, tokenizer, arguments)}


if __name__ == "__main__":
    main()
